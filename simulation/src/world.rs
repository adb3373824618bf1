//! The scheduler: who does the next step is drawn, until everything has happened; then nothing
//! fails any more, and all has to come to rest.

use crate::load::{Happening, Load};
use crate::processes::{Parts, Process, Surroundings};
use crate::sim_warehouse::hash_of;
use domain::ids::Timestamp;
use schemas::record::Record;
use std::collections::BTreeSet;
use store::event_log::{EventLog, NewRecord, partition_of};
use store::fold_store::FoldStore;

/// Steps of the storm, at most; the rest of the load comes in the calm.
const STORM_STEPS: usize = 8_000;
/// Steps of the storm after everything has happened.
const AFTER_LOAD: usize = 150;
/// Steps in which a calm world has to come to rest.
const CALM_STEPS: usize = 60_000;
/// How often is looked whether it has.
const LOOK_EVERY: usize = 25;
/// Longest time between two steps, in milliseconds.
const STEP_MS: u64 = 60_000;

/// When a run begins.
pub const START: Timestamp = Timestamp(1_790_000_000_000);

/// Who does a step, or what happens to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Outside,
    Fold,
    Project,
    Relay,
    Deadlines,
    Restart,
    Own,
    LandLate,
    ForgetTokens,
    CopyStore,
    RestoreStore,
    RewindStore,
}

/// How often each is drawn, and whether a run may be without it.
const ACTIONS: [(Action, u64, bool); 12] = [
    (Action::Outside, 300, false),
    (Action::Fold, 500, false),
    (Action::Project, 350, false),
    (Action::Relay, 60, false),
    (Action::Deadlines, 6, true),
    (Action::Restart, 25, true),
    (Action::Own, 10, true),
    (Action::LandLate, 30, true),
    (Action::ForgetTokens, 10, true),
    (Action::CopyStore, 10, true),
    (Action::RestoreStore, 4, true),
    (Action::RewindStore, 4, true),
];

/// A record that was acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    /// Partition.
    pub partition: u16,
    /// Where the log said it is.
    pub offset: u64,
    /// Hash of its bytes.
    pub hash: u64,
}

/// Everything that acts.
pub struct World<'a> {
    around: &'a Surroundings,
    load: Load,
    processes: Vec<Process<'a>>,
    /// Deliveries without an answer; the provider tries again.
    again: Vec<Record>,
    weights: Vec<(Action, u64)>,
    /// What was acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// What must not happen and did.
    pub problems: Vec<String>,
}

