//! `/account`: whose session this is, and where else they are signed in. `/demo/mail`: mail that was caught.

use super::Filled;
use super::mail_settings::MailPart;
use crate::App;
use crate::accounts::{CaughtRow, SessionRow};
use crate::error::PageError;
use crate::render::{self, CachePolicy};
use crate::session::{Visitor, leave};
use crate::times;
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use domain::ids::Timestamp;
use serde::Deserialize;

/// Where it is.
pub(crate) const PATH: &str = "/account";
const MAX_FORM_BYTES: usize = 4_096;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route(PATH, get(show))
        .route("/account/sessions/end", post(end_session))
        .route("/sign-out", post(sign_out))
        .route("/demo/mail", get(caught_mail))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    csrf: String,
    email: Option<String>,
    sessions: Vec<SessionLine>,
    mail: MailPart,
}

struct SessionLine {
    id: String,
    agent: String,
    since: String,
    last_used: String,
    is_this: bool,
}

impl SessionLine {
    fn of(row: SessionRow) -> SessionLine {
        SessionLine {
            id: row.id,
            agent: browser(&row.agent),
            since: utc(row.created_at),
            last_used: utc(row.last_used_at),
            is_this: row.is_this,
        }
    }
}

/// A browser by its name, as far as its own long one tells.
pub(super) fn browser(agent: &str) -> String {
    let known =
        [("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")];
    let systems = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let find =
        |names: &[(&str, &'static str)]| names.iter().find(|(part, _)| agent.contains(part)).map(|(_, name)| *name);
    match (find(&known), find(&systems)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) if agent.is_empty() => "A browser that does not say what it is".to_owned(),
        (None, _) => agent.chars().take(60).collect(),
    }
}

fn utc(at: Timestamp) -> String {
    times::moment(at, "UTC")
}

async fn show(State(app): State<App>, visitor: Visitor) -> Result<Response, PageError> {
    let account = app.backend.account(&visitor.cookie).await?;
    let settings = app.backend.mail_settings(&visitor.cookie).await?;
    let page = AccountPage {
        mail: MailPart::of_account(settings, &visitor.session.csrf.0),
        csrf: visitor.session.csrf.0,
        email: account.email,
        sessions: account.sessions.into_iter().map(SessionLine::of).collect(),
    };
    Ok(render::html(StatusCode::OK, page.render()?, CachePolicy::Never))
}

#[derive(Deserialize)]
struct EndForm {
    csrf: String,
    #[serde(default)]
    session: String,
}

async fn end_session(
    State(app): State<App>,
    visitor: Visitor,
    Filled(form): Filled<EndForm>,
) -> Result<Response, PageError> {
    visitor.check_form(&form.csrf)?;
    app.backend.end_session(&visitor.cookie, &form.session).await?;
    Ok(Redirect::to(PATH).into_response())
}

async fn sign_out(
    State(app): State<App>,
    visitor: Visitor,
    Filled(form): Filled<EndForm>,
) -> Result<Response, PageError> {
    visitor.check_form(&form.csrf)?;
    app.backend.sign_out(&visitor.cookie).await?;
    leave(&app, &app.settings.cookie_name, super::sign_in::PATH)
}

#[derive(Template)]
#[template(path = "caught_mail.html")]
struct CaughtPage {
    mails: Vec<CaughtLine>,
}

struct CaughtLine {
    name: String,
    subject: String,
    to: String,
    at: String,
    parts: Vec<LetterPart>,
}

/// A piece of a letter's text: an address of the web, or what stands between two of them.
struct LetterPart {
    text: String,
    is_link: bool,
}

fn parts(text: &str) -> Vec<LetterPart> {
    text.split_inclusive(char::is_whitespace)
        .flat_map(|word| {
            let bare = word.trim_end();
            let is_link = bare.starts_with("https://") || bare.starts_with("http://");
            let rest = LetterPart { text: word[bare.len()..].to_owned(), is_link: false };
            [LetterPart { text: bare.to_owned(), is_link }, rest]
        })
        .filter(|part| !part.text.is_empty())
        .collect()
}

async fn caught_mail(State(app): State<App>, visitor: Result<Visitor, PageError>) -> Result<Response, PageError> {
    let cookie = visitor.as_ref().ok().map(|visitor| &visitor.cookie);
    let caught = app.backend.caught_mail(cookie).await?.ok_or(PageError::NotFound)?;
    let line = |mail: CaughtRow| CaughtLine {
        name: mail.name,
        subject: mail.subject,
        to: mail.to,
        at: utc(mail.at),
        parts: parts(&mail.text),
    };
    let page = CaughtPage { mails: caught.into_iter().map(line).collect() };
    Ok(render::html(StatusCode::OK, page.render()?, CachePolicy::Never))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_named_as_people_do() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36 Edg/141.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile/15E148 Safari/604.1";
        let named = [firefox, edge, phone, "curl/8.0", ""].map(browser);
        let expected = ["Firefox on Linux", "Edge on Windows", "Safari on iPhone", "curl/8.0"];
        assert_eq!(named[..4], expected);
        assert!(!named[4].is_empty());
    }

    #[test]
    fn addresses_in_a_letter_become_links_and_nothing_is_lost() {
        let text = "Sign in:\n\nhttps://a.example/x?y=1\n\nnot javascript:alert(1) or (http://b.example)\n";
        let parts = parts(text);
        assert_eq!(parts.iter().map(|part| part.text.as_str()).collect::<String>(), text);
        let links: Vec<&str> = parts.iter().filter(|part| part.is_link).map(|part| part.text.as_str()).collect();
        assert_eq!(links, ["https://a.example/x?y=1"]);
    }
}
