//! How far the processors are, and when they have caught up.

use crate::stream::per_second;
use anyhow::{Context, Result, ensure};
use corpus::client::LocalSocket;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked; a look asks log and fold store for every partition, which is not free.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Records over all partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// In the log.
    pub log_end: u64,
    /// Folded.
    pub folded: u64,
    /// Readable.
    pub visible: u64,
}

impl Progress {
    /// What the process behind the socket says.
    pub async fn of(socket: &LocalSocket) -> Result<Progress> {
        let status = socket.get("/v1/status").await?;
        let number =
            |name: &str| status.get(name).and_then(Value::as_u64).with_context(|| format!("no `{name}`: {status}"));
        Ok(Progress { log_end: number("log_end")?, folded: number("folded")?, visible: number("visible")? })
    }

    /// Records that cannot be read yet.
    pub fn behind(&self) -> u64 {
        self.log_end.saturating_sub(self.visible)
    }
}

/// How a backlog went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Until something more was readable.
    pub first: Duration,
    /// Until all was readable.
    pub all: Duration,
    /// Records that became readable.
    pub records: u64,
}

impl Drained {
    /// Records per second, from the first that moved.
    pub fn rate(&self) -> u64 {
        per_second(self.records, self.all.saturating_sub(self.first))
    }
}

/// Waits until everything in the log can be read.
pub async fn settled(socket: &LocalSocket, limit: Duration) -> Result<Progress> {
    let deadline = Instant::now() + limit;
    loop {
        let seen = Progress::of(socket).await;
        if let Ok(progress) = &seen
            && progress.log_end == progress.folded
            && progress.folded == progress.visible
        {
            return seen;
        }
        ensure!(Instant::now() < deadline, "not settled after {} s: {seen:?}", limit.as_secs());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until so many records can be read. `from` is where it stood still until `began`; an answer that does not come
/// counts as standing still.
pub async fn drained(
    socket: &LocalSocket,
    from: Progress,
    target: u64,
    began: Instant,
    limit: Duration,
) -> Result<Drained> {
    let mut first = None;
    let mut stood_until = Duration::ZERO;
    loop {
        let asked = began.elapsed();
        if let Ok(now) = Progress::of(socket).await {
            if first.is_none() && now.visible > from.visible {
                // Some of it moved between the two looks.
                first = Some(stood_until);
            }
            if now.visible >= target {
                let records = target.saturating_sub(from.visible);
                return Ok(Drained { first: first.unwrap_or(stood_until), all: began.elapsed(), records });
            }
        }
        stood_until = asked;
        ensure!(began.elapsed() < limit, "not drained after {} s", limit.as_secs());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_leaves_out_what_it_took_to_begin() {
        let drained = Drained { first: Duration::from_secs(5), all: Duration::from_secs(15), records: 20_000 };
        assert_eq!(drained.rate(), 2_000);
        let progress = Progress { log_end: 10, folded: 9, visible: 7 };
        assert_eq!(progress.behind(), 3);
    }
}
