//! Processor processes of a run: the product's fold worker and sink, one step at a time. Two may
//! think that a partition is theirs, and each can end between any two steps.

use crate::dice::Dice;
use crate::sim_control::SimControl;
use crate::sim_log::SimLog;
use crate::sim_store::SimStore;
use crate::sim_warehouse::{Picture, SimWarehouse};
use processor::continuity::{ContinuityError, check_continuity};
use processor::deadlines::DeadlineTimer;
use processor::relay::Relay;
use processor::sink::{Sink, SinkStep, Stage};
use processor::worker::{Alarms, FoldLimits, FoldWorker, Folded, Memory};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::event_log::EventLog;
use store::fold_store::{FoldStore, Visible};
use store::live::{Announce, LiveSignal};
use store::warehouse::LineSink;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};

/// Generation of the log.
const GENERATION: u16 = 1;
/// How long a record may wait for its sale, in the time of the run.
const DEADLINE: Duration = Duration::from_secs(3_600);

/// What surrounds the processes.
pub struct Surroundings {
    /// Faults, time, trace.
    pub dice: Arc<Dice>,
    /// The log.
    pub log: Arc<SimLog>,
    /// The fold store.
    pub store: Arc<SimStore>,
    /// The warehouse.
    pub warehouse: Arc<SimWarehouse>,
    /// Decisions on their way.
    pub control: Arc<SimControl>,
    /// What pages could see, and when.
    pub watch: Arc<Watch>,
    /// Drives futures; none of them waits.
    pub runtime: Runtime,
}

/// What a page would have read of a partition up to a position that was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Partition.
    pub partition: u16,
    /// Everything below was announced.
    pub below: u64,
    /// What was read.
    pub picture: Picture,
    /// How long the trace was.
    pub step: usize,
}

/// Reads the warehouse up to every position that is announced.
pub struct Watch {
    warehouse: Arc<SimWarehouse>,
    dice: Arc<Dice>,
    seen: Mutex<Vec<Observation>>,
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(warehouse: Arc<SimWarehouse>, dice: Arc<Dice>) -> Watch {
        Watch { warehouse, dice, seen: Mutex::default() }
    }

    /// Reads a partition as a page would.
    pub fn look(&self, partition: u16, below: u64) {
        let picture = self.warehouse.picture(partition, below);
        let step = self.dice.steps();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(Observation { partition, below, picture, step });
    }

    /// Everything that was read.
    pub fn seen(&self) -> Vec<Observation> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Announce for Watch {
    fn announce(&self, _: Vec<LiveSignal>, moved: &[(u16, Visible)]) {
        for (partition, visible) in moved {
            self.look(*partition, visible.next_offset);
        }
    }
}

/// What a process is made of: everything but its memory.
pub struct Parts {
    worker: FoldWorker,
    sink: Sink,
    relay: Relay,
    timer: DeadlineTimer,
    owned: watch::Sender<BTreeSet<u16>>,
}

impl Parts {
    /// Parts with drawn limits.
    pub fn new(around: &Surroundings, number: usize, partitions: &BTreeSet<u16>) -> Parts {
        let dice = around.dice.clone();
        let (owned, owns) = watch::channel(partitions.clone());
        let (log, store): (Arc<dyn EventLog>, Arc<dyn FoldStore>) = (around.log.clone(), around.store.clone());
        let committed = Arc::new(Notify::new());
        let limits = FoldLimits {
            records: 1 + dice.below(40) as usize,
            bytes: [3_000, 1 << 20][dice.below(2) as usize],
            outbox_items: [15, 1 << 20][dice.below(2) as usize],
            stories: 1 + dice.below(30) as usize,
        };
        let batch_items = 1 + dice.below(60) as usize;
        dice.note(format!("process {number}: {limits:?}, {batch_items} items a batch"));
        let warehouse: Arc<dyn LineSink> = around.warehouse.clone();
        let clock: Arc<dyn Fn() -> domain::ids::Timestamp + Send + Sync> = Arc::new(move || dice.now());
        Parts {
            worker: FoldWorker {
                log: log.clone(),
                store: store.clone(),
                partitions: owns.clone(),
                limits,
                committed: committed.clone(),
                asked: Arc::new(Notify::new()),
                alarms: Arc::new(Alarms::default()),
                traces: Arc::default(),
            },
            sink: Sink {
                store: store.clone(),
                partitions: owns.clone(),
                warehouse,
                live: around.watch.clone(),
                committed,
                generation: GENERATION,
                batch_items,
                clock: clock.clone(),
                traces: Arc::default(),
            },
            relay: Relay { control: around.control.clone(), log: log.clone(), writer: format!("relay-{number}") },
            timer: DeadlineTimer {
                store,
                partitions: owns,
                log,
                clock,
                deadline: DEADLINE,
                every: DEADLINE,
                writer: format!("timer-{number}"),
            },
            owned,
        }
    }
}

/// A process that runs: parts and what they remember.
pub struct Process<'a> {
    number: usize,
    parts: &'a Parts,
    around: &'a Surroundings,
    memory: Memory<'a>,
    folded: Option<Folded>,
    lane: usize,
    lanes: usize,
    stage: Stage,
}

