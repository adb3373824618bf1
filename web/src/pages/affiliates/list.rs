//! `/{vendor}/affiliates`: everybody, by name, with a search.

use super::super::{Asked, given};
use super::desk::Desk;
use crate::App;
use crate::error::PageError;
use crate::layout::Section;
use crate::money::count;
use crate::session::Visitor;
use api::people::{Holding, words};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use domain::decision::RuleScope;
use domain::ids::AffiliateId;
use serde::Deserialize;
use std::collections::HashMap;
use store::control::AffiliateInfo;

/// Rows of one page.
const PAGE_ROWS: usize = 100;
/// Codes that a row names; the rest is counted.
const SHOWN_CODES: usize = 6;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/affiliates", get(show))
}

#[derive(Debug, Default, Deserialize)]
struct Filters {
    mode: Option<String>,
    q: Option<String>,
    /// `active` or `suspended`.
    status: Option<String>,
    /// Handle of the last row of the page before.
    after: Option<String>,
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(filters): Asked<Filters>,
) -> Result<Response, PageError> {
    let desk = Desk::open(&app, &visitor, &vendor, given(&filters.mode)).await?;
    let mut layout = desk.layout(Section::Affiliates.label(), Section::Affiliates);
    // The search of this page is for people.
    layout.search_action.clear();
    desk.answer(&layout, AffiliatesBody::new(&desk, &filters)?.render()?, StatusCode::OK)
}

/// One affiliate, in words.
struct AffiliateRow {
    href: String,
    name: String,
    key: String,
    email: String,
    is_suspended: bool,
    codes: Vec<String>,
    more_codes: usize,
    rule: String,
    has_own_rule: bool,
}

#[derive(Template)]
#[template(path = "affiliates.html")]
struct AffiliatesBody {
    action: String,
    mode: &'static str,
    search: String,
    status: String,
    is_filtered: bool,
    clear_href: String,
    new_href: String,
    import_href: String,
    codes_href: String,
    summary: String,
    has_any: bool,
    rows: Vec<AffiliateRow>,
    first_href: String,
    next_href: String,
    is_first_page: bool,
}

impl AffiliatesBody {
    fn new(desk: &Desk<'_>, filters: &Filters) -> Result<AffiliatesBody, PageError> {
        let status = given(&filters.status).unwrap_or_default();
        if !["", "active", "suspended"].contains(&status) {
            return Err(PageError::BadQuery { field: "status", message: "Use active or suspended.".into() });
        }
        let search = given(&filters.q).unwrap_or_default();
        let holdings = held_now(desk);
        let found = matching(desk, &holdings, search, status);
        let after = given(&filters.after).and_then(|key| desk.roster.by_key(key)).map(place_of);
        let rest: Vec<&AffiliateInfo> =
            found.iter().copied().filter(|one| after.as_ref().is_none_or(|after| place_of(one) > *after)).collect();
        let page = || desk.link(&["affiliates"]).with_some("q", Some(search)).with_some("status", Some(status));
        let next = rest.get(PAGE_ROWS).and_then(|_| rest.get(PAGE_ROWS - 1));
        Ok(AffiliatesBody {
            action: desk.link(&["affiliates"]).build(),
            mode: desk.here.place.mode.name(),
            search: search.to_owned(),
            status: status.to_owned(),
            is_filtered: !search.is_empty() || !status.is_empty(),
            clear_href: desk.link(&["affiliates"]).build(),
            new_href: desk.link(&["affiliates", "new"]).build(),
            import_href: desk.link(&["affiliates", "import"]).build(),
            codes_href: desk.link(&["codes"]).build(),
            summary: summary(found.len(), desk.roster.affiliates.len()),
            has_any: !desk.roster.affiliates.is_empty(),
            rows: rest.iter().take(PAGE_ROWS).map(|one| row(desk, &holdings, one)).collect(),
            first_href: page().build(),
            next_href: next.map(|last| page().with("after", &last.key).build()).unwrap_or_default(),
            is_first_page: after.is_none(),
        })
    }
}

fn summary(found: usize, all: usize) -> String {
    let people = |number: usize| {
        let words = if number == 1 { "affiliate" } else { "affiliates" };
        format!("{} {words}", count(number as i64))
    };
    if found == all { people(all) } else { format!("{} of {}", count(found as i64), people(all)) }
}

/// The order of the list.
fn place_of(affiliate: &AffiliateInfo) -> (String, String) {
    (affiliate.name.to_lowercase(), affiliate.key.clone())
}

type Held = HashMap<AffiliateId, Vec<Holding>>;

/// What belongs to whom now or later.
fn held_now(desk: &Desk<'_>) -> Held {
    let mut held = Held::new();
    for holding in desk.roster.holdings() {
        let is_over = holding.until.is_some_and(|until| until <= desk.now);
        if let Some(affiliate) = holding.affiliate.filter(|_| !is_over) {
            held.entry(affiliate).or_default().push(holding);
        }
    }
    held
}

fn matching<'a>(desk: &'a Desk<'_>, held: &Held, search: &str, status: &str) -> Vec<&'a AffiliateInfo> {
    let wanted = search.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    let is_meant = |one: &&AffiliateInfo| {
        let codes = held.get(&one.id).map(Vec::as_slice).unwrap_or_default();
        let fits = match status {
            "active" => !one.suspended,
            "suspended" => one.suspended,
            _ => true,
        };
        let is_named = has(&one.name) || has(&one.key) || one.email.as_deref().is_some_and(has);
        fits && (is_named || codes.iter().any(|holding| has(&holding.text)))
    };
    let mut found: Vec<&AffiliateInfo> = desk.roster.affiliates.iter().filter(is_meant).collect();
    found.sort_by_cached_key(|one| place_of(one));
    found
}

fn row(desk: &Desk<'_>, held: &Held, one: &AffiliateInfo) -> AffiliateRow {
    let holdings = held.get(&one.id).map(Vec::as_slice).unwrap_or_default();
    let mut codes: Vec<String> = holdings.iter().map(|holding| holding.text.clone()).collect();
    codes.dedup();
    let more_codes = codes.len().saturating_sub(SHOWN_CODES);
    codes.truncate(SHOWN_CODES);
    let own = desk.roster.own_rule(RuleScope::Affiliate(one.id), desk.now);
    AffiliateRow {
        href: desk.link(&["affiliates", &one.key]).build(),
        name: one.name.clone(),
        key: one.key.clone(),
        email: one.email.clone().unwrap_or_default(),
        is_suspended: one.suspended,
        codes,
        more_codes,
        rule: words::rule(&desk.roster.rule_at(Some(one.id), desk.now)),
        has_own_rule: own.is_some(),
    }
}
