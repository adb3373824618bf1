//! Ranges of local days, and the moments at which they begin and end.

use crate::model::{Bucket, DateRange};
use domain::ids::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use store::warehouse::TimeRange;

/// Why a range cannot be used. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// No such time zone.
    #[error("`{0}` is not a time zone; use an IANA name such as Europe/Berlin or UTC")]
    UnknownTimeZone(String),
    /// Ends before it begins.
    #[error("the range ends on {to}, before it begins on {from}")]
    Reversed {
        /// First day.
        from: Date,
        /// Last day.
        to: Date,
    },
    /// A day the ledger cannot hold.
    #[error("{0} lies outside 1970-01-02 to 2149-06-05, the days the ledger can hold")]
    DayOutside(Date),
    /// More points than a chart can show.
    #[error("the range has more than {limit} {bucket} buckets; use a shorter range or a wider bucket")]
    TooManyBuckets {
        /// The most.
        limit: usize,
        /// The bucket.
        bucket: &'static str,
    },
}

impl RangeError {
    /// The parameter to change.
    pub fn field(&self) -> &'static str {
        match self {
            RangeError::UnknownTimeZone(_) => "time_zone",
            RangeError::Reversed { .. } => "to",
            RangeError::DayOutside(_) => "from",
            RangeError::TooManyBuckets { .. } => "bucket",
        }
    }
}

/// The first local day that a range may hold: with it, every zone's day lies in the tables.
pub const FIRST_DAY: Date = jiff::civil::date(1970, 1, 2);

/// The last local day that a range may hold.
pub const LAST_DAY: Date = jiff::civil::date(2149, 6, 5);

/// The time zone with this IANA name.
pub fn time_zone(name: &str) -> Result<TimeZone, RangeError> {
    TimeZone::get(name).map_err(|_| RangeError::UnknownTimeZone(name.to_owned()))
}

/// The moment as the library for dates writes it; moments beyond its calendar are moved into it.
pub(crate) fn moment(time: Timestamp) -> jiff::Timestamp {
    let clamped = time.0.clamp(jiff::Timestamp::MIN.as_millisecond(), jiff::Timestamp::MAX.as_millisecond());
    jiff::Timestamp::from_millisecond(clamped).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// A moment as people read it: day, month, year, hour and minute, in a zone.
pub(crate) fn local_text(time: Timestamp, zone: &TimeZone) -> String {
    moment(time).to_zoned(zone.clone()).strftime("%-d %b %Y, %H:%M").to_string()
}

/// The local day of a moment, moved into the days that a range may hold.
pub fn local_day(time: Timestamp, zone: &TimeZone) -> Date {
    moment(time).to_zoned(zone.clone()).date().clamp(FIRST_DAY, LAST_DAY)
}

/// The first moment of a local day; where the clocks skip midnight, the first one after it.
pub(crate) fn start_of_day(day: Date, zone: &TimeZone) -> Result<Timestamp, RangeError> {
    let start = day.to_zoned(zone.clone()).and_then(|midnight| midnight.start_of_day());
    let start = start.map_err(|_| RangeError::DayOutside(day))?;
    Ok(Timestamp(start.timestamp().as_millisecond()))
}

fn add_days(day: Date, days: i64) -> Date {
    day.saturating_add(days.days())
}

/// A checked range with its moments.
#[derive(Debug, Clone)]
pub struct LocalRange {
    /// The days and the zone's name.
    pub days: DateRange,
    /// The zone.
    pub zone: TimeZone,
    /// From the first moment of the first day to the last moment of the last.
    pub moments: TimeRange,
}

impl LocalRange {
    /// Checks a range.
    pub fn new(days: &DateRange) -> Result<LocalRange, RangeError> {
        let zone = time_zone(&days.time_zone)?;
        for day in [days.from, days.to] {
            if day < FIRST_DAY || day > LAST_DAY {
                return Err(RangeError::DayOutside(day));
            }
        }
        if days.to < days.from {
            return Err(RangeError::Reversed { from: days.from, to: days.to });
        }
        let moments =
            TimeRange { from: start_of_day(days.from, &zone)?, to: start_of_day(add_days(days.to, 1), &zone)? };
        Ok(LocalRange { days: days.clone(), zone, moments })
    }

    /// How many local days it has.
    pub fn day_count(&self) -> i64 {
        day_number(self.days.to) - day_number(self.days.from) + 1
    }

    /// The bucket that gives a readable chart.
    pub fn natural_bucket(&self) -> Bucket {
        match self.day_count() {
            ..=2 => Bucket::Hour,
            3..=92 => Bucket::Day,
            93..=731 => Bucket::Week,
            _ => Bucket::Month,
        }
    }
}

/// Days since 1970-01-01.
pub(crate) fn day_number(day: Date) -> i64 {
    day.duration_since(jiff::civil::date(1970, 1, 1)).as_hours() / 24
}

/// The day with this number.
pub(crate) fn day_of_number(number: i64) -> Date {
    add_days(jiff::civil::date(1970, 1, 1), number.clamp(-1, 70_000))
}

/// The ranges of the picker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangePreset {
    /// The day now.
    Today,
    /// Seven days, today included.
    Days7,
    /// Thirty days.
    Days30,
    /// Sixty days.
    Days60,
    /// Ninety days.
    Days90,
    /// From the first of the month to today.
    ThisMonth,
    /// The calendar month before.
    LastMonth,
    /// From the first of January to today.
    Year,
    /// From the first line to today, or to the last line if that is later.
    All,
}

