//! Mails owners that a connection is broken: deliveries of the provider are refused for a wrong signature, for a while,
//! and none is taken.
//!
//! One mail each for a breakage: it is noted with its mails in one transaction, and forgotten when a delivery is taken
//! again. What the edges refused is in the control store, so any process that shows pages can tell.

use api::mail::{BrokenLetter, Mail};
use api::services::Clock;
use domain::ids::{Provider, Timestamp};
use ingest::failed::{FailedDelivery, FailureKind, KEPT_PER_ENDPOINT};
use std::sync::Arc;
use std::time::Duration;
use store::control::{ControlStore, MailId, NewMail, Person, WatchedEndpoint};
use store::fold_store::FoldStore;
use tokio_util::sync::CancellationToken;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(30);
/// Refused for so long with nothing taken, it is broken: a secret that is being changed mails nobody.
const AFTER_MS: i64 = 10 * 60 * 1000;
/// So many refused deliveries at least: one by itself may be anybody's.
const LEAST: usize = 3;
/// Only while it goes on: what was refused longer ago than this is told to nobody any more.
const FRESH_MS: i64 = 24 * 60 * 60 * 1000;

/// Puts broken connections into the queue of mail.
pub struct BrokenMail {
    /// When deliveries were taken.
    pub fold: Arc<dyn FoldStore>,
    /// What was refused, and where mail waits.
    pub control: Arc<dyn ControlStore>,
    /// The time.
    pub clock: Clock,
    /// Where pages are.
    pub public_url: String,
}

/// What is known of an endpoint now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// A delivery was taken after the last one with a wrong signature.
    Well,
    /// Too little is known.
    Unclear,
    /// Nothing was taken since this time, and enough was refused.
    Broken {
        /// The first refused one.
        since: Timestamp,
        /// How many.
        refused: usize,
    },
}

