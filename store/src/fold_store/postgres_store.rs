//! The fold store on Postgres.

use super::postgres_columns::{mode_number, stored};
use super::prepare::{HOUR_MS, parse};
use super::*;
use super::{postgres_commit, postgres_read, postgres_sent};
use crate::postgres::{Migration, PostgresError, PostgresPool, check, migrate};

/// The steps of its schema.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "0001_fold_store",
        sql: include_str!("../../../schemas/migrations/postgres/fold/0001_fold_store.sql"),
        oldest_reader: 1,
    },
    Migration {
        version: 2,
        name: "0002_sent_ranges",
        sql: include_str!("../../../schemas/migrations/postgres/fold/0002_sent_ranges.sql"),
        oldest_reader: 1,
    },
    Migration {
        version: 3,
        name: "0003_held",
        sql: include_str!("../../../schemas/migrations/postgres/fold/0003_held.sql"),
        oldest_reader: 1,
    },
    Migration {
        version: 4,
        name: "0004_spikes",
        sql: include_str!("../../../schemas/migrations/postgres/fold/0004_spikes.sql"),
        oldest_reader: 1,
    },
];

/// A fold store that several processes share: for each partition the one writes that moves its position.
///
/// A commit is on disk when it returns (`synchronous_commit = on`), because the sink may have sent its lines.
pub struct PostgresFoldStore {
    pub(super) pool: Arc<PostgresPool>,
}

impl PostgresFoldStore {
    /// Brings the schema of the pool up to date and opens it.
    pub fn open(pool: Arc<PostgresPool>) -> Result<PostgresFoldStore, FoldStoreError> {
        migrate(&pool, MIGRATIONS)?;
        Ok(PostgresFoldStore { pool })
    }

    /// Opens it without changing its schema, and refuses one that lacks a step.
    pub fn attach(pool: Arc<PostgresPool>) -> Result<PostgresFoldStore, FoldStoreError> {
        check(&pool, MIGRATIONS)?;
        Ok(PostgresFoldStore { pool })
    }

    /// As a release that knows these steps only, for tests of an upgrade.
    #[cfg(test)]
    pub(super) fn attach_knowing(
        pool: Arc<PostgresPool>,
        steps: &[Migration],
    ) -> Result<PostgresFoldStore, FoldStoreError> {
        check(&pool, steps)?;
        Ok(PostgresFoldStore { pool })
    }

    /// Its connections, for tests that look behind the port.
    #[cfg(test)]
    pub(super) fn pool(&self) -> &PostgresPool {
        &self.pool
    }
}

impl FoldStore for PostgresFoldStore {
    fn position(&self, partition: u16) -> Result<Position, FoldStoreError> {
        self.pool.run(|connection| Ok(postgres_read::position(connection, partition)?.unwrap_or_else(Position::start)))
    }

    fn visible(&self, partition: u16) -> Result<Visible, FoldStoreError> {
        self.pool.run(|connection| {
            let sql = "select next_off, at from visible where part = $1";
            let Some(row) = connection.query_optional(sql, &[&i64::from(partition)])? else {
                return Ok(Visible::default());
            };
            Ok(Visible { next_offset: read::<i64>(&row, 0)? as u64, at: Timestamp(read(&row, 1)?) })
        })
    }

    fn held(&self, partition: u16) -> Result<Option<Visible>, FoldStoreError> {
        self.pool.run(|connection| postgres_sent::held(connection, partition))
    }

    fn hold(&self, partition: u16, upto: Option<Visible>) -> Result<(), FoldStoreError> {
        self.pool.transaction(|connection| postgres_sent::hold(connection, partition, upto))
    }

    fn stories_of(&self, names: &[(Scope, Alias)]) -> Result<Vec<Option<StoryId>>, FoldStoreError> {
        self.pool.run(|connection| postgres_read::stories_of(connection, names))
    }

    fn stories(&self, ids: &[StoryId]) -> Result<Vec<Option<Story>>, FoldStoreError> {
        let found = self.pool.run(|connection| postgres_read::bodies_of(connection, ids))?;
        ids.iter().map(|id| found.get(id).map(|body| parse("stories", body)).transpose()).collect()
    }

    fn stories_with_ref(
        &self,
        vendor: VendorId,
        key: Option<&str>,
        after: StoryId,
        limit: usize,
    ) -> Result<Vec<StoryId>, FoldStoreError> {
        let (number, after, limit) = (vendor.0 as i64, after.0 as i64, limit as i64);
        self.pool.vendor_snapshot(vendor, |connection| {
            let rows = match key.map(stored) {
                Some(key) => connection.query(
                    "select story from story_refs where vendor = $1 and ref = $2 and story > $3 order by story limit $4",
                    &[&number, &key, &after, &limit],
                )?,
                None => connection.query(
                    "select id from stories where vendor = $1 and id > $2 order by id limit $3",
                    &[&number, &after, &limit],
                )?,
            };
            rows.iter().map(|row| Ok(StoryId(read::<i64>(row, 0)? as u64))).collect()
        })
    }

