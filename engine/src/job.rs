//! One statement on its way through the engine: what to run, and the channels to whoever waits for the answer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::mpsc as blocking;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::{QueryError, code};
use crate::ffi::{Analysis, Effect, Sql, Written};
use crate::session::Session;
use crate::statement::{HeaderStripper, can_be_streamed, holds_separator, is_select, leading_keyword};

/// Chunks of an answer that may lie between the engine and the network. A chunk is one block, at most some MB.
const CHUNKS_AHEAD: usize = 2;
/// How often a thread that waits for its reader looks whether it shall stop.
const LOOK_UP_INTERVAL: Duration = Duration::from_millis(100);

/// What comes back.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A part of the answer.
    Chunk(Bytes),
    /// The statement ended well. An answer without this or [`Reply::Failed`] is broken off.
    Done(Written),
    /// The statement failed.
    Failed(QueryError),
}

/// A part of an insert's data.
#[derive(Debug)]
pub(crate) enum Part {
    /// Data in the insert's format.
    Data(Bytes),
    /// All data was sent: commit. A channel that closes without this cancels the insert.
    End,
}

/// What to do with the statement.
pub(crate) enum Action {
    /// Run it and send its answer.
    Query,
    /// Open it as an insert and feed it with these parts. The statement's format is the format of the data.
    Insert(mpsc::Receiver<Part>),
}

/// A statement with its surroundings.
pub(crate) struct Job {
    pub(crate) text: String,
    pub(crate) format: String,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) database: String,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) action: Action,
    pub(crate) output: Output,
}

/// The engine's end of an answer.
pub(crate) struct Output {
    replies: mpsc::Sender<Reply>,
    credits: blocking::Receiver<()>,
    stall_limit: Duration,
    give_up: CancellationToken,
}

/// The network's end of an answer. Dropping it cancels the statement.
pub(crate) struct Answer {
    replies: mpsc::Receiver<Reply>,
    credits: blocking::SyncSender<()>,
}

/// Makes the two ends. A reader that takes nothing for `stall_limit` loses the statement.
///
/// The engine's thread must block while the reader is behind, but not for ever, so it waits for a credit with a time
/// limit; each chunk taken gives one back. A reader that is gone takes the credit channel with it.
pub(crate) fn answer(stall_limit: Duration, give_up: CancellationToken) -> (Output, Answer) {
    // Two more than there are credits: the last chunk may be followed by an end.
    let (replies, received) = mpsc::channel(CHUNKS_AHEAD + 2);
    let (give, credits) = blocking::sync_channel(CHUNKS_AHEAD);
    for _ in 0..CHUNKS_AHEAD {
        // There is room for exactly so many.
        let _ = give.try_send(());
    }
    (Output { replies, credits, stall_limit, give_up }, Answer { replies: received, credits: give })
}

impl Answer {
    /// The next reply; `None` when the engine's side is gone.
    pub(crate) async fn next(&mut self) -> Option<Reply> {
        let reply = self.replies.recv().await;
        if matches!(reply, Some(Reply::Chunk(_))) {
            let _ = self.credits.try_send(());
        }
        reply
    }
}

impl Output {
    fn chunk(&self, bytes: Bytes) -> Result<(), QueryError> {
        self.wait_for_credit()?;
        self.send(Reply::Chunk(bytes));
        Ok(())
    }

    /// Waits until the reader has room. A reader that does not read cannot be told of a shutdown either (nobody polls
    /// its body), so this looks up from time to time.
    fn wait_for_credit(&self) -> Result<(), QueryError> {
        let mut left = self.stall_limit;
        loop {
            let slice = left.min(LOOK_UP_INTERVAL);
            match self.credits.recv_timeout(slice) {
                Ok(()) => return Ok(()),
                Err(blocking::RecvTimeoutError::Disconnected) => {
                    return Err(QueryError::new(code::ABORTED, "The reader is gone."));
                }
                Err(blocking::RecvTimeoutError::Timeout) => left -= slice,
            }
            if self.give_up.is_cancelled() {
                return Err(QueryError::shutting_down());
            }
            if left.is_zero() {
                return Err(QueryError::new(code::ABORTED, "The reader stopped reading."));
            }
        }
    }

