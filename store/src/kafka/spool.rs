//! The log on Kafka with this machine's disk behind it. While the broker is away or slow, records
//! are made durable in a local log, the spool, and acknowledged; they are forwarded in order when
//! it is back.
//!
//! A partition with something in the spool goes on spooling until that is forwarded, so that a
//! record never overtakes one that was acknowledged before it. A record may reach the log twice
//! (its acknowledgement came too late, or the process ended before it noted how far it had
//! forwarded); the fold ignores copies.

mod forward;
mod state;

use super::KafkaLog;
use super::context::Health;
use super::producer::Sender;
use crate::event_log::{Appended, EventLog, LogError, NewRecord, StoredRecord};
use crate::local_log;
use crate::sqlite::SqliteError;
use async_trait::async_trait;
use domain::ids::{PARTITIONS, Timestamp};
use state::{Spool, SpoolState};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where the spool is, and how much it may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Its folder; one process uses it.
    pub folder: PathBuf,
    /// Bytes of records that may wait; more is refused.
    pub quota_bytes: u64,
    /// How long the oldest may wait; then more is refused.
    pub quota_age: Duration,
    /// A record that Kafka did not acknowledge after this long goes into the spool, and so does
    /// every record while another one has waited for this long.
    pub spool_after: Duration,
}

impl SpoolSettings {
    /// The usual limits.
    pub fn in_folder(folder: PathBuf) -> SpoolSettings {
        SpoolSettings {
            folder,
            quota_bytes: 2 << 30,
            quota_age: Duration::from_secs(24 * 3600),
            spool_after: Duration::from_secs(2),
        }
    }
}

/// What waits in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpoolStatus {
    /// Bytes of records.
    pub bytes: u64,
    /// When the oldest was spooled, to about a second.
    pub oldest: Option<Timestamp>,
    /// Records that were spooled since the process began.
    pub spooled: u64,
    /// Records that were forwarded since the process began.
    pub forwarded: u64,
}

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Its files.
    #[error("the spool in {folder} cannot be used: {reason}")]
    Files {
        /// Where.
        folder: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// Its records.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// Reading them, or building the producer.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The log on Kafka with a spool.
pub struct SpooledLog {
    inner: Arc<Inner>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    kafka: Arc<KafkaLog>,
    settings: SpoolSettings,
    clock: Clock,
    state: Mutex<SpoolState>,
    /// Held while the position file is written, so that it never goes back.
    position_file: tokio::sync::Mutex<()>,
    /// Sends until it succeeds, so that no record of a series can fail alone and be overtaken.
    forwarder: Sender,
    /// Told when something was spooled.
    spooled: Notify,
}

impl SpooledLog {
    /// Opens the spool and begins to forward what is in it. Belongs to the runtime it is called in.
    pub async fn open(kafka: Arc<KafkaLog>, settings: SpoolSettings, clock: Clock) -> Result<SpooledLog, SpoolError> {
        let state = state::open(&settings.folder, clock()).await?;
        let health: Arc<Health> = Arc::clone(&kafka.health);
        let forwarder = Sender::new(kafka.settings.producer(None), &kafka.settings.events_topic, health)?;
        let inner = Arc::new(Inner {
            kafka,
            settings,
            clock,
            state: Mutex::new(state),
            position_file: tokio::sync::Mutex::new(()),
            forwarder,
            spooled: Notify::new(),
        });
        let lanes = (0..PARTITIONS).map(|partition| tokio::spawn(Arc::clone(&inner).forward(partition))).collect();
        Ok(SpooledLog { inner, lanes: Mutex::new(lanes) })
    }

    /// What waits.
    pub fn status(&self) -> SpoolStatus {
        self.inner.state().status()
    }

    /// Stops forwarding and closes the spool's file. What is left is forwarded after the next start.
    pub async fn shutdown(&self) {
        let lanes = std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        for lane in lanes {
            lane.abort();
            // Aborted is what it is meant to be.
            let _ = lane.await;
        }
        let spool = self.inner.state().spool.clone();
        spool.log.shutdown().await;
    }
}

impl Drop for SpooledLog {
    fn drop(&mut self) {
        for lane in self.lanes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            lane.abort();
        }
    }
}

impl Inner {
    fn state(&self) -> std::sync::MutexGuard<'_, SpoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a record of this partition must not go to Kafka directly.
    fn must_spool(&self, partition: u16) -> bool {
        !self.state().is_drained(partition)
            || self.kafka.is_away()
            || self.kafka.oldest_waits() > self.settings.spool_after
    }

    /// Makes one record durable here.
    async fn spool(self: Arc<Self>, record: NewRecord) -> Result<Appended, LogError> {
        let (partition, bytes) = (record.partition, record.bytes.len() as u64);
        let now = (self.clock)();
        let spool: Arc<Spool> = self.state().begin_write(partition, bytes, &self.settings, now)?;
        let appended = spool.log.append(record).await;
        self.state().end_write(partition, bytes, appended.as_ref().ok().and_then(|one| one.offset()), now);
        self.spooled.notify_waiters();
        appended.map(|_| Appended::Spool)
    }
}

#[async_trait]
impl EventLog for SpooledLog {
    async fn append(&self, record: NewRecord) -> Result<Appended, LogError> {
        local_log::check(&record)?;
        if !self.inner.must_spool(record.partition) {
            let direct = self.inner.kafka.append(record.clone());
            match tokio::time::timeout(self.inner.settings.spool_after, direct).await {
                Ok(Err(LogError::Unavailable(reason))) => tracing::debug!("a record goes into the spool: {reason}"),
                Ok(result) => return result,
                Err(_) => tracing::debug!("a record goes into the spool: Kafka is slow"),
            }
        }
        // A task of its own: a caller who gives up must not leave the counts half changed.
        let spooled = tokio::spawn(Arc::clone(&self.inner).spool(record)).await;
        spooled.map_err(anyhow::Error::from)?
    }

    async fn read(
        &self,
        partition: u16,
        offset: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        self.inner.kafka.read(partition, offset, max_records, max_bytes).await
    }

    async fn bounds(&self, partition: u16) -> Result<(u64, u64), LogError> {
        self.inner.kafka.bounds(partition).await
    }

    /// Counts from the call, as the log's own does.
    fn appended<'life0, 'async_trait>(&'life0 self) -> Pin<Box<dyn Future<Output = ()> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        self.inner.kafka.appended()
    }

    /// Stops forwarding and closes the spool's file. What is left is forwarded after the next start.
    async fn close(&self) {
        self.shutdown().await;
    }
}
