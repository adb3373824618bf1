//! Seeds in which nothing may be wrong. `scripts/simulate.sh --seeds 10000` runs more.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use simulation::dice::Fault;
use simulation::run::{regressions, simulate};

fn all_sound(seeds: impl IntoIterator<Item = u64>) -> Vec<String> {
    let mut traces = Vec::new();
    for seed in seeds {
        let report = simulate(seed, None).unwrap();
        assert!(report.is_sound(), "{report}");
        assert!(report.acknowledged > 0 && report.looks > 0, "nothing happened: {report}");
        traces.extend(report.trace);
    }
    traces
}

/// A slice of a far-reaching record is committed, and the position stays where it is.
fn is_slice(step: &str) -> bool {
    let range = step.split_once("commits ").and_then(|(_, rest)| rest.strip_suffix(": MoreWaits"));
    range.and_then(|range| range.split_once("..")).is_some_and(|(from, to)| from == to)
}

#[test]
fn seeds_that_failed_once_are_sound() {
    all_sound(regressions());
}

#[test]
fn the_first_hundred_seeds_are_sound_and_show_every_fault() {
    let steps = all_sound(0..100);
    for fault in Fault::ALL {
        let words = format!("  fault: {fault:?}");
        assert!(steps.contains(&words), "{fault:?} never happened");
    }
    let happens = |words: &str| steps.iter().any(|step| step.contains(words));
    for words in [
        "ends and starts again",
        "a late batch arrives",
        "everybody is down: true",
        "everybody is down: false",
        "forgets its tokens",
        "records of passed deadlines",
        ": Nothing",
        "relays: failed",
    ] {
        assert!(happens(words), "it never says {words:?}");
    }
    assert!(steps.iter().any(|step| is_slice(step)), "no record reached further than one slice");
}

#[test]
fn the_second_hundred_seeds_are_sound() {
    all_sound(100..200);
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    for seed in [3, 14, 25] {
        let (one, again) = (simulate(seed, None).unwrap(), simulate(seed, None).unwrap());
        for (number, (step, same)) in one.trace.iter().zip(&again.trace).enumerate() {
            assert_eq!(step, same, "seed {seed}, step {number}");
        }
        assert_eq!(one, again);
    }
}

#[test]
fn another_seed_gives_another_run() {
    assert_ne!(simulate(1, None).unwrap().trace, simulate(2, None).unwrap().trace);
}
