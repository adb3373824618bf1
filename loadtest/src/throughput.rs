//! How many signed events per second the edge acknowledges, and after what time. Closed loop:
//! each connection sends as soon as it has an answer. Open loop (`rate`): events are due at
//! fixed times, and the time of an answer counts from when its event was due.

use crate::ids::Ids;
use crate::vendors::{LiveVendor, Target, open_vendor};
use crate::verify::settle;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use corpus::clock::unix_seconds;
use corpus::sign::Provider;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// At most so many answer times are kept (16 bytes of memory each while they are merged).
const MAX_SAMPLES: usize = 20_000_000;
/// How long the product may take to catch up.
const SETTLE_LIMIT: Duration = Duration::from_secs(900);
/// Where the digits of the counter, the second and the time of creation go.
const COUNTER: &str = "@@COUNT@";
const SECOND: &str = "@@SEC@";
const CREATED: &str = "1111111111";

/// What to measure.
#[derive(Debug, Clone)]
pub struct ThroughputOptions {
    /// Where events go; several take turns.
    pub endpoints: Vec<Endpoint>,
    /// Instead of endpoints: the data folder of a running product, on which vendors are set up.
    pub data_dir: Option<PathBuf>,
    /// So many vendors, with `data_dir`.
    pub vendors: usize,
    /// Connections.
    pub connections: usize,
    /// Events per second; none = closed loop.
    pub rate: Option<u64>,
    /// For how long.
    pub duration: Duration,
    /// A process whose memory is watched.
    pub pid: Option<u32>,
    /// Makes ids differ between runs.
    pub seed: u64,
}

/// One webhook endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The whole URL.
    pub url: String,
    /// With what it is signed.
    pub secret: String,
}

#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    answered_otherwise: u64,
    broken: u64,
    micros: Vec<u32>,
}

struct Shared {
    endpoints: Vec<Endpoint>,
    template: Template,
    rate: Option<u64>,
    start: Instant,
    end: Instant,
    tickets: AtomicU64,
    samples_per_connection: usize,
}

/// Measures, prints, and says whether every event was acknowledged.
pub async fn measure(options: &ThroughputOptions, out: &mut (dyn Write + Send)) -> Result<bool> {
    let live = open_targets(options).await?;
    let endpoints = match live.is_empty() {
        true => options.endpoints.clone(),
        false => {
            live.iter().map(|one| Endpoint { url: one.endpoint_url.clone(), secret: one.secret.clone() }).collect()
        }
    };
    if endpoints.is_empty() {
        bail!("give --data-dir, or --url, --endpoint and --secret");
    }
    let connections = options.connections.max(1);
    let start = Instant::now();
    let shared = Arc::new(Shared {
        endpoints,
        template: Template::new(options.seed),
        rate: options.rate,
        start,
        end: start + options.duration,
        tickets: AtomicU64::new(0),
        samples_per_connection: MAX_SAMPLES / connections,
    });
    let memory = options.pid.map(|pid| tokio::spawn(watch_memory(pid, shared.end)));
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        workers.spawn(work(Arc::clone(&shared)));
    }
    let mut tally = Tally::default();
    while let Some(worker) = workers.join_next().await {
        let part = worker??;
        tally.acknowledged += part.acknowledged;
        tally.answered_otherwise += part.answered_otherwise;
        tally.broken += part.broken;
        tally.micros.extend(part.micros);
    }
    let took = start.elapsed();
    print_tally(&mut tally, took, out)?;
    if let Some(memory) = memory {
        writeln!(out, "resident memory of the process: {}", memory.await?)?;
    }
    if !live.is_empty() {
        settle(&live, SETTLE_LIMIT).await?;
        let whole = start.elapsed();
        let behind = whole.saturating_sub(took).as_millis();
        let rate = per_second(tally.acknowledged, whole);
        writeln!(out, "readable {behind} ms after the last answer: {rate} events/s through to the warehouse")?;
    }
    Ok(tally.answered_otherwise == 0 && tally.broken == 0 && tally.acknowledged > 0)
}

async fn open_targets(options: &ThroughputOptions) -> Result<Vec<LiveVendor>> {
    let Some(data_dir) = &options.data_dir else { return Ok(Vec::new()) };
    let target = Target::of_data_dir(data_dir).await?;
    let decisions = [
        json!({"decide": "affiliate", "key": "aff_load", "name": "Load"}),
        json!({"decide": "map", "provider": "stripe", "code": "LOAD20", "promotion_code_id": "promo_1LoadTest0000000000000001", "affiliate": "aff_load"}),
    ];
    let mut live = Vec::new();
    for number in 0..options.vendors.max(1) {
        live.push(open_vendor(&target, &format!("throughput-{}-{number}", options.seed), &decisions).await?);
    }
    Ok(live)
}

