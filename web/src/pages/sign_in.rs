//! `/sign-in`: an address, then a link or six digits from its mail.

use super::Filled;
use crate::App;
use crate::accounts::CodeOutcome;
use crate::backend::{FormError, NewSession};
use crate::error::PageError;
use crate::render::{self, CachePolicy};
use crate::session::{Visitor, enter};
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

/// Where it is.
pub(crate) const PATH: &str = "/sign-in";
const MAX_FORM_BYTES: usize = 4_096;
/// Longest link that is looked up, in bytes.
pub(super) const MAX_LINK_BYTES: usize = 256;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route(PATH, get(show).post(ask))
        .route("/sign-in/code", post(try_code))
        .route("/sign-in/link/{link}", get(show_link).post(use_link))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

#[derive(Debug, Default, Deserialize)]
struct AskForm {
    #[serde(default)]
    email: String,
}

#[derive(Default, Deserialize)]
struct CodeForm {
    #[serde(default)]
    email: String,
    #[serde(default)]
    ticket: String,
    #[serde(default)]
    code: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    email: &'a str,
    email_error: &'a str,
    /// Set once a mail was asked for: the page then takes the code.
    ticket: &'a str,
    code_error: &'a str,
    /// Mail is not sent here, it is shown.
    shows_mail: bool,
}

impl SignInPage<'_> {
    fn answer(&self, status: StatusCode) -> Result<Response, PageError> {
        Ok(render::html(status, self.render()?, CachePolicy::Never))
    }
}

#[derive(Template)]
#[template(path = "sign_in_link.html")]
struct LinkPage<'a> {
    email: &'a str,
    link: &'a str,
}

async fn show(State(app): State<App>, visitor: Result<Visitor, PageError>) -> Result<Response, PageError> {
    if visitor.is_ok() {
        return Ok(Redirect::to("/").into_response());
    }
    page(&app).await?.answer(StatusCode::OK)
}

async fn page(app: &App) -> Result<SignInPage<'static>, PageError> {
    let shows_mail = app.backend.caught_mail(None).await?.is_some();
    Ok(SignInPage { email: "", email_error: "", ticket: "", code_error: "", shows_mail })
}

async fn ask(State(app): State<App>, headers: HeaderMap, Filled(form): Filled<AskForm>) -> Result<Response, PageError> {
    check_origin(&headers)?;
    let email = form.email.trim();
    let page = page(&app).await?;
    match app.backend.ask_sign_in(email).await {
        Ok(ticket) => SignInPage { email, ticket: &ticket, ..page }.answer(StatusCode::OK),
        Err(FormError::Fields(errors)) => {
            let message = errors.first().map(|error| error.message.as_str()).unwrap_or_default();
            SignInPage { email, email_error: message, ..page }.answer(StatusCode::UNPROCESSABLE_ENTITY)
        }
        Err(FormError::Backend(error)) => Err(error.into()),
    }
}

async fn try_code(
    State(app): State<App>,
    headers: HeaderMap,
    Filled(form): Filled<CodeForm>,
) -> Result<Response, PageError> {
    check_origin(&headers)?;
    if form.ticket.len() > MAX_LINK_BYTES || form.code.trim().is_empty() {
        return again(&app, &form, "Type the six digits of the mail.").await;
    }
    match app.backend.open_by_code(&form.ticket, &form.code, agent(&headers)).await? {
        CodeOutcome::Opened(session) => opened(&app, &session),
        CodeOutcome::Wrong { left: 0 } => Err(PageError::ExpiredSignIn),
        CodeOutcome::Wrong { left } => {
            let left = if left == 1 { "one try is".to_owned() } else { format!("{left} tries are") };
            again(&app, &form, &format!("These are not the digits of the newest mail; {left} left.")).await
        }
        CodeOutcome::Gone => Err(PageError::ExpiredSignIn),
    }
}

async fn again(app: &App, form: &CodeForm, code_error: &str) -> Result<Response, PageError> {
    let page = page(app).await?;
    let page = SignInPage { email: &form.email, ticket: &form.ticket, code_error, ..page };
    page.answer(StatusCode::UNPROCESSABLE_ENTITY)
}

/// Shows a button: opening the link uses nothing up, because mail scanners open links too.
async fn show_link(State(app): State<App>, Path(link): Path<String>) -> Result<Response, PageError> {
    let Some(email) = email_of(&app, &link).await? else {
        return Err(PageError::ExpiredSignIn);
    };
    let page = LinkPage { email: &email, link: &link };
    Ok(render::html(StatusCode::OK, page.render()?, CachePolicy::Never))
}

async fn email_of(app: &App, link: &str) -> Result<Option<String>, PageError> {
    match link.len() {
        0..=MAX_LINK_BYTES => Ok(app.backend.sign_in_of_link(link).await?),
        _ => Ok(None),
    }
}

async fn use_link(State(app): State<App>, Path(link): Path<String>, headers: HeaderMap) -> Result<Response, PageError> {
    check_origin(&headers)?;
    if link.len() > MAX_LINK_BYTES {
        return Err(PageError::ExpiredSignIn);
    }
    let session = app.backend.open_by_link(&link, agent(&headers)).await?.ok_or(PageError::ExpiredSignIn)?;
    opened(&app, &session)
}

/// To the first page, with the cookie of the session.
fn opened(app: &App, session: &NewSession) -> Result<Response, PageError> {
    enter(app, &app.settings.cookie_name, &session.cookie, "/")
}

pub(super) fn agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default()
}

/// A form without a session has no token. Browsers say from where it comes, and another site may not sign anybody in
/// here; a program that says nothing may.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), PageError> {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(PageError::Forged),
    }
}
