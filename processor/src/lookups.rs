//! The look-up worker: asks providers what an event did not say. Answers come back as log
//! records; nothing here decides money, and known money never waits for it.

use crate::Owned;
use crate::trace_book::TraceBook;
use anyhow::Context;
use domain::ids::{Provider, Timestamp, VendorId};
use schemas::record::{LookupResult, Payload, Record};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::control::{ControlStore, LookupCredentials};
use store::crash::{self, CrashPoint};
use store::event_log::{EventLog, NewRecord, partition_of};
use store::fold_store::{FoldStore, OpenQuestion};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

/// Reduces an answer to what may be kept: vendor, provider, request, body.
pub type MinimiseAnswer = dyn Fn(VendorId, Provider, &str, &[u8]) -> anyhow::Result<Box<RawValue>> + Send + Sync;

/// How look-ups behave.
#[derive(Debug, Clone, Copy)]
pub struct LookupLimits {
    /// Questions under way at once.
    pub concurrency: usize,
    /// The longest one request may take.
    pub timeout: Duration,
    /// Tries before the question counts as refused.
    pub tries: u32,
}

impl Default for LookupLimits {
    fn default() -> Self {
        LookupLimits { concurrency: 8, timeout: Duration::from_secs(10), tries: 8 }
    }
}

/// How many open questions are looked at in one round.
const ROUND: usize = 1_000;
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// How long a provider that is asked too much is left alone when it does not say, and at most, in seconds.
const LIMITED_PAUSE_S: u64 = 5;
const LONGEST_PAUSE_S: u64 = 300;
/// How often questions are looked at without being told.
const IDLE: Duration = Duration::from_secs(1);

/// Asks providers.
pub struct LookupWorker {
    /// Where questions are.
    pub store: Arc<dyn FoldStore>,
    /// Whose questions; what two processes ask is answered twice and counts once.
    pub partitions: Owned,
    /// Where keys are.
    pub control: Arc<dyn ControlStore>,
    /// Where answers go.
    pub log: Arc<dyn EventLog>,
    /// Woken when there are new questions.
    pub asked: Arc<Notify>,
    /// What may be kept of an answer.
    pub minimise: Arc<MinimiseAnswer>,
    /// The time now.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Name on the records.
    pub writer: String,
    /// Limits.
    pub limits: LookupLimits,
    /// Records whose way is followed.
    pub traces: Arc<TraceBook>,
}

/// Questions by row number that are under way or rest until a time.
#[derive(Default)]
struct Desk {
    under_way: BTreeSet<u64>,
    rests_until: BTreeMap<u64, Timestamp>,
    tries: BTreeMap<u64, u32>,
}

/// How one try ended.
enum Reply {
    Answered(Box<RawValue>),
    /// The provider will not say; in words.
    Refused(String),
    /// Worth another try; in words.
    Later(String),
    /// Too many questions at once; nothing is wrong with this one. After so long.
    Limited(Duration),
}

impl Reply {
    /// A word for traces.
    fn name(&self) -> &'static str {
        match self {
            Reply::Answered(_) => "answered",
            Reply::Refused(_) => "refused",
            Reply::Later(_) => "later",
            Reply::Limited(_) => "limited",
        }
    }
}

