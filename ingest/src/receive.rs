//! `POST /webhooks/{provider}/{endpoint}`: the steps of one delivery, in order.

use crate::client_address::client_of;
use crate::directory::{Endpoint, EndpointDirectory, EndpointMissing};
use crate::failed::{FailedDelivery, FailedList, FailureKind};
use crate::limits::{Limits, Reservation};
use crate::minimise::{MINIMISER_REVISION, MinimiseError, Minimised, Minimiser};
use crate::refusal::Refusal;
use crate::signature::{header_name, verify};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use domain::ids::{Mode, Provider, Timestamp};
use http_body_util::BodyExt;
use schemas::record::{Delivery, Payload, Record, Source};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::crash::{self, CrashPoint};
use store::event_log::{Appended, EventLog, LogError, NewRecord, partition_of};
use telemetry::metrics::{Metric, Stopwatch, count};
use telemetry::traces::context::TRACEPARENT;
use telemetry::traces::{Attribute, OpenSpan, SpanName, TraceContext, Traces};

/// A body that is not complete after this time is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// An append that takes longer is answered with "try again": Paddle waits 5 s for an answer.
const APPEND_TIMEOUT: Duration = Duration::from_secs(4);
/// Where the acknowledgement came from, for metrics.
const ACK: (&str, &str) = ("ack", "log");

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The greatest accepted age of a signature, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerances {
    /// Stripe: 300 by its own documentation.
    pub stripe: i64,
    /// Paddle: 5 by its own documentation. Needs a clock that is right to the second.
    pub paddle: i64,
}

impl Default for Tolerances {
    fn default() -> Tolerances {
        Tolerances { stripe: 300, paddle: 5 }
    }
}

impl Tolerances {
    /// The tolerance of a provider; Lemon Squeezy signs no time.
    fn of(self, provider: Provider) -> i64 {
        match provider {
            Provider::Stripe => self.stripe,
            Provider::Paddle => self.paddle,
            Provider::LemonSqueezy => 0,
        }
    }
}

/// Everything the edge needs.
pub struct Edge {
    /// Where records become durable.
    pub log: Arc<dyn EventLog>,
    /// The endpoints and their secrets.
    pub directory: Arc<EndpointDirectory>,
    /// Keeps what is allowed.
    pub minimiser: Minimiser,
    /// What is taken at most.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
    /// Who writes, for the record header: for example `ingest-1`.
    pub writer: String,
    /// The accepted age of signatures.
    pub tolerances: Tolerances,
    /// Requests to known endpoints that were refused for what they are.
    pub failed: Arc<FailedList>,
    /// Follows some deliveries, if it is on.
    pub traces: Traces,
}

impl Edge {
    /// Lists a refused request for the vendor, without its content.
    fn note_failure(&self, endpoint: &Endpoint, kind: FailureKind, reason: String, body: &[u8], at: Timestamp) {
        let body_sha256 = hex::encode(Sha256::digest(body));
        self.failed.add(endpoint.vendor, &endpoint.id, FailedDelivery { at, kind, reason, body_sha256 });
    }
}

/// The webhook route. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, or all
/// failing clients are counted together.
pub fn router(edge: Arc<Edge>) -> Router {
    Router::new().route("/webhooks/{provider}/{endpoint}", post(receive_webhook)).with_state(edge)
}

/// Takes one delivery through its steps and answers.
async fn receive_webhook(
    State(edge): State<Arc<Edge>>,
    Path((provider_name, endpoint_id)): Path<(String, String)>,
    request: Request,
) -> Response {
    let stopwatch = Stopwatch::start();
    let received_at = (edge.clock)();
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let provider = Provider::from_name(&provider_name);
    let label = ("provider", provider.map_or("unknown", Provider::name));
    let span = edge.traces.begin(|| parts.headers.get(TRACEPARENT)?.to_str().ok());
    let trace = span.as_ref().map(OpenSpan::context);

    let accepted = accept(&edge, provider, &endpoint_id, &parts.headers, body, received_at, trace).await;
    if let Some(span) = span {
        finish_edge(&edge, span, label.1, &accepted);
    }
    match accepted {
        Ok(()) => {
            stopwatch.observe(Metric::IngestAckSeconds, [ACK]);
            count(Metric::IngestRequests, [label, ("outcome", "accepted"), ACK], 1);
            StatusCode::OK.into_response()
        }
        Err(refusal) => {
            let client = client_of(peer, &parts.headers, &edge.limits.settings().trusted_proxies);
            let allowed = if refusal.is_failing() { edge.limits.count_failing(client, received_at) } else { Ok(()) };
            let refusal = match allowed {
                Ok(()) => refusal,
                Err(retry_after_seconds) => Refusal::TooManyFailures { retry_after_seconds },
            };
            report(&refusal, label, &endpoint_id);
            refusal.into_response()
        }
    }
}

