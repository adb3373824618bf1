//! The control store in a Postgres schema that several processes share.
//!
//! What writes for a vendor locks the vendor's row first (`vendors::lock`, `take_sequence`), so that its numbers have no
//! gaps and what was looked at still holds when it is written. Then come the vendor's other rows, and the row of
//! `changes` last. That is the only order of locks, so that no two transactions wait for each other in a ring.

use super::backend::{Backend, Reach, Signals, Tells, Versions};
use super::database::{Database, PostgresDatabase, values};
use super::store::ControlStoreOn;
use super::{ControlError, ControlResult, MasterKeys};
use crate::postgres::{Migration, PostgresConnection, PostgresError, PostgresPool, check};
use crate::secrets::{FillRandom, SecretError};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The schema.
pub const POSTGRES_MIGRATIONS: [Migration; 9] = [
    Migration {
        version: 1,
        name: "0001_control",
        sql: include_str!("../../../schemas/migrations/postgres/control/0001_control.sql"),
        oldest_reader: 1,
    },
    Migration {
        version: 2,
        name: "0002_failed_deliveries",
        sql: include_str!("../../../schemas/migrations/postgres/control/0002_failed_deliveries.sql"),
        oldest_reader: 1,
    },
    Migration {
        version: 3,
        name: "0003_people",
        sql: include_str!("../../../schemas/migrations/postgres/control/0003_people.sql"),
        oldest_reader: 1,
    },
    Migration {
        version: 4,
        name: "0004_portal",
        sql: include_str!("../../../schemas/migrations/postgres/control/0004_portal.sql"),
        oldest_reader: 1,
    },
    Migration {
        version: 5,
        name: "0005_alert_labels",
        sql: include_str!("../../../schemas/migrations/postgres/control/0005_alert_labels.sql"),
        oldest_reader: 1,
    },
    Migration {
        version: 6,
        name: "0006_identities",
        sql: include_str!("../../../schemas/migrations/postgres/control/0006_identities.sql"),
        oldest_reader: 1,
    },
    Migration {
        version: 7,
        name: "0007_portal_desk",
        sql: include_str!("../../../schemas/migrations/postgres/control/0007_portal_desk.sql"),
        oldest_reader: 1,
    },
    Migration {
        version: 8,
        name: "0008_mail",
        sql: include_str!("../../../schemas/migrations/postgres/control/0008_mail.sql"),
        oldest_reader: 1,
    },
    Migration {
        version: 9,
        name: "0009_stripe_keys",
        sql: include_str!("../../../schemas/migrations/postgres/control/0009_stripe_keys.sql"),
        oldest_reader: 1,
    },
];

/// How often a process looks whether another one changed something.
const POLL: Duration = Duration::from_millis(500);
/// How long the right to relay lasts after it was last used: a few rounds of an idle relay. A process that dies gives
/// it up by that.
const RELAY_LEASE_MS: i64 = 8_000;
const HOLDER_BYTES: usize = 16;

/// One schema of a database. Any number of processes have it open.
pub struct PostgresBackend {
    shared: Arc<Shared>,
    /// This process, in the row that says who may relay.
    holder: String,
}

struct Shared {
    pool: Arc<PostgresPool>,
    signals: Signals,
}

/// The control store on Postgres.
pub type PostgresControlStore = ControlStoreOn<PostgresBackend>;

impl PostgresControlStore {
    /// Opens the store on the pool's schema, which [`migrate`](crate::postgres::migrate) has brought up to date, and
    /// begins to listen for what other processes change. Needs a Tokio runtime; the pool must see all tenants.
    ///
    /// # Errors
    /// A schema that lacks a step or is too new; a pool without `all_tenants`; a server that does not answer.
    pub async fn open(
        pool: Arc<PostgresPool>,
        keys: MasterKeys,
        random: Arc<FillRandom>,
    ) -> ControlResult<PostgresControlStore> {
        let mut holder = [0; HOLDER_BYTES];
        random(&mut holder).map_err(SecretError::from)?;
        let versions = blocking({
            let pool = Arc::clone(&pool);
            move || prepare(&pool)
        })
        .await?;
        let shared = Arc::new(Shared { pool, signals: Signals::new(versions) });
        tokio::spawn(listen(Arc::downgrade(&shared)));
        Ok(ControlStoreOn::new(PostgresBackend { shared, holder: hex::encode(holder) }, keys, random))
    }
}

impl From<PostgresError> for ControlError {
    fn from(error: PostgresError) -> Self {
        ControlError::Failed(error.into())
    }
}

