//! What the two databases of the control store do differently: how a transaction begins and ends, how far it reaches,
//! who hears of a change, and who may relay.

use super::database::Database;
use super::{ControlResult, VendorId};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Which rows a transaction may touch. SQLite takes the word of the statements for it; Postgres holds them to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// One vendor's.
    Tenant(VendorId),
    /// Everybody's, sessions and tokens too: for the wiring, before there is a scope.
    Wiring,
}

/// Who must hear of a change after it is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tells {
    /// The edge: connections or secrets changed.
    pub(super) directory: bool,
    /// The relay: decisions wait.
    pub(super) decisions: bool,
}

impl Tells {
    pub(super) const NOTHING: Tells = Tells { directory: false, decisions: false };
    pub(super) const DIRECTORY: Tells = Tells { directory: true, decisions: false };
    pub(super) const DECISIONS: Tells = Tells { directory: false, decisions: true };
    pub(super) const BOTH: Tells = Tells { directory: true, decisions: true };
}

/// Where [`ControlStoreOn`](super::store::ControlStoreOn) runs its transactions.
pub(super) trait Backend: Send + Sync {
    /// Runs a read. Everything in it sees one state.
    fn read<T: Send + 'static>(
        &self,
        reach: Reach,
        read: impl FnOnce(&dyn Database) -> ControlResult<T> + Send + 'static,
    ) -> impl Future<Output = ControlResult<T>> + Send;

    /// Runs one write transaction and, once it is committed, tells whom it concerns. It is finished even when the
    /// caller no longer waits.
    fn write<T: Send + 'static>(
        &self,
        reach: Reach,
        tells: Tells,
        write: impl FnOnce(&dyn Database) -> ControlResult<T> + Send + 'static,
    ) -> impl Future<Output = ControlResult<T>> + Send;

    /// Where changes are announced.
    fn signals(&self) -> &Signals;

    /// Whether this process is the one whose relay may take decisions now. Asking keeps the right.
    fn may_relay(&self) -> impl Future<Output = ControlResult<bool>> + Send;

    /// After this time every process knows what was changed here.
    fn spread(&self) -> Duration;

    /// Makes sure that what was deleted cannot be read from the files, where the database lets us.
    fn overwrite_deleted(&self) -> impl Future<Output = ControlResult<()>> + Send;
}

/// How often the directory and the decisions changed since the store was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) directory: u64,
    pub(super) decisions: u64,
}

/// Announces changes inside this process.
pub(super) struct Signals {
    changed: watch::Sender<u64>,
    decisions: AtomicU64,
    pending: Notify,
}

impl Signals {
    /// What an earlier process left in the outbox must not wait for the next decision, so the relay is woken once.
    pub(super) fn new(versions: Versions) -> Signals {
        let pending = Notify::new();
        pending.notify_one();
        Signals {
            changed: watch::Sender::new(versions.directory),
            decisions: AtomicU64::new(versions.decisions),
            pending,
        }
    }

    /// Tells whom a change concerns that only this process knows of.
    pub(super) fn tell(&self, tells: Tells) {
        let directory = *self.changed.borrow() + u64::from(tells.directory);
        let decisions = self.decisions.load(Ordering::Relaxed) + u64::from(tells.decisions);
        self.saw(Versions { directory, decisions });
    }

    /// Tells of what is newer than what was seen before. Called by whoever wrote and by whoever looks, in any order.
    pub(super) fn saw(&self, versions: Versions) {
        self.changed.send_if_modified(|seen| {
            let newer = versions.directory > *seen;
            *seen = versions.directory.max(*seen);
            newer
        });
        if self.decisions.fetch_max(versions.decisions, Ordering::Relaxed) < versions.decisions {
            self.pending.notify_one();
        }
    }

    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) async fn decisions_pending(&self) {
        self.pending.notified().await;
    }
}
