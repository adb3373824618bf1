//! Starting, living and stopping of the parts of one process.
//!
//! Every part registers with a name and the time it may take to stop. The process is ready when
//! all parts are, and healthy while none has died and every part that beats still does. A part
//! that is dropped without having finished has died: that asks for shutdown, so a half-working
//! process never goes on quietly. Shutdown turns readiness off first, then stops the parts one
//! after the other, the last registered first, each within its budget.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A part that beats and then is silent for this long is not healthy.
pub const HEARTBEAT_LIMIT: Duration = Duration::from_secs(30);

/// The life of the process.
#[derive(Clone, Default)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    parts: Mutex<Vec<Arc<Part>>>,
    stopping: AtomicBool,
    stop_wanted: CancellationToken,
    first_reason: Mutex<Option<String>>,
}

struct Part {
    name: &'static str,
    budget: Duration,
    stop: CancellationToken,
    ended: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    ready: bool,
    last_beat: Option<Instant>,
    end: Option<End>,
}

/// How a part ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It said that it finished.
    Finished,
    /// It failed, or was dropped without a word.
    Died(String),
    /// It did not stop within its budget and was left behind.
    OutOfTime,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Finished => f.write_str("finished"),
            End::Died(reason) => write!(f, "died: {reason}"),
            End::OutOfTime => f.write_str("did not stop in time"),
        }
    }
}

/// How the parts ended, in the order in which they were stopped.
#[derive(Debug, Clone, Default)]
pub struct ShutdownReport {
    /// One entry per part.
    pub parts: Vec<PartReport>,
}

/// How one part ended.
#[derive(Debug, Clone)]
pub struct PartReport {
    /// Its name.
    pub name: &'static str,
    /// How it ended.
    pub end: End,
    /// How long it took after it was asked to stop.
    pub took: Duration,
}

impl ShutdownReport {
    /// Whether every part finished.
    pub fn is_clean(&self) -> bool {
        self.parts.iter().all(|part| part.end == End::Finished)
    }
}

impl Lifecycle {
    /// A process without parts.
    pub fn new() -> Lifecycle {
        Lifecycle::default()
    }

    /// Adds a part that may take `budget` to stop. Register in the order in which the parts
    /// depend on each other, what is needed by others first; then start them.
    pub fn register(&self, name: &'static str, budget: Duration) -> Component {
        let part = Arc::new(Part {
            name,
            budget,
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
            state: Mutex::new(State::default()),
        });
        if self.shared.stopping.load(Ordering::SeqCst) {
            part.stop.cancel();
        }
        lock(&self.shared.parts).push(Arc::clone(&part));
        Component { part, shared: Arc::clone(&self.shared) }
    }

    /// Whether the process should get requests: every part is ready, none has ended, and no
    /// shutdown is under way or wanted.
    pub fn is_ready(&self) -> bool {
        let parts = lock(&self.shared.parts);
        !self.is_stopping() && parts.iter().all(|part| lock(&part.state).serves())
    }

    /// Whether the process works: no part died, and none that beats has been silent too long.
    pub fn healthy(&self) -> bool {
        let now = Instant::now();
        lock(&self.shared.parts).iter().all(|part| lock(&part.state).is_healthy(now))
    }

    /// The names of parts that are not ready, for the answer of `/readyz`.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        let parts = lock(&self.shared.parts);
        parts.iter().filter(|part| !lock(&part.state).serves()).map(|part| part.name).collect()
    }

    /// Asks for shutdown. The first reason is kept.
    pub fn request_shutdown(&self, reason: &str) {
        self.shared.request_shutdown(reason);
    }

    /// Resolves when somebody asked for shutdown or a part died; gives the first reason.
    pub async fn shutdown_requested(&self) -> String {
        self.shared.stop_wanted.cancelled().await;
        lock(&self.shared.first_reason).clone().unwrap_or_default()
    }

    /// Turns readiness off, then stops the parts, the last registered first.
    pub async fn shutdown(&self) -> ShutdownReport {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let parts: Vec<Arc<Part>> = lock(&self.shared.parts).iter().rev().cloned().collect();
        let mut report = ShutdownReport::default();
        for part in parts {
            let part_report = part.stop_within_budget().await;
            tracing::info!(
                component = part_report.name,
                took_ms = part_report.took.as_millis() as u64,
                "component {} {}",
                part_report.name,
                part_report.end
            );
            report.parts.push(part_report);
        }
        report
    }

    fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::SeqCst) || self.shared.stop_wanted.is_cancelled()
    }
}

impl Shared {
    fn request_shutdown(&self, reason: &str) {
        lock(&self.first_reason).get_or_insert_with(|| reason.to_owned());
        self.stop_wanted.cancel();
    }
}

impl State {
    fn serves(&self) -> bool {
        self.ready && self.end.is_none()
    }

    fn is_healthy(&self, now: Instant) -> bool {
        let beats = self.last_beat.is_none_or(|beat| now.saturating_duration_since(beat) <= HEARTBEAT_LIMIT);
        match &self.end {
            Some(End::Finished) => true,
            Some(End::Died(_) | End::OutOfTime) => false,
            None => beats,
        }
    }
}

