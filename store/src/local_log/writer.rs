//! The writing thread: takes what is queued, writes it in one transaction, answers.

use super::LogLimits;
use super::file::{self, MIGRATIONS, PAGE_BYTES};
use crate::crash::{self, CrashPoint};
use crate::event_log::{LogError, NewRecord};
use crate::sqlite::{SqliteError, open_writer};
use domain::ids::PARTITIONS;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use tokio::sync::{Notify, oneshot};

/// What the thread is asked for.
pub(super) enum Job {
    Append(Append),
    Replace { record: NewRecord, offset: u64, reply: oneshot::Sender<Result<(), LogError>> },
    SetMaxFileBytes { bytes: u64, reply: oneshot::Sender<Result<(), LogError>> },
}

/// Records that are stored in one transaction, and who waits for them.
pub(super) struct Append {
    pub(super) records: Vec<NewRecord>,
    pub(super) bytes: usize,
    pub(super) reply: oneshot::Sender<Result<Vec<u64>, LogError>>,
}

type Ends = [u64; PARTITIONS as usize];

/// State of the thread.
pub(super) struct Writer {
    path: PathBuf,
    limits: LogLimits,
    /// None after an input or output error: what the connection holds in memory may differ
    /// from the disk, so the next batch opens the file anew.
    connection: Option<Connection>,
    ends: Ends,
    max_file_bytes: Option<u64>,
    appended: Arc<Notify>,
    queued_bytes: Arc<AtomicUsize>,
}

impl Writer {
    pub(super) fn open(
        path: &Path,
        limits: LogLimits,
        appended: Arc<Notify>,
        queued_bytes: Arc<AtomicUsize>,
    ) -> Result<Writer, SqliteError> {
        let connection = open_writer(path, PAGE_BYTES, &MIGRATIONS)?;
        // A log only grows: there is nothing deleted to overwrite.
        let prepare = || -> rusqlite::Result<Ends> {
            connection.pragma_update(None, "secure_delete", false)?;
            file::ends(&connection)
        };
        let ends = prepare().map_err(|source| SqliteError::Open { path: path.to_owned(), source })?;
        Ok(Writer {
            path: path.to_owned(),
            limits,
            connection: Some(connection),
            ends,
            max_file_bytes: None,
            appended,
            queued_bytes,
        })
    }

