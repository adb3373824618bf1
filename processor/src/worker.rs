//! The fold worker: a thread that reads partitions in turn, folds and commits.

use crate::Owned;
use crate::batch::{Batch, FoldError};
use crate::continuity::check_place;
use crate::state::StoreState;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::crash::{self, CrashPoint};
use store::event_log::{EventLog, LogError, StoredRecord};
use store::fold_store::{Commit, FoldStore, FoldStoreError, Position};
use telemetry::metrics::{self, Metric, Stopwatch, partition_label};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How much one batch takes.
#[derive(Debug, Clone, Copy)]
pub struct FoldLimits {
    /// Records.
    pub records: usize,
    /// Bytes of records, about.
    pub bytes: usize,
    /// Items in the outbox at which folding pauses until the warehouse has caught up.
    pub outbox_items: u64,
}

impl Default for FoldLimits {
    fn default() -> Self {
        FoldLimits { records: 1_000, bytes: 4 << 20, outbox_items: 2_000_000 }
    }
}

/// How long the worker sleeps when nothing was appended.
const IDLE: Duration = Duration::from_millis(500);
/// How long records gather after a round that emptied every partition. A commit costs the more per record the fewer
/// it has; what comes after a longer silence is folded at once.
const GATHER: Duration = Duration::from_millis(40);
/// How long a partition that cannot go on is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What stops a partition, in words, until it goes on.
#[derive(Debug, Default)]
pub struct Alarms(Mutex<BTreeMap<u16, String>>);

impl Alarms {
    fn set(&self, partition: u16, words: String) {
        let mut alarms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if alarms.get(&partition) != Some(&words) {
            tracing::error!(partition, "partition {partition} stopped: {words}");
            alarms.insert(partition, words);
        }
    }

    fn clear(&self, partition: u16) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition).is_some() {
            tracing::info!(partition, "partition {partition} goes on");
        }
    }

    /// Stopped partitions and why.
    pub fn list(&self) -> Vec<(u16, String)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(partition, words)| (*partition, words.clone()))
            .collect()
    }
}

/// Folds partitions.
pub struct FoldWorker {
    /// Where records come from.
    pub log: Arc<dyn EventLog>,
    /// Where their effects go.
    pub store: Arc<dyn FoldStore>,
    /// Which partitions; it may change.
    pub partitions: Owned,
    /// Batch sizes.
    pub limits: FoldLimits,
    /// Woken after every commit.
    pub committed: Arc<Notify>,
    /// Woken when there are new questions.
    pub asked: Arc<Notify>,
    /// Partitions that stopped.
    pub alarms: Arc<Alarms>,
}

/// How far a turn went, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moved {
    /// There was nothing, or it could not go on.
    Nothing,
    /// It folded what was there.
    ToTheEnd,
    /// It folded as much as a batch takes.
    MoreWaits,
}

/// One partition's progress in this worker.
struct Lane {
    partition: u16,
    position: Option<Position>,
    blocked: u32,
}

impl FoldWorker {
    /// Runs until stopped. Blocks its thread; `runtime` drives the log's futures.
    pub fn run(&self, runtime: &Handle, stop: &CancellationToken) {
        let mut state = StoreState::new(self.store.as_ref());
        let mut lanes = Vec::new();
        while !stop.is_cancelled() {
            self.follow(&mut state, &mut lanes);
            let mut moved = Moved::Nothing;
            // Counts from here on: what is appended while the lanes turn is not missed.
            let appended = self.log.appended();
            let paused = self.outbox_is_full();
            for lane in lanes.iter_mut().filter(|_| !paused) {
                moved = moved.max(self.turn(runtime, &mut state, lane));
                if stop.is_cancelled() {
                    return;
                }
            }
            runtime.block_on(async {
                match moved {
                    Moved::MoreWaits => {}
                    Moved::ToTheEnd => tokio::select! {
                        () = tokio::time::sleep(GATHER) => {}
                        () = stop.cancelled() => {}
                    },
                    Moved::Nothing => tokio::select! {
                        () = appended => {}
                        () = tokio::time::sleep(IDLE) => {}
                        () = stop.cancelled() => {}
                    },
                }
            });
        }
    }

