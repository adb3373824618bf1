//! What was earned over all time, per currency, and which part of it is still in hold.

use super::{FINAL_SETTINGS, ScopeFilter, ScopedQuery, Sql, TenantRow, push_limit_above};
use crate::warehouse::error::WarehouseError;
use crate::warehouse::rows::{currency_of, sum_of};
use clickhouse::Row;
use domain::ids::Timestamp;
use domain::money::Currency;
use serde::Deserialize;

/// The commission of the scope, by currency. What is no affiliate's earns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Balances {
    /// Commission of purchases from this moment on is in hold.
    pub held_from: Timestamp,
}

/// Commission in one currency, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Of the amounts.
    pub currency: Currency,
    /// Everything, after refunds.
    pub earned: i64,
    /// The part of `earned` whose purchase is too young to be paid.
    pub in_hold: i64,
}

/// No vendor sells in more currencies than there are.
const MOST_CURRENCIES: usize = 1_000;

#[doc(hidden)]
#[derive(Debug, Clone, Row, Deserialize)]
pub struct BalanceRow {
    vendor_id: u64,
    livemode: u8,
    currency: [u8; 3],
    earned: i128,
    held: i128,
}

impl TenantRow for BalanceRow {
    type Output = Balance;

    fn tenant(&self) -> (u64, u8) {
        (self.vendor_id, self.livemode)
    }

    fn convert(self, query: &'static str) -> Result<Balance, WarehouseError> {
        Ok(Balance {
            currency: currency_of(self.currency, query)?,
            earned: sum_of(self.earned, query)?,
            in_hold: sum_of(self.held, query)?,
        })
    }
}

impl ScopedQuery for Balances {
    type Row = BalanceRow;
    const NAME: &'static str = "balances";

    fn most_rows(&self) -> Option<usize> {
        Some(MOST_CURRENCIES)
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let mut sql = Sql::new("SELECT vendor_id, livemode, currency, sum(toInt128(commission)) AS earned, ");
        sql.push("sumIf(toInt128(commission), sale_at >= ").bind_time(self.held_from).push(") AS held ");
        filter.push_from_lines(&mut sql);
        sql.push(" AND affiliate_id != 0 GROUP BY vendor_id, livemode, currency ORDER BY currency");
        push_limit_above(&mut sql, MOST_CURRENCIES);
        sql.push(FINAL_SETTINGS);
        sql
    }
}
