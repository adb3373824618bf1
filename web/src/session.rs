//! Who is asking, and where they look.

use crate::App;
use crate::backend::{Place, Secret, SessionCookie, SessionView, VendorView};
use crate::error::PageError;
use crate::render::CachePolicy;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use domain::ids::Mode;
use std::sync::{Arc, Mutex, PoisonError};
use subtle::ConstantTimeEq;

/// Longest cookie value that is looked at, in bytes.
const MAX_COOKIE_BYTES: usize = 256;
/// How long somebody may stay at an OpenID provider, in seconds.
const SENT_AWAY_S: u64 = 15 * 60;

/// A visitor with a session.
pub struct Visitor {
    /// Proves the session.
    pub cookie: SessionCookie,
    /// What it may see.
    pub session: SessionView,
}

/// A vendor in a mode, and what a page needs to know about it.
pub struct Here {
    /// For the backend.
    pub place: Place,
    /// The vendor.
    pub vendor: VendorView,
    /// Modes that have data; empty where only a body is wanted.
    pub modes: Vec<Mode>,
    /// Alerts of which nobody said what they were; 0 where only a body is wanted.
    pub open_alerts: usize,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Visitor, PageError> {
        let cookie = read_cookie(parts, &app.settings.cookie_name).ok_or(PageError::NoSession)?;
        let session = app.backend.session(&cookie).await?.ok_or(PageError::NoSession)?;
        follow(parts, app, &app.settings.cookie_name, session.renewed.as_ref());
        Ok(Visitor { cookie, session })
    }
}

impl Visitor {
    /// The vendor of this slug, if the session may see it, in the mode asked for; without
    /// one, live when there is live data, else test when there is any.
    ///
    /// # Errors
    /// [`PageError::NotFound`] for a foreign vendor, [`PageError::BadQuery`] for a mode that does not exist.
    pub async fn locate(&self, app: &App, slug: &str, mode: Option<&str>) -> Result<Here, PageError> {
        let vendor = self.vendor(slug)?;
        let modes = app.backend.modes_with_data(&self.cookie, slug).await?;
        let mode = match mode.map(parse_mode).transpose()? {
            Some(mode) => mode,
            None if modes.contains(&Mode::Test) && !modes.contains(&Mode::Live) => Mode::Test,
            None => Mode::Live,
        };
        let here = self.here(vendor, mode, modes);
        // A number in the rail is no reason to show no page.
        let open_alerts = app.backend.open_alerts(&here.place).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "open alerts cannot be counted: {error}");
            0
        });
        Ok(Here { open_alerts, ..here })
    }

    /// The same where nothing around the page is shown: saves asking for the modes when one was given.
    ///
    /// # Errors
    /// As [`Visitor::locate`].
    pub async fn locate_body(&self, app: &App, slug: &str, mode: Option<&str>) -> Result<Here, PageError> {
        match mode {
            Some(name) => Ok(self.here(self.vendor(slug)?, parse_mode(name)?, Vec::new())),
            None => self.locate(app, slug, None).await,
        }
    }

    /// One of the two, by what is wanted.
    pub(crate) async fn locate_for(
        &self,
        app: &App,
        slug: &str,
        mode: Option<&str>,
        only_body: bool,
    ) -> Result<Here, PageError> {
        if only_body { self.locate_body(app, slug, mode).await } else { self.locate(app, slug, mode).await }
    }

    fn vendor(&self, slug: &str) -> Result<VendorView, PageError> {
        self.session.vendors.iter().find(|vendor| vendor.slug == slug).cloned().ok_or(PageError::NotFound)
    }

    fn here(&self, vendor: VendorView, mode: Mode, modes: Vec<Mode>) -> Here {
        let place = Place { session: self.cookie.clone(), vendor: vendor.slug.clone(), mode };
        Here { place, vendor, modes, open_alerts: 0 }
    }

    /// Whether a form carries this session's token.
    ///
    /// # Errors
    /// [`PageError::Forged`] when it does not.
    pub fn check_form(&self, token: &str) -> Result<(), PageError> {
        check_token(&self.session.csrf, token)
    }
}

