//! What the backends have in common: how a commit's rows and a cut of the outbox are made, before and without SQL.

use super::*;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Width of the buckets of `activity`.
pub(super) const HOUR_MS: i64 = 3_600_000;
/// Stands for both modes in `outcome_counts`.
pub(super) const BOTH_MODES: i64 = 2;

/// A stored value as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("stored values have string keys only")
}

/// A stored value read back.
pub(super) fn parse<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, FoldStoreError> {
    serde_json::from_slice(bytes).map_err(|source| FoldStoreError::Unreadable { what, source })
}

/// A 32-byte hash out of a column.
pub(super) fn hash(bytes: Vec<u8>) -> [u8; 32] {
    bytes.try_into().unwrap_or([0; 32])
}

/// The first and the first too large key of a kind in the catalogue: `;` comes after `:`.
pub(super) fn catalogue_range(kind: &str, after: &str) -> (String, String) {
    let first = format!("{kind}:");
    (if after > first.as_str() { after.to_owned() } else { first }, format!("{kind};"))
}

/// What a position's cursor is stored as.
pub(super) fn cursor(position: &Position) -> Option<String> {
    position.fanout.as_ref().map(|fanout| String::from_utf8(json(fanout)).expect("JSON is UTF-8"))
}

/// Deliveries of a commit, without what we asked for, by (connection, hour, event type): how many, and when the last came.
pub(super) fn activity(commit: &Commit) -> BTreeMap<(i64, i64, &str), (i64, i64)> {
    let mut counts: BTreeMap<(i64, i64, &str), (i64, i64)> = BTreeMap::new();
    for row in commit.records.iter().filter(|row| !row.event_id.is_empty() && !row.is_backfill) {
        let key = (row.connection.0 as i64, row.at.0 / HOUR_MS, row.event_type.as_str());
        let count = counts.entry(key).or_default();
        *count = (count.0 + 1, count.1.max(row.at.0));
    }
    counts
}

/// The items of a commit: offset, number within the record, body; and how many the unfinished record has now.
///
/// Items of one record are counted through all its slices, also when the earlier ones were delivered and forgotten:
/// a range of the outbox, and so the token of its insert, never comes twice. `before` is how many items the record at
/// `expected` had already.
pub(super) fn outbox_items(
    expected: &Position,
    next: &Position,
    commit: &Commit,
    before: u32,
) -> (Vec<(u64, u32, Vec<u8>)>, u32) {
    let mut counted: BTreeMap<u64, u32> = BTreeMap::new();
    if expected.fanout.is_some() {
        counted.insert(expected.next_offset, before);
    }
    // Purchase rows travel before the lines of their record, so that X never shows a line
    // whose purchase it does not show.
    let rows = commit.rows.iter().map(|row| (row.src_off, OutboxItem::Row(row.clone())));
    let lines = commit.lines.iter().map(|line| (line.src_off, OutboxItem::Line(line.clone())));
    let mut items = Vec::with_capacity(commit.rows.len() + commit.lines.len());
    for (offset, item) in rows.chain(lines) {
        debug_assert!(offset >= expected.next_offset, "an item is made by a record of its batch");
        let n = counted.entry(offset).or_default();
        items.push((offset, *n, json(&item)));
        *n += 1;
    }
    let unfinished = next.fanout.as_ref().and_then(|_| counted.get(&next.next_offset));
    (items, unfinished.copied().unwrap_or_default())
}

/// Adds a partition's rows to a cut, of which it was allowed `room`.
pub(super) fn add_to_cut(
    batch: &mut OutboxBatch,
    partition: u16,
    (folded, visible): (u64, u64),
    room: usize,
    rows: &[(u64, u32, Vec<u8>)],
) -> Result<(), FoldStoreError> {
    let place = |(offset, n, _): &(u64, u32, Vec<u8>)| (*offset, *n);
    let (first, last) = (rows.first().map(place), rows.last().map(place));
    for (_, _, body) in rows {
        batch.items.push(parse("outbox", body)?);
    }
    let reached = match last {
        // The last record may have more items: it is visible only with the next batch.
        Some((offset, _)) if rows.len() == room => offset,
        _ => folded,
    };
    batch.ranges.push(OutboxRange { partition, first, last, visible: reached.max(visible) });
    Ok(())
}
