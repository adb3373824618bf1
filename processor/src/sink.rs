//! The sink: outbox to warehouse, in order, again and again until it is there; then announce.

use crate::Owned;
use crate::trace_book::TraceBook;
use domain::ids::{AffiliateId, Mode, Timestamp, VendorId};
use domain::line::{LedgerLine, PurchaseRow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::crash::{self, CrashPoint};
use store::fold_store::{FoldStore, FoldStoreError, OutboxBatch, OutboxItem, Visible};
use store::live::{Announce, LiveSignal};
use store::warehouse::{InsertBatch, LineSink, WarehouseError};
use telemetry::metrics::{self, Metric, Stopwatch};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long the sink sleeps when nothing was committed.
const IDLE: Duration = Duration::from_millis(500);
/// Items of a batch from which on the sink gathers for longer: every insert makes parts that the engine has to merge, so
/// under load fewer and larger ones cost much less.
const BUSY_ITEMS: usize = 200;
/// How long lines gather after a small batch. What comes after a longer silence is sent at once.
const GATHER: Duration = Duration::from_millis(100);
/// How long they gather after a larger one.
const GATHER_BUSY: Duration = Duration::from_millis(400);
/// Pause after the outbox could not be read.
const RETRY: Duration = Duration::from_secs(1);
/// Pause after a failed insert, growing to the last.
pub(crate) const PAUSES_MS: [u64; 6] = [50, 200, 500, 1_000, 2_000, 5_000];

/// Projects the outbox.
pub struct Sink {
    /// Where lines wait.
    pub store: Arc<dyn FoldStore>,
    /// Whose lines; it may change. Two processes that both think a partition is theirs insert the same rows.
    pub partitions: Owned,
    /// Where they go.
    pub warehouse: Arc<dyn LineSink>,
    /// Who is told.
    pub live: Arc<dyn Announce>,
    /// Woken after every commit of the fold.
    pub committed: Arc<Notify>,
    /// Generation of the log.
    pub generation: u16,
    /// How many items one insert takes.
    pub batch_items: usize,
    /// The time now.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Records whose way is followed.
    pub traces: Arc<TraceBook>,
}

/// How far the batch under way is. Losing it costs an insert and nothing else.
#[derive(Debug, Clone, Default)]
pub enum Stage {
    /// No batch is under way.
    #[default]
    Idle,
    /// It is cut; whether it is in the warehouse is not known.
    Cut(Arc<OutboxBatch>),
    /// It is in the warehouse.
    Inserted(Arc<OutboxBatch>),
}

/// What a step of the sink did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkStep {
    /// Nothing waits in the outbox.
    NothingWaits,
    /// The batch is one stage further.
    Further,
    /// The batch is visible and announced; it had so many items.
    Announced(usize),
}

/// Says when the outbox cannot be read any more, and when it can again, but not every time in between. Returns whether
/// it is away now.
fn tell_change<T>(was_away: bool, result: &Result<T, FoldStoreError>) -> bool {
    match result {
        Err(error) if was_away => tracing::debug!(error = %error, "the outbox cannot be read: {error}"),
        Err(error) => tracing::error!(error = %error, "the outbox cannot be read, trying again: {error}"),
        Ok(_) if was_away => tracing::info!("the outbox can be read again"),
        Ok(_) => {}
    }
    result.is_err()
}

