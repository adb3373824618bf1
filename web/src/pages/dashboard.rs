//! `/{vendor}/dashboard`: the first screen.

use super::outcomes::{self, OutcomeLink};
use super::rows::PurchaseRow;
use super::shown::Shown;
use super::{Asked, given};
use crate::App;
use crate::backend::Place;
use crate::error::PageError;
use crate::layout::{Layout, Section};
use crate::links::Link;
use crate::money::{Money, count};
use crate::render::{self, CachePolicy, PageAnswer, Refresh};
use crate::session::Visitor;
use crate::times;
use crate::view::{View, ViewFilters};
use api::model::{Dashboard, DateRange, GroupTotals, Totals};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/dashboard", get(show))
}

#[derive(Debug, Deserialize)]
struct Filters {
    #[serde(flatten)]
    view: ViewFilters,
    mode: Option<String>,
    fragment: Option<String>,
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(filters): Asked<Filters>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let only_body = filters.fragment.is_some();
    let here = visitor.locate_for(&app, &vendor, given(&filters.mode), only_body).await?;
    let today = times::day(app.now(), &here.vendor.time_zone);
    let view = View::of(&filters.view, here.vendor.is_demo, today)?;
    let url = view.link(own_page(&here.place)).with("fragment", "1").build();
    // The tag is read before the figures: what changes in between is fetched once more, never missed.
    let scope = app.backend.scope_etag(&here.place).await?;
    let etag = render::etag(&[&scope, &url], app.now());
    if only_body && render::is_unchanged(&headers, &etag) {
        return Ok(render::not_modified(&etag));
    }
    let dashboard = app.backend.dashboard(&here.place, &view.query()).await?;
    let as_of = times::clock(dashboard.watermark.as_of, &here.vendor.time_zone);
    let layout = Layout::new(Section::Dashboard.label(), Section::Dashboard, &visitor, &here);
    let mut layout = layout.with_picker(&[Section::Dashboard.path()], &view);
    layout.has_chart = true;
    layout.as_of.clone_from(&as_of);
    let body = DashboardBody::new(&dashboard, &here.place, &view, &layout.connect_href).render()?;
    let refresh = Refresh { url, etag, watermark: dashboard.watermark.next_offset, as_of, polls: false };
    let answer = PageAnswer {
        layout: &layout,
        fixed: String::new(),
        body,
        refresh,
        only_body,
        status: StatusCode::OK,
        cache: CachePolicy::AskFirst,
    };
    answer.respond()
}

/// Where this page is, with its mode alone.
fn own_page(place: &Place) -> Link {
    Link::to(&[&place.vendor, Section::Dashboard.path()]).with("mode", place.mode.name())
}

/// One row of the affiliates or codes table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupRow {
    pub label: String,
    pub href: String,
    pub is_nobody: bool,
    pub redemptions: String,
    pub sales: String,
    pub revenue: Vec<Money>,
    pub commission: Vec<Money>,
}

#[derive(Template)]
#[template(path = "dashboard.html")]
pub(crate) struct DashboardBody {
    shown: Shown,
    csv_href: String,
    excel_href: String,
    outcomes: Vec<OutcomeLink>,
    affiliates: Vec<GroupRow>,
    codes: Vec<GroupRow>,
    feed: Vec<PurchaseRow>,
    is_new: bool,
    connections_href: String,
    explorer_href: String,
}

impl DashboardBody {
    pub(crate) fn new(dashboard: &Dashboard, place: &Place, view: &View, connections_href: &str) -> DashboardBody {
        let range = &dashboard.range;
        let mut outcomes = outcomes::links(&dashboard.outcomes, &explorer(place));
        outcomes.extend(outcomes::refused(&dashboard.outcomes, connections_href));
        DashboardBody {
            shown: Shown::new(dashboard, view, &own_page(place)),
            csv_href: file_of(range, place, "payouts.csv"),
            excel_href: file_of(range, place, "payouts.xlsx"),
            outcomes,
            affiliates: dashboard.affiliates.iter().map(|group| affiliate_row(group, place, view)).collect(),
            codes: dashboard.codes.iter().map(|group| code_row(group, place, view)).collect(),
            feed: dashboard.feed.iter().map(|item| PurchaseRow::new(item, place)).collect(),
            is_new: is_new(dashboard),
            connections_href: connections_href.to_owned(),
            explorer_href: explorer(place).build(),
        }
    }
}

/// A file of exactly the days that are shown, also when the day ends before it is asked for.
fn file_of(range: &DateRange, place: &Place, file: &str) -> String {
    let link = Link::to(&[&place.vendor, file]).with("mode", place.mode.name());
    link.with("from", &range.from.to_string()).with("to", &range.to.to_string()).build()
}

/// Nothing ever happened here.
fn is_new(dashboard: &Dashboard) -> bool {
    let outcomes = dashboard.outcomes;
    dashboard.feed.is_empty() && outcomes.credited + outcomes.organic + outcomes.rejected + outcomes.waiting == 0
}

fn explorer(place: &Place) -> Link {
    Link::to(&[&place.vendor, "redemptions"]).with("mode", place.mode.name())
}

/// Leads to the affiliate's own page, over the same days.
fn affiliate_row(group: &GroupTotals, place: &Place, view: &View) -> GroupRow {
    group_row(group, "No affiliate", view.range_link(page_of(place, &["affiliates", &group.group])))
}

/// Leads to the code's own page, over the same days.
pub(crate) fn code_row(group: &GroupTotals, place: &Place, view: &View) -> GroupRow {
    group_row(group, "No code", view.range_link(page_of(place, &["codes", &group.number.to_string()])))
}

fn page_of(place: &Place, segments: &[&str]) -> Link {
    let all: Vec<&str> = std::iter::once(place.vendor.as_str()).chain(segments.iter().copied()).collect();
    Link::to(&all).with("mode", place.mode.name())
}

fn group_row(group: &GroupTotals, nobody: &str, page: Link) -> GroupRow {
    let is_nobody = group.group.is_empty();
    let sum = |of: fn(&Totals) -> i64| count(group.totals.iter().map(of).fold(0, i64::saturating_add));
    let money =
        |of: fn(&Totals) -> i64| group.totals.iter().map(|totals| Money::new(of(totals), totals.currency)).collect();
    let label = match is_nobody {
        true => nobody.to_owned(),
        false if group.label.is_empty() => group.group.clone(),
        false => group.label.clone(),
    };
    GroupRow {
        label,
        href: if is_nobody { String::new() } else { page.build() },
        is_nobody,
        redemptions: sum(|totals| totals.redemptions),
        sales: sum(|totals| totals.sales),
        revenue: money(|totals| totals.revenue),
        commission: money(|totals| totals.commission),
    }
}
