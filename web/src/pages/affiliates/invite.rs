//! An affiliate is invited to see their own figures.

use super::desk::{Around, Desk, Problems};
use super::one::{Forms, refused};
use crate::App;
use crate::backend::FormError;
use crate::error::PageError;
use crate::pages::{Asked, Filled, given};
use crate::session::Visitor;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/affiliates/{affiliate}/invitation", post(invite))
}

#[derive(Deserialize)]
struct Typed {
    csrf: String,
}

async fn invite(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, key)): Path<(String, String)>,
    Asked(around): Asked<Around>,
    Filled(typed): Filled<Typed>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let invited = app.backend.invite(&visitor.cookie, &vendor, &key).await;
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    match invited {
        Ok(()) => Ok(desk.done(&["affiliates", &key], "invited")),
        Err(FormError::Fields(errors)) => {
            refused(&desk, &key, Forms { invitation: Some(Problems(errors)), ..Forms::default() })
        }
        Err(FormError::Backend(error)) => Err(error.into()),
    }
}
