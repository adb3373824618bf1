//! Two of each role that look from outside like `affilitrack run`: one address, one local socket in the data folder, one
//! printed link, one ctrl-c. So whatever tests one process can test them.

use anyhow::{Context, Result};
use corpus::cluster::{Cluster, ClusterOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// What to start.
#[derive(Debug, Clone)]
pub struct AsOneOptions {
    /// The product's binary.
    pub binary: PathBuf,
    /// Folder for the data folders of all; also names their topics, schemas and tables.
    pub data_dir: PathBuf,
    /// Port of the one address; 0 = any free one.
    pub port: u16,
    /// `on` or `off`.
    pub demo: String,
}

/// How often it is looked whether all of them live.
const LOOK: Duration = Duration::from_millis(500);

/// Starts them, prints the link, and runs until it is told to stop. True if all ended in order.
pub async fn run(options: &AsOneOptions, out: &mut (dyn Write + Send)) -> Result<bool> {
    std::fs::create_dir_all(&options.data_dir)?;
    let folder = std::path::absolute(&options.data_dir)?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut cluster = Cluster::start(&ClusterOptions {
        binary: options.binary.clone(),
        folder: folder.clone(),
        port: options.port,
        copies: 2,
        environment: vec![("AFFILITRACK_DEMO".to_owned(), options.demo.clone())],
    })
    .await?;
    let socket = cluster.socket();
    link(&folder.join("serve-1/affilitrack.sock"), &folder.join("affilitrack.sock"))?;
    let login = socket.post("/v1/login", &serde_json::Value::Null).await?;
    writeln!(out, "Open {}", login["url"].as_str().context("an answer without a link")?)?;
    out.flush()?;
    let ended = loop {
        tokio::select! {
            _ = interrupted.recv() => break Ok(()),
            _ = terminated.recv() => break Ok(()),
            () = tokio::time::sleep(LOOK) => if let Err(error) = cluster.check_running() { break Err(error) },
        }
    };
    let in_order = cluster.stop().await?;
    ended?;
    Ok(in_order)
}

/// A link to the socket of the first that shows pages, in the place where one process would have its own.
fn link(socket: &Path, place: &Path) -> Result<()> {
    match std::fs::remove_file(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(std::os::unix::fs::symlink(socket, place)?)
}
