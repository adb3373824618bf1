//! Runs the jobs of a corpus against one product, many vendors at a time, and prints what
//! differs.

use crate::compare::{Difference, FinalState, compare_event, compare_final};
use crate::folder::Corpus;
use crate::shuffle::shuffled_order;
use crate::vendor::{Surroundings, Vendor, VendorError};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Vendors under way at the same time.
const IN_FLIGHT: usize = 32;
/// How often progress is printed.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// How many runs ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Events and scenarios without a difference.
    pub passed: u64,
    /// The others.
    pub failed: u64,
}

/// One run: one event, or one scenario in one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Position in [`Corpus::events`].
    Event(usize),
    /// A scenario.
    Scenario {
        /// Position in [`Corpus::scenarios`].
        scenario: usize,
        /// Positions of the events, in delivery order.
        order: Vec<usize>,
        /// The seed of a shuffled order.
        seed: Option<u64>,
    },
}

/// The jobs of a run: every event, every scenario as given, and every scenario shuffled with
/// `seeds`. With `only`, those whose file or scenario name is `only`, else contains it.
pub fn plan_jobs(corpus: &Corpus, seeds: std::ops::Range<u64>, only: Option<&str>) -> Vec<Job> {
    let names = corpus.events.iter().map(|event| &event.file).chain(corpus.scenarios.iter().map(|one| &one.name));
    let exact = names.into_iter().any(|name| only.is_some_and(|only| only == name));
    let wanted = |name: &str| only.is_none_or(|only| if exact { name == only } else { name.contains(only) });
    let mut jobs: Vec<Job> =
        (0..corpus.events.len()).filter(|n| wanted(&corpus.events[*n].file)).map(Job::Event).collect();
    let scenarios: Vec<usize> = (0..corpus.scenarios.len()).filter(|n| wanted(&corpus.scenarios[*n].name)).collect();
    for &scenario in &scenarios {
        jobs.push(Job::Scenario { scenario, order: corpus.scenarios[scenario].files.clone(), seed: None });
    }
    for seed in seeds {
        for &scenario in &scenarios {
            let one = &corpus.scenarios[scenario];
            jobs.push(Job::Scenario { scenario, order: shuffled_order(&one.name, &one.files, seed), seed: Some(seed) });
        }
    }
    jobs
}

/// The end of one job.
#[derive(Debug)]
struct Finished {
    differences: Vec<Difference>,
    /// For a shuffled scenario: how to deliver it again.
    replay: Option<String>,
}

/// Runs the jobs and prints differences and progress. `still_running` is asked after a failure
/// and ends the run when the product is gone.
pub async fn run_jobs<E>(
    corpus: Arc<Corpus>,
    around: Arc<Surroundings>,
    jobs: Vec<Job>,
    out: &mut (dyn Write + Send),
    mut still_running: impl FnMut() -> Result<(), E>,
) -> Result<Summary, E>
where
    E: From<std::io::Error>,
{
    let total = jobs.len();
    let slots = Arc::new(Semaphore::new(IN_FLIGHT));
    let counter = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for job in jobs {
        let (corpus, around, slots, counter) =
            (Arc::clone(&corpus), Arc::clone(&around), Arc::clone(&slots), Arc::clone(&counter));
        tasks.spawn(async move {
            let _slot = slots.acquire_owned().await;
            run_job(&corpus, &around, &job, counter.fetch_add(1, Ordering::Relaxed)).await
        });
    }
    let mut summary = Summary::default();
    let mut next_progress = Instant::now() + PROGRESS_EVERY;
    loop {
        let finished = match tokio::time::timeout_at(next_progress, tasks.join_next()).await {
            Ok(None) => break,
            Ok(Some(finished)) => finished.map_err(|error| E::from(std::io::Error::other(error)))?,
            Err(_) => {
                let done = summary.passed + summary.failed;
                writeln!(out, "... {done} of {total} checked, {} failed", summary.failed)?;
                next_progress = Instant::now() + PROGRESS_EVERY;
                continue;
            }
        };
        if finished.differences.is_empty() {
            summary.passed += 1;
            continue;
        }
        summary.failed += 1;
        for line in finished.differences.iter().map(Difference::to_string).chain(finished.replay) {
            writeln!(out, "{line}")?;
        }
        still_running()?;
    }
    Ok(summary)
}

