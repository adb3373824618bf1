//! An invented account at Stripe.

use super::SampleBackend;
use crate::backend::{Backend, BackendError, FieldError, Secret, SessionCookie, StripeForm};
use crate::stripe_keys::*;
use async_trait::async_trait;
use domain::ids::{ConnectionId, Mode, Timestamp, VendorId};

const DAY_MS: i64 = 86_400_000;

fn permission(name: &'static str, access: &'static str, purpose: &'static str) -> KeyPermission {
    KeyPermission { name, access, purpose }
}

fn read(mode: Mode, now: Timestamp) -> StripeRead {
    StripeRead {
        vendor: VendorId(1),
        connection: ConnectionId(1),
        mode,
        state: ReadState::Running,
        step: ReadStep::MostEvents,
        after: None,
        oldest_at: Some(Timestamp(now.0 - 12 * DAY_MS)),
        since: Timestamp(now.0 - 30 * DAY_MS),
        began_at: now,
        pages: 14,
        promotion_codes: 42,
        coupons: 7,
        events: 1_234,
        skipped: 0,
        tries: 0,
        rests_until: now,
        reason: String::new(),
        finished_at: None,
    }
}

#[async_trait]
impl StripeKeys for SampleBackend {
    fn key_permissions(&self) -> Vec<KeyPermission> {
        vec![
            permission("Events", "Read", "read what happened in the last 30 days"),
            permission("Webhook Endpoints", "Write", "make the webhook endpoint for you"),
        ]
    }

    async fn connect_with_key(&self, cookie: &SessionCookie, vendor: &str, form: KeyForm) -> Result<String, KeyError> {
        if form.key.0.ends_with("_unknown") {
            let message = "Stripe does not know this key.".to_owned();
            return Err(KeyError::Fields(vec![FieldError { field: "key".into(), message }]));
        }
        if form.key.0.ends_with("_small") {
            return Err(KeyError::Missing(self.key_permissions()));
        }
        let form = StripeForm {
            workspace: form.workspace,
            workspace_name: form.workspace_name,
            secret: Secret("whsec_madeByTheSample".into()),
            key: Some(form.key),
        };
        match self.connect_stripe(cookie, vendor, form).await {
            Ok(connected) => Ok(connected.vendor),
            Err(crate::backend::FormError::Fields(errors)) => Err(KeyError::Fields(errors)),
            Err(crate::backend::FormError::Backend(error)) => Err(KeyError::Backend(error)),
        }
    }

    async fn stripe_setups(&self, cookie: &SessionCookie, vendor: &str) -> Result<Vec<SetupView>, BackendError> {
        let now = self.now();
        let connections = self.connections(cookie, vendor).await?;
        let view = |endpoint_url: &str, mode: Mode, read: StripeRead, missing_events: Vec<String>| SetupView {
            endpoint_url: endpoint_url.to_owned(),
            setup: StripeSetup {
                connection: ConnectionId(1),
                mode,
                webhook: StripeWebhookInfo {
                    id: Some("we_1".into()),
                    made_by_us: missing_events.is_empty(),
                    missing_events,
                    set_up_at: Some(now),
                },
                read: Some(read),
            },
        };
        let setups = connections.iter().filter(|_| vendor == "acme").flat_map(|connection| {
            let failed = StripeRead {
                state: ReadState::Failed,
                reason: "Stripe could not be reached (it answered 503). It was tried 8 times.".into(),
                ..read(Mode::Test, now)
            };
            [
                view(&connection.endpoint_url, Mode::Live, read(Mode::Live, now), Vec::new()),
                view(&connection.endpoint_url, Mode::Test, failed, vec!["credit_note.voided".into()]),
            ]
        });
        Ok(setups.collect())
    }

    async fn read_stripe_again(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        connection: ConnectionId,
        _mode: Mode,
    ) -> Result<(), BackendError> {
        drop(self.check(cookie, vendor)?);
        if connection == ConnectionId(1) { Ok(()) } else { Err(BackendError::NotFound) }
    }
}
