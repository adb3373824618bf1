//! Into the portal and out of it: an invitation or a link that was asked for, and a button.

use super::{Guest, PATH, cookie_name};
use crate::App;
use crate::backend::FormError;
use crate::error::PageError;
use crate::pages::Filled;
use crate::pages::sign_in::{MAX_LINK_BYTES, agent, check_origin};
use crate::render::{self, CachePolicy};
use crate::session::{check_token, enter, leave};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/portal/sign-in", get(show).post(ask))
        .route("/portal/link/{link}", get(show_link).post(use_link))
        .route("/portal/sign-out", post(sign_out))
}

#[derive(Template)]
#[template(path = "portal_sign_in.html")]
struct SignInPage<'a> {
    email: &'a str,
    email_error: &'a str,
    is_asked: bool,
    /// Mail is not sent here, it is shown.
    shows_mail: bool,
}

impl SignInPage<'_> {
    fn answer(&self, status: StatusCode) -> Result<Response, PageError> {
        Ok(render::html(status, self.render()?, CachePolicy::Never))
    }
}

async fn page(app: &App) -> Result<SignInPage<'static>, PageError> {
    let shows_mail = app.backend.caught_mail(None).await?.is_some();
    Ok(SignInPage { email: "", email_error: "", is_asked: false, shows_mail })
}

async fn show(State(app): State<App>, guest: Result<Guest, PageError>) -> Result<Response, PageError> {
    if guest.is_ok() {
        return Ok(Redirect::to(PATH).into_response());
    }
    page(&app).await?.answer(StatusCode::OK)
}

#[derive(Deserialize)]
struct AskForm {
    #[serde(default)]
    email: String,
}

async fn ask(State(app): State<App>, headers: HeaderMap, Filled(form): Filled<AskForm>) -> Result<Response, PageError> {
    check_origin(&headers)?;
    let email = form.email.trim();
    let page = page(&app).await?;
    match app.backend.ask_portal_link(email).await {
        Ok(()) => SignInPage { email, is_asked: true, ..page }.answer(StatusCode::OK),
        Err(FormError::Fields(errors)) => {
            let message = errors.first().map(|error| error.message.as_str()).unwrap_or_default();
            SignInPage { email, email_error: message, ..page }.answer(StatusCode::UNPROCESSABLE_ENTITY)
        }
        Err(FormError::Backend(error)) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "portal_link.html")]
struct LinkPage<'a> {
    vendor: &'a str,
    affiliate: &'a str,
    link: &'a str,
}

/// Shows a button: opening the link uses nothing up, because mail scanners open links too.
async fn show_link(State(app): State<App>, Path(link): Path<String>) -> Result<Response, PageError> {
    check_length(&link)?;
    let guest = app.backend.portal_guest(&link).await?.ok_or(PageError::ExpiredInvite)?;
    let page = LinkPage { vendor: &guest.vendor, affiliate: &guest.affiliate, link: &link };
    Ok(render::html(StatusCode::OK, page.render()?, CachePolicy::Never))
}

async fn use_link(State(app): State<App>, Path(link): Path<String>, headers: HeaderMap) -> Result<Response, PageError> {
    check_origin(&headers)?;
    check_length(&link)?;
    let session = app.backend.open_portal(&link).await?.ok_or(PageError::ExpiredInvite)?;
    // Only tells sessions apart in their list: no reason to keep somebody out.
    if let Err(error) = app.backend.note_portal_agent(&session.cookie, agent(&headers)).await {
        tracing::warn!(error = %error, "the browser of a session cannot be noted: {error}");
    }
    enter(&app, &cookie_name(&app), &session.cookie, PATH)
}

fn check_length(link: &str) -> Result<(), PageError> {
    if link.len() > MAX_LINK_BYTES { Err(PageError::ExpiredInvite) } else { Ok(()) }
}

#[derive(Deserialize)]
struct EndForm {
    csrf: String,
}

async fn sign_out(State(app): State<App>, guest: Guest, Filled(form): Filled<EndForm>) -> Result<Response, PageError> {
    check_token(&guest.view.csrf, &form.csrf)?;
    app.backend.close_portal(&guest.cookie).await?;
    leave(&app, &cookie_name(&app), "/portal/sign-in")
}
