//! What a fault needs: processes, a load that runs meanwhile, and the comparison at the end.

use super::ChaosOptions;
use super::log_lines::errors_in;
use super::watched::Watcher;
use crate::plan::{Plan, PlanOptions, Size};
use crate::reconcile::conclude;
use crate::sender::{Record, SendOptions, Sender};
use crate::vendors::{LiveVendor, Target, open_vendors};
use crate::verify::settle;
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use corpus::client::Http;
use corpus::cluster::{Cluster, ClusterOptions, services};
use corpus::product::{Product, StartOptions};
use corpus::shuffle::SplitMix;
use hyper::Method;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long what was broken may take to come right.
const RIGHT_WITHIN: Duration = Duration::from_secs(300);
/// Deliveries under way at the same time.
const CONNECTIONS: usize = 8;
/// Vendors of a load.
const VENDORS: usize = 3;
/// Poisonous events per thousand.
const POISON_PER_THOUSAND: u64 = 10;
/// Connections of each process to each of its schemas.
const POSTGRES_CONNECTIONS: &str = "3";
/// At most so many error lines are shown.
const SHOWN_ERRORS: usize = 5;

/// One fault under way.
pub struct Scene {
    /// What was asked for.
    pub options: ChaosOptions,
    /// Logs and data folders.
    pub folder: PathBuf,
    /// Victims and pauses.
    pub random: SplitMix,
    /// What was done and counted.
    pub said: Vec<String>,
    /// What is wrong.
    pub problems: Vec<String>,
    /// Requests and acknowledged copies per vendor that the sender does not know of.
    beside: BTreeMap<usize, (u64, u64)>,
    /// Whether the log may hold a record twice.
    are_copies_stored: bool,
    /// What was made on the outside parts.
    environment: Vec<(String, String)>,
}

/// A load under way.
pub struct Load {
    /// What is sent.
    pub plan: Arc<Plan>,
    /// To whom.
    pub live: Arc<Vec<LiveVendor>>,
    /// By whom.
    pub sender: Arc<Sender>,
    sending: JoinHandle<Result<()>>,
    /// Looks at what pages show meanwhile.
    pub watcher: Watcher,
}

impl Scene {
    /// A scene in a folder of its own.
    pub fn new(options: &ChaosOptions, folder: &Path) -> Scene {
        Scene {
            options: options.clone(),
            folder: folder.to_owned(),
            random: SplitMix::new(options.seed ^ 0xc4a0),
            said: Vec::new(),
            problems: Vec::new(),
            beside: BTreeMap::new(),
            are_copies_stored: false,
            environment: Vec::new(),
        }
    }

    /// From now on the log may hold a record twice; the fold ignores the second.
    pub fn copies_are_stored(&mut self) {
        self.are_copies_stored = true;
    }

    /// So many requests were made to a vendor beside the sender's, and so many of them acknowledged.
    pub fn delivered_beside(&mut self, vendor: usize, requests: u64, acknowledged: u64) {
        let sums = self.beside.entry(vendor).or_default();
        *sums = (sums.0 + requests, sums.1 + acknowledged);
    }

    /// What the sender counted, and what came beside it.
    pub fn counted(&self, mut record: Record) -> Record {
        for (vendor, (requests, acknowledged)) in &self.beside {
            *record.attempts.entry(*vendor).or_default() += requests;
            *record.acknowledged_copies.entry(*vendor).or_default() += acknowledged;
        }
        if self.are_copies_stored {
            record.stored_again = record.attempts.clone();
        }
        record
    }

    /// `small`, or `large` for the full form.
    pub fn amount(&self, small: usize, large: usize) -> usize {
        if self.options.full { large } else { small }
    }

    /// Writes a line of the fault's block.
    pub fn say(&mut self, line: impl Into<String>) {
        self.said.push(line.into());
    }

    /// Notes that something is wrong.
    pub fn wrong(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Notes `problem` unless something holds.
    pub fn expect(&mut self, holds: bool, problem: impl Into<String>) {
        if !holds {
            self.wrong(problem);
        }
    }

    /// A random duration up to so many milliseconds.
    pub fn pause_ms(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.random.below(below.max(1)))
    }

    /// Two processes of each role with names of their own on the outside parts.
    pub async fn cluster(&mut self, environment: Vec<(String, String)>) -> Result<Cluster> {
        self.cluster_from(None, 0, environment).await
    }

    /// The same behind a given port, going on from the data folder of a stopped process.
    pub async fn cluster_from(
        &mut self,
        from: Option<PathBuf>,
        port: u16,
        mut environment: Vec<(String, String)>,
    ) -> Result<Cluster> {
        // Six processes and whoever else works on this machine share the server's connections.
        environment.push(("AFFILITRACK_POSTGRES_CONNECTIONS".to_owned(), POSTGRES_CONNECTIONS.to_owned()));
        let (binary, folder) = (self.options.binary.clone(), self.folder.clone());
        let cluster = Cluster::start(&ClusterOptions { binary, folder, port, copies: 2, environment, from }).await?;
        self.environment = cluster.environment().to_vec();
        Ok(cluster)
    }

