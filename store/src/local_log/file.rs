//! The log's file: its tables, the checksum, reading.

use super::Damage;
use crate::event_log::{LogError, StoredRecord};
use crate::sqlite::Migration;
use domain::ids::PARTITIONS;
use rusqlite::{Connection, OptionalExtension};

/// Records of about 1 KiB fill an 8 KiB page well.
pub(super) const PAGE_BYTES: u32 = 8192;
/// Offsets of a partition are below 2^48; the partition is above it in the row id.
const OFFSET_BITS: u32 = 48;

/// The schema. A row id that holds partition and offset keeps each partition's records
/// together and whole on their page: twice as fast as a key of two columns, which pushes
/// bodies of 1 KiB onto pages of their own.
pub(super) const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    name: "0001_records",
    sql: "
        create table records (
          id integer primary key,
          crc integer not null,
          body blob not null,
          part integer generated always as (id >> 48) virtual,
          off integer generated always as (id & 281474976710655) virtual
        ) strict;
        create table ends (part integer primary key, next_off integer not null) strict;
    ",
}];

/// The row id of a record.
pub(super) fn row_id(partition: u16, offset: u64) -> Result<i64, LogError> {
    if offset >> OFFSET_BITS != 0 {
        return Err(LogError::Failed(anyhow::anyhow!("offset {offset} is beyond the last one possible")));
    }
    Ok((i64::from(partition) << OFFSET_BITS) | offset as i64)
}

/// The checksum of a record: over where it is and what it is, so that a record in another
/// one's place is noticed as well.
pub(super) fn checksum(partition: u16, offset: u64, body: &[u8]) -> u32 {
    let mut place = [0; 10];
    place[..2].copy_from_slice(&partition.to_be_bytes());
    place[2..].copy_from_slice(&offset.to_be_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), body)
}

/// The next offset of every partition.
pub(super) fn ends(connection: &Connection) -> rusqlite::Result<[u64; PARTITIONS as usize]> {
    let mut ends = [0; PARTITIONS as usize];
    let mut statement = connection.prepare_cached("select part, next_off from ends")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let partition: usize = row.get(0)?;
        if let Some(end) = ends.get_mut(partition) {
            *end = row.get(1)?;
        }
    }
    Ok(ends)
}

fn end_of(connection: &Connection, partition: u16) -> rusqlite::Result<u64> {
    let end: Option<u64> = connection
        .prepare_cached("select next_off from ends where part = ?1")?
        .query_row([partition], |row| row.get(0))
        .optional()?;
    Ok(end.unwrap_or(0))
}

/// First and one-past-last offset. Nothing is ever removed, so the first is 0.
pub(super) fn bounds(connection: &Connection, partition: u16) -> Result<(u64, u64), LogError> {
    Ok((0, end_of(connection, partition).map_err(|error| unreadable(partition, 0, error))?))
}

/// Records in order up to the first damaged one; that one's own read is an error.
pub(super) fn read(
    connection: &Connection,
    partition: u16,
    offset: u64,
    max_records: usize,
    max_bytes: usize,
) -> Result<Vec<StoredRecord>, LogError> {
    let end = end_of(connection, partition).map_err(|error| unreadable(partition, offset, error))?;
    let mut records = Vec::new();
    if offset > end {
        return Err(LogError::OutOfRange { partition, offset, start: 0, end });
    }
    if offset == end || max_records == 0 {
        return Ok(records);
    }
    let mut bytes = 0;
    let stopped = walk(connection, partition, offset, end, |offset, body| {
        if records.len() == max_records || (bytes + body.len() > max_bytes && !records.is_empty()) {
            return false;
        }
        bytes += body.len();
        records.push(StoredRecord { offset, bytes: body.to_vec() });
        true
    });
    match stopped {
        Err(error) if records.is_empty() => Err(error),
        _ => Ok(records),
    }
}

/// The first damaged record from `offset` on, and how far was looked.
pub(super) fn find_damage(
    connection: &Connection,
    partition: u16,
    offset: u64,
    max_records: usize,
) -> Result<(Option<Damage>, u64), LogError> {
    let end = end_of(connection, partition).map_err(|error| unreadable(partition, offset, error))?;
    let mut next = offset;
    let stop = offset.saturating_add(max_records as u64).min(end);
    let walked = walk(connection, partition, offset, stop, |offset, _| {
        next = offset + 1;
        true
    });
    match walked {
        Ok(()) => Ok((None, next)),
        Err(LogError::Damaged { partition, offset, reason }) => Ok((Some(Damage { partition, offset, reason }), next)),
        Err(other) => Err(other),
    }
}

/// Hands every record in `offset..end` over until `take` says no. A record that is missing,
/// or whose checksum does not fit, ends it.
fn walk(
    connection: &Connection,
    partition: u16,
    offset: u64,
    end: u64,
    mut take: impl FnMut(u64, &[u8]) -> bool,
) -> Result<(), LogError> {
    let mut expected = offset;
    let failed = |expected, error| unreadable(partition, expected, error);
    let (first, last) = (row_id(partition, offset)?, row_id(partition, end.max(1) - 1)?);
    let mut statement = connection
        .prepare_cached("select id, crc, body from records where id between ?1 and ?2 order by id")
        .map_err(|error| failed(expected, error))?;
    let mut rows = statement.query([first, last]).map_err(|error| failed(expected, error))?;
    while expected < end {
        let Some(row) = rows.next().map_err(|error| failed(expected, error))? else {
            return Err(damaged(partition, expected, "it is missing"));
        };
        let read_row = || -> rusqlite::Result<(i64, i64, &[u8])> {
            let body = row.get_ref(2)?.as_blob().map_err(|_| rusqlite::Error::InvalidQuery)?;
            Ok((row.get(0)?, row.get(1)?, body))
        };
        let (id, crc, body) = read_row().map_err(|error| failed(expected, error))?;
        if id != row_id(partition, expected)? {
            return Err(damaged(partition, expected, "it is missing"));
        }
        if crc != i64::from(checksum(partition, expected, body)) {
            return Err(damaged(partition, expected, "its checksum does not fit its bytes"));
        }
        if !take(expected, body) {
            return Ok(());
        }
        expected += 1;
    }
    Ok(())
}

fn damaged(partition: u16, offset: u64, reason: &str) -> LogError {
    LogError::Damaged { partition, offset, reason: reason.to_owned() }
}

/// What SQLite itself cannot read is damage of the record that was asked for.
fn unreadable(partition: u16, offset: u64, error: rusqlite::Error) -> LogError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase | TypeMismatch) => {
            damaged(partition, offset, &format!("the file cannot be read there: {error}"))
        }
        _ => LogError::Failed(error.into()),
    }
}
