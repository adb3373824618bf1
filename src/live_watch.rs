//! Feeds the live signal of a process from the others', and makes up for signals that were lost.

use crate::reading::visible;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::fold_store::{FoldStore, Visible};
use store::kafka::live::LiveListener;
use store::live::LiveHub;
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
        if is_lost || stayed_behind(hub, &seen) {
            hub.look_anew(&now);
        }
        seen = now.iter().map(|(partition, Visible { next_offset, .. })| (*partition, *next_offset)).collect();
    }
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
