//! A ledger folded in memory. After every record it checks what must hold at any moment.

use crate::books::Books;
use domain::decision::Decision;
use domain::fact::Answer;
use domain::fold::{
    Counters, Effects, Event, MemoryState, Outcome, Place, apply_answer, apply_decision, apply_event, continue_fanout,
};
use domain::ids::{PurchaseId, Timestamp, VendorId};
use domain::line::{Amounts, LedgerLine, LineKind, PurchaseOutcome, PurchaseRow};
use domain::story::{BookKey, Component, Story};
use std::collections::{BTreeMap, BTreeSet};

/// The vendor of every scene.
pub const VENDOR: VendorId = VendorId(1);
const PARTITION: u16 = 3;

/// One record, decoded.
#[derive(Debug, Clone)]
pub enum Step {
    /// A delivery.
    Event(Event),
    /// What the provider answered.
    Answer(Event, Answer),
    /// What a person decided, with the vendor's own count.
    Decide(u64, Decision),
}

/// A ledger and what it did so far.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// The fold's state.
    pub state: MemoryState,
    /// Every line, in order.
    pub lines: Vec<LedgerLine>,
    /// Every purchase row, in order.
    pub rows: Vec<PurchaseRow>,
    /// Questions raised so far.
    pub asked: BTreeSet<String>,
    /// The outcome of every record, by offset, as it is now.
    pub outcomes: Vec<Outcome>,
    merged: BTreeMap<PurchaseId, PurchaseId>,
}

impl Scene {
    /// Folds records in order.
    pub fn of<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Scene {
        let mut scene = Scene::default();
        steps.into_iter().for_each(|step| {
            scene.fold(step);
        });
        scene
    }

    /// Folds one record with all its slices and checks what must hold. Returns the lines it booked.
    pub fn fold(&mut self, step: &Step) -> &[LedgerLine] {
        let before = self.fold_unchecked(step);
        self.check_moment();
        &self.lines[before..]
    }

    /// The same for long histories: checks the record only, not the whole ledger after it.
    /// Returns how many lines there were before.
    pub fn fold_unchecked(&mut self, step: &Step) -> usize {
        let before = self.lines.len();
        let offset = self.outcomes.len() as u64;
        let place = Place { partition: PARTITION, offset, at: Timestamp(1_790_000_000_000 + offset as i64) };
        let state = &mut self.state;
        let (outcome, mut effects) = match step.clone() {
            Step::Event(event) => apply_event(state, place, event, Counters::default()),
            Step::Answer(event, answer) => apply_answer(state, place, event, answer, Counters::default()),
            Step::Decide(seq, decision) => apply_decision(state, place, VENDOR, seq, &decision),
        }
        .unwrap();
        self.outcomes.push(outcome);
        loop {
            let counters = effects.counters;
            match self.take(effects) {
                Some(rest) => effects = continue_fanout(&mut self.state, place, rest, counters).unwrap(),
                None => break,
            }
        }
        self.check_record(before, offset);
        if matches!(step, Step::Decide(_, decision) if !matches!(decision, Decision::Adjust(_))) {
            self.check_conserved(before);
        }
        before
    }

    fn take(&mut self, effects: Effects) -> Option<domain::fold::Fanout> {
        for row in effects.rows.iter().filter(|row| row.outcome == PurchaseOutcome::Merged) {
            let into = row.reason.strip_prefix("merged into ").and_then(|number| number.parse().ok());
            self.merged.insert(row.purchase, PurchaseId(into.unwrap()));
        }
        self.lines.extend(effects.lines);
        self.rows.extend(effects.rows);
        self.asked.extend(effects.questions.into_iter().map(|(_, _, question)| question.request));
        for (offset, outcome) in effects.resolved {
            self.outcomes[offset as usize] = outcome;
        }
        effects.fanout
    }

    /// The identity of lines: `ord` counts on from 0 through all slices of a record.
    fn check_record(&self, before: usize, offset: u64) {
        for (expected, line) in (0..).zip(&self.lines[before..]) {
            assert_eq!((line.src_off, line.ord), (offset, expected), "identity of {line:?}");
            assert!(!line.amounts.is_zero(), "a line that books nothing: {line:?}");
        }
    }

