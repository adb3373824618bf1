//! `/portal/account`: an affiliate's own name, how they are paid, and where they are signed in.

use super::{Guest, PATH};
use crate::App;
use crate::accounts::SessionRow;
use crate::backend::{FieldError, FormError};
use crate::error::PageError;
use crate::pages::account::browser;
use crate::pages::affiliates::Field;
use crate::pages::{Asked, Filled, given};
use crate::portal::PortalView;
use crate::portal_desk::PortalAccount;
use crate::render::{self, CachePolicy};
use crate::session::check_token;
use crate::times;
use api::words::full_sentence;
use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

/// Where it is.
const ACCOUNT: &str = "/portal/account";

pub(super) fn router() -> Router<App> {
    Router::new()
        .route(ACCOUNT, get(show))
        .route("/portal/account/name", post(rename))
        .route("/portal/account/payout-address", post(set_payout_address))
        .route("/portal/account/sessions/end", post(end_session))
        .route("/portal/account/sessions/end-others", post(end_others))
}

#[derive(Debug, Default, Deserialize)]
struct Said {
    done: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Typed {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    payout_address: String,
    #[serde(default)]
    session: String,
}

/// What stands in the forms, where it is not what is stored.
#[derive(Default)]
struct Forms {
    name: Option<(String, String)>,
    payout_address: Option<(String, String)>,
}

async fn show(
    State(app): State<App>,
    guest: Result<Guest, PageError>,
    Asked(said): Asked<Said>,
) -> Result<Response, PageError> {
    let guest = match guest {
        Err(PageError::NoPortalSession) => return Ok(Redirect::to("/portal/sign-in").into_response()),
        guest => guest?,
    };
    let done = match given(&said.done) {
        Some("name") => "Your name is changed.",
        Some("payout-address") => "Saved. The vendor sees it from now on.",
        Some("ended") => "That session is over.",
        Some("ended-others") => "All your other sessions are over.",
        _ => "",
    };
    page(&app, &guest, Forms::default(), done).await
}

async fn rename(State(app): State<App>, guest: Guest, Filled(typed): Filled<Typed>) -> Result<Response, PageError> {
    check_token(&guest.view.csrf, &typed.csrf)?;
    let name = typed.name.trim();
    let renamed = match name.is_empty() {
        true => Err("Write the name that you and the vendor see.".to_owned()),
        false => by_field(app.backend.rename_guest(&guest.cookie, name).await)?,
    };
    match renamed {
        Ok(()) => Ok(done("name")),
        Err(error) => page(&app, &guest, Forms { name: Some((typed.name, error)), ..Forms::default() }, "").await,
    }
}

async fn set_payout_address(
    State(app): State<App>,
    guest: Guest,
    Filled(typed): Filled<Typed>,
) -> Result<Response, PageError> {
    check_token(&guest.view.csrf, &typed.csrf)?;
    match by_field(app.backend.set_payout_address(&guest.cookie, &typed.payout_address).await)? {
        Ok(()) => Ok(done("payout-address")),
        Err(error) => {
            let forms = Forms { payout_address: Some((typed.payout_address, error)), ..Forms::default() };
            page(&app, &guest, forms, "").await
        }
    }
}

async fn end_session(
    State(app): State<App>,
    guest: Guest,
    Filled(typed): Filled<Typed>,
) -> Result<Response, PageError> {
    check_token(&guest.view.csrf, &typed.csrf)?;
    app.backend.end_portal_session(&guest.cookie, &typed.session).await?;
    Ok(done("ended"))
}

async fn end_others(State(app): State<App>, guest: Guest, Filled(typed): Filled<Typed>) -> Result<Response, PageError> {
    check_token(&guest.view.csrf, &typed.csrf)?;
    app.backend.end_other_portal_sessions(&guest.cookie).await?;
    Ok(done("ended-others"))
}

fn done(word: &str) -> Response {
    Redirect::to(&format!("{ACCOUNT}?done={word}")).into_response()
}

/// What a form's one field was refused with, as a sentence.
fn by_field(result: Result<(), FormError>) -> Result<Result<(), String>, PageError> {
    match result {
        Ok(()) => Ok(Ok(())),
        Err(FormError::Fields(errors)) => {
            let message = |error: &FieldError| full_sentence(&error.message);
            Ok(Err(errors.first().map(message).unwrap_or_default()))
        }
        Err(FormError::Backend(error)) => Err(error.into()),
    }
}

struct SessionLine {
    id: String,
    agent: String,
    since: String,
    last_used: String,
    is_this: bool,
}

impl SessionLine {
    fn of(row: SessionRow, view: &PortalView) -> SessionLine {
        SessionLine {
            id: row.id,
            agent: browser(&row.agent),
            since: times::moment(row.created_at, &view.time_zone),
            last_used: times::moment(row.last_used_at, &view.time_zone),
            is_this: row.is_this,
        }
    }
}

#[derive(Template)]
#[template(path = "portal_account.html")]
struct AccountPage<'a> {
    csrf: &'a str,
    vendor: &'a str,
    time_zone: &'a str,
    email: String,
    done: &'static str,
    name: Field,
    payout_address: String,
    payout_error: String,
    sessions: Vec<SessionLine>,
    has_others: bool,
    back_href: &'static str,
}

async fn page(app: &App, guest: &Guest, forms: Forms, done: &'static str) -> Result<Response, PageError> {
    let PortalAccount { name, email, payout_address, sessions } = app.backend.portal_account(&guest.cookie).await?;
    let is_wrong = forms.name.is_some() || forms.payout_address.is_some();
    let (name, name_error) = forms.name.unwrap_or((name, String::new()));
    let (payout_address, payout_error) = forms.payout_address.unwrap_or((payout_address, String::new()));
    let page = AccountPage {
        csrf: &guest.view.csrf.0,
        vendor: &guest.view.vendor,
        time_zone: &guest.view.time_zone,
        email,
        done,
        name: Field::new("name", "name", "Your name", &name, name_error).required(),
        payout_address,
        payout_error,
        has_others: sessions.iter().any(|session| !session.is_this),
        sessions: sessions.into_iter().map(|row| SessionLine::of(row, &guest.view)).collect(),
        back_href: PATH,
    };
    let status = if is_wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(render::html(status, page.render()?, CachePolicy::Never))
}
