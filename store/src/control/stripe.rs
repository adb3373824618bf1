//! Stripe connected with a restricted key: what is known of our endpoint there, and how far reading its lists has come.

use super::backend::{Backend, Reach, Tells};
use super::database::Database;
use super::reading::vendor_wide;
use super::store::ControlStoreOn;
use super::{ControlResult, stripe_rows};
use crate::scope::TenantScope;
use crate::secrets::SecretText;
use async_trait::async_trait;
use domain::ids::{ConnectionId, Mode, Timestamp, VendorId};
pub use schemas::provider::stripe::STRIPE_EVENTS;

/// A restricted key that shall connect Stripe. Its mode is written into it.
#[derive(Debug, Clone)]
pub struct StripeKeyRequest {
    /// Slug; the vendor is created when there is none.
    pub vendor: String,
    /// The key.
    pub key: SecretText,
    /// Where to ask, when it is not Stripe's own address.
    pub api_base: Option<String>,
}

/// A connection with a key, and what is known of its endpoint at Stripe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunStripe {
    /// Whose.
    pub vendor: VendorId,
    /// Its number.
    pub connection: ConnectionId,
    /// Mode of the key.
    pub mode: Mode,
    /// The random part of the webhook URL.
    pub endpoint_id: String,
    /// Which creation this is; part of its idempotency key.
    pub attempt: u32,
    /// Stripe's id of the endpoint, if it is known to have been there.
    pub webhook: Option<String>,
    /// Whether any signing secret is known.
    pub has_secret: bool,
}

/// Our endpoint as it is at Stripe.
#[derive(Debug, Clone)]
pub struct StripeWebhook {
    /// Stripe's id, `we_...`.
    pub id: String,
    /// What it signs with; only told when it was made.
    pub secret: Option<SecretText>,
    /// Whether this product made it.
    pub made_by_us: bool,
    /// Wanted types that it does not send.
    pub missing_events: Vec<String>,
}

/// The same without its secret, for pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeWebhookInfo {
    /// Stripe's id; none while it is not known to be there.
    pub id: Option<String>,
    /// Whether this product made it.
    pub made_by_us: bool,
    /// Wanted types that it does not send.
    pub missing_events: Vec<String>,
    /// When it was last looked at.
    pub set_up_at: Option<Timestamp>,
}

/// What is read, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadStep {
    /// Promotion codes.
    PromotionCodes,
    /// Coupons.
    Coupons,
    /// Events of the first types of [`STRIPE_EVENTS`]: Stripe takes twenty of them in one question.
    MostEvents,
    /// Events of the others.
    OtherEvents,
}

impl ReadStep {
    /// All, in order.
    pub const ALL: [ReadStep; 4] =
        [ReadStep::PromotionCodes, ReadStep::Coupons, ReadStep::MostEvents, ReadStep::OtherEvents];

    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            ReadStep::PromotionCodes => "promotion_codes",
            ReadStep::Coupons => "coupons",
            ReadStep::MostEvents => "most_events",
            ReadStep::OtherEvents => "other_events",
        }
    }

    /// The step after it.
    pub fn next(self) -> Option<ReadStep> {
        ReadStep::ALL.into_iter().find(|step| *step > self)
    }
}

/// How reading stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadState {
    /// Under way, or waiting for its turn.
    Running,
    /// All was taken.
    Done,
    /// It stopped; `reason` says why. Somebody has to begin it again.
    Failed,
}

impl ReadState {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            ReadState::Running => "running",
            ReadState::Done => "done",
            ReadState::Failed => "failed",
        }
    }
}

/// How far reading Stripe's lists has come, of one connection and mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeRead {
    /// Whose.
    pub vendor: VendorId,
    /// Of which connection.
    pub connection: ConnectionId,
    /// Test or live.
    pub mode: Mode,
    /// How it stands.
    pub state: ReadState,
    /// What is read now, or was last.
    pub step: ReadStep,
    /// The last id that was taken in this step.
    pub after: Option<String>,
    /// Time of the oldest event that was taken in this step.
    pub oldest_at: Option<Timestamp>,
    /// Events from here on are read.
    pub since: Timestamp,
    /// When it was begun.
    pub began_at: Timestamp,
    /// Pages that were taken, over all steps.
    pub pages: u64,
    /// Promotion codes that were taken.
    pub promotion_codes: u64,
    /// Coupons that were taken.
    pub coupons: u64,
    /// Events that were taken.
    pub events: u64,
    /// Events that could not be read.
    pub skipped: u64,
    /// Tries that failed since the last page.
    pub tries: u32,
    /// Not before.
    pub rests_until: Timestamp,
    /// Why it rests or failed, in words; empty otherwise.
    pub reason: String,
    /// When it ended, either way.
    pub finished_at: Option<Timestamp>,
}

