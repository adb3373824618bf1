//! The live signal port, in process: what became visible, for open pages.

use domain::ids::{AffiliateId, Mode, VendorId};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use tokio::sync::broadcast;

/// How many signals a slow page may lag behind before it must read anew.
const BACKLOG: usize = 1_024;

/// Something of a vendor became visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSignal {
    /// Tenant.
    pub vendor: VendorId,
    /// Test or live.
    pub mode: Mode,
    /// Whose lines changed; 0 = nobody's.
    pub affiliates: BTreeSet<AffiliateId>,
    /// Everything below is visible.
    pub next_offset: u64,
}

/// Tells open pages, and remembers when a scope last changed.
pub struct LiveHub {
    sender: broadcast::Sender<LiveSignal>,
    changed: Mutex<HashMap<(VendorId, Mode), u64>>,
}

impl Default for LiveHub {
    fn default() -> Self {
        LiveHub { sender: broadcast::channel(BACKLOG).0, changed: Mutex::new(HashMap::new()) }
    }
}

impl LiveHub {
    /// Announces.
    pub fn announce(&self, signal: LiveSignal) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert((signal.vendor, signal.mode), signal.next_offset);
        // Nobody listening is no error.
        let _ = self.sender.send(signal);
    }

    /// Every signal from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<LiveSignal> {
        self.sender.subscribe()
    }

    /// The visible offset at which a scope last changed since this process started.
    pub fn last_change(&self, vendor: VendorId, mode: Mode) -> u64 {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).get(&(vendor, mode)).copied().unwrap_or(0)
    }
}
