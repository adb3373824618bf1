//! The kill test: the whole process is killed at random moments while deliveries come in, and
//! again while it catches up; in the end every figure must be right.

use crate::draw::between;
use crate::own_folder::OwnFolder;
use crate::plan::{Plan, PlanOptions, Size, Step};
use crate::reconcile::{SETTLE_LIMIT, conclude, print_plan};
use crate::sender::{SendOptions, Sender};
use crate::vendors::{LiveVendor, Target, open_vendors};
use crate::verify::{read_ledger, settle};
use anyhow::{Result, bail};
use corpus::client::Http;
use corpus::product::{Product, StartOptions};
use corpus::shuffle::SplitMix;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Events that are delivered once more in the end; nothing may change.
const REDELIVERED: usize = 200;

/// What to kill.
#[derive(Debug, Clone)]
pub struct KillOptions {
    /// The product's binary.
    pub binary: PathBuf,
    /// Everything but the exact instants follows from it.
    pub seed: u64,
    /// About so many deliveries.
    pub deliveries: usize,
    /// Kills while deliveries come in.
    pub kills: usize,
    /// Kills while it catches up afterwards.
    pub kills_after: usize,
    /// Vendors.
    pub vendors: usize,
    /// Poisonous events per thousand.
    pub poison_per_thousand: u64,
    /// How to send.
    pub send: SendOptions,
    /// Keep the data folder and say where it is.
    pub keep: bool,
}

/// Runs it. True if nothing differs.
pub async fn kill_test(options: &KillOptions, out: &mut (dyn Write + Send)) -> Result<bool> {
    let folder = OwnFolder::new("kill")?;
    let start = folder.start_options(&options.binary)?;
    let result = run(options, &start, out).await;
    folder.end(options.keep, &result, out)?;
    result
}

async fn run(options: &KillOptions, start: &StartOptions, out: &mut (dyn Write + Send)) -> Result<bool> {
    let plan = Arc::new(Plan::generate(PlanOptions {
        seed: options.seed,
        vendors: options.vendors,
        size: Size::Deliveries(options.deliveries),
        poison_per_thousand: options.poison_per_thousand,
    }));
    print_plan(&plan, out)?;
    let mut victim = Victim::start(start, options.seed).await?;
    let target =
        Target { http: Http::default(), socket: victim.product.socket(), url: victim.product.url().to_owned() };
    let live = Arc::new(open_vendors(&target, &plan).await?);
    let sender = Sender::new(target, Arc::clone(&plan), Arc::clone(&live), options.send);
    let mut sending = tokio::spawn(Arc::clone(&sender).run());
    for at in victim.moments(options.kills, plan.steps.len() as u64) {
        wait_for_progress(&sender, at, &mut sending).await?;
        victim.kill_and_restart(15).await?;
        writeln!(out, "killed at step {} of {}, back again", sender.done(), plan.steps.len())?;
    }
    finish(&mut sending).await?;
    for _ in 0..options.kills_after {
        victim.kill_and_restart(250).await?;
        writeln!(out, "killed while it caught up, back again")?;
    }
    settle(&live, SETTLE_LIMIT).await?;
    let unchanged = redeliver(&plan, &live, &sender, options.seed, out).await?;
    writeln!(out, "killed {} times with SIGKILL", victim.kills)?;
    let right = conclude(&plan, &live, &sender.record(), out).await?;
    let in_order = victim.product.stop().await?;
    if !in_order {
        writeln!(out, "the product did not end within a minute of SIGTERM")?;
    }
    Ok(right && unchanged && in_order)
}

/// The product under test, and when it is killed.
struct Victim {
    product: Product,
    start: StartOptions,
    random: SplitMix,
    kills: usize,
}

impl Victim {
    async fn start(start: &StartOptions, seed: u64) -> Result<Victim> {
        let product = Product::start(start).await?;
        Ok(Victim { product, start: start.clone(), random: SplitMix::new(seed ^ 0xdead), kills: 0 })
    }

    /// Steps at which to kill, in order, none of them in the last tenth.
    fn moments(&mut self, count: usize, steps: u64) -> Vec<u64> {
        let mut moments: Vec<u64> = (0..count).map(|_| self.random.below(steps * 9 / 10)).collect();
        moments.sort_unstable();
        moments
    }

    /// Kills after a random part of `within_ms`, and starts again on the same folder and port.
    /// Every third time it is killed once more as soon as it answers.
    async fn kill_and_restart(&mut self, within_ms: i64) -> Result<()> {
        let rounds = if self.random.below(3) == 0 { 2 } else { 1 };
        for _ in 0..rounds {
            let pause = between(&mut self.random, 0, within_ms * 1000);
            tokio::time::sleep(Duration::from_micros(pause.unsigned_abs())).await;
            self.product.check_running()?;
            self.product.kill().await?;
            self.kills += 1;
            self.product = Product::start(&self.start).await?;
        }
        Ok(())
    }
}

async fn wait_for_progress(sender: &Sender, at: u64, sending: &mut JoinHandle<Result<()>>) -> Result<()> {
    while sender.done() < at {
        if sending.is_finished() {
            // Surfaces the reason if it ended early; its end is looked at once more below.
            return finish_early(sending, sender, at).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

async fn finish_early(sending: &mut JoinHandle<Result<()>>, sender: &Sender, at: u64) -> Result<()> {
    finish(sending).await?;
    bail!("sending ended at step {} before the kill at step {at}", sender.done())
}

async fn finish(sending: &mut JoinHandle<Result<()>>) -> Result<()> {
    tokio::time::timeout(SETTLE_LIMIT, sending).await??
}

/// Delivers some events once more and compares the totals before and after.
async fn redeliver(
    plan: &Plan,
    live: &[LiveVendor],
    sender: &Sender,
    seed: u64,
    out: &mut (dyn Write + Send),
) -> Result<bool> {
    let mut before = Vec::new();
    for vendor in live {
        before.push(read_ledger(&vendor.api).await?);
    }
    let mut random = SplitMix::new(seed ^ 0xbeef);
    for _ in 0..REDELIVERED {
        let position = random.below(plan.steps.len() as u64) as usize;
        if let Step::Deliver { vendor, event, .. } = plan.steps[position] {
            sender.deliver(vendor, event, false).await?;
        }
    }
    settle(live, SETTLE_LIMIT).await?;
    let mut unchanged = true;
    for (vendor, before) in live.iter().zip(before) {
        unchanged &= read_ledger(&vendor.api).await? == before;
    }
    let words = if unchanged { "nothing changed" } else { "TOTALS CHANGED" };
    writeln!(out, "{REDELIVERED} events delivered once more: {words}")?;
    Ok(unchanged)
}
