//! Our webhook endpoint at Stripe. However often it is asked for, and wherever it was interrupted, there is one.

use super::interface::{StripeError, StripeInterface};
use schemas::provider::stripe::{STRIPE_EVENTS, STRIPE_VERSION};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use store::control::{BegunStripe, StripeWebhook};
use store::secrets::SecretText;

/// Under this key our endpoint's metadata hold the random part of its URL.
const METADATA_KEY: &str = "affilitrack_endpoint";
/// More than an account can have.
const LIST: &str = "/v1/webhook_endpoints?limit=100";

/// What came of it.
#[derive(Debug)]
pub enum Ensured {
    /// It is there.
    Ready(StripeWebhook),
    /// The one that we knew is gone: it has to be made under another number.
    Gone,
}

#[derive(Deserialize)]
struct List {
    data: Vec<View>,
}

#[derive(Deserialize)]
struct View {
    id: String,
    url: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    enabled_events: Vec<String>,
    #[serde(default)]
    metadata: HashMap<String, String>,
}

impl View {
    fn is_ours(&self, begun: &BegunStripe) -> bool {
        self.metadata.get(METADATA_KEY) == Some(&begun.endpoint_id)
    }

    fn missing_events(&self) -> Vec<String> {
        let sends = |wanted: &str| self.enabled_events.iter().any(|sent| sent == "*" || sent == wanted);
        STRIPE_EVENTS.into_iter().filter(|wanted| !sends(wanted)).map(str::to_owned).collect()
    }
}

#[derive(Deserialize)]
struct Made {
    id: String,
    secret: SecretText,
}

/// Sees to it that Stripe sends to `url`.
///
/// Stripe tells a secret only when the endpoint is made. If we ended between making it and noting it, asking once more under
/// the same idempotency key gives the same answer with the same secret, for a day; after that another one is made, and
/// the one whose secret nobody knows is removed.
///
/// # Errors
/// What Stripe refused, or that it was not reached.
pub async fn ensure(stripe: &StripeInterface, begun: &BegunStripe, url: &str) -> Result<Ensured, StripeError> {
    let list: List = read(&stripe.get(LIST).await?)?;
    let at_url: Vec<View> = list.data.into_iter().filter(|view| view.url == url).collect();
    if let Some(known) = &begun.webhook {
        return match at_url.iter().find(|view| view.id == *known) {
            Some(view) if view.is_ours(begun) => repaired(stripe, view).await.map(Ensured::Ready),
            Some(view) => Ok(Ensured::Ready(made_by_hand(view))),
            None => Ok(Ensured::Gone),
        };
    }
    // Somebody made it by hand and gave us its secret. It is theirs: nothing of it is changed.
    if let Some(view) = at_url.iter().find(|view| !view.is_ours(begun)).filter(|_| begun.has_secret) {
        return Ok(Ensured::Ready(made_by_hand(view)));
    }
    let made = make(stripe, begun, url).await?;
    for stray in at_url.iter().filter(|view| view.is_ours(begun) && view.id != made.id) {
        stripe.delete(&format!("/v1/webhook_endpoints/{}", stray.id)).await?;
    }
    Ok(Ensured::Ready(StripeWebhook {
        id: made.id,
        secret: Some(made.secret),
        made_by_us: true,
        missing_events: Vec::new(),
    }))
}

fn made_by_hand(view: &View) -> StripeWebhook {
    StripeWebhook { id: view.id.clone(), secret: None, made_by_us: false, missing_events: view.missing_events() }
}

/// Ours, switched on again and sending everything, if it was changed.
async fn repaired(stripe: &StripeInterface, view: &View) -> Result<StripeWebhook, StripeError> {
    if view.status == "disabled" || !view.missing_events().is_empty() {
        let mut form = wanted_events();
        form.push(("disabled".to_owned(), "false".to_owned()));
        stripe.post(&format!("/v1/webhook_endpoints/{}", view.id), &form, None).await?;
    }
    Ok(StripeWebhook { id: view.id.clone(), secret: None, made_by_us: true, missing_events: Vec::new() })
}

async fn make(stripe: &StripeInterface, begun: &BegunStripe, url: &str) -> Result<Made, StripeError> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut form = vec![
        pair("url", url),
        pair("api_version", STRIPE_VERSION),
        pair("description", "AffiliTrack: whom to pay for each sale"),
        pair(&format!("metadata[{METADATA_KEY}]"), &begun.endpoint_id),
    ];
    form.extend(wanted_events());
    read(&stripe.post("/v1/webhook_endpoints", &form, Some(&idempotency_key(begun, &form))).await?)
}

/// Made of what is asked for: the same key with another form would be an error.
fn idempotency_key(begun: &BegunStripe, form: &[(String, String)]) -> String {
    let mut digest = Sha256::new();
    for (name, value) in form {
        digest.update(name);
        digest.update([0]);
        digest.update(value);
        digest.update([0]);
    }
    let form = hex::encode(digest.finalize());
    format!("affilitrack-endpoint-{}-{}-{}-{}", begun.endpoint_id, begun.mode.name(), begun.attempt, &form[..16])
}

fn wanted_events() -> Vec<(String, String)> {
    STRIPE_EVENTS.into_iter().map(|name| ("enabled_events[]".to_owned(), name.to_owned())).collect()
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, StripeError> {
    // What serde says may repeat a value.
    serde_json::from_slice(body).map_err(|_| StripeError::Answer("not a webhook endpoint".to_owned()))
}
