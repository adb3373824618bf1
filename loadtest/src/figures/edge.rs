//! What an edge acknowledges in front of Kafka, alone with it on the machine.

use super::roles::{CONNECTIONS, Roles};
use super::{FigureOptions, Out, Row, say};
use crate::chaos::scene::spool_bytes;
use crate::throughput::millis;
use anyhow::{Result, ensure};
use std::time::Duration;

/// Vendors that take turns.
const VENDORS: usize = 16;
/// Connections and caches come to work.
const WARM_UP: Duration = Duration::from_secs(2);

/// The row of the edge.
pub async fn measure(options: &FigureOptions, out: Out<'_>) -> Result<Vec<Row>> {
    let options = FigureOptions { copies: 1, ..options.clone() };
    let mut roles = Roles::start(&options, Roles::folder()?, Vec::new()).await?;
    let row = load(&options, &mut roles, out).await;
    roles.end(out).await?;
    Ok(vec![row?])
}

async fn load(options: &FigureOptions, roles: &mut Roles, out: Out<'_>) -> Result<Row> {
    let endpoints = roles.open("edge", VENDORS).await?;
    // Only the edge, the broker and the load share the cores.
    for command in ["process", "serve"] {
        roles.stop(command).await?;
    }
    roles.stream(&endpoints, None, WARM_UP, u64::from(u32::MAX)).end().await?;
    let tally = roles.stream(&endpoints, None, options.duration, u64::from(u32::MAX)).end().await?;
    let refused = tally.answered_otherwise + tally.broken;
    let spooled = spool_of(roles).await?;
    say(out, &format!("{} acknowledged, {refused} not, {spooled} bytes in the spool", tally.acknowledged))?;
    ensure!(tally.acknowledged > 0, "nothing was acknowledged");
    let measured = format!(
        "{}/s over {} s, p50 {}, p99 {}, {refused} not acknowledged{}",
        tally.rate(),
        options.duration.as_secs(),
        millis(tally.micros_at(500)),
        millis(tally.micros_at(990)),
        if spooled > 0 { ", **the spool was in use**" } else { "" }
    );
    let what = format!(
        "`ingest` before Kafka (one broker, acks=all, which waits for no disk), {CONNECTIONS} connections, closed loop: acknowledged"
    );
    Ok(Row::new(what, "-", measured))
}

async fn spool_of(roles: &mut Roles) -> Result<u64> {
    let mut bytes = 0;
    for member in roles.cluster.members().iter().filter(|member| member.command() == "ingest") {
        bytes += spool_bytes(member.port()).await?.unwrap_or(0);
    }
    Ok(bytes)
}
