//! What is in the spool and how far it was forwarded.
//!
//! The records are in `spool-N.db`, a local log; `forwarded.json` says which N and how far each
//! partition was forwarded. When everything was, the next N begins and the old file is removed,
//! because a local log itself only grows. A file with records in it therefore means that nothing
//! of the files before it is needed, even if the position file does not know of it yet.

use super::{SpoolError, SpoolSettings, SpoolStatus};
use crate::event_log::{EventLog, LogError};
use crate::local_log::LocalLog;
use domain::ids::{PARTITIONS, Timestamp};
use schemas::record::Record;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

const POSITION_FILE: &str = "forwarded.json";
/// A file with less in it is used on.
const RENEW_AFTER_BYTES: u64 = if cfg!(test) { 64 << 10 } else { 16 << 20 };
/// One look at what a spool holds when it is opened.
const LOOK_RECORDS: usize = 1_000;
const LOOK_BYTES: usize = 4 << 20;
/// Ages are remembered this finely, in milliseconds.
const AGE_STEP_MS: i64 = 1_000;

/// One file of the spool.
pub(super) struct Spool {
    pub(super) generation: u64,
    pub(super) log: LocalLog,
}

/// How far each partition was forwarded; a partition that is not there begins at 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Forwarded {
    pub(super) generation: u64,
    pub(super) next: Vec<u64>,
}

/// One partition.
#[derive(Default)]
struct Lane {
    /// Records being written.
    writing: u32,
    /// One past the last record.
    end: u64,
    /// One past the last forwarded.
    forwarded: u64,
    /// When the record with this offset was spooled; not more than one entry for a second.
    ages: VecDeque<(Timestamp, u64)>,
}

/// All of it.
pub(super) struct SpoolState {
    pub(super) spool: Arc<Spool>,
    lanes: Vec<Lane>,
    waiting_bytes: u64,
    written_bytes: u64,
    spooled: u64,
    forwarded: u64,
}

/// Opens the spool of a folder and counts what waits in it.
pub(super) async fn open(folder: &Path, now: Timestamp) -> Result<SpoolState, SpoolError> {
    fs::create_dir_all(folder).map_err(|error| files_error(folder, error))?;
    let mut position = read_position(folder)?;
    let mut spool = open_generation(folder, position.generation)?;
    let generations = generations(folder).map_err(|error| files_error(folder, error))?;
    for generation in generations.into_iter().filter(|generation| *generation > position.generation).rev() {
        let newer = open_generation(folder, generation)?;
        if has_records(&newer).await? {
            position = Forwarded { generation, ..Forwarded::default() };
            spool = newer;
            break;
        }
    }
    remove_generations_before(folder, position.generation).map_err(|error| files_error(folder, error))?;
    let mut state = SpoolState::new(Arc::new(spool));
    for partition in 0..PARTITIONS {
        let from = position.next.get(usize::from(partition)).copied().unwrap_or_default();
        state.count_waiting(partition, from, now).await?;
    }
    Ok(state)
}

impl SpoolState {
    fn new(spool: Arc<Spool>) -> SpoolState {
        let lanes = (0..PARTITIONS).map(|_| Lane::default()).collect();
        SpoolState { spool, lanes, waiting_bytes: 0, written_bytes: 0, spooled: 0, forwarded: 0 }
    }

    /// Counts what an earlier process left.
    async fn count_waiting(&mut self, partition: u16, from: u64, now: Timestamp) -> Result<(), LogError> {
        let spool = Arc::clone(&self.spool);
        let (_, end) = spool.log.bounds(partition).await?;
        let lane = &mut self.lanes[usize::from(partition)];
        (lane.end, lane.forwarded) = (end, from.min(end));
        let mut next = lane.forwarded;
        while next < end {
            let records = spool.log.read(partition, next, LOOK_RECORDS, LOOK_BYTES).await?;
            for record in &records {
                let bytes = record.bytes.len() as u64;
                self.waiting_bytes += bytes;
                self.written_bytes += bytes;
                lane.note_age(Record::decode(&record.bytes).map_or(now, |record| record.at), record.offset);
            }
            next = records.last().map_or(end, |record| record.offset + 1);
        }
        Ok(())
    }

    /// Whether nothing of the partition is in the spool or on its way into it.
    pub(super) fn is_drained(&self, partition: u16) -> bool {
        self.lanes[usize::from(partition)].is_drained()
    }

    /// Makes room for one record, or says why there is none.
    pub(super) fn begin_write(
        &mut self,
        partition: u16,
        bytes: u64,
        settings: &SpoolSettings,
        now: Timestamp,
    ) -> Result<Arc<Spool>, LogError> {
        if self.waiting_bytes + bytes > settings.quota_bytes {
            return Err(LogError::Unavailable(format!(
                "Kafka is away and the spool is full: {} of {} bytes",
                self.waiting_bytes, settings.quota_bytes
            )));
        }
        let oldest_ms = self.oldest().map_or(0, |oldest| u128::try_from(now.0 - oldest.0).unwrap_or_default());
        if oldest_ms > settings.quota_age.as_millis() {
            return Err(LogError::Unavailable(format!(
                "Kafka is away and the spool holds records for more than {} s",
                settings.quota_age.as_secs()
            )));
        }
        self.lanes[usize::from(partition)].writing += 1;
        self.waiting_bytes += bytes;
        Ok(Arc::clone(&self.spool))
    }

