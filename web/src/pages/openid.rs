//! `/sign-in/openid`: to an OpenID provider, and back.

use super::Asked;
use super::sign_in::{self, MAX_LINK_BYTES, agent};
use crate::App;
use crate::accounts::{OpenIdAnswer, OpenIdOutcome};
use crate::error::PageError;
use crate::session::{come_back, read_cookie, send_away};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

/// Longest code that is passed on, in bytes; Google's have some 80, others up to a few thousand.
const MAX_CODE_BYTES: usize = 4_096;

pub(super) fn router() -> Router<App> {
    Router::new().route("/sign-in/openid", get(begin)).route("/sign-in/openid/callback", get(finish))
}

/// The cookie of a sign-in that is under way.
fn cookie_name(app: &App) -> String {
    format!("{}_openid", app.settings.cookie_name)
}

async fn begin(State(app): State<App>) -> Result<Response, PageError> {
    let provider = app.backend.openid_provider().ok_or(PageError::NotFound)?;
    match app.backend.begin_openid().await? {
        Some(start) => send_away(&app, (&cookie_name(&app), &start.kept), &start.url),
        None => {
            let words = format!("{provider} does not answer. Ask for a link by mail instead, or try again later.");
            sign_in::after_openid(&app, "", &words).await
        }
    }
}

#[derive(Deserialize)]
struct Back {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
}

async fn finish(
    State(app): State<App>,
    Asked(back): Asked<Back>,
    headers: HeaderMap,
    parts: Parts,
) -> Result<Response, PageError> {
    let provider = app.backend.openid_provider().ok_or(PageError::NotFound)?;
    let kept = read_cookie(&parts, &cookie_name(&app)).map(|cookie| cookie.0).unwrap_or_default();
    let fits = back.state.len() <= MAX_LINK_BYTES && back.code.len() <= MAX_CODE_BYTES;
    let answer = OpenIdAnswer { kept: &kept, state: &back.state, code: &back.code };
    let outcome = match fits {
        true => app.backend.finish_openid(answer, agent(&headers)).await?,
        false => OpenIdOutcome::Failed,
    };
    match outcome {
        OpenIdOutcome::Opened(session) => come_back(&app, &cookie_name(&app), &session.cookie, "/"),
        OpenIdOutcome::MailFirst { email } => {
            let words = format!("{provider} cannot vouch that {email} is yours today. Prove it by mail.");
            sign_in::after_openid(&app, &email, &words).await
        }
        OpenIdOutcome::Unknown { email } => {
            let words = format!("Nobody here has the address {email}, and new people cannot sign up on this server.");
            sign_in::after_openid(&app, &email, &words).await
        }
        OpenIdOutcome::Failed => {
            let words = format!("{provider} did not sign you in. Try again, or ask for a link by mail.");
            sign_in::after_openid(&app, "", &words).await
        }
    }
}
