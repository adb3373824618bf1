//! Folds a partition's log once more from its beginning, beside the real fold store, to have lines that were sent again.
//!
//! The fold is deterministic: the lines of a record are the same whenever it is folded. They wait in the outbox of a
//! throw-away store, those of the wanted ranges only, until it is known that they are what was sent.

use crate::batch::{Batch, FoldError};
use crate::state::StoreState;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use store::event_log::{EventLog, LogError, StoredRecord};
use store::fold_store::{Commit, FoldStore, FoldStoreError, Position, SentSums, SqliteFoldStore};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Records of one transaction.
const BATCH_RECORDS: u64 = 2_000;
/// Bytes of records of one transaction, about.
const BATCH_BYTES: usize = 8 << 20;
/// How often progress is logged.
const PROGRESS_RECORDS: u64 = 100_000;

/// Why a log could not be folded once more.
#[derive(Debug, thiserror::Error)]
pub enum RefoldError {
    /// The folder for it cannot be made or emptied.
    #[error("{} cannot be used: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The log lost its beginning.
    #[error("the log of partition {partition} begins at {start}, so it cannot be folded from its beginning")]
    LogLostItsStart {
        /// Partition.
        partition: u16,
        /// Where it begins.
        start: u64,
    },
    /// The log ends too early.
    #[error("the log of partition {partition} ends at {at}, before what was sent")]
    LogEnds {
        /// Partition.
        partition: u16,
        /// Its end.
        at: u64,
    },
    /// The process is stopping.
    #[error("it was stopped")]
    Stopped,
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The fold.
    #[error(transparent)]
    Fold(#[from] Box<FoldError>),
    /// The throw-away store.
    #[error(transparent)]
    Store(#[from] FoldStoreError),
}

/// A folder that is empty at the beginning and gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(path: &Path) -> Result<Scratch, RefoldError> {
        let failed = |source| RefoldError::Folder { path: path.to_owned(), source };
        remove(path).and_then(|()| make(path)).map_err(failed)?;
        Ok(Scratch(path.to_owned()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(error = %error, "{} is left: {error}", self.0.display());
        }
    }
}

/// Makes a folder for this user only.
pub(crate) fn make(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes a scratch folder, if it is there: an earlier process may have ended in the middle.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What folding again gave.
pub(crate) struct Refolded {
    /// Its outbox holds the items of the wanted ranges. Closed before the folder goes.
    pub store: SqliteFoldStore,
    /// Counts and sums of each wanted range, in their order.
    pub sums: Vec<SentSums>,
    _scratch: Scratch,
}

/// What is folded again, and where.
pub(crate) struct Refold<'a> {
    pub log: &'a dyn EventLog,
    pub partition: u16,
    /// Ranges of the log, from and one past the last, ascending.
    pub wanted: &'a [(u64, u64)],
    /// A folder that is made for it.
    pub scratch: &'a Path,
}

impl Refold<'_> {
    /// Folds up to the end of the last wanted range. Blocks its thread; `runtime` drives the log's futures.
    pub fn run(&self, runtime: &Handle, stop: &CancellationToken) -> Result<Refolded, RefoldError> {
        let partition = self.partition;
        let (start, _) = runtime.block_on(self.log.bounds(partition))?;
        if start > 0 {
            return Err(RefoldError::LogLostItsStart { partition, start });
        }
        let scratch = Scratch::new(self.scratch)?;
        let store = SqliteFoldStore::open_throw_away(&scratch.0.join("fold.db"))?;
        let sums = self.fold(&store, runtime, stop)?;
        Ok(Refolded { store, sums, _scratch: scratch })
    }

    fn fold(
        &self,
        store: &SqliteFoldStore,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<Vec<SentSums>, RefoldError> {
        let partition = self.partition;
        let end = self.wanted.last().map_or(0, |(_, to)| *to);
        let mut sums = vec![SentSums::default(); self.wanted.len()];
        let mut state = StoreState::new(store);
        let mut position = Position::start();
        let read_one = |offset: u64| -> Result<Option<StoredRecord>, LogError> {
            Ok(runtime.block_on(self.log.read(partition, offset, 1, 1))?.pop())
        };
        while position.next_offset < end {
            if stop.is_cancelled() {
                return Err(RefoldError::Stopped);
            }
            let left = end - position.next_offset;
            let limit = if position.fanout.is_some() { 1 } else { left.min(BATCH_RECORDS) };
            let records =
                runtime.block_on(self.log.read(partition, position.next_offset, limit as usize, BATCH_BYTES))?;
            if records.is_empty() {
                return Err(RefoldError::LogEnds { partition, at: position.next_offset });
            }
            let (mut commit, next) =
                Batch::new(partition, &mut state, store, &read_one).fold(&position, records).map_err(Box::new)?;
            self.keep_wanted(&mut commit, &mut sums);
            store.commit(partition, &position, &next, &commit)?;
            if next.next_offset / PROGRESS_RECORDS > position.next_offset / PROGRESS_RECORDS {
                let at = next.next_offset;
                tracing::info!(partition, at, end, "partition {partition} is folded again: {at} of {end} records");
            }
            position = next;
        }
        Ok(sums)
    }

    /// Only what is wanted goes to the outbox.
    fn keep_wanted(&self, commit: &mut Commit, sums: &mut [SentSums]) {
        commit.lines.retain(|line| match self.wanted_place(line.src_off) {
            Some(place) => {
                sums[place].add_line(line);
                true
            }
            None => false,
        });
        commit.rows.retain(|row| match self.wanted_place(row.src_off) {
            Some(place) => {
                sums[place].rows += 1;
                true
            }
            None => false,
        });
    }

    /// The wanted range that an offset is in.
    fn wanted_place(&self, offset: u64) -> Option<usize> {
        let place = self.wanted.partition_point(|(from, _)| *from <= offset).checked_sub(1)?;
        (offset < self.wanted[place].1).then_some(place)
    }
}
