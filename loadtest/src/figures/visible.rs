//! From the sending of a delivery until the JSON API shows it, under load.

use super::processing::SETTLE_LIMIT;
use super::roles::Roles;
use super::watch::settled;
use super::{FigureOptions, Out, Row, say};
use crate::stream::send_one;
use crate::throughput::millis;
use anyhow::{Context, Result, ensure};
use corpus::client::JsonApi;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Vendors of the load.
const VENDORS: usize = 64;
/// Events per second of the load unless told otherwise.
const RATE: u64 = 1_000;
/// How often a probe is sent, and how often it is looked for.
const PROBE_EVERY: Duration = Duration::from_millis(250);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Before the first probe.
const WARM_UP: Duration = Duration::from_secs(3);
/// A probe that is not seen within this is given up.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
/// Probes have numbers that no load reaches.
const FIRST_PROBE: u64 = 50_000_000;

/// The row of visibility.
pub async fn measure(options: &FigureOptions, out: Out<'_>) -> Result<Vec<Row>> {
    let mut roles = Roles::start(options, Roles::folder()?, Vec::new()).await?;
    let row = probe_under_load(options, &mut roles, out).await;
    roles.end(out).await?;
    Ok(vec![row?])
}

async fn probe_under_load(options: &FigureOptions, roles: &mut Roles, out: Out<'_>) -> Result<Row> {
    let rate = options.rate.unwrap_or(RATE);
    let endpoints = roles.open("visible", VENDORS).await?;
    let probe = roles.open("probe", 1).await?.remove(0);
    let api = roles.api("probe-0").await?;
    settled(&roles.cluster.socket(), SETTLE_LIMIT).await?;
    let most = rate * (options.duration + WARM_UP + SEEN_WITHIN).as_secs();
    let load = roles.stream(&endpoints, Some(rate), options.duration + WARM_UP, most);
    tokio::time::sleep(WARM_UP).await;
    let probes = u64::try_from(options.duration.as_millis() / PROBE_EVERY.as_millis())?;
    let looking = tokio::spawn(look_for(api, probes));
    let began = Instant::now();
    let mut sent = Vec::new();
    for number in 0..probes {
        tokio::time::sleep_until(began + PROBE_EVERY * u32::try_from(number)?).await;
        sent.push(Instant::now());
        let status = send_one(&probe, FIRST_PROBE + number).await?;
        ensure!(status == 200, "a probe was answered {status}");
    }
    let tally = load.end().await?;
    let seen = looking.await??;
    let mut took: Vec<u32> = sent.iter().zip(&seen).map(|(sent, seen)| micros_between(*sent, *seen)).collect();
    took.sort_unstable();
    say(out, &format!("{} of the load acknowledged at {}/s", tally.acknowledged, tally.rate()))?;
    let at = |per_thousand: usize| {
        millis(took.get(took.len().saturating_sub(1) * per_thousand / 1000).copied().unwrap_or(0))
    };
    let measured = format!(
        "p50 {}, p95 {}, max {} of {} probes at {}/s acknowledged ({} not)",
        at(500),
        at(950),
        at(1000),
        took.len(),
        tally.rate(),
        tally.answered_otherwise + tally.broken
    );
    let what = format!(
        "Sent until `GET /api/v1/totals` shows it, {} of each role, {rate}/s from {VENDORS} vendors; a probe every {} ms, looked for every {} ms",
        options.copies,
        PROBE_EVERY.as_millis(),
        LOOK_EVERY.as_millis()
    );
    Ok(Row::new(what, "p95 < 1 s", measured))
}

/// When the first, the second ... probe was counted. They are sent one after another to one vendor, so that they become
/// readable in their order.
async fn look_for(api: JsonApi, probes: u64) -> Result<Vec<Instant>> {
    let mut seen = Vec::new();
    let mut moved = Instant::now();
    while (seen.len() as u64) < probes {
        let sales = sales_of(&api.get(&["totals"], &[]).await?)?;
        let now = Instant::now();
        while (seen.len() as u64) < sales {
            seen.push(now);
            moved = now;
        }
        ensure!(moved.elapsed() < SEEN_WITHIN, "{} of {probes} probes were seen", seen.len());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(seen)
}

fn sales_of(totals: &Value) -> Result<u64> {
    let rows = totals.get("rows").and_then(Value::as_array).context("the totals have no rows")?;
    let Some(row) = rows.first() else { return Ok(0) };
    row.pointer("/totals/0/sales").and_then(Value::as_u64).with_context(|| format!("no sales in {row}"))
}

fn micros_between(sent: Instant, seen: Instant) -> u32 {
    u32::try_from(seen.saturating_duration_since(sent).as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sales_are_read_out_of_totals() {
        assert_eq!(sales_of(&json!({"rows": []})).unwrap(), 0);
        let one = json!({"rows": [{"group": "", "totals": [{"currency": "eur", "sales": 3}]}]});
        assert_eq!(sales_of(&one).unwrap(), 3);
        assert!(sales_of(&json!({})).is_err());
    }
}
