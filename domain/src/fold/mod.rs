//! The fold: one record at a time into new facts, new decisions, and the ledger lines that
//! bring what is booked to its target.

mod diff;
mod join;
mod memory;
mod outcome;
mod redeemed;
mod retarget;

pub use memory::MemoryState;
pub use outcome::Outcome;
pub use redeemed::Redeemed;

use crate::catalogue::{CatalogueEntry, Sighting};
use crate::decision::{Adjust, Decision, Review};
use crate::decisions::{Numbered, VendorDecisions};
use crate::fact::{Alias, Answer, FactBody, Seen};
use crate::ids::*;
use crate::line::{Amounts, LedgerLine, LineKind, PurchaseRow};
use crate::story::{Scope, Story, WaitingRecord};
use crate::target::{Question, StateError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Changed whenever the fold could book the same log differently. A fold store of another
/// revision must be folded anew.
pub const FOLD_REVISION: u32 = 1;

/// How many stories one slice of a far-reaching record targets again.
pub const SLICE: usize = 200;

/// What the fold reads and writes. Implemented in memory for proofs, and over the fold store.
pub trait FoldState {
    /// How many stories one slice targets again, at least 1. What is booked does not depend on it.
    fn slice(&self) -> usize {
        SLICE
    }
    /// The story that a name belongs to.
    fn story_of(&mut self, scope: Scope, alias: &Alias) -> Result<Option<StoryId>, StateError>;
    /// Says which story a name belongs to.
    fn set_alias(&mut self, scope: Scope, alias: &Alias, story: StoryId);
    /// Takes a story out to change it; it must be put back or merged away.
    fn take_story(&mut self, id: StoryId) -> Result<Option<Story>, StateError>;
    /// Puts a story back. `old_refs` are the index keys it had when it was taken.
    fn put_story(&mut self, story: Story, old_refs: &BTreeSet<String>);
    /// A story has become part of another: its names now lead there.
    fn merge_story(&mut self, gone: &Story, into: StoryId) -> Result<(), StateError>;
    /// Stories of a vendor with an index key (`None`: all of them), in id order, after `after`.
    fn stories_with_ref(
        &mut self,
        vendor: VendorId,
        key: Option<&str>,
        after: StoryId,
        limit: usize,
    ) -> Result<Vec<StoryId>, StateError>;
    /// A catalogue entry.
    fn catalogue_entry(&self, scope: Scope, key: &str) -> Result<Option<CatalogueEntry>, StateError>;
    /// Writes a catalogue entry.
    fn put_catalogue_entry(&mut self, scope: Scope, key: &str, entry: CatalogueEntry);
    /// The best answer to a question.
    fn answer(&self, scope: Scope, request: &str) -> Result<Option<Answer>, StateError>;
    /// Writes the best answer.
    fn put_answer(&mut self, scope: Scope, answer: Answer);
    /// A vendor's decisions in force.
    fn decisions(&mut self, vendor: VendorId) -> Result<Arc<VendorDecisions>, StateError>;
    /// Writes them; `seq` and `decision` are what was added.
    fn put_decisions(&mut self, vendor: VendorId, decisions: VendorDecisions, seq: u64, decision: &Decision);
}

/// How many stories and purchases one record can make: a `retry` folds up to 1,000 records again,
/// each of which makes a story and a purchase.
const NUMBERS_PER_RECORD: u64 = 1 << 12;
/// How many partitions have numbers of their own.
const PLACES_PER_NUMBER: u64 = 1 << 6;

/// Which record is being folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Log partition.
    pub partition: u16,
    /// Log offset.
    pub offset: u64,
    /// Time on the record.
    pub at: Timestamp,
}

