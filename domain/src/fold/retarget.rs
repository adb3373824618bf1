//! Brings one story's ledger to its target.

use super::{Effects, FoldState, Outcome, Place, diff, redeemed};
use crate::catalogue::CatalogueEntry;
use crate::decisions::VendorDecisions;
use crate::fact::Answer;
use crate::ids::*;
use crate::line::{Amounts, LedgerLine, PurchaseOutcome, PurchaseRow};
use crate::story::{BookKey, Scope, Slot, Story};
use crate::target::{CatalogueReader, Context, PurchaseTarget, StateError, StoryTarget, target};
use std::collections::BTreeMap;

struct ScopedCatalogue<'a, S> {
    state: &'a S,
    scope: Scope,
}

impl<S: FoldState> CatalogueReader for ScopedCatalogue<'_, S> {
    fn entry(&self, key: &str) -> Result<Option<CatalogueEntry>, StateError> {
        self.state.catalogue_entry(self.scope, key)
    }

    fn answer(&self, request: &str) -> Result<Option<Answer>, StateError> {
        self.state.answer(self.scope, request)
    }
}

/// Computes the target, books the difference, and notes what changed. `None` when the story
/// has been merged away.
pub(super) fn retarget<S: FoldState>(
    state: &mut S,
    place: Place,
    id: StoryId,
    decisions: &VendorDecisions,
    effects: &mut Effects,
) -> Result<Option<StoryTarget>, StateError> {
    let Some(mut story) = state.take_story(id)? else { return Ok(None) };
    let old_refs = story.refs.clone();
    let scope = story.scope;
    let reached = {
        let catalogue = ScopedCatalogue { state: &*state, scope };
        target(&story, &Context { decisions, catalogue: &catalogue })?
    };
    let numbers = assign_slots(&mut story, place, &reached, effects)?;
    book(&mut story, place, &reached, &numbers, effects);
    tell(&mut story, place, &reached, &numbers, effects);
    settle_waiting(&mut story, &reached, effects);
    story.refs = reached.refs.clone();
    effects.questions.extend(reached.questions.iter().map(|question| (scope, story.provider, question.clone())));
    state.put_story(story, &old_refs);
    Ok(Some(reached))
}

/// Gives every purchase its number: the smallest of the slots whose names it has, else a new one.
fn assign_slots(
    story: &mut Story,
    place: Place,
    reached: &StoryTarget,
    effects: &mut Effects,
) -> Result<Vec<PurchaseId>, StateError> {
    let mut numbers = Vec::new();
    for purchase in &reached.purchases {
        let (mine, others): (Vec<Slot>, Vec<Slot>) = std::mem::take(&mut story.slots)
            .into_iter()
            .partition(|slot| slot.aliases.iter().any(|alias| purchase.aliases.contains(alias)));
        story.slots = others;
        let kept = mine.iter().map(|slot| slot.purchase).min();
        let number = match kept {
            Some(number) => number,
            None => PurchaseId(effects.counters.number(place)?),
        };
        let told = mine.iter().find(|slot| slot.purchase == number).and_then(|slot| slot.told.clone());
        for gone in mine.iter().filter(|slot| slot.purchase != number) {
            // What is booked under the number that goes is booked out again by `book`: the lines of
            // every number add up to what its purchase comes to.
            if let Some(row) = &gone.told {
                let reason = format!("merged into {number}");
                effects.rows.push(PurchaseRow {
                    outcome: PurchaseOutcome::Merged,
                    reason,
                    src_off: place.offset,
                    src_part: place.partition,
                    ..row.clone()
                });
            }
        }
        story.slots.push(Slot { purchase: number, aliases: purchase.aliases.clone(), told });
        numbers.push(number);
    }
    story.slots.sort_by_key(|slot| slot.purchase);
    Ok(numbers)
}