    /// One process that has everything in a data folder.
    pub async fn alone(&self, data_dir: PathBuf, port: u16) -> Result<Product> {
        let alone = [
            ("AFFILITRACK_WAREHOUSE_EMBEDDED", "on"),
            ("AFFILITRACK_WAREHOUSE_URL", ""),
            ("AFFILITRACK_KAFKA_BROKERS", ""),
            ("AFFILITRACK_POSTGRES_URL", ""),
        ];
        let options = StartOptions {
            binary: self.options.binary.clone(),
            command: "run",
            data_dir,
            port,
            log_file: self.folder.join("run-1.log"),
            environment: alone.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        };
        Ok(Product::start(&options).await?)
    }

    /// Opens the vendors of a plan, and begins to send it.
    pub async fn load(&mut self, cluster: &Cluster, deliveries: usize, rate: u64) -> Result<Load> {
        let target = Target { http: Http::default(), socket: cluster.socket(), url: cluster.url() };
        self.load_on(target, deliveries, rate).await
    }

    /// The same on any running product.
    pub async fn load_on(&mut self, target: Target, deliveries: usize, rate: u64) -> Result<Load> {
        let plan = Arc::new(Plan::generate(PlanOptions {
            seed: self.options.seed,
            vendors: VENDORS,
            size: Size::Deliveries(deliveries),
            poison_per_thousand: POISON_PER_THOUSAND,
        }));
        let live = Arc::new(open_vendors(&target, &plan).await?);
        let send = SendOptions { connections: CONNECTIONS, rate: Some(rate) };
        let sender = Sender::new(target, Arc::clone(&plan), Arc::clone(&live), send);
        let sending = tokio::spawn(Arc::clone(&sender).run());
        let watcher = Watcher::of(Arc::clone(&live));
        Ok(Load { plan, live, sender, sending, watcher })
    }

    /// Waits until everything is sent, forwarded and folded, and compares every figure.
    pub async fn finish(&mut self, mut cluster: Cluster, load: Load) -> Result<()> {
        let mut edges = Vec::new();
        for member in cluster.members() {
            if member.command() == "ingest" {
                edges.push(member.port());
            }
        }
        self.compare(load, &edges).await?;
        cluster.check_running()?;
        let in_order = cluster.stop().await?;
        self.expect(in_order, "a process did not end within a minute of SIGTERM");
        Ok(())
    }

    /// The same for one process that has everything.
    pub async fn finish_alone(&mut self, product: Product, load: Load) -> Result<()> {
        self.compare(load, &[]).await?;
        let in_order = product.stop().await?;
        self.expect(in_order, "the process did not end within a minute of SIGTERM");
        Ok(())
    }

    /// P1 to P4 and P6: every event one outcome, every figure as the oracle says.
    async fn compare(&mut self, load: Load, edges: &[u16]) -> Result<()> {
        let Load { plan, live, sender, sending, watcher } = load;
        tokio::time::timeout(RIGHT_WITHIN, sending).await.context("the load was not sent in time")???;
        let began = Instant::now();
        for edge in edges {
            wait_for_empty_spool(*edge).await?;
        }
        settle_patiently(&live).await?;
        self.say(format!("settled {} ms after the last delivery", began.elapsed().as_millis()));
        let record = self.counted(sender.record());
        let mut text = Vec::new();
        let right = conclude(&plan, &live, &record, &mut text).await?;
        self.said.extend(String::from_utf8_lossy(&text).lines().map(str::to_owned));
        self.expect(right, "the figures differ");
        let (said, wrong) = watcher.conclude(&live).await?;
        self.say(said);
        wrong.into_iter().for_each(|words| self.wrong(format!("shown meanwhile: {words}")));
        Ok(())
    }

    /// P8: no line of level ERROR that does not belong to the fault.
    pub fn check_logs(&mut self, expected: &[&str]) {
        let errors = errors_in(&self.folder, expected);
        for error in errors.iter().take(SHOWN_ERRORS) {
            self.wrong(format!("log line of level ERROR: {error}"));
        }
        if errors.len() > SHOWN_ERRORS {
            self.wrong(format!("... and {} more", errors.len() - SHOWN_ERRORS));
        }
    }

    /// Drops what the processes had in Postgres and the warehouse. What cannot be dropped is said and stays.
    pub async fn clean_up(&mut self) {
        if self.environment.is_empty() {
            return;
        }
        let environment = std::mem::take(&mut self.environment);
        drop_everything(&environment).await.into_iter().for_each(|stays| self.say(stays));
    }
}

