//! How every SQLite file of the product is opened: write-ahead log, a busy timeout, and
//! migrations that refuse a file written by a newer version.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Read and written by this user only.
const PRIVATE: u32 = 0o600;
/// How long a statement waits for another connection's write before it fails.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// One step of a schema: plain SQL, applied once, in the order of its version.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Counted from 1 without gaps.
    pub version: u32,
    /// Name of the SQL file without its ending.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// A file that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// Written by a newer version of the product.
    #[error(
        "{} has schema version {found}, this binary knows versions up to {known}: start the newer binary that wrote it, or restore a backup made before the upgrade",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
    /// A migration did not apply. The file is as it was before it.
    #[error("migration {version} ({name}) of {} failed: {source}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// Which step.
        version: u32,
        /// Its name.
        name: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Its permissions cannot be set.
    #[error("{} cannot be made for this user only: {source}", path.display())]
    Private {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// Bytes of a page where the caller has no reason for another size.
pub const DEFAULT_PAGE_BYTES: u32 = 4096;

/// Opens a file for writing and brings its schema up to date.
///
/// A commit is on disk when it returns (`synchronous = FULL`); deleted bytes are
/// overwritten (`secure_delete`), because what is removed may be a wrapped key.
pub fn open_writer(path: &Path, page_bytes: u32, migrations: &[Migration]) -> Result<Connection, SqliteError> {
    let failed = |source| SqliteError::Open { path: path.to_owned(), source };
    keep_private(path).map_err(|source| SqliteError::Private { path: path.to_owned(), source })?;
    let mut connection = Connection::open(path).map_err(failed)?;
    prepare(&connection, page_bytes).map_err(failed)?;
    migrate(&mut connection, path, migrations)?;
    Ok(connection)
}

/// Opens a file, which exists already, for reading only.
pub fn open_reader(path: &Path) -> Result<Connection, SqliteError> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|source| SqliteError::Open { path: path.to_owned(), source })
}

/// Opens a file that nobody writes to while it is open. Nothing is changed, not even beside it.
pub fn open_copy(path: &Path) -> Result<Connection, SqliteError> {
    let failed = |source| SqliteError::Open { path: path.to_owned(), source };
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI;
    // In an address three characters mean something; bytes that are no text stay as they are.
    let name = path.as_os_str().to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let absolute = if path.is_absolute() { "//" } else { "" };
    Connection::open_with_flags(format!("file:{absolute}{name}?immutable=1"), flags).map_err(failed)
}

