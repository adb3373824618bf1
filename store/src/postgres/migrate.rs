//! Forward-only migrations under an advisory lock, remembered in the schema with their checksums.
//!
//! The rule for a step: it only adds (tables, columns with a default, indexes), so that the previous release still
//! runs on the newer schema while both are there during an upgrade. What an old release must not meet any more, a step
//! says with `oldest_reader`, one release after nothing uses the old shape.

use super::{PostgresConnection, PostgresError, PostgresPool};
use sha2::{Digest, Sha256};

/// One step of a schema: plain SQL, applied once, in the order of its version.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Counted from 1 without gaps.
    pub version: u32,
    /// Name of the SQL file without its ending.
    pub name: &'static str,
    /// The statements. Never edited once released.
    pub sql: &'static str,
    /// The lowest version that a binary must know to run on a schema that has this step. 1 for a step that only adds.
    pub oldest_reader: u32,
}

/// The longest that one step may take, and that another process's step is waited for.
const STEP_LIMIT: &str = "30min";

/// A step as the schema remembers it.
struct Applied {
    version: u32,
    checksum: Vec<u8>,
    oldest_reader: u32,
}

/// Applies the steps that the pool's schema does not have yet, each in its own transaction. Several processes may do so
/// at once. When nothing is missing nothing is written, so a role that may not change the schema can start.
pub fn migrate(pool: &PostgresPool, migrations: &[Migration]) -> Result<(), PostgresError> {
    debug_assert!(
        migrations.iter().zip(1u32..).all(|(migration, version)| migration.version == version),
        "migrations are counted from 1 without gaps"
    );
    let found = pool.run(|connection| found(connection, pool.schema(), migrations))?;
    for migration in migrations.iter().filter(|migration| migration.version > found) {
        pool.transaction(|connection| apply(connection, pool.schema(), migration, migrations)).map_err(|source| {
            match source {
                source @ (PostgresError::Statement(_) | PostgresError::Connect { .. }) => PostgresError::Migration {
                    schema: pool.schema().to_owned(),
                    version: migration.version,
                    name: migration.name,
                    source: Box::new(source),
                },
                other => other,
            }
        })?;
    }
    Ok(())
}

/// Refuses a schema that lacks a step, or that this binary cannot run on. Changes nothing.
pub fn check(pool: &PostgresPool, migrations: &[Migration]) -> Result<(), PostgresError> {
    let found = pool.run(|connection| found(connection, pool.schema(), migrations))?;
    let known = migrations.last().map_or(0, |migration| migration.version);
    if found < known {
        return Err(PostgresError::OlderSchema { schema: pool.schema().to_owned(), found, known });
    }
    Ok(())
}

/// The newest version applied (0 = none), if this binary may run on it.
fn found(connection: &mut PostgresConnection, schema: &str, migrations: &[Migration]) -> Result<u32, PostgresError> {
    let known = migrations.last().map_or(0, |migration| migration.version);
    let (mut found, mut wanted) = (0, 0);
    for applied in applied(connection, schema)? {
        found = found.max(applied.version);
        match migrations.iter().find(|migration| migration.version == applied.version) {
            Some(migration) if checksum(migration) != applied.checksum.as_slice() => {
                let (version, name) = (migration.version, migration.name);
                return Err(PostgresError::ChangedMigration { schema: schema.to_owned(), version, name });
            }
            Some(_) => {}
            None => wanted = wanted.max(applied.oldest_reader),
        }
    }
    if wanted > known {
        return Err(PostgresError::NewerSchema { schema: schema.to_owned(), found, wanted, known });
    }
    Ok(found)
}

fn applied(connection: &mut PostgresConnection, schema: &str) -> Result<Vec<Applied>, PostgresError> {
    // Asked of the catalogue's tables: `to_regclass` may answer from a cache that is older than the lock.
    let there: bool = connection
        .query_one(
            "select exists (select 1 from pg_tables where schemaname = $1 and tablename = 'schema_migrations')",
            &[&schema],
        )?
        .try_get(0)?;
    if !there {
        return Ok(Vec::new());
    }
    let sql = format!("select version, checksum, oldest_reader from {schema}.schema_migrations order by version");
    let rows = connection.query(&sql, &[])?;
    rows.iter()
        .map(|row| {
            let number = |column| Ok::<_, PostgresError>(row.try_get::<_, i64>(column)?.max(0) as u32);
            Ok(Applied { version: number(0)?, checksum: row.try_get(1)?, oldest_reader: number(2)? })
        })
        .collect()
}

fn apply(
    connection: &mut PostgresConnection,
    schema: &str,
    migration: &Migration,
    migrations: &[Migration],
) -> Result<(), PostgresError> {
    connection.batch(&format!(
        "set local statement_timeout = '{STEP_LIMIT}'; set local lock_timeout = '{STEP_LIMIT}';
         set local idle_in_transaction_session_timeout = '{STEP_LIMIT}'"
    ))?;
    let lock_name = format!("affilitrack.{schema}");
    connection.execute("select pg_advisory_xact_lock(hashtextextended($1, 0))", &[&lock_name])?;
    if found(connection, schema, migrations)? >= migration.version {
        return Ok(());
    }
    let there: bool = connection
        .query_one("select exists (select 1 from pg_namespace where nspname = $1)", &[&schema])?
        .try_get(0)?;
    if !there {
        connection.batch(&format!("create schema {schema}"))?;
    }
    connection.batch(&format!(
        "create table if not exists {schema}.schema_migrations (version bigint primary key, name text not null,
             checksum bytea not null, oldest_reader bigint not null, applied_at timestamptz not null default now())"
    ))?;
    connection.batch(migration.sql)?;
    connection.execute(
        &format!(
            "insert into {schema}.schema_migrations (version, name, checksum, oldest_reader) values ($1, $2, $3, $4)"
        ),
        &[
            &i64::from(migration.version),
            &migration.name,
            &checksum(migration).as_slice(),
            &i64::from(migration.oldest_reader),
        ],
    )?;
    Ok(())
}

fn checksum(migration: &Migration) -> [u8; 32] {
    Sha256::digest(migration.sql.as_bytes()).into()
}
