//! The one transaction that moves a position, and the outbox behind it: one statement per table and commit.
//!
//! A statement may touch a row only once, so of several values for one key the last is taken, as if they had been
//! written one after the other. Keys are sorted, which also keeps neighbours on the same pages.

use super::postgres_columns::{mode_number, stored};
use super::postgres_read::locked_position;
use super::postgres_sent::{locked_visible, note_delivery};
use super::postgres_store::read;
use super::prepare::{BOTH_MODES, activity, add_to_cut, cursor, json, outbox_items};
use super::*;
use crate::postgres::{PostgresConnection, PostgresError};
use std::borrow::Cow;
use std::collections::BTreeMap;

type Count<'a> = BTreeMap<(i64, i64, Cow<'a, str>), i64>;

pub(super) fn commit(
    connection: &mut PostgresConnection,
    partition: u16,
    expected: &Position,
    next: &Position,
    commit: &Commit,
) -> Result<(), FoldStoreError> {
    let before = compare(connection, partition, expected)?;
    let (items, unfinished) = outbox_items(expected, next, commit, before);
    move_position(connection, partition, expected, next, unfinished, items.len())?;
    write_stories(connection, commit)?;
    write_names(connection, commit)?;
    write_catalogue(connection, commit)?;
    write_answers(connection, commit)?;
    write_decisions(connection, commit)?;
    let mut counts = write_records(connection, partition, commit)?;
    change_outcomes(connection, partition, commit, &mut counts)?;
    write_counts(connection, &counts)?;
    write_activity(connection, commit)?;
    write_questions(connection, commit)?;
    postgres_spikes::write(connection, partition, &commit.spikes)?;
    write_outbox(connection, partition, &items)?;
    Ok(())
}

/// Locks the position and compares it. A stopped processor that wakes up waits here for the one that took over, and
/// then sees that it was moved. Returns how many items its unfinished record has.
fn compare(connection: &mut PostgresConnection, partition: u16, expected: &Position) -> Result<u32, FoldStoreError> {
    let found = match locked_position(connection, partition)? {
        Some(found) => found,
        None => {
            // Of two that begin a partition one inserts, the other waits for it.
            let start = Position::start();
            connection.execute(
                "insert into positions (part, next_off, cursor, next_ord, made, items, queued, chain, last_hash, revision)
                 values ($1, 0, null, 0, 0, 0, 0, $2, $3, $4) on conflict (part) do nothing",
                &[
                    &i64::from(partition),
                    &start.chain.as_slice(),
                    &start.last_hash.as_slice(),
                    &i64::from(start.revision),
                ],
            )?;
            locked_position(connection, partition)?.unwrap_or((start, 0))
        }
    };
    if &found.0 != expected {
        let found = found.0.next_offset;
        return Err(FoldStoreError::Conflict { partition, expected: expected.next_offset, found });
    }
    Ok(found.1)
}

fn move_position(
    connection: &mut PostgresConnection,
    partition: u16,
    expected: &Position,
    next: &Position,
    unfinished: u32,
    queued: usize,
) -> Result<(), FoldStoreError> {
    let moved = connection.execute(
        "update positions set next_off = $3, cursor = $4, next_ord = $5, made = $6, items = $7, queued = queued + $8,
             chain = $9, last_hash = $10, revision = $11
         where part = $1 and next_off = $2",
        &[
            &i64::from(partition),
            &(expected.next_offset as i64),
            &(next.next_offset as i64),
            &cursor(next),
            &i64::from(next.counters.next_ord),
            &(next.counters.made as i64),
            &i64::from(unfinished),
            &(queued as i64),
            &next.chain.as_slice(),
            &next.last_hash.as_slice(),
            &i64::from(next.revision),
        ],
    )?;
    match moved {
        1 => Ok(()),
        // Cannot happen while the row is locked; without it two would write.
        _ => Err(FoldStoreError::Conflict { partition, expected: expected.next_offset, found: expected.next_offset }),
    }
}

