//! A backend with plausible data in memory, for tests and `examples/preview.rs`. It is not
//! the demo workspace: that one goes through the real edge, log and fold.

mod accounts;
mod alerts;
mod book;
mod codes;
mod connections;
mod explain;
mod mail_settings;
mod people;
mod portal;
mod portal_desk;
mod purchases;
mod stripe_keys;
mod workspace;

use crate::Clock;
use crate::backend::{
    Backend, BackendError, Connected, ConnectionView, DashboardQuery, FormError, LiveSignal, NewSession, Place, Secret,
    SessionCookie, SessionView, StripeForm, VendorView, WorkspaceForm,
};
use crate::range::RangeChoice;
use api::export::PayoutReport;
use api::model::{Dashboard, Explanation, ExplorerFilter, ExplorerPage, PurchaseItem};
use api::people::Roster;
use api::services::{PurchaseFile, ReportedLine, Subject, SubjectReport};
use async_trait::async_trait;
use book::Book;
use domain::ids::Mode;
use futures::StreamExt;
use futures::stream::BoxStream;
pub use portal::{PORTAL_COOKIE, PORTAL_LINK};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

pub use alerts::ALERT;

/// The token that opens the sample session.
pub const TOKEN: &str = "sample-token";
/// The cookie of the sample session.
pub const COOKIE: &str = "sample-session";
/// A cookie of the sample session that is so old that another follows it.
pub const OLD_COOKIE: &str = "sample-session-of-yesterday";
/// The form token of the sample session.
pub const CSRF: &str = "sample-form-token";
/// Time zone of every sample vendor.
pub const TIME_ZONE: &str = "Europe/Berlin";

/// One demo vendor, one real vendor with two currencies in both modes, and an empty one.
pub struct SampleBackend {
    clock: Clock,
    state: Mutex<State>,
    signals: broadcast::Sender<(String, Mode, LiveSignal)>,
}

struct State {
    vendors: Vec<VendorView>,
    books: Vec<(String, Mode, Book)>,
    connections: Vec<(String, ConnectionView)>,
    rosters: Vec<(String, Roster)>,
    said: alerts::Said,
}

impl SampleBackend {
    /// Filled for the time the clock tells now.
    pub fn new(clock: Clock) -> Arc<SampleBackend> {
        let now = clock();
        let vendor = |slug: &str, name: &str, is_demo| VendorView {
            slug: slug.into(),
            name: name.into(),
            is_demo,
            time_zone: TIME_ZONE.into(),
            can_be_removed: true,
            is_incomplete: false,
        };
        let state = State {
            vendors: vec![
                vendor("demo", "Demo workspace", true),
                vendor("acme", "Acme Analytics", false),
                vendor("fresh", "Fresh Start", false),
            ],
            books: vec![
                ("demo".into(), Mode::Test, Book::new(purchases::demo(now))),
                ("acme".into(), Mode::Live, Book::new(purchases::acme(now))),
                ("acme".into(), Mode::Test, Book::new(purchases::demo(now))),
            ],
            connections: connections::acme(now),
            rosters: people::rosters(),
            said: alerts::Said::default(),
        };
        Arc::new(SampleBackend { clock, state: Mutex::new(state), signals: broadcast::channel(256).0 })
    }

    /// Without any vendor, as a first start without the demo has none.
    pub fn empty(clock: Clock) -> Arc<SampleBackend> {
        let state = State {
            vendors: Vec::new(),
            books: Vec::new(),
            connections: Vec::new(),
            rosters: Vec::new(),
            said: alerts::Said::default(),
        };
        Arc::new(SampleBackend { clock, state: Mutex::new(state), signals: broadcast::channel(256).0 })
    }

    /// Some figures of a vendor are being made again, or no longer.
    pub fn set_incomplete(&self, vendor: &str, is_incomplete: bool) {
        let mut state = self.locked();
        state.vendors.iter_mut().filter(|view| view.slug == vendor).for_each(|view| view.is_incomplete = is_incomplete);
    }

    /// Books one more purchase, as if a delivery had just been read.
    pub fn add_purchase(&self, vendor: &str, mode: Mode) -> Option<PurchaseItem> {
        let now = (self.clock)();
        let mut state = self.locked();
        let book = &mut state.books.iter_mut().find(|(slug, its_mode, _)| slug == vendor && *its_mode == mode)?.2;
        let item = purchases::next(book.len(), now);
        book.add(item.clone());
        let signal = LiveSignal { next_offset: book.next_offset() };
        // Nobody listening is fine.
        let _ = self.signals.send((vendor.to_owned(), mode, signal));
        Some(item)
    }

    pub(crate) fn now(&self) -> domain::ids::Timestamp {
        (self.clock)()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the sample data panics")
    }

    fn check(&self, cookie: &SessionCookie, vendor: &str) -> Result<MutexGuard<'_, State>, BackendError> {
        let state = self.locked();
        if cookie.0 == COOKIE && state.vendors.iter().any(|view| view.slug == vendor) {
            Ok(state)
        } else {
            Err(BackendError::NotFound)
        }
    }

    fn book(&self, place: &Place) -> Result<Book, BackendError> {
        let state = self.check(&place.session, &place.vendor)?;
        let found = state.books.iter().find(|(slug, mode, _)| *slug == place.vendor && *mode == place.mode);
        Ok(found.map(|(_, _, book)| book.clone()).unwrap_or_default())
    }
}

