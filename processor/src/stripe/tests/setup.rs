//! The key and the endpoint.

use super::super::interface::StripeError;
use super::super::permissions::missing;
use super::super::webhook::{Ensured, ensure};
use super::*;
use domain::ids::{ConnectionId, Mode, VendorId};
use serde_json::{Value, json};
use store::control::{BegunStripe, STRIPE_EVENTS, StripeWebhook};

const URL: &str = "https://track.example/webhooks/stripe/e1";

fn begun(webhook: Option<&str>, has_secret: bool) -> BegunStripe {
    BegunStripe {
        vendor: VendorId(1),
        connection: ConnectionId(2),
        mode: Mode::Test,
        endpoint_id: "e1".to_owned(),
        attempt: 1,
        webhook: webhook.map(str::to_owned),
        has_secret,
    }
}

fn endpoint(id: &str, ours: bool) -> Value {
    let metadata = if ours { json!({"affilitrack_endpoint": "e1"}) } else { json!({}) };
    json!({"id": id, "object": "webhook_endpoint", "url": URL, "status": "enabled", "enabled_events": ["*"], "metadata": metadata})
}

/// Stripe with these endpoints; what is made is `we_new`.
async fn with_endpoints(endpoints: Vec<Value>) -> StandIn {
    let list = json!({"object": "list", "data": endpoints, "has_more": false}).to_string();
    StandIn::start(move |asked| match asked.line.split(' ').next() {
        Some("GET") => ok(list.clone()),
        Some("DELETE") => ok("{}"),
        _ => ok(json!({"id": "we_new", "secret": "whsec_new0123456789"}).to_string()),
    })
    .await
}

async fn ready(stand_in: &StandIn, begun: &BegunStripe) -> StripeWebhook {
    match ensure(&stand_in.stripe(), begun, URL).await.unwrap() {
        Ensured::Ready(webhook) => webhook,
        Ensured::Gone => panic!("gone"),
    }
}

#[tokio::test]
async fn every_permission_is_tried_and_what_is_refused_is_named() {
    let stand_in = StandIn::start(|asked| match asked.line.as_str() {
        line if line.contains("/v1/disputes") || line.contains("/v1/refunds") => refused(403, "x"),
        // Trying to write brings nothing about: it lacks what it needs.
        "POST /v1/webhook_endpoints" => refused(400, "parameter_missing"),
        _ => empty_list(),
    })
    .await;
    let names: Vec<&str> = missing(&stand_in.stripe()).await.unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["Charges and Refunds", "Disputes"]);
    let asked = stand_in.asked();
    assert_eq!(asked.len(), 13);
    assert!(asked.iter().all(|one| one.head.to_ascii_lowercase().contains("stripe-version: 2025-09-30.clover")));
    assert!(asked.iter().filter(|one| one.line.starts_with("POST")).all(|one| one.body.is_empty()));
}

