//! Every metric the product has, by name, kind and meaning.
//!
//! Label values are `&'static str`, so the number of series is bounded by what is written in the
//! source: a vendor id, an endpoint or anything else that comes from outside cannot become a label.

use metrics::{Key, Label as SeriesLabel, Level, Metadata, SharedString, Unit, with_recorder};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::{Duration, Instant};

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// A current value.
    Gauge,
    /// A distribution.
    Histogram,
}

/// A label: its name and one of a few values known when the program was built.
pub type Label = (&'static str, &'static str);

macro_rules! metrics_table {
    ($($variant:ident, $name:literal, $kind:ident, $help:literal;)*) => {
        /// A metric. The names are part of the product: dashboards and alarms use them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Metric {
            $(#[doc = $help] $variant,)*
        }

        impl Metric {
            /// Every metric.
            pub const ALL: &[Metric] = &[$(Metric::$variant,)*];

            /// The name in Prometheus form.
            pub fn name(self) -> &'static str {
                match self { $(Metric::$variant => $name,)* }
            }

            /// How it moves.
            pub fn kind(self) -> Kind {
                match self { $(Metric::$variant => Kind::$kind,)* }
            }

            /// What it means, and its labels.
            pub fn help(self) -> &'static str {
                match self { $(Metric::$variant => $help,)* }
            }
        }
    };
}

metrics_table! {
    IngestRequests, "at_ingest_requests_total", Counter, "Webhook requests, by provider, outcome and ack.";
    IngestAckSeconds, "at_ingest_ack_seconds", Histogram, "From the first byte of a delivery to its durable append, by ack.";
    IngestInflightBytes, "at_ingest_inflight_bytes", Gauge, "Request bodies in memory, in bytes.";
    IngestCutValues, "at_ingest_cut_values_total", Counter, "Values of deliveries that were too long to keep, by provider.";
    SpoolBytes, "at_spool_bytes", Gauge, "Records waiting to be forwarded, in bytes.";
    SpoolOldestSeconds, "at_spool_oldest_seconds", Gauge, "Age of the oldest record waiting to be forwarded.";
    SpoolFsyncSeconds, "at_spool_fsync_seconds", Histogram, "Duration of one durable write of the local log.";
    LogProduceSeconds, "at_log_produce_seconds", Histogram, "From append to acknowledgement.";
    LogProduceErrors, "at_log_produce_errors_total", Counter, "Appends that failed, by code.";
    FoldRecords, "at_fold_records_total", Counter, "Records folded, by outcome.";
    FoldLagRecords, "at_fold_lag_records", Gauge, "Records behind the end of the log, by partition.";
    FoldLagSeconds, "at_fold_lag_seconds", Gauge, "Age of the oldest record not folded, by partition.";
    FoldCommitSeconds, "at_fold_commit_seconds", Histogram, "Duration of one fold transaction.";
    FoldPosition, "at_fold_position", Gauge, "Next offset to fold, by partition.";
    FoldWaiting, "at_fold_waiting", Gauge, "Records that wait for a fact, by reason.";
    FoldWaitingOldestSeconds, "at_fold_waiting_oldest_seconds", Gauge, "Age of the oldest waiting record, by reason.";
    RefusedOpen, "at_refused_open", Gauge, "Refused records nobody has dealt with, by reason.";
    SinkInsertSeconds, "at_sink_insert_seconds", Histogram, "Duration of one warehouse insert.";
    SinkBatchLines, "at_sink_batch_lines", Histogram, "Lines per warehouse insert.";
    SinkRetries, "at_sink_retries_total", Counter, "Warehouse inserts tried again.";
    SinkUnverifiedLines, "at_sink_unverified_lines", Gauge, "Lines that were sent to the warehouse and are not there at the last check.";
    VisibleDelaySeconds, "at_visible_delay_seconds", Histogram, "From received to readable, by path.";
    ReconcileDifferences, "at_reconcile_differences_total", Counter, "Checks of the books that found a new difference; must stay 0. By kind.";
    QuerySeconds, "at_query_seconds", Histogram, "Duration of a warehouse query, by query.";
    SseStreams, "at_sse_streams", Gauge, "Open live streams.";
    AlertsRaised, "at_alerts_raised_total", Counter, "Codes that were found to be redeemed far too often.";
    Mails, "at_mails_total", Counter, "Tries to send a mail, by outcome: sent, later, failed, unsure.";
    TraceSpans, "at_trace_spans_total", Counter, "Spans of traced deliveries, by outcome: sent, or lost and why.";
    SseDropped, "at_sse_dropped_total", Counter, "Live signals dropped for a slow page.";
}

/// Buckets of durations, in seconds.
const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets of sizes, in pieces.
const PIECES: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0];

static METADATA: Metadata<'static> = Metadata::new("affilitrack", Level::INFO, None);

/// Adds to a counter.
pub fn count<const N: usize>(metric: Metric, labels: [Label; N], amount: u64) {
    with_recorder(|recorder| {
        recorder.register_counter(&key(metric, labels), &METADATA).increment(amount);
    });
}

/// Sets a gauge.
pub fn set<const N: usize>(metric: Metric, labels: [Label; N], value: f64) {
    with_recorder(|recorder| {
        recorder.register_gauge(&key(metric, labels), &METADATA).set(value);
    });
}

/// Adds one value to a distribution: seconds for `_seconds` metrics, else pieces.
pub fn observe<const N: usize>(metric: Metric, labels: [Label; N], value: f64) {
    with_recorder(|recorder| {
        recorder.register_histogram(&key(metric, labels), &METADATA).record(value);
    });
}

