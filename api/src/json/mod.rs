//! The read-only JSON API, `/api/v1`. See `docs/API.md`.
//!
//! A request passes [`auth::require_key`] (key to scope), [`crate::budget`] (requests per key), and
//! then a handler, which sees the scope and never the key.

mod auth;
mod error;
mod ledger;
mod lines;
mod outcomes;
mod parameters;
mod purchases;
mod totals;
mod views;

#[cfg(test)]
mod router_tests;

pub use error::ApiError;

use crate::budget::{BudgetLimits, Budgets};
use crate::services::{KeyResolver, LedgerReads, Reports};
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::Response;
use std::sync::Arc;

/// What the handlers share.
pub struct JsonApi {
    pub(crate) reports: Reports,
    pub(crate) ledger: Arc<dyn LedgerReads>,
    pub(crate) keys: Arc<dyn KeyResolver>,
    pub(crate) budgets: Budgets<[u8; 32]>,
}

impl JsonApi {
    /// An API over these services.
    pub fn new(
        reports: Reports,
        ledger: Arc<dyn LedgerReads>,
        keys: Arc<dyn KeyResolver>,
        limits: BudgetLimits,
    ) -> JsonApi {
        JsonApi { reports, ledger, keys, budgets: Budgets::new(limits) }
    }
}

/// The routes below `/api/v1`, with their own answers for what does not exist.
pub fn router(api: Arc<JsonApi>) -> Router {
    let routes = Router::new()
        .merge(totals::router())
        .merge(lines::router())
        .merge(purchases::router())
        .merge(outcomes::router())
        .merge(ledger::router())
        .fallback(async || ApiError::NoSuchRoute)
        .method_not_allowed_fallback(async || ApiError::ReadOnly)
        .layer(middleware::from_fn_with_state(api.clone(), auth::require_key))
        .layer(middleware::map_response(forbid_storing))
        .with_state(api);
    Router::new().nest("/api/v1", routes)
}

/// Figures of one vendor must not stay in a shared cache.
async fn forbid_storing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}
