//! What the product mails, and the worker that sends it.

use crate::summary::SummaryLetter;
use domain::ids::{Timestamp, VendorId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use store::control::{
    ClaimedMail, ControlError, ControlStore, INVITE_KIND, MailAddress, MailEnd, MailId, NewMail, PORTAL_LINK_KIND,
    SIGN_IN_KIND, SUMMARY_KIND,
};
pub use store::mail::{Letter, Picture};
use store::mail::{MailError, MailTransport, Sender, compose};
use store::secrets::SecretText;
use telemetry::metrics::{self, Metric};
use tokio_util::sync::CancellationToken;

/// How often the queue is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Mails of one look that somebody waits for.
const AT_ONCE: usize = 20;
/// Mails of one look for which nobody waits: so few that a sign-in which comes meanwhile is next.
const BULK_AT_ONCE: usize = 5;
/// Minutes before the second try, the third, and so on. After the last it is given up: a day and a half after the first.
const PAUSES_MINUTES: [i64; 8] = [1, 5, 15, 60, 180, 360, 720, 720];
const MINUTE_MS: i64 = 60_000;
const SPIKE_KIND: &str = "spike";
const BROKEN_KIND: &str = "broken";

/// Everything that is mailed. It waits in the queue as JSON, so a newer release must still read what an older one wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mail", rename_all = "snake_case")]
pub enum Mail {
    /// Somebody asked to sign in.
    SignIn(SignInLetter),
    /// A vendor invites an affiliate.
    Invite(PortalLetter),
    /// An affiliate asked for a link to the portal.
    PortalLink(PortalLetter),
    /// A code is redeemed far too often.
    Spike(SpikeLetter),
    /// A connection is broken.
    Broken(BrokenLetter),
    /// The figures of a month.
    Summary(Box<SummaryLetter>),
}

/// A link and a code, good once for a quarter of an hour.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInLetter {
    /// Opens a page with a button.
    pub link: String,
    /// Six digits, for the browser that asked.
    pub code: String,
    /// How long both are good, in minutes.
    pub minutes: i64,
    /// Where it leads, for example `track.example.com`.
    pub site: String,
}

/// A link that opens the affiliates' portal once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortalLetter {
    /// Opens a page with a button.
    pub link: String,
    /// Name of the vendor.
    pub vendor: String,
    /// Name of the affiliate.
    pub affiliate: String,
    /// How long the link is good, in words: `14 days`.
    pub good_for: String,
}

impl std::fmt::Debug for PortalLetter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortalLetter").field("vendor", &self.vendor).finish_non_exhaustive()
    }
}

/// A code is redeemed far too often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpikeLetter {
    /// Name of the workspace.
    pub workspace: String,
    /// The code as people write it; empty if it has no name.
    pub code: String,
    /// Whose code; empty if nobody's.
    pub affiliate: String,
    /// What happened, to be read after the code.
    pub sentence: String,
    /// When it began.
    pub since: Timestamp,
    /// IANA name of the workspace's zone.
    pub time_zone: String,
    /// The page of the alert.
    pub link: String,
    /// Where the product is, for example `track.example.com`.
    pub site: String,
}

/// Deliveries of a provider are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenLetter {
    /// Name of the workspace.
    pub workspace: String,
    /// Who delivers, as people write it.
    pub provider: String,
    /// When the first was refused.
    pub since: Timestamp,
    /// How many are known to be.
    pub refused: u64,
    /// IANA name of the workspace's zone.
    pub time_zone: String,
    /// The page that says what to do.
    pub link: String,
    /// Where the product is, for example `track.example.com`.
    pub site: String,
}

impl std::fmt::Debug for SignInLetter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignInLetter").field("site", &self.site).finish_non_exhaustive()
    }
}

impl Mail {
    /// Sorts that somebody waits for, or that matter at once.
    pub const URGENT_KINDS: [&'static str; 5] = [SIGN_IN_KIND, INVITE_KIND, PORTAL_LINK_KIND, SPIKE_KIND, BROKEN_KIND];
    /// Sorts of which many come at once. These and the urgent ones are all that this release can send.
    pub const BULK_KINDS: [&'static str; 1] = [SUMMARY_KIND];

    /// Which sort, for lists and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Mail::SignIn(_) => SIGN_IN_KIND,
            Mail::Invite(_) => INVITE_KIND,
            Mail::PortalLink(_) => PORTAL_LINK_KIND,
            Mail::Spike(_) => SPIKE_KIND,
            Mail::Broken(_) => BROKEN_KIND,
            Mail::Summary(_) => SUMMARY_KIND,
        }
    }

    /// As the queue takes it; `vendor` is whose it is, if anybody's.
    pub fn queued(&self, vendor: Option<VendorId>, recipient: &MailAddress, cause: MailId) -> NewMail {
        let is_sent = Mail::URGENT_KINDS.contains(&self.kind()) || Mail::BULK_KINDS.contains(&self.kind());
        debug_assert!(is_sent, "{} is in no list of what is sent, and would wait for ever", self.kind());
        // Texts become JSON; if ever they do not, the row says so instead of nothing.
        let content = serde_json::to_string(self).unwrap_or_else(|error| error.to_string());
        NewMail {
            vendor,
            cause,
            kind: self.kind(),
            recipient: recipient.to_string(),
            content: SecretText::new(content),
        }
    }
}

