//! What the page of a workspace needs from the services.

use crate::backend::{BackendError, FormError, SessionCookie};
use async_trait::async_trait;

/// Changing a workspace, and ending it or a connection of it.
#[async_trait]
pub trait Workspaces: Send + Sync + 'static {
    /// Gives it another name and time zone. A field that has to be changed is `name` or `time_zone`.
    async fn change_workspace(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        name: &str,
        time_zone: &str,
    ) -> Result<(), FormError>;

    /// Removes it and all that is in it. `typed` has to be its name.
    async fn remove_workspace(&self, cookie: &SessionCookie, vendor: &str, typed: &str) -> Result<(), FormError>;

    /// Closes a connection; what it brought stays.
    async fn disconnect(&self, cookie: &SessionCookie, vendor: &str, connection: u64) -> Result<(), BackendError>;
}
