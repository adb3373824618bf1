//! Changing and ending workspaces of the sample.

use super::SampleBackend;
use crate::backend::{BackendError, FieldError, FormError, SessionCookie};
use crate::workspace::Workspaces;
use async_trait::async_trait;

fn wrong(field: &str, message: &str) -> Result<(), FormError> {
    Err(FormError::Fields(vec![FieldError { field: field.into(), message: message.into() }]))
}

#[async_trait]
impl Workspaces for SampleBackend {
    async fn change_workspace(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        name: &str,
        time_zone: &str,
    ) -> Result<(), FormError> {
        let mut state = self.check(cookie, vendor)?;
        if name.trim().is_empty() {
            return wrong("name", "Give the workspace a name.");
        }
        let view = state.vendors.iter_mut().find(|view| view.slug == vendor);
        let view = view.ok_or(FormError::Backend(BackendError::NotFound))?;
        (view.name, view.time_zone) = (name.trim().to_owned(), time_zone.to_owned());
        Ok(())
    }

    async fn remove_workspace(&self, cookie: &SessionCookie, vendor: &str, typed: &str) -> Result<(), FormError> {
        let mut state = self.check(cookie, vendor)?;
        if !state.vendors.iter().any(|view| view.slug == vendor && view.name == typed.trim()) {
            return wrong("confirm", "Type the name exactly as it stands above.");
        }
        state.vendors.retain(|view| view.slug != vendor);
        Ok(())
    }

    async fn disconnect(&self, cookie: &SessionCookie, vendor: &str, connection: u64) -> Result<(), BackendError> {
        let mut state = self.check(cookie, vendor)?;
        state.connections.retain(|(slug, view)| slug != vendor || view.id != connection);
        Ok(())
    }
}
