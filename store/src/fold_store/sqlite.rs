//! The fold store on one SQLite file.

use super::prepare::{HOUR_MS, catalogue_range, hash, parse};
use super::*;
use crate::sqlite::{Migration, open_reader, open_writer};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "0001_fold_store",
        sql: include_str!("../../../schemas/migrations/fold/0001_fold_store.sql"),
    },
    Migration {
        version: 2,
        name: "0002_sent_ranges",
        sql: include_str!("../../../schemas/migrations/fold/0002_sent_ranges.sql"),
    },
    Migration { version: 3, name: "0003_held", sql: include_str!("../../../schemas/migrations/fold/0003_held.sql") },
    Migration {
        version: 4,
        name: "0004_spikes",
        sql: include_str!("../../../schemas/migrations/fold/0004_spikes.sql"),
    },
];

/// How many idle reading connections are kept.
const IDLE_READERS: usize = 8;
/// A story of about 1 KiB wastes a third of a page of 4 KiB, and little of this.
const PAGE_BYTES: u32 = 8192;
/// Pages in the write-ahead file before they are moved into the main file: 64 MiB. Most of them were written
/// several times by then and are moved once.
const CHECKPOINT_PAGES: u32 = 8_000;

/// One writer and a few readers on one file.
///
/// `synchronous = NORMAL`: a power loss may take the last commits away, position included;
/// they are folded again from the log (which is FULL) into the same lines.
pub struct SqliteFoldStore {
    pub(super) writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// How many items wait in the outbox; counting them there reads all of it.
    waiting_items: AtomicU64,
    path: PathBuf,
}

impl SqliteFoldStore {
    /// Opens or creates the file.
    pub fn open(path: &Path) -> Result<SqliteFoldStore, FoldStoreError> {
        let writer = open_writer(path, PAGE_BYTES, MIGRATIONS)?;
        writer.pragma_update(None, "synchronous", "normal")?;
        writer.pragma_update(None, "secure_delete", false)?;
        writer.pragma_update(None, "cache_size", -64_000)?;
        writer.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        let waiting_items = writer.query_row("select count(*) from outbox", [], |row| row.get::<_, u64>(0))?;
        Ok(SqliteFoldStore {
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            waiting_items: AtomicU64::new(waiting_items),
            path: path.to_owned(),
        })
    }

    /// Opens a new file whose content may be lost with the power: for folding a log once more, beside the real store.
    pub fn open_throw_away(path: &Path) -> Result<SqliteFoldStore, FoldStoreError> {
        let store = SqliteFoldStore::open(path)?;
        store.writer().pragma_update(None, "synchronous", "off")?;
        Ok(store)
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a read on its own connection, beside the writer.
    pub(super) fn read<T>(
        &self,
        run: impl FnOnce(&Connection) -> Result<T, FoldStoreError>,
    ) -> Result<T, FoldStoreError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let result = run(&connection);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < IDLE_READERS {
            readers.push(connection);
        }
        result
    }
}

pub(super) fn read_position(connection: &Connection, partition: u16) -> Result<Position, FoldStoreError> {
    let found = connection
        .prepare_cached(
            "select next_off, cursor, next_ord, made, chain, last_hash, revision from positions where part = ?1",
        )?
        .query_row([partition], |row| {
            let cursor: Option<String> = row.get(1)?;
            Ok((
                Position {
                    next_offset: row.get::<_, i64>(0)? as u64,
                    fanout: None,
                    counters: Counters { next_ord: row.get(2)?, made: row.get::<_, i64>(3)? as u64 },
                    chain: hash(row.get(4)?),
                    last_hash: hash(row.get(5)?),
                    revision: row.get(6)?,
                },
                cursor,
            ))
        })
        .optional()?;
    let Some((mut position, cursor)) = found else { return Ok(Position::start()) };
    position.fanout = cursor.map(|text| parse("positions.cursor", text.as_bytes())).transpose()?;
    Ok(position)
}

/// The number of a story or purchase as it is stored: the partition before the offset (`Place::number` has it
/// between offset and count), so that what a partition adds lies side by side. Within a partition, and so
/// within a vendor, the order is the same.
pub(super) fn stored_key(number: u64) -> i64 {
    let (offset, partition, count) = (number >> 18, (number >> 12) & 0x3f, number & 0xfff);
    ((partition << 57) | (offset << 12) | count) as i64
}

/// The number that is stored as `key`.
fn number_of(key: i64) -> u64 {
    let key = key as u64;
    let (partition, offset, count) = (key >> 57, (key >> 12) & ((1 << 45) - 1), key & 0xfff);
    (offset << 18) | (partition << 12) | count
}

const LISTED: &str = "part, off, event_type, at, outcome, reason, story, vendor";

