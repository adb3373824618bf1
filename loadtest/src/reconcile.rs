//! Sends a plan to a running product and compares every figure with the oracle.

use crate::plan::{Plan, PlanOptions, Size};
use crate::sender::{Record, SendOptions, Sender};
use crate::vendors::{LiveVendor, Target, open_vendors};
use crate::verify::{Verdict, settle, verify};
use anyhow::Result;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a run may take to settle after the last delivery.
pub const SETTLE_LIMIT: Duration = Duration::from_secs(600);
/// How many problems are printed.
const PROBLEMS_SHOWN: usize = 40;

/// What to reconcile.
#[derive(Debug, Clone)]
pub struct ReconcileOptions {
    /// Data folder of the running product.
    pub data_dir: PathBuf,
    /// Everything follows from it.
    pub seed: u64,
    /// Sales, over all vendors.
    pub purchases: usize,
    /// Vendors.
    pub vendors: usize,
    /// Poisonous events per thousand.
    pub poison_per_thousand: u64,
    /// How to send.
    pub send: SendOptions,
}

/// Runs it. True if nothing differs.
pub async fn reconcile(options: &ReconcileOptions, out: &mut (dyn Write + Send)) -> Result<bool> {
    let target = Target::of_data_dir(&options.data_dir).await?;
    let plan = Arc::new(Plan::generate(PlanOptions {
        seed: options.seed,
        vendors: options.vendors,
        size: Size::Purchases(options.purchases),
        poison_per_thousand: options.poison_per_thousand,
    }));
    print_plan(&plan, out)?;
    let live = Arc::new(open_vendors(&target, &plan).await?);
    let start = Instant::now();
    let sender = Sender::new(target, Arc::clone(&plan), Arc::clone(&live), options.send);
    send_with_progress(&sender, plan.steps.len(), out).await?;
    let sent = start.elapsed();
    settle(&live, SETTLE_LIMIT).await?;
    let settled = start.elapsed();
    writeln!(out, "sent in {} ms, settled after {} ms", sent.as_millis(), settled.as_millis())?;
    conclude(&plan, &live, &sender.record(), out).await
}

/// Sends everything and prints every few seconds how far it is.
pub async fn send_with_progress(sender: &Arc<Sender>, steps: usize, out: &mut (dyn Write + Send)) -> Result<()> {
    let mut sending = tokio::spawn(Arc::clone(sender).run());
    loop {
        match tokio::time::timeout(Duration::from_secs(5), &mut sending).await {
            Ok(finished) => return finished?,
            Err(_) => writeln!(out, "... {} of {steps} steps", sender.done())?,
        }
    }
}

/// What is going to be injected.
pub fn print_plan(plan: &Plan, out: &mut (dyn Write + Send)) -> Result<()> {
    let mut poison: BTreeMap<&str, u64> = BTreeMap::new();
    for event in plan.vendors.iter().flat_map(|vendor| &vendor.events) {
        if let Some(kind) = event.poison {
            *poison.entry(kind).or_default() += 1;
        }
    }
    let purchases: usize = plan.vendors.iter().map(|vendor| vendor.purchases).sum();
    let decisions: usize = plan.vendors.iter().map(|vendor| vendor.during.len()).sum();
    let events = plan.event_count();
    let deliveries = plan.steps.len() - decisions;
    writeln!(out, "{} vendors, {purchases} sales, {events} events, {deliveries} deliveries", plan.vendors.len())?;
    writeln!(out, "{} duplicates, {decisions} decisions while they come in", deliveries - events)?;
    let poison: Vec<String> = poison.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    writeln!(out, "poison: {}", if poison.is_empty() { "none".to_owned() } else { poison.join(", ") })?;
    Ok(())
}

/// Verifies, prints the verdict, and says whether nothing differs.
pub async fn conclude(plan: &Plan, live: &[LiveVendor], record: &Record, out: &mut (dyn Write + Send)) -> Result<bool> {
    let acknowledged: u64 = record.acknowledged_copies.values().sum();
    let attempts: u64 = record.attempts.values().sum();
    writeln!(
        out,
        "{attempts} requests: {acknowledged} acknowledged, {} put off, {} broken, {} refused; {} answers lost on purpose",
        record.put_off,
        record.broken,
        record.refused.len(),
        record.lost_answers
    )?;
    let verdict = verify(plan, live, record).await?;
    print_verdict(&verdict, out)?;
    Ok(verdict.problems.is_empty())
}

fn print_verdict(verdict: &Verdict, out: &mut (dyn Write + Send)) -> Result<()> {
    let outcomes: Vec<String> = verdict.outcomes.iter().map(|(name, count)| format!("{name} {count}")).collect();
    writeln!(out, "outcomes: {}", outcomes.join(", "))?;
    writeln!(
        out,
        "checked {} events, {} figures, {} purchases, {} lines: {} problems",
        verdict.events,
        verdict.figures,
        verdict.purchases,
        verdict.lines,
        verdict.problems.len()
    )?;
    for problem in verdict.problems.iter().take(PROBLEMS_SHOWN) {
        writeln!(out, "  {problem}")?;
    }
    if verdict.problems.len() > PROBLEMS_SHOWN {
        writeln!(out, "  ... and {} more", verdict.problems.len() - PROBLEMS_SHOWN)?;
    }
    writeln!(out, "difference: {} cents", verdict.difference_minor)?;
    Ok(())
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
