//! Command line of the load test. Every mode prints what it did and ends with 1 if something differs.

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use loadtest::as_one::AsOneOptions;
use loadtest::chaos::{ChaosOptions, chaos};
use loadtest::figures::outage::Part;
use loadtest::figures::{Figure, FigureOptions};
use loadtest::kill::{KillOptions, kill_test};
use loadtest::kill_points::{PointOptions, kill_at_points};
use loadtest::reconcile::{ReconcileOptions, reconcile};
use loadtest::sender::SendOptions;
use loadtest::stream::Endpoint;
use loadtest::throughput::{ThroughputOptions, measure};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Signed traffic whose outcome is known beforehand.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// How many events per second are acknowledged, and after what time.
    Throughput(Throughput),
    /// Sends a drawn history to a running product and compares every figure.
    Reconcile(Reconcile),
    /// Kills the product at random moments while a drawn history is sent; compares every figure.
    Kill(Kill),
    /// Two of each role behind one address, from outside like `affilitrack run` (scripts/cluster-as-one.sh).
    AsOne {
        /// The product's binary.
        #[arg(long, default_value = "target/release/affilitrack")]
        binary: PathBuf,
        /// Folder for the data folders of all.
        #[arg(long)]
        data_dir: PathBuf,
        /// Port of the one address; 0 = any free one.
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// Whether there is the demo workspace.
        #[arg(long, default_value = "on")]
        demo: String,
    },
    /// Breaks one thing at a time under processes of each role and compares every figure.
    Chaos(Chaos),
    /// Figures of roles in processes of their own, as rows for docs/MEASURED.md.
    Figures(Figures),
    /// A bare handler that reads the same body, as the yardstick for `throughput`.
    Bare {
        /// Port on 127.0.0.1.
        #[arg(long, default_value_t = 8099)]
        port: u16,
        /// For how long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
}

#[derive(Debug, Args)]
struct Throughput {
    /// Where the product (or the bare handler) listens.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Endpoint id; may be given several times.
    #[arg(long)]
    endpoint: Vec<String>,
    /// Signing secret of the endpoints, in the same order; the last one holds for the rest.
    #[arg(long)]
    secret: Vec<String>,
    /// Instead of endpoints: data folder of a running product; also waits until all is readable.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Vendors set up with --data-dir.
    #[arg(long, default_value_t = 16)]
    vendors: usize,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Events per second; without it each connection sends as soon as it has an answer.
    #[arg(long)]
    rate: Option<u64>,
    /// For how long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Watch the resident memory of this process.
    #[arg(long)]
    pid: Option<u32>,
    /// Makes vendors differ between runs on one data folder.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct Reconcile {
    /// Data folder of the running product.
    #[arg(long, default_value = "data")]
    data_dir: PathBuf,
    /// Everything follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sales.
    #[arg(long, default_value_t = 2000)]
    purchases: usize,
    #[command(flatten)]
    traffic: Traffic,
}

#[derive(Debug, Args)]
struct Kill {
    /// The product's binary.
    #[arg(long, default_value = "target/release/affilitrack")]
    binary: PathBuf,
    /// Everything but the exact instants follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// About so many deliveries.
    #[arg(long, default_value_t = 2000)]
    deliveries: usize,
    /// Kills while deliveries come in.
    #[arg(long, default_value_t = 8)]
    kills: usize,
    /// Kills while it catches up afterwards.
    #[arg(long, default_value_t = 2)]
    kills_after: usize,
    /// Instead of random moments: once at each named point, about 200 deliveries each. Needs --binary with crash points
    /// (scripts/kill.sh builds it).
    #[arg(long)]
    points: bool,
    /// The same, at this point only.
    #[arg(long, value_name = "POINT")]
    at: Option<String>,
    /// Keep the data folder.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    traffic: Traffic,
}

#[derive(Debug, Args)]
struct Chaos {
    /// The product's binary.
    #[arg(long, default_value = "target/release/affilitrack")]
    binary: PathBuf,
    /// Everything but the exact instants follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this fault.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Larger loads and more repetitions.
    #[arg(long)]
    full: bool,
    /// Only the quick ones.
    #[arg(long, conflicts_with = "full")]
    small: bool,
    /// Jars of the broker, for faults that need one of their own.
    #[arg(long, default_value = ".cache/services/kafka/libs")]
    kafka_libs: PathBuf,
}

#[derive(Debug, Args)]
struct Figures {
    /// Which.
    figure: Figure,
    /// The product's binary.
    #[arg(long, default_value = "target/release/affilitrack")]
    binary: PathBuf,
    /// Jars of the broker.
    #[arg(long, default_value = ".cache/services/kafka/libs")]
    kafka_libs: PathBuf,
    /// Processes of each role.
    #[arg(long, default_value_t = 1)]
    copies: usize,
    /// Seconds of a load.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Events that wait in the log.
    #[arg(long, default_value_t = 50_000)]
    events: u64,
    /// Events per second.
    #[arg(long)]
    rate: Option<u64>,
    /// Seconds of an outage.
    #[arg(long, default_value_t = 60)]
    outage_seconds: u64,
    /// Only this part is taken away.
    #[arg(long)]
    only: Option<Part>,
    /// Many vendors.
    #[arg(long, default_value_t = 10_000)]
    vendors: usize,
}

