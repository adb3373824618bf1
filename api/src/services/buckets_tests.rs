//! Buckets partition their range in every zone, and keys of the warehouse find their bucket.

use super::buckets::{bucket_of_key, buckets, offset_segments};
use super::ranges::LocalRange;
use crate::model::{Bucket, DateRange};
use domain::ids::Timestamp;
use jiff::ToSpan;
use jiff::civil::{Date, date};
use proptest::prelude::*;

const HOUR_MS: i64 = 3_600_000;

/// Whole hours, half hours, three quarters, a change of half an hour, skipped midnights, the
/// date line, both hemispheres.
const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "Pacific/Apia",
    "America/Santiago",
    "Africa/Cairo",
];

fn range(from: Date, to: Date, zone: &str) -> LocalRange {
    LocalRange::new(&DateRange { from, to, time_zone: zone.to_owned() }).unwrap()
}

fn lengths(from: Date, to: Date, zone: &str, bucket: Bucket) -> Vec<i64> {
    let spans = buckets(&range(from, to, zone), bucket).unwrap();
    spans.iter().map(|span| (span.ends_at.0 - span.starts_at.0) / 60_000).collect()
}

#[test]
fn days_of_23_and_25_hours() {
    assert_eq!(lengths(date(2026, 3, 28), date(2026, 3, 30), "Europe/Berlin", Bucket::Day), [1440, 1380, 1440]);
    assert_eq!(lengths(date(2026, 10, 24), date(2026, 10, 26), "Europe/Berlin", Bucket::Day), [1440, 1500, 1440]);
    assert_eq!(lengths(date(2026, 3, 29), date(2026, 3, 29), "Europe/Berlin", Bucket::Hour).len(), 23);
    let spans = buckets(&range(date(2026, 10, 25), date(2026, 10, 25), "Europe/Berlin"), Bucket::Hour).unwrap();
    assert_eq!(spans.len(), 25);
    assert_eq!(
        (spans[2].label.as_str(), spans[3].label.as_str(), spans[4].label.as_str()),
        ("02:00", "02:00 CET", "03:00")
    );
}

#[test]
fn a_zone_of_45_minutes() {
    let kathmandu = range(date(2026, 1, 1), date(2026, 1, 1), "Asia/Kathmandu");
    let spans = buckets(&kathmandu, Bucket::Hour).unwrap();
    assert_eq!(spans.len(), 24);
    assert_eq!(spans[0].starts_at.0.rem_euclid(HOUR_MS), 15 * 60_000);
    assert_eq!(spans[1].label, "01:00");
    // 18:30 UTC of the day before is 00:15 there.
    let quarter = (spans[0].starts_at.0 + 15 * 60_000) / 900_000;
    assert_eq!(bucket_of_key(&spans, Bucket::Hour, quarter), 0);
    assert_eq!(bucket_of_key(&spans, Bucket::Hour, quarter + 3), 1);
}

#[test]
fn weeks_begin_on_monday_and_months_on_the_first() {
    let days = range(date(2026, 11, 4), date(2026, 12, 2), "UTC");
    let starts = |bucket| buckets(&days, bucket).unwrap().iter().map(|span| span.label.clone()).collect::<Vec<_>>();
    assert_eq!(starts(Bucket::Week), ["4 Nov", "9 Nov", "16 Nov", "23 Nov", "30 Nov"]);
    assert_eq!(starts(Bucket::Month), ["Nov 2026", "Dec 2026"]);
}

#[test]
fn a_day_that_a_zone_left_out_has_no_bucket() {
    assert_eq!(lengths(date(2011, 12, 29), date(2011, 12, 31), "Pacific/Apia", Bucket::Day), [1440, 1440]);
}

#[test]
fn more_points_than_a_chart_can_show_are_refused() {
    let years = range(date(2000, 1, 1), date(2020, 1, 1), "UTC");
    assert_eq!(buckets(&years, Bucket::Hour).unwrap_err().field(), "bucket");
    assert_eq!(buckets(&years, Bucket::Day).unwrap_err().field(), "bucket");
    assert_eq!(buckets(&years, Bucket::Month).unwrap().len(), 241);
}

/// The key of a moment as the warehouse computes it.
fn key_of(range: &LocalRange, bucket: Bucket, moment: i64) -> i64 {
    if bucket == Bucket::Hour {
        return moment / 900_000;
    }
    let segments = offset_segments(range);
    let segment = segments.iter().rev().find(|segment| segment.starts_at.0 <= moment).unwrap_or(&segments[0]);
    (moment + segment.offset_ms + 86_400_000) / 86_400_000 - 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn buckets_partition_the_range_and_keys_find_them(
        zone in prop::sample::select(&ZONES[..]),
        start in 0i64..18_000,
        days in 1i64..40,
        bucket in prop::sample::select(&[Bucket::Hour, Bucket::Day, Bucket::Week, Bucket::Month][..]),
        share in 0u32..1_000_000,
    ) {
        let from = date(2000, 1, 1).saturating_add(start.days());
        let range = range(from, from.saturating_add((days - 1).days()), zone);
        prop_assume!(range.moments.from < range.moments.to); // Apia's missing day alone
        let spans = buckets(&range, bucket).unwrap();
        prop_assert_eq!(spans[0].starts_at, range.moments.from);
        prop_assert_eq!(spans[spans.len() - 1].ends_at, range.moments.to);
        for pair in spans.windows(2) {
            prop_assert_eq!(pair[0].ends_at, pair[1].starts_at);
        }
        prop_assert!(spans.iter().all(|span| span.starts_at < span.ends_at));

        let length = range.moments.to.0 - range.moments.from.0;
        let moment = range.moments.from.0 + length / 1_000_000 * i64::from(share);
        let index = bucket_of_key(&spans, bucket, key_of(&range, bucket, moment));
        let span = &spans[index];
        prop_assert!((span.starts_at..span.ends_at).contains(&Timestamp(moment)), "{zone} {moment} {span:?}");
    }
}
