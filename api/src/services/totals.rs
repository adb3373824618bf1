//! Totals of a range, in groups.

use crate::model::{DateRange, GroupTotals, Watermark};
use crate::services::buckets::{day_of_key, offset_segments};
use crate::services::figures::{currencies_by_sales, totals_per_currency};
use crate::services::ranges::{FIRST_DAY, LAST_DAY, LocalRange, local_day, time_zone};
use crate::services::reports::{Page, ReportError, Reports, group_affiliates, group_codes, group_rows};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use store::scope::TenantScope;
use store::warehouse::queries::{Grouping, LedgerSummary, Subject};

/// By what totals are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalsGroup {
    /// One group per affiliate; the unattributed one is `""`.
    Affiliate,
    /// One group per code; sales without a code are `""`.
    Code,
    /// One group per local day with a line.
    Day,
}

impl TotalsGroup {
    /// The word in the API.
    pub fn name(self) -> &'static str {
        match self {
            TotalsGroup::Affiliate => "affiliate",
            TotalsGroup::Code => "code",
            TotalsGroup::Day => "day",
        }
    }

    /// The group with this word.
    pub fn from_name(name: &str) -> Option<TotalsGroup> {
        [TotalsGroup::Affiliate, TotalsGroup::Code, TotalsGroup::Day].into_iter().find(|group| group.name() == name)
    }
}

/// Which totals. What is not given is all time, and the vendor's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TotalsRequest {
    /// First local day.
    pub from: Option<Date>,
    /// Last local day.
    pub to: Option<Date>,
    /// IANA name.
    pub time_zone: Option<String>,
    /// Grouping; one group of everything when not given.
    pub group: Option<TotalsGroup>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalsReport {
    /// Up to where it was read.
    pub watermark: Watermark,
    /// The days that were asked for, or those that hold lines.
    pub range: DateRange,
    /// The grouping.
    pub group: Option<TotalsGroup>,
    /// The groups.
    pub rows: Vec<GroupTotals>,
}

impl Reports {
    /// Totals of a range, in groups.
    pub async fn totals(&self, scope: &TenantScope, request: &TotalsRequest) -> Result<TotalsReport, ReportError> {
        let page = self.open_page(scope).await?;
        let range = self.requested_range(&page, request).await?;
        let local = LocalRange::new(&range)?;
        let grouping = match request.group {
            None => Grouping::Everything,
            Some(TotalsGroup::Affiliate) => Grouping::Affiliate,
            Some(TotalsGroup::Code) => Grouping::Code,
            Some(TotalsGroup::Day) => Grouping::LocalDay(offset_segments(&local)),
        };
        let query = LedgerSummary { range: Some(local.moments), of: Subject::All, groupings: vec![grouping] };
        let rows = self.read(&page, &query).await?;
        let currencies = currencies_by_sales(&totals_per_currency(rows.iter()));
        let groups = match request.group {
            None => group_rows(rows.iter(), &currencies, |_| (String::new(), "All".to_owned())),
            Some(TotalsGroup::Affiliate) => group_affiliates(rows.iter(), &page.names, &currencies),
            Some(TotalsGroup::Code) => group_codes(rows.iter(), &page.names, &currencies),
            Some(TotalsGroup::Day) => group_rows(rows.iter(), &currencies, |key| {
                let day = day_of_key(key).to_string();
                (day.clone(), day)
            }),
        };
        Ok(TotalsReport { watermark: page.watermark, range, group: request.group, rows: groups })
    }

    /// The days asked for; an end that was not given is the ledger's own, or today's when the
    /// ledger is empty.
    async fn requested_range(&self, page: &Page, request: &TotalsRequest) -> Result<DateRange, ReportError> {
        let zone_name = request.time_zone.clone().unwrap_or_else(|| page.names.time_zone.clone());
        let zone = time_zone(&zone_name)?;
        if let (Some(from), Some(to)) = (request.from, request.to) {
            return Ok(DateRange { from, to, time_zone: zone_name });
        }
        let (first, last) = self.ledger_days(page, &zone).await?;
        let (from, to) = match (request.from, request.to) {
            (Some(from), _) => (from, last.max(from.clamp(FIRST_DAY, LAST_DAY))),
            (None, Some(to)) => (first.min(to.clamp(FIRST_DAY, LAST_DAY)), to),
            (None, None) => (first, last),
        };
        Ok(DateRange { from, to, time_zone: zone_name })
    }

    async fn ledger_days(&self, page: &Page, zone: &TimeZone) -> Result<(Date, Date), ReportError> {
        let today = local_day((self.sources.clock)(), zone);
        Ok(match self.ledger_bounds(page).await? {
            Some((first, last)) => (local_day(first, zone), local_day(last, zone).max(today)),
            None => (today, today),
        })
    }
}
