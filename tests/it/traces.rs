//! Traces as a back end sees them: a real receiver of OTLP over HTTP beside the real program.

use crate::instance::{Instance, SECRET, Vendor, binary, event, maya, seconds_now, session};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use corpus::client::Http;
use corpus::cluster::{Cluster, ClusterOptions};
use corpus::provider::ProviderServer;
use corpus::sign::Provider;
use hyper::Method;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Said};
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a trace may take to be complete.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// A span that arrived.
#[derive(Debug, Clone)]
struct Span {
    name: String,
    trace: String,
    id: Vec<u8>,
    parent: Vec<u8>,
    says: BTreeMap<String, String>,
    /// What its process says with all spans.
    resource: BTreeMap<String, String>,
}

type Arrived = Arc<Mutex<Vec<Span>>>;

/// What listens where the product sends its traces.
struct Backend {
    url: String,
    arrived: Arrived,
}

impl Backend {
    async fn start() -> Backend {
        let arrived = Arrived::default();
        let router = Router::new().route("/v1/traces", post(receive)).with_state(arrived.clone());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Backend { url, arrived }
    }

    /// The variables of a product that traces every delivery.
    fn environment(&self) -> [(&str, &str); 4] {
        [
            ("AFFILITRACK_TELEMETRY_TRACES_ENDPOINT", &self.url),
            ("AFFILITRACK_TELEMETRY_TRACES_ONE_IN", "1"),
            ("AFFILITRACK_TELEMETRY_TRACES_SERVICE", "shop"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=of-the-shop"),
        ]
    }

    fn spans(&self) -> Vec<Span> {
        self.arrived.lock().unwrap().clone()
    }

    /// The spans of the one trace that has a span with these names, once each of them is there.
    async fn trace(&self, names: &[&str]) -> Vec<Span> {
        let began = tokio::time::Instant::now();
        loop {
            let mut traces: BTreeMap<String, Vec<Span>> = BTreeMap::new();
            for span in self.spans() {
                traces.entry(span.trace.clone()).or_default().push(span);
            }
            let has = |spans: &[Span], name: &str| spans.iter().any(|span| span.name == name);
            if let Some(spans) = traces.values().find(|spans| names.iter().all(|name| has(spans, name))) {
                return spans.clone();
            }
            assert!(began.elapsed() < LIMIT, "no trace has {names:?} after {LIMIT:?}: {traces:#?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Takes spans as any back end does: protobuf, by the published definition.
async fn receive(State(arrived): State<Arrived>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["x-key"], "of-the-shop");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for of_process in request.resource_spans {
        let resource = words(&of_process.resource.unwrap_or_default().attributes);
        for span in of_process.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0, "{span:?}");
            arrived.lock().unwrap().push(Span {
                name: span.name,
                trace: span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect(),
                id: span.span_id,
                parent: span.parent_span_id,
                says: words(&span.attributes),
                resource: resource.clone(),
            });
        }
    }
    StatusCode::OK
}

fn words(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let word = |one: &KeyValue| match one.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Said::StringValue(text)) => text.clone(),
        Some(Said::IntValue(number)) => number.to_string(),
        other => panic!("{}: neither text nor number: {other:?}", one.key),
    };
    attributes.iter().map(|one| (one.key.clone(), word(one))).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let first = found.next().unwrap_or_else(|| panic!("no span {name}: {spans:#?}"));
    assert!(found.next().is_none(), "more than one {name}: {spans:#?}");
    first
}

/// One after the other, each below the one before.
fn assert_chain(spans: &[Span], names: &[&str]) {
    for pair in names.windows(2) {
        let (above, below) = (named(spans, pair[0]), named(spans, pair[1]));
        assert_eq!(below.parent, above.id, "{} below {}: {spans:#?}", pair[1], pair[0]);
    }
}

async fn deliver_within(http: &Http, url: &str, traceparent: Option<&str>, body: &str) -> u16 {
    let signature = Provider::Stripe.sign(SECRET, seconds_now(), body.as_bytes());
    let mut headers = vec![("Stripe-Signature".to_owned(), signature)];
    headers.extend(traceparent.map(|text| ("traceparent".to_owned(), text.to_owned())));
    http.send(Method::POST, url, &headers, body.to_owned().into()).await.unwrap().status
}

