//! Keeps what the edge refused in the control store: for pages of other processes, and after a restart.

use api::services::Clock;
use ingest::failed::{ChangedList, FailedDelivery, FailedList};
use std::sync::Arc;
use std::time::Duration;
use store::control::{ControlResult, ControlStore};
use store::scope::TenantScope;
use store::secrets::FillRandom;
use tokio_util::sync::CancellationToken;

/// Pause after each writing: a sender with a wrong secret must not keep the store busy.
const PAUSE: Duration = Duration::from_secs(1);
const NAME_BYTES: usize = 8;

/// What the edges refused, this process's and the others'.
pub struct FailureKeeper {
    /// What this process refused.
    failed: Arc<FailedList>,
    control: Arc<dyn ControlStore>,
    clock: Clock,
    /// This process since its start.
    writer: String,
}

impl FailureKeeper {
    /// A keeper with a random name.
    pub fn new(
        failed: Arc<FailedList>,
        control: Arc<dyn ControlStore>,
        clock: Clock,
        random: &FillRandom,
    ) -> anyhow::Result<FailureKeeper> {
        let mut name = [0; NAME_BYTES];
        random(&mut name).map_err(|error| anyhow::anyhow!("no randomness for the name of a process: {error}"))?;
        Ok(FailureKeeper { failed, control, clock, writer: hex::encode(name) })
    }

    /// Writes what changed, until stopped.
    pub async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = self.failed.added() => {}
                () = stop.cancelled() => {}
            }
            self.write().await;
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn write(&self) {
        for list in self.failed.take_changed() {
            if let Err(error) = self.put(&list).await {
                tracing::warn!(error = %error, "refused deliveries could not be noted for the pages: {error:#}");
                self.failed.give_back(&list);
            }
        }
    }

    async fn put(&self, list: &ChangedList) -> anyhow::Result<()> {
        let text = serde_json::to_string(&list.deliveries)?;
        Ok(self.control.put_failures(list.vendor, &list.endpoint, &self.writer, &text, (self.clock)()).await?)
    }

    /// What was refused of an endpoint, newest first: what this process knows, and what the others wrote.
    pub async fn of(&self, scope: &TenantScope, endpoint: &str) -> ControlResult<Vec<FailedDelivery>> {
        let mut all = self.failed.of(endpoint);
        for (writer, list) in self.control.failures(scope, endpoint).await? {
            if writer != self.writer {
                // A list of a version that says more is left out rather than the page.
                all.extend(serde_json::from_str::<Vec<FailedDelivery>>(&list).unwrap_or_default());
            }
        }
        all.sort_by_key(|delivery| std::cmp::Reverse(delivery.at));
        Ok(all)
    }
}
