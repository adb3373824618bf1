//! The load test's histories, drawn from seeds, against the load test's own account of what
//! everybody is owed: it computes from what happened, with code that the fold does not share.
//!
//! `AFFILITRACK_TEST_ORACLE_SEEDS=1000..1300` folds other seeds than the first thirty.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use domain::fold::Outcome;
use loadtest::oracle::{Figures, Ledger};
use loadtest::plan::Step as Planned;
use loadtest::verify::{Verdict, compare_ledgers};
use std::collections::BTreeMap;
use tests::drawn::Drawn;
use tests::scene::{Scene, Step};
use tests::stripe::Reading;

const DELIVERIES: usize = 400;

fn seeds() -> std::ops::Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "only this test reads it")]
    let asked = std::env::var("AFFILITRACK_TEST_ORACLE_SEEDS").unwrap_or_else(|_| "0..30".to_owned());
    let (from, to) = asked.split_once("..").expect("AFFILITRACK_TEST_ORACLE_SEEDS is written like 0..30");
    from.parse().unwrap()..to.parse().unwrap()
}

/// The deliveries and decisions of a plan in its order: late, twice, out of order.
fn steps_of(drawn: &Drawn) -> (Vec<Step>, u64) {
    let mut steps = Vec::new();
    let mut refused = 0;
    let decide = |steps: &mut Vec<Step>, decision: &domain::decision::Decision| {
        let seq = steps.iter().filter(|step| matches!(step, Step::Decide(..))).count() as u64 + 1;
        steps.push(Step::Decide(seq, decision.clone()));
    };
    drawn.before.iter().for_each(|decision| decide(&mut steps, decision));
    for planned in &drawn.plan.steps {
        match *planned {
            Planned::Decide { decision, .. } => decide(&mut steps, &drawn.during[decision]),
            Planned::Deliver { event, .. } => match &drawn.readings[event] {
                Reading::Step(step) => steps.push(step.clone()),
                Reading::Ignored(_) => {}
                Reading::Refused(why) | Reading::NotAnEvent(why) => {
                    let made_to_be = drawn.vendor().events[event].poison;
                    assert!(made_to_be.is_some(), "{} was refused: {why}", drawn.vendor().events[event].event_type);
                    refused += 1;
                }
            },
        }
    }
    (steps, refused)
}

fn ledger_of(drawn: &Drawn, scene: &Scene) -> Ledger {
    let mut ledger = Ledger::new();
    for line in &scene.lines {
        let handle = drawn.handles.get(&line.affiliate).cloned().unwrap_or_default();
        let figures: &mut Figures = ledger.entry((handle, line.currency.to_string())).or_default();
        figures.redemptions += i128::from(line.amounts.redemptions);
        figures.conversions += i128::from(line.amounts.conversions);
        figures.revenue += i128::from(line.amounts.net);
        figures.commission += i128::from(line.amounts.commission);
    }
    ledger
}

#[test]
fn the_fold_agrees_with_the_oracle_to_the_cent() {
    let mut verdict = Verdict::default();
    let mut outcomes: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut refused_at_the_door = 0;
    let seeds = seeds();
    for seed in seeds.clone() {
        let drawn = Drawn::new(seed, DELIVERIES, 10);
        let (steps, refused) = steps_of(&drawn);
        refused_at_the_door += refused;
        let mut scene = Scene::default();
        for step in &steps {
            scene.fold_unchecked(step);
        }
        scene.check_moment();
        compare_ledgers(&format!("seed {seed}"), &drawn.vendor().expected, &ledger_of(&drawn, &scene), &mut verdict);
        // P4: every story is booked at its target and nothing is left open.
        let books = scene.books();
        assert!(books.unplaced.iter().all(|(_, _, refused)| refused.is_some()), "seed {seed}: {:?}", books.unplaced);
        // P1: every record has one outcome.
        assert_eq!(scene.outcomes.len(), steps.len());
        for outcome in &scene.outcomes {
            assert!(!matches!(outcome, Outcome::Waiting(_)), "seed {seed}: {outcome:?}");
            *outcomes.entry(outcome.name()).or_default() += 1;
        }
    }
    println!("{} figures, outcomes {outcomes:?}, {refused_at_the_door} refused before the fold", verdict.figures);
    assert!(
        verdict.problems.is_empty(),
        "{} differences:\n  {}",
        verdict.problems.len(),
        verdict.problems.join("\n  ")
    );
    assert_eq!(verdict.difference_minor, 0);
    if seeds.end - seeds.start >= 30 {
        assert!(refused_at_the_door > 0 && outcomes["refused"] > 0, "poison was drawn: {outcomes:?}");
    }
}
