//! The way of single records through fold, sink and look-ups, for traces. See `telemetry::traces`.
//!
//! A record that the edge chose carries a context in its header. The lines that it leads to do not: between the commit of
//! the fold and the insert that makes them readable, the context waits here, in memory, by the record's place. The same
//! for its questions, until they are answered. What finds no room, or belongs to a partition that went to another
//! process, is forgotten and counted; after a restart the book is empty. Then a trace ends earlier, and nothing else.

use domain::fold::Effects;
use domain::story::Scope;
use schemas::record::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::event_log::partition_of;
use store::fold_store::{Commit, OpenQuestion, OutboxBatch};
use telemetry::traces::{Attribute, Moment, OpenSpan, SpanName, TraceContext, Traces, lost};

/// Records and questions that may wait, each.
pub const CAPACITY: usize = 10_000;

/// A traced record of a batch.
#[derive(Debug)]
pub struct Traced {
    offset: u64,
    parent: TraceContext,
    has_lines: bool,
    questions: Vec<(Scope, String)>,
}

impl Traced {
    /// The record, if its header has a context.
    pub fn of(offset: u64, record: &Record) -> Option<Traced> {
        let parent = TraceContext::from_header(record.trace.as_deref()?)?;
        Some(Traced { offset, parent, has_lines: false, questions: Vec::new() })
    }

    /// With what it led to.
    pub fn with(mut self, effects: &Effects) -> Traced {
        self.has_lines = !effects.lines.is_empty() || !effects.rows.is_empty() || effects.fanout.is_some();
        self.questions = effects.questions.iter().map(|(scope, _, one)| (*scope, one.request.clone())).collect();
        self
    }
}

/// The traced records of one batch, noted while it is folded.
#[derive(Debug, Default)]
pub struct FoldedTraces {
    began: Option<Moment>,
    traced: Vec<Traced>,
}

impl FoldedTraces {
    /// Where to note them; none if nothing is traced.
    pub fn traced(&mut self) -> Option<&mut Vec<Traced>> {
        self.began.is_some().then_some(&mut self.traced)
    }
}

/// A span of the fold, and what of it stands in the book.
#[derive(Debug)]
pub struct Entered {
    span: OpenSpan,
    place: (u16, u64),
    questions: Vec<(Scope, String)>,
}

/// Who waits for what. The default is off and keeps nothing.
#[derive(Debug, Default)]
pub struct TraceBook {
    traces: Traces,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// By place in the log: waits until its lines can be read.
    lines: BTreeMap<(u16, u64), TraceContext>,
    /// Waits until it is answered. Of several records with one question, the first.
    questions: BTreeMap<(Scope, String), TraceContext>,
    /// When the insert under way began.
    insert: Option<Moment>,
}

impl TraceBook {
    /// An empty book.
    pub fn new(traces: Traces) -> TraceBook {
        TraceBook { traces, pages: Mutex::default() }
    }

    /// A batch begins.
    pub fn begin_fold(&self) -> FoldedTraces {
        FoldedTraces { began: self.traces.now(), traced: Vec::new() }
    }

    /// A batch is about to be committed: its traced records wait for their lines and answers from now on.
    pub fn enter(&self, partition: u16, folded: FoldedTraces, commit: &Commit) -> Vec<Entered> {
        let FoldedTraces { began: Some(began), traced } = folded else { return Vec::new() };
        let entered = traced.into_iter().filter_map(|one| {
            let mut span = self.traces.consume(one.parent, SpanName::Fold, began)?;
            let row = commit.records.iter().rev().find(|row| row.offset == one.offset);
            span.say(Attribute::Outcome, row.map_or("continued", |row| row.outcome.name()));
            span.count(Attribute::Partition, partition.into());
            span.count(Attribute::Offset, one.offset);
            span.count(Attribute::Records, commit.records.len() as u64);
            let mut pages = self.pages();
            let place = (partition, one.offset);
            if one.has_lines {
                pages.wait_for_lines(place, span.context());
            }
            for question in &one.questions {
                pages.wait_for_answer(question, span.context());
            }
            Some(Entered { span, place, questions: one.questions })
        });
        entered.collect()
    }

