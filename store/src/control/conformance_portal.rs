//! What every backend of the control store must do: invitations, and the sessions of the affiliates' portal.

use super::conformance::{NOW, on_every_backend, scope, vendor};
use super::*;
use serde_json::json;
use std::sync::{Arc, Mutex};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn later(milliseconds: i64) -> Timestamp {
    Timestamp(NOW.0 + milliseconds)
}

fn address(text: &str) -> MailAddress {
    MailAddress::parse(text).unwrap()
}

/// What was mailed: to whom, and the link.
#[derive(Clone, Default)]
struct Mailed(Arc<Mutex<Vec<(PortalGuest, String)>>>);

impl Mailed {
    fn writer(&self) -> PortalMail {
        let mailed = self.clone();
        Box::new(move |guest, vendor, link, cause| {
            mailed.0.lock().unwrap().push((guest.clone(), link.expose().to_owned()));
            let content = SecretText::new(link.expose());
            NewMail { vendor: Some(vendor), cause, kind: "test", recipient: guest.email.to_string(), content }
        })
    }

    fn last(&self) -> String {
        self.0.lock().unwrap().last().expect("a mail was written").1.clone()
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

async fn affiliate(store: &dyn ControlStore, vendor: VendorId, fields: serde_json::Value) {
    let mut fields = fields;
    fields["decide"] = json!("affiliate");
    let decision = serde_json::from_value(fields).unwrap();
    store.decide(vendor, vec![decision], "test", NOW).await.unwrap();
}

pub(super) async fn with_maya(store: &dyn ControlStore) -> (VendorId, TenantScope) {
    let acme = vendor(store, "acme").await;
    affiliate(store, acme, json!({"key": "aff_maya", "name": "Maya", "email": "maya@example.com"})).await;
    affiliate(store, acme, json!({"key": "aff_ben", "name": "Ben"})).await;
    (acme, scope(store, "acme").await)
}

/// Invites an affiliate and takes the invitation.
pub(super) async fn portal_session_of(store: &dyn ControlStore, vendor: &str, affiliate: &str) -> PortalSession {
    let mailed = Mailed::default();
    let scope = scope(store, vendor).await;
    store.invite(&scope, affiliate, mailed.writer(), "test", NOW).await.unwrap();
    store.open_portal(&mailed.last(), NOW).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_invitation_opens_one_session_that_sees_one_affiliate() {
    on_every_backend(async |store| {
        let (acme, scope) = with_maya(&*store).await;
        let mailed = Mailed::default();
        let to = store.invite(&scope, "aff_maya", mailed.writer(), "test", NOW).await.unwrap();
        assert_eq!(to, address("maya@example.com"));
        let link = mailed.last();
        for _ in 0..2 {
            // Looking does not use it up.
            let guest = store.portal_guest(&link, later(13 * DAY)).await.unwrap().unwrap();
            assert_eq!((guest.affiliate.as_str(), guest.email), ("Maya", address("maya@example.com")));
        }
        let session = store.open_portal(&link, later(13 * DAY)).await.unwrap().unwrap();
        assert!(store.open_portal(&link, later(13 * DAY)).await.unwrap().is_none());
        assert_eq!(store.portal_guest(&link, later(13 * DAY)).await.unwrap(), None);
        let again = store.portal_session(session.cookie().expose(), later(14 * DAY)).await.unwrap().unwrap();
        assert_eq!(again.csrf(), session.csrf());
        let seen = again.scope(Mode::Live);
        assert_eq!((seen.vendor(), seen.mode()), (acme, Mode::Live));
        let affiliates = store.affiliates(&seen).await.unwrap();
        assert_eq!(affiliates.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["aff_maya"]);
        assert_eq!(seen.affiliate(), Some(affiliates[0].id));
        assert!(store.mappings(&seen).await.is_err() && store.audit_log(&seen, None, 10).await.is_err());
        store.close_portal(&again).await.unwrap();
        assert!(store.portal_session(session.cookie().expose(), later(14 * DAY)).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn links_and_sessions_end() {
    on_every_backend(async |store| {
        let (_, scope) = with_maya(&*store).await;
        let mailed = Mailed::default();
        store.invite(&scope, "aff_maya", mailed.writer(), "test", NOW).await.unwrap();
        let link = mailed.last();
        assert!(store.open_portal(&link, later(14 * DAY)).await.unwrap().is_none());
        assert!(store.open_portal("made up", NOW).await.unwrap().is_none());
        let session = store.open_portal(&link, NOW).await.unwrap().unwrap();
        let cookie = session.cookie().expose();
        // Used after 20 days, it lasts for 30 more.
        assert!(store.portal_session(cookie, later(20 * DAY)).await.unwrap().is_some());
        assert!(store.portal_session(cookie, later(49 * DAY)).await.unwrap().is_some());
        assert!(store.portal_session(cookie, later(80 * DAY)).await.unwrap().is_none());
        // The portal's cookie is no member's, and the other way round.
        assert!(store.session(cookie, NOW).await.unwrap().is_none());
        let token = store.create_login_token(NOW).await.unwrap();
        let member = store.open_session(token.expose(), NOW).await.unwrap().unwrap();
        assert!(store.portal_session(member.cookie().expose(), NOW).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn what_went_to_a_wrong_address_opens_nothing_once_it_is_corrected() {
    on_every_backend(async |store| {
        let (acme, scope) = with_maya(&*store).await;
        let mailed = Mailed::default();
        store.invite(&scope, "aff_maya", mailed.writer(), "test", NOW).await.unwrap();
        let opened = mailed.last();
        store.invite(&scope, "aff_maya", mailed.writer(), "test", NOW).await.unwrap();
        let unopened = mailed.last();
        let session = store.open_portal(&opened, NOW).await.unwrap().unwrap();
        affiliate(&*store, acme, json!({"key": "aff_maya", "email": "maya@right.example"})).await;
        assert!(store.portal_session(session.cookie().expose(), NOW).await.unwrap().is_none());
        assert_eq!(store.portal_guest(&unopened, NOW).await.unwrap(), None);
        assert!(store.open_portal(&unopened, NOW).await.unwrap().is_none());
        affiliate(&*store, acme, json!({"key": "aff_maya", "email": "maya@example.com"})).await;
        assert!(store.portal_session(session.cookie().expose(), NOW).await.unwrap().is_none(), "nor does it come back");
        assert_eq!(store.portal_guest(&unopened, NOW).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn who_cannot_be_invited_is_said() {
    on_every_backend(async |store| {
        let (acme, scope) = with_maya(&*store).await;
        let mailed = Mailed::default();
        let invite = async |key: &str, at| store.invite(&scope, key, mailed.writer(), "test", at).await;
        let field = |refused: ControlResult<MailAddress>| match refused {
            Err(ControlError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(invite("aff_ben", NOW).await), "email");
        assert!(matches!(invite("aff_nobody", NOW).await, Err(ControlError::NotFound(_))));
        for _ in 0..5 {
            invite("aff_maya", NOW).await.unwrap();
        }
        assert_eq!(field(invite("aff_maya", later(DAY - 1)).await), "affiliate");
        invite("aff_maya", later(DAY)).await.unwrap();
        // What somebody asks for does not count against what the vendor sends.
        for _ in 0..5 {
            let asked = store.ask_portal_link(&address("maya@example.com"), mailed.writer(), later(DAY)).await;
            assert_eq!(asked.unwrap(), 1);
        }
        invite("aff_maya", later(DAY)).await.unwrap();
        affiliate(&*store, acme, json!({"key": "aff_maya", "suspended": true})).await;
        assert_eq!(field(invite("aff_maya", later(3 * DAY)).await), "affiliate");
        assert_eq!(mailed.count(), 12);
    })
    .await;
}

#[tokio::test]
async fn an_address_gets_a_link_for_each_programme_and_not_too_many() {
    on_every_backend(async |store| {
        let (_, _) = with_maya(&*store).await;
        let other = vendor(&*store, "other").await;
        affiliate(&*store, other, json!({"key": "m", "name": "Maya M", "email": "MAYA@example.com"})).await;
        let mailed = Mailed::default();
        let ask = async |email: &str, at| store.ask_portal_link(&address(email), mailed.writer(), at).await.unwrap();
        assert_eq!(ask("maya@example.com", NOW).await, 2);
        assert_eq!(ask("nobody@example.com", NOW).await, 0);
        let link = mailed.last();
        let guest = store.portal_guest(&link, NOW).await.unwrap().unwrap();
        assert_eq!(guest.affiliate, "Maya M");
        assert!(store.open_portal(&link, later(15 * MINUTE)).await.unwrap().is_none());
        let session = store.open_portal(&link, NOW).await.unwrap().unwrap();
        assert_eq!((session.scope(Mode::Test).vendor(), session.place().is_suspended), (other, false));
        for _ in 0..10 {
            ask("maya@example.com", NOW).await;
        }
        assert_eq!(mailed.count(), 10, "five each");
        assert_eq!(ask("maya@example.com", later(15 * MINUTE)).await, 2);
    })
    .await;
}

#[tokio::test]
async fn one_vendor_with_many_of_an_address_leaves_room_for_the_others() {
    on_every_backend(async |store| {
        let (acme, _) = with_maya(&*store).await;
        for number in 0..12 {
            affiliate(&*store, acme, json!({"key": format!("again_{number}"), "email": "maya@example.com"})).await;
        }
        let other = vendor(&*store, "other").await;
        affiliate(&*store, other, json!({"key": "m", "name": "Maya M", "email": "maya@example.com"})).await;
        let mailed = Mailed::default();
        let asked = store.ask_portal_link(&address("maya@example.com"), mailed.writer(), NOW).await;
        assert_eq!(asked.unwrap(), 2);
        assert_eq!(mailed.0.lock().unwrap().last().unwrap().0.affiliate, "Maya M");
    })
    .await;
}

#[tokio::test]
async fn codes_are_theirs_when_a_sale_of_now_would_be() {
    on_every_backend(async |store| {
        let (acme, _) = with_maya(&*store).await;
        let map = async |fields: serde_json::Value| {
            let mut fields = fields;
            fields["decide"] = json!("map");
            store.decide(acme, vec![serde_json::from_value(fields).unwrap()], "test", NOW).await.unwrap();
        };
        map(json!({"code": "KEPT", "affiliate": "aff_maya"})).await;
        map(json!({"code": "MOVING", "affiliate": "aff_maya"})).await;
        map(json!({"code": "MOVING", "affiliate": "aff_ben", "valid_from": "2100-01-01T00:00:00Z"})).await;
        map(json!({"code": "GONE", "affiliate": "aff_maya"})).await;
        map(json!({"code": "GONE", "affiliate": "aff_ben"})).await;
        map(json!({"code": "PAST", "affiliate": "aff_ben"})).await;
        map(json!({"code": "PAST", "affiliate": "aff_maya", "valid_to": "2001-01-01T00:00:00Z"})).await;
        map(json!({"code": "PART", "affiliate": "aff_ben"})).await;
        map(json!({"code": "PART", "provider": "stripe", "affiliate": "aff_maya"})).await;
        map(json!({"referral_key": "maya", "affiliate": "aff_maya"})).await;
        let session = portal_session_of(&*store, "acme", "aff_maya").await;
        assert_eq!(store.portal_codes(&session, NOW).await.unwrap(), ["KEPT", "MOVING", "PART"]);
        // Their lines may name every code that ever was theirs, and no other.
        let named = store.codes(&session.scope(Mode::Live)).await.unwrap();
        let named: Vec<_> = named.iter().map(|code| code.text.as_str()).collect();
        assert_eq!(named, ["GONE", "KEPT", "MOVING", "PART", "PAST"]);
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_vendor_ends_its_affiliates_sessions() {
    on_every_backend(async |store| {
        let (acme, _) = with_maya(&*store).await;
        let session = portal_session_of(&*store, "acme", "aff_maya").await;
        store.forget_vendor(acme, "test", NOW).await.unwrap();
        assert!(store.portal_session(session.cookie().expose(), NOW).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn the_portals_address_is_no_vendors() {
    on_every_backend(async |store| {
        let taken = store.ensure_vendor(NewVendor::named("portal"), "test", NOW).await;
        assert!(matches!(taken, Err(ControlError::Invalid { field, .. }) if field == "vendor"));
    })
    .await;
}
