//! Starts, watches and ends one instance of the product, from outside.

use crate::client::{Http, LocalSocket};
use bytes::Bytes;
use hyper::Method;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long the first answer of the local socket is waited for.
const START_LIMIT: Duration = Duration::from_secs(90);
/// How long an ordered end may take before SIGKILL.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How many lines of its log a message shows.
const LOG_LINES_SHOWN: usize = 20;

/// What went wrong with the instance itself.
#[derive(Debug, thiserror::Error)]
pub enum ProductError {
    /// It could not be started.
    #[error("cannot start {}: {source} (build it first, or name another binary)", binary.display())]
    NotStarted {
        /// Which program.
        binary: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended by itself.
    #[error("the product ended by itself ({status}); the end of its log:\n{log}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// Last lines of its output.
        log: String,
    },
    /// It runs but does not answer.
    #[error("the product did not answer on {at} within {} seconds; the end of its log:\n{log}", START_LIMIT.as_secs())]
    Silent {
        /// Its local socket or address.
        at: String,
        /// Last lines of its output.
        log: String,
    },
    /// Its state cannot be asked.
    #[error("cannot watch the product: {0}")]
    System(#[from] std::io::Error),
}

/// How to start an instance.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// The program.
    pub binary: PathBuf,
    /// Its command: `run`, or a role.
    pub command: &'static str,
    /// Its data folder.
    pub data_dir: PathBuf,
    /// Its port; 0 = any free one.
    pub port: u16,
    /// Where its output goes (appended).
    pub log_file: PathBuf,
    /// More environment variables.
    pub environment: Vec<(String, String)>,
}

/// A running instance. Dropping it kills it.
#[derive(Debug)]
pub struct Product {
    child: Child,
    log_file: PathBuf,
    socket: PathBuf,
    url: String,
}

impl Product {
    /// Starts the command in a process group of its own and waits until it answers.
    pub async fn start(options: &StartOptions) -> Result<Product, ProductError> {
        let mut product = Product::launch(options)?;
        product.url = match options.command {
            "run" | "serve" => product.wait_for_url().await?,
            _ => product.wait_until_ready(options.port).await?,
        };
        Ok(product)
    }

    /// Starts the command without waiting for anything: it may have a reason not to get ready.
    pub fn launch(options: &StartOptions) -> Result<Product, ProductError> {
        let output = open_log(&options.log_file)?;
        let child = Command::new(&options.binary)
            .arg(options.command)
            .env("DATA_DIR", &options.data_dir)
            .env("PORT", options.port.to_string())
            .env("AFFILITRACK_DEMO", "off")
            // Every figure is read back: the budget of a person is not meant for that.
            .env("AFFILITRACK_API_REQUESTS_PER_MINUTE_PER_KEY", "1000000")
            .env("AFFILITRACK_API_BURST_PER_KEY", "1000000")
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| ProductError::NotStarted { binary: options.binary.clone(), source })?;
        let socket = options.data_dir.join("affilitrack.sock");
        Ok(Product { child, log_file: options.log_file.clone(), socket, url: String::new() })
    }

    /// Where it listens, for example `http://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process number, unless it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its local control socket.
    pub fn socket(&self) -> LocalSocket {
        LocalSocket::new(&self.socket)
    }

    /// An error with the end of its log if it has ended by itself.
    pub fn check_running(&mut self) -> Result<(), ProductError> {
        match self.child.try_wait()? {
            Some(status) => Err(ProductError::Ended { status, log: self.log_tail() }),
            None => Ok(()),
        }
    }

    /// The last lines of its output.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log_file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    /// SIGTERM, then SIGKILL after a minute. Says whether it ended in order.
    pub async fn stop(mut self) -> Result<bool, ProductError> {
        self.signal("TERM").await?;
        if let Ok(status) = tokio::time::timeout(STOP_LIMIT, self.child.wait()).await {
            status?;
            return Ok(true);
        }
        self.kill().await?;
        Ok(false)
    }

    /// SIGSTOP: it stands still, as a machine that is paused.
    pub async fn freeze(&self) -> Result<(), ProductError> {
        self.signal("STOP").await
    }

    /// SIGCONT: it goes on as if no time had passed.
    pub async fn thaw(&self) -> Result<(), ProductError> {
        self.signal("CONT").await
    }

    /// SIGTERM, without waiting for the end.
    pub async fn ask_to_stop(&self) -> Result<(), ProductError> {
        self.signal("TERM").await
    }

    /// SIGKILL for the whole process group, as a power cut would; waits until it is gone.
    pub async fn kill(&mut self) -> Result<(), ProductError> {
        self.signal("KILL").await?;
        self.child.wait().await?;
        Ok(())
    }

    /// Signals the process group of the instance through the shell's built-in `kill`.
    async fn signal(&self, name: &str) -> Result<(), ProductError> {
        let Some(pid) = self.child.id() else { return Ok(()) };
        Command::new("sh")
            .args(["-c", "kill -s \"$0\" -- \"-$1\"", name, &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await?;
        Ok(())
    }

    /// A role without pages has no local socket; it says over HTTP that it is ready.
    async fn wait_until_ready(&mut self, port: u16) -> Result<String, ProductError> {
        let url = format!("http://127.0.0.1:{port}");
        let deadline = Instant::now() + START_LIMIT;
        let http = Http::default();
        loop {
            self.check_running()?;
            let reply = http.send(Method::GET, &format!("{url}/readyz"), &[], Bytes::new()).await;
            if reply.is_ok_and(|reply| reply.status == 200) {
                return Ok(url);
            }
            if Instant::now() >= deadline {
                return Err(ProductError::Silent { at: url, log: self.log_tail() });
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn wait_for_url(&mut self) -> Result<String, ProductError> {
        let deadline = Instant::now() + START_LIMIT;
        let socket = self.socket();
        loop {
            self.check_running()?;
            if self.socket.exists()
                && let Ok(status) = socket.get("/v1/status").await
                && let Some(url) = status.get("url").and_then(Value::as_str)
            {
                return Ok(url.trim_end_matches('/').to_owned());
            }
            if Instant::now() >= deadline {
                return Err(ProductError::Silent { at: self.socket.display().to_string(), log: self.log_tail() });
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

fn open_log(path: &Path) -> Result<File, ProductError> {
    Ok(OpenOptions::new().create(true).append(true).open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(binary: &Path, folder: &Path) -> StartOptions {
        StartOptions {
            binary: binary.to_owned(),
            command: "run",
            data_dir: folder.join("data"),
            port: 0,
            log_file: folder.join("product.log"),
            environment: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_missing_binary_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Product::start(&options(Path::new("/nowhere/affilitrack"), folder.path())).await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/affilitrack"), "{error}");
    }

    #[tokio::test]
    async fn a_product_that_ends_at_once_shows_its_log() {
        let folder = tempfile::tempdir().unwrap();
        // `echo run` writes its argument and is gone.
        let error = Product::start(&options(Path::new("/bin/echo"), folder.path())).await.unwrap_err();
        assert!(error.to_string().ends_with("log:\nrun"), "{error}");
    }
}