    /// A decision moves money between affiliates; it makes none and loses none.
    fn check_conserved(&self, before: usize) {
        let mut sums: BTreeMap<PurchaseId, (i64, i64)> = BTreeMap::new();
        for line in &self.lines[before..] {
            let sum = sums.entry(self.root(line.purchase)).or_default();
            *sum = (sum.0 + line.amounts.gross, sum.1 + line.amounts.net);
        }
        assert!(sums.values().all(|sum| *sum == (0, 0)), "a decision changed gross or net: {sums:?}");
    }

    /// The purchase that a purchase has become part of.
    fn root(&self, mut purchase: PurchaseId) -> PurchaseId {
        while let Some(into) = self.merged.get(&purchase) {
            purchase = *into;
        }
        purchase
    }

    /// What must hold at any moment: lines add up to what is booked, nothing is below zero,
    /// nothing is above what was paid.
    pub fn check_moment(&self) {
        let mut booked: BTreeMap<BookKey, Amounts> = BTreeMap::new();
        for story in self.state.stories() {
            check_bounds(story);
            for (key, amounts) in &story.booked.0 {
                // Lines do not name the component.
                let sum = booked.entry(BookKey { component: Component::Void, ..key.clone() }).or_default();
                *sum = sum.plus(*amounts);
            }
        }
        booked.retain(|_, amounts| !amounts.is_zero());
        let mut shown: BTreeMap<BookKey, Amounts> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.kind != LineKind::Manual) {
            let key = BookKey {
                purchase: self.root(line.purchase),
                component: Component::Void,
                affiliate: line.affiliate,
                code: line.code,
                currency: line.currency,
                occurred_at: line.occurred_at,
                sale_at: line.sale_at,
            };
            let sum = shown.entry(key).or_default();
            *sum = sum.plus(line.amounts);
        }
        shown.retain(|_, amounts| !amounts.is_zero());
        assert_eq!(shown, booked, "the lines do not add up to what is booked");
    }

    /// The ledger in comparable form.
    pub fn books(&mut self) -> Books {
        let stories: Vec<Story> = self.state.stories().cloned().collect();
        Books::read(&mut self.state, VENDOR, &stories)
    }

    /// Sums of manual lines, by affiliate and currency.
    pub fn manual(&self) -> BTreeMap<(u64, String), i64> {
        let mut sums = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.kind == LineKind::Manual) {
            *sums.entry((line.affiliate.0, line.currency.to_string())).or_default() += line.amounts.commission;
        }
        sums
    }
}

/// Per purchase: what was taken back is never more than what was sold, and no affiliate but the
/// present one keeps anything.
fn check_bounds(story: &Story) {
    for slot in &story.slots {
        let told = slot.told.as_ref().unwrap();
        let mine = || story.booked.0.iter().filter(|(key, _)| key.purchase == slot.purchase);
        let sum = mine().fold(Amounts::default(), |sum, (_, amounts)| sum.plus(*amounts));
        let sold = mine()
            .filter(|(key, _)| key.component == Component::Sale)
            .fold(Amounts::default(), |sum, (_, one)| sum.plus(*one));
        let within = |value: i64, whole: i64| (whole.min(0)..=whole.max(0)).contains(&value);
        assert!(within(sum.net, told.net), "net {} of {} of {:?}", sum.net, told.net, slot.aliases);
        assert!(within(sum.gross, told.gross), "gross {} of {} of {:?}", sum.gross, told.gross, slot.aliases);
        assert!(
            within(sum.commission, sold.commission),
            "commission {} of {} of {:?}",
            sum.commission,
            sold.commission,
            slot.aliases
        );
        assert_eq!((sold.gross, sold.net), (told.gross, told.net), "the sale itself of {:?}", slot.aliases);
        assert_eq!(
            (told.net - told.reversed, told.commission),
            (sum.net, sum.commission),
            "told of {:?}",
            slot.aliases
        );
        for (key, amounts) in mine() {
            assert_eq!(key.affiliate, told.affiliate, "another affiliate keeps {amounts:?} of {:?}", slot.aliases);
            if key.component != Component::Sale && told.gross >= 0 {
                let counts = (amounts.redemptions, amounts.conversions);
                assert!(
                    amounts.gross <= 0 && amounts.net <= 0 && amounts.commission <= 0,
                    "{:?} gives: {amounts:?}",
                    key.component
                );
                assert_eq!(counts, (0, 0), "{:?} counts", key.component);
            }
        }
    }
}
