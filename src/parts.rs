//! Starts the parts of the process. Each registers first, then runs until it is told to stop.

use crate::answers::{answer_minimiser, event_minimiser};
use crate::app::App;
use crate::base::Base;
use crate::broken_mail::BrokenMail;
use crate::folding::Folding;
use crate::live_watch;
use crate::reading::{GENERATION, Reading};
use crate::spike_mail::SpikeMail;
use crate::summary_mail::SummaryMail;
use domain::ids::Timestamp;
use processor::deadlines::{self, DeadlineTimer};
use processor::lookups::{LookupLimits, LookupWorker};
use processor::relay::Relay;
use processor::sink::Sink;
use processor::spikes::{self, SpikeTimer};
use processor::stripe::reading::{ReadingLimits, StripeReader};
use processor::verify::{Memory, Verifier};
use processor::worker::{FoldLimits, FoldWorker};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::kafka::live::LiveListener;
use store::kafka::membership::Membership;
use store::kafka::spool::SpooledLog;
use telemetry::lifecycle::{Component, Lifecycle};
use telemetry::metrics::{self, Metric};
use tokio_util::sync::CancellationToken;

/// How long an ordinary part may take to stop.
const BUDGET: Duration = Duration::from_secs(10);
/// A mail that is being handed over is waited for.
const MAIL_BUDGET: Duration = Duration::from_secs(70);
/// A page of Stripe that is being read is taken and noted.
const READER_BUDGET: Duration = Duration::from_secs(30);
/// How often the gauges of the spool are set.
const SPOOL_GAUGES: Duration = Duration::from_secs(1);

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

/// Starts what the role has. Registered in the order of dependence: the log stops last of all, the group is left after
/// the fold and the sink have stopped. `public_url` is where pages are, if the role has them.
pub fn start(app: &mut App, lifecycle: &Lifecycle, public_url: &str) {
    // Stops after everything that makes spans.
    if let Some(exporter) = app.exporter.take() {
        spawn(lifecycle.register("traces", BUDGET), async move |stop| exporter.run(&stop).await);
    }
    let (log, deliveries) = (app.base.log.clone(), app.base.deliveries.clone());
    spawn(lifecycle.register("log", BUDGET), async move |stop| {
        stop.cancelled().await;
        deliveries.close().await;
        log.close().await;
    });
    if let Some(spool) = app.base.spool.clone() {
        let clock = app.base.clock.clone();
        spawn(lifecycle.register("spool gauges", BUDGET), async move |stop| watch_spool(&spool, clock, stop).await);
    }
    if app.edge.is_some() {
        let failures = app.failures.clone();
        spawn(lifecycle.register("refused deliveries", BUDGET), async move |stop| failures.run(&stop).await);
    }
    if let Some(folding) = &app.folding {
        start_folding(&app.base, folding, lifecycle);
    }
    if let Some(reading) = &app.reading {
        start_reading(&app.base, reading, app.listener.take(), lifecycle);
        start_spike_mail(reading, lifecycle.register("spike mail", BUDGET), public_url);
        start_broken_mail(reading, lifecycle.register("broken mail", BUDGET), public_url);
        start_summary_mail(reading, lifecycle.register("summary mail", BUDGET), public_url);
    }
    let loader = app.base.loader.clone();
    spawn(lifecycle.register("directory", BUDGET), async move |stop| loader.run(&stop).await);
}

