//! Requests to a known endpoint that were refused for what they are: the latest of each endpoint,
//! for the vendor to see. Not their content.

use crate::minimise::MinimiseError;
use crate::signature::SignatureError;
use domain::ids::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// How many are kept of one endpoint.
pub const KEPT_PER_ENDPOINT: usize = 100;

/// What was wrong, as a person can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    by_endpoint: Mutex<HashMap<String, VecDeque<FailedDelivery>>>,
}

impl FailedList {
    /// Remembers one, and forgets the oldest when there are too many.
    pub fn add(&self, endpoint: &str, delivery: FailedDelivery) {
        let mut by_endpoint = self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let list = by_endpoint.entry(endpoint.to_owned()).or_default();
        if list.len() == KEPT_PER_ENDPOINT {
            list.pop_front();
        }
        list.push_back(delivery);
    }

    /// The latest of an endpoint, newest first.
    pub fn of(&self, endpoint: &str) -> Vec<FailedDelivery> {
        let by_endpoint = self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        by_endpoint.get(endpoint).map(|list| list.iter().rev().cloned().collect()).unwrap_or_default()
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
            list.add("e1", FailedDelivery { at: Timestamp(at), kind: FailureKind::TooOld, reason, body_sha256 });
        }
        let kept = list.of("e1");
        assert_eq!(kept.len(), KEPT_PER_ENDPOINT);
        assert_eq!((kept[0].at.0, kept[KEPT_PER_ENDPOINT - 1].at.0), (KEPT_PER_ENDPOINT as i64, 1));
        assert!(list.of("e2").is_empty());
    }
}