#[tokio::test]
async fn one_delivery_is_one_trace_from_the_request_to_the_insert() {
    let backend = Backend::start().await;
    let it = Instance::start_with(&backend.environment()).await;
    let acme = it.vendor("acme", maya()).await;
    assert_eq!(it.deliver(&acme, &session("traced", json!({})).to_string()).await.status, 200);
    let spans = backend.trace(&["edge", "append", "fold", "insert"]).await;
    assert_eq!(spans.len(), 4, "{spans:#?}");
    assert!(named(&spans, "edge").parent.is_empty(), "{spans:#?}");
    assert_chain(&spans, &["edge", "append", "fold", "insert"]);
    let edge = &named(&spans, "edge").says;
    assert_eq!((edge["at.provider"].as_str(), edge["at.outcome"].as_str()), ("stripe", "accepted"));
    let append = &named(&spans, "append").says;
    assert_eq!(append["at.store"], "log");
    for name in ["fold", "insert"] {
        let says = &named(&spans, name).says;
        assert_eq!((&says["at.partition"], &says["at.offset"]), (&append["at.partition"], &append["at.offset"]));
    }
    assert_eq!(named(&spans, "fold").says["at.outcome"], "counted");
    for span in &spans {
        assert_eq!((span.resource["service.name"].as_str(), span.resource["at.role"].as_str()), ("shop", "run"));
    }
    assert_nothing_of_others(&backend, &acme);
}

