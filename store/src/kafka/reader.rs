//! Reads partitions from explicit offsets. Nothing is ever skipped: an offset that is not there,
//! or a record that is not the next one, is an error.
//!
//! One client fetches ahead for all partitions that were asked for, each into its own queue. A
//! partition is moved only when it is asked for another offset than the one that follows.

use super::context::Context;
use crate::event_log::{LogError, StoredRecord};
use domain::ids::PARTITIONS;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A read that knows of a record waits this long for it.
const READ_PATIENCE: Duration = Duration::from_secs(3);
/// Moving, and asking for bounds, wait this long for the broker.
const ASK_PATIENCE: Duration = Duration::from_secs(3);

type Client = BaseConsumer<Context>;

/// Where a partition is being read.
struct Cursor {
    client: Arc<Client>,
    queue: PartitionQueue<Context>,
    /// The offset that must come next; none when the place was lost.
    next: Option<u64>,
    /// The end when it was moved to where it is.
    end_when_moved: u64,
    /// Read from the queue, but not given out yet.
    held: Option<StoredRecord>,
}

/// What a reader is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reading on and on: partitions stay assigned and are fetched ahead.
    ReadingOn,
    /// Single records here and there: a partition is given back after each read, because a client
    /// cannot be moved while it waits at the end of another place.
    SingleReads,
}

/// What a read may return.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadLimits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// Reads the partitions of one topic. All methods block.
pub(super) struct Reader {
    purpose: Purpose,
    config: ClientConfig,
    topic: String,
    context: Box<dyn Fn() -> Context + Send + Sync>,
    client: Mutex<Option<Arc<Client>>>,
    cursors: Vec<Mutex<Option<Cursor>>>,
    /// Told when something was fetched.
    fetched: Arc<Notify>,
}

impl Reader {
    /// Connects at the first read.
    pub(super) fn new(
        purpose: Purpose,
        config: ClientConfig,
        topic: &str,
        context: Box<dyn Fn() -> Context + Send + Sync>,
        fetched: Arc<Notify>,
    ) -> Reader {
        let cursors = (0..PARTITIONS).map(|_| Mutex::new(None)).collect();
        Reader { purpose, config, topic: topic.to_owned(), context, client: Mutex::new(None), cursors, fetched }
    }

    /// Whether the partition is read from this offset on without being moved.
    pub(super) fn stands_at(&self, partition: u16, offset: u64) -> bool {
        let Ok(cursor) = self.cursors[usize::from(partition)].try_lock() else { return false };
        cursor.as_ref().is_some_and(|cursor| cursor.next == Some(offset))
    }

    /// First and one-past-last offset.
    pub(super) fn bounds(&self, partition: u16) -> Result<(u64, u64), LogError> {
        let bounds = self.client()?.fetch_watermarks(&self.topic, i32::from(partition), ASK_PATIENCE);
        let (start, end) = bounds.map_err(|error| self.in_words(&error))?;
        match (u64::try_from(start), u64::try_from(end)) {
            (Ok(start), Ok(end)) => Ok((start, end)),
            _ => Err(LogError::Unavailable(format!("Kafka gave no bounds for partition {partition}: {start}, {end}"))),
        }
    }

    /// Records from `offset` on. `known_end`: records below it are there and waited for.
    pub(super) fn read(
        &self,
        partition: u16,
        offset: u64,
        limits: ReadLimits,
        known_end: u64,
    ) -> Result<Vec<StoredRecord>, LogError> {
        let mut place = self.cursors[usize::from(partition)].lock().unwrap_or_else(PoisonError::into_inner);
        self.move_to(&mut place, partition, offset)?;
        let Some(cursor) = place.as_mut() else { return Ok(Vec::new()) };
        // Serves what the client has to say besides records.
        let _ = cursor.client.poll(Duration::ZERO);
        let known_end = known_end.max(cursor.end_when_moved);
        let mut records = Vec::new();
        let filled = self.fill(cursor, partition, offset, limits, known_end, &mut records);
        if filled.is_err() {
            // Where the client stands is unknown now: the next read moves it.
            cursor.next = None;
        }
        if self.purpose == Purpose::SingleReads {
            self.give_back(&mut place, partition);
        }
        match filled {
            Err(error) if records.is_empty() => Err(error),
            _ => Ok(records),
        }
    }

