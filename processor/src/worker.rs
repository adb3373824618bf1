//! The fold worker: a thread that reads partitions in turn, folds and commits.

use crate::Owned;
use crate::batch::{Batch, FoldError};
use crate::continuity::check_place;
use crate::spikes::SpikeWatch;
use crate::state::StoreState;
use crate::trace_book::{FoldedTraces, TraceBook};
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
    /// Stories that one commit targets again where a record reaches far.
    pub stories: usize,
}

impl Default for FoldLimits {
    fn default() -> Self {
        FoldLimits { records: 1_000, bytes: 4 << 20, outbox_items: 2_000_000, stories: domain::fold::SLICE }
    }
}

/// How long the worker sleeps when nothing was appended.
const IDLE: Duration = Duration::from_millis(500);
/// How long records gather after a round that emptied every partition. A commit costs the more per record the fewer
/// it has; what comes after a longer silence is folded at once.
const GATHER: Duration = Duration::from_millis(40);
/// How long a partition that cannot go on is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// After how many turns without a record the position is compared with the store's: a minute of silence. A database
/// that failed over may have lost its last commits, and where nothing is appended no commit would notice.
const COMPARE_AFTER: u32 = 120;

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
    /// Records whose way is followed.
    pub traces: Arc<TraceBook>,
}

/// How far a turn went, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moved {
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
    idle: u32,
}

/// What a worker remembers between its turns. Losing it costs reading and nothing else.
pub struct Memory<'a> {
    state: StoreState<'a>,
    spikes: SpikeWatch<'a>,
    lanes: Vec<Lane>,
}

impl Memory<'_> {
    /// How many partitions take turns.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }
}

/// A batch of one lane that is folded and not committed.
pub struct Folded {
    lane: usize,
    position: Position,
    next: Position,
    commit: Commit,
    full: bool,
    stopwatch: Stopwatch,
    traces: FoldedTraces,
}

impl Folded {
    /// From where to where, as offsets.
    pub fn range(&self) -> (u64, u64) {
        (self.position.next_offset, self.next.next_offset)
    }
}

