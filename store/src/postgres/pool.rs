//! A small pool: at most so many connections, a limit on waiting for one, broken ones thrown away.

use super::tls::{self, Tls};
use super::{PostgresConnection, PostgresError, PostgresSettings};
use domain::ids::VendorId;
use postgres::config::Host;
use postgres::{Config, NoTls};
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A connection that the network lost is noticed after this time of silence.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// What Postgres allows for a name, less room for suffixes.
const LONGEST_SCHEMA: usize = 48;

/// Connections to one database and schema.
pub struct PostgresPool {
    config: Config,
    tls: Option<Tls>,
    settings: PostgresSettings,
    place: String,
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    idle: Vec<PostgresConnection>,
    /// Idle, lent and being opened.
    open: usize,
}

impl PostgresPool {
    /// Checks the settings and opens the first connection. Makes nothing in the database.
    pub fn connect(settings: PostgresSettings) -> Result<Arc<PostgresPool>, PostgresError> {
        let mut config = config(&settings)?;
        let tls = tls::prepare(&mut config, &settings)?;
        let place = place(&config);
        let state = Mutex::new(State { idle: Vec::new(), open: 0 });
        let pool = Arc::new(PostgresPool { config, tls, settings, place, state, freed: Condvar::new() });
        pool.run(|_| Ok::<(), PostgresError>(()))?;
        Ok(pool)
    }

    /// Schema in which unqualified names are looked up.
    pub fn schema(&self) -> &str {
        &self.settings.schema
    }