/// Neither who it was nor what was in it.
fn assert_nothing_of_others(backend: &Backend, vendor: &Vendor) {
    let text = format!("{:?}", backend.spans());
    let endpoint = vendor.endpoint_url.rsplit('/').next().unwrap();
    for word in [vendor.slug.as_str(), endpoint, SECRET, "evt_", "cs_test_", "pi_", "somebody@example.com", "maya"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn a_trace_that_comes_with_the_request_goes_on_and_what_nobody_signed_has_none() {
    let backend = Backend::start().await;
    let it = Instance::start_with(&backend.environment()).await;
    let acme = it.vendor("acme", maya()).await;
    let theirs = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
    let refused = it.post(&acme.endpoint_url, &[("traceparent", &format!("00-{theirs}-01"))], "{}".to_owned()).await;
    assert_eq!(refused.status, 400);
    let unkept = session("unkept", json!({})).to_string();
    let status = deliver_within(&it.http, &acme.endpoint_url, Some(&format!("00-{theirs}-00")), &unkept).await;
    assert_eq!(status, 200);
    let kept = session("kept", json!({})).to_string();
    let status = deliver_within(&it.http, &acme.endpoint_url, Some(&format!("00-{theirs}-01")), &kept).await;
    assert_eq!(status, 200);
    let spans = backend.trace(&["edge", "append", "fold", "insert"]).await;
    assert_eq!(spans[0].trace, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(named(&spans, "edge").parent, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(backend.spans().len(), 4, "only the one delivery: {:#?}", backend.spans());
}

#[tokio::test]
async fn a_look_up_and_the_fold_of_its_answer_are_in_the_trace_of_the_delivery() {
    let backend = Backend::start().await;
    // Knows nothing: every question is answered with 404, which is an answer too.
    let providers = ProviderServer::start(&BTreeMap::new()).await.unwrap();
    let it = Instance::start_with(&backend.environment()).await;
    let connect = json!({"vendor": "asks", "provider": "stripe", "secret": SECRET, "complete_history": true, "mode": "test",
        "key": "rk_test_asks", "api_base": providers.base(Provider::Stripe)});
    let connected = it.product.socket().post("/v1/connect", &connect).await.unwrap();
    // Its discount has an id that no event explained.
    let unexplained = event(
        "asked",
        "invoice.paid",
        json!({
            "id": "in_asked", "object": "invoice", "amount_due": 4_900, "amount_paid": 4_900, "billing_reason": "manual",
            "charge": "ch_asked", "payment_intent": "pi_asked", "created": 1_760_000_000, "currency": "usd", "customer": "cus_1",
            "discounts": ["di_asked"], "status": "paid", "status_transitions": {"paid_at": 1_760_000_000, "voided_at": null},
            "subtotal": 4_900, "tax": 0, "total": 4_900, "total_discount_amounts": [{"amount": 980, "discount": "di_asked"}],
        }),
    );
    let url = connected["endpoint_url"].as_str().unwrap();
    assert_eq!(deliver_within(&it.http, url, None, &unexplained.to_string()).await, 200);
    let spans = backend.trace(&["edge", "append", "fold", "insert", "lookup"]).await;
    let lookup = named(&spans, "lookup");
    assert_eq!(lookup.says["at.outcome"], "refused", "{spans:#?}");
    let fold_of_delivery = spans.iter().find(|span| span.name == "fold" && span.parent == named(&spans, "append").id);
    assert_eq!(lookup.parent, fold_of_delivery.unwrap().id, "{spans:#?}");
    let began = tokio::time::Instant::now();
    while !backend.spans().iter().any(|span| span.name == "fold" && span.parent == lookup.id) {
        assert!(began.elapsed() < LIMIT, "the answer is not folded: {:#?}", backend.spans());
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test]
async fn a_back_end_that_is_away_costs_one_warning_and_no_delivery() {
    let nobody =
        [("AFFILITRACK_TELEMETRY_TRACES_ENDPOINT", "http://127.0.0.1:1"), ("AFFILITRACK_TELEMETRY_TRACES_ONE_IN", "1")];
    let it = Instance::start_with(&nobody).await;
    let acme = it.vendor("acme", maya()).await;
    for (id, lost) in [("first", 4), ("second", 8)] {
        assert_eq!(it.deliver(&acme, &session(id, json!({})).to_string()).await.status, 200);
        acme.settle().await;
        until_lost(&it, lost).await;
    }
    let log = it.folder.path().join("output.log");
    assert!(it.product.stop().await.unwrap(), "it stops in order");
    let text = std::fs::read_to_string(log).unwrap();
    assert_eq!(text.matches("traces are lost").count(), 1, "{text}");
}

/// Waits until so many spans were counted as lost.
async fn until_lost(it: &Instance, least: u64) {
    let began = tokio::time::Instant::now();
    loop {
        let metrics = it.get(&format!("{}/metrics", it.product.url())).await;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("at_trace_spans_total{outcome=\"failed\"} "));
        if line.is_some_and(|count| count.parse::<u64>().unwrap() >= least) {
            return;
        }
        assert!(began.elapsed() < LIMIT, "{least} spans are not counted as lost: {text}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Where the outside parts are, as `scripts/services.sh` says it.
fn services() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output =
        std::process::Command::new("bash").args(["scripts/services.sh", "settings"]).current_dir(root).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "this test needs Kafka, Postgres and a warehouse: run: bash scripts/services.sh start\n{said}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let settings = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    settings.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect()
}

#[tokio::test]
async fn roles_in_processes_of_their_own_add_to_one_trace() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    let told = backend.environment().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = services().into_iter().chain(told).collect();
    let options = ClusterOptions {
        binary: binary(),
        folder: folder.path().to_owned(),
        port: 0,
        copies: 1,
        environment,
        from: None,
    };
    let cluster = Cluster::start(&options).await.unwrap();
    let connect =
        json!({"vendor": "acme", "provider": "stripe", "secret": SECRET, "complete_history": true, "mode": "test"});
    let connected: Value = cluster.socket().post("/v1/connect", &connect).await.unwrap();
    let path = connected["endpoint_url"].as_str().unwrap().split_once("/webhooks/").unwrap().1;
    let url = format!("{}/webhooks/{path}", cluster.url());
    let body = session("apart", json!({})).to_string();
    assert_eq!(deliver_within(&Http::default(), &url, None, &body).await, 200);
    let spans = backend.trace(&["edge", "append", "fold", "insert"]).await;
    assert_chain(&spans, &["edge", "append", "fold", "insert"]);
    let roles: Vec<(&str, &str)> = ["edge", "append", "fold", "insert"]
        .map(|name| (name, named(&spans, name).resource["at.role"].as_str()))
        .into();
    assert_eq!(roles, [("edge", "ingest"), ("append", "ingest"), ("fold", "process"), ("insert", "process")]);
    assert!(cluster.stop().await.unwrap(), "all stop in order");
}
