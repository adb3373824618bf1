//! The one transaction that moves a position, and the outbox behind it.

use super::prepare::{activity, add_to_cut, cursor, json, outbox_items};
use super::sqlite::{read_position, stored_key};
use super::sqlite_sent::note_delivery;
use super::*;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn commit(
    connection: &mut Connection,
    partition: u16,
    expected: &Position,
    next: &Position,
    commit: &Commit,
) -> Result<(), FoldStoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = read_position(&transaction, partition)?;
    if &found != expected {
        return Err(FoldStoreError::Conflict { partition, expected: expected.next_offset, found: found.next_offset });
    }
    write_stories(&transaction, commit)?;
    write_knowledge(&transaction, commit)?;
    write_records(&transaction, partition, commit)?;
    write_activity(&transaction, commit)?;
    write_questions(&transaction, commit)?;
    sqlite_spikes::write(&transaction, partition, &commit.spikes)?;
    let items = write_outbox(&transaction, partition, expected, next, commit)?;
    write_position(&transaction, partition, next, items)?;
    transaction.commit()?;
    Ok(())
}

fn write_position(
    transaction: &Transaction<'_>,
    partition: u16,
    next: &Position,
    items: u32,
) -> Result<(), FoldStoreError> {
    transaction
        .prepare_cached(
            "insert into positions (part, next_off, cursor, next_ord, made, chain, last_hash, revision, items, visible_off, visible_at)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0)
             on conflict (part) do update set next_off = ?2, cursor = ?3, next_ord = ?4, made = ?5, chain = ?6, last_hash = ?7,
                 revision = ?8, items = ?9",
        )?
        .execute(params![
            partition,
            next.next_offset as i64,
            cursor(next),
            next.counters.next_ord,
            next.counters.made as i64,
            next.chain.as_slice(),
            next.last_hash.as_slice(),
            next.revision,
            items
        ])?;
    Ok(())
}

fn write_stories(transaction: &Transaction<'_>, commit: &Commit) -> Result<(), FoldStoreError> {
    // Not `insert or replace`: that writes the index anew for every story that was there.
    let mut put = transaction.prepare_cached(
        "insert into stories (key, vendor, body) values (?1, ?2, ?3) on conflict (key) do update set vendor = ?2, body = ?3",
    )?;
    let mut delete = transaction.prepare_cached("delete from stories where key = ?1")?;
    for (id, story) in &commit.stories {
        match story {
            Some(story) => put.execute(params![stored_key(id.0), story.scope.vendor.0 as i64, json(story.as_ref())])?,
            None => delete.execute([stored_key(id.0)])?,
        };
    }
    let mut alias = transaction.prepare_cached(
        "insert or replace into aliases (connection, livemode, alias, story) values (?1, ?2, ?3, ?4)",
    )?;
    for (scope, name, story) in &commit.aliases {
        alias.execute(params![scope.connection.0 as i64, scope.mode.as_u8(), name.0, story.0 as i64])?;
    }
    write_refs(transaction, &commit.refs)?;
    let mut purchase = transaction.prepare_cached(
        "insert into purchases (key, story) values (?1, ?2) on conflict (key) do update set story = ?2 where story <> ?2",
    )?;
    for (id, story) in &commit.purchases {
        purchase.execute(params![stored_key(id.0), story.0 as i64])?;
    }
    Ok(())
}

/// Most stories of a batch share their index keys, so one statement adds all stories of a key.
fn write_refs(transaction: &Transaction<'_>, refs: &[(VendorId, String, StoryId, bool)]) -> Result<(), FoldStoreError> {
    let mut add = transaction.prepare_cached(
        "insert or ignore into story_refs (vendor, ref, story) select ?1, ?2, value from json_each(?3)",
    )?;
    let mut remove =
        transaction.prepare_cached("delete from story_refs where vendor = ?1 and ref = ?2 and story = ?3")?;
    for group in refs.chunk_by(|(vendor, key, _, added), next| (vendor, key, *added) == (&next.0, &next.1, next.3)) {
        let (vendor, key, _, added) = &group[0];
        if *added {
            let stories: Vec<u64> = group.iter().map(|(_, _, story, _)| story.0).collect();
            let list = serde_json::to_string(&stories).expect("a list of numbers");
            add.execute(params![vendor.0 as i64, key, list])?;
            continue;
        }
        for (_, _, story, _) in group {
            remove.execute(params![vendor.0 as i64, key, story.0 as i64])?;
        }
    }
    Ok(())
}

