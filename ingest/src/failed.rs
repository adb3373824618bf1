//! Requests to a known endpoint that were refused for what they are: the latest of each endpoint,
//! for the vendor to see. Not their content.

use crate::minimise::MinimiseError;
use crate::signature::SignatureError;
use domain::ids::{Timestamp, VendorId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// How many are kept of one endpoint.
pub const KEPT_PER_ENDPOINT: usize = 100;

/// What was wrong, as a person can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Without a signature header.
    NoSignature,
    /// With a signature header that is not of the provider's form.
    StrangeSignature,
    /// Signed with another secret than those of the endpoint, or changed on the way.
    WrongSecret,
    /// Signed rightly, but too long ago.
    TooOld,
    /// Signed rightly, with a time in the future.
    InFuture,
    /// Without a body.
    EmptyBody,
    /// Signed rightly, but no readable event.
    Unreadable,
}

impl From<&SignatureError> for FailureKind {
    fn from(error: &SignatureError) -> FailureKind {
        match error {
            SignatureError::Missing => FailureKind::NoSignature,
            SignatureError::EmptyBody => FailureKind::EmptyBody,
            SignatureError::Malformed(_) => FailureKind::StrangeSignature,
            SignatureError::Mismatch => FailureKind::WrongSecret,
            SignatureError::TooOld { .. } => FailureKind::TooOld,
            SignatureError::InFuture { .. } => FailureKind::InFuture,
        }
    }
}

impl From<&MinimiseError> for FailureKind {
    fn from(_: &MinimiseError) -> FailureKind {
        FailureKind::Unreadable
    }
}

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedDelivery {
    /// When it came.
    pub at: Timestamp,
    /// What was wrong.
    pub kind: FailureKind,
    /// The same in words, without any value of the body.
    pub reason: String,
    /// SHA-256 of its bytes, hex.
    pub body_sha256: String,
}

/// The latest of each endpoint. Only known endpoints get here, so their number is bounded.
#[derive(Debug, Default)]
pub struct FailedList {
    state: Mutex<State>,
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    by_endpoint: HashMap<String, VecDeque<FailedDelivery>>,
    /// Whose list changed since it was last taken.
    changed: BTreeSet<(VendorId, String)>,
}

/// The list of one endpoint, for whoever keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedList {
    /// Whose endpoint it is.
    pub vendor: VendorId,
    /// The endpoint.
    pub endpoint: String,
    /// What was refused, newest first.
    pub deliveries: Vec<FailedDelivery>,
}

impl State {
    fn of(&self, endpoint: &str) -> Vec<FailedDelivery> {
        self.by_endpoint.get(endpoint).map(|list| list.iter().rev().cloned().collect()).unwrap_or_default()
    }
}

impl FailedList {
    /// Remembers one, and forgets the oldest when there are too many.
    pub fn add(&self, vendor: VendorId, endpoint: &str, delivery: FailedDelivery) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let list = state.by_endpoint.entry(endpoint.to_owned()).or_default();
        if list.len() == KEPT_PER_ENDPOINT {
            list.pop_front();
        }
        list.push_back(delivery);
        state.changed.insert((vendor, endpoint.to_owned()));
        self.added.notify_one();
    }

    /// The latest of an endpoint, newest first.
    pub fn of(&self, endpoint: &str) -> Vec<FailedDelivery> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).of(endpoint)
    }

    /// Resolves when something was added since it last resolved. For one caller.
    pub async fn added(&self) {
        self.added.notified().await;
    }

    /// The lists that changed since they were last taken.
    pub fn take_changed(&self) -> Vec<ChangedList> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = std::mem::take(&mut state.changed);
        let list = |(vendor, endpoint): (VendorId, String)| {
            let deliveries = state.of(&endpoint);
            ChangedList { vendor, endpoint, deliveries }
        };
        changed.into_iter().map(list).collect()
    }

    /// A list that was taken could not be kept: it counts as changed again.
    pub fn give_back(&self, list: &ChangedList) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.changed.insert((list.vendor, list.endpoint.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept() {
        let list = FailedList::default();
        for at in 0..=KEPT_PER_ENDPOINT as i64 {
            let (reason, body_sha256) = (String::new(), String::new());
            list.add(
                VendorId(1),
                "e1",
                FailedDelivery { at: Timestamp(at), kind: FailureKind::TooOld, reason, body_sha256 },
            );
        }
        let kept = list.of("e1");
        assert_eq!(kept.len(), KEPT_PER_ENDPOINT);
        assert_eq!((kept[0].at.0, kept[KEPT_PER_ENDPOINT - 1].at.0), (KEPT_PER_ENDPOINT as i64, 1));
        assert!(list.of("e2").is_empty());
        let taken = list.take_changed();
        assert_eq!((taken.len(), taken[0].vendor, taken[0].deliveries.len()), (1, VendorId(1), KEPT_PER_ENDPOINT));
        assert!(list.take_changed().is_empty(), "nothing changed since");
        list.give_back(&taken[0]);
        assert_eq!(list.take_changed(), taken);
    }
}
