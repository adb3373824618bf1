//! Sums over the invented purchases, done plainly.

use super::TIME_ZONE;
use crate::backend::{BackendError, DashboardQuery};
use crate::range::{RangeChoice, days_between};
use crate::times;
use api::export::{AffiliateSum, Payee, PayeeStatus, PayoutReport};
use api::model::{
    Bucket, Dashboard, DateRange, Earlier, ExplorerFilter, ExplorerPage, GroupTotals, OutcomeCounts, PurchaseItem,
    SeriesPoint, Totals, Watermark,
};
use api::services::{Comparison, Subject};
use domain::ids::{AffiliateId, Timestamp};
use domain::line::PurchaseOutcome;
use domain::money::Currency;
use jiff::civil::{Date, DateTime};
use jiff::{Span, ToSpan};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The purchases of one vendor and mode, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    items: Vec<PurchaseItem>,
}

impl Book {
    pub(super) fn new(items: Vec<PurchaseItem>) -> Book {
        Book { items }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn next_offset(&self) -> u64 {
        self.items.len() as u64
    }

    pub(super) fn add(&mut self, item: PurchaseItem) {
        self.items.push(item);
    }

    pub(super) fn find(&self, business_key: &str) -> Option<&PurchaseItem> {
        self.items.iter().find(|item| item.business_key == business_key)
    }

    fn watermark(&self, now: Timestamp) -> Watermark {
        Watermark { generation: 1, partition: 0, next_offset: self.next_offset(), as_of: now }
    }

    fn within(&self, from: Date, to: Date) -> Vec<&PurchaseItem> {
        self.items.iter().filter(|item| (from..=to).contains(&times::day(item.sale_at, TIME_ZONE))).collect()
    }

    /// Only what is this affiliate's, or came by this code.
    pub(super) fn of(&self, subject: Subject) -> Book {
        let is_theirs = |item: &&PurchaseItem| match subject {
            Subject::All => true,
            Subject::Affiliate(affiliate) => item.affiliate == affiliate,
            Subject::Code(code) => item.code == code,
        };
        Book { items: self.items.iter().filter(is_theirs).cloned().collect() }
    }

    pub(super) fn dashboard(&self, query: &DashboardQuery, now: Timestamp) -> Dashboard {
        let today = times::day(now, TIME_ZONE);
        let (from, to) = query.range.resolve(today);
        let days = days_between(from, to);
        let items = self.within(from, to);
        let back = match query.against {
            Comparison::PeriodBefore => Some(days.days()),
            Comparison::YearBefore => Some(1.year()),
            Comparison::Nothing => None,
        };
        let totals = totals(&items);
        let currencies: Vec<Currency> = totals.iter().map(|totals| totals.currency).collect();
        let bucket = query.bucket.unwrap_or(if days <= 2 {
            Bucket::Hour
        } else if days <= 92 {
            Bucket::Day
        } else {
            Bucket::Month
        });
        let group = |of: fn(&PurchaseItem) -> (String, String)| grouped(&items, of);
        Dashboard {
            watermark: self.watermark(now),
            range: DateRange { from, to, time_zone: TIME_ZONE.into() },
            bucket,
            series: series(&items, &currencies, bucket, (from, to), now),
            earlier: back.map(|back| self.earlier((from, to), back, bucket, &currencies)),
            active_affiliates: active(&items),
            affiliates: group(|item| (item.affiliate_key.clone(), item.affiliate_name.clone())),
            codes: group(|item| (item.code_text.clone(), item.code_text.clone())),
            feed: self.items.iter().rev().take(20).cloned().collect(),
            outcomes: self.outcomes(),
            totals,
            currencies,
        }
    }

    /// The same days this much earlier. Good enough for samples: its series is cut like that of the range itself.
    fn earlier(&self, (from, to): (Date, Date), back: Span, bucket: Bucket, currencies: &[Currency]) -> Earlier {
        let (from, to) = (from.saturating_sub(back), to.saturating_sub(back));
        let items = self.within(from, to);
        let never = Timestamp(4_000_000_000_000);
        Earlier {
            range: DateRange { from, to, time_zone: TIME_ZONE.into() },
            totals: totals(&items),
            active_affiliates: active(&items),
            series: series(&items, currencies, bucket, (from, to), never),
        }
    }

    pub(super) fn payouts(&self, range: RangeChoice, now: Timestamp) -> PayoutReport {
        let (from, to) = range.resolve(times::day(now, TIME_ZONE));
        let mut payees = HashMap::new();
        let mut owned: BTreeMap<AffiliateId, Vec<&PurchaseItem>> = BTreeMap::new();
        for item in self.within(from, to).into_iter().filter(|item| item.affiliate.0 != 0) {
            owned.entry(item.affiliate).or_default().push(item);
            payees.entry(item.affiliate).or_insert_with(|| Payee {
                name: item.affiliate_name.clone(),
                key: item.affiliate_key.clone(),
                email: None,
                status: PayeeStatus::Active,
                payout_address: String::new(),
            });
        }
        let of_one = |(affiliate, items): (AffiliateId, Vec<&PurchaseItem>)| {
            totals(&items).into_iter().map(move |totals| AffiliateSum {
                affiliate,
                currency: totals.currency,
                redemptions: totals.redemptions,
                revenue: totals.revenue,
                refunds: totals.refunded,
                commission: totals.commission,
            })
        };
        let sums = owned.into_iter().flat_map(of_one).collect();
        let range = DateRange { from, to, time_zone: TIME_ZONE.into() };
        PayoutReport { watermark: self.watermark(now), range, sums, payees }
    }

    fn outcomes(&self) -> OutcomeCounts {
        let number = |outcome| self.items.iter().filter(|item| item.outcome == outcome).count() as u64;
        OutcomeCounts {
            credited: number(PurchaseOutcome::Credited),
            organic: number(PurchaseOutcome::Organic),
            rejected: number(PurchaseOutcome::Rejected),
            waiting: number(PurchaseOutcome::Waiting),
            refused: u64::from(self.items.len() > 100) * 2,
        }
    }

    pub(super) fn explorer(
        &self,
        filter: &ExplorerFilter,
        cursor: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<ExplorerPage, BackendError> {
        let bad = || BackendError::BadQuery {
            field: "cursor",
            message: "This page has moved; start again from the newest.".into(),
        };
        let below: u64 = cursor.map_or(Ok(u64::MAX), |text| text.parse().map_err(|_| bad()))?;
        let mut found = self.items.iter().rev().filter(|item| item.purchase.0 < below && matches(item, filter));
        let items: Vec<PurchaseItem> = found.by_ref().take(limit as usize).cloned().collect();
        let next = found.next().and(items.last()).map(|last| last.purchase.to_string());
        Ok(ExplorerPage { watermark: self.watermark(now), items, next })
    }
}

fn active(items: &[&PurchaseItem]) -> u64 {
    let known = items.iter().filter(|item| item.affiliate.0 != 0);
    known.map(|item| item.affiliate).collect::<BTreeSet<_>>().len() as u64
}

fn matches(item: &PurchaseItem, filter: &ExplorerFilter) -> bool {
    filter.affiliate.as_ref().is_none_or(|affiliate| item.affiliate_key == *affiliate)
        && filter.code.as_ref().is_none_or(|code| item.code_text.eq_ignore_ascii_case(code))
        && filter.outcome.is_none_or(|outcome| item.outcome == outcome)
        && filter.currency.is_none_or(|currency| item.currency == currency)
        && filter.search.as_ref().is_none_or(|text| item.business_key.contains(text.as_str()))
        && (!filter.redemptions_only || item.redemption)
        && filter.from.is_none_or(|from| times::day(item.sale_at, TIME_ZONE) >= from)
        && filter.to.is_none_or(|to| times::day(item.sale_at, TIME_ZONE) <= to)
}

fn totals(items: &[&PurchaseItem]) -> Vec<Totals> {
    let mut found: Vec<Totals> = Vec::new();
    for item in items {
        let at = found.iter().position(|totals| totals.currency == item.currency).unwrap_or_else(|| {
            found.push(Totals {
                currency: item.currency,
                redemptions: 0,
                conversions: 0,
                sales: 0,
                gross: 0,
                revenue: 0,
                refunded: 0,
                commission: 0,
            });
            found.len() - 1
        });
        let totals = &mut found[at];
        totals.redemptions += i64::from(item.redemption);
        totals.conversions += i64::from(item.sale_kind == "first");
        totals.sales += 1;
        totals.gross += item.gross - item.reversed;
        totals.revenue += item.net - item.reversed;
        totals.refunded += item.reversed;
        totals.commission += item.commission;
    }
    found.sort_by_key(|totals| -totals.sales);
    found
}

fn grouped(items: &[&PurchaseItem], of: fn(&PurchaseItem) -> (String, String)) -> Vec<GroupTotals> {
    let keys: BTreeSet<(String, String)> = items.iter().map(|item| of(item)).collect();
    let mut groups: Vec<GroupTotals> = keys
        .into_iter()
        .map(|(group, label)| {
            let own: Vec<&PurchaseItem> = items.iter().copied().filter(|item| of(item).0 == group).collect();
            let number = own.first().map_or(0, |item| item.code.0);
            GroupTotals { group, label, number, totals: totals(&own) }
        })
        .collect();
    groups.sort_by_key(|group| (group.group.is_empty(), group.totals.first().map(|totals| -totals.commission)));
    groups
}

/// Bucket starts as local times, with gaps filled.
fn series(
    items: &[&PurchaseItem],
    currencies: &[Currency],
    bucket: Bucket,
    (from, to): (Date, Date),
    now: Timestamp,
) -> Vec<SeriesPoint> {
    let (step, pattern) = match bucket {
        Bucket::Hour => (1.hour(), "%H:%M"),
        Bucket::Day => (1.day(), "%-d %b"),
        Bucket::Week => (1.week(), "%-d %b"),
        Bucket::Month => (1.month(), "%b %Y"),
    };
    let local = |at: Timestamp| zoned(at).datetime();
    let mut start = from.at(0, 0, 0, 0);
    let end = to.saturating_add(1.day()).at(0, 0, 0, 0).min(local(now));
    let mut points = Vec::new();
    while start <= end {
        let next = start.saturating_add(step);
        let own: Vec<&PurchaseItem> =
            items.iter().copied().filter(|item| (start..next).contains(&local(item.sale_at))).collect();
        points.push(point(&own, currencies, start, next > local(now), pattern));
        start = next;
    }
    points
}

fn point(
    items: &[&PurchaseItem],
    currencies: &[Currency],
    start: DateTime,
    partial: bool,
    pattern: &str,
) -> SeriesPoint {
    let totals = totals(items);
    let per_currency = |of: fn(&Totals) -> i64| {
        let sum = |currency: &Currency| totals.iter().find(|totals| totals.currency == *currency).map_or(0, of);
        currencies.iter().map(sum).collect()
    };
    let starts_at = start.in_tz(TIME_ZONE).map(|zoned| zoned.timestamp().as_millisecond()).unwrap_or_default();
    SeriesPoint {
        starts_at: Timestamp(starts_at),
        label: start.strftime(pattern).to_string(),
        partial,
        redemptions: totals.iter().map(|totals| totals.redemptions).sum(),
        revenue: per_currency(|totals| totals.revenue),
        commission: per_currency(|totals| totals.commission),
    }
}

fn zoned(at: Timestamp) -> jiff::Zoned {
    let moment = jiff::Timestamp::from_millisecond(at.0).expect("the sample data lies in our time");
    moment.in_tz(TIME_ZONE).expect("the time zones are bundled")
}
