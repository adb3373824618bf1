//! `/open?token=`: a one-time token becomes a session.

use super::{Asked, given};
use crate::App;
use crate::error::PageError;
use crate::session::{Visitor, enter};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

/// Longest token that is looked up, in bytes.
const MAX_TOKEN_BYTES: usize = 256;

pub(super) fn router() -> Router<App> {
    Router::new().route("/open", get(open))
}

#[derive(Debug, Deserialize)]
struct OpenQuery {
    token: Option<String>,
}

async fn open(
    State(app): State<App>,
    visitor: Result<Visitor, PageError>,
    Asked(query): Asked<OpenQuery>,
) -> Result<Response, PageError> {
    let token = given(&query.token).filter(|token| token.len() <= MAX_TOKEN_BYTES).ok_or(PageError::ExpiredLink)?;
    let Some(session) = app.backend.open_session(token).await? else {
        // Somebody who already has a session clicked the link again: let them in.
        return visitor.map(|_| Redirect::to("/").into_response()).map_err(|_| PageError::ExpiredLink);
    };
    enter(&app, &app.settings.cookie_name, &session.cookie, "/")
}