impl RangePreset {
    /// Every preset, in the order of the picker.
    pub const ALL: [RangePreset; 9] = [
        RangePreset::Today,
        RangePreset::Days7,
        RangePreset::Days30,
        RangePreset::Days60,
        RangePreset::Days90,
        RangePreset::ThisMonth,
        RangePreset::LastMonth,
        RangePreset::Year,
        RangePreset::All,
    ];

    /// The word in URLs.
    pub fn name(self) -> &'static str {
        match self {
            RangePreset::Today => "today",
            RangePreset::Days7 => "7d",
            RangePreset::Days30 => "30d",
            RangePreset::Days60 => "60d",
            RangePreset::Days90 => "90d",
            RangePreset::ThisMonth => "this_month",
            RangePreset::LastMonth => "last_month",
            RangePreset::Year => "year",
            RangePreset::All => "all",
        }
    }

    /// The words on pages.
    pub fn label(self) -> &'static str {
        match self {
            RangePreset::Today => "Today",
            RangePreset::Days7 => "Last 7 days",
            RangePreset::Days30 => "Last 30 days",
            RangePreset::Days60 => "Last 60 days",
            RangePreset::Days90 => "Last 90 days",
            RangePreset::ThisMonth => "This month",
            RangePreset::LastMonth => "Last month",
            RangePreset::Year => "This year",
            RangePreset::All => "All time",
        }
    }

    /// The preset with this word.
    pub fn from_name(name: &str) -> Option<RangePreset> {
        RangePreset::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// First and last day, given today and the first and last day of the ledger (`None` when
    /// it is empty).
    pub fn days(self, today: Date, ledger: Option<(Date, Date)>) -> (Date, Date) {
        let back = |days: i64| (add_days(today, 1 - days).max(FIRST_DAY), today);
        match self {
            RangePreset::Today => (today, today),
            RangePreset::Days7 => back(7),
            RangePreset::Days30 => back(30),
            RangePreset::Days60 => back(60),
            RangePreset::Days90 => back(90),
            RangePreset::ThisMonth => (today.first_of_month(), today),
            RangePreset::LastMonth => {
                let last = add_days(today.first_of_month(), -1);
                (last.first_of_month(), last)
            }
            RangePreset::Year => (today.first_of_year(), today),
            RangePreset::All => match ledger {
                Some((first, last)) => (first.min(today), last.max(today)),
                None => (today, today),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn range(from: Date, to: Date, zone: &str) -> Result<LocalRange, RangeError> {
        LocalRange::new(&DateRange { from, to, time_zone: zone.to_owned() })
    }

    #[test]
    fn presets_end_today_and_count_it() {
        let today = date(2026, 3, 31);
        for (preset, from, to) in [
            (RangePreset::Today, date(2026, 3, 31), today),
            (RangePreset::Days7, date(2026, 3, 25), today),
            (RangePreset::Days30, date(2026, 3, 2), today),
            (RangePreset::ThisMonth, date(2026, 3, 1), today),
            (RangePreset::LastMonth, date(2026, 2, 1), date(2026, 2, 28)),
            (RangePreset::Year, date(2026, 1, 1), today),
            (RangePreset::All, date(2024, 5, 6), date(2027, 1, 1)),
        ] {
            assert_eq!(preset.days(today, Some((date(2024, 5, 6), date(2027, 1, 1)))), (from, to), "{}", preset.name());
            assert_eq!(RangePreset::from_name(preset.name()), Some(preset));
        }
        assert_eq!(RangePreset::All.days(today, None), (today, today));
    }

    #[test]
    fn moments_follow_the_zone() {
        let berlin = range(date(2026, 3, 29), date(2026, 3, 29), "Europe/Berlin").unwrap();
        assert_eq!(berlin.moments.to.0 - berlin.moments.from.0, 23 * 3_600_000);
        let berlin = range(date(2026, 10, 25), date(2026, 10, 25), "Europe/Berlin").unwrap();
        assert_eq!(berlin.moments.to.0 - berlin.moments.from.0, 25 * 3_600_000);
        let chatham = range(date(2026, 6, 1), date(2026, 6, 1), "Pacific/Chatham").unwrap();
        assert_eq!(chatham.moments.from.0 % 3_600_000, 15 * 60_000);
        // Beirut's clocks skip midnight: the day begins at one.
        let beirut = range(date(2026, 3, 29), date(2026, 3, 29), "Asia/Beirut").unwrap();
        assert_eq!(beirut.moments.to.0 - beirut.moments.from.0, 23 * 3_600_000);
    }

    #[test]
    fn what_cannot_be_used_is_said_in_words() {
        let error = range(date(2026, 3, 2), date(2026, 3, 1), "UTC").unwrap_err();
        assert_eq!(
            (error.field(), error.to_string().as_str()),
            ("to", "the range ends on 2026-03-01, before it begins on 2026-03-02")
        );
        assert_eq!(range(date(2026, 3, 2), date(2150, 3, 1), "UTC").unwrap_err().field(), "from");
        assert_eq!(range(date(2026, 3, 2), date(2026, 3, 2), "Berlin").unwrap_err().field(), "time_zone");
    }

    #[test]
    fn days_are_numbered_from_1970() {
        for (day, number) in
            [(date(1970, 1, 1), 0), (date(1970, 1, 2), 1), (date(2026, 11, 21), 20_778), (LAST_DAY, 65_534)]
        {
            assert_eq!(day_number(day), number, "{day}");
            assert_eq!(day_of_number(number), day);
        }
    }
}
