//! The same vendor with 10,000 lines in a table that holds nothing else, and among ten million lines of 20,000 other
//! vendors over twelve months: what the dashboard's four queries take in each.
//!
//! `cargo run --release -p api --example bench_growth [repetitions] [millions of lines]`
//!
//! Both tables are in one engine, and in each repetition all ways are timed once in each of them, in turning order, so
//! that a slow moment of the machine meets all.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![allow(clippy::unwrap_used, reason = "a measurement may end loudly")]

#[allow(dead_code, reason = "the dashboard's measurement needs all of it")]
#[path = "bench_dashboard/data.rs"]
mod data;
#[path = "bench_growth/others.rs"]
mod others;
#[path = "bench_dashboard/page.rs"]
mod page;

use data::{GENERATION, NOW};
use domain::ids::Timestamp;
use others::Others;
use std::sync::Arc;
use std::time::Instant;
use store::control::{ControlStore, NewVendor, SqliteControlStore};
use store::event_log::partition_of;
use store::fold_store::SqliteFoldStore;
use store::secrets::{MasterKeys, system_random};
use store::warehouse::Watermark;

const WARM_UP: usize = 10;
const MILLION: u64 = 1_000_000;
/// Opened before the vendor, so that it does not lie at the beginning of the table.
const OPENED_BEFORE: usize = 10;
const TABLES: [&str; 2] = ["small", "large"];
const WAYS: [&str; 5] = [
    "the page's 4 queries at once",
    "  query 1 alone: figures of the range",
    "  query 2 alone: the range before",
    "  query 3 alone: newest purchases",
    "  query 4 alone: outcomes",
];

#[tokio::main]
async fn main() {
    let argument =
        |place: usize, otherwise: u64| std::env::args().nth(place).map_or(otherwise, |text| text.parse().unwrap());
    let (repetitions, lines) = (argument(1, 100).max(20) as usize, argument(2, 10).max(1) * MILLION);
    let folder = tempfile::tempdir_in("target").unwrap();
    let engine = page::start_engine(folder.path()).await;
    let keys = MasterKeys::from_bytes(&[[7; 32]]);
    let control = Arc::new(SqliteControlStore::open(&folder.path().join("control.db"), keys, system_random()).unwrap());
    for number in 0..OPENED_BEFORE {
        control.ensure_vendor(NewVendor::named(&format!("before-{number}")), "bench", Timestamp(0)).await.unwrap();
    }
    let scope = data::open_vendor(&control).await;
    let mut warehouses = Vec::new();
    let mut end = 0;
    for database in TABLES {
        let warehouse = page::warehouse(&engine, database).await;
        let fold = SqliteFoldStore::open(&folder.path().join(format!("{database}.db"))).unwrap();
        end = data::fill(&warehouse, &fold, &control, &scope, 0).await;
        warehouses.push(warehouse);
    }
    let started = Instant::now();
    let others = Others { engine: &engine, database: TABLES[1], not: scope.vendor(), now: NOW };
    others.fill(lines).await;
    println!("{lines} lines of {} other vendors in {} s", others::VENDORS, started.elapsed().as_secs());
    others.wait_for_merges().await;
    println!("{}", others.summary().await);
    let position = Watermark { generation: GENERATION, partition: partition_of(scope.vendor()), next_offset: end };
    let mut times = vec![Vec::new(); WAYS.len() * TABLES.len()];
    for repetition in 0..WARM_UP + repetitions {
        for turn in 0..times.len() {
            let place = (turn + repetition) % times.len();
            let (way, warehouse) = (place / TABLES.len(), &warehouses[place % TABLES.len()]);
            let started = Instant::now();
            page::queries(warehouse, &scope, &position, &page::range(), way.checked_sub(1)).await;
            if repetition >= WARM_UP {
                times[place].push(started.elapsed().as_micros() as u64);
            }
        }
    }
    report(&mut times, repetitions);
    drop(warehouses);
    engine.shutdown().await.unwrap();
}

fn report(times: &mut [Vec<u64>], repetitions: usize) {
    let milli = |micros: u64| format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10);
    let ratio = |large: u64, small: u64| {
        let hundredths = large * 100 / small.max(1);
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    };
    for (way, pair) in WAYS.iter().zip(times.chunks_mut(TABLES.len())) {
        let mut quantiles = Vec::new();
        for times in pair {
            times.sort_unstable();
            let at = |per_cent: usize| times[(times.len() - 1) * per_cent / 100];
            quantiles.push((at(50), at(95)));
        }
        let [(small, small_95), (large, large_95)] = quantiles[..] else { return };
        println!(
            "{way:<36} small p50 {} p95 {}, large p50 {} p95 {}",
            milli(small),
            milli(small_95),
            milli(large),
            milli(large_95)
        );
        if way == &WAYS[0] {
            println!(
                "RESULT growth: p50 {} ({} against {}), p95 {} ({} against {}), {repetitions} repetitions",
                ratio(large, small),
                milli(large),
                milli(small),
                ratio(large_95, small_95),
                milli(large_95),
                milli(small_95)
            );
        }
    }
}