/// Why a step of the sink failed.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The outbox; the next step cuts anew.
    #[error(transparent)]
    Store(#[from] FoldStoreError),
    /// The warehouse; the next step sends the same rows again.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

impl Sink {
    /// Runs until stopped.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut is_away = false;
        while !stop.is_cancelled() {
            let projected = self.project_lines(stop).await;
            is_away = tell_change(is_away, &projected);
            match projected {
                Ok(Some(items)) => pause(self.gather_after(items), stop).await,
                Ok(None) => {
                    tokio::select! {
                        () = self.committed.notified() => {}
                        () = tokio::time::sleep(IDLE) => {}
                        () = stop.cancelled() => {}
                    }
                }
                Err(_) => pause(RETRY, stop).await,
            }
        }
    }

    /// How long to wait before the next batch: not at all when more than one batch was there.
    fn gather_after(&self, items: usize) -> Duration {
        match items {
            items if items >= self.batch_items => Duration::ZERO,
            items if items >= BUSY_ITEMS => GATHER_BUSY,
            _ => GATHER,
        }
    }

    /// One batch: cut, insert until it is there, move what is visible, announce. Returns
    /// how many items it had, if there was one. Ends early when stopped.
    async fn project_lines(&self, stop: &CancellationToken) -> Result<Option<usize>, FoldStoreError> {
        let mut stage = Stage::Idle;
        let mut failures = 0;
        loop {
            let error = match self.advance(&mut stage).await {
                Ok(SinkStep::Further) => continue,
                Ok(SinkStep::NothingWaits) => return Ok(None),
                Ok(SinkStep::Announced(items)) => return Ok(Some(items)),
                Err(SinkError::Store(error)) => return Err(error),
                Err(SinkError::Warehouse(error)) => error,
            };
            metrics::count(Metric::SinkRetries, [], 1);
            tracing::warn!(failures, error = %error, "the warehouse did not take a batch, trying again: {error}");
            let pause = Duration::from_millis(PAUSES_MS[failures.min(PAUSES_MS.len() - 1)]);
            failures += 1;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Ok(None),
            }
        }
    }

    /// The next step of the batch under way: cut it, try once to insert it, or move what is
    /// visible and announce. Whatever came of an insert, the same rows go again under the same
    /// token until the warehouse says yes.
    ///
    /// # Errors
    /// When the step has to be tried again, after a pause; `stage` says from where.
    pub async fn advance(&self, stage: &mut Stage) -> Result<SinkStep, SinkError> {
        match std::mem::take(stage) {
            Stage::Idle => {
                let (store, partitions, items) =
                    (self.store.clone(), self.partitions.borrow().clone(), self.batch_items);
                let batch = blocking(move || store.outbox(&partitions, items)).await?;
                if batch.ranges.is_empty() {
                    return Ok(SinkStep::NothingWaits);
                }
                *stage = Stage::Cut(Arc::new(batch));
            }
            Stage::Cut(batch) => {
                *stage = Stage::Cut(batch.clone());
                self.traces.insert_begins();
                self.insert(&batch).await?;
                *stage = Stage::Inserted(batch);
            }
            Stage::Inserted(batch) => {
                let (store, now, delivered) = (self.store.clone(), (self.clock)(), batch.clone());
                blocking(move || store.delivered(&delivered, now)).await?;
                crash::pass(CrashPoint::SinkAfterDelivered);
                self.announce(&batch, now);
                self.traces.visible(&batch);
                observe_delay(&batch, now);
                return Ok(SinkStep::Announced(batch.items.len()));
            }
        }
        Ok(SinkStep::Further)
    }

    /// One try.
    async fn insert(&self, batch: &OutboxBatch) -> Result<(), WarehouseError> {
        let (lines, purchases) = split(batch);
        if lines.is_empty() && purchases.is_empty() {
            return Ok(());
        }
        let token = token(self.generation, batch);
        let insert = InsertBatch { generation: self.generation, lines: &lines, purchases: &purchases, token: &token };
        crash::pass(CrashPoint::SinkBeforeInsert);
        let stopwatch = Stopwatch::start();
        self.warehouse.insert(&insert).await?;
        crash::pass(CrashPoint::SinkAfterInsert);
        stopwatch.observe(Metric::SinkInsertSeconds, []);
        metrics::observe(Metric::SinkBatchLines, [], lines.len() as f64);
        Ok(())
    }

    fn announce(&self, batch: &OutboxBatch, now: Timestamp) {
        let visible: BTreeMap<u16, u64> = batch.ranges.iter().map(|range| (range.partition, range.visible)).collect();
        let mut changed: BTreeMap<(VendorId, Mode), (u16, BTreeSet<AffiliateId>)> = BTreeMap::new();
        for item in &batch.items {
            let (vendor, mode, affiliate, partition) = match item {
                OutboxItem::Line(line) => (line.vendor, line.mode, line.affiliate, line.src_part),
                OutboxItem::Row(row) => (row.vendor, row.mode, row.affiliate, row.src_part),
            };
            changed.entry((vendor, mode)).or_insert_with(|| (partition, BTreeSet::new())).1.insert(affiliate);
        }
        let signals = changed.into_iter().map(|((vendor, mode), (partition, affiliates))| {
            let next_offset = visible.get(&partition).copied().unwrap_or_default();
            LiveSignal { vendor, mode, affiliates, next_offset }
        });
        let moved: Vec<(u16, Visible)> = batch
            .ranges
            .iter()
            .map(|range| (range.partition, Visible { next_offset: range.visible, at: now }))
            .collect();
        self.live.announce(signals.collect(), &moved);
    }
}

async fn pause(duration: Duration, stop: &CancellationToken) {
    if !duration.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// From received to readable, of the batch's oldest line.
fn observe_delay(batch: &OutboxBatch, now: Timestamp) {
    let received = batch.items.iter().filter_map(|item| match item {
        OutboxItem::Line(line) => Some(line.booked_at.0),
        OutboxItem::Row(_) => None,
    });
    if let Some(oldest) = received.min() {
        let delay = Duration::from_millis((now.0 - oldest).max(0) as u64);
        metrics::observe(Metric::VisibleDelaySeconds, [("path", "table")], delay.as_secs_f64());
    }
}

/// Lines and purchase rows of a batch, in order.
pub(crate) fn split(batch: &OutboxBatch) -> (Vec<LedgerLine>, Vec<PurchaseRow>) {
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for item in &batch.items {
        match item {
            OutboxItem::Line(line) => lines.push(line.clone()),
            OutboxItem::Row(row) => rows.push(row.clone()),
        }
    }
    (lines, rows)
}

/// A function of the ranges: the same rows always come under the same token, and no other rows
/// ever do (a used token with other rows would be dropped in silence).
fn token(generation: u16, batch: &OutboxBatch) -> String {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    for range in &batch.ranges {
        digest.update(format!("{}:{:?}:{:?};", range.partition, range.first, range.last));
    }
    format!("g{generation}-{}", hex::encode(&digest.finalize()[..16]))
}

async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, FoldStoreError> + Send + 'static,
) -> Result<T, FoldStoreError> {
    tokio::task::spawn_blocking(run).await.expect("the fold store does not panic")
}
