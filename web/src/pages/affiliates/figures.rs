//! The figures on the page of an affiliate or a code: those of the dashboard, of one of them. They are fetched again
//! when something moves; the forms below them are not, because somebody may be typing.

use super::desk::Desk;
use crate::backend::{BackendError, Place};
use crate::error::PageError;
use crate::layout::{Layout, Section};
use crate::links::Link;
use crate::pages::dashboard::{GroupRow, code_row};
use crate::pages::outcomes::{self, OutcomeLink};
use crate::pages::rows::LineRow;
use crate::pages::shown::Shown;
use crate::render::{self, CachePolicy, PageAnswer, Refresh};
use crate::times;
use crate::view::{View, ViewFilters};
use api::services::{ReportedLine, Subject, SubjectReport};
use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

/// The query parameters of such a page.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asks {
    pub mode: Option<String>,
    pub done: Option<String>,
    #[serde(flatten)]
    view: ViewFilters,
    fragment: Option<String>,
}

impl Asks {
    /// Only what is fetched again is wanted.
    pub fn only_body(&self) -> bool {
        self.fragment.is_some()
    }
}

/// Whose figures are shown, and what stands around them.
pub(super) struct Subjected<'a> {
    pub subject: Subject,
    /// Path of the page below the vendor's.
    pub path: [&'a str; 2],
    pub title: &'a str,
    /// Above the figures.
    pub head: String,
    /// Below the figures.
    pub forms: String,
    /// Filter of the explorer: its name and value.
    pub rows: (&'static str, &'a str),
}

/// The page. Figures that cannot be read are no reason not to show the rest.
pub(super) async fn answer(
    desk: &Desk<'_>,
    asks: &Asks,
    headers: &HeaderMap,
    subject: Subjected<'_>,
) -> Result<Response, PageError> {
    let place = &desk.here.place;
    let own = desk.link(&subject.path);
    let today = times::day(desk.now, desk.time_zone());
    let view = View::of(&asks.view, desk.here.vendor.is_demo, today)?;
    let url = view.link(own.clone()).with("fragment", "1").build();
    let scope = desk.app.backend.scope_etag(place).await?;
    let etag = render::etag(&[&scope, &url], desk.now);
    if asks.only_body() && render::is_unchanged(headers, &etag) {
        return Ok(render::not_modified(&etag));
    }
    let mut layout = Layout::new(subject.title, Section::Affiliates, desk.visitor, &desk.here);
    layout = layout.with_picker(&subject.path, &view);
    layout.has_chart = true;
    layout.below = subject.forms;
    let mut refresh = Refresh { url, etag, watermark: 0, as_of: String::new(), polls: false };
    let body = match desk.app.backend.figures_of(place, &view.query(), subject.subject).await {
        Ok(report) => {
            refresh.watermark = report.figures.watermark.next_offset;
            refresh.as_of = times::clock(report.figures.watermark.as_of, desk.time_zone());
            layout.as_of.clone_from(&refresh.as_of);
            SubjectBody::new(&report, desk, &view, &own, subject.subject, subject.rows).render()?
        }
        Err(error @ (BackendError::Failed { .. } | BackendError::Busy)) => {
            tracing::error!(web.cause = ?error, "the figures of a page cannot be read: {error}");
            (refresh.etag, refresh.polls) = (String::new(), true);
            MissingBody.render()?
        }
        Err(error) => return Err(error.into()),
    };
    let answer = PageAnswer {
        layout: &layout,
        fixed: subject.head,
        body,
        refresh,
        only_body: asks.only_body(),
        status: StatusCode::OK,
        cache: CachePolicy::AskFirst,
    };
    answer.respond()
}

#[derive(Template)]
#[template(path = "subject_missing.html")]
struct MissingBody;

#[derive(Template)]
#[template(path = "subject.html")]
struct SubjectBody {
    shown: Shown,
    outcomes: Vec<OutcomeLink>,
    lines: Vec<LineRow>,
    /// The affiliate's; empty on the page of a code.
    codes: Vec<GroupRow>,
    is_affiliate: bool,
    is_new: bool,
    explorer_href: String,
}

impl SubjectBody {
    fn new(
        report: &SubjectReport,
        desk: &Desk<'_>,
        view: &View,
        own: &Link,
        subject: Subject,
        (filter, value): (&str, &str),
    ) -> SubjectBody {
        let (place, figures) = (&desk.here.place, &report.figures);
        let is_affiliate = matches!(subject, Subject::Affiliate(_));
        let explorer = desk.link(&["redemptions"]).with(filter, value);
        let mut outcomes = outcomes::links(&figures.outcomes, &explorer);
        // Organic is what nobody brought.
        outcomes.retain(|outcome| !is_affiliate || outcome.class != "organic");
        let counts = figures.outcomes;
        let codes = figures.codes.iter().filter(|_| is_affiliate);
        SubjectBody {
            shown: Shown::new(figures, view, own).without_affiliates(),
            outcomes,
            lines: report.lines.iter().map(|line| line_row(line, place, desk.time_zone())).collect(),
            codes: codes.map(|group| code_row(group, place, view)).collect(),
            is_affiliate,
            is_new: report.lines.is_empty() && counts.credited + counts.organic + counts.rejected + counts.waiting == 0,
            explorer_href: explorer.build(),
        }
    }
}

/// Opens the purchase, where the line has one.
fn line_row(line: &ReportedLine, place: &Place, time_zone: &str) -> LineRow {
    let purchase = Link::to(&[&place.vendor, "purchases", &line.business_key]).with("mode", place.mode.name());
    let href = if line.business_key.is_empty() { String::new() } else { purchase.build() };
    LineRow { href, ..LineRow::new(&line.line, time_zone) }
}
