//! The pages. One file per page: its query, its handler, its typed template.

mod account;
mod affiliates;
mod alerts;
mod campaign_form;
mod chart;
mod connect_form;
mod connections;
mod dashboard;
mod figures;
mod key_form;
mod mail_settings;
mod open;
mod openid;
mod outcomes;
mod payouts;
mod portal;
mod purchase;
mod redemptions;
mod redemptions_file;
mod rows;
mod setup_card;
mod shown;
mod sign_in;
mod waterfall;
mod welcome;
mod workspace;

use crate::App;
use crate::error::PageError;
use crate::links::Link;
use crate::session::Visitor;
use axum::Router;
use axum::extract::{Form, FromRequest, FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::response::Redirect;
use axum::routing::get;
use domain::ids::Provider;
use serde::de::DeserializeOwned;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(home))
        .merge(open::router())
        .merge(dashboard::router())
        .merge(payouts::router())
        .merge(redemptions::router())
        .merge(redemptions_file::router())
        .merge(purchase::router())
        .merge(affiliates::router())
        .merge(alerts::router())
        .merge(connections::router())
        .merge(key_form::router())
        .merge(welcome::router())
        .merge(workspace::router())
        .merge(sign_in::router())
        .merge(openid::router())
        .merge(account::router())
        .merge(mail_settings::router())
        .merge(portal::router())
}

/// The first real vendor, else the demo, else the form that makes one.
async fn home(State(_): State<App>, visitor: Visitor) -> Redirect {
    let vendors = &visitor.session.vendors;
    match vendors.iter().find(|vendor| !vendor.is_demo).or(vendors.first()) {
        Some(vendor) => Redirect::to(&Link::to(&[&vendor.slug, "dashboard"]).build()),
        None => Redirect::to(welcome::PATH),
    }
}

/// As people write it.
pub(crate) fn provider_name(provider: Provider) -> &'static str {
    match provider {
        Provider::Stripe => "Stripe",
        Provider::Paddle => "Paddle",
        Provider::LemonSqueezy => "Lemon Squeezy",
    }
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

/// A form whose failure is a page of ours.
pub(crate) struct Filled<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Filled<T> {
    type Rejection = PageError;

    async fn from_request(request: Request, app: &App) -> Result<Filled<T>, PageError> {
        match Form::<T>::from_request(request, app).await {
            Ok(Form(form)) => Ok(Filled(form)),
            Err(_) => Err(PageError::BadQuery {
                field: "form",
                message: "It could not be read; load the page and try again.".into(),
            }),
        }
    }
}

/// Empty form fields count as absent.
pub(crate) fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}