impl BrokenMail {
    /// Runs until stopped.
    pub async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.round().await {
                tracing::warn!(error = %error, "broken connections wait to be mailed: {error:#}");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Tells what broke and notes what is well again. Returns how many breakages were told.
    ///
    /// # Errors
    /// When either store fails; what was not noted is looked at again.
    pub async fn round(&self) -> anyhow::Result<usize> {
        let mut told = 0;
        for endpoint in self.control.watched_endpoints((self.clock)()).await? {
            let (fold, connection, now) = (self.fold.clone(), endpoint.connection, (self.clock)());
            let activity = tokio::task::spawn_blocking(move || fold.activity(connection, now)).await??;
            match condition(&endpoint.lists, activity.last_at, now) {
                Condition::Well if endpoint.broken_since.is_some() => {
                    self.control.note_well(endpoint.vendor, &endpoint.endpoint).await?;
                }
                Condition::Broken { since, refused } if endpoint.broken_since.is_none() => {
                    let mails = endpoint.people.iter().map(|person| self.mail(&endpoint, person, since, refused));
                    let (vendor, id, mails) = (endpoint.vendor, &endpoint.endpoint, mails.collect());
                    told += usize::from(self.control.note_broken(vendor, id, since, mails, now).await?);
                }
                _ => {}
            }
        }
        Ok(told)
    }

    fn mail(&self, endpoint: &WatchedEndpoint, person: &Person, since: Timestamp, refused: usize) -> NewMail {
        let site = url::Url::parse(&self.public_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let mail = Mail::Broken(BrokenLetter {
            workspace: endpoint.name.clone(),
            provider: provider_name(endpoint.provider).to_owned(),
            since,
            refused: refused as u64,
            time_zone: endpoint.time_zone.clone(),
            link: format!("{}/{}/connections", self.public_url, endpoint.slug),
            site: site.unwrap_or_default(),
        });
        let cause = MailId(format!("broken:{}:{}:{}", endpoint.endpoint, since.0, person.id.0));
        mail.queued(Some(endpoint.vendor), &person.email, cause)
    }
}

fn provider_name(provider: Provider) -> &'static str {
    match provider {
        Provider::Stripe => "Stripe",
        Provider::Paddle => "Paddle",
        Provider::LemonSqueezy => "Lemon Squeezy",
    }
}

/// What the lists of all processes and the last delivery that was taken come to.
fn condition(lists: &[String], last_taken: Option<Timestamp>, now: Timestamp) -> Condition {
    // A list of a release that says more is left out.
    let kept: Vec<Vec<FailedDelivery>> =
        lists.iter().map(|list| serde_json::from_str(list).unwrap_or_default()).collect();
    let wrong = kept.iter().flatten().filter(|one| one.kind == FailureKind::WrongSecret);
    let wrong: Vec<Timestamp> = wrong.map(|one| one.at).collect();
    let since_taken: Vec<Timestamp> =
        wrong.iter().copied().filter(|at| last_taken.is_none_or(|taken| *at > taken)).collect();
    let (Some(first), Some(last)) = (since_taken.iter().min().copied(), since_taken.iter().max().copied()) else {
        return if last_taken.is_some() { Condition::Well } else { Condition::Unclear };
    };
    // A list keeps the newest ones alone: where it is full, it began longer ago than it says.
    let is_cut = kept.iter().any(|list| list.len() >= KEPT_PER_ENDPOINT);
    let quiet_since = last_taken.map_or(0, |taken| taken.0);
    let has_lasted = now.0 - first.0 >= AFTER_MS || (is_cut && now.0 - quiet_since >= AFTER_MS);
    if has_lasted && now.0 - last.0 <= FRESH_MS && since_taken.len() >= LEAST {
        Condition::Broken { since: first, refused: since_taken.len() }
    } else {
        Condition::Unclear
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::VendorId;
    use std::sync::atomic::{AtomicI64, Ordering};
    use store::control::{ConnectRequest, MailAddress, MailState, Role, SignInMail, SqliteControlStore};
    use store::fold_store::SqliteFoldStore;
    use store::secrets::{MasterKeys, SecretText, system_random};

    const NOW: i64 = 1_790_000_000_000;
    const MINUTE: i64 = 60_000;

    fn list(ats: &[i64]) -> String {
        let one = |at: &i64| FailedDelivery {
            at: Timestamp(*at),
            kind: FailureKind::WrongSecret,
            reason: String::new(),
            body_sha256: String::new(),
        };
        serde_json::to_string(&ats.iter().map(one).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_is_refused_for_a_while_with_nothing_taken_is_broken() {
        let at = |minutes: i64| NOW - minutes * MINUTE;
        let broken = |lists: &[String], taken: Option<i64>| condition(lists, taken.map(Timestamp), Timestamp(NOW));
        let three = [list(&[at(12), at(8)]), list(&[at(2)])];
        assert_eq!(broken(&three, None), Condition::Broken { since: Timestamp(at(12)), refused: 3 });
        assert_eq!(broken(&three, Some(at(20))), Condition::Broken { since: Timestamp(at(12)), refused: 3 });
        // One was taken in between: what came before does not count, and two are too few.
        assert_eq!(broken(&three, Some(at(10))), Condition::Unclear);
        assert_eq!(broken(&three, Some(at(1))), Condition::Well);
        assert_eq!(broken(&[list(&[at(9), at(8), at(7)])], None), Condition::Unclear, "not long enough");
        assert_eq!(broken(&[list(&[at(3_000), at(2_000), at(1_500)])], None), Condition::Unclear, "it went by");
        assert_eq!(broken(&["not a list".into()], None), Condition::Unclear);
        // As many as are kept within the last minute: it began before.
        let flood: Vec<i64> = (0..KEPT_PER_ENDPOINT as i64).map(|one| NOW - one * 500).collect();
        let told = Condition::Broken { since: Timestamp(flood[99]), refused: 100 };
        assert_eq!(broken(&[list(&flood)], Some(at(11))), told);
        assert_eq!(broken(&[list(&flood)], Some(at(9))), Condition::Unclear, "one was taken a moment ago");
        assert_eq!(broken(&[list(&flood[1..])], Some(at(11))), Condition::Unclear, "all of them are known");
        let mut other = list(&[at(12), at(8), at(2)]);
        other = other.replace("wrong_secret", "no_signature");
        assert_eq!(broken(&[other], None), Condition::Unclear, "strangers call, too");
    }

    #[tokio::test]
    async fn each_owner_has_one_mail_for_a_breakage() {
        let folder = tempfile::tempdir().unwrap();
        let keys = MasterKeys::from_bytes(&[[7; 32]]);
        let control = SqliteControlStore::open(&folder.path().join("control.db"), keys, system_random()).unwrap();
        let fold = SqliteFoldStore::open(&folder.path().join("fold.db")).unwrap();
        let control: Arc<dyn ControlStore> = Arc::new(control);
        let now = Arc::new(AtomicI64::new(NOW));
        let clock = now.clone();
        let relay = || BrokenMail {
            fold: Arc::new(SqliteFoldStore::open(&folder.path().join("fold.db")).unwrap()),
            control: control.clone(),
            clock: {
                let clock = clock.clone();
                Arc::new(move || Timestamp(clock.load(Ordering::Relaxed)))
            },
            public_url: "https://track.example".into(),
        };
        drop(fold);
        let (vendor, endpoint) = connected(&*control).await;
        let put = async |ats: &[i64]| {
            control.put_failures(vendor, &endpoint, "writer", &list(ats), Timestamp(NOW)).await.unwrap();
        };
        put(&[NOW - 2 * MINUTE, NOW - MINUTE, NOW]).await;
        let one = relay();
        assert_eq!(one.round().await.unwrap(), 0, "it may be over in a moment");
        now.store(NOW + 10 * MINUTE, Ordering::Relaxed);
        assert_eq!(one.round().await.unwrap(), 1);
        put(&[NOW - 2 * MINUTE, NOW - MINUTE, NOW, NOW + 11 * MINUTE]).await;
        assert_eq!(one.round().await.unwrap(), 0, "told already");
        let mails = control.mails(MailState::Waiting, None, 10).await.unwrap();
        let broken: Vec<_> = mails.iter().filter(|mail| mail.kind == "broken").collect();
        assert_eq!(broken.iter().map(|mail| mail.recipient.as_str()).collect::<Vec<_>>(), ["owner@example.com"]);
        // It was well in between: the next breakage is told again.
        control.note_well(vendor, &endpoint).await.unwrap();
        let later = NOW + 100 * MINUTE;
        put(&[later, later + MINUTE, later + 2 * MINUTE]).await;
        now.store(later + 15 * MINUTE, Ordering::Relaxed);
        assert_eq!(one.round().await.unwrap(), 1);
    }

    async fn connected(control: &dyn ControlStore) -> (VendorId, String) {
        let request = ConnectRequest {
            vendor: "acme".into(),
            provider: Provider::Stripe,
            secret: SecretText::new("whsec_1"),
            key: None,
            api_base: None,
            account: None,
            complete_history: false,
            mode_hint: None,
        };
        let connected = control.connect(request, "test", Timestamp(NOW)).await.unwrap();
        let (said, heard) = std::sync::mpsc::sync_channel(1);
        let mail: SignInMail = Box::new(move |secrets, cause| {
            said.send(secrets.link.expose().to_owned()).unwrap();
            let (kind, recipient, content) = ("test", "x@example.com".to_owned(), SecretText::new("x"));
            NewMail { vendor: None, cause, kind, recipient, content }
        });
        let address = MailAddress::parse("owner@example.com").unwrap();
        control.ask_sign_in(&address, true, mail, Timestamp(NOW)).await.unwrap();
        let session = control.open_by_link(&heard.recv().unwrap(), "", Timestamp(NOW)).await.unwrap().unwrap();
        let person = session.person().unwrap();
        control.add_member(connected.vendor, person, Role::Owner, "test", Timestamp(NOW)).await.unwrap();
        (connected.vendor, connected.endpoint_id)
    }
}
