//! The dashboard of one vendor with 10,000 lines among 200 others, beside the bare SELECT through
//! the same client: what the service adds.
//!
//! `cargo run --release -p api --example bench_dashboard [repetitions]`
//!
//! Everything is real: the embedded engine behind the official client, the control store, the
//! log, and a fold store with the vendor's records and stories. Only the session and the page's
//! HTML are missing; `scripts/bench.sh dashboard` times those on the running product.
//! In each repetition all ways are timed once, in turning order, so that a slow moment of the
//! machine meets all of them.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![allow(clippy::unwrap_used, reason = "a measurement may end loudly")]

#[path = "bench_dashboard/data.rs"]
mod data;
#[path = "bench_dashboard/page.rs"]
mod page;

use api::ledger::{Ledger, SharedLedger};
use api::model::{DateRange, Watermark};
use api::services::ranges::LocalRange;
use api::services::{
    CacheLimits, Clock, ControlNames, FiguresRequest, QueryCache, ReportSources, Reports, WatermarkSource,
};
use data::{DAYS, GENERATION, NOW};
use domain::ids::VendorId;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::control::SqliteControlStore;
use store::event_log::partition_of;
use store::fold_store::SqliteFoldStore;
use store::local_log::LocalLog;
use store::scope::TenantScope;
use store::secrets::{MasterKeys, system_random};
use store::warehouse::queries::LedgerSummary;
use store::warehouse::{ScopeFilter, ScopedQuery, Sql, TimeRange, Warehouse};

const WARM_UP: usize = 20;
const FEWEST: usize = 200;
/// Merges of the inserts come to rest.
const REST: Duration = Duration::from_secs(5);

/// A watermark that moves when told.
struct Moving(AtomicU64);

impl WatermarkSource for Moving {
    fn watermark(&self, vendor: VendorId) -> Watermark {
        let next_offset = self.0.load(Ordering::SeqCst);
        Watermark { generation: GENERATION, partition: partition_of(vendor), next_offset, as_of: NOW }
    }
}

/// Sums per day and currency and nothing else: what anybody would write by hand.
#[derive(Debug)]
struct BareDays {
    scope: TenantScope,
    next_offset: u64,
    range: TimeRange,
}

impl ScopedQuery for BareDays {
    // Its columns in its order, so that no other row type is needed.
    type Row = <LedgerSummary as ScopedQuery>::Row;
    const NAME: &'static str = "bare_days";

    fn most_rows(&self) -> Option<usize> {
        None
    }

    fn render(&self, _: &ScopeFilter) -> Sql {
        let mut sql = Sql::new(
            "SELECT vendor_id, livemode, toUInt8(0) AS grouping, toInt64(toDate(occurred_at)) AS key, currency\
             , sum(toInt128(redemptions)) AS all_redemptions, sum(toInt128(conversions)) AS all_conversions\
             , sum(toInt64(kind = 'sale')) AS sales, sum(toInt128(gross)) AS all_gross, sum(toInt128(net)) AS all_net\
             , toInt128(0) AS all_refunded, sum(toInt128(commission)) AS all_commission FROM ledger_lines FINAL WHERE vendor_id = ",
        );
        sql.bind(self.scope.vendor().0).push(" AND livemode = ").bind(u64::from(self.scope.mode().as_u8()));
        sql.push(" AND gen = ").bind(u64::from(GENERATION)).push(" AND src_off < ").bind(self.next_offset);
        sql.push(" AND occurred_at >= ")
            .bind_time(self.range.from)
            .push(" AND occurred_at < ")
            .bind_time(self.range.to);
        sql.push(" GROUP BY vendor_id, livemode, key, currency ORDER BY key, currency");
        sql.push(" SETTINGS do_not_merge_across_partitions_select_final = 1");
        sql
    }
}

struct Bench {
    warehouse: Warehouse,
    cache: Arc<QueryCache>,
    moving: Arc<Moving>,
    reports: Reports,
    scope: TenantScope,
    range: DateRange,
}

async fn build(folder: &Path, warehouse: Warehouse) -> Bench {
    let clock: Clock = Arc::new(|| NOW);
    let keys = MasterKeys::from_bytes(&[[7; 32]]);
    let control = Arc::new(SqliteControlStore::open(&folder.join("control.db"), keys, system_random()).unwrap());
    let scope = data::open_vendor(&control).await;
    let fold = Arc::new(SqliteFoldStore::open(&folder.join("fold.db")).unwrap());
    let end = data::fill(&warehouse, fold.as_ref(), &control, &scope, data::OTHER_VENDORS).await;
    let log = Arc::new(LocalLog::open(&folder.join("log.db")).unwrap());
    let moving = Arc::new(Moving(AtomicU64::new(end)));
    let catalogue = Arc::new(ControlNames::new(control.clone(), clock.clone()));
    let ledger = SharedLedger(Arc::new(Ledger::new(
        log,
        fold,
        control,
        warehouse.clone(),
        moving.clone(),
        catalogue.clone(),
        clock.clone(),
    )));
    let cache = Arc::new(QueryCache::new(CacheLimits::default()));
    let reports = Reports::new(ReportSources {
        warehouse: warehouse.clone(),
        cache: cache.clone(),
        catalogue,
        purchases: Arc::new(ledger.clone()),
        ledger: Arc::new(ledger),
        watermarks: moving.clone(),
        clock,
    });
    Bench { warehouse, cache, moving, reports, scope, range: page::range() }
}

