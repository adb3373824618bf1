//! The fold worker: a thread that reads partitions in turn, folds and commits.

use crate::batch::{Batch, FoldError};
use crate::state::StoreState;
use sha2::{Digest, Sha256};
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

/// The log and the fold store do not belong together.
#[derive(Debug, thiserror::Error)]
pub enum ContinuityError {
    /// Records that were folded are not in the log any more.
    #[error(
        "partition {partition}: records {end} to {last} were folded but are not in the log (it ends before {end}). \
         Nothing was started, so that no offset is given out twice. Restore log.db from a backup that has them; or, if they are \
         lost for good, move fold.db and the warehouse folder away: both are built again from what the log still has. \
         Ask the provider to send the missing events again"
    )]
    LogLostItsTail {
        /// Partition.
        partition: u16,
        /// Where the log ends.
        end: u64,
        /// Last folded record.
        last: u64,
    },
    /// The log holds another record than the one that was folded.
    #[error(
        "partition {partition}: record {offset} in the log is not the one that was folded. Restore log.db and fold.db from the same backup"
    )]
    OtherRecord {
        /// Partition.
        partition: u16,
        /// Offset.
        offset: u64,
    },
    /// The log's start moved past what was folded.
    #[error(
        "partition {partition}: the log starts at {start}, but records from {position} on were not folded yet. Restore log.db"
    )]
    LogLostItsStart {
        /// Partition.
        partition: u16,
        /// Where the log starts.
        start: u64,
        /// First record that was not folded.
        position: u64,
    },
    /// Another fold revision booked.
    #[error(
        "the fold store was written by fold revision {found}, this binary has revision {ours}. Move fold.db and the warehouse \
         folder away to fold the log anew, or start the binary that wrote them"
    )]
    OtherRevision {
        /// Revision in the store.
        found: u32,
        /// Ours.
        ours: u32,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The fold store.
    #[error(transparent)]
    Store(#[from] FoldStoreError),
}

/// Compares the log with what was folded, before anything is appended: a log that lost or
/// changed its tail is noticed, and no offset is ever given out twice.
pub async fn check_continuity(
    log: &dyn EventLog,
    store: &dyn FoldStore,
    partitions: &[u16],
) -> Result<(), ContinuityError> {
    for partition in partitions.iter().copied() {
        let position = store.position(partition)?;
        let (start, end) = log.bounds(partition).await?;
        if position.next_offset > end {
            return Err(ContinuityError::LogLostItsTail { partition, end, last: position.next_offset - 1 });
        }
        if position.next_offset < start {
            return Err(ContinuityError::LogLostItsStart { partition, start, position: position.next_offset });
        }
        if position.next_offset > 0 {
            let offset = position.next_offset - 1;
            let last = log.read(partition, offset, 1, 1).await?;
            let hash = last.first().map(|record| <[u8; 32]>::from(Sha256::digest(&record.bytes)));
            if hash != Some(position.last_hash) {
                return Err(ContinuityError::OtherRecord { partition, offset });
            }
        }
        if position.revision != domain::fold::FOLD_REVISION {
            return Err(ContinuityError::OtherRevision { found: position.revision, ours: domain::fold::FOLD_REVISION });
        }
    }
    Ok(())
}

/// Folds partitions.
pub struct FoldWorker {
    /// Where records come from.
    pub log: Arc<dyn EventLog>,
    /// Where their effects go.
    pub store: Arc<dyn FoldStore>,
    /// Which partitions.
    pub partitions: Vec<u16>,
    /// Batch sizes.
    pub limits: FoldLimits,
    /// Woken after every commit.
    pub committed: Arc<Notify>,
    /// Woken when there are new questions.
    pub asked: Arc<Notify>,
    /// Partitions that stopped.
    pub alarms: Arc<Alarms>,
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
        let mut lanes: Vec<Lane> = self
            .partitions
            .iter()
            .map(|partition| Lane { partition: *partition, position: None, blocked: 0 })
            .collect();
        while !stop.is_cancelled() {
            let mut moved = false;
            // Counts from here on: what is appended while the lanes turn is not missed.
            let appended = self.log.appended();
            let paused = self.outbox_is_full();
            for lane in lanes.iter_mut().filter(|_| !paused) {
                moved |= self.turn(runtime, &mut state, lane);
                if stop.is_cancelled() {
                    return;
                }
            }
            if !moved {
                runtime.block_on(async {
                    tokio::select! {
                        () = appended => {}
                        () = tokio::time::sleep(IDLE) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
        }
    }

    /// One batch of one partition. Returns whether it moved.
    fn turn(&self, runtime: &Handle, state: &mut StoreState<'_>, lane: &mut Lane) -> bool {
        if lane.blocked > 0 {
            lane.blocked -= 1;
            return false;
        }
        match self.fold_once(runtime, state, lane) {
            Ok(moved) => {
                if moved {
                    self.alarms.clear(lane.partition);
                }
                moved
            }
            Err(error) => {
                // What was read may be another processor's now.
                state.forget();
                lane.position = None;
                lane.blocked = (RETRY_AFTER.as_millis() / IDLE.as_millis()) as u32;
                self.alarms.set(lane.partition, error.to_string());
                false
            }
        }
    }

    fn fold_once(&self, runtime: &Handle, state: &mut StoreState<'_>, lane: &mut Lane) -> Result<bool, FoldError> {
        let partition = lane.partition;
        let position = match lane.position.take() {
            Some(position) => position,
            None => self.store.position(partition)?,
        };
        let limit = if position.fanout.is_some() { 1 } else { self.limits.records };
        let records = runtime.block_on(self.log.read(partition, position.next_offset, limit, self.limits.bytes))?;
        if records.is_empty() {
            lane.position = Some(position);
            return Ok(false);
        }
        let read_one = |offset: u64| -> Result<Option<StoredRecord>, LogError> {
            Ok(runtime.block_on(self.log.read(partition, offset, 1, 1))?.pop())
        };
        let stopwatch = Stopwatch::start();
        let count = records.len() as u64;
        let (commit, next) = Batch::new(partition, state, self.store.as_ref(), &read_one).fold(&position, records)?;
        let asks = !commit.questions.is_empty();
        crash::pass(CrashPoint::FoldBeforeCommit);
        self.store.commit(partition, &position, &next, &commit)?;
        crash::pass(CrashPoint::FoldAfterCommit);
        stopwatch.observe(Metric::FoldCommitSeconds, []);
        count_outcomes(&commit);
        metrics::set(Metric::FoldPosition, [("partition", partition_label(partition))], next.next_offset as f64);
        tracing::trace!(partition, records = count, lines = commit.lines.len(), "folded");
        lane.position = Some(next);
        self.committed.notify_one();
        if asks {
            self.asked.notify_one();
        }
        Ok(true)
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