#[async_trait]
impl Backend for SampleBackend {
    async fn open_session(&self, token: &str) -> Result<Option<NewSession>, BackendError> {
        Ok((token == TOKEN).then(|| NewSession { cookie: SessionCookie(COOKIE.into()), csrf: Secret(CSRF.into()) }))
    }

    async fn session(&self, cookie: &SessionCookie) -> Result<Option<SessionView>, BackendError> {
        let vendors = self.locked().vendors.clone();
        let renewed = (cookie.0 == OLD_COOKIE).then(|| SessionCookie(COOKIE.into()));
        let is_known = cookie.0 == COOKIE || renewed.is_some();
        Ok(is_known.then(|| SessionView { csrf: Secret(CSRF.into()), renewed, vendors }))
    }

    async fn modes_with_data(&self, cookie: &SessionCookie, vendor: &str) -> Result<Vec<Mode>, BackendError> {
        let state = self.check(cookie, vendor)?;
        Ok(state.books.iter().filter(|(slug, _, _)| slug == vendor).map(|(_, mode, _)| *mode).collect())
    }

    async fn dashboard(&self, place: &Place, query: &DashboardQuery) -> Result<Dashboard, BackendError> {
        Ok(self.book(place)?.dashboard(query, (self.clock)()))
    }

    async fn figures_of(
        &self,
        place: &Place,
        query: &DashboardQuery,
        subject: Subject,
    ) -> Result<SubjectReport, BackendError> {
        let figures = self.book(place)?.of(subject).dashboard(query, (self.clock)());
        let lines = figures
            .feed
            .iter()
            .map(|item| ReportedLine { line: portal::line_of(item), business_key: item.business_key.clone() });
        Ok(SubjectReport { lines: lines.collect(), figures })
    }

    async fn payouts(&self, place: &Place, range: RangeChoice) -> Result<PayoutReport, BackendError> {
        Ok(self.book(place)?.payouts(range, (self.clock)()))
    }

    async fn explorer(
        &self,
        place: &Place,
        filter: &ExplorerFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ExplorerPage, BackendError> {
        self.book(place)?.explorer(filter, cursor, limit, (self.clock)())
    }

    async fn purchase_file(&self, place: &Place, filter: &ExplorerFilter) -> Result<PurchaseFile, BackendError> {
        let found = self.book(place)?.explorer(filter, None, u32::MAX, (self.clock)())?;
        let pages = futures::stream::iter([Ok(found.items)]).boxed();
        Ok(PurchaseFile { watermark: found.watermark, time_zone: TIME_ZONE.into(), pages })
    }

    async fn explain(&self, place: &Place, business_key: &str) -> Result<Option<Explanation>, BackendError> {
        Ok(self.book(place)?.find(business_key).map(explain::explanation))
    }

    async fn connections(&self, cookie: &SessionCookie, vendor: &str) -> Result<Vec<ConnectionView>, BackendError> {
        let state = self.check(cookie, vendor)?;
        Ok(state.connections.iter().filter(|(slug, _)| slug == vendor).map(|(_, view)| view.clone()).collect())
    }

    async fn connect_stripe(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        form: StripeForm,
    ) -> Result<Connected, FormError> {
        let mut state = self.check(cookie, vendor)?;
        let (slug, connection) = connections::connect(vendor, &form)?;
        if !state.vendors.iter().any(|view| view.slug == slug) {
            let name = form.workspace_name.unwrap_or_else(|| slug.clone());
            let time_zone = TIME_ZONE.into();
            state.vendors.push(VendorView {
                slug: slug.clone(),
                name,
                is_demo: false,
                time_zone,
                can_be_removed: true,
                is_incomplete: false,
            });
        }
        state.connections.push((slug.clone(), connection.clone()));
        Ok(Connected { vendor: slug, connection })
    }

    async fn open_workspace(&self, cookie: &SessionCookie, form: WorkspaceForm) -> Result<Connected, FormError> {
        if cookie.0 != COOKIE {
            return Err(FormError::Backend(BackendError::NotFound));
        }
        let mut state = self.locked();
        let slug = form.workspace.clone();
        let stripe = StripeForm {
            workspace: Some(form.workspace),
            workspace_name: Some(form.workspace_name.clone()),
            secret: form.secret,
            key: form.key,
        };
        let (_, connection) = connections::connect(&slug, &stripe)?;
        let connection = ConnectionView { provider: form.provider, ..connection };
        state.vendors.push(VendorView {
            slug: slug.clone(),
            name: form.workspace_name,
            is_demo: false,
            time_zone: TIME_ZONE.into(),
            can_be_removed: true,
            is_incomplete: false,
        });
        state.connections.push((slug.clone(), connection.clone()));
        Ok(Connected { vendor: slug, connection })
    }

    async fn live(&self, place: &Place) -> Result<BoxStream<'static, LiveSignal>, BackendError> {
        drop(self.check(&place.session, &place.vendor)?);
        let wanted = (place.vendor.clone(), place.mode);
        let signals = BroadcastStream::new(self.signals.subscribe());
        let mine = signals.filter_map(move |signal| {
            let found = signal
                .ok()
                .filter(|(vendor, mode, _)| (vendor, mode) == (&wanted.0, &wanted.1))
                .map(|(_, _, signal)| signal);
            futures::future::ready(found)
        });
        Ok(mine.boxed())
    }

    async fn scope_etag(&self, place: &Place) -> Result<String, BackendError> {
        Ok(self.book(place)?.next_offset().to_string())
    }
}