/// Whether a form carries its session's token.
pub(crate) fn check_token(expected: &Secret, token: &str) -> Result<(), PageError> {
    let expected = expected.0.as_bytes();
    let matches: bool = expected.ct_eq(token.as_bytes()).into();
    if matches && !expected.is_empty() { Ok(()) } else { Err(PageError::Forged) }
}

fn parse_mode(name: &str) -> Result<Mode, PageError> {
    match name {
        "live" => Ok(Mode::Live),
        "test" => Ok(Mode::Test),
        _ => Err(PageError::BadQuery { field: "mode", message: "Use test or live.".into() }),
    }
}

/// The value of a session's cookie.
pub(crate) fn read_cookie(parts: &Parts, name: &str) -> Option<SessionCookie> {
    let headers = parts.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    headers
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, value)| *found == name && !value.is_empty() && value.len() <= MAX_COOKIE_BYTES)
        .map(|(_, value)| SessionCookie(value.to_owned()))
}

/// Cookies that the answer to a request has to set, because the ones shown are old.
#[derive(Clone, Default)]
struct Followers(Arc<Mutex<Vec<HeaderValue>>>);

/// Notes that a cookie follows the one that a request has shown.
pub(crate) fn follow(parts: &Parts, app: &App, name: &str, renewed: Option<&SessionCookie>) {
    let Some((cookie, followers)) = renewed.zip(parts.extensions.get::<Followers>()) else {
        return;
    };
    if let Ok(line) = HeaderValue::from_str(&cookie_line(app, name, &cookie.0, max_age_seconds(app))) {
        followers.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// Sets them. An answer that signs somebody in or out has cookies of its own, and those count.
pub(crate) async fn set_followers(mut request: Request, next: Next) -> Response {
    let followers = Followers::default();
    request.extensions_mut().insert(followers.clone());
    let mut response = next.run(request).await;
    if !response.headers().contains_key(header::SET_COOKIE) {
        for line in followers.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            response.headers_mut().append(header::SET_COOKIE, line);
        }
    }
    response
}

fn max_age_seconds(app: &App) -> u64 {
    u64::from(app.settings.cookie_days) * 86_400
}

/// To a page, with the cookie of a new session.
pub(crate) fn enter(app: &App, name: &str, cookie: &SessionCookie, target: &str) -> Result<Response, PageError> {
    redirect(target, &[cookie_line(app, name, &cookie.0, max_age_seconds(app))])
}

/// To a page, without the cookie.
pub(crate) fn leave(app: &App, name: &str, target: &str) -> Result<Response, PageError> {
    redirect(target, &[cookie_line(app, name, "", 0)])
}

/// To another site, with a cookie that is gone in a few minutes.
pub(crate) fn send_away(app: &App, (name, kept): (&str, &Secret), target: &str) -> Result<Response, PageError> {
    redirect(target, &[cookie_line(app, name, &kept.0, SENT_AWAY_S)])
}

/// As [`enter`], without the cookie of [`send_away`].
pub(crate) fn come_back(app: &App, away: &str, cookie: &SessionCookie, target: &str) -> Result<Response, PageError> {
    let entered = cookie_line(app, &app.settings.cookie_name, &cookie.0, max_age_seconds(app));
    redirect(target, &[entered, cookie_line(app, away, "", 0)])
}

fn cookie_line(app: &App, name: &str, value: &str, max_age_seconds: u64) -> String {
    let secure = if app.settings.secure_cookie { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_seconds}{secure}")
}

fn redirect(target: &str, cookies: &[String]) -> Result<Response, PageError> {
    let mut response = Redirect::to(target).into_response();
    for cookie in cookies {
        let line = HeaderValue::from_str(cookie).map_err(|_| PageError::NoSession)?;
        response.headers_mut().append(header::SET_COOKIE, line);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, CachePolicy::Never.header());
    Ok(response)
}
