//! The portal's one page, and its live stream.

use super::{Guest, PATH, mail};
use crate::App;
use crate::assets;
use crate::error::PageError;
use crate::layout::RangePicker;
use crate::links::Link;
use crate::live;
use crate::money::Money;
use crate::pages::Asked;
use crate::pages::mail_settings::MailPart;
use crate::pages::rows::LineRow;
use crate::pages::shown::Shown;
use crate::portal::PortalView;
use crate::render::{self, CachePolicy, Refresh, Refreshable};
use crate::times;
use crate::view::{View, ViewFilters};
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
    #[serde(flatten)]
    view: ViewFilters,
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
    let today = times::day(app.now(), &guest.view.time_zone);
    let view = View::of(&filters.view, guest.view.is_demo, today)?;
    let name = session_name(&guest.view.csrf.0);
    if only_body && filters.session.as_deref() != Some(name.as_str()) {
        return Err(PageError::NoPortalSession);
    }
    let url = own_url(&view, &name);
    // The tag came with the session, before the figures: what changes in between is fetched once more, never missed.
    let etag = render::etag(&[&guest.view.etag, &url], app.now());
    if only_body && render::is_unchanged(&headers, &etag) {
        return Ok(render::not_modified(&etag));
    }
    let report = app.backend.portal_figures(&guest.cookie, &view.query()).await?;
    let watermark = report.figures.watermark;
    let as_of = times::clock(watermark.as_of, &guest.view.time_zone);
    let refresh = Refresh { url, etag, watermark: watermark.next_offset, as_of: as_of.clone(), polls: false };
    let content = Refreshable { refresh: &refresh, body: &PortalBody::new(&report, &guest.view, &view).render()? };
    if only_body {
        return content.respond(StatusCode::OK, CachePolicy::AskFirst);
    }
    let picker = RangePicker::new(&["portal"], None, &view);
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
fn own_url(view: &View, session: &str) -> String {
    view.link(Link::to(&["portal"])).with("fragment", "1").with("session", session).build()
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

struct BalanceRow {
    unit: String,
    earned: Money,
    in_hold: Money,
    payable: Money,
}

#[derive(Template)]
#[template(path = "portal_body.html")]
struct PortalBody {
    shown: Shown,
    hold_days: u16,
    codes: Vec<String>,
    balances: Vec<BalanceRow>,
    lines: Vec<LineRow>,
    is_new: bool,
}

impl PortalBody {
    fn new(report: &PortalReport, guest: &PortalView, view: &View) -> PortalBody {
        let balances = report.balances.iter().map(|sums| BalanceRow {
            unit: Money::new(0, sums.currency).unit(),
            earned: Money::new(sums.earned, sums.currency),
            in_hold: Money::new(sums.in_hold, sums.currency),
            payable: Money::new(sums.payable, sums.currency),
        });
        PortalBody {
            shown: Shown::new(&report.figures, view, &Link::to(&["portal"])).without_affiliates(),
            hold_days: guest.hold_days,
            codes: guest.codes.clone(),
            balances: balances.collect(),
            lines: report.lines.iter().map(|line| LineRow::new(line, &guest.time_zone)).collect(),
            is_new: report.balances.is_empty(),
        }
    }
}
