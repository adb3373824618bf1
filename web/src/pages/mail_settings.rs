//! Which mail somebody gets: the part of the account and of the portal that says so, and `/account/unsubscribe`, where
//! the links of mails lead.

use super::Filled;
use super::sign_in::MAX_LINK_BYTES;
use crate::App;
use crate::backend::FormError;
use crate::error::PageError;
use crate::mail_settings::{LinkedMail, MailChoice, MailSetting, MailTopic};
use crate::render::{self, CachePolicy};
use crate::session::Visitor;
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

const MAX_FORM_BYTES: usize = 4_096;
/// Where a person's choice is sent.
const ACCOUNT_ACTION: &str = "/account/mail";

pub(super) fn router() -> Router<App> {
    Router::new()
        .route(ACCOUNT_ACTION, post(choose))
        // A mail program sends the form by itself (RFC 8058): it must work without a session, and lead nowhere else.
        .route("/account/unsubscribe/{link}", get(show_link).post(unsubscribe))
        .route("/account/unsubscribe/{link}/undo", post(undo))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

/// Settings of mail, for a page that includes `mail_settings.html` as its member `mail`.
pub(super) struct MailPart {
    /// Where choices are sent.
    pub action: &'static str,
    /// Goes with them.
    pub csrf: String,
    /// One each.
    pub rows: Vec<MailRow>,
}

/// One sort of mail.
pub(super) struct MailRow {
    /// Names it among the page's ids.
    pub id: String,
    /// Slug of the workspace; empty at the portal.
    pub slug: String,
    /// Name of the workspace.
    pub vendor: String,
    /// The topic in forms.
    pub topic: &'static str,
    /// The topic in words.
    pub label: &'static str,
    /// What comes in it.
    pub hint: &'static str,
    /// What can be chosen.
    pub choices: Vec<ChoiceRow>,
}

/// Something that can be chosen.
pub(super) struct ChoiceRow {
    /// In forms.
    pub value: &'static str,
    /// In words.
    pub label: &'static str,
    /// It holds now.
    pub is_chosen: bool,
}

impl MailPart {
    /// The settings of an account.
    pub(super) fn of_account(settings: Vec<MailSetting>, csrf: &str) -> MailPart {
        MailPart::new(ACCOUNT_ACTION, settings, csrf)
    }

    /// Settings that are sent to `action`.
    pub(super) fn new(action: &'static str, settings: Vec<MailSetting>, csrf: &str) -> MailPart {
        let rows = settings.into_iter().enumerate().map(|(place, setting)| MailRow::of(place, setting));
        MailPart { action, csrf: csrf.to_owned(), rows: rows.collect() }
    }
}

impl MailRow {
    fn of(place: usize, setting: MailSetting) -> MailRow {
        let choice = |choice: &MailChoice| ChoiceRow {
            value: choice.name(),
            label: choice_words(*choice),
            is_chosen: *choice == setting.choice,
        };
        MailRow {
            id: format!("mail-{}", place + 1),
            topic: setting.topic.name(),
            label: label(setting.topic),
            hint: match setting.topic {
                MailTopic::Summary => "The figures of the month before, with a picture, on the first.",
            },
            choices: setting.choices.iter().map(choice).collect(),
            slug: setting.slug,
            vendor: setting.vendor,
        }
    }
}

fn label(topic: MailTopic) -> &'static str {
    match topic {
        MailTopic::Summary => "Monthly summary",
    }
}

fn choice_words(choice: MailChoice) -> &'static str {
    match choice {
        MailChoice::Off => "Off",
        MailChoice::Monthly => "Every month",
    }
}

/// A choice that was sent.
#[derive(Deserialize)]
pub(super) struct ChoiceForm {
    pub csrf: String,
    #[serde(default)]
    vendor: String,
    #[serde(default)]
    topic: String,
    #[serde(default)]
    choice: String,
}

impl ChoiceForm {
    /// What was chosen.
    ///
    /// # Errors
    /// [`PageError::BadQuery`] for words that no form of ours sends.
    pub(super) fn read(&self) -> Result<(MailTopic, MailChoice), PageError> {
        let unknown =
            |field| PageError::BadQuery { field, message: "Load the page again and choose once more.".into() };
        let topic = MailTopic::named(&self.topic).ok_or_else(|| unknown("topic"))?;
        Ok((topic, MailChoice::named(&self.choice).ok_or_else(|| unknown("choice"))?))
    }
}

/// Back to the page of the form, or what was wrong.
pub(super) fn chosen(done: Result<(), FormError>, page: &str) -> Result<Response, PageError> {
    match done {
        Ok(()) => Ok(Redirect::to(&format!("{page}#mail")).into_response()),
        Err(FormError::Backend(error)) => Err(error.into()),
        Err(FormError::Fields(errors)) => {
            let message = errors.into_iter().next().map(|error| error.message).unwrap_or_default();
            Err(PageError::BadQuery { field: "choice", message })
        }
    }
}

async fn choose(
    State(app): State<App>,
    visitor: Visitor,
    Filled(form): Filled<ChoiceForm>,
) -> Result<Response, PageError> {
    visitor.check_form(&form.csrf)?;
    let (topic, choice) = form.read()?;
    let done = app.backend.choose_mail(&visitor.cookie, &form.vendor, topic, choice).await;
    chosen(done, super::account::PATH)
}

#[derive(Template)]
#[template(path = "unsubscribe.html")]
struct LinkPage<'a> {
    link: &'a str,
    vendor: &'a str,
    label: &'static str,
    is_off: bool,
}

fn link_page(link: &str, linked: Option<LinkedMail>) -> Result<Response, PageError> {
    let linked = linked.ok_or(PageError::NotFound)?;
    let is_off = linked.choice == MailChoice::Off;
    let page = LinkPage { link, vendor: &linked.vendor, label: label(linked.topic), is_off };
    Ok(render::html(StatusCode::OK, page.render()?, CachePolicy::Never))
}

fn check_length(link: &str) -> Result<(), PageError> {
    if link.len() > MAX_LINK_BYTES { Err(PageError::NotFound) } else { Ok(()) }
}

/// Shows a button: opening the link changes nothing, because mail scanners open links too.
async fn show_link(State(app): State<App>, Path(link): Path<String>) -> Result<Response, PageError> {
    check_length(&link)?;
    link_page(&link, app.backend.mail_of_link(&link).await?)
}

async fn unsubscribe(State(app): State<App>, Path(link): Path<String>) -> Result<Response, PageError> {
    check_length(&link)?;
    link_page(&link, app.backend.unsubscribe(&link).await?)
}

async fn undo(State(app): State<App>, Path(link): Path<String>) -> Result<Response, PageError> {
    check_length(&link)?;
    link_page(&link, app.backend.subscribe_again(&link).await?)
}
