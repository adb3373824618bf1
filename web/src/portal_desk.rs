//! What an affiliate does at the portal beside looking, as the pages need it from the services.

use crate::accounts::SessionRow;
use crate::backend::{BackendError, FormError, SessionCookie};
use api::services::{Claim, Verdict};
use async_trait::async_trait;
use domain::ids::AffiliateId;
use store::control::PayoutAddress;

/// An affiliate's own details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalAccount {
    /// Name that the vendor and they see.
    pub name: String,
    /// Where mail goes; only the vendor changes it.
    pub email: String,
    /// How they want to be paid; empty where they did not say.
    pub payout_address: String,
    /// Their sessions, the last used first.
    pub sessions: Vec<SessionRow>,
}

/// The affiliate's own part of the portal. Everything is the cookie's: no other affiliate can be named.
#[async_trait]
pub trait PortalDesks: Send + Sync {
    /// Their own details.
    async fn portal_account(&self, cookie: &SessionCookie) -> Result<PortalAccount, BackendError>;

    /// Notes what the browser of a session that was just opened said it is.
    async fn note_portal_agent(&self, cookie: &SessionCookie, agent: &str) -> Result<(), BackendError>;

    /// Another name from now on. Refused by field: `name`.
    async fn rename_guest(&self, cookie: &SessionCookie, name: &str) -> Result<(), FormError>;

    /// Another way to be paid from now on; empty takes it back. Refused by field: `payout_address`.
    async fn set_payout_address(&self, cookie: &SessionCookie, text: &str) -> Result<(), FormError>;

    /// Ends one of their sessions. One that is gone is no error.
    async fn end_portal_session(&self, cookie: &SessionCookie, id: &str) -> Result<(), BackendError>;

    /// Ends all of their sessions but this one.
    async fn end_other_portal_sessions(&self, cookie: &SessionCookie) -> Result<(), BackendError>;

    /// How a vendor's affiliate wants to be paid; none where they did not say. For whoever may open the vendor.
    async fn payout_address_of(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        affiliate: AffiliateId,
    ) -> Result<Option<PayoutAddress>, BackendError>;

    /// How a sale ended for them; none when they asked too often today.
    async fn was_credited(&self, cookie: &SessionCookie, claim: Claim) -> Result<Option<Verdict>, BackendError>;
}
