//! Sends spans to an OpenTelemetry back end: OTLP over HTTP, in batches, from a bounded queue.

use super::{FillRandom, Traces, lost};
use crate::metrics::{Metric, count};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Spans that may wait.
const QUEUE: usize = 4_096;
/// Spans of one request.
const BATCH: usize = 512;
/// How long spans gather after the first.
const GATHER: Duration = Duration::from_millis(500);
/// How long one request, with what is tried again, may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last spans may take when the process stops.
const LAST: Duration = Duration::from_secs(2);

/// Where spans go, and what is said with all of them.
#[derive(Debug, Clone)]
pub struct ExportSettings {
    /// Address of the back end; `/v1/traces` is added.
    pub endpoint: String,
    /// Name of the service.
    pub service: String,
    /// Which part of the product this process is.
    pub role: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// One of so many deliveries is traced.
    pub one_in: u32,
}

/// Why traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TracesSetupError {
    /// The client for requests.
    #[error("the client that sends traces cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    /// The settings, or one of the library's own variables (`OTEL_EXPORTER_OTLP_...`).
    #[error("traces cannot be sent: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Empties the queue of spans.
#[derive(Debug)]
pub struct Exporter<E = opentelemetry_otlp::SpanExporter> {
    queue: mpsc::Receiver<SpanData>,
    exporter: E,
    endpoint: String,
    fails: bool,
}

/// Sets traces up. The cryptography of HTTPS clients must have been chosen.
///
/// # Errors
/// When the client or the exporter cannot be made. Nothing is sent yet.
pub fn open(settings: ExportSettings, random: Arc<FillRandom>) -> Result<(Traces, Exporter), TracesSetupError> {
    let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
    let mut exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", settings.endpoint.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .build()?;
    let attributes = [KeyValue::new("service.version", settings.version), KeyValue::new("at.role", settings.role)];
    let resource = Resource::builder_empty().with_service_name(settings.service).with_attributes(attributes).build();
    exporter.set_resource(&resource);
    let (sender, queue) = mpsc::channel(QUEUE);
    let traces = Traces::new(settings.one_in, random, sender);
    Ok((traces, Exporter { queue, exporter, endpoint: settings.endpoint, fails: false }))
}

impl<E: SpanExporter> Exporter<E> {
    /// Runs until stopped; then what still waits is sent, if that takes no longer than two seconds.
    pub async fn run(mut self, stop: &CancellationToken) {
        while let Some(batch) = self.gather(stop).await {
            self.send(batch, stop).await;
        }
        // Whoever traces keeps a sender; without any there is nothing more to come.
        stop.cancelled().await;
        let mut rest = Vec::new();
        while let Ok(span) = self.queue.try_recv() {
            rest.push(span);
        }
        if !rest.is_empty() {
            self.send(rest, stop).await;
        }
    }

