//! A stand-in for the product: it verifies signatures and answers the JSON API from the
//! index itself, with one figure made wrong where a test asks for it.

use crate::client::{Http, LocalSocket};
use crate::folder::read_corpus;
use crate::provider::ProviderServer;
use crate::runner::{Job, Summary, plan_jobs, run_jobs};
use crate::sign::Provider;
use crate::vendor::Surroundings;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

type Shared = Arc<Mutex<Stub>>;

#[derive(Default)]
struct Stub {
    /// Event id or dedupe key to the answer.
    readings: BTreeMap<String, Value>,
    purchases: Vec<Value>,
    redemptions: i64,
    /// Endpoint to (provider, secret).
    secrets: BTreeMap<String, (Provider, String)>,
    deliveries: Vec<(String, Bytes)>,
    status_asked: u32,
    /// Answer 503 to so many deliveries first.
    refuse_first: u32,
}

async fn connect(State(stub): State<Shared>, Json(request): Json<Value>) -> Json<Value> {
    assert_eq!(request["complete_history"], true);
    assert!(request["api_base"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    let mut stub = stub.lock().unwrap();
    let endpoint = format!("ep{}", stub.secrets.len());
    let provider = Provider::parse(request["provider"].as_str().unwrap()).unwrap();
    stub.secrets.insert(endpoint.clone(), (provider, request["secret"].as_str().unwrap().to_owned()));
    Json(json!({"endpoint_url": format!("https://public.example.test/webhooks/{}/{endpoint}", provider.name())}))
}

async fn deliver(
    State(stub): State<Shared>,
    Path((_, endpoint)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let mut stub = stub.lock().unwrap();
    if stub.refuse_first > 0 {
        stub.refuse_first -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let (provider, secret) = stub.secrets[&endpoint].clone();
    let header = headers[provider.signature_header()].to_str().unwrap().to_owned();
    let now = header.split(['=', ',', ';']).nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    if provider.sign(&secret, now, &body) != header {
        return StatusCode::BAD_REQUEST;
    }
    stub.deliveries.push((endpoint, body));
    StatusCode::OK
}

async fn reading(State(stub): State<Shared>, Path(key): Path<String>) -> Result<Json<Value>, StatusCode> {
    stub.lock().unwrap().readings.get(&key).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn purchase(State(stub): State<Shared>, Path(key): Path<String>) -> Result<Json<Value>, StatusCode> {
    let stub = stub.lock().unwrap();
    let found = stub.purchases.iter().find(|purchase| purchase["business_key"] == key.as_str());
    found.cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn status(State(stub): State<Shared>) -> Json<Value> {
    let mut stub = stub.lock().unwrap();
    stub.status_asked += 1;
    Json(json!({"settled": stub.status_asked > 3}))
}

async fn serve(stub: Shared, folder: &std::path::Path) -> (String, LocalSocket) {
    let web = Router::new()
        .route("/webhooks/{provider}/{endpoint}", post(deliver))
        .route("/api/v1/status", get(status))
        .route("/api/v1/deliveries/{key}", get(reading))
        .route("/api/v1/purchases/{key}", get(purchase))
        .route(
            "/api/v1/purchases",
            get(async |State(stub): State<Shared>| Json(json!({"purchases": stub.lock().unwrap().purchases, "next": null}))),
        )
        .route(
            "/api/v1/totals",
            get(async |State(stub): State<Shared>| {
                Json(json!({"rows": [{"group": "", "totals": [{"currency": "usd", "redemptions": stub.lock().unwrap().redemptions}]}]}))
            }),
        )
        .with_state(Arc::clone(&stub));
    let control = Router::new()
        .route("/v1/connect", post(connect))
        .route(
            "/v1/decide",
            post(async |Json(request): Json<Value>| {
                Json(json!({"last_seq": request["decisions"].as_array().unwrap().len()}))
            }),
        )
        .route("/v1/api-keys", post(async || Json(json!({"key": "atk_1"}))))
        .with_state(stub);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let path = folder.join("affilitrack.sock");
    let local = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { axum::serve(listener, web).await });
    tokio::spawn(async move { axum::serve(local, control).await });
    (url, LocalSocket::new(&path))
}

fn small_corpus() -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let index = json!({
        "catalog": [{"provider": "stripe", "affiliate": "aff_a", "code": "A10"}],
        "events": [
            {"file": "sale.json", "provider": "stripe", "livemode": false, "event_id": "evt_1", "action": "sale",
             "net_minor": 900, "affiliate": "aff_a", "code": null, "flags": []},
            {"file": "refund.json", "provider": "lemonsqueezy", "livemode": false, "event_id": null,
             "dedupe_key": "lemonsqueezy:order_refunded:orders:1:2025-09-28T20:06:40.000000Z", "action": "refund",
             "headers": {"X-Event-Name": "order_refunded"}, "refund": {"cumulative_minor": 5}}
        ],
        "scenarios": [{"name": "both", "files": ["sale.json", "refund.json"],
            "final": {"redemptions": 1, "purchases": [{"business_key": "inv:in_1", "net_minor": 900, "code": null}]}}],
        "api": {}
    });
    std::fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
    std::fs::write(folder.path().join("sale.json"), "{\n  \"id\": \"evt_1\"\n}\n").unwrap();
    std::fs::write(folder.path().join("refund.json"), "{\"meta\":{}}").unwrap();
    (folder, index)
}

/// Runs the small corpus against a stub that `change` may make wrong.
async fn run_with(change: impl FnOnce(&mut Stub), seeds: std::ops::Range<u64>) -> (Summary, String, Shared) {
    let (folder, index) = small_corpus();
    let mut stub = Stub { redemptions: 1, ..Stub::default() };
    for event in index["events"].as_array().unwrap() {
        let key = event["event_id"].as_str().or(event["dedupe_key"].as_str()).unwrap();
        stub.readings.insert(key.to_owned(), event.clone());
    }
    stub.purchases = index["scenarios"][0]["final"]["purchases"].as_array().unwrap().clone();
    change(&mut stub);
    let stub = Arc::new(Mutex::new(stub));
    let (url, socket) = serve(Arc::clone(&stub), folder.path()).await;
    let corpus = Arc::new(read_corpus(folder.path()).unwrap());
    let providers = ProviderServer::start(&corpus.answers).await.unwrap();
    let catalogue = corpus.catalogue.clone();
    let around = Arc::new(Surroundings { http: Http::default(), socket, url, providers, catalogue });
    let jobs = plan_jobs(&corpus, seeds, None);
    let mut out = Vec::new();
    let summary = run_jobs(corpus, around, jobs, &mut out, || Ok::<(), std::io::Error>(())).await.unwrap();
    crate::print_summary(&[], summary, &mut out).unwrap();
    (summary, String::from_utf8(out).unwrap(), stub)
}

#[tokio::test]
async fn all_is_right() {
    let (summary, out, stub) = run_with(|_| {}, 5..7).await;
    assert_eq!(summary, Summary { passed: 5, failed: 0 });
    assert_eq!(out, "5 passed, 0 failed\n");
    let stub = stub.lock().unwrap();
    assert!(stub.deliveries.iter().any(|(_, body)| &body[..] == b"{\n  \"id\": \"evt_1\"\n}\n"), "exact bytes");
    // An endpoint per event, and two for each of the three runs of the scenario.
    assert_eq!(stub.secrets.len(), 8);
}

#[tokio::test]
async fn a_wrong_member_is_reported_and_counted() {
    let change = |stub: &mut Stub| {
        let reading = stub.readings.get_mut("evt_1").unwrap();
        reading["net_minor"] = json!(901);
        // Null in the index: not compared.
        reading["code"] = json!("A10");
    };
    let (summary, out, _) = run_with(change, 0..0).await;
    assert_eq!(summary, Summary { passed: 2, failed: 1 });
    assert_eq!(out, "sale.json: net_minor: expected 900, got 901\n2 passed, 1 failed\n");
}

#[tokio::test]
async fn a_delivery_that_the_product_does_not_know_is_reported() {
    let (summary, out, _) = run_with(|stub| stub.readings.clear(), 0..0).await;
    assert_eq!(summary, Summary { passed: 1, failed: 2 });
    assert!(out.contains("sale.json: delivery: expected an answer for `evt_1`, got 404"), "{out}");
}

#[tokio::test]
async fn a_failing_order_is_printed_for_replay() {
    let (summary, out, _) = run_with(|stub| stub.purchases[0]["net_minor"] = json!(1), 3..4).await;
    assert_eq!(summary, Summary { passed: 2, failed: 2 });
    assert!(out.contains("both: inv:in_1.net_minor: expected 900, got 1\n"), "{out}");
    assert!(out.contains("both (seed 3): inv:in_1.net_minor: expected 900, got 1\n"), "{out}");
    assert!(out.contains("--shuffle 3 --only both:\n  "), "{out}");
    assert!(out.ends_with("\n2 passed, 2 failed\n"), "{out}");
}

#[tokio::test]
async fn a_busy_product_is_tried_again() {
    let (summary, out, _) = run_with(|stub| stub.refuse_first = 3, 0..0).await;
    assert_eq!(summary, Summary { passed: 3, failed: 0 }, "{out}");
}

#[test]
fn only_takes_an_exact_name_before_a_part_of_one() {
    let (folder, _) = small_corpus();
    let corpus = read_corpus(folder.path()).unwrap();
    assert_eq!(plan_jobs(&corpus, 0..0, Some("sale.json")), [Job::Event(0)]);
    assert_eq!(plan_jobs(&corpus, 0..0, Some(".json")).len(), 2);
    assert_eq!(plan_jobs(&corpus, 0..50, Some("both")).len(), 51);
    assert!(plan_jobs(&corpus, 0..50, Some("nothing")).is_empty());
}
