//! How many purchases a list has.

use super::{PurchasesPage, ScopeFilter, ScopedQuery, Sql, TenantRow, push_limit_above};
use crate::warehouse::error::WarehouseError;
use clickhouse::Row;
use serde::Deserialize;

/// Counts the purchases that match the filters of a page; its place and its limit are of no meaning here. No row when
/// there is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PurchaseCount(pub PurchasesPage);

#[doc(hidden)]
#[derive(Debug, Clone, Row, Deserialize)]
pub struct CountRow {
    vendor_id: u64,
    livemode: u8,
    purchases: u64,
}

impl TenantRow for CountRow {
    type Output = u64;

    fn tenant(&self) -> (u64, u8) {
        (self.vendor_id, self.livemode)
    }

    fn convert(self, _query: &'static str) -> Result<u64, WarehouseError> {
        Ok(self.purchases)
    }
}

impl ScopedQuery for PurchaseCount {
    type Row = CountRow;
    const NAME: &'static str = "purchase_count";

    fn most_rows(&self) -> Option<usize> {
        Some(1)
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let mut sql = Sql::new("SELECT vendor_id, livemode, count() AS purchases FROM (");
        filter.push_latest_purchases(&mut sql);
        self.0.push_filters(&mut sql, filter);
        sql.push(") GROUP BY vendor_id, livemode");
        push_limit_above(&mut sql, 1);
        sql.push(super::FINAL_SETTINGS);
        sql
    }
}
