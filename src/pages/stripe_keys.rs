//! Stripe connected with a restricted key, over the real services.

use super::{Pages, failed, store_failed};
use crate::in_log::wait_until_known;
use async_trait::async_trait;
use domain::ids::{ConnectionId, Mode};
use processor::stripe::interface::{StripeError, StripeInterface};
use processor::stripe::permissions::{self, PERMISSIONS, Permission};
use processor::stripe::webhook::{self, Ensured};
use std::time::Duration;
use store::control::{BegunStripe, ControlError, NewVendor, Session, StripeKeyRequest, StripeWebhook};
use store::secrets::SecretText;
use web::backend::{BackendError, FieldError, SessionCookie};
use web::stripe_keys::*;

/// The longest one request to Stripe may take, while somebody waits for the page.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest all trials of permissions may take.
const ALL_TRIALS: Duration = Duration::from_secs(40);

fn in_words(permission: Permission) -> KeyPermission {
    KeyPermission { name: permission.name, access: permission.access, purpose: permission.purpose }
}

fn field(field: &str, message: impl Into<String>) -> KeyError {
    KeyError::Fields(vec![FieldError { field: field.to_owned(), message: message.into() }])
}

/// What the page says of what Stripe said. Neither holds the key.
fn stripe_said(error: StripeError, url: &str) -> KeyError {
    match error {
        StripeError::Key => field("key", "Stripe does not know this key. Copy it once more, or make a new one."),
        StripeError::Permission => {
            KeyError::Missing(PERMISSIONS.into_iter().filter(|one| one.access == "Write").map(in_words).collect())
        }
        StripeError::Refused { parameter, .. } if parameter == "url" => field(
            "form",
            format!(
                "Stripe does not accept {url} as the address of a webhook endpoint: it must begin with https:// and be reachable \
                 from the internet. Whoever runs this server sets it as server.public_url."
            ),
        ),
        StripeError::Limited { .. } => field("form", "Stripe asked us to slow down. Try again in a minute."),
        StripeError::Refused { .. } | StripeError::Unreachable(_) | StripeError::Answer(_) => {
            field("form", format!("{error}. Nothing is lost: try again in a moment."))
        }
    }
}

/// What the control store refused, in words of the form.
fn refused(error: ControlError) -> KeyError {
    match error {
        ControlError::Invalid { field: name, message } => {
            field(if name == "vendor" { "workspace" } else { &name }, message)
        }
        ControlError::NotFound(_) => KeyError::Backend(BackendError::NotFound),
        other => KeyError::Backend(failed("connect Stripe")(other.into())),
    }
}

impl Pages {
    fn webhook_url(&self, endpoint_id: &str) -> String {
        format!("{}/webhooks/stripe/{endpoint_id}", self.public_url)
    }

    /// Sees to it that Stripe sends to us. One that is gone there is made once more.
    async fn ensure_webhook(
        &self,
        stripe: &StripeInterface,
        begun: BegunStripe,
    ) -> Result<(BegunStripe, StripeWebhook), KeyError> {
        let url = self.webhook_url(&begun.endpoint_id);
        let said = |error| stripe_said(error, &url);
        if let Ensured::Ready(webhook) = webhook::ensure(stripe, &begun, &url).await.map_err(said)? {
            return Ok((begun, webhook));
        }
        let begun = self.app.control.next_stripe_attempt(&begun).await.map_err(refused)?;
        match webhook::ensure(stripe, &begun, &url).await.map_err(said)? {
            Ensured::Ready(webhook) => Ok((begun, webhook)),
            Ensured::Gone => Err(field("form", "Somebody else connects Stripe at this moment. Try again.")),
        }
    }

    async fn set_up(
        &self,
        session: &Session,
        stripe: &StripeInterface,
        request: StripeKeyRequest,
    ) -> Result<(), KeyError> {
        let (actor, now) = (session.actor(), (self.app.clock)());
        let begun = self.app.control.begin_stripe(request, &actor, now).await.map_err(refused)?;
        let (begun, webhook) = self.ensure_webhook(stripe, begun).await?;
        let now = (self.app.clock)();
        self.app.control.finish_stripe(&begun, webhook, &actor, now).await.map_err(refused)?;
        self.app.loader.load().await.map_err(failed("open the endpoint"))?;
        wait_until_known(self.app.control.as_ref(), begun.vendor).await.map_err(refused)?;
        Ok(())
    }
}

#[async_trait]
impl StripeKeys for Pages {
    fn key_permissions(&self) -> Vec<KeyPermission> {
        PERMISSIONS.into_iter().map(in_words).collect()
    }

    async fn connect_with_key(&self, cookie: &SessionCookie, vendor: &str, form: KeyForm) -> Result<String, KeyError> {
        // Whoever may open the workspace in which the form stands may connect.
        self.scope_in(cookie, vendor, form.mode).await?;
        let session = self.open(cookie).await?;
        let key = SecretText::new(form.key.0);
        let api_base = self.app.stripe_api.clone();
        let said = |error| stripe_said(error, "");
        let stripe = StripeInterface::once(TIMEOUT, api_base.as_deref(), key.clone()).map_err(said)?;
        let missing = tokio::time::timeout(ALL_TRIALS, permissions::missing(&stripe)).await;
        let missing =
            missing.map_err(|_| field("form", "Stripe answers too slowly at the moment. Try again later."))?;
        let missing = missing.map_err(said)?;
        if !missing.is_empty() {
            return Err(KeyError::Missing(missing.into_iter().map(in_words).collect()));
        }
        let slug = form.workspace.unwrap_or_else(|| vendor.to_owned());
        if let Some(name) = form.workspace_name {
            let vendor = NewVendor { name, ..NewVendor::named(&slug) };
            self.app.control.open_workspace(&session, vendor, (self.app.clock)()).await.map_err(refused)?;
        }
        self.set_up(&session, &stripe, StripeKeyRequest { vendor: slug.clone(), key, api_base }).await?;
        Ok(slug)
    }

    async fn stripe_setups(&self, cookie: &SessionCookie, vendor: &str) -> Result<Vec<SetupView>, BackendError> {
        let scope = self.scope_in(cookie, vendor, Mode::Live).await?;
        let setups = self.app.control.stripe_setups(&scope).await.map_err(store_failed("read what was set up"))?;
        let connections = self.app.control.connections(&scope).await.map_err(store_failed("read connections"))?;
        // The endpoint of a key is the one that serves both modes.
        let url_of = |setup: &StripeSetup| {
            let connection = connections.iter().find(|one| one.connection == setup.connection)?;
            let endpoint = connection.endpoints.iter().find(|endpoint| endpoint.mode_hint.is_none())?;
            Some(self.webhook_url(&endpoint.endpoint_id))
        };
        let view = |setup: StripeSetup| url_of(&setup).map(|endpoint_url| SetupView { endpoint_url, setup });
        Ok(setups.into_iter().filter_map(view).collect())
    }

    async fn read_stripe_again(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        connection: ConnectionId,
        mode: Mode,
    ) -> Result<(), BackendError> {
        let scope = self.scope_in(cookie, vendor, mode).await?;
        let session = self.open(cookie).await?;
        let now = (self.app.clock)();
        let begun = self.app.control.read_stripe_again(&scope, connection, mode, &session.actor(), now).await;
        begun.map_err(|error| match error {
            ControlError::NotFound(_) => BackendError::NotFound,
            other => store_failed("begin reading again")(other),
        })
    }
}
