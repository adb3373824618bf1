//! The warehouse is away for six hours, by a clock that is not the machine's: what is shown stays as it was, and afterwards
//! the sink catches up in the time that its capacity allows.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use async_trait::async_trait;
use domain::ids::Timestamp;
use processor::owns_everything;
use processor::sink::{Sink, SinkError, SinkStep, Stage};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::event_log::partition_of;
use store::fold_store::{FoldStore, Visible};
use store::live::LiveHub;
use store::warehouse::{InsertBatch, LineSink, WarehouseError};
use support::*;

/// One sale every ten seconds: a line and a purchase row.
const SALE_EVERY: Duration = Duration::from_secs(10);
const ITEMS_OF_SALE: f64 = 2.0;
/// So many are folded at once.
const SALES_AT_ONCE: u32 = 50;
/// After an insert that failed, as the sink does at most.
const PAUSE: Duration = Duration::from_secs(5);
/// One insert takes so long, whatever it holds: three times what comes in fits through.
const INSERT_TAKES: Duration = Duration::from_secs(100);
const BATCH_ITEMS: usize = 60;
/// It is away from then on, for so long.
const AWAY_FROM: Duration = Duration::from_secs(3_600);
const AWAY: Duration = Duration::from_secs(6 * 3_600);
/// Sales of the whole run.
const SALES: u32 = 4_500;

/// What the time is, and how it passes.
#[derive(Default)]
struct Clock(AtomicU64);

impl Clock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }
}

/// Takes a while for an insert, and is away for hours.
struct Warehouse {
    clock: Arc<Clock>,
    /// When each insert ended, and how many items it had.
    inserted: Mutex<Vec<(Duration, usize)>>,
    refused: AtomicU64,
}

#[async_trait]
impl LineSink for Warehouse {
    async fn insert(&self, batch: &InsertBatch<'_>) -> Result<(), WarehouseError> {
        self.clock.pass(INSERT_TAKES);
        let now = self.clock.now();
        if (AWAY_FROM..AWAY_FROM + AWAY).contains(&now) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(WarehouseError::Unavailable { doing: "inserting", reason: "it is away".to_owned() });
        }
        self.inserted.lock().unwrap().push((now, batch.lines.len() + batch.purchases.len()));
        Ok(())
    }
}

async fn filled_log() -> Bench {
    let bench = Bench::new();
    bench.append(&opened(VENDOR)).await;
    for first in (0..SALES).step_by(500) {
        let some: Vec<_> = (first..first + 500).map(|number| sale(VENDOR, &number.to_string())).collect();
        bench.append(&some).await;
    }
    bench
}

/// Sales come in, and the sink's own steps are done one after the other. Returns what was visible at every step.
async fn live_through(bench: &Bench, warehouse: &Arc<Warehouse>, clock: &Arc<Clock>) -> Vec<(Duration, Visible)> {
    let partition = partition_of(VENDOR);
    let ticking = clock.clone();
    let sink = Sink {
        store: bench.store.clone(),
        partitions: owns_everything(),
        warehouse: warehouse.clone(),
        live: Arc::new(LiveHub::new([], Box::new(|_| {}))),
        committed: Arc::default(),
        generation: 1,
        batch_items: BATCH_ITEMS,
        clock: Arc::new(move || Timestamp(ticking.now().as_millis() as i64)),
        traces: Arc::default(),
    };
    let (mut stage, mut due, mut seen, mut is_over) = (Stage::default(), Duration::ZERO, Vec::new(), false);
    while !is_over {
        while due <= clock.now() {
            is_over |= !bench.fold_once(partition, SALES_AT_ONCE as usize).await;
            due += SALE_EVERY * SALES_AT_ONCE;
        }
        match sink.advance(&mut stage).await {
            Ok(SinkStep::Further | SinkStep::Announced(_)) => {}
            Ok(SinkStep::NothingWaits) => clock.pass(due - clock.now()),
            Err(SinkError::Warehouse(_)) => clock.pass(PAUSE),
            Err(SinkError::Store(error)) => panic!("{error}"),
        }
        seen.push((clock.now(), bench.store.visible(partition).unwrap()));
    }
    seen
}

#[tokio::test]
async fn six_hours_without_a_warehouse_are_made_up_for_as_fast_as_it_takes_lines() {
    let bench = filled_log().await;
    let clock: Arc<Clock> = Arc::default();
    let warehouse =
        Arc::new(Warehouse { clock: clock.clone(), inserted: Mutex::default(), refused: AtomicU64::new(0) });
    let seen = live_through(&bench, &warehouse, &clock).await;

    let back = AWAY_FROM + AWAY;
    // The insert that was under way when it went is refused; after it nothing moves.
    let away: Vec<Visible> =
        seen.iter().filter(|(at, _)| *at > AWAY_FROM && *at < back).map(|(_, visible)| *visible).collect();
    assert!(away.iter().all(|visible| *visible == away[0]), "pages say all the time as of when it was");
    assert!(away[0].next_offset > 0 && away[0].at < Timestamp(AWAY_FROM.as_millis() as i64), "{:?}", away[0]);
    assert!(warehouse.refused.load(Ordering::Relaxed) > 100, "it was tried all the time");

    let inserted = warehouse.inserted.lock().unwrap();
    let (caught_up, _) = *inserted.iter().find(|(at, items)| *at > back && *items < BATCH_ITEMS).expect("it caught up");
    let drained = (caught_up - back).as_secs_f64();
    let load = ITEMS_OF_SALE / SALE_EVERY.as_secs_f64() / (BATCH_ITEMS as f64 / INSERT_TAKES.as_secs_f64());
    let expected = AWAY.as_secs_f64() * load / (1.0 - load);
    println!("caught up after {drained:.0} s, the formula says {expected:.0} s");
    assert!((drained - expected).abs() <= expected / 5.0, "{drained:.0} s instead of {expected:.0} s");
    let (_, last) = seen.last().unwrap();
    assert!(last.at > Timestamp(caught_up.as_millis() as i64) && last.next_offset > u64::from(SALES) / 2);
}