async fn run_job(corpus: &Corpus, around: &Surroundings, job: &Job, number: u64) -> Finished {
    match job {
        Job::Event(event) => {
            let file = corpus.events[*event].file.clone();
            let differences = check_event(corpus, around, *event, number).await;
            Finished { differences: differences.unwrap_or_else(|error| vec![not_run(&file, &error)]), replay: None }
        }
        Job::Scenario { scenario, order, seed } => {
            let name = &corpus.scenarios[*scenario].name;
            let called = seed.map_or_else(|| name.clone(), |seed| format!("{name} (seed {seed})"));
            let differences = check_scenario(corpus, around, (*scenario, &called), order, number).await;
            let differences = differences.unwrap_or_else(|error| vec![not_run(&called, &error)]);
            Finished { differences, replay: seed.map(|seed| replay_text(corpus, name, seed, order)) }
        }
    }
}

async fn check_event(
    corpus: &Corpus,
    around: &Surroundings,
    event: usize,
    number: u64,
) -> Result<Vec<Difference>, VendorError> {
    let event = &corpus.events[event];
    let vendor = Vendor::open(around, &slug(&event.file, number), &[event]).await?;
    vendor.deliver(around, event).await?;
    vendor.settle().await?;
    Ok(match vendor.delivery(event).await? {
        Some(got) => compare_event(event, &got),
        None => vec![Difference {
            file: event.file.clone(),
            member: "delivery".to_owned(),
            expected: format!("an answer for `{}`", event.lookup_key),
            got: "404".to_owned(),
        }],
    })
}

async fn check_scenario(
    corpus: &Corpus,
    around: &Surroundings,
    (scenario, called): (usize, &str),
    order: &[usize],
    number: u64,
) -> Result<Vec<Difference>, VendorError> {
    let scenario = &corpus.scenarios[scenario];
    let events: Vec<_> = order.iter().map(|event| &corpus.events[*event]).collect();
    let vendor = Vendor::open(around, &slug(called, number), &events).await?;
    for event in events {
        vendor.deliver(around, event).await?;
    }
    vendor.settle().await?;
    let mut state = FinalState { redemptions: vendor.redemptions().await?, ..FinalState::default() };
    for (business_key, _) in &scenario.purchases {
        if let Some(purchase) = vendor.purchase(business_key).await? {
            state.purchases.insert(business_key.clone(), purchase);
        }
    }
    state.listed = vendor.purchases().await?;
    Ok(compare_final(called, scenario, &state))
}

fn not_run(file: &str, error: &VendorError) -> Difference {
    Difference {
        file: file.to_owned(),
        member: "run".to_owned(),
        expected: "to finish".to_owned(),
        got: error.to_string(),
    }
}

fn replay_text(corpus: &Corpus, name: &str, seed: u64, order: &[usize]) -> String {
    let files: Vec<&str> = order.iter().map(|event| corpus.events[*event].file.as_str()).collect();
    format!(
        "{name} (seed {seed}): delivered in this order; again with --shuffle {seed} --only {name}:\n  {}",
        files.join("\n  ")
    )
}

/// A vendor's handle: readable, and different for each job.
fn slug(name: &str, number: u64) -> String {
    let name = name.strip_suffix(".json").unwrap_or(name);
    let kept: String = name
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' })
        .collect();
    let words: Vec<&str> = kept.split('-').filter(|word| !word.is_empty()).collect();
    let short: String = words.join("-").chars().take(40).collect();
    format!("{}-{number}", short.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_plain_and_distinct() {
        assert_eq!(slug("stripe/001_customer_created_2020-08-27.json", 3), "stripe-001-customer-created-2020-08-27-3");
        assert_eq!(slug("Zoë & Co", 4), "zo-co-4");
        assert!(slug(&"x".repeat(200), 5).len() < 64);
    }
}
