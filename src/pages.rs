//! The pages' backend over the real services.

mod accounts;
mod alerts;
mod codes;
mod failures;
mod mail_settings;
mod people;
mod portal;
mod portal_desk;
mod stripe_keys;
mod workspace;

use crate::demo::OwnDemos;
use crate::in_log::wait_until_known;
use crate::openid;
use crate::reading::Reading;
use api::export::PayoutReport;
use api::ledger::explain;
use api::model::{Dashboard, DateRange, Explanation, ExplorerFilter, ExplorerPage};
use api::services::{FiguresRequest, PurchaseFile, ReportError, Subject, SubjectReport};
use async_trait::async_trait;
use domain::ids::{Mode, Provider, Timestamp};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::control::{ConnectRequest, ConnectionInfo, ControlError, EndpointInfo, NewVendor, Session};
use store::event_log::partition_of;
use store::fold_store::Activity;
use store::live::Heard;
use store::scope::TenantScope;
use store::secrets::SecretText;
use telemetry::metrics::{self, Metric};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_util::sync::CancellationToken;
use web::backend::*;
use web::range::RangeChoice;

const DAY: Duration = Duration::from_secs(86_400);

/// How people come in.
pub struct Doors {
    /// Who may be signed in with beside the mail.
    pub openid: Option<openid::Provider>,
    /// What whoever signs up finds; none where they begin with the form that makes a workspace.
    pub demos: Option<OwnDemos>,
}

/// The services as pages need them.
pub struct Pages {
    app: Arc<Reading>,
    public_url: String,
    doors: Doors,
    /// Ends live streams, so that shutdown does not wait for open pages.
    stop: CancellationToken,
    /// Told apart from other starts in ETags: what changed is remembered since the start only.
    started_at: Timestamp,
    /// Live streams that are open.
    streams: Arc<AtomicUsize>,
}

/// Counts one live stream while it lives.
struct OpenStream(Arc<AtomicUsize>);

impl OpenStream {
    fn new(streams: Arc<AtomicUsize>) -> OpenStream {
        let before = streams.fetch_add(1, Ordering::Relaxed);
        metrics::set(Metric::SseStreams, [], (before + 1) as f64);
        OpenStream(streams)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::set(Metric::SseStreams, [], before.saturating_sub(1) as f64);
    }
}

fn failed(doing: &'static str) -> impl Fn(anyhow::Error) -> BackendError {
    move |error| BackendError::Failed { doing, source: error.into() }
}

/// The control store gave no answer.
fn store_failed(doing: &'static str) -> impl Fn(ControlError) -> BackendError {
    move |error| failed(doing)(error.into())
}

/// What a form is told of what the control store refused.
fn refused(doing: &'static str) -> impl Fn(ControlError) -> FormError {
    move |error| match error {
        ControlError::Invalid { field, message } => FormError::Fields(vec![FieldError { field, message }]),
        ControlError::NotFound(_) => FormError::Backend(BackendError::NotFound),
        other => FormError::Backend(store_failed(doing)(other)),
    }
}

/// A session as its browser gets it.
fn new_session(cookie: &SecretText, csrf: &str) -> NewSession {
    NewSession { cookie: SessionCookie(cookie.expose().to_owned()), csrf: Secret(csrf.to_owned()) }
}

fn report_failed(doing: &'static str) -> impl Fn(ReportError) -> BackendError {
    move |error| match error {
        ReportError::Range(error) => BackendError::BadQuery { field: "range", message: error.to_string() },
        ReportError::Cursor(error) => BackendError::BadQuery { field: "cursor", message: error.to_string() },
        ReportError::Filter { field, message } => BackendError::BadQuery { field, message },
        other => BackendError::Failed { doing, source: Box::new(other) },
    }
}

impl Pages {
    /// Pages of a process that is reached under a URL.
    pub fn new(app: Arc<Reading>, public_url: String, doors: Doors, stop: CancellationToken) -> Pages {
        let started_at = (app.clock)();
        Pages { app, public_url, doors, stop, started_at, streams: Arc::default() }
    }

    async fn open(&self, cookie: &SessionCookie) -> Result<Session, BackendError> {
        let session = self.app.control.session(&cookie.0, (self.app.clock)()).await;
        session.map_err(anyhow::Error::from).map_err(failed("read the session"))?.ok_or(BackendError::NotFound)
    }

