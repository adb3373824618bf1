//! The timer that names records whose deadline passed: the fold has no clock.

use crate::Owned;
use domain::ids::{Timestamp, VendorId};
use schemas::record::{Expire, Payload, Record};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::crash::{self, CrashPoint};
use store::event_log::{EventLog, NewRecord};
use store::fold_store::FoldStore;
use tokio_util::sync::CancellationToken;

/// How often records that wait are looked at, usually.
pub const EVERY: Duration = Duration::from_secs(600);
/// How many records one round names per partition.
const ROUND: usize = 1_000;

/// Names waiting records that are too old.
pub struct DeadlineTimer {
    /// Where records wait.
    pub store: Arc<dyn FoldStore>,
    /// Whose records.
    pub partitions: Owned,
    /// Where their names go.
    pub log: Arc<dyn EventLog>,
    /// The time now.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// How long a record may wait.
    pub deadline: Duration,
    /// How often to look.
    pub every: Duration,
    /// Name on the records.
    pub writer: String,
}

impl DeadlineTimer {
    /// Runs until stopped.
    pub async fn run(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => return,
            }
            let owned = self.partitions.borrow().clone();
            for partition in owned {
                if let Err(error) = self.round(partition).await {
                    tracing::warn!(partition, error = %error, "deadlines were not looked at: {error:#}");
                }
            }
        }
    }

    /// One look at one partition.
    pub async fn round(&self, partition: u16) -> anyhow::Result<()> {
        let now = (self.clock)();
        let before = Timestamp(now.0 - self.deadline.as_millis() as i64);
        let store = self.store.clone();
        let waiting = tokio::task::spawn_blocking(move || store.waiting_since(partition, before, ROUND)).await??;
        let mut by_vendor: BTreeMap<VendorId, Vec<u64>> = BTreeMap::new();
        for (vendor, offset) in waiting {
            by_vendor.entry(vendor).or_default().push(offset);
        }
        for (vendor, offsets) in by_vendor {
            let payload = Payload::Expire(Expire { offsets });
            let record = Record {
                vendor,
                connection: Default::default(),
                at: now,
                writer: self.writer.clone(),
                seq: None,
                trace: None,
                payload,
            };
            crash::pass(CrashPoint::DeadlineBeforeAppend);
            self.log.append(NewRecord { partition, bytes: record.encode() }).await?;
        }
        Ok(())
    }
}
