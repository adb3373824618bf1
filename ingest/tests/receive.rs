//! The edge from the outside: real requests against the router, with a log that keeps records in
//! memory and fails when told to.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use domain::ids::{ConnectionId, Mode, Provider, Timestamp, VendorId};
use futures::stream;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use ingest::directory::{Endpoint, EndpointDirectory, HashKey};
use ingest::failed::FailureKind;
use ingest::limits::{LimitSettings, Limits};
use ingest::minimise::Minimiser;
use ingest::receive::{Edge, Tolerances, router};
use ingest::signature::Secret;
use schemas::record::{Delivery, Payload, Record};
use sha2::Sha256;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use store::event_log::{Appended, EventLog, LogError, NewRecord, StoredRecord, partition_of};
use telemetry::traces::Traces;
use telemetry::traces::testing::traces_into;
use tower::ServiceExt;

const NOW: i64 = 1_760_000_000;
const SECRET: &str = "whsec_test";
const ENDPOINT: &str = "endpoint_0123456789abcdef";
const EVENT: &str = r#"{"id":"evt_1","object":"event","api_version":"2025-09-30.clover","created":1760000000,"livemode":false,"type":"invoice.paid","data":{"object":{"id":"in_1","object":"invoice","total":3920,"customer_name":"Ann"}}}"#;

/// A log in memory, for these tests only.
#[derive(Default)]
struct MemoryLog {
    records: Mutex<Vec<NewRecord>>,
    fails: AtomicBool,
}

#[async_trait::async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, record: NewRecord) -> Result<Appended, LogError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(LogError::Unavailable("no space left on device".to_owned()));
        }
        let mut records = self.records.lock().expect("not poisoned");
        records.push(record);
        Ok(Appended::Log(records.len() as u64 - 1))
    }
    async fn read(&self, _: u16, _: u64, _: usize, _: usize) -> Result<Vec<StoredRecord>, LogError> {
        unreachable!("the edge never reads")
    }
    async fn bounds(&self, _: u16) -> Result<(u64, u64), LogError> {
        unreachable!("the edge never reads")
    }
    async fn appended(&self) {
        unreachable!("the edge never waits for others")
    }
    async fn close(&self) {}
}

struct TestEdge {
    log: Arc<MemoryLog>,
    edge: Arc<Edge>,
    now_ms: Arc<AtomicI64>,
    router: Router,
}

struct Answer {
    status: StatusCode,
    retry_after: Option<String>,
    body: String,
}

impl TestEdge {
    fn new() -> TestEdge {
        TestEdge::with(LimitSettings::default())
    }

    fn with(settings: LimitSettings) -> TestEdge {
        TestEdge::traced(settings, Traces::default())
    }

    fn traced(settings: LimitSettings, traces: Traces) -> TestEdge {
        let log = Arc::new(MemoryLog::default());
        let now_ms = Arc::new(AtomicI64::new(NOW * 1000));
        let clock = Arc::clone(&now_ms);
        let directory = Arc::new(EndpointDirectory::new());
        directory.replace(vec![
            endpoint(ENDPOINT, Provider::Stripe, None),
            endpoint("paddle_endpoint", Provider::Paddle, Some(Mode::Test)),
            endpoint("lemon_endpoint", Provider::LemonSqueezy, None),
        ]);
        let edge = Arc::new(Edge {
            log: log.clone(),
            directory,
            minimiser: Minimiser::new(),
            limits: Limits::new(settings),
            clock: Arc::new(move || Timestamp(clock.load(Ordering::SeqCst))),
            writer: "ingest-test".to_owned(),
            tolerances: Tolerances::default(),
            failed: Arc::default(),
            traces,
        });
        TestEdge { log, router: router(edge.clone()), edge, now_ms }
    }

    async fn send(&self, path: &str, header: Option<(&str, String)>, peer: &str, body: Body) -> Answer {
        let mut request = Request::post(path);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let mut request = request.body(body).expect("a request");
        let peer: SocketAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.router.clone().oneshot(request).await.expect("the router never fails");
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        Answer { status, retry_after, body: String::from_utf8(bytes.to_vec()).expect("text") }
    }

    /// A rightly signed Stripe delivery.
    async fn deliver(&self, body: &str) -> Answer {
        let path = format!("/webhooks/stripe/{ENDPOINT}");
        self.send(&path, Some(stripe_header(SECRET, NOW, body)), "192.0.2.1:1000", Body::from(body.to_owned())).await
    }

