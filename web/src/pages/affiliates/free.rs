//! `/{vendor}/codes`: codes that the provider has and nobody was given, and giving them.

use super::super::{Asked, Filled, given};
use super::desk::{Desk, Problems, done_words};
use super::give::TypedGift;
use crate::App;
use crate::codes::{FreeCode, FreeCodes};
use crate::error::PageError;
use crate::layout::Section;
use crate::session::Visitor;
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

/// Rows of one page.
const PAGE_ROWS: usize = 50;
/// Affiliates that the fields suggest; others can be typed by their handle.
const MOST_SUGGESTED: usize = 1_000;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/codes", get(show).post(give))
}

#[derive(Debug, Default, Deserialize)]
struct Filters {
    mode: Option<String>,
    q: Option<String>,
    after: Option<String>,
    done: Option<String>,
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(filters): Asked<Filters>,
) -> Result<Response, PageError> {
    let desk = Desk::open(&app, &visitor, &vendor, given(&filters.mode)).await?;
    page(&desk, &filters, None).await
}

async fn give(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(filters): Asked<Filters>,
    Filled(typed): Filled<TypedGift>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, given(&filters.mode)).await?;
    let problems = if typed.affiliate.trim().is_empty() {
        let mut problems = Problems::default();
        problems.add("affiliate", "Choose who gets the code.");
        problems
    } else {
        match super::change::give(&desk, &typed).await? {
            Ok(answer) => return Ok(answer),
            Err(problems) => problems,
        }
    };
    page(&desk, &filters, Some((typed, problems))).await
}

async fn page(desk: &Desk<'_>, filters: &Filters, wrong: Option<(TypedGift, Problems)>) -> Result<Response, PageError> {
    let search = given(&filters.q).unwrap_or_default();
    let found = desk.app.backend.free_codes(&desk.here.place, search, given(&filters.after), PAGE_ROWS).await?;
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let body = FreeBody::new(desk, filters, found, wrong.as_ref());
    let layout = desk.layout("Codes without an affiliate", Section::Affiliates);
    desk.answer(&layout, body.render()?, status)
}

/// A handle that a field suggests, and whose it is.
struct Suggestion {
    key: String,
    name: String,
}

#[derive(Template)]
#[template(path = "codes_free.html")]
struct FreeBody {
    list_href: String,
    action: String,
    clear_href: String,
    connections_href: String,
    new_href: String,
    mode: &'static str,
    csrf: String,
    search: String,
    done: &'static str,
    problem: String,
    codes: Vec<FreeCode>,
    people: Vec<Suggestion>,
    first_href: String,
    next_href: String,
}

impl FreeBody {
    fn new(desk: &Desk<'_>, filters: &Filters, found: FreeCodes, wrong: Option<&(TypedGift, Problems)>) -> FreeBody {
        let search = given(&filters.q).unwrap_or_default();
        let here = || desk.link(&["codes"]).with_some("q", Some(search).filter(|search| !search.is_empty()));
        let problem = wrong.map(|(typed, problems)| {
            let code =
                [&typed.code, &typed.promotion_code_id, &typed.coupon_id].into_iter().find(|text| !text.is_empty());
            let words: Vec<&str> = problems.0.iter().map(|error| error.message.as_str()).collect();
            format!("{}: {}", code.map_or("The code", String::as_str), words.join(" "))
        });
        let active = desk.roster.affiliates.iter().filter(|one| !one.suspended).take(MOST_SUGGESTED);
        FreeBody {
            list_href: desk.link(&["affiliates"]).build(),
            action: here().build(),
            clear_href: desk.link(&["codes"]).build(),
            connections_href: desk.link(&["connections"]).build(),
            new_href: desk.link(&["affiliates", "new"]).build(),
            mode: desk.here.place.mode.name(),
            csrf: desk.csrf(),
            search: search.to_owned(),
            done: done_words(given(&filters.done)),
            problem: problem.unwrap_or_default(),
            codes: found.codes,
            people: active.map(|one| Suggestion { key: one.key.clone(), name: one.name.clone() }).collect(),
            first_href: given(&filters.after).map(|_| here().build()).unwrap_or_default(),
            next_href: found.next.map(|next| here().with("after", &next).build()).unwrap_or_default(),
        }
    }
}
