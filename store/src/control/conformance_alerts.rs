//! What every backend of the control store must do: labels of alerts, and whom an alert is mailed to.

use super::conformance::{NOW, on_every_backend, scope, vendor};
use super::conformance_people::session_of;
use super::*;
use domain::ids::CodeId;
use serde_json::json;

#[tokio::test]
async fn the_last_word_about_an_alert_counts_and_every_word_is_kept() {
    on_every_backend(async |store| {
        let (acme, globex) = (vendor(&*store, "acme").await, vendor(&*store, "globex").await);
        let (mine, theirs) = (scope(&*store, "acme").await, scope(&*store, "globex").await);
        let later = Timestamp(NOW.0 + 1);
        store.label_alert(&mine, u64::MAX, AlertLabel::Unclear, "operator", NOW).await.unwrap();
        store.label_alert(&mine, 7, AlertLabel::Expected, "person:1", NOW).await.unwrap();
        store.label_alert(&mine, u64::MAX, AlertLabel::Fraud, "person:1", later).await.unwrap();
        let labels = store.alert_labels(&mine).await.unwrap();
        let found: Vec<_> =
            labels.iter().map(|one| (one.alert, one.label, one.actor.as_str(), one.decided_at)).collect();
        assert_eq!(
            found,
            [(u64::MAX, AlertLabel::Fraud, "person:1", later), (7, AlertLabel::Expected, "person:1", NOW)]
        );
        assert!(store.alert_labels(&theirs).await.unwrap().is_empty());
        let audited = store.audit_log(&mine, None, 10).await.unwrap();
        assert_eq!(audited.iter().filter(|row| row.action == "label_alert").count(), 3);
        store.forget_vendor(acme, "test", NOW).await.unwrap();
        store.forget_vendor(globex, "test", NOW).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_alert_goes_to_the_owners_of_its_vendor() {
    on_every_backend(async |store| {
        let (acme, globex) = (vendor(&*store, "acme").await, vendor(&*store, "globex").await);
        let mapped = json!([
            {"decide":"affiliate","key":"aff_maya","name":"Maya"},
            {"decide":"map","code":"MAYA20","affiliate":"aff_maya"},
        ]);
        let decisions = serde_json::from_value(mapped).unwrap();
        store.decide(acme, decisions, "test", NOW).await.unwrap();
        let code = store.codes(&scope(&*store, "acme").await).await.unwrap()[0].id;
        assert!(store.alert_audience(acme, code).await.unwrap().unwrap().people.is_empty(), "only the operator");
        for email in ["maya@example.com", "sam@example.com"] {
            let person = session_of(&*store, email).await.person().unwrap();
            store.add_member(acme, person, Role::Owner, "test", NOW).await.unwrap();
        }
        session_of(&*store, "stranger@example.com").await;
        let audience = store.alert_audience(acme, code).await.unwrap().unwrap();
        assert_eq!(
            (audience.slug.as_str(), audience.code.as_str(), audience.affiliate.as_str()),
            ("acme", "MAYA20", "Maya")
        );
        let emails: Vec<_> = audience.people.iter().map(|person| person.email.as_str()).collect();
        assert_eq!(emails, ["maya@example.com", "sam@example.com"]);
        let unnamed = store.alert_audience(globex, CodeId(99)).await.unwrap().unwrap();
        assert_eq!((unnamed.code.as_str(), unnamed.affiliate.as_str(), unnamed.people.len()), ("", "", 0));
        assert!(store.alert_audience(VendorId(99), code).await.unwrap().is_none());
    })
    .await;
}