    /// A request that nobody signed.
    async fn fail(&self, peer: &str) -> Answer {
        let header = Some(("stripe-signature", format!("t={NOW},v1={}", "0".repeat(64))));
        self.send(&format!("/webhooks/stripe/{ENDPOINT}"), header, peer, Body::from(EVENT)).await
    }

    fn deliveries(&self) -> Vec<Delivery> {
        let records = self.log.records.lock().expect("not poisoned");
        let decoded = records.iter().map(|record| Record::decode(&record.bytes).expect("a record"));
        decoded
            .map(|record| match record.payload {
                Payload::Delivery(delivery) => delivery,
                other => panic!("the edge writes deliveries, not {}", other.kind()),
            })
            .collect()
    }
}

fn endpoint(id: &str, provider: Provider, mode_hint: Option<Mode>) -> Endpoint {
    Endpoint {
        id: id.to_owned(),
        vendor: VendorId(7),
        connection: ConnectionId(3),
        provider,
        mode_hint,
        secrets: vec![Secret::new("whsec_before"), Secret::new(SECRET)],
        hash_key: HashKey([9; 32]),
    }
}

fn sign(secret: &str, text: &str) -> String {
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn stripe_header(secret: &str, at: i64, body: &str) -> (&'static str, String) {
    ("stripe-signature", format!("t={at},v1={}", sign(secret, &format!("{at}.{body}"))))
}

#[tokio::test]
async fn a_delivery_is_durable_before_it_is_answered() {
    let test = TestEdge::new();
    let answer = test.deliver(EVENT).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
    let records = test.log.records.lock().expect("not poisoned").clone();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].partition, partition_of(VendorId(7)));
    let record = Record::decode(&records[0].bytes).expect("a record");
    assert_eq!((record.vendor, record.connection, record.at), (VendorId(7), ConnectionId(3), Timestamp(NOW * 1000)));
    assert_eq!((record.writer.as_str(), record.seq), ("ingest-test", None));
    let delivery = &test.deliveries()[0];
    assert_eq!((delivery.event_id.as_str(), delivery.event_type.as_str()), ("evt_1", "invoice.paid"));
    assert_eq!((delivery.mode, delivery.created), (Mode::Test, Timestamp(NOW * 1000)));
    assert!(delivery.event.get().contains("\"total\":3920") && !delivery.event.get().contains("Ann"));
}

#[tokio::test]
async fn every_copy_is_appended() {
    let test = TestEdge::new();
    for _ in 0..3 {
        assert_eq!(test.deliver(EVENT).await.status, StatusCode::OK);
    }
    assert_eq!(test.deliveries().len(), 3);
}

