//! What tests of other crates need to look at spans without a back end.

use super::{FillRandom, Traces};
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// A span that ended, in plain values.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its name.
    pub name: String,
    /// Its trace, in hexadecimal digits.
    pub trace: String,
    /// Its own number.
    pub span: u64,
    /// Its parent's; 0 = none.
    pub parent: u64,
    /// What it says, as `name=value`.
    pub attributes: Vec<String>,
    /// Whether the step failed.
    pub failed: bool,
}

impl Ended {
    /// Whether it says this.
    pub fn says(&self, words: &str) -> bool {
        self.attributes.iter().any(|one| one == words)
    }
}

/// Where ended spans can be looked at.
#[derive(Debug)]
pub struct EndedSpans(mpsc::Receiver<SpanData>);

impl EndedSpans {
    /// Those since the last call, in order.
    pub fn all(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        while let Ok(data) = self.0.try_recv() {
            ended.push(Ended {
                name: data.name.into_owned(),
                trace: data.span_context.trace_id().to_string(),
                span: u64::from_be_bytes(data.span_context.span_id().to_bytes()),
                parent: u64::from_be_bytes(data.parent_span_id.to_bytes()),
                attributes: data.attributes.iter().map(|one| format!("{}={}", one.key, one.value)).collect(),
                failed: matches!(data.status, Status::Error { .. }),
            });
        }
        ended
    }
}

/// Traces everything, with numbers that count up; so many ended spans have room.
pub fn traces_into(room: usize) -> (Traces, EndedSpans) {
    let next = AtomicU64::new(1);
    let counting: Arc<FillRandom> = Arc::new(move |bytes| {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&next.fetch_add(1, Ordering::SeqCst).to_be_bytes()[..chunk.len()]);
        }
        true
    });
    let (sender, queue) = mpsc::channel(room);
    (Traces::new(1, counting, sender), EndedSpans(queue))
}
