//! Traces: the way of single deliveries through all processes, for an OpenTelemetry back end.
//!
//! The edge decides which deliveries are traced ([`Traces::begin`]). Their context travels in the header of the log
//! record ([`TraceContext::to_header`]), so that every other step adds its span to the same trace. Spans that ended go
//! into a bounded queue, which [`export::Exporter`] empties. A span that finds no room is lost and counted; nothing
//! here ever waits or fails.
//!
//! Names and attributes are closed lists, and an attribute's text is written in the source: a vendor's id, a secret or
//! anything else that comes from outside cannot become one.

pub mod context;
pub mod export;
pub mod testing;

pub use context::TraceContext;

use crate::metrics::{Metric, count};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::mpsc;

/// Fills a buffer with random bytes; false if there are none.
pub type FillRandom = dyn Fn(&mut [u8]) -> bool + Send + Sync;

/// A step of a delivery's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanName {
    /// A request, until it is answered.
    Edge,
    /// The write that made it durable.
    Append,
    /// The batch that folded it.
    Fold,
    /// The warehouse insert that made its lines readable.
    Insert,
    /// One question to a provider.
    Lookup,
}

impl SpanName {
    /// The name that back ends show.
    pub fn name(self) -> &'static str {
        match self {
            SpanName::Edge => "edge",
            SpanName::Append => "append",
            SpanName::Fold => "fold",
            SpanName::Insert => "insert",
            SpanName::Lookup => "lookup",
        }
    }

    fn kind(self) -> SpanKind {
        match self {
            SpanName::Edge => SpanKind::Server,
            SpanName::Append => SpanKind::Producer,
            SpanName::Fold => SpanKind::Consumer,
            SpanName::Insert | SpanName::Lookup => SpanKind::Client,
        }
    }
}

/// What a span may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The payment provider's name.
    Provider,
    /// How it ended.
    Outcome,
    /// `log` or `spool`.
    Store,
    /// Partition of the log.
    Partition,
    /// Offset in the partition.
    Offset,
    /// Records of the batch.
    Records,
    /// Rows of the insert.
    Rows,
}

impl Attribute {
    /// The name that back ends show.
    pub fn name(self) -> &'static str {
        match self {
            Attribute::Provider => "at.provider",
            Attribute::Outcome => "at.outcome",
            Attribute::Store => "at.store",
            Attribute::Partition => "at.partition",
            Attribute::Offset => "at.offset",
            Attribute::Records => "at.records",
            Attribute::Rows => "at.rows",
        }
    }
}

/// A moment on the wall clock, which spans of several processes share. No result depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(SystemTime);

impl Moment {
    #[expect(clippy::disallowed_methods, reason = "a span says when something happened and decides nothing")]
    fn now() -> Moment {
        Moment(SystemTime::now())
    }
}

/// A span that has begun. Dropping it forgets it.
#[derive(Debug)]
pub struct OpenSpan {
    name: SpanName,
    context: TraceContext,
    parent: Option<Parent>,
    began: Moment,
    attributes: Vec<KeyValue>,
    failed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Parent {
    span: u64,
    is_remote: bool,
}

impl OpenSpan {
    /// What its children need to know.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// Says a word.
    pub fn say(&mut self, attribute: Attribute, word: &'static str) {
        self.attributes.push(KeyValue::new(attribute.name(), word));
    }

    /// Says a number.
    pub fn count(&mut self, attribute: Attribute, number: u64) {
        let number = Value::I64(i64::try_from(number).unwrap_or(i64::MAX));
        self.attributes.push(KeyValue::new(attribute.name(), number));
    }

    /// Says that the step failed.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    fn into_data(self, ended: Moment, scope: InstrumentationScope) -> SpanData {
        let (trace, span) = (TraceId::from(self.context.trace), SpanId::from(self.context.span));
        SpanData {
            span_context: SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: self.parent.map_or(SpanId::INVALID, |parent| SpanId::from(parent.span)),
            parent_span_is_remote: self.parent.is_some_and(|parent| parent.is_remote),
            span_kind: self.name.kind(),
            name: self.name.name().into(),
            start_time: self.began.0,
            // The wall clock may be set back meanwhile.
            end_time: ended.0.max(self.began.0),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if self.failed { Status::error("") } else { Status::Unset },
            instrumentation_scope: scope,
        }
    }
}