    fn catalogue_entry(&self, scope: Scope, key: &str) -> Result<Option<CatalogueEntry>, FoldStoreError> {
        let sql = "select body from catalogue where connection = $1 and livemode = $2 and key = $3";
        let body = self.pool.run(|connection| postgres_read::body(connection, sql, scope, key))?;
        body.map(|body| parse("catalogue", &body)).transpose()
    }

    fn catalogue_page(
        &self,
        scope: Scope,
        kind: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, CatalogueEntry)>, FoldStoreError> {
        let rows = self.pool.run(|connection| postgres_read::catalogue(connection, scope, (kind, after), limit))?;
        rows.into_iter().map(|(key, body)| Ok((key, parse("catalogue", &body)?))).collect()
    }

    fn answer(&self, scope: Scope, request: &str) -> Result<Option<Answer>, FoldStoreError> {
        let sql = "select body from answers where connection = $1 and livemode = $2 and request = $3";
        let body = self.pool.run(|connection| postgres_read::body(connection, sql, scope, request))?;
        body.map(|body| parse("answers", &body)).transpose()
    }

    fn decisions(&self, vendors: &[VendorId]) -> Result<Vec<Vec<(u64, Decision)>>, FoldStoreError> {
        match vendors {
            [] => Ok(Vec::new()),
            [one] => self.pool.vendor_snapshot(*one, |connection| postgres_read::decisions(connection, vendors)),
            _ => self.pool.snapshot(|connection| postgres_read::decisions(connection, vendors)),
        }
    }

    fn commit(
        &self,
        partition: u16,
        expected: &Position,
        next: &Position,
        commit: &Commit,
    ) -> Result<(), FoldStoreError> {
        self.pool.transaction(|connection| postgres_commit::commit(connection, partition, expected, next, commit))
    }

    fn outbox(&self, partitions: &BTreeSet<u16>, limit: usize) -> Result<OutboxBatch, FoldStoreError> {
        self.pool.snapshot(|connection| postgres_commit::outbox(connection, partitions, limit))
    }

    fn delivered(&self, batch: &OutboxBatch, at: Timestamp) -> Result<(), FoldStoreError> {
        self.pool.transaction(|connection| postgres_commit::delivered(connection, batch, at))
    }

    fn sent(&self, partition: u16) -> Result<Vec<SentRange>, FoldStoreError> {
        self.pool.run(|connection| postgres_sent::sent(connection, partition))
    }

    fn outbox_len(&self) -> Result<u64, FoldStoreError> {
        // Counted as it changes: the worker asks before every batch, and after an outage there are millions.
        let sql = "select coalesce(sum(p.queued - coalesce(v.sent, 0)), 0)::bigint
                   from positions p left join visible v on v.part = p.part";
        self.pool.run(|connection| Ok(read::<i64>(&connection.query_one(sql, &[])?, 0)? as u64))
    }

    fn open_questions(&self, after: u64, limit: usize) -> Result<Vec<OpenQuestion>, FoldStoreError> {
        self.pool.run(|connection| postgres_read::open_questions(connection, after, limit))
    }

    fn open_question_count(&self, vendor: VendorId) -> Result<u64, FoldStoreError> {
        let sql = "select count(*) from questions where state = 'open' and vendor = $1";
        self.pool.vendor_snapshot(vendor, |connection| {
            Ok(read::<i64>(&connection.query_one(sql, &[&(vendor.0 as i64)])?, 0)? as u64)
        })
    }

    fn story_of_purchase(&self, purchases: &[PurchaseId]) -> Result<Vec<Option<StoryId>>, FoldStoreError> {
        self.pool.run(|connection| postgres_read::stories_of_purchases(connection, purchases))
    }

    fn records_of_event(&self, vendor: VendorId, event_id: &str) -> Result<Vec<ListedRecord>, FoldStoreError> {
        self.pool.vendor_snapshot(vendor, |connection| {
            let filter = "event_hash = $1 and vendor = $2 and event_hash <> 0 order by off limit 100";
            postgres_read::listed(connection, filter, &[&event_hash(vendor, event_id), &(vendor.0 as i64)])
        })
    }