#[tokio::test]
async fn what_stripe_says_becomes_words_without_the_key() {
    let cases: [(u16, &'static str, StripeError); 6] = [
        (401, "", StripeError::Key),
        (403, "", StripeError::Permission),
        (429, "retry-after: 7", StripeError::Limited { after: Some(Duration::from_secs(7)) }),
        (503, "", StripeError::Unreachable("it answered 503".to_owned())),
        (302, "location: http://127.0.0.1:1/", StripeError::Unreachable("it answered with another address".to_owned())),
        (400, "", StripeError::Refused { cause: "url_invalid".to_owned(), parameter: "url".to_owned() }),
    ];
    for (status, header, expected) in cases {
        let stand_in = StandIn::start(move |_| (status, header, refused(status, "url_invalid").2)).await;
        let error = stand_in.stripe().get("/v1/events?limit=1").await.unwrap_err();
        assert_eq!(error, expected, "{status}");
        assert!(!format!("{error} {error:?}").contains(KEY));
        assert_eq!(stand_in.lines().len(), 1, "{status}: nothing is followed or asked twice");
    }
    // A code that is none of Stripe's words is not repeated.
    let stand_in = StandIn::start(|_| refused(400, KEY)).await;
    let error = stand_in.stripe().get("/v1/events").await.unwrap_err();
    assert!(!format!("{error:?}").contains(KEY), "{error:?}");
    let nobody =
        StripeInterface::once(Duration::from_secs(1), Some("http://127.0.0.1:1"), SecretText::new(KEY)).unwrap();
    assert_eq!(nobody.get("/v1/events").await, Err(StripeError::Unreachable("no connection".to_owned())));
}

#[tokio::test]
async fn a_new_endpoint_is_pinned_and_sends_everything() {
    let stand_in = with_endpoints(Vec::new()).await;
    let webhook = ready(&stand_in, &begun(None, false)).await;
    assert_eq!((webhook.id.as_str(), webhook.made_by_us), ("we_new", true));
    assert_eq!(webhook.secret.unwrap().expose(), "whsec_new0123456789");
    let asked = stand_in.asked();
    let form: Vec<(String, String)> = url::form_urlencoded::parse(asked[1].body.as_bytes()).into_owned().collect();
    let all =
        |name: &str| form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    assert_eq!(all("url"), [URL]);
    assert_eq!(all("api_version"), ["2025-09-30.clover"]);
    assert_eq!(all("metadata[affilitrack_endpoint]"), ["e1"]);
    assert_eq!(all("enabled_events[]"), STRIPE_EVENTS);
    // The same question has the same key, another attempt another one.
    ready(&stand_in, &begun(None, false)).await;
    ready(&stand_in, &BegunStripe { attempt: 2, ..begun(None, false) }).await;
    let keys: Vec<String> = stand_in.asked().iter().filter(|one| one.line.starts_with("POST")).map(key_of).collect();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
}

fn key_of(asked: &Asked) -> String {
    let head = asked.head.to_ascii_lowercase();
    head.split("idempotency-key: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned()
}

#[tokio::test]
async fn one_whose_secret_nobody_knows_is_removed_and_a_persons_own_is_left_alone() {
    let stand_in = with_endpoints(vec![endpoint("we_lost", true)]).await;
    assert_eq!(ready(&stand_in, &begun(None, false)).await.id, "we_new");
    assert!(stand_in.lines().contains(&"DELETE /v1/webhook_endpoints/we_lost".to_owned()));

    let stand_in = with_endpoints(vec![endpoint("we_hand", false)]).await;
    let webhook = ready(&stand_in, &begun(None, true)).await;
    assert_eq!((webhook.id.as_str(), webhook.made_by_us, webhook.secret), ("we_hand", false, None));
    assert_eq!(stand_in.lines(), ["GET /v1/webhook_endpoints?limit=100"], "nothing was written");
}

#[tokio::test]
async fn a_known_endpoint_is_repaired_and_one_that_is_gone_is_told_of() {
    let known = with_endpoints(vec![endpoint("we_1", true)]).await;
    assert_eq!(ready(&known, &begun(Some("we_1"), true)).await.secret, None);
    assert_eq!(known.lines().len(), 1, "there was nothing to repair");

    let mut few = endpoint("we_1", true);
    few["enabled_events"] = json!(["invoice.paid"]);
    let known = with_endpoints(vec![few]).await;
    assert!(ready(&known, &begun(Some("we_1"), true)).await.missing_events.is_empty());
    assert!(known.asked()[1].body.contains("refund.failed"));

    let mut by_hand = endpoint("we_1", false);
    by_hand["enabled_events"] = json!(["invoice.paid"]);
    let known = with_endpoints(vec![by_hand]).await;
    assert_eq!(ready(&known, &begun(Some("we_1"), true)).await.missing_events.len(), STRIPE_EVENTS.len() - 1);

    let gone = ensure(&with_endpoints(Vec::new()).await.stripe(), &begun(Some("we_1"), true), URL).await.unwrap();
    assert!(matches!(gone, Ensured::Gone));
}