fn write_knowledge(transaction: &Transaction<'_>, commit: &Commit) -> Result<(), FoldStoreError> {
    let mut entry = transaction
        .prepare_cached("insert or replace into catalogue (connection, livemode, key, body) values (?1, ?2, ?3, ?4)")?;
    for (scope, key, value) in &commit.catalogue {
        entry.execute(params![scope.connection.0 as i64, scope.mode.as_u8(), key, json(value)])?;
    }
    let mut put = transaction.prepare_cached(
        "insert or replace into answers (connection, livemode, request, body) values (?1, ?2, ?3, ?4)",
    )?;
    for (scope, value) in &commit.answers {
        put.execute(params![scope.connection.0 as i64, scope.mode.as_u8(), value.request, json(value)])?;
    }
    let mut decision =
        transaction.prepare_cached("insert into decisions (vendor, seq, off, at, body) values (?1, ?2, ?3, ?4, ?5)")?;
    for (vendor, seq, offset, at, value) in &commit.decisions {
        decision.execute(params![vendor.0 as i64, *seq as i64, *offset as i64, at.0, json(value)])?;
    }
    Ok(())
}

fn write_records(transaction: &Transaction<'_>, partition: u16, commit: &Commit) -> Result<(), FoldStoreError> {
    let mut counts: BTreeMap<(i64, u8, String), i64> = BTreeMap::new();
    let mut put = transaction.prepare_cached(
        "insert into records (part, off, vendor, connection, livemode, event_id, event_type, at, outcome, reason, story)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for row in &commit.records {
        let mode = row.mode.map(Mode::as_u8);
        *counts.entry((row.vendor.0 as i64, mode.unwrap_or(2), row.outcome.name().to_owned())).or_default() += 1;
        put.execute(params![
            partition,
            row.offset as i64,
            row.vendor.0 as i64,
            row.connection.0 as i64,
            mode,
            row.event_id,
            row.event_type,
            row.at.0,
            row.outcome.name(),
            row.outcome.reason(),
            row.story.map(|id| id.0 as i64)
        ])?;
    }
    let mut before = transaction
        .prepare_cached("select vendor, coalesce(livemode, 2), outcome from records where part = ?1 and off = ?2")?;
    let mut change =
        transaction.prepare_cached("update records set outcome = ?3, reason = ?4 where part = ?1 and off = ?2")?;
    for (offset, outcome) in &commit.resolved {
        let (vendor, mode, old): (i64, u8, String) =
            before.query_row(params![partition, *offset as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        *counts.entry((vendor, mode, old)).or_default() -= 1;
        *counts.entry((vendor, mode, outcome.name().to_owned())).or_default() += 1;
        change.execute(params![partition, *offset as i64, outcome.name(), outcome.reason()])?;
    }
    let mut count = transaction.prepare_cached(
        "insert into outcome_counts (vendor, livemode, outcome, records) values (?1, ?2, ?3, ?4)
         on conflict (vendor, livemode, outcome) do update set records = records + ?4",
    )?;
    for ((vendor, mode, outcome), difference) in counts {
        count.execute(params![vendor, mode, outcome, difference])?;
    }
    Ok(())
}

fn write_activity(transaction: &Transaction<'_>, commit: &Commit) -> Result<(), FoldStoreError> {
    let mut put = transaction.prepare_cached(
        "insert into activity (connection, hour, event_type, records, last_at) values (?1, ?2, ?3, ?4, ?5)
         on conflict (connection, hour, event_type) do update set records = records + ?4, last_at = max(last_at, ?5)",
    )?;
    for ((connection, hour, event_type), (records, last_at)) in activity(commit) {
        put.execute(params![connection, hour, event_type, records, last_at])?;
    }
    Ok(())
}

fn write_questions(transaction: &Transaction<'_>, commit: &Commit) -> Result<(), FoldStoreError> {
    // Asked once per account and mode, whatever came of it: an answer holds for every story.
    let mut ask = transaction.prepare_cached(
        "insert into questions (vendor, connection, livemode, provider, request, about, state) values (?1, ?2, ?3, ?4, ?5, ?6, 'open')
         on conflict (connection, livemode, request) do nothing",
    )?;
    // Every story of a batch may ask the same.
    let mut asked: BTreeSet<(Scope, &str)> = BTreeSet::new();
    for (scope, provider, question) in &commit.questions {
        if !asked.insert((*scope, &question.request)) {
            continue;
        }
        ask.execute(params![
            scope.vendor.0 as i64,
            scope.connection.0 as i64,
            scope.mode.as_u8(),
            provider.name(),
            question.request,
            question.about
        ])?;
    }
    let mut close = transaction.prepare_cached(
        "update questions set state = 'answered' where connection = ?1 and livemode = ?2 and request = ?3",
    )?;
    for (scope, answer) in &commit.answers {
        close.execute(params![scope.connection.0 as i64, scope.mode.as_u8(), answer.request])?;
    }
    Ok(())
}

/// Queues purchase rows and lines. Returns how many items the unfinished record has.
fn write_outbox(
    transaction: &Transaction<'_>,
    partition: u16,
    expected: &Position,
    next: &Position,
    commit: &Commit,
) -> Result<u32, FoldStoreError> {
    let mut before = 0;
    if expected.fanout.is_some() {
        before = transaction
            .prepare_cached("select items from positions where part = ?1")?
            .query_row([partition], |row| row.get(0))?;
    }
    let mut put = transaction.prepare_cached("insert into outbox (part, off, n, body) values (?1, ?2, ?3, ?4)")?;
    let (items, unfinished) = outbox_items(expected, next, commit, before);
    for (offset, n, body) in items {
        put.execute(params![partition, offset as i64, n, body])?;
    }
    Ok(unfinished)
}

/// Cuts the next batch: items in order, and for each partition how far it is visible when they
/// are in the warehouse.
pub(super) fn outbox(
    connection: &Connection,
    partitions: &BTreeSet<u16>,
    limit: usize,
) -> Result<OutboxBatch, FoldStoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let positions: Vec<(u16, u64, u64)> = snapshot
        .prepare_cached("select part, next_off, visible_off from positions order by part")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut batch = OutboxBatch::default();
    let mut statement =
        snapshot.prepare_cached("select off, n, body from outbox where part = ?1 order by off, n limit ?2")?;
    for (partition, folded, visible) in positions {
        if folded == visible || !partitions.contains(&partition) {
            continue;
        }
        let room = limit.saturating_sub(batch.items.len());
        if room == 0 {
            break;
        }
        let rows: Vec<(u64, u32, Vec<u8>)> = statement
            .query_map(params![partition, room as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        add_to_cut(&mut batch, partition, (folded, visible), room, &rows)?;
    }
    Ok(batch)
}

/// Returns how many items it removed.
pub(super) fn delivered(
    connection: &mut Connection,
    batch: &OutboxBatch,
    at: Timestamp,
) -> Result<usize, FoldStoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut gone = 0;
    for range in &batch.ranges {
        let mut taken = 0;
        if let Some((offset, n)) = range.last {
            taken = transaction
                .prepare_cached("delete from outbox where part = ?1 and (off, n) <= (?2, ?3)")?
                .execute(params![range.partition, offset as i64, n])?;
        }
        gone += taken;
        note_delivery(&transaction, batch, range, taken, at)?;
        // Never beyond what is folded: in an older copy of the store that is less than when the batch was cut, and
        // what is folded once more would wait below it unseen.
        transaction
            .prepare_cached(
                "update positions set visible_off = max(visible_off, min(?2, next_off)), visible_at = ?3 where part = ?1",
            )?
            .execute(params![range.partition, range.visible as i64, at.0])?;
    }
    transaction.commit()?;
    Ok(gone)
}
