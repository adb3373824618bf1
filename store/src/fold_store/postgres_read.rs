//! Reads of the Postgres fold store: one statement each, however many keys are asked for.

use super::postgres_columns::{mode_number, restored, stored, story_id};
use super::postgres_store::read;
use super::prepare::{catalogue_range, hash, parse};
use super::*;
use crate::postgres::PostgresConnection;
use ::postgres::Row;
use ::postgres::types::ToSql;
use std::collections::HashMap;

const POSITION: &str = "next_off, cursor, next_ord, made, chain, last_hash, revision";

/// Connections, modes and names: the place of each in the arrays, and its story.
pub(super) const STORIES_OF: &str = "select asked.place, a.story
    from unnest($1::bigint[], $2::bigint[], $3::text[]) with ordinality as asked (connection, livemode, alias, place)
    join aliases a on a.connection = asked.connection and a.livemode = asked.livemode and a.alias = asked.alias";

/// Up to where a partition is folded; None if it never was.
pub(super) fn position(
    connection: &mut PostgresConnection,
    partition: u16,
) -> Result<Option<Position>, FoldStoreError> {
    let sql = format!("select {POSITION} from positions where part = $1");
    connection.query_optional(&sql, &[&i64::from(partition)])?.map(|row| position_of(&row)).transpose()
}

/// The same, and how many items its unfinished record has; nobody else moves it until the transaction ends.
pub(super) fn locked_position(
    connection: &mut PostgresConnection,
    partition: u16,
) -> Result<Option<(Position, u32)>, FoldStoreError> {
    let sql = format!("select {POSITION}, items from positions where part = $1 for update");
    let Some(row) = connection.query_optional(&sql, &[&i64::from(partition)])? else { return Ok(None) };
    Ok(Some((position_of(&row)?, read::<i64>(&row, 7)? as u32)))
}

fn position_of(row: &Row) -> Result<Position, FoldStoreError> {
    let cursor: Option<String> = read(row, 1)?;
    Ok(Position {
        next_offset: read::<i64>(row, 0)? as u64,
        fanout: cursor.map(|text| parse("positions.cursor", text.as_bytes())).transpose()?,
        counters: Counters { next_ord: read::<i64>(row, 2)? as u32, made: read::<i64>(row, 3)? as u64 },
        chain: hash(read(row, 4)?),
        last_hash: hash(read(row, 5)?),
        revision: read::<i64>(row, 6)? as u32,
    })
}

/// The stories of names, in the order asked.
pub(super) fn stories_of(
    connection: &mut PostgresConnection,
    names: &[(Scope, Alias)],
) -> Result<Vec<Option<StoryId>>, FoldStoreError> {
    let mut found = vec![None; names.len()];
    if names.is_empty() {
        return Ok(found);
    }
    let accounts: Vec<i64> = names.iter().map(|(scope, _)| scope.connection.0 as i64).collect();
    let modes: Vec<i64> = names.iter().map(|(scope, _)| mode_number(scope.mode)).collect();
    let aliases: Vec<_> = names.iter().map(|(_, alias)| stored(&alias.0)).collect();
    for row in connection.query(STORIES_OF, &[&accounts, &modes, &aliases])? {
        // Counted from 1.
        let place = read::<i64>(&row, 0)? as usize - 1;
        found[place] = Some(story_id(read(&row, 1)?));
    }
    Ok(found)
}

/// The stored stories of these ids, as far as they are there.
pub(super) fn bodies_of(
    connection: &mut PostgresConnection,
    ids: &[StoryId],
) -> Result<HashMap<StoryId, Vec<u8>>, FoldStoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let asked: Vec<i64> = ids.iter().map(|id| id.0 as i64).collect();
    let rows = connection.query("select id, body from stories where id = any($1)", &[&asked])?;
    rows.iter().map(|row| Ok((story_id(read(row, 0)?), read(row, 1)?))).collect()
}

/// The stories of purchases, in the order asked.
pub(super) fn stories_of_purchases(
    connection: &mut PostgresConnection,
    purchases: &[PurchaseId],
) -> Result<Vec<Option<StoryId>>, FoldStoreError> {
    let asked: Vec<i64> = purchases.iter().map(|id| id.0 as i64).collect();
    let rows = connection.query("select id, story from purchases where id = any($1)", &[&asked])?;
    let found: HashMap<i64, StoryId> =
        rows.iter().map(|row| Ok((read(row, 0)?, story_id(read(row, 1)?)))).collect::<Result<_, FoldStoreError>>()?;
    Ok(asked.iter().map(|id| found.get(id).copied()).collect())
}

