//! The fault tests: processes of each role on real outside parts, a drawn history under way, one thing broken on
//! purpose; afterwards every figure must be right to the cent.
//!
//! [`table`] names the faults, [`scene`] holds what each of them needs. What breaks: [`edges`], [`processors`],
//! [`members`], [`rolled`], [`warehouse`], [`older_copy`], [`postgres`], [`kafka`], [`rebuilt`], [`restored`], [`races`],
//! [`disk`], [`clocks`]. [`watched`] looks at what pages show meanwhile. What they break it with: [`mod@line`] (TCP), [`statements`] (the warehouse's HTTP), [`broker`] (a broker of our own).

pub mod broker;
pub mod clocks;
pub mod disk;
pub mod edges;
pub mod kafka;
pub mod line;
pub mod log_lines;
pub mod log_start;
pub mod lookups;
pub mod members;
mod moved;
pub mod older_copy;
pub mod postgres;
pub mod processors;
pub mod races;
pub mod rebuilt;
pub mod restored;
pub mod rolled;
pub mod scene;
pub mod statements;
pub mod table;
pub mod warehouse;
pub mod watched;

use anyhow::{Result, ensure};
use scene::Scene;
use std::io::Write;
use std::path::PathBuf;
use table::{FAULTS, Fault};
use tokio::time::Instant;

/// What to break, and how much.
#[derive(Debug, Clone)]
pub struct ChaosOptions {
    /// The product's binary.
    pub binary: PathBuf,
    /// Plans, victims and pauses follow from it; the exact instants do not.
    pub seed: u64,
    /// Only this fault.
    pub only: Option<String>,
    /// Larger loads, more repetitions.
    pub full: bool,
    /// Only those faults that are quick.
    pub small: bool,
    /// Folder of the broker's jars, for the faults that need a broker of their own.
    pub kafka_libs: PathBuf,
}

/// Injects one fault after another. True if everything held.
pub async fn chaos(options: &ChaosOptions, out: &mut (dyn Write + Send)) -> Result<bool> {
    let chosen: Vec<&Fault> = FAULTS.iter().filter(|fault| is_chosen(options, fault)).collect();
    let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    ensure!(!chosen.is_empty(), "there is no such fault; there are: {}", names.join(", "));
    let mut failed = Vec::new();
    for fault in &chosen {
        if !inject(options, fault, out).await? {
            failed.push(fault.name);
        }
    }
    writeln!(out, "{} faults, {} failed{}", chosen.len(), failed.len(), list_of(&failed))?;
    Ok(failed.is_empty())
}

fn is_chosen(options: &ChaosOptions, fault: &Fault) -> bool {
    match &options.only {
        Some(only) => fault.name == only,
        None => fault.is_small || !options.small,
    }
}

fn list_of(names: &[&str]) -> String {
    if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
}

/// One fault, one block of output. A fault that fails keeps its folder.
async fn inject(options: &ChaosOptions, fault: &Fault, out: &mut (dyn Write + Send)) -> Result<bool> {
    let directory = tempfile::Builder::new().prefix(&format!("affilitrack-chaos-{}-", fault.name)).tempdir()?;
    writeln!(out, "\n{} ({})\n  {}", fault.name, fault.number, fault.words)?;
    out.flush()?;
    let began = Instant::now();
    let mut scene = Scene::new(options, directory.path());
    if let Err(error) = (fault.run)(&mut scene).await {
        scene.wrong(format!("{error:#}"));
    }
    scene.clean_up().await;
    scene.check_logs(fault.expected_errors);
    for line in &scene.said {
        writeln!(out, "  {line}")?;
    }
    for problem in &scene.problems {
        writeln!(out, "  WRONG: {problem}")?;
    }
    let passed = scene.problems.is_empty();
    if !passed {
        writeln!(out, "  kept: {}", directory.keep().display())?;
    }
    let words = if passed { "passed" } else { "FAILED" };
    writeln!(out, "  {words} after {} s", began.elapsed().as_secs())?;
    out.flush()?;
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(only: Option<&str>, small: bool) -> ChaosOptions {
        let only = only.map(str::to_owned);
        ChaosOptions { binary: PathBuf::new(), seed: 1, only, full: false, small, kafka_libs: PathBuf::new() }
    }

    #[tokio::test]
    async fn a_fault_that_is_not_there_is_answered_with_those_that_are() {
        let error = chaos(&options(Some("rain"), false), &mut Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("edges-killed"), "{error}");
    }

    #[test]
    fn names_are_unique_and_the_small_form_is_a_part_of_all() {
        let names: std::collections::BTreeSet<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        assert_eq!(names.len(), FAULTS.len());
        let chosen = |small| FAULTS.iter().filter(|fault| is_chosen(&options(None, small), fault)).count();
        assert!(chosen(true) > 0 && chosen(true) < chosen(false));
        assert_eq!(chosen(false), FAULTS.len());
    }
}