/// What a template says when it fails.
pub type TypesetError = Box<dyn std::error::Error + Send + Sync>;

/// Turns what is mailed into words and pictures.
pub trait Typeset: Send + Sync {
    /// The letter.
    ///
    /// # Errors
    /// When a template fails.
    fn letter(&self, mail: &Mail) -> Result<Letter, TypesetError>;
}

/// Takes mail out of the queue and sends it. Several may run; each mail is one's.
pub struct MailWorker {
    /// Where mail waits.
    pub queue: Arc<dyn ControlStore>,
    /// Where it goes.
    pub transport: Arc<dyn MailTransport>,
    /// How it looks.
    pub typeset: Arc<dyn Typeset>,
    /// Who writes.
    pub sender: Sender,
    /// The time.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl MailWorker {
    /// Runs until stopped. What is being handed over then is finished first.
    pub async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.round(stop).await {
                Ok(sent) if sent >= BULK_AT_ONCE => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error, "the queue of mail cannot be used, trying again: {error}"),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Sends what is due now. Returns how many mails it took.
    ///
    /// # Errors
    /// When the queue cannot be read or written; what was claimed is taken again later.
    pub async fn round(&self, stop: &CancellationToken) -> Result<usize, ControlError> {
        let mut claimed = self.queue.claim_mails(&Mail::URGENT_KINDS, AT_ONCE, (self.clock)()).await?;
        if claimed.len() < AT_ONCE {
            claimed.extend(self.queue.claim_mails(&Mail::BULK_KINDS, BULK_AT_ONCE, (self.clock)()).await?);
        }
        let count = claimed.len();
        for mail in claimed {
            if stop.is_cancelled() {
                // Its claim ends by itself.
                break;
            }
            if let Some(end) = self.send(&mail).await? {
                if let MailEnd::Failed { error } | MailEnd::Unsure { error } | MailEnd::Later { error, .. } = &end {
                    tracing::warn!(mail.id = mail.id, mail.tries = mail.tries, "a mail did not go out: {error}");
                }
                metrics::count(Metric::Mails, [("outcome", outcome(&end))], 1);
                self.queue.end_sending(mail.id, mail.tries, end, (self.clock)()).await?;
            }
        }
        Ok(count)
    }

    /// One try. None when somebody else has the mail by now.
    async fn send(&self, mail: &ClaimedMail) -> Result<Option<MailEnd>, ControlError> {
        let (recipient, message) = match self.written(mail) {
            Ok(written) => written,
            Err(error) => return Ok(Some(MailEnd::Failed { error: format!("{error:#}") })),
        };
        let ready = match self.transport.prepare(&recipient).await {
            Ok(ready) => ready,
            Err(error) => return Ok(Some(self.ended(mail, error))),
        };
        if !self.queue.begin_sending(mail.id, mail.tries, (self.clock)()).await? {
            return Ok(None);
        }
        Ok(Some(match ready.hand_over(&name_of(mail), &message).await {
            Ok(()) => MailEnd::Sent,
            Err(error) => self.ended(mail, error),
        }))
    }

    fn written(&self, mail: &ClaimedMail) -> anyhow::Result<(MailAddress, Vec<u8>)> {
        let recipient = MailAddress::parse(&mail.recipient).map_err(anyhow::Error::msg)?;
        let letter =
            self.typeset.letter(&serde_json::from_str(mail.content.expose())?).map_err(anyhow::Error::from_boxed)?;
        let message = compose(&self.sender, &recipient, &letter, &name_of(mail), (self.clock)())?;
        Ok((recipient, message))
    }

    fn ended(&self, mail: &ClaimedMail, error: MailError) -> MailEnd {
        match error {
            MailError::Refused(error) => MailEnd::Failed { error },
            MailError::Unsure(error) => MailEnd::Unsure { error },
            MailError::Later(error) => match PAUSES_MINUTES.get(mail.tries.saturating_sub(1) as usize) {
                Some(minutes) => MailEnd::Later { at: Timestamp((self.clock)().0 + minutes * MINUTE_MS), error },
                None => MailEnd::Failed { error: format!("given up after {} tries: {error}", mail.tries) },
            },
        }
    }
}

/// The same at every try, so that a mail that was taken twice can be told as one.
fn name_of(mail: &ClaimedMail) -> String {
    format!("mail-{}", mail.id)
}

fn outcome(end: &MailEnd) -> &'static str {
    match end {
        MailEnd::Sent => "sent",
        MailEnd::Later { .. } => "later",
        MailEnd::Failed { .. } => "failed",
        MailEnd::Unsure { .. } => "unsure",
    }
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
