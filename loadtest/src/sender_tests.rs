//! Against a stand-in that loses answers, is away, and refuses.

use super::*;
use crate::plan::{PlanOptions, Size};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use corpus::client::{Http, JsonApi, LocalSocket};
use hmac::{Hmac, KeyInit, Mac};
use std::path::Path;

#[derive(Default)]
struct Seen {
    requests: u64,
    signed: u64,
    bodies: BTreeMap<Bytes, u64>,
}

/// Written anew, so that a mistake in the signer is not repeated here.
fn verifies(header: &str, secret: &str, body: &[u8]) -> bool {
    let parts: BTreeMap<&str, &str> = header.split(',').filter_map(|part| part.split_once('=')).collect();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(parts["t"].as_bytes());
    mac.update(b".");
    mac.update(body);
    let fresh = (unix_seconds() - parts["t"].parse::<i64>().unwrap()).abs() < 300;
    fresh && hex::encode(mac.finalize().into_bytes()) == parts["v1"]
}

async fn receive(State(seen): State<Arc<Mutex<Seen>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut seen = seen.lock().unwrap();
    seen.requests += 1;
    seen.signed += u64::from(verifies(headers["stripe-signature"].to_str().unwrap(), "whsec_1", &body));
    if seen.requests.is_multiple_of(7) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if serde_json::from_slice::<serde_json::Value>(&body).is_err() {
        return StatusCode::BAD_REQUEST;
    }
    *seen.bodies.entry(body).or_default() += 1;
    StatusCode::OK
}

#[tokio::test]
async fn every_event_arrives_signed_and_every_answer_is_recorded() {
    let options = PlanOptions { seed: 9, vendors: 1, size: Size::Deliveries(400), poison_per_thousand: 40 };
    let mut plan = Plan::generate(options);
    plan.steps.retain(|step| matches!(step, Step::Deliver { .. }));
    let seen = Arc::new(Mutex::new(Seen::default()));
    let router = Router::new().fallback(receive).with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let http = Http::default();
    let live = LiveVendor {
        slug: "v".to_owned(),
        endpoint_url: format!("{url}/webhooks/stripe/e"),
        secret: "whsec_1".to_owned(),
        api: JsonApi::new(http.clone(), &url, "k"),
    };
    let target = Target { http, socket: LocalSocket::new(Path::new("/nowhere")), url };
    let plan = Arc::new(plan);
    let sender =
        Sender::new(target, Arc::clone(&plan), Arc::new(vec![live]), SendOptions { connections: 8, rate: None });
    Arc::clone(&sender).run().await.unwrap();
    let (record, seen) = (sender.record(), seen.lock().unwrap());
    assert_eq!(seen.signed, seen.requests);
    assert_eq!(record.attempts[&0], seen.requests);
    assert_eq!(record.acknowledged_copies[&0], seen.bodies.values().sum::<u64>());
    assert_eq!(record.acknowledged.len() + record.refused.len(), plan.event_count());
    assert_eq!(record.acknowledged.len(), seen.bodies.len());
    assert!(record.put_off > 20 && record.lost_answers > 0 && record.broken == 0, "{record:?}");
    assert!(record.refused.keys().all(|(vendor, event)| plan.vendors[*vendor].events[*event].poison.is_some()));
    assert_eq!(sender.done(), plan.steps.len() as u64);
}
