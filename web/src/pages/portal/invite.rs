//! An affiliate is invited by the vendor.

use crate::App;
use crate::backend::FormError;
use crate::error::PageError;
use crate::links::Link;
use crate::pages::Filled;
use crate::session::Visitor;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use serde::Deserialize;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/affiliates/{affiliate}/invite", post(invite))
}

#[derive(Deserialize)]
struct InviteForm {
    csrf: String,
}

/// Back to the affiliate's page, which says what came of it.
async fn invite(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, affiliate)): Path<(String, String)>,
    Filled(form): Filled<InviteForm>,
) -> Result<Response, PageError> {
    visitor.check_form(&form.csrf)?;
    let page = Link::to(&[&vendor, "affiliates", &affiliate]);
    let target = match app.backend.invite(&visitor.cookie, &vendor, &affiliate).await {
        Ok(email) => page.with("invited", &email),
        Err(FormError::Fields(errors)) => {
            let message = errors.first().map(|error| error.message.as_str());
            page.with_some("not_invited", message)
        }
        Err(FormError::Backend(error)) => return Err(error.into()),
    };
    Ok(Redirect::to(&target.build()).into_response())
}