impl LookupWorker {
    /// Runs until stopped.
    pub async fn run(self: Arc<Self>, stop: &CancellationToken) {
        let Ok(client) = client(self.limits.timeout)
            .inspect_err(|error| tracing::error!(error = %error, "look-ups are off: {error}"))
        else {
            return;
        };
        let desk = Arc::new(Mutex::new(Desk::default()));
        let slots = Arc::new(Semaphore::new(self.limits.concurrency));
        let mut changed = self.control.changed();
        while !stop.is_cancelled() {
            if let Err(error) = self.round(&client, &desk, &slots).await {
                tracing::warn!(error = %error, "open questions cannot be read: {error:#}");
            }
            tokio::select! {
                () = self.asked.notified() => {}
                // A new key may answer what rested for want of one.
                _ = changed.changed() => desk.lock().unwrap_or_else(PoisonError::into_inner).rests_until.clear(),
                () = tokio::time::sleep(IDLE) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn round(
        self: &Arc<Self>,
        client: &reqwest::Client,
        desk: &Arc<Mutex<Desk>>,
        slots: &Arc<Semaphore>,
    ) -> anyhow::Result<()> {
        let mut after = 0;
        loop {
            let store = self.store.clone();
            let questions = tokio::task::spawn_blocking(move || store.open_questions(after, ROUND)).await??;
            let Some(last) = questions.last() else { return Ok(()) };
            after = last.id;
            let now = (self.clock)();
            let owned = self.partitions.borrow().clone();
            for question in questions.into_iter().filter(|one| owned.contains(&partition_of(one.scope.vendor))) {
                let ready = {
                    let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
                    let rests = desk.rests_until.get(&question.id).is_some_and(|until| *until > now);
                    !rests && desk.under_way.insert(question.id)
                };
                if ready {
                    let slot = slots.clone().acquire_owned().await?;
                    let (worker, client, desk) = (self.clone(), client.clone(), desk.clone());
                    tokio::spawn(async move {
                        worker.ask(&client, &question, &desk).await;
                        drop(slot);
                    });
                }
            }
        }
    }

    /// One try of one question.
    async fn ask(&self, client: &reqwest::Client, question: &OpenQuestion, desk: &Mutex<Desk>) {
        let asked_at = (self.clock)();
        let span = self.traces.ask(question);
        let credentials = self.control.lookup_credentials(question.scope.connection, question.scope.mode).await;
        let reply = match credentials {
            Ok(Some(credentials)) => self.request(client, question, &credentials).await,
            // Without a key nothing can be asked: it rests until the vendor gives one.
            Ok(None) => {
                self.traces.close_question(question);
                return self.rest(desk, question.id, asked_at, Duration::from_secs(3_600));
            }
            Err(error) => Reply::Later(error.to_string()),
        };
        let trace = span.map(|span| self.traces.asked(span, question, reply.name()));
        let tries = {
            let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
            let tries = desk.tries.entry(question.id).or_default();
            // However often the provider is too busy, the question is not refused for it.
            *tries += u32::from(!matches!(reply, Reply::Limited(_)));
            *tries
        };
        let (answer, refused) = match reply {
            Reply::Limited(pause) => return self.rest(desk, question.id, asked_at, pause),

            Reply::Answered(answer) => (Some(answer), None),
            Reply::Refused(words) => (None, Some(words)),
            Reply::Later(words) if tries >= self.limits.tries => {
                (None, Some(format!("gave up after {tries} tries: {words}")))
            }
            Reply::Later(words) => {
                // Once per question is enough for a person; the tries that follow are a detail.
                if tries == 1 {
                    tracing::warn!(request = question.request, "a look-up will be tried again: {words}");
                } else {
                    tracing::debug!(request = question.request, "a look-up will be tried again: {words}");
                }
                return self.rest(desk, question.id, asked_at, Duration::from_millis(250 << tries.min(8)));
            }
        };
        match self.append(question, asked_at, answer, refused, trace).await {
            // The row closes when the answer is folded; until then it rests.
            Ok(()) => {
                self.traces.close_question(question);
                self.rest(desk, question.id, asked_at, Duration::from_secs(30));
            }
            Err(error) => {
                tracing::warn!(error = %error, "an answer waits for the log: {error:#}");
                self.rest(desk, question.id, asked_at, Duration::from_secs(1));
            }
        }
    }

    fn rest(&self, desk: &Mutex<Desk>, id: u64, from: Timestamp, pause: Duration) {
        let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
        desk.under_way.remove(&id);
        desk.rests_until.insert(id, Timestamp(from.0 + pause.as_millis() as i64));
    }

    async fn request(
        &self,
        client: &reqwest::Client,
        question: &OpenQuestion,
        credentials: &LookupCredentials,
    ) -> Reply {
        match self.try_request(client, question, credentials).await {
            Ok(reply) => reply,
            Err(error) => Reply::Later(format!("{error:#}")),
        }
    }

    async fn try_request(
        &self,
        client: &reqwest::Client,
        question: &OpenQuestion,
        credentials: &LookupCredentials,
    ) -> anyhow::Result<Reply> {
        let path = question.request.strip_prefix("GET ").context("only GET is asked")?;
        let base = credentials.api_base.as_deref().unwrap_or(default_base(question.provider)).trim_end_matches('/');
        let url = url::Url::parse(&format!("{base}{path}")).context("the look-up's address")?;
        let mut request = client.get(url).bearer_auth(credentials.key.expose());
        if question.provider == Provider::LemonSqueezy {
            request = request.header("Accept", "application/vnd.api+json");
        }
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            let body = read_limited(response, MAX_ANSWER_BYTES).await?;
            return Ok(match (self.minimise)(question.scope.vendor, question.provider, &question.request, &body) {
                Ok(answer) => Reply::Answered(answer),
                Err(error) => Reply::Refused(format!("the answer could not be read: {error:#}")),
            });
        }
        Ok(match status.as_u16() {
            401 => Reply::Refused("the key was refused: give a valid restricted key".to_owned()),
            403 => Reply::Refused(
                "the key lacks a permission: allow it to read invoices, sessions and promotion codes".to_owned(),
            ),
            404 => Reply::Refused("the provider does not know the object".to_owned()),
            429 => Reply::Limited(pause_of(response.headers())),
            500..=599 => Reply::Later(format!("the provider answered {status}")),
            _ => Reply::Refused(format!("the provider answered {status}")),
        })
    }

    async fn append(
        &self,
        question: &OpenQuestion,
        asked_at: Timestamp,
        answer: Option<Box<RawValue>>,
        refused: Option<String>,
        trace: Option<String>,
    ) -> anyhow::Result<()> {
        let scope = question.scope;
        let record = Record {
            vendor: scope.vendor,
            connection: scope.connection,
            at: (self.clock)(),
            writer: self.writer.clone(),
            seq: None,
            trace,
            payload: Payload::LookupResult(LookupResult {
                mode: scope.mode,
                provider: question.provider,
                request: question.request.clone(),
                asked_at,
                answer,
                refused,
            }),
        };
        crash::pass(CrashPoint::AnswerBeforeAppend);
        self.log.append(NewRecord { partition: partition_of(scope.vendor), bytes: record.encode() }).await?;
        Ok(())
    }
}

/// Chooses the cryptography of every HTTPS client of the process. Must be done before the first is built; again is harmless.
pub fn choose_tls() {
    // Fails when the process already chose one, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// How long a provider that is asked too much wants to be left alone: what it says, within limits.
fn pause_of(headers: &reqwest::header::HeaderMap) -> Duration {
    let said = headers.get("retry-after").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    Duration::from_secs(said.unwrap_or(LIMITED_PAUSE_S).clamp(1, LONGEST_PAUSE_S))
}

/// The client for providers' interfaces: TLS by rustls against the system's certificates
/// (`SSL_CERT_FILE` names a file that stands in for them, for a private authority), and no redirects, so that a key never travels to
/// another host.
pub(crate) fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    choose_tls();
    reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none()).build()
}

pub(crate) fn default_base(provider: Provider) -> &'static str {
    match provider {
        Provider::Stripe => "https://api.stripe.com",
        Provider::Paddle => "https://api.paddle.com",
        Provider::LemonSqueezy => "https://api.lemonsqueezy.com",
    }
}

pub(crate) async fn read_limited(mut response: reqwest::Response, most_bytes: usize) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        anyhow::ensure!(body.len() + chunk.len() <= most_bytes, "the answer is larger than {most_bytes} bytes");
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderMap, HeaderValue};

    #[test]
    fn a_busy_provider_is_left_alone_as_long_as_it_says_within_limits() {
        assert_eq!(pause_of(&HeaderMap::new()), Duration::from_secs(LIMITED_PAUSE_S));
        for (said, seconds) in [("7", 7), ("0", 1), ("86400", LONGEST_PAUSE_S), ("soon", LIMITED_PAUSE_S)] {
            let headers = HeaderMap::from_iter([("retry-after".parse().unwrap(), HeaderValue::from_static(said))]);
            assert_eq!(pause_of(&headers), Duration::from_secs(seconds), "{said}");
        }
    }
}
