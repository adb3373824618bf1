//! How the broker is reached, and what its topics must be like.

use super::security::KafkaSecurity;
use crate::local_log::MAX_RECORD_BYTES;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use std::time::Duration;

/// A produce request holds a little more than the record.
const REQUEST_OVERHEAD_BYTES: usize = 64 * 1024;
/// The largest message: one record of the largest size.
pub(super) const MAX_MESSAGE_BYTES: usize = MAX_RECORD_BYTES + REQUEST_OVERHEAD_BYTES;

/// Everything that the log on Kafka is told by the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// How they are spoken to.
    pub security: KafkaSecurity,
    /// How this process names itself to the broker.
    pub client_id: String,
    /// Topic of the records.
    pub events_topic: String,
    /// Topic of the live signals.
    pub live_topic: String,
    /// Copies of each partition; the count of brokers is the most.
    pub replication_factor: u16,
    /// Copies that must have a record before it is acknowledged.
    pub min_insync_replicas: u16,
    /// How long records are kept; none = for ever, which is what a log without an archive needs.
    pub events_retention: Option<Duration>,
    /// How long live signals are kept.
    pub live_retention: Duration,
    /// How long the producer gathers records for one request, in milliseconds.
    pub linger_ms: u32,
    /// After this long without an acknowledgement an append fails.
    pub append_timeout: Duration,
    /// Records that may wait in the producer.
    pub queue_records: u32,
    /// Bytes that may wait in the producer, in KiB.
    pub queue_kib: u32,
}

impl Default for KafkaSettings {
    fn default() -> KafkaSettings {
        KafkaSettings {
            brokers: "127.0.0.1:9092".to_owned(),
            security: KafkaSecurity::default(),
            client_id: "affilitrack".to_owned(),
            events_topic: "at.events.v1".to_owned(),
            live_topic: "at.live.v1".to_owned(),
            replication_factor: 1,
            min_insync_replicas: 1,
            events_retention: None,
            live_retention: Duration::from_secs(15 * 60),
            linger_ms: 2,
            append_timeout: Duration::from_secs(4),
            queue_records: 20_000,
            queue_kib: 64 * 1024,
        }
    }
}

impl KafkaSettings {
    /// What every client of the broker has in common.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            .set("allow.auto.create.topics", "false")
            // A broker that comes back is found within a second.
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true")
            // A frozen broker's connection is given up after this.
            .set("socket.timeout.ms", "10000")
            .set("log_level", "4")
            .set_log_level(RDKafkaLogLevel::Warning);
        self.security.apply(&mut config);
        config
    }

    /// A producer whose records are stored once and in order. `timeout` none = it tries until it
    /// is dropped, so that no record can fail alone in the middle of a series.
    pub(super) fn producer(&self, timeout: Option<Duration>) -> ClientConfig {
        let mut config = self.client();
        let timeout_ms = timeout.map_or(0, |timeout| timeout.as_millis());
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "5")
            .set("linger.ms", self.linger_ms.to_string())
            .set("message.timeout.ms", timeout_ms.to_string())
            .set("request.timeout.ms", "3000")
            .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
            .set("queue.buffering.max.messages", self.queue_records.to_string())
            .set("queue.buffering.max.kbytes", self.queue_kib.to_string());
        config
    }

    /// A consumer that reads from where it is told and nowhere else. `queue_kib` bounds what it
    /// fetches ahead, per partition; at the end the broker answers after `fetch_wait`.
    pub(super) fn consumer(&self, queue_kib: u32, fetch_wait: Duration) -> ClientConfig {
        let mut config = self.client();
        config
            // The client wants a name for a group that is never joined: partitions are assigned
            // by hand and nothing is committed.
            .set("group.id", format!("{}-reader", self.client_id))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // An offset that is not there is an error, never a jump.
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", fetch_wait.as_millis().to_string())
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.message.max.bytes", (1024 * 1024).to_string())
            .set("queued.max.messages.kbytes", queue_kib.to_string());
        config
    }
}