fn start_folding(base: &Base, folding: &Folding, lifecycle: &Lifecycle) {
    if let Some(membership) = folding.membership.clone() {
        spawn(lifecycle.register("group", BUDGET), async move |stop| {
            stop.cancelled().await;
            leave(membership).await;
        });
    }
    let sink = Sink {
        store: folding.stores.fold.clone(),
        partitions: folding.owned.clone(),
        warehouse: Arc::new(folding.stores.warehouse.clone()),
        live: folding.told.live.clone(),
        committed: folding.committed.clone(),
        generation: GENERATION,
        batch_items: base.config.processor.project_max_lines,
        clock: base.clock.clone(),
        traces: folding.traces.clone(),
    };
    spawn(lifecycle.register("sink", BUDGET), async move |stop| sink.run(&stop).await);
    start_worker(base, folding, lifecycle.register("fold", BUDGET));
    start_lookups(base, folding, lifecycle.register("lookups", BUDGET));
    start_stripe_reader(base, &folding.process_name, lifecycle.register("stripe reader", READER_BUDGET));
    start_deadlines(base, folding, lifecycle.register("deadlines", BUDGET));
    start_spikes(base, folding, lifecycle.register("spikes", BUDGET));
    let audit = folding.audit.clone();
    spawn(lifecycle.register("audit", BUDGET), async move |stop| audit.run(&stop).await);
    start_verifier(base, folding, lifecycle.register("verifier", BUDGET));
}

fn start_verifier(base: &Base, folding: &Folding, component: Component) {
    let verifier = Verifier {
        store: folding.stores.fold.clone(),
        log: base.log.clone(),
        partitions: folding.owned.clone(),
        warehouse: folding.stores.warehouse.clone(),
        shown: folding.told.shown.clone(),
        generation: GENERATION,
        batch_items: base.config.processor.project_max_lines,
        scratch: base.folder.refold(),
        clock: base.clock.clone(),
        differences: folding.audit.differences.clone(),
        every: Duration::from_secs(base.config.processor.verify_every_s),
    };
    let memory = Memory::of_lost(folding.stores.lost.iter().copied());
    spawn(component, async move |stop| verifier.run(memory, &stop).await);
}

fn start_worker(base: &Base, folding: &Folding, component: Component) {
    let settings = &base.config.processor;
    let worker = FoldWorker {
        log: base.log.clone(),
        store: folding.stores.fold.clone(),
        partitions: folding.owned.clone(),
        limits: FoldLimits {
            records: settings.batch_max_records,
            bytes: settings.batch_max_bytes,
            outbox_items: settings.outbox_max_lines as u64,
            ..FoldLimits::default()
        },
        committed: folding.committed.clone(),
        asked: folding.asked.clone(),
        alarms: folding.alarms.clone(),
        traces: folding.traces.clone(),
    };
    let runtime = tokio::runtime::Handle::current();
    spawn(component, async move |stop| {
        let ended = tokio::task::spawn_blocking(move || worker.run(&runtime, &stop)).await;
        if let Err(panic) = ended {
            tracing::error!(error = %panic, "the fold worker panicked");
        }
    });
}

fn start_lookups(base: &Base, folding: &Folding, component: Component) {
    let settings = &base.config.processor;
    let worker = Arc::new(LookupWorker {
        store: folding.stores.fold.clone(),
        partitions: folding.owned.clone(),
        control: base.control.clone(),
        log: base.log.clone(),
        asked: folding.asked.clone(),
        minimise: answer_minimiser(base.hash_keys.clone()),
        clock: base.clock.clone(),
        writer: base.role.name().to_owned(),
        limits: LookupLimits {
            concurrency: settings.lookup_concurrency,
            timeout: Duration::from_millis(settings.lookup_timeout_ms),
            ..LookupLimits::default()
        },
        traces: folding.traces.clone(),
    });
    spawn(component, async move |stop| worker.run(&stop).await);
}

fn start_stripe_reader(base: &Base, owner: &str, component: Component) {
    let reader = StripeReader {
        control: base.control.clone(),
        log: base.log.clone(),
        minimise_event: event_minimiser(base.hash_keys.clone()),
        minimise_answer: answer_minimiser(base.hash_keys.clone()),
        clock: base.clock.clone(),
        writer: base.role.name().to_owned(),
        owner: owner.to_owned(),
        limits: ReadingLimits::default(),
    };
    spawn(component, async move |stop| reader.run(&stop).await);
}

