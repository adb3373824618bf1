//! Delivers a plan as a provider does: an event without 2xx is sent again, signed anew, until
//! it gets one. Records every acknowledgement.

use crate::plan::{Plan, Step};
use crate::vendors::{LiveVendor, Target};
use anyhow::{Result, bail};
use corpus::client::ClientError;
use corpus::clock::unix_seconds;
use corpus::sign::Provider;
use hyper::Method;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long one delivery is tried.
const DELIVERY_LIMIT: Duration = Duration::from_secs(180);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// How to send.
#[derive(Debug, Clone, Copy)]
pub struct SendOptions {
    /// Deliveries under way at the same time.
    pub connections: usize,
    /// Steps per second at most; none = as fast as answers come.
    pub rate: Option<u64>,
}

/// What happened while sending.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// (vendor, event) with at least one 2xx.
    pub acknowledged: BTreeSet<(usize, usize)>,
    /// 2xx answers per vendor: so many copies are in the log at least.
    pub acknowledged_copies: BTreeMap<usize, u64>,
    /// Requests sent per vendor: so many copies are in the log at most.
    pub attempts: BTreeMap<usize, u64>,
    /// Records that the log may hold beside those sent: what a broken broker is sent again may be stored twice.
    pub stored_again: BTreeMap<usize, u64>,
    /// Attempts without any answer.
    pub broken: u64,
    /// Attempts answered 5xx or 429.
    pub put_off: u64,
    /// 2xx answers that the provider did not get to see.
    pub lost_answers: u64,
    /// (vendor, event) to the status that refused it for good.
    pub refused: BTreeMap<(usize, usize), u16>,
    /// Decisions made while deliveries came in.
    pub decisions: u64,
    /// The most attempts that one acknowledgement took.
    pub most_attempts: u64,
    /// The longest time that one acknowledgement took from its first attempt.
    pub longest: Duration,
}

/// Sends one plan.
#[derive(Debug)]
pub struct Sender {
    target: Target,
    plan: Arc<Plan>,
    live: Arc<Vec<LiveVendor>>,
    options: SendOptions,
    record: Mutex<Record>,
    next: AtomicUsize,
    done: AtomicU64,
}

impl Sender {
    /// Prepares to send `plan` to `live`, its vendors in the same order.
    pub fn new(target: Target, plan: Arc<Plan>, live: Arc<Vec<LiveVendor>>, options: SendOptions) -> Arc<Sender> {
        let (record, next, done) = (Mutex::new(Record::default()), AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Sender { target, plan, live, options, record, next, done })
    }

    /// Steps finished so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What happened so far.
    pub fn record(&self) -> Record {
        self.locked().clone()
    }

    /// Sends everything. An error is one that no provider would overcome by trying again.
    pub async fn run(self: Arc<Self>) -> Result<()> {
        let start = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..self.options.connections.max(1) {
            let sender = Arc::clone(&self);
            workers.spawn(async move { sender.work(start).await });
        }
        while let Some(finished) = workers.join_next().await {
            finished??;
        }
        Ok(())
    }

    async fn work(&self, start: Instant) -> Result<()> {
        loop {
            let position = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(step) = self.plan.steps.get(position) else { return Ok(()) };
            if let Some(rate) = self.options.rate {
                let due = Duration::from_micros(position as u64 * 1_000_000 / rate.max(1));
                tokio::time::sleep_until(start + due).await;
            }
            match *step {
                Step::Deliver { vendor, event, lost_answer } => self.deliver(vendor, event, lost_answer).await?,
                Step::Decide { vendor, decision } => self.decide(vendor, decision).await?,
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Delivers one event until it is acknowledged or refused for good.
    pub async fn deliver(&self, vendor: usize, event: usize, mut lost_answer: bool) -> Result<()> {
        let (live, sent) = (&self.live[vendor], &self.plan.vendors[vendor].events[event]);
        let (mut began, mut attempts) = (Instant::now(), 0);
        let deadline = began + DELIVERY_LIMIT;
        let mut pause = Duration::from_millis(20);
        loop {
            attempts += 1;
            let headers = [
                ("Content-Type".to_owned(), "application/json; charset=utf-8".to_owned()),
                ("Stripe-Signature".to_owned(), Provider::Stripe.sign(&live.secret, unix_seconds(), &sent.body)),
            ];
            *self.locked().attempts.entry(vendor).or_default() += 1;
            let reply = self.target.http.send(Method::POST, &live.endpoint_url, &headers, sent.body.clone()).await;
            match reply {
                Ok(reply) if (200..300).contains(&reply.status) => {
                    let mut record = self.locked();
                    record.acknowledged.insert((vendor, event));
                    *record.acknowledged_copies.entry(vendor).or_default() += 1;
                    record.most_attempts = record.most_attempts.max(attempts);
                    record.longest = record.longest.max(began.elapsed());
                    if !lost_answer {
                        return Ok(());
                    }
                    lost_answer = false;
                    record.lost_answers += 1;
                    (began, attempts) = (Instant::now(), 0);
                }
                Ok(reply) if reply.status < 500 && reply.status != 429 => {
                    self.locked().refused.insert((vendor, event), reply.status);
                    return Ok(());
                }
                Ok(_) => self.locked().put_off += 1,
                Err(_) => self.locked().broken += 1,
            }
            if Instant::now() >= deadline {
                bail!("event {} got no 2xx within {} seconds", sent.id, DELIVERY_LIMIT.as_secs());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Makes a decision. After a broken connection it is made again: saying the same thing twice
    /// must change nothing.
    async fn decide(&self, vendor: usize, decision: usize) -> Result<()> {
        let plan = &self.plan.vendors[vendor];
        let request = json!({"vendor": plan.slug, "decisions": [plan.during[decision].1]});
        let deadline = Instant::now() + DELIVERY_LIMIT;
        loop {
            match self.target.socket.post("/v1/decide", &request).await {
                Ok(_) => break,
                Err(ClientError::Refused { status, .. }) if status >= 500 && Instant::now() < deadline => {}
                Err(ClientError::Unreachable { .. }) if Instant::now() < deadline => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.locked().decisions += 1;
        Ok(())
    }

    /// A worker that panicked has not changed what the others recorded.
    fn locked(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
