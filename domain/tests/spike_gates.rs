//! How many false alarms the spike detector raises, and how soon it finds what is one: measured by simulation, the same
//! numbers on every run. `cargo test -p domain --test spike_gates -- --nocapture` prints the table.
//!
//! Each statistic has half the budget of one false alarm per code and year, as in the product.
#![allow(clippy::float_arithmetic, reason = "a simulation; no money is computed here")]

#[path = "spike_gates/measure.rs"]
mod measure;
#[path = "spike_gates/random.rs"]
mod random;
#[path = "spike_gates/scenarios.rs"]
mod scenarios;
#[path = "spike_gates/world.rs"]
mod world;

use measure::{Found, Setting, detection, false_alarms, line};

const VARIATION: f64 = 0.3;

fn quiet(per_hour: f64) -> f64 {
    let rate = false_alarms(Setting { per_hour, variation: VARIATION, seed: 11 });
    println!("{per_hour}/h: {rate:.2} false alarms a code and year");
    rate
}

/// Spikes of 3, 5, 10, 20 and 50 times the usual rate.
fn spikes(per_hour: f64) -> [Found; 5] {
    let found = detection(Setting { per_hour, variation: VARIATION, seed: 12 });
    println!("{}", line(&format!("{per_hour}/h"), &found));
    found
}

#[track_caller]
fn at_least(what: &str, measured: f64, gate: f64) {
    assert!(measured >= gate, "{what}: {measured:.3}, at least {gate} wanted");
}

#[track_caller]
fn at_most(what: &str, measured: f64, gate: f64) {
    assert!(measured <= gate, "{what}: {measured:.3}, at most {gate} wanted");
}

fn median(found: &Found) -> f64 {
    found.median().unwrap_or(f64::INFINITY)
}

#[test]
fn false_alarms_at_a_twentieth_an_hour() {
    at_most("false alarms", quiet(0.05), 1.0);
}

#[test]
fn false_alarms_at_one_in_two_hours() {
    at_most("false alarms", quiet(0.5), 1.0);
}

#[test]
fn false_alarms_at_two_an_hour() {
    at_most("false alarms", quiet(2.0), 1.0);
}

#[test]
fn false_alarms_at_twelve_an_hour() {
    at_most("false alarms", quiet(12.0), 1.0);
}

#[test]
fn spikes_at_a_twentieth_an_hour() {
    let [_, _, _, _, fifty] = spikes(0.05);
    at_least("50x in 6 h", fifty.share_within(360.0), 0.8);
}

#[test]
fn spikes_at_one_in_two_hours() {
    let [_, _, _, twenty, _] = spikes(0.5);
    at_least("20x in 60 min", twenty.share_within(60.0), 0.65);
}

#[test]
fn spikes_at_two_an_hour() {
    let [_, five, ten, twenty, fifty] = spikes(2.0);
    at_least("5x in 6 h", five.share_within(360.0), 0.93);
    at_most("median of 5x", median(&five), 120.0);
    at_most("median of 10x", median(&ten), 40.0);
    at_least("20x in 15 min", twenty.share_within(15.0), 0.53);
    at_least("50x in 15 min", fifty.share_within(15.0), 0.9);
}

#[test]
fn spikes_at_twelve_an_hour() {
    let [_, five, ten, _, _] = spikes(12.0);
    at_most("median of 5x", median(&five), 40.0);
    at_least("10x in 15 min", ten.share_within(15.0), 0.65);
}

#[test]
fn what_is_sent_again_after_an_outage_is_no_spike() {
    assert_eq!(scenarios::alarms_after_an_outage(200), 0);
}

#[test]
fn an_announced_campaign_is_no_spike() {
    assert_eq!(scenarios::alarmed_by_a_campaign(100, true), 0);
    let unannounced = scenarios::alarmed_by_a_campaign(100, false);
    assert!(unannounced >= 95, "{unannounced} of 100 alarmed without the announcement");
}

#[test]
fn a_code_that_becomes_popular_alarms_once_and_is_learned() {
    for per_hour in [0.5, 2.0, 12.0] {
        let steps: Vec<_> = (0..100).map(|number| scenarios::step(per_hour, number)).collect();
        let once = steps.iter().filter(|step| step.alarms_in_three_days == 1).count();
        let never = steps.iter().filter(|step| step.alarms_in_three_days == 0).count();
        let learned = steps.iter().filter(|step| (0.75..1.35).contains(&step.learned)).count();
        let after: usize = steps.iter().map(|step| step.alarms_in_two_weeks_after).sum();
        println!("{per_hour}/h, step to 5x: {once} of 100 alarm once, {never} never, {learned} learned, {after} after");
        assert_eq!(never, 0);
        assert!(once >= 97, "{once} of 100 alarm once");
        assert!(learned >= 95, "{learned} of 100 are within a third of the new level");
        // Two weeks of 100 codes are four code-years.
        assert!(after <= 12, "{after} alarms in the two weeks after");
    }
}

/// With one false alarm per code and year anyway, six weeks of 100 codes have twelve, and now and then a code has two.
#[test]
fn slow_growth_alarms_at_most_once() {
    for per_hour in [0.5, 2.0, 12.0] {
        let alarms: Vec<usize> =
            (0..100).map(|number| scenarios::alarms_of_a_slow_doubling(per_hour, number)).collect();
        let (total, twice) = (alarms.iter().sum::<usize>(), alarms.iter().filter(|count| **count > 1).count());
        println!("{per_hour}/h, doubled in four weeks: {total} alarms of 100 codes, {twice} more than one");
        assert!(alarms.iter().all(|count| *count <= 2), "{alarms:?}");
        assert!(twice <= 3, "{twice} of 100 alarm twice");
        assert!(total <= 20, "{total} alarms of 100 codes");
    }
}

#[test]
fn the_week_after_the_clocks_change_is_quiet() {
    let (week, before) = scenarios::alarms_when_clocks_change(1000, 2.0);
    println!("clocks change: {week} alarms of 1,000 codes in the week after, {before} in the four weeks before");
    assert!(week * 4 <= before * 2, "more than twice as many as in an ordinary week");
}

#[test]
fn wrong_clocks_and_records_read_twice_repeat_nothing() {
    let (raises, quiet) = scenarios::raises_with_wrong_clocks(50);
    println!("wrong clocks: {} alerts for 150 spikes, {quiet} outside spikes", raises.len());
    assert!(raises.iter().all(|count| *count == 1), "{raises:?}");
    assert!((140..=160).contains(&raises.len()), "{} alerts for 150 spikes", raises.len());
    assert!(quiet <= 3, "{quiet} alerts outside spikes");
}
