//! The event log in one SQLite file: one writing thread, group commit, a checksum on every
//! record, readers beside it.
//!
//! A record is acknowledged after the transaction that holds it and its partition's next
//! offset is on disk. When a transaction fails, nothing of it was stored and its writers are
//! told so; the thread goes on with the next one.

mod copy;
mod file;
mod writer;

#[cfg(test)]
mod tests;

use crate::event_log::{Appended, EventLog, LogError, NewRecord, StoredRecord};
use crate::sqlite::{Readers, SqliteError};
use async_trait::async_trait;
pub use copy::LogCopy;
use domain::ids::PARTITIONS;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{Notify, oneshot};
use writer::{Append, Job, Writer};

/// The largest record.
pub const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;
/// One `append_many` hands the thread pieces of at most this many records ...
pub(crate) const BATCH_RECORDS: usize = 1024;
/// ... and, unless one record is larger, this many bytes.
pub(crate) const BATCH_BYTES: usize = 4 * 1024 * 1024;
const READERS: usize = 4;
/// One read returns at most this many records and about this many bytes.
pub(crate) const READ_RECORDS: usize = 100_000;
pub(crate) const READ_BYTES: usize = 64 * 1024 * 1024;

/// What the log holds in memory and writes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Appends waiting for the thread.
    pub queue_records: usize,
    /// Bytes waiting for the thread.
    pub queue_bytes: usize,
    /// Records of one transaction.
    pub group_records: usize,
    /// Bytes of one transaction; a larger record goes alone.
    pub group_bytes: usize,
}

impl Default for LogLimits {
    fn default() -> LogLimits {
        LogLimits {
            queue_records: 8_192,
            queue_bytes: 64 << 20,
            group_records: BATCH_RECORDS,
            group_bytes: BATCH_BYTES,
        }
    }
}

/// The event log on SQLite.
pub struct LocalLog {
    limits: LogLimits,
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    readers: Arc<Readers>,
    appended: Arc<Notify>,
    queued_bytes: Arc<AtomicUsize>,
}

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its partition.
    pub partition: u16,
    /// Its offset.
    pub offset: u64,
    /// What was seen.
    pub reason: String,
}

impl LocalLog {
    /// Opens or creates the file with the default limits.
    pub fn open(path: &Path) -> Result<LocalLog, SqliteError> {
        LocalLog::open_with(path, LogLimits::default())
    }

    /// Opens or creates the file and starts the writing thread. Blocks; called once at start.
    pub fn open_with(path: &Path, limits: LogLimits) -> Result<LocalLog, SqliteError> {
        let appended = Arc::new(Notify::new());
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let writer = Writer::open(path, limits, Arc::clone(&appended), Arc::clone(&queued_bytes))?;
        let (jobs, queue) = sync_channel(limits.queue_records);
        let thread = std::thread::Builder::new().name("local-log".to_owned()).spawn(move || writer.run(&queue));
        let thread = thread.expect("the system lets a process start a thread at its start");
        Ok(LocalLog {
            limits,
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            readers: Readers::new(path, READERS),
            appended,
            queued_bytes,
        })
    }

    /// Appends many records; those that share a transaction succeed or fail together. The
    /// answers are in the order of the records.
    pub async fn append_many(&self, records: Vec<NewRecord>) -> Vec<Result<u64, LogError>> {
        let mut results: Vec<Result<u64, LogError>> = Vec::with_capacity(records.len());
        let mut waiting = Vec::new();
        for batch in cut(records) {
            let count = batch.len();
            match self.enqueue(batch) {
                Ok(answer) => waiting.push((count, Ok(answer))),
                Err(error) => waiting.push((count, Err(error))),
            }
        }
        for (count, answer) in waiting {
            let answer = match answer {
                Ok(answer) => offsets_of(answer).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(offsets) => results.extend(offsets.into_iter().map(Ok)),
                Err(error) => results.extend((0..count).map(|_| Err(same_error(&error)))),
            }
        }
        results
    }

    /// Hands records to the thread. `Unavailable` when too much waits already.
    fn enqueue(&self, records: Vec<NewRecord>) -> Result<oneshot::Receiver<Result<Vec<u64>, LogError>>, LogError> {
        let mut bytes = 0;
        for record in &records {
            check(record)?;
            bytes += record.bytes.len();
        }
        // An empty queue takes any batch, so that a large one cannot be refused for ever.
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let sent = if queued > 0 && queued + bytes > self.limits.queue_bytes {
            Err(LogError::Unavailable(format!("{queued} bytes wait to be written")))
        } else {
            self.send(Job::Append(Append { records, bytes, reply }))
        };
        match sent {
            Ok(()) => Ok(answer),
            Err(error) => {
                self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    fn send(&self, job: Job) -> Result<(), LogError> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(jobs) = jobs.as_ref() else {
            return Err(LogError::Unavailable("the log is shut down".to_owned()));
        };
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => {
                LogError::Unavailable(format!("{} appends wait to be written", self.limits.queue_records))
            }
            TrySendError::Disconnected(_) => LogError::Unavailable("the writing thread ended".to_owned()),
        })
    }