    /// The cookie that follows an old one. That none could be made is no reason to show no page: the old one is good.
    fn follower(&self, renewed: Result<Option<SecretText>, ControlError>) -> Option<SessionCookie> {
        let renewed = renewed.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "a session's cookie could not be renewed: {error}");
            None
        });
        renewed.map(|cookie| SessionCookie(cookie.expose().to_owned()))
    }

    async fn scope_in(&self, cookie: &SessionCookie, vendor: &str, mode: Mode) -> Result<TenantScope, BackendError> {
        let session = self.open(cookie).await?;
        let scope = self.app.control.scope(&session, vendor, mode).await;
        scope.map_err(anyhow::Error::from).map_err(failed("open the workspace"))?.ok_or(BackendError::NotFound)
    }

    async fn scope(&self, place: &Place) -> Result<TenantScope, BackendError> {
        self.scope_in(&place.session, &place.vendor, place.mode).await
    }

    /// The days of a range, in the vendor's time zone.
    async fn days(&self, scope: &TenantScope, range: RangeChoice) -> Result<DateRange, BackendError> {
        let vendor = self.app.control.vendor(scope).await;
        let vendor = vendor.map_err(anyhow::Error::from).map_err(failed("read the workspace"))?;
        let (from, to) = range.resolve(today(&vendor.time_zone, (self.app.clock)()));
        Ok(DateRange { from, to, time_zone: vendor.time_zone })
    }

    async fn request(&self, scope: &TenantScope, query: &DashboardQuery) -> Result<FiguresRequest, BackendError> {
        let range = self.days(scope, query.range).await?;
        Ok(FiguresRequest { range, bucket: query.bucket, against: query.against })
    }

    /// Changes whenever any figure of the scope may have changed.
    fn etag_of(&self, scope: &TenantScope) -> String {
        format!("{}-{}", self.started_at.0, self.app.cache.last_change(scope))
    }

    /// Where the scope's data became visible up to, from now on, while the process runs.
    fn signals(&self, scope: TenantScope, open: OpenStream) -> impl Stream<Item = LiveSignal> + Send + 'static {
        let app = self.app.clone();
        let signals = BroadcastStream::new(self.app.live.subscribe()).filter_map(move |signal| {
            // A reader that lagged behind is told where things stand now.
            let now = || app.live.visible(partition_of(scope.vendor())).next_offset;
            let mine = match signal {
                Ok(Heard::Signal(signal)) => concerns(&signal, &scope).then_some(signal.next_offset),
                Ok(Heard::Anything) => Some(now()),
                Err(BroadcastStreamRecvError::Lagged(missed)) => {
                    metrics::count(Metric::SseDropped, [], missed);
                    Some(now())
                }
            };
            let _held_while_the_stream_lives = &open;
            async move { mine.map(|next_offset| LiveSignal { next_offset }) }
        });
        signals.take_until(self.stop.clone().cancelled_owned())
    }

    async fn view(
        &self,
        (scope, vendor): (&TenantScope, &str),
        connection: &ConnectionInfo,
        endpoint: &EndpointInfo,
    ) -> Result<ConnectionView, BackendError> {
        let since = Timestamp((self.app.clock)().0 - DAY.as_millis() as i64);
        let (fold, id) = (self.app.fold.clone(), connection.connection);
        let activity = tokio::task::spawn_blocking(move || fold.activity(id, since)).await;
        let activity = activity.map_err(anyhow::Error::from).map_err(failed("read what arrived"))?;
        let activity = activity.map_err(anyhow::Error::from).map_err(failed("read what arrived"))?;
        let refused = self.app.failures.of(scope, &endpoint.endpoint_id).await;
        let refused = refused.map_err(anyhow::Error::from).map_err(failed("read what was refused"))?;
        let about = failures::About { provider: connection.provider, vendor, secrets: endpoint.secrets.len() };
        Ok(ConnectionView {
            id: connection.connection.0,
            provider: connection.provider,
            endpoint_url: format!(
                "{}/webhooks/{}/{}",
                self.public_url,
                connection.provider.name(),
                endpoint.endpoint_id
            ),
            secrets: endpoint.secrets.iter().map(|secret| secret.masked.clone()).collect(),
            key: connection.can_look_up.then(|| "given".to_owned()),
            can_look_up: connection.can_look_up,
            last_delivery_at: activity.last_at,
            deliveries_24h: activity.recent,
            warning: about.warning(&refused, activity.last_at),
            failures: about.rows(&refused, since),
            missing_event_types: missing_types(connection, &activity),
            missing: missing_words(connection),
        })
    }

    async fn connect(&self, cookie: &SessionCookie, new: NewConnection) -> Result<Connected, FormError> {
        let slug = new.slug;
        let refused = |error| form_error(new.provider, error);
        let session = self.open(cookie).await?;
        if let Some(name) = new.name {
            let vendor = NewVendor { name, ..NewVendor::named(&slug) };
            self.app.control.open_workspace(&session, vendor, (self.app.clock)()).await.map_err(refused)?;
        }
        let request = ConnectRequest {
            vendor: slug.clone(),
            provider: new.provider,
            secret: SecretText::new(new.secret.0),
            key: new.key.map(|key| SecretText::new(key.0)),
            api_base: None,
            account: None,
            complete_history: false,
            mode_hint: None,
        };
        let (actor, now) = (session.actor(), (self.app.clock)());
        let connected = self.app.control.connect(request, &actor, now).await.map_err(refused)?;
        self.app.loader.load().await.map_err(failed("open the endpoint"))?;
        // What is delivered to the address that the page shows comes after the connection.
        wait_until_known(self.app.control.as_ref(), connected.vendor).await.map_err(refused)?;
        let scope = self.scope_in(cookie, &slug, Mode::Live).await?;
        let connections = self.app.control.connections(&scope).await.map_err(refused)?;
        for connection in &connections {
            if let Some(endpoint) =
                connection.endpoints.iter().find(|endpoint| endpoint.endpoint_id == connected.endpoint_id)
            {
                let connection = self.view((&scope, &slug), connection, endpoint).await?;
                return Ok(Connected { vendor: slug, connection });
            }
        }
        Err(FormError::Backend(BackendError::NotFound))
    }
}

