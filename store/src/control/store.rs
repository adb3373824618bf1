//! The control store over either backend: which transaction each operation of the port runs in, and who hears of it.

use super::backend::{Backend, Reach, Tells};
use super::database::Database;
use super::rotation::{Due, Shown};
use super::sealer::Sealer;
use super::*;
use crate::secrets::FillRandom;
use std::sync::{Arc, PoisonError, RwLock};

/// The control store on one kind of database.
pub struct ControlStoreOn<B> {
    pub(super) backend: B,
    keys: RwLock<MasterKeys>,
    random: Arc<FillRandom>,
}

impl<B> ControlStoreOn<B> {
    pub(super) fn new(backend: B, keys: MasterKeys, random: Arc<FillRandom>) -> ControlStoreOn<B> {
        ControlStoreOn { backend, keys: RwLock::new(keys), random }
    }

    pub(super) fn sealer(&self) -> Sealer {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        Sealer { keys, random: Arc::clone(&self.random) }
    }
}

/// The cookie that follows the one shown, if it is time. Mostly it is not, and nothing is written.
pub(super) async fn renew<B: Backend>(
    store: &ControlStoreOn<B>,
    shown: Shown,
    now: Timestamp,
) -> ControlResult<Option<SecretText>> {
    let (sealer, known) = (store.sealer(), shown.clone());
    let due = store.backend.read(Reach::Wiring, move |database| rotation::due(database, &known, now)).await?;
    if due == Due::Nothing {
        return Ok(None);
    }
    let renew = move |database: &dyn Database| rotation::renew(database, &sealer, &shown, now);
    store.backend.write(Reach::Wiring, Tells::NOTHING, renew).await
}

#[async_trait]
impl<B: Backend> ControlStore for ControlStoreOn<B> {
    async fn ensure_vendor(&self, vendor: NewVendor, actor: &str, now: Timestamp) -> ControlResult<Vendor> {
        let (sealer, actor) = (self.sealer(), actor.to_owned());
        self.backend
            .write(Reach::Wiring, Tells::NOTHING, move |database| {
                vendors::ensure(database, &sealer, &vendor, &actor, now)
            })
            .await
    }

    async fn vendor_by_slug(&self, slug: &str) -> ControlResult<Option<Vendor>> {
        let slug = slug.to_owned();
        self.backend.read(Reach::Wiring, move |database| vendors::by_slug(database, &slug)).await
    }

    async fn vendors(&self) -> ControlResult<Vec<Vendor>> {
        self.backend.read(Reach::Wiring, vendors::all).await
    }

    async fn rename_vendor(&self, vendor: VendorId, name: &str, actor: &str, now: Timestamp) -> ControlResult<()> {
        let (name, actor) = (name.to_owned(), actor.to_owned());
        let rename = move |database: &dyn Database| vendors::rename(database, vendor, &name, &actor, now);
        self.backend.write(Reach::Tenant(vendor), Tells::NOTHING, rename).await
    }

    async fn forget_vendor(&self, vendor: VendorId, actor: &str, now: Timestamp) -> ControlResult<()> {
        let actor = actor.to_owned();
        self.backend
            .write(Reach::Wiring, Tells::BOTH, move |database| upkeep::forget(database, vendor, &actor, now))
            .await?;
        self.backend.overwrite_deleted().await
    }

    async fn connect(&self, request: ConnectRequest, actor: &str, now: Timestamp) -> ControlResult<Connected> {
        let (sealer, actor) = (self.sealer(), actor.to_owned());
        let connect = move |database: &dyn Database| connections::connect(database, &sealer, &request, &actor, now);
        self.backend.write(Reach::Wiring, Tells::BOTH, connect).await
    }

    async fn remove_secret(&self, vendor: VendorId, secret: u64, actor: &str, now: Timestamp) -> ControlResult<()> {
        let actor = actor.to_owned();
        let remove = move |database: &dyn Database| connections::remove_secret(database, vendor, secret, &actor, now);
        self.backend.write(Reach::Tenant(vendor), Tells::DIRECTORY, remove).await
    }

