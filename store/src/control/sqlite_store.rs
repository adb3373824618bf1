//! The control store in one SQLite file: one writing connection, a few reading ones.

use super::backend::{Backend, Reach, Signals, Tells, Versions};
use super::database::{Database, SqliteDatabase};
use super::store::ControlStoreOn;
use super::{ControlResult, MasterKeys};
use crate::secrets::FillRandom;
use crate::sqlite::{DEFAULT_PAGE_BYTES, Migration, Readers, open_writer};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// The schema.
pub const MIGRATIONS: [Migration; 9] = [
    Migration {
        version: 1,
        name: "0001_control",
        sql: include_str!("../../../schemas/migrations/control/0001_control.sql"),
    },
    Migration {
        version: 2,
        name: "0002_failed_deliveries",
        sql: include_str!("../../../schemas/migrations/control/0002_failed_deliveries.sql"),
    },
    Migration {
        version: 3,
        name: "0003_people",
        sql: include_str!("../../../schemas/migrations/control/0003_people.sql"),
    },
    Migration {
        version: 4,
        name: "0004_portal",
        sql: include_str!("../../../schemas/migrations/control/0004_portal.sql"),
    },
    Migration {
        version: 5,
        name: "0005_alert_labels",
        sql: include_str!("../../../schemas/migrations/control/0005_alert_labels.sql"),
    },
    Migration {
        version: 6,
        name: "0006_identities",
        sql: include_str!("../../../schemas/migrations/control/0006_identities.sql"),
    },
    Migration {
        version: 7,
        name: "0007_portal_desk",
        sql: include_str!("../../../schemas/migrations/control/0007_portal_desk.sql"),
    },
    Migration { version: 8, name: "0008_mail", sql: include_str!("../../../schemas/migrations/control/0008_mail.sql") },
    Migration {
        version: 9,
        name: "0009_stripe_keys",
        sql: include_str!("../../../schemas/migrations/control/0009_stripe_keys.sql"),
    },
];

const READERS: usize = 4;

/// One file. One process has it open.
pub struct SqliteBackend {
    writer: Arc<Mutex<Connection>>,
    readers: Arc<Readers>,
    signals: Arc<Signals>,
}

/// The control store on SQLite.
pub type SqliteControlStore = ControlStoreOn<SqliteBackend>;

impl SqliteControlStore {
    /// Opens or creates the file. Blocks; called once at start.
    pub fn open(path: &Path, keys: MasterKeys, random: Arc<FillRandom>) -> ControlResult<SqliteControlStore> {
        let writer = open_writer(path, DEFAULT_PAGE_BYTES, &MIGRATIONS)?;
        let backend = SqliteBackend {
            writer: Arc::new(Mutex::new(writer)),
            readers: Readers::new(path, READERS),
            signals: Arc::new(Signals::new(Versions::default())),
        };
        Ok(ControlStoreOn::new(backend, keys, random))
    }
}

impl Backend for SqliteBackend {
    async fn read<T: Send + 'static>(
        &self,
        _reach: Reach,
        read: impl FnOnce(&dyn Database) -> ControlResult<T> + Send + 'static,
    ) -> ControlResult<T> {
        self.readers.run(move |connection| read(&SqliteDatabase(connection))).await
    }

    async fn write<T: Send + 'static>(
        &self,
        _reach: Reach,
        tells: Tells,
        write: impl FnOnce(&dyn Database) -> ControlResult<T> + Send + 'static,
    ) -> ControlResult<T> {
        let mut connection = Arc::clone(&self.writer).lock_owned().await;
        let signals = Arc::clone(&self.signals);
        let task = tokio::task::spawn_blocking(move || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = write(&SqliteDatabase(&transaction))?;
            transaction.commit()?;
            // Still holding the one writing connection, so that changes are told one after another.
            signals.tell(tells);
            Ok(result)
        });
        task.await.map_err(anyhow::Error::from)?
    }

    fn signals(&self) -> &Signals {
        &self.signals
    }

    /// The file belongs to one process, and that has one relay.
    async fn may_relay(&self) -> ControlResult<bool> {
        Ok(true)
    }

    /// No other process has the file.
    fn spread(&self) -> Duration {
        Duration::ZERO
    }

    /// Moves the write-ahead log into the file and empties it: a destroyed key must not live on in it. Pages in the
    /// file were overwritten when the rows were deleted.
    async fn overwrite_deleted(&self) -> ControlResult<()> {
        let connection = Arc::clone(&self.writer).lock_owned().await;
        let task = tokio::task::spawn_blocking(move || {
            connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
        });
        task.await.map_err(anyhow::Error::from)??;
        Ok(())
    }
}
