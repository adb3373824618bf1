//! Postgres: settings, a bounded pool of connections, migrations. Each store has a schema of its own, so that several
//! may share a database.
//!
//! Calls block. They belong on a thread that may block (`tokio::task::spawn_blocking`, a thread of one's own); called
//! from a worker of a multi-threaded runtime they hand its other work over first. In a current-thread runtime they panic.

mod channel_binding;
mod connection;
mod migrate;
mod pool;
#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;
mod tls;
#[cfg(test)]
mod tls_tests;

pub use connection::PostgresConnection;
pub use migrate::{Migration, check, migrate};
pub use pool::PostgresPool;
pub use tls::{PostgresTls, sslmode};

use postgres::error::SqlState;
use std::fmt;
use std::time::Duration;

/// How to reach a database, and the limits of doing so.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database`; secret.
    pub url: String,
    /// How connections are protected.
    pub tls: PostgresTls,
    /// Schema of the store: lower-case letters, digits and underscores. All unqualified names are looked up in it.
    pub schema: String,
    /// Connections at most, at least 1.
    pub pool_size: usize,
    /// The longest that opening a connection may take.
    pub connect_timeout: Duration,
    /// The longest that a caller waits for a free connection.
    pub wait_timeout: Duration,
    /// The longest that one statement, one wait for a lock, or a pause inside a transaction may take. The server ends
    /// what takes longer; so a process that was stopped inside a transaction does not keep its locks.
    pub statement_timeout: Duration,
    /// Shown by the server in `pg_stat_activity`.
    pub application_name: String,
    /// Sees the rows of all tenants (`affilitrack.all`). Without it a connection sees no tenant's rows until a
    /// transaction says whose it reads (`PostgresPool::vendor_snapshot`).
    pub all_tenants: bool,
}

impl PostgresSettings {
    /// Default limits, for a trusted role that sees all tenants.
    pub fn new(url: &str, schema: &str) -> PostgresSettings {
        PostgresSettings {
            url: url.to_owned(),
            tls: PostgresTls::default(),
            schema: schema.to_owned(),
            pool_size: 8,
            connect_timeout: Duration::from_secs(5),
            wait_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            application_name: "affilitrack".to_owned(),
            all_tenants: true,
        }
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings")
            .field("url", &"(secret)")
            .field("tls", &self.tls)
            .field("schema", &self.schema)
            .field("pool_size", &self.pool_size)
            .field("connect_timeout", &self.connect_timeout)
            .field("wait_timeout", &self.wait_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("application_name", &self.application_name)
            .field("all_tenants", &self.all_tenants)
            .finish()
    }
}

/// What went wrong with Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The settings make no sense.
    #[error("the Postgres settings are wrong: {0}")]
    Settings(String),
    /// No connection.
    #[error("cannot connect to Postgres at {place}: {}", words(source))]
    Connect {
        /// Host, port and database.
        place: String,
        /// Why.
        source: postgres::Error,
    },
    /// All connections were busy for too long.
    #[error(
        "all {size} connections to Postgres at {place} were busy for {waited_ms} ms: raise the pool size, or find what holds them in pg_stat_activity"
    )]
    Busy {
        /// Host, port and database.
        place: String,
        /// Connections at most.
        size: usize,
        /// How long was waited.
        waited_ms: u128,
    },
    /// A statement failed.
    #[error("Postgres: {}", words(.0))]
    Statement(#[from] postgres::Error),
    /// The schema was changed by a newer version in a way that this one cannot work with.
    #[error(
        "schema {schema} of the database has version {found} and wants a binary that knows at least version {wanted}; this one knows versions up to {known}: start the newer binary"
    )]
    NewerSchema {
        /// Which schema.
        schema: String,
        /// Newest version applied.
        found: u32,
        /// What the applied steps ask for.
        wanted: u32,
        /// Newest version known here.
        known: u32,
    },
    /// Steps are missing and may not be applied here.
    #[error(
        "schema {schema} of the database has version {found}, this binary needs {known}: run `affilitrack migrate` first"
    )]
    OlderSchema {
        /// Which schema.
        schema: String,
        /// Newest version applied.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
    /// An applied step is not the one that this binary knows.
    #[error(
        "migration {version} ({name}) of schema {schema} is not the one that was applied: migrations are never edited, add another"
    )]
    ChangedMigration {
        /// Which schema.
        schema: String,
        /// Which step.
        version: u32,
        /// Its name.
        name: &'static str,
    },
    /// A step did not apply. The schema is as it was before it.
    #[error("migration {version} ({name}) of schema {schema} failed: {source}")]
    Migration {
        /// Which schema.
        schema: String,
        /// Which step.
        version: u32,
        /// Its name.
        name: &'static str,
        /// Why.
        source: Box<PostgresError>,
    },
}

impl PostgresError {
    /// The server's code, if the server answered.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            PostgresError::Statement(source) | PostgresError::Connect { source, .. } => source.code(),
            PostgresError::Migration { source, .. } => source.code(),
            _ => None,
        }
    }

    /// The transaction lost against another and left nothing; the caller decides whether to begin again.
    pub fn lost_a_race(&self) -> bool {
        matches!(self.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED))
    }

    /// A row with this key is there already.
    pub fn is_unique_violation(&self) -> bool {
        self.code() == Some(&SqlState::UNIQUE_VIOLATION)
    }
}

/// The setting that names who is believed.
const CA_FILE: &str = "postgres.tls_ca_file";

/// What the server said, or why it could not be asked. Never the values of rows (the server's DETAIL).
fn words(error: &postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let said = format!("{} ({})", said.message(), said.code().code());
        // Its own words for: only encrypted connections are let in.
        let wants_tls = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
            && (said.contains("no encryption") || said.contains("SSL off"));
        return if wants_tls { format!("{said}: set postgres.tls") } else { said };
    }
    let said = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    if said.contains("server does not support TLS") {
        return format!("{said}: turn it on there, or set postgres.tls = \"off\" (and no sslmode in the URL)");
    }
    match crate::tls::handshake_advice(error, CA_FILE) {
        Some(advice) => format!("{said}: {advice}"),
        None => said,
    }
}
