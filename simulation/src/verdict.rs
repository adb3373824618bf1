//! What has to hold after a run.

use crate::processes::Surroundings;
use crate::reference::{Reference, records_of, stories_of};
use crate::sim_warehouse::{Tables, hash_of};
use crate::world::World;
use domain::ids::Mode;
use loadtest::oracle::{Figures, Ledger};
use loadtest::verify::{Verdict, compare_ledgers};
use processor::audit::{Audit, Differences};
use processor::owns_everything;
use processor::state::StoreState;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use store::fold_store::FoldStore;
use tests::books::Books;

/// Every outcome that a record may have in the end: nothing waits when all has happened.
const OUTCOMES: [&str; 5] = ["counted", "no_effect", "ignored", "refused", "decisions"];

/// What was found.
pub struct Judged<'a> {
    around: &'a Surroundings,
    world: &'a World<'a>,
    reference: Reference,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

/// Looks at everything.
///
/// # Errors
/// When something cannot be read.
pub fn judge(around: &Surroundings, world: &World<'_>) -> anyhow::Result<Vec<String>> {
    let reference = Reference::fold(&around.log, &world.load().partitions)?;
    let mut judged = Judged { around, world, reference, problems: world.problems.clone() };
    judged.check_acknowledged();
    judged.check_records()?;
    judged.check_outcome_counts()?;
    judged.check_pictures();
    judged.check_state()?;
    judged.check_ledgers(&around.warehouse.tables());
    judged.check_books()?;
    judged.check_decisions()?;
    Ok(judged.problems)
}

