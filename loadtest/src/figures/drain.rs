//! How long a backlog takes after an outage, against `t = T * rho / (1 - rho)` with `rho = rate / capacity`.
//!
//! For each part twice the same: first a backlog of so many events without a load beside it, which gives the capacity of
//! what has to be done again; then an outage under a steady load, which goes on until everything has caught up.

use super::outage::{Outage, Part};
use super::processing::SETTLE_LIMIT;
use super::roles::Roles;
use super::watch::{Drained, LOOK_EVERY, Progress, drained, settled};
use super::{FigureOptions, Out, Row, ratio, say, seconds};
use crate::chaos::scene::spool_bytes;
use crate::stream::{Endpoint, Stream};
use anyhow::{Result, ensure};
use std::time::Duration;
use tokio::time::Instant;

/// Vendors of the load.
const VENDORS: usize = 64;
/// Of the formula.
const GOAL: &str = "0.8 to 1.2";
/// Unless told otherwise the rate is this part of the capacity.
const SHARE_OF_CAPACITY: u64 = 3;
/// But no more than this: the sink alone can do more than the fold before it, which has to keep up.
const MOST_RATE: u64 = 1_000;
/// The load runs so long before the outage.
const WARM_UP: Duration = Duration::from_secs(10);
/// A backlog may take so many times the outage, and this much more.
const DRAIN_FACTOR: u32 = 6;
const DRAIN_LEAST: Duration = Duration::from_secs(300);
/// An edge says once a second how much its spool holds.
const SPOOL_IS_SAID: Duration = Duration::from_millis(1_200);

/// One part's outage.
struct Case<'a> {
    part: Part,
    options: &'a FigureOptions,
    roles: Roles,
    outage: Outage,
    endpoints: Vec<Endpoint>,
}

/// What came out of the outage under load.
struct Found {
    rate: u64,
    capacity: u64,
    drained: Drained,
    acknowledged_meanwhile: u64,
    not_acknowledged: u64,
    lost: u64,
}

/// A row for each part.
pub async fn measure(options: &FigureOptions, out: Out<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for part in Part::ALL.into_iter().filter(|part| options.only.is_none_or(|only| only == *part)) {
        say(out, &format!("{}:", part.words()))?;
        let folder = Roles::folder()?;
        let (outage, environment) = Outage::prepare(part, options, folder.path()).await?;
        let roles = Roles::start(options, folder, environment).await?;
        let mut case = Case { part, options, roles, outage, endpoints: Vec::new() };
        let found = case.run(out).await;
        case.roles.end(out).await?;
        rows.push(match found {
            Ok(found) => row(part, options, &found),
            // The other parts can still be measured.
            Err(error) => {
                Row::new(format!("Caught up without: {}", part.words()), GOAL, format!("**failed:** {error:#}"))
            }
        });
    }
    Ok(rows)
}

