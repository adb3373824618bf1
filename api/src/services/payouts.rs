//! What affiliates earned in a range, for a file.

use crate::export::{MOST_ROWS, PayoutReport};
use crate::model::DateRange;
use crate::services::ranges::LocalRange;
use crate::services::reports::{ReportError, Reports, position};
use store::scope::TenantScope;
use store::warehouse::queries::AffiliateSums;
use store::warehouse::{ScopedQuery, WarehouseError};
use telemetry::metrics::{Metric, Stopwatch};

impl Reports {
    /// The report of a range: the sums of `GET /api/v1/totals` by affiliate, without those of nobody. Not kept for the
    /// next reader: it may be long, and it is asked for once.
    ///
    /// # Errors
    /// [`ReportError::Filter`] for more than [`MOST_ROWS`] rows; else as every report.
    pub async fn payouts(&self, scope: &TenantScope, range: &DateRange) -> Result<PayoutReport, ReportError> {
        let local = LocalRange::new(range)?;
        // Taken before the names: whoever has a line below it has a name.
        let watermark = self.sources.watermarks.watermark(scope.vendor());
        let query = AffiliateSums { range: Some(local.moments), most_rows: MOST_ROWS };
        let stopwatch = Stopwatch::start();
        let sums = self.sources.warehouse.read(scope, &position(&watermark), &query).await;
        stopwatch.observe(Metric::QuerySeconds, [("query", AffiliateSums::NAME)]);
        let sums = sums.map_err(too_many_rows)?;
        let payees = self.sources.catalogue.payees(scope).await?;
        Ok(PayoutReport { watermark, range: range.clone(), sums, payees })
    }
}

fn too_many_rows(error: WarehouseError) -> ReportError {
    match error {
        WarehouseError::TooManyRows { limit, .. } => ReportError::Filter {
            field: "range",
            message: format!("A file holds {limit} rows, one per affiliate and currency. Choose a shorter range."),
        },
        other => ReportError::Warehouse(other),
    }
}
