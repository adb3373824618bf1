//! `/portal`: what an affiliate sees of their own, and how they get there.

mod account;
mod claim;
mod mail;
mod show;
mod sign_in;

use crate::App;
use crate::backend::SessionCookie;
use crate::error::PageError;
use crate::portal::PortalView;
use crate::session::{follow, read_cookie};
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::http::request::Parts;

/// Where it is.
const PATH: &str = "/portal";
const MAX_FORM_BYTES: usize = 4_096;

pub(super) fn router() -> Router<App> {
    Router::new()
        .merge(show::router())
        .merge(account::router())
        .merge(claim::router())
        .merge(mail::router())
        .merge(sign_in::router())
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

/// An affiliate with a session.
struct Guest {
    cookie: SessionCookie,
    view: PortalView,
}

impl FromRequestParts<App> for Guest {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Guest, PageError> {
        let cookie = read_cookie(parts, &cookie_name(app)).ok_or(PageError::NoPortalSession)?;
        let view = app.backend.portal_session(&cookie).await?.ok_or(PageError::NoPortalSession)?;
        follow(parts, app, &cookie_name(app), view.renewed.as_ref());
        Ok(Guest { cookie, view })
    }
}

/// A name of its own: whoever works for one vendor may be another's affiliate.
fn cookie_name(app: &App) -> String {
    format!("{}_portal", app.settings.cookie_name)
}
