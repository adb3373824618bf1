//! Which mail an affiliate gets.

use super::{Guest, PATH};
use crate::App;
use crate::error::PageError;
use crate::pages::Filled;
use crate::pages::mail_settings::{ChoiceForm, MailPart, chosen};
use crate::session::check_token;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;

const ACTION: &str = "/portal/mail";

pub(super) fn router() -> Router<App> {
    Router::new().route(ACTION, post(choose))
}

/// The settings of a portal session.
///
/// # Errors
/// When they cannot be read.
pub(super) async fn part(app: &App, guest: &Guest) -> Result<MailPart, PageError> {
    let settings = app.backend.portal_mail_settings(&guest.cookie).await?;
    Ok(MailPart::new(ACTION, settings, &guest.view.csrf.0))
}

async fn choose(State(app): State<App>, guest: Guest, Filled(form): Filled<ChoiceForm>) -> Result<Response, PageError> {
    check_token(&guest.view.csrf, &form.csrf)?;
    let (topic, choice) = form.read()?;
    let done = app.backend.choose_portal_mail(&guest.cookie, topic, choice).await;
    chosen(done, PATH)
}