impl FoldWorker {
    /// Runs until stopped. Blocks its thread; `runtime` drives the log's futures.
    pub fn run(&self, runtime: &Handle, stop: &CancellationToken) {
        let mut memory = self.remember_nothing();
        while !stop.is_cancelled() {
            let mut moved = Moved::Nothing;
            // Counts from here on: what is appended while the lanes turn is not missed.
            let appended = self.log.appended();
            let lanes = self.begin_round(&mut memory);
            for lane in 0..lanes {
                if let Some(folded) = self.fold(runtime, &mut memory, lane) {
                    moved = moved.max(self.commit(&mut memory, folded));
                }
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

    /// The memory of a worker that has just started.
    pub fn remember_nothing(&self) -> Memory<'_> {
        let state = StoreState::new(self.store.as_ref()).with_slice(self.limits.stories);
        Memory { state, spikes: SpikeWatch::new(self.store.as_ref()), lanes: Vec::new() }
    }

    /// Begins a round of turns: makes the lanes those of the partitions that are ours now.
    /// Returns how many lanes may turn: none while the outbox is full.
    pub fn begin_round(&self, memory: &mut Memory<'_>) -> usize {
        self.follow(memory);
        if self.outbox_is_full() { 0 } else { memory.lanes.len() }
    }

    fn follow(&self, memory: &mut Memory<'_>) {
        let owned = self.partitions.borrow().clone();
        if memory.lanes.iter().map(|lane| lane.partition).eq(owned.iter().copied()) {
            return;
        }
        tracing::info!(partitions = ?owned, "folds {} partitions", owned.len());
        // Somebody else may have changed what was read of a partition that comes back.
        memory.state.forget();
        memory.spikes.forget();
        self.traces.keep(&owned);
        for lane in memory.lanes.iter().filter(|lane| !owned.contains(&lane.partition)) {
            self.alarms.clear(lane.partition);
        }
        memory.lanes =
            owned.into_iter().map(|partition| Lane { partition, position: None, blocked: 0, idle: 0 }).collect();
    }

    /// The first half of a lane's turn: reads a batch and folds it. None when there was nothing
    /// or it could not go on. What comes of it must be committed before another lane turns.
    pub fn fold(&self, runtime: &Handle, memory: &mut Memory<'_>, lane: usize) -> Option<Folded> {
        if memory.lanes[lane].blocked > 0 {
            memory.lanes[lane].blocked -= 1;
            return None;
        }
        match self.fold_batch(runtime, memory, lane) {
            Ok(None) => {
                self.alarms.clear(memory.lanes[lane].partition);
                None
            }
            Ok(folded) => folded,
            Err(error) => {
                self.stop_lane(memory, lane, &error);
                None
            }
        }
    }

    /// The second half: writes it, if the position is still where the batch began. Returns how
    /// far the lane moved.
    pub fn commit(&self, memory: &mut Memory<'_>, folded: Folded) -> Moved {
        let Folded { lane, position, next, commit, full, stopwatch, traces } = folded;
        let partition = memory.lanes[lane].partition;
        // Before the commit: the sink and the look-ups may come upon its effects at once.
        let spans = self.traces.enter(partition, traces, &commit);
        crash::pass(CrashPoint::FoldBeforeCommit);
        if let Err(error) = self.store.commit(partition, &position, &next, &commit) {
            self.traces.withdraw(spans);
            self.stop_lane(memory, lane, &FoldError::Store(error));
            return Moved::Nothing;
        }
        crash::pass(CrashPoint::FoldAfterCommit);
        self.alarms.clear(partition);
        self.traces.folded(spans);
        stopwatch.observe(Metric::FoldCommitSeconds, []);
        count_outcomes(&commit);
        metrics::count(Metric::AlertsRaised, [], commit.spikes.alerts.len() as u64);
        metrics::set(Metric::FoldPosition, [("partition", partition_label(partition))], next.next_offset as f64);
        tracing::trace!(partition, records = commit.records.len(), lines = commit.lines.len(), "folded");
        let more = full || next.fanout.is_some();
        memory.lanes[lane].position = Some(next);
        self.committed.notify_one();
        if !commit.questions.is_empty() {
            self.asked.notify_one();
        }
        if more { Moved::MoreWaits } else { Moved::ToTheEnd }
    }

    /// Forgets what was read, which may be another processor's now, and leaves the lane alone for a while.
    fn stop_lane(&self, memory: &mut Memory<'_>, lane: usize, error: &FoldError) {
        memory.state.forget();
        memory.spikes.forget();
        let lane = &mut memory.lanes[lane];
        lane.position = None;
        if let FoldError::Store(FoldStoreError::Conflict { .. }) = error {
            // Two processes thought it was theirs, which happens while a group settles. The other one wrote.
            tracing::info!(partition = lane.partition, "nothing was written: {error}");
            lane.blocked = 1;
        } else {
            lane.blocked = (RETRY_AFTER.as_millis() / IDLE.as_millis()) as u32;
            self.alarms.set(lane.partition, error.to_string());
        }
    }

    /// There is nothing to fold: the position stays remembered, if it still is the store's.
    fn keep_idle(&self, lane: &mut Lane, position: Position) -> Result<(), FoldStoreError> {
        lane.idle += 1;
        if lane.idle >= COMPARE_AFTER {
            lane.idle = 0;
            let found = self.store.position(lane.partition)?;
            if found != position {
                let (expected, found) = (position.next_offset, found.next_offset);
                return Err(FoldStoreError::Conflict { partition: lane.partition, expected, found });
            }
        }
        lane.position = Some(position);
        Ok(())
    }

    fn fold_batch(&self, runtime: &Handle, memory: &mut Memory<'_>, lane: usize) -> Result<Option<Folded>, FoldError> {
        let partition = memory.lanes[lane].partition;
        let position = match memory.lanes[lane].position.take() {
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
            self.keep_idle(&mut memory.lanes[lane], position)?;
            return Ok(None);
        }
        memory.lanes[lane].idle = 0;
        let read_one = |offset: u64| -> Result<Option<StoredRecord>, LogError> {
            Ok(runtime.block_on(self.log.read(partition, offset, 1, 1))?.pop())
        };
        let stopwatch = Stopwatch::start();
        // A batch also ends at its bytes, with a record that did not fit any more.
        let full = records.len() >= limit
            || records.iter().map(|record| record.bytes.len()).sum::<usize>() >= self.limits.bytes / 2;
        let mut traces = self.traces.begin_fold();
        let mut batch =
            Batch::new(partition, &mut memory.state, self.store.as_ref(), &read_one).watched_by(&mut memory.spikes);
        if let Some(traced) = traces.traced() {
            batch = batch.noting(traced);
        }
        let (commit, next) = batch.fold(&position, records)?;
        Ok(Some(Folded { lane, position, next, commit, full, stopwatch, traces }))
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
