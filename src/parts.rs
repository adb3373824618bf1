//! Starts the parts of the process. Each registers first, then runs until it is told to stop.

use crate::answers::answer_minimiser;
use crate::app::{App, GENERATION};
use processor::deadlines::{self, DeadlineTimer};
use processor::lookups::{LookupLimits, LookupWorker};
use processor::owns_everything;
use processor::relay::Relay;
use processor::sink::Sink;
use processor::verify::{Memory, Verifier};
use processor::worker::{FoldLimits, FoldWorker};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use telemetry::lifecycle::{Component, Lifecycle};
use tokio_util::sync::CancellationToken;

/// How long an ordinary part may take to stop.
const BUDGET: Duration = Duration::from_secs(10);
/// Who wrote a record, on the record.
const WRITER: &str = "run";

/// Runs a part until it is told to stop. One that ends by itself has died.
fn spawn<F>(component: Component, part: impl FnOnce(CancellationToken) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let stop = component.stop_token();
    component.ready();
    tokio::spawn(async move {
        part(stop.clone()).await;
        if stop.is_cancelled() {
            component.finish();
        } else {
            component.fail("ended by itself");
        }
    });
}

/// Starts the processor, the relay, look-ups, deadlines and the directory's reload. Registered
/// in the order of dependence: the sink stops after the fold, the log last of all.
pub fn start(app: &Arc<App>, lifecycle: &Lifecycle) {
    let shared = app.clone();
    spawn(lifecycle.register("log", BUDGET), async move |stop| {
        stop.cancelled().await;
        shared.log.shutdown().await;
    });
    let sink = Sink {
        store: app.fold_store(),
        partitions: owns_everything(),
        warehouse: app.warehouse.clone(),
        live: app.live.clone(),
        committed: app.committed.clone(),
        generation: GENERATION,
        batch_items: app.config.processor.project_max_lines,
        clock: app.clock.clone(),
    };
    spawn(lifecycle.register("sink", BUDGET), async move |stop| sink.run(&stop).await);
    start_fold(app, lifecycle.register("fold", BUDGET));
    let relay = Relay { control: app.control.clone(), log: app.event_log(), writer: WRITER.to_owned() };
    spawn(lifecycle.register("relay", BUDGET), async move |stop| relay.run(&stop).await);
    start_lookups(app, lifecycle.register("lookups", BUDGET));
    // A build that ends itself at a deadline cannot wait for days until one passes.
    let (every, deadline) = match store::crash::COMPILED_IN {
        true => (Duration::from_secs(1), Duration::from_secs(1)),
        false => (deadlines::EVERY, Duration::from_secs(app.config.processor.lookup_deadline_s)),
    };
    let timer = DeadlineTimer {
        store: app.fold_store(),
        partitions: owns_everything(),
        log: app.event_log(),
        clock: app.clock.clone(),
        deadline,
        every,
        writer: WRITER.to_owned(),
    };
    spawn(lifecycle.register("deadlines", BUDGET), async move |stop| timer.run(&stop).await);
    let audit = app.audit.clone();
    spawn(lifecycle.register("audit", BUDGET), async move |stop| audit.run(&stop).await);
    start_verifier(app, lifecycle.register("verifier", BUDGET));
    let loader = app.loader.clone();
    spawn(lifecycle.register("directory", BUDGET), async move |stop| loader.run(&stop).await);
}

fn start_verifier(app: &Arc<App>, component: Component) {
    let verifier = Verifier {
        store: app.fold_store(),
        log: app.event_log(),
        partitions: owns_everything(),
        warehouse: app.warehouse.clone(),
        shown: app.live.clone(),
        generation: GENERATION,
        batch_items: app.config.processor.project_max_lines,
        scratch: app.folder.refold(),
        clock: app.clock.clone(),
        differences: app.audit.differences.clone(),
    };
    let memory = Memory::of_lost(app.lost.iter().copied());
    spawn(component, async move |stop| verifier.run(memory, &stop).await);
}

fn start_fold(app: &Arc<App>, component: Component) {
    let settings = &app.config.processor;
    let worker = FoldWorker {
        log: app.event_log(),
        store: app.fold_store(),
        partitions: owns_everything(),
        limits: FoldLimits {
            records: settings.batch_max_records,
            bytes: settings.batch_max_bytes,
            outbox_items: settings.outbox_max_lines as u64,
        },
        committed: app.committed.clone(),
        asked: app.asked.clone(),
        alarms: app.alarms.clone(),
    };
    let runtime = tokio::runtime::Handle::current();
    spawn(component, async move |stop| {
        let ended = tokio::task::spawn_blocking(move || worker.run(&runtime, &stop)).await;
        if let Err(panic) = ended {
            tracing::error!(error = %panic, "the fold worker panicked");
        }
    });
}

fn start_lookups(app: &Arc<App>, component: Component) {
    let settings = &app.config.processor;
    let worker = Arc::new(LookupWorker {
        store: app.fold_store(),
        partitions: owns_everything(),
        control: app.control.clone(),
        log: app.event_log(),
        asked: app.asked.clone(),
        minimise: answer_minimiser(app.hash_keys.clone()),
        clock: app.clock.clone(),
        writer: WRITER.to_owned(),
        limits: LookupLimits {
            concurrency: settings.lookup_concurrency,
            timeout: Duration::from_millis(settings.lookup_timeout_ms),
            ..LookupLimits::default()
        },
    });
    spawn(component, async move |stop| worker.run(&stop).await);
}
