//! What the pages of affiliates, codes and rules need from the services.

use crate::backend::{BackendError, FormError, SessionCookie};
use api::ledger::Previewed;
use api::people::Roster;
use async_trait::async_trait;
use store::control::input::DecisionInput;

/// Who is paid and how much, and changing it.
#[async_trait]
pub trait People: Send + Sync + 'static {
    /// Affiliates, codes and rules of a vendor.
    async fn roster(&self, cookie: &SessionCookie, vendor: &str) -> Result<Roster, BackendError>;

    /// Writes decisions, all or none; those of a form are in the log when it comes back. A field that has to be changed is named like `decisions[0].email`.
    async fn decide(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        decisions: Vec<DecisionInput>,
    ) -> Result<(), FormError>;

    /// What deciding this would change. It refuses what [`People::decide`] would refuse, and writes nothing.
    async fn preview(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        decisions: Vec<DecisionInput>,
    ) -> Result<Previewed, FormError>;
}
