//! Demo workspaces: the operator's, and one for each person who signs up. Each is a vendor of its own whose deliveries
//! are signed and sent to our own edge, and go through the same log and fold as real ones.

mod events;
mod own;

pub use own::OwnDemos;

use crate::in_log::wait_until_known;
use crate::reading::Reading;
use anyhow::Context;
use domain::ids::{Mode, Provider, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use store::control::input::parse_decisions;
use store::control::{ConnectRequest, LocalAdmin, NewVendor};
use store::secrets::SecretText;

/// Slug of the demo vendor.
pub const DEMO: &str = "demo";
/// The longest one sample delivery may take.
const DELIVERY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Who did it, in the audit log.
const ACTOR: &str = "demo";

/// The demo of this slug.
fn workspace(slug: &str) -> NewVendor {
    NewVendor {
        slug: slug.to_owned(),
        name: "Writer Pro (demo)".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        is_demo: true,
    }
}

/// Makes the operator's demo complete, and those of people that were begun lately.
pub async fn complete_all(app: &Reading, base_url: &str) -> anyhow::Result<()> {
    app.control.ensure_vendor(workspace(DEMO), ACTOR, (app.clock)()).await?;
    complete(app, base_url, DEMO).await?;
    own::complete_unfinished(app, base_url).await
}

/// Makes a demo complete: what is there already is left alone, so that a start that was cut off in the middle goes on
/// where it ended.
async fn complete(app: &Reading, base_url: &str, slug: &str) -> anyhow::Result<()> {
    let now = (app.clock)();
    let vendor = app.control.vendor_by_slug(slug).await?.context("the demo workspace is gone")?;
    let secret = signing_secret(vendor.created_at);
    let scope = app.control.admin_scope(&LocalAdmin::for_local_socket(), slug, Mode::Live).await?;
    let scope = scope.context("the demo workspace is gone")?;
    if app.control.affiliates(&scope).await?.is_empty() {
        app.control.decide(vendor.id, parse_decisions(&events::decisions())?, ACTOR, now).await?;
    }
    let connected = app
        .control
        .connect(
            ConnectRequest {
                vendor: slug.to_owned(),
                provider: Provider::Stripe,
                secret: SecretText::new(secret.clone()),
                key: None,
                api_base: None,
                account: None,
                complete_history: true,
                mode_hint: None,
            },
            ACTOR,
            now,
        )
        .await?;
    app.loader.load().await?;
    // The sample events come after the decisions, so that nothing is booked twice and moved.
    wait_until_known(app.control.as_ref(), vendor.id).await?;
    let url = format!("{base_url}/webhooks/stripe/{}", connected.endpoint_id);
    let client = reqwest::Client::builder().timeout(DELIVERY_TIMEOUT).build()?;
    let mut sent = 0;
    for event in events::events(vendor.created_at) {
        let id = event["id"].as_str().context("an event has an id")?;
        if app.fold.records_of_event(vendor.id, id)?.is_empty() {
            deliver(&client, &url, &secret, (app.clock)(), &event).await?;
            sent += 1;
        }
    }
    if app.control.reviews(&scope, 1).await?.is_empty() {
        app.control.decide(vendor.id, parse_decisions(&events::reviews())?, ACTOR, now).await?;
    }
    if sent > 0 {
        tracing::info!(sent, slug, "the demo workspace is complete: {sent} sample events were delivered");
    }
    Ok(())
}

/// Nobody outside this process can reach the demo's endpoint with it: the endpoint's address is random.
fn signing_secret(created_at: Timestamp) -> String {
    format!("whsec_demo_{}", created_at.0)
}

async fn deliver(
    client: &reqwest::Client,
    url: &str,
    secret: &str,
    now: Timestamp,
    event: &serde_json::Value,
) -> anyhow::Result<()> {
    let body = event.to_string();
    let signed_at = now.seconds();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("a signing secret")?;
    mac.update(format!("{signed_at}.{body}").as_bytes());
    let header = format!("t={signed_at},v1={}", hex::encode(mac.finalize().into_bytes()));
    let answer = client
        .post(url)
        .header("Stripe-Signature", header)
        .header("Content-Type", "application/json")
        .body(body)
        .send()
        .await?;
    anyhow::ensure!(answer.status().is_success(), "the edge answered {} to a sample event", answer.status());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::events;
    use domain::ids::Timestamp;
    use std::collections::BTreeSet;

    const CREATED: Timestamp = Timestamp(1_790_000_000_000);

    #[test]
    fn every_start_makes_the_same_events() {
        let ids =
            |events: Vec<serde_json::Value>| events.iter().map(|event| event["id"].to_string()).collect::<Vec<_>>();
        let first = ids(events::events(CREATED));
        assert_eq!(first, ids(events::events(CREATED)));
        assert_eq!(first.len(), first.iter().collect::<BTreeSet<_>>().len(), "every event has an id of its own");
    }

    #[test]
    fn nothing_happens_in_the_future_or_before_the_sixty_days() {
        for event in events::events(CREATED) {
            let created = event["created"].as_i64().unwrap();
            assert!(created <= CREATED.seconds(), "{event}");
            assert!(created >= CREATED.seconds() - 61 * 86_400, "{event}");
        }
    }

    #[test]
    fn there_are_forty_seven_redemptions() {
        let firsts = events::events(CREATED)
            .iter()
            .filter(|event| {
                event["type"] == "invoice.paid" && event["data"]["object"]["billing_reason"] == "subscription_create"
            })
            .filter(|event| {
                event["data"]["object"]["discounts"][0].as_str().is_some_and(|id| id.starts_with("di_demo_"))
            })
            .count();
        assert_eq!(firsts, events::REDEMPTIONS);
    }
}