/// Makes spans and hands them on. The default is off and costs a branch.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Tracer>>);

struct Tracer {
    /// Of a trace's number: at most this, and it is traced.
    threshold: u64,
    random: Arc<FillRandom>,
    queue: mpsc::Sender<SpanData>,
    scope: InstrumentationScope,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Traces(on)" } else { "Traces(off)" })
    }
}

impl Traces {
    /// Spans go into `queue`. One of `one_in` deliveries is traced, at least one of all (0 counts as 1).
    fn new(one_in: u32, random: Arc<FillRandom>, queue: mpsc::Sender<SpanData>) -> Traces {
        let threshold = u64::MAX / u64::from(one_in.max(1));
        let scope = InstrumentationScope::builder("affilitrack").build();
        Traces(Some(Arc::new(Tracer { threshold, random, queue, scope })))
    }

    /// Whether anything is traced.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The time now, if anything is traced.
    pub fn now(&self) -> Option<Moment> {
        self.0.as_ref().map(|_| Moment::now())
    }

    /// Decides whether a delivery is traced, and begins its first span. `traceparent` gives the header of this name: if
    /// somebody traces the request already, the trace is continued if theirs is kept, and not begun if it is not.
    pub fn begin<'h>(&self, traceparent: impl FnOnce() -> Option<&'h str>) -> Option<OpenSpan> {
        let tracer = self.0.as_ref()?;
        let mut bytes = [0; 24];
        let filled = (tracer.random)(&mut bytes);
        let (trace, span) = bytes.split_at(16);
        let (trace, span) = (u128::from_be_bytes(trace.try_into().ok()?), u64::from_be_bytes(span.try_into().ok()?));
        let (trace, parent) = match traceparent().and_then(context::parse_traceparent) {
            Some((_, false)) => return None,
            Some((theirs, true)) => (theirs.trace, Some(Parent { span: theirs.span, is_remote: true })),
            // The lower half: a trace's number decides the same everywhere.
            None if trace as u64 <= tracer.threshold => (trace, None),
            None => return None,
        };
        let is_valid = filled && trace != 0 && span != 0;
        is_valid.then(|| OpenSpan::begin(SpanName::Edge, TraceContext { trace, span }, parent, Moment::now()))
    }

    /// Begins a span below another one of this process, now.
    pub fn child(&self, parent: TraceContext, name: SpanName) -> Option<OpenSpan> {
        self.child_since(parent, name, self.now()?)
    }

    /// Begins a span below another one of this process that began before it was known.
    pub fn child_since(&self, parent: TraceContext, name: SpanName, began: Moment) -> Option<OpenSpan> {
        self.below(parent, name, began, false)
    }

    /// Begins a span below one that came out of the log.
    pub fn consume(&self, parent: TraceContext, name: SpanName, began: Moment) -> Option<OpenSpan> {
        self.below(parent, name, began, true)
    }

    fn below(&self, parent: TraceContext, name: SpanName, began: Moment, is_remote: bool) -> Option<OpenSpan> {
        let tracer = self.0.as_ref()?;
        let mut bytes = [0; 8];
        let filled = (tracer.random)(&mut bytes);
        let span = u64::from_be_bytes(bytes);
        let context = TraceContext { trace: parent.trace, span };
        let parent = Some(Parent { span: parent.span, is_remote });
        (filled && span != 0).then(|| OpenSpan::begin(name, context, parent, began))
    }

    /// Ends a span now and hands it on, if there is room.
    pub fn finish(&self, span: OpenSpan) {
        let Some(tracer) = &self.0 else { return };
        let data = span.into_data(Moment::now(), tracer.scope.clone());
        if tracer.queue.try_send(data).is_err() {
            lost("queue_full", 1);
        }
    }
}

impl OpenSpan {
    fn begin(name: SpanName, context: TraceContext, parent: Option<Parent>, began: Moment) -> OpenSpan {
        OpenSpan { name, context, parent, began, attributes: Vec::new(), failed: false }
    }
}

/// Counts spans that nobody will see, by a word of the source that says why.
pub fn lost(why: &'static str, spans: u64) {
    count(Metric::TraceSpans, [("outcome", why)], spans);
}

#[cfg(test)]
mod tests;
