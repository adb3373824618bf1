//! Everything that is drawn while a run goes on, and the trace of what came of it.

use corpus::shuffle::SplitMix;
use domain::ids::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The log stores nothing and says so.
    AppendRefused,
    /// The log stores the record; the answer does not arrive.
    AppendAnswerLost,
    /// A read of the log fails.
    ReadFails,
    /// A read of the log gives fewer records than there are.
    ReadShort,
    /// A read of the fold store fails.
    StoreReadFails,
    /// A commit fails and nothing happened.
    CommitFails,
    /// A commit happened; the answer does not arrive.
    CommitAnswerLost,
    /// A commit is refused as if somebody else had moved the position.
    CommitConflict,
    /// The outbox cannot be cut.
    OutboxFails,
    /// What is visible does not move, and that is said.
    DeliveredFails,
    /// What is visible moved; the answer does not arrive.
    DeliveredAnswerLost,
    /// The warehouse takes nothing and says so.
    InsertRefused,
    /// The warehouse has the purchases and not the lines.
    InsertHalf,
    /// The warehouse has everything; the answer does not arrive.
    InsertAnswerLost,
    /// No answer in time, and the rows come later.
    InsertLate,
    /// The relay cannot mark what it appended.
    MarkFails,
    /// It is marked; the answer does not arrive.
    MarkAnswerLost,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 17] = [
        Fault::AppendRefused,
        Fault::AppendAnswerLost,
        Fault::ReadFails,
        Fault::ReadShort,
        Fault::StoreReadFails,
        Fault::CommitFails,
        Fault::CommitAnswerLost,
        Fault::CommitConflict,
        Fault::OutboxFails,
        Fault::DeliveredFails,
        Fault::DeliveredAnswerLost,
        Fault::InsertRefused,
        Fault::InsertHalf,
        Fault::InsertAnswerLost,
        Fault::InsertLate,
        Fault::MarkFails,
        Fault::MarkAnswerLost,
    ];

    /// The highest rate per thousand. A turn reads the store often, so one read seldom fails.
    fn most_per_thousand(self) -> u64 {
        match self {
            Fault::StoreReadFails => 8,
            Fault::ReadShort => 400,
            _ => 200,
        }
    }
}

/// Draws, remembers what happened, and says what time it is.
pub struct Dice {
    random: Mutex<SplitMix>,
    /// Per thousand, by fault; 0 = not in this run.
    rates: Vec<u64>,
    is_calm: AtomicBool,
    now: AtomicI64,
    trace: Mutex<Vec<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dice {
    /// Draws which faults a run has, and how often. Four in ten are left out, so that each is seen
    /// without the others.
    pub fn new(seed: u64, start: Timestamp) -> Dice {
        // Another sequence than the load's, which begins at the seed itself.
        let mut random = SplitMix::new(seed ^ 0x5eed_0f0f_a117_5eed);
        let mut rate = |fault: Fault| match random.below(10) {
            0..4 => 0,
            _ => 1 + random.below(fault.most_per_thousand()),
        };
        let rates = Fault::ALL.into_iter().map(&mut rate).collect();
        Dice {
            random: Mutex::new(random),
            rates,
            is_calm: AtomicBool::new(false),
            now: AtomicI64::new(start.0),
            trace: Mutex::new(Vec::new()),
        }
    }

    /// A number below `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        locked(&self.random).below(bound)
    }

    /// Draws with a probability in per thousand.
    pub fn chance(&self, per_thousand: u64) -> bool {
        self.below(1_000) < per_thousand
    }

    /// Whether a fault happens now. It is noted.
    pub fn strikes(&self, fault: Fault) -> bool {
        let rate = self.rates[fault as usize];
        if rate == 0 || self.is_calm.load(Ordering::Relaxed) || !self.chance(rate) {
            return false;
        }
        self.note(format!("  fault: {fault:?}"));
        true
    }

    /// From now on nothing fails.
    pub fn calm_down(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
        self.note("nothing fails from here on".to_owned());
    }

    /// The time of the run.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }

    /// Time passes, in milliseconds.
    pub fn pass_time(&self, most_ms: u64) {
        let passed = self.below(most_ms) as i64;
        self.now.fetch_add(passed, Ordering::Relaxed);
    }

    /// Writes into the trace.
    pub fn note(&self, words: String) {
        locked(&self.trace).push(words);
    }

    /// How many steps and faults there were.
    pub fn steps(&self) -> usize {
        locked(&self.trace).len()
    }

    /// Everything that happened.
    pub fn trace(&self) -> Vec<String> {
        locked(&self.trace).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_numbered_in_the_order_of_the_list() {
        for (number, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, number);
        }
    }

    #[test]
    fn nothing_strikes_in_the_calm() {
        let dice = Dice::new(1, Timestamp(0));
        let struck = |dice: &Dice| (0..2_000).filter(|n| dice.strikes(Fault::ALL[n % Fault::ALL.len()])).count();
        assert!(struck(&dice) > 0);
        dice.calm_down();
        assert_eq!(struck(&dice), 0);
    }
}
