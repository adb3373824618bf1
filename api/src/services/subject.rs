//! The figures of one affiliate or one code, as the vendor sees them: those of the dashboard, with a condition more.

use crate::model::Dashboard;
use crate::services::listings::ReportedLine;
use crate::services::ranges::LocalRange;
use crate::services::reports::{FiguresRequest, ReportError, Reports};
use store::scope::TenantScope;
use store::warehouse::queries::{NewestLines, Subject};

/// How many lines such a page shows.
const LINES: u32 = 20;

/// What is one affiliate's or came by one code.
#[derive(Debug, Clone, PartialEq)]
pub struct SubjectReport {
    /// The figures of a range, and how the purchases of all time ended. The feed is left empty.
    pub figures: Dashboard,
    /// The newest lines of the range, at most 20: what the figures are made of.
    pub lines: Vec<ReportedLine>,
}

impl Reports {
    /// The figures of a subject. Over all affiliates, or over all codes, and what has none, they add up to those of
    /// [`Reports::dashboard`].
    ///
    /// # Errors
    /// As every report.
    pub async fn figures_of(
        &self,
        scope: &TenantScope,
        request: &FiguresRequest,
        subject: Subject,
    ) -> Result<SubjectReport, ReportError> {
        let page = self.open_page(scope).await?;
        let moments = LocalRange::new(&request.range)?.moments;
        let newest = NewestLines { range: Some(moments), of: subject, limit: LINES };
        let (figures, lines, outcomes) = tokio::try_join!(
            self.figures(&page, request, subject),
            self.read(&page, &newest),
            self.outcome_counts(&page, subject),
        )?;
        let lines = self.describe_lines(&page, &lines).await?;
        Ok(SubjectReport { figures: Dashboard { outcomes, ..figures }, lines })
    }
}
