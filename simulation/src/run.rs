//! One seed, from its load to its verdict.

use crate::broken::Broken;
use crate::dice::Dice;
use crate::load::Load;
use crate::processes::{Parts, Surroundings, Watch};
use crate::sim_control::SimControl;
use crate::sim_log::SimLog;
use crate::sim_store::SimStore;
use crate::sim_warehouse::SimWarehouse;
use crate::verdict::judge;
use crate::world::{START, World};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How much of the trace is shown.
const SHOWN_STEPS: usize = 30;
/// How many problems are shown.
const SHOWN_PROBLEMS: usize = 12;
/// Seeds that failed once, one a line.
const REGRESSIONS: &str = include_str!("../seeds.txt");

/// What came of a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What is wrong, in words; empty when nothing is.
    pub problems: Vec<String>,
    /// Every step and every fault.
    pub trace: Vec<String>,
    /// How many announced positions were read up to.
    pub looks: usize,
    /// How many records were acknowledged.
    pub acknowledged: usize,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {} problems", self.seed, self.problems.len())?;
        for problem in self.problems.iter().take(SHOWN_PROBLEMS) {
            writeln!(f, "  {problem}")?;
        }
        let from = self.trace.len().saturating_sub(SHOWN_STEPS);
        writeln!(f, "  the last of {} steps:", self.trace.len())?;
        for (number, step) in self.trace.iter().enumerate().skip(from) {
            writeln!(f, "    {number:5} {step}")?;
        }
        Ok(())
    }
}

/// Seeds that failed once; they are run before all others.
pub fn regressions() -> Vec<u64> {
    let lines = REGRESSIONS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).filter_map(|line| line.parse().ok()).collect()
}

/// Runs a seed, with a rule of the product broken if one is named.
///
/// # Errors
/// When the simulation itself cannot run, for example without a temporary folder.
pub fn simulate(seed: u64, broken: Option<Broken>) -> anyhow::Result<Report> {
    let dice = Arc::new(Dice::new(seed, START));
    let around = surroundings(&dice, broken)?;
    // A check within the product that fails is a finding, and its seed has to be known.
    let ended = catch_unwind(AssertUnwindSafe(|| live_through(seed, &around)));
    let (problems, acknowledged) = match ended {
        Ok(result) => result?,
        Err(panic) => (vec![format!("it panicked: {}", words_of(panic.as_ref()))], 0),
    };
    Ok(Report { seed, problems, trace: dice.trace(), looks: around.watch.seen().len(), acknowledged })
}

fn surroundings(dice: &Arc<Dice>, broken: Option<Broken>) -> anyhow::Result<Surroundings> {
    let warehouse = Arc::new(SimWarehouse::new(dice.clone(), broken));
    Ok(Surroundings {
        dice: dice.clone(),
        log: Arc::new(SimLog::new(dice.clone(), broken)),
        store: Arc::new(SimStore::new(dice.clone(), broken)?),
        watch: Arc::new(Watch::new(warehouse.clone(), dice.clone())),
        warehouse,
        control: Arc::new(SimControl::new(dice.clone())),
        runtime: tokio::runtime::Builder::new_current_thread().build()?,
    })
}

fn live_through(seed: u64, around: &Surroundings) -> anyhow::Result<(Vec<String>, usize)> {
    let load = Load::draw(seed);
    let count = 1 + around.dice.below(3) as usize;
    let parts: Vec<Parts> = (0..count).map(|number| Parts::new(around, number, &load.partitions)).collect();
    let mut world = World::new(around, &parts, load);
    world.run()?;
    Ok((judge(around, &world)?, world.acknowledged.len()))
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
