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
            if alert.is_fresh((self.clock)())
                && let Err(error) = self.mail(*vendor, alert).await
            {
                // It is tried again while it is fresh; the others do not wait for it.
                let id = format!("{:016x}", alert.id);
                tracing::warn!(alert = id, error = %error, "an alert cannot be mailed yet: {error:#}");
                continue;
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
            self.control.enqueue_mail(self.letter(vendor, alert, &audience, person), (self.clock)()).await?;
        }
        Ok(())
    }

    fn letter(&self, vendor: VendorId, alert: &Alert, audience: &AlertAudience, person: &Person) -> NewMail {
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
        mail.queued(Some(vendor), &person.email, cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::{CodeId, Timestamp};
    use domain::spikes::Statistic;
    use store::control::{MailAddress, MailInfo, MailState, NewVendor, Role, SignInMail, SqliteControlStore};
    use store::event_log::partition_of;
    use store::fold_store::{Commit, Position, SpikeChanges, SqliteFoldStore};
    use store::secrets::{MasterKeys, SecretText, system_random};

    const NOW: i64 = 1_790_000_000_000;
    const HOUR: i64 = 3_600_000;

    struct Scene {
        relay: SpikeMail,
        vendor: VendorId,
        _folder: tempfile::TempDir,
    }

    impl Scene {
        async fn new(is_demo: bool) -> Scene {
            let folder = tempfile::tempdir().unwrap();
            let keys = MasterKeys::from_bytes(&[[7; 32]]);
            let control = SqliteControlStore::open(&folder.path().join("control.db"), keys, system_random()).unwrap();
            let fold = SqliteFoldStore::open(&folder.path().join("fold.db")).unwrap();
            let vendor = NewVendor { is_demo, ..NewVendor::named("acme") };
            let vendor = control.ensure_vendor(vendor, "test", Timestamp(NOW)).await.unwrap().id;
            let relay = SpikeMail {
                fold: Arc::new(fold),
                control: Arc::new(control),
                clock: Arc::new(|| Timestamp(NOW)),
                public_url: "https://track.example".into(),
            };
            Scene { relay, vendor, _folder: folder }
        }

        async fn owner(&self, email: &str) {
            let (said, heard) = std::sync::mpsc::sync_channel(1);
            let mail: SignInMail = Box::new(move |secrets, cause| {
                said.send(secrets.link.expose().to_owned()).unwrap();
                let (kind, recipient, content) = ("test", "x@example.com".to_owned(), SecretText::new("x"));
                NewMail { vendor: None, cause, kind, recipient, content }
            });
            let (control, address) = (&self.relay.control, MailAddress::parse(email).unwrap());
            control.ask_sign_in(&address, true, mail, Timestamp(NOW)).await.unwrap();
            let link = heard.recv().unwrap();
            let session = control.open_by_link(&link, "Firefox", Timestamp(NOW)).await.unwrap().unwrap();
            let person = session.person().unwrap();
            control.add_member(self.vendor, person, Role::Owner, "test", Timestamp(NOW)).await.unwrap();
        }

        /// An alert of a code of its own, so many hours ago.
        fn raise(&self, code: u64, hours_ago: i64) {
            let at = Timestamp(NOW - hours_ago * HOUR);
            let alert = Alert {
                id: 0xa000_0000_0000_0000 + code,
                code: CodeId(code),
                first_crossing: at,
                statistic: Statistic::Rise { ratio: 8 },
                from: at,
                to: at,
                observed: 9,
                expected: 0.5,
                customers: 8,
            };
            let (partition, fold) = (partition_of(self.vendor), &self.relay.fold);
            let before = fold.position(partition).unwrap();
            let after = Position { next_offset: before.next_offset + 1, ..before.clone() };
            let spikes = SpikeChanges { alerts: vec![(self.vendor, alert)], ..SpikeChanges::default() };
            fold.commit(partition, &before, &after, &Commit { spikes, ..Commit::default() }).unwrap();
        }

        async fn mails(&self) -> Vec<MailInfo> {
            let mails = self.relay.control.mails(MailState::Waiting, None, 100).await.unwrap();
            mails.into_iter().filter(|mail| mail.kind == "spike").collect()
        }
    }

    #[tokio::test]
    async fn each_owner_has_one_mail_however_often_it_is_looked() {
        let scene = Scene::new(false).await;
        scene.owner("maya@example.com").await;
        scene.owner("sam@example.com").await;
        scene.raise(1, 0);
        assert_eq!(scene.relay.round().await.unwrap(), 1);
        // A process that ended before it noted that they were told.
        let alert = scene.relay.fold.alerts(scene.vendor, 1).unwrap().remove(0);
        scene.relay.mail(scene.vendor, &alert).await.unwrap();
        assert_eq!(scene.relay.round().await.unwrap(), 0);
        let mails = scene.mails().await;
        let mut recipients: Vec<&str> = mails.iter().map(|mail| mail.recipient.as_str()).collect();
        recipients.sort_unstable();
        assert_eq!(recipients, ["maya@example.com", "sam@example.com"]);
        assert!(mails.iter().all(|mail| mail.cause.0.starts_with("spike:a000000000000001:")));
    }

    #[tokio::test]
    async fn history_the_demo_and_the_operator_are_not_mailed() {
        let (scene, demo, alone) = (Scene::new(false).await, Scene::new(true).await, Scene::new(false).await);
        scene.owner("maya@example.com").await;
        scene.raise(1, 2);
        demo.owner("maya@example.com").await;
        demo.raise(1, 0);
        alone.raise(1, 0);
        for each in [&scene, &demo, &alone] {
            assert_eq!(each.relay.round().await.unwrap(), 1);
            assert_eq!(each.relay.round().await.unwrap(), 0, "it is told, and on the page only");
            assert!(each.mails().await.is_empty());
        }
    }
}
