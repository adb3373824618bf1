//! Sums of the ledger per currency, grouped in one or more ways by one scan.

use super::{FINAL_SETTINGS, ScopeFilter, ScopedQuery, Sql, Subject, TenantRow, push_limit_above};
use crate::warehouse::error::WarehouseError;
use crate::warehouse::rows::{currency_of, sum_of};
use crate::warehouse::scope_filter::TimeRange;
use clickhouse::Row;
use domain::ids::Timestamp;
use domain::money::Currency;
use serde::Deserialize;

/// A quarter of an hour in milliseconds.
pub const QUARTER_HOUR_MS: i64 = 900_000;

const DAY_MS: i64 = 86_400_000;

/// From this moment on, until the next segment starts, local time is UTC plus `offset_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetSegment {
    /// First moment of the segment.
    pub starts_at: Timestamp,
    /// Local time minus UTC, in milliseconds.
    pub offset_ms: i64,
}

/// By what lines are put together. The key of each group is a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// One group of everything; key 0.
    Everything,
    /// By affiliate; the key is the affiliate id.
    Affiliate,
    /// By code; the key is the code id.
    Code,
    /// By local day; the key counts local days since 1970-01-01. The offsets come from the
    /// caller, so that one time zone database decides everywhere. The first segment also
    /// holds before its start.
    LocalDay(Vec<OffsetSegment>),
    /// By quarter of an hour since 1970; every zone in use begins its hours at one.
    QuarterHour,
}

/// Sums of the visible lines of a range.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LedgerSummary {
    /// Which lines, by `occurred_at`; `None` for all.
    pub range: Option<TimeRange>,
    /// Whose lines.
    pub of: Subject,
    /// The groupings; each group of each is a row of the answer. At most one is by time.
    pub groupings: Vec<Grouping>,
}

/// Sums of one group in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SummaryRow {
    /// Index of the grouping in [`LedgerSummary::groupings`].
    pub grouping: usize,
    /// Key of the group.
    pub key: i64,
    /// Currency of the amounts.
    pub currency: Currency,
    /// Uses of a code that are first sales.
    pub redemptions: i64,
    /// First payments.
    pub conversions: i64,
    /// Purchases with something paid.
    pub sales: i64,
    /// With tax, after refunds.
    pub gross: i64,
    /// Net after refunds.
    pub net: i64,
    /// Net taken back (positive).
    pub refunded: i64,
    /// Commission after refunds.
    pub commission: i64,
}

/// The most groups of one answer.
const MOST_GROUPS: usize = 50_000;

/// Lines that belong to the sale itself rather than to a refund, dispute, credit note or void.
/// A line that moves or corrects keeps the time of what it moves, and a sale's own time is the
/// purchase's `sale_at`.
pub(super) const OF_THE_SALE: &str =
    "(kind = 'sale' OR (kind IN ('move_out', 'move_in', 'correct') AND occurred_at = sale_at))";

#[doc(hidden)]
#[derive(Debug, Clone, Row, Deserialize)]
pub struct SummaryAnswer {
    vendor_id: u64,
    livemode: u8,
    grouping: u8,
    key: i64,
    currency: [u8; 3],
    all_redemptions: i128,
    all_conversions: i128,
    sales: i64,
    all_gross: i128,
    all_net: i128,
    all_refunded: i128,
    all_commission: i128,
}

impl TenantRow for SummaryAnswer {
    type Output = SummaryRow;

    fn tenant(&self) -> (u64, u8) {
        (self.vendor_id, self.livemode)
    }

    fn convert(self, query: &'static str) -> Result<SummaryRow, WarehouseError> {
        Ok(SummaryRow {
            grouping: usize::from(self.grouping),
            key: self.key,
            currency: currency_of(self.currency, query)?,
            redemptions: sum_of(self.all_redemptions, query)?,
            conversions: sum_of(self.all_conversions, query)?,
            sales: self.sales,
            gross: sum_of(self.all_gross, query)?,
            net: sum_of(self.all_net, query)?,
            refunded: sum_of(self.all_refunded, query)?,
            commission: sum_of(self.all_commission, query)?,
        })
    }
}

