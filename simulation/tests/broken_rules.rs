//! A rule that is broken on purpose is noticed within a bounded number of seeds: the simulation can fail.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use simulation::broken::Broken;
use simulation::run::{Report, simulate};

/// Within so many seeds each broken rule has to be noticed.
const SEEDS: u64 = 40;

fn noticed(broken: Broken) -> Report {
    let reports = (0..SEEDS).map(|seed| simulate(seed, Some(broken)).unwrap());
    let found = reports.into_iter().find(|report| !report.is_sound());
    let report = found.unwrap_or_else(|| panic!("{broken:?} was not noticed in {SEEDS} seeds"));
    println!("{broken:?}: {report}");
    let again = simulate(report.seed, Some(broken)).unwrap();
    assert_eq!(report, again, "the seed that found it finds it again");
    report
}

/// Whether what was found is said with words of this kind.
fn says(report: &Report, words: &str) -> bool {
    report.problems.iter().any(|problem| problem.contains(words))
}

#[test]
fn a_commit_that_does_not_compare_the_position_is_noticed() {
    noticed(Broken::PositionNotCompared);
}

#[test]
fn a_position_that_moves_before_its_lines_is_noticed() {
    let report = noticed(Broken::PositionBeforeLines);
    assert!(says(&report, "the truth is") && says(&report, "cents"), "{report}");
}

#[test]
fn other_rows_under_a_used_token_are_noticed() {
    let report = noticed(Broken::TokenForOtherRows);
    assert!(says(&report, "the truth is"), "{report}");
}

#[test]
fn a_position_that_is_announced_before_the_insert_is_noticed() {
    let report = noticed(Broken::VisibleBeforeInsert);
    assert!(says(&report, "the truth is"), "{report}");
}

#[test]
fn a_record_that_is_acknowledged_before_it_is_stored_is_noticed() {
    let report = noticed(Broken::AcknowledgedBeforeStored);
    assert!(says(&report, "was acknowledged and is not there"), "{report}");
}

#[test]
fn a_read_that_jumps_over_a_record_is_noticed() {
    noticed(Broken::ReadJumpsOver);
}
