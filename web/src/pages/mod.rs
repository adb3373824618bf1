//! The pages. One file per page: its query, its handler, its typed template.

mod chart;
mod connect_form;
mod connections;
mod dashboard;
mod figures;
mod open;
mod purchase;
mod redemptions;
mod rows;
mod waterfall;

use crate::App;
use crate::error::PageError;
use crate::links::Link;
use crate::session::Visitor;
use axum::Router;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::response::Redirect;
use axum::routing::get;
use serde::de::DeserializeOwned;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(home))
        .merge(open::router())
        .merge(dashboard::router())
        .merge(redemptions::router())
        .merge(purchase::router())
        .merge(connections::router())
}

/// The first real vendor, else the demo.
async fn home(State(_): State<App>, visitor: Visitor) -> Result<Redirect, PageError> {
    let vendors = &visitor.session.vendors;
    let vendor = vendors.iter().find(|vendor| !vendor.is_demo).or(vendors.first()).ok_or(PageError::NotFound)?;
    Ok(Redirect::to(&Link::to(&[&vendor.slug, "dashboard"]).build()))
}

pub(crate) async fn not_found() -> PageError {
    PageError::NotFound
}

/// Query parameters whose failure is a page of ours.
pub(crate) struct Asked<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Asked<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Asked<T>, PageError> {
        match Query::<T>::from_request_parts(parts, app).await {
            Ok(Query(query)) => Ok(Asked(query)),
            Err(_) => Err(PageError::BadQuery {
                field: "address",
                message: "Its filters cannot be read; a filter may be given twice.".into(),
            }),
        }
    }
}

/// Empty form fields count as absent.
pub(crate) fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}
