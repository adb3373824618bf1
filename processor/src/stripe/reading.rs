//! Reads what Stripe has from before the connection: codes, coupons, and the events of the last 30 days.
//!
//! One page after another, newest events first. After each page it is noted how far it came; whoever goes on, after a
//! restart or in another process, begins with the page after it. A page that was taken but not noted is taken again:
//! the fold knows an event by its id.

use super::interface::{StripeError, StripeInterface};
use super::lists::{next_page, read_item, read_page};
use crate::lookups::{MinimiseAnswer, client};
use domain::ids::{Provider, Timestamp, VendorId};
use schemas::record::{Delivery, LookupResult, Payload, Record};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use store::control::{ControlStore, ReadState, ReadStep, StripeRead};
use store::event_log::{EventLog, LogError, NewRecord, partition_of};
use tokio_util::sync::CancellationToken;

/// Reduces an event that was read to what may be kept, as a delivery with source `backfill`.
pub type MinimiseEvent = dyn Fn(VendorId, &[u8]) -> Result<Delivery, EventError> + Send + Sync;

/// Why nothing of an event can be kept.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is no event. It never will be one.
    #[error("{0}")]
    Unreadable(String),
    /// This process does not know the vendor's keys yet, or no longer.
    #[error("the vendor is not known here (yet)")]
    UnknownVendor,
}

/// How reading behaves.
#[derive(Debug, Clone, Copy)]
pub struct ReadingLimits {
    /// The longest one request may take.
    pub timeout: Duration,
    /// Tries of one page before reading counts as failed.
    pub tries: u32,
    /// How long nobody else takes up what this process reads; every page renews it. Longer than a request may take.
    pub lease: Duration,
    /// Pages of one connection before others have their turn.
    pub pages_in_a_row: u32,
    /// Pages of one connection at all: a hundred items each.
    pub most_pages: u64,
    /// How often it looks whether there is anything to read.
    pub idle: Duration,
    /// Pause after the first failed try; it doubles up to [`LONGEST_PAUSE`].
    pub pause: Duration,
}

impl Default for ReadingLimits {
    fn default() -> Self {
        ReadingLimits {
            timeout: Duration::from_secs(20),
            tries: 8,
            lease: Duration::from_secs(60),
            pages_in_a_row: 20,
            most_pages: 20_000,
            idle: Duration::from_secs(1),
            pause: Duration::from_secs(1),
        }
    }
}

/// The longest pause between tries, whatever Stripe asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Pause when the log takes nothing, or does not have the connection yet.
const LOG_PAUSE: Duration = Duration::from_secs(2);

/// Reads Stripe's lists into the log.
pub struct StripeReader {
    /// Where keys are, and how far it came.
    pub control: Arc<dyn ControlStore>,
    /// Where everything goes.
    pub log: Arc<dyn EventLog>,
    /// What may be kept of an event.
    pub minimise_event: Arc<MinimiseEvent>,
    /// What may be kept of a list of codes.
    pub minimise_answer: Arc<MinimiseAnswer>,
    /// The time now.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Name on the records.
    pub writer: String,
    /// This process since its start, in the lease.
    pub owner: String,
    /// Limits.
    pub limits: ReadingLimits,
}

