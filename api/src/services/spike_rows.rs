//! The redemptions behind an alert.

use super::cursor::write_purchase_place;
use super::reports::{ReportError, Reports, position};
use crate::model::{ExplorerFilter, PurchaseItem};
use domain::ids::{PurchaseId, Timestamp};
use store::scope::TenantScope;
use store::warehouse::queries::PurchaseCursor;

/// Redemptions of a code up to a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct RedemptionsUntil {
    /// The newest first.
    pub rows: Vec<PurchaseItem>,
    /// The explorer begins there with this cursor.
    pub cursor: String,
}

impl Reports {
    /// The newest redemptions of a code from one moment to another, at most `limit`.
    ///
    /// # Errors
    /// When the warehouse fails.
    pub async fn redemptions_until(
        &self,
        scope: &TenantScope,
        code: &str,
        (from, until): (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<RedemptionsUntil, ReportError> {
        let page = self.open_page(scope).await?;
        // The first place after all that were sold at `until`.
        let after = PurchaseCursor { sale_at: Timestamp(until.0.saturating_add(1)), purchase: PurchaseId(0) };
        let cursor = write_purchase_place(&position(&page.watermark), after);
        let filter = ExplorerFilter { code: Some(code.to_owned()), redemptions_only: true, ..Default::default() };
        let found = self.explorer(scope, &filter, Some(&cursor), limit).await?;
        let rows = found.items.into_iter().take_while(|item| item.sale_at >= from).collect();
        Ok(RedemptionsUntil { rows, cursor })
    }
}
