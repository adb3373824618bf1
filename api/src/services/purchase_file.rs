//! Every purchase that the explorer's filters find, for a file.

use crate::export::MOST_PURCHASES;
use crate::model::{ExplorerFilter, PurchaseItem, Watermark};
use crate::services::reports::{Page, ReportError, Reports, position};
use futures::stream::{self, BoxStream, StreamExt};
use std::fmt;
use store::scope::TenantScope;
use store::warehouse::queries::{PurchaseCount, PurchaseCursor, PurchasesPage};
use store::warehouse::{ScopedQuery, TenantRow};
use telemetry::metrics::{Metric, Stopwatch};

/// Rows that are read at once.
const ROWS_AT_ONCE: u32 = 1_000;

/// Purchases, newest first, read page by page at one position while the file is made.
pub struct PurchaseFile {
    /// Up to where it is read.
    pub watermark: Watermark,
    /// IANA name; times are written in it.
    pub time_zone: String,
    /// At most a thousand purchases each, until there are no more.
    pub pages: BoxStream<'static, Result<Vec<PurchaseItem>, ReportError>>,
}

impl fmt::Debug for PurchaseFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PurchaseFile").field("watermark", &self.watermark).finish_non_exhaustive()
    }
}

impl Reports {
    /// The purchases of a filter.
    ///
    /// # Errors
    /// [`ReportError::Filter`] for more than [`MOST_PURCHASES`]; else as every report.
    pub async fn purchase_file(
        &self,
        scope: &TenantScope,
        filter: &ExplorerFilter,
    ) -> Result<PurchaseFile, ReportError> {
        let page = self.open_page(scope).await?;
        let query = PurchasesPage { limit: ROWS_AT_ONCE, ..self.purchases_query(&page, filter).await? };
        let count = self.read_once(&page, &PurchaseCount(query.clone())).await?;
        if count.first().is_some_and(|count| *count > MOST_PURCHASES) {
            let message = format!("A file holds {MOST_PURCHASES} purchases. Choose more filters, or fewer days.");
            return Err(ReportError::Filter { field: "range", message });
        }
        let (watermark, time_zone) = (page.watermark, page.names.time_zone.clone());
        let state = Some((self.clone(), page, query));
        let pages = stream::try_unfold(state, |state| async move {
            let Some((reports, page, mut query)) = state else { return Ok(None) };
            let rows = reports.read_once(&page, &query).await?;
            let Some(last) = rows.last() else { return Ok(None) };
            query.after = Some(PurchaseCursor { sale_at: last.sale_at, purchase: last.purchase });
            let items = reports.describe_purchases(&page, &rows).await?;
            let is_last = rows.len() < ROWS_AT_ONCE as usize;
            Ok(Some((items, (!is_last).then_some((reports, page, query)))))
        });
        Ok(PurchaseFile { watermark, time_zone, pages: pages.boxed() })
    }

    /// Not kept for the next reader: it may be long, and it is asked for once.
    async fn read_once<Q: ScopedQuery>(
        &self,
        page: &Page,
        query: &Q,
    ) -> Result<Vec<<Q::Row as TenantRow>::Output>, ReportError> {
        let stopwatch = Stopwatch::start();
        let rows = self.sources.warehouse.read(&page.scope, &position(&page.watermark), query).await;
        stopwatch.observe(Metric::QuerySeconds, [("query", Q::NAME)]);
        Ok(rows?)
    }
}