impl LedgerSummary {
    /// The columns that the groupings need of each purchase, with their aliases.
    fn push_group_columns(&self, sql: &mut Sql) {
        for grouping in &self.groupings {
            match grouping {
                Grouping::Everything => {}
                Grouping::Affiliate => {
                    sql.push(", affiliate_id");
                }
                Grouping::Code => {
                    sql.push(", code_id");
                }
                Grouping::LocalDay(segments) => {
                    sql.push(", ");
                    push_local_day(sql, segments);
                    sql.push(" AS time_key");
                }
                Grouping::QuarterHour => {
                    sql.push(", intDiv(toUnixTimestamp64Milli(occurred_at), ")
                        .bind(QUARTER_HOUR_MS)
                        .push(") AS time_key");
                }
            }
        }
    }

    fn column_names(&self) -> impl Iterator<Item = &'static str> {
        self.groupings.iter().filter_map(key_column)
    }
}

/// The column of the inner query that holds a grouping's key.
fn key_column(grouping: &Grouping) -> Option<&'static str> {
    match grouping {
        Grouping::Everything => None,
        Grouping::Affiliate => Some("affiliate_id"),
        Grouping::Code => Some("code_id"),
        Grouping::LocalDay(_) | Grouping::QuarterHour => Some("time_key"),
    }
}

/// Days since 1970-01-01 of the local time. A day is added and taken away again because
/// `intDiv` rounds towards zero and local time may lie before 1970.
fn push_local_day(sql: &mut Sql, segments: &[OffsetSegment]) {
    sql.push("intDiv(toUnixTimestamp64Milli(occurred_at) + ");
    match segments {
        [] => {
            sql.bind(0i64);
        }
        [only] => {
            sql.bind(only.offset_ms);
        }
        [first, later @ ..] => {
            sql.push("multiIf(");
            // The latest segment that has begun decides, so the last is asked first.
            for segment in later.iter().rev() {
                sql.push("occurred_at >= ").bind_time(segment.starts_at).push(", ").bind(segment.offset_ms).push(", ");
            }
            sql.bind(first.offset_ms).push(")");
        }
    }
    sql.push(" + ").bind(DAY_MS).push(", ").bind(DAY_MS).push(") - 1");
}

impl ScopedQuery for LedgerSummary {
    type Row = SummaryAnswer;
    const NAME: &'static str = "ledger_summary";

    fn most_rows(&self) -> Option<usize> {
        Some(MOST_GROUPS)
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let mut sql = Sql::new("SELECT vendor_id, livemode, slot.1 AS grouping, slot.2 AS key, currency");
        sql.push(
            ", sum(redeemed) AS all_redemptions, sum(converted) AS all_conversions, sum(toInt64(sign(sale_gross))) AS sales\
             , sum(grossed) AS all_gross, sum(netted) AS all_net, negate(sum(taken_back)) AS all_refunded\
             , sum(earned) AS all_commission ",
        );
        // Per purchase first: a sale counts once, however many lines moved or corrected it.
        sql.push("FROM (SELECT vendor_id, livemode");
        self.push_group_columns(&mut sql);
        sql.push(
            ", currency, purchase_id, sum(toInt128(redemptions)) AS redeemed, sum(toInt128(conversions)) AS converted\
             , sum(toInt128(gross)) AS grossed, sum(toInt128(net)) AS netted, sum(toInt128(commission)) AS earned, ",
        );
        sql.push("sumIf(toInt128(gross), ").push(OF_THE_SALE).push(") AS sale_gross, ");
        sql.push("sumIf(toInt128(net), NOT ").push(OF_THE_SALE).push(") AS taken_back ");
        filter.push_from_lines(&mut sql);
        ScopeFilter::push_range(&mut sql, "occurred_at", self.range);
        self.of.push(&mut sql, "affiliate_id", "code_id");
        sql.push(" GROUP BY vendor_id, livemode");
        for column in self.column_names() {
            sql.push(", ").push(column);
        }
        sql.push(", currency, purchase_id) ARRAY JOIN [");
        for (index, grouping) in self.groupings.iter().enumerate() {
            sql.push(if index == 0 { "(toUInt8(" } else { ", (toUInt8(" }).bind(index as u64);
            sql.push("), toInt64(").push(key_column(grouping).unwrap_or("0")).push("))");
        }
        sql.push("] AS slot GROUP BY vendor_id, livemode, grouping, key, currency ORDER BY grouping, key, currency");
        push_limit_above(&mut sql, MOST_GROUPS);
        sql.push(FINAL_SETTINGS);
        sql
    }
}