fn write_stories(connection: &mut PostgresConnection, commit: &Commit) -> Result<(), FoldStoreError> {
    let last: BTreeMap<i64, Option<&Arc<Story>>> =
        commit.stories.iter().map(|(id, story)| (id.0 as i64, story.as_ref())).collect();
    let (mut ids, mut vendors, mut bodies, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, story) in last {
        let Some(story) = story else {
            gone.push(id);
            continue;
        };
        ids.push(id);
        vendors.push(story.scope.vendor.0 as i64);
        bodies.push(json(story.as_ref()));
    }
    if !ids.is_empty() {
        connection.execute(
            "insert into stories (id, vendor, body) select * from unnest($1::bigint[], $2::bigint[], $3::bytea[])
             on conflict (id) do update set vendor = excluded.vendor, body = excluded.body",
            &[&ids, &vendors, &bodies],
        )?;
    }
    if !gone.is_empty() {
        connection.execute("delete from stories where id = any($1)", &[&gone])?;
    }
    Ok(())
}

/// What leads to a story: the names of providers' objects, index keys, purchases.
fn write_names(connection: &mut PostgresConnection, commit: &Commit) -> Result<(), FoldStoreError> {
    let aliases: BTreeMap<(i64, i64, Cow<'_, str>), i64> =
        commit.aliases.iter().map(|(scope, name, story)| (scoped(scope, &name.0), story.0 as i64)).collect();
    if !aliases.is_empty() {
        let (accounts, modes, names) = three_columns(aliases.keys());
        let stories: Vec<i64> = aliases.values().copied().collect();
        connection.execute(
            "insert into aliases (connection, livemode, alias, story)
             select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[])
             on conflict (connection, livemode, alias) do update set story = excluded.story",
            &[&accounts, &modes, &names, &stories],
        )?;
    }
    let refs: BTreeMap<(i64, i64, Cow<'_, str>), bool> = commit
        .refs
        .iter()
        .map(|(vendor, key, story, added)| ((vendor.0 as i64, story.0 as i64, stored(key)), *added))
        .collect();
    if refs.values().any(|added| *added) {
        let (vendors, stories, keys) = three_columns(refs.iter().filter(|(_, added)| **added).map(|(key, _)| key));
        connection.execute(
            "insert into story_refs (vendor, story, ref) select * from unnest($1::bigint[], $2::bigint[], $3::text[])
             on conflict do nothing",
            &[&vendors, &stories, &keys],
        )?;
    }
    if refs.values().any(|added| !*added) {
        let (vendors, stories, keys) = three_columns(refs.iter().filter(|(_, added)| !**added).map(|(key, _)| key));
        connection.execute(
            "delete from story_refs r using unnest($1::bigint[], $2::bigint[], $3::text[]) as gone (vendor, story, ref)
             where r.vendor = gone.vendor and r.ref = gone.ref and r.story = gone.story",
            &[&vendors, &stories, &keys],
        )?;
    }
    let purchases: BTreeMap<i64, i64> =
        commit.purchases.iter().map(|(id, story)| (id.0 as i64, story.0 as i64)).collect();
    if !purchases.is_empty() {
        let (ids, stories): (Vec<i64>, Vec<i64>) = purchases.into_iter().unzip();
        connection.execute(
            "insert into purchases (id, story) select * from unnest($1::bigint[], $2::bigint[])
             on conflict (id) do update set story = excluded.story",
            &[&ids, &stories],
        )?;
    }
    Ok(())
}

fn write_catalogue(connection: &mut PostgresConnection, commit: &Commit) -> Result<(), FoldStoreError> {
    let last: BTreeMap<_, _> = commit.catalogue.iter().map(|(scope, key, entry)| (scoped(scope, key), entry)).collect();
    if last.is_empty() {
        return Ok(());
    }
    let (accounts, modes, keys) = three_columns(last.keys());
    let bodies: Vec<Vec<u8>> = last.values().map(json).collect();
    connection.execute(
        "insert into catalogue (connection, livemode, key, body)
         select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[])
         on conflict (connection, livemode, key) do update set body = excluded.body",
        &[&accounts, &modes, &keys, &bodies],
    )?;
    Ok(())
}

