//! The event log of a run: in memory, durable, and with faults.

use crate::broken::Broken;
use crate::dice::{Dice, Fault};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::event_log::{Appended, EventLog, LogError, NewRecord, StoredRecord};

/// Records by partition.
pub struct SimLog {
    records: Mutex<BTreeMap<u16, Vec<Vec<u8>>>>,
    dice: Arc<Dice>,
    broken: Option<Broken>,
}

impl SimLog {
    /// An empty log.
    pub fn new(dice: Arc<Dice>, broken: Option<Broken>) -> SimLog {
        SimLog { records: Mutex::default(), dice, broken }
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<u16, Vec<Vec<u8>>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All records of a partition.
    pub fn all(&self, partition: u16) -> Vec<StoredRecord> {
        self.some(partition, 0, usize::MAX)
    }

    fn some(&self, partition: u16, from: u64, most: usize) -> Vec<StoredRecord> {
        let records = self.records();
        let stored = records.get(&partition).into_iter().flatten().skip(from as usize).take(most);
        (from..).zip(stored).map(|(offset, bytes)| StoredRecord { offset, bytes: bytes.clone() }).collect()
    }

    /// One past the last offset of a partition.
    pub fn end(&self, partition: u16) -> u64 {
        self.records().get(&partition).map_or(0, Vec::len) as u64
    }
}

#[async_trait]
impl EventLog for SimLog {
    async fn append(&self, record: NewRecord) -> Result<Appended, LogError> {
        let offset = self.end(record.partition);
        if self.dice.strikes(Fault::AppendRefused) {
            return match self.broken {
                Some(Broken::AcknowledgedBeforeStored) => Ok(Appended::Log(offset)),
                _ => Err(LogError::Unavailable("simulated: nothing was stored".to_owned())),
            };
        }
        self.records().entry(record.partition).or_default().push(record.bytes);
        if self.dice.strikes(Fault::AppendAnswerLost) {
            return Err(LogError::Unavailable("simulated: no answer in time".to_owned()));
        }
        Ok(Appended::Log(offset))
    }

    async fn read(
        &self,
        partition: u16,
        offset: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        let mut offset = offset;
        let end = self.end(partition);
        if self.dice.strikes(Fault::ReadFails) {
            match self.broken {
                Some(Broken::ReadJumpsOver) if offset + 1 < end => offset += 1,
                _ => return Err(LogError::Unavailable("simulated: the read failed".to_owned())),
            }
        }
        if offset > end {
            return Err(LogError::OutOfRange { partition, offset, start: 0, end });
        }
        let mut most = max_records;
        if most > 1 && self.dice.strikes(Fault::ReadShort) {
            most = 1 + self.dice.below(most as u64 - 1) as usize;
        }
        let mut bytes = 0;
        let fits = |record: &StoredRecord| {
            let is_first = bytes == 0;
            bytes += record.bytes.len();
            is_first || bytes <= max_bytes
        };
        Ok(self.some(partition, offset, most).into_iter().take_while(fits).collect())
    }

    async fn bounds(&self, partition: u16) -> Result<(u64, u64), LogError> {
        if self.dice.strikes(Fault::ReadFails) {
            return Err(LogError::Unavailable("simulated: the bounds are not known".to_owned()));
        }
        Ok((0, self.end(partition)))
    }

    async fn appended(&self) {}
    async fn close(&self) {}
}
