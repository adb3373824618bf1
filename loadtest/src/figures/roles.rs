//! Processes of each role for one figure, with names of their own on the outside parts.

use super::watch::Progress;
use super::{FigureOptions, Out, say};
use crate::chaos::broker::tool;
use crate::chaos::scene::{drop_everything, service, value_of};
use crate::stream::{Endpoint, Stream, StreamOptions, Tally};
use crate::throughput::decisions;
use crate::vendors::{connect, text};
use anyhow::{Context, Result, ensure};
use corpus::client::{Http, JsonApi, LocalSocket};
use corpus::cluster::{Cluster, ClusterOptions};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Vendors that are opened side by side: each waits a second until every edge knows it.
const OPENED_AT_ONCE: usize = 96;
/// How often opening one is tried.
const OPENING_TRIES: u32 = 5;
/// Connections of the load generator.
pub const CONNECTIONS: usize = 64;
/// A stream that counts events instead of time ends after this at the latest.
const LONGEST_FILL: Duration = Duration::from_secs(600);

/// Running processes.
pub struct Roles {
    /// The processes.
    pub cluster: Cluster,
    /// Data folders and logs.
    folder: TempDir,
    kafka_libs: PathBuf,
    /// Number of the next event.
    sent: u64,
    is_topic_ours: bool,
}

impl Roles {
    /// Starts so many of each role.
    pub async fn start(options: &FigureOptions, folder: TempDir, environment: Vec<(String, String)>) -> Result<Roles> {
        // With a broker of our own the topics go with it.
        let is_topic_ours = !environment.iter().any(|(name, _)| name == "AFFILITRACK_KAFKA_BROKERS");
        let cluster = Cluster::start(&ClusterOptions {
            binary: options.binary.clone(),
            folder: folder.path().to_owned(),
            port: 0,
            copies: options.copies,
            environment,
            from: None,
        })
        .await?;
        Ok(Roles { cluster, folder, kafka_libs: options.kafka_libs.clone(), sent: 0, is_topic_ours })
    }

    /// A folder for them.
    pub fn folder() -> Result<TempDir> {
        Ok(tempfile::Builder::new().prefix("affilitrack-figures-").tempdir()?)
    }

    /// Addresses of every process of a role.
    pub fn urls(&mut self, command: &str) -> Vec<String> {
        let of_role = self.cluster.members().iter().filter(|member| member.command() == command);
        of_role.map(|member| format!("http://127.0.0.1:{}", member.port())).collect()
    }

    /// Process numbers of every running process of a role.
    pub fn pids(&mut self, command: &str) -> Vec<u32> {
        let of_role = self.cluster.members().iter_mut().filter(|member| member.command() == command);
        of_role.filter_map(|member| member.product()?.pid()).collect()
    }

    /// Ends every process of a role in order.
    pub async fn stop(&mut self, command: &str) -> Result<()> {
        for member in self.cluster.members().iter_mut().filter(|member| member.command() == command) {
            member.stop().await?;
        }
        Ok(())
    }

    /// Starts the first processes of a role again, so many, without waiting for anything.
    pub fn launch(&mut self, command: &str, count: usize) -> Result<()> {
        let of_role = self.cluster.members().iter_mut().filter(|member| member.command() == command);
        for member in of_role.take(count) {
            member.launch()?;
        }
        Ok(())
    }

    /// Opens vendors that all have one affiliate and its code. Their deliveries go to the edges directly, in turn.
    pub async fn open(&mut self, name: &str, count: usize) -> Result<Vec<Endpoint>> {
        let edges = self.urls("ingest");
        ensure!(!edges.is_empty(), "there is no edge");
        let turns = Arc::new(Semaphore::new(OPENED_AT_ONCE));
        let mut opening = JoinSet::new();
        for number in 0..count {
            let (socket, turns) = (self.cluster.socket(), Arc::clone(&turns));
            let (slug, edge) = (format!("{name}-{number}"), edges[number % edges.len()].clone());
            opening.spawn(async move {
                let _turn = turns.acquire_owned().await?;
                open_patiently(&socket, &slug, &edge).await.map(|endpoint| (number, endpoint))
            });
        }
        let mut endpoints = Vec::with_capacity(count);
        while let Some(opened) = opening.join_next().await {
            endpoints.push(opened??);
        }
        endpoints.sort_by_key(|(number, _)| *number);
        Ok(endpoints.into_iter().map(|(_, endpoint)| endpoint).collect())
    }