impl<'a> World<'a> {
    /// A world in which nothing has happened.
    pub fn new(around: &'a Surroundings, parts: &'a [Parts], load: Load) -> World<'a> {
        let dice = &around.dice;
        let weights = ACTIONS.into_iter().map(|(action, often, may_lack)| {
            let factor = [0, 1, 2, 4][dice.below(4) as usize];
            (action, often * if may_lack { factor } else { factor.max(1) })
        });
        let weights = weights.collect();
        let processes = (0..).zip(parts).map(|(number, parts)| Process::start(number, parts, around)).collect();
        World { around, load, processes, again: Vec::new(), weights, acknowledged: Vec::new(), problems: Vec::new() }
    }

    /// Lets everything happen, and then lets it come to rest.
    ///
    /// # Errors
    /// When the simulation itself cannot go on.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let mut left = AFTER_LOAD;
        for _ in 0..STORM_STEPS {
            if self.has_happened() {
                left -= 1;
            }
            if left == 0 {
                break;
            }
            let action = self.draw();
            self.step(action)?;
        }
        self.calm()
    }

    fn draw(&self) -> Action {
        let total: u64 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut rest = self.around.dice.below(total);
        for (action, weight) in &self.weights {
            if rest < *weight {
                return *action;
            }
            rest -= weight;
        }
        Action::Fold
    }

    fn step(&mut self, action: Action) -> anyhow::Result<()> {
        let around = self.around;
        around.dice.pass_time(STEP_MS);
        let number = around.dice.below(self.processes.len() as u64) as usize;
        let process = &mut self.processes[number];
        match action {
            Action::Outside => self.outside(),
            Action::Fold => process.fold(),
            Action::Project => process.project(),
            Action::Relay => process.relay(),
            Action::Deadlines => process.look_at_deadlines(any_of(around, &self.load.partitions)),
            Action::Restart => self.restart(number)?,
            Action::Own => {
                let some = self.load.partitions.iter().copied().filter(|_| around.dice.chance(600)).collect();
                process.own(some);
            }
            Action::LandLate => {
                if around.warehouse.land_late() {
                    around.dice.note("a late batch arrives".to_owned());
                }
            }
            Action::ForgetTokens => {
                around.dice.note("the warehouse forgets its tokens".to_owned());
                around.warehouse.forget_tokens();
            }
            Action::CopyStore => {
                around.dice.note("the fold store is copied".to_owned());
                around.store.copy()?;
            }
            Action::RestoreStore => self.restore(true)?,
            Action::RewindStore => self.restore(false)?,
        }
        self.check_alarms(number);
        Ok(())
    }

    /// A delivery, one that was not answered, or a decision.
    fn outside(&mut self) {
        let dice = &self.around.dice;
        if !self.again.is_empty() && (self.load.happenings.is_empty() || dice.chance(300)) {
            let record = self.again.swap_remove(dice.below(self.again.len() as u64) as usize);
            return self.deliver(record);
        }
        match self.load.happenings.pop_front() {
            Some(Happening::Decision(vendor, decision)) => {
                dice.note(format!("vendor {vendor} decides: {}", decision.kind()));
                self.around.control.decide(vendor, decision);
            }
            Some(Happening::Delivery(record)) => self.deliver(*record),
            None => {}
        }
    }

    fn deliver(&mut self, record: Record) {
        let around = self.around;
        let record = Record { at: around.dice.now(), ..record };
        let partition = partition_of(record.vendor);
        let bytes = record.encode();
        let hash = hash_of(&bytes);
        let answer = around.runtime.block_on(around.log.append(NewRecord { partition, bytes }));
        match answer.map(|appended| appended.offset()) {
            Ok(Some(offset)) => {
                around.dice.note(format!("delivered: {partition}-{offset}"));
                self.acknowledged.push(Acknowledged { partition, offset, hash });
            }
            Ok(None) | Err(_) => {
                around.dice.note(format!("delivered to {partition}, not acknowledged"));
                self.again.push(record);
            }
        }
    }

    fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        let words = self.processes[number].restart(&self.load.partitions);
        self.problems.extend(words);
        self.look_at_visible()
    }

    /// An older copy takes the fold store's place: while everybody is down, or (a database that
    /// failed over and lost its last commits) under processes that go on.
    fn restore(&mut self, everybody_is_down: bool) -> anyhow::Result<()> {
        if !self.around.store.restore()? {
            return Ok(());
        }
        self.around.dice.note(format!("an older fold store, everybody is down: {everybody_is_down}"));
        for number in 0..self.processes.len() {
            // Who is in the middle of a turn has read what is not there any more, and may find the position where it
            // began: it must not commit (docs/ARCHITECTURE.md, Postgres). Who is between two turns may go on.
            if everybody_is_down || self.processes[number].is_in_a_turn() {
                self.restart(number)?;
            }
        }
        self.look_at_visible()
    }

    /// Pages that start anew read up to what the fold store says is visible.
    fn look_at_visible(&self) -> anyhow::Result<()> {
        for partition in &self.load.partitions {
            let visible = self.around.store.real().visible(*partition)?;
            self.around.watch.look(*partition, visible.next_offset);
        }
        Ok(())
    }

    /// The log is whole, so nobody may say that it is not.
    fn check_alarms(&mut self, number: usize) {
        for (partition, words) in self.processes[number].alarms() {
            if words.contains("Restore the log") && !self.problems.contains(&words) {
                self.around.dice.note(format!("{number} alarm of {partition}: {words}"));
                self.problems.push(words);
            }
        }
    }

    fn has_happened(&self) -> bool {
        self.load.happenings.is_empty() && self.again.is_empty()
    }

    /// From here on nothing fails, and everybody owns everything.
    fn calm(&mut self) -> anyhow::Result<()> {
        self.around.dice.calm_down();
        for process in &mut self.processes {
            process.own(self.load.partitions.clone());
        }
        let actions = [Action::Outside, Action::Fold, Action::Fold, Action::Project, Action::Relay, Action::LandLate];
        for step in 0..CALM_STEPS {
            let action = actions[self.around.dice.below(actions.len() as u64) as usize];
            self.step(action)?;
            if step % LOOK_EVERY == 0 && self.is_at_rest()? {
                while self.around.warehouse.land_late() {}
                self.look_at_visible()?;
                return Ok(());
            }
        }
        self.problems.push(format!("it did not come to rest: {}", self.unrest()?));
        Ok(())
    }

    fn is_at_rest(&self) -> anyhow::Result<bool> {
        if !self.has_happened() || self.around.control.waiting() > 0 {
            return Ok(false);
        }
        let store = self.around.store.real();
        for partition in &self.load.partitions {
            let position = store.position(*partition)?;
            let visible = store.visible(*partition)?.next_offset;
            let end = self.around.log.end(*partition);
            if position.fanout.is_some() || position.next_offset != end || visible != end {
                return Ok(false);
            }
        }
        let is_stopped = self.processes.iter().any(|process| !process.alarms().is_empty());
        Ok(store.outbox_len()? == 0 && !is_stopped)
    }

    fn unrest(&self) -> anyhow::Result<String> {
        let store = self.around.store.real();
        let mut words = format!("{} items in the outbox", store.outbox_len()?);
        for (partition, why) in self.processes.iter().flat_map(|process| process.alarms()) {
            words += &format!(", {partition} is stopped: {why}");
        }
        for partition in &self.load.partitions {
            let position = store.position(*partition)?;
            let (visible, end) = (store.visible(*partition)?.next_offset, self.around.log.end(*partition));
            words += &format!(
                ", partition {partition}: folded {} of {end}, fan-out {:?}, visible {visible}",
                position.next_offset, position.fanout
            );
        }
        Ok(words)
    }

    /// Partitions and vendors, for the verdict.
    pub fn load(&self) -> &Load {
        &self.load
    }
}

fn any_of(around: &Surroundings, partitions: &BTreeSet<u16>) -> u16 {
    let all: Vec<u16> = partitions.iter().copied().collect();
    all[around.dice.below(all.len() as u64) as usize]
}