/// The steps. The first that refuses ends the request; nothing is stored then.
async fn accept(
    edge: &Edge,
    provider: Option<Provider>,
    endpoint_id: &str,
    headers: &HeaderMap,
    body: Body,
    received_at: Timestamp,
    trace: Option<TraceContext>,
) -> Result<(), Refusal> {
    let mut reservation = edge.limits.reserve();
    let body = read_body(body, headers, edge.limits.settings().max_body_bytes, &mut reservation).await?;
    let endpoint = find_endpoint(edge, provider, endpoint_id)?;
    verify_signature(edge, &endpoint, headers, &body, received_at)?;
    check_endpoint_budget(edge, &endpoint)?;
    let minimised = minimise_payload(edge, &endpoint, &body, received_at)?;
    append_delivery(edge, &endpoint, minimised, received_at, trace).await
}

/// How much of a body that is too large is read and thrown away, and for how long: a client
/// that is still writing when the connection closes never sees the answer.
const DISCARD_LIMIT: usize = 16 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

async fn discard(mut body: Body) {
    let mut left = DISCARD_LIMIT;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Whether it ended or ran out of time, the answer is the same.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, rest).await;
}

/// Reads the body up to the limit. Of what is too large nothing is kept.
async fn read_body(
    body: Body,
    headers: &HeaderMap,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit as u64) {
        discard(body).await;
        return Err(Refusal::TooLarge { limit });
    }
    match tokio::time::timeout(BODY_TIMEOUT, collect_body(body, limit, reservation)).await {
        Ok(read) => read,
        Err(_) => Err(Refusal::Incomplete(format!("not complete after {} s", BODY_TIMEOUT.as_secs()))),
    }
}

/// Puts the pieces of a body together; one piece, the usual case, is not copied.
async fn collect_body(mut body: Body, limit: usize, reservation: &mut Reservation) -> Result<Bytes, Refusal> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Incomplete(error.to_string()))?;
        let Ok(piece) = frame.into_data() else { continue };
        if first.len().max(joined.len()) + piece.len() > limit {
            drop((first, joined));
            discard(body).await;
            return Err(Refusal::TooLarge { limit });
        }
        reservation.grow(piece.len()).map_err(|_| Refusal::NoRoom)?;
        if first.is_empty() {
            first = piece;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&piece);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

fn find_endpoint(edge: &Edge, provider: Option<Provider>, endpoint_id: &str) -> Result<Arc<Endpoint>, Refusal> {
    let provider = provider.ok_or(EndpointMissing::Unknown)?;
    Ok(edge.directory.find(provider, endpoint_id)?)
}

fn verify_signature(
    edge: &Edge,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    body: &[u8],
    received_at: Timestamp,
) -> Result<(), Refusal> {
    let provider = endpoint.provider;
    let header = headers.get(header_name(provider)).and_then(|value| value.to_str().ok());
    let tolerance = edge.tolerances.of(provider);
    let verdict = verify(provider, header, body, &endpoint.secrets, received_at.seconds(), tolerance);
    Ok(verdict.inspect_err(|error| edge.note_failure(endpoint, error.into(), error.to_string(), body, received_at))?)
}

fn check_endpoint_budget(edge: &Edge, endpoint: &Endpoint) -> Result<(), Refusal> {
    let counted = edge.limits.count_verified(&endpoint.id);
    counted.map_err(|retry_after_seconds| Refusal::EndpointBudget { retry_after_seconds })
}

/// Keeps the allowed part. What cannot be read is listed for the vendor, without its content.
fn minimise_payload(
    edge: &Edge,
    endpoint: &Endpoint,
    body: &[u8],
    received_at: Timestamp,
) -> Result<Minimised, MinimiseError> {
    let minimised = edge.minimiser.minimise(endpoint.provider, body, &endpoint.hash_key.0);
    match &minimised {
        Ok(minimised) if minimised.cut_values > 0 => {
            let labels = [("provider", endpoint.provider.name())];
            count(Metric::IngestCutValues, labels, u64::from(minimised.cut_values));
        }
        Ok(_) => {}
        Err(error) => edge.note_failure(endpoint, error.into(), error.to_string(), body, received_at),
    }
    minimised
}

