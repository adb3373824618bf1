//! What every backend of the control store must do: an affiliate's own details, sessions and budgets at the portal.

use super::conformance::{NOW, on_every_backend, scope, vendor};
use super::conformance_portal::portal_session_of;
use super::*;
use serde_json::json;

const DAY: i64 = 24 * 60 * 60_000;

fn later(milliseconds: i64) -> Timestamp {
    Timestamp(NOW.0 + milliseconds)
}

async fn affiliate(store: &dyn ControlStore, vendor: VendorId, key: &str) {
    let decision = json!({"decide": "affiliate", "key": key, "name": key, "email": format!("{key}@example.com")});
    store.decide(vendor, vec![serde_json::from_value(decision).unwrap()], "test", NOW).await.unwrap();
}

#[tokio::test]
async fn a_payout_address_is_kept_with_who_and_when_and_the_vendor_sees_the_newest() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        affiliate(&*store, acme, "maya").await;
        affiliate(&*store, acme, "ben").await;
        let globex = vendor(&*store, "globex").await;
        affiliate(&*store, globex, "maya").await;
        let maya = portal_session_of(&*store, "acme", "maya").await;
        let ben = portal_session_of(&*store, "acme", "ben").await;
        store.set_payout_address(&maya, "  IBAN DE02 1203 \r\n\r\nMaya Torres  ", later(1)).await.unwrap();
        store.set_payout_address(&maya, "PayPal maya@example.com", later(2)).await.unwrap();
        store.set_payout_address(&ben, "one", later(3)).await.unwrap();
        let details = store.portal_details(&maya, later(4)).await.unwrap();
        assert_eq!((details.key.as_str(), details.email.as_str()), ("maya", "maya@example.com"));
        let address = details.payout_address.unwrap();
        assert_eq!((address.text.as_str(), address.decided_at), ("PayPal maya@example.com", later(2)));
        let of_acme = scope(&*store, "acme").await;
        let seen = store.payout_addresses(&of_acme).await.unwrap();
        let affiliates = store.affiliates(&of_acme).await.unwrap();
        let id = |key: &str| affiliates.iter().find(|one| one.key == key).unwrap().id;
        assert_eq!((seen.len(), &seen[&id("maya")]), (2, &address));
        assert_eq!(address.actor, format!("affiliate {}", id("maya")));
        assert!(store.payout_addresses(&scope(&*store, "globex").await).await.unwrap().is_empty());
        let own = maya.scope(domain::ids::Mode::Live);
        assert!(store.payout_addresses(&own).await.is_err(), "an affiliate sees nobody else's");
        store.set_payout_address(&ben, " \n ", later(5)).await.unwrap();
        assert_eq!(store.payout_addresses(&of_acme).await.unwrap().len(), 1);
        let log = store.audit_log(&of_acme, None, 50).await.unwrap();
        let written = log.iter().filter(|entry| entry.action == "set_payout_address").count();
        assert_eq!(written, 4);
        assert!(log.iter().all(|entry| !entry.detail.contains("PayPal")), "the text is not in the audit log");
    })
    .await;
}

#[tokio::test]
async fn a_payout_address_has_limits() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        affiliate(&*store, acme, "maya").await;
        let maya = portal_session_of(&*store, "acme", "maya").await;
        for bad in ["x".repeat(MAX_PAYOUT_ADDRESS_CHARACTERS + 1), "a\u{7}b".to_owned(), "a\tb".to_owned()] {
            let refused = store.set_payout_address(&maya, &bad, NOW).await.unwrap_err();
            assert!(matches!(&refused, ControlError::Invalid { field, .. } if field == "payout_address"), "{refused}");
        }
        for times in 0..10 {
            // The same once more changes nothing and costs nothing.
            for _ in 0..2 {
                store.set_payout_address(&maya, &format!("address {times}"), later(times)).await.unwrap();
            }
        }
        assert!(store.set_payout_address(&maya, "too often", later(20)).await.is_err());
        store.set_payout_address(&maya, "tomorrow", later(DAY + 10)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn questions_have_a_budget_that_another_session_does_not_renew() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        affiliate(&*store, acme, "maya").await;
        affiliate(&*store, acme, "ben").await;
        let sessions =
            [portal_session_of(&*store, "acme", "maya").await, portal_session_of(&*store, "acme", "maya").await];
        let third = portal_session_of(&*store, "acme", "maya").await;
        let (of_session, of_affiliate) = PortalAct::Question.limits();
        for session in &sessions {
            for times in 0..of_session {
                assert!(store.may_act(session, PortalAct::Question, later(times)).await.unwrap(), "{times}");
            }
            assert!(!store.may_act(session, PortalAct::Question, later(of_session)).await.unwrap());
        }
        assert_eq!(of_affiliate, 2 * of_session);
        assert!(!store.may_act(&third, PortalAct::Question, later(100)).await.unwrap(), "all of the affiliate's");
        assert!(store.may_act(&third, PortalAct::Name, later(100)).await.unwrap(), "each kind has its own");
        let ben = portal_session_of(&*store, "acme", "ben").await;
        assert!(store.may_act(&ben, PortalAct::Question, later(100)).await.unwrap(), "each affiliate has its own");
        assert!(store.may_act(&third, PortalAct::Question, later(DAY + 1)).await.unwrap(), "it comes back");
    })
    .await;
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_affiliate_alone() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        affiliate(&*store, acme, "maya").await;
        affiliate(&*store, acme, "ben").await;
        let mut mayas = Vec::new();
        for _ in 0..4 {
            mayas.push(portal_session_of(&*store, "acme", "maya").await);
        }
        let ben = portal_session_of(&*store, "acme", "ben").await;
        store.note_portal_agent(&mayas[0], &format!("Firefox\u{7} {}", "x".repeat(300))).await.unwrap();
        let sessions = store.portal_details(&mayas[0], NOW).await.unwrap().sessions;
        assert_eq!(sessions.len(), 4);
        let this: Vec<_> = sessions.iter().filter(|session| session.is_this).collect();
        assert!(this.len() == 1 && this[0].agent.starts_with("Firefox x") && this[0].agent.len() == 200);
        let is_open = async |session: &PortalSession| {
            store.portal_session(session.cookie().expose(), NOW).await.unwrap().is_some()
        };
        let other = sessions.iter().find(|session| !session.is_this).unwrap();
        store.end_portal_session(&ben, &other.id, NOW).await.unwrap();
        store.end_portal_session(&mayas[0], "no such", NOW).await.unwrap();
        assert_eq!(store.portal_details(&mayas[0], NOW).await.unwrap().sessions.len(), 4, "nobody else ends it");
        store.end_portal_session(&mayas[0], &other.id, NOW).await.unwrap();
        assert_eq!(store.portal_details(&mayas[0], NOW).await.unwrap().sessions.len(), 3);
        assert_eq!(store.end_other_portal_sessions(&mayas[0], NOW).await.unwrap(), 2);
        assert!(is_open(&mayas[0]).await && is_open(&ben).await);
        assert!(!is_open(&mayas[1]).await && !is_open(&mayas[2]).await && !is_open(&mayas[3]).await);
        assert!(store.portal_details(&mayas[0], later(31 * DAY)).await.unwrap().sessions.is_empty(), "they are over");
    })
    .await;
}