impl<'a> Process<'a> {
    /// A process that has just started.
    pub fn start(number: usize, parts: &'a Parts, around: &'a Surroundings) -> Process<'a> {
        let memory = parts.worker.remember_nothing();
        Process { number, parts, around, memory, folded: None, lane: 0, lanes: 0, stage: Stage::Idle }
    }

    fn note(&self, words: &str) {
        self.around.dice.note(format!("{} {words}", self.number));
    }

    /// Ends without a word and starts again, which compares the log with what was folded. Returns
    /// what of it does not belong together.
    pub fn restart(&mut self, partitions: &BTreeSet<u16>) -> Option<String> {
        self.note("ends and starts again");
        *self = Process::start(self.number, self.parts, self.around);
        let all: Vec<u16> = partitions.iter().copied().collect();
        let check = check_continuity(self.around.log.as_ref(), self.around.store.as_ref(), &all);
        match self.around.runtime.block_on(check) {
            Ok(()) | Err(ContinuityError::Log(_) | ContinuityError::Store(_)) => None,
            Err(error) => Some(error.to_string()),
        }
    }

    /// Whether a batch is folded and not committed.
    pub fn is_in_a_turn(&self) -> bool {
        self.folded.is_some()
    }

    /// Another set of partitions is its own.
    pub fn own(&mut self, partitions: BTreeSet<u16>) {
        self.note(&format!("owns {partitions:?}"));
        self.parts.owned.send_replace(partitions);
    }

    /// Half a turn of the fold worker: folds a batch of the next lane, or commits what is folded.
    pub fn fold(&mut self) {
        if let Some(folded) = self.folded.take() {
            let (from, to) = folded.range();
            let moved = self.parts.worker.commit(&mut self.memory, folded);
            self.note(&format!("commits {from}..{to}: {moved:?}"));
            return;
        }
        if self.lane >= self.lanes {
            self.lane = 0;
            self.lanes = self.parts.worker.begin_round(&mut self.memory);
            if self.lanes == 0 {
                return;
            }
        }
        self.folded = self.parts.worker.fold(self.around.runtime.handle(), &mut self.memory, self.lane);
        if let Some(folded) = &self.folded {
            let (from, to) = folded.range();
            self.note(&format!("folds {from}..{to} of lane {}", self.lane));
        }
        self.lane += 1;
    }

    /// One step of the sink.
    pub fn project(&mut self) {
        let was = match &self.stage {
            Stage::Idle => "cuts",
            Stage::Cut(_) => "inserts",
            Stage::Inserted(_) => "announces",
        };
        let done = self.around.runtime.block_on(self.parts.sink.advance(&mut self.stage));
        let words = match (&done, &self.stage) {
            (Ok(SinkStep::NothingWaits), _) => return,
            (Ok(SinkStep::Further), Stage::Cut(batch)) => format!("{:?}", batch.ranges),
            (Ok(SinkStep::Further), _) => "done".to_owned(),
            (Ok(SinkStep::Announced(items)), _) => format!("{items} items"),
            (Err(_), _) => "failed".to_owned(),
        };
        self.note(&format!("{was}: {words}"));
    }

    /// One round of the relay.
    pub fn relay(&self) {
        match self.around.runtime.block_on(self.parts.relay.round()) {
            Ok(0) => {}
            Ok(count) => self.note(&format!("relays {count} decisions")),
            Err(_) => self.note("relays: failed"),
        }
    }

    /// One look of the deadline timer.
    pub fn look_at_deadlines(&self, partition: u16) {
        let end = self.around.log.end(partition);
        let failed = self.around.runtime.block_on(self.parts.timer.round(partition)).is_err();
        let named = self.around.log.end(partition) - end;
        if failed || named > 0 {
            self.note(&format!("writes {named} records of passed deadlines in {partition}, failed: {failed}"));
        }
    }

    /// Partitions that stopped, and why.
    pub fn alarms(&self) -> Vec<(u16, String)> {
        self.parts.worker.alarms.list()
    }
}
