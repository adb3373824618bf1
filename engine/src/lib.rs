//! The embedded warehouse: ClickHouse's engine, loaded into this process, behind an HTTP endpoint that speaks
//! ClickHouse's own protocol.
//!
//! The rest of the product talks to a warehouse through the official `clickhouse` crate and does not know which one it
//! has: a ClickHouse server, or this. So there is one SQL dialect, one client and one set of queries.
//!
//! # The path of a statement
//!
//! 1. `http` checks the key and reads the request (`protocol`, `body`, `compression`).
//! 2. `pool` reserves one of a fixed number of threads, or refuses when too many wait.
//! 3. The thread gives its connection the request's database and settings (`session`) and runs the statement (`job`).
//! 4. Chunks travel back through a short channel; the first one decides the HTTP status.
//!
//! # How to make a client
//!
//! [`Engine::url`], [`Engine::key`] (as the password) and [`Engine::database`] are all that a client needs. One thing is
//! worth doing: the crate's default connector leaves Nagle's algorithm on, which costs 40 ms on many small requests.
//! Build the client with a connector of your own:
//!
//! ```no_run
//! # use hyper_util::{client::legacy::{Client, connect::HttpConnector}, rt::TokioExecutor};
//! # fn make(engine: &engine::Engine) -> clickhouse::Client {
//! let mut connector = HttpConnector::new();
//! connector.set_nodelay(true);
//! let http = Client::builder(TokioExecutor::new()).build(connector);
//! clickhouse::Client::with_http_client(http)
//!     .with_url(engine.url())
//!     .with_password(engine.key())
//!     .with_database(engine.database())
//! # }
//! ```
//!
//! # What is different from a server
//!
//! - One process, one storage folder. A second process on the folder is refused ([`EngineError::Locked`]).
//! - No users, roles, quotas, query log, `KILL QUERY`, sessions, replication or asynchronous inserts.
//! - Answers are not compressed. A client that asks for LZ4 takes them uncompressed too.
//! - One statement per request. `SET`, `USE` and temporary tables end with their request; send settings with it instead.
//! - An insert of more than about a million rows is committed in several blocks; one that is broken off may have
//!   committed some. Repeat it with the same `insert_deduplication_token`.
//! - Whoever holds the key can read files as this process (`file()`). The endpoint listens on this machine only, the
//!   key is new with every start and is shown to nobody.

mod body;
mod compression;
mod config;
mod error;
mod ffi;
mod http;
mod job;
mod pool;
mod protocol;
mod session;
mod statement;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use crate::config::EngineConfig;
pub use crate::error::{EngineError, QueryError};
use crate::http::Endpoint;
use crate::pool::{Pool, PoolLimits};
use crate::session::{Session, SessionOptions, quote_identifier};

/// The version of the library this crate was written for and tested with. `package-engine/` pins the same.
pub const LIBRARY_VERSION: &str = "26.7.3";

/// Where the library lies in the folder that `scripts/fetch-engine.sh` fills.
const LIBRARY_IN_FOLDER: &str = "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";

/// Time that running statements get when the engine is shut down.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// One process can hold one storage folder; the library enforces it with a null pointer, we with words.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Finds the library in a folder that `scripts/fetch-engine.sh` filled.
///
/// # Errors
/// [`EngineError::LibraryMissing`] when it is not there.
pub fn find_library(engine_folder: &Path) -> Result<PathBuf, EngineError> {
    let path = engine_folder.join(LIBRARY_IN_FOLDER);
    if path.is_file() { Ok(path) } else { Err(EngineError::LibraryMissing { path }) }
}

/// A running engine with its endpoint. End it with [`Engine::shutdown`].
///
/// Dropping it instead only stops the endpoint: the storage stays open until the process ends, which loses nothing,
/// but the process cannot start another engine.
pub struct Engine {
    endpoint: Arc<Endpoint>,
    url: String,
    /// Keeps the storage open while the pool replaces its connections, and is closed last.
    anchor: Mutex<Option<Session>>,
    server: JoinHandle<std::io::Result<()>>,
    stop: CancellationToken,
}