fn write_answers(connection: &mut PostgresConnection, commit: &Commit) -> Result<(), FoldStoreError> {
    let last: BTreeMap<_, _> =
        commit.answers.iter().map(|(scope, answer)| (scoped(scope, &answer.request), answer)).collect();
    if last.is_empty() {
        return Ok(());
    }
    let (accounts, modes, requests) = three_columns(last.keys());
    let bodies: Vec<Vec<u8>> = last.values().map(json).collect();
    connection.execute(
        "insert into answers (connection, livemode, request, body)
         select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[])
         on conflict (connection, livemode, request) do update set body = excluded.body",
        &[&accounts, &modes, &requests, &bodies],
    )?;
    Ok(())
}

/// A number that is there already is an error: the fold never applies a decision twice.
fn write_decisions(connection: &mut PostgresConnection, commit: &Commit) -> Result<(), FoldStoreError> {
    if commit.decisions.is_empty() {
        return Ok(());
    }
    let numbers = |pick: fn(&(VendorId, u64, u64, Timestamp, Decision)) -> i64| -> Vec<i64> {
        commit.decisions.iter().map(pick).collect()
    };
    let bodies: Vec<Vec<u8>> = commit.decisions.iter().map(|(.., decision)| json(decision)).collect();
    connection.execute(
        "insert into decisions (vendor, seq, off, at, body)
         select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])",
        &[
            &numbers(|one| one.0.0 as i64),
            &numbers(|one| one.1 as i64),
            &numbers(|one| one.2 as i64),
            &numbers(|one| one.3.0),
            &bodies,
        ],
    )?;
    Ok(())
}

/// Writes the outcomes and returns how many there are of each.
fn write_records<'a>(
    connection: &mut PostgresConnection,
    partition: u16,
    commit: &'a Commit,
) -> Result<Count<'a>, FoldStoreError> {
    let mut counts = Count::new();
    for row in &commit.records {
        let mode = row.mode.map_or(BOTH_MODES, mode_number);
        *counts.entry((row.vendor.0 as i64, mode, Cow::Borrowed(row.outcome.name()))).or_default() += 1;
    }
    if commit.records.is_empty() {
        return Ok(counts);
    }
    let numbers = |pick: fn(&RecordRow) -> i64| -> Vec<i64> { commit.records.iter().map(pick).collect() };
    let modes: Vec<Option<i64>> = commit.records.iter().map(|row| row.mode.map(mode_number)).collect();
    let types: Vec<_> = commit.records.iter().map(|row| stored(&row.event_type)).collect();
    let outcomes: Vec<&str> = commit.records.iter().map(|row| row.outcome.name()).collect();
    let reasons: Vec<_> = commit.records.iter().map(|row| stored(row.outcome.reason())).collect();
    let stories: Vec<Option<i64>> = commit.records.iter().map(|row| row.story.map(|id| id.0 as i64)).collect();
    connection.execute(
        "insert into records (part, off, vendor, connection, livemode, event_hash, event_type, at, outcome, reason, story)
         select $1, * from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
                                  $8::bigint[], $9::text[], $10::text[], $11::bigint[])",
        &[
            &i64::from(partition),
            &numbers(|row| row.offset as i64),
            &numbers(|row| row.vendor.0 as i64),
            &numbers(|row| row.connection.0 as i64),
            &modes,
            &numbers(|row| event_hash(row.vendor, &row.event_id)),
            &types,
            &numbers(|row| row.at.0),
            &outcomes,
            &reasons,
            &stories,
        ],
    )?;
    Ok(counts)
}

/// Earlier records, also of this commit, whose outcome became another.
fn change_outcomes<'a>(
    connection: &mut PostgresConnection,
    partition: u16,
    commit: &'a Commit,
    counts: &mut Count<'a>,
) -> Result<(), FoldStoreError> {
    let mut last: BTreeMap<i64, &Outcome> =
        commit.resolved.iter().map(|(offset, outcome)| (*offset as i64, outcome)).collect();
    if last.is_empty() {
        return Ok(());
    }
    let offsets: Vec<i64> = last.keys().copied().collect();
    let outcomes: Vec<&str> = last.values().map(|outcome| outcome.name()).collect();
    let reasons: Vec<_> = last.values().map(|outcome| stored(outcome.reason())).collect();
    // The rows before the change are joined, so that they can be counted off.
    let changed = connection.query(
        "update records r set outcome = changed.outcome, reason = changed.reason
         from unnest($2::bigint[], $3::text[], $4::text[]) as changed (off, outcome, reason)
         join records old on old.part = $1 and old.off = changed.off
         where r.part = old.part and r.off = old.off
         returning r.off, r.vendor, coalesce(r.livemode, 2), old.outcome",
        &[&i64::from(partition), &offsets, &outcomes, &reasons],
    )?;
    for row in &changed {
        let Some(outcome) = last.remove(&read::<i64>(row, 0)?) else { continue };
        let (vendor, mode, before) = (read(row, 1)?, read(row, 2)?, read::<String>(row, 3)?);
        *counts.entry((vendor, mode, Cow::Owned(before))).or_default() -= 1;
        *counts.entry((vendor, mode, Cow::Borrowed(outcome.name()))).or_default() += 1;
    }
    match last.keys().next() {
        Some(offset) => Err(FoldStoreError::NoOutcome { partition, offset: *offset as u64 }),
        None => Ok(()),
    }
}

