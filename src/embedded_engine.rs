//! Starts the embedded warehouse engine: for this process alone, or as a warehouse for others.

use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::engine_library;
use engine::{Engine, EngineConfig};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use store::secrets::system_random;

/// Where an engine listens and what it asks of who comes.
pub struct Door {
    /// Its HTTP address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The password of every request.
    pub key: String,
}

/// A door for this process alone: a free port of this machine, and a key that nobody is told.
pub fn own_use() -> anyhow::Result<Door> {
    let mut key = [0_u8; 24];
    system_random()(&mut key).map_err(|error| anyhow::anyhow!("no randomness for the engine's key: {error}"))?;
    Ok(Door { listen: ([127, 0, 0, 1], 0).into(), key: hex::encode(key) })
}

/// Finds the library, opens the storage in the data folder, and listens.
#[expect(clippy::disallowed_methods, reason = "the wiring hands the environment to what takes it as an argument")]
pub async fn start(config: &Config, folder: &DataFolder, door: Door) -> anyhow::Result<Engine> {
    let settings = &config.warehouse;
    let library = engine_library::find(&engine_library::Search {
        configured: settings.library.clone(),
        engine_dir: std::env::var_os("AFFILITRACK_ENGINE_DIR").map(PathBuf::from),
        binary: std::env::current_exe().ok(),
        working_dir: std::env::current_dir().unwrap_or_default(),
    })
    .map_err(anyhow::Error::msg)?;
    let engine = EngineConfig {
        library,
        data_dir: folder.warehouse(),
        database: settings.database.clone(),
        listen: door.listen,
        max_memory_bytes: settings.max_memory_mb << 20,
        mark_cache_bytes: 64 << 20,
        connections: settings.connections,
        max_waiting: 512,
        query_timeout: Duration::from_secs(settings.query_timeout_s),
        key: door.key,
    };
    Ok(Engine::start(engine).await?)
}
