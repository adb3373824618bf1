//! The payout report of a vendor with very many affiliates, as a file: how long it takes and how much memory it needs.
//!
//! `cargo run --release -p api --example bench_export [affiliates]`
//!
//! Everything is real: the embedded engine behind the official client, the control store, the warehouse's tables. Each
//! affiliate has three ledger lines in the range, one of them a refund. Only the page's session is missing.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![allow(clippy::unwrap_used, reason = "a measurement may end loudly")]

#[path = "bench_export/affiliates.rs"]
mod affiliates;
#[allow(dead_code, reason = "the dashboard's measurement needs all of it")]
#[path = "bench_dashboard/data.rs"]
mod data;
#[allow(dead_code, reason = "the dashboard's measurement needs all of it")]
#[path = "bench_dashboard/page.rs"]
mod page;

use api::export::{PayoutReport, csv, xlsx};
use api::ledger::{Ledger, SharedLedger};
use api::model::{DateRange, Watermark};
use api::services::{CacheLimits, Clock, ControlNames, QueryCache, ReportSources, Reports, WatermarkSource};
use data::{GENERATION, NOW};
use domain::ids::VendorId;
use jiff::civil::date;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::control::SqliteControlStore;
use store::event_log::partition_of;
use store::fold_store::SqliteFoldStore;
use store::local_log::LocalLog;
use store::scope::TenantScope;
use store::secrets::{MasterKeys, system_random};
use store::warehouse::Warehouse;

const AFFILIATES: u64 = 100_000;
const ROUNDS: usize = 5;
/// Merges of the inserts come to rest.
const REST: Duration = Duration::from_secs(5);

/// How much memory the process holds at most since the last [`forget_peak`], in MiB.
fn peak_mib() -> u64 {
    status("VmHWM:")
}

fn resident_mib() -> u64 {
    status("VmRSS:")
}

/// CPU time of the process so far, the engine's threads included. A tick is 10 ms.
fn cpu_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_the_name) = text.rsplit_once(')').unwrap();
    after_the_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum()
}

fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Linux begins to count the peak anew.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// A watermark that stands still.
struct Still(u64);

impl WatermarkSource for Still {
    fn watermark(&self, vendor: VendorId) -> Watermark {
        Watermark { generation: GENERATION, partition: partition_of(vendor), next_offset: self.0, as_of: NOW }
    }
}

/// The services over the warehouse and control store; log and fold store are empty, no report of this reads them.
fn reports(folder: &Path, warehouse: &Warehouse, control: &Arc<SqliteControlStore>, end: u64) -> Reports {
    let clock: Clock = Arc::new(|| NOW);
    let watermarks = Arc::new(Still(end));
    let catalogue = Arc::new(ControlNames::new(control.clone(), clock.clone()));
    let ledger = SharedLedger(Arc::new(Ledger::new(
        Arc::new(LocalLog::open(&folder.join(format!("log-{end}.db"))).unwrap()),
        Arc::new(SqliteFoldStore::open(&folder.join(format!("fold-{end}.db"))).unwrap()),
        control.clone(),
        warehouse.clone(),
        watermarks.clone(),
        catalogue.clone(),
        clock.clone(),
    )));
    Reports::new(ReportSources {
        warehouse: warehouse.clone(),
        cache: Arc::new(QueryCache::new(CacheLimits::default())),
        catalogue,
        purchases: Arc::new(ledger.clone()),
        ledger: Arc::new(ledger),
        watermarks,
        clock,
    })
}

struct Bench {
    reports: Reports,
    scope: TenantScope,
    range: DateRange,
}

impl Bench {
    async fn report(&self) -> PayoutReport {
        self.reports.payouts(&self.scope, &self.range).await.unwrap()
    }

    /// Reads and writes one file as the page does, piece by piece; answers when the first piece was there, when the last
    /// was, and how many bytes it had.
    async fn csv(&self) -> (Duration, Duration, usize) {
        let began = Instant::now();
        let report = self.report().await;
        let (mut first, mut bytes) = (None, 0);
        for piece in csv::pieces(Arc::new(report)) {
            bytes += piece.unwrap().len();
            first.get_or_insert_with(|| began.elapsed());
        }
        (first.unwrap(), began.elapsed(), bytes)
    }

    async fn xlsx(&self) -> (Duration, Duration, usize) {
        let began = Instant::now();
        let report = self.report().await;
        let mut file = tokio::task::spawn_blocking(move || xlsx::temporary_file(&report)).await.unwrap().unwrap();
        let first = began.elapsed();
        let (mut piece, mut bytes) = (vec![0; 64 * 1024], 0);
        loop {
            match file.read(&mut piece).unwrap() {
                0 => return (first, began.elapsed(), bytes),
                read => bytes += read,
            }
        }
    }
}

/// Runs it several times and prints the median and the slowest, and the most memory above what was held before.
async fn measure<F: Future<Output = (Duration, Duration, usize)>>(what: &str, rows: usize, run: impl Fn() -> F) {
    let mut rounds = Vec::new();
    let mut grown = 0;
    let cpu = cpu_ms();
    for _ in 0..ROUNDS {
        let before = resident_mib();
        forget_peak();
        rounds.push(run().await);
        grown = grown.max(peak_mib().saturating_sub(before));
    }
    let cpu = (cpu_ms() - cpu) / ROUNDS as u64;
    rounds.sort_by_key(|(_, whole, _)| *whole);
    let (first, whole, bytes) = rounds[ROUNDS / 2];
    let slowest = rounds[ROUNDS - 1].1;
    println!(
        "RESULT {what}, {rows} rows, {} KB: first byte {} ms, whole {} ms (slowest {} ms), CPU {cpu} ms, memory at most +{grown} MiB",
        bytes / 1_000,
        first.as_millis(),
        whole.as_millis(),
        slowest.as_millis()
    );
}

#[tokio::main]
async fn main() {
    let most: u64 = std::env::args().nth(1).map_or(AFFILIATES, |text| text.parse().unwrap());
    let folder = tempfile::tempdir_in("target").unwrap();
    let engine = page::start_engine(folder.path()).await;
    let warehouse = page::warehouse(&engine, engine.database()).await;
    let keys = MasterKeys::from_bytes(&[[7; 32]]);
    let control = Arc::new(SqliteControlStore::open(&folder.path().join("control.db"), keys, system_random()).unwrap());
    // The smaller vendor first: the difference is what grows with the rows.
    for (slug, count) in [("few", most / 10), ("many", most)] {
        let scope = affiliates::open_vendor(&control, slug, count).await;
        let end = affiliates::fill(&warehouse, &control, &scope).await;
        tokio::time::sleep(REST).await;
        let reports = reports(folder.path(), &warehouse, &control, end);
        let range = DateRange { from: date(2026, 10, 1), to: date(2026, 10, 31), time_zone: "Europe/Berlin".into() };
        let bench = Bench { reports, scope, range };
        let rows = bench.report().await.sums.len();
        assert_eq!(rows as u64, count, "one row per affiliate");
        println!("{count} affiliates, {} MiB resident", resident_mib());
        measure("CSV", rows, || bench.csv()).await;
        measure("Excel", rows, || bench.xlsx()).await;
    }
    engine.shutdown().await.unwrap();
}
