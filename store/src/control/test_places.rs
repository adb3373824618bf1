//! Where each backend keeps a store for the length of one test.

use super::conformance::keys;
use super::*;
use crate::postgres::test_server::TestSchema;
use crate::postgres::{PostgresError, PostgresPool, PostgresSettings, migrate};
use crate::secrets::system_random;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A place for a store. Opened again it has the same rows.
pub(super) enum Place {
    /// A folder.
    Sqlite(TempDir),
    /// A schema of its own.
    Postgres(PostgresPlace),
}

impl Place {
    /// A fresh place of every backend.
    pub(super) fn of_every_backend() -> [Place; 2] {
        [Place::Sqlite(tempfile::tempdir().unwrap()), Place::Postgres(PostgresPlace::new())]
    }

    /// For the output of a test that fails.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Place::Sqlite(_) => "sqlite",
            Place::Postgres(_) => "postgres",
        }
    }

    /// Opens the store that is here.
    pub(super) async fn open(&self, keys: MasterKeys) -> ControlResult<Arc<dyn ControlStore>> {
        match self {
            Place::Sqlite(folder) => {
                Ok(Arc::new(SqliteControlStore::open(&folder.path().join("control.db"), keys, system_random())?))
            }
            Place::Postgres(place) => Ok(place.open_with(keys).await?),
        }
    }

    /// Whether these bytes are stored anywhere.
    pub(super) fn holds(&self, searched: &[u8]) -> bool {
        match self {
            Place::Sqlite(folder) => is_in_a_file(folder.path(), searched),
            Place::Postgres(place) => place.is_in_a_row(searched),
        }
    }
}

pub(super) fn is_in_a_file(folder: &Path, searched: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|file| {
        std::fs::read(file.unwrap().path()).unwrap().windows(searched.len()).any(|window| window == searched)
    })
}

/// A schema of its own, dropped after the test.
pub(super) struct PostgresPlace {
    schema: Option<TestSchema>,
}

impl PostgresPlace {
    pub(super) fn new() -> PostgresPlace {
        PostgresPlace { schema: Some(TestSchema::new()) }
    }

    pub(super) fn settings(&self) -> PostgresSettings {
        let settings = self.schema.as_ref().expect("the schema is there until the place is dropped").settings();
        PostgresSettings { pool_size: 4, ..settings }
    }

    /// A pool of its own, as another process would have.
    pub(super) fn pool(&self) -> Arc<PostgresPool> {
        let settings = self.settings();
        may_block(|| PostgresPool::connect(settings))
            .unwrap_or_else(|error| panic!("{error}. run: bash scripts/services/postgres.sh start"))
    }

    /// A store as another process would open it.
    pub(super) async fn open(&self) -> Arc<PostgresControlStore> {
        self.open_with(keys()).await.unwrap()
    }

    /// The same with other master keys.
    pub(super) async fn open_with(&self, keys: MasterKeys) -> ControlResult<Arc<PostgresControlStore>> {
        let pool = self.pool();
        may_block(|| migrate(&pool, &POSTGRES_MIGRATIONS))?;
        Ok(Arc::new(PostgresControlStore::open(pool, keys, system_random()).await?))
    }

    /// Runs statements beside every store.
    pub(super) fn batch(&self, sql: &str) {
        self.ask(|connection| connection.batch(sql));
    }

    /// The first column of every row, as text.
    pub(super) fn texts(&self, sql: &str) -> Vec<String> {
        self.ask(|connection| Ok(connection.query(sql, &[])?.iter().map(|row| row.get(0)).collect()))
    }

    fn ask<T: Send>(
        &self,
        work: impl FnOnce(&mut crate::postgres::PostgresConnection) -> Result<T, PostgresError> + Send,
    ) -> T {
        let pool = self.pool();
        may_block(|| pool.run(work)).unwrap()
    }

    fn is_in_a_row(&self, searched: &[u8]) -> bool {
        let as_hex = hex::encode(searched);
        let as_text = std::str::from_utf8(searched).unwrap_or(&as_hex);
        let tables = self.texts("select tablename::text from pg_tables where schemaname = current_schema()");
        assert!(tables.len() > 15, "{tables:?}");
        tables.iter().any(|table| {
            let rows = self.texts(&format!("select row_to_json({table})::text from {table}"));
            rows.iter().any(|row| row.contains(as_text) || row.contains(&as_hex))
        })
    }
}

impl Drop for PostgresPlace {
    fn drop(&mut self) {
        let schema = self.schema.take();
        let dropped = std::thread::scope(|scope| scope.spawn(move || drop(schema)).join());
        if !std::thread::panicking() {
            dropped.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

/// Calls that block must not stand on the one thread of a test's runtime.
pub(super) fn may_block<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