/// Refuses what the store cannot work on. Returns where the counters are.
fn prepare(pool: &PostgresPool) -> ControlResult<Versions> {
    check(pool, &POSTGRES_MIGRATIONS)?;
    pool.snapshot(|connection| {
        let database: &dyn Database = &PostgresDatabase::new(connection);
        let role = database.query_one(
            "select current_user::text, rolsuper or rolbypassrls, sees_all() from pg_roles where rolname = current_user",
            &[],
        )?;
        if !role.get::<bool>(2)? {
            return Err(ControlError::Failed(anyhow::anyhow!(
                "the control store's connections must see all tenants: set all_tenants for its pool"
            )));
        }
        if role.get::<bool>(1)? {
            let role: String = role.get(0)?;
            tracing::warn!(role, "row-level security does not hold role {role}: use one that is no superuser");
        }
        versions(database)
    })
}

fn versions(database: &dyn Database) -> ControlResult<Versions> {
    let row = database.query_one("select directory, decisions from changes where id = 1", &[])?;
    Ok(Versions { directory: row.get(0)?, decisions: row.get(1)? })
}

/// Counts a change in the transaction that makes it.
fn count_up(database: &dyn Database, tells: Tells) -> ControlResult<Option<Versions>> {
    if tells == Tells::NOTHING {
        return Ok(None);
    }
    let row = database.query_one(
        "update changes set directory = directory + ?1, decisions = decisions + ?2 where id = 1
         returning directory, decisions",
        values![tells.directory, tells.decisions],
    )?;
    Ok(Some(Versions { directory: row.get(0)?, decisions: row.get(1)? }))
}

/// Runs what blocks where it may. It is finished even when the caller no longer waits.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> ControlResult<T> + Send + 'static) -> ControlResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(anyhow::Error::from)?
}

/// Looks at the counters again and again until the store is dropped. While the database is away it goes on trying, and
/// says so once.
async fn listen(shared: Weak<Shared>) {
    let mut fails = false;
    loop {
        tokio::time::sleep(POLL).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let looked = blocking({
            let shared = Arc::clone(&shared);
            move || shared.pool.snapshot(|connection| versions(&PostgresDatabase::new(connection)))
        });
        match looked.await {
            Ok(versions) => {
                fails = false;
                shared.signals.saw(versions);
            }
            Err(error) if !fails => {
                fails = true;
                tracing::warn!(error = %error, "what other processes change is not seen for now: {error}");
            }
            Err(_) => {}
        }
    }
}

impl Backend for PostgresBackend {
    async fn read<T: Send + 'static>(
        &self,
        reach: Reach,
        read: impl FnOnce(&dyn Database) -> ControlResult<T> + Send + 'static,
    ) -> ControlResult<T> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let work = |connection: &mut PostgresConnection| read(&PostgresDatabase::new(connection));
            match reach {
                Reach::Tenant(vendor) => shared.pool.vendor_snapshot(vendor, work),
                Reach::Wiring => shared.pool.snapshot(work),
            }
        })
        .await
    }

    async fn write<T: Send + 'static>(
        &self,
        reach: Reach,
        tells: Tells,
        write: impl FnOnce(&dyn Database) -> ControlResult<T> + Send + 'static,
    ) -> ControlResult<T> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let work = |connection: &mut PostgresConnection| -> ControlResult<_> {
                let database = PostgresDatabase::new(connection);
                let result = write(&database)?;
                Ok((result, count_up(&database, tells)?))
            };
            let (result, versions) = match reach {
                Reach::Tenant(vendor) => shared.pool.vendor_transaction(vendor, work)?,
                Reach::Wiring => shared.pool.transaction(work)?,
            };
            if let Some(versions) = versions {
                shared.signals.saw(versions);
            }
            Ok(result)
        })
        .await
    }

    fn signals(&self) -> &Signals {
        &self.shared.signals
    }

    /// Takes or renews the lease, by the server's clock, which is the same for all.
    ///
    /// It keeps every process from relaying everything; the order does not hang on it. A relay waits for the log before
    /// it appends a vendor's next decision, and begins with the first that nobody has marked, so a process that was
    /// stopped and goes on after its lease can only append again what is in the log: numbers that the fold has seen.
    async fn may_relay(&self) -> ControlResult<bool> {
        let holder = self.holder.clone();
        let take = move |database: &dyn Database| {
            let taken = database.execute(
                "update relay_lease set holder = ?1,
                   held_until = (extract(epoch from clock_timestamp()) * 1000)::bigint + ?2
                 where id = 1 and
                   (holder = ?1 or held_until < (extract(epoch from clock_timestamp()) * 1000)::bigint)",
                values![holder, RELAY_LEASE_MS],
            )?;
            Ok(taken == 1)
        };
        self.write(Reach::Wiring, Tells::NOTHING, take).await
    }

    /// The others look, and then read.
    fn spread(&self) -> Duration {
        2 * POLL
    }

    /// The server keeps old versions of rows until it vacuums, and its log and backups for longer: what is deleted here
    /// is out of reach of every statement, but not of whoever reads those files and has the master key.
    async fn overwrite_deleted(&self) -> ControlResult<()> {
        Ok(())
    }
}
