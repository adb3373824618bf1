//! Tidiness is a test: arrows between crates, sizes, banned calls, dead files, traces of where the code was written.
//!
//! Each test collects everything it finds and says for each finding where it is and what to do.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/bans.rs"]
mod bans;
#[path = "tidy/metrics.rs"]
mod metrics;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/repository.rs"]
mod repository;
#[path = "tidy/rust_text.rs"]
mod rust_text;
#[path = "tidy/sizes.rs"]
mod sizes;
#[path = "tidy/words.rs"]
mod words;

use repository::Repository;
use std::sync::LazyLock;

static REPOSITORY: LazyLock<Repository> = LazyLock::new(Repository::read);

#[track_caller]
fn assert_tidy(findings: Vec<String>) {
    assert!(findings.is_empty(), "{} findings:\n  {}\n", findings.len(), findings.join("\n  "));
}

#[test]
fn crates_use_only_what_the_architecture_allows() {
    assert_tidy(arrows::between_crates(&REPOSITORY));
}

#[test]
fn drivers_are_named_only_where_they_belong() {
    assert_tidy(arrows::to_drivers(&REPOSITORY));
}

#[test]
fn files_are_short() {
    assert_tidy(sizes::long_files(&REPOSITORY));
}

#[test]
fn functions_are_short() {
    assert_tidy(sizes::long_functions(&REPOSITORY));
}

#[test]
fn time_and_randomness_come_in_as_arguments() {
    assert_tidy(bans::time_and_randomness(&REPOSITORY));
}

#[test]
fn nothing_prints_but_the_command_line() {
    assert_tidy(bans::printing(&REPOSITORY));
}

#[test]
fn sql_is_in_its_place() {
    assert_tidy(bans::sql(&REPOSITORY));
}

#[test]
fn nothing_unwraps() {
    assert_tidy(bans::unwraps(&REPOSITORY));
}

#[test]
fn every_exception_from_a_lint_has_a_reason() {
    assert_tidy(bans::exceptions_without_reason(&REPOSITORY));
}

#[test]
fn every_ban_of_the_linter_has_a_reason_and_a_replacement() {
    assert_tidy(bans::bans_without_reason(&REPOSITORY));
}

#[test]
fn no_test_is_ignored_without_a_reason() {
    assert_tidy(bans::ignored_tests(&REPOSITORY));
}

#[test]
fn every_source_file_is_used() {
    assert_tidy(modules::unused(&REPOSITORY));
}

#[test]
fn every_metric_is_emitted() {
    assert_tidy(metrics::never_emitted(&REPOSITORY));
}

#[test]
fn no_file_points_outside_the_repository() {
    assert_tidy(words::outside(&REPOSITORY));
}

#[test]
fn lock_files_name_no_host() {
    assert_tidy(words::hosts_in_lock_files(&REPOSITORY));
}

#[test]
fn no_line_ends_in_white_space() {
    assert_tidy(words::trailing_white_space(&REPOSITORY));
}

#[test]
fn decision_records_are_numbered() {
    assert_tidy(words::decision_records(&REPOSITORY));
}
