//! The corpus runner: delivers a folder of webhook events to a temporary instance of the
//! product and compares how they were read with what the folder's index says.
//!
//! It knows the product only from outside: it starts the binary, sets vendors up over the
//! local socket, signs and delivers over HTTP and reads back over the JSON API. It knows no
//! file by name: any folder of the same layout will do. `index.json` holds `catalog`
//! (mappings that hold always), `events` (one per file, with how it has to be read),
//! `scenarios` (files in delivery order, with the purchases they have to end in) and `api`
//! (what the provider answers to look-ups).
//!
//! [`client`], [`product`] and [`sign`] also serve the load test.

pub mod client;
pub mod clock;
pub mod cluster;
pub mod compare;
pub mod folder;
pub mod product;
pub mod provider;
pub mod proxy;
pub mod runner;
pub mod running;
pub mod shuffle;
pub mod sign;
pub mod vendor;

#[cfg(test)]
mod stub;

use crate::cluster::{Cluster, ClusterOptions};
use crate::product::{Product, StartOptions};
use crate::provider::ProviderServer;
use crate::running::{Running, RunningError};
use crate::vendor::Surroundings;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use runner::Summary;

/// What to run.
#[derive(Debug, Clone)]
pub struct CorpusOptions {
    /// A folder with an `index.json`.
    pub folder: PathBuf,
    /// Also deliver the scenarios shuffled and repeated, starting with this seed.
    pub shuffle: Option<u64>,
    /// How many seeds, counted up from the first.
    pub shuffles: u32,
    /// Only the event file or scenario of this name, or those whose name contains it.
    pub only: Option<String>,
    /// The product's binary.
    pub binary: PathBuf,
    /// Two of each role on the services that the environment names, instead of one process.
    pub cluster: bool,
    /// Keep the instance's data folder and say where it is.
    pub keep: bool,
}

/// Why a run could not be made. A difference is no error: it is in the [`Summary`].
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The folder has to be put right.
    #[error("the corpus cannot be read: {0}")]
    Folder(#[from] folder::FolderError),
    /// The instance could not be started or ended by itself.
    #[error(transparent)]
    Product(#[from] RunningError),
    /// `only` names nothing.
    #[error("no event file and no scenario is named `{only}` or contains it; the scenarios are: {scenarios}")]
    NothingNamed {
        /// What was asked for.
        only: String,
        /// What there is.
        scenarios: String,
    },
    /// Ctrl-C.
    #[error("interrupted; the temporary instance was ended")]
    Interrupted,
    /// A temporary folder, a port or the output.
    #[error("the run could not go on: {0}")]
    System(#[from] std::io::Error),
}

/// Runs a corpus to its end and prints each difference, progress, and `N passed, N failed` as
/// the last line. Builds a runtime of its own: inside one, use [`run_async`].
pub fn run(options: CorpusOptions, out: &mut (dyn Write + Send)) -> Result<Summary, CorpusError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run_async(options, out))
}

/// As [`run`], inside a runtime.
pub async fn run_async(options: CorpusOptions, out: &mut (dyn Write + Send)) -> Result<Summary, CorpusError> {
    let corpus = Arc::new(folder::read_corpus(&options.folder)?);
    let jobs = jobs_of(&corpus, &options)?;
    writeln!(out, "{} events, {} scenarios, {} runs", corpus.events.len(), corpus.scenarios.len(), jobs.len())?;
    let directory = tempfile::Builder::new().prefix("affilitrack-corpus-").tempdir()?;
    let mut product = start(&options, directory.path()).await?;
    writeln!(out, "a temporary instance listens on {}", product.url())?;
    let providers = ProviderServer::start(&corpus.answers).await?;
    let around = Arc::new(Surroundings {
        http: client::Http::default(),
        socket: product.socket(),
        url: product.url(),
        providers,
        catalogue: corpus.catalogue.clone(),
    });
    let running = || product.check_running().map_err(CorpusError::from);
    let result = tokio::select! {
        result = runner::run_jobs(corpus, Arc::clone(&around), jobs, out, running) => result,
        _ = tokio::signal::ctrl_c() => Err(CorpusError::Interrupted),
    };
    let in_order = product.stop().await?;
    if options.keep {
        writeln!(out, "kept: {}", directory.keep().display())?;
    }
    let summary = result?;
    if !in_order {
        writeln!(out, "the instance did not end within a minute of SIGTERM and was killed")?;
    }
    print_summary(&around.providers.unanswered(), summary, out)?;
    Ok(summary)
}

async fn start(options: &CorpusOptions, folder: &Path) -> Result<Running, RunningError> {
    let (binary, environment) = (options.binary.clone(), Vec::new());
    if options.cluster {
        let folder = folder.to_owned();
        let cluster =
            Cluster::start(&ClusterOptions { binary, folder, port: 0, copies: 2, environment, from: None }).await?;
        return Ok(Running::Cluster(cluster));
    }
    let start = StartOptions {
        binary,
        command: "run",
        data_dir: folder.join("data"),
        port: 0,
        log_file: folder.join("product.log"),
        environment,
    };
    Ok(Running::One(Box::new(Product::start(&start).await?)))
}

fn jobs_of(corpus: &folder::Corpus, options: &CorpusOptions) -> Result<Vec<runner::Job>, CorpusError> {
    let seeds = options.shuffle.map_or(0..0, |first| first..first.saturating_add(u64::from(options.shuffles.max(1))));
    let jobs = runner::plan_jobs(corpus, seeds, options.only.as_deref());
    match &options.only {
        Some(only) if jobs.is_empty() => {
            let names: Vec<&str> = corpus.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
            Err(CorpusError::NothingNamed { only: only.clone(), scenarios: names.join(", ") })
        }
        _ => Ok(jobs),
    }
}

/// The questions that the folder could not answer, and the count, alone on the last line.
fn print_summary(unanswered: &[String], summary: Summary, out: &mut (dyn Write + Send)) -> Result<(), CorpusError> {
    for question in unanswered {
        writeln!(out, "note: the product asked for `{question}`, which `api` does not answer")?;
    }
    writeln!(out, "{} passed, {} failed", summary.passed, summary.failed)?;
    Ok(())
}
