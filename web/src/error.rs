//! The one error of the pages. What a visitor reads never carries a cause.

use crate::backend::BackendError;
use crate::render;
use api::export::xlsx::ExportError;
use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use thiserror::Error;

/// Why a page could not be shown.
#[derive(Debug, Error)]
pub enum PageError {
    /// No cookie, or its session is over.
    #[error("no session")]
    NoSession,
    /// The one-time token was used, is too old, or never existed.
    #[error("expired link")]
    ExpiredLink,
    /// The link or code of a mail was used, is too old, or never existed.
    #[error("expired sign-in")]
    ExpiredSignIn,
    /// No cookie of the portal, or its session is over.
    #[error("no portal session")]
    NoPortalSession,
    /// An invitation, or a link to the portal, was used, is too old, or never existed.
    #[error("expired invitation")]
    ExpiredInvite,
    /// No such page, vendor or purchase for this visitor.
    #[error("not found")]
    NotFound,
    /// A part of the URL or form cannot be used.
    #[error("`{field}`: {message}")]
    BadQuery {
        /// Name of the parameter.
        field: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// The form does not carry the session's token.
    #[error("form without the session's token")]
    Forged,
    /// Too many tries to sign in from one place.
    #[error("too many tries to sign in")]
    TooOften {
        /// Until there is room for another one.
        retry_after_seconds: u64,
    },
    /// Too many requests or streams at once.
    #[error("busy")]
    Busy,
    /// A service failed.
    #[error("service failed")]
    Service(#[source] BackendError),
    /// Figures are being made again, and a file would lack some.
    #[error("figures are being rebuilt")]
    BeingRebuilt,
    /// A file could not be made.
    #[error("file could not be made")]
    Export(#[source] ExportError),
    /// A template failed.
    #[error("page could not be written")]
    Render(#[from] askama::Error),
}

impl From<BackendError> for PageError {
    fn from(error: BackendError) -> PageError {
        match error {
            BackendError::NotFound => PageError::NotFound,
            BackendError::BadQuery { field, message } => PageError::BadQuery { field, message },
            BackendError::Busy => PageError::Busy,
            failed @ BackendError::Failed { .. } => PageError::Service(failed),
        }
    }
}

impl PageError {
    /// The status line.
    pub fn status(&self) -> StatusCode {
        match self {
            PageError::NoSession | PageError::NoPortalSession => StatusCode::UNAUTHORIZED,
            PageError::ExpiredLink | PageError::ExpiredSignIn | PageError::ExpiredInvite => StatusCode::GONE,
            PageError::NotFound => StatusCode::NOT_FOUND,
            PageError::BadQuery { .. } => StatusCode::BAD_REQUEST,
            PageError::Forged => StatusCode::FORBIDDEN,
            PageError::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            PageError::Busy | PageError::Service(_) | PageError::BeingRebuilt | PageError::Export(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            PageError::Render(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The headline.
    pub fn title(&self) -> &'static str {
        match self {
            PageError::NoSession | PageError::NoPortalSession => "You are not signed in here",
            PageError::ExpiredLink | PageError::ExpiredSignIn | PageError::ExpiredInvite => {
                "This link has been used or is too old"
            }
            PageError::NotFound => "There is nothing at this address",
            PageError::BadQuery { .. } => "Part of this address cannot be used",
            PageError::Forged => "This form is no longer valid",
            PageError::Busy => "Too much is going on at once",
            PageError::TooOften { .. } => "Too many tries to sign in",
            PageError::Service(_) => "We cannot read your figures right now",
            PageError::BeingRebuilt => "Figures are being rebuilt",
            PageError::Export(_) => "This file could not be made",
            PageError::Render(_) => "This page could not be put together",
        }
    }

    /// What happened and what to do.
    pub fn text(&self) -> String {
        match self {
            PageError::NoSession => "Sign in to see your figures. Whoever runs this server gets in with the command below, too.".into(),
            PageError::NoPortalSession => "Ask for a link to see your figures.".into(),
            PageError::ExpiredInvite => "Each link opens the page once. Ask for a new one with the address that the mail went to.".into(),
            PageError::ExpiredSignIn => "Links and codes are good once, for fifteen minutes. Ask for a new mail; only the newest one counts.".into(),
            PageError::ExpiredLink => {
                "Each start prints a fresh link that opens this application once. Run the command below and open the link it prints.".into()
            }
            PageError::NotFound => "The address may be mistyped, or it belongs to a workspace that you cannot see.".into(),
            PageError::BadQuery { field, message } => format!("“{field}”: {message}"),
            PageError::Forged => "Go back, load the page again and send the form once more. Nothing was changed.".into(),
            PageError::Busy => "Please try again in a moment.".into(),
            PageError::TooOften { retry_after_seconds } => {
                let unit = if *retry_after_seconds == 1 { "second" } else { "seconds" };
                format!("There were too many from your network. Try again in {retry_after_seconds} {unit}.")
            }
            PageError::BeingRebuilt => "A file made now would lack some of them. Try again as soon as the dashboard no longer says that figures are being rebuilt.".into(),
            PageError::Service(_) | PageError::Render(_) | PageError::Export(_) => "Please try again in a moment. If it stays like this, the log of the process says why.".into(),
        }
    }

    /// What still works, where that is a question.
    pub fn still_works(&self) -> Option<&'static str> {
        match self {
            PageError::Service(_)
            | PageError::Render(_)
            | PageError::Busy
            | PageError::BeingRebuilt
            | PageError::Export(_) => {
                Some("Webhooks are still accepted and stored; nothing is lost while this page is away.")
            }
            _ => None,
        }
    }

    /// A command to run, where one helps.
    pub fn command(&self) -> Option<&'static str> {
        matches!(self, PageError::NoSession | PageError::ExpiredLink).then_some("affilitrack login")
    }

    /// Whoever reads it is not signed in.
    fn is_outside(&self) -> bool {
        self.sign_in().is_some() || matches!(self, PageError::ExpiredLink)
    }

    /// Where the way in is, and what its button says.
    fn sign_in(&self) -> Option<(&'static str, &'static str)> {
        match self {
            PageError::NoSession | PageError::ExpiredSignIn | PageError::TooOften { .. } => {
                Some(("/sign-in", "Sign in by e-mail"))
            }
            PageError::NoPortalSession | PageError::ExpiredInvite => Some(("/portal/sign-in", "Ask for a link")),
            _ => None,
        }
    }

    /// Logs the full chain once, when a person has to look.
    fn log(&self) {
        match self {
            PageError::Service(cause) => {
                let chain = chain(cause);
                tracing::error!(web.cause = %chain, "A page could not be shown: {chain}");
            }
            PageError::Export(cause) => {
                tracing::error!(web.cause = %cause, "A file could not be made: {}", chain(cause));
            }
            PageError::Render(cause) => tracing::error!(web.cause = %cause, "A template failed: {cause}"),
            _ => {}
        }
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    text: &'a str,
    still_works: Option<&'a str>,
    command: Option<&'a str>,
    show_home: bool,
    /// Where the way in is, and its words.
    sign_in: Option<(&'static str, &'static str)>,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        self.log();
        let page = ErrorPage {
            title: self.title(),
            text: &self.text(),
            still_works: self.still_works(),
            command: self.command(),
            show_home: !self.is_outside(),
            sign_in: self.sign_in(),
        };
        let body = page.render().unwrap_or_else(|_| self.title().to_owned());
        let mut response = render::html(self.status(), body, render::CachePolicy::Never);
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if let PageError::TooOften { retry_after_seconds } = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds));
        }
        response
    }
}