/// The decisions of each vendor in their order, in the order asked.
pub(super) fn decisions(
    connection: &mut PostgresConnection,
    vendors: &[VendorId],
) -> Result<Vec<Vec<(u64, Decision)>>, FoldStoreError> {
    let asked: Vec<i64> = vendors.iter().map(|vendor| vendor.0 as i64).collect();
    let sql = "select vendor, seq, body from decisions where vendor = any($1) order by vendor, seq";
    let mut found: HashMap<i64, Vec<(u64, Decision)>> = HashMap::new();
    for row in connection.query(sql, &[&asked])? {
        let decision = parse("decisions", &read::<Vec<u8>>(&row, 2)?)?;
        found.entry(read(&row, 0)?).or_default().push((read::<i64>(&row, 1)? as u64, decision));
    }
    Ok(asked.iter().map(|vendor| found.get(vendor).cloned().unwrap_or_default()).collect())
}

/// The one column of the one row that a key has in a scope.
pub(super) fn body(
    connection: &mut PostgresConnection,
    sql: &str,
    scope: Scope,
    key: &str,
) -> Result<Option<Vec<u8>>, FoldStoreError> {
    let values: [&(dyn ToSql + Sync); 3] = [&(scope.connection.0 as i64), &mode_number(scope.mode), &stored(key)];
    Ok(connection.query_optional(sql, &values)?.map(|row| read(&row, 0)).transpose()?)
}

/// Keys and bodies of a kind in the catalogue.
pub(super) fn catalogue(
    connection: &mut PostgresConnection,
    scope: Scope,
    (kind, after): (&str, &str),
    limit: usize,
) -> Result<Vec<(String, Vec<u8>)>, FoldStoreError> {
    let sql = "select key, body from catalogue
               where connection = $1 and livemode = $2 and key > $3 and key < $4 order by key limit $5";
    let (from, to) = catalogue_range(kind, after);
    let (from, number, limit) = (stored(&from), scope.connection.0 as i64, limit as i64);
    let values: [&(dyn ToSql + Sync); 5] = [&number, &mode_number(scope.mode), &from, &to, &limit];
    let rows = connection.query(sql, &values)?;
    rows.iter().map(|row| Ok((restored(read(row, 0)?), read(row, 1)?))).collect()
}

/// Records as they are listed.
pub(super) fn listed(
    connection: &mut PostgresConnection,
    filter: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<ListedRecord>, FoldStoreError> {
    let sql = format!("select part, off, event_type, at, outcome, reason, story, vendor from records where {filter}");
    let record = |row: &Row| -> Result<ListedRecord, FoldStoreError> {
        Ok(ListedRecord {
            vendor: VendorId(read::<i64>(row, 7)? as u64),
            partition: read::<i64>(row, 0)? as u16,
            offset: read::<i64>(row, 1)? as u64,
            event_type: restored(read(row, 2)?),
            at: Timestamp(read(row, 3)?),
            outcome: read(row, 4)?,
            reason: restored(read(row, 5)?),
            story: read::<Option<i64>>(row, 6)?.map(story_id),
        })
    };
    connection.query(&sql, values)?.iter().map(record).collect()
}

/// Questions without an answer, oldest first.
pub(super) fn open_questions(
    connection: &mut PostgresConnection,
    after: u64,
    limit: usize,
) -> Result<Vec<OpenQuestion>, FoldStoreError> {
    let sql = "select id, vendor, connection, livemode, provider, request from questions
               where state = 'open' and id > $1 order by id limit $2";
    let question = |row: &Row| -> Result<OpenQuestion, FoldStoreError> {
        Ok(OpenQuestion {
            id: read::<i64>(row, 0)? as u64,
            scope: Scope {
                vendor: VendorId(read::<i64>(row, 1)? as u64),
                connection: ConnectionId(read::<i64>(row, 2)? as u64),
                mode: Mode::from_livemode(read::<i64>(row, 3)? == 1),
            },
            provider: Provider::from_name(read(row, 4)?).unwrap_or(Provider::Stripe),
            request: restored(read(row, 5)?),
        })
    };
    connection.query(sql, &[&(after as i64), &(limit as i64)])?.iter().map(question).collect()
}

/// What arrived from a connection, counted from an hour on.
pub(super) fn activity(
    connection: &mut PostgresConnection,
    account: ConnectionId,
    since_hour: i64,
) -> Result<Activity, FoldStoreError> {
    let sql = "select event_type, max(last_at), sum(case when hour >= $2 then records else 0 end)::bigint
               from activity where connection = $1 group by event_type order by event_type limit 500";
    let mut activity = Activity::default();
    for row in connection.query(sql, &[&(account.0 as i64), &since_hour])? {
        activity.event_types.push(restored(read(&row, 0)?));
        activity.last_at = activity.last_at.max(Some(Timestamp(read(&row, 1)?)));
        activity.recent += read::<i64>(&row, 2)? as u64;
    }
    Ok(activity)
}