/// Why a page was not taken.
#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error(transparent)]
    Stripe(#[from] StripeError),
    #[error("the key was taken away")]
    NoKey,
    #[error("the log takes nothing at the moment")]
    Log(#[from] LogError),
    #[error("what may be kept of it could not be found out: {0:#}")]
    Minimise(anyhow::Error),
    #[error("how to ask could not be read")]
    Control(#[from] store::control::ControlError),
}

impl StripeReader {
    /// Runs until stopped.
    pub async fn run(&self, stop: &CancellationToken) {
        let client = match client(self.limits.timeout) {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(error = %error, "reading Stripe's lists is off: {error}");
                return stop.cancelled().await;
            }
        };
        while !stop.is_cancelled() {
            let found = self.turn(&client, stop).await.unwrap_or_else(|error| {
                tracing::warn!(error = %error, "reading Stripe's lists waits: {error:#}");
                false
            });
            if !found {
                tokio::select! {
                    () = tokio::time::sleep(self.limits.idle) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    /// Some pages of what waited longest. False: there is nothing to read.
    ///
    /// # Errors
    /// When the control store fails.
    pub async fn turn(&self, client: &reqwest::Client, stop: &CancellationToken) -> anyhow::Result<bool> {
        let now = (self.clock)();
        let claimed = self.control.claim_stripe_read(&self.owner, now, after(now, self.limits.lease)).await?;
        let Some(mut read) = claimed else { return Ok(false) };
        // Deliveries of a connection come after the decision that opened it.
        if self.control.pending_count(read.vendor).await? > 0 {
            read.rests_until = after(now, LOG_PAUSE);
            self.control.note_stripe_read(&self.owner, &read, now, now).await?;
            return Ok(true);
        }
        for page in 1..=self.limits.pages_in_a_row {
            // A page that is given up on the way is taken again by whoever goes on.
            let taken = tokio::select! {
                taken = self.page(client, &mut read) => taken,
                () = stop.cancelled() => Ok(()),
            };
            if let Err(error) = taken {
                self.take_failure(&mut read, &error);
            }
            let now = (self.clock)();
            let goes_on = read.state == ReadState::Running
                && read.rests_until <= now
                && page < self.limits.pages_in_a_row
                && !stop.is_cancelled();
            let until = if goes_on { after(now, self.limits.lease) } else { now };
            let is_ours = self.control.note_stripe_read(&self.owner, &read, now, until).await?;
            if !is_ours || !goes_on {
                break;
            }
        }
        self.report(&read);
        Ok(true)
    }

    fn report(&self, read: &StripeRead) {
        let (vendor, connection, events) = (read.vendor.0, read.connection.0, read.events);
        match read.state {
            ReadState::Running => {}
            ReadState::Done => tracing::info!(
                vendor.id = vendor,
                connection.id = connection,
                stripe.events = events,
                "read what Stripe had of connection {connection}: {events} events"
            ),
            ReadState::Failed => tracing::warn!(
                vendor.id = vendor,
                connection.id = connection,
                "reading what Stripe has of connection {connection} stopped: {}",
                read.reason
            ),
        }
    }

    /// Takes the next page and moves on.
    async fn page(&self, client: &reqwest::Client, read: &mut StripeRead) -> Result<(), PageError> {
        let credentials = self.control.lookup_credentials(read.connection, read.mode).await?;
        let credentials = credentials.ok_or(PageError::NoKey)?;
        let stripe = StripeInterface::new(client.clone(), credentials.api_base.as_deref(), credentials.key);
        let path = next_page(read);
        let asked_at = (self.clock)();
        let body = stripe.get(&path).await?;
        let page = read_page(&body)?;
        let items = page.data.iter().map(|item| read_item(item)).collect::<Result<Vec<_>, _>>()?;
        let count = items.len() as u64;
        match read.step {
            ReadStep::PromotionCodes | ReadStep::Coupons => self.append_list(read, &path, asked_at, &body).await?,
            ReadStep::MostEvents | ReadStep::OtherEvents => {
                let skipped = self.append_events(read, &page.data).await?;
                read.skipped += skipped;
                read.events += count - skipped;
            }
        }
        match read.step {
            ReadStep::PromotionCodes => read.promotion_codes += count,
            ReadStep::Coupons => read.coupons += count,
            ReadStep::MostEvents | ReadStep::OtherEvents => {
                let oldest = items.iter().filter_map(|item| item.created).min().map(Timestamp::from_seconds);
                read.oldest_at = read.oldest_at.into_iter().chain(oldest).min();
            }
        }
        read.pages += 1;
        (read.tries, read.rests_until) = (0, Timestamp(0));
        read.reason.clear();
        match items.into_iter().next_back().filter(|_| page.has_more) {
            Some(last) if read.pages >= self.limits.most_pages => {
                read.after = Some(last.id);
                let most = self.limits.most_pages * 100;
                self.fail(
                    read,
                    format!("There is more than {most} items to read, which is more than is read in one go."),
                );
            }
            Some(last) => read.after = Some(last.id),
            None => self.finish_step(read),
        }
        Ok(())
    }

    fn finish_step(&self, read: &mut StripeRead) {
        match read.step.next() {
            Some(next) => (read.step, read.after, read.oldest_at) = (next, None, None),
            None => (read.state, read.finished_at) = (ReadState::Done, Some((self.clock)())),
        }
    }

    fn fail(&self, read: &mut StripeRead, reason: String) {
        (read.state, read.finished_at, read.reason) = (ReadState::Failed, Some((self.clock)()), reason);
    }

    /// What a failed try means: another one later, or the end.
    fn take_failure(&self, read: &mut StripeRead, error: &PageError) {
        let now = (self.clock)();
        match error {
            PageError::NoKey => {
                return self.fail(read, "The restricted key was taken away. Paste one again.".to_owned());
            }
            PageError::Stripe(StripeError::Key) => {
                let words =
                    "Stripe does not accept the restricted key any more. Paste a new one; nothing is counted twice.";
                return self.fail(read, words.to_owned());
            }
            PageError::Stripe(StripeError::Permission) => return self.fail(read, lacking(read.step).to_owned()),
            PageError::Log(_) | PageError::Control(_) => {
                read.reason = sentence(error);
                read.rests_until = after(now, LOG_PAUSE);
                return;
            }
            PageError::Stripe(StripeError::Refused { .. }) => self.lose_place(read),
            PageError::Stripe(_) | PageError::Minimise(_) => {}
        }
        read.tries += 1;
        read.reason = sentence(error);
        if read.tries >= self.limits.tries {
            let reason = format!("{} It was tried {} times.", read.reason, read.tries);
            return self.fail(read, reason);
        }
        let own = self.limits.pause.saturating_mul(1 << (read.tries - 1).min(8));
        let asked = match error {
            PageError::Stripe(StripeError::Limited { after }) => after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        read.rests_until = after(now, own.max(asked).min(LONGEST_PAUSE));
    }

    /// The id to go on after may be gone at Stripe. Events go on by their time, codes begin again.
    fn lose_place(&self, read: &mut StripeRead) {
        read.after = None;
        match read.step {
            ReadStep::PromotionCodes => read.promotion_codes = 0,
            ReadStep::Coupons => read.coupons = 0,
            ReadStep::MostEvents | ReadStep::OtherEvents => {}
        }
    }

    async fn append_list(
        &self,
        read: &StripeRead,
        path: &str,
        asked_at: Timestamp,
        body: &[u8],
    ) -> Result<(), PageError> {
        let request = format!("GET {path}");
        let answer: Box<RawValue> =
            (self.minimise_answer)(read.vendor, Provider::Stripe, &request, body).map_err(PageError::Minimise)?;
        let result = LookupResult {
            mode: read.mode,
            provider: Provider::Stripe,
            request,
            asked_at,
            answer: Some(answer),
            refused: None,
        };
        self.append(read, Payload::LookupResult(result)).await
    }

    /// Appends the events of a page, all at once so that they share one sync. Returns how many could not be read.
    async fn append_events(&self, read: &StripeRead, events: &[&RawValue]) -> Result<u64, PageError> {
        let mut deliveries = Vec::with_capacity(events.len());
        let mut skipped = 0;
        for event in events {
            match (self.minimise_event)(read.vendor, event.get().as_bytes()) {
                // A key reads its own mode only; anything else is not of this list.
                Ok(delivery) if delivery.mode == read.mode => deliveries.push(delivery),
                Ok(_) => skipped += 1,
                Err(error @ EventError::UnknownVendor) => return Err(PageError::Minimise(error.into())),
                Err(error) => {
                    tracing::warn!(error = %error, "an event that Stripe has could not be read: {error:#}");
                    skipped += 1;
                }
            }
        }
        let appended = deliveries.into_iter().map(|delivery| self.append(read, Payload::Delivery(delivery)));
        futures::future::try_join_all(appended).await?;
        Ok(skipped)
    }

    async fn append(&self, read: &StripeRead, payload: Payload) -> Result<(), PageError> {
        let record = Record {
            vendor: read.vendor,
            connection: read.connection,
            at: (self.clock)(),
            writer: self.writer.clone(),
            seq: None,
            trace: None,
            payload,
        };
        self.log.append(NewRecord { partition: partition_of(read.vendor), bytes: record.encode() }).await?;
        Ok(())
    }
}

fn after(now: Timestamp, pause: Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)))
}

/// What the key may no longer do, in words.
fn lacking(step: ReadStep) -> &'static str {
    match step {
        ReadStep::PromotionCodes => {
            "The restricted key may not read promotion codes. Allow it at Stripe, then try again."
        }
        ReadStep::Coupons => "The restricted key may not read coupons. Allow it at Stripe, then try again.",
        ReadStep::MostEvents | ReadStep::OtherEvents => {
            "The restricted key may not read events. Allow it at Stripe, then try again."
        }
    }
}

/// As a sentence for a page.
fn sentence(error: &PageError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
