//! `/{vendor}/codes/change`: what giving a code to somebody would change, and doing exactly that.

use super::super::{Asked, Filled};
use super::desk::{Desk, Problems};
use super::give::TypedGift;
use crate::App;
use crate::error::PageError;
use crate::layout::Section;
use crate::links::Link;
use crate::money::{Money, count};
use crate::session::Visitor;
use api::ledger::{Difference, MOST_PURCHASES, Preview, Previewed};
use api::people::GivenCode;
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use domain::ids::Mode;
use domain::money::Currency;
use std::collections::BTreeMap;
use store::control::input::DecisionInput;

/// Rows of one mode.
const MAX_ROWS: usize = 1_000;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/codes/change", get(show).post(apply))
}

/// Decides at once where no purchase would change, else leads to the page that shows what would.
pub(super) async fn give(desk: &Desk<'_>, typed: &TypedGift) -> Result<Result<Response, Problems>, PageError> {
    let gift = match typed.checked(desk) {
        Ok(gift) => gift,
        Err(problems) => return Ok(Err(problems)),
    };
    match desk.preview(decisions(desk, &gift)).await? {
        Err(problems) => Ok(Err(problems)),
        Ok(Previewed::Known(Preview { changed: 0, .. })) => decide(desk, &gift).await,
        Ok(_) => Ok(Ok(Redirect::to(&link(desk, typed).build()).into_response())),
    }
}

fn decisions(desk: &Desk<'_>, gift: &GivenCode) -> Vec<DecisionInput> {
    desk.roster.give(gift).into_iter().map(DecisionInput::Map).collect()
}

async fn decide(desk: &Desk<'_>, gift: &GivenCode) -> Result<Result<Response, Problems>, PageError> {
    if let Err(problems) = desk.decide(decisions(desk, gift)).await? {
        return Ok(Err(problems));
    }
    Ok(Ok(match &gift.affiliate {
        Some(key) => desk.done(&["affiliates", key], "moved"),
        None => match gift.name().and_then(|name| desk.roster.code_named(name)) {
            Some(code) => desk.done(&["codes", &code.to_string()], "moved"),
            None => desk.done(&["affiliates"], "moved"),
        },
    }))
}

/// The page that shows what the form would do.
fn link(desk: &Desk<'_>, typed: &TypedGift) -> Link {
    let mut link = desk.link(&["codes", "change"]);
    for (name, value) in typed.parts() {
        link = link.with_some(name, Some(value.trim()));
    }
    link
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(typed): Asked<TypedGift>,
) -> Result<Response, PageError> {
    let desk = Desk::open(&app, &visitor, &vendor, super::super::given(&typed.mode)).await?;
    page(&desk, &typed, Problems::default()).await
}

async fn apply(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Filled(typed): Filled<TypedGift>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, super::super::given(&typed.mode)).await?;
    let problems = match typed.checked(&desk) {
        Err(problems) => problems,
        Ok(gift) => match decide(&desk, &gift).await? {
            Ok(done) => return Ok(done),
            Err(problems) => problems,
        },
    };
    page(&desk, &typed, problems).await
}

async fn page(desk: &Desk<'_>, typed: &TypedGift, refused: Problems) -> Result<Response, PageError> {
    let previewed = match typed.checked(desk) {
        Err(problems) => Err(problems),
        Ok(gift) => desk.preview(decisions(desk, &gift)).await?.map(|previewed| (gift, previewed)),
    };
    let (gift, previewed) =
        previewed.map_err(|problems| PageError::BadQuery { field: "address", message: problems.beside(&[]) })?;
    let status = if refused.0.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let body = ChangeBody::new(desk, typed, &gift, &previewed, refused.beside(&[]));
    desk.answer(&desk.layout("Move a code", Section::Affiliates), body.render()?, status)
}

/// What an affiliate's month comes to.
struct DifferenceRow {
    affiliate: String,
    month: String,
    before: Money,
    after: Money,
    difference: String,
    is_less: bool,
}

/// One mode: test and live money are never shown in one table.
struct ModeTable {
    title: &'static str,
    rows: Vec<DifferenceRow>,
    left_out: usize,
    /// Per currency: all of a mode's differences together.
    sums: Vec<String>,
}

