//! A Kafka broker of our own behind a line that can be broken: the one that is shared with others is never touched.

use super::line::Line;
use anyhow::{Context, Result, bail, ensure};
use corpus::cluster::free_port;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// What it has in common with the broker of scripts/services/kafka.sh.
const COMMON: &str = include_str!("../../../scripts/services/kafka/server.properties");
/// Records may come from processes whose clocks are days ahead.
const ANY_TIME: &str = "log.message.timestamp.after.max.ms=9223372036854775807";
/// Sixteen bytes in Base64, as the broker wants it.
const CLUSTER_ID: &str = "Y2hhb3MtdGVzdHMtMDAwMQ";
/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_secs(180);

/// A broker with its data in a folder. Ends when dropped.
#[derive(Debug)]
pub struct Broker {
    folder: PathBuf,
    libs: PathBuf,
    port: u16,
    line: Line,
    child: Option<Child>,
}

impl Broker {
    /// Prepares and starts it. Clients reach it over the line only.
    pub async fn start(folder: &Path, libs: &Path) -> Result<Broker> {
        ensure!(libs.is_dir(), "{} has no Kafka: bash scripts/services/kafka.sh start fetches it", libs.display());
        let folder = folder.join("broker");
        std::fs::create_dir_all(&folder)?;
        let (port, controller) = (free_port()?, free_port()?);
        let line = Line::to(&format!("127.0.0.1:{port}")).await?;
        let properties = format!(
            "{COMMON}\n{ANY_TIME}\nlog.dirs={}/data\nlisteners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{}\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n",
            folder.display(),
            line.port()
        );
        std::fs::write(folder.join("server.properties"), properties)?;
        let mut broker = Broker { folder, libs: libs.to_owned(), port, line, child: None };
        let properties = broker.properties();
        broker.tool("kafka.tools.StorageTool", &["format", "-t", CLUSTER_ID, "-c", &properties]).await?;
        broker.restart().await?;
        Ok(broker)
    }

    /// Host and port for clients.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.line.port())
    }

    /// The setting that makes the product use it.
    pub fn environment(&self) -> (String, String) {
        ("AFFILITRACK_KAFKA_BROKERS".to_owned(), self.address())
    }

    /// What lies between it and its clients.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Starts it on its data, and waits until it listens.
    pub async fn restart(&mut self) -> Result<()> {
        let output = OpenOptions::new().create(true).append(true).open(self.folder.join("output"))?;
        let child = java(&self.libs, &["-Xms128m", "-Xmx384m"])
            .args(["kafka.Kafka", &self.properties()])
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output))
            .process_group(0)
            .spawn()
            .context("java is needed: bash scripts/services/kafka.sh start installs it")?;
        self.child = Some(child);
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            ensure!(Instant::now() < deadline, "the broker did not start, see {}/output", self.folder.display());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// SIGSTOP.
    pub async fn freeze(&self) -> Result<()> {
        self.signal("STOP").await
    }

    /// SIGCONT.
    pub async fn thaw(&self) -> Result<()> {
        self.signal("CONT").await
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Where every partition of a topic ends, as `topic:partition:offset`.
    pub async fn ends(&self, topic: &str) -> Result<Vec<(u16, u64)>> {
        let server = self.address();
        let said = self
            .tool("org.apache.kafka.tools.GetOffsetShell", &["--bootstrap-server", &server, "--topic", topic])
            .await?;
        let parse = |line: &str| {
            let (rest, offset) = line.trim().rsplit_once(':')?;
            let (_, partition) = rest.rsplit_once(':')?;
            Some((partition.parse().ok()?, offset.parse().ok()?))
        };
        Ok(said.lines().filter_map(parse).collect())
    }

    /// Deletes what one partition holds below an offset.
    pub async fn delete_records(&self, topic: &str, partition: u16, before: u64) -> Result<()> {
        let file = self.folder.join("delete.json");
        let request = serde_json::json!({
            "version": 1, "partitions": [{"topic": topic, "partition": partition, "offset": before}]
        });
        std::fs::write(&file, request.to_string())?;
        let (server, file) = (self.address(), file.display().to_string());
        let arguments = ["--bootstrap-server", server.as_str(), "--offset-json-file", &file];
        self.tool("org.apache.kafka.tools.DeleteRecordsCommand", &arguments).await?;
        Ok(())
    }

    fn properties(&self) -> String {
        self.folder.join("server.properties").display().to_string()
    }

    async fn tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        tool(&self.libs, class, arguments).await
    }

    async fn signal(&self, name: &str) -> Result<()> {
        let Some(pid) = self.child.as_ref().and_then(Child::id) else { return Ok(()) };
        let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]).status().await?;
        ensure!(status.success(), "the broker took no SIG{name}");
        Ok(())
    }
}

fn java(libs: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("java");
    command.args(options).arg("-cp").arg(libs.join("*")).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// One of the programs that come with Kafka; what it printed.
pub async fn tool(libs: &Path, class: &str, arguments: &[&str]) -> Result<String> {
    ensure!(libs.is_dir(), "{} has no Kafka: bash scripts/services/kafka.sh start fetches it", libs.display());
    let output = java(libs, &["-Xmx128m"]).arg(class).args(arguments).output().await.context("java is needed")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{class}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(said)
}
