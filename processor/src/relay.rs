//! The relay: decisions from the control store's outbox into the log, in each vendor's order.

use async_trait::async_trait;
use domain::ids::VendorId;
use futures::StreamExt;
use schemas::record::{Payload, Record};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::control::{ControlError, ControlStore, OutboxDecision};
use store::crash::{self, CrashPoint};
use store::event_log::{EventLog, NewRecord, partition_of};
use tokio_util::sync::CancellationToken;

/// How many decisions one round takes.
const ROUND: usize = 2_000;
/// How many vendors' decisions are appended side by side.
const SIDE_BY_SIDE: usize = 64;
/// How often the outbox is looked at without being told.
const IDLE: Duration = Duration::from_secs(2);

/// Where decisions wait: the part of the control store that the relay uses.
#[async_trait]
pub trait DecisionOutbox: Send + Sync {
    /// What waits, in each vendor's order, at most so many.
    async fn pending(&self, limit: usize) -> Result<Vec<OutboxDecision>, ControlError>;
    /// These are in the log.
    async fn sent(&self, ids: &[u64]) -> Result<(), ControlError>;
    /// Resolves when something waits (a hint).
    async fn waits(&self);
}

#[async_trait]
impl DecisionOutbox for Arc<dyn ControlStore> {
    async fn pending(&self, limit: usize) -> Result<Vec<OutboxDecision>, ControlError> {
        self.pending_decisions(limit).await
    }

    async fn sent(&self, ids: &[u64]) -> Result<(), ControlError> {
        self.mark_sent(ids).await
    }

    async fn waits(&self) {
        self.decisions_pending().await;
    }
}

/// Appends decisions. One in a process; of several processes the control store lets one at a time have them.
pub struct Relay {
    /// Where decisions wait.
    pub control: Arc<dyn DecisionOutbox>,
    /// Where they go.
    pub log: Arc<dyn EventLog>,
    /// Name on the records.
    pub writer: String,
}

impl Relay {
    /// Runs until stopped.
    pub async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.round().await {
                Ok(0) => {
                    tokio::select! {
                        () = self.control.waits() => {}
                        () = tokio::time::sleep(IDLE) => {}
                        () = stop.cancelled() => {}
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = %error, "decisions wait for the log: {error}");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    /// Appends what waits. A decision that is appended but not marked (a crash between) is
    /// appended again: the fold ignores a sequence it has seen. Returns how many waited.
    ///
    /// # Errors
    /// When the log or the outbox fails; what was appended until then is marked.
    pub async fn round(&self) -> anyhow::Result<usize> {
        let pending = self.control.pending(ROUND).await?;
        let count = pending.len();
        let mut by_vendor: BTreeMap<VendorId, Vec<OutboxDecision>> = BTreeMap::new();
        for decision in pending {
            by_vendor.entry(decision.vendor).or_default().push(decision);
        }
        let mut rounds =
            futures::stream::iter(by_vendor.into_values().map(|decisions| self.append_in_order(decisions)))
                .buffer_unordered(SIDE_BY_SIDE);
        let mut failed = None;
        let mut sent = Vec::new();
        while let Some((ids, error)) = rounds.next().await {
            sent.extend(ids);
            failed = failed.or(error);
        }
        if !sent.is_empty() {
            crash::pass(CrashPoint::RelayAfterAppend);
        }
        self.control.sent(&sent).await?;
        match failed {
            Some(error) => Err(error),
            None => Ok(count),
        }
    }

    async fn append_in_order(&self, decisions: Vec<OutboxDecision>) -> (Vec<u64>, Option<anyhow::Error>) {
        let mut sent = Vec::new();
        for one in decisions {
            let record = Record {
                vendor: one.vendor,
                connection: Default::default(),
                at: one.at,
                writer: self.writer.clone(),
                seq: Some(one.seq),
                trace: None,
                payload: Payload::Decision(one.decision),
            };
            let appended =
                self.log.append(NewRecord { partition: partition_of(one.vendor), bytes: record.encode() }).await;
            match appended {
                Ok(_) => sent.push(one.id),
                Err(error) => return (sent, Some(error.into())),
            }
        }
        (sent, None)
    }
}