impl Place {
    /// The n-th number that this record gives out: a function of the log, unique over all
    /// partitions, and below 2^53 for the first 2^35 records of a partition.
    fn number(self, n: u64) -> Result<u64, StateError> {
        if n >= NUMBERS_PER_RECORD || u64::from(self.partition) >= PLACES_PER_NUMBER {
            return Err(StateError(format!(
                "record {} of partition {} makes more stories and purchases than it has numbers",
                self.offset, self.partition
            )));
        }
        Ok(((self.offset + 1) << 18) | (u64::from(self.partition) << 12) | n)
    }
}

/// One provider event, decoded.
#[derive(Debug, Clone)]
pub struct Event {
    /// Where its ids are unique.
    pub scope: Scope,
    /// Whose.
    pub provider: Provider,
    /// Its time and id.
    pub seen: Seen,
    /// What it says about money.
    pub facts: Vec<FactBody>,
    /// What it says about codes.
    pub sightings: Vec<Sighting>,
}

/// What a record still has to touch: the rest of a far-reaching change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fanout {
    /// Tenant.
    pub vendor: VendorId,
    /// Index keys whose stories are targeted again; `None` = all stories of the vendor.
    pub keys: Option<Vec<String>>,
    /// Done up to here, in id order.
    pub after: StoryId,
}

/// What folding a record (or a slice of it) leads to.
#[derive(Debug, Default)]
pub struct Effects {
    /// Lines to book.
    pub lines: Vec<LedgerLine>,
    /// Purchases as they stand now.
    pub rows: Vec<PurchaseRow>,
    /// Questions to ask.
    pub questions: Vec<(Scope, Provider, Question)>,
    /// Earlier records whose outcome became another.
    pub resolved: Vec<(u64, Outcome)>,
    /// Uses of codes that were not counted before, in the order of their lines.
    pub redeemed: Vec<Redeemed>,
    /// The story that the record's facts went to, for *explain*.
    pub story: Option<StoryId>,
    /// The rest, if it reaches further than one slice.
    pub fanout: Option<Fanout>,
    /// Where the next slice of the record goes on counting.
    pub counters: Counters,
}

/// Counts what one record makes, through all its slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Lines.
    pub next_ord: u32,
    /// Stories and purchases.
    pub made: u64,
}

impl Counters {
    fn number(&mut self, place: Place) -> Result<u64, StateError> {
        self.made += 1;
        place.number(self.made - 1)
    }
}

/// Folds one provider event.
pub fn apply_event<S: FoldState>(
    state: &mut S,
    place: Place,
    event: Event,
    counters: Counters,
) -> Result<(Outcome, Effects), StateError> {
    fold_event(state, place, event, counters, None)
}

/// Folds the event of an earlier record again: its lines carry this place, its outcome is the
/// earlier record's, and what is known of it already does not make it a copy.
pub fn apply_again<S: FoldState>(
    state: &mut S,
    place: Place,
    earlier: u64,
    event: Event,
    counters: Counters,
) -> Result<(Outcome, Effects), StateError> {
    fold_event(state, place, event, counters, Some(earlier))
}

fn fold_event<S: FoldState>(
    state: &mut S,
    place: Place,
    event: Event,
    counters: Counters,
    earlier: Option<u64>,
) -> Result<(Outcome, Effects), StateError> {
    let mut effects = Effects { counters, ..Default::default() };
    let decisions = state.decisions(event.scope.vendor)?;
    if decisions.dropped {
        return Ok((Outcome::Ignored("vendor_dropped".to_owned()), effects));
    }
    let touched_keys = join::sightings(state, event.scope, &event.sightings)?;
    let mut news = outcome::News::of(&event);
    if earlier.is_some() {
        news.add(true, true);
    }
    let mut joining =
        join::Joining { place, scope: event.scope, provider: event.provider, touched: BTreeSet::new(), counters };
    for fact in event.facts {
        let counts = fact.counts();
        let (story, new) = joining.fact(state, fact, &event.seen)?;
        news.add(new, counts);
        effects.story = effects.story.or(Some(story));
    }
    effects.counters = joining.counters;
    let mut outcome = news.without_effect(!touched_keys.is_empty());
    for id in joining.touched {
        let target = retarget::retarget(state, place, id, &decisions, &mut effects)?;
        if let Some(target) = target {
            outcome = news.outcome_in(&target).unwrap_or(outcome);
            if matches!(outcome, Outcome::Waiting(_)) {
                note_waiting(state, id, earlier.unwrap_or(place.offset), &news.names)?;
            }
        }
    }
    if !touched_keys.is_empty() {
        fan_out(
            state,
            place,
            Fanout { vendor: event.scope.vendor, keys: Some(touched_keys), after: StoryId(0) },
            &mut effects,
        )?;
    }
    Ok((outcome, effects))
}