    /// Makes the lanes those of the partitions that are ours now.
    fn follow(&self, state: &mut StoreState<'_>, lanes: &mut Vec<Lane>) {
        let owned = self.partitions.borrow().clone();
        if lanes.iter().map(|lane| lane.partition).eq(owned.iter().copied()) {
            return;
        }
        tracing::info!(partitions = ?owned, "folds {} partitions", owned.len());
        // Somebody else may have changed what was read of a partition that comes back.
        state.forget();
        for lane in lanes.iter().filter(|lane| !owned.contains(&lane.partition)) {
            self.alarms.clear(lane.partition);
        }
        *lanes = owned.into_iter().map(|partition| Lane { partition, position: None, blocked: 0 }).collect();
    }

    /// One batch of one partition. Returns how far it moved.
    fn turn(&self, runtime: &Handle, state: &mut StoreState<'_>, lane: &mut Lane) -> Moved {
        if lane.blocked > 0 {
            lane.blocked -= 1;
            return Moved::Nothing;
        }
        match self.fold_once(runtime, state, lane) {
            Ok(moved) => {
                self.alarms.clear(lane.partition);
                moved
            }
            Err(FoldError::Store(error @ FoldStoreError::Conflict { .. })) => {
                // Two processes thought it was theirs, which happens while a group settles. The other one wrote.
                tracing::info!(partition = lane.partition, "nothing was written: {error}");
                state.forget();
                lane.position = None;
                lane.blocked = 1;
                Moved::Nothing
            }
            Err(error) => {
                // What was read may be another processor's now.
                state.forget();
                lane.position = None;
                lane.blocked = (RETRY_AFTER.as_millis() / IDLE.as_millis()) as u32;
                self.alarms.set(lane.partition, error.to_string());
                Moved::Nothing
            }
        }
    }

    fn fold_once(&self, runtime: &Handle, state: &mut StoreState<'_>, lane: &mut Lane) -> Result<Moved, FoldError> {
        let partition = lane.partition;
        let position = match lane.position.take() {
            Some(position) => position,
            None => {
                let position = self.store.position(partition)?;
                runtime.block_on(check_place(self.log.as_ref(), partition, &position))?;
                position
            }
        };
        let limit = if position.fanout.is_some() { 1 } else { self.limits.records };
        let records = runtime.block_on(self.log.read(partition, position.next_offset, limit, self.limits.bytes))?;
        if records.is_empty() {
            lane.position = Some(position);
            return Ok(Moved::Nothing);
        }
        let read_one = |offset: u64| -> Result<Option<StoredRecord>, LogError> {
            Ok(runtime.block_on(self.log.read(partition, offset, 1, 1))?.pop())
        };
        let stopwatch = Stopwatch::start();
        let count = records.len() as u64;
        // A batch also ends at its bytes, with a record that did not fit any more.
        let full = records.len() >= limit
            || records.iter().map(|record| record.bytes.len()).sum::<usize>() >= self.limits.bytes / 2;
        let (commit, next) = Batch::new(partition, state, self.store.as_ref(), &read_one).fold(&position, records)?;
        let asks = !commit.questions.is_empty();
        crash::pass(CrashPoint::FoldBeforeCommit);
        self.store.commit(partition, &position, &next, &commit)?;
        crash::pass(CrashPoint::FoldAfterCommit);
        stopwatch.observe(Metric::FoldCommitSeconds, []);
        count_outcomes(&commit);
        metrics::set(Metric::FoldPosition, [("partition", partition_label(partition))], next.next_offset as f64);
        tracing::trace!(partition, records = count, lines = commit.lines.len(), "folded");
        let more = full || next.fanout.is_some();
        lane.position = Some(next);
        self.committed.notify_one();
        if asks {
            self.asked.notify_one();
        }
        Ok(if more { Moved::MoreWaits } else { Moved::ToTheEnd })
    }

    /// The warehouse is far behind: folding waits, deliveries go on being stored in the log.
    fn outbox_is_full(&self) -> bool {
        match self.store.outbox_len() {
            Ok(items) => items > self.limits.outbox_items,
            Err(error) => {
                tracing::warn!(error = %error, "the outbox cannot be counted: {error}");
                false
            }
        }
    }
}

fn count_outcomes(commit: &Commit) {
    let mut outcomes: BTreeMap<&'static str, u64> = BTreeMap::new();
    for row in &commit.records {
        *outcomes.entry(row.outcome.name()).or_default() += 1;
    }
    for (outcome, records) in outcomes {
        metrics::count(Metric::FoldRecords, [("outcome", outcome)], records);
    }
}