    /// Never blocks: there is room for every chunk with a credit and one end. Without a reader there is nobody to tell.
    fn send(&self, reply: Reply) {
        let _ = self.replies.try_send(reply);
    }
}

impl Job {
    /// Nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.output.replies.is_closed()
    }

    /// Answers without running.
    pub(crate) fn fail(self, error: QueryError) {
        self.output.send(Reply::Failed(error));
    }

    /// The text as the engine's parser wants to see it: an insert needs its format clause.
    fn full_text(&self) -> Cow<'_, str> {
        match self.action {
            Action::Query => Cow::Borrowed(&self.text),
            Action::Insert(_) => Cow::Owned(format!("{}\nFORMAT {}", self.text, self.format)),
        }
    }

    /// The engine would run several statements, the first half of a broken text, and nothing at all without a word.
    fn shape_error(&self, analysis: Analysis) -> Option<QueryError> {
        let text = match analysis.statements {
            0 if leading_keyword(&self.text).is_empty() => "Syntax error: the statement is empty.",
            0 if holds_separator(&self.text) => "Syntax error, or more than one statement: send them one at a time.",
            0 | 1 => return None,
            _ => "Syntax error: more than one statement; send them one at a time.",
        };
        Some(QueryError::new(code::SYNTAX_ERROR, text))
    }

    /// Runs the statement and sends its answer. Returns whether the connection can be used again. Blocks.
    pub(crate) fn run(self, session: &mut Session) -> bool {
        let analysis = session.connection.analyse(&self.full_text());
        if let Some(error) = self.shape_error(analysis) {
            self.fail(error);
            return true;
        }
        let Self { text, format, parameters, action, output, settings, .. } = self;
        let sql = Sql { text: &text, format: &format, parameters: &parameters };
        let result = match action {
            Action::Insert(parts) => insert(session, sql, parts),
            Action::Query
                if analysis.effect == Effect::ReadOnly && is_select(&text) && can_be_streamed(&text, &format) =>
            {
                stream(session, sql, &output)
            }
            Action::Query => run_whole(session, sql, &output),
        };
        let reusable = result.is_ok() && analysis.effect != Effect::Other && !settings.contains_key("readonly");
        output.send(match result {
            Ok(written) => Reply::Done(written),
            Err(error) => Reply::Failed(error),
        });
        reusable
    }
}

fn stream(session: &mut Session, sql: Sql<'_>, output: &Output) -> Result<Written, QueryError> {
    let mut header = HeaderStripper::for_format(sql.format);
    let mut rows = session.connection.stream(sql)?;
    while let Some(chunk) = rows.next_chunk()? {
        let chunk = header.strip(Bytes::from(chunk))?;
        if !chunk.is_empty() {
            output.chunk(chunk)?;
        }
    }
    Ok(Written::default())
}

fn run_whole(session: &mut Session, sql: Sql<'_>, output: &Output) -> Result<Written, QueryError> {
    let (bytes, written) = session.connection.run(sql)?;
    if !bytes.is_empty() {
        output.chunk(Bytes::from(bytes))?;
    }
    Ok(written)
}

fn insert(session: &mut Session, sql: Sql<'_>, mut parts: mpsc::Receiver<Part>) -> Result<Written, QueryError> {
    let mut stream = session.connection.insert(sql)?;
    while let Some(part) = parts.blocking_recv() {
        match part {
            Part::Data(data) => stream.append(&data)?,
            Part::End => return stream.finish(),
        }
    }
    Err(QueryError::new(code::ABORTED, "The insert was broken off before its end; it was cancelled."))
}
