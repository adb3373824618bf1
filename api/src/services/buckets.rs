//! Cutting a range into the buckets of a chart. Pure: the zone's rules decide, no clock.
//!
//! Grouping in the warehouse is by local day or by quarter of an hour; which bucket such a
//! group falls into, and which buckets are empty, is decided here, with one time zone database.

use crate::model::Bucket;
use crate::services::ranges::{LocalRange, RangeError, day_number, day_of_number, start_of_day};
use domain::ids::Timestamp;
use jiff::civil::{Date, Weekday};
use store::warehouse::queries::{Grouping, OffsetSegment, QUARTER_HOUR_MS};

const HOUR_MS: i64 = 3_600_000;

/// The most buckets of a chart.
pub const MAX_BUCKETS: usize = 1_100;

/// One bucket: from `starts_at` on, up to but without `ends_at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSpan {
    /// First moment.
    pub starts_at: Timestamp,
    /// First moment after it.
    pub ends_at: Timestamp,
    /// Local day of the first moment.
    pub first_day: Date,
    /// Words for the axis.
    pub label: String,
}

/// The word for a bucket in errors.
fn bucket_word(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::Hour => "hour",
        Bucket::Day => "day",
        Bucket::Week => "week",
        Bucket::Month => "month",
    }
}

/// The buckets of a range, in order, without gaps. The first and the last are cut at the
/// range's ends.
pub fn buckets(range: &LocalRange, bucket: Bucket) -> Result<Vec<BucketSpan>, RangeError> {
    let too_many = RangeError::TooManyBuckets { limit: MAX_BUCKETS, bucket: bucket_word(bucket) };
    let days_per_bucket = match bucket {
        Bucket::Hour | Bucket::Day => 1,
        Bucket::Week => 7,
        Bucket::Month => 28,
    };
    if range.day_count() / days_per_bucket > MAX_BUCKETS as i64 {
        return Err(too_many);
    }
    let starts = match bucket {
        Bucket::Hour => hour_starts(range),
        Bucket::Day | Bucket::Week | Bucket::Month => day_starts(range, bucket)?,
    };
    if starts.len() > MAX_BUCKETS {
        return Err(too_many);
    }
    Ok(label_spans(range, bucket, &starts))
}

/// Starts of the days, Mondays or firsts of the month, and of the range itself.
fn day_starts(range: &LocalRange, bucket: Bucket) -> Result<Vec<Timestamp>, RangeError> {
    let mut starts: Vec<Timestamp> = Vec::new();
    let mut day = range.days.from;
    while day <= range.days.to {
        let start = start_of_day(day, &range.zone)?;
        // A zone that moved over the date line has a day without a moment.
        if start < range.moments.to && starts.last() < Some(&start) {
            starts.push(start);
        }
        day = next_start(day, bucket);
    }
    Ok(starts)
}

fn next_start(day: Date, bucket: Bucket) -> Date {
    let next = match bucket {
        Bucket::Hour | Bucket::Day => day.tomorrow(),
        Bucket::Week => day.nth_weekday(1, Weekday::Monday),
        Bucket::Month => day.last_of_month().tomorrow(),
    };
    next.unwrap_or(Date::MAX)
}

/// Starts of the local hours. Where the offset changes, a new hour starts, so that an hour
/// which the clocks repeat is two buckets.
fn hour_starts(range: &LocalRange) -> Vec<Timestamp> {
    let segments = offset_segments(range);
    let mut starts = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let ends_at = segments.get(index + 1).map_or(range.moments.to, |next| next.starts_at);
        let mut start = segment.starts_at.0;
        while start < ends_at.0 && starts.len() <= MAX_BUCKETS {
            starts.push(Timestamp(start));
            let past_the_hour = (start + segment.offset_ms).rem_euclid(HOUR_MS);
            start += HOUR_MS - past_the_hour;
        }
    }
    starts
}

/// The offsets that hold in a range, the first from its beginning.
pub(crate) fn offset_segments(range: &LocalRange) -> Vec<OffsetSegment> {
    let from = crate::services::ranges::moment(range.moments.from);
    let mut segments = vec![OffsetSegment {
        starts_at: range.moments.from,
        offset_ms: i64::from(range.zone.to_offset(from).seconds()) * 1_000,
    }];
    for transition in range.zone.following(from) {
        let starts_at = Timestamp(transition.timestamp().as_millisecond());
        if starts_at >= range.moments.to {
            break;
        }
        let offset_ms = i64::from(transition.offset().seconds()) * 1_000;
        // Some transitions change only the zone's abbreviation.
        if segments.last().is_none_or(|last| last.offset_ms != offset_ms) {
            segments.push(OffsetSegment { starts_at, offset_ms });
        }
    }
    segments
}

fn label_spans(range: &LocalRange, bucket: Bucket, starts: &[Timestamp]) -> Vec<BucketSpan> {
    let format = label_format(range, bucket);
    let mut spans: Vec<BucketSpan> = Vec::with_capacity(starts.len());
    let mut last_text = String::new();
    for (index, start) in starts.iter().enumerate() {
        let local = crate::services::ranges::moment(*start).to_zoned(range.zone.clone());
        let text = local.strftime(format).to_string();
        // An hour that the clocks repeat is told apart by the zone's abbreviation.
        let label = if text == last_text { local.strftime(&format!("{format} %Z")).to_string() } else { text.clone() };
        last_text = text;
        let ends_at = starts.get(index + 1).copied().unwrap_or(range.moments.to);
        spans.push(BucketSpan { starts_at: *start, ends_at, first_day: local.date(), label });
    }
    spans
}

fn label_format(range: &LocalRange, bucket: Bucket) -> &'static str {
    let spans_years = range.days.from.year() != range.days.to.year();
    match bucket {
        Bucket::Hour if range.day_count() == 1 => "%H:%M",
        Bucket::Hour => "%-d %b %H:%M",
        Bucket::Day | Bucket::Week if spans_years => "%-d %b %Y",
        Bucket::Day | Bucket::Week => "%-d %b",
        Bucket::Month => "%b %Y",
    }
}

/// How the warehouse has to group for a bucket.
pub fn grouping_for(range: &LocalRange, bucket: Bucket) -> Grouping {
    match bucket {
        Bucket::Hour => Grouping::QuarterHour,
        Bucket::Day | Bucket::Week | Bucket::Month => Grouping::LocalDay(offset_segments(range)),
    }
}

/// The bucket of a group's key. A key outside the range counts to the nearest bucket: money
/// that was read is always shown.
pub fn bucket_of_key(spans: &[BucketSpan], bucket: Bucket, key: i64) -> usize {
    let following = match bucket {
        Bucket::Hour => spans.partition_point(|span| span.starts_at.0 <= key.saturating_mul(QUARTER_HOUR_MS)),
        Bucket::Day | Bucket::Week | Bucket::Month => spans.partition_point(|span| day_number(span.first_day) <= key),
    };
    following.saturating_sub(1)
}

/// The local day of a key of a grouping by local day.
pub(crate) fn day_of_key(key: i64) -> Date {
    day_of_number(key)
}
