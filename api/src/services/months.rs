//! The figures of a month, for the mail about it.

use crate::model::{Bucket, Dashboard, DateRange};
use crate::services::comparison::Comparison;
use crate::services::reports::{FiguresRequest, ReportError, Reports};
use async_trait::async_trait;
use store::scope::TenantScope;
use store::warehouse::queries::Subject;

/// Tells the figures of a month. Of the real service and, in tests, of fixed ones.
#[async_trait]
pub trait MonthFigures: Send + Sync {
    /// What the dashboard, or for an affiliate's scope the portal, shows of these days, one point a day.
    ///
    /// # Errors
    /// As every report.
    async fn month(&self, scope: &TenantScope, range: &DateRange) -> Result<Dashboard, ReportError>;
}

#[async_trait]
impl MonthFigures for Reports {
    async fn month(&self, scope: &TenantScope, range: &DateRange) -> Result<Dashboard, ReportError> {
        let page = self.open_page(scope).await?;
        let request = FiguresRequest {
            bucket: Some(Bucket::Day),
            against: Comparison::Nothing,
            ..FiguresRequest::of(range.clone())
        };
        self.figures(&page, &request, Subject::All).await
    }
}
