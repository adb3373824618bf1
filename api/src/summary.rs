//! The summary of a month: when it is due, and what it says.

use crate::model::{Dashboard, DateRange, GroupTotals};
use domain::ids::Timestamp;
use domain::money::Currency;
use jiff::ToSpan;
use jiff::civil::{Date, time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Local hour of the first of the month at which it is written.
const HOUR: i8 = 8;
/// A summary that could not be written by then is left out, in milliseconds after its time: three days.
pub const LATEST_MS: i64 = 3 * 24 * 60 * 60 * 1000;
/// Rows of the list of the best.
const TOP: usize = 5;

/// A calendar month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(Date);

impl Month {
    /// The month of a day.
    pub fn of(day: Date) -> Month {
        Month(day.first_of_month())
    }

    /// The month whose summary is due now in a time zone: the one before, from 08:00 of the first until three days later.
    /// Where clocks skip that hour it is due an hour later, where they repeat it the first time. None at other times, and
    /// for a zone that nobody knows.
    pub fn due(now: Timestamp, time_zone: &str) -> Option<Month> {
        let zone = TimeZone::get(time_zone).ok()?;
        let local = jiff::Timestamp::from_millisecond(now.0).ok()?.to_zoned(zone.clone());
        let first = local.date().first_of_month();
        let at = first.to_datetime(time(HOUR, 0, 0, 0)).to_zoned(zone).ok()?.timestamp().as_millisecond();
        let is_due = now.0 >= at && now.0 < at + LATEST_MS;
        is_due.then(|| Month::of(first.saturating_sub(1.day())))
    }

    /// `2026-10`
    pub fn name(self) -> String {
        self.0.strftime("%Y-%m").to_string()
    }

    /// `October 2026`
    pub fn words(self) -> String {
        self.0.strftime("%B %Y").to_string()
    }

    /// Its days.
    pub fn range(self, time_zone: &str) -> DateRange {
        DateRange { from: self.0, to: self.0.last_of_month(), time_zone: time_zone.to_owned() }
    }
}

/// The figures of a month, for a member of a vendor or for an affiliate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryLetter {
    /// Name of the vendor.
    pub vendor: String,
    /// Name of the affiliate whose figures they are; none for all of the vendor's.
    pub affiliate: Option<String>,
    /// First day of the month.
    pub month: Date,
    /// IANA name of the zone whose days they are.
    pub time_zone: String,
    /// One per currency, the one with the most sales first.
    pub totals: Vec<SummaryTotals>,
    /// What the picture shows: revenue of a vendor, commission of an affiliate.
    pub days: Option<SummaryDays>,
    /// The best affiliates of a vendor, the best codes of an affiliate.
    pub top: Vec<SummaryTop>,
    /// The page of that month.
    pub link: String,
    /// Where it is switched off.
    pub unsubscribe: String,
    /// Where the product is, for example `track.example.com`.
    pub site: String,
}

impl fmt::Debug for SummaryLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SummaryLetter")
            .field("vendor", &self.vendor)
            .field("month", &self.month)
            .finish_non_exhaustive()
    }
}

/// Sums in one currency, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryTotals {
    /// Of the amounts.
    pub currency: Currency,
    /// Uses of a code that are first sales.
    pub redemptions: i64,
    /// Purchases with something paid.
    pub sales: i64,
    /// Net revenue after refunds.
    pub revenue: i64,
    /// Net taken back (positive).
    pub refunded: i64,
    /// Commission after refunds.
    pub commission: i64,
}

/// An amount for every day of the month, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryDays {
    /// Of the amounts.
    pub currency: Currency,
    /// From the first day to the last.
    pub amounts: Vec<i64>,
}

/// A row of the best.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryTop {
    /// Affiliate or code.
    pub name: String,
    /// In all currencies.
    pub redemptions: i64,
    /// Per currency, in minor units.
    pub commission: Vec<(Currency, i64)>,
}

/// Whose summary it is, and what stands around the figures.
#[derive(Debug, Clone)]
pub struct SummaryFrame {
    /// Name of the vendor.
    pub vendor: String,
    /// Name of the affiliate, if it is theirs.
    pub affiliate: Option<String>,
    /// The page of the month.
    pub link: String,
    /// Where the product is.
    pub site: String,
}

