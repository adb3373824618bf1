//! The portal's one page, and its live stream.

use super::{Guest, PATH, mail};
use crate::App;
use crate::assets;
use crate::backend::DashboardQuery;
use crate::error::PageError;
use crate::layout::RangePicker;
use crate::links::Link;
use crate::live;
use crate::money::Money;
use crate::pages::chart::{self, ChartTable};
use crate::pages::dashboard::compared_with;
use crate::pages::figures::{self, Figure};
use crate::pages::mail_settings::MailPart;
use crate::pages::{Asked, given};
use crate::portal::PortalView;
use crate::range::{RangeChoice, bucket_name, parse_bucket};
use crate::render::{self, CachePolicy, Refresh, Refreshable};
use crate::{times, words};
use api::model::{Bucket, LineItem};
use api::services::PortalReport;
use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;
use sha2::{Digest, Sha256};

pub(super) fn router() -> Router<App> {
    Router::new().route(PATH, get(show)).route("/portal/live", get(listen))
}

#[derive(Debug, Deserialize)]
struct Filters {
    range: Option<String>,
    from: Option<String>,
    to: Option<String>,
    bucket: Option<String>,
    fragment: Option<String>,
    /// Whose page asks for its body: somebody else may have signed in since.
    session: Option<String>,
}

async fn show(
    State(app): State<App>,
    guest: Result<Guest, PageError>,
    Asked(filters): Asked<Filters>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let only_body = filters.fragment.is_some();
    let guest = match guest {
        Err(PageError::NoPortalSession) if !only_body => return Ok(Redirect::to("/portal/sign-in").into_response()),
        guest => guest?,
    };
    let range = RangeChoice::parse(given(&filters.range), given(&filters.from), given(&filters.to))?
        .unwrap_or(RangeChoice::usual(guest.view.is_demo));
    let today = times::day(app.now(), &guest.view.time_zone);
    let bucket = parse_bucket(given(&filters.bucket), range, today)?;
    let name = session_name(&guest.view.csrf.0);
    if only_body && filters.session.as_deref() != Some(name.as_str()) {
        return Err(PageError::NoPortalSession);
    }
    let url = own_url(range, bucket, &name);
    // The tag came with the session, before the figures: what changes in between is fetched once more, never missed.
    let etag = render::etag(&[&guest.view.etag, &url], app.now());
    if only_body && render::is_unchanged(&headers, &etag) {
        return Ok(render::not_modified(&etag));
    }
    let report = app.backend.portal_figures(&guest.cookie, &DashboardQuery { range, bucket }).await?;
    let watermark = report.figures.watermark;
    let as_of = times::clock(watermark.as_of, &guest.view.time_zone);
    let refresh = Refresh { url, etag, watermark: watermark.next_offset, as_of: as_of.clone(), polls: false };
    let content = Refreshable { refresh: &refresh, body: &PortalBody::new(&report, &guest.view).render()? };
    if only_body {
        return content.respond(StatusCode::OK, CachePolicy::AskFirst);
    }
    let picker = RangePicker::new(&["portal"], None, range, bucket, today);
    let page = PortalPage {
        mail: mail::part(&app, &guest).await?,
        view: &guest.view,
        csrf: &guest.view.csrf.0,
        as_of,
        picker,
        content: content.render()?,
        script: assets::APP_JS,
        chart_script: assets::CHART_JS,
    };
    Ok(render::html(StatusCode::OK, page.render()?, CachePolicy::AskFirst))
}

async fn listen(State(app): State<App>, guest: Guest) -> Result<Response, PageError> {
    live::stream_of(&app, app.backend.portal_live(&guest.cookie)).await
}

/// Where this body alone is served, with its filters.
fn own_url(range: RangeChoice, bucket: Option<Bucket>, session: &str) -> String {
    let link = range.link(Link::to(&["portal"])).with_some("bucket", bucket.map(bucket_name));
    link.with("fragment", "1").with("session", session).build()
}

/// Names a session in the address of its body, and proves nothing.
fn session_name(csrf: &str) -> String {
    hex::encode(&Sha256::digest(csrf.as_bytes())[..4])
}

#[derive(Template)]
#[template(path = "portal.html")]
struct PortalPage<'a> {
    view: &'a PortalView,
    csrf: &'a str,
    as_of: String,
    picker: RangePicker,
    content: String,
    mail: MailPart,
    script: &'static str,
    chart_script: &'static str,
}

/// A movement of the affiliate's commission.
struct LineRow {
    id: String,
    at: String,
    machine: String,
    kind: String,
    is_redemption: bool,
    code: String,
    revenue: Money,
    commission: Money,
}

impl LineRow {
    fn new(line: &LineItem, time_zone: &str) -> LineRow {
        LineRow {
            id: line.id.clone(),
            at: times::moment(line.occurred_at, time_zone),
            machine: times::machine(line.occurred_at),
            kind: words::line_kind(&line.kind),
            is_redemption: line.redemptions > 0,
            code: line.code.clone(),
            revenue: Money::new(line.net, line.currency),
            commission: Money::new(line.commission, line.currency),
        }
    }
}

struct BalanceRow {
    unit: String,
    earned: Money,
    in_hold: Money,
    payable: Money,
}

#[derive(Template)]
#[template(path = "portal_body.html")]
struct PortalBody {
    range_text: String,
    compared_with: String,
    time_zone: String,
    hold_days: u16,
    codes: Vec<String>,
    balances: Vec<BalanceRow>,
    figures: Vec<Figure>,
    chart: ChartTable,
    lines: Vec<LineRow>,
    is_new: bool,
}

impl PortalBody {
    fn new(report: &PortalReport, view: &PortalView) -> PortalBody {
        let range = &report.figures.range;
        let balances = report.balances.iter().map(|sums| BalanceRow {
            unit: Money::new(0, sums.currency).unit(),
            earned: Money::new(sums.earned, sums.currency),
            in_hold: Money::new(sums.in_hold, sums.currency),
            payable: Money::new(sums.payable, sums.currency),
        });
        let mut figures = figures::figures(&report.figures);
        // There is one: who looks.
        figures.retain(|figure| figure.id != "affiliates");
        PortalBody {
            range_text: times::range(range.from, range.to),
            compared_with: compared_with(range),
            time_zone: range.time_zone.clone(),
            hold_days: view.hold_days,
            codes: view.codes.clone(),
            balances: balances.collect(),
            figures,
            chart: chart::table(&report.figures),
            lines: report.lines.iter().map(|line| LineRow::new(line, &view.time_zone)).collect(),
            is_new: report.balances.is_empty(),
        }
    }
}