    /// Reads a vendor that was opened, from the first process that shows pages.
    pub async fn api(&mut self, slug: &str) -> Result<JsonApi> {
        let request = json!({"vendor": slug, "mode": "live", "name": "figures"});
        let answer = self.cluster.socket().post("/v1/api-keys", &request).await?;
        let serve = self.urls("serve").into_iter().next().context("nothing shows pages")?;
        Ok(JsonApi::new(Http::default(), &serve, &text(&answer, "key")?))
    }

    /// A stream whose events nobody has sent yet; `most` of them.
    pub fn stream(&mut self, endpoints: &[Endpoint], rate: Option<u64>, duration: Duration, most: u64) -> Stream {
        let first = self.sent;
        self.sent += most;
        let (endpoints, events) = (endpoints.to_vec(), Some(most));
        Stream::start(StreamOptions { endpoints, connections: CONNECTIONS, rate, duration, events, first })
    }

    /// Sends so many events as fast as they are acknowledged.
    pub async fn fill(&mut self, endpoints: &[Endpoint], events: u64) -> Result<Tally> {
        let tally = self.stream(endpoints, None, LONGEST_FILL, events).end().await?;
        ensure!(tally.acknowledged == events, "only {} of {events} events were acknowledged", tally.acknowledged);
        Ok(tally)
    }

    /// How far everything is, over all partitions.
    pub async fn progress(&self) -> Result<Progress> {
        Progress::of(&self.cluster.socket()).await
    }

    /// Ends them and removes what they had on the outside parts. What cannot be removed is said.
    pub async fn end(self, out: Out<'_>) -> Result<()> {
        let environment = self.cluster.environment().to_vec();
        if !self.cluster.stop().await? {
            say(out, "a process did not end within a minute of SIGTERM")?;
        }
        for stays in drop_everything(&environment).await {
            say(out, &stays)?;
        }
        if self.is_topic_ours
            && let Err(error) = delete_topics(&self.kafka_libs, &environment).await
        {
            say(out, &format!("the topics stay: {error:#}"))?;
        }
        if let Err(error) = self.folder.close() {
            say(out, &format!("its folder stays: {error}"))?;
        }
        Ok(())
    }
}

async fn open_patiently(socket: &LocalSocket, slug: &str, edge: &str) -> Result<Endpoint> {
    let mut tries = 0;
    loop {
        match open_vendor(socket, slug, edge).await {
            Err(_) if tries < OPENING_TRIES => tries += 1,
            result => return result,
        }
    }
}

async fn open_vendor(socket: &LocalSocket, slug: &str, edge: &str) -> Result<Endpoint> {
    let (secret, answer) = connect(socket, slug).await?;
    let endpoint = text(&answer, "endpoint")?;
    socket.post("/v1/decide", &json!({"vendor": slug, "decisions": decisions()})).await?;
    Ok(Endpoint { url: format!("{edge}/webhooks/stripe/{endpoint}"), secret })
}

async fn delete_topics(libs: &Path, environment: &[(String, String)]) -> Result<()> {
    let server = service("AFFILITRACK_KAFKA_BROKERS")?;
    for name in ["AFFILITRACK_KAFKA_TOPIC", "AFFILITRACK_KAFKA_LIVE_TOPIC"] {
        let topic = value_of(environment, name)?;
        let arguments = ["--bootstrap-server", server.as_str(), "--delete", "--topic", &topic];
        tool(libs, "org.apache.kafka.tools.TopicCommand", &arguments).await?;
    }
    Ok(())
}