/// Nobody but this user reads or writes the file. The files that SQLite makes beside it get its
/// permissions; those that an earlier version left are changed.
pub(crate) fn keep_private(path: &Path) -> std::io::Result<()> {
    let options = || {
        let mut options = OpenOptions::new();
        options.write(true).mode(PRIVATE);
        options
    };
    drop(options().create(true).truncate(false).open(path)?);
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match options().open(&name) {
            Ok(file) if file.metadata()?.permissions().mode() & 0o077 != 0 => {
                file.set_permissions(Permissions::from_mode(PRIVATE))?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn prepare(connection: &Connection, page_bytes: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "page_size", page_bytes)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Applies the steps that the file does not have yet, each in its own transaction.
pub fn migrate(connection: &mut Connection, path: &Path, migrations: &[Migration]) -> Result<(), SqliteError> {
    debug_assert!(
        migrations.iter().zip(1u32..).all(|(migration, version)| migration.version == version),
        "migrations are counted from 1 without gaps"
    );
    let failed = |source| SqliteError::Open { path: path.to_owned(), source };
    let found = schema_version(connection).map_err(failed)?;
    let known = migrations.last().map_or(0, |migration| migration.version);
    if found > known {
        return Err(SqliteError::NewerSchema { path: path.to_owned(), found, known });
    }
    for migration in migrations.iter().filter(|migration| migration.version > found) {
        apply(connection, migration).map_err(|source| SqliteError::Migration {
            path: path.to_owned(),
            version: migration.version,
            name: migration.name,
            source,
        })?;
    }
    Ok(())
}

fn apply(connection: &mut Connection, migration: &Migration) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "create table if not exists schema_version (version integer primary key, name text not null) strict",
    )?;
    transaction.execute_batch(migration.sql)?;
    transaction
        .execute("insert into schema_version (version, name) values (?1, ?2)", (migration.version, migration.name))?;
    transaction.commit()
}

/// The newest step that was applied; 0 for an empty file.
pub fn schema_version(connection: &Connection) -> rusqlite::Result<u32> {
    let exists: Option<i64> = connection
        .query_row("select 1 from sqlite_master where type = 'table' and name = 'schema_version'", [], |row| row.get(0))
        .optional()?;
    if exists.is_none() {
        return Ok(0);
    }
    connection.query_row("select coalesce(max(version), 0) from schema_version", [], |row| row.get(0))
}

/// A few reading connections to one file, used from blocking threads.
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    /// At most `count` reads at once; connections are opened when they are first needed.
    pub fn new(path: &Path, count: usize) -> Arc<Readers> {
        Arc::new(Readers { path: path.to_owned(), idle: Mutex::new(Vec::new()), permits: Semaphore::new(count) })
    }

    /// Runs a read. Everything in it sees one state of the file.
    pub async fn run<T, E, F>(self: &Arc<Self>, read: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<anyhow::Error> + Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let _permit = self.permits.acquire().await.map_err(anyhow::Error::from)?;
        let readers = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || readers.run_blocking(read)).await;
        done.map_err(anyhow::Error::from)?
    }

    fn run_blocking<T, E: From<anyhow::Error>>(&self, read: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path).map_err(anyhow::Error::from)?,
        };
        let snapshot = connection.unchecked_transaction().map_err(anyhow::Error::from)?;
        let result = read(&snapshot);
        // Nothing was written, so there is nothing to commit.
        drop(snapshot);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration { version: 1, name: "0001_first", sql: "create table a (x integer) strict;" };
    const SECOND: Migration = Migration { version: 2, name: "0002_second", sql: "create table b (y integer) strict;" };
    const BROKEN: Migration =
        Migration { version: 2, name: "0002_broken", sql: "create table b (y integer) strict; nonsense;" };

    #[test]
    fn steps_are_applied_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        drop(open_writer(&path, DEFAULT_PAGE_BYTES, &[FIRST]).unwrap());
        let connection = open_writer(&path, DEFAULT_PAGE_BYTES, &[FIRST, SECOND]).unwrap();
        assert_eq!(schema_version(&connection).unwrap(), 2);
        drop(connection);
        open_writer(&path, DEFAULT_PAGE_BYTES, &[FIRST, SECOND]).unwrap();
    }

    #[test]
    fn files_are_for_this_user_only_also_those_that_were_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        let all = || ["x.db", "x.db-wal", "x.db-shm"].map(mode);
        let connection = open_writer(&path, DEFAULT_PAGE_BYTES, &[FIRST]).unwrap();
        assert_eq!(all(), [0o600; 3]);
        // As an earlier version made them; a process that was killed leaves the files beside it.
        for name in ["x.db", "x.db-wal", "x.db-shm"] {
            std::fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o644)).unwrap();
        }
        let second = open_writer(&path, DEFAULT_PAGE_BYTES, &[FIRST]).unwrap();
        assert_eq!(all(), [0o600; 3]);
        drop((connection, second));
    }

    #[test]
    fn a_newer_file_is_refused_with_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        drop(open_writer(&path, DEFAULT_PAGE_BYTES, &[FIRST, SECOND]).unwrap());
        let words = open_writer(&path, DEFAULT_PAGE_BYTES, &[FIRST]).unwrap_err().to_string();
        assert!(
            words.contains("x.db has schema version 2, this binary knows versions up to 1: start the newer binary"),
            "{words}"
        );
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let words = open_writer(&path, DEFAULT_PAGE_BYTES, &[FIRST, BROKEN]).unwrap_err().to_string();
        assert!(words.contains("migration 2 (0002_broken)"), "{words}");
        let connection = open_writer(&path, DEFAULT_PAGE_BYTES, &[FIRST]).unwrap();
        assert_eq!(schema_version(&connection).unwrap(), 1);
        assert!(connection.execute("insert into b (y) values (1)", []).is_err());
    }

    /// The files as a process leaves them that is ended in the middle of a step.
    #[test]
    fn a_step_that_is_cut_off_leaves_the_file_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let cut = open_writer(&path, DEFAULT_PAGE_BYTES, &[FIRST]).unwrap();
        cut.execute_batch(
            "insert into a values (7); pragma cache_size = 1; begin immediate; create table b (y integer) strict;",
        )
        .unwrap();
        // More than the cache holds, so that a part of it is in the write-ahead file before it is committed.
        for number in 0..20_000 {
            cut.execute("insert into b values (?1)", [number]).unwrap();
        }
        let left = folder.path().join("left.db");
        std::fs::copy(&path, &left).unwrap();
        std::fs::copy(folder.path().join("x.db-wal"), folder.path().join("left.db-wal")).unwrap();
        let again = open_writer(&left, DEFAULT_PAGE_BYTES, &[FIRST, SECOND]).unwrap();
        assert_eq!(schema_version(&again).unwrap(), 2);
        let found = |sql: &str| again.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((found("select x from a"), found("select count(*) from b")), (7, 0));
    }

    #[test]
    fn a_reader_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let _writer = open_writer(&path, DEFAULT_PAGE_BYTES, &[FIRST]).unwrap();
        assert!(open_reader(&path).unwrap().execute("insert into a (x) values (1)", []).is_err());
    }
}
