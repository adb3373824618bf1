//! Whether an event costs more when there are many vendors.

use super::processing::{Processed, SETTLE_LIMIT, process};
use super::roles::Roles;
use super::watch::settled;
use super::{FigureOptions, Out, Row, ratio, say, seconds};
use anyhow::Result;
use tokio::time::Instant;

/// Row for the same number of events of one vendor and of many.
pub async fn measure(options: &FigureOptions, out: Out<'_>) -> Result<Vec<Row>> {
    let options = FigureOptions { copies: 1, ..options.clone() };
    let mut roles = Roles::start(&options, Roles::folder()?, Vec::new()).await?;
    let rows = one_and_many(&options, &mut roles, out).await;
    roles.end(out).await?;
    rows
}

async fn one_and_many(options: &FigureOptions, roles: &mut Roles, out: Out<'_>) -> Result<Vec<Row>> {
    let alone = roles.open("alone", 1).await?;
    let began = Instant::now();
    let many = roles.open("many", options.vendors).await?;
    settled(&roles.cluster.socket(), SETTLE_LIMIT).await?;
    let opened = began.elapsed();
    say(out, &format!("{} vendors opened in {}", options.vendors, seconds(opened)))?;
    let one = process(roles, &alone, options.events, 1, out).await?;
    let all = process(roles, &many, options.events, 1, out).await?;
    Ok(rows(options, &one, &all, &seconds(opened)))
}

fn rows(options: &FigureOptions, one: &Processed, all: &Processed, opened: &str) -> Vec<Row> {
    let (events, vendors) = (options.events, options.vendors);
    let cpu = ratio(u128::from(all.micros_per_event()), u128::from(one.micros_per_event()));
    let time = ratio(u128::from(one.drained.rate()), u128::from(all.drained.rate()));
    let what = format!(
        "One `process`, {events} events of {vendors} vendors over the same number of one vendor, CPU per event"
    );
    let measured = format!(
        "{cpu} ({} against {} us, process and Postgres); by time {time} ({} against {}/s); {vendors} vendors opened in {opened}",
        all.micros_per_event(),
        one.micros_per_event(),
        all.drained.rate(),
        one.drained.rate()
    );
    vec![Row::new(what, "<= 1.5", measured)]
}