impl Bench {
    /// Something new became visible: every kept answer of this vendor is old.
    fn change(&self) {
        let next = self.moving.0.load(Ordering::SeqCst) + 1;
        self.cache.mark_changed((self.scope.vendor(), self.scope.mode()), &BTreeSet::new(), GENERATION, next);
        self.moving.0.store(next, Ordering::SeqCst);
    }

    fn position(&self) -> store::warehouse::Watermark {
        let partition = partition_of(self.scope.vendor());
        let next_offset = self.moving.0.load(Ordering::SeqCst);
        store::warehouse::Watermark { generation: GENERATION, partition, next_offset }
    }

    async fn dashboard(&self) {
        let page = self.reports.dashboard(&self.scope, &FiguresRequest::of(self.range.clone())).await.unwrap();
        assert!(page.affiliates.len() == 20 && page.codes.len() == 40 && page.feed.len() == 20, "the page is complete");
        assert!(page.feed.iter().all(|row| !row.business_key.is_empty()), "every purchase has a name");
    }

    async fn bare(&self) {
        let position = self.position();
        let local = LocalRange::new(&self.range).unwrap();
        let query = BareDays { scope: self.scope, next_offset: position.next_offset, range: local.moments };
        let rows = self.warehouse.read(&self.scope, &position, &query).await.unwrap();
        assert!(rows.len() >= DAYS as usize, "{} rows", rows.len());
    }

    /// The page's four queries as they are, without anything around them: all at once, or one.
    async fn queries(&self, only: Option<usize>) {
        page::queries(&self.warehouse, &self.scope, &self.position(), &self.range, only).await;
    }

    async fn once(&self, way: usize) -> Duration {
        match way {
            1 => self.change(),
            // The answers are kept from now on.
            2 => self.dashboard().await,
            _ => {}
        }
        let started = Instant::now();
        match way {
            0 => self.bare().await,
            1 | 2 => self.dashboard().await,
            3 => self.queries(None).await,
            _ => self.queries(Some(way - 4)).await,
        }
        started.elapsed()
    }
}

const WAYS: [&str; 8] = [
    "bare SELECT: sums per day",
    "dashboard, nothing kept",
    "dashboard, kept answers",
    "the page's 4 queries bare, at once",
    "  query 1 alone: figures of the range",
    "  query 2 alone: the range before",
    "  query 3 alone: newest purchases",
    "  query 4 alone: outcomes",
];

#[tokio::main]
async fn main() {
    let repetitions = std::env::args().nth(1).map_or(300, |text| text.parse().unwrap()).max(FEWEST);
    let folder = tempfile::tempdir_in("target").unwrap();
    let engine = page::start_engine(folder.path()).await;
    let warehouse = page::warehouse(&engine, engine.database()).await;
    let started = Instant::now();
    let bench = build(folder.path(), warehouse).await;
    println!("{} in {} ms", data::SUMMARY, started.elapsed().as_millis());
    tokio::time::sleep(REST).await;
    let mut times = WAYS.map(|_| Vec::new());
    for repetition in 0..WARM_UP + repetitions {
        for turn in 0..WAYS.len() {
            let way = (turn + repetition) % WAYS.len();
            let took = bench.once(way).await.as_micros() as u64;
            if repetition >= WARM_UP {
                times[way].push(took);
            }
        }
    }
    report(&mut times, repetitions);
    drop(bench);
    engine.shutdown().await.unwrap();
}

fn report(times: &mut [Vec<u64>; WAYS.len()], repetitions: usize) {
    let milli = |micros: i64| {
        format!("{}{}.{:02} ms", if micros < 0 { "-" } else { "" }, micros.abs() / 1000, micros.abs() % 1000 / 10)
    };
    let mut quantiles = Vec::new();
    for (way, times) in WAYS.iter().zip(times) {
        times.sort_unstable();
        let at = |per_cent: usize| times[(times.len() - 1) * per_cent / 100] as i64;
        println!("{way:<36} p50 {:>9}  p95 {:>9}  max {:>9}", milli(at(50)), milli(at(95)), milli(at(100)));
        quantiles.push((at(50), at(95)));
    }
    let over = |other: usize| {
        format!(
            "p50 {}, p95 {}",
            milli(quantiles[1].0 - quantiles[other].0),
            milli(quantiles[1].1 - quantiles[other].1)
        )
    };
    println!("{repetitions} repetitions");
    println!("RESULT dashboard over the bare SELECT (goal p50 +3 ms): {}", over(0));
    println!("RESULT dashboard over its own 4 queries: {}", over(3));
    println!("RESULT dashboard p95 (goal 60 ms): {}", milli(quantiles[1].1));
}
