//! Ranges of days as a visitor chooses them: a preset, or two dates.

use crate::error::PageError;
use crate::links::Link;
use api::model::Bucket;
use jiff::ToSpan;
use jiff::civil::Date;

/// Longest free range, in days.
pub const MAX_DAYS: i32 = 3_660;
/// Longest range shown hour by hour, in days.
pub const MAX_HOURLY_DAYS: i32 = 31;
/// Longest range shown day by day, in days.
pub const MAX_DAILY_DAYS: i32 = 400;

/// A range that moves with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Preset {
    Today,
    SevenDays,
    ThirtyDays,
    SixtyDays,
    NinetyDays,
    TwelveMonths,
    ThisMonth,
    LastMonth,
}

impl Preset {
    /// Every preset, in the order of the picker.
    pub const ALL: [Preset; 8] = [
        Preset::Today,
        Preset::SevenDays,
        Preset::ThirtyDays,
        Preset::SixtyDays,
        Preset::NinetyDays,
        Preset::TwelveMonths,
        Preset::ThisMonth,
        Preset::LastMonth,
    ];

    /// The word in the URL.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Today => "today",
            Preset::SevenDays => "7d",
            Preset::ThirtyDays => "30d",
            Preset::SixtyDays => "60d",
            Preset::NinetyDays => "90d",
            Preset::TwelveMonths => "12m",
            Preset::ThisMonth => "month",
            Preset::LastMonth => "last-month",
        }
    }

    /// A calendar month rather than a number of days.
    pub fn is_month(self) -> bool {
        matches!(self, Preset::ThisMonth | Preset::LastMonth)
    }

    /// The word on the page.
    pub fn label(self) -> &'static str {
        match self {
            Preset::Today => "Today",
            Preset::SevenDays => "7 days",
            Preset::ThirtyDays => "30 days",
            Preset::SixtyDays => "60 days",
            Preset::NinetyDays => "90 days",
            Preset::TwelveMonths => "12 months",
            Preset::ThisMonth => "This month",
            Preset::LastMonth => "Last month",
        }
    }
}

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeChoice {
    /// Moves with the clock.
    Preset(Preset),
    /// Two local days, both included.
    Free {
        /// First day.
        from: Date,
        /// Last day.
        to: Date,
    },
}

impl Default for RangeChoice {
    fn default() -> RangeChoice {
        RangeChoice::Preset(Preset::ThirtyDays)
    }
}

impl RangeChoice {
    /// What is shown when the address names no range: the demo shows all of its sixty days.
    pub fn usual(is_demo: bool) -> RangeChoice {
        if is_demo { RangeChoice::Preset(Preset::SixtyDays) } else { RangeChoice::default() }
    }

    /// Reads the query parameters. Two dates win over a preset; `None` when none is given.
    ///
    /// # Errors
    /// Names the parameter that cannot be used.
    pub fn parse(range: Option<&str>, from: Option<&str>, to: Option<&str>) -> Result<Option<RangeChoice>, PageError> {
        match (from, to) {
            (Some(from), Some(to)) => free_range(from, to).map(Some),
            (Some(_), None) => Err(bad("to", "Choose the last day too, as in 2026-11-21.")),
            (None, Some(_)) => Err(bad("from", "Choose the first day too, as in 2026-11-01.")),
            (None, None) => {
                let Some(range) = range else { return Ok(None) };
                let preset = Preset::ALL.into_iter().find(|preset| preset.name() == range);
                preset
                    .map(|preset| Some(RangeChoice::Preset(preset)))
                    .ok_or_else(|| bad("range", "Use one of today, 7d, 30d, 60d, 90d, 12m, month, last-month."))
            }
        }
    }

    /// First and last day, both included, when today is `today` in the vendor's time zone.
    pub fn resolve(self, today: Date) -> (Date, Date) {
        match self {
            RangeChoice::Free { from, to } => (from, to),
            RangeChoice::Preset(preset) => match preset {
                Preset::Today => (today, today),
                Preset::SevenDays => (today.saturating_sub(6.days()), today),
                Preset::ThirtyDays => (today.saturating_sub(29.days()), today),
                Preset::SixtyDays => (today.saturating_sub(59.days()), today),
                Preset::NinetyDays => (today.saturating_sub(89.days()), today),
                Preset::TwelveMonths => (today.first_of_month().saturating_sub(11.months()), today),
                Preset::ThisMonth => (today.first_of_month(), today),
                Preset::LastMonth => {
                    let last = today.first_of_month().saturating_sub(1.day());
                    (last.first_of_month(), last)
                }
            },
        }
    }

    /// An address with this range.
    pub(crate) fn link(self, link: Link) -> Link {
        match self {
            RangeChoice::Preset(preset) => link.with("range", preset.name()),
            RangeChoice::Free { from, to } => link.with("from", &from.to_string()).with("to", &to.to_string()),
        }
    }