/// Whether a signal is about what the scope sees. One that names no affiliate is about all of them.
fn concerns(signal: &store::live::LiveSignal, scope: &TenantScope) -> bool {
    let is_theirs = |affiliate| signal.affiliates.is_empty() || signal.affiliates.contains(&affiliate);
    signal.vendor == scope.vendor() && signal.mode == scope.mode() && scope.affiliate().is_none_or(is_theirs)
}

/// What a form asks for.
struct NewConnection {
    slug: String,
    /// Name of the workspace, where the form makes one.
    name: Option<String>,
    provider: Provider,
    secret: Secret,
    key: Option<Secret>,
}

/// Types that were never seen although something was: before the first delivery all are.
fn missing_types(connection: &ConnectionInfo, activity: &Activity) -> Vec<String> {
    if connection.provider != Provider::Stripe || activity.event_types.is_empty() {
        return Vec::new();
    }
    STRIPE_EVENTS
        .iter()
        .filter(|known| !activity.event_types.iter().any(|seen| seen == *known))
        .map(|known| (*known).to_owned())
        .collect()
}

fn missing_words(connection: &ConnectionInfo) -> Vec<String> {
    if connection.can_look_up {
        return Vec::new();
    }
    [
        "Codes that a payment names only by an internal id stay \u{201c}waiting\u{201d} until an event names them: we cannot ask without a restricted key.",
        "Refunds of payments made before the connection may stay \u{201c}waiting\u{201d}, because their invoice cannot be looked up.",
        "Subscriptions older than the connection count as not first: their earlier payments cannot be listed.",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[async_trait]
impl Backend for Pages {
    async fn open_session(&self, token: &str) -> Result<Option<NewSession>, BackendError> {
        let opened = self.app.control.open_session(token, (self.app.clock)()).await;
        let opened = opened.map_err(anyhow::Error::from).map_err(failed("open a session"))?;
        Ok(opened.map(|session| new_session(session.cookie(), session.csrf())))
    }

    async fn session(&self, cookie: &SessionCookie) -> Result<Option<SessionView>, BackendError> {
        let session = match self.open(cookie).await {
            Ok(session) => session,
            Err(BackendError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let vendors = self
            .app
            .control
            .session_vendors(&session)
            .await
            .map_err(anyhow::Error::from)
            .map_err(failed("list workspaces"))?;
        let view = |vendor: store::control::Vendor| VendorView {
            can_be_removed: workspace::can_be_removed(&vendor.slug),
            slug: vendor.slug,
            name: vendor.name,
            is_demo: vendor.is_demo,
            time_zone: vendor.time_zone,
            is_incomplete: self.app.live.is_held(partition_of(vendor.id)),
        };
        // Real workspaces first: the demo is where one starts, not where one stays.
        let (demo, real): (Vec<_>, Vec<_>) = vendors.into_iter().partition(|vendor| vendor.is_demo);
        let vendors = real.into_iter().chain(demo).map(view).collect();
        let renewed = self.follower(self.app.control.renew_session(&session, (self.app.clock)()).await);
        Ok(Some(SessionView { csrf: Secret(session.csrf().to_owned()), renewed, vendors }))
    }

    async fn modes_with_data(&self, cookie: &SessionCookie, vendor: &str) -> Result<Vec<Mode>, BackendError> {
        let mut modes = Vec::new();
        for mode in [Mode::Live, Mode::Test] {
            let scope = self.scope_in(cookie, vendor, mode).await?;
            let fold = self.app.fold.clone();
            let counts = tokio::task::spawn_blocking(move || fold.outcome_counts(scope.vendor(), mode)).await;
            let counts = counts.map_err(anyhow::Error::from).map_err(failed("count what arrived"))?;
            let counts = counts.map_err(anyhow::Error::from).map_err(failed("count what arrived"))?;
            // Decisions hold in both modes and say nothing about either.
            if counts.iter().any(|(outcome, _)| outcome != "decisions") {
                modes.push(mode);
            }
        }
        Ok(modes)
    }

    async fn dashboard(&self, place: &Place, query: &DashboardQuery) -> Result<Dashboard, BackendError> {
        let scope = self.scope(place).await?;
        let request = self.request(&scope, query).await?;
        self.app.reports.dashboard(&scope, &request).await.map_err(report_failed("read the dashboard"))
    }

    async fn figures_of(
        &self,
        place: &Place,
        query: &DashboardQuery,
        subject: Subject,
    ) -> Result<SubjectReport, BackendError> {
        let scope = self.scope(place).await?;
        let request = self.request(&scope, query).await?;
        self.app.reports.figures_of(&scope, &request, subject).await.map_err(report_failed("read the figures"))
    }

    async fn payouts(&self, place: &Place, range: RangeChoice) -> Result<PayoutReport, BackendError> {
        let scope = self.scope(place).await?;
        let range = self.days(&scope, range).await?;
        self.app.reports.payouts(&scope, &range).await.map_err(report_failed("read what affiliates earned"))
    }

    async fn explorer(
        &self,
        place: &Place,
        filter: &ExplorerFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ExplorerPage, BackendError> {
        let scope = self.scope(place).await?;
        self.app.reports.explorer(&scope, filter, cursor, limit).await.map_err(report_failed("read the redemptions"))
    }

    async fn purchase_file(&self, place: &Place, filter: &ExplorerFilter) -> Result<PurchaseFile, BackendError> {
        let scope = self.scope(place).await?;
        self.app.reports.purchase_file(&scope, filter).await.map_err(report_failed("read the purchases"))
    }

    async fn explain(&self, place: &Place, business_key: &str) -> Result<Option<Explanation>, BackendError> {
        let scope = self.scope(place).await?;
        explain(&self.app.ledger.0, &scope, business_key).await.map_err(failed("explain the purchase"))
    }

    async fn connections(&self, cookie: &SessionCookie, vendor: &str) -> Result<Vec<ConnectionView>, BackendError> {
        let scope = self.scope_in(cookie, vendor, Mode::Live).await?;
        let connections = self
            .app
            .control
            .connections(&scope)
            .await
            .map_err(anyhow::Error::from)
            .map_err(failed("read connections"))?;
        let mut views = Vec::new();
        for connection in connections.iter().filter(|connection| connection.closed_at.is_none()) {
            for endpoint in &connection.endpoints {
                views.push(self.view((&scope, vendor), connection, endpoint).await?);
            }
        }
        Ok(views)
    }

    async fn connect_stripe(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        form: StripeForm,
    ) -> Result<Connected, FormError> {
        // Whoever may open the workspace in which the form stands may connect.
        self.scope_in(cookie, vendor, Mode::Live).await?;
        let slug = form.workspace.clone().unwrap_or_else(|| vendor.to_owned());
        let new = NewConnection {
            slug,
            name: form.workspace_name,
            provider: Provider::Stripe,
            secret: form.secret,
            key: form.key,
        };
        self.connect(cookie, new).await
    }

    async fn open_workspace(&self, cookie: &SessionCookie, form: WorkspaceForm) -> Result<Connected, FormError> {
        self.open(cookie).await?;
        let new = NewConnection {
            slug: form.workspace,
            name: Some(form.workspace_name),
            provider: form.provider,
            secret: form.secret,
            key: form.key,
        };
        self.connect(cookie, new).await
    }

    async fn live(&self, place: &Place) -> Result<BoxStream<'static, LiveSignal>, BackendError> {
        let scope = self.scope(place).await?;
        Ok(self.signals(scope, OpenStream::new(self.streams.clone())).boxed())
    }

    async fn scope_etag(&self, place: &Place) -> Result<String, BackendError> {
        let scope = self.scope(place).await?;
        Ok(self.etag_of(&scope))
    }
}

fn form_error(provider: Provider, error: ControlError) -> FormError {
    match error {
        ControlError::Invalid { field, message } => {
            let field = if field == "vendor" { "workspace".to_owned() } else { field };
            FormError::Fields(vec![FieldError { field, message }])
        }
        other => FormError::Backend(failed(match provider {
            Provider::Stripe => "connect Stripe",
            Provider::Paddle => "connect Paddle",
            Provider::LemonSqueezy => "connect Lemon Squeezy",
        })(other.into())),
    }
}

/// The local day in a time zone.
fn today(time_zone: &str, now: Timestamp) -> jiff::civil::Date {
    let zone = jiff::tz::TimeZone::get(time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
    jiff::Timestamp::from_millisecond(now.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_zoned(zone).date()
}
