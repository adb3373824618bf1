//! The fold store of a run: the real one on SQLite, behind faults.

use crate::broken::Broken;
use crate::dice::{Dice, Fault};
use domain::catalogue::CatalogueEntry;
use domain::decision::Decision;
use domain::fact::{Alias, Answer};
use domain::ids::{CodeId, ConnectionId, Mode, PurchaseId, StoryId, Timestamp, VendorId};
use domain::spikes::Alert;
use domain::story::{Scope, Story};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use store::fold_store::{
    Activity, Commit, FoldStore, FoldStoreError, ListedRecord, OpenQuestion, OpenSummary, OutboxBatch, OutcomeCounts,
    Position, SentRange, SpikeCode, SpikeLook, SpikeRows, SqliteFoldStore, Tally, Visible,
};
use store::postgres::PostgresError;
use tempfile::TempDir;

/// Where a file costs no disk, if there is such a place.
const IN_MEMORY: &str = "/dev/shm";
/// Older copies that are kept.
const COPIES: usize = 3;

/// A folder for a fold store, in memory where that is possible.
///
/// # Errors
/// When no folder can be made.
pub fn scratch_folder() -> anyhow::Result<TempDir> {
    let in_memory = Path::new(IN_MEMORY);
    Ok(if in_memory.is_dir() { tempfile::tempdir_in(in_memory)? } else { tempfile::tempdir()? })
}

struct Files {
    store: Arc<SqliteFoldStore>,
    path: PathBuf,
    made: usize,
    copies: Vec<PathBuf>,
}

/// The real store, behind faults.
pub struct SimStore {
    folder: TempDir,
    files: Mutex<Files>,
    dice: Arc<Dice>,
    broken: Option<Broken>,
}

impl SimStore {
    /// An empty store.
    ///
    /// # Errors
    /// When its files cannot be made.
    pub fn new(dice: Arc<Dice>, broken: Option<Broken>) -> anyhow::Result<SimStore> {
        let folder = scratch_folder()?;
        let path = folder.path().join("fold-0.db");
        let store = Arc::new(SqliteFoldStore::open(&path)?);
        let files = Files { store, path, made: 0, copies: Vec::new() };
        Ok(SimStore { folder, files: Mutex::new(files), dice, broken })
    }

    /// The store itself, which never fails.
    pub fn real(&self) -> Arc<SqliteFoldStore> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).store.clone()
    }

    /// Keeps a copy of the store as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn copy(&self) -> anyhow::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.made += 1;
        let copy = self.folder.path().join(format!("copy-{}.db", files.made));
        copy_files(&files.path, &copy)?;
        files.copies.push(copy);
        if files.copies.len() > COPIES {
            files.copies.remove(0);
        }
        Ok(())
    }

    /// Puts an older copy in the store's place. Returns false if there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn restore(&self) -> anyhow::Result<bool> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.copies.is_empty() {
            return Ok(false);
        }
        let copy = files.copies[self.dice.below(files.copies.len() as u64) as usize].clone();
        files.made += 1;
        let path = self.folder.path().join(format!("fold-{}.db", files.made));
        copy_files(&copy, &path)?;
        files.store = Arc::new(SqliteFoldStore::open(&path)?);
        files.path = path;
        Ok(true)
    }

    fn read<T>(&self, run: impl FnOnce(&SqliteFoldStore) -> Result<T, FoldStoreError>) -> Result<T, FoldStoreError> {
        if self.dice.strikes(Fault::StoreReadFails) {
            return Err(no_answer());
        }
        run(&self.real())
    }

    /// Writes as the broken rule would.
    fn commit_broken(
        &self,
        broken: Option<Broken>,
        partition: u16,
        (expected, next): (&Position, &Position),
        commit: &Commit,
    ) -> Result<(), FoldStoreError> {
        let real = self.real();
        match broken {
            Some(Broken::PositionNotCompared) => real.commit(partition, &real.position(partition)?, next, commit),
            _ => real.commit(partition, expected, next, commit),
        }
    }
}

/// The file and its write-ahead file: nothing is written meanwhile.
fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::copy(from, to)?;
    let wal = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    if wal(from).exists() {
        std::fs::copy(wal(from), wal(to))?;
    }
    Ok(())
}

/// A failure that says nothing of what happened.
fn no_answer() -> FoldStoreError {
    FoldStoreError::Postgres(PostgresError::Busy { place: "the simulation".to_owned(), size: 1, waited_ms: 1 })
}

/// Everything of a commit but its lines and purchase rows.
fn without_lines(commit: &Commit) -> Commit {
    Commit {
        stories: commit.stories.clone(),
        aliases: commit.aliases.clone(),
        refs: commit.refs.clone(),
        catalogue: commit.catalogue.clone(),
        answers: commit.answers.clone(),
        decisions: commit.decisions.clone(),
        records: commit.records.clone(),
        resolved: commit.resolved.clone(),
        questions: commit.questions.clone(),
        purchases: commit.purchases.clone(),
        spikes: commit.spikes.clone(),
        lines: Vec::new(),
        rows: Vec::new(),
    }
}

