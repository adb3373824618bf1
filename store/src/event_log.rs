//! The event log port: append is durable before it returns; reading is by partition and offset.

use async_trait::async_trait;
use domain::ids::{PARTITIONS, VendorId};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// A record on its way into the log.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// Which partition, from [`partition_of`].
    pub partition: u16,
    /// The encoded record.
    pub bytes: Vec<u8>,
}

/// A record read from the log.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    /// Position in its partition, counted from 0 without gaps.
    pub offset: u64,
    /// The encoded record.
    pub bytes: Vec<u8>,
}

/// Where an acknowledged record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// In the log, at this offset of its partition.
    Log(u64),
    /// Durable on this machine's disk and on its way into the log; its offset is not known yet.
    Spool,
}

impl Appended {
    /// The offset in the log, when it is there already.
    pub fn offset(self) -> Option<u64> {
        match self {
            Appended::Log(offset) => Some(offset),
            Appended::Spool => None,
        }
    }
}

/// What went wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log cannot take more now (disk full, queue full, broker away). Nothing was stored
    /// that was not acknowledged; try again.
    #[error("the log cannot take records now: {0}")]
    Unavailable(String),
    /// A stored record is damaged. Reading stops here until it is repaired.
    #[error("record {offset} of partition {partition} is damaged: {reason}")]
    Damaged {
        /// Partition.
        partition: u16,
        /// Offset.
        offset: u64,
        /// What was seen.
        reason: String,
    },
    /// There is no such offset and never will be one without a gap: the log lost its beginning
    /// or its end, or the reader's position belongs to another log. A reader never jumps.
    #[error("partition {partition} has no offset {offset}: the log holds {start} up to, not including, {end}")]
    OutOfRange {
        /// Partition.
        partition: u16,
        /// The offset that was asked for.
        offset: u64,
        /// The first offset that there is.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// Anything else.
    #[error("the log failed: {0}")]
    Failed(#[from] anyhow::Error),
}

/// The event log.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends one record. Returns only when it is durable.
    async fn append(&self, record: NewRecord) -> Result<Appended, LogError>;
    /// Records of a partition from `offset` on, in order and without gaps, at most `max_records`
    /// and about `max_bytes` (at least one if there is one). What this value appended is seen at
    /// once, what others appended soon after. Empty at the end, an error before the beginning
    /// and beyond the end.
    async fn read(
        &self,
        partition: u16,
        offset: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredRecord>, LogError>;
    /// First and one-past-last offset of a partition.
    async fn bounds(&self, partition: u16) -> Result<(u64, u64), LogError>;
    /// Resolves soon after something was appended to any partition (a hint; may be spurious).
    async fn appended(&self);
    /// Finishes what was begun and lets go of files. Nothing is appended afterwards.
    async fn close(&self);
}

/// Every partition: what one process on its own holds.
pub fn all_partitions() -> BTreeSet<u16> {
    (0..PARTITIONS).collect()
}

/// The partition of a vendor: the first 8 bytes of SHA-256 of its id (big endian decimal
/// text), modulo the partition count. The same in every backend, so that a vendor's history
/// has one order and a position is one integer.
pub fn partition_of(vendor: VendorId) -> u16 {
    let digest = Sha256::digest(vendor.0.to_string().as_bytes());
    let head: [u8; 8] = digest[..8].try_into().expect("eight bytes");
    (u64::from_be_bytes(head) % u64::from(PARTITIONS)) as u16
}
