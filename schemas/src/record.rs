//! Log records, version 1. Everything that can change a balance is one of these.
//!
//! A record is one JSON object. Members are only ever added: an older binary ignores
//! what it does not know, a newer one gives absent members their default. The golden
//! files in `schemas/golden/record/` freeze every kind.

use domain::decision::Decision;
use domain::ids::{ConnectionId, Mode, Provider, Timestamp, VendorId};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;

/// The version that this binary writes.
pub const RECORD_VERSION: u16 = 1;

/// One record: the header, and what the kind carries.
#[derive(Debug, Clone)]
pub struct Record {
    /// Tenant. Decides the partition.
    pub vendor: VendorId,
    /// Provider account; 0 if none.
    pub connection: ConnectionId,
    /// Time at the writer.
    pub at: Timestamp,
    /// Who wrote it: role and process, for example `ingest-1`.
    pub writer: String,
    /// Decisions only: the vendor's own count from 1, without gaps.
    pub seq: Option<u64>,
    /// Traced deliveries only: the span that the next step continues, as W3C's `traceparent`. Decides nothing.
    pub trace: Option<String>,
    /// What is said.
    pub payload: Payload,
}

/// What a record says.
#[derive(Debug, Clone)]
pub enum Payload {
    /// One webhook request, or one event fetched by backfill.
    Delivery(Delivery),
    /// What the provider answered to a question.
    LookupResult(LookupResult),
    /// Deadlines that passed (the fold has no clock).
    Expire(Expire),
    /// What a person decided.
    Decision(Decision),
}

impl Payload {
    /// Name of the kind, for metrics and lists.
    pub fn kind(&self) -> &'static str {
        match self {
            Payload::Delivery(_) => "delivery",
            Payload::LookupResult(_) => "lookup_result",
            Payload::Expire(_) => "expire",
            Payload::Decision(decision) => decision.kind(),
        }
    }
}

/// How an event reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The provider called us.
    #[default]
    Webhook,
    /// We asked for it.
    Backfill,
}

/// One webhook request, minimised.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivery {
    /// Whose format the event has.
    pub provider: Provider,
    /// How it came.
    #[serde(default)]
    pub source: Source,
    /// The provider's account, when the event names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The event's mode, else the endpoint's.
    pub mode: Mode,
    /// The provider's event id; for Lemon Squeezy the dedupe key.
    pub event_id: String,
    /// The provider's event type.
    pub event_type: String,
    /// The provider's time of the event.
    pub created: Timestamp,
    /// SHA-256 of the original bytes, hex.
    pub body_sha256: String,
    /// Revision of the allow-list that minimised it.
    pub minimiser: u16,
    /// The minimised event: an excerpt of what the provider sent, same shape.
    pub event: Box<RawValue>,
}

/// What the provider answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LookupResult {
    /// Test or live.
    pub mode: Mode,
    /// Whose API was asked.
    pub provider: Provider,
    /// The question, as `GET /v1/...`.
    pub request: String,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The minimised answer, or none when the provider refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<RawValue>>,
    /// Why there is no answer, in words for the vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Waiting items whose deadline passed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Expire {
    /// Log offsets of the records that waited, in the vendor's partition.
    pub offsets: Vec<u64>,
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer version.
    #[error("the record has version {found}, this binary reads up to {RECORD_VERSION}: use the newer binary")]
    Newer {
        /// Version on the record.
        found: u16,
    },
    /// Not a record.
    #[error("not a log record: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// A record as it is written. `payload` is kept raw until `v` and `kind` are known: serde can
/// neither flatten nor tag a member that holds raw JSON.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    v: u16,
    kind: &'a str,
    vendor: VendorId,
    #[serde(default)]
    connection: ConnectionId,
    at: Timestamp,
    writer: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: Cow<'a, RawValue>,
}

impl Record {
    /// The bytes that go into the log.
    pub fn encode(&self) -> Vec<u8> {
        let payload = match &self.payload {
            Payload::Delivery(delivery) => to_raw_value(delivery),
            Payload::LookupResult(result) => to_raw_value(result),
            Payload::Expire(expire) => to_raw_value(expire),
            Payload::Decision(decision) => to_raw_value(decision),
        };
        let envelope = Envelope {
            v: RECORD_VERSION,
            kind: self.payload.kind(),
            vendor: self.vendor,
            connection: self.connection,
            at: self.at,
            writer: Cow::Borrowed(&self.writer),
            seq: self.seq,
            trace: self.trace.as_deref().map(Cow::Borrowed),
            payload: Cow::Owned(payload.expect("a record has string keys only")),
        };
        serde_json::to_vec(&envelope).expect("a record has string keys only")
    }

    /// Reads a record. A newer version is refused by name, not by accident.
    pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
        // A newer version may have another shape, so its number is read by itself when the shape
        // is not ours.
        let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|error| newer_or(bytes, error))?;
        if envelope.v > RECORD_VERSION {
            return Err(RecordError::Newer { found: envelope.v });
        }
        let text = envelope.payload.get();
        let payload = match envelope.kind {
            "delivery" => Payload::Delivery(serde_json::from_str(text)?),
            "lookup_result" => Payload::LookupResult(serde_json::from_str(text)?),
            "expire" => Payload::Expire(serde_json::from_str(text)?),
            _ => Payload::Decision(serde_json::from_str(text)?),
        };
        Ok(Record {
            vendor: envelope.vendor,
            connection: envelope.connection,
            at: envelope.at,
            writer: envelope.writer.into_owned(),
            seq: envelope.seq,
            trace: envelope.trace.map(Cow::into_owned),
            payload,
        })
    }
}

/// What stands before a record's payload: enough to know whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct RecordHead<'a> {
    /// Name of the kind.
    pub kind: &'a str,
    /// Tenant.
    pub vendor: VendorId,
    /// Provider account; 0 if none.
    #[serde(default)]
    pub connection: ConnectionId,
    /// Decisions only.
    #[serde(default)]
    pub seq: Option<u64>,
}

impl<'a> RecordHead<'a> {
    /// Reads the head of a record of any version; none where there is no record, such as a note in the place of one
    /// that was damaged.
    pub fn read(bytes: &'a [u8]) -> Option<RecordHead<'a>> {
        serde_json::from_slice(bytes).ok()
    }
}

fn newer_or(bytes: &[u8], error: serde_json::Error) -> RecordError {
    #[derive(Deserialize)]
    struct Version {
        v: u16,
    }
    match serde_json::from_slice(bytes) {
        Ok(Version { v }) if v > RECORD_VERSION => RecordError::Newer { found: v },
        _ => RecordError::Malformed(error),
    }
}
