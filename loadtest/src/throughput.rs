//! How many signed events per second the edge acknowledges, and after what time. Closed loop:
//! each connection sends as soon as it has an answer. Open loop (`rate`): events are due at
//! fixed times, and the time of an answer counts from when its event was due.

use crate::stream::{Endpoint, Stream, StreamOptions, Tally, per_second};
use crate::vendors::{LiveVendor, Target, open_vendor};
use crate::verify::settle;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// How long the product may take to catch up.
const SETTLE_LIMIT: Duration = Duration::from_secs(900);

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
    let start = Instant::now();
    let stream = Stream::start(StreamOptions {
        endpoints,
        connections: options.connections,
        rate: options.rate,
        duration: options.duration,
        events: None,
        first: 0,
    });
    let memory = options.pid.map(|pid| tokio::spawn(watch_memory(pid, start + options.duration)));
    let tally = stream.end().await?;
    let took = tally.took;
    print_tally(&tally, out)?;
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
    let decisions = decisions();
    let mut live = Vec::new();
    for number in 0..options.vendors.max(1) {
        live.push(open_vendor(&target, &format!("throughput-{}-{number}", options.seed), &decisions).await?);
    }
    Ok(live)
}

/// Who is owed for the code that every event names.
pub fn decisions() -> [Value; 2] {
    [
        json!({"decide": "affiliate", "key": "aff_load", "name": "Load"}),
        json!({"decide": "map", "provider": "stripe", "code": "LOAD20", "promotion_code_id": "promo_1LoadTest0000000000000001", "affiliate": "aff_load"}),
    ]
}

fn print_tally(tally: &Tally, out: &mut (dyn Write + Send)) -> Result<()> {
    writeln!(
        out,
        "{} events/s: {} acknowledged in {} ms, {} answered otherwise, {} broken",
        tally.rate(),
        tally.acknowledged,
        tally.took.as_millis(),
        tally.answered_otherwise,
        tally.broken
    )?;
    writeln!(
        out,
        "answered after p50 {}, p95 {}, p99 {}, max {}",
        millis(tally.micros_at(500)),
        millis(tally.micros_at(950)),
        millis(tally.micros_at(990)),
        millis(tally.micros_at(1000))
    )?;
    Ok(())
}

/// Microseconds as text, for example `4.020 ms`.
pub fn millis(micros: u32) -> String {
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
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
