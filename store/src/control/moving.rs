//! Brings a control store from its SQLite file into an empty Postgres schema, row for row and with its ids, when an
//! installation of one process becomes one of several.

use super::ControlError;
use super::ControlResult;
use super::database::{
    Database, DatabaseError, Kind, PostgresDatabase, Row, SqliteDatabase, Value, placeholders, values,
};
use super::sqlite_store::MIGRATIONS;
use crate::postgres::PostgresPool;
use crate::sqlite::{DEFAULT_PAGE_BYTES, open_writer};
use std::collections::BTreeMap;
use std::path::Path;

/// Every table, those that others refer to first.
pub(super) const TABLES: [&str; 39] = [
    "vendors",
    "connections",
    "endpoints",
    "endpoint_secrets",
    "lookup_keys",
    "affiliates",
    "codes",
    "code_names",
    "mappings",
    "rules",
    "policies",
    "reviews",
    "campaigns",
    "adjustments",
    "decision_outbox",
    "login_tokens",
    "sessions",
    "api_keys",
    "audit_log",
    "failed_deliveries",
    "people",
    "members",
    "sign_ins",
    "person_sessions",
    "mails",
    "portal_links",
    "portal_sessions",
    "person_identities",
    "session_cookies",
    "alert_labels",
    "payout_addresses",
    "portal_acts",
    "mail_choices",
    "unsubscribe_links",
    "portal_openings",
    "mailed_summaries",
    "broken_endpoints",
    "stripe_webhooks",
    "stripe_reads",
];
/// Rows that are in memory at the same time.
const PAGE_ROWS: u64 = 1_000;

/// Copies all rows in one transaction: afterwards either everything is there or nothing. Returns how many.
///
/// Blocks. Nobody else may have the file open. What is sealed stays as it is, so the processes need the same master key.
///
/// # Errors
/// A schema that holds vendors already; tables that differ; what either database says.
pub fn move_to_postgres(file: &Path, pool: &PostgresPool) -> ControlResult<u64> {
    let mut connection = open_writer(file, DEFAULT_PAGE_BYTES, &MIGRATIONS)?;
    let snapshot = connection.transaction()?;
    let from: &dyn Database = &SqliteDatabase(&snapshot);
    pool.transaction(|connection| {
        let to: &dyn Database = &PostgresDatabase::new(connection);
        if to.query_optional("select id from vendors limit 1", &[])?.is_some() {
            return Err(ControlError::invalid(
                "postgres.schema",
                format!("{} holds vendors already: name a schema that holds nothing", pool.schema()),
            ));
        }
        let mut rows = 0;
        for table in TABLES {
            rows += copy_table(from, to, table)?;
        }
        to.execute("update changes set directory = directory + 1, decisions = decisions + 1 where id = 1", &[])?;
        Ok(rows)
    })
}

fn copy_table(from: &dyn Database, to: &dyn Database, table: &str) -> ControlResult<u64> {
    let columns = columns(from, to, table)?;
    let names = columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let page = format!("select {names} from {table} order by {} limit {PAGE_ROWS} offset ?1", key(from, table)?);
    let insert = format!("insert into {table} ({names}){} values ({})", to.own_ids(), placeholders(columns.len()));
    let mut copied = 0;
    loop {
        let rows = from.query(&page, values![copied])?;
        for row in &rows {
            to.execute(&insert, &values_of(row, &columns)?)?;
        }
        copied += rows.len() as u64;
        if (rows.len() as u64) < PAGE_ROWS {
            break;
        }
    }
    go_on_counting(from, to, table)?;
    Ok(copied)
}

/// The columns of a table in Postgres, which must be those in SQLite.
fn columns(from: &dyn Database, to: &dyn Database, table: &str) -> ControlResult<Vec<(String, Kind)>> {
    let found = to.query(
        "select column_name::text, data_type::text from information_schema.columns
         where table_schema = current_schema() and table_name = ?1",
        values![table],
    )?;
    let mut kinds = BTreeMap::new();
    for row in &found {
        let kind = match row.get::<String>(1)?.as_str() {
            "bigint" => Kind::Integer,
            "text" => Kind::Text,
            "bytea" => Kind::Bytes,
            other => return Err(differs(table, &format!("a column of type {other}"))),
        };
        kinds.insert(row.get::<String>(0)?, kind);
    }
    let of_file = from.query("select name from pragma_table_info(?1) order by name", values![table])?;
    let of_file = of_file.iter().map(|row| row.get::<String>(0)).collect::<Result<Vec<_>, _>>()?;
    if !of_file.iter().eq(kinds.keys()) {
        return Err(differs(table, "other columns than the file"));
    }
    Ok(kinds.into_iter().collect())
}

fn differs(table: &str, what: &str) -> ControlError {
    ControlError::Failed(anyhow::anyhow!("table {table} has {what}: run `affilitrack migrate` of this version first"))
}

/// The primary key, for an order that does not change between pages.
fn key(from: &dyn Database, table: &str) -> ControlResult<String> {
    let rows = from.query("select name from pragma_table_info(?1) where pk > 0 order by pk", values![table])?;
    let names = rows.iter().map(|row| row.get::<String>(0)).collect::<Result<Vec<_>, _>>()?;
    Ok(names.join(", "))
}

fn values_of(row: &Row, columns: &[(String, Kind)]) -> Result<Vec<Value<'static>>, DatabaseError> {
    let value = |(index, (_, kind)): (usize, &(String, Kind))| {
        Ok(match kind {
            Kind::Integer => row.get::<Option<i64>>(index)?.into(),
            Kind::Text => row.get::<Option<String>>(index)?.into(),
            Kind::Bytes => row.get::<Option<Vec<u8>>>(index)?.into(),
        })
    };
    columns.iter().enumerate().map(value).collect()
}

/// The log names ids for ever: those of rows that are gone are not given out again either.
fn go_on_counting(from: &dyn Database, to: &dyn Database, table: &str) -> ControlResult<()> {
    let counted = from.query_optional("select seq from sqlite_sequence where name = ?1", values![table])?;
    if let Some(row) = counted {
        to.raise_ids(table, row.get(0)?)?;
    }
    Ok(())
}
