//! What pages need from the services, as one trait. The real one is wired by the binary;
//! [`crate::sample`] is the one used by tests and by `examples/preview.rs`.

use crate::range::RangeChoice;
use api::export::PayoutReport;
use api::model::{Bucket, Dashboard, Explanation, ExplorerFilter, ExplorerPage};
use api::services::{Comparison, PurchaseFile, Subject, SubjectReport};
use async_trait::async_trait;
use domain::ids::{Mode, Provider, Timestamp};
use futures::stream::BoxStream;
use std::error::Error;
use std::fmt;
use thiserror::Error;

pub use store::control::STRIPE_EVENTS;

/// The secret a browser shows to prove its session.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionCookie(pub String);

impl fmt::Debug for SessionCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCookie(…)")
    }
}

/// A secret that somebody typed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A session that was just opened with a one-time token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Goes to the browser.
    pub cookie: SessionCookie,
    /// Goes into forms.
    pub csrf: Secret,
}

/// What a session may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Every form of the session carries it.
    pub csrf: Secret,
    /// The cookie that follows the one shown, when that one is old.
    pub renewed: Option<SessionCookie>,
    /// The vendors, in the order of the switch.
    pub vendors: Vec<VendorView>,
}

/// One entry of the vendor switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorView {
    /// Name in URLs.
    pub slug: String,
    /// Name on pages.
    pub name: String,
    /// Sample data: every page says so.
    pub is_demo: bool,
    /// IANA name; times are shown in it.
    pub time_zone: String,
    /// Whoever looks may remove it.
    pub can_be_removed: bool,
    /// Some of its figures were lost and are being made again: less is shown than there is, and every page says so.
    pub is_incomplete: bool,
}

/// Where a read looks: a session, one of its vendors, and test or live.
///
/// The backend makes a `TenantScope` of it and checks again that the session may see the vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Who asks.
    pub session: SessionCookie,
    /// Slug of the vendor.
    pub vendor: String,
    /// Test or live.
    pub mode: Mode,
}

/// What the dashboard is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DashboardQuery {
    /// Which days; [`RangeChoice::resolve`] turns it into dates.
    pub range: RangeChoice,
    /// Bucket of the chart, chosen by the service when absent.
    pub bucket: Option<Bucket>,
    /// With what it is compared.
    pub against: Comparison,
}

/// One connection and how it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionView {
    /// Names it in URLs.
    pub id: u64,
    /// Whose webhooks.
    pub provider: Provider,
    /// Where the provider must send them.
    pub endpoint_url: String,
    /// Signing secrets, masked like `whsec_…4f2a`.
    pub secrets: Vec<String>,
    /// Restricted key, masked; `None` when there is none.
    pub key: Option<String>,
    /// Whether missing facts can be asked for.
    pub can_look_up: bool,
    /// When the last delivery came.
    pub last_delivery_at: Option<Timestamp>,
    /// Deliveries of the last 24 hours.
    pub deliveries_24h: u64,
    /// The last delivery was refused, and what to do; `None` when it was taken.
    pub warning: Option<DeliveryWarning>,
    /// What went wrong lately, newest first, at most 20.
    pub failures: Vec<DeliveryFailure>,
    /// Event types that should be sent and were never seen.
    pub missing_event_types: Vec<String>,
    /// What cannot be known with this connection, as sentences.
    pub missing: Vec<String>,
}

/// The newest delivery was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryWarning {
    /// When it came.
    pub at: Timestamp,
    /// What happened, to be read after "the last delivery".
    pub what: String,
    /// What to do, as sentences.
    pub advice: String,
}

/// Deliveries that failed for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryFailure {
    /// The last time.
    pub at: Timestamp,
    /// In words.
    pub reason: String,
    /// How often in the last 24 hours.
    pub count: u64,
}

/// The connect form, checked for shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeForm {
    /// Slug of the workspace to open, when the form stands in the demo. No workspace of the session has it.
    pub workspace: Option<String>,
    /// Name of that workspace, as typed.
    pub workspace_name: Option<String>,
    /// `whsec_…`
    pub secret: Secret,
    /// `rk_…`
    pub key: Option<Secret>,
}

