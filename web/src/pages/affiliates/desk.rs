//! What every page of affiliates, codes and rules begins and ends with.

use crate::App;
use crate::backend::{FieldError, FormError};
use crate::error::PageError;
use crate::layout::{Layout, Section};
use crate::links::Link;
use crate::render::{CachePolicy, PageAnswer, Refresh};
use crate::session::{Here, Visitor};
use crate::times;
use api::ledger::Previewed;
use api::people::Roster;
use api::words::full_sentence;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::ids::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use store::control::input::DecisionInput;

/// What may stand behind the path of these pages.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Around {
    /// Only for the links around the page: people's decisions hold in both modes.
    pub mode: Option<String>,
    /// What was just done, a word of [`done_words`].
    pub done: Option<String>,
}

/// A visitor, a vendor, and what is decided in it.
pub(crate) struct Desk<'a> {
    pub app: &'a App,
    pub visitor: &'a Visitor,
    pub here: Here,
    pub roster: Roster,
    pub now: Timestamp,
}

impl<'a> Desk<'a> {
    /// Reads what is decided.
    pub async fn open(
        app: &'a App,
        visitor: &'a Visitor,
        vendor: &str,
        mode: Option<&str>,
    ) -> Result<Desk<'a>, PageError> {
        Desk::open_for(app, visitor, vendor, mode, false).await
    }

    /// The same; without what stands around a page, where only its body is wanted.
    pub async fn open_for(
        app: &'a App,
        visitor: &'a Visitor,
        vendor: &str,
        mode: Option<&str>,
        only_body: bool,
    ) -> Result<Desk<'a>, PageError> {
        let here = visitor.locate_for(app, vendor, mode, only_body).await?;
        let roster = app.backend.roster(&visitor.cookie, vendor).await?;
        Ok(Desk { app, visitor, here, roster, now: app.now() })
    }

    /// The vendor's.
    pub fn time_zone(&self) -> &str {
        &self.here.vendor.time_zone
    }

    /// A page of the vendor; it keeps the mode.
    pub fn link(&self, segments: &[&str]) -> Link {
        let all: Vec<&str> = std::iter::once(self.here.vendor.slug.as_str()).chain(segments.iter().copied()).collect();
        Link::to(&all).with("mode", self.here.place.mode.name())
    }

    /// The frame of a page. No signal tells of what these pages show, so they do not listen.
    pub fn layout(&self, title: &str, section: Section) -> Layout {
        let mut layout = Layout::new(title, section, self.visitor, &self.here);
        layout.live_url.clear();
        layout
    }

    /// A whole page. One that shows what was typed is not kept.
    pub fn answer(&self, layout: &Layout, body: String, status: StatusCode) -> Result<Response, PageError> {
        let refresh = Refresh::never(self.link(&[]).build());
        let cache = if status.is_success() { CachePolicy::AskFirst } else { CachePolicy::Never };
        PageAnswer { layout, fixed: String::new(), body, refresh, only_body: false, status, cache }.respond()
    }

    /// The token of every form.
    pub fn csrf(&self) -> String {
        self.visitor.session.csrf.0.clone()
    }

    /// `1 Oct 2026`; with the time where it is not the beginning of a day of the vendor.
    pub fn day(&self, at: Timestamp) -> String {
        let day = times::day(at, self.time_zone());
        if start_of(day, self.time_zone()) == Some(at) {
            day.strftime("%-d %b %Y").to_string()
        } else {
            times::moment(at, self.time_zone())
        }
    }

    /// Today, as a date field takes it.
    pub fn today(&self) -> String {
        times::day(self.now, self.time_zone()).to_string()
    }

    /// The beginning of a typed day in the vendor's time zone; none where nothing was typed.
    pub fn typed_day(&self, typed: &str) -> Result<Option<Timestamp>, String> {
        let typed = typed.trim();
        if typed.is_empty() {
            return Ok(None);
        }
        let day: Option<Date> = typed.parse().ok();
        let day = day.filter(|day| (1970..=2149).contains(&day.year()));
        let start = day.and_then(|day| start_of(day, self.time_zone()));
        start.map(Some).ok_or_else(|| "Write the day like 2026-01-31.".to_owned())
    }

    /// Writes decisions, all or none. What the store refuses comes back as problems of the fields.
    pub async fn decide(&self, decisions: Vec<DecisionInput>) -> Result<Result<(), Problems>, PageError> {
        match self.app.backend.decide(&self.visitor.cookie, &self.here.vendor.slug, decisions).await {
            Ok(()) => Ok(Ok(())),
            Err(FormError::Fields(errors)) => Ok(Err(Problems::of_store(errors))),
            Err(FormError::Backend(error)) => Err(error.into()),
        }
    }

    /// What deciding something would change. It reads much, like a file: only some at once.
    pub async fn preview(&self, decisions: Vec<DecisionInput>) -> Result<Result<Previewed, Problems>, PageError> {
        let _permit = self.app.downloads.try_acquire().map_err(|_| PageError::Busy)?;
        match self.app.backend.preview(&self.visitor.cookie, &self.here.vendor.slug, decisions).await {
            Ok(previewed) => Ok(Ok(previewed)),
            Err(FormError::Fields(errors)) => Ok(Err(Problems::of_store(errors))),
            Err(FormError::Backend(error)) => Err(error.into()),
        }
    }

    /// Back to a page that says what was done.
    pub fn done(&self, segments: &[&str], done: &str) -> Response {
        Redirect::to(&self.link(segments).with("done", done).build()).into_response()
    }
}

/// The first moment of a day.
fn start_of(day: Date, time_zone: &str) -> Option<Timestamp> {
    let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
    Some(Timestamp(day.to_zoned(zone).ok()?.timestamp().as_millisecond()))
}

/// What has to be changed, by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Problems(pub Vec<FieldError>);

impl Problems {
    /// Notes one.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    /// The value, or none with the problem noted.
    pub fn note<T>(&mut self, field: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|message| self.add(field, message)).ok()
    }

    /// What is wrong with a field; empty when nothing is.
    pub fn of(&self, field: &str) -> String {
        self.0.iter().find(|error| error.field == field).map(|error| error.message.clone()).unwrap_or_default()
    }

    /// What is wrong beside these fields.
    pub fn beside(&self, fields: &[&str]) -> String {
        let other = self.0.iter().find(|error| !fields.contains(&error.field.as_str()));
        other.map(|error| error.message.clone()).unwrap_or_default()
    }

    /// As the store names them: the member alone, and a sentence.
    fn of_store(errors: Vec<FieldError>) -> Problems {
        let one = |error: FieldError| FieldError {
            field: error.field.rsplit('.').next().unwrap_or_default().to_owned(),
            message: full_sentence(&error.message),
        };
        Problems(errors.into_iter().map(one).collect())
    }
}

/// What a page says about what was just done.
pub(crate) fn done_words(done: Option<&str>) -> &'static str {
    match done {
        Some("added") => "The affiliate is there. Give them a code next.",
        Some("saved") => "Saved.",
        Some("suspended") => "Suspended. What they earned stays; you can take it back at any time.",
        Some("invited") => "The invitation is on its way.",
        Some("active") => "Active again.",
        Some("moved") => "The code has its new owner. Figures follow within seconds.",
        Some("rule") => "The rule is decided. Figures follow within seconds.",
        Some("hold") => "The hold period is decided.",
        _ => "",
    }
}
