//! From the warehouse's sums to the figures of pages.

use crate::model::Totals;
use crate::services::query_cache::Weigh;
use domain::line::{LedgerLine, PurchaseRow};
use domain::money::Currency;
use std::collections::BTreeMap;
use store::warehouse::queries::{Balance, OutcomeCount, SummaryRow, TimeBounds};

/// The figures of one group in one currency.
pub(crate) fn totals_of(row: &SummaryRow) -> Totals {
    Totals {
        currency: row.currency,
        redemptions: row.redemptions,
        conversions: row.conversions,
        sales: row.sales,
        gross: row.gross,
        revenue: row.net,
        refunded: row.refunded,
        commission: row.commission,
    }
}

/// Adds figures of the same currency. Sums of accepted amounts stay far from the limits, and
/// the warehouse has refused a sum that does not fit.
fn add(into: &mut Totals, other: &Totals) {
    into.redemptions += other.redemptions;
    into.conversions += other.conversions;
    into.sales += other.sales;
    into.gross = into.gross.saturating_add(other.gross);
    into.revenue = into.revenue.saturating_add(other.revenue);
    into.refunded = into.refunded.saturating_add(other.refunded);
    into.commission = into.commission.saturating_add(other.commission);
}

/// One entry per currency: sums over all groups of one grouping.
pub(crate) fn totals_per_currency<'a>(rows: impl Iterator<Item = &'a SummaryRow>) -> Vec<Totals> {
    let mut sums: BTreeMap<Currency, Totals> = BTreeMap::new();
    for row in rows {
        let totals = totals_of(row);
        sums.entry(row.currency).and_modify(|sum| add(sum, &totals)).or_insert(totals);
    }
    sums.into_values().collect()
}

/// Puts totals in the order of `currencies`; others follow in their own order.
pub(crate) fn order_by_currencies(totals: &mut [Totals], currencies: &[Currency]) {
    let rank = |currency: Currency| currencies.iter().position(|known| *known == currency).unwrap_or(currencies.len());
    totals.sort_by_key(|entry| (rank(entry.currency), entry.currency));
}

/// The currencies of totals, the one with the most sales first.
pub(crate) fn currencies_by_sales(totals: &[Totals]) -> Vec<Currency> {
    let mut order: Vec<&Totals> = totals.iter().collect();
    order.sort_by_key(|entry| (std::cmp::Reverse(entry.sales), entry.currency));
    order.iter().map(|entry| entry.currency).collect()
}

/// A row of an answer.
trait WeighRow {
    /// Bytes that it holds beside itself.
    fn beside(&self) -> usize {
        0
    }
}

impl<T: WeighRow> Weigh for Vec<T> {
    fn weigh(&self) -> usize {
        size_of::<Self>() + self.capacity() * size_of::<T>() + self.iter().map(WeighRow::beside).sum::<usize>()
    }
}

impl WeighRow for SummaryRow {}
impl WeighRow for OutcomeCount {}
impl WeighRow for LedgerLine {}
impl WeighRow for TimeBounds {}
impl WeighRow for Balance {}

impl WeighRow for PurchaseRow {
    fn beside(&self) -> usize {
        self.reason.len() + self.flags.iter().map(|flag| flag.len() + size_of::<String>()).sum::<usize>()
    }
}
