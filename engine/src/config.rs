//! How an engine is started: the values a caller gives, checked, and what they become.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::EngineError;

/// How an engine is started.
#[derive(Clone)]
pub struct EngineConfig {
    /// The library file; [`crate::find_library`] finds it in the folder of `scripts/fetch-engine.sh`.
    pub library: PathBuf,
    /// The storage folder. Made when missing.
    pub data_dir: PathBuf,
    /// The database of statements that name none. Made when missing. Not `default`, which the engine keeps for itself.
    pub database: String,
    /// Where to listen: an address of this machine only. Port 0 takes any free one, see [`crate::Engine::url`].
    pub listen: SocketAddr,
    /// Memory for the whole process, in bytes. A statement that would pass it fails with code 241.
    pub max_memory_bytes: u64,
    /// Memory for marks (the index of what is where in a column file), in bytes.
    pub mark_cache_bytes: u64,
    /// Statements that run at once, 1 to 64. 4 to 8 is right for 2 to 4 cores.
    pub connections: usize,
    /// Requests that may wait for a connection; further ones are refused with code 202.
    pub max_waiting: usize,
    /// Longest run of a statement, longest wait for a connection, longest pause of a client while it sends or reads.
    pub query_timeout: Duration,
    /// The password of every request. Random, and new with every start.
    pub key: String,
}

/// Leaves the key out.
impl std::fmt::Debug for EngineConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EngineConfig")
            .field("library", &self.library)
            .field("data_dir", &self.data_dir)
            .field("database", &self.database)
            .field("listen", &self.listen)
            .field("max_memory_bytes", &self.max_memory_bytes)
            .field("mark_cache_bytes", &self.mark_cache_bytes)
            .field("connections", &self.connections)
            .field("max_waiting", &self.max_waiting)
            .field("query_timeout", &self.query_timeout)
            .finish_non_exhaustive()
    }
}

impl EngineConfig {
    /// Finds values that cannot work.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let problem = |field, problem: String| Err(EngineError::BadConfig { field, problem });
        if !self.listen.ip().is_loopback() {
            return problem("listen", format!("{} is not an address of this machine only; use 127.0.0.1", self.listen));
        }
        if !(1..=64).contains(&self.connections) {
            return problem("connections", format!("{} is not within 1 to 64", self.connections));
        }
        if self.query_timeout.is_zero() {
            return problem("query_timeout", "0 would end every statement at once".to_owned());
        }
        if self.key.len() < 16 {
            return problem("key", "it has fewer than 16 characters; use a random one".to_owned());
        }
        if self.database.is_empty() || self.database == "default" || self.database == "system" {
            return problem("database", format!("{:?} cannot be used; choose a name of your own", self.database));
        }
        if self.max_memory_bytes < 256 * 1024 * 1024 {
            return problem("max_memory_bytes", format!("{} is below 256 MiB", self.max_memory_bytes));
        }
        Ok(())
    }

    /// What the library is told when it opens the folder.
    pub(crate) fn arguments(&self) -> Result<Vec<CString>, EngineError> {
        // The engine joins a relative path onto itself and then finds none of its files.
        let folder = std::path::absolute(&self.data_dir).map_err(|_| EngineError::BadConfig {
            field: "data_dir",
            problem: "it cannot be made absolute".to_owned(),
        })?;
        let path = [b"--path=", folder.as_os_str().as_bytes()].concat();
        let arguments = [
            b"clickhouse".to_vec(),
            path,
            format!("--max_server_memory_usage={}", self.max_memory_bytes).into_bytes(),
            format!("--mark_cache_size={}", self.mark_cache_bytes).into_bytes(),
        ];
        let arguments = arguments.into_iter().map(CString::new).collect::<Result<_, _>>();
        arguments
            .map_err(|_| EngineError::BadConfig { field: "data_dir", problem: "it contains a NUL byte".to_owned() })
    }

    /// What every statement runs with unless it says otherwise.
    pub(crate) fn base_settings(&self) -> BTreeMap<String, String> {
        // One thread per statement gives the most statements per second; larger machines can afford two.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = if cores >= 4 { 2 } else { 1 };
        let seconds = format!("{}.{:03}", self.query_timeout.as_secs(), self.query_timeout.subsec_millis());
        BTreeMap::from([
            ("max_threads".to_owned(), threads.to_string()),
            ("max_insert_threads".to_owned(), "1".to_owned()),
            ("max_execution_time".to_owned(), seconds),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> EngineConfig {
        EngineConfig {
            library: "/nowhere/libchdb.so".into(),
            data_dir: "/nowhere/data".into(),
            database: "warehouse".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            max_memory_bytes: 512 * 1024 * 1024,
            mark_cache_bytes: 64 * 1024 * 1024,
            connections: 4,
            max_waiting: 16,
            query_timeout: Duration::from_millis(2500),
            key: "0123456789abcdef".to_owned(),
        }
    }

    #[test]
    fn wrong_values_are_named() {
        type Spoil = fn(&mut EngineConfig);
        let cases: [(&str, Spoil); 6] = [
            ("listen", |config| config.listen = SocketAddr::from(([0, 0, 0, 0], 0))),
            ("connections", |config| config.connections = 0),
            ("query_timeout", |config| config.query_timeout = Duration::ZERO),
            ("key", |config| config.key = "short".to_owned()),
            ("database", |config| config.database = "default".to_owned()),
            ("max_memory_bytes", |config| config.max_memory_bytes = 0),
        ];
        for (field, spoil) in cases {
            let mut config = config();
            spoil(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
        config().check().unwrap();
    }

    #[test]
    fn the_key_is_never_shown() {
        assert!(!format!("{:?}", config()).contains("0123456789abcdef"));
    }

    #[test]
    fn times_are_passed_in_seconds() {
        assert_eq!(config().base_settings()["max_execution_time"], "2.500");
    }
}
