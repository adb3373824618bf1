//! `GET /api/v1/outcomes`

use super::JsonApi;
use super::auth::Scope;
use super::error::ApiError;
use super::parameters::Parameters;
use super::views::WatermarkView;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Serialize)]
struct OutcomesAnswer {
    watermark: WatermarkView,
    purchases: PurchaseCounts,
    deliveries: Deliveries,
    records: u64,
}

#[derive(Debug, Serialize)]
struct PurchaseCounts {
    credited: u64,
    organic: u64,
    rejected: u64,
    waiting: u64,
}

#[derive(Debug, Serialize)]
struct Deliveries {
    counted: u64,
    no_effect: u64,
    ignored: u64,
    waiting: u64,
    refused: u64,
    decisions: u64,
}

async fn get_outcomes(
    State(api): State<Arc<JsonApi>>,
    Scope(scope): Scope,
    parameters: Parameters,
) -> Result<Json<OutcomesAnswer>, ApiError> {
    parameters.finish("none")?;
    let (watermark, purchases) = api.reports.outcomes(&scope).await?;
    let deliveries = api.ledger.delivery_counts(&scope).await.map_err(ApiError::Internal)?;
    Ok(Json(OutcomesAnswer {
        watermark: watermark.into(),
        purchases: PurchaseCounts {
            credited: purchases.credited,
            organic: purchases.organic,
            rejected: purchases.rejected,
            waiting: purchases.waiting,
        },
        deliveries: Deliveries {
            counted: deliveries.counted,
            no_effect: deliveries.no_effect,
            ignored: deliveries.ignored,
            waiting: deliveries.waiting,
            refused: deliveries.refused,
            decisions: deliveries.decisions,
        },
        records: deliveries.records,
    }))
}

pub(super) fn router() -> Router<Arc<JsonApi>> {
    Router::new().route("/outcomes", get(get_outcomes))
}