fn write_counts(connection: &mut PostgresConnection, counts: &Count<'_>) -> Result<(), FoldStoreError> {
    if counts.is_empty() {
        return Ok(());
    }
    let (vendors, modes, outcomes) = three_columns(counts.keys());
    let differences: Vec<i64> = counts.values().copied().collect();
    connection.execute(
        "insert into outcome_counts (vendor, livemode, outcome, records)
         select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[])
         on conflict (vendor, livemode, outcome) do update set records = outcome_counts.records + excluded.records",
        &[&vendors, &modes, &outcomes, &differences],
    )?;
    Ok(())
}

fn write_activity(connection: &mut PostgresConnection, commit: &Commit) -> Result<(), FoldStoreError> {
    let counts = activity(commit);
    if counts.is_empty() {
        return Ok(());
    }
    let accounts: Vec<i64> = counts.keys().map(|(account, ..)| *account).collect();
    let hours: Vec<i64> = counts.keys().map(|(_, hour, _)| *hour).collect();
    let types: Vec<_> = counts.keys().map(|(.., event_type)| stored(event_type)).collect();
    let (records, last): (Vec<i64>, Vec<i64>) = counts.into_values().unzip();
    connection.execute(
        "insert into activity (connection, hour, event_type, records, last_at)
         select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
         on conflict (connection, hour, event_type) do update
         set records = activity.records + excluded.records, last_at = greatest(activity.last_at, excluded.last_at)",
        &[&accounts, &hours, &types, &records, &last],
    )?;
    Ok(())
}

/// Asks what was never asked, in the order of the commit, and closes what was answered.
fn write_questions(connection: &mut PostgresConnection, commit: &Commit) -> Result<(), FoldStoreError> {
    if !commit.questions.is_empty() {
        let keys: Vec<_> =
            commit.questions.iter().map(|(scope, _, question)| scoped(scope, &question.request)).collect();
        let (accounts, modes, requests) = three_columns(keys.iter());
        let vendors: Vec<i64> = commit.questions.iter().map(|(scope, ..)| scope.vendor.0 as i64).collect();
        let providers: Vec<&str> = commit.questions.iter().map(|(_, provider, _)| provider.name()).collect();
        let about: Vec<_> = commit.questions.iter().map(|(.., question)| stored(question.about)).collect();
        connection.execute(
            "insert into questions (vendor, connection, livemode, provider, request, about, state)
             select vendor, connection, livemode, provider, request, about, 'open'
             from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[]) with ordinality
                 as asked (vendor, connection, livemode, provider, request, about, place)
             order by place
             on conflict (connection, livemode, request) do nothing",
            &[&vendors, &accounts, &modes, &providers, &requests, &about],
        )?;
    }
    if !commit.answers.is_empty() {
        let keys: Vec<_> = commit.answers.iter().map(|(scope, answer)| scoped(scope, &answer.request)).collect();
        let (accounts, modes, requests) = three_columns(keys.iter());
        connection.execute(
            "update questions q set state = 'answered'
             from unnest($1::bigint[], $2::bigint[], $3::text[]) as answered (connection, livemode, request)
             where q.connection = answered.connection and q.livemode = answered.livemode and q.request = answered.request",
            &[&accounts, &modes, &requests],
        )?;
    }
    Ok(())
}