impl Case<'_> {
    async fn run(&mut self, out: Out<'_>) -> Result<Found> {
        self.endpoints = self.roles.open("drain", VENDORS).await?;
        let capacity = self.capacity(out).await?;
        self.under_load(capacity, out).await
    }

    /// Records per second that become readable when there is a backlog and nothing else to do.
    async fn capacity(&mut self, out: Out<'_>) -> Result<u64> {
        let socket = self.roles.cluster.socket();
        let before = settled(&socket, SETTLE_LIMIT).await?;
        self.outage.begin(&mut self.roles).await?;
        let tally = self.roles.fill(&self.endpoints, self.options.events).await?;
        if self.part == Part::Warehouse {
            self.wait_until_folded(before.folded + tally.acknowledged).await?;
        }
        let began = Instant::now();
        self.outage.end(&mut self.roles)?;
        let drained = drained(&socket, before, before.visible + tally.acknowledged, began, self.drain_limit()).await?;
        self.roles.cluster.check_running()?;
        say(
            out,
            &format!(
                "{} events readable after {}, the first after {}, which is a capacity of {}/s",
                drained.records,
                seconds(drained.all),
                seconds(drained.first),
                drained.rate()
            ),
        )?;
        Ok(drained.rate().max(1))
    }

    /// The outage itself.
    async fn under_load(&mut self, capacity: u64, out: Out<'_>) -> Result<Found> {
        let rate = self.options.rate.unwrap_or((capacity / SHARE_OF_CAPACITY).clamp(10, MOST_RATE));
        let socket = self.roles.cluster.socket();
        let before = settled(&socket, SETTLE_LIMIT).await?;
        let longest = WARM_UP + self.options.outage + self.drain_limit();
        let load = self.roles.stream(&self.endpoints, Some(rate), longest, rate * longest.as_secs());
        tokio::time::sleep(WARM_UP).await;
        let acknowledged = load.acknowledged();
        self.outage.begin(&mut self.roles).await?;
        let gone = Instant::now();
        tokio::time::sleep(self.options.outage).await;
        let acknowledged_meanwhile = load.acknowledged() - acknowledged;
        say(out, &format!("away for {} at {rate}/s: {acknowledged_meanwhile} acknowledged", seconds(gone.elapsed())))?;
        let began = Instant::now();
        self.outage.end(&mut self.roles)?;
        let drained = self.caught_up(&load, before, began, rate).await?;
        load.stop();
        let tally = load.end().await?;
        self.roles.cluster.check_running()?;
        let after = self.settled_with_spools().await?;
        let lost = tally.acknowledged.saturating_sub(after.visible - before.visible);
        let not_acknowledged = tally.answered_otherwise + tally.broken;
        Ok(Found { rate, capacity, drained, acknowledged_meanwhile, not_acknowledged, lost })
    }

    /// Waits until what cannot be read yet is less than one second of the load.
    async fn caught_up(&mut self, load: &Stream, before: Progress, began: Instant, rate: u64) -> Result<Drained> {
        let socket = self.roles.cluster.socket();
        let acknowledged = load.acknowledged();
        let (mut stood, mut first, mut stood_until) = (None, None, Duration::ZERO);
        loop {
            let asked = began.elapsed();
            if let Ok(now) = Progress::of(&socket).await {
                let stood_at = *stood.get_or_insert(now);
                if first.is_none() && now.visible > stood_at.visible {
                    first = Some(stood_until);
                }
                let is_all_there = now.visible - before.visible.min(now.visible) >= acknowledged;
                if is_all_there && now.behind() <= rate && self.spools().await.is_ok_and(|bytes| bytes == 0) {
                    let (all, records) = (began.elapsed(), now.visible - stood_at.visible);
                    return Ok(Drained { first: first.unwrap_or(Duration::ZERO), all, records });
                }
            }
            stood_until = asked;
            ensure!(began.elapsed() < self.drain_limit(), "not caught up after {} s", self.drain_limit().as_secs());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn settled_with_spools(&mut self) -> Result<Progress> {
        tokio::time::sleep(SPOOL_IS_SAID).await;
        let deadline = Instant::now() + SETTLE_LIMIT;
        while self.spools().await? > 0 {
            ensure!(Instant::now() < deadline, "the spools do not empty");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        settled(&self.roles.cluster.socket(), SETTLE_LIMIT).await
    }

    /// Bytes in all spools.
    async fn spools(&mut self) -> Result<u64> {
        let mut bytes = 0;
        for member in self.roles.cluster.members().iter().filter(|member| member.command() == "ingest") {
            bytes += spool_bytes(member.port()).await?.unwrap_or(0);
        }
        Ok(bytes)
    }

    /// Only the sink is behind then.
    async fn wait_until_folded(&self, target: u64) -> Result<()> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        while !self.roles.progress().await.is_ok_and(|now| now.folded >= target) {
            ensure!(Instant::now() < deadline, "not folded in time");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn drain_limit(&self) -> Duration {
        self.options.outage * DRAIN_FACTOR + DRAIN_LEAST
    }
}

/// `t = T * rho / (1 - rho)`; none when the load is as large as the capacity.
fn formula(outage: Duration, rate: u64, capacity: u64) -> Option<Duration> {
    let spare = capacity.checked_sub(rate).filter(|spare| *spare > 0)?;
    let millis = outage.as_millis() * u128::from(rate) / u128::from(spare);
    Some(Duration::from_millis(u64::try_from(millis).ok()?))
}

/// The time that a backlog took as a part of what the formula says with this capacity.
fn against(options: &FigureOptions, found: &Found, capacity: u64) -> String {
    match formula(options.outage, found.rate, capacity) {
        None => "the load is above the capacity".to_owned(),
        Some(formula) => {
            let took = found.drained.all.as_millis();
            format!("{} of the formula's {}", ratio(took, formula.as_millis()), seconds(formula))
        }
    }
}

fn row(part: Part, options: &FigureOptions, found: &Found) -> Row {
    let Found { rate, capacity, drained, acknowledged_meanwhile, not_acknowledged, .. } = found;
    let what = format!(
        "Caught up (less than 1 s behind) after {} s without: {}, {rate}/s all the while, {} of each role",
        options.outage.as_secs(),
        part.words(),
        options.copies
    );
    let lost = if found.lost > 0 { format!(", **{} NOT THERE**", found.lost) } else { String::new() };
    let measured = format!(
        "{}: {} (rho {}, capacity {capacity}/s without a load beside it); {} with the {}/s at which it drained; the first readable \
         after {}; {acknowledged_meanwhile} acknowledged meanwhile, {not_acknowledged} not{lost}",
        seconds(drained.all),
        against(options, found, *capacity),
        ratio(u128::from(*rate), u128::from(*capacity)),
        against(options, found, drained.rate()),
        drained.rate(),
        seconds(drained.first),
    );
    Row::new(what, GOAL, measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_is_the_one_of_a_queue() {
        let at = |rate| formula(Duration::from_secs(900), rate, 3_000);
        assert_eq!(at(1_000), Some(Duration::from_secs(450)));
        assert_eq!(at(2_000), Some(Duration::from_secs(1_800)));
        assert_eq!(at(3_000), None);
    }
}
