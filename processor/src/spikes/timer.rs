//! Asks about codes that nobody redeems any more. A redemption is judged when the next one of its code comes, at the
//! earliest two minutes after it happened; where none comes, time has to do it.

use super::vendor::Vendor;
use crate::Owned;
use domain::decision::Campaign;
use domain::decisions::VendorDecisions;
use domain::ids::{Mode, Timestamp, VendorId};
use domain::spikes::{Alert, CodeState, Detector};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::fold_store::{FoldStore, FoldStoreError, SpikeCode, SpikeLook};
use store::live::{Announce, LiveSignal};
use telemetry::metrics::{self, Metric};
use tokio_util::sync::CancellationToken;

/// How often it is looked.
pub const EVERY: Duration = Duration::from_secs(5);
/// How many codes one transaction takes.
const AT_ONCE: usize = 500;
/// Looks at so many at most in one round of a partition.
const MOST_ROUNDS: usize = 20;

/// Looks at codes that are due.
pub struct SpikeTimer {
    /// Where codes and alerts are.
    pub store: Arc<dyn FoldStore>,
    /// Whose codes.
    pub partitions: Owned,
    /// Who is told of an alert.
    pub live: Arc<dyn Announce>,
    /// The time now.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// How often to look.
    pub every: Duration,
}

impl SpikeTimer {
    /// Runs until stopped.
    pub async fn run(self: Arc<Self>, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => return,
            }
            let owned = self.partitions.borrow().clone();
            for partition in owned {
                let timer = self.clone();
                let looked = tokio::task::spawn_blocking(move || timer.round(partition)).await;
                match looked {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(partition, error = %error, "codes that are due were not looked at: {error}");
                    }
                    Err(panic) => tracing::error!(partition, error = %panic, "looking at codes panicked"),
                }
            }
        }
    }

    /// Looks at everything that is due in one partition. Blocks.
    ///
    /// # Errors
    /// When the store fails; what was looked at until then is noted.
    pub fn round(&self, partition: u16) -> Result<(), FoldStoreError> {
        let now = (self.clock)();
        // What is left over is due again at the next round: other partitions, and a stop, do not wait for it.
        for _ in 0..MOST_ROUNDS {
            let due = self.store.spikes_due(partition, now, AT_ONCE)?;
            let looks = self.look(&due, now)?;
            let raised = if looks.is_empty() { Vec::new() } else { self.store.spikes_looked(partition, &looks)? };
            self.tell(partition, &raised)?;
            if due.len() < AT_ONCE {
                break;
            }
        }
        Ok(())
    }

    fn look(&self, due: &[SpikeCode], now: Timestamp) -> Result<Vec<SpikeLook>, FoldStoreError> {
        let ids: BTreeSet<VendorId> = due.iter().map(|code| code.vendor).collect();
        let ids: Vec<VendorId> = ids.into_iter().collect();
        let found = ids.iter().zip(self.store.spike_vendors(&ids)?);
        let vendors: BTreeMap<VendorId, Vendor> =
            found.filter_map(|(id, body)| Some((*id, Vendor::read(*id, &body?)?))).collect();
        let mut looks = Vec::with_capacity(due.len());
        for code in due {
            let alert = match vendors.get(&code.vendor) {
                Some(vendor) => self.look_at(code, vendor, now)?,
                None => None,
            };
            looks.push(SpikeLook { vendor: code.vendor, code: code.code, position: code.position, at: now, alert });
        }
        Ok(looks)
    }

    /// Decisions are read only where there would be an alert without them.
    fn look_at(&self, code: &SpikeCode, vendor: &Vendor, now: Timestamp) -> Result<Option<Alert>, FoldStoreError> {
        let Ok(state) = CodeState::from_bytes(&code.body) else { return Ok(None) };
        let ask = |campaigns: &[Campaign]| Detector::new(vendor.context(campaigns)).look(&state, now);
        if ask(&[]).is_none() {
            return Ok(None);
        }
        let decisions = self.store.decisions(&[code.vendor])?.pop().unwrap_or_default();
        Ok(ask(&VendorDecisions::replay(decisions).campaigns))
    }

    /// Nothing of the figures changed, so nothing moves: open pages look again.
    fn tell(&self, partition: u16, raised: &[(VendorId, Alert)]) -> Result<(), FoldStoreError> {
        if raised.is_empty() {
            return Ok(());
        }
        metrics::count(Metric::AlertsRaised, [], raised.len() as u64);
        let next_offset = self.store.visible(partition)?.next_offset;
        let vendors: BTreeSet<VendorId> = raised.iter().map(|(vendor, _)| *vendor).collect();
        let signal = |vendor| LiveSignal { vendor, mode: Mode::Live, affiliates: BTreeSet::new(), next_offset };
        self.live.announce(vendors.into_iter().map(signal).collect(), &[]);
        Ok(())
    }
}