impl Load {
    /// How many deliveries and decisions there are.
    pub fn steps(&self) -> u64 {
        self.plan.steps.len() as u64
    }

    /// Whether everything was sent.
    pub fn is_sent(&self) -> bool {
        self.sending.is_finished()
    }

    /// Waits until a part of the load in percent is sent.
    pub async fn wait_for_percent(&self, percent: u64) -> Result<()> {
        let deadline = Instant::now() + RIGHT_WITHIN;
        while self.sender.done() < self.steps() * percent / 100 && !self.is_sent() {
            ensure!(Instant::now() < deadline, "{percent} % of the load were not sent in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// 2xx answers so far.
    pub fn acknowledged(&self) -> u64 {
        self.sender.record().acknowledged_copies.values().sum()
    }
}

/// Waits until every vendor is settled; a process that is just back may break a request.
pub async fn settle_patiently(live: &[LiveVendor]) -> Result<()> {
    let deadline = Instant::now() + RIGHT_WITHIN;
    loop {
        match settle(live, RIGHT_WITHIN).await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
        }
    }
}

/// Status and text of a page of one process.
pub async fn page_of(port: u16, path: &str) -> Result<(u16, String)> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let reply = Http::default().send(Method::GET, &url, &[], Bytes::new()).await?;
    Ok((reply.status, String::from_utf8_lossy(&reply.body).into_owned()))
}

/// Waits until an edge has forwarded everything that it acknowledged.
async fn wait_for_empty_spool(port: u16) -> Result<()> {
    let deadline = Instant::now() + RIGHT_WITHIN;
    // The gauge is set once a second.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    while spool_bytes(port).await?.is_some_and(|bytes| bytes > 0) {
        ensure!(Instant::now() < deadline, "the spool of the edge on port {port} does not empty");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// What waits in an edge's spool, in bytes; none if it has no spool.
pub async fn spool_bytes(port: u16) -> Result<Option<u64>> {
    let (_, text) = page_of(port, "/metrics").await?;
    let value = text.lines().find_map(|line| line.strip_prefix("at_spool_bytes "));
    Ok(value.and_then(|value| value.split('.').next()?.parse().ok()))
}

/// The value of an environment variable as the processes see it.
pub fn value_of(environment: &[(String, String)], name: &str) -> Result<String> {
    let found = environment.iter().rev().find(|(key, _)| key == name);
    found.map(|(_, value)| value.clone()).with_context(|| format!("{name} is not set"))
}

/// Where an outside part is, by the name that the product reads.
pub fn service(name: &str) -> Result<String> {
    value_of(&services()?, name)
}

/// Drops what processes had in Postgres and the warehouse. Returns in words what stays because it cannot be dropped.
pub async fn drop_everything(environment: &[(String, String)]) -> Vec<String> {
    let mut stays = Vec::new();
    for store in ["fold", "control"] {
        if let Err(error) = drop_schema(environment, store).await {
            stays.push(format!("the schema of the {store} store stays: {error:#}"));
        }
    }
    if let Err(error) = drop_warehouse(environment).await {
        stays.push(format!("the database in the warehouse stays: {error:#}"));
    }
    stays
}

/// Drops the schema of the fold store or of the control store.
pub async fn drop_schema(environment: &[(String, String)], store: &str) -> Result<()> {
    // Past every broken line: the fault is over, or it is this.
    let url = service("AFFILITRACK_POSTGRES_URL")?;
    let schema = value_of(environment, "AFFILITRACK_POSTGRES_SCHEMA")?;
    let statement = format!("drop schema if exists {schema}_{store} cascade");
    let output = Command::new("psql")
        .args([url.as_str(), "-XAtqc", &statement])
        .stdin(Stdio::null())
        .output()
        .await
        .context("psql is needed: bash scripts/services/postgres.sh start installs it")?;
    if !output.status.success() {
        bail!("psql: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Drops the processes' database in the warehouse.
pub async fn drop_warehouse(environment: &[(String, String)]) -> Result<()> {
    let database = value_of(environment, "AFFILITRACK_WAREHOUSE_DATABASE")?;
    in_warehouse(&format!("drop database if exists {database} sync")).await
}

/// Runs a statement in the warehouse, past whatever stands in front of it.
pub async fn in_warehouse(statement: &str) -> Result<()> {
    let (url, key) = (service("AFFILITRACK_WAREHOUSE_URL")?, service("AFFILITRACK_WAREHOUSE_PASSWORD")?);
    let headers = [("X-ClickHouse-User".to_owned(), "default".to_owned()), ("X-ClickHouse-Key".to_owned(), key)];
    let reply = Http::default().send(Method::POST, &url, &headers, Bytes::from(statement.to_owned())).await?;
    ensure!(reply.status == 200, "{statement}: answered {}: {}", reply.status, reply.excerpt());
    Ok(())
}
