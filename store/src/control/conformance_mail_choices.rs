//! What every backend of the control store must do: choices of mail, links that switch it off, and monthly summaries.

use super::conformance::{NOW, on_every_backend, vendor};
use super::conformance_people::{mail, session_of};
use super::conformance_portal::portal_session_of;
use super::*;
use serde_json::json;
use std::sync::{Arc, Mutex};

const MONTH: &str = "2026-10";

/// A vendor with one member and one affiliate who came to the portal.
async fn acme(store: &dyn ControlStore) -> (VendorId, Session, PortalSession) {
    let acme = vendor(store, "acme").await;
    let affiliates = json!([
        {"decide": "affiliate", "key": "aff_maya", "name": "Maya", "email": "maya@example.com"},
        {"decide": "affiliate", "key": "aff_ben", "name": "Ben", "email": "ben@example.com"},
    ]);
    store.decide(acme, serde_json::from_value(affiliates).unwrap(), "test", NOW).await.unwrap();
    let member = session_of(store, "owner@example.com").await;
    store.add_member(acme, member.person().unwrap(), Role::Owner, "test", NOW).await.unwrap();
    let guest = portal_session_of(store, "acme", "aff_maya").await;
    (acme, member, guest)
}

#[derive(Clone, Default)]
struct Links(Arc<Mutex<Vec<String>>>);