    /// The preset, when it is one.
    pub fn preset(self) -> Option<Preset> {
        match self {
            RangeChoice::Preset(preset) => Some(preset),
            RangeChoice::Free { .. } => None,
        }
    }
}

fn free_range(from: &str, to: &str) -> Result<RangeChoice, PageError> {
    let from: Date = from.parse().map_err(|_| bad("from", "Write the day as 2026-11-01."))?;
    let to: Date = to.parse().map_err(|_| bad("to", "Write the day as 2026-11-21."))?;
    if to < from {
        return Err(bad("to", "The last day must not be before the first."));
    }
    if days_between(from, to) > MAX_DAYS {
        return Err(bad("from", "Ten years at once are the most; choose a later first day."));
    }
    Ok(RangeChoice::Free { from, to })
}

/// How many days a range has, both ends included.
pub fn days_between(from: Date, to: Date) -> i32 {
    from.until(to).map(|span| span.get_days()).unwrap_or(0) + 1
}

/// Reads the bucket and refuses one that would draw thousands of bars.
///
/// # Errors
/// Names what to choose instead.
pub fn parse_bucket(text: Option<&str>, choice: RangeChoice, today: Date) -> Result<Option<Bucket>, PageError> {
    let (from, to) = choice.resolve(today);
    let days = days_between(from, to);
    match text {
        None | Some("auto") => Ok(None),
        Some("hour") if days > MAX_HOURLY_DAYS => {
            Err(bad("bucket", "Hours can be shown for up to 31 days; choose day, week or month."))
        }
        Some("day") if days > MAX_DAILY_DAYS => {
            Err(bad("bucket", "Days can be shown for up to 400 days; choose week or month."))
        }
        Some("hour") => Ok(Some(Bucket::Hour)),
        Some("day") => Ok(Some(Bucket::Day)),
        Some("week") => Ok(Some(Bucket::Week)),
        Some("month") => Ok(Some(Bucket::Month)),
        Some(_) => Err(bad("bucket", "Use one of auto, hour, day, week, month.")),
    }
}

/// The word in the URL.
pub fn bucket_name(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::Hour => "hour",
        Bucket::Day => "day",
        Bucket::Week => "week",
        Bucket::Month => "month",
    }
}

fn bad(field: &'static str, message: &str) -> PageError {
    PageError::BadQuery { field, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn presets_move_with_the_clock() {
        let today = date(2026, 3, 31);
        for (preset, from, to) in [
            (Preset::Today, today, today),
            (Preset::SevenDays, date(2026, 3, 25), today),
            (Preset::ThirtyDays, date(2026, 3, 2), today),
            (Preset::SixtyDays, date(2026, 1, 31), today),
            (Preset::NinetyDays, date(2026, 1, 1), today),
            (Preset::TwelveMonths, date(2025, 4, 1), today),
            (Preset::ThisMonth, date(2026, 3, 1), today),
            (Preset::LastMonth, date(2026, 2, 1), date(2026, 2, 28)),
        ] {
            assert_eq!(RangeChoice::Preset(preset).resolve(today), (from, to), "{preset:?}");
            assert_eq!(RangeChoice::parse(Some(preset.name()), None, None).unwrap(), Some(RangeChoice::Preset(preset)));
        }
        assert_eq!(RangeChoice::parse(None, None, None).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (range, from, to, field) in [
            (Some("31d"), None, None, "range"),
            (None, Some("2026-02-30"), Some("2026-03-01"), "from"),
            (None, Some("2026-03-01"), Some("yesterday"), "to"),
            (None, Some("2026-03-02"), Some("2026-03-01"), "to"),
            (None, Some("1999-01-01"), Some("2026-03-01"), "from"),
            (None, Some("2026-03-01"), None, "to"),
        ] {
            match RangeChoice::parse(range, from, to) {
                Err(PageError::BadQuery { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_chart_never_gets_thousands_of_bars() {
        let today = date(2026, 3, 31);
        let year = RangeChoice::Preset(Preset::TwelveMonths);
        assert!(parse_bucket(Some("hour"), year, today).is_err());
        assert_eq!(parse_bucket(Some("day"), year, today).unwrap(), Some(Bucket::Day));
        assert_eq!(parse_bucket(Some("hour"), RangeChoice::Preset(Preset::Today), today).unwrap(), Some(Bucket::Hour));
        assert!(parse_bucket(Some("minute"), year, today).is_err());
    }

    #[test]
    fn both_ends_count() {
        assert_eq!(days_between(date(2026, 1, 1), date(2026, 1, 1)), 1);
        assert_eq!(days_between(date(2025, 1, 1), date(2025, 12, 31)), 365);
    }
}
