//! `affilitrack warehouse`: the embedded engine as a process of its own, for roles that share it.

use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::embedded_engine::{self, Door};
use std::net::SocketAddr;

/// Starts the engine, says where it answers, and runs until it is told to stop.
pub async fn run(config: &Config, listen: SocketAddr) -> anyhow::Result<()> {
    crate::run::start_telemetry(config)?;
    let key = config.warehouse.password.expose();
    anyhow::ensure!(
        !key.is_empty(),
        "warehouse.password is empty: give this warehouse a password (AFFILITRACK_WAREHOUSE_PASSWORD), and the roles the same one"
    );
    let folder = DataFolder::open(&config.data.dir)?;
    let engine = embedded_engine::start(config, &folder, Door { listen, key: key.to_owned() }).await?;
    println!("The warehouse answers at {}", engine.url());
    crate::run::stop_signal().await?;
    Ok(engine.shutdown().await?)
}
