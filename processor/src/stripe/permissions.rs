//! What a restricted key must be allowed to do. Each permission is tried; nothing is written by trying.

use super::interface::{StripeError, StripeInterface};
use futures::{StreamExt, TryStreamExt};
use std::time::Duration;

/// Trials under way at once: Stripe allows 25 requests a second in test mode.
const SIDE_BY_SIDE: usize = 4;
/// Tries of one trial when Stripe asks us to slow down.
const TRIES: u32 = 3;
/// Pause between them, unless Stripe says another one up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A permission of a restricted key, as Stripe's page of the key names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// The row of Stripe's page.
    pub name: &'static str,
    /// What to choose in it: `Read` or `Write`.
    pub access: &'static str,
    /// What it is for, to be read after "to".
    pub purpose: &'static str,
    trial: Trial,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    /// Each is read.
    Get(&'static [&'static str]),
    /// Is written to without anything that it needs, so that nothing comes of it.
    Post(&'static str),
}

const fn read(name: &'static str, purpose: &'static str, paths: &'static [&'static str]) -> Permission {
    Permission { name, access: "Read", purpose, trial: Trial::Get(paths) }
}

/// Everything that is needed.
pub const PERMISSIONS: [Permission; 12] = [
    read("Events", "read what happened in the last 30 days", &["/v1/events?limit=1"]),
    read("Checkout Sessions", "see which code a checkout used", &["/v1/checkout/sessions?limit=1"]),
    read("Invoices", "see which code an invoice used, and which was the first", &["/v1/invoices?limit=1"]),
    read("Subscriptions", "know to which sale a renewal belongs", &["/v1/subscriptions?limit=1"]),
    read("Customers", "tell first payments from later ones", &["/v1/customers?limit=1"]),
    read("Charges and Refunds", "take back what was refunded", &["/v1/charges?limit=1", "/v1/refunds?limit=1"]),
    read("PaymentIntents", "find the sale that a refund belongs to", &["/v1/payment_intents?limit=1"]),
    read("Disputes", "take back what was charged back", &["/v1/disputes?limit=1"]),
    read("Credit notes", "take back what was credited", &["/v1/credit_notes?limit=1"]),
    read("Coupons", "list them for your affiliates", &["/v1/coupons?limit=1"]),
    read("Promotion codes", "list them for your affiliates", &["/v1/promotion_codes?limit=1"]),
    Permission {
        name: "Webhook Endpoints",
        access: "Write",
        purpose: "make the webhook endpoint for you",
        trial: Trial::Post("/v1/webhook_endpoints"),
    },
];

/// The permissions that the key lacks, in the order of [`PERMISSIONS`].
///
/// # Errors
/// That the key is unknown, or that Stripe was not reached.
pub async fn missing(stripe: &StripeInterface) -> Result<Vec<Permission>, StripeError> {
    // An unknown key is refused by the first, and the others are never sent.
    let trials = futures::stream::iter(PERMISSIONS)
        .map(|permission| async move { Ok((permission, is_given(stripe, permission.trial).await?)) });
    let tried: Vec<(Permission, bool)> = trials.buffered(SIDE_BY_SIDE).try_collect().await?;
    Ok(tried.into_iter().filter(|(_, is_given)| !is_given).map(|(permission, _)| permission).collect())
}

async fn is_given(stripe: &StripeInterface, trial: Trial) -> Result<bool, StripeError> {
    match trial {
        Trial::Post(path) => patiently(|| stripe.may_post(path)).await,
        Trial::Get(paths) => {
            for path in paths {
                if !patiently(|| stripe.may_get(path)).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

async fn patiently<F>(ask: impl Fn() -> F) -> Result<bool, StripeError>
where
    F: Future<Output = Result<bool, StripeError>>,
{
    let mut tries = 1;
    loop {
        match ask().await {
            Err(StripeError::Limited { after }) if tries < TRIES => {
                tokio::time::sleep(after.unwrap_or(PAUSE).min(LONGEST_PAUSE)).await;
                tries += 1;
            }
            answer => return answer,
        }
    }
}