impl Links {
    fn mail(&self, reader: MailReader, email: &str, cause: &str) -> OptionalMail {
        let (links, cause) = (self.clone(), cause.to_owned());
        OptionalMail {
            reader,
            email: MailAddress::parse(email).unwrap(),
            topic: MailTopic::Summary,
            write: Box::new(move |link| {
                links.0.lock().unwrap().push(link.expose().to_owned());
                NewMail { kind: "summary", ..mail(&cause, None) }
            }),
        }
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Mails the affiliate of a session a summary, and follows its link.
pub(super) async fn switched_off_by_link(
    store: &dyn ControlStore,
    vendor: VendorId,
    session: &PortalSession,
    email: &str,
) {
    let links = Links::default();
    let reader = MailReader::Affiliate(session.numbers().1);
    let mails = vec![links.mail(reader, email, &format!("summary of {vendor}"))];
    assert_eq!(store.finish_summary(vendor, MONTH, mails, NOW).await.unwrap(), Some(1));
    store.unsubscribe(&links.taken()[0], NOW).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_choice_is_the_default_until_somebody_chooses() {
    on_every_backend(async |store| {
        let (_, member, guest) = acme(&*store).await;
        let shown = |settings: Vec<MailSetting>| -> Vec<_> {
            settings.into_iter().map(|one| (one.vendor, one.topic, one.choice)).collect()
        };
        let mine = async || shown(store.mail_settings(&member).await.unwrap());
        let theirs = async || shown(store.portal_mail_settings(&guest).await.unwrap());
        let name = "acme".to_owned();
        assert_eq!(mine().await, [(name.clone(), MailTopic::Summary, MailChoice::Monthly)]);
        assert_eq!(theirs().await, mine().await);
        store.choose_mail(&member, "acme", MailTopic::Summary, MailChoice::Off, NOW).await.unwrap();
        assert_eq!(mine().await, [(name.clone(), MailTopic::Summary, MailChoice::Off)]);
        assert_eq!(theirs().await, [(name.clone(), MailTopic::Summary, MailChoice::Monthly)], "another reader");
        store.choose_portal_mail(&guest, MailTopic::Summary, MailChoice::Off, NOW).await.unwrap();
        store.choose_mail(&member, "acme", MailTopic::Summary, MailChoice::Monthly, NOW).await.unwrap();
        assert_eq!(mine().await, [(name.clone(), MailTopic::Summary, MailChoice::Monthly)]);
        assert_eq!(theirs().await, [(name.clone(), MailTopic::Summary, MailChoice::Off)]);
        vendor(&*store, "globex").await;
        let foreign = store.choose_mail(&member, "globex", MailTopic::Summary, MailChoice::Off, NOW).await;
        assert!(matches!(foreign, Err(ControlError::NotFound(_))));
    })
    .await;
}

#[tokio::test]
async fn a_link_switches_one_topic_of_one_reader_off_and_on_again() {
    on_every_backend(async |store| {
        let (acme, _, guest) = acme(&*store).await;
        let maya = MailReader::Affiliate(guest.numbers().1);
        let links = Links::default();
        let mails = vec![links.mail(maya, "maya@example.com", "a")];
        assert_eq!(store.finish_summary(acme, MONTH, mails, NOW).await.unwrap(), Some(1));
        let link = links.taken().remove(0);
        assert_eq!(link.len(), 64);
        let linked = store.mail_of_link(&link).await.unwrap().unwrap();
        assert_eq!(
            (linked.vendor.as_str(), linked.topic, linked.choice),
            ("acme", MailTopic::Summary, MailChoice::Monthly)
        );
        for _ in 0..2 {
            let off = store.unsubscribe(&link, NOW).await.unwrap().unwrap();
            assert_eq!(off.choice, MailChoice::Off);
        }
        let settings = store.portal_mail_settings(&guest).await.unwrap();
        assert_eq!(settings[0].choice, MailChoice::Off);
        assert!(store.summary_audience(acme).await.unwrap().unwrap().affiliates.is_empty());
        // A mail that was being written meanwhile is not sent either.
        let mails = vec![links.mail(maya, "maya@example.com", "b")];
        assert_eq!(store.finish_summary(acme, "2026-11", mails, NOW).await.unwrap(), Some(0));
        assert!(links.taken().is_empty());
        for _ in 0..2 {
            let on = store.subscribe_again(&link, NOW).await.unwrap().unwrap();
            assert_eq!(on.choice, MailChoice::Monthly);
        }
        // The next mail to the same address has the same link.
        let mails = vec![links.mail(maya, "maya@example.com", "c")];
        assert_eq!(store.finish_summary(acme, "2026-12", mails, NOW).await.unwrap(), Some(1));
        assert_eq!(links.taken(), std::slice::from_ref(&link));
        assert_eq!(store.unsubscribe("0000", NOW).await.unwrap(), None);
        // Somebody else's mail by mistake: once the address is right, its link changes nothing.
        let corrected = json!([{"decide": "affiliate", "key": "aff_maya", "email": "maya@other.example"}]);
        store.decide(acme, serde_json::from_value(corrected).unwrap(), "test", NOW).await.unwrap();
        assert_eq!(store.mail_of_link(&link).await.unwrap(), None);
        assert_eq!(store.unsubscribe(&link, NOW).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_month_is_summarised_once_for_those_who_want_it() {
    on_every_backend(async |store| {
        let (acme, member, guest) = acme(&*store).await;
        let audience = store.summary_audience(acme).await.unwrap().unwrap();
        assert_eq!(audience.scope.vendor(), acme);
        assert_eq!(audience.people.iter().map(|one| one.email.as_str()).collect::<Vec<_>>(), ["owner@example.com"]);
        // Ben has an address, but never came.
        let affiliates: Vec<_> =
            audience.affiliates.iter().map(|one| (one.name.as_str(), one.scope.affiliate())).collect();
        assert_eq!(affiliates, [("Maya", Some(guest.numbers().1))]);
        let links = Links::default();
        let reader = MailReader::Person(member.person().unwrap());
        assert!(!store.is_summarised(acme, MONTH).await.unwrap());
        let first = vec![links.mail(reader, "owner@example.com", "a"), links.mail(reader, "owner@example.com", "b")];
        assert_eq!(store.finish_summary(acme, MONTH, first, NOW).await.unwrap(), Some(2));
        let second = vec![links.mail(reader, "owner@example.com", "c")];
        assert_eq!(store.finish_summary(acme, MONTH, second, NOW).await.unwrap(), None, "another process was first");
        assert!(store.is_summarised(acme, MONTH).await.unwrap());
        assert!(!store.is_summarised(acme, "2026-11").await.unwrap());
        assert_eq!(
            store.mails(MailState::Waiting, None, 10).await.unwrap().iter().filter(|one| one.kind == "summary").count(),
            2
        );
        let suspended = json!([{"decide": "affiliate", "key": "aff_maya", "suspended": true}]);
        store.decide(acme, serde_json::from_value(suspended).unwrap(), "test", NOW).await.unwrap();
        assert!(store.summary_audience(acme).await.unwrap().unwrap().affiliates.is_empty());
        store.forget_vendor(acme, "test", NOW).await.unwrap();
        assert!(store.summary_audience(acme).await.unwrap().is_none());
        assert!(!store.is_summarised(acme, MONTH).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_link_is_in_no_row() {
    for place in super::test_places::Place::of_every_backend() {
        let store = place.open(super::conformance::keys()).await.unwrap();
        let (acme, _, guest) = acme(&*store).await;
        let links = Links::default();
        let mails = vec![links.mail(MailReader::Affiliate(guest.numbers().1), "maya@example.com", "a")];
        store.finish_summary(acme, MONTH, mails, NOW).await.unwrap();
        assert!(!place.holds(links.taken()[0].as_bytes()), "{}", place.name());
    }
}
