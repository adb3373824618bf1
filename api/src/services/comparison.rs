//! What a range is compared with, and which of its buckets an earlier sale stands beside. Pure.

use crate::model::{Bucket, DateRange};
use crate::services::buckets::{BucketSpan, bucket_of_key, day_of_key};
use crate::services::ranges::{FIRST_DAY, LocalRange, RangeError, day_number, local_day, moment};
use domain::ids::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use store::warehouse::queries::QUARTER_HOUR_MS;

/// With what a range of days is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// As many days right before it.
    #[default]
    PeriodBefore,
    /// The same days of the calendar a year earlier. 29 February stands beside 28 February.
    YearBefore,
    /// With nothing.
    Nothing,
}

impl Comparison {
    /// Every one, in the order of pages.
    pub const ALL: [Comparison; 3] = [Comparison::PeriodBefore, Comparison::YearBefore, Comparison::Nothing];

    /// The word in URLs.
    pub fn name(self) -> &'static str {
        match self {
            Comparison::PeriodBefore => "before",
            Comparison::YearBefore => "year",
            Comparison::Nothing => "none",
        }
    }

    /// The one with this word.
    pub fn from_name(name: &str) -> Option<Comparison> {
        Comparison::ALL.into_iter().find(|comparison| comparison.name() == name)
    }
}

/// How far back an earlier range lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shift {
    Days(i64),
    OneYear,
}

impl Shift {
    fn back(self, day: Date) -> Date {
        match self {
            Shift::Days(days) => day.saturating_sub(days.days()),
            Shift::OneYear => day.saturating_sub(1.year()),
        }
    }

    fn forth(self, day: Date) -> Date {
        match self {
            Shift::Days(days) => day.saturating_add(days.days()),
            Shift::OneYear => day.saturating_add(1.year()),
        }
    }
}

/// The range that another one is compared with.
#[derive(Debug, Clone)]
pub(crate) struct EarlierRange {
    /// Its days.
    pub local: LocalRange,
    shift: Shift,
}

impl EarlierRange {
    /// What `range` is compared with; none where nothing is wanted, or where no day is left that the ledger can hold.
    pub fn of(range: &LocalRange, comparison: Comparison) -> Result<Option<EarlierRange>, RangeError> {
        let shift = match comparison {
            Comparison::PeriodBefore => Shift::Days(range.day_count()),
            Comparison::YearBefore => Shift::OneYear,
            Comparison::Nothing => return Ok(None),
        };
        let (from, to) = (shift.back(range.days.from), shift.back(range.days.to));
        if to < FIRST_DAY {
            return Ok(None);
        }
        let days = DateRange { from: from.max(FIRST_DAY), to, time_zone: range.days.time_zone.clone() };
        Ok(Some(EarlierRange { local: LocalRange::new(&days)?, shift }))
    }

    /// The bucket of the later range beside which an earlier group stands: the one with the same day, or the same hour
    /// on the clock, that much later. A key is a local day or a quarter of an hour, by `bucket`.
    pub fn twin_of_key(&self, spans: &[BucketSpan], bucket: Bucket, key: i64) -> usize {
        let later = match bucket {
            Bucket::Hour => self.later_quarter(key),
            Bucket::Day | Bucket::Week | Bucket::Month => day_number(self.shift.forth(day_of_key(key))),
        };
        bucket_of_key(spans, bucket, later)
    }

    /// The quarter of an hour that shows the same time on a later day's clock. Where that clock skips it, the one after.
    fn later_quarter(&self, key: i64) -> i64 {
        let earlier = moment(Timestamp(key.saturating_mul(QUARTER_HOUR_MS))).to_zoned(self.local.zone.clone());
        let later = self.shift.forth(earlier.date()).to_datetime(earlier.time()).to_zoned(self.local.zone.clone());
        later.map_or(key, |later| later.timestamp().as_millisecond().div_euclid(QUARTER_HOUR_MS))
    }