fn start_deadlines(base: &Base, folding: &Folding, component: Component) {
    // A build that ends itself at a deadline cannot wait for days until one passes.
    let (every, deadline) = match store::crash::COMPILED_IN {
        true => (Duration::from_secs(1), Duration::from_secs(1)),
        false => (deadlines::EVERY, Duration::from_secs(base.config.processor.lookup_deadline_s)),
    };
    let timer = DeadlineTimer {
        store: folding.stores.fold.clone(),
        partitions: folding.owned.clone(),
        log: base.log.clone(),
        clock: base.clock.clone(),
        deadline,
        every,
        writer: base.role.name().to_owned(),
    };
    spawn(component, async move |stop| timer.run(&stop).await);
}

fn start_spikes(base: &Base, folding: &Folding, component: Component) {
    let timer = Arc::new(SpikeTimer {
        store: folding.stores.fold.clone(),
        partitions: folding.owned.clone(),
        live: folding.told.live.clone(),
        clock: base.clock.clone(),
        every: spikes::EVERY,
    });
    spawn(component, async move |stop| timer.run(&stop).await);
}

fn start_reading(base: &Base, reading: &Arc<Reading>, listener: Option<LiveListener>, lifecycle: &Lifecycle) {
    let relay =
        Relay { control: Arc::new(base.control.clone()), log: base.log.clone(), writer: base.role.name().to_owned() };
    spawn(lifecycle.register("relay", BUDGET), async move |stop| relay.run(&stop).await);
    let mail = reading.mail.worker(reading.control.clone(), reading.clock.clone());
    spawn(lifecycle.register("mail", MAIL_BUDGET), async move |stop| mail.run(&stop).await);
    if let Some(listener) = listener {
        let reading = reading.clone();
        spawn(lifecycle.register("live signal", BUDGET), async move |stop| {
            live_watch::run(&listener, &reading.live, &reading.fold, &stop).await;
        });
    }
}

fn start_spike_mail(reading: &Reading, component: Component, public_url: &str) {
    let alerts = SpikeMail {
        fold: reading.fold.clone(),
        control: reading.control.clone(),
        clock: reading.clock.clone(),
        public_url: public_url.to_owned(),
    };
    spawn(component, async move |stop| alerts.run(&stop).await);
}

fn start_broken_mail(reading: &Reading, component: Component, public_url: &str) {
    let broken = BrokenMail {
        fold: reading.fold.clone(),
        control: reading.control.clone(),
        clock: reading.clock.clone(),
        public_url: public_url.to_owned(),
    };
    spawn(component, async move |stop| broken.run(&stop).await);
}

fn start_summary_mail(reading: &Reading, component: Component, public_url: &str) {
    let summaries = SummaryMail {
        control: reading.control.clone(),
        figures: Arc::new(reading.reports.clone()),
        log: reading.log.clone(),
        live: reading.live.clone(),
        clock: reading.clock.clone(),
        public_url: public_url.to_owned(),
        ends: Mutex::default(),
    };
    spawn(component, async move |stop| summaries.run(&stop).await);
}

/// Gives the partitions back, so that others take them at once.
async fn leave(membership: Arc<Membership>) {
    if let Err(panic) = tokio::task::spawn_blocking(move || membership.leave()).await {
        tracing::error!(error = %panic, "the group member panicked");
    }
}

async fn watch_spool(spool: &SpooledLog, clock: api::services::Clock, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let status = spool.status();
        metrics::set(Metric::SpoolBytes, [], status.bytes as f64);
        let age_ms = status.oldest.map_or(0, |Timestamp(oldest)| ((clock)().0 - oldest).max(0));
        metrics::set(Metric::SpoolOldestSeconds, [], Duration::from_millis(age_ms as u64).as_secs_f64());
        tokio::select! {
            () = tokio::time::sleep(SPOOL_GAUGES) => {}
            () = stop.cancelled() => {}
        }
    }
}
