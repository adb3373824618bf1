//! A fixed number of threads, each with a connection of its own, and a bounded line in front of them.
//!
//! The engine blocks its caller and runs one statement per connection, so each connection belongs to a thread of its
//! own, and no call into the engine ever happens on a thread of the async runtime. A request first gets a [`Lease`]
//! (a free thread is reserved for it), then hands over its [`Job`]; answers come back through a channel.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::QueryError;
use crate::job::Job;
use crate::session::{Session, SessionOptions};

/// Stack of a thread that calls the engine, as large as a main thread's: its parser and planner recurse.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// How much may run and wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    /// Statements that run at once.
    pub(crate) connections: usize,
    /// Requests that may wait for a connection; one more is refused at once.
    pub(crate) max_waiting: usize,
    /// How long a request may wait.
    pub(crate) wait: Duration,
}

/// What a thread is told.
enum Order {
    /// Run this; the permit is given back afterwards.
    Run(Box<Job>, OwnedSemaphorePermit),
    /// Close the connection and end.
    Stop,
}

/// The threads, and the line before them.
pub(crate) struct Pool {
    limits: PoolLimits,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    orders: blocking::SyncSender<Order>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A reserved thread.
pub(crate) struct Lease<'pool> {
    permit: OwnedSemaphorePermit,
    orders: &'pool blocking::SyncSender<Order>,
}

impl Pool {
    /// Starts the threads. Their connections open with their first job.
    pub(crate) fn start(limits: PoolLimits, options: Arc<SessionOptions>) -> std::io::Result<Self> {
        // Room for a job per permit and a stop per thread, so that sending never blocks.
        let (orders, received) = blocking::sync_channel(limits.connections * 2);
        let received = Arc::new(Mutex::new(received));
        let threads = (0..limits.connections).map(|number| {
            let (received, options) = (Arc::clone(&received), Arc::clone(&options));
            std::thread::Builder::new()
                .name(format!("warehouse-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || Worker { options: &options, session: None }.work(&received))
        });
        let threads = threads.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            limits,
            permits: Arc::new(Semaphore::new(limits.connections)),
            waiting: AtomicUsize::new(0),
            orders,
            threads: Mutex::new(threads),
        })
    }

    /// Waits for a free thread, within the limits of the line.
    pub(crate) async fn lease(&self) -> Result<Lease<'_>, QueryError> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait_for_permit().await?,
        };
        Ok(Lease { permit, orders: &self.orders })
    }

    async fn wait_for_permit(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        let place = Place::take(&self.waiting);
        if place.before >= self.limits.max_waiting {
            return Err(QueryError::busy(format_args!(
                "All {} connections are busy and {} requests wait already. Try again in a second.",
                self.limits.connections, self.limits.max_waiting
            )));
        }
        let acquired = tokio::time::timeout(self.limits.wait, Arc::clone(&self.permits).acquire_owned()).await;
        match acquired {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(QueryError::shutting_down()),
            Err(_elapsed) => Err(QueryError::busy(format_args!(
                "No connection became free within {} ms. Try again in a second.",
                self.limits.wait.as_millis()
            ))),
        }
    }

    /// Refuses new jobs, lets running ones end, closes every connection. Blocks.
    pub(crate) fn close(&self) {
        self.permits.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for _ in &threads {
            // Fails only when every thread is gone already.
            let _ = self.orders.send(Order::Stop);
        }
        for thread in threads {
            // A panic in a job is caught in `work`; nothing else on the thread panics.
            let _ = thread.join();
        }
    }
}

/// A place in the line, given up when dropped.
struct Place<'line> {
    line: &'line AtomicUsize,
    before: usize,
}

impl<'line> Place<'line> {
    fn take(line: &'line AtomicUsize) -> Self {
        Self { line, before: line.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.line.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lease<'_> {
    /// Hands the job to the reserved thread. When the pool closed in between, the job is dropped, and its caller
    /// sees its answer channel end.
    pub(crate) fn run(self, job: Job) {
        let _ = self.orders.try_send(Order::Run(Box::new(job), self.permit));
    }
}

/// One thread's side.
struct Worker<'options> {
    options: &'options SessionOptions,
    session: Option<Session>,
}

impl Worker<'_> {
    fn work(mut self, received: &Mutex<blocking::Receiver<Order>>) {
        loop {
            let order = received.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match order {
                Ok(Order::Run(job, permit)) => {
                    self.run(*job);
                    drop(permit);
                }
                Ok(Order::Stop) | Err(blocking::RecvError) => return,
            }
        }
    }

    /// Runs a job on this thread's connection, and keeps the connection only when it is as good as new.
    fn run(&mut self, job: Job) {
        if job.is_abandoned() {
            return;
        }
        let mut session = match self.prepared_session(&job) {
            Ok(session) => session,
            Err(error) => return job.fail(error),
        };
        let reusable = catch_unwind(AssertUnwindSafe(|| job.run(&mut session)));
        match reusable {
            Ok(true) => self.session = Some(session),
            Ok(false) => drop(session),
            Err(_panic) => {
                tracing::error!("a warehouse job panicked; its connection is closed");
                drop(session);
            }
        }
    }

    /// The thread's connection with the job's settings. When the old one cannot take them (a setting that cannot be
    /// put back), a new one gets a chance; its error is the job's own fault.
    fn prepared_session(&mut self, job: &Job) -> Result<Session, QueryError> {
        if let Some(mut session) = self.session.take()
            && session.prepare(self.options, &job.database, &job.settings).is_ok()
        {
            return Ok(session);
        }
        let mut session = Session::open(self.options)?;
        session.prepare(self.options, &job.database, &job.settings)?;
        Ok(session)
    }
}