fn key<const N: usize>(metric: Metric, labels: [Label; N]) -> Key {
    if N == 0 {
        return Key::from_static_name(metric.name());
    }
    let labels = labels.map(|(name, value)| SeriesLabel::from_static_parts(name, value));
    Key::from_parts(metric.name(), labels.to_vec())
}

/// Measures a duration. The one place where the wall clock of metrics is read.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "a duration for a metric decides nothing")]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Puts the time since the start into a distribution.
    pub fn observe<const N: usize>(&self, metric: Metric, labels: [Label; N]) {
        observe(metric, labels, self.elapsed().as_secs_f64());
    }
}

/// The text of a label for a partition. Partitions are few; an unknown one is `other`.
pub fn partition_label(partition: u16) -> &'static str {
    const NAMES: [&str; 16] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
    NAMES.get(usize::from(partition)).copied().unwrap_or("other")
}

/// The metrics of this process, ready to be rendered.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MetricsSetupError {
    /// A process has one collector.
    #[error("metrics cannot be set up (twice in one process?): {0}")]
    Collector(#[from] BuildError),
    /// No thread for the upkeep.
    #[error("metrics cannot be set up: no thread can be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl Metrics {
    /// Collects every metric of this process from now on. Call it once, at the start. A thread folds samples into
    /// their buckets as long as the process lives: each sample of a distribution stays in memory until somebody does,
    /// and not every process has a scraper.
    pub fn install() -> Result<Metrics, MetricsSetupError> {
        let handle = builder()?.install_recorder()?;
        describe_all();
        let collected = handle.clone();
        std::thread::Builder::new().name("metrics".to_owned()).spawn(move || keep_up(&collected))?;
        Ok(Metrics { handle })
    }

    /// All metrics in Prometheus text form.
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
}

#[expect(clippy::disallowed_methods, reason = "on a thread of its own, which has nothing else to do")]
fn keep_up(collected: &PrometheusHandle) -> ! {
    loop {
        std::thread::sleep(UPKEEP_EVERY);
        collected.run_upkeep();
    }
}

/// At 20,000 samples a second these are 800 KB.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets(PIECES)
}

fn describe_all() {
    with_recorder(|recorder| {
        for metric in Metric::ALL {
            let name = metric.name().into();
            let help = SharedString::const_str(metric.help());
            let unit = metric.name().ends_with("_seconds").then_some(Unit::Seconds);
            match metric.kind() {
                Kind::Counter => recorder.describe_counter(name, unit, help),
                Kind::Gauge => recorder.describe_gauge(name, unit, help),
                Kind::Histogram => recorder.describe_histogram(name, unit, help),
            }
        }
    });
}

/// Writes a log line and adds one to its counter, from one place.
///
/// ```
/// use telemetry::metrics::Metric;
/// let position = 7;
/// telemetry::event!(WARN, Metric::LogProduceErrors, [("code", "disk_full")],
///     log.position = position; "the log took no record at position {position}");
/// ```
#[macro_export]
macro_rules! event {
    ($level:ident, $metric:expr, $labels:expr, $($field:tt).+ = $value:expr $(, $($more:tt).+ = $more_value:expr)* ; $($message:tt)+) => {{
        $crate::metrics::count($metric, $labels, 1);
        $crate::tracing::event!($crate::tracing::Level::$level, metric = $metric.name(), $($field).+ = $value $(, $($more).+ = $more_value)*, $($message)+);
    }};
    ($level:ident, $metric:expr, $labels:expr; $($message:tt)+) => {{
        $crate::metrics::count($metric, $labels, 1);
        $crate::tracing::event!($crate::tracing::Level::$level, metric = $metric.name(), $($message)+);
    }};
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_say_their_kind() {
        let mut seen = HashSet::new();
        for metric in Metric::ALL {
            assert!(seen.insert(metric.name()), "{} twice", metric.name());
            assert!(metric.name().starts_with("at_"));
            assert_eq!(metric.name().ends_with("_total"), metric.kind() == Kind::Counter, "{}", metric.name());
        }
    }

    #[test]
    fn what_is_counted_is_rendered() {
        let recorder = builder().expect("buckets are given").build_recorder();
        let metrics = Metrics { handle: recorder.handle() };
        metrics::with_local_recorder(&recorder, || {
            describe_all();
            count(Metric::FoldRecords, [("outcome", "counted")], 3);
            crate::event!(WARN, Metric::IngestRequests, [("provider", "stripe"), ("outcome", "error"), ("ack", "log")],
                endpoint.id = "e1", provider.name = "stripe"; "endpoint {} failed", "e1");
            crate::event!(DEBUG, Metric::SinkRetries, []; "again");
            set(Metric::IngestInflightBytes, [], 12.0);
            observe(Metric::IngestAckSeconds, [("ack", "log")], 0.002);
            observe(Metric::SinkBatchLines, [], 500.0);
            Stopwatch::start().observe(Metric::QuerySeconds, [("query", "totals")]);
        });
        let text = metrics.render();
        for expected in [
            "at_fold_records_total{outcome=\"counted\"} 3",
            "at_ingest_requests_total{provider=\"stripe\",outcome=\"error\",ack=\"log\"} 1",
            "at_sink_retries_total 1",
            "at_ingest_inflight_bytes 12",
            "at_ingest_ack_seconds_bucket{ack=\"log\",le=\"0.0025\"} 1",
            "at_sink_batch_lines_bucket{le=\"1000\"} 1",
            "# HELP at_query_seconds",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn partitions_have_a_bounded_label() {
        assert_eq!(partition_label(15), "15");
        assert_eq!(partition_label(16), "other");
    }
}