/// Makes the delivery durable. Only after this returns may the answer be 200.
async fn append_delivery(
    edge: &Edge,
    endpoint: &Endpoint,
    minimised: Minimised,
    received_at: Timestamp,
    trace: Option<TraceContext>,
) -> Result<(), Refusal> {
    let span = trace.and_then(|trace| edge.traces.child(trace, SpanName::Append));
    let record = Record {
        vendor: endpoint.vendor,
        connection: endpoint.connection,
        at: received_at,
        writer: edge.writer.clone(),
        seq: None,
        trace: span.as_ref().map(|span| span.context().to_header()),
        payload: Payload::Delivery(delivery_of(endpoint, minimised)),
    };
    let partition = partition_of(endpoint.vendor);
    let new_record = NewRecord { partition, bytes: record.encode() };
    crash::pass(CrashPoint::EdgeBeforeAppend);
    let stopwatch = Stopwatch::start();
    let appended = match tokio::time::timeout(APPEND_TIMEOUT, edge.log.append(new_record)).await {
        Ok(appended) => appended,
        Err(_) => Err(LogError::Unavailable(format!("no acknowledgement after {} s", APPEND_TIMEOUT.as_secs()))),
    };
    crash::pass(CrashPoint::EdgeBeforeAnswer);
    match &appended {
        Ok(_) => stopwatch.observe(Metric::LogProduceSeconds, []),
        Err(error) => count(Metric::LogProduceErrors, [("code", error_code(error))], 1),
    }
    if let Some(span) = span {
        finish_append(edge, span, partition, &appended);
    }
    appended.map(|_| ()).map_err(Refusal::NotStored)
}

/// Ends the span of a request. What has no right signature is not traced: anybody can send it.
fn finish_edge(edge: &Edge, mut span: OpenSpan, provider: &'static str, accepted: &Result<(), Refusal>) {
    match accepted {
        Ok(()) => span.say(Attribute::Outcome, "accepted"),
        Err(refusal) if refusal.is_of_signed() => {
            span.say(Attribute::Outcome, refusal.outcome());
            span.fail();
        }
        Err(_) => return,
    }
    span.say(Attribute::Provider, provider);
    edge.traces.finish(span);
}

/// Ends the span of a write into the log or the spool.
fn finish_append(edge: &Edge, mut span: OpenSpan, partition: u16, appended: &Result<Appended, LogError>) {
    span.count(Attribute::Partition, partition.into());
    match appended {
        Ok(Appended::Log(offset)) => {
            span.say(Attribute::Store, "log");
            span.count(Attribute::Offset, *offset);
        }
        Ok(Appended::Spool) => span.say(Attribute::Store, "spool"),
        Err(error) => {
            span.say(Attribute::Outcome, error_code(error));
            span.fail();
        }
    }
    edge.traces.finish(span);
}

fn error_code(error: &LogError) -> &'static str {
    match error {
        LogError::Unavailable(_) => "unavailable",
        _ => "failed",
    }
}

fn delivery_of(endpoint: &Endpoint, minimised: Minimised) -> Delivery {
    Delivery {
        provider: endpoint.provider,
        source: Source::Webhook,
        account: minimised.account,
        mode: minimised.mode.or(endpoint.mode_hint).unwrap_or(Mode::Live),
        event_id: minimised.event_id,
        event_type: minimised.event_type,
        created: minimised.created,
        body_sha256: minimised.body_sha256,
        minimiser: MINIMISER_REVISION,
        event: minimised.json,
    }
}

/// Counts and logs a refused request. Only what a person must look at is more than a detail.
fn report(refusal: &Refusal, provider: (&'static str, &'static str), endpoint_id: &str) {
    let labels = [provider, ("outcome", refusal.outcome()), ACK];
    // An unknown endpoint id comes from anybody: not more of it than ours have goes to the log.
    let endpoint = endpoint_id.get(..64.min(endpoint_id.len())).unwrap_or("?");
    if refusal.status().is_server_error() {
        telemetry::event!(WARN, Metric::IngestRequests, labels, endpoint.id = endpoint, code = refusal.tag();
            "delivery to endpoint {endpoint} refused for now: {refusal}");
    } else {
        telemetry::event!(INFO, Metric::IngestRequests, labels, endpoint.id = endpoint, code = refusal.tag();
            "request to endpoint {endpoint} refused: {refusal}");
    }
}
