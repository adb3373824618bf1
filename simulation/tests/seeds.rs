//! Seeds in which nothing may be wrong. `scripts/simulate.sh --seeds 10000` runs more.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use simulation::run::{regressions, simulate};

fn all_sound(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        let report = simulate(seed, None).unwrap();
        assert!(report.is_sound(), "{report}");
        assert!(report.acknowledged > 0 && report.looks > 0, "nothing happened: {report}");
    }
}

#[test]
fn seeds_that_failed_once_are_sound() {
    all_sound(regressions());
}

#[test]
fn the_first_hundred_seeds_are_sound() {
    all_sound(0..100);
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
