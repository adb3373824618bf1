//! The control store in one SQLite file: one writing connection, a few reading ones.

use super::*;
use crate::secrets::{FillRandom, Sealed};
use crate::sqlite::{DEFAULT_PAGE_BYTES, Migration, Readers, open_writer};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{Mutex, Notify};
use zeroize::Zeroizing;

/// The schema.
pub const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    name: "0001_control",
    sql: include_str!("../../../schemas/migrations/control/0001_control.sql"),
}];

const READERS: usize = 4;

/// Encrypts and decrypts, and draws random bytes, inside a transaction.
#[derive(Clone)]
pub(super) struct Sealer {
    keys: MasterKeys,
    random: Arc<FillRandom>,
}

impl Sealer {
    pub(super) fn seal(&self, row: &str, plain: &[u8]) -> ControlResult<Sealed> {
        Ok(self.keys.seal(row, plain, &*self.random)?)
    }

    pub(super) fn open(&self, row: &str, sealed: &Sealed) -> ControlResult<Zeroizing<Vec<u8>>> {
        Ok(self.keys.open(row, sealed)?)
    }

    pub(super) fn open_text(&self, row: &str, sealed: &Sealed) -> ControlResult<SecretText> {
        Ok(self.keys.open_text(row, sealed)?)
    }

    pub(super) fn fill_random(&self, buffer: &mut [u8]) -> ControlResult<()> {
        Ok((self.random)(buffer).map_err(SecretError::from)?)
    }

    pub(super) fn newest_key_id(&self) -> &str {
        self.keys.newest_id()
    }
}

/// The control store on SQLite.
pub struct SqliteControlStore {
    writer: Arc<Mutex<Connection>>,
    readers: Arc<Readers>,
    keys: RwLock<MasterKeys>,
    random: Arc<FillRandom>,
    changed: watch::Sender<u64>,
    pending: Notify,
}

impl SqliteControlStore {
    /// Opens or creates the file. Blocks; called once at start.
    pub fn open(path: &Path, keys: MasterKeys, random: Arc<FillRandom>) -> ControlResult<SqliteControlStore> {
        let writer = open_writer(path, DEFAULT_PAGE_BYTES, &MIGRATIONS)?;
        let pending = Notify::new();
        // What an earlier process left in the outbox must not wait for the next decision.
        pending.notify_one();
        Ok(SqliteControlStore {
            writer: Arc::new(Mutex::new(writer)),
            readers: Readers::new(path, READERS),
            keys: RwLock::new(keys),
            random,
            changed: watch::Sender::new(0),
            pending,
        })
    }

    fn sealer(&self) -> Sealer {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        Sealer { keys, random: Arc::clone(&self.random) }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> ControlResult<T> + Send + 'static,
    ) -> ControlResult<T> {
        self.readers.run(read).await
    }

    /// Runs one write transaction. It is finished even when the caller no longer waits.
    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> ControlResult<T> + Send + 'static,
    ) -> ControlResult<T> {
        let mut connection = Arc::clone(&self.writer).lock_owned().await;
        let task = tokio::task::spawn_blocking(move || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = write(&transaction)?;
            transaction.commit()?;
            Ok(result)
        });
        task.await.map_err(anyhow::Error::from)?
    }

    fn tell_changed(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}

#[async_trait]
impl ControlStore for SqliteControlStore {
    async fn ensure_vendor(&self, vendor: NewVendor, actor: &str, now: Timestamp) -> ControlResult<Vendor> {
        let (sealer, actor) = (self.sealer(), actor.to_owned());
        self.write(move |transaction| vendors::ensure(transaction, &sealer, &vendor, &actor, now)).await
    }

    async fn vendor_by_slug(&self, slug: &str) -> ControlResult<Option<Vendor>> {
        let slug = slug.to_owned();
        self.read(move |connection| vendors::by_slug(connection, &slug)).await
    }

    async fn vendors(&self) -> ControlResult<Vec<Vendor>> {
        self.read(vendors::all).await
    }

    async fn forget_vendor(&self, vendor: VendorId, actor: &str, now: Timestamp) -> ControlResult<()> {
        let actor = actor.to_owned();
        self.write(move |transaction| upkeep::forget(transaction, vendor, &actor, now)).await?;
        self.tell_changed();
        self.pending.notify_one();
        self.overwrite_deleted().await
    }

    async fn connect(&self, request: ConnectRequest, actor: &str, now: Timestamp) -> ControlResult<Connected> {
        let (sealer, actor) = (self.sealer(), actor.to_owned());
        let connected =
            self.write(move |transaction| connections::connect(transaction, &sealer, &request, &actor, now)).await?;
        self.tell_changed();
        self.pending.notify_one();
        Ok(connected)
    }

