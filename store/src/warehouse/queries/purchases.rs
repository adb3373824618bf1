//! Purchases as they stand at the watermark.

use super::{FINAL_SETTINGS, MAX_PAGE_ROWS, ScopeFilter, ScopedQuery, Sql, push_limit_above, push_page_limit};
use crate::warehouse::rows::PurchaseChangeRow;
use crate::warehouse::scope_filter::TimeRange;
use domain::ids::{AffiliateId, CodeId, PurchaseId, Timestamp};
use domain::line::PurchaseOutcome;
use domain::money::Currency;

/// Where a page ended: the next one starts after this purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PurchaseCursor {
    /// Time of the last purchase's sale.
    pub sale_at: Timestamp,
    /// The last purchase.
    pub purchase: PurchaseId,
}

/// A page of purchases, newest sale first, each as it stands at the watermark.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PurchasesPage {
    /// Only this affiliate's.
    pub affiliate: Option<AffiliateId>,
    /// Only with one of these codes, when set. An empty list matches nothing.
    pub codes: Option<Vec<CodeId>>,
    /// Only with this outcome.
    pub outcome: Option<PurchaseOutcome>,
    /// Only in this currency.
    pub currency: Option<Currency>,
    /// Only these purchases, when set. An empty list matches nothing.
    pub purchases: Option<Vec<PurchaseId>>,
    /// Only uses of a code.
    pub redemptions_only: bool,
    /// Only sold in this range.
    pub sold: Option<TimeRange>,
    /// Only with this gross amount, in minor units, at some time: whoever asks looks at what is found once more.
    pub gross: Option<i64>,
    /// Only after this one.
    pub after: Option<PurchaseCursor>,
    /// The most rows, at most [`super::MAX_PAGE_ROWS`].
    pub limit: u32,
}

impl PurchasesPage {
    pub(super) fn push_filters(&self, sql: &mut Sql, filter: &ScopeFilter) {
        if let Some(affiliate) = self.affiliate {
            sql.push(" AND owner = ").bind(affiliate.0);
        }
        if let Some(codes) = &self.codes {
            sql.push(" AND has(").bind(numbers(codes.iter().map(|code| code.0))).push(", used_code)");
        }
        if let Some(outcome) = self.outcome {
            sql.push(" AND standing = ").bind(outcome.name());
        }
        if let Some(currency) = self.currency {
            sql.push(" AND paid_in = ").bind(currency.as_str());
        }
        if let Some(purchases) = &self.purchases {
            sql.push(" AND has(").bind(numbers(purchases.iter().map(|purchase| purchase.0))).push(", purchase_id)");
        }
        if self.redemptions_only {
            sql.push(" AND purchase_id IN (SELECT purchase_id ");
            filter.push_from_lines(sql);
            sql.push(" GROUP BY purchase_id HAVING sum(redemptions) > 0)");
        }
        ScopeFilter::push_range(sql, "sold", self.sold);
        if let Some(gross) = self.gross {
            sql.push(" AND purchase_id IN (SELECT purchase_id ");
            filter.push_from_purchase_changes(sql);
            sql.push(" AND gross = ").bind(gross).push(")");
        }
        if let Some(after) = self.after {
            sql.push(" AND (sold, purchase_id) < (")
                .bind_time(after.sale_at)
                .push(", ")
                .bind(after.purchase.0)
                .push(")");
        }
    }
}

fn numbers(ids: impl Iterator<Item = u64>) -> Vec<u64> {
    ids.collect()
}

/// The columns of a purchase, in the order of the row.
fn push_columns(sql: &mut Sql) {
    sql.push("SELECT ").push(&schemas::warehouse::PURCHASE_COLUMNS.join(", ")).push(" ");
}

impl ScopedQuery for PurchasesPage {
    type Row = PurchaseChangeRow;
    const NAME: &'static str = "purchases_page";

    fn most_rows(&self) -> Option<usize> {
        None
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let mut sql = Sql::default();
        // The page is chosen by narrow columns; texts and flags are read for its rows only.
        push_columns(&mut sql);
        filter.push_from_purchase_changes(&mut sql);
        sql.push(" AND (purchase_id, src_off) IN (SELECT purchase_id, last_off FROM (");
        filter.push_latest_purchases(&mut sql);
        self.push_filters(&mut sql, filter);
        sql.push(" ORDER BY sold DESC, purchase_id DESC");
        push_page_limit(&mut sql, self.limit);
        // A change may have been written twice.
        sql.push(")) ORDER BY sale_at DESC, purchase_id DESC LIMIT 1 BY purchase_id");
        push_page_limit(&mut sql, self.limit);
        sql.push(FINAL_SETTINGS);
        sql
    }
}

/// Some purchases by their number, as they stand at the watermark. Merged ones are left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PurchasesById {
    /// Which, at most [`super::MAX_PAGE_ROWS`].
    pub purchases: Vec<PurchaseId>,
}

impl ScopedQuery for PurchasesById {
    type Row = PurchaseChangeRow;
    const NAME: &'static str = "purchases_by_id";

    fn most_rows(&self) -> Option<usize> {
        Some(MAX_PAGE_ROWS as usize)
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let page =
            PurchasesPage { purchases: Some(self.purchases.clone()), limit: MAX_PAGE_ROWS, ..PurchasesPage::default() };
        page.render(filter)
    }
}

/// Every change of one purchase, oldest first. Only for a vendor's own eyes: the changes of a
/// purchase that moved name its former affiliate, so an affiliate's scope sees its own only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PurchaseHistory {
    /// Which purchase.
    pub purchase: PurchaseId,
}

/// The most changes of one purchase that are returned.
const MOST_CHANGES: usize = 1_000;

impl ScopedQuery for PurchaseHistory {
    type Row = PurchaseChangeRow;
    const NAME: &'static str = "purchase_history";

    fn most_rows(&self) -> Option<usize> {
        Some(MOST_CHANGES)
    }

    fn render(&self, filter: &ScopeFilter) -> Sql {
        let mut sql = Sql::default();
        push_columns(&mut sql);
        filter.push_from_visible_purchase_changes(&mut sql);
        sql.push(" AND purchase_id = ").bind(self.purchase.0);
        sql.push(" ORDER BY src_off LIMIT 1 BY src_off");
        push_limit_above(&mut sql, MOST_CHANGES);
        sql
    }
}
