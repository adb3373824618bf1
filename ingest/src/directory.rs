//! Which endpoints exist, and with which secrets. An in-memory snapshot that is swapped as a
//! whole; requests never wait for a database.

use crate::signature::Secret;
use domain::ids::{ConnectionId, Mode, Provider, VendorId};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// One webhook address that a vendor gave to a provider.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The last part of its URL: at least 24 random characters.
    pub id: String,
    /// Whose it is.
    pub vendor: VendorId,
    /// The provider account that calls it.
    pub connection: ConnectionId,
    /// Who calls it.
    pub provider: Provider,
    /// The mode of events that name none (Paddle's). None counts as live.
    pub mode_hint: Option<Mode>,
    /// Every active secret; several while one is being changed.
    pub secrets: Vec<Secret>,
    /// The vendor's key for hashes of personal values.
    pub hash_key: HashKey,
}

/// A vendor's key for hashes of personal values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey(pub [u8; 32]);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(..)")
    }
}

/// Why there is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointMissing {
    /// No snapshot has been loaded since the start: nobody knows yet.
    #[error("the endpoints are not loaded yet")]
    NotLoaded,
    /// No such endpoint.
    #[error("there is no such endpoint")]
    Unknown,
}

type Snapshot = HashMap<String, Arc<Endpoint>>;

/// The endpoints, as of the last snapshot.
#[derive(Debug, Default)]
pub struct EndpointDirectory {
    current: RwLock<Option<Arc<Snapshot>>>,
}

impl EndpointDirectory {
    /// A directory that has not been loaded.
    pub fn new() -> EndpointDirectory {
        EndpointDirectory::default()
    }

    /// Puts a snapshot in place of the one before.
    pub fn replace(&self, endpoints: Vec<Endpoint>) {
        let by_id = endpoints.into_iter().map(|endpoint| (endpoint.id.clone(), Arc::new(endpoint))).collect();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(by_id));
    }

    /// The endpoint with this id, if this provider calls it.
    pub fn find(&self, provider: Provider, id: &str) -> Result<Arc<Endpoint>, EndpointMissing> {
        let snapshot = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let snapshot = snapshot.ok_or(EndpointMissing::NotLoaded)?;
        let endpoint = snapshot.get(id).filter(|endpoint| endpoint.provider == provider);
        endpoint.cloned().ok_or(EndpointMissing::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_only_once_loaded() {
        let directory = EndpointDirectory::new();
        assert_eq!(directory.find(Provider::Stripe, "e1").expect_err("empty"), EndpointMissing::NotLoaded);
        directory.replace(vec![Endpoint {
            id: "e1".to_owned(),
            vendor: VendorId(1),
            connection: ConnectionId(1),
            provider: Provider::Stripe,
            mode_hint: None,
            secrets: vec![Secret::new("whsec_a")],
            hash_key: HashKey([1; 32]),
        }]);
        let found = directory.find(Provider::Stripe, "e1").expect("loaded");
        assert_eq!(found.vendor, VendorId(1));
        assert_eq!(directory.find(Provider::Paddle, "e1").expect_err("Stripe's"), EndpointMissing::Unknown);
        assert_eq!(directory.find(Provider::Stripe, "e2").expect_err("none"), EndpointMissing::Unknown);
        let shown = format!("{found:?}");
        assert!(shown.contains("Secret(..)") && shown.contains("HashKey(..)"), "{shown}");
        directory.replace(Vec::new());
        assert_eq!(directory.find(Provider::Stripe, "e1").expect_err("gone"), EndpointMissing::Unknown);
    }
}
