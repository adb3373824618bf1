//! What people decided, and who may see what.
//!
//! People's decisions are rows here and travel into the event log: the transaction that
//! changes a row also writes an outbox row with the vendor's next sequence; one relay takes
//! outbox rows in order, appends them and marks them sent.
//!
//! One set of statements (`database.rs`) and one implementation (`store.rs`) serve SQLite,
//! for one process, and Postgres, for several.

mod access;
mod adopt;
mod alerts;
mod backend;
mod broken;
mod closing;
mod connections;
mod database;
mod decide;
mod failures;
mod identities;
pub mod input;
mod mail_choices;
mod mails;
mod model;
mod moving;
mod people;
mod people_store;
mod portal;
mod portal_desk;
mod portal_store;
mod postgres_store;
mod reading;
mod resolve;
mod rotation;
mod rows;
mod sealer;
mod sign_in;
mod sqlite_store;
mod store;
mod stripe;
mod stripe_rows;
mod summaries;
mod upkeep;
mod vendors;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod conformance_alerts;
#[cfg(test)]
mod conformance_broken;
#[cfg(test)]
mod conformance_decisions;
#[cfg(test)]
mod conformance_identities;
#[cfg(test)]
mod conformance_mail_choices;
#[cfg(test)]
mod conformance_people;
#[cfg(test)]
mod conformance_portal;
#[cfg(test)]
mod conformance_portal_desk;
#[cfg(test)]
mod conformance_stripe;
#[cfg(test)]
mod moving_tests;
#[cfg(test)]
mod postgres_tests;
#[cfg(test)]
mod test_places;

pub use alerts::*;
pub use broken::*;
pub use mail_choices::*;
pub use mails::*;
pub use model::*;
pub use moving::move_to_postgres;
pub use people::*;
pub use portal::*;
pub use portal_desk::*;
pub use postgres_store::{POSTGRES_MIGRATIONS, PostgresControlStore};
pub use sign_in::SIGN_IN_LIFE_MS;
pub use sqlite_store::SqliteControlStore;
pub use store::ControlStoreOn;
pub use stripe::*;
pub use summaries::*;

use crate::scope::TenantScope;
use crate::secrets::{MasterKeys, SecretError, SecretText};
use crate::sqlite::SqliteError;
use async_trait::async_trait;
use domain::decision::{MapCode, SetPolicy};
use domain::ids::{ConnectionId, Mode, Timestamp, VendorId};
use input::DecisionInput;
use tokio::sync::watch;

