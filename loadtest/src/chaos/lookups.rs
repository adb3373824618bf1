//! The provider's API is down, and answers differently later.

use super::rebuilt::fold_again;
use super::scene::Scene;
use crate::kill_points::{SECRET, event, invoice, whole_invoice};
use anyhow::{Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use corpus::client::{Http, JsonApi};
use corpus::cluster::Cluster;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long what follows from an answer may take.
const RIGHT_WITHIN: Duration = Duration::from_secs(300);
/// Commission of the sale, once it is known whose it is.
const COMMISSION_MINOR: i64 = 784;

/// What the provider does.
const DOWN: u8 = 0;
const ANSWERS: u8 = 1;
const ANSWERS_OTHERWISE: u8 = 2;

#[derive(Debug, Default)]
struct Provider {
    mood: AtomicU8,
    asked: AtomicU64,
}

/// Down, then an answer, then everything folded again while the provider would answer otherwise: what is in the log holds.
pub async fn down_then_different(scene: &mut Scene) -> Result<()> {
    let mut cluster = scene.cluster(Vec::new()).await?;
    let provider = Arc::new(Provider::default());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let base = format!("http://{}", listener.local_addr()?);
    let router = Router::new().fallback(answer).with_state(Arc::clone(&provider));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let (api, url) = open_vendor(&cluster, &base).await?;
    let sale = event("invoice.paid", &invoice(json!(["di_side"])));
    let (status, _) = super::kafka::post(&Http::default(), &url, SECRET, sale.to_string().into(), 0).await;
    ensure!(status == 200, "the sale was answered {status}");
    let until_asked_twice = wait(&api, |_| provider.asked.load(Ordering::SeqCst) >= 2);
    until_asked_twice.await?;
    wait(&api, |sale| sale["net_minor"].as_i64() > Some(0) && sale["commission_minor"] == json!(0)).await?;
    scene.say("while the provider is down its revenue counts and its commission waits");
    provider.mood.store(ANSWERS, Ordering::SeqCst);
    wait(&api, |sale| sale["commission_minor"] == json!(COMMISSION_MINOR)).await?;
    let asked = provider.asked.load(Ordering::SeqCst);
    provider.mood.store(ANSWERS_OTHERWISE, Ordering::SeqCst);
    fold_again(&mut cluster).await?;
    wait(&api, |sale| sale["commission_minor"] == json!(COMMISSION_MINOR)).await?;
    // Time to ask again, if somebody wanted to.
    tokio::time::sleep(Duration::from_secs(5)).await;
    wait(&api, |sale| sale["commission_minor"] == json!(COMMISSION_MINOR)).await?;
    let asked_again = provider.asked.load(Ordering::SeqCst) - asked;
    scene.say(format!("asked {asked} times until it answered, {asked_again} times after everything was folded again"));
    scene.say("difference: 0 cents");
    scene.expect(asked_again == 0, "folding again asked the provider");
    serving.abort();
    cluster.stop().await?;
    Ok(())
}

async fn open_vendor(cluster: &Cluster, api_base: &str) -> Result<(JsonApi, String)> {
    let socket = cluster.socket();
    let connect = json!({
        "vendor": "chaos-side", "provider": "stripe", "secret": SECRET, "key": "rk_live_side", "api_base": api_base,
        "account": null, "complete_history": true, "mode": "live"
    });
    let url = socket.post("/v1/connect", &connect).await?["endpoint_url"].as_str().unwrap_or_default().to_owned();
    let decisions = json!([
        {"decide": "affiliate", "key": "aff_side", "name": "Side"},
        {"decide": "map", "provider": "stripe", "code": "SIDE", "promotion_code_id": "promo_side", "affiliate": "aff_side"},
    ]);
    socket.post("/v1/decide", &json!({"vendor": "chaos-side", "decisions": decisions})).await?;
    let key = socket.post("/v1/api-keys", &json!({"vendor": "chaos-side", "mode": "live", "name": "chaos"})).await?;
    Ok((JsonApi::new(Http::default(), &cluster.url(), key["key"].as_str().unwrap_or_default()), url))
}

async fn answer(State(provider): State<Arc<Provider>>) -> Response<Body> {
    provider.asked.fetch_add(1, Ordering::SeqCst);
    let (status, body) = match provider.mood.load(Ordering::SeqCst) {
        DOWN => (StatusCode::SERVICE_UNAVAILABLE, json!({"error": {"type": "api_error"}})),
        ANSWERS => (StatusCode::OK, whole_invoice("promo_side")),
        _ => (StatusCode::OK, whole_invoice("promo_of_somebody_else")),
    };
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
}

/// Waits until the sale is as it should be.
async fn wait(api: &JsonApi, is_right: impl Fn(&Value) -> bool) -> Result<()> {
    let deadline = Instant::now() + RIGHT_WITHIN;
    loop {
        let sale = api.find(&["purchases", "inv:in_side"]).await.ok().flatten().unwrap_or_default();
        if is_right(&sale) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the sale is not as it should be: {sale}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