fn note_waiting<S: FoldState>(state: &mut S, id: StoryId, offset: u64, names: &[Alias]) -> Result<(), StateError> {
    if let Some(mut story) = state.take_story(id)? {
        let refs = story.refs.clone();
        if story.waiting.iter().all(|record| record.offset != offset) {
            story.waiting.push(WaitingRecord { offset, names: names.to_vec() });
        }
        state.put_story(story, &refs);
    }
    Ok(())
}

/// Targets again the stories of a far-reaching change, one slice at most.
fn fan_out<S: FoldState>(state: &mut S, place: Place, fanout: Fanout, effects: &mut Effects) -> Result<(), StateError> {
    let most = state.slice();
    let decisions = state.decisions(fanout.vendor)?;
    if decisions.dropped {
        effects.fanout = None;
        return Ok(());
    }
    let mut ids: BTreeSet<StoryId> = BTreeSet::new();
    match &fanout.keys {
        None => ids.extend(state.stories_with_ref(fanout.vendor, None, fanout.after, most + 1)?),
        Some(keys) => {
            for key in keys {
                ids.extend(state.stories_with_ref(fanout.vendor, Some(key), fanout.after, most + 1)?);
            }
        }
    }
    let more = ids.len() > most;
    let slice: Vec<StoryId> = ids.into_iter().take(most).collect();
    for id in &slice {
        retarget::retarget(state, place, *id, &decisions, effects)?;
    }
    effects.fanout = match slice.last() {
        Some(last) if more => Some(Fanout { after: *last, ..fanout }),
        _ => None,
    };
    Ok(())
}

/// Folds the next slice of a far-reaching record.
pub fn continue_fanout<S: FoldState>(
    state: &mut S,
    place: Place,
    fanout: Fanout,
    counters: Counters,
) -> Result<Effects, StateError> {
    let mut effects = Effects { counters, ..Default::default() };
    fan_out(state, place, fanout, &mut effects)?;
    Ok(effects)
}

/// Folds what the provider answered to a question.
pub fn apply_answer<S: FoldState>(
    state: &mut S,
    place: Place,
    event: Event,
    answer: Answer,
    counters: Counters,
) -> Result<(Outcome, Effects), StateError> {
    let (scope, request) = (event.scope, answer.request.clone());
    if state.decisions(scope.vendor)?.dropped {
        return Ok((Outcome::Ignored("vendor_dropped".to_owned()), Effects { counters, ..Default::default() }));
    }
    let known = state.answer(scope, &request)?;
    let best = match known.clone() {
        Some(known) => known.better(answer),
        None => answer,
    };
    let changed = known.as_ref() != Some(&best);
    state.put_answer(scope, best);
    let (_, mut effects) = apply_event(state, place, event, counters)?;
    if changed {
        let mut keys = vec![format!("ask:{request}")];
        keys.extend(effects.fanout.take().and_then(|rest| rest.keys).unwrap_or_default());
        fan_out(state, place, Fanout { vendor: scope.vendor, keys: Some(keys), after: StoryId(0) }, &mut effects)?;
    }
    Ok((Outcome::Decision, effects))
}

