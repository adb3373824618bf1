//! Ledger lines one by one.

use super::{FINAL_SETTINGS, ScopeFilter, ScopedQuery, Sql, Subject, push_limit_above, push_page_limit};
use crate::warehouse::rows::LineRow;
use crate::warehouse::scope_filter::TimeRange;
use domain::ids::{AffiliateId, PurchaseId, Timestamp};

/// Where a page ended: the next one starts after this line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineCursor {
    /// Time of the last line.
    pub occurred_at: Timestamp,
    /// Its offset.
    pub src_off: u64,
    /// Its number in the record.
    pub ord: u32,
}

/// A page of lines, oldest movement first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LinesPage {
    /// Only of this purchase.
    pub purchase: Option<PurchaseId>,
    /// Only this affiliate's; affiliate 0 means unattributed.
    pub affiliate: Option<AffiliateId>,
    /// Only in this range, by `occurred_at`.
    pub range: Option<TimeRange>,
    /// Only after this one.
    pub after: Option<LineCursor>,
    /// The most rows, at most [`super::MAX_PAGE_ROWS`].
    pub limit: u32,
}

fn push_columns(sql: &mut Sql) {
    sql.push("SELECT ").push(&schemas::warehouse::LEDGER_LINE_COLUMNS.join(", ")).push(" ");
}

impl ScopedQuery for LinesPage {
    type Row = LineRow;
    const NAME: &'static str = "lines_page";

    fn most_rows(&self) -> Option<usize> {
        None
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let mut sql = Sql::default();
        push_columns(&mut sql);
        filter.push_from_lines(&mut sql);
        ScopeFilter::push_range(&mut sql, "occurred_at", self.range);
        if let Some(purchase) = self.purchase {
            sql.push(" AND purchase_id = ").bind(purchase.0);
        }
        if let Some(affiliate) = self.affiliate {
            sql.push(" AND affiliate_id = ").bind(affiliate.0);
        }
        if let Some(after) = self.after {
            // The first condition lets the sort key skip the days that were read already.
            sql.push(" AND occurred_at >= ").bind_time(after.occurred_at);
            sql.push(" AND (occurred_at, src_off, ord) > (").bind_time(after.occurred_at);
            sql.push(", ").bind(after.src_off).push(", ").bind(u64::from(after.ord)).push(")");
        }
        sql.push(" ORDER BY occurred_at, src_off, ord");
        push_page_limit(&mut sql, self.limit);
        sql.push(FINAL_SETTINGS);
        sql
    }
}

/// The newest lines, the newest movement first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NewestLines {
    /// Only in this range, by `occurred_at`.
    pub range: Option<TimeRange>,
    /// Whose.
    pub of: Subject,
    /// The most rows, at most [`super::MAX_PAGE_ROWS`].
    pub limit: u32,
}

impl ScopedQuery for NewestLines {
    type Row = LineRow;
    const NAME: &'static str = "newest_lines";

    fn most_rows(&self) -> Option<usize> {
        None
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let mut sql = Sql::default();
        push_columns(&mut sql);
        filter.push_from_lines(&mut sql);
        ScopeFilter::push_range(&mut sql, "occurred_at", self.range);
        self.of.push(&mut sql, "affiliate_id", "code_id");
        sql.push(" ORDER BY occurred_at DESC, src_off DESC, ord DESC");
        push_page_limit(&mut sql, self.limit);
        sql.push(FINAL_SETTINGS);
        sql
    }
}

/// The lines of one purchase in the order in which they were booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PurchaseLines {
    /// Which purchase.
    pub purchase: PurchaseId,
}

/// The most lines of one purchase that are returned.
const MOST_LINES: usize = 5_000;

impl ScopedQuery for PurchaseLines {
    type Row = LineRow;
    const NAME: &'static str = "purchase_lines";

    fn most_rows(&self) -> Option<usize> {
        Some(MOST_LINES)
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let mut sql = Sql::default();
        push_columns(&mut sql);
        filter.push_from_lines(&mut sql);
        sql.push(" AND purchase_id = ").bind(self.purchase.0);
        sql.push(" ORDER BY src_off, ord");
        push_limit_above(&mut sql, MOST_LINES);
        sql.push(FINAL_SETTINGS);
        sql
    }
}
