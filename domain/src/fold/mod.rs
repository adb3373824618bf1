//! The fold: one record at a time into new facts, new decisions, and the ledger lines that
//! bring what is booked to its target.

mod diff;
mod memory;
mod retarget;

pub use memory::MemoryState;

use crate::catalogue::{CatalogueEntry, Sighting};
use crate::decision::{Adjust, Decision, Review};
use crate::decisions::{Numbered, VendorDecisions};
use crate::fact::{Alias, Answer, FactBody, Seen};
use crate::ids::*;
use crate::line::{Amounts, LedgerLine, LineKind, PurchaseRow};
use crate::story::{Scope, Story, WaitingRecord};
use crate::target::{Question, StateError, StoryTarget};
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
    fn stories_with_ref(&mut self, vendor: VendorId, key: Option<&str>, after: StoryId, limit: usize) -> Result<Vec<StoryId>, StateError>;
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
    fn number(self, n: u64) -> u64 {
        debug_assert!(n < 256, "a record makes few stories and purchases");
        ((self.offset + 1) << 18) | (u64::from(self.partition) << 8) | n.min(255)
    }
}

/// The one outcome of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "snake_case")]
pub enum Outcome {
    /// Its money is in the ledger.
    Counted,
    /// Understood; nothing to count (again), and why.
    NoEffect(String),
    /// Not for us, and why.
    Ignored(String),
    /// Understood; waits for something named.
    Waiting(String),
    /// Cannot be understood, and why.
    Refused(String),
    /// A person's decision, a look-up's answer or a deadline, applied.
    Decision,
}

impl Outcome {
    /// The word used in the API, in lists and as a metric label.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Counted => "counted",
            Outcome::NoEffect(_) => "no_effect",
            Outcome::Ignored(_) => "ignored",
            Outcome::Waiting(_) => "waiting",
            Outcome::Refused(_) => "refused",
            Outcome::Decision => "decisions",
        }
    }

    /// Why, if that needs saying.
    pub fn reason(&self) -> &str {
        match self {
            Outcome::Counted | Outcome::Decision => "",
            Outcome::NoEffect(reason) | Outcome::Ignored(reason) | Outcome::Waiting(reason) | Outcome::Refused(reason) => reason,
        }
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
    fn number(&mut self, place: Place) -> u64 {
        self.made += 1;
        place.number(self.made - 1)
    }
}

/// Folds one provider event.
pub fn apply_event<S: FoldState>(state: &mut S, place: Place, event: Event, counters: Counters) -> Result<(Outcome, Effects), StateError> {
    let mut effects = Effects { counters, ..Default::default() };
    let decisions = state.decisions(event.scope.vendor)?;
    if decisions.dropped {
        return Ok((Outcome::Ignored("vendor_dropped".to_owned()), effects));
    }
    let touched_keys = join_sightings(state, event.scope, &event.sightings)?;
    let own_names: Vec<Alias> = event.facts.iter().filter(|fact| fact.counts()).flat_map(FactBody::aliases).collect();
    let mut fresh = false;
    let mut fresh_counting = false;
    let mut touched = BTreeSet::new();
    for fact in event.facts {
        let counts = fact.counts();
        let (story, new) = join_fact(state, place, event.scope, event.provider, fact, &event.seen, &mut touched, &mut effects.counters)?;
        fresh |= new;
        fresh_counting |= new && counts;
        effects.story = effects.story.or(Some(story));
    }
    let mut outcome = match (own_names.is_empty(), fresh || !touched_keys.is_empty()) {
        (_, false) => Outcome::NoEffect("seen_before".to_owned()),
        (true, true) => Outcome::NoEffect("nothing_to_count".to_owned()),
        (false, true) => Outcome::NoEffect("nothing_was_paid".to_owned()),
    };
    for id in touched {
        let target = retarget::retarget(state, place, id, &decisions, &mut effects)?;
        if let Some(target) = target {
            outcome = outcome_in(&target, &own_names, fresh_counting).unwrap_or(outcome);
            if matches!(outcome, Outcome::Waiting(_)) {
                note_waiting(state, id, place.offset, &own_names)?;
            }
        }
    }
    if !touched_keys.is_empty() {
        fan_out(state, place, Fanout { vendor: event.scope.vendor, keys: Some(touched_keys), after: StoryId(0) }, &mut effects)?;
    }
    Ok((outcome, effects))
}

fn outcome_in(target: &StoryTarget, own_names: &[Alias], fresh: bool) -> Option<Outcome> {
    if own_names.is_empty() || !fresh {
        return None;
    }
    let mine = |names: &BTreeSet<Alias>| own_names.iter().any(|alias| names.contains(alias));
    for unplaced in target.unplaced.iter().filter(|unplaced| mine(&unplaced.names)) {
        return Some(match &unplaced.refused {
            Some(reason) => Outcome::Refused(reason.clone()),
            None => Outcome::Waiting(waiting_reason(&unplaced.names)),
        });
    }
    target.purchases.iter().any(|purchase| mine(&purchase.aliases)).then_some(Outcome::Counted)
}

