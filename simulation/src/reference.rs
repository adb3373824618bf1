//! The same log, folded undisturbed: what the truth is at every position.

use crate::sim_log::SimLog;
use crate::sim_store::scratch_folder;
use crate::sim_warehouse::Tables;
use domain::ids::StoryId;
use domain::ids::VendorId;
use domain::story::Story;
use processor::batch::Batch;
use processor::state::StoreState;
use std::collections::BTreeSet;
use store::fold_store::{FoldStore, ListedRecord, Position, SqliteFoldStore};
use tempfile::TempDir;

/// More stories and records than a run has.
const ALL: usize = 100_000;

/// What was folded without a fault, in one go.
pub struct Reference {
    /// The fold store it ended in.
    pub store: SqliteFoldStore,
    /// Every line and purchase row, in order.
    pub tables: Tables,
    _folder: TempDir,
}

impl Reference {
    /// Folds everything.
    ///
    /// # Errors
    /// When the log cannot be folded even so.
    pub fn fold(log: &SimLog, partitions: &BTreeSet<u16>) -> anyhow::Result<Reference> {
        let folder = scratch_folder()?;
        let store = SqliteFoldStore::open(&folder.path().join("fold.db"))?;
        let mut tables = Tables::default();
        for partition in partitions {
            fold_partition(log, &store, *partition, &mut tables)?;
        }
        Ok(Reference { store, tables, _folder: folder })
    }
}

fn fold_partition(log: &SimLog, store: &SqliteFoldStore, partition: u16, tables: &mut Tables) -> anyhow::Result<()> {
    let records = log.all(partition);
    let read_one = |offset: u64| Ok(records.get(offset as usize).cloned());
    let mut state = StoreState::new(store);
    loop {
        let position = store.position(partition)?;
        let rest: Vec<_> = records.iter().skip(position.next_offset as usize).cloned().collect();
        if rest.is_empty() {
            return Ok(());
        }
        let (commit, next) = Batch::new(partition, &mut state, store, &read_one).fold(&position, rest)?;
        store.commit(partition, &position, &next, &commit)?;
        tables.take_rows(&commit.rows);
        tables.take_lines(&commit.lines);
    }
}

/// All stories of a vendor.
///
/// # Errors
/// When they cannot be read.
pub fn stories_of(store: &dyn FoldStore, vendor: VendorId) -> anyhow::Result<Vec<Story>> {
    let ids = store.stories_with_ref(vendor, None, StoryId(0), ALL)?;
    Ok(store.stories(&ids)?.into_iter().flatten().collect())
}

/// Position and all records of a partition.
///
/// # Errors
/// When they cannot be read.
pub fn records_of(store: &dyn FoldStore, partition: u16, end: u64) -> anyhow::Result<(Position, Vec<ListedRecord>)> {
    let offsets: Vec<u64> = (0..end).collect();
    Ok((store.position(partition)?, store.records(partition, &offsets)?))
}
