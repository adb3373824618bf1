//! What each affiliate earned in a range, per currency.

use super::summary::OF_THE_SALE;
use super::{FINAL_SETTINGS, ScopeFilter, ScopedQuery, Sql, TenantRow, push_limit_above};
use crate::warehouse::error::WarehouseError;
use crate::warehouse::rows::{currency_of, sum_of};
use crate::warehouse::scope_filter::TimeRange;
use clickhouse::Row;
use domain::ids::AffiliateId;
use domain::money::Currency;
use serde::Deserialize;

/// The sums of every affiliate with a visible line in a range; lines of no affiliate are left out. Currency by currency,
/// the most commission first, then by number: the same lines always come in the same order.
///
/// The sums are those of [`super::LedgerSummary`] by affiliate. It has a limit of its own, because it is read for a file
/// and not kept, and it needs no sums per purchase, because it counts no sales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AffiliateSums {
    /// Which lines, by `occurred_at`; `None` for all.
    pub range: Option<TimeRange>,
    /// More rows than this are an error.
    pub most_rows: usize,
}

/// Sums of one affiliate in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AffiliateSum {
    /// Who.
    pub affiliate: AffiliateId,
    /// Currency of the amounts.
    pub currency: Currency,
    /// Uses of a code that are first sales.
    pub redemptions: i64,
    /// Net after refunds, in minor units.
    pub revenue: i64,
    /// Net taken back (positive), in minor units.
    pub refunds: i64,
    /// Commission after refunds, in minor units.
    pub commission: i64,
}

#[doc(hidden)]
#[derive(Debug, Clone, Row, Deserialize)]
pub struct AffiliateSumRow {
    vendor_id: u64,
    livemode: u8,
    affiliate_id: u64,
    currency: [u8; 3],
    all_redemptions: i64,
    all_net: i128,
    all_refunded: i128,
    all_commission: i128,
}

impl TenantRow for AffiliateSumRow {
    type Output = AffiliateSum;

    fn tenant(&self) -> (u64, u8) {
        (self.vendor_id, self.livemode)
    }

    fn affiliate(&self) -> Option<u64> {
        Some(self.affiliate_id)
    }

    fn convert(self, query: &'static str) -> Result<AffiliateSum, WarehouseError> {
        Ok(AffiliateSum {
            affiliate: AffiliateId(self.affiliate_id),
            currency: currency_of(self.currency, query)?,
            redemptions: self.all_redemptions,
            revenue: sum_of(self.all_net, query)?,
            refunds: sum_of(self.all_refunded, query)?,
            commission: sum_of(self.all_commission, query)?,
        })
    }
}

impl ScopedQuery for AffiliateSums {
    type Row = AffiliateSumRow;
    const NAME: &'static str = "affiliate_sums";

    fn most_rows(&self) -> Option<usize> {
        Some(self.most_rows)
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let mut sql = Sql::new(
            "SELECT vendor_id, livemode, affiliate_id, currency, sum(toInt64(redemptions)) AS all_redemptions\
             , sum(toInt128(net)) AS all_net, negate(sumIf(toInt128(net), NOT ",
        );
        sql.push(OF_THE_SALE).push(")) AS all_refunded, sum(toInt128(commission)) AS all_commission ");
        filter.push_from_lines(&mut sql);
        ScopeFilter::push_range(&mut sql, "occurred_at", self.range);
        sql.push(" AND affiliate_id != 0 GROUP BY vendor_id, livemode, affiliate_id, currency");
        sql.push(" ORDER BY currency, all_commission DESC, affiliate_id");
        push_limit_above(&mut sql, self.most_rows);
        sql.push(FINAL_SETTINGS);
        sql
    }
}