#[derive(Template)]
#[template(path = "code_change.html")]
struct ChangeBody {
    back_href: String,
    action: String,
    csrf: String,
    mode: &'static str,
    refused: String,
    headline: String,
    summary: String,
    /// The difference could not be found out.
    is_blind: bool,
    parts: Vec<(&'static str, String)>,
    tables: Vec<ModeTable>,
    button: String,
}

impl ChangeBody {
    fn new(desk: &Desk<'_>, typed: &TypedGift, gift: &GivenCode, previewed: &Previewed, refused: String) -> ChangeBody {
        let name = gift.name().unwrap_or_default();
        let owner = gift.affiliate.as_deref().and_then(|key| desk.roster.by_key(key));
        let to = owner.map_or_else(|| "nobody".to_owned(), |one| one.name.clone());
        let since = gift.from.map_or_else(
            || "for all sales ever made with it".to_owned(),
            |from| format!("for sales from {}", desk.day(from)),
        );
        let back = match (owner, desk.roster.code_named(name)) {
            (Some(one), _) => desk.link(&["affiliates", &one.key]),
            (None, Some(code)) => desk.link(&["codes", &code.to_string()]),
            (None, None) => desk.link(&["affiliates"]),
        };
        let tables = match previewed {
            Previewed::Known(preview) => tables(desk, preview),
            Previewed::TooMany | Previewed::Behind => Vec::new(),
        };
        ChangeBody {
            back_href: back.build(),
            action: Link::to(&[&desk.here.vendor.slug, "codes", "change"]).build(),
            csrf: desk.csrf(),
            mode: desk.here.place.mode.name(),
            refused,
            headline: format!("{name} goes to {to}, {since}"),
            summary: summary(previewed),
            is_blind: !matches!(previewed, Previewed::Known(_)),
            parts: typed.parts().map(|(name, value)| (name, value.trim().to_owned())).into(),
            tables,
            button: format!("Give {name} to {to}"),
        }
    }
}

fn summary(previewed: &Previewed) -> String {
    let purchases =
        |number: usize| format!("{} {}", count(number as i64), if number == 1 { "purchase" } else { "purchases" });
    match previewed {
        Previewed::Known(preview) if preview.changed == 0 => "No purchase would change.".to_owned(),
        Previewed::Known(preview) => {
            let looked_at = purchases(preview.purchases);
            let changes = if preview.changed == 1 { "changes" } else { "change" };
            let money = if preview.differences.is_empty() { " Nobody earns another amount." } else { "" };
            format!("{} of {looked_at} with this code or its customers {changes}.{money}", count(preview.changed as i64))
        }
        Previewed::TooMany => format!(
            "More than {} purchases would have to be looked at, so the difference is not shown. The change itself has no such limit.",
            count(MOST_PURCHASES as i64)
        ),
        Previewed::Behind => {
            "Decisions made before this one are still being worked in, so the difference cannot be shown yet. Load this page again in a moment.".to_owned()
        }
    }
}

fn tables(desk: &Desk<'_>, preview: &Preview) -> Vec<ModeTable> {
    let of = |mode: Mode| preview.differences.iter().filter(|each| each.mode == mode).collect::<Vec<_>>();
    let modes = [(Mode::Live, "Live mode"), (Mode::Test, "Test mode")];
    let filled = modes.map(|(mode, title)| (title, of(mode))).into_iter().filter(|(_, found)| !found.is_empty());
    filled
        .map(|(title, found)| ModeTable {
            title,
            rows: found.iter().take(MAX_ROWS).map(|each| row(desk, each)).collect(),
            left_out: found.len().saturating_sub(MAX_ROWS),
            sums: sums(&found),
        })
        .collect()
}

fn row(desk: &Desk<'_>, each: &Difference) -> DifferenceRow {
    let affiliate = desk.roster.by_id(each.affiliate);
    let difference = each.after.saturating_sub(each.before);
    DifferenceRow {
        affiliate: affiliate.map_or_else(|| format!("Affiliate {}", each.affiliate), |one| one.name.clone()),
        month: each.month.strftime("%B %Y").to_string(),
        before: Money::new(each.before, each.currency),
        after: Money::new(each.after, each.currency),
        difference: signed(difference, each.currency),
        is_less: difference < 0,
    }
}

/// With a plus where it is more.
fn signed(minor: i64, currency: Currency) -> String {
    let sign = if minor > 0 { "+" } else { "" };
    format!("{sign}{}", Money::new(minor, currency))
}

fn sums(found: &[&Difference]) -> Vec<String> {
    let mut sums: BTreeMap<Currency, i64> = BTreeMap::new();
    for each in found {
        let sum = sums.entry(each.currency).or_default();
        *sum = sum.saturating_add(each.after.saturating_sub(each.before));
    }
    sums.into_iter().map(|(currency, minor)| signed(minor, currency)).collect()
}