fn listed(row: &Row<'_>) -> rusqlite::Result<ListedRecord> {
    Ok(ListedRecord {
        vendor: VendorId(row.get(7)?),
        partition: row.get(0)?,
        offset: row.get::<_, i64>(1)? as u64,
        event_type: row.get(2)?,
        at: Timestamp(row.get(3)?),
        outcome: row.get(4)?,
        reason: row.get(5)?,
        story: row.get::<_, Option<i64>>(6)?.map(|id| StoryId(id as u64)),
    })
}

impl FoldStore for SqliteFoldStore {
    fn position(&self, partition: u16) -> Result<Position, FoldStoreError> {
        read_position(&self.writer(), partition)
    }

    fn visible(&self, partition: u16) -> Result<Visible, FoldStoreError> {
        self.read(|connection| {
            let found = connection
                .prepare_cached("select visible_off, visible_at from positions where part = ?1")?
                .query_row([partition], |row| {
                    Ok(Visible { next_offset: row.get::<_, i64>(0)? as u64, at: Timestamp(row.get(1)?) })
                })
                .optional()?;
            Ok(found.unwrap_or_default())
        })
    }

    fn held(&self, partition: u16) -> Result<Option<Visible>, FoldStoreError> {
        self.read(|connection| sqlite_sent::held(connection, partition))
    }

    fn hold(&self, partition: u16, upto: Option<Visible>) -> Result<(), FoldStoreError> {
        sqlite_sent::hold(&self.writer(), partition, upto)
    }

    fn stories_of(&self, names: &[(Scope, Alias)]) -> Result<Vec<Option<StoryId>>, FoldStoreError> {
        let writer = self.writer();
        // One snapshot: every statement outside of one locks and unlocks the file.
        let snapshot = writer.unchecked_transaction()?;
        let mut statement = snapshot
            .prepare_cached("select story from aliases where connection = ?1 and livemode = ?2 and alias = ?3")?;
        let mut found = Vec::with_capacity(names.len());
        for (scope, alias) in names {
            let story = statement
                .query_row(params![scope.connection.0 as i64, scope.mode.as_u8(), alias.0], |row| row.get::<_, i64>(0))
                .optional()?;
            found.push(story.map(|id| StoryId(id as u64)));
        }
        Ok(found)
    }