    /// Lends a connection. Each statement is a transaction of its own.
    ///
    /// Nothing is tried again. After a restart of the server the first call may meet a dead connection and fail;
    /// transactions do not, because beginning is safe to repeat.
    pub fn run<T, E: From<PostgresError>>(
        &self,
        work: impl FnOnce(&mut PostgresConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        tokio::task::block_in_place(|| {
            let mut lease = self.lend()?;
            let result = work(lease.connection());
            lease.give_back();
            result
        })
    }

    /// One transaction (read committed): committed if `work` returns Ok, otherwise rolled back.
    ///
    /// A transaction that loses against another (`PostgresError::lost_a_race`) is not begun again here: what it read
    /// may be out of date, so the caller decides. When the answer to the commit is lost, it may have happened.
    pub fn transaction<T, E: From<PostgresError>>(
        &self,
        work: impl FnOnce(&mut PostgresConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.within("begin", work)
    }

    /// A transaction that only reads and sees one state of the database.
    pub fn snapshot<T, E: From<PostgresError>>(
        &self,
        work: impl FnOnce(&mut PostgresConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.within("begin isolation level repeatable read read only", work)
    }

    /// A snapshot in which row-level security shows the rows of one tenant only.
    pub fn vendor_snapshot<T, E: From<PostgresError>>(
        &self,
        vendor: VendorId,
        work: impl FnOnce(&mut PostgresConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let begin = format!("begin isolation level repeatable read read only; {}", only(vendor));
        self.within(&begin, work)
    }

    /// A transaction in which row-level security shows, and lets write, the rows of one tenant only.
    pub fn vendor_transaction<T, E: From<PostgresError>>(
        &self,
        vendor: VendorId,
        work: impl FnOnce(&mut PostgresConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.within(&format!("begin; {}", only(vendor)), work)
    }

    fn within<T, E: From<PostgresError>>(
        &self,
        begin: &str,
        work: impl FnOnce(&mut PostgresConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        tokio::task::block_in_place(|| {
            let mut lease = self.begin(begin)?;
            match work(lease.connection()) {
                Ok(value) => {
                    lease.connection().batch("commit")?;
                    lease.give_back();
                    Ok(value)
                }
                Err(error) => {
                    // A connection that cannot roll back is thrown away, which rolls back too.
                    if lease.connection().batch("rollback").is_ok() {
                        lease.give_back();
                    }
                    Err(error)
                }
            }
        })
    }

    /// Begins on a connection that answers. A dead one means that the server was away, so the other idle ones are
    /// forgotten with it.
    fn begin(&self, begin: &str) -> Result<Lease<'_>, PostgresError> {
        let mut lease = self.lend()?;
        match lease.connection().batch(begin) {
            Err(_) if lease.connection().is_broken() => {
                drop(lease);
                let mut lease = self.lend()?;
                lease.connection().batch(begin)?;
                Ok(lease)
            }
            Err(error) => Err(error),
            Ok(()) => Ok(lease),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lend(&self) -> Result<Lease<'_>, PostgresError> {
        let (size, wait) = (self.settings.pool_size, self.settings.wait_timeout);
        let all_busy = |state: &mut State| state.idle.is_empty() && state.open >= size;
        let (mut state, waited) =
            self.freed.wait_timeout_while(self.state(), wait, all_busy).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(PostgresError::Busy { place: self.place.clone(), size, waited_ms: wait.as_millis() });
        }
        let idle = state.idle.pop();
        state.open += usize::from(idle.is_none());
        drop(state);
        let mut lease = Lease { pool: self, connection: idle, sound: false };
        if lease.connection.is_none() {
            lease.connection = Some(self.open()?);
        }
        Ok(lease)
    }

    fn open(&self) -> Result<PostgresConnection, PostgresError> {
        let connected = match &self.tls {
            None => self.config.connect(NoTls),
            Some(tls) => self.config.connect(tls.clone()),
        };
        connected
            .and_then(|client| PostgresConnection::prepare_session(client, &self.settings))
            .map_err(|source| PostgresError::Connect { place: self.place.clone(), source })
    }
}

impl Drop for PostgresPool {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let idle = std::mem::take(&mut state.idle);
        // Closing blocks, and the last owner may let go on a thread that must not. If there is no thread to be had,
        // this one does it.
        if !idle.is_empty() {
            let _ = std::thread::Builder::new().name("postgres-close".to_owned()).spawn(move || drop(idle));
        }
    }
}

/// A lent connection. Dropped without `give_back`, also by a panic, it is closed.
struct Lease<'a> {
    pool: &'a PostgresPool,
    connection: Option<PostgresConnection>,
    sound: bool,
}

impl Lease<'_> {
    fn connection(&mut self) -> &mut PostgresConnection {
        self.connection.as_mut().expect("a lease holds a connection until it is dropped")
    }

    fn give_back(mut self) {
        self.sound = true;
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let connection = self.connection.take();
        let broken = connection.as_ref().is_some_and(PostgresConnection::is_broken);
        let mut state = self.pool.state();
        let mut dead = Vec::new();
        match connection {
            Some(connection) if self.sound && !broken => state.idle.push(connection),
            connection => {
                dead.extend(connection);
                state.open -= 1;
            }
        }
        if broken {
            state.open -= state.idle.len();
            dead.append(&mut state.idle);
        }
        drop(state);
        self.pool.freed.notify_all();
        drop(dead);
    }
}

/// Hides the rows of everybody else until the end of the transaction.
fn only(vendor: VendorId) -> String {
    format!("set local affilitrack.\"all\" = 'off'; set local affilitrack.vendor = '{}'", vendor.0)
}

fn config(settings: &PostgresSettings) -> Result<Config, PostgresError> {
    let wrong = |words: &str| Err(PostgresError::Settings(words.to_owned()));
    let Ok(mut config) = Config::from_str(&settings.url) else {
        if tls::sslmode(&settings.url).is_some_and(|mode| mode.starts_with("verify-")) {
            return wrong(
                "sslmode in the URL may be disable, prefer or require; for verify-ca and verify-full set postgres.tls",
            );
        }
        return wrong("the URL cannot be read; it looks like postgres://user:password@host:5432/database");
    };
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return wrong("the URL names no host");
    }
    let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_';
    let schema = settings.schema.as_bytes();
    let begins_well = schema.first().is_some_and(|letter| !letter.is_ascii_digit());
    if !begins_well || schema.len() > LONGEST_SCHEMA || !schema.iter().copied().all(plain) {
        return wrong(
            "a schema name is lower-case letters, digits and underscores, at most 48, and begins with no digit",
        );
    }
    if settings.pool_size == 0 {
        return wrong("the pool needs at least one connection");
    }
    config
        .application_name(&settings.application_name)
        .connect_timeout(settings.connect_timeout)
        .tcp_user_timeout(settings.statement_timeout)
        .keepalives_idle(KEEPALIVE);
    Ok(config)
}

/// Host, port and database, without the password.
fn place(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}/{}", config.get_dbname().unwrap_or_default())
}
