//! The event log and the live signal on Kafka.
//!
//! A position in the log is an offset of the topic, so the topic must never have gaps: it is
//! neither compacted nor written in transactions, and keeps records as long as they are needed
//! (`migrate` makes it so and refuses what is different). The log is written by idempotent
//! producers and read without groups: whose turn it is, is decided by the fold store.

mod context;
mod copy;
pub mod live;
pub mod membership;
mod producer;
mod reader;
mod security;
mod settings;
pub mod spool;
mod topics;

#[cfg(test)]
mod copy_tests;
#[cfg(test)]
mod mock_tests;
#[cfg(test)]
mod secured_broker;
#[cfg(test)]
mod secured_tests;
#[cfg(test)]
mod spool_tests;
#[cfg(test)]
pub(crate) mod test_broker;
#[cfg(test)]
mod tests;

pub use copy::{Copied, CopyError, copy_log};
pub use security::{ClientCertificate, KafkaMechanism, KafkaSecurity, KafkaTls, KafkaUser};
pub use settings::KafkaSettings;
pub use topics::{TopicError, check, migrate};

use crate::event_log::{Appended, EventLog, LogError, NewRecord, StoredRecord};
use crate::local_log;
use async_trait::async_trait;
use context::{Context, Health};
use domain::ids::{PARTITIONS, VendorId};
use producer::Sender;
use rdkafka::config::ClientConfig;
use reader::{Purpose, ReadLimits, Reader};
use serde::Deserialize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Fetched ahead per partition by whoever reads on, in KiB.
const SEQUENTIAL_QUEUE_KIB: u32 = 4 * 1024;
/// Fetched ahead per partition by reads of single records, in KiB.
const SINGLE_QUEUE_KIB: u32 = 64;

/// The broker answers a fetch at the end of a partition after this long.
const FETCH_WAIT: Duration = Duration::from_millis(250);
/// The same for reads of single records.
const SINGLE_FETCH_WAIT: Duration = Duration::from_millis(10);
/// Appends wait this long while the broker is known to be away ...
const AWAY_PATIENCE: Duration = Duration::from_millis(1_500);
/// ... and no longer than this while none is acknowledged: a refusal is due within two seconds.
const FROZEN_AFTER: Duration = Duration::from_millis(1_800);
/// How often a waiting append looks whether it has a chance.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// The event log on Kafka.
pub struct KafkaLog {
    settings: KafkaSettings,
    sender: Sender,
    health: Arc<Health>,
    sequential: Arc<Reader>,
    /// Reads of single records must not move the other reader back and forth.
    single: Arc<Reader>,
    /// One past the last offset that this value appended, per partition.
    own_ends: Vec<AtomicU64>,
    appended: Arc<Notify>,
}

impl KafkaLog {
    /// A log that connects by itself; the broker may be away. Whether the topics are as they
    /// must be is looked at by [`check`].
    pub fn open(settings: KafkaSettings) -> Result<KafkaLog, LogError> {
        let health = Arc::new(Health::default());
        let config = settings.producer(Some(settings.append_timeout));
        let sender = Sender::new(config, &settings.events_topic, Arc::clone(&health))?;
        let appended = Arc::new(Notify::new());
        let reader = |purpose: Purpose, config: ClientConfig| {
            // What a reader hears of the broker is not what decides about appends.
            let context = || Context { health: Arc::default() };
            let topic = &settings.events_topic;
            Arc::new(Reader::new(purpose, config, topic, Box::new(context), Arc::clone(&appended)))
        };
        let reading_on = settings.consumer(SEQUENTIAL_QUEUE_KIB, FETCH_WAIT);
        let single_reads = settings.consumer(SINGLE_QUEUE_KIB, SINGLE_FETCH_WAIT);
        Ok(KafkaLog {
            sequential: reader(Purpose::ReadingOn, reading_on),
            single: reader(Purpose::SingleReads, single_reads),
            own_ends: (0..PARTITIONS).map(|_| AtomicU64::new(0)).collect(),
            settings,
            sender,
            health,
            appended,
        })
    }

    /// Whether no broker could be reached and nothing was stored since.
    pub fn is_away(&self) -> bool {
        self.health.is_away()
    }

    /// How long the oldest record has waited for its acknowledgement.
    pub fn oldest_waits(&self) -> Duration {
        self.health.oldest_waits()
    }

    /// How often a producer was built anew after a fatal error.
    pub fn producer_rebuilds(&self) -> u64 {
        self.health.rebuilds()
    }

    /// Resolves when an append has no chance any more. The first ones that meet a frozen broker are the oldest
    /// themselves, so one look is not enough.
    async fn is_hopeless(&self) {
        tokio::time::sleep(AWAY_PATIENCE).await;
        while !self.is_away() && self.oldest_waits() <= FROZEN_AFTER {
            tokio::time::sleep(LOOKS_EVERY).await;
        }
    }

    fn note_end(&self, partition: u16, offset: u64) {
        self.own_ends[usize::from(partition)].fetch_max(offset + 1, Ordering::Relaxed);
        self.appended.notify_waiters();
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn append(&self, record: NewRecord) -> Result<Appended, LogError> {
        local_log::check(&record)?;
        let key = key_of(&record.bytes);
        let send = self.sender.send(record.partition, &key, &record.bytes);
        let offset = tokio::select! {
            sent = send => sent?,
            () = self.is_hopeless() => {
                let why = self.health.refusal().unwrap_or_else(|| "Kafka is away".to_owned());
                return Err(LogError::Unavailable(format!("{why}; whether the record is stored is unknown")));
            }
        };
        self.note_end(record.partition, offset);
        Ok(Appended::Log(offset))
    }

    async fn read(
        &self,
        partition: u16,
        offset: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        local_log::check_partition(partition)?;
        let limits = ReadLimits {
            records: max_records.min(local_log::READ_RECORDS),
            bytes: max_bytes.min(local_log::READ_BYTES),
        };
        if limits.records == 0 {
            return Ok(Vec::new());
        }
        let is_single = limits.records == 1 && !self.sequential.stands_at(partition, offset);
        let reader = Arc::clone(if is_single { &self.single } else { &self.sequential });
        let known_end = self.own_ends[usize::from(partition)].load(Ordering::Relaxed);
        blocking(move || reader.read(partition, offset, limits, known_end)).await
    }

    async fn bounds(&self, partition: u16) -> Result<(u64, u64), LogError> {
        local_log::check_partition(partition)?;
        let reader = Arc::clone(&self.single);
        blocking(move || reader.bounds(partition)).await
    }

    /// Told by own appends and by whatever the sequential reader fetched; counts from the call.
    fn appended<'life0, 'async_trait>(&'life0 self) -> Pin<Box<dyn Future<Output = ()> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.appended.notified())
    }

    /// Nothing is kept back: an append returns when the broker has the record.
    async fn close(&self) {}
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work).await.map_err(anyhow::Error::from)?
}

/// The key of a record: its vendor, for whoever looks at the topic with other tools. The
/// partition is not made from it.
fn key_of(bytes: &[u8]) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Header {
        vendor: VendorId,
    }
    serde_json::from_slice::<Header>(bytes).map_or_else(|_| Vec::new(), |header| header.vendor.to_string().into_bytes())
}