fn waiting_reason(names: &BTreeSet<Alias>) -> String {
    let best = names.iter().min_by_key(|alias| (alias.purchase_rank(), alias.0.as_str()));
    format!("waits for the sale of {}", best.map_or("an unknown purchase", |alias| alias.0.as_str()))
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

/// Joins sightings into the catalogue. Returns the keys that changed.
fn join_sightings<S: FoldState>(state: &mut S, scope: Scope, sightings: &[Sighting]) -> Result<Vec<String>, StateError> {
    let mut changed = Vec::new();
    let mirrored: Vec<Sighting> = sightings.iter().filter_map(Sighting::mirrored).collect();
    for sighting in sightings.iter().chain(&mirrored) {
        let mut entry = state.catalogue_entry(scope, &sighting.key)?.unwrap_or_default();
        if entry.join(&sighting.entry) {
            state.put_catalogue_entry(scope, &sighting.key, entry);
            changed.push(sighting.key.clone());
        }
    }
    Ok(changed)
}

/// Joins a fact to the story of its names, merging stories that it shows to be one.
fn join_fact<S: FoldState>(
    state: &mut S,
    place: Place,
    scope: Scope,
    provider: Provider,
    fact: FactBody,
    seen: &Seen,
    touched: &mut BTreeSet<StoryId>,
    counters: &mut Counters,
) -> Result<(StoryId, bool), StateError> {
    let aliases = fact.aliases();
    let mut story = story_of_names(state, place, scope, provider, &aliases, touched, counters)?;
    let refs = story.refs.clone();
    let new = story.facts.insert(fact, seen.clone());
    if new {
        story.remember_record(place.offset);
    }
    let id = story.id;
    touched.insert(id);
    state.put_story(story, &refs);
    Ok((id, new))
}

/// The one story of these names, taken out: merged when they led to several, new when to none.
fn story_of_names<S: FoldState>(
    state: &mut S,
    place: Place,
    scope: Scope,
    provider: Provider,
    aliases: &[Alias],
    touched: &mut BTreeSet<StoryId>,
    counters: &mut Counters,
) -> Result<Story, StateError> {
    let mut found: BTreeSet<StoryId> = BTreeSet::new();
    let mut unknown = Vec::new();
    for alias in aliases {
        match state.story_of(scope, alias)? {
            Some(id) => {
                found.insert(id);
            }
            None => unknown.push(alias),
        }
    }
    let mut ids = found.into_iter();
    let mut story = match ids.next() {
        Some(id) => state.take_story(id)?.ok_or_else(|| StateError(format!("story {id} is named but not stored")))?,
        None => Story::new(StoryId(counters.number(place)), scope, provider),
    };
    let refs = story.refs.clone();
    let mut merged = false;
    for id in ids {
        let gone = state.take_story(id)?.ok_or_else(|| StateError(format!("story {id} is named but not stored")))?;
        state.merge_story(&gone, story.id)?;
        touched.remove(&id);
        story.absorb(gone);
        merged = true;
    }
    for alias in unknown {
        state.set_alias(scope, alias, story.id);
    }
    if merged {
        let id = story.id;
        touched.insert(id);
        state.put_story(story, &refs);
        return state.take_story(id)?.ok_or_else(|| StateError(format!("story {id} was put back but is gone")));
    }
    Ok(story)
}

/// Targets again the stories of a far-reaching change, one slice at most.
fn fan_out<S: FoldState>(state: &mut S, place: Place, fanout: Fanout, effects: &mut Effects) -> Result<(), StateError> {
    let decisions = state.decisions(fanout.vendor)?;
    let mut ids: BTreeSet<StoryId> = BTreeSet::new();
    match &fanout.keys {
        None => ids.extend(state.stories_with_ref(fanout.vendor, None, fanout.after, SLICE + 1)?),
        Some(keys) => {
            for key in keys {
                ids.extend(state.stories_with_ref(fanout.vendor, Some(key), fanout.after, SLICE + 1)?);
            }
        }
    }
    let more = ids.len() > SLICE;
    let slice: Vec<StoryId> = ids.into_iter().take(SLICE).collect();
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
pub fn continue_fanout<S: FoldState>(state: &mut S, place: Place, fanout: Fanout, counters: Counters) -> Result<Effects, StateError> {
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
    let mut decisions = (*known).clone();
    let keys = decisions.apply(seq, decision);
    state.put_decisions(vendor, decisions, seq, decision);
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
    let provider = decisions.connections.get(&review.connection).map_or(Provider::Stripe, |connection| connection.provider);
    let mut touched = BTreeSet::new();
    let names = [Alias(review.purchase.clone())];
    let mut story = story_of_names(state, place, scope, provider, &names, &mut touched, &mut effects.counters)?;
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