    fn records(&self, partition: u16, offsets: &[u64]) -> Result<Vec<ListedRecord>, FoldStoreError> {
        let asked: Vec<i64> = offsets.iter().map(|offset| *offset as i64).collect();
        let found = self.pool.run(|connection| {
            postgres_read::listed(connection, "part = $1 and off = any($2)", &[&i64::from(partition), &asked])
        })?;
        // In the order asked, as often as asked.
        let place = |offset: &u64| found.iter().find(|one| one.offset == *offset).cloned();
        Ok(offsets.iter().filter_map(place).collect())
    }

    fn open_records(
        &self,
        vendor: VendorId,
        outcome: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ListedRecord>, FoldStoreError> {
        let after = after.map_or(-1, |offset| offset as i64);
        self.pool.vendor_snapshot(vendor, |connection| {
            let filter = "vendor = $1 and outcome = $2 and off > $3 and outcome in ('refused', 'waiting')
                          order by off limit $4";
            let values: [&(dyn ::postgres::types::ToSql + Sync); 4] =
                [&(vendor.0 as i64), &outcome, &after, &(limit as i64)];
            postgres_read::listed(connection, filter, &values)
        })
    }

    fn outcome_counts(&self, vendor: VendorId, mode: Mode) -> Result<OutcomeCounts, FoldStoreError> {
        let sql = "select outcome, sum(records)::bigint from outcome_counts
                   where vendor = $1 and livemode in ($2, 2) group by outcome having sum(records) <> 0";
        self.pool.vendor_snapshot(vendor, |connection| {
            let rows = connection.query(sql, &[&(vendor.0 as i64), &mode_number(mode)])?;
            rows.iter().map(|row| Ok((read(row, 0)?, read::<i64>(row, 1)? as u64))).collect()
        })
    }

    fn tally(&self) -> Result<Tally, FoldStoreError> {
        self.pool.snapshot(|connection| {
            let records = connection
                .query("select part, next_off + (cursor is not null)::int from positions order by part", &[])?
                .iter()
                .map(|row| Ok((read::<i64>(row, 0)? as u16, read::<i64>(row, 1)? as u64)))
                .collect::<Result<_, PostgresError>>()?;
            let sql = "select vendor, outcome, sum(records)::bigint from outcome_counts group by vendor, outcome";
            let outcomes = connection
                .query(sql, &[])?
                .iter()
                .map(|row| Ok((VendorId(read::<i64>(row, 0)? as u64), read(row, 1)?, read(row, 2)?)))
                .collect::<Result<_, PostgresError>>()?;
            Ok(Tally { records, outcomes })
        })
    }

    fn open_summary(&self) -> Result<Vec<OpenSummary>, FoldStoreError> {
        let sql = "select outcome, split_part(reason, ':', 1) as first, count(*), min(at) from records
                   where outcome in ('refused', 'waiting') group by outcome, first limit 1000";
        self.pool.run(|connection| {
            let summary = |row| {
                Ok(OpenSummary {
                    outcome: read(row, 0)?,
                    reason: read(row, 1)?,
                    records: read::<i64>(row, 2)? as u64,
                    oldest: Timestamp(read(row, 3)?),
                })
            };
            connection.query(sql, &[])?.iter().map(summary).collect()
        })
    }

    fn last_sequences(&self) -> Result<Vec<(VendorId, u64)>, FoldStoreError> {
        self.pool.run(|connection| {
            let rows = connection.query("select vendor, max(seq) from decisions group by vendor", &[])?;
            let pair = |row| Ok((VendorId(read::<i64>(row, 0)? as u64), read::<i64>(row, 1)? as u64));
            rows.iter().map(pair).collect()
        })
    }

    fn has_booked(&self) -> Result<bool, FoldStoreError> {
        let sql = "select exists (select 1 from purchases)";
        self.pool.run(|connection| Ok(read(&connection.query_one(sql, &[])?, 0)?))
    }

    fn activity(&self, connection: ConnectionId, since: Timestamp) -> Result<Activity, FoldStoreError> {
        let hour = since.0 / HOUR_MS;
        self.pool.run(|session| postgres_read::activity(session, connection, hour))
    }

    fn waiting_since(
        &self,
        partition: u16,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(VendorId, u64)>, FoldStoreError> {
        let sql = "select vendor, off from records where outcome = 'waiting' and part = $1 and at < $2
                   order by vendor, off limit $3";
        self.pool.run(|connection| {
            let rows = connection.query(sql, &[&i64::from(partition), &before.0, &(limit as i64)])?;
            let pair = |row| Ok((VendorId(read::<i64>(row, 0)? as u64), read::<i64>(row, 1)? as u64));
            rows.iter().map(pair).collect()
        })
    }
}

/// A column of a row.
pub(super) fn read<'a, T: ::postgres::types::FromSql<'a>>(
    row: &'a ::postgres::Row,
    column: usize,
) -> Result<T, PostgresError> {
    Ok(row.try_get(column)?)
}