    /// Writes one stored record again with a right checksum (`log repair`): for a record that
    /// is damaged or missing, whose bytes were fetched again. The offset must have been
    /// issued before.
    pub async fn replace(&self, partition: u16, offset: u64, bytes: Vec<u8>) -> Result<(), LogError> {
        let record = NewRecord { partition, bytes };
        check(&record)?;
        let (reply, answer) = oneshot::channel();
        self.send(Job::Replace { record, offset, reply })?;
        answer.await.unwrap_or_else(|_| Err(thread_ended()))
    }

    /// The first damaged or missing record of a partition from `offset` on, and how far was
    /// looked: at most `max_records` are read, so that a caller can show progress and stop.
    pub async fn find_damage(
        &self,
        partition: u16,
        offset: u64,
        max_records: usize,
    ) -> Result<(Option<Damage>, u64), LogError> {
        check_partition(partition)?;
        self.readers.run(move |connection| file::find_damage(connection, partition, offset, max_records)).await
    }

    /// The file may grow up to this size; then appends are refused until it is raised. The
    /// write-ahead file beside it is not counted.
    pub async fn set_max_file_bytes(&self, bytes: u64) -> Result<(), LogError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::SetMaxFileBytes { bytes, reply })?;
        answer.await.unwrap_or_else(|_| Err(thread_ended()))
    }

    /// Writes what is queued, closes the file and ends the thread. Appends are refused from
    /// now on. Doing it again does nothing.
    pub async fn shutdown(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && tokio::task::spawn_blocking(move || thread.join()).await.is_ok_and(|joined| joined.is_err())
        {
            tracing::error!("the thread of the local log ended in a panic");
        }
    }
}

#[async_trait]
impl EventLog for LocalLog {
    async fn append(&self, record: NewRecord) -> Result<Appended, LogError> {
        let answer = self.enqueue(vec![record])?;
        let offsets = offsets_of(answer).await?;
        offsets.first().copied().map(Appended::Log).ok_or_else(thread_ended)
    }

    async fn read(
        &self,
        partition: u16,
        offset: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        check_partition(partition)?;
        let (max_records, max_bytes) = (max_records.min(READ_RECORDS), max_bytes.min(READ_BYTES));
        self.readers.run(move |connection| file::read(connection, partition, offset, max_records, max_bytes)).await
    }

    async fn bounds(&self, partition: u16) -> Result<(u64, u64), LogError> {
        check_partition(partition)?;
        self.readers.run(move |connection| file::bounds(connection, partition)).await
    }

    /// Counts from the call, not from the first poll: whoever makes the future, then reads and
    /// finds nothing, then awaits it, misses nothing.
    fn appended<'life0, 'async_trait>(&'life0 self) -> Pin<Box<dyn Future<Output = ()> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.appended.notified())
    }

    async fn close(&self) {
        self.shutdown().await;
    }
}

impl Drop for LocalLog {
    /// Waits until what is queued is written: whoever opens the file next must not meet the
    /// old thread.
    fn drop(&mut self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// Cuts records into pieces that fit into one transaction.
fn cut(records: Vec<NewRecord>) -> Vec<Vec<NewRecord>> {
    let mut pieces: Vec<Vec<NewRecord>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        bytes += record.bytes.len();
        match pieces.last_mut() {
            Some(piece) if piece.len() < BATCH_RECORDS && bytes <= BATCH_BYTES => piece.push(record),
            _ => {
                bytes = record.bytes.len();
                pieces.push(vec![record]);
            }
        }
    }
    pieces
}

async fn offsets_of(answer: oneshot::Receiver<Result<Vec<u64>, LogError>>) -> Result<Vec<u64>, LogError> {
    answer.await.unwrap_or_else(|_| Err(thread_ended()))
}

fn thread_ended() -> LogError {
    LogError::Unavailable(
        "the writing thread ended before it answered; whether the record is stored is unknown".to_owned(),
    )
}

fn same_error(error: &LogError) -> LogError {
    match error {
        LogError::Unavailable(reason) => LogError::Unavailable(reason.clone()),
        other => LogError::Failed(anyhow::anyhow!("{other}")),
    }
}

pub(crate) fn check(record: &NewRecord) -> Result<(), LogError> {
    check_partition(record.partition)?;
    if record.bytes.len() > MAX_RECORD_BYTES {
        return Err(LogError::Failed(anyhow::anyhow!(
            "a record of {} bytes is too large, the limit is {MAX_RECORD_BYTES}",
            record.bytes.len()
        )));
    }
    Ok(())
}

pub(crate) fn check_partition(partition: u16) -> Result<(), LogError> {
    if partition < PARTITIONS {
        Ok(())
    } else {
        Err(LogError::Failed(anyhow::anyhow!("there is no partition {partition}, the last is {}", PARTITIONS - 1)))
    }
}