macro_rules! reads {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> Result<$result, FoldStoreError> {
            self.read(|store| store.$name($($argument),*))
        })*
    };
}

impl SpikeRows for SimStore {
    reads! {
        spike_vendors(vendors: &[VendorId]) -> Vec<Option<Vec<u8>>>;
        spike_codes(codes: &[(VendorId, CodeId)]) -> Vec<Option<SpikeCode>>;
        spikes_due(partition: u16, now: Timestamp, limit: usize) -> Vec<SpikeCode>;
        spikes_looked(partition: u16, looks: &[SpikeLook]) -> Vec<(VendorId, Alert)>;
        alerts(vendor: VendorId, limit: usize) -> Vec<Alert>;
        alert(vendor: VendorId, id: u64) -> Option<Alert>;
        untold_alerts(partitions: &BTreeSet<u16>, limit: usize) -> Vec<(VendorId, Alert)>;
        alerts_told(told: &[(VendorId, u64)]) -> ();
    }
}

impl FoldStore for SimStore {
    fn commit(
        &self,
        partition: u16,
        expected: &Position,
        next: &Position,
        commit: &Commit,
    ) -> Result<(), FoldStoreError> {
        if self.dice.strikes(Fault::CommitFails) {
            return Err(no_answer());
        }
        if self.dice.strikes(Fault::CommitConflict) {
            let (expected, found) = (expected.next_offset, expected.next_offset + 1);
            return Err(FoldStoreError::Conflict { partition, expected, found });
        }
        let is_lost = self.dice.strikes(Fault::CommitAnswerLost);
        if is_lost && self.broken == Some(Broken::PositionBeforeLines) {
            // The end came between the two transactions.
            self.commit_broken(None, partition, (expected, next), &without_lines(commit))?;
        } else {
            self.commit_broken(self.broken, partition, (expected, next), commit)?;
        }
        if is_lost { Err(no_answer()) } else { Ok(()) }
    }

    fn outbox(&self, partitions: &BTreeSet<u16>, limit: usize) -> Result<OutboxBatch, FoldStoreError> {
        if self.dice.strikes(Fault::OutboxFails) {
            return Err(no_answer());
        }
        let batch = self.real().outbox(partitions, limit)?;
        if self.broken == Some(Broken::VisibleBeforeInsert) {
            self.real().delivered(&batch, self.dice.now())?;
        }
        Ok(batch)
    }

    fn delivered(&self, batch: &OutboxBatch, at: Timestamp) -> Result<(), FoldStoreError> {
        if self.dice.strikes(Fault::DeliveredFails) {
            return Err(no_answer());
        }
        self.real().delivered(batch, at)?;
        if self.dice.strikes(Fault::DeliveredAnswerLost) { Err(no_answer()) } else { Ok(()) }
    }

    reads! {
        position(partition: u16) -> Position;
        visible(partition: u16) -> Visible;
        held(partition: u16) -> Option<Visible>;
        hold(partition: u16, upto: Option<Visible>) -> ();
        stories_of(names: &[(Scope, Alias)]) -> Vec<Option<StoryId>>;
        stories(ids: &[StoryId]) -> Vec<Option<Story>>;
        stories_with_ref(vendor: VendorId, key: Option<&str>, after: StoryId, limit: usize) -> Vec<StoryId>;
        catalogue_page(scope: Scope, kind: &str, after: &str, limit: usize) -> Vec<(String, CatalogueEntry)>;
        catalogue_entry(scope: Scope, key: &str) -> Option<CatalogueEntry>;
        answer(scope: Scope, request: &str) -> Option<Answer>;
        decisions(vendors: &[VendorId]) -> Vec<Vec<(u64, Decision)>>;
        outbox_len() -> u64;
        sent(partition: u16) -> Vec<SentRange>;
        open_questions(after: u64, limit: usize) -> Vec<OpenQuestion>;
        open_question_count(vendor: VendorId) -> u64;
        story_of_purchase(purchases: &[PurchaseId]) -> Vec<Option<StoryId>>;
        records_of_event(vendor: VendorId, event_id: &str) -> Vec<ListedRecord>;
        records(partition: u16, offsets: &[u64]) -> Vec<ListedRecord>;
        open_records(vendor: VendorId, outcome: &str, after: Option<u64>, limit: usize) -> Vec<ListedRecord>;
        outcome_counts(vendor: VendorId, mode: Mode) -> OutcomeCounts;
        tally() -> Tally;
        open_summary() -> Vec<OpenSummary>;
        last_sequences() -> Vec<(VendorId, u64)>;
        has_booked() -> bool;
        activity(connection: ConnectionId, since: Timestamp) -> Activity;
        waiting_since(partition: u16, before: Timestamp, limit: usize) -> Vec<(VendorId, u64)>;
    }
}
