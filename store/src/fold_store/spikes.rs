//! What the spike detector keeps, and what it raised: a part of the fold store.
//!
//! Codes, vendors and alerts are written in the transaction of the fold ([`Commit::spikes`]), so a redemption is counted
//! as often as its record is folded: once. What the passing of time brings to light ([`FoldStore`] has no clock) is
//! noted between two commits by [`SpikeRows::spikes_looked`], and only for a code that nobody touched meanwhile.
//!
//! [`Commit::spikes`]: super::Commit::spikes
//! [`FoldStore`]: super::FoldStore
//!
//! Folding again from nothing begins the detector anew: it meets the same redemptions in the same order, and raises the
//! same alerts under the same ids, which are too old to be mailed. What people said about an alert is in the control
//! store under that id and stays. Folding a part again beside the store, to repair the warehouse, leaves the detector
//! out. A vendor that is removed takes all its rows along, in the transaction of that record; nothing of it is folded
//! after that, so none come back. A code has one alert in twelve hours at most: an episode of the detector lasts
//! longer than that, so two that are nearer are one spike, looked at twice.

use super::FoldStoreError;
use domain::ids::{CodeId, Timestamp, VendorId};
use domain::spikes::Alert;
use std::collections::BTreeSet;

/// Two alerts of a code are at least so far apart.
pub(super) const ALERTS_APART_MS: i64 = 12 * 3_600_000;
/// Most alerts of one answer.
pub const MOST_ALERTS: usize = 500;

/// A code as the detector knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpikeCode {
    /// Whose.
    pub vendor: VendorId,
    /// Which.
    pub code: CodeId,
    /// Of its last redemption, rising.
    pub position: u64,
    /// When its first redemption that waits can be judged; none when nobody need ask.
    pub due_at: Option<Timestamp>,
    /// When the last of them can be.
    pub last_due_at: Timestamp,
    /// Days since 1970 of the time on its last record.
    pub seen_day: i64,
    /// The state itself.
    pub body: Vec<u8>,
}

/// What a batch did to the detector.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpikeChanges {
    /// Vendors that were removed; their rows go before anything is written.
    pub forgotten: Vec<VendorId>,
    /// Codes as they are now, each once.
    pub codes: Vec<SpikeCode>,
    /// Vendors as they are now, each once.
    pub vendors: Vec<(VendorId, Vec<u8>)>,
    /// Spikes that were found.
    pub alerts: Vec<(VendorId, Alert)>,
}

/// A code was asked whether what waits is a spike.
#[derive(Debug, Clone, PartialEq)]
pub struct SpikeLook {
    /// Whose.
    pub vendor: VendorId,
    /// Which.
    pub code: CodeId,
    /// As it was read: with another one, it has been redeemed since and the look is void.
    pub position: u64,
    /// As of when.
    pub at: Timestamp,
    /// What came of it.
    pub alert: Option<Alert>,
}

/// The rows of the spike detector.
pub trait SpikeRows: Send + Sync {
    /// What is kept of vendors, in the order asked.
    fn spike_vendors(&self, vendors: &[VendorId]) -> Result<Vec<Option<Vec<u8>>>, FoldStoreError>;
    /// What is kept of codes, in the order asked.
    fn spike_codes(&self, codes: &[(VendorId, CodeId)]) -> Result<Vec<Option<SpikeCode>>, FoldStoreError>;
    /// Codes of a partition that are due at a moment, the longest due first.
    fn spikes_due(&self, partition: u16, now: Timestamp, limit: usize) -> Result<Vec<SpikeCode>, FoldStoreError>;
    /// Notes looks, and the alerts that came of them. Returns those that are new.
    fn spikes_looked(&self, partition: u16, looks: &[SpikeLook]) -> Result<Vec<(VendorId, Alert)>, FoldStoreError>;
    /// Alerts of a vendor, the newest first, at most [`MOST_ALERTS`].
    fn alerts(&self, vendor: VendorId, limit: usize) -> Result<Vec<Alert>, FoldStoreError>;
    /// One alert of a vendor.
    fn alert(&self, vendor: VendorId, id: u64) -> Result<Option<Alert>, FoldStoreError>;
    /// Alerts of these partitions whose people were not told yet.
    fn untold_alerts(&self, partitions: &BTreeSet<u16>, limit: usize)
    -> Result<Vec<(VendorId, Alert)>, FoldStoreError>;
    /// They were told.
    fn alerts_told(&self, told: &[(VendorId, u64)]) -> Result<(), FoldStoreError>;
}
