//! Two of each role that look from outside like `affilitrack run`: one address, one local socket in the data folder, one
//! printed link, one ctrl-c. So whatever tests one process can test them.

use anyhow::{Context, Result};
use corpus::cluster::{Cluster, ClusterOptions};
use std::fs::File;
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
const LOOK: Duration = Duration::from_millis(200);

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
        from: None,
    })
    .await?;
    let socket = cluster.socket();
    link(&folder.join("serve-1/affilitrack.sock"), &folder.join("affilitrack.sock"))?;
    let login = socket.post("/v1/login", &serde_json::Value::Null).await?;
    writeln!(out, "Open {}", login["url"].as_str().context("an answer without a link")?)?;
    out.flush()?;
    let mut logs = Logs::of(&folder)?;
    let ended = loop {
        tokio::select! {
            _ = interrupted.recv() => break Ok(()),
            _ = terminated.recv() => break Ok(()),
            () = tokio::time::sleep(LOOK) => if let Err(error) = cluster.check_running() { break Err(error) },
        }
        logs.pass_on(&mut std::io::stderr())?;
    };
    let in_order = cluster.stop().await?;
    logs.pass_on(&mut std::io::stderr())?;
    ended?;
    Ok(in_order)
}

/// What the processes say, passed on as if one said it.
struct Logs(Vec<File>);

impl Logs {
    fn of(folder: &Path) -> Result<Logs> {
        let mut logs = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "log") {
                logs.push(File::open(path)?);
            }
        }
        Ok(Logs(logs))
    }

    /// What was written since the last time.
    fn pass_on(&mut self, to: &mut dyn Write) -> Result<()> {
        for log in &mut self.0 {
            std::io::copy(log, to)?;
        }
        Ok(())
    }
}

/// A link to the socket of the first that shows pages, in the place where one process would have its own.
fn link(socket: &Path, place: &Path) -> Result<()> {
    match std::fs::remove_file(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(std::os::unix::fs::symlink(socket, place)?)
}
