//! What the client library tells us: its log lines, the state of the broker, delivery reports.

use super::security;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// What is known of the broker, shared by the producers of one log.
#[derive(Default)]
pub(super) struct Health {
    away: AtomicBool,
    rebuilds: AtomicU64,
    /// Why the brokers do not let us in, until they store something.
    refusal: watch::Sender<Option<String>>,
    /// What the client library said last of a broker.
    last_said: Mutex<Option<String>>,
    next_id: AtomicU64,
    /// When each record that is not yet reported was handed over, in that order.
    in_flight: Mutex<BTreeMap<u64, Instant>>,
}

impl Health {
    /// No broker could be reached, and nothing was stored since.
    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// How long the oldest record has waited for its report.
    pub(super) fn oldest_waits(&self) -> Duration {
        let in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.first_key_value().map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }

    /// How often a producer was built anew after a fatal error.
    pub(super) fn rebuilds(&self) -> u64 {
        self.rebuilds.load(Ordering::Relaxed)
    }

    pub(super) fn count_rebuild(&self) {
        self.rebuilds.fetch_add(1, Ordering::Relaxed);
    }

    /// Why the brokers do not let us in, or are not whom we believe; none if they do and are.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.borrow().clone()
    }

    /// What the client library said last of a broker that could not be used.
    pub(super) fn last_said(&self) -> Option<String> {
        self.last_said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Resolves with the reason when the brokers do not let us in.
    pub(super) async fn refused(&self) -> String {
        let mut refusal = self.refusal.subscribe();
        let reason = refusal.wait_for(Option::is_some).await;
        match reason.ok().and_then(|reason| reason.clone()) {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// A person must look: this does not pass by itself. Said once, until it is over.
    fn note_refusal(&self, reason: String) {
        self.refusal.send_if_modified(|refusal| {
            if refusal.is_none() {
                tracing::error!("Kafka: {reason}");
            }
            refusal.replace(reason).is_none()
        });
    }

    /// Begins to wait for a report.
    pub(super) fn begin(&self) -> u64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Instant::now());
        id
    }

    /// The record was reported, or never handed over.
    pub(super) fn end(&self, id: u64) {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// Who waits for the delivery report of one record.
pub(super) struct Waiting {
    pub(super) id: u64,
    pub(super) reply: oneshot::Sender<Result<u64, KafkaError>>,
}

/// Context of every client.
pub(super) struct Context {
    pub(super) health: Arc<Health>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(kafka.facility = facility, "Kafka client: {message}");
            }
            RDKafkaLogLevel::Warning => tracing::info!(kafka.facility = facility, "Kafka client: {message}"),
            _ => tracing::debug!(kafka.facility = facility, "Kafka client: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if let Some(refusal) = code.and_then(|code| security::refusal(code, reason)) {
            self.health.note_refusal(refusal);
        }
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.health.last_said.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
        if code == Some(RDKafkaErrorCode::AllBrokersDown) && !self.health.away.swap(true, Ordering::Relaxed) {
            tracing::warn!("no Kafka broker can be reached: {reason}");
        }
        tracing::debug!(error = %error, "Kafka client: {reason}");
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Waiting>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Box<Waiting>) {
        self.health.end(waiting.id);
        let result = match result {
            Ok(message) => {
                u64::try_from(message.offset()).map_err(|_| KafkaError::MessageProduction(RDKafkaErrorCode::BadMessage))
            }
            Err((error, _)) => Err(error.clone()),
        };
        if result.is_ok() {
            self.health.refusal.send_if_modified(|refusal| refusal.take().is_some());
        }
        if result.is_ok() && self.health.away.swap(false, Ordering::Relaxed) {
            tracing::info!("Kafka takes records again");
        }
        // Who no longer waits needs no answer; the record is stored all the same.
        let _ = waiting.reply.send(result);
    }
}