/// Folds a decision of a vendor. A sequence number that was applied already does nothing; a gap
/// is refused, and so is everything after it, until the missing decision is in the log.
pub fn apply_decision<S: FoldState>(
    state: &mut S,
    place: Place,
    vendor: VendorId,
    seq: u64,
    decision: &Decision,
) -> Result<(Outcome, Effects), StateError> {
    let mut effects = Effects::default();
    let known = state.decisions(vendor)?;
    if seq <= known.last_seq {
        return Ok((Outcome::NoEffect("seen_before".to_owned()), effects));
    }
    if seq != known.last_seq + 1 {
        return Ok((Outcome::Refused(format!("sequence_gap: expected {}, got {seq}", known.last_seq + 1)), effects));
    }
    let was_dropped = known.dropped;
    let mut decisions = (*known).clone();
    let keys = decisions.apply(seq, decision);
    state.put_decisions(vendor, decisions, seq, decision);
    if was_dropped {
        return Ok((Outcome::Ignored("vendor_dropped".to_owned()), effects));
    }
    match decision {
        Decision::Adjust(adjust) => effects.lines.push(manual_line(place, vendor, adjust)),
        Decision::Review(review) => apply_review(state, place, vendor, seq, review, &mut effects)?,
        _ => {}
    }
    effects.counters.next_ord = effects.lines.last().map_or(0, |line| line.ord + 1);
    if keys.as_ref().is_none_or(|keys| !keys.is_empty()) {
        fan_out(state, place, Fanout { vendor, keys, after: StoryId(0) }, &mut effects)?;
    }
    Ok((Outcome::Decision, effects))
}

/// A review of a purchase that is not known yet waits in a story of that name.
fn apply_review<S: FoldState>(
    state: &mut S,
    place: Place,
    vendor: VendorId,
    seq: u64,
    review: &Review,
    effects: &mut Effects,
) -> Result<(), StateError> {
    let decisions = state.decisions(vendor)?;
    let scope = Scope { vendor, connection: review.connection, mode: review.mode };
    let provider =
        decisions.connections.get(&review.connection).map_or(Provider::Stripe, |connection| connection.provider);
    let mut joining = join::Joining { place, scope, provider, touched: BTreeSet::new(), counters: effects.counters };
    let mut story = joining.story_of(state, &[Alias(review.purchase.clone())])?;
    effects.counters = joining.counters;
    let (id, refs) = (story.id, story.refs.clone());
    story.reviews.push(Numbered { seq, decision: review.clone() });
    story.reviews.sort_by_key(|review| review.seq);
    state.put_story(story, &refs);
    retarget::retarget(state, place, id, &decisions, effects)?;
    Ok(())
}

fn manual_line(place: Place, vendor: VendorId, adjust: &Adjust) -> LedgerLine {
    LedgerLine {
        vendor,
        mode: adjust.mode,
        occurred_at: adjust.occurred_at,
        affiliate: adjust.affiliate,
        src_part: place.partition,
        src_off: place.offset,
        ord: 0,
        booked_at: place.at,
        sale_at: adjust.occurred_at,
        connection: ConnectionId(0),
        purchase: PurchaseId(0),
        kind: LineKind::Manual,
        code: CodeId(0),
        currency: adjust.currency,
        amounts: Amounts { commission: adjust.commission, ..Default::default() },
        rule_rev: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: u16, offset: u64) -> Place {
        Place { partition, offset, at: Timestamp(0) }
    }

    #[test]
    fn numbers_are_unique_also_where_a_retry_makes_many() {
        let numbers = |place: Place| (0..NUMBERS_PER_RECORD).map(move |n| place.number(n).unwrap());
        let all: BTreeSet<u64> =
            [place(0, 0), place(1, 0), place(PARTITIONS - 1, 0), place(0, 1)].into_iter().flat_map(numbers).collect();
        assert_eq!(all.len() as u64, 4 * NUMBERS_PER_RECORD);
        assert!(place(0, 0).number(NUMBERS_PER_RECORD).is_err(), "rather stop than give a number twice");
        assert!(place(0, (1 << 35) - 2).number(0).unwrap() < 1 << 53);
    }
}