impl SummaryLetter {
    /// The letter over the figures that the page of that month shows, day by day; none when nothing happened in it.
    pub fn of(figures: &Dashboard, frame: SummaryFrame) -> Option<SummaryLetter> {
        if figures.totals.is_empty() {
            return None;
        }
        let is_vendors = frame.affiliate.is_none();
        let amounts = figures.series.iter().map(|day| {
            let amounts = if is_vendors { &day.revenue } else { &day.commission };
            amounts.first().copied().unwrap_or_default()
        });
        let days = figures.currencies.first();
        let days = days.map(|currency| SummaryDays { currency: *currency, amounts: amounts.collect() });
        let groups = if is_vendors { &figures.affiliates } else { &figures.codes };
        Some(SummaryLetter {
            vendor: frame.vendor,
            affiliate: frame.affiliate,
            month: figures.range.from,
            time_zone: figures.range.time_zone.clone(),
            totals: figures.totals.iter().map(sums).collect(),
            days,
            top: groups.iter().take(TOP).map(top).collect(),
            link: frame.link,
            unsubscribe: String::new(),
            site: frame.site,
        })
    }
}

fn sums(totals: &crate::model::Totals) -> SummaryTotals {
    SummaryTotals {
        currency: totals.currency,
        redemptions: totals.redemptions,
        sales: totals.sales,
        revenue: totals.revenue,
        refunded: totals.refunded,
        commission: totals.commission,
    }
}

fn top(group: &GroupTotals) -> SummaryTop {
    SummaryTop {
        name: group.label.clone(),
        redemptions: group.totals.iter().map(|totals| totals.redemptions).sum(),
        commission: group.totals.iter().map(|totals| (totals.currency, totals.commission)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn due(now: &str, zone: &str) -> Option<String> {
        Month::due(at(now), zone).map(Month::name)
    }

    #[test]
    fn it_is_due_on_the_first_at_eight_where_the_vendor_is() {
        assert_eq!(due("2026-11-01T06:59:59Z", "Europe/Berlin"), None);
        assert_eq!(due("2026-11-01T07:00:00Z", "Europe/Berlin").as_deref(), Some("2026-10"));
        // Summer time: an hour earlier in UTC.
        assert_eq!(due("2026-09-01T05:59:59Z", "Europe/Berlin"), None);
        assert_eq!(due("2026-09-01T06:00:00Z", "Europe/Berlin").as_deref(), Some("2026-08"));
        // There it is still the last of the month, or already the first.
        assert_eq!(due("2027-01-01T17:59:59Z", "Pacific/Honolulu"), None);
        assert_eq!(due("2027-01-01T18:00:00Z", "Pacific/Honolulu").as_deref(), Some("2026-12"));
        assert_eq!(due("2026-12-31T18:00:00Z", "Pacific/Kiritimati").as_deref(), Some("2026-12"));
        assert_eq!(due("2026-11-01T07:00:00Z", "Nowhere/Land"), None);
    }

    #[test]
    fn it_is_late_for_three_days_and_then_left_out() {
        assert_eq!(due("2026-11-04T06:59:59Z", "Europe/Berlin").as_deref(), Some("2026-10"));
        assert_eq!(due("2026-11-04T07:00:00Z", "Europe/Berlin"), None);
        assert_eq!(due("2026-11-21T12:00:00Z", "Europe/Berlin"), None);
    }

    #[test]
    fn changes_of_the_clocks_on_the_first_move_nothing_by_a_day() {
        // Clocks went forward on this first, and back on that one.
        assert_eq!(due("2012-04-01T11:59:59Z", "America/Havana"), None);
        assert_eq!(due("2012-04-01T12:00:00Z", "America/Havana").as_deref(), Some("2012-03"));
        assert_eq!(due("2026-11-01T12:59:59Z", "America/New_York"), None);
        assert_eq!(due("2026-11-01T13:00:00Z", "America/New_York").as_deref(), Some("2026-10"));
        let range = Month::of(jiff::civil::date(2026, 2, 14)).range("UTC");
        assert_eq!((range.from.to_string(), range.to.to_string()), ("2026-02-01".into(), "2026-02-28".into()));
    }

    #[test]
    fn a_month_has_a_name_and_words() {
        let month = Month::of(jiff::civil::date(2026, 10, 31));
        assert_eq!((month.name().as_str(), month.words().as_str()), ("2026-10", "October 2026"));
    }
}
