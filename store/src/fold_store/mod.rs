//! The fold store port: what the fold knows, changed in one transaction with the position.
//!
//! Calls block; the processor runs them on a thread of its own, readers on the blocking pool.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod conformance_spikes;
mod postgres_columns;
mod postgres_commit;
mod postgres_read;
mod postgres_sent;
mod postgres_spikes;
mod postgres_store;
#[cfg(test)]
mod postgres_tests;
mod prepare;
mod sent;
mod spikes;
mod sqlite;
mod sqlite_commit;
mod sqlite_sent;
mod sqlite_spikes;

pub use postgres_store::PostgresFoldStore;
pub use sent::{MOST_SENT_RANGES, SentRange, SentSums};
pub use spikes::{MOST_ALERTS, SpikeChanges, SpikeCode, SpikeLook, SpikeRows};
pub use sqlite::SqliteFoldStore;

use domain::catalogue::CatalogueEntry;
use domain::decision::Decision;
use domain::fact::{Alias, Answer};
use domain::fold::{Counters, Fanout, Outcome};
use domain::ids::*;
use domain::line::{LedgerLine, PurchaseRow};
use domain::story::{Scope, Story};
use domain::target::Question;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What went wrong with the fold store.
#[derive(Debug, thiserror::Error)]
pub enum FoldStoreError {
    /// Somebody else moved the position: this processor no longer owns the partition.
    #[error(
        "partition {partition} was moved by another processor: expected to continue at {expected}, it is at {found}"
    )]
    Conflict {
        /// Partition.
        partition: u16,
        /// Where we were.
        expected: u64,
        /// Where it is.
        found: u64,
    },
    /// A stored value cannot be read.
    #[error(
        "the fold store holds a value that cannot be read ({what}): {source}. Move it away (fold.db, or its schema in Postgres); it is folded again from the log"
    )]
    Unreadable {
        /// Which table.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The database failed.
    #[error("the fold store failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] crate::sqlite::SqliteError),
    /// Postgres failed.
    #[error("the fold store failed: {0}")]
    Postgres(#[from] crate::postgres::PostgresError),
    /// An outcome was to become another, but there is none.
    #[error("record {offset} of partition {partition} has no outcome that could change")]
    NoOutcome {
        /// Partition.
        partition: u16,
        /// Log offset.
        offset: u64,
    },
}

/// Up to where a partition is folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// First offset that is not (completely) folded.
    pub next_offset: u64,
    /// What is left of the record at `next_offset`, if it reached further than one slice.
    pub fanout: Option<Fanout>,
    /// What that record made so far.
    pub counters: Counters,
    /// Running SHA-256 over all folded records.
    pub chain: [u8; 32],
    /// SHA-256 of the last folded record.
    pub last_hash: [u8; 32],
    /// Fold revision that booked.
    pub revision: u32,
}

impl Position {
    /// The position of a partition that was never folded.
    pub fn start() -> Position {
        Position {
            next_offset: 0,
            fanout: None,
            counters: Counters::default(),
            chain: [0; 32],
            last_hash: [0; 32],
            revision: domain::fold::FOLD_REVISION,
        }
    }
}

/// Up to where the warehouse shows a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Visible {
    /// Everything below is in the warehouse.
    pub next_offset: u64,
    /// When that moved.
    pub at: Timestamp,
}

/// One log record and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Log offset.
    pub offset: u64,
    /// Tenant.
    pub vendor: VendorId,
    /// Provider account; 0 if none.
    pub connection: ConnectionId,
    /// None for decisions, which hold in both modes.
    pub mode: Option<Mode>,
    /// The provider's event id; empty for others.
    pub event_id: String,
    /// The provider's event type, or the kind of the record.
    pub event_type: String,
    /// We asked for it: nobody delivered it. Only counts of deliveries ask, it is not stored.
    pub is_backfill: bool,
    /// Time on the record.
    pub at: Timestamp,
    /// Its one outcome.
    pub outcome: Outcome,
    /// The story that its facts went to.
    pub story: Option<StoryId>,
}

/// A record as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedRecord {
    /// Tenant.
    pub vendor: VendorId,
    /// Log partition.
    pub partition: u16,
    /// Log offset.
    pub offset: u64,
    /// The provider's event type, or the kind of the record.
    pub event_type: String,
    /// Time on the record.
    pub at: Timestamp,
    /// The word of its outcome.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// The story that its facts went to.
    pub story: Option<StoryId>,
}

/// A question that the provider has not answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenQuestion {
    /// Row number, growing.
    pub id: u64,
    /// Where its ids are unique.
    pub scope: Scope,
    /// Whom to ask.
    pub provider: Provider,
    /// `GET /...`.
    pub request: String,
}

