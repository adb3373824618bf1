//! Requests that were signed rightly and could not be read: the latest of each endpoint, for the
//! vendor to see. Not their content.

use domain::ids::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// How many are kept of one endpoint.
pub const KEPT_PER_ENDPOINT: usize = 100;

/// A signed request that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedDelivery {
    /// When it came.
    pub at: Timestamp,
    /// What is wrong, without any value of the body.
    pub reason: String,
    /// SHA-256 of its bytes, hex.
    pub body_sha256: String,
}

/// The latest of each endpoint. Only known endpoints get here, so their number is bounded.
#[derive(Debug, Default)]
pub struct MalformedList {
    by_endpoint: Mutex<HashMap<String, VecDeque<MalformedDelivery>>>,
}

impl MalformedList {
    /// Remembers one, and forgets the oldest when there are too many.
    pub fn add(&self, endpoint: &str, delivery: MalformedDelivery) {
        let mut by_endpoint = self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let list = by_endpoint.entry(endpoint.to_owned()).or_default();
        if list.len() == KEPT_PER_ENDPOINT {
            list.pop_front();
        }
        list.push_back(delivery);
    }

    /// The latest of an endpoint, newest first.
    pub fn of(&self, endpoint: &str) -> Vec<MalformedDelivery> {
        let by_endpoint = self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        by_endpoint.get(endpoint).map(|list| list.iter().rev().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept() {
        let list = MalformedList::default();
        for at in 0..=KEPT_PER_ENDPOINT as i64 {
            let delivery = MalformedDelivery { at: Timestamp(at), reason: String::new(), body_sha256: String::new() };
            list.add("e1", delivery);
        }
        let kept = list.of("e1");
        assert_eq!(kept.len(), KEPT_PER_ENDPOINT);
        assert_eq!((kept[0].at.0, kept[KEPT_PER_ENDPOINT - 1].at.0), (KEPT_PER_ENDPOINT as i64, 1));
        assert!(list.of("e2").is_empty());
    }
}