impl Judged<'_> {
    fn say(&mut self, words: String) {
        self.problems.push(words);
    }

    /// What was acknowledged is in the log, where it was said to be.
    fn check_acknowledged(&mut self) {
        let hashes = |partition: &u16| self.around.log.all(*partition).iter().map(|one| hash_of(&one.bytes)).collect();
        let stored: BTreeMap<u16, Vec<u64>> =
            self.world.load().partitions.iter().map(|partition| (*partition, hashes(partition))).collect();
        for one in &self.world.acknowledged {
            if stored[&one.partition].get(one.offset as usize) != Some(&one.hash) {
                self.problems.push(format!("{}-{} was acknowledged and is not there", one.partition, one.offset));
            }
        }
    }

    /// P1: every record has one outcome, the same as without faults.
    fn check_records(&mut self) -> anyhow::Result<()> {
        let store = self.around.store.real();
        for partition in &self.world.load().partitions {
            let end = self.around.log.end(*partition);
            let (position, found) = records_of(store.as_ref(), *partition, end)?;
            let (wanted_position, wanted) = records_of(&self.reference.store, *partition, end)?;
            if found.len() as u64 != end {
                self.problems.push(format!("partition {partition}: {end} records, {} have an outcome", found.len()));
            }
            let ended = found.iter().filter(|record| !OUTCOMES.contains(&record.outcome.as_str()));
            self.problems.extend(ended.map(|record| format!("it ended so: {record:?}")));
            let differences = found.iter().zip(&wanted).filter(|(found, wanted)| found != wanted);
            self.problems
                .extend(differences.take(3).map(|(found, wanted)| format!("{found:?}, but undisturbed {wanted:?}")));
            if position != wanted_position {
                self.problems.push(format!("{position:?}, but undisturbed {wanted_position:?}"));
            }
        }
        Ok(())
    }

    /// The product's own audit finds nothing.
    fn check_outcome_counts(&mut self) -> anyhow::Result<()> {
        let store = self.around.store.real();
        let dice = self.around.dice.clone();
        let audit = Audit {
            store: store.clone(),
            log: self.around.log.clone(),
            partitions: owns_everything(),
            clock: Arc::new(move || dice.now()),
            differences: Arc::new(Differences::default()),
            measured_at: Default::default(),
        };
        self.around.runtime.block_on(audit.check())?;
        self.problems.extend(audit.differences.list());
        for vendor in &self.world.load().vendors {
            let found = store.outcome_counts(vendor.id, Mode::Live)?;
            let wanted = self.reference.store.outcome_counts(vendor.id, Mode::Live)?;
            if found != wanted {
                self.problems.push(format!("outcomes of {}: {found:?}, but undisturbed {wanted:?}", vendor.slug));
            }
        }
        Ok(())
    }

    /// P6: whatever was read up to an announced position was the truth there.
    fn check_pictures(&mut self) {
        let seen = self.around.watch.seen();
        let wrong = seen.iter().filter_map(|one| {
            let truth = self.reference.tables.picture(one.partition, one.below);
            (one.picture != truth).then(|| {
                format!(
                    "at trace line {}, partition {} read up to {}: {:?}, the truth is {truth:?}",
                    one.step, one.partition, one.below, one.picture
                )
            })
        });
        self.problems.extend(wrong.take(3));
        let tables = self.around.warehouse.tables();
        let (found, wanted) = (tables.lines().count(), self.reference.tables.lines().count());
        if found != wanted {
            self.problems.push(format!("{found} lines in the warehouse, {wanted} undisturbed"));
        }
        self.problems.extend(tables.problems.into_iter().take(3));
    }

    /// The fold store knows what it knows without faults.
    fn check_state(&mut self) -> anyhow::Result<()> {
        let store = self.around.store.real();
        for vendor in &self.world.load().vendors {
            let (found, wanted) =
                (stories_of(store.as_ref(), vendor.id)?, stories_of(&self.reference.store, vendor.id)?);
            if found != wanted {
                self.say(format!("the stories of {} are not those of an undisturbed fold", vendor.slug));
            }
        }
        Ok(())
    }

    /// P2 and P3: the lines add up to what the oracle says.
    fn check_ledgers(&mut self, tables: &Tables) {
        let mut verdict = Verdict::default();
        for vendor in &self.world.load().vendors {
            let mut ledger = Ledger::new();
            for line in tables.lines().filter(|line| line.vendor == vendor.id) {
                let handle = vendor.handles.get(&line.affiliate).cloned().unwrap_or_default();
                let figures: &mut Figures = ledger.entry((handle, line.currency.to_string())).or_default();
                figures.redemptions += i128::from(line.amounts.redemptions);
                figures.conversions += i128::from(line.amounts.conversions);
                figures.revenue += i128::from(line.amounts.net);
                figures.commission += i128::from(line.amounts.commission);
            }
            compare_ledgers(&vendor.slug, &vendor.expected, &ledger, &mut verdict);
        }
        self.problems.extend(verdict.problems);
    }

    /// P4: every story is booked at its target.
    fn check_books(&mut self) -> anyhow::Result<()> {
        let store = self.around.store.real();
        for vendor in &self.world.load().vendors {
            let stories = stories_of(store.as_ref(), vendor.id)?;
            let mut state = StoreState::new(store.as_ref());
            let read = catch_unwind(AssertUnwindSafe(|| Books::read(&mut state, vendor.id, &stories)));
            match read {
                Ok(books) if books.unplaced.iter().all(|(_, _, refused)| refused.is_some()) => {}
                Ok(_) => self.say(format!("a refund or the like of {} has no sale", vendor.slug)),
                Err(_) => self.say(format!("the books of {} are not at their target", vendor.slug)),
            }
        }
        Ok(())
    }

    /// Every decision arrived, in order, once.
    fn check_decisions(&mut self) -> anyhow::Result<()> {
        let store = self.around.store.real();
        for (vendor, decided) in self.around.control.decided() {
            let sequences: Vec<u64> = store.decisions(&[vendor])?.into_iter().flatten().map(|(seq, _)| seq).collect();
            if sequences != (1..=decided).collect::<Vec<u64>>() {
                self.say(format!("vendor {vendor} decided {decided} times, the fold knows {sequences:?}"));
            }
        }
        Ok(())
    }
}
