//! Stripe connected with a restricted key: what the pages need from the services.

use crate::backend::{BackendError, FieldError, Secret, SessionCookie};
use async_trait::async_trait;
use domain::ids::{ConnectionId, Mode};
pub use store::control::{ReadState, ReadStep, StripeRead, StripeSetup, StripeWebhookInfo};
use thiserror::Error;

/// The form, checked for shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyForm {
    /// Slug of the workspace to open, when the form stands in the demo. No workspace of the session has it.
    pub workspace: Option<String>,
    /// Name of that workspace, as typed.
    pub workspace_name: Option<String>,
    /// `rk_…`, of this mode.
    pub key: Secret,
    /// Test or live.
    pub mode: Mode,
}

/// What a restricted key must be allowed to do, in the words of Stripe's page of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPermission {
    /// The row of that page.
    pub name: &'static str,
    /// `Read` or `Write`.
    pub access: &'static str,
    /// What it is for, to be read after "to".
    pub purpose: &'static str,
}

/// Why a key was not accepted.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Something typed has to be changed.
    #[error("{} fields to change", .0.len())]
    Fields(Vec<FieldError>),
    /// The key may not do everything that is needed. Nothing was written anywhere.
    #[error("{} permissions are missing", .0.len())]
    Missing(Vec<KeyPermission>),
    /// The service failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What was set up of one endpoint and mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupView {
    /// The address that Stripe sends to, as [`crate::backend::ConnectionView`] has it.
    pub endpoint_url: String,
    /// The rest.
    pub setup: StripeSetup,
}

/// Restricted keys, as pages need them.
#[async_trait]
pub trait StripeKeys: Send + Sync {
    /// Everything that a key must be allowed to do.
    fn key_permissions(&self) -> Vec<KeyPermission>;
    /// Checks the key, sets up Stripe with it and begins reading. Answers the slug of the workspace.
    async fn connect_with_key(&self, cookie: &SessionCookie, vendor: &str, form: KeyForm) -> Result<String, KeyError>;
    /// What was set up with keys, in both modes.
    async fn stripe_setups(&self, cookie: &SessionCookie, vendor: &str) -> Result<Vec<SetupView>, BackendError>;
    /// Begins reading again.
    async fn read_stripe_again(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        connection: ConnectionId,
        mode: Mode,
    ) -> Result<(), BackendError>;
}