async fn work(shared: Arc<Shared>) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut connection = None;
    loop {
        let ticket = shared.tickets.fetch_add(1, Ordering::Relaxed);
        let mut due = Instant::now();
        if let Some(rate) = shared.rate {
            due = shared.start + Duration::from_micros(ticket * 1_000_000 / rate.max(1));
            tokio::time::sleep_until(due.min(shared.end)).await;
        }
        if due >= shared.end || Instant::now() >= shared.end {
            return Ok(tally);
        }
        let endpoint = &shared.endpoints[ticket as usize % shared.endpoints.len()];
        match send(&mut connection, endpoint, &shared.template, ticket).await {
            Ok(status) if (200..300).contains(&status) => {
                tally.acknowledged += 1;
                if tally.micros.len() < shared.samples_per_connection {
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
struct Template {
    bytes: Vec<u8>,
    counters: Vec<usize>,
    seconds: Vec<usize>,
    created: Vec<usize>,
    run: u64,
}

impl Template {
    fn new(seed: u64) -> Template {
        let event = template_text();
        let places = |marker: &str| event.match_indices(marker).map(|(place, _)| place).collect();
        let (counters, seconds, created) = (places(COUNTER), places(SECOND), places(CREATED));
        Template { counters, seconds, created, run: seed % 1000, bytes: event.into_bytes() }
    }

    fn render(&self, now: i64, ticket: u64) -> Bytes {
        let mut bytes = self.bytes.clone();
        let second = Ids::new(0).make("evt", now);
        let counter = format!("{:08}", (self.run * 100_000_000 + ticket) % 100_000_000);
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

fn print_tally(tally: &mut Tally, took: Duration, out: &mut (dyn Write + Send)) -> Result<()> {
    writeln!(
        out,
        "{} events/s: {} acknowledged in {} ms, {} answered otherwise, {} broken",
        per_second(tally.acknowledged, took),
        tally.acknowledged,
        took.as_millis(),
        tally.answered_otherwise,
        tally.broken
    )?;
    tally.micros.sort_unstable();
    let at = |per_thousand: usize| {
        let last = tally.micros.len().saturating_sub(1);
        tally.micros.get(last * per_thousand / 1000).copied().unwrap_or(0)
    };
    let millis = |micros: u32| format!("{}.{:03} ms", micros / 1000, micros % 1000);
    writeln!(
        out,
        "answered after p50 {}, p95 {}, p99 {}, max {}",
        millis(at(500)),
        millis(at(950)),
        millis(at(990)),
        millis(at(1000))
    )?;
    Ok(())
}

fn per_second(count: u64, took: Duration) -> u128 {
    u128::from(count) * 1000 / took.as_millis().max(1)
}

/// Samples resident memory every second until `end`: first, highest and last value.
async fn watch_memory(pid: u32, end: Instant) -> String {
    let (mut first, mut highest, mut last) = (0, 0, 0);
    while Instant::now() < end {
        if let Some(now) = resident_kib(pid) {
            first = if first == 0 { now } else { first };
            highest = highest.max(now);
            last = now;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    format!("{} MiB at first, {} MiB at most, {} MiB at last", first / 1024, highest / 1024, last / 1024)
}

fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn events_of_a_run_differ_in_their_ids_only() {
        let template = Template::new(5);
        let (one, two) = (template.render(1_795_000_000, 1), template.render(1_795_000_000, 2));
        let (one, two): (Value, Value) = (serde_json::from_slice(&one).unwrap(), serde_json::from_slice(&two).unwrap());
        assert_ne!(one["id"], two["id"]);
        assert_ne!(one["data"]["object"]["payment_intent"], two["data"]["object"]["payment_intent"]);
        assert_eq!(one["created"], 1_795_000_000);
        assert_eq!(one["data"]["object"]["amount_total"], two["data"]["object"]["amount_total"]);
        assert!(!one.to_string().contains('@') || one.to_string().matches('@').count() == 1, "{one}");
    }

    #[tokio::test]
    async fn a_closed_and_an_open_loop_are_measured_against_the_bare_handler() {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        tokio::spawn(async move { crate::bare::serve(port, Duration::from_secs(20), &mut Vec::new()).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        let endpoint = Endpoint { url: format!("http://127.0.0.1:{port}/webhooks/stripe/e"), secret: "s".to_owned() };
        let mut options = ThroughputOptions {
            endpoints: vec![endpoint],
            data_dir: None,
            vendors: 0,
            connections: 2,
            rate: None,
            duration: Duration::from_millis(300),
            pid: Some(std::process::id()),
            seed: 1,
        };
        let mut out = Vec::new();
        assert!(measure(&options, &mut out).await.unwrap());
        options.rate = Some(100);
        let mut paced = Vec::new();
        assert!(measure(&options, &mut paced).await.unwrap());
        let (out, paced) = (String::from_utf8(out).unwrap(), String::from_utf8(paced).unwrap());
        assert!(out.contains("events/s") && out.contains("p99"), "{out}");
        let sent: u64 = paced.split_whitespace().nth(2).unwrap().parse().unwrap();
        assert!((20..=31).contains(&sent), "{paced}");
    }
}
