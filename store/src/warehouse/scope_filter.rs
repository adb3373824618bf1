//! The one place that turns a [`TenantScope`] and a [`Watermark`] into conditions.

use super::sql::Sql;
use crate::scope::TenantScope;
use domain::ids::{AffiliateId, Mode, Timestamp, VendorId};
use serde::{Deserialize, Serialize};

/// Up to where a page reads. Every query of one page uses the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Watermark {
    /// Generation of the log.
    pub generation: u16,
    /// The vendor's partition.
    pub partition: u16,
    /// Lines with `src_off` below this number are visible (one past the last).
    pub next_offset: u64,
}

/// From `from` on, up to but without `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First moment.
    pub from: Timestamp,
    /// First moment after it.
    pub to: Timestamp,
}

/// A scope at a watermark, as conditions of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScopeFilter {
    pub(crate) vendor: VendorId,
    pub(crate) mode: Mode,
    pub(crate) affiliate: Option<AffiliateId>,
    pub(crate) visible_from: Option<Timestamp>,
    pub(crate) watermark: Watermark,
}

impl ScopeFilter {
    /// What `scope` may see up to `watermark`.
    pub fn new(scope: &TenantScope, watermark: &Watermark) -> ScopeFilter {
        ScopeFilter {
            vendor: scope.vendor(),
            mode: scope.mode(),
            affiliate: scope.affiliate(),
            visible_from: scope.visible_from(),
            watermark: *watermark,
        }
    }

    /// `FROM ledger_lines FINAL WHERE ...` with every condition of the scope.
    ///
    /// FINAL merges each partition by itself, see the table's file for why that is exact.
    pub(crate) fn push_from_lines(&self, sql: &mut Sql) {
        sql.push("FROM ledger_lines FINAL WHERE ");
        self.push_tenant(sql);
        self.push_row_conditions(sql, "affiliate_id", "occurred_at");
    }

    /// The same without FINAL, for questions whose answer copies cannot change.
    pub(crate) fn push_from_line_copies(&self, sql: &mut Sql) {
        sql.push("FROM ledger_lines WHERE ");
        self.push_tenant(sql);
        self.push_row_conditions(sql, "affiliate_id", "occurred_at");
    }

    /// A table of every visible purchase as it stands at the watermark: `vendor_id`, `livemode`,
    /// `purchase_id`, `last_off`, `sold`, `standing`, `owner`, `used_code`, `paid_in`.
    ///
    /// Affiliate and window are asked of the last row of a purchase: an earlier row may
    /// still name the affiliate from whom it was moved away.
    pub(crate) fn push_latest_purchases(&self, sql: &mut Sql) {
        sql.push(
            "SELECT vendor_id, livemode, purchase_id, last_off, sold, standing, owner, used_code, paid_in FROM \
             (SELECT vendor_id, livemode, purchase_id, max(src_off) AS last_off, argMax(sale_at, src_off) AS sold, \
             argMax(outcome, src_off) AS standing, argMax(affiliate_id, src_off) AS owner, \
             argMax(code_id, src_off) AS used_code, argMax(currency, src_off) AS paid_in FROM purchases WHERE ",
        );
        self.push_tenant(sql);
        sql.push(" GROUP BY vendor_id, livemode, purchase_id) WHERE standing != 'merged'");
        self.push_row_conditions(sql, "owner", "sold");
    }

    /// `FROM purchases WHERE ...`: every change of the tenant's purchases. Only for reading rows
    /// that were chosen from [`ScopeFilter::push_latest_purchases`].
    pub(crate) fn push_from_purchase_changes(&self, sql: &mut Sql) {
        sql.push("FROM purchases WHERE ");
        self.push_tenant(sql);
    }

    /// The same with every condition of the scope asked of each change by itself.
    pub(crate) fn push_from_visible_purchase_changes(&self, sql: &mut Sql) {
        self.push_from_purchase_changes(sql);
        self.push_row_conditions(sql, "affiliate_id", "sale_at");
    }

    /// Tenant, mode and position, the tenant first.
    fn push_tenant(&self, sql: &mut Sql) {
        sql.push("vendor_id = ").bind(self.vendor.0);
        sql.push(" AND livemode = ").bind(u64::from(self.mode.as_u8()));
        sql.push(" AND gen = ").bind(u64::from(self.watermark.generation));
        sql.push(" AND src_part = ").bind(u64::from(self.watermark.partition));
        sql.push(" AND src_off < ").bind(self.watermark.next_offset);
    }

    /// What of the tenant's rows is visible.
    fn push_row_conditions(&self, sql: &mut Sql, affiliate_column: &str, time_column: &str) {
        if let Some(affiliate) = self.affiliate {
            sql.push(" AND ").push(affiliate_column).push(" = ").bind(affiliate.0);
        }
        if let Some(visible_from) = self.visible_from {
            sql.push(" AND ").push(time_column).push(" >= ").bind_time(visible_from);
        }
    }

    /// ` AND column >= from AND column < to`.
    pub(crate) fn push_range(sql: &mut Sql, column: &str, range: Option<TimeRange>) {
        if let Some(range) = range {
            sql.push(" AND ").push(column).push(" >= ").bind_time(range.from);
            sql.push(" AND ").push(column).push(" < ").bind_time(range.to);
        }
    }
}