impl Part {
    async fn stop_within_budget(&self) -> PartReport {
        let asked_at = Instant::now();
        self.stop.cancel();
        let in_time = tokio::time::timeout(self.budget, self.ended.cancelled()).await.is_ok();
        if !in_time {
            lock(&self.state).end.get_or_insert(End::OutOfTime);
        }
        let end = lock(&self.state).end.clone().unwrap_or(End::OutOfTime);
        PartReport { name: self.name, end, took: asked_at.elapsed() }
    }
}

/// One registered part, held by the task that runs it for as long as it runs.
pub struct Component {
    part: Arc<Part>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component").field("name", &self.part.name).finish_non_exhaustive()
    }
}

impl Component {
    /// Cancelled when this part has to stop.
    pub fn stop_token(&self) -> CancellationToken {
        self.part.stop.clone()
    }

    /// Says that this part can do its work.
    pub fn ready(&self) {
        lock(&self.part.state).ready = true;
    }

    /// Says that this part cannot do its work for now.
    pub fn not_ready(&self) {
        lock(&self.part.state).ready = false;
    }

    /// Says that this part is alive. From the first beat on it must beat at least every
    /// [`HEARTBEAT_LIMIT`].
    pub fn heartbeat(&self) {
        lock(&self.part.state).last_beat = Some(Instant::now());
    }

    /// Says that this part has done all it had to do.
    pub fn finish(self) {
        self.end(End::Finished);
    }

    /// Says that this part cannot go on. Asks for shutdown of the whole process.
    pub fn fail(self, reason: &str) {
        self.end(End::Died(reason.to_owned()));
    }

    /// Remembers the first end, and is loud about a bad one.
    fn end(&self, end: End) {
        if lock(&self.part.state).end.is_some() {
            self.part.ended.cancel();
            return;
        }
        if let End::Died(reason) = &end {
            tracing::error!(component = self.part.name, "component {} died: {reason}", self.part.name);
            self.shared.request_shutdown(&format!("component {} died: {reason}", self.part.name));
        }
        lock(&self.part.state).end = Some(end);
        self.part.ended.cancel();
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let reason = if std::thread::panicking() { "it panicked" } else { "it ended without a word" };
        self.end(End::Died(reason.to_owned()));
    }
}

/// A poisoned lock here guards plain values that are whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn ready_only_when_every_part_is() {
        let lifecycle = Lifecycle::new();
        let log = lifecycle.register("log", BUDGET);
        let edge = lifecycle.register("edge", BUDGET);
        log.ready();
        assert!(!lifecycle.is_ready());
        assert_eq!(lifecycle.waiting_for(), ["edge"]);
        edge.ready();
        assert!(lifecycle.is_ready() && lifecycle.healthy());
        log.not_ready();
        assert!(!lifecycle.is_ready() && lifecycle.healthy());
        log.finish();
        edge.finish();
    }

    #[tokio::test]
    async fn stops_the_last_registered_first_with_readiness_off() {
        let lifecycle = Lifecycle::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        for name in ["log", "processor", "edge"] {
            let component = lifecycle.register(name, BUDGET);
            component.ready();
            let (order, observed) = (Arc::clone(&order), lifecycle.clone());
            tokio::spawn(async move {
                component.stop_token().cancelled().await;
                assert!(!observed.is_ready());
                lock(&order).push(name);
                component.finish();
            });
        }
        assert!(lifecycle.is_ready());
        let report = lifecycle.shutdown().await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(*lock(&order), ["edge", "processor", "log"]);
        assert_eq!(report.parts.iter().map(|part| part.name).collect::<Vec<_>>(), ["edge", "processor", "log"]);
        assert!(!lifecycle.is_ready());
    }

    #[tokio::test]
    async fn a_part_that_overruns_its_budget_is_left_behind() {
        let lifecycle = Lifecycle::new();
        let stuck = lifecycle.register("stuck", Duration::from_millis(10));
        let report = lifecycle.shutdown().await;
        assert_eq!(report.parts[0].end, End::OutOfTime);
        assert!(!report.is_clean());
        drop(stuck);
    }

    #[tokio::test]
    async fn a_part_that_panics_asks_for_shutdown() {
        let lifecycle = Lifecycle::new();
        let component = lifecycle.register("processor", BUDGET);
        component.ready();
        let task = tokio::spawn(async move {
            let _component = component;
            panic!("on purpose");
        });
        assert!(task.await.is_err());
        assert_eq!(lifecycle.shutdown_requested().await, "component processor died: it panicked");
        assert!(!lifecycle.is_ready() && !lifecycle.healthy());
    }

    #[tokio::test]
    async fn a_part_that_returns_early_or_fails_asks_for_shutdown() {
        let lifecycle = Lifecycle::new();
        lifecycle.register("log", BUDGET).fail("the disk is full");
        drop(lifecycle.register("edge", BUDGET));
        assert_eq!(lifecycle.shutdown_requested().await, "component log died: the disk is full");
        let report = lifecycle.shutdown().await;
        assert_eq!(report.parts[0].end, End::Died("it ended without a word".to_owned()));
    }

    #[test]
    fn silence_after_a_beat_is_unhealthy() {
        let beat = Instant::now();
        let state = State { last_beat: Some(beat), ..State::default() };
        assert!(state.is_healthy(beat + HEARTBEAT_LIMIT));
        assert!(!state.is_healthy(beat + HEARTBEAT_LIMIT + Duration::from_millis(1)));
        assert!(State::default().is_healthy(beat), "a part that never beats is not judged by it");
    }
}
