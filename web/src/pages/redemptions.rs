//! `/{vendor}/redemptions`: every purchase, with filters and pages by key.

use super::rows::PurchaseRow;
use super::{Asked, given};
use crate::App;
use crate::backend::Place;
use crate::error::PageError;
use crate::layout::{Layout, Section};
use crate::links::Link;
use crate::render::{self, CachePolicy, PageAnswer, Refresh};
use crate::session::Visitor;
use crate::times;
use api::model::{ExplorerFilter, ExplorerPage};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use domain::line::PurchaseOutcome;
use domain::money::Currency;
use jiff::civil::Date;
use serde::Deserialize;

/// Rows of one page.
const PAGE_ROWS: u32 = 50;
/// Longest filter text, in bytes.
const MAX_FILTER_BYTES: usize = 200;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/redemptions", get(show))
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Filters {
    q: Option<String>,
    affiliate: Option<String>,
    code: Option<String>,
    outcome: Option<String>,
    currency: Option<String>,
    only: Option<String>,
    from: Option<String>,
    to: Option<String>,
    cursor: Option<String>,
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
    let filter = filters.checked()?;
    let url = filters.link(&here.place).with_some("cursor", given(&filters.cursor)).with("fragment", "1").build();
    let scope = app.backend.scope_etag(&here.place).await?;
    let etag = render::etag(&[&scope, &url], app.now());
    if only_body && render::is_unchanged(&headers, &etag) {
        return Ok(render::not_modified(&etag));
    }
    let page = app.backend.explorer(&here.place, &filter, given(&filters.cursor), PAGE_ROWS).await?;
    let as_of = times::clock(page.watermark.as_of, &here.vendor.time_zone);
    let mut layout = Layout::new(Section::Redemptions.label(), Section::Redemptions, &visitor, &here);
    layout.as_of.clone_from(&as_of);
    // This page has a search field of its own.
    layout.search_action.clear();
    let body = ExplorerBody::new(&page, &filters, &here.place).render()?;
    let fixed = FilterForm::new(&page, &filters, &here.place).render()?;
    let refresh = Refresh { url, etag, watermark: page.watermark.next_offset, as_of, polls: false };
    let answer = PageAnswer {
        layout: &layout,
        fixed,
        body,
        refresh,
        only_body,
        status: StatusCode::OK,
        cache: CachePolicy::AskFirst,
    };
    answer.respond()
}

impl Filters {
    /// As the service takes it; what cannot be used is named.
    pub(super) fn checked(&self) -> Result<ExplorerFilter, PageError> {
        let text = |field: &'static str, value: &Option<String>| match given(value) {
            Some(value) if value.len() > MAX_FILTER_BYTES => Err(PageError::BadQuery {
                field,
                message: format!("Up to {MAX_FILTER_BYTES} characters can be searched for."),
            }),
            value => Ok(value.map(str::to_owned)),
        };
        let currency = given(&self.currency).map(|code| {
            Currency::parse(code).ok_or_else(|| PageError::BadQuery {
                field: "currency",
                message: "Use a three-letter code, as in USD.".into(),
            })
        });
        Ok(ExplorerFilter {
            affiliate: text("affiliate", &self.affiliate)?,
            code: text("code", &self.code)?,
            outcome: given(&self.outcome).map(parse_outcome).transpose()?,
            currency: currency.transpose()?,
            search: text("q", &self.q)?,
            redemptions_only: given(&self.only).is_some(),
            from: day("from", &self.from)?,
            to: day("to", &self.to)?,
        })
    }

    /// Test or live, if it was said.
    pub(super) fn mode(&self) -> Option<&str> {
        given(&self.mode)
    }

    /// The address with these filters, on the first page.
    fn link(&self, place: &Place) -> Link {
        self.link_to(place, "redemptions")
    }

    /// The same filters at another address.
    fn link_to(&self, place: &Place, page: &str) -> Link {
        Link::to(&[&place.vendor, page])
            .with("mode", place.mode.name())
            .with_some("q", given(&self.q))
            .with_some("affiliate", given(&self.affiliate))
            .with_some("code", given(&self.code))
            .with_some("outcome", given(&self.outcome))
            .with_some("currency", given(&self.currency))
            .with_some("only", given(&self.only))
            .with_some("from", given(&self.from))
            .with_some("to", given(&self.to))
    }

    fn is_filtered(&self) -> bool {
        [&self.q, &self.affiliate, &self.code, &self.outcome, &self.currency, &self.only, &self.from, &self.to]
            .into_iter()
            .any(|value| given(value).is_some())
    }
}