    /// The batch was not committed: it will be folded again, by whomever.
    pub fn withdraw(&self, entered: Vec<Entered>) {
        for Entered { span, place, questions } in entered {
            let mut pages = self.pages();
            pages.lines.remove(&place);
            for question in questions {
                if pages.questions.get(&question) == Some(&span.context()) {
                    pages.questions.remove(&question);
                }
            }
        }
    }

    /// The batch was committed.
    pub fn folded(&self, entered: Vec<Entered>) {
        for one in entered {
            self.traces.finish(one.span);
        }
    }

    /// Forgets what belongs to partitions that are somebody else's now.
    pub fn keep(&self, owned: &BTreeSet<u16>) {
        let mut pages = self.pages();
        let before = pages.waiting();
        pages.lines.retain(|(partition, _), _| owned.contains(partition));
        pages.questions.retain(|(scope, _), _| owned.contains(&partition_of(scope.vendor)));
        let gone = before - pages.waiting();
        if gone > 0 {
            lost("moved", gone as u64);
        }
    }

    /// An insert begins, or is tried again.
    pub fn insert_begins(&self) {
        if let Some(now) = self.traces.now() {
            self.pages().insert = Some(now);
        }
    }

    /// A batch can be read: ends the wait of every record that is visible now.
    pub fn visible(&self, batch: &OutboxBatch) {
        let Some(now) = self.traces.now() else { return };
        let mut pages = self.pages();
        let began = pages.insert.take().unwrap_or(now);
        for range in &batch.ranges {
            for (offset, parent) in pages.take_lines_below(range.partition, range.visible) {
                let Some(mut span) = self.traces.child_since(parent, SpanName::Insert, began) else { continue };
                span.count(Attribute::Partition, range.partition.into());
                span.count(Attribute::Offset, offset);
                span.count(Attribute::Rows, batch.items.len() as u64);
                self.traces.finish(span);
            }
        }
    }

    /// A question is about to be asked: its span, if a traced record led to it.
    pub fn ask(&self, question: &OpenQuestion) -> Option<OpenSpan> {
        if !self.traces.is_on() {
            return None;
        }
        let parent = *self.pages().questions.get(&key(question))?;
        self.traces.child(parent, SpanName::Lookup)
    }

    /// The question was asked. Returns what the record of its answer carries on.
    pub fn asked(&self, mut span: OpenSpan, question: &OpenQuestion, outcome: &'static str) -> String {
        let header = span.context().to_header();
        span.say(Attribute::Provider, question.provider.name());
        span.say(Attribute::Outcome, outcome);
        if outcome != "answered" {
            span.fail();
        }
        self.traces.finish(span);
        header
    }

    /// The question is answered, or cannot be asked for now.
    pub fn close_question(&self, question: &OpenQuestion) {
        if self.traces.is_on() {
            self.pages().questions.remove(&key(question));
        }
    }

    /// Plain values that are whole at any time.
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn waiting(&self) -> usize {
        self.lines.len() + self.questions.len()
    }

    fn wait_for_lines(&mut self, place: (u16, u64), context: TraceContext) {
        if self.lines.len() < CAPACITY {
            self.lines.insert(place, context);
        } else {
            lost("book_full", 1);
        }
    }

    fn wait_for_answer(&mut self, question: &(Scope, String), context: TraceContext) {
        if self.questions.contains_key(question) {
            return;
        }
        if self.questions.len() < CAPACITY {
            self.questions.insert(question.clone(), context);
        } else {
            lost("book_full", 1);
        }
    }

    fn take_lines_below(&mut self, partition: u16, visible: u64) -> Vec<(u64, TraceContext)> {
        let places: Vec<_> = self.lines.range((partition, 0)..(partition, visible)).map(|(place, _)| *place).collect();
        places.into_iter().filter_map(|place| Some((place.1, self.lines.remove(&place)?))).collect()
    }
}

fn key(question: &OpenQuestion) -> (Scope, String) {
    (question.scope, question.request.clone())
}

#[cfg(test)]
mod tests;
