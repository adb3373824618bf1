//! What both test binaries need: a started engine and clients for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{Engine, EngineConfig, find_library};
use hyper_util::client::legacy::{Client as HttpClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

pub const KEY: &str = "test-key-0123456789";

/// The library that `scripts/fetch-engine.sh` installed. Missing means failing, with the words to run it.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration; the script reads the same variable")]
pub fn library() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let folder = std::env::var_os("AFFILITRACK_ENGINE_DIR").map_or(repository.join(".cache/engine"), PathBuf::from);
    find_library(&folder).unwrap_or_else(|error| panic!("{error}"))
}

pub fn config(data_dir: &Path) -> EngineConfig {
    EngineConfig {
        library: library(),
        data_dir: data_dir.to_owned(),
        database: "warehouse".to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        max_memory_bytes: 2 * 1024 * 1024 * 1024,
        mark_cache_bytes: 64 * 1024 * 1024,
        connections: 6,
        max_waiting: 256,
        query_timeout: Duration::from_secs(20),
        key: KEY.to_owned(),
    }
}

/// A client as the product makes it.
pub fn client(engine: &Engine) -> clickhouse::Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    clickhouse::Client::with_http_client(HttpClient::builder(TokioExecutor::new()).build(connector))
        .with_url(engine.url())
        .with_password(engine.key())
        .with_database(engine.database())
}

/// The ClickHouse error code in a client's error.
pub fn error_code(error: &clickhouse::error::Error) -> Option<u32> {
    let text = error.to_string();
    let digits = text.split("Code: ").nth(1)?.split('.').next()?;
    digits.parse().ok()
}