/// What was set up of one connection and mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeSetup {
    /// Which connection.
    pub connection: ConnectionId,
    /// Test or live.
    pub mode: Mode,
    /// Our endpoint at Stripe.
    pub webhook: StripeWebhookInfo,
    /// Reading of its lists; none before the endpoint is there.
    pub read: Option<StripeRead>,
}

/// Connecting with a restricted key, and reading with it.
#[async_trait]
pub trait StripeKeys: Send + Sync {
    /// Opens the connection and its endpoint and keeps the key. Again it joins what is there.
    async fn begin_stripe(&self, request: StripeKeyRequest, actor: &str, now: Timestamp) -> ControlResult<BegunStripe>;
    /// The endpoint is gone at Stripe: the next creation gets another number.
    async fn next_stripe_attempt(&self, begun: &BegunStripe) -> ControlResult<BegunStripe>;
    /// Notes the endpoint, keeps its secret and begins reading, unless that is under way.
    async fn finish_stripe(
        &self,
        begun: &BegunStripe,
        webhook: StripeWebhook,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<()>;
    /// What was set up with keys, by connection and mode. Both modes, whatever the scope's is.
    async fn stripe_setups(&self, scope: &TenantScope) -> ControlResult<Vec<StripeSetup>>;
    /// Begins reading again: where it failed it goes on, where it was done it begins anew.
    async fn read_stripe_again(
        &self,
        scope: &TenantScope,
        connection: ConnectionId,
        mode: Mode,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<()>;
    /// For the wiring: of all that is to be read and that nobody reads, what was looked at longest ago. Until `until` it is
    /// `owner`'s alone.
    async fn claim_stripe_read(
        &self,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> ControlResult<Option<StripeRead>>;
    /// For the wiring: notes how far it came. It stays `owner`'s until `until`; a time that is over gives it back. False: it is
    /// no longer `owner`'s, and nothing was noted.
    async fn note_stripe_read(
        &self,
        owner: &str,
        read: &StripeRead,
        now: Timestamp,
        until: Timestamp,
    ) -> ControlResult<bool>;
}

#[async_trait]
impl<B: Backend> StripeKeys for ControlStoreOn<B> {
    async fn begin_stripe(&self, request: StripeKeyRequest, actor: &str, now: Timestamp) -> ControlResult<BegunStripe> {
        let (sealer, actor) = (self.sealer(), actor.to_owned());
        let begin = move |database: &dyn Database| stripe_rows::begin(database, &sealer, &request, &actor, now);
        self.backend.write(Reach::Wiring, Tells::BOTH, begin).await
    }

    async fn next_stripe_attempt(&self, begun: &BegunStripe) -> ControlResult<BegunStripe> {
        let begun = begun.clone();
        let next = move |database: &dyn Database| stripe_rows::next_attempt(database, begun);
        self.backend.write(Reach::Wiring, Tells::NOTHING, next).await
    }

    async fn finish_stripe(
        &self,
        begun: &BegunStripe,
        webhook: StripeWebhook,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<()> {
        let (sealer, begun, actor) = (self.sealer(), begun.clone(), actor.to_owned());
        let finish =
            move |database: &dyn Database| stripe_rows::finish(database, &sealer, &begun, &webhook, &actor, now);
        self.backend.write(Reach::Wiring, Tells::DIRECTORY, finish).await
    }

    async fn stripe_setups(&self, scope: &TenantScope) -> ControlResult<Vec<StripeSetup>> {
        let vendor = vendor_wide(scope)?;
        self.backend.read(Reach::Tenant(vendor), move |database| stripe_rows::setups(database, vendor)).await
    }

    async fn read_stripe_again(
        &self,
        scope: &TenantScope,
        connection: ConnectionId,
        mode: Mode,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<()> {
        let (vendor, actor) = (vendor_wide(scope)?, actor.to_owned());
        let again =
            move |database: &dyn Database| stripe_rows::again(database, vendor, (connection, mode), &actor, now);
        self.backend.write(Reach::Tenant(vendor), Tells::NOTHING, again).await
    }

    async fn claim_stripe_read(
        &self,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> ControlResult<Option<StripeRead>> {
        // A look that finds nothing, which is nearly every one, takes no lock.
        if !self.backend.read(Reach::Wiring, move |database| stripe_rows::any_to_read(database, now)).await? {
            return Ok(None);
        }
        let owner = owner.to_owned();
        let claim = move |database: &dyn Database| stripe_rows::claim(database, &owner, now, until);
        self.backend.write(Reach::Wiring, Tells::NOTHING, claim).await
    }

    async fn note_stripe_read(
        &self,
        owner: &str,
        read: &StripeRead,
        now: Timestamp,
        until: Timestamp,
    ) -> ControlResult<bool> {
        let (owner, read) = (owner.to_owned(), read.clone());
        let note = move |database: &dyn Database| stripe_rows::note(database, &owner, &read, now, until);
        self.backend.write(Reach::Wiring, Tells::NOTHING, note).await
    }
}