    fn stories(&self, ids: &[StoryId]) -> Result<Vec<Option<Story>>, FoldStoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut statement = snapshot.prepare_cached("select body from stories where key = ?1")?;
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                let body: Option<Vec<u8>> = statement.query_row([stored_key(id.0)], |row| row.get(0)).optional()?;
                found.push(body.map(|body| parse("stories", &body)).transpose()?);
            }
            Ok(found)
        })
    }

    fn stories_with_ref(
        &self,
        vendor: VendorId,
        key: Option<&str>,
        after: StoryId,
        limit: usize,
    ) -> Result<Vec<StoryId>, FoldStoreError> {
        let writer = self.writer();
        let ids: Vec<u64> = match key {
            Some(key) => writer
                .prepare_cached("select story from story_refs where vendor = ?1 and ref = ?2 and story > ?3 order by story limit ?4")?
                .query_map(params![vendor.0 as i64, key, after.0 as i64, limit as i64], |row| row.get(0))?
                .collect::<Result<_, _>>()?,
            None => writer
                .prepare_cached("select key from stories where vendor = ?1 and key > ?2 order by key limit ?3")?
                .query_map(params![vendor.0 as i64, stored_key(after.0), limit as i64], |row| row.get(0).map(number_of))?
                .collect::<Result<_, _>>()?,
        };
        Ok(ids.into_iter().map(StoryId).collect())
    }

    fn catalogue_entry(&self, scope: Scope, key: &str) -> Result<Option<CatalogueEntry>, FoldStoreError> {
        let body: Option<Vec<u8>> = self
            .writer()
            .prepare_cached("select body from catalogue where connection = ?1 and livemode = ?2 and key = ?3")?
            .query_row(params![scope.connection.0 as i64, scope.mode.as_u8(), key], |row| row.get(0))
            .optional()?;
        body.map(|body| parse("catalogue", &body)).transpose()
    }

    fn catalogue_page(
        &self,
        scope: Scope,
        kind: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, CatalogueEntry)>, FoldStoreError> {
        let (from, to) = catalogue_range(kind, after);
        let rows: Vec<(String, Vec<u8>)> = self.read(|reader| {
            let sql = "select key, body from catalogue
                       where connection = ?1 and livemode = ?2 and key > ?3 and key < ?4 order by key limit ?5";
            let values = params![scope.connection.0 as i64, scope.mode.as_u8(), from, to, limit as i64];
            let rows = reader
                .prepare_cached(sql)?
                .query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })?;
        rows.into_iter().map(|(key, body)| Ok((key, parse("catalogue", &body)?))).collect()
    }

    fn answer(&self, scope: Scope, request: &str) -> Result<Option<Answer>, FoldStoreError> {
        let body: Option<Vec<u8>> = self
            .writer()
            .prepare_cached("select body from answers where connection = ?1 and livemode = ?2 and request = ?3")?
            .query_row(params![scope.connection.0 as i64, scope.mode.as_u8(), request], |row| row.get(0))
            .optional()?;
        body.map(|body| parse("answers", &body)).transpose()
    }

    fn decisions(&self, vendors: &[VendorId]) -> Result<Vec<Vec<(u64, Decision)>>, FoldStoreError> {
        let writer = self.writer();
        let mut of_vendor = writer.prepare_cached("select seq, body from decisions where vendor = ?1 order by seq")?;
        let mut read = |vendor: &VendorId| -> Result<Vec<(u64, Decision)>, FoldStoreError> {
            let rows: Vec<(i64, Vec<u8>)> = of_vendor
                .query_map([vendor.0 as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            rows.into_iter().map(|(seq, body)| Ok((seq as u64, parse("decisions", &body)?))).collect()
        };
        vendors.iter().map(&mut read).collect()
    }

    fn commit(
        &self,
        partition: u16,
        expected: &Position,
        next: &Position,
        commit: &Commit,
    ) -> Result<(), FoldStoreError> {
        let mut writer = self.writer();
        sqlite_commit::commit(&mut writer, partition, expected, next, commit)?;
        self.waiting_items.fetch_add((commit.rows.len() + commit.lines.len()) as u64, Ordering::Relaxed);
        Ok(())
    }

    fn outbox(&self, partitions: &BTreeSet<u16>, limit: usize) -> Result<OutboxBatch, FoldStoreError> {
        self.read(|connection| sqlite_commit::outbox(connection, partitions, limit))
    }

    fn delivered(&self, batch: &OutboxBatch, at: Timestamp) -> Result<(), FoldStoreError> {
        let mut writer = self.writer();
        let gone = sqlite_commit::delivered(&mut writer, batch, at)?;
        // Under the writer's lock. What another process queued was never counted here.
        let left = self.waiting_items.load(Ordering::Relaxed).saturating_sub(gone as u64);
        self.waiting_items.store(left, Ordering::Relaxed);
        Ok(())
    }

    fn sent(&self, partition: u16) -> Result<Vec<SentRange>, FoldStoreError> {
        self.read(|connection| sqlite_sent::sent(connection, partition))
    }

    fn outbox_len(&self) -> Result<u64, FoldStoreError> {
        Ok(self.waiting_items.load(Ordering::Relaxed))
    }

    fn open_questions(&self, after: u64, limit: usize) -> Result<Vec<OpenQuestion>, FoldStoreError> {
        self.read(|connection| {
            let questions = connection
                .prepare_cached(
                    "select id, vendor, connection, livemode, provider, request from questions where state = 'open' and id > ?1 order by id limit ?2",
                )?
                .query_map(params![after as i64, limit as i64], |row| {
                    Ok(OpenQuestion {
                        id: row.get::<_, i64>(0)? as u64,
                        scope: Scope {
                            vendor: VendorId(row.get::<_, i64>(1)? as u64),
                            connection: ConnectionId(row.get::<_, i64>(2)? as u64),
                            mode: Mode::from_livemode(row.get(3)?),
                        },
                        provider: Provider::from_name(&row.get::<_, String>(4)?).unwrap_or(Provider::Stripe),
                        request: row.get(5)?,
                    })
                })?
                .collect::<Result<_, _>>()?;
            Ok(questions)
        })
    }

    fn open_question_count(&self, vendor: VendorId) -> Result<u64, FoldStoreError> {
        self.read(|connection| {
            let count: i64 = connection
                .prepare_cached("select count(*) from questions where state = 'open' and vendor = ?1")?
                .query_row([vendor.0 as i64], |row| row.get(0))?;
            Ok(count as u64)
        })
    }

    fn story_of_purchase(&self, purchases: &[PurchaseId]) -> Result<Vec<Option<StoryId>>, FoldStoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("select story from purchases where key = ?1")?;
            let mut found = Vec::with_capacity(purchases.len());
            for purchase in purchases {
                let story: Option<i64> = statement.query_row([stored_key(purchase.0)], |row| row.get(0)).optional()?;
                found.push(story.map(|id| StoryId(id as u64)));
            }
            Ok(found)
        })
    }

    fn records_of_event(&self, vendor: VendorId, event_id: &str) -> Result<Vec<ListedRecord>, FoldStoreError> {
        self.read(|connection| {
            let sql =
                format!("select {LISTED} from records where vendor = ?1 and event_id = ?2 and event_id <> '' order by off limit 100");
            let rows = connection
                .prepare_cached(&sql)?
                .query_map(params![vendor.0 as i64, event_id], listed)?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    fn records(&self, partition: u16, offsets: &[u64]) -> Result<Vec<ListedRecord>, FoldStoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached(&format!("select {LISTED} from records where part = ?1 and off = ?2"))?;
            let mut found = Vec::with_capacity(offsets.len());
            for offset in offsets {
                found.extend(statement.query_row(params![partition, *offset as i64], listed).optional()?);
            }
            Ok(found)
        })
    }

    fn open_records(
        &self,
        vendor: VendorId,
        outcome: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ListedRecord>, FoldStoreError> {
        self.read(|connection| {
            let sql = format!("select {LISTED} from records where vendor = ?1 and outcome = ?2 and off > ?3 and outcome in ('refused', 'waiting') order by off limit ?4");
            let after = after.map_or(-1, |offset| offset as i64);
            let rows = connection
                .prepare_cached(&sql)?
                .query_map(params![vendor.0 as i64, outcome, after, limit as i64], listed)?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    fn outcome_counts(&self, vendor: VendorId, mode: Mode) -> Result<OutcomeCounts, FoldStoreError> {
        self.read(|connection| {
            let rows: Vec<(String, i64)> = connection
                .prepare_cached("select outcome, sum(records) from outcome_counts where vendor = ?1 and livemode in (?2, 2) group by outcome")?
                .query_map(params![vendor.0 as i64, mode.as_u8()], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            Ok(rows.into_iter().filter(|(_, count)| *count != 0).map(|(outcome, count)| (outcome, count as u64)).collect())
        })
    }

    fn tally(&self) -> Result<Tally, FoldStoreError> {
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let records = snapshot
                .prepare_cached("select part, next_off + (cursor is not null) from positions order by part")?
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?
                .collect::<Result<_, _>>()?;
            let outcomes = snapshot
                .prepare_cached("select vendor, outcome, sum(records) from outcome_counts group by vendor, outcome")?
                .query_map([], |row| Ok((VendorId(row.get::<_, i64>(0)? as u64), row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            Ok(Tally { records, outcomes })
        })
    }

    fn open_summary(&self) -> Result<Vec<OpenSummary>, FoldStoreError> {
        self.read(|connection| {
            let summary = connection
                .prepare_cached(
                    "select outcome, substr(reason, 1, instr(reason || ':', ':') - 1) as first, count(*), min(at) from records
                     where outcome in ('refused', 'waiting') group by outcome, first limit 1000",
                )?
                .query_map([], |row| {
                    Ok(OpenSummary {
                        outcome: row.get(0)?,
                        reason: row.get(1)?,
                        records: row.get::<_, i64>(2)? as u64,
                        oldest: Timestamp(row.get(3)?),
                    })
                })?
                .collect::<Result<_, _>>()?;
            Ok(summary)
        })
    }

    fn last_sequences(&self) -> Result<Vec<(VendorId, u64)>, FoldStoreError> {
        self.read(|connection| {
            let rows: Vec<(u64, u64)> = connection
                .prepare_cached("select vendor, max(seq) from decisions group by vendor")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            Ok(rows.into_iter().map(|(vendor, seq)| (VendorId(vendor), seq)).collect())
        })
    }

    fn has_booked(&self) -> Result<bool, FoldStoreError> {
        self.read(|connection| {
            Ok(connection.query_row("select exists (select 1 from purchases)", [], |row| row.get(0))?)
        })
    }

    fn activity(&self, connection: ConnectionId, since: Timestamp) -> Result<Activity, FoldStoreError> {
        self.read(|reader| {
            let rows: Vec<(String, i64, i64)> = reader
                .prepare_cached(
                    "select event_type, max(last_at), sum(case when hour >= ?2 then records else 0 end) from activity where connection = ?1 group by event_type limit 500",
                )?
                .query_map(params![connection.0 as i64, since.0 / HOUR_MS], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            Ok(Activity {
                last_at: rows.iter().map(|(_, at, _)| Timestamp(*at)).max(),
                recent: rows.iter().map(|(_, _, records)| *records as u64).sum(),
                event_types: rows.into_iter().map(|(event_type, _, _)| event_type).collect(),
            })
        })
    }

    fn waiting_since(
        &self,
        partition: u16,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(VendorId, u64)>, FoldStoreError> {
        self.read(|connection| {
            let rows: Vec<(i64, i64)> = connection
                .prepare_cached("select vendor, off from records where outcome = 'waiting' and part = ?1 and at < ?2 order by vendor, off limit ?3")?
                .query_map(params![partition, before.0, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            Ok(rows.into_iter().map(|(vendor, off)| (VendorId(vendor as u64), off as u64)).collect())
        })
    }
}
