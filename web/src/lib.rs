//! Pages, live updates and charts.
//!
//! The path of a page: [`session`] turns the cookie into a visitor and the URL into a
//! [`backend::Place`] (vendor and mode); a handler in [`pages`] asks the [`backend::Backend`]
//! once and turns the answer into words; [`render`] wraps it in the layout and sets every
//! header. A page that is open listens to [`live`] and fetches its body again, with an
//! `ETag`, when its scope changed.
//!
//! Everything is served by this process: one script and one style sheet, embedded with
//! content hashes by `build.rs` from `assets/dist` (`npm run build`). Pages can be read
//! with scripts switched off.

pub mod accounts;
pub mod alerts;
pub mod assets;
pub mod backend;
pub mod codes;
mod download;
pub mod error;
pub mod layout;
mod links;
pub mod live;
pub mod mail_settings;
pub mod mails;
pub mod money;
pub mod pages;
pub mod people;
pub mod portal;
pub mod portal_desk;
pub mod range;
pub mod render;
#[doc(hidden)]
pub mod sample;
pub mod session;
pub mod stripe_keys;
mod times;
pub mod view;
pub mod words;
pub mod workspace;

use axum::Router;
use backend::Backend;
use domain::ids::Timestamp;
pub use download::MOST_DOWNLOADS;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

/// Tells the time; given from outside so that tests can choose it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the pages need to know beside the backend.
#[derive(Clone)]
pub struct Settings {
    /// Name of the session cookie. Cookies of one host are shared by all its ports, so two
    /// instances on one machine should use two names.
    pub cookie_name: String,
    /// Only send the cookie over HTTPS: true when `public_url` starts with `https`.
    pub secure_cookie: bool,
    /// Days until the browser forgets the session.
    pub cookie_days: u32,
    /// Live streams open at once, over all visitors; more get 503 and poll instead.
    pub max_streams: usize,
    /// The time.
    pub clock: Clock,
}

impl Settings {
    /// Sensible values for one process on one machine.
    pub fn new(clock: Clock) -> Settings {
        Settings {
            cookie_name: "affilitrack_session".into(),
            secure_cookie: false,
            cookie_days: 30,
            max_streams: 256,
            clock,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("cookie_name", &self.cookie_name)
            .field("max_streams", &self.max_streams)
            .finish_non_exhaustive()
    }
}

/// What every handler shares.
#[derive(Clone)]
pub struct App {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) downloads: Arc<Semaphore>,
}

impl App {
    /// Over these services.
    pub fn new(backend: Arc<dyn Backend>, settings: Settings) -> App {
        let streams = Arc::new(Semaphore::new(settings.max_streams));
        let downloads = Arc::new(Semaphore::new(MOST_DOWNLOADS));
        App { backend, settings: Arc::new(settings), streams, downloads }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.settings.clock)()
    }
}

/// The page that refuses what never reached [`router`], with its headers.
pub async fn refuse(error: error::PageError) -> axum::response::Response {
    render::secure(axum::response::IntoResponse::into_response(error)).await
}

/// Every page, asset and live stream, with a page for everything that is not found.
///
/// `/healthz`, `/api` and `/webhooks` belong to others; merge them beside this router.
pub fn router(app: App) -> Router {
    // A workbook is compressed already.
    let compressible = DefaultPredicate::new().and(NotForContentType::const_new(api::export::xlsx::CONTENT_TYPE));
    Router::new()
        .merge(assets::router())
        .merge(pages::router())
        .merge(live::router())
        .fallback(pages::not_found)
        .layer(CompressionLayer::new().compress_when(compressible))
        .layer(axum::middleware::from_fn(session::set_followers))
        .layer(axum::middleware::map_response(render::secure))
        .with_state(app)
}
