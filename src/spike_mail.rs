//! Mails alerts of the spike detector: from the fold store into the queue of mail.
//!
//! An alert is `told` once each owner's mail is in the queue. The cause of a mail names alert and person, so a process that
//! ends in between, or several that show pages, write no second one. Alerts of a history that is folded again
//! are too old to be mailed; they are on the page. The operator, who comes with a link of the command line, has no address.

use api::alerts::sentence;
use api::mail::{Mail, SpikeLetter};
use api::services::Clock;
use domain::ids::VendorId;
use domain::spikes::Alert;
use std::sync::Arc;
use std::time::Duration;
use store::control::{AlertAudience, ControlStore, MailId, NewMail, Person};
use store::event_log::all_partitions;
use store::fold_store::FoldStore;
use tokio_util::sync::CancellationToken;

/// How often it is looked for alerts.
const EVERY: Duration = Duration::from_secs(2);
/// Alerts of one look.
const AT_ONCE: usize = 100;

/// Puts alerts into the queue of mail.
pub struct SpikeMail {
    /// Where alerts are.
    pub fold: Arc<dyn FoldStore>,
    /// Where mail waits, and who gets it.
    pub control: Arc<dyn ControlStore>,
    /// The time.
    pub clock: Clock,
    /// Where pages are.
    pub public_url: String,
}

impl SpikeMail {
    /// Runs until stopped.
    pub async fn run(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.round().await {
                tracing::warn!(error = %error, "alerts wait to be mailed: {error:#}");
            }
        }
    }

    /// Mails what was not told yet. Returns how many alerts there were.
    ///
    /// # Errors
    /// When either store fails; what was not noted as told is tried again.
    pub async fn round(&self) -> anyhow::Result<usize> {
        let fold = self.fold.clone();
        let untold = tokio::task::spawn_blocking(move || fold.untold_alerts(&all_partitions(), AT_ONCE)).await??;
        let mut told = Vec::with_capacity(untold.len());
        for (vendor, alert) in &untold {
            if alert.is_fresh((self.clock)()) {
                self.mail(*vendor, alert).await?;
            }
            told.push((*vendor, alert.id));
        }
        if !told.is_empty() {
            let fold = self.fold.clone();
            tokio::task::spawn_blocking(move || fold.alerts_told(&told)).await??;
        }
        Ok(untold.len())
    }

    async fn mail(&self, vendor: VendorId, alert: &Alert) -> anyhow::Result<()> {
        let Some(audience) = self.control.alert_audience(vendor, alert.code).await? else { return Ok(()) };
        if audience.is_demo {
            return Ok(());
        }
        for person in &audience.people {
            let mail = NewMail { vendor: Some(vendor), ..self.letter(alert, &audience, person)? };
            self.control.enqueue_mail(mail, (self.clock)()).await?;
        }
        Ok(())
    }

    fn letter(&self, alert: &Alert, audience: &AlertAudience, person: &Person) -> anyhow::Result<NewMail> {
        let site = url::Url::parse(&self.public_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let mail = Mail::Spike(SpikeLetter {
            workspace: audience.vendor.clone(),
            code: audience.code.clone(),
            affiliate: audience.affiliate.clone(),
            sentence: sentence(alert),
            since: alert.from,
            time_zone: audience.time_zone.clone(),
            link: format!("{}/{}/alerts/{:016x}?mode=live", self.public_url, audience.slug, alert.id),
            site: site.unwrap_or_default(),
        });
        let cause = MailId(format!("spike:{:016x}:{}", alert.id, person.id.0));
        Ok(mail.queued(&person.email, cause)?)
    }
}