/// A line or a purchase row on its way to the warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboxItem {
    /// A ledger line.
    Line(LedgerLine),
    /// A purchase as it stands.
    Row(PurchaseRow),
}

/// A cut of the outbox: what to insert, and how far each partition is visible afterwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OutboxBatch {
    /// In (partition, offset, order).
    pub items: Vec<OutboxItem>,
    /// Partition, first offset and order in it, and the visible offset after the insert.
    pub ranges: Vec<OutboxRange>,
}

/// The part of a batch that comes from one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxRange {
    /// Partition.
    pub partition: u16,
    /// Its first item: (offset, order).
    pub first: Option<(u64, u32)>,
    /// Its last item: (offset, order).
    pub last: Option<(u64, u32)>,
    /// Everything below is visible after the insert.
    pub visible: u64,
}

/// Everything that folding a batch of one partition changed.
#[derive(Debug, Default)]
pub struct Commit {
    /// Stories as they are now; `None` = merged away.
    pub stories: Vec<(StoryId, Option<Arc<Story>>)>,
    /// Names.
    pub aliases: Vec<(Scope, Alias, StoryId)>,
    /// Index keys: vendor, key, story, and whether it is added.
    pub refs: Vec<(VendorId, String, StoryId, bool)>,
    /// Catalogue entries as they are now.
    pub catalogue: Vec<(Scope, String, CatalogueEntry)>,
    /// Best answers as they are now; their questions are closed.
    pub answers: Vec<(Scope, Answer)>,
    /// Decisions that were applied: vendor, sequence, offset, time, decision.
    pub decisions: Vec<(VendorId, u64, u64, Timestamp, Decision)>,
    /// Outcomes of the records, in order.
    pub records: Vec<RecordRow>,
    /// Earlier records whose outcome became another.
    pub resolved: Vec<(u64, Outcome)>,
    /// Questions to ask.
    pub questions: Vec<(Scope, Provider, Question)>,
    /// Lines to project.
    pub lines: Vec<LedgerLine>,
    /// Purchase rows to project.
    pub rows: Vec<PurchaseRow>,
    /// Which story a purchase is in.
    pub purchases: Vec<(PurchaseId, StoryId)>,
    /// What the spike detector knows now.
    pub spikes: SpikeChanges,
}

/// What arrived from a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activity {
    /// When the last delivery came.
    pub last_at: Option<Timestamp>,
    /// Deliveries since the time asked for.
    pub recent: u64,
    /// Every event type ever seen.
    pub event_types: Vec<String>,
}

/// How many records every partition has and how they ended, all of one state of the store: the
/// two must come to the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Partition, and how many of its records have been noted: those below the position, and the
    /// one at the position if its fan-out is under way.
    pub records: Vec<(u16, u64)>,
    /// Vendor (0 for what could not be read), outcome, and the count of it over both modes.
    pub outcomes: Vec<(VendorId, String, i64)>,
}

/// Records that are refused or waiting for one reason, over all vendors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSummary {
    /// `refused` or `waiting`.
    pub outcome: String,
    /// The reason up to its first colon.
    pub reason: String,
    /// How many.
    pub records: u64,
    /// Time on the oldest of them.
    pub oldest: Timestamp,
}

/// How many records ended how, of one vendor and mode (decisions counted in both).
pub type OutcomeCounts = std::collections::BTreeMap<String, u64>;

