//! A stream of signed events to an edge, and what was answered after what time. Closed loop: each connection sends as
//! soon as it has an answer. Open loop (`rate`): events are due at fixed times, and the time of an answer counts from
//! when its event was due.

use crate::ids::Ids;
use anyhow::{Context, Result};
use bytes::Bytes;
use corpus::clock::unix_seconds;
use corpus::sign::Provider;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// At most so many answer times are kept (16 bytes of memory each while they are merged).
const MAX_SAMPLES: usize = 20_000_000;
/// Where the digits of the counter, the second and the time of creation go.
const COUNTER: &str = "@@COUNT@";
const SECOND: &str = "@@SEC@";
const CREATED: &str = "1111111111";

/// One webhook endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The whole URL.
    pub url: String,
    /// With what it is signed.
    pub secret: String,
}

/// What to send, and when to stop.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// Where events go; several take turns.
    pub endpoints: Vec<Endpoint>,
    /// Connections.
    pub connections: usize,
    /// Events per second; none = closed loop.
    pub rate: Option<u64>,
    /// At the latest after this time.
    pub duration: Duration,
    /// At most so many events.
    pub events: Option<u64>,
    /// Number of the first event: streams to the same vendors need ranges of their own.
    pub first: u64,
}

/// What was answered.
#[derive(Debug, Default)]
pub struct Tally {
    /// 2xx.
    pub acknowledged: u64,
    /// Another status.
    pub answered_otherwise: u64,
    /// No answer.
    pub broken: u64,
    /// How long it took altogether.
    pub took: Duration,
    /// Times of 2xx answers in microseconds, sorted.
    micros: Vec<u32>,
}

/// A stream under way. Ends when dropped.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    workers: JoinSet<Result<Tally>>,
}

#[derive(Debug)]
struct Shared {
    options: StreamOptions,
    template: Template,
    start: Instant,
    tickets: AtomicU64,
    acknowledged: AtomicU64,
    is_stopped: AtomicBool,
}

impl Stream {
    /// Begins to send.
    pub fn start(options: StreamOptions) -> Stream {
        let connections = options.connections.max(1);
        let shared = Arc::new(Shared {
            options,
            template: Template::new(),
            start: Instant::now(),
            tickets: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
        });
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            workers.spawn(work(Arc::clone(&shared)));
        }
        Stream { shared, workers }
    }

    /// 2xx answers so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Sends nothing more; what is under way is answered.
    pub fn stop(&self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Waits until all is answered.
    ///
    /// # Errors
    /// When a connection has never got an answer.
    pub async fn end(mut self) -> Result<Tally> {
        let mut tally = Tally::default();
        while let Some(worker) = self.workers.join_next().await {
            let part = worker??;
            tally.acknowledged += part.acknowledged;
            tally.answered_otherwise += part.answered_otherwise;
            tally.broken += part.broken;
            tally.micros.extend(part.micros);
        }
        tally.took = self.shared.start.elapsed();
        tally.micros.sort_unstable();
        Ok(tally)
    }
}

impl Tally {
    /// The time within which so many of a thousand were answered, in microseconds.
    pub fn micros_at(&self, per_thousand: usize) -> u32 {
        let last = self.micros.len().saturating_sub(1);
        self.micros.get(last * per_thousand / 1000).copied().unwrap_or(0)
    }

    /// Acknowledged events per second.
    pub fn rate(&self) -> u64 {
        per_second(self.acknowledged, self.took)
    }
}

/// So many in that time, per second.
pub fn per_second(count: u64, took: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1000 / took.as_millis().max(1)).unwrap_or(u64::MAX)
}

impl Shared {
    /// When the event is due; none = nothing more is sent.
    async fn wait_for(&self, ticket: u64) -> Option<Instant> {
        let end = self.start + self.options.duration;
        let mut due = Instant::now();
        if let Some(rate) = self.options.rate {
            due = self.start + Duration::from_micros(ticket * 1_000_000 / rate.max(1));
            tokio::time::sleep_until(due.min(end)).await;
        }
        let is_over = self.options.events.is_some_and(|events| ticket >= events)
            || self.is_stopped.load(Ordering::Relaxed)
            || due >= end
            || Instant::now() >= end;
        (!is_over).then_some(due)
    }
}

