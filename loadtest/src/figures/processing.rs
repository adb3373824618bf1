//! How fast processors fold what lies in the log into Postgres and send it to the warehouse.

use super::cost::{postgres_pids, times_of, used};
use super::roles::Roles;
use super::watch::{Drained, drained, settled};
use super::{FigureOptions, Out, Row, say, seconds};
use crate::stream::Endpoint;
use anyhow::Result;
use std::time::Duration;
use tokio::time::Instant;

/// Enough that every partition has some.
const VENDORS: usize = 64;
/// What must be readable before anything is measured.
pub const SETTLE_LIMIT: Duration = Duration::from_secs(300);
/// A backlog that takes longer is given up.
const DRAIN_LIMIT: Duration = Duration::from_secs(900);

/// What it took to process what lay in the log.
#[derive(Debug, Clone, Copy)]
pub struct Processed {
    /// The time.
    pub drained: Drained,
    /// Processor time of the processes, in microseconds for all events.
    pub process_micros: u64,
    /// Processor time of the database's server.
    pub postgres_micros: u64,
}

impl Processed {
    /// Processor time per event, of processes and database together, in microseconds.
    pub fn micros_per_event(&self) -> u64 {
        (self.process_micros + self.postgres_micros) / self.drained.records.max(1)
    }

    /// In words.
    pub fn words(&self) -> String {
        let each = |micros: u64| micros / self.drained.records.max(1);
        format!(
            "{}/s ({} in {}, after {} until the first; CPU an event: process {} us, Postgres {} us)",
            self.drained.rate(),
            self.drained.records,
            seconds(self.drained.all - self.drained.first),
            seconds(self.drained.first),
            each(self.process_micros),
            each(self.postgres_micros)
        )
    }
}

/// One processor, then two.
pub async fn measure(options: &FigureOptions, out: Out<'_>) -> Result<Vec<Row>> {
    let options = FigureOptions { copies: 1, ..options.clone() };
    let mut roles = Roles::start(&options, Roles::folder()?, Vec::new()).await?;
    let rows = one_and_two(&options, &mut roles, out).await;
    roles.end(out).await?;
    rows
}

async fn one_and_two(options: &FigureOptions, roles: &mut Roles, out: Out<'_>) -> Result<Vec<Row>> {
    roles.cluster.add("process")?;
    let endpoints = roles.open("process", VENDORS).await?;
    let mut rows = Vec::new();
    for count in [1, 2] {
        let processed = process(roles, &endpoints, options.events, count, out).await?;
        let what = format!(
            "{count} `process`, {} events in the log of {VENDORS} vendors, into Postgres and the warehouse",
            options.events
        );
        rows.push(Row::new(what, "-", processed.words()));
    }
    Ok(rows)
}

/// Fills the log while nobody processes, then times so many processors until all is readable. They run afterwards.
pub async fn process(
    roles: &mut Roles,
    endpoints: &[Endpoint],
    events: u64,
    count: usize,
    out: Out<'_>,
) -> Result<Processed> {
    let socket = roles.cluster.socket();
    let before = settled(&socket, SETTLE_LIMIT).await?;
    roles.stop("process").await?;
    let tally = roles.fill(endpoints, events).await?;
    let filled = format!("{events} events acknowledged at {}/s while nothing processes", tally.rate());
    say(out, &filled)?;
    let target = before.visible + events;
    let database_before = times_of(&postgres_pids()?);
    let began = Instant::now();
    roles.launch("process", count)?;
    let drained = drained(&socket, before, target, began, DRAIN_LIMIT).await?;
    let postgres_micros = used(&database_before, &times_of(&postgres_pids()?));
    let process_micros = used(&Default::default(), &times_of(&roles.pids("process")));
    roles.cluster.check_running()?;
    let processed = Processed { drained, process_micros, postgres_micros };
    say(out, &format!("{count} of `process`: {}", processed.words()))?;
    Ok(processed)
}