/// The fold store.
pub trait FoldStore: SpikeRows {
    /// Up to where a partition is folded.
    fn position(&self, partition: u16) -> Result<Position, FoldStoreError>;
    /// Up to where the warehouse shows a partition.
    fn visible(&self, partition: u16) -> Result<Visible, FoldStoreError>;
    /// Up to where a partition may be shown while something of it is missing in the warehouse.
    fn held(&self, partition: u16) -> Result<Option<Visible>, FoldStoreError>;
    /// Notes that nothing from there on may be shown, or that everything may, for whoever shows pages from now on.
    fn hold(&self, partition: u16, upto: Option<Visible>) -> Result<(), FoldStoreError>;
    /// The stories of names, in the order asked.
    fn stories_of(&self, names: &[(Scope, Alias)]) -> Result<Vec<Option<StoryId>>, FoldStoreError>;
    /// Stories, in the order asked.
    fn stories(&self, ids: &[StoryId]) -> Result<Vec<Option<Story>>, FoldStoreError>;
    /// Stories of a vendor with an index key (`None`: all), in id order, after `after`.
    fn stories_with_ref(
        &self,
        vendor: VendorId,
        key: Option<&str>,
        after: StoryId,
        limit: usize,
    ) -> Result<Vec<StoryId>, FoldStoreError>;
    /// A catalogue entry.
    fn catalogue_entry(&self, scope: Scope, key: &str) -> Result<Option<CatalogueEntry>, FoldStoreError>;
    /// Catalogue entries whose key begins with a kind (`promo`, `coupon`, `di`) and a colon, in the order of their keys, after
    /// the key `after` (empty: from the first), at most `limit`.
    fn catalogue_page(
        &self,
        scope: Scope,
        kind: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, CatalogueEntry)>, FoldStoreError>;
    /// The best answer to a question.
    fn answer(&self, scope: Scope, request: &str) -> Result<Option<Answer>, FoldStoreError>;
    /// The decisions of each vendor in their order, in the order asked.
    fn decisions(&self, vendors: &[VendorId]) -> Result<Vec<Vec<(u64, Decision)>>, FoldStoreError>;
    /// Writes everything and moves the position, if it is still where it was.
    fn commit(
        &self,
        partition: u16,
        expected: &Position,
        next: &Position,
        commit: &Commit,
    ) -> Result<(), FoldStoreError>;

    /// The next cut of the outbox of these partitions, at most `limit` items.
    fn outbox(&self, partitions: &BTreeSet<u16>, limit: usize) -> Result<OutboxBatch, FoldStoreError>;
    /// The batch is in the warehouse: forget it, note what it was ([`FoldStore::sent`]) and move what is visible.
    fn delivered(&self, batch: &OutboxBatch, at: Timestamp) -> Result<(), FoldStoreError>;
    /// What was sent of a partition, oldest first: at most [`MOST_SENT_RANGES`] and one range.
    fn sent(&self, partition: u16) -> Result<Vec<SentRange>, FoldStoreError>;
    /// How many items wait.
    fn outbox_len(&self) -> Result<u64, FoldStoreError>;

    /// Questions without an answer, oldest first, after a row number.
    fn open_questions(&self, after: u64, limit: usize) -> Result<Vec<OpenQuestion>, FoldStoreError>;
    /// How many questions of a vendor are open.
    fn open_question_count(&self, vendor: VendorId) -> Result<u64, FoldStoreError>;

    /// The story of a purchase.
    fn story_of_purchase(&self, purchases: &[PurchaseId]) -> Result<Vec<Option<StoryId>>, FoldStoreError>;
    /// The records of a provider event id, oldest first (other events may share the hash).
    fn records_of_event(&self, vendor: VendorId, event_id: &str) -> Result<Vec<ListedRecord>, FoldStoreError>;
    /// Records by offset.
    fn records(&self, partition: u16, offsets: &[u64]) -> Result<Vec<ListedRecord>, FoldStoreError>;
    /// Records of a vendor that are refused or waiting, oldest first, after an offset.
    fn open_records(
        &self,
        vendor: VendorId,
        outcome: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ListedRecord>, FoldStoreError>;
    /// How many records ended how.
    fn outcome_counts(&self, vendor: VendorId, mode: Mode) -> Result<OutcomeCounts, FoldStoreError>;
    /// Counts that must come to the same, for the audit. Reads a row per vendor and outcome.
    fn tally(&self) -> Result<Tally, FoldStoreError>;
    /// What is refused or waiting, for gauges, at most 1,000 reasons. Reads every open record.
    fn open_summary(&self) -> Result<Vec<OpenSummary>, FoldStoreError>;
    /// The last decision of every vendor that was folded.
    fn last_sequences(&self) -> Result<Vec<(VendorId, u64)>, FoldStoreError>;
    /// Whether any purchase was ever booked.
    fn has_booked(&self) -> Result<bool, FoldStoreError>;
    /// What arrived from a connection, counted since a time.
    fn activity(&self, connection: ConnectionId, since: Timestamp) -> Result<Activity, FoldStoreError>;
    /// Waiting records older than `before`, for the deadline timer.
    fn waiting_since(
        &self,
        partition: u16,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(VendorId, u64)>, FoldStoreError>;
}

/// The 63-bit hash under which a provider event id of a vendor is found.
pub fn event_hash(vendor: VendorId, event_id: &str) -> i64 {
    use sha2::{Digest, Sha256};
    if event_id.is_empty() {
        return 0;
    }
    let digest = Sha256::new().chain_update(vendor.0.to_be_bytes()).chain_update(event_id.as_bytes()).finalize();
    let head: [u8; 8] = digest[..8].try_into().expect("eight bytes");
    (i64::from_be_bytes(head) & i64::MAX).max(1)
}
