//! `GET /api/v1/purchases/{business_key}`, `/deliveries/{id}` and `/status`: what only the
//! fold's own store can tell.

use super::JsonApi;
use super::auth::Scope;
use super::error::ApiError;
use super::parameters::Parameters;
use crate::services::StatusReport;
use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;

/// The longest name of a purchase or delivery, in bytes.
const MAX_NAME_BYTES: usize = 500;

/// Business keys and dedupe keys hold colons and may hold slashes; the whole rest of the path,
/// decoded, is the name.
fn check_name(field: &str, name: &str) -> Result<(), ApiError> {
    if name.len() > MAX_NAME_BYTES {
        return Err(ApiError::bad_parameter(field, format!("the name is longer than {MAX_NAME_BYTES} bytes")));
    }
    Ok(())
}

async fn get_purchase(
    State(api): State<Arc<JsonApi>>,
    Scope(scope): Scope,
    Path(business_key): Path<String>,
    parameters: Parameters,
) -> Result<Json<serde_json::Value>, ApiError> {
    parameters.finish("none")?;
    check_name("business_key", &business_key)?;
    let found = api.ledger.purchase(&scope, &business_key).await.map_err(ApiError::Internal)?;
    found.map(Json).ok_or(ApiError::NotFound { what: "purchase" })
}

async fn get_delivery(
    State(api): State<Arc<JsonApi>>,
    Scope(scope): Scope,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Json<serde_json::Value>, ApiError> {
    parameters.finish("none")?;
    check_name("id", &id)?;
    let found = api.ledger.delivery(&scope, &id).await.map_err(ApiError::Internal)?;
    found.map(Json).ok_or(ApiError::NotFound { what: "delivery" })
}

async fn get_status(
    State(api): State<Arc<JsonApi>>,
    Scope(scope): Scope,
    parameters: Parameters,
) -> Result<Json<StatusReport>, ApiError> {
    parameters.finish("none")?;
    Ok(Json(api.ledger.status(&scope).await.map_err(ApiError::Internal)?))
}

pub(super) fn router() -> Router<Arc<JsonApi>> {
    Router::new()
        .route("/purchases/{*business_key}", get(get_purchase))
        .route("/deliveries/{*id}", get(get_delivery))
        .route("/status", get(get_status))
}
