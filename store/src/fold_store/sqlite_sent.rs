//! The ranges that were sent, in SQLite.

use super::sent::{MOST_SENT_RANGES, SentRange, SentSums, merged, note, taken};
use super::*;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

const COLUMNS: &str = "from_off, to_off, at, lines, rows, redemptions, conversions, gross, net, commission";

fn range(row: &Row<'_>) -> rusqlite::Result<SentRange> {
    let sum = |column: usize| -> rusqlite::Result<i128> {
        let text: String = row.get(column)?;
        text.parse().map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
        })
    };
    Ok(SentRange {
        from: row.get(0)?,
        to: row.get(1)?,
        at: Timestamp(row.get(2)?),
        sums: SentSums {
            lines: row.get(3)?,
            rows: row.get(4)?,
            redemptions: sum(5)?,
            conversions: sum(6)?,
            gross: sum(7)?,
            net: sum(8)?,
            commission: sum(9)?,
        },
    })
}

/// All ranges of a partition, oldest first.
pub(super) fn sent(connection: &Connection, partition: u16) -> Result<Vec<SentRange>, FoldStoreError> {
    let sql = format!("select {COLUMNS} from sent_ranges where part = ?1 order by from_off");
    let ranges = connection.prepare_cached(&sql)?.query_map([partition], range)?.collect::<Result<_, _>>()?;
    Ok(ranges)
}

/// Notes what a delivery took out of the outbox, before what is visible moves.
pub(super) fn note_delivery(
    transaction: &Transaction<'_>,
    batch: &OutboxBatch,
    delivered: &OutboxRange,
    gone: usize,
    at: Timestamp,
) -> Result<(), FoldStoreError> {
    let partition = delivered.partition;
    let before: Option<u64> = transaction
        .prepare_cached("select visible_off from positions where part = ?1")?
        .query_row([partition], |row| row.get(0))
        .optional()?;
    let before = before.unwrap_or_default();
    let sql = format!("select {COLUMNS} from sent_ranges where part = ?1 order by from_off desc limit 1");
    let newest = transaction.prepare_cached(&sql)?.query_row([partition], range).optional()?;
    let items = taken(batch, delivered, gone);
    for range in note(newest, (before, before.max(delivered.visible)), &items, at) {
        put(transaction, partition, &range)?;
    }
    merge_older(transaction, partition)
}

fn put(transaction: &Transaction<'_>, partition: u16, range: &SentRange) -> Result<(), FoldStoreError> {
    let sums = &range.sums;
    let sql = format!(
        "insert or replace into sent_ranges (part, {COLUMNS}) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
    );
    transaction.prepare_cached(&sql)?.execute(params![
        partition,
        range.from as i64,
        range.to as i64,
        range.at.0,
        sums.lines as i64,
        sums.rows as i64,
        sums.redemptions.to_string(),
        sums.conversions.to_string(),
        sums.gross.to_string(),
        sums.net.to_string(),
        sums.commission.to_string()
    ])?;
    Ok(())
}

fn merge_older(transaction: &Transaction<'_>, partition: u16) -> Result<(), FoldStoreError> {
    let ranges: usize = transaction
        .prepare_cached("select count(*) from sent_ranges where part = ?1")?
        .query_row([partition], |row| row.get(0))?;
    if ranges <= MOST_SENT_RANGES {
        return Ok(());
    }
    let mut older = sent(transaction, partition)?;
    let newer = older.split_off(MOST_SENT_RANGES / 2);
    let Some(first) = newer.first() else { return Ok(()) };
    transaction
        .prepare_cached("delete from sent_ranges where part = ?1 and from_off < ?2")?
        .execute(params![partition, first.from as i64])?;
    merged(&older).iter().try_for_each(|range| put(transaction, partition, range))
}

/// Up to where a partition may be shown; nothing if it is not held.
pub(super) fn held(connection: &Connection, partition: u16) -> Result<Option<Visible>, FoldStoreError> {
    let held = connection
        .prepare_cached("select next_off, at from held where part = ?1")?
        .query_row([partition], |row| Ok(Visible { next_offset: row.get(0)?, at: Timestamp(row.get(1)?) }))
        .optional()?;
    Ok(held)
}

/// Notes up to where a partition may be shown.
pub(super) fn hold(connection: &Connection, partition: u16, upto: Option<Visible>) -> Result<(), FoldStoreError> {
    match upto {
        Some(upto) => connection
            .prepare_cached("insert or replace into held (part, next_off, at) values (?1, ?2, ?3)")?
            .execute(params![partition, upto.next_offset as i64, upto.at.0])?,
        None => connection.prepare_cached("delete from held where part = ?1")?.execute([partition])?,
    };
    Ok(())
}
