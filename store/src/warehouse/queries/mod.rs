//! The warehouse's questions: each a struct of typed parameters that renders text and binds.

mod affiliate_sums;
mod balances;
mod bounds;
mod lines;
mod outcomes;
mod purchase_count;
mod purchases;
mod subject;
mod summary;
pub(crate) mod verify;

pub use affiliate_sums::{AffiliateSum, AffiliateSums};
pub use balances::{Balance, Balances};
pub use bounds::{LedgerBounds, TimeBounds};
pub use lines::{LineCursor, LinesPage, NewestLines, PurchaseLines};
pub use outcomes::{OutcomeCount, PurchaseOutcomes};
pub use purchase_count::PurchaseCount;
pub use purchases::{PurchaseCursor, PurchaseHistory, PurchasesById, PurchasesPage};
pub use subject::Subject;
pub use summary::{Grouping, LedgerSummary, OffsetSegment, QUARTER_HOUR_MS, SummaryRow};

use super::rows::TenantRow;
use super::scope_filter::ScopeFilter;
use super::sql::Sql;
use std::fmt::Debug;

/// A question about what one tenant may see.
pub trait ScopedQuery: Debug + Send + Sync {
    /// A row of the answer.
    type Row: TenantRow;

    /// Name in errors, logs and metrics.
    const NAME: &'static str;

    /// More rows than this are an error; `None` for pages, which are cut instead.
    fn most_rows(&self) -> Option<usize>;

    /// Text and binds. The filter's conditions always come first.
    fn render(&self, filter: &ScopeFilter) -> Sql;
}

/// The most rows of a page, whatever was asked for.
pub const MAX_PAGE_ROWS: u32 = 1_001;

/// Each partition of `ledger_lines` may be merged by itself: see the table's file.
pub(crate) const FINAL_SETTINGS: &str = " SETTINGS do_not_merge_across_partitions_select_final = 1";

/// ` LIMIT n`, one more than `most` so that an excess is seen.
pub(crate) fn push_limit_above(sql: &mut Sql, most: usize) {
    sql.push(" LIMIT ").bind(most as u64 + 1);
}

/// ` LIMIT n` of a page.
pub(crate) fn push_page_limit(sql: &mut Sql, limit: u32) {
    sql.push(" LIMIT ").bind(u64::from(limit.min(MAX_PAGE_ROWS)));
}
