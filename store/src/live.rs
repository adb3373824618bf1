//! The live signal port, in process: what became visible, for open pages.

use crate::fold_store::Visible;
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

/// What caches must forget.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// What depends on this.
    Of(&'a LiveSignal),
    /// Everything of a partition: it moved up to this offset, and whose data that touched is not known.
    Partition(u16, u64),
}

/// What pages are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Something of a vendor became visible.
    Signal(LiveSignal),
    /// Signals were lost: anything may have become visible.
    Anything,
}

/// Called with every change before anybody can read the new data: caches forget what it touches.
type OnChange = dyn Fn(Change<'_>) + Send + Sync;

/// Says what became visible, to whoever shows pages.
pub trait Announce: Send + Sync {
    /// First caches forget, then the partitions' visible offsets move, then pages are told.
    fn announce(&self, signals: Vec<LiveSignal>, moved: &[(u16, Visible)]);
}

impl Announce for LiveHub {
    fn announce(&self, signals: Vec<LiveSignal>, moved: &[(u16, Visible)]) {
        LiveHub::announce(self, signals, moved);
    }
}

/// Tells open pages, and knows up to where each partition is visible.
pub struct LiveHub {
    sender: broadcast::Sender<Heard>,
    visible: Mutex<HashMap<u16, Visible>>,
    on_change: Box<OnChange>,
}

impl LiveHub {
    /// A hub that starts at what the fold store says is visible.
    pub fn new(visible: impl IntoIterator<Item = (u16, Visible)>, on_change: Box<OnChange>) -> LiveHub {
        LiveHub { sender: broadcast::channel(BACKLOG).0, visible: Mutex::new(visible.into_iter().collect()), on_change }
    }

    /// Announces: first caches forget, then the partitions' visible offsets move, then pages
    /// are told. So a page that reads the new offset never sees an old answer for it.
    pub fn announce(&self, signals: Vec<LiveSignal>, moved: &[(u16, Visible)]) {
        signals.iter().for_each(|signal| (self.on_change)(Change::Of(signal)));
        self.visible.lock().unwrap_or_else(PoisonError::into_inner).extend(moved.iter().copied());
        for signal in signals {
            // Nobody listening is no error.
            let _ = self.sender.send(Heard::Signal(signal));
        }
    }

    /// Signals may have been lost, and this is what is visible now: caches forget all that could have changed, then
    /// everybody looks again. What is visible never goes back.
    pub fn look_anew(&self, visible: &[(u16, Visible)]) {
        let ahead = |(partition, now): &&(u16, Visible)| now.next_offset >= self.visible(*partition).next_offset;
        let moved: Vec<(u16, Visible)> = visible.iter().filter(ahead).copied().collect();
        for (partition, now) in &moved {
            (self.on_change)(Change::Partition(*partition, now.next_offset));
        }
        self.visible.lock().unwrap_or_else(PoisonError::into_inner).extend(moved);
        // Nobody listening is no error.
        let _ = self.sender.send(Heard::Anything);
    }

    /// Every change from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Heard> {
        self.sender.subscribe()
    }

    /// Up to where a partition is visible.
    pub fn visible(&self, partition: u16) -> Visible {
        self.visible.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied().unwrap_or_default()
    }
}
