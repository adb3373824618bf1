//! When the visible ledger begins and ends.

use super::{ScopeFilter, ScopedQuery, Sql, TenantRow};
use crate::warehouse::error::WarehouseError;
use clickhouse::Row;
use domain::ids::Timestamp;
use serde::Deserialize;

/// First and last `occurred_at` of the visible lines. No row when there is none.
#[derive(Debug, Clone, Copy)]
pub struct LedgerBounds;

/// The answer to [`LedgerBounds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBounds {
    /// Time of the earliest line.
    pub first: Timestamp,
    /// Time of the latest line.
    pub last: Timestamp,
}

#[doc(hidden)]
#[derive(Debug, Clone, Row, Deserialize)]
pub struct BoundsRow {
    vendor_id: u64,
    livemode: u8,
    first: i64,
    last: i64,
}

impl TenantRow for BoundsRow {
    type Output = TimeBounds;

    fn tenant(&self) -> (u64, u8) {
        (self.vendor_id, self.livemode)
    }

    fn convert(self, _query: &'static str) -> Result<TimeBounds, WarehouseError> {
        Ok(TimeBounds { first: Timestamp(self.first), last: Timestamp(self.last) })
    }
}

impl ScopedQuery for LedgerBounds {
    type Row = BoundsRow;
    const NAME: &'static str = "ledger_bounds";

    fn most_rows(&self) -> Option<usize> {
        Some(1)
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let mut sql = Sql::new("SELECT vendor_id, livemode, min(occurred_at) AS first, max(occurred_at) AS last ");
        // Copies of a line do not move the first and the last, so FINAL is not needed.
        filter.push_from_line_copies(&mut sql);
        sql.push(" GROUP BY vendor_id, livemode");
        super::push_limit_above(&mut sql, 1);
        sql
    }
}
