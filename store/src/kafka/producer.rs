//! Sends records, each with its delivery report. The one place where a producer is built anew
//! after a fatal error.

use super::context::{Context, Health, Waiting};
use crate::event_log::LogError;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::oneshot;

/// One life of the producer, until its first fatal error.
struct Life {
    number: u64,
    producer: ThreadedProducer<Context>,
}

/// A record on its way.
pub(super) struct Sent {
    life: u64,
    report: oneshot::Receiver<Result<u64, KafkaError>>,
}

/// Sends records to one topic.
pub(super) struct Sender {
    config: ClientConfig,
    topic: String,
    health: Arc<Health>,
    life: RwLock<Arc<Life>>,
}

impl Sender {
    /// Needs no broker yet.
    pub(super) fn new(config: ClientConfig, topic: &str, health: Arc<Health>) -> Result<Sender, LogError> {
        let life = RwLock::new(Arc::new(begin_life(&config, &health, 0)?));
        Ok(Sender { config, topic: topic.to_owned(), health, life })
    }

    /// Sends one record and waits for its report. A record that meets a fatal error of the
    /// producer is sent once more by the next one; it may then be stored twice.
    pub(super) async fn send(&self, partition: u16, key: &[u8], bytes: &[u8]) -> Result<u64, LogError> {
        let mut sent_again = false;
        loop {
            let result = match self.enqueue(partition, key, bytes) {
                Ok(sent) => self.report(sent).await,
                Err(error) => Err(error),
            };
            match result {
                Err(SendError::Rebuilt) if !sent_again => sent_again = true,
                result => return result.map_err(|error| self.in_words(error)),
            }
        }
    }

    /// Hands one record over. Records handed over by one caller keep their order.
    pub(super) fn enqueue(&self, partition: u16, key: &[u8], bytes: &[u8]) -> Result<Sent, SendError> {
        let life = Arc::clone(&self.life.read().unwrap_or_else(PoisonError::into_inner));
        let (reply, report) = oneshot::channel();
        let id = self.health.begin();
        let waiting = Box::new(Waiting { id, reply });
        let record =
            BaseRecord::with_opaque_to(&self.topic, waiting).partition(i32::from(partition)).key(key).payload(bytes);
        match life.producer.send(record) {
            Ok(()) => Ok(Sent { life: life.number, report }),
            Err((error, _record)) => {
                self.health.end(id);
                Err(self.judge(life.number, error))
            }
        }
    }

    /// Waits for a report.
    pub(super) async fn report(&self, sent: Sent) -> Result<u64, SendError> {
        match sent.report.await {
            Ok(Ok(offset)) => Ok(offset),
            Ok(Err(error)) => Err(self.judge(sent.life, error)),
            Err(_) => Err(SendError::Kafka(KafkaError::Canceled)),
        }
    }

    /// Whether the error ended that life of the producer, and if so, begins the next.
    fn judge(&self, life: u64, error: KafkaError) -> SendError {
        let mut current = self.life.write().unwrap_or_else(PoisonError::into_inner);
        if current.number != life {
            return SendError::Rebuilt;
        }
        let Some((code, reason)) = current.producer.client().fatal_error() else {
            return SendError::Kafka(error);
        };
        tracing::warn!(code = ?code, "the Kafka producer failed for good and is built anew: {reason}");
        match begin_life(&self.config, &self.health, life + 1) {
            Ok(next) => {
                self.health.count_rebuild();
                let old = std::mem::replace(&mut *current, Arc::new(next));
                // Its end tells everybody who waits for it, and may take half a second.
                let _ = std::thread::Builder::new().name("kafka-producer-end".to_owned()).spawn(move || drop(old));
                SendError::Rebuilt
            }
            Err(failed) => {
                tracing::warn!(error = %failed, "no Kafka producer could be built: {failed}");
                SendError::Kafka(error)
            }
        }
    }

    /// What a caller is told.
    pub(super) fn in_words(&self, error: SendError) -> LogError {
        let topic = &self.topic;
        let error = match error {
            SendError::Rebuilt => return LogError::Unavailable("the Kafka producer was built anew".to_owned()),
            SendError::Kafka(error) => error,
        };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => LogError::Unavailable("the Kafka producer's queue is full".to_owned()),
            Some(RDKafkaErrorCode::MessageTimedOut) => LogError::Unavailable(
                "Kafka did not acknowledge in time; whether the record is stored is unknown".to_owned(),
            ),
            Some(
                code @ (RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition),
            ) => LogError::Failed(anyhow::anyhow!(
                "topic {topic} is not there as it must be ({code}). Run: affilitrack migrate"
            )),
            Some(
                code @ (RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed),
            ) => LogError::Failed(anyhow::anyhow!("topic {topic} refused the record: {code}")),
            _ => LogError::Unavailable(format!("Kafka: {error}")),
        }
    }
}

/// Why a record was not reported as stored.
#[derive(Debug)]
pub(super) enum SendError {
    /// The producer ended before the report; there is a new one.
    Rebuilt,
    /// Anything else.
    Kafka(KafkaError),
}

fn begin_life(config: &ClientConfig, health: &Arc<Health>, number: u64) -> Result<Life, LogError> {
    let context = Context { health: Arc::clone(health) };
    let producer = ThreadedProducer::from_config_and_context(config, context)
        .map_err(|error| LogError::Failed(anyhow::Error::new(error).context("the Kafka producer cannot be built")))?;
    Ok(Life { number, producer })
}
