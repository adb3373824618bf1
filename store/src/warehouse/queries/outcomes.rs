//! How many purchases ended how.

use super::{ScopeFilter, ScopedQuery, Sql, Subject, TenantRow, push_limit_above};
use crate::warehouse::error::WarehouseError;
use crate::warehouse::rows::outcome_of;
use clickhouse::Row;
use domain::line::PurchaseOutcome;
use serde::Deserialize;

/// Counts of the visible purchases by outcome, as they stand at the watermark. A purchase that
/// turned out to be another one is not counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct PurchaseOutcomes {
    /// Whose purchases, as they stand.
    pub of: Subject,
}

/// One count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeCount {
    /// Which outcome.
    pub outcome: PurchaseOutcome,
    /// How many purchases.
    pub purchases: u64,
}

#[doc(hidden)]
#[derive(Debug, Clone, Row, Deserialize)]
pub struct OutcomeRow {
    vendor_id: u64,
    livemode: u8,
    standing: i8,
    purchases: u64,
}

impl TenantRow for OutcomeRow {
    type Output = OutcomeCount;

    fn tenant(&self) -> (u64, u8) {
        (self.vendor_id, self.livemode)
    }

    fn convert(self, query: &'static str) -> Result<OutcomeCount, WarehouseError> {
        Ok(OutcomeCount { outcome: outcome_of(self.standing, query)?, purchases: self.purchases })
    }
}

/// One row per outcome.
const MOST_OUTCOMES: usize = 8;

impl ScopedQuery for PurchaseOutcomes {
    type Row = OutcomeRow;
    const NAME: &'static str = "purchase_outcomes";

    fn most_rows(&self) -> Option<usize> {
        Some(MOST_OUTCOMES)
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let mut sql = Sql::new("SELECT vendor_id, livemode, standing, count() AS purchases FROM (");
        filter.push_latest_purchases(&mut sql);
        self.of.push(&mut sql, "owner", "used_code");
        sql.push(") GROUP BY vendor_id, livemode, standing ORDER BY standing");
        push_limit_above(&mut sql, MOST_OUTCOMES);
        sql
    }
}