/// A day as a date field sends it.
fn day(field: &'static str, value: &Option<String>) -> Result<Option<Date>, PageError> {
    let parsed = given(value).map(str::parse::<Date>).transpose();
    parsed.map_err(|_| PageError::BadQuery { field, message: "Write the day as 2026-11-01.".into() })
}

const OUTCOMES: [PurchaseOutcome; 4] =
    [PurchaseOutcome::Credited, PurchaseOutcome::Organic, PurchaseOutcome::Rejected, PurchaseOutcome::Waiting];

fn parse_outcome(name: &str) -> Result<PurchaseOutcome, PageError> {
    let found = OUTCOMES.into_iter().find(|outcome| outcome.name() == name);
    found.ok_or_else(|| PageError::BadQuery {
        field: "outcome",
        message: "Use one of credited, organic, rejected, waiting.".into(),
    })
}

/// An entry of a list of suggestions or of a select.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilterOption {
    value: String,
    label: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "redemptions_filters.html")]
pub(crate) struct FilterForm {
    action: String,
    mode: &'static str,
    clear_href: String,
    is_filtered: bool,
    search: String,
    affiliate: String,
    code: String,
    currency: String,
    redemptions_only: bool,
    from: String,
    to: String,
    outcomes: Vec<FilterOption>,
    affiliates: Vec<FilterOption>,
    codes: Vec<FilterOption>,
}

impl FilterForm {
    fn new(page: &ExplorerPage, filters: &Filters, place: &Place) -> FilterForm {
        let kept = |value: &Option<String>| given(value).unwrap_or_default().to_owned();
        let outcome = given(&filters.outcome);
        let outcomes = OUTCOMES.into_iter().map(|each| FilterOption {
            value: each.name().into(),
            label: crate::words::outcome(each).into(),
            is_chosen: outcome == Some(each.name()),
        });
        let suggestions = |of: fn(&api::model::PurchaseItem) -> (&str, &str)| {
            let mut found: Vec<(&str, &str)> =
                page.items.iter().map(of).filter(|(value, _)| !value.is_empty()).collect();
            found.sort_unstable();
            found.dedup();
            found
                .into_iter()
                .map(|(value, label)| FilterOption { value: value.into(), label: label.into(), is_chosen: false })
                .collect()
        };
        FilterForm {
            action: Link::to(&[&place.vendor, "redemptions"]).build(),
            mode: place.mode.name(),
            clear_href: Filters::default().link(place).build(),
            is_filtered: filters.is_filtered(),
            search: kept(&filters.q),
            affiliate: kept(&filters.affiliate),
            code: kept(&filters.code),
            currency: kept(&filters.currency),
            redemptions_only: given(&filters.only).is_some(),
            from: kept(&filters.from),
            to: kept(&filters.to),
            outcomes: outcomes.collect(),
            affiliates: suggestions(|item| (&item.affiliate_key, &item.affiliate_name)),
            codes: suggestions(|item| (&item.code_text, "")),
        }
    }
}

#[derive(Template)]
#[template(path = "redemptions.html")]
pub(crate) struct ExplorerBody {
    rows: Vec<PurchaseRow>,
    csv_href: String,
    excel_href: String,
    newest_href: String,
    older_href: String,
    is_first_page: bool,
    is_filtered: bool,
    clear_href: String,
    connections_href: String,
}

impl ExplorerBody {
    fn new(page: &ExplorerPage, filters: &Filters, place: &Place) -> ExplorerBody {
        ExplorerBody {
            rows: page.items.iter().map(|item| PurchaseRow::new(item, place)).collect(),
            csv_href: filters.link_to(place, "redemptions.csv").build(),
            excel_href: filters.link_to(place, "redemptions.xlsx").build(),
            newest_href: filters.link(place).build(),
            older_href: page
                .next
                .as_deref()
                .map(|next| filters.link(place).with("cursor", next).build())
                .unwrap_or_default(),
            is_first_page: given(&filters.cursor).is_none(),
            is_filtered: filters.is_filtered(),
            clear_href: Filters::default().link(place).build(),
            connections_href: Link::to(&[&place.vendor, "connections"]).with("mode", place.mode.name()).build(),
        }
    }
}
