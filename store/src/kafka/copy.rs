//! Brings a local log into an empty topic, every record at its own offset, when an installation of one process becomes
//! one of several.

use super::producer::Sender;
use super::{KafkaLog, KafkaSettings, key_of};
use crate::event_log::{EventLog, LogError};
use domain::ids::PARTITIONS;
use std::sync::Arc;

/// Records on their way at the same time.
const BATCH_RECORDS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// How far a partition is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Which.
    pub partition: u16,
    /// Records that are in the topic.
    pub records: u64,
    /// Records that the local log has.
    pub of: u64,
}

/// Why a log cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Offsets would not be those of the local log.
    #[error(
        "partition {partition} of the local log begins at {start}: records before it are gone, so the log cannot move"
    )]
    NoBeginning {
        /// Which.
        partition: u16,
        /// Its first offset.
        start: u64,
    },
    /// Something else is in the topic.
    #[error(
        "partition {partition} of topic {topic} does not begin like the local log (they differ before offset {end}): \
         name a topic that holds nothing in kafka.topic"
    )]
    Differs {
        /// Which topic.
        topic: String,
        /// Which partition.
        partition: u16,
        /// Where the topic ends.
        end: u64,
    },
    /// The broker put a record elsewhere: it stored one twice, or somebody else writes into the topic.
    #[error(
        "record {expected} of partition {partition} is now at offset {found} of topic {topic}: nobody else may write \
         while a log is copied. Begin again with a topic that holds nothing"
    )]
    Moved {
        /// Which topic.
        topic: String,
        /// Which partition.
        partition: u16,
        /// Where it should be.
        expected: u64,
        /// Where it is.
        found: u64,
    },
    /// One of the logs cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Copies every record that is not in the topic yet; what an earlier try copied stays. Whoever waits for a broker that
/// is away may stop it at any time. Returns how many records the topic holds.
///
/// # Errors
/// See [`CopyError`]; the topic must hold nothing, or the beginning of this log.
pub async fn copy_log(
    from: &dyn EventLog,
    settings: &KafkaSettings,
    progress: &mut (dyn FnMut(Copied) + Send),
) -> Result<u64, CopyError> {
    let to = KafkaLog::open(settings.clone())?;
    // It never gives up, so no record can fail alone in the middle.
    let sender = Sender::new(settings.producer(None), &settings.events_topic, Arc::clone(&to.health))?;
    let topic = settings.events_topic.as_str();
    let mut records = 0;
    for partition in 0..PARTITIONS {
        let (mut next, end) = beginning(from, &to, topic, partition).await?;
        progress(Copied { partition, records: next, of: end });
        while next < end {
            next = copy_batch(from, &sender, topic, partition, next).await?;
            progress(Copied { partition, records: next, of: end });
        }
        records += end;
    }
    Ok(records)
}

/// Where the topic ends and where the local log ends. What the topic has must be the local log's.
async fn beginning(from: &dyn EventLog, to: &KafkaLog, topic: &str, partition: u16) -> Result<(u64, u64), CopyError> {
    let (start, end) = from.bounds(partition).await?;
    if start > 0 {
        return Err(CopyError::NoBeginning { partition, start });
    }
    let (first, there) = to.bounds(partition).await?;
    let differs = || CopyError::Differs { topic: topic.to_owned(), partition, end: there };
    if first > 0 || there > end {
        return Err(differs());
    }
    if let Some(last) = there.checked_sub(1) {
        let (ours, theirs) =
            (from.read(partition, last, 1, BATCH_BYTES).await?, to.read(partition, last, 1, BATCH_BYTES).await?);
        if ours.first().map(|record| &record.bytes) != theirs.first().map(|record| &record.bytes) {
            return Err(differs());
        }
    }
    Ok((there, end))
}

async fn copy_batch(
    from: &dyn EventLog,
    sender: &Sender,
    topic: &str,
    partition: u16,
    next: u64,
) -> Result<u64, CopyError> {
    let records = from.read(partition, next, BATCH_RECORDS, BATCH_BYTES).await?;
    let mut sent = Vec::with_capacity(records.len());
    for record in &records {
        let one = sender.enqueue(partition, &key_of(&record.bytes), &record.bytes);
        sent.push((record.offset, one.map_err(|error| sender.in_words(error))?));
    }
    for (expected, one) in sent {
        let found = sender.report(one).await.map_err(|error| sender.in_words(error))?;
        if found != expected {
            return Err(CopyError::Moved { topic: topic.to_owned(), partition, expected, found });
        }
    }
    Ok(next + records.len() as u64)
}
