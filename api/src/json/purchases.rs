//! `GET /api/v1/purchases`

use super::JsonApi;
use super::auth::Scope;
use super::error::ApiError;
use super::parameters::Parameters;
use super::views::{PurchaseView, WatermarkView};
use crate::model::ExplorerFilter;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use domain::line::PurchaseOutcome;
use domain::money::Currency;
use serde::Serialize;
use std::sync::Arc;

const DEFAULT_ROWS: u32 = 50;
const MOST_ROWS: u32 = 500;

#[derive(Debug, Serialize)]
struct PurchasesAnswer {
    watermark: WatermarkView,
    purchases: Vec<PurchaseView>,
    next: Option<String>,
}

struct PurchasesRequest {
    filter: ExplorerFilter,
    cursor: Option<String>,
    limit: u32,
}

/// The outcomes of the list; a merged purchase is not in it.
fn outcome_of_name(name: &str) -> Option<PurchaseOutcome> {
    [PurchaseOutcome::Credited, PurchaseOutcome::Organic, PurchaseOutcome::Rejected, PurchaseOutcome::Waiting]
        .into_iter()
        .find(|outcome| outcome.name() == name)
}

fn read_request(mut parameters: Parameters) -> Result<PurchasesRequest, ApiError> {
    let filter = ExplorerFilter {
        affiliate: parameters.filled("affiliate"),
        code: parameters.filled("code"),
        outcome: parameters.word("outcome", "credited, organic, rejected, waiting", outcome_of_name)?,
        currency: parameters.word("currency", "the three-letter codes, for example usd", Currency::parse)?,
        search: parameters.filled("search"),
        redemptions_only: parameters.flag("redemptions_only")?,
        ..ExplorerFilter::default()
    };
    let cursor = parameters.filled("cursor");
    let limit = parameters.limit(DEFAULT_ROWS, MOST_ROWS)?;
    parameters.finish("affiliate, code, outcome, currency, search, redemptions_only, cursor, limit")?;
    Ok(PurchasesRequest { filter, cursor, limit })
}

async fn list_purchases(
    State(api): State<Arc<JsonApi>>,
    Scope(scope): Scope,
    parameters: Parameters,
) -> Result<Json<PurchasesAnswer>, ApiError> {
    let request = read_request(parameters)?;
    let page = api.reports.explorer(&scope, &request.filter, request.cursor.as_deref(), request.limit).await?;
    Ok(Json(PurchasesAnswer {
        watermark: page.watermark.into(),
        purchases: page.items.into_iter().map(PurchaseView::from).collect(),
        next: page.next,
    }))
}

pub(super) fn router() -> Router<Arc<JsonApi>> {
    Router::new().route("/purchases", get(list_purchases))
}