/// What went wrong in the control store.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Something the caller said cannot be done.
    #[error("{field}: {message}")]
    Invalid {
        /// Which member, for example `decisions[3].affiliate`.
        field: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// A secret cannot be closed or opened.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] SqliteError),
    /// Anything else.
    #[error("the control store failed: {0}")]
    Failed(#[from] anyhow::Error),
}

impl ControlError {
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> ControlError {
        ControlError::Invalid { field: field.into(), message: message.into() }
    }
}

impl From<rusqlite::Error> for ControlError {
    fn from(error: rusqlite::Error) -> Self {
        ControlError::Failed(error.into())
    }
}

/// Which numbers a file of the control store has given out.
pub(crate) fn numbers_of(file: &rusqlite::Connection) -> ControlResult<Vec<VendorNumbers>> {
    adopt::numbers(&database::SqliteDatabase(file))
}

/// Result of the control store.
pub type ControlResult<T> = Result<T, ControlError>;

/// The control store. `actor` is who did it, in words for the audit log, for example
/// `operator` or `command line`; `now` is the caller's clock.
#[async_trait]
pub trait ControlStore:
    People + MailQueue + MailChoices + Summaries + Portal + PortalDesk + Alerts + Breakages + StripeKeys
{
    // Vendors

    /// The vendor with this slug; created when there is none. One that exists is not changed.
    async fn ensure_vendor(&self, vendor: NewVendor, actor: &str, now: Timestamp) -> ControlResult<Vendor>;
    /// The vendor with this slug. For the wiring: whoever has a scope asks [`ControlStore::vendor`].
    async fn vendor_by_slug(&self, slug: &str) -> ControlResult<Option<Vendor>>;
    /// Every vendor, by slug. For the wiring: a session asks [`ControlStore::session_vendors`].
    async fn vendors(&self) -> ControlResult<Vec<Vendor>>;
    /// Gives a vendor another name on pages and in mails. Its slug stays.
    async fn rename_vendor(&self, vendor: VendorId, name: &str, actor: &str, now: Timestamp) -> ControlResult<()>;
    /// Deletes every row of a vendor, destroys its hash key and gives the log its last
    /// decision, `drop_vendor`. Its scopes end at once.
    async fn forget_vendor(&self, vendor: VendorId, actor: &str, now: Timestamp) -> ControlResult<()>;

    // Connections

    /// Opens a provider account. The same provider and account again joins the connection and
    /// adds the secret; all stay active. The vendor is created when absent.
    async fn connect(&self, request: ConnectRequest, actor: &str, now: Timestamp) -> ControlResult<Connected>;
    /// Ends a secret. The last one of an endpoint stays: close the connection instead.
    async fn remove_secret(&self, vendor: VendorId, secret: u64, actor: &str, now: Timestamp) -> ControlResult<()>;
    /// Closes a connection: its endpoints leave the directory, its history stays.
    async fn close_connection(
        &self,
        vendor: VendorId,
        connection: ConnectionId,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<()>;
    /// The vendor's connections, closed ones too, with masked secrets.
    async fn connections(&self, scope: &TenantScope) -> ControlResult<Vec<ConnectionInfo>>;
    /// Everything the edge must know, of every open connection.
    async fn endpoint_directory(&self) -> ControlResult<Vec<EndpointEntry>>;
    /// How to ask a connection's provider about one mode: a key of that mode, else one that
    /// does not name its mode. A test key is never used for live questions.
    async fn lookup_credentials(
        &self,
        connection: ConnectionId,
        mode: Mode,
    ) -> ControlResult<Option<LookupCredentials>>;
    /// Counts up whenever a connection or secret changed or a vendor was forgotten, in
    /// whichever process: the edge loads its directory again.
    fn changed(&self) -> watch::Receiver<u64>;

    // Decisions

    /// Writes decisions, all or none, with the vendor's next sequence numbers.
    async fn decide(
        &self,
        vendor: VendorId,
        decisions: Vec<DecisionInput>,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<Decided>;
    /// What deciding this now would come to, with the same refusals. Nothing is written.
    async fn rehearse(
        &self,
        vendor: VendorId,
        decisions: Vec<DecisionInput>,
        now: Timestamp,
    ) -> ControlResult<Rehearsed>;
    /// Decisions that are not known to be in the log, in the order in which they must be
    /// appended, at most `limit`. Of several processes one gets them at a time, until it
    /// has not asked for a while; the others get none.
    ///
    /// The order of a vendor's numbers in the log hangs on what the caller does with them:
    /// append one, wait until the log that all processes share has it (a spool of this
    /// process alone is not enough), only then append the vendor's next. Appending twice is
    /// harmless, the fold has seen the number; appending over a gap is not.
    async fn pending_decisions(&self, limit: usize) -> ControlResult<Vec<OutboxDecision>>;
    /// How many decisions of a vendor are not known to be in the log.
    async fn pending_count(&self, vendor: VendorId) -> ControlResult<u64>;
    /// The log has acknowledged these (ids of [`OutboxDecision`]).
    async fn mark_sent(&self, ids: &[u64]) -> ControlResult<()>;
    /// Keeps what a process refused of an endpoint: JSON without anything of the bodies, in the place of what this
    /// writer wrote before. Forgotten after a week.
    async fn put_failures(
        &self,
        vendor: VendorId,
        endpoint: &str,
        writer: &str,
        list: &str,
        now: Timestamp,
    ) -> ControlResult<()>;
    /// What every process refused of an endpoint of the scope's vendor: who wrote it, and what it wrote.
    async fn failures(&self, scope: &TenantScope, endpoint: &str) -> ControlResult<Vec<(String, String)>>;
    /// Whether this is the process that relays, of several: for what one of them must do and the others not. Asking
    /// keeps the right for a while.
    async fn leads(&self) -> ControlResult<bool>;
    /// After this time every process knows what was changed here.
    fn spread(&self) -> std::time::Duration;
    /// Resolves when decisions were written, in whichever process, since it last resolved.
    /// For one relay in each process.
    async fn decisions_pending(&self);
    /// The log has this sequence of the vendor (after a restored backup): the next number is
    /// above it. Never lowers. Rows that still wait keep their numbers; the fold ignores a
    /// number that it has seen.
    async fn raise_sequence(&self, vendor: VendorId, seq: u64) -> ControlResult<()>;
    /// Which numbers every vendor has given out, by vendor.
    async fn numbers(&self) -> ControlResult<Vec<VendorNumbers>>;
    /// Writes decisions of a vendor that the log has, in the order of their numbers, from the vendor's next number on:
    /// this store is older than the log. Nothing of it goes to the log again. Returns how many were written.
    async fn adopt(&self, vendor: VendorId, decisions: Vec<LoggedDecision>) -> ControlResult<u64>;
    /// The log names vendors and connections up to these: new ones get higher numbers. Never lowers.
    async fn raise_ids(&self, vendor: VendorId, connection: ConnectionId) -> ControlResult<()>;

    // Names for reading

    /// The scope's vendor.
    async fn vendor(&self, scope: &TenantScope) -> ControlResult<Vendor>;
    /// Affiliates, by key.
    async fn affiliates(&self, scope: &TenantScope) -> ControlResult<Vec<AffiliateInfo>>;
    /// Codes, by text.
    async fn codes(&self, scope: &TenantScope) -> ControlResult<Vec<CodeInfo>>;
    /// Mappings in the order they were decided.
    async fn mappings(&self, scope: &TenantScope) -> ControlResult<Vec<MapCode>>;
    /// Rules, by revision.
    async fn rules(&self, scope: &TenantScope) -> ControlResult<Vec<RuleInfo>>;
    /// The policy in force, else the product's default in the vendor's time zone.
    async fn policy(&self, scope: &TenantScope) -> ControlResult<SetPolicy>;
    /// Reviews in the scope's mode, the newest first, at most `limit`.
    async fn reviews(&self, scope: &TenantScope, limit: usize) -> ControlResult<Vec<ReviewInfo>>;
    /// Campaigns, the newest first, at most `limit`.
    async fn campaigns(&self, scope: &TenantScope, limit: usize) -> ControlResult<Vec<CampaignInfo>>;
    /// Who did what, the newest first, rows below `before`, at most `limit`.
    async fn audit_log(&self, scope: &TenantScope, before: Option<u64>, limit: usize) -> ControlResult<Vec<AuditRow>>;

    // Sessions and keys

    /// A token that opens one session within 15 minutes. Only its hash is stored.
    async fn create_login_token(&self, now: Timestamp) -> ControlResult<SecretText>;
    /// Uses a token up. None when it is unknown, used or too old.
    async fn open_session(&self, token: &str, now: Timestamp) -> ControlResult<Option<Session>>;
    /// The session of a cookie. It ends 30 days after it was last used.
    async fn session(&self, cookie: &str, now: Timestamp) -> ControlResult<Option<Session>>;
    /// The cookie that follows the session's, if that one is a day old. Until the new one is shown both open the session,
    /// so one that is lost on its way does no harm.
    async fn renew_session(&self, session: &Session, now: Timestamp) -> ControlResult<Option<SecretText>>;
    /// Ends a session.
    async fn close_session(&self, session: &Session) -> ControlResult<()>;
    /// The vendors that a session may open.
    async fn session_vendors(&self, session: &Session) -> ControlResult<Vec<Vendor>>;
    /// What a session sees of a vendor. None when there is no such vendor.
    async fn scope(&self, session: &Session, slug: &str, mode: Mode) -> ControlResult<Option<TenantScope>>;
    /// What the local socket sees of a vendor. None when there is no such vendor.
    async fn admin_scope(&self, admin: &LocalAdmin, slug: &str, mode: Mode) -> ControlResult<Option<TenantScope>>;
    /// A new API key, `atk_...`. It is shown once: only its hash is stored.
    async fn create_api_key(
        &self,
        vendor: VendorId,
        mode: Mode,
        name: &str,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<SecretText>;
    /// What an API key sees. None when it is unknown or revoked.
    async fn scope_of_api_key(&self, key: &str, now: Timestamp) -> ControlResult<Option<TenantScope>>;
    /// The vendor's keys, revoked ones too.
    async fn api_keys(&self, scope: &TenantScope) -> ControlResult<Vec<ApiKeyInfo>>;
    /// Ends a key.
    async fn revoke_api_key(&self, vendor: VendorId, key: u64, actor: &str, now: Timestamp) -> ControlResult<()>;

    // Upkeep

    /// Encrypts every row that an older master key closed with the newest of `keys`, which
    /// are used from now on. Returns how many rows were written.
    async fn rotate_master_key(&self, keys: MasterKeys, actor: &str, now: Timestamp) -> ControlResult<u64>;
}