    /// The next batch; none when it is time to stop.
    async fn gather(&mut self, stop: &CancellationToken) -> Option<Vec<SpanData>> {
        let mut batch = tokio::select! {
            first = self.queue.recv() => vec![first?],
            () = stop.cancelled() => return None,
        };
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            () = stop.cancelled() => {}
        }
        while batch.len() < BATCH {
            let Ok(span) = self.queue.try_recv() else { break };
            batch.push(span);
        }
        Some(batch)
    }

    /// Sends a batch or loses it.
    async fn send(&mut self, batch: Vec<SpanData>, stop: &CancellationToken) {
        let spans = batch.len() as u64;
        let out_of_time = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST).await;
        };
        let sent = tokio::select! {
            sent = self.exporter.export(batch) => sent.map_err(|error| error.to_string()),
            () = out_of_time => Err("the process stops".to_owned()),
        };
        let endpoint = &self.endpoint;
        match sent {
            Ok(()) => {
                count(Metric::TraceSpans, [("outcome", "sent")], spans);
                if std::mem::take(&mut self.fails) {
                    tracing::info!("traces are taken again by {endpoint}");
                }
            }
            Err(words) => {
                lost("failed", spans);
                // One line for a person; how many are lost is counted.
                if !std::mem::replace(&mut self.fails, true) {
                    tracing::warn!(error = words, "traces are lost: {endpoint} did not take them: {words}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::SpanName;
    use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    #[derive(Debug, Clone, Default)]
    struct Backend {
        refuses: Arc<AtomicBool>,
        hangs: Arc<AtomicBool>,
        tries: Arc<AtomicUsize>,
        batches: Arc<Mutex<Vec<Vec<SpanData>>>>,
    }

    impl SpanExporter for Backend {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.tries.fetch_add(1, Ordering::SeqCst);
            if self.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if self.refuses.load(Ordering::SeqCst) {
                return Err(OTelSdkError::InternalFailure("no".to_owned()));
            }
            self.batches.lock().expect("not poisoned").push(batch);
            Ok(())
        }
    }

    fn exporter(backend: &Backend) -> (Traces, Exporter<Backend>) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let ones = |bytes: &mut [u8]| {
            bytes.fill(1);
            true
        };
        let exporter = Exporter { queue, exporter: backend.clone(), endpoint: "http://there".to_owned(), fails: false };
        (Traces::new(1, Arc::new(ones), sender), exporter)
    }

    fn finish(traces: &Traces, spans: usize) {
        for _ in 0..spans {
            let span = traces.begin(|| None).expect("all are traced");
            assert_eq!(span.name, SpanName::Edge);
            traces.finish(span);
        }
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        for _ in 0..3_000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: not within 30 s");
    }

    fn sent(backend: &Backend) -> Vec<usize> {
        backend.batches.lock().expect("not poisoned").iter().map(Vec::len).collect()
    }

    #[tokio::test]
    async fn spans_go_in_batches_and_the_last_ones_at_the_end() {
        let backend = Backend::default();
        let (traces, exporter) = exporter(&backend);
        let stop = CancellationToken::new();
        finish(&traces, BATCH + 3);
        let told = stop.clone();
        let task = tokio::spawn(async move { exporter.run(&told).await });
        until("two batches", || sent(&backend) == [BATCH, 3]).await;
        finish(&traces, 2);
        stop.cancel();
        task.await.expect("it ends");
        assert_eq!(sent(&backend), [BATCH, 3, 2]);
    }

    #[tokio::test]
    async fn a_back_end_that_refuses_costs_its_batch_and_nothing_else() {
        let backend = Backend::default();
        backend.refuses.store(true, Ordering::SeqCst);
        let (traces, exporter) = exporter(&backend);
        let stop = CancellationToken::new();
        let told = stop.clone();
        let task = tokio::spawn(async move { exporter.run(&told).await });
        finish(&traces, 2);
        until("a try", || backend.tries.load(Ordering::SeqCst) == 1).await;
        backend.refuses.store(false, Ordering::SeqCst);
        finish(&traces, 5);
        until("the next batch", || sent(&backend) == [5]).await;
        stop.cancel();
        task.await.expect("it ends");
    }

    #[tokio::test]
    async fn a_back_end_that_hangs_does_not_hold_up_the_end() {
        let backend = Backend::default();
        backend.hangs.store(true, Ordering::SeqCst);
        let (traces, exporter) = exporter(&backend);
        let stop = CancellationToken::new();
        let told = stop.clone();
        let task = tokio::spawn(async move { exporter.run(&told).await });
        finish(&traces, 1);
        until("a try", || backend.tries.load(Ordering::SeqCst) == 1).await;
        finish(&traces, 1);
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), task).await.expect("within its time").expect("it ends");
        assert!(sent(&backend).is_empty());
    }

    #[tokio::test]
    async fn a_full_queue_loses_spans_and_never_waits() {
        let backend = Backend::default();
        let (traces, mut exporter) = exporter(&backend);
        finish(&traces, QUEUE + 10);
        let mut waiting = 0;
        while exporter.queue.try_recv().is_ok() {
            waiting += 1;
        }
        assert_eq!(waiting, QUEUE);
    }
}
