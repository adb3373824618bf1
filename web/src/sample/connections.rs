//! Invented connections.

use crate::backend::{ConnectionView, DeliveryFailure, FieldError, FormError, StripeForm};
use domain::ids::{Provider, Timestamp};

const WITHOUT_KEY: [&str; 2] = [
    "The text of a promotion code, when an invoice only carries its id: such a sale waits until Stripe sends the code.",
    "Sales from before the connection, and deliveries that never arrived.",
];

pub(super) fn acme(now: Timestamp) -> Vec<(String, ConnectionView)> {
    let failure = |minutes: i64, reason: &str, count| DeliveryFailure {
        at: Timestamp(now.0 - minutes * 60_000),
        reason: reason.into(),
        count,
    };
    let view = ConnectionView {
        id: 1,
        provider: Provider::Stripe,
        endpoint_url: "http://127.0.0.1:8080/webhooks/stripe/k3J9sQ0xTnVb7LwZ2mRfYe8H".into(),
        secrets: vec!["whsec_…4f2a".into(), "whsec_…91bc".into()],
        key: None,
        can_look_up: false,
        last_delivery_at: Some(Timestamp(now.0 - 42_000)),
        deliveries_24h: 1_284,
        warning: None,
        failures: vec![
            failure(14, "The signature did not match any of your secrets", 3),
            failure(300, "The amount is larger than we accept", 1),
        ],
        missing_event_types: ["charge.dispute.created", "credit_note.created", "credit_note.voided"]
            .map(str::to_owned)
            .to_vec(),
        missing: WITHOUT_KEY.map(str::to_owned).to_vec(),
    };
    vec![("acme".into(), view)]
}

/// The slug and the connection that a form makes.
pub(super) fn connect(vendor: &str, form: &StripeForm) -> Result<(String, ConnectionView), FormError> {
    let StripeForm { workspace, secret, key, .. } = form;
    if secret.0 == "whsec_already_used_elsewhere" {
        let message = "This secret already belongs to another workspace.".into();
        return Err(FormError::Fields(vec![FieldError { field: "secret".into(), message }]));
    }
    let slug = workspace.as_deref().unwrap_or(vendor).to_owned();
    let masked = |text: &str| format!("{}…{}", &text[..6.min(text.len())], &text[text.len().saturating_sub(4)..]);
    let view = ConnectionView {
        id: 2,
        provider: Provider::Stripe,
        endpoint_url: "http://127.0.0.1:8080/webhooks/stripe/p5R8vN1yQmXc4KsW6tJdGa0L".into(),
        secrets: vec![masked(&secret.0)],
        key: key.as_ref().map(|key| masked(&key.0)),
        can_look_up: key.is_some(),
        last_delivery_at: None,
        deliveries_24h: 0,
        warning: None,
        failures: vec![],
        missing_event_types: vec![],
        missing: if key.is_some() { vec![] } else { WITHOUT_KEY.map(str::to_owned).to_vec() },
    };
    Ok((slug, view))
}