async fn work(shared: Arc<Shared>) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut connection = None;
    let options = &shared.options;
    let most_samples = MAX_SAMPLES / options.connections.max(1);
    loop {
        let ticket = shared.tickets.fetch_add(1, Ordering::Relaxed);
        let Some(due) = shared.wait_for(ticket).await else { return Ok(tally) };
        let endpoint = &options.endpoints[ticket as usize % options.endpoints.len()];
        match send(&mut connection, endpoint, &shared.template, options.first + ticket).await {
            Ok(status) if (200..300).contains(&status) => {
                tally.acknowledged += 1;
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                if tally.micros.len() < most_samples {
                    tally.micros.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
            }
            Ok(_) => tally.answered_otherwise += 1,
            Err(error) => {
                connection = None;
                tally.broken += 1;
                if tally.acknowledged == 0 && tally.broken > 20 {
                    return Err(error);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Sends one event and waits for its answer; the status.
///
/// # Errors
/// When there is no answer.
pub async fn send_one(endpoint: &Endpoint, number: u64) -> Result<u16> {
    send(&mut None, endpoint, &Template::new(), number).await
}

type Connection = Option<SendRequest<Full<Bytes>>>;

async fn send(connection: &mut Connection, endpoint: &Endpoint, template: &Template, ticket: u64) -> Result<u16> {
    let url: hyper::Uri = endpoint.url.parse()?;
    let host = url.authority().context("the URL has no host")?.to_string();
    let sender = match connection {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(&host).await.with_context(|| format!("cannot connect to {host}"))?;
            stream.set_nodelay(true)?;
            let (sender, driver) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(driver);
            connection.insert(sender)
        }
    };
    let now = unix_seconds();
    let body = template.render(now, ticket);
    let request = Request::post(url.path())
        .header("Host", host)
        .header("Content-Type", "application/json; charset=utf-8")
        .header("Stripe-Signature", Provider::Stripe.sign(&endpoint.secret, now, &body))
        .body(Full::new(body))?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await?;
    Ok(status)
}

/// A one-time purchase, about two kilobytes, of which only a few digits differ from event to event.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    counters: Vec<usize>,
    seconds: Vec<usize>,
    created: Vec<usize>,
}

impl Template {
    fn new() -> Template {
        let event = template_text();
        let places = |marker: &str| event.match_indices(marker).map(|(place, _)| place).collect();
        let (counters, seconds, created) = (places(COUNTER), places(SECOND), places(CREATED));
        Template { counters, seconds, created, bytes: event.into_bytes() }
    }

    fn render(&self, now: i64, ticket: u64) -> Bytes {
        let mut bytes = self.bytes.clone();
        let second = Ids::new(0).make("evt", now);
        let counter = format!("{:08}", ticket % 100_000_000);
        let created = format!("{now:010}");
        let mut write = |places: &[usize], digits: &str| {
            for place in places {
                bytes[*place..place + digits.len()].copy_from_slice(digits.as_bytes());
            }
        };
        write(&self.counters, &counter);
        write(&self.seconds, &second[4..10]);
        write(&self.created, &created);
        Bytes::from(bytes)
    }
}

fn template_text() -> String {
    let id = |prefix: &str| format!("{prefix}_{SECOND}3vEqJzMu0O{COUNTER}");
    let created: i64 = CREATED.parse().unwrap_or_default();
    json!({
        "id": id("evt"), "object": "event", "api_version": crate::stripe::API_VERSION, "created": created,
        "data": {"object": {
            "id": id("cs_live_a1"), "object": "checkout.session", "adaptive_pricing": {"enabled": false}, "after_expiration": null,
            "allow_promotion_codes": true, "amount_subtotal": 4900, "amount_total": 4665,
            "automatic_tax": {"enabled": true, "liability": {"type": "self"}, "status": "complete"},
            "billing_address_collection": null, "cancel_url": "https://acme.example.test/pricing", "client_reference_id": null,
            "consent": null, "consent_collection": null, "created": created, "currency": "eur", "currency_conversion": null,
            "custom_fields": [], "custom_text": {"after_submit": null, "shipping_address": null, "submit": null},
            "customer": id("cus"), "customer_creation": "always",
            "customer_details": {"address": {"city": "Berlin", "country": "DE", "line1": "Teststr. 1", "postal_code": "10115", "state": null}, "email": "buyer@example.com", "name": "Test Buyer", "phone": null, "tax_exempt": "none", "tax_ids": []},
            "customer_email": null, "discounts": [{"coupon": null, "promotion_code": "promo_1LoadTest0000000000000001"}],
            "invoice": null, "invoice_creation": {"enabled": false}, "livemode": true, "locale": null, "metadata": {"plan": "lifetime"},
            "mode": "payment", "payment_intent": id("pi"), "payment_link": null, "payment_method_collection": "if_required",
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}}, "payment_method_types": ["card"],
            "payment_status": "paid", "recovered_from": null, "setup_intent": null, "shipping_cost": null, "shipping_options": [],
            "status": "complete", "submit_type": null, "subscription": null,
            "success_url": "https://acme.example.test/thanks?session_id={CHECKOUT_SESSION_ID}",
            "total_details": {"amount_discount": 980, "amount_shipping": 0, "amount_tax": 745}, "ui_mode": "hosted", "url": null
        }},
        "livemode": true, "pending_webhooks": 1, "request": {"id": null, "idempotency_key": null}, "type": "checkout.session.completed"
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn events_of_a_run_differ_in_their_ids_only() {
        let template = Template::new();
        let (one, two) = (template.render(1_795_000_000, 1), template.render(1_795_000_000, 2));
        let (one, two): (Value, Value) = (serde_json::from_slice(&one).unwrap(), serde_json::from_slice(&two).unwrap());
        assert_ne!(one["id"], two["id"]);
        assert_ne!(one["data"]["object"]["payment_intent"], two["data"]["object"]["payment_intent"]);
        assert_eq!(one["created"], 1_795_000_000);
        assert_eq!(one["data"]["object"]["amount_total"], two["data"]["object"]["amount_total"]);
        assert!(!one.to_string().contains('@') || one.to_string().matches('@').count() == 1, "{one}");
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_events_or_when_it_is_stopped() {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        tokio::spawn(async move { crate::bare::serve(port, Duration::from_secs(60), &mut Vec::new()).await });
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let endpoint = Endpoint { url: format!("http://127.0.0.1:{port}/webhooks/stripe/e"), secret: "s".to_owned() };
        let mut options = StreamOptions {
            endpoints: vec![endpoint.clone()],
            connections: 3,
            rate: None,
            duration: Duration::from_secs(50),
            events: Some(100),
            first: 0,
        };
        let tally = Stream::start(options.clone()).end().await.unwrap();
        assert_eq!((tally.acknowledged, tally.answered_otherwise, tally.broken), (100, 0, 0));
        options.events = None;
        let endless = Stream::start(options);
        while endless.acknowledged() < 10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        endless.stop();
        assert!(endless.end().await.unwrap().acknowledged >= 10);
        assert_eq!(send_one(&endpoint, 7).await.unwrap(), 200);
    }
}