fn book(story: &mut Story, place: Place, reached: &StoryTarget, numbers: &[PurchaseId], effects: &mut Effects) {
    let mut wanted: BTreeMap<BookKey, Amounts> = BTreeMap::new();
    let mut revisions: BTreeMap<PurchaseId, u32> = BTreeMap::new();
    for (purchase, number) in reached.purchases.iter().zip(numbers) {
        revisions.insert(*number, purchase.rule.rev);
        for part in purchase.components.iter().filter(|part| !part.amounts.is_zero()) {
            wanted.insert(book_key(purchase, *number, part.component.clone(), part.occurred_at), part.amounts);
        }
    }
    let drafts = diff::drafts(&story.booked, &wanted);
    if drafts.iter().any(|draft| draft.amounts.redemptions > 0) {
        let purchases: Vec<_> = reached.purchases.iter().zip(numbers.iter().copied()).collect();
        effects.redeemed.extend(redeemed::redeemed(story.scope, &drafts, effects.counters.next_ord, &purchases));
    }
    for draft in drafts {
        effects.lines.push(LedgerLine {
            vendor: story.scope.vendor,
            mode: story.scope.mode,
            occurred_at: draft.key.occurred_at,
            affiliate: draft.key.affiliate,
            src_part: place.partition,
            src_off: place.offset,
            ord: effects.counters.next_ord,
            booked_at: place.at,
            sale_at: draft.key.sale_at,
            connection: story.scope.connection,
            purchase: draft.key.purchase,
            kind: draft.kind,
            code: draft.key.code,
            currency: draft.key.currency,
            amounts: draft.amounts,
            rule_rev: revisions.get(&draft.key.purchase).copied().unwrap_or_default(),
        });
        effects.counters.next_ord += 1;
        story.booked.add(draft.key, draft.amounts);
    }
}

fn book_key(
    purchase: &PurchaseTarget,
    number: PurchaseId,
    component: crate::story::Component,
    occurred_at: Timestamp,
) -> BookKey {
    BookKey {
        purchase: number,
        component,
        affiliate: purchase.affiliate(),
        code: purchase.attribution.rule_code,
        currency: purchase.sale.currency,
        occurred_at,
        sale_at: purchase.sale.occurred_at,
    }
}

/// Tells the warehouse how a purchase stands, when that changed.
fn tell(story: &mut Story, place: Place, reached: &StoryTarget, numbers: &[PurchaseId], effects: &mut Effects) {
    for (purchase, number) in reached.purchases.iter().zip(numbers) {
        let row = PurchaseRow {
            vendor: story.scope.vendor,
            mode: story.scope.mode,
            sale_at: purchase.sale.occurred_at,
            purchase: *number,
            outcome: purchase.outcome,
            reason: purchase.reason.clone(),
            affiliate: purchase.affiliate(),
            code: purchase.attribution.rule_code,
            currency: purchase.sale.currency,
            gross: purchase.sale.gross,
            net: purchase.sale.net,
            reversed: purchase.reversed,
            commission: purchase.commission,
            flags: purchase.flags.iter().map(|flag| (*flag).to_owned()).collect(),
            src_part: place.partition,
            src_off: place.offset,
        };
        let Some(slot) = story.slots.iter_mut().find(|slot| slot.purchase == *number) else { continue };
        let unchanged =
            slot.told.as_ref().is_some_and(|told| PurchaseRow { src_off: row.src_off, ..told.clone() } == row);
        if !unchanged {
            slot.told = Some(row.clone());
            effects.rows.push(row);
        }
    }
}

/// Records that waited and whose names are placed now have another outcome.
fn settle_waiting(story: &mut Story, reached: &StoryTarget, effects: &mut Effects) {
    let mut still = Vec::new();
    for record in std::mem::take(&mut story.waiting) {
        let unplaced =
            reached.unplaced.iter().find(|unplaced| record.names.iter().any(|alias| unplaced.names.contains(alias)));
        match unplaced {
            None => effects.resolved.push((record.offset, Outcome::Counted)),
            Some(unplaced) => match &unplaced.refused {
                Some(reason) => effects.resolved.push((record.offset, Outcome::Refused(reason.clone()))),
                None => still.push(record),
            },
        }
    }
    story.waiting = still;
}