/// Leaves the key out.
impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("url", &self.url)
            .field("database", &self.endpoint.database)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Loads the library, opens the storage folder, makes the database and listens.
    ///
    /// # Errors
    /// Every way in which this can fail, each with what to do about it: see [`EngineError`].
    pub async fn start(config: EngineConfig) -> Result<Engine, EngineError> {
        config.check()?;
        check_processor()?;
        let claim = Claim::take()?;
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.map_err(|source| EngineError::Listen { address: config.listen, source })?;
        let address = listener.local_addr();
        let address = address.map_err(|source| EngineError::Listen { address: config.listen, source })?;
        let for_opening = config.clone();
        let (options, anchor, pool) = blocking(move || open_storage(&for_opening)).await??;
        tracing::info!(
            data_dir = %config.data_dir.display(),
            endpoint = %address,
            connections = config.connections,
            threads_per_statement = options.base_settings["max_threads"],
            "the embedded warehouse is ready",
        );
        let endpoint = Arc::new(Endpoint {
            pool,
            exception_tag: exception_tag(&config.key),
            key: config.key,
            database: config.database,
            stall_limit: config.query_timeout,
            give_up: CancellationToken::new(),
        });
        let stop = CancellationToken::new();
        let server = serve(listener, Arc::clone(&endpoint), stop.clone());
        claim.keep();
        Ok(Engine { endpoint, url: format!("http://{address}"), anchor: Mutex::new(Some(anchor)), server, stop })
    }

    /// The endpoint, for example `http://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The password of every request. Never log it.
    pub fn key(&self) -> &str {
        &self.endpoint.key
    }

    /// The database of statements that name none.
    pub fn database(&self) -> &str {
        &self.endpoint.database
    }

    fn take_anchor(&self) -> Option<Session> {
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes no more requests, lets running statements end (10 seconds, then their clients are cut off), closes every
    /// connection and with the last one the storage folder. The folder can be opened again afterwards, by this process
    /// or another one.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`] when the runtime is ending at the same time.
    pub async fn shutdown(mut self) -> Result<(), EngineError> {
        self.stop.cancel();
        if tokio::time::timeout(DRAIN_LIMIT, &mut self.server).await.is_err() {
            tracing::warn!(
                drain_limit_seconds = DRAIN_LIMIT.as_secs(),
                "some warehouse statements did not end in time; their clients are cut off",
            );
            self.endpoint.give_up.cancel();
            self.server.abort();
        }
        let endpoint = Arc::clone(&self.endpoint);
        let anchor = self.take_anchor();
        blocking(move || {
            endpoint.pool.close();
            drop(anchor);
            RUNNING.store(false, Ordering::Release);
        })
        .await
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(anchor) = self.take_anchor() {
            // Closing may block for a quarter of a second, and this may be a thread of the runtime. The end of the
            // process closes the storage just as well.
            let _open = std::mem::ManuallyDrop::new(anchor);
        }
    }
}

/// The right to be this process's one engine. Given back when dropped, unless kept.
struct Claim;

impl Claim {
    fn take() -> Result<Self, EngineError> {
        if RUNNING.swap(true, Ordering::Acquire) { Err(EngineError::AlreadyRunning) } else { Ok(Self) }
    }

    /// The engine is up; [`Engine::shutdown`] gives the claim back.
    fn keep(self) {
        let _kept = std::mem::ManuallyDrop::new(self);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        RUNNING.store(false, Ordering::Release);
    }
}

/// The library is built for x86-64-v3 and would die of an illegal instruction on anything less.
fn check_processor() -> Result<(), EngineError> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("bmi2") {
        return Ok(());
    }
    Err(EngineError::UnsupportedProcessor)
}

/// Everything that blocks at start. Should a later step fail, the session closes and the folder is free again.
fn open_storage(config: &EngineConfig) -> Result<(Arc<SessionOptions>, Session, Pool), EngineError> {
    let api = ffi::Api::load(&config.library)?;
    let folder_error = |source| EngineError::DataFolder { path: config.data_dir.clone(), source };
    // What vendors earn is nobody else's business on this machine.
    DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir).map_err(folder_error)?;
    if is_locked(&config.data_dir).map_err(folder_error)? {
        return Err(EngineError::Locked { path: config.data_dir.clone() });
    }
    let options = SessionOptions { api, arguments: config.arguments()?, base_settings: config.base_settings() };
    // The first connection opens the storage; asked for on its own, so that its failure has its own words.
    let first = ffi::Connection::open(api, &options.arguments)
        .ok_or_else(|| EngineError::Open { path: config.data_dir.clone() })?;
    let mut anchor = Session::open(&options)?;
    drop(first);
    let database = quote_identifier(&config.database);
    anchor.execute(&format!("CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic"))?;
    let options = Arc::new(options);
    let limits =
        PoolLimits { connections: config.connections, max_waiting: config.max_waiting, wait: config.query_timeout };
    let pool = Pool::start(limits, Arc::clone(&options))
        .map_err(|error| EngineError::Interrupted(format!("no thread could be started: {error}")))?;
    Ok((options, anchor, pool))
}

/// Whether another process holds the engine's lock, the file `status` in its folder. The engine itself would only
/// answer with a null pointer.
fn is_locked(folder: &Path) -> std::io::Result<bool> {
    let file = match File::open(folder.join("status")) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        // Closing the file releases it again.
        Ok(()) => Ok(false),
        Err(std::fs::TryLockError::WouldBlock) => Ok(true),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Marks late errors in answers. A hash of the key: constant for a start, unknown to whoever writes data.
fn exception_tag(key: &str) -> String {
    let hash = cityhash_rs::cityhash_110_128(key.as_bytes());
    format!("{hash:032x}")[..16].to_owned()
}

fn serve(listener: TcpListener, endpoint: Arc<Endpoint>, stop: CancellationToken) -> JoinHandle<std::io::Result<()>> {
    // Without this, answers wait up to 40 ms for an acknowledgement of their headers.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let server = axum::serve(listener, http::router(endpoint)).with_graceful_shutdown(stop.cancelled_owned());
    tokio::spawn(async move { server.await })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| EngineError::Interrupted(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_names_the_script() {
        let error = find_library(Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("Run scripts/fetch-engine.sh"), "{error}");
    }

    #[test]
    fn the_tag_depends_on_the_key_and_hides_it() {
        assert_ne!(exception_tag("0123456789abcdef"), exception_tag("0123456789abcdeg"));
        assert_eq!(exception_tag("0123456789abcdef").len(), 16);
        assert!(!exception_tag("0123456789abcdef").contains("0123"));
    }
}
