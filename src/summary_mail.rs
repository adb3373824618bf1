//! Mails the summary of a month to members and affiliates, on the first at 08:00 where the vendor is.
//!
//! A vendor's mails are written in one transaction with the note that its month is done with, so a process that ends in
//! between, or several that show pages, write none twice and leave none out. The figures are those of the page: what was
//! in the log when the month was found due must be visible first, and nothing may be missing in the warehouse.

use anyhow::Context;
use api::mail::Mail;
use api::services::{Clock, MonthFigures};
use api::summary::{Month, SummaryFrame, SummaryLetter};
use domain::ids::VendorId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::control::{
    ControlStore, MAX_SUMMARY_AFFILIATES, MailAddress, MailId, MailReader, MailTopic, OptionalMail, SummaryAudience,
    Vendor,
};
use store::event_log::{EventLog, partition_of};
use store::live::LiveHub;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether a summary is due.
const EVERY: Duration = Duration::from_secs(30);
/// Where mail is switched off, before the end of the link.
const UNSUBSCRIBE_PATH: &str = "account/unsubscribe";

/// Writes the summaries.
pub struct SummaryMail {
    /// Who gets one, and where mail waits.
    pub control: Arc<dyn ControlStore>,
    /// What happened in a month.
    pub figures: Arc<dyn MonthFigures>,
    /// What must be visible.
    pub log: Arc<dyn EventLog>,
    /// What is visible.
    pub live: Arc<LiveHub>,
    /// The time.
    pub clock: Clock,
    /// Where pages are.
    pub public_url: String,
    /// Up to where the log was when a month was found due.
    pub ends: Mutex<BTreeMap<(VendorId, Month), u64>>,
}

impl SummaryMail {
    /// Runs until stopped.
    pub async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.round().await {
                tracing::warn!(error = %error, "monthly summaries wait: {error:#}");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Writes what is due. Returns how many vendors' months were done with.
    ///
    /// # Errors
    /// When the control store cannot be read. What goes wrong with one vendor is logged and tried again.
    pub async fn round(&self) -> anyhow::Result<usize> {
        let now = (self.clock)();
        let mut done = 0;
        for vendor in self.control.vendors().await? {
            let due = Month::due(now, &vendor.time_zone).filter(|_| !vendor.is_demo);
            let Some(month) = due else { continue };
            match self.summarise(&vendor, month).await {
                Ok(written) => done += usize::from(written),
                Err(error) => {
                    let (slug, month) = (&vendor.slug, month.name());
                    tracing::warn!(vendor = %vendor.id, "the summary of {month} for {slug} waits: {error:#}");
                }
            }
        }
        Ok(done)
    }

    /// Whether the month was done with by this.
    async fn summarise(&self, vendor: &Vendor, month: Month) -> anyhow::Result<bool> {
        let name = month.name();
        // Of several processes one does the work; should another do it too, the store takes the first.
        if self.control.is_summarised(vendor.id, &name).await? || !self.control.leads().await? {
            return Ok(false);
        }
        if !self.is_all_visible(vendor.id, month).await? {
            return Ok(false);
        }
        let Some(audience) = self.control.summary_audience(vendor.id).await? else { return Ok(false) };
        if audience.affiliates.len() as u64 == MAX_SUMMARY_AFFILIATES {
            tracing::warn!(vendor = %vendor.id, "only the first {MAX_SUMMARY_AFFILIATES} affiliates get a summary");
        }
        let mails = self.mails(&audience, month).await?;
        let written = self.control.finish_summary(vendor.id, &name, mails, (self.clock)()).await?;
        self.ends().remove(&(vendor.id, month));
        if let Some(count) = written {
            let slug = &vendor.slug;
            tracing::info!(vendor = %vendor.id, mails = count, "the summary of {name} for {slug} is {count} mails");
        }
        Ok(written.is_some())
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, BTreeMap<(VendorId, Month), u64>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that had arrived when the month was found due can be read.
    async fn is_all_visible(&self, vendor: VendorId, month: Month) -> anyhow::Result<bool> {
        let partition = partition_of(vendor);
        let known = self.ends().get(&(vendor, month)).copied();
        let end = match known {
            Some(end) => end,
            None => {
                let end = self.log.bounds(partition).await.context("the end of the log")?.1;
                *self.ends().entry((vendor, month)).or_insert(end)
            }
        };
        Ok(!self.live.is_held(partition) && self.live.visible(partition).next_offset >= end)
    }

    async fn mails(&self, audience: &SummaryAudience, month: Month) -> anyhow::Result<Vec<OptionalMail>> {
        let range = month.range(&audience.vendor.time_zone);
        let days = format!("from={}&to={}", range.from, range.to);
        let figures = self.figures.month(&audience.scope, &range).await?;
        let link = format!("{}/{}/dashboard?mode=live&{days}", self.public_url, audience.vendor.slug);
        let Some(letter) = SummaryLetter::of(&figures, self.frame(audience, None, link)) else {
            // Without a line of the vendor there is none of an affiliate.
            return Ok(Vec::new());
        };
        let of_person = |person: &store::control::Person| {
            self.mail(audience.vendor.id, month, MailReader::Person(person.id), &person.email, letter.clone())
        };
        let mut mails: Vec<OptionalMail> = audience.people.iter().map(of_person).collect();
        for affiliate in &audience.affiliates {
            let figures = self.figures.month(&affiliate.scope, &range).await?;
            let link = format!("{}/portal?{days}", self.public_url);
            let frame = self.frame(audience, Some(affiliate.name.clone()), link);
            if let Some(letter) = SummaryLetter::of(&figures, frame) {
                let reader = MailReader::Affiliate(affiliate.id);
                mails.push(self.mail(audience.vendor.id, month, reader, &affiliate.email, letter));
            }
        }
        Ok(mails)
    }

    fn frame(&self, audience: &SummaryAudience, affiliate: Option<String>, link: String) -> SummaryFrame {
        let site = url::Url::parse(&self.public_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        SummaryFrame { vendor: audience.vendor.name.clone(), affiliate, link, site: site.unwrap_or_default() }
    }

    fn mail(
        &self,
        vendor: VendorId,
        month: Month,
        reader: MailReader,
        email: &MailAddress,
        letter: SummaryLetter,
    ) -> OptionalMail {
        let who = match reader {
            MailReader::Person(person) => format!("person:{}", person.0),
            MailReader::Affiliate(affiliate) => format!("affiliate:{affiliate}"),
        };
        let cause = MailId(format!("summary:{vendor}:{}:{who}", month.name()));
        let (url, recipient) = (self.public_url.clone(), email.clone());
        OptionalMail {
            reader,
            email: email.clone(),
            topic: MailTopic::Summary,
            write: Box::new(move |link| {
                let unsubscribe = format!("{url}/{UNSUBSCRIBE_PATH}/{}", link.expose());
                let letter = SummaryLetter { unsubscribe, ..letter };
                Mail::Summary(Box::new(letter)).queued(Some(vendor), &recipient, cause)
            }),
        }
    }
}

#[cfg(test)]
#[path = "summary_mail_tests.rs"]
mod tests;
