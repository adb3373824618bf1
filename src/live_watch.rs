//! Feeds the live signal of a process from the others', and makes up for signals that were lost.

use crate::ledger_stores::{held, visible};
use domain::ids::PARTITIONS;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::fold_store::{FoldStore, Visible};
use store::kafka::live::LiveListener;
use store::live::{Hold, LiveHub};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often the signal is compared with the fold store. What stayed behind for as long was lost on the way.
const EVERY: Duration = Duration::from_secs(3);

/// Listens until stopped.
pub async fn run(listener: &LiveListener, hub: &LiveHub, fold: &Arc<dyn FoldStore>, stop: &CancellationToken) {
    let lost = Notify::new();
    let look_anew = || lost.notify_one();
    tokio::select! {
        () = listener.run(hub, &look_anew) => {}
        () = compare(hub, fold, &lost) => {}
        () = stop.cancelled() => {}
    }
}

/// Compares again and again, and at once when something is known to be lost.
async fn compare(hub: &LiveHub, fold: &Arc<dyn FoldStore>, lost: &Notify) {
    let mut seen: BTreeMap<u16, u64> = BTreeMap::new();
    let mut free: BTreeSet<u16> = BTreeSet::new();
    loop {
        let is_lost = tokio::select! {
            () = lost.notified() => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        let now = match visible(fold.clone()).await {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(error = %error, "what is visible cannot be read: {error:#}");
                continue;
            }
        };
        match held(fold.clone()).await {
            Ok(noted) => free = follow_notes(hub, &noted.into_iter().collect(), &free),
            Err(error) => tracing::warn!(error = %error, "what is missing cannot be read: {error:#}"),
        }
        if is_lost || stayed_behind(hub, &seen) {
            hub.look_anew(&now);
        }
        seen = now.iter().map(|(partition, Visible { next_offset, .. })| (*partition, *next_offset)).collect();
    }
}

/// What the fold store notes as missing is held, and what is held without a note for a whole round is released: then the
/// message was lost. Returns what is held without a note.
fn follow_notes(hub: &LiveHub, noted: &BTreeMap<u16, Visible>, free_before: &BTreeSet<u16>) -> BTreeSet<u16> {
    let mut free = BTreeSet::new();
    for partition in 0..PARTITIONS {
        match noted.get(&partition) {
            Some(upto) if hub.held(partition) != Some(*upto) => hub.hold(partition, *upto),
            Some(_) => {}
            None if !hub.is_held(partition) => {}
            None if free_before.contains(&partition) => hub.release(partition, &BTreeSet::new()),
            None => drop(free.insert(partition)),
        }
    }
    free
}

/// Whether the hub has not heard of what was visible at the last comparison.
fn stayed_behind(hub: &LiveHub, seen: &BTreeMap<u16, u64>) -> bool {
    seen.iter().any(|(partition, next_offset)| hub.announced(*partition) < *next_offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::Timestamp;

    #[test]
    fn what_is_missing_is_followed_also_when_its_message_was_lost() {
        let at = |next_offset| Visible { next_offset, at: Timestamp(1) };
        let hub = LiveHub::new([(3, at(9)), (4, at(9))], Box::new(|_| {}));
        let noted = BTreeMap::from([(3, at(5))]);
        let mut free = follow_notes(&hub, &noted, &BTreeSet::new());
        assert_eq!((hub.visible(3), hub.visible(4)), (at(5), at(9)));
        // Held by a message that is newer than what was read.
        hub.hold(4, at(2));
        free = follow_notes(&hub, &noted, &free);
        assert_eq!(hub.visible(4), at(2), "the note may be on its way");
        free = follow_notes(&hub, &BTreeMap::from([(4, at(2))]), &free);
        assert_eq!((hub.visible(3), hub.visible(4)), (at(5), at(2)));
        follow_notes(&hub, &BTreeMap::new(), &free);
        assert_eq!((hub.visible(3), hub.is_held(4)), (at(9), true));
    }

    #[test]
    fn only_what_was_missed_for_a_whole_round_counts_as_lost() {
        let hub = LiveHub::new([(3, Visible { next_offset: 5, at: Timestamp(1) })], Box::new(|_| {}));
        assert!(!stayed_behind(&hub, &BTreeMap::new()), "nothing was compared yet");
        assert!(!stayed_behind(&hub, &BTreeMap::from([(3, 5), (4, 0)])));
        assert!(stayed_behind(&hub, &BTreeMap::from([(3, 6)])));
        hub.look_anew(&[(3, Visible { next_offset: 6, at: Timestamp(2) })]);
        assert!(!stayed_behind(&hub, &BTreeMap::from([(3, 6)])));
        hub.look_anew(&[(3, Visible { next_offset: 4, at: Timestamp(3) })]);
        assert_eq!(hub.visible(3).next_offset, 6, "what is visible never goes back");
    }
}