    async fn remove_secret(&self, vendor: VendorId, secret: u64, actor: &str, now: Timestamp) -> ControlResult<()> {
        let actor = actor.to_owned();
        self.write(move |transaction| connections::remove_secret(transaction, vendor, secret, &actor, now)).await?;
        self.tell_changed();
        Ok(())
    }

    async fn close_connection(
        &self,
        vendor: VendorId,
        connection: ConnectionId,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<()> {
        let actor = actor.to_owned();
        self.write(move |transaction| connections::close(transaction, vendor, connection, &actor, now)).await?;
        self.tell_changed();
        self.pending.notify_one();
        Ok(())
    }

    async fn connections(&self, scope: &TenantScope) -> ControlResult<Vec<ConnectionInfo>> {
        let (vendor, sealer) = (reading::vendor_wide(scope)?, self.sealer());
        self.read(move |connection| connections::list(connection, &sealer, vendor)).await
    }

    async fn endpoint_directory(&self) -> ControlResult<Vec<EndpointEntry>> {
        let sealer = self.sealer();
        self.read(move |connection| connections::directory(connection, &sealer)).await
    }

    async fn lookup_credentials(
        &self,
        connection: ConnectionId,
        mode: Mode,
    ) -> ControlResult<Option<LookupCredentials>> {
        let sealer = self.sealer();
        self.read(move |reader| connections::lookup_credentials(reader, &sealer, connection, mode)).await
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    async fn decide(
        &self,
        vendor: VendorId,
        decisions: Vec<DecisionInput>,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<Decided> {
        let actor = actor.to_owned();
        let decided =
            self.write(move |transaction| decide::decide(transaction, vendor, decisions, &actor, now)).await?;
        self.pending.notify_one();
        Ok(decided)
    }

    async fn pending_decisions(&self, limit: usize) -> ControlResult<Vec<OutboxDecision>> {
        self.read(move |connection| decide::pending(connection, limit)).await
    }

    async fn pending_count(&self, vendor: VendorId) -> ControlResult<u64> {
        self.read(move |connection| decide::pending_count(connection, vendor)).await
    }

    async fn mark_sent(&self, ids: &[u64]) -> ControlResult<()> {
        let ids = ids.to_vec();
        self.write(move |transaction| decide::mark_sent(transaction, &ids)).await
    }

    async fn decisions_pending(&self) {
        self.pending.notified().await;
    }

    async fn raise_sequence(&self, vendor: VendorId, seq: u64) -> ControlResult<()> {
        self.write(move |transaction| decide::raise_sequence(transaction, vendor, seq)).await
    }

    async fn vendor(&self, scope: &TenantScope) -> ControlResult<Vendor> {
        let vendor = scope.vendor();
        self.read(move |connection| vendors::by_id(connection, vendor)).await
    }

    async fn affiliates(&self, scope: &TenantScope) -> ControlResult<Vec<AffiliateInfo>> {
        let scope = *scope;
        self.read(move |connection| reading::affiliates(connection, &scope)).await
    }

    async fn codes(&self, scope: &TenantScope) -> ControlResult<Vec<CodeInfo>> {
        let scope = *scope;
        self.read(move |connection| reading::codes(connection, &scope)).await
    }

    async fn mappings(&self, scope: &TenantScope) -> ControlResult<Vec<MapCode>> {
        let vendor = reading::vendor_wide(scope)?;
        self.read(move |connection| reading::mappings(connection, vendor)).await
    }

    async fn rules(&self, scope: &TenantScope) -> ControlResult<Vec<RuleInfo>> {
        let vendor = reading::vendor_wide(scope)?;
        self.read(move |connection| reading::rules(connection, vendor)).await
    }

    async fn policy(&self, scope: &TenantScope) -> ControlResult<SetPolicy> {
        let vendor = scope.vendor();
        self.read(move |connection| reading::policy_in_force(connection, vendor)).await
    }

    async fn reviews(&self, scope: &TenantScope, limit: usize) -> ControlResult<Vec<ReviewInfo>> {
        let (vendor, mode) = (reading::vendor_wide(scope)?, scope.mode());
        self.read(move |connection| reading::reviews(connection, vendor, mode, limit)).await
    }

    async fn campaigns(&self, scope: &TenantScope, limit: usize) -> ControlResult<Vec<CampaignInfo>> {
        let vendor = reading::vendor_wide(scope)?;
        self.read(move |connection| reading::campaigns(connection, vendor, limit)).await
    }

    async fn audit_log(&self, scope: &TenantScope, before: Option<u64>, limit: usize) -> ControlResult<Vec<AuditRow>> {
        let vendor = reading::vendor_wide(scope)?;
        self.read(move |connection| reading::audit_log(connection, vendor, before, limit)).await
    }

    async fn create_login_token(&self, now: Timestamp) -> ControlResult<SecretText> {
        let sealer = self.sealer();
        self.write(move |transaction| access::create_login_token(transaction, &sealer, now)).await
    }

    async fn open_session(&self, token: &str, now: Timestamp) -> ControlResult<Option<Session>> {
        let (sealer, token) = (self.sealer(), SecretText::new(token));
        self.write(move |transaction| access::open_session(transaction, &sealer, token.expose(), now)).await
    }

    async fn session(&self, cookie: &str, now: Timestamp) -> ControlResult<Option<Session>> {
        let cookie = SecretText::new(cookie);
        let stored = self.read(move |connection| access::session(connection, cookie.expose(), now)).await?;
        let Some(mut session) = stored else {
            return Ok(None);
        };
        if let Some(end) = access::later_end(&session, now) {
            let cookie = session.cookie.clone();
            self.write(move |transaction| access::move_end(transaction, cookie.expose(), end)).await?;
            session.expires_at = end;
        }
        Ok(Some(session))
    }

    async fn close_session(&self, session: &Session) -> ControlResult<()> {
        let cookie = session.cookie.clone();
        self.write(move |transaction| access::close_session(transaction, cookie.expose())).await
    }

    async fn session_vendors(&self, _session: &Session) -> ControlResult<Vec<Vendor>> {
        self.vendors().await
    }

    async fn scope(&self, _session: &Session, slug: &str, mode: Mode) -> ControlResult<Option<TenantScope>> {
        let slug = slug.to_owned();
        self.read(move |connection| access::scope_of_vendor(connection, &slug, mode)).await
    }

    async fn admin_scope(&self, _admin: &LocalAdmin, slug: &str, mode: Mode) -> ControlResult<Option<TenantScope>> {
        let slug = slug.to_owned();
        self.read(move |connection| access::scope_of_vendor(connection, &slug, mode)).await
    }

    async fn create_api_key(
        &self,
        vendor: VendorId,
        mode: Mode,
        name: &str,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<SecretText> {
        let (sealer, name, actor) = (self.sealer(), name.to_owned(), actor.to_owned());
        self.write(move |transaction| access::create_api_key(transaction, &sealer, (vendor, mode), &name, &actor, now))
            .await
    }

    async fn scope_of_api_key(&self, key: &str, now: Timestamp) -> ControlResult<Option<TenantScope>> {
        let key = SecretText::new(key);
        let Some(used) = self.read(move |connection| access::api_key(connection, key.expose(), now)).await? else {
            return Ok(None);
        };
        if used.note_use {
            self.write(move |transaction| access::note_key_use(transaction, used.id, now)).await?;
        }
        Ok(Some(used.scope))
    }

    async fn api_keys(&self, scope: &TenantScope) -> ControlResult<Vec<ApiKeyInfo>> {
        let vendor = reading::vendor_wide(scope)?;
        self.read(move |connection| access::api_keys(connection, vendor)).await
    }

    async fn revoke_api_key(&self, vendor: VendorId, key: u64, actor: &str, now: Timestamp) -> ControlResult<()> {
        let actor = actor.to_owned();
        self.write(move |transaction| access::revoke_api_key(transaction, vendor, key, &actor, now)).await
    }

    async fn rotate_master_key(&self, keys: MasterKeys, actor: &str, now: Timestamp) -> ControlResult<u64> {
        let actor = actor.to_owned();
        // From here on new rows are closed by the new key; old rows still open, because the
        // new set knows the old keys. Should the rewriting fail, both kinds stay readable.
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        let sealer = self.sealer();
        let written = self.write(move |transaction| upkeep::rotate(transaction, &sealer, &actor, now)).await?;
        self.tell_changed();
        self.overwrite_deleted().await?;
        Ok(written)
    }
}

impl SqliteControlStore {
    /// Moves the write-ahead log into the file and empties it: a destroyed key must not live
    /// on in it. Pages in the file were overwritten when the rows were deleted.
    async fn overwrite_deleted(&self) -> ControlResult<()> {
        let connection = Arc::clone(&self.writer).lock_owned().await;
        let task = tokio::task::spawn_blocking(move || {
            connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
        });
        task.await.map_err(anyhow::Error::from)??;
        Ok(())
    }
}