    /// Words for what stands beside a bucket of the later range: `2 Nov 2025`, `2 Nov 2025, 13:00`, or both ends.
    pub fn label(&self, span: &BucketSpan, bucket: Bucket) -> String {
        let zone = &self.local.zone;
        let first = self.shift.back(span.first_day);
        if bucket == Bucket::Hour {
            let hour = moment(span.starts_at).to_zoned(zone.clone()).strftime("%H:%M").to_string();
            return format!("{}, {hour}", first.strftime("%-d %b %Y"));
        }
        let last = self.shift.back(local_day(Timestamp(span.ends_at.0 - 1), zone));
        if first == last {
            return first.strftime("%-d %b %Y").to_string();
        }
        let start = if first.year() == last.year() { "%-d %b" } else { "%-d %b %Y" };
        format!("{} – {}", first.strftime(start), last.strftime("%-d %b %Y"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::buckets::buckets;
    use crate::services::ranges::start_of_day;
    use jiff::civil::date;

    fn range(from: Date, to: Date, zone: &str) -> LocalRange {
        LocalRange::new(&DateRange { from, to, time_zone: zone.to_owned() }).unwrap()
    }

    fn earlier(range: &LocalRange, comparison: Comparison) -> EarlierRange {
        EarlierRange::of(range, comparison).unwrap().unwrap()
    }

    fn days(range: &EarlierRange) -> (Date, Date) {
        (range.local.days.from, range.local.days.to)
    }

    #[test]
    fn the_period_before_has_as_many_days_and_ends_where_the_range_begins() {
        let march = range(date(2026, 3, 1), date(2026, 3, 31), "Europe/Berlin");
        let before = earlier(&march, Comparison::PeriodBefore);
        assert_eq!(days(&before), (date(2026, 1, 29), date(2026, 2, 28)));
        assert_eq!(before.local.moments.to, march.moments.from);
        assert_eq!(before.local.moments.from, start_of_day(date(2026, 1, 29), &march.zone).unwrap());
        let first = range(FIRST_DAY, FIRST_DAY, "UTC");
        assert!(EarlierRange::of(&first, Comparison::PeriodBefore).unwrap().is_none());
        assert!(EarlierRange::of(&march, Comparison::Nothing).unwrap().is_none());
    }

    #[test]
    fn a_year_before_is_the_same_days_also_around_a_leap_day() {
        let of = |from, to| days(&earlier(&range(from, to, "UTC"), Comparison::YearBefore));
        assert_eq!(of(date(2026, 3, 1), date(2026, 3, 31)), (date(2025, 3, 1), date(2025, 3, 31)));
        assert_eq!(of(date(2024, 2, 1), date(2024, 2, 29)), (date(2023, 2, 1), date(2023, 2, 28)));
        assert_eq!(of(date(2025, 2, 1), date(2025, 2, 28)), (date(2024, 2, 1), date(2024, 2, 28)));
        let leap = range(date(2024, 2, 29), date(2024, 2, 29), "UTC");
        let spans = buckets(&leap, Bucket::Day).unwrap();
        let key = day_number(date(2023, 2, 28));
        assert_eq!(earlier(&leap, Comparison::YearBefore).twin_of_key(&spans, Bucket::Day, key), 0);
    }

    #[test]
    fn a_week_stands_beside_the_same_seven_days_although_mondays_differ() {
        // From a Wednesday: the weeks of the range begin on Mondays, those beside them on the weekday that fits.
        let range = range(date(2026, 11, 4), date(2026, 11, 21), "UTC");
        let before = earlier(&range, Comparison::PeriodBefore);
        let spans = buckets(&range, Bucket::Week).unwrap();
        assert_eq!(spans.len(), 3);
        let beside: Vec<usize> = (0..18)
            .map(|index| day_number(date(2026, 10, 17)) + index)
            .map(|key| before.twin_of_key(&spans, Bucket::Week, key))
            .collect();
        assert_eq!(beside, [[0; 5].as_slice(), &[1; 7], &[2; 6]].concat());
        assert_eq!(before.label(&spans[1], Bucket::Week), "22 Oct – 28 Oct 2026");
        assert_eq!(earlier(&range, Comparison::YearBefore).label(&spans[0], Bucket::Day), "4 Nov – 8 Nov 2025");
    }

    #[test]
    fn hours_stand_beside_the_same_hour_on_the_clock_also_where_clocks_change() {
        let quarter = |day: Date, hour: i8| {
            let at = day.at(hour, 15, 0, 0).in_tz("Europe/Berlin").unwrap().timestamp();
            at.as_millisecond() / QUARTER_HOUR_MS
        };
        // 25 October 2026 has 25 hours, the day before 24: the repeated hour has nothing beside it.
        let autumn = range(date(2026, 10, 25), date(2026, 10, 25), "Europe/Berlin");
        let spans = buckets(&autumn, Bucket::Hour).unwrap();
        let before = earlier(&autumn, Comparison::PeriodBefore);
        let twins: Vec<usize> =
            (0..24).map(|hour| before.twin_of_key(&spans, Bucket::Hour, quarter(date(2026, 10, 24), hour))).collect();
        assert_eq!(spans.len(), 25);
        assert_eq!(twins, [vec![0, 1, 2], (4..25).collect::<Vec<_>>()].concat());
        assert_eq!(before.label(&spans[4], Bucket::Hour), "24 Oct 2026, 03:00");
        // 29 March 2026 has no 02:00: what happened then the day before stands beside 03:00.
        let spring = range(date(2026, 3, 29), date(2026, 3, 29), "Europe/Berlin");
        let spans = buckets(&spring, Bucket::Hour).unwrap();
        let before = earlier(&spring, Comparison::PeriodBefore);
        let twin = |hour| before.twin_of_key(&spans, Bucket::Hour, quarter(date(2026, 3, 28), hour));
        assert_eq!((spans.len(), twin(1), twin(2), twin(3), twin(23)), (23, 1, 2, 2, 22));
    }

    #[test]
    fn every_word_is_read_back() {
        for comparison in Comparison::ALL {
            assert_eq!(Comparison::from_name(comparison.name()), Some(comparison));
        }
        assert_eq!(Comparison::from_name("month"), None);
    }
}