    async fn close_connection(
        &self,
        vendor: VendorId,
        connection: ConnectionId,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<()> {
        let actor = actor.to_owned();
        let close = move |database: &dyn Database| closing::close(database, vendor, connection, &actor, now);
        self.backend.write(Reach::Tenant(vendor), Tells::BOTH, close).await
    }

    async fn connections(&self, scope: &TenantScope) -> ControlResult<Vec<ConnectionInfo>> {
        let (vendor, sealer) = (reading::vendor_wide(scope)?, self.sealer());
        self.backend.read(Reach::Tenant(vendor), move |database| connections::list(database, &sealer, vendor)).await
    }

    async fn endpoint_directory(&self) -> ControlResult<Vec<EndpointEntry>> {
        let sealer = self.sealer();
        self.backend.read(Reach::Wiring, move |database| connections::directory(database, &sealer)).await
    }

    async fn lookup_credentials(
        &self,
        connection: ConnectionId,
        mode: Mode,
    ) -> ControlResult<Option<LookupCredentials>> {
        let sealer = self.sealer();
        self.backend
            .read(Reach::Wiring, move |database| connections::lookup_credentials(database, &sealer, connection, mode))
            .await
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.backend.signals().changed()
    }

    async fn decide(
        &self,
        vendor: VendorId,
        decisions: Vec<DecisionInput>,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<Decided> {
        let actor = actor.to_owned();
        let decide = move |database: &dyn Database| decide::decide(database, vendor, decisions, &actor, now);
        self.backend.write(Reach::Tenant(vendor), Tells::DECISIONS, decide).await
    }

    async fn rehearse(
        &self,
        vendor: VendorId,
        decisions: Vec<DecisionInput>,
        now: Timestamp,
    ) -> ControlResult<Rehearsed> {
        let rehearse = move |database: &dyn Database| decide::rehearse(database, vendor, decisions, now);
        self.backend.write(Reach::Tenant(vendor), Tells::NOTHING, rehearse).await
    }

    async fn pending_decisions(&self, limit: usize) -> ControlResult<Vec<OutboxDecision>> {
        if !self.backend.may_relay().await? {
            return Ok(Vec::new());
        }
        self.backend.read(Reach::Wiring, move |database| decide::pending(database, limit)).await
    }

    async fn pending_count(&self, vendor: VendorId) -> ControlResult<u64> {
        self.backend.read(Reach::Tenant(vendor), move |database| decide::pending_count(database, vendor)).await
    }

    async fn mark_sent(&self, ids: &[u64]) -> ControlResult<()> {
        let ids = ids.to_vec();
        self.backend.write(Reach::Wiring, Tells::NOTHING, move |database| decide::mark_sent(database, &ids)).await
    }

    async fn decisions_pending(&self) {
        self.backend.signals().decisions_pending().await;
    }

    async fn put_failures(
        &self,
        vendor: VendorId,
        endpoint: &str,
        writer: &str,
        list: &str,
        now: Timestamp,
    ) -> ControlResult<()> {
        if list.len() > failures::MAX_LIST_BYTES {
            let message = format!("must have at most {} bytes, has {}", failures::MAX_LIST_BYTES, list.len());
            return Err(ControlError::Invalid { field: "list".to_owned(), message });
        }
        let (endpoint, writer, list) = (endpoint.to_owned(), writer.to_owned(), list.to_owned());
        let put = move |database: &dyn Database| failures::put(database, vendor, (&endpoint, &writer), &list, now);
        self.backend.write(Reach::Tenant(vendor), Tells::NOTHING, put).await
    }

    async fn failures(&self, scope: &TenantScope, endpoint: &str) -> ControlResult<Vec<(String, String)>> {
        let (vendor, endpoint) = (scope.vendor(), endpoint.to_owned());
        self.backend.read(Reach::Tenant(vendor), move |database| failures::lists(database, vendor, &endpoint)).await
    }

    async fn leads(&self) -> ControlResult<bool> {
        self.backend.may_relay().await
    }

    fn spread(&self) -> std::time::Duration {
        self.backend.spread()
    }

    async fn raise_sequence(&self, vendor: VendorId, seq: u64) -> ControlResult<()> {
        self.backend
            .write(Reach::Tenant(vendor), Tells::NOTHING, move |database| decide::raise_sequence(database, vendor, seq))
            .await
    }

    async fn numbers(&self) -> ControlResult<Vec<VendorNumbers>> {
        self.backend.read(Reach::Wiring, adopt::numbers).await
    }

    async fn adopt(&self, vendor: VendorId, decisions: Vec<LoggedDecision>) -> ControlResult<u64> {
        let adopt = move |database: &dyn Database| adopt::adopt(database, vendor, &decisions);
        self.backend.write(Reach::Wiring, Tells::DIRECTORY, adopt).await
    }

    async fn raise_ids(&self, vendor: VendorId, connection: ConnectionId) -> ControlResult<()> {
        let raise = move |database: &dyn Database| adopt::raise_ids(database, vendor, connection);
        self.backend.write(Reach::Wiring, Tells::NOTHING, raise).await
    }

    async fn vendor(&self, scope: &TenantScope) -> ControlResult<Vendor> {
        let vendor = scope.vendor();
        self.backend.read(Reach::Tenant(vendor), move |database| vendors::by_id(database, vendor)).await
    }

    async fn affiliates(&self, scope: &TenantScope) -> ControlResult<Vec<AffiliateInfo>> {
        let scope = *scope;
        self.backend.read(Reach::Tenant(scope.vendor()), move |database| reading::affiliates(database, &scope)).await
    }

    async fn codes(&self, scope: &TenantScope) -> ControlResult<Vec<CodeInfo>> {
        let scope = *scope;
        self.backend.read(Reach::Tenant(scope.vendor()), move |database| reading::codes(database, &scope)).await
    }

    async fn mappings(&self, scope: &TenantScope) -> ControlResult<Vec<MapCode>> {
        let vendor = reading::vendor_wide(scope)?;
        self.backend.read(Reach::Tenant(vendor), move |database| reading::mappings(database, vendor)).await
    }

    async fn rules(&self, scope: &TenantScope) -> ControlResult<Vec<RuleInfo>> {
        let vendor = reading::vendor_wide(scope)?;
        self.backend.read(Reach::Tenant(vendor), move |database| reading::rules(database, vendor)).await
    }

    async fn policy(&self, scope: &TenantScope) -> ControlResult<SetPolicy> {
        let vendor = scope.vendor();
        self.backend.read(Reach::Tenant(vendor), move |database| reading::policy_in_force(database, vendor)).await
    }

    async fn reviews(&self, scope: &TenantScope, limit: usize) -> ControlResult<Vec<ReviewInfo>> {
        let (vendor, mode) = (reading::vendor_wide(scope)?, scope.mode());
        self.backend.read(Reach::Tenant(vendor), move |database| reading::reviews(database, vendor, mode, limit)).await
    }

    async fn campaigns(&self, scope: &TenantScope, limit: usize) -> ControlResult<Vec<CampaignInfo>> {
        let vendor = reading::vendor_wide(scope)?;
        self.backend.read(Reach::Tenant(vendor), move |database| reading::campaigns(database, vendor, limit)).await
    }

    async fn audit_log(&self, scope: &TenantScope, before: Option<u64>, limit: usize) -> ControlResult<Vec<AuditRow>> {
        let vendor = reading::vendor_wide(scope)?;
        self.backend
            .read(Reach::Tenant(vendor), move |database| reading::audit_log(database, vendor, before, limit))
            .await
    }

    async fn create_login_token(&self, now: Timestamp) -> ControlResult<SecretText> {
        let sealer = self.sealer();
        self.backend
            .write(Reach::Wiring, Tells::NOTHING, move |database| access::create_login_token(database, &sealer, now))
            .await
    }

    async fn open_session(&self, token: &str, now: Timestamp) -> ControlResult<Option<Session>> {
        let (sealer, token) = (self.sealer(), SecretText::new(token));
        self.backend
            .write(Reach::Wiring, Tells::NOTHING, move |database| {
                access::open_session(database, &sealer, token.expose(), now)
            })
            .await
    }

    async fn session(&self, cookie: &str, now: Timestamp) -> ControlResult<Option<Session>> {
        let cookie = SecretText::new(cookie);
        let stored =
            self.backend.read(Reach::Wiring, move |database| access::session(database, cookie.expose(), now)).await?;
        let Some(mut session) = stored else {
            return Ok(None);
        };
        if let Some(end) = access::later_end(session.expires_at, now) {
            let shown = session.shown.clone();
            self.backend
                .write(Reach::Wiring, Tells::NOTHING, move |database| {
                    access::move_end(database, &shown.session, now, end)
                })
                .await?;
            session.expires_at = end;
        }
        Ok(Some(session))
    }

    async fn renew_session(&self, session: &Session, now: Timestamp) -> ControlResult<Option<SecretText>> {
        renew(self, session.shown.clone(), now).await
    }

    async fn close_session(&self, session: &Session) -> ControlResult<()> {
        let shown = session.shown.clone();
        self.backend
            .write(Reach::Wiring, Tells::NOTHING, move |database| access::close_session(database, &shown.session))
            .await
    }

    async fn session_vendors(&self, session: &Session) -> ControlResult<Vec<Vendor>> {
        let person = session.person;
        self.backend.read(Reach::Wiring, move |database| access::vendors_of_session(database, person)).await
    }

    async fn scope(&self, session: &Session, slug: &str, mode: Mode) -> ControlResult<Option<TenantScope>> {
        let (person, slug) = (session.person, slug.to_owned());
        self.backend.read(Reach::Wiring, move |database| access::scope_of_session(database, person, &slug, mode)).await
    }

    async fn admin_scope(&self, _admin: &LocalAdmin, slug: &str, mode: Mode) -> ControlResult<Option<TenantScope>> {
        let slug = slug.to_owned();
        self.backend.read(Reach::Wiring, move |database| access::scope_of_vendor(database, &slug, mode)).await
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
        let create = move |database: &dyn Database| {
            access::create_api_key(database, &sealer, (vendor, mode), &name, &actor, now)
        };
        self.backend.write(Reach::Tenant(vendor), Tells::NOTHING, create).await
    }

    async fn scope_of_api_key(&self, key: &str, now: Timestamp) -> ControlResult<Option<TenantScope>> {
        let key = SecretText::new(key);
        let Some(used) =
            self.backend.read(Reach::Wiring, move |database| access::api_key(database, key.expose(), now)).await?
        else {
            return Ok(None);
        };
        if used.note_use {
            self.backend
                .write(Reach::Wiring, Tells::NOTHING, move |database| access::note_key_use(database, used.id, now))
                .await?;
        }
        Ok(Some(used.scope))
    }

    async fn api_keys(&self, scope: &TenantScope) -> ControlResult<Vec<ApiKeyInfo>> {
        let vendor = reading::vendor_wide(scope)?;
        self.backend.read(Reach::Tenant(vendor), move |database| access::api_keys(database, vendor)).await
    }

    async fn revoke_api_key(&self, vendor: VendorId, key: u64, actor: &str, now: Timestamp) -> ControlResult<()> {
        let actor = actor.to_owned();
        let revoke = move |database: &dyn Database| access::revoke_api_key(database, vendor, key, &actor, now);
        self.backend.write(Reach::Tenant(vendor), Tells::NOTHING, revoke).await
    }

    async fn rotate_master_key(&self, keys: MasterKeys, actor: &str, now: Timestamp) -> ControlResult<u64> {
        let actor = actor.to_owned();
        // From here on new rows are closed by the new key; old rows still open, because the
        // new set knows the old keys. Should the rewriting fail, both kinds stay readable.
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        let sealer = self.sealer();
        let rotate = move |database: &dyn Database| upkeep::rotate(database, &sealer, &actor, now);
        let written = self.backend.write(Reach::Wiring, Tells::DIRECTORY, rotate).await?;
        self.backend.overwrite_deleted().await?;
        Ok(written)
    }
}
