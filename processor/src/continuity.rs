//! Do the log and what was folded of it belong together?

use sha2::{Digest, Sha256};
use store::event_log::{EventLog, LogError};
use store::fold_store::{FoldStore, FoldStoreError, Position};

/// The log and the fold store do not belong together.
#[derive(Debug, thiserror::Error)]
pub enum ContinuityError {
    /// Records that were folded are not in the log any more.
    #[error(
        "partition {partition}: records {end} to {last} were folded but are not in the log (it ends before {end}). \
         Nothing was started, so that no offset is given out twice. Restore the log (log.db, or the topic) from a backup that has them; or, if they are \
         lost for good, move the fold store (fold.db, or its schema) and the warehouse away: both are built again from what the log still has. \
         Ask the provider to send the missing events again"
    )]
    LogLostItsTail {
        /// Partition.
        partition: u16,
        /// Where the log ends.
        end: u64,
        /// Last folded record.
        last: u64,
    },
    /// The log holds another record than the one that was folded.
    #[error(
        "partition {partition}: record {offset} in the log is not the one that was folded. Restore the log (log.db, or the topic) and the fold store from the same backup"
    )]
    OtherRecord {
        /// Partition.
        partition: u16,
        /// Offset.
        offset: u64,
    },
    /// The log's start moved past what was folded.
    #[error(
        "partition {partition}: the log starts at {start}, but records from {position} on were not folded yet. Restore the log (log.db, or the topic)"
    )]
    LogLostItsStart {
        /// Partition.
        partition: u16,
        /// Where the log starts.
        start: u64,
        /// First record that was not folded.
        position: u64,
    },
    /// Another fold revision booked.
    #[error(
        "the fold store was written by fold revision {found}, this binary has revision {ours}. Move fold.db and the warehouse \
         folder away to fold the log anew, or start the binary that wrote them"
    )]
    OtherRevision {
        /// Revision in the store.
        found: u32,
        /// Ours.
        ours: u32,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The fold store.
    #[error(transparent)]
    Store(#[from] FoldStoreError),
}

/// Compares the log with what was folded, before anything is appended: a log that lost or
/// changed its tail is noticed, and no offset is ever given out twice.
pub async fn check_continuity(
    log: &dyn EventLog,
    store: &dyn FoldStore,
    partitions: &[u16],
) -> Result<(), ContinuityError> {
    for partition in partitions.iter().copied() {
        check_place(log, partition, &store.position(partition)?).await?;
    }
    Ok(())
}

/// Compares one partition of the log with what was folded of it.
pub(crate) async fn check_place(
    log: &dyn EventLog,
    partition: u16,
    position: &Position,
) -> Result<(), ContinuityError> {
    let (start, end) = log.bounds(partition).await?;
    if position.next_offset > end {
        return Err(ContinuityError::LogLostItsTail { partition, end, last: position.next_offset - 1 });
    }
    if position.next_offset < start {
        return Err(ContinuityError::LogLostItsStart { partition, start, position: position.next_offset });
    }
    if position.next_offset > 0 {
        let offset = position.next_offset - 1;
        let last = log.read(partition, offset, 1, 1).await?;
        let hash = last.first().map(|record| <[u8; 32]>::from(Sha256::digest(&record.bytes)));
        if hash != Some(position.last_hash) {
            return Err(ContinuityError::OtherRecord { partition, offset });
        }
    }
    if position.revision != domain::fold::FOLD_REVISION {
        return Err(ContinuityError::OtherRevision { found: position.revision, ours: domain::fold::FOLD_REVISION });
    }
    Ok(())
}