#[tokio::test]
async fn both_secrets_hold_while_one_is_changed() {
    let test = TestEdge::new();
    for secret in ["whsec_before", SECRET] {
        let header = Some(stripe_header(secret, NOW, EVENT));
        let path = format!("/webhooks/stripe/{ENDPOINT}");
        assert_eq!(test.send(&path, header, "192.0.2.1:1", Body::from(EVENT)).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn paddle_and_lemon_squeezy_are_taken() {
    let test = TestEdge::new();
    let paddle = r#"{"event_id":"evt_1","event_type":"transaction.completed","occurred_at":"2025-09-16T05:20:09.366122Z","data":{"id":"txn_1"}}"#;
    let header = ("paddle-signature", format!("ts={NOW};h1={}", sign(SECRET, &format!("{NOW}:{paddle}"))));
    let answer = test.send("/webhooks/paddle/paddle_endpoint", Some(header), "192.0.2.1:1", Body::from(paddle)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let lemon = r#"{"meta":{"event_name":"order_created","test_mode":false},"data":{"type":"orders","id":"5","attributes":{"store_id":9,"total":1,"updated_at":"2025-09-27T19:06:40.000000Z"}}}"#;
    let header = ("x-signature", sign(SECRET, lemon));
    let answer =
        test.send("/webhooks/lemonsqueezy/lemon_endpoint", Some(header), "192.0.2.1:1", Body::from(lemon)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let deliveries = test.deliveries();
    assert_eq!(deliveries[0].mode, Mode::Test, "the endpoint says it");
    assert_eq!((deliveries[1].mode, deliveries[1].account.as_deref()), (Mode::Live, Some("9")));
    assert_eq!(deliveries[1].event_id, "lemonsqueezy:order_created:orders:5:2025-09-27T19:06:40.000000Z");
}

#[tokio::test]
async fn unknown_events_versions_and_thin_notifications_are_stored() {
    let test = TestEdge::new();
    let unknown_type = r#"{"id":"evt_2","created":1760000000,"livemode":true,"type":"gizmo.made","data":{"object":{"id":"g","object":"gizmo","size":5}}}"#;
    let unknown_version = EVENT.replace("2025-09-30.clover", "2031-01-01.zeta");
    let thin = r#"{"object":"v2.core.event","id":"evt_3","type":"v1.invoice.paid","created":"2026-10-26T09:33:23.512Z","livemode":false,"related_object":{"id":"in_1","type":"invoice","url":"/v1/invoices/in_1"},"snapshot_event":"evt_1"}"#;
    for body in [unknown_type, &unknown_version, thin] {
        assert_eq!(test.deliver(body).await.status, StatusCode::OK, "{body}");
    }
    let deliveries = test.deliveries();
    assert!(!deliveries[0].event.get().contains("size"));
    assert!(deliveries[1].event.get().contains("2031-01-01.zeta"));
    assert_eq!(deliveries[2].created, Timestamp(1_793_007_203_512));
}

#[tokio::test]
async fn what_is_not_signed_is_refused() {
    let test = TestEdge::new();
    let path = format!("/webhooks/stripe/{ENDPOINT}");
    let cases = [
        (None, EVENT, "missing_signature"),
        (Some(stripe_header("whsec_other", NOW, EVENT)), EVENT, "bad_signature"),
        (Some(stripe_header(SECRET, NOW, "{}")), EVENT, "bad_signature"),
        (Some(stripe_header(SECRET, NOW - 301, EVENT)), EVENT, "stale_signature"),
        (Some(stripe_header(SECRET, NOW, "")), "", "empty_body"),
        (Some(("stripe-signature", "t=1".to_owned())), "", "empty_body"),
    ];
    for (header, body, tag) in cases {
        let answer = test.send(&path, header, "192.0.2.1:1", Body::from(body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{tag}");
        assert!(answer.body.starts_with(&format!(r#"{{"error":{{"code":"{tag}","message":""#)), "{}", answer.body);
    }
    assert!(test.deliveries().is_empty());
    let listed = test.edge.failed.of(ENDPOINT);
    let kinds: Vec<FailureKind> = listed.iter().rev().map(|one| one.kind).collect();
    use FailureKind::{EmptyBody, NoSignature, TooOld, WrongSecret};
    assert_eq!(kinds, [NoSignature, WrongSecret, WrongSecret, TooOld, EmptyBody, EmptyBody]);
    assert!(!format!("{listed:?}").contains("Ann"), "nothing of the body: {listed:?}");
}

#[tokio::test]
async fn unknown_endpoints_are_404_once_loaded() {
    let test = TestEdge::new();
    for path in ["/webhooks/stripe/nobody", "/webhooks/paddle/endpoint_0123456789abcdef", "/webhooks/cash/x"] {
        let answer = test.send(path, Some(stripe_header(SECRET, NOW, EVENT)), "192.0.2.1:1", Body::from(EVENT)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let starting = TestEdge { router: router(Arc::new(unloaded_edge(&test))), ..test };
    let answer = starting.deliver(EVENT).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.retry_after.is_some());
}

fn unloaded_edge(test: &TestEdge) -> Edge {
    Edge {
        log: test.log.clone(),
        directory: Arc::new(EndpointDirectory::new()),
        minimiser: Minimiser::new(),
        limits: Limits::new(LimitSettings::default()),
        clock: test.edge.clock.clone(),
        writer: String::new(),
        tolerances: Tolerances::default(),
        failed: Arc::default(),
        traces: Traces::default(),
    }
}

#[tokio::test]
async fn signed_but_unreadable_is_refused_and_listed() {
    let test = TestEdge::new();
    let deep = "[".repeat(100_000);
    for body in ["{\"id\":", "not json", "[]", "{}", &deep, r#"{"id":"evt_1","type":"invoice.paid","created":"today"}"#]
    {
        let answer = test.deliver(body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.body.contains("\"malformed\""), "{}", answer.body);
    }
    assert!(test.deliveries().is_empty());
    let listed = test.edge.failed.of(ENDPOINT);
    assert_eq!(listed.len(), 6);
    assert!(listed.iter().all(|one| one.kind == FailureKind::Unreadable));
    assert!(listed[0].reason.contains("created") && !listed[0].reason.contains("today"), "{listed:?}");
    assert_eq!(listed[0].body_sha256.len(), 64);
    assert_eq!(listed[0].at, Timestamp(NOW * 1000));
}

#[tokio::test]
async fn deep_json_in_a_dropped_member_is_taken() {
    let test = TestEdge::new();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = EVENT.replace("\"Ann\"", &deep);
    assert_eq!(test.deliver(&body).await.status, StatusCode::OK);
    assert!(test.deliveries()[0].event.get().len() < 300);
}

#[tokio::test]
async fn large_bodies_are_413_announced_or_not() {
    let test = TestEdge::with(LimitSettings { max_body_bytes: 1000, ..LimitSettings::default() });
    let path = format!("/webhooks/stripe/{ENDPOINT}");
    let announced =
        test.send(&path, Some(("content-length", "3000000".to_owned())), "192.0.2.1:1", Body::empty()).await;
    assert_eq!(announced.status, StatusCode::PAYLOAD_TOO_LARGE);
    let pieces = (0..11).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 100])));
    let chunked = Body::from_stream(stream::iter(pieces));
    assert_eq!(test.send(&path, None, "192.0.2.1:1", chunked).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn chunked_bodies_are_put_together() {
    let test = TestEdge::new();
    let pieces = EVENT.as_bytes().chunks(7).map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
    let body = Body::from_stream(stream::iter(pieces));
    let header = Some(stripe_header(SECRET, NOW, EVENT));
    let answer = test.send(&format!("/webhooks/stripe/{ENDPOINT}"), header, "192.0.2.1:1", body).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_broken_body_is_refused() {
    let test = TestEdge::new();
    let pieces = [Ok(Bytes::from("{")), Err(std::io::Error::other("reset"))];
    let body = Body::from_stream(stream::iter(pieces));
    let answer = test.send(&format!("/webhooks/stripe/{ENDPOINT}"), None, "192.0.2.1:1", body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("incomplete_body") && !answer.body.contains("reset"), "{}", answer.body);
}

#[tokio::test]
async fn a_failing_log_asks_for_a_retry() {
    let test = TestEdge::new();
    test.log.fails.store(true, Ordering::SeqCst);
    let answer = test.deliver(EVENT).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.retry_after.as_deref(), Some("5"));
    assert!(!answer.body.contains("space"), "the cause is not public: {}", answer.body);
    test.log.fails.store(false, Ordering::SeqCst);
    assert_eq!(test.deliver(EVENT).await.status, StatusCode::OK);
}

#[tokio::test]
async fn failing_clients_wait_and_signed_deliveries_never_do() {
    let test = TestEdge::new();
    for _ in 0..60 {
        assert_eq!(test.fail("192.0.2.1:5").await.status, StatusCode::BAD_REQUEST);
    }
    let limited = test.fail("192.0.2.1:6").await;
    assert_eq!((limited.status, limited.retry_after.as_deref()), (StatusCode::TOO_MANY_REQUESTS, Some("60")));
    let unknown = test.send("/webhooks/stripe/nobody", None, "192.0.2.1:7", Body::from(EVENT)).await;
    assert_eq!(unknown.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(test.fail("192.0.2.2:5").await.status, StatusCode::BAD_REQUEST, "another client");
    assert_eq!(test.deliver(EVENT).await.status, StatusCode::OK, "signed, from the limited address");
    test.now_ms.fetch_add(60_000, Ordering::SeqCst);
    assert_eq!(test.fail("192.0.2.1:5").await.status, StatusCode::BAD_REQUEST, "a minute later");
}

#[tokio::test]
async fn ipv6_clients_are_limited_by_their_network() {
    let test = TestEdge::with(LimitSettings { failing_per_minute: 1, ..LimitSettings::default() });
    assert_eq!(test.fail("[2001:db8:1:2::1]:5").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(test.fail("[2001:db8:1:2:ffff::9]:5").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(test.fail("[2001:db8:1:3::1]:5").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn too_much_at_once_asks_for_a_retry() {
    let test = TestEdge::with(LimitSettings { max_inflight_bytes: 10, ..LimitSettings::default() });
    let answer = test.deliver(EVENT).await;
    assert_eq!((answer.status, answer.retry_after.is_some()), (StatusCode::SERVICE_UNAVAILABLE, true));
    let one = NonZeroU32::MIN;
    let test =
        TestEdge::with(LimitSettings { verified_per_second: one, verified_burst: one, ..LimitSettings::default() });
    assert_eq!(test.deliver(EVENT).await.status, StatusCode::OK);
    let answer = test.deliver(EVENT).await;
    assert_eq!((answer.status, answer.retry_after.is_some()), (StatusCode::SERVICE_UNAVAILABLE, true));
}

#[tokio::test]
async fn only_posts_are_taken() {
    let test = TestEdge::new();
    let request = Request::get(format!("/webhooks/stripe/{ENDPOINT}")).body(Body::empty()).expect("a request");
    let response = test.router.clone().oneshot(request).await.expect("the router never fails");
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

impl TestEdge {
    /// A rightly signed Stripe delivery that comes with a trace.
    async fn deliver_within(&self, traceparent: &str, body: &str) -> StatusCode {
        let (name, value) = stripe_header(SECRET, NOW, body);
        let request = Request::post(format!("/webhooks/stripe/{ENDPOINT}")).header(name, value);
        let request = request.header("traceparent", traceparent).body(Body::from(body.to_owned())).expect("a request");
        self.router.clone().oneshot(request).await.expect("the router never fails").status()
    }

    fn header_of_last_record(&self) -> Option<String> {
        let records = self.log.records.lock().expect("not poisoned");
        let last = records.last().expect("there is a record");
        Record::decode(&last.bytes).expect("a record").trace
    }
}

#[tokio::test]
async fn a_traced_delivery_has_two_spans_and_its_record_carries_the_second() {
    let (traces, mut ended) = traces_into(100);
    let test = TestEdge::traced(LimitSettings::default(), traces);
    assert_eq!(test.deliver(EVENT).await.status, StatusCode::OK);
    let spans = ended.all();
    let [append, edge] = spans.as_slice() else { panic!("two spans: {spans:?}") };
    assert_eq!((edge.name.as_str(), edge.parent), ("edge", 0));
    assert_eq!(edge.attributes, ["at.outcome=accepted", "at.provider=stripe"]);
    assert_eq!((append.name.as_str(), append.parent, &append.trace), ("append", edge.span, &edge.trace));
    let partition = format!("at.partition={}", partition_of(VendorId(7)));
    assert_eq!(append.attributes, [partition.as_str(), "at.store=log", "at.offset=0"]);
    assert_eq!(test.header_of_last_record(), Some(format!("00-{}-{:016x}-01", append.trace, append.span)));
}

#[tokio::test]
async fn a_trace_that_comes_with_the_request_is_continued_and_one_that_is_not_kept_is_left_alone() {
    let (traces, mut ended) = traces_into(100);
    let test = TestEdge::traced(LimitSettings::default(), traces);
    let theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
    assert_eq!(test.deliver_within(&format!("{theirs}-01"), EVENT).await, StatusCode::OK);
    let spans = ended.all();
    assert!(spans.iter().all(|span| span.trace == "4bf92f3577b34da6a3ce929d0e0e4736"), "{spans:?}");
    assert_eq!(spans[1].parent, 0x00f0_67aa_0ba9_02b7);
    assert_eq!(test.deliver_within(&format!("{theirs}-00"), EVENT).await, StatusCode::OK);
    assert!(ended.all().is_empty() && test.header_of_last_record().is_none());
}

#[tokio::test]
async fn without_traces_no_record_carries_anything() {
    let test = TestEdge::new();
    let theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(test.deliver_within(theirs, EVENT).await, StatusCode::OK);
    assert_eq!(test.header_of_last_record(), None);
    let bytes = test.log.records.lock().expect("not poisoned")[0].bytes.clone();
    assert!(!String::from_utf8(bytes).expect("text").contains("trace"));
}

#[tokio::test]
async fn what_nobody_signed_is_never_traced_and_what_was_not_stored_is() {
    let (traces, mut ended) = traces_into(100);
    let test = TestEdge::traced(LimitSettings::default(), traces);
    test.fail("192.0.2.9:1").await;
    test.send("/webhooks/stripe/nowhere", Some(stripe_header(SECRET, NOW, EVENT)), "192.0.2.9:1", EVENT.into()).await;
    assert!(ended.all().is_empty());
    test.log.fails.store(true, Ordering::SeqCst);
    assert_eq!(test.deliver(EVENT).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let spans = ended.all();
    assert!(spans.len() == 2 && spans.iter().all(|span| span.failed), "{spans:?}");
    assert!(spans[0].says("at.outcome=unavailable") && spans[1].says("at.outcome=error"), "{spans:?}");
}
