//! Keeps what the edge must know of connections in memory: endpoints, secrets, hash keys.

use domain::ids::VendorId;
use ingest::directory::{Endpoint, EndpointDirectory, HashKey};
use ingest::signature::Secret;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use store::control::ControlStore;
use tokio_util::sync::CancellationToken;

/// Per-vendor keys under which e-mail addresses are hashed, as the directory last said.
pub type HashKeys = RwLock<HashMap<VendorId, HashKey>>;

/// Reads the directory out of the control store.
pub struct DirectoryLoader {
    control: Arc<dyn ControlStore>,
    directory: Arc<EndpointDirectory>,
    hash_keys: Arc<HashKeys>,
    /// Up to which change of the control store the endpoints were read; held while reading, so
    /// that an older reading never replaces a newer one.
    version: tokio::sync::Mutex<Option<u64>>,
}

impl DirectoryLoader {
    /// Nothing read yet.
    pub fn new(
        control: Arc<dyn ControlStore>,
        directory: Arc<EndpointDirectory>,
        hash_keys: Arc<HashKeys>,
    ) -> DirectoryLoader {
        DirectoryLoader { control, directory, hash_keys, version: tokio::sync::Mutex::default() }
    }

    /// Reads endpoints, secrets and hash keys into memory, unless they were read since the last
    /// change. When it returns, every change made before the call is known.
    pub async fn load(&self) -> anyhow::Result<()> {
        let changed = self.control.changed();
        let wanted = *changed.borrow();
        let mut loaded = self.version.lock().await;
        if loaded.is_some_and(|version| version >= wanted) {
            return Ok(());
        }
        let version = *changed.borrow();
        let entries = self.control.endpoint_directory().await?;
        let keys = entries.iter().map(|entry| (entry.vendor, HashKey(entry.hash_key.0))).collect();
        *self.hash_keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        let endpoints = entries.into_iter().map(|entry| Endpoint {
            id: entry.endpoint_id,
            vendor: entry.vendor,
            connection: entry.connection,
            provider: entry.provider,
            mode_hint: entry.mode_hint,
            secrets: entry.secrets.iter().map(|secret| Secret::new(secret.expose())).collect(),
            hash_key: HashKey(entry.hash_key.0),
        });
        self.directory.replace(endpoints.collect());
        *loaded = Some(version);
        Ok(())
    }

    /// Reads again whenever the control store changed, until stopped.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut changed = self.control.changed();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                seen = changed.changed() => if seen.is_err() { return },
            }
            if let Err(error) = self.load().await {
                tracing::error!(error = %error, "endpoints could not be read again: {error:#}");
            }
        }
    }
}