    /// The record is durable at this offset of the spool, or was not stored.
    pub(super) fn end_write(&mut self, partition: u16, bytes: u64, offset: Option<u64>, now: Timestamp) {
        let lane = &mut self.lanes[usize::from(partition)];
        lane.writing = lane.writing.saturating_sub(1);
        let Some(offset) = offset else {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
            return;
        };
        lane.end = lane.end.max(offset + 1);
        lane.note_age(now, offset);
        self.written_bytes += bytes;
        self.spooled += 1;
    }

    /// Where to go on forwarding a partition; none when nothing waits.
    pub(super) fn next_to_forward(&self, partition: u16) -> Option<(Arc<Spool>, u64)> {
        let lane = &self.lanes[usize::from(partition)];
        (lane.forwarded < lane.end).then(|| (Arc::clone(&self.spool), lane.forwarded))
    }

    /// These records are in the log.
    pub(super) fn note_forwarded(&mut self, partition: u16, next: u64, records: u64, bytes: u64) {
        let lane = &mut self.lanes[usize::from(partition)];
        lane.forwarded = next;
        lane.forget_ages();
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        self.forwarded += records;
    }

    pub(super) fn position(&self) -> Forwarded {
        let next = self.lanes.iter().map(|lane| lane.forwarded).collect();
        Forwarded { generation: self.spool.generation, next }
    }

    /// Whether everything was forwarded and the file is worth renewing.
    pub(super) fn may_renew(&self) -> bool {
        self.written_bytes >= RENEW_AFTER_BYTES && self.lanes.iter().all(Lane::is_drained)
    }

    /// Goes on in a new, empty file. Returns the old one.
    pub(super) fn renew(&mut self, spool: Spool) -> Arc<Spool> {
        let (spooled, forwarded) = (self.spooled, self.forwarded);
        let old = std::mem::replace(self, SpoolState::new(Arc::new(spool)));
        (self.spooled, self.forwarded) = (spooled, forwarded);
        old.spool
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.lanes.iter().filter_map(|lane| lane.ages.front()).map(|(at, _)| *at).min()
    }

    pub(super) fn status(&self) -> SpoolStatus {
        SpoolStatus {
            bytes: self.waiting_bytes,
            oldest: self.oldest(),
            spooled: self.spooled,
            forwarded: self.forwarded,
        }
    }
}

impl Lane {
    fn is_drained(&self) -> bool {
        self.writing == 0 && self.forwarded >= self.end
    }

    fn note_age(&mut self, at: Timestamp, offset: u64) {
        // Forwarded already: that was faster than the note.
        if offset < self.forwarded {
            return;
        }
        if self.ages.back().is_none_or(|(last, _)| at.0 - last.0 >= AGE_STEP_MS) {
            self.ages.push_back((at, offset));
        }
    }

    /// An entry stands for all records up to the next entry's.
    fn forget_ages(&mut self) {
        while self.ages.get(1).is_some_and(|(_, first)| *first <= self.forwarded) {
            self.ages.pop_front();
        }
        if self.forwarded >= self.end {
            self.ages.clear();
        }
    }
}

fn files_error(folder: &Path, error: impl ToString) -> SpoolError {
    SpoolError::Files { folder: folder.to_owned(), reason: error.to_string() }
}

async fn has_records(spool: &Spool) -> Result<bool, LogError> {
    for partition in 0..PARTITIONS {
        if spool.log.bounds(partition).await?.1 > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Opens or creates the file of one generation. Blocks.
pub(super) fn open_generation(folder: &Path, generation: u64) -> Result<Spool, SpoolError> {
    let log = LocalLog::open(&folder.join(file_name(generation)))?;
    Ok(Spool { generation, log })
}

fn file_name(generation: u64) -> String {
    format!("spool-{generation}.db")
}

fn read_position(folder: &Path) -> Result<Forwarded, SpoolError> {
    match fs::read(folder.join(POSITION_FILE)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| files_error(folder, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Forwarded { generation: 1, ..Forwarded::default() })
        }
        Err(error) => Err(files_error(folder, error)),
    }
}

/// Replaces the position file; it is on disk when this returns. Blocks.
pub(super) fn write_position(folder: &Path, position: &Forwarded) -> std::io::Result<()> {
    let new = folder.join(format!("{POSITION_FILE}.new"));
    let mut file = fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec(position)?)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(POSITION_FILE))?;
    fs::File::open(folder)?.sync_all()
}

/// Removes files of generations that were forwarded completely. Blocks.
pub(super) fn remove_generations_before(folder: &Path, generation: u64) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if generation_of(&path).is_some_and(|number| number < generation) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The generations that there are files of, in order.
fn generations(folder: &Path) -> std::io::Result<BTreeSet<u64>> {
    fs::read_dir(folder)?.filter_map(|entry| entry.map(|entry| generation_of(&entry.path())).transpose()).collect()
}

/// The generation that a file belongs to: the database, or what SQLite keeps beside it.
fn generation_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("spool-")?.split('.').next()?.parse().ok()
}
