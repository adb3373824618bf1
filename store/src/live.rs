//! The live signal port, in process: what became visible, for open pages.

use crate::fold_store::Visible;
use domain::ids::{AffiliateId, Mode, VendorId};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    /// Every answer about a partition that was read below this offset: something was missing, or is there again.
    Wrong(u16, u64),
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

/// Keeps pages below what is known to be missing in the warehouse.
pub trait Hold: Send + Sync {
    /// Nothing of a partition is shown from `upto` on, whatever becomes visible meanwhile.
    fn hold(&self, partition: u16, upto: Visible);
    /// Everything visible is shown again. `vendors` are those whose figures changed.
    fn release(&self, partition: u16, vendors: &BTreeSet<(VendorId, Mode)>);
}

/// Up to where partitions can be read.
#[derive(Default)]
struct Reach {
    visible: HashMap<u16, Visible>,
    held: HashMap<u16, Visible>,
}

/// Tells open pages, and knows up to where each partition is visible.
pub struct LiveHub {
    sender: broadcast::Sender<Heard>,
    reach: Mutex<Reach>,
    on_change: Box<OnChange>,
}

impl Hold for LiveHub {
    fn hold(&self, partition: u16, upto: Visible) {
        let visible = {
            let mut reach = self.reach();
            if reach.held.insert(partition, upto) == Some(upto) {
                return;
            }
            reach.visible.get(&partition).copied().unwrap_or_default()
        };
        (self.on_change)(Change::Wrong(partition, visible.next_offset));
    }

    fn release(&self, partition: u16, vendors: &BTreeSet<(VendorId, Mode)>) {
        // While it is held it only grows, so what was read below is forgotten up to here at least.
        let visible = self.reach().visible.get(&partition).copied().unwrap_or_default();
        (self.on_change)(Change::Wrong(partition, visible.next_offset));
        self.reach().held.remove(&partition);
        // Once more: what was read in between must not pass for what is read from now on.
        (self.on_change)(Change::Wrong(partition, visible.next_offset));
        for (vendor, mode) in vendors {
            let signal = LiveSignal {
                vendor: *vendor,
                mode: *mode,
                affiliates: BTreeSet::new(),
                next_offset: visible.next_offset,
            };
            // Nobody listening is no error.
            let _ = self.sender.send(Heard::Signal(signal));
        }
    }
}

impl LiveHub {
    /// A hub that starts at what the fold store says is visible.
    pub fn new(visible: impl IntoIterator<Item = (u16, Visible)>, on_change: Box<OnChange>) -> LiveHub {
        let reach = Mutex::new(Reach { visible: visible.into_iter().collect(), held: HashMap::new() });
        LiveHub { sender: broadcast::channel(BACKLOG).0, reach, on_change }
    }

    /// Up to where a partition may be shown, if it is held.
    pub fn held(&self, partition: u16) -> Option<Visible> {
        self.reach().held.get(&partition).copied()
    }

    /// Whether less of a partition is shown than was once visible.
    pub fn is_held(&self, partition: u16) -> bool {
        self.reach().held.contains_key(&partition)
    }

    fn reach(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces: first caches forget, then the partitions' visible offsets move, then pages
    /// are told. So a page that reads the new offset never sees an old answer for it.
    pub fn announce(&self, signals: Vec<LiveSignal>, moved: &[(u16, Visible)]) {
        signals.iter().for_each(|signal| (self.on_change)(Change::Of(signal)));
        self.reach().visible.extend(moved.iter().copied());
        for signal in signals {
            // Nobody listening is no error.
            let _ = self.sender.send(Heard::Signal(signal));
        }
    }

    /// Signals may have been lost, and this is what is visible now: caches forget all that could have changed, then
    /// everybody looks again. What is visible never goes back.
    pub fn look_anew(&self, visible: &[(u16, Visible)]) {
        let ahead = |(partition, now): &&(u16, Visible)| now.next_offset >= self.announced(*partition);
        let moved: Vec<(u16, Visible)> = visible.iter().filter(ahead).copied().collect();
        for (partition, now) in &moved {
            (self.on_change)(Change::Partition(*partition, now.next_offset));
        }
        self.reach().visible.extend(moved);
        // Nobody listening is no error.
        let _ = self.sender.send(Heard::Anything);
    }

    /// Every change from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Heard> {
        self.sender.subscribe()
    }

    /// Up to where the last announcement said that a partition is visible, in its log.
    pub fn announced(&self, partition: u16) -> u64 {
        self.reach().visible.get(&partition).map_or(0, |visible| visible.next_offset)
    }

    /// Up to where a partition can be read: what is visible, or less while something of it is missing.
    pub fn visible(&self, partition: u16) -> Visible {
        let reach = self.reach();
        let visible = reach.visible.get(&partition).copied().unwrap_or_default();
        match reach.held.get(&partition) {
            Some(held) if held.next_offset < visible.next_offset => *held,
            _ => visible,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::Timestamp;
    use std::sync::Arc;

    #[test]
    fn a_held_partition_shows_less_whatever_is_announced() {
        let forgotten: Arc<Mutex<Vec<(u16, u64)>>> = Arc::default();
        let seen = forgotten.clone();
        let at = |next_offset: u64| Visible { next_offset, at: Timestamp(next_offset as i64) };
        let note = move |change: Change<'_>| {
            if let Change::Wrong(partition, offset) = change {
                seen.lock().unwrap().push((partition, offset));
            }
        };
        let hub = LiveHub::new([(3, at(10)), (4, at(10))], Box::new(note));
        let mut heard = hub.subscribe();
        hub.hold(3, at(4));
        hub.hold(3, at(4));
        assert_eq!((hub.visible(3), hub.visible(4)), (at(4), at(10)));
        assert!(hub.is_held(3) && !hub.is_held(4));
        hub.announce(Vec::new(), &[(3, at(20))]);
        assert_eq!(hub.visible(3), at(4));
        hub.hold(3, at(15));
        assert_eq!(hub.visible(3), at(15));
        hub.release(3, &BTreeSet::from([(VendorId(7), Mode::Live)]));
        assert!(hub.visible(3) == at(20) && !hub.is_held(3));
        assert_eq!(*forgotten.lock().unwrap(), [(3, 10), (3, 20), (3, 20), (3, 20)]);
        let Heard::Signal(signal) = heard.try_recv().unwrap() else { panic!("a vendor's signal") };
        assert_eq!(signal.next_offset, 20, "the vendor's open pages read again");
    }
}