/// The form that makes the first workspace, checked for shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceForm {
    /// Slug of the workspace to open. No workspace of the session has it.
    pub workspace: String,
    /// Name of that workspace, as typed.
    pub workspace_name: String,
    /// Whose webhooks.
    pub provider: Provider,
    /// What the provider signs with.
    pub secret: Secret,
    /// For look-ups.
    pub key: Option<Secret>,
}

/// What a connect form made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The vendor it now belongs to (a new one when connected from the demo).
    pub vendor: String,
    /// The connection.
    pub connection: ConnectionView,
}

/// A field that has to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// `workspace`, `provider`, `secret` or `key`; anything else is shown above the form.
    pub field: String,
    /// A sentence: what is wrong and what to do.
    pub message: String,
}

/// Why a form was not accepted.
#[derive(Debug, Error)]
pub enum FormError {
    /// Something typed has to be changed.
    #[error("{} fields to change", .0.len())]
    Fields(Vec<FieldError>),
    /// The service failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Why the services gave no answer.
#[derive(Debug, Error)]
pub enum BackendError {
    /// There is no such thing, or the session may not see it: the two look alike.
    #[error("not found")]
    NotFound,
    /// A part of the query cannot be used.
    #[error("`{field}`: {message}")]
    BadQuery {
        /// Name of the query parameter.
        field: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// Too much at once; trying again helps.
    #[error("busy")]
    Busy,
    /// Anything else. The source is logged, never shown.
    #[error("could not {doing}")]
    Failed {
        /// For example `read the dashboard`.
        doing: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Something new became visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveSignal {
    /// The new watermark.
    pub next_offset: u64,
}

/// The services, as pages need them. Every method takes who asks and decides what they may see.
#[async_trait]
pub trait Backend:
    crate::accounts::Accounts
    + crate::alerts::Alerts
    + crate::codes::Codes
    + crate::mail_settings::MailDesk
    + crate::people::People
    + crate::portal::Portals
    + crate::portal_desk::PortalDesks
    + crate::stripe_keys::StripeKeys
    + crate::workspace::Workspaces
{
    /// Uses up a one-time token. `None`: unknown, used or expired.
    async fn open_session(&self, token: &str) -> Result<Option<NewSession>, BackendError>;

    /// The session of a cookie. `None`: unknown or over.
    async fn session(&self, cookie: &SessionCookie) -> Result<Option<SessionView>, BackendError>;

    /// Modes in which the vendor has any purchase.
    async fn modes_with_data(&self, cookie: &SessionCookie, vendor: &str) -> Result<Vec<Mode>, BackendError>;

    /// The first screen.
    async fn dashboard(&self, place: &Place, query: &DashboardQuery) -> Result<Dashboard, BackendError>;

    /// The figures of one affiliate or code.
    async fn figures_of(
        &self,
        place: &Place,
        query: &DashboardQuery,
        subject: Subject,
    ) -> Result<SubjectReport, BackendError>;

    /// What affiliates earned in a range, for a file.
    async fn payouts(&self, place: &Place, range: RangeChoice) -> Result<PayoutReport, BackendError>;

    /// One page of purchases, newest first.
    async fn explorer(
        &self,
        place: &Place,
        filter: &ExplorerFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ExplorerPage, BackendError>;

    /// All purchases of a filter, newest first, for a file.
    async fn purchase_file(&self, place: &Place, filter: &ExplorerFilter) -> Result<PurchaseFile, BackendError>;

    /// Everything behind a purchase. `None`: no such purchase of this vendor and mode.
    async fn explain(&self, place: &Place, business_key: &str) -> Result<Option<Explanation>, BackendError>;

    /// The vendor's connections.
    async fn connections(&self, cookie: &SessionCookie, vendor: &str) -> Result<Vec<ConnectionView>, BackendError>;

    /// Connects Stripe, or adds a secret or key to the connection that exists.
    async fn connect_stripe(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        form: StripeForm,
    ) -> Result<Connected, FormError>;

    /// Makes a workspace with its first connection. Whoever has a session may.
    async fn open_workspace(&self, cookie: &SessionCookie, form: WorkspaceForm) -> Result<Connected, FormError>;

    /// Signals from now on. The stream ends when the process stops; a slow reader may miss
    /// signals in the middle, never the last one.
    async fn live(&self, place: &Place) -> Result<BoxStream<'static, LiveSignal>, BackendError>;

    /// A word that changes whenever any figure of this vendor and mode may have changed.
    async fn scope_etag(&self, place: &Place) -> Result<String, BackendError>;
}
