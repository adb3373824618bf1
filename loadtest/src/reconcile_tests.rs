//! Against a stand-in that answers with the oracle's own figures, and once with one cent more.

use super::*;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;

struct Stub {
    plan: Plan,
    cents_too_many: i128,
    /// Vendor to the ids of what came, and how many copies.
    received: BTreeMap<String, (BTreeSet<String>, u64)>,
    decisions: BTreeMap<String, u64>,
}

type Shared = Arc<Mutex<Stub>>;

fn vendor_of(headers: &HeaderMap) -> String {
    headers["authorization"].to_str().unwrap().trim_start_matches("Bearer atk_").to_owned()
}

async fn receive(State(stub): State<Shared>, Path((_, vendor)): Path<(String, String)>, body: Bytes) -> StatusCode {
    let Ok(event) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    let mut stub = stub.lock().unwrap();
    let received = stub.received.entry(vendor).or_default();
    received.0.insert(event["id"].as_str().unwrap().to_owned());
    received.1 += 1;
    StatusCode::OK
}

async fn delivery(
    State(stub): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, StatusCode> {
    let known = stub.lock().unwrap().received[&vendor_of(&headers)].0.contains(&id);
    if known { Ok(Json(json!({"outcome": "no_effect"}))) } else { Err(StatusCode::NOT_FOUND) }
}

async fn outcomes(State(stub): State<Shared>, headers: HeaderMap) -> Json<Value> {
    let (stub, vendor) = (stub.lock().unwrap(), vendor_of(&headers));
    let (copies, decisions) = (stub.received[&vendor].1, stub.decisions[&vendor]);
    Json(json!({"deliveries": {"no_effect": copies, "decisions": decisions}, "records": copies + decisions}))
}

async fn totals(State(stub): State<Shared>, headers: HeaderMap) -> Json<Value> {
    let (stub, slug) = (stub.lock().unwrap(), vendor_of(&headers));
    let vendor = stub.plan.vendors.iter().find(|vendor| vendor.slug == slug).unwrap();
    let rows: Vec<Value> = vendor
        .expected
        .iter()
        .enumerate()
        .map(|(position, ((affiliate, currency), figures))| {
            let more = if position == 0 { stub.cents_too_many } else { 0 };
            json!({"group": affiliate, "totals": [{
                "currency": currency, "redemptions": figures.redemptions as i64, "conversions": figures.conversions as i64,
                "revenue_minor": figures.revenue as i64, "commission_minor": (figures.commission + more).to_string()
            }]})
        })
        .collect();
    Json(json!({"rows": rows}))
}

async fn decide(State(stub): State<Shared>, Json(request): Json<Value>) -> Json<Value> {
    let slug = request["vendor"].as_str().unwrap().to_owned();
    *stub.lock().unwrap().decisions.entry(slug).or_default() += request["decisions"].as_array().unwrap().len() as u64;
    Json(json!({"first_seq": 1, "last_seq": 2}))
}

async fn list(Path(name): Path<String>) -> Json<Value> {
    match name.as_str() {
        "lines" => Json(json!({"lines": [
            {"business_key": "inv:1", "net_minor": 10, "commission_minor": 2},
            {"business_key": "inv:1", "net_minor": -4, "commission_minor": -1}
        ], "next": null})),
        _ => Json(json!({"purchases": [
            {"business_key": "inv:1", "net_minor": 10, "reversed_minor": 4, "commission_minor": 1}
        ], "next": null})),
    }
}

async fn serve(stub: Stub, data_dir: &std::path::Path) {
    let stub = Arc::new(Mutex::new(stub));
    let web = Router::new()
        .route("/webhooks/{provider}/{vendor}", post(receive))
        .route("/api/v1/status", get(async || Json(json!({"settled": true}))))
        .route("/api/v1/deliveries/{id}", get(delivery))
        .route("/api/v1/outcomes", get(outcomes))
        .route("/api/v1/totals", get(totals))
        .route("/api/v1/{name}", get(list))
        .with_state(Arc::clone(&stub));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connect = async |Json(request): Json<Value>| {
        assert_eq!((&request["mode"], &request["complete_history"]), (&json!("live"), &json!(true)));
        let slug = request["vendor"].as_str().unwrap();
        Json(json!({"endpoint_url": format!("http://public.example.test/webhooks/stripe/{slug}")}))
    };
    let key =
        async |Json(request): Json<Value>| Json(json!({"key": format!("atk_{}", request["vendor"].as_str().unwrap())}));
    let control = Router::new()
        .route("/v1/status", get(async move || Json(json!({"url": url}))))
        .route("/v1/connect", post(connect))
        .route("/v1/decide", post(decide))
        .route("/v1/api-keys", post(key))
        .with_state(stub);
    let local = tokio::net::UnixListener::bind(data_dir.join("affilitrack.sock")).unwrap();
    tokio::spawn(async move { axum::serve(listener, web).await });
    tokio::spawn(async move { axum::serve(local, control).await });
}

async fn run(cents_too_many: i128) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let plan = PlanOptions { seed: 6, vendors: 2, size: Size::Purchases(60), poison_per_thousand: 20 };
    let stub =
        Stub { plan: Plan::generate(plan), cents_too_many, received: BTreeMap::new(), decisions: BTreeMap::new() };
    serve(stub, folder.path()).await;
    let options = ReconcileOptions {
        data_dir: folder.path().to_owned(),
        seed: 6,
        purchases: 60,
        vendors: 2,
        poison_per_thousand: 20,
        send: SendOptions { connections: 4, rate: None },
    };
    let mut out = Vec::new();
    let right = reconcile(&options, &mut out).await.unwrap();
    (right, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn a_right_product_reconciles_to_the_cent() {
    let (right, out) = run(0).await;
    assert!(right && out.ends_with("difference: 0 cents\n"), "{out}");
}

#[tokio::test]
async fn a_cent_too_many_is_found_for_each_vendor() {
    let (right, out) = run(1).await;
    assert!(!right && out.ends_with("difference: 2 cents\n"), "{out}");
    assert!(out.contains(", difference 1 cents"), "{out}");
}

#[tokio::test]
async fn a_product_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Target::of_data_dir(folder.path()).await.unwrap_err();
    assert!(format!("{error:#}").contains("start the product with DATA_DIR="), "{error:#}");
}