/// Deliveries at each named point.
const DELIVERIES_PER_POINT: usize = 200;

#[derive(Debug, Args)]
struct Traffic {
    /// Vendors that share the sales.
    #[arg(long, default_value_t = 4)]
    vendors: usize,
    /// Poisonous events per thousand.
    #[arg(long, default_value_t = 10)]
    poison: u64,
    /// Deliveries under way at the same time.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Deliveries per second at most.
    #[arg(long)]
    rate: Option<u64>,
}

impl Traffic {
    fn send(&self) -> SendOptions {
        SendOptions { connections: self.connections, rate: self.rate }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = std::io::stdout();
    // Ends its processes in order when it is told to stop.
    let stops_by_itself = matches!(cli.mode, Mode::AsOne { .. });
    let run = run(cli.mode, &mut out);
    let result = tokio::select! {
        result = run => result,
        _ = tokio::signal::ctrl_c(), if !stops_by_itself => Err(anyhow::anyhow!("interrupted")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(mode: Mode, out: &mut (dyn Write + Send)) -> Result<bool> {
    match mode {
        Mode::Throughput(options) => measure(&throughput_options(options), out).await,
        Mode::Reconcile(options) => reconcile(&reconcile_options(options), out).await,
        Mode::Kill(options) if options.points || options.at.is_some() => {
            kill_at_points(&point_options(options), out).await
        }
        Mode::Kill(options) => kill_test(&kill_options(options), out).await,
        Mode::AsOne { binary, data_dir, port, demo } => {
            loadtest::as_one::run(&AsOneOptions { binary, data_dir, port, demo }, out).await
        }
        Mode::Chaos(options) => chaos(&chaos_options(options), out).await,
        Mode::Figures(options) => loadtest::figures::measure(&figure_options(options), out).await,
        Mode::Bare { port, seconds } => {
            loadtest::bare::serve(port, Duration::from_secs(seconds), out).await?;
            Ok(true)
        }
    }
}

fn throughput_options(options: Throughput) -> ThroughputOptions {
    let secret = |n: usize| options.secret.get(n).or(options.secret.last()).cloned().unwrap_or_default();
    let base = options.url.trim_end_matches('/');
    let endpoints = options.endpoint.iter().enumerate();
    let endpoints =
        endpoints.map(|(n, id)| Endpoint { url: format!("{base}/webhooks/stripe/{id}"), secret: secret(n) }).collect();
    ThroughputOptions {
        endpoints,
        data_dir: options.data_dir,
        vendors: options.vendors,
        connections: options.connections,
        rate: options.rate,
        duration: Duration::from_secs(options.seconds),
        pid: options.pid,
        seed: options.seed,
    }
}

fn reconcile_options(options: Reconcile) -> ReconcileOptions {
    ReconcileOptions {
        data_dir: options.data_dir,
        seed: options.seed,
        purchases: options.purchases,
        vendors: options.traffic.vendors,
        poison_per_thousand: options.traffic.poison,
        send: options.traffic.send(),
    }
}

fn point_options(options: Kill) -> PointOptions {
    PointOptions {
        binary: options.binary,
        seed: options.seed,
        deliveries: DELIVERIES_PER_POINT,
        only: options.at,
        poison_per_thousand: options.traffic.poison,
        connections: options.traffic.connections,
        keep: options.keep,
    }
}

fn chaos_options(options: Chaos) -> ChaosOptions {
    ChaosOptions {
        binary: options.binary,
        seed: options.seed,
        only: options.only,
        full: options.full,
        small: options.small,
        kafka_libs: options.kafka_libs,
    }
}

fn figure_options(options: Figures) -> FigureOptions {
    FigureOptions {
        figure: options.figure,
        binary: options.binary,
        kafka_libs: options.kafka_libs,
        copies: options.copies,
        duration: Duration::from_secs(options.seconds),
        events: options.events,
        rate: options.rate,
        outage: Duration::from_secs(options.outage_seconds),
        only: options.only,
        vendors: options.vendors,
    }
}

fn kill_options(options: Kill) -> KillOptions {
    KillOptions {
        binary: options.binary,
        seed: options.seed,
        deliveries: options.deliveries,
        kills: options.kills,
        kills_after: options.kills_after,
        vendors: options.traffic.vendors,
        poison_per_thousand: options.traffic.poison,
        send: options.traffic.send(),
        keep: options.keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