    /// Works until nobody can send any more.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        let mut left_over = None;
        while let Some(job) = left_over.take().or_else(|| queue.recv().ok()) {
            match job {
                Job::Append(first) => {
                    let (batch, next) = drain(first, queue, self.limits);
                    left_over = next;
                    self.append(batch);
                }
                Job::Replace { record, offset, reply } => {
                    let result = self.replace(&record, offset);
                    // Who no longer waits needs no answer; the record is stored all the same.
                    let _ = reply.send(result);
                }
                Job::SetMaxFileBytes { bytes, reply } => {
                    self.max_file_bytes = Some(bytes);
                    let result = self.with_connection(|connection| set_max_file_bytes(connection, bytes));
                    let _ = reply.send(result);
                }
            }
        }
    }

    /// One transaction for all; the answers after it is on disk.
    fn append(&mut self, batch: Vec<Append>) {
        let result = self.write_batch(&batch);
        let bytes = batch.iter().map(|append| append.bytes).sum();
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        match result {
            Ok((ends, offsets)) => {
                self.ends = ends;
                for (append, offsets) in batch.into_iter().zip(offsets) {
                    let _ = append.reply.send(Ok(offsets));
                }
                self.appended.notify_waiters();
            }
            Err(error) => {
                tracing::warn!(log.error = %error, log.appends = batch.len(), "the local log refused a batch: {error}");
                for append in batch {
                    let _ = append.reply.send(Err(super::same_error(&error)));
                }
            }
        }
    }

    fn write_batch(&mut self, batch: &[Append]) -> Result<(Ends, Vec<Vec<u64>>), LogError> {
        // Opening the file anew reads the ends anew, so it comes before they are used.
        self.connection()?;
        let before = self.ends;
        self.with_connection(|connection| write(connection, batch, before))
    }

    fn replace(&mut self, record: &NewRecord, offset: u64) -> Result<(), LogError> {
        let end = self.ends[usize::from(record.partition)];
        if offset >= end {
            let partition = record.partition;
            return Err(LogError::Failed(anyhow::anyhow!(
                "partition {partition} has no offset {offset}, its end is {end}"
            )));
        }
        let id = file::row_id(record.partition, offset)?;
        let crc = file::checksum(record.partition, offset, &record.bytes);
        self.with_connection(|connection| {
            connection.execute(
                "insert or replace into records (id, crc, body) values (?1, ?2, ?3)",
                (id, crc, &record.bytes),
            )?;
            Ok(())
        })
    }

    /// Runs one write. Any failure means that nothing of it is stored.
    fn with_connection<T>(
        &mut self,
        write: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LogError> {
        let connection = self.connection()?;
        match write(connection) {
            Ok(done) => Ok(done),
            Err(error) => {
                let unavailable = LogError::Unavailable(error.to_string());
                if error.sqlite_error_code() != Some(ErrorCode::DiskFull) {
                    self.connection = None;
                }
                Err(unavailable)
            }
        }
    }

    /// The connection; opened anew, with the ends as they are on disk, after an error.
    fn connection(&mut self) -> Result<&mut Connection, LogError> {
        if self.connection.is_none() {
            let open = || -> Result<(Connection, Ends), anyhow::Error> {
                let connection = open_writer(&self.path, PAGE_BYTES, &MIGRATIONS)?;
                connection.pragma_update(None, "secure_delete", false)?;
                if let Some(bytes) = self.max_file_bytes {
                    set_max_file_bytes(&connection, bytes)?;
                }
                let ends = file::ends(&connection)?;
                Ok((connection, ends))
            };
            let (connection, ends) = open().map_err(|error| LogError::Unavailable(format!("{error:#}")))?;
            // An offset that was answered is never issued again, whatever the file says.
            for (known, stored) in self.ends.iter().zip(ends) {
                if stored < *known {
                    return Err(LogError::Unavailable(format!(
                        "the file {} lost records that were stored",
                        self.path.display()
                    )));
                }
            }
            self.ends = ends;
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or_else(|| LogError::Unavailable("the file is not open".to_owned()))
    }
}

/// Takes what is queued behind the first append, up to the limits of one transaction. A job
/// that does not fit is returned.
fn drain(first: Append, queue: &Receiver<Job>, limits: LogLimits) -> (Vec<Append>, Option<Job>) {
    let (mut records, mut bytes) = (first.records.len(), first.bytes);
    let mut batch = vec![first];
    while records < limits.group_records && bytes < limits.group_bytes {
        match queue.try_recv() {
            Ok(Job::Append(append))
                if records + append.records.len() <= limits.group_records
                    && bytes + append.bytes <= limits.group_bytes =>
            {
                records += append.records.len();
                bytes += append.bytes;
                batch.push(append);
            }
            Ok(other) => return (batch, Some(other)),
            Err(_) => break,
        }
    }
    (batch, None)
}

fn write(connection: &mut Connection, batch: &[Append], before: Ends) -> rusqlite::Result<(Ends, Vec<Vec<u64>>)> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut ends = before;
    let offsets = insert(&transaction, batch, &mut ends)?;
    crash::pass(CrashPoint::LogBeforeCommit);
    transaction.commit()?;
    Ok((ends, offsets))
}

fn insert(transaction: &Transaction<'_>, batch: &[Append], ends: &mut Ends) -> rusqlite::Result<Vec<Vec<u64>>> {
    let before = *ends;
    let mut insert = transaction.prepare_cached("insert into records (id, crc, body) values (?1, ?2, ?3)")?;
    let mut all = Vec::with_capacity(batch.len());
    for append in batch {
        let mut offsets = Vec::with_capacity(append.records.len());
        for record in &append.records {
            let end = &mut ends[usize::from(record.partition)];
            let id = file::row_id(record.partition, *end)
                .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))?;
            insert.execute((id, file::checksum(record.partition, *end, &record.bytes), &record.bytes))?;
            offsets.push(*end);
            *end += 1;
        }
        all.push(offsets);
    }
    let mut set_end = transaction.prepare_cached("insert or replace into ends (part, next_off) values (?1, ?2)")?;
    for (partition, end) in ends.iter().enumerate().filter(|(partition, end)| before[*partition] != **end) {
        set_end.execute((partition as i64, *end))?;
    }
    Ok(all)
}

fn set_max_file_bytes(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    let pages = (bytes / u64::from(PAGE_BYTES)).clamp(1, i64::from(u32::MAX - 1) as u64);
    connection.query_row(&format!("pragma max_page_count = {pages}"), [], |_| Ok(()))
}