    /// Takes records from the queue up to the limits.
    fn fill(
        &self,
        cursor: &mut Cursor,
        partition: u16,
        offset: u64,
        limits: ReadLimits,
        known_end: u64,
        records: &mut Vec<StoredRecord>,
    ) -> Result<(), LogError> {
        let deadline = Instant::now() + READ_PATIENCE;
        let mut bytes = 0;
        while records.len() < limits.records {
            let expected = offset + records.len() as u64;
            let wait =
                if expected < known_end { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            let Some(record) = self.next_record(cursor, partition, expected, wait)? else {
                if expected < known_end && records.is_empty() {
                    return Err(LogError::Unavailable(format!(
                        "Kafka did not send record {expected} of partition {partition} within {} s",
                        READ_PATIENCE.as_secs()
                    )));
                }
                break;
            };
            if !records.is_empty() && bytes + record.bytes.len() > limits.bytes {
                cursor.held = Some(record);
                break;
            }
            bytes += record.bytes.len();
            cursor.next = Some(record.offset + 1);
            records.push(record);
        }
        Ok(())
    }

    /// The record with this offset, or nothing within the time.
    fn next_record(
        &self,
        cursor: &mut Cursor,
        partition: u16,
        expected: u64,
        wait: Duration,
    ) -> Result<Option<StoredRecord>, LogError> {
        if let Some(record) = cursor.held.take() {
            return Ok(Some(record));
        }
        let until = Instant::now() + wait;
        loop {
            match cursor.queue.poll(until.saturating_duration_since(Instant::now())) {
                None => return Ok(None),
                Some(Ok(message)) => return next_in_order(&message, partition, expected).map(Some),
                Some(Err(KafkaError::PartitionEOF(_))) if expected < cursor.end_when_moved => {
                    return Err(skipped(partition, expected, cursor.end_when_moved));
                }
                // The end of what is there; it is told once, and more may come.
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => return Err(self.reading_failed(partition, expected, &error)),
            }
        }
    }

    /// Puts the partition's cursor to this offset, unless it is there.
    fn move_to(&self, place: &mut Option<Cursor>, partition: u16, offset: u64) -> Result<(), LogError> {
        if place.as_ref().is_some_and(|cursor| cursor.next == Some(offset)) {
            return Ok(());
        }
        let (start, end) = self.bounds(partition)?;
        if offset < start || offset > end {
            return Err(LogError::OutOfRange { partition, offset, start, end });
        }
        let raw = i64::try_from(offset).map_err(anyhow::Error::from)?;
        let client = self.client()?;
        if let Some(cursor) = place.as_mut().filter(|cursor| Arc::ptr_eq(&cursor.client, &client)) {
            cursor.next = None;
            cursor.held = None;
            let moved = client.seek(&self.topic, i32::from(partition), Offset::Offset(raw), ASK_PATIENCE);
            if moved.is_ok() {
                cursor.next = Some(offset);
                cursor.end_when_moved = end;
                return Ok(());
            }
            // A partition that stopped after an error cannot be moved; a new client can.
            tracing::debug!(partition, error = ?moved, "the Kafka reader is built anew");
            self.forget_client(&client);
        }
        *place = None;
        *place = Some(self.assign(partition, offset, raw, end)?);
        Ok(())
    }

    fn assign(&self, partition: u16, offset: u64, raw: i64, end: u64) -> Result<Cursor, LogError> {
        let client = self.client()?;
        let topic = self.topic.as_str();
        let mut queue = client
            .split_partition_queue(topic, i32::from(partition))
            .ok_or_else(|| LogError::Failed(anyhow::anyhow!("topic {topic} has no partition {partition}")))?;
        let fetched = Arc::clone(&self.fetched);
        queue.set_nonempty_callback(move || fetched.notify_waiters());
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, i32::from(partition), Offset::Offset(raw))
            .and_then(|()| client.incremental_assign(&assignment))
            .map_err(|error| self.in_words(&error))?;
        Ok(Cursor { client, queue, next: Some(offset), end_when_moved: end, held: None })
    }

    fn give_back(&self, place: &mut Option<Cursor>, partition: u16) {
        let Some(cursor) = place.take() else { return };
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition(&self.topic, i32::from(partition));
        if let Err(error) = cursor.client.incremental_unassign(&assignment) {
            tracing::debug!(partition, error = %error, "the Kafka reader is built anew: {error}");
            self.forget_client(&cursor.client);
        }
    }

    fn client(&self) -> Result<Arc<Client>, LogError> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = client.as_ref() {
            return Ok(Arc::clone(client));
        }
        let built = BaseConsumer::from_config_and_context(&self.config, (self.context)())
            .map_err(|error| anyhow::Error::new(error).context("the Kafka consumer cannot be built"))?;
        Ok(Arc::clone(client.insert(Arc::new(built))))
    }

    fn forget_client(&self, old: &Arc<Client>) {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if client.as_ref().is_some_and(|client| Arc::ptr_eq(client, old)) {
            *client = None;
        }
    }

    /// An error in place of a record.
    fn reading_failed(&self, partition: u16, expected: u64, error: &KafkaError) -> LogError {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                match self.bounds(partition) {
                    Ok((start, end)) => LogError::OutOfRange { partition, offset: expected, start, end },
                    Err(error) => error,
                }
            }
            Some(code @ (RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage)) => {
                LogError::Damaged { partition, offset: expected, reason: format!("Kafka could not read it: {code}") }
            }
            _ => self.in_words(error),
        }
    }

    fn in_words(&self, error: &KafkaError) -> LogError {
        let topic = &self.topic;
        match error.rdkafka_error_code() {
            Some(
                code @ (RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition),
            ) => LogError::Failed(anyhow::anyhow!(
                "topic {topic} is not there as it must be ({code}). Run: affilitrack migrate"
            )),
            _ => LogError::Unavailable(format!("Kafka: {error}")),
        }
    }
}

fn next_in_order(message: &BorrowedMessage<'_>, partition: u16, expected: u64) -> Result<StoredRecord, LogError> {
    let offset = u64::try_from(message.offset()).map_err(anyhow::Error::from)?;
    if offset != expected {
        return Err(skipped(partition, expected, offset));
    }
    Ok(StoredRecord { offset, bytes: message.payload().unwrap_or_default().to_vec() })
}

/// The broker went past an offset that it says it has.
fn skipped(partition: u16, expected: u64, followed_by: u64) -> LogError {
    LogError::Damaged {
        partition,
        offset: expected,
        reason: format!(
            "Kafka has no record there, the next place is {followed_by}: the topic was compacted, cut or written in transactions"
        ),
    }
}
