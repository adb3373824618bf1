//! `/{vendor}/dashboard`: the first screen.

use super::chart::{self, ChartTable};
use super::figures::{self, Figure};
use super::rows::PurchaseRow;
use super::{Asked, given};
use crate::App;
use crate::backend::{DashboardQuery, Place};
use crate::error::PageError;
use crate::layout::{Layout, Section};
use crate::links::Link;
use crate::money::{Money, count};
use crate::range::{RangeChoice, bucket_name, days_between, parse_bucket};
use crate::render::{self, CachePolicy, PageAnswer, Refresh};
use crate::session::Visitor;
use crate::times;
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
    range: Option<String>,
    from: Option<String>,
    to: Option<String>,
    bucket: Option<String>,
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
    let named = RangeChoice::parse(given(&filters.range), given(&filters.from), given(&filters.to))?;
    let range = named.unwrap_or_else(|| RangeChoice::usual(here.vendor.is_demo));
    let bucket = parse_bucket(given(&filters.bucket), range, today)?;
    let url = own_url(&here.place, range, bucket);
    // The tag is read before the figures: what changes in between is fetched once more, never missed.
    let scope = app.backend.scope_etag(&here.place).await?;
    let etag = render::etag(&[&scope, &url], app.now());
    if only_body && render::is_unchanged(&headers, &etag) {
        return Ok(render::not_modified(&etag));
    }
    let dashboard = app.backend.dashboard(&here.place, &DashboardQuery { range, bucket }).await?;
    let as_of = times::clock(dashboard.watermark.as_of, &here.vendor.time_zone);
    let mut layout =
        Layout::new(Section::Dashboard.label(), Section::Dashboard, &visitor, &here).with_picker(range, bucket, today);
    layout.has_chart = true;
    layout.as_of.clone_from(&as_of);
    let body = DashboardBody::new(&dashboard, &here.place, &layout.connect_href).render()?;
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

/// Where this body alone is served, with its filters.
fn own_url(place: &Place, range: RangeChoice, bucket: Option<api::model::Bucket>) -> String {
    let link = Link::to(&[&place.vendor, "dashboard"]).with("mode", place.mode.name());
    range.link(link).with_some("bucket", bucket.map(bucket_name)).with("fragment", "1").build()
}

/// One row of the affiliates or codes table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupRow {
    label: String,
    href: String,
    is_nobody: bool,
    redemptions: String,
    sales: String,
    revenue: Vec<Money>,
    commission: Vec<Money>,
}

/// A count that leads to the explorer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutcomeLink {
    label: &'static str,
    class: &'static str,
    hint: &'static str,
    count: String,
    href: String,
}

#[derive(Template)]
#[template(path = "dashboard.html")]
pub(crate) struct DashboardBody {
    range_text: String,
    compared_with: String,
    csv_href: String,
    excel_href: String,
    time_zone: String,
    figures: Vec<Figure>,
    outcomes: Vec<OutcomeLink>,
    refused: Option<OutcomeLink>,
    chart: ChartTable,
    affiliates: Vec<GroupRow>,
    codes: Vec<GroupRow>,
    feed: Vec<PurchaseRow>,
    is_new: bool,
    connections_href: String,
    explorer_href: String,
}

impl DashboardBody {
    pub(crate) fn new(dashboard: &Dashboard, place: &Place, connections_href: &str) -> DashboardBody {
        let range = &dashboard.range;
        let (outcomes, refused) = outcome_links(dashboard, place, connections_href);
        DashboardBody {
            range_text: times::range(range.from, range.to),
            compared_with: compared_with(range),
            csv_href: file_of(range, place, "payouts.csv"),
            excel_href: file_of(range, place, "payouts.xlsx"),
            time_zone: range.time_zone.clone(),
            figures: figures::figures(dashboard),
            outcomes,
            refused,
            chart: chart::table(dashboard),
            affiliates: dashboard.affiliates.iter().map(|group| group_row(group, place, "affiliate")).collect(),
            codes: dashboard.codes.iter().map(|group| group_row(group, place, "code")).collect(),
            feed: dashboard.feed.iter().map(|item| PurchaseRow::new(item, place)).collect(),
            is_new: is_new(dashboard),
            connections_href: connections_href.to_owned(),
            explorer_href: explorer(place).build(),
        }
    }
}

/// What a range is compared with, in words.
pub(super) fn compared_with(range: &DateRange) -> String {
    match days_between(range.from, range.to) {
        1 => "the day before".into(),
        days => format!("the {days} days before"),
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

fn group_row(group: &GroupTotals, place: &Place, filter: &'static str) -> GroupRow {
    let nobody = group.group.is_empty();
    let sum = |of: fn(&Totals) -> i64| count(group.totals.iter().map(of).fold(0, i64::saturating_add));
    let money =
        |of: fn(&Totals) -> i64| group.totals.iter().map(|totals| Money::new(of(totals), totals.currency)).collect();
    let label = match (nobody, filter) {
        (true, "affiliate") => "No affiliate".to_owned(),
        (true, _) => "No code".to_owned(),
        _ if group.label.is_empty() => group.group.clone(),
        _ => group.label.clone(),
    };
    GroupRow {
        label,
        href: if nobody { String::new() } else { explorer(place).with(filter, &group.group).build() },
        is_nobody: nobody,
        redemptions: sum(|totals| totals.redemptions),
        sales: sum(|totals| totals.sales),
        revenue: money(|totals| totals.revenue),
        commission: money(|totals| totals.commission),
    }
}

fn outcome_links(
    dashboard: &Dashboard,
    place: &Place,
    connections_href: &str,
) -> (Vec<OutcomeLink>, Option<OutcomeLink>) {
    let outcomes = dashboard.outcomes;
    let number = |value: u64| count(i64::try_from(value).unwrap_or(i64::MAX));
    let link = |label, class, hint, value| OutcomeLink {
        label,
        class,
        hint,
        count: number(value),
        href: explorer(place).with("outcome", class).build(),
    };
    let links = vec![
        link("credited", "credited", "An affiliate is credited", outcomes.credited),
        link("organic", "organic", "Nobody brought it", outcomes.organic),
        link("rejected", "rejected", "Somebody brought it and gets nothing", outcomes.rejected),
        link("waiting", "waiting", "Something is still to be learnt", outcomes.waiting),
    ];
    let refused = (outcomes.refused > 0).then(|| OutcomeLink {
        label: "not understood",
        class: "refused",
        hint: "Deliveries that could not be understood",
        count: number(outcomes.refused),
        href: connections_href.to_owned(),
    });
    (links, refused)
}
