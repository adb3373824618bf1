//! Changing and ending workspaces and connections over the real services.

use super::{Pages, refused, store_failed};
use async_trait::async_trait;
use domain::ids::{ConnectionId, Mode};
use store::control::input::{DecisionInput, PolicyInput};
use web::backend::{BackendError, FieldError, FormError, SessionCookie};
use web::people::People;
use web::workspace::Workspaces;

/// As long as it may be where a workspace is made.
const MAX_NAME_CHARACTERS: usize = 60;

fn wrong(field: &str, message: impl Into<String>) -> FormError {
    FormError::Fields(vec![FieldError { field: field.to_owned(), message: message.into() }])
}

fn checked_name(name: &str) -> Result<&str, FormError> {
    match name.trim() {
        "" => Err(wrong("name", "Give the workspace a name, for example that of your product.")),
        name if name.chars().count() > MAX_NAME_CHARACTERS => Err(wrong("name", "Use at most 60 characters.")),
        name => Ok(name),
    }
}

#[async_trait]
impl Workspaces for Pages {
    async fn change_workspace(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        name: &str,
        time_zone: &str,
    ) -> Result<(), FormError> {
        let session = self.open(cookie).await?;
        let scope = self.scope_in(cookie, vendor, Mode::Live).await?;
        let name = checked_name(name)?;
        if jiff::tz::TimeZone::get(time_zone).is_err() {
            return Err(wrong("time_zone", "Choose one of the list."));
        }
        let known = self.app.control.vendor(&scope).await.map_err(store_failed("read the workspace"))?;
        let renamed = self.app.control.rename_vendor(known.id, name, &session.actor(), self.now()).await;
        renamed.map_err(refused("rename the workspace"))?;
        if known.time_zone != time_zone {
            let policy = PolicyInput { time_zone: Some(time_zone.to_owned()), ..PolicyInput::default() };
            self.decide(cookie, vendor, vec![DecisionInput::Policy(policy)]).await?;
        }
        Ok(())
    }

    async fn remove_workspace(&self, cookie: &SessionCookie, vendor: &str, typed: &str) -> Result<(), FormError> {
        let session = self.open(cookie).await?;
        let scope = self.scope_in(cookie, vendor, Mode::Live).await?;
        let known = self.app.control.vendor(&scope).await.map_err(store_failed("read the workspace"))?;
        if !can_be_removed(&known.slug) {
            return Err(wrong("confirm", "The operator's demo is left out with demo.enabled = false."));
        }
        if typed.trim() != known.name {
            return Err(wrong("confirm", format!("Type the name exactly as it stands above: {}", known.name)));
        }
        let forgotten = self.app.control.forget_vendor(known.id, &session.actor(), self.now()).await;
        forgotten.map_err(store_failed("remove the workspace"))?;
        // From here on its endpoints are unknown to the edge of this process; the others hear of it within a second.
        if let Err(error) = self.app.loader.load().await {
            tracing::warn!(error = %error, "the edge will notice a little later that a workspace is gone: {error:#}");
        }
        Ok(())
    }

    async fn disconnect(&self, cookie: &SessionCookie, vendor: &str, connection: u64) -> Result<(), BackendError> {
        let session = self.open(cookie).await?;
        let scope = self.scope_in(cookie, vendor, Mode::Live).await?;
        let (id, now) = (ConnectionId(connection), self.now());
        let closed = self.app.control.close_connection(scope.vendor(), id, &session.actor(), now).await;
        closed.map_err(store_failed("disconnect"))?;
        if let Err(error) = self.app.loader.load().await {
            tracing::warn!(error = %error, "the edge will notice a little later that a connection is closed: {error:#}");
        }
        Ok(())
    }
}

/// The operator's demo would come back at the next start.
pub(super) fn can_be_removed(slug: &str) -> bool {
    slug != crate::demo::DEMO
}
