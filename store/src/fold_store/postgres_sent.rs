//! The ranges that were sent, in Postgres.

use super::postgres_store::read;
use super::sent::{MOST_SENT_RANGES, SentRange, SentSums, merged, note, taken};
use super::*;
use crate::postgres::{PostgresConnection, PostgresError};
use ::postgres::Row;

const COLUMNS: &str = "from_off, to_off, at, lines, rows, redemptions, conversions, gross, net, commission";

fn range(row: &Row) -> Result<SentRange, FoldStoreError> {
    let number = |column| -> Result<u64, PostgresError> { Ok(read::<i64>(row, column)? as u64) };
    let sum = |column| -> Result<i128, FoldStoreError> {
        let text: String = read(row, column)?;
        text.parse().map_err(|error: std::num::ParseIntError| FoldStoreError::Unreadable {
            what: "sent_ranges",
            source: serde::de::Error::custom(error),
        })
    };
    Ok(SentRange {
        from: number(0)?,
        to: number(1)?,
        at: Timestamp(read(row, 2)?),
        sums: SentSums {
            lines: number(3)?,
            rows: number(4)?,
            redemptions: sum(5)?,
            conversions: sum(6)?,
            gross: sum(7)?,
            net: sum(8)?,
            commission: sum(9)?,
        },
    })
}

/// All ranges of a partition, oldest first.
pub(super) fn sent(connection: &mut PostgresConnection, partition: u16) -> Result<Vec<SentRange>, FoldStoreError> {
    let sql = format!("select {COLUMNS} from sent_ranges where part = $1 order by from_off");
    connection.query(&sql, &[&i64::from(partition)])?.iter().map(range).collect()
}

/// What is visible, locked until the end of the transaction: of two that deliver at once, one waits here.
pub(super) fn locked_visible(connection: &mut PostgresConnection, partition: u16) -> Result<u64, FoldStoreError> {
    let partition = i64::from(partition);
    let sql = "select next_off from visible where part = $1 for update";
    if let Some(row) = connection.query_optional(sql, &[&partition])? {
        return Ok(read::<i64>(&row, 0)? as u64);
    }
    let begin = "insert into visible (part, next_off, at, sent) values ($1, 0, 0, 0) on conflict (part) do nothing";
    connection.execute(begin, &[&partition])?;
    Ok(read::<i64>(&connection.query_one(sql, &[&partition])?, 0)? as u64)
}

/// Notes what a delivery took out of the outbox. `before` is what was visible before it.
pub(super) fn note_delivery(
    connection: &mut PostgresConnection,
    batch: &OutboxBatch,
    delivered: &OutboxRange,
    gone: usize,
    before: u64,
    at: Timestamp,
) -> Result<(), FoldStoreError> {
    let partition = delivered.partition;
    let sql = format!("select {COLUMNS} from sent_ranges where part = $1 order by from_off desc limit 1");
    let newest = connection.query_optional(&sql, &[&i64::from(partition)])?;
    let newest = newest.as_ref().map(range).transpose()?;
    let items = taken(batch, delivered, gone);
    let written = note(newest, (before, before.max(delivered.visible)), &items, at);
    if written.is_empty() {
        return Ok(());
    }
    put(connection, partition, &written)?;
    merge_older(connection, partition)
}

fn put(connection: &mut PostgresConnection, partition: u16, ranges: &[SentRange]) -> Result<(), FoldStoreError> {
    let numbers = |pick: fn(&SentRange) -> i64| -> Vec<i64> { ranges.iter().map(pick).collect() };
    let texts =
        |pick: fn(&SentRange) -> i128| -> Vec<String> { ranges.iter().map(|one| pick(one).to_string()).collect() };
    connection.execute(
        "insert into sent_ranges (part, from_off, to_off, at, lines, rows, redemptions, conversions, gross, net, commission)
         select $1, * from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
                                  $9::text[], $10::text[], $11::text[])
         on conflict (part, from_off) do update
         set to_off = excluded.to_off, at = excluded.at, lines = excluded.lines, rows = excluded.rows,
             redemptions = excluded.redemptions, conversions = excluded.conversions, gross = excluded.gross,
             net = excluded.net, commission = excluded.commission",
        &[
            &i64::from(partition),
            &numbers(|one| one.from as i64),
            &numbers(|one| one.to as i64),
            &numbers(|one| one.at.0),
            &numbers(|one| one.sums.lines as i64),
            &numbers(|one| one.sums.rows as i64),
            &texts(|one| one.sums.redemptions),
            &texts(|one| one.sums.conversions),
            &texts(|one| one.sums.gross),
            &texts(|one| one.sums.net),
            &texts(|one| one.sums.commission),
        ],
    )?;
    Ok(())
}

fn merge_older(connection: &mut PostgresConnection, partition: u16) -> Result<(), FoldStoreError> {
    let count = connection.query_one("select count(*) from sent_ranges where part = $1", &[&i64::from(partition)])?;
    if read::<i64>(&count, 0)? as usize <= MOST_SENT_RANGES {
        return Ok(());
    }
    let mut older = sent(connection, partition)?;
    let newer = older.split_off(MOST_SENT_RANGES / 2);
    let Some(first) = newer.first() else { return Ok(()) };
    let below = "delete from sent_ranges where part = $1 and from_off < $2";
    connection.execute(below, &[&i64::from(partition), &(first.from as i64)])?;
    put(connection, partition, &merged(&older))
}

/// Up to where a partition may be shown; nothing if it is not held.
pub(super) fn held(connection: &mut PostgresConnection, partition: u16) -> Result<Option<Visible>, FoldStoreError> {
    let row = connection.query_optional("select next_off, at from held where part = $1", &[&i64::from(partition)])?;
    row.map(|row| Ok(Visible { next_offset: read::<i64>(&row, 0)? as u64, at: Timestamp(read(&row, 1)?) })).transpose()
}

/// Notes up to where a partition may be shown.
pub(super) fn hold(
    connection: &mut PostgresConnection,
    partition: u16,
    upto: Option<Visible>,
) -> Result<(), FoldStoreError> {
    let partition = i64::from(partition);
    match upto {
        Some(upto) => connection.execute(
            "insert into held (part, next_off, at) values ($1, $2, $3)
             on conflict (part) do update set next_off = excluded.next_off, at = excluded.at",
            &[&partition, &(upto.next_offset as i64), &upto.at.0],
        )?,
        None => connection.execute("delete from held where part = $1", &[&partition])?,
    };
    Ok(())
}
