//! `/{vendor}/purchases/{key}`: everything behind a purchase.

use super::rows::PurchaseRow;
use super::waterfall::{self, Bar};
use super::{Asked, given};
use crate::App;
use crate::backend::{Place, VendorView};
use crate::error::PageError;
use crate::layout::{Layout, Section};
use crate::links::Link;
use crate::money::Money;
use crate::render::{self, CachePolicy, PageAnswer, Refresh};
use crate::session::Visitor;
use crate::times;
use crate::words;
use api::model::{ExplainedEvent, Explanation, LineItem, PurchaseItem};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/purchases/{key}", get(show))
}

#[derive(Debug, Deserialize)]
struct Filters {
    mode: Option<String>,
    fragment: Option<String>,
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, key)): Path<(String, String)>,
    Asked(filters): Asked<Filters>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let only_body = filters.fragment.is_some();
    let here = visitor.locate_for(&app, &vendor, given(&filters.mode), only_body).await?;
    let url =
        Link::to(&[&vendor, "purchases", &key]).with("mode", here.place.mode.name()).with("fragment", "1").build();
    let scope = app.backend.scope_etag(&here.place).await?;
    let etag = render::etag(&[&scope, &url], app.now());
    if only_body && render::is_unchanged(&headers, &etag) {
        return Ok(render::not_modified(&etag));
    }
    let explanation = app.backend.explain(&here.place, &key).await?.ok_or(PageError::NotFound)?;
    let layout = Layout::new("Purchase", Section::Redemptions, &visitor, &here);
    let body = PurchaseBody::new(&explanation, &here.place, &here.vendor).render()?;
    let refresh = Refresh { url, etag, watermark: 0, as_of: String::new(), polls: false };
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

/// One event, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventRow {
    event_id: String,
    event_type: String,
    created: String,
    created_machine: String,
    offset: u64,
    outcome: String,
}

/// One ledger line, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineRow {
    id: String,
    kind: String,
    occurred_at: String,
    occurred_at_machine: String,
    /// Name where it is known, else the handle.
    affiliate: String,
    /// Handle, where `affiliate` is a name.
    handle: String,
    code: String,
    gross: Money,
    net: Money,
    commission: Money,
    rule: String,
}

#[derive(Template)]
#[template(path = "purchase.html")]
pub(crate) struct PurchaseBody {
    purchase: PurchaseRow,
    headline: String,
    waterfall: Vec<Bar>,
    width: i64,
    attribution: Vec<String>,
    mapping: String,
    rule: String,
    rounding: Vec<String>,
    events: Vec<EventRow>,
    lines: Vec<LineRow>,
    /// Gross, net and commission of all lines.
    sums: [Money; 3],
    time_zone: String,
    back_href: String,
}

impl PurchaseBody {
    pub(crate) fn new(explanation: &Explanation, place: &Place, vendor: &VendorView) -> PurchaseBody {
        let zone = vendor.time_zone.as_str();
        let currency = explanation.purchase.currency;
        let sum = |of: fn(&LineItem) -> i64| {
            Money::new(explanation.lines.iter().map(of).fold(0, i64::saturating_add), currency)
        };
        PurchaseBody {
            purchase: PurchaseRow::new(&explanation.purchase, place),
            headline: headline(explanation),
            waterfall: waterfall::bars(&explanation.waterfall, currency),
            width: waterfall::WIDTH,
            attribution: explanation.attribution.clone(),
            mapping: explanation.mapping.clone(),
            rule: explanation.rule.clone(),
            rounding: explanation.rounding.clone(),
            events: explanation.events.iter().map(|event| event_row(event, zone)).collect(),
            lines: explanation.lines.iter().map(|line| line_row(line, &explanation.purchase, zone)).collect(),
            sums: [sum(|line| line.gross), sum(|line| line.net), sum(|line| line.commission)],
            time_zone: zone.to_owned(),
            back_href: Link::to(&[&place.vendor, "redemptions"]).with("mode", place.mode.name()).build(),
        }
    }
}

/// Who gets what, in one sentence.
fn headline(explanation: &Explanation) -> String {
    use domain::line::PurchaseOutcome as Outcome;
    let item = &explanation.purchase;
    let reason = if item.reason.is_empty() { String::new() } else { format!(": {}", words::phrase(&item.reason)) };
    match item.outcome {
        Outcome::Credited => credited(item),
        Outcome::Organic => "Nobody brought this purchase, so nobody is paid for it".into(),
        Outcome::Rejected => format!("No commission is paid{reason}"),
        Outcome::Waiting => format!("Not decided yet{reason}"),
        Outcome::Merged => format!("Counted as part of another purchase{reason}"),
    }
}

fn credited(item: &PurchaseItem) -> String {
    let code = if item.code_text.is_empty() { String::new() } else { format!(" for code {}", item.code_text) };
    let (amount, because) = match item.commission {
        0 if item.net != 0 && item.reversed >= item.net => ("nothing".into(), ", because the payment was taken back"),
        0 => ("nothing".into(), ""),
        minor => (Money::new(minor, item.currency).to_string(), ""),
    };
    format!("{} earns {amount}{code}{because}", item.affiliate_name)
}

fn event_row(event: &ExplainedEvent, zone: &str) -> EventRow {
    EventRow {
        event_id: event.event_id.clone(),
        event_type: event.event_type.clone(),
        created: times::moment(event.created, zone),
        created_machine: times::machine(event.created),
        offset: event.offset,
        outcome: words::delivery_outcome(&event.outcome),
    }
}

fn line_row(line: &LineItem, purchase: &PurchaseItem, zone: &str) -> LineRow {
    let money = |minor| Money::new(minor, line.currency);
    // A line that was moved away belongs to somebody else, of whom only the handle is known here.
    let is_named = !line.affiliate.is_empty()
        && line.affiliate == purchase.affiliate_key
        && purchase.affiliate_name != purchase.affiliate_key;
    let name = if is_named { &purchase.affiliate_name } else { &line.affiliate };
    LineRow {
        id: line.id.clone(),
        kind: words::line_kind(&line.kind),
        occurred_at: times::moment(line.occurred_at, zone),
        occurred_at_machine: times::machine(line.occurred_at),
        affiliate: name.clone(),
        handle: if is_named { line.affiliate.clone() } else { String::new() },
        code: line.code.clone(),
        gross: money(line.gross),
        net: money(line.net),
        commission: money(line.commission),
        rule: if line.rule_rev == 0 { "Default".into() } else { format!("Revision {}", line.rule_rev) },
    }
}
