//! A log that nobody writes to: a copy in a backup. Opening it changes nothing, not even beside it.

use super::{check_partition, file};
use crate::event_log::{Appended, EventLog, LogError, NewRecord, StoredRecord};
use crate::sqlite::{SqliteError, open_copy};
use async_trait::async_trait;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A copy of a log, for reading.
pub struct LogCopy(Mutex<Connection>);

impl LogCopy {
    /// Opens the copy.
    ///
    /// # Errors
    /// When it is not there, or no database.
    pub fn open(path: &Path) -> Result<LogCopy, SqliteError> {
        Ok(LogCopy(Mutex::new(open_copy(path)?)))
    }

    /// Reading changes nothing that a panic could leave half done.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl EventLog for LogCopy {
    async fn append(&self, _record: NewRecord) -> Result<Appended, LogError> {
        Err(LogError::Unavailable("it is a copy".to_owned()))
    }

    async fn read(
        &self,
        partition: u16,
        offset: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        check_partition(partition)?;
        file::read(&self.connection(), partition, offset, max_records, max_bytes)
    }

    async fn bounds(&self, partition: u16) -> Result<(u64, u64), LogError> {
        check_partition(partition)?;
        file::bounds(&self.connection(), partition)
    }

    async fn appended(&self) {
        std::future::pending::<()>().await;
    }

    async fn close(&self) {}
}