fn write_outbox(
    connection: &mut PostgresConnection,
    partition: u16,
    items: &[(u64, u32, Vec<u8>)],
) -> Result<(), FoldStoreError> {
    if items.is_empty() {
        return Ok(());
    }
    let offsets: Vec<i64> = items.iter().map(|(offset, ..)| *offset as i64).collect();
    let numbers: Vec<i64> = items.iter().map(|(_, n, _)| i64::from(*n)).collect();
    let bodies: Vec<&[u8]> = items.iter().map(|(.., body)| body.as_slice()).collect();
    connection.execute(
        "insert into outbox (part, off, n, body) select $1, * from unnest($2::bigint[], $3::bigint[], $4::bytea[])",
        &[&i64::from(partition), &offsets, &numbers, &bodies],
    )?;
    Ok(())
}

/// Cuts the next batch: items in order, and for each partition how far it is visible when they are in the warehouse.
pub(super) fn outbox(
    connection: &mut PostgresConnection,
    partitions: &BTreeSet<u16>,
    limit: usize,
) -> Result<OutboxBatch, FoldStoreError> {
    let partitions: Vec<i64> = partitions.iter().copied().map(i64::from).collect();
    let behind = connection.query(
        "select p.part, p.next_off, coalesce(v.next_off, 0) from positions p left join visible v on v.part = p.part
         where p.next_off <> coalesce(v.next_off, 0) and p.part = any($1) order by p.part",
        &[&partitions],
    )?;
    let mut batch = OutboxBatch::default();
    for row in &behind {
        let room = limit.saturating_sub(batch.items.len());
        if room == 0 {
            break;
        }
        let partition: i64 = read(row, 0)?;
        let reached = (read::<i64>(row, 1)? as u64, read::<i64>(row, 2)? as u64);
        // What is visible was delivered: from there on, so that rows that are gone but not yet cleaned are not passed.
        let items = connection.query(
            "select off, n, body from outbox where part = $1 and off >= $2 order by off, n limit $3",
            &[&partition, &(reached.1 as i64), &(room as i64)],
        )?;
        let items = items
            .iter()
            .map(|item| Ok((read::<i64>(item, 0)? as u64, read::<i64>(item, 1)? as u32, read(item, 2)?)))
            .collect::<Result<Vec<_>, PostgresError>>()?;
        add_to_cut(&mut batch, partition as u16, reached, room, &items)?;
    }
    Ok(batch)
}

pub(super) fn delivered(
    connection: &mut PostgresConnection,
    batch: &OutboxBatch,
    at: Timestamp,
) -> Result<(), FoldStoreError> {
    for range in &batch.ranges {
        let partition = i64::from(range.partition);
        let before = locked_visible(connection, range.partition)?;
        let mut sent = 0;
        if let Some((offset, n)) = range.last {
            sent = connection.execute(
                "delete from outbox where part = $1 and (off, n) <= ($2, $3)",
                &[&partition, &(offset as i64), &i64::from(n)],
            )?;
        }
        note_delivery(connection, batch, range, sent as usize, before, at)?;
        // Never beyond what is folded: after a failover that lost commits this is less than when the batch was cut,
        // and what is folded once more would wait below it unseen.
        connection.execute(
            "insert into visible (part, next_off, at, sent)
             values ($1, least($2, coalesce((select next_off from positions where part = $1), 0)), $3, $4)
             on conflict (part) do update set next_off = greatest(visible.next_off, excluded.next_off),
                 at = excluded.at, sent = visible.sent + excluded.sent",
            &[&partition, &(range.visible as i64), &at.0, &(sent as i64)],
        )?;
    }
    Ok(())
}

/// A key in a scope, as its table has it.
fn scoped<'a>(scope: &Scope, key: &'a str) -> (i64, i64, Cow<'a, str>) {
    (scope.connection.0 as i64, mode_number(scope.mode), stored(key))
}

/// Keys of two numbers and a text, by column.
fn three_columns<'a, 'b: 'a>(
    keys: impl Iterator<Item = &'a (i64, i64, Cow<'b, str>)>,
) -> (Vec<i64>, Vec<i64>, Vec<&'a str>) {
    let (mut first, mut second, mut third) = (Vec::new(), Vec::new(), Vec::new());
    for (one, two, three) in keys {
        first.push(*one);
        second.push(*two);
        third.push(three.as_ref());
    }
    (first, second, third)
}
