//! Processor time of processes, which says more than events per second on a machine that others use as well.

use crate::chaos::scene::service;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

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

/// Processes of the database's server on this machine, as scripts/services/postgres.sh starts it.
///
/// # Errors
/// When there is none.
pub fn postgres_pids() -> Result<Vec<u32>> {
    let url = url::Url::parse(&service("AFFILITRACK_POSTGRES_URL")?)?;
    let port = url.port().unwrap_or(5432).to_string();
    let pids: Vec<u32> =
        std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    let is_first = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| is_server(&line, &port));
    let first = pids.iter().copied().find(is_first);
    let first = first.with_context(|| format!("no Postgres of this machine was started with -p {port}"))?;
    let is_one = |pid: &u32| *pid == first || parent(*pid) == Some(first);
    Ok(pids.into_iter().filter(is_one).collect())
}

/// Whether a command line, with its arguments cut by zero bytes, is the server's on this port.
fn is_server(line: &[u8], port: &str) -> bool {
    let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let is_postgres = arguments.first().is_some_and(|program| program.ends_with(b"postgres"));
    is_postgres && arguments.windows(2).any(|pair| pair == [b"-p".as_slice(), port.as_bytes()])
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
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
    fn the_server_is_known_by_its_port() {
        let line = b"/usr/lib/postgresql/bin/postgres\0-D\0/data\0-p\x0022206\0-c\0fsync=on\0";
        assert!(is_server(line, "22206") && !is_server(line, "2220") && !is_server(b"psql\0-p\x0022206\0", "22206"));
    }

    #[test]
    fn a_process_that_came_later_counts_from_nothing() {
        let (before, after) = (Times::from([(1, 10), (2, 5)]), Times::from([(1, 30), (3, 4)]));
        assert_eq!(used(&before, &after), 24);
    }
}
