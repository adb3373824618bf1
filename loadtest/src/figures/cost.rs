//! Processor time of processes, which says more than events per second on a machine that others use as well.

use crate::chaos::scene::service;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::process::Stdio;
use tokio::process::Command;

/// Microseconds in a tick of /proc: Linux counts hundredths of a second for user space.
const TICK_MICROS: u64 = 10_000;

/// Processor time so far of some processes, by process number, in microseconds.
pub type Times = BTreeMap<u32, u64>;

/// What they have used so far; one that is gone is left out.
pub fn times_of(pids: &[u32]) -> Times {
    let of = |pid: u32| Some((pid, ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)? * TICK_MICROS));
    pids.iter().filter_map(|pid| of(*pid)).collect()
}

/// What was used between two looks; what was not there at the first began with nothing.
pub fn used(before: &Times, after: &Times) -> u64 {
    after.iter().map(|(pid, micros)| micros.saturating_sub(before.get(pid).copied().unwrap_or(0))).sum()
}

/// Processes of the database's server that serve connections.
pub async fn postgres_pids() -> Result<Vec<u32>> {
    let url = service("AFFILITRACK_POSTGRES_URL")?;
    let output = Command::new("psql")
        .args([url.as_str(), "-XAtqc", "select pid from pg_stat_activity where datname = current_database()"])
        .stdin(Stdio::null())
        .output()
        .await
        .context("psql is needed: bash scripts/services/postgres.sh start installs it")?;
    ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.trim().parse().ok()).collect())
}

/// User and system time out of a line of /proc/PID/stat; the name may hold spaces and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "12 (a b) c) S 1 12 12 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 9 0 100 200 300";
        assert_eq!(ticks(stat), Some(200));
    }

    #[test]
    fn a_process_that_came_later_counts_from_nothing() {
        let (before, after) = (Times::from([(1, 10), (2, 5)]), Times::from([(1, 30), (3, 4)]));
        assert_eq!(used(&before, &after), 24);
    }
}
