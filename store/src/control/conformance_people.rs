//! What every backend of the control store must do: sign-in, people's sessions, members, and the queue of mail.

use super::conformance::{NOW, keys, on_every_backend, scope, vendor};
use super::test_places::Place;
use super::*;
use std::sync::{Arc, Mutex};

const MINUTE: i64 = 60_000;
/// Sorts of mail that the worker of these tests knows.
const KINDS: [&str; 2] = ["test", SIGN_IN_KIND];

fn later(milliseconds: i64) -> Timestamp {
    Timestamp(NOW.0 + milliseconds)
}

fn address(text: &str) -> MailAddress {
    MailAddress::parse(text).unwrap()
}

pub(super) fn mail(cause: &str, vendor: Option<VendorId>) -> NewMail {
    NewMail {
        vendor,
        cause: MailId(cause.to_owned()),
        kind: "test",
        recipient: "maya@example.com".to_owned(),
        content: SecretText::new(format!("what {cause} says")),
    }
}

/// Asks, and returns the ticket with what the mail said: link and code.
async fn ask(store: &dyn ControlStore, email: &str, at: Timestamp) -> (SignInTicket, Option<(String, String)>) {
    let said = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&said);
    let write: SignInMail = Box::new(move |secrets, cause| {
        let both = (secrets.link.expose().to_owned(), secrets.code.expose().to_owned());
        *heard.lock().unwrap() = Some(both.clone());
        NewMail { content: SecretText::new(both.0), cause, ..mail("", None) }
    });
    let ticket = store.ask_sign_in(&address(email), true, write, at).await.unwrap();
    let said = said.lock().unwrap().take();
    (ticket, said)
}

pub(super) async fn session_of(store: &dyn ControlStore, email: &str) -> Session {
    let (_, said) = ask(store, email, NOW).await;
    store.open_by_link(&said.unwrap().0, "Firefox", NOW).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_link_opens_one_session_within_fifteen_minutes() {
    on_every_backend(async |store| {
        let (_, said) = ask(&*store, "Maya@Example.com", NOW).await;
        let (link, _) = said.unwrap();
        for _ in 0..2 {
            // Looking does not use it up.
            assert_eq!(store.sign_in_of_link(&link, NOW).await.unwrap(), Some(address("maya@example.com")));
        }
        let session = store.open_by_link(&link, "Firefox", NOW).await.unwrap().unwrap();
        assert!(store.open_by_link(&link, "Firefox", NOW).await.unwrap().is_none());
        assert_eq!(store.sign_in_of_link(&link, NOW).await.unwrap(), None);
        let again = store.session(session.cookie().expose(), NOW).await.unwrap().unwrap();
        assert_eq!((again.person(), again.csrf()), (session.person(), session.csrf()));
        assert_eq!(store.person(&again).await.unwrap().unwrap().email, address("maya@example.com"));
        let (_, said) = ask(&*store, "maya@example.com", NOW).await;
        let (link, _) = said.unwrap();
        assert!(store.open_by_link(&link, "", later(15 * MINUTE)).await.unwrap().is_none());
        assert!(store.open_by_link("made up", "", NOW).await.unwrap().is_none());
        // The same person, whenever they come.
        assert_eq!(session_of(&*store, "maya@example.com").await.person(), session.person());
    })
    .await;
}

#[tokio::test]
async fn a_code_counts_with_its_ticket_and_five_times_at_most() {
    on_every_backend(async |store| {
        let (ticket, said) = ask(&*store, "maya@example.com", NOW).await;
        let (link, code) = said.unwrap();
        assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()), "{code}");
        let (other, _) = ask(&*store, "ben@example.com", NOW).await;
        let wrong = if code == "000000" { "000001" } else { "000000" };
        for left in (0..5).rev() {
            let tried = store.open_by_code(&ticket.ticket, wrong, "", NOW).await.unwrap();
            assert!(matches!(tried, CodeTried::Wrong { left: now } if now == left), "{tried:?}");
        }
        let tried = store.open_by_code(&ticket.ticket, &code, "", NOW).await.unwrap();
        assert!(matches!(tried, CodeTried::Gone), "{tried:?}");
        let tried = store.open_by_code(&other.ticket, &code, "", NOW).await.unwrap();
        assert!(!matches!(tried, CodeTried::Opened(_)), "{tried:?}");
        // The link is still good, and takes the code with it.
        assert!(store.open_by_link(&link, "", NOW).await.unwrap().is_some());
        let (ticket, said) = ask(&*store, "maya@example.com", NOW).await;
        let code = said.unwrap().1;
        let spaced = format!("{} {}", &code[..3], &code[3..]);
        assert!(matches!(
            store.open_by_code(&ticket.ticket, &spaced, "", NOW).await.unwrap(),
            CodeTried::Opened(session) if session.person().is_some()
        ));
        assert!(matches!(store.open_by_code(&ticket.ticket, &code, "", NOW).await.unwrap(), CodeTried::Gone));
    })
    .await;
}

#[tokio::test]
async fn an_address_gets_five_mails_in_a_quarter_of_an_hour() {
    on_every_backend(async |store| {
        for _ in 0..5 {
            assert!(ask(&*store, "maya@example.com", NOW).await.0.is_mailed);
        }
        let sixth = ask(&*store, "MAYA@example.com", NOW).await.0;
        assert!(!sixth.is_mailed);
        let tried = store.open_by_code(&sixth.ticket, "000000", "", NOW).await.unwrap();
        assert!(matches!(tried, CodeTried::Wrong { left: 4 }), "{tried:?}");
        for minutes in 1..15 {
            // However often somebody else asks, the address gets its next mail in time.
            assert!(!ask(&*store, "maya@example.com", later(minutes * MINUTE)).await.0.is_mailed);
        }
        assert!(ask(&*store, "ben@example.com", NOW).await.0.is_mailed);
        assert!(ask(&*store, "maya@example.com", later(15 * MINUTE)).await.0.is_mailed);
        assert_eq!(store.claim_mails(&KINDS, 100, later(15 * MINUTE)).await.unwrap().len(), 7);
    })
    .await;
}

#[tokio::test]
async fn who_may_not_sign_up_gets_a_ticket_and_no_mail() {
    on_every_backend(async |store| {
        session_of(&*store, "maya@example.com").await;
        for (email, is_mailed) in [("maya@example.com", true), ("stranger@example.com", false)] {
            let write: SignInMail = Box::new(|_, cause| NewMail { cause, ..mail("", None) });
            let asked = store.ask_sign_in(&address(email), false, write, NOW).await.unwrap();
            assert_eq!((asked.is_mailed, asked.ticket.len()), (is_mailed, 64), "{email}");
            // Trying a code tells nothing either.
            let tried = store.open_by_code(&asked.ticket, "x", "", NOW).await.unwrap();
            assert!(matches!(tried, CodeTried::Wrong { left: 4 }), "{email}: {tried:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_person_opens_their_own_vendors_only() {
    on_every_backend(async |store| {
        let (acme, _other) = (vendor(&*store, "acme").await, vendor(&*store, "other").await);
        let (maya, ben) = (session_of(&*store, "maya@example.com").await, session_of(&*store, "ben@example.com").await);
        assert!(store.session_vendors(&maya).await.unwrap().is_empty());
        assert!(store.scope(&maya, "acme", Mode::Live).await.unwrap().is_none());
        for _ in 0..2 {
            store.add_member(acme, maya.person().unwrap(), Role::Owner, "test", NOW).await.unwrap();
        }
        let slugs: Vec<String> =
            store.session_vendors(&maya).await.unwrap().into_iter().map(|vendor| vendor.slug).collect();
        assert_eq!(slugs, ["acme"]);
        assert_eq!(store.scope(&maya, "acme", Mode::Live).await.unwrap().unwrap().vendor(), acme);
        for (session, slug) in [(&maya, "other"), (&ben, "acme"), (&ben, "other"), (&maya, "nobody")] {
            assert!(store.scope(session, slug, Mode::Live).await.unwrap().is_none(), "{slug}");
        }
        // The operator came with a token and sees all of them.
        let token = store.create_login_token(NOW).await.unwrap();
        let operator = store.open_session(token.expose(), NOW).await.unwrap().unwrap();
        assert_eq!((operator.person(), store.session_vendors(&operator).await.unwrap().len()), (None, 2));
        assert_eq!(
            (operator.actor(), maya.actor()),
            ("operator".into(), format!("person {}", maya.person().unwrap().0))
        );
        store.forget_vendor(acme, "test", NOW).await.unwrap();
        assert!(store.session_vendors(&maya).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_person_s_demo_is_shown_to_them_alone() {
    on_every_backend(async |store| {
        let maya = session_of(&*store, "maya@example.com").await;
        let demo = |slug: &str| NewVendor { is_demo: true, ..NewVendor::named(slug) };
        let own = store.open_workspace(&maya, demo("demo-1"), NOW).await.unwrap();
        store.ensure_vendor(demo("demo"), "test", NOW).await.unwrap();
        store.open_workspace(&maya, NewVendor::named("acme"), NOW).await.unwrap();
        assert_eq!(store.own_demos().await.unwrap(), [own]);
        let slugs = async |session: &Session| -> Vec<String> {
            store.session_vendors(session).await.unwrap().into_iter().map(|vendor| vendor.slug).collect()
        };
        let token = store.create_login_token(NOW).await.unwrap();
        let operator = store.open_session(token.expose(), NOW).await.unwrap().unwrap();
        assert_eq!(slugs(&maya).await, ["acme", "demo-1"]);
        assert_eq!(slugs(&operator).await, ["acme", "demo"]);
        // Who runs the server may look all the same.
        assert!(store.scope(&operator, "demo-1", Mode::Live).await.unwrap().is_some());
        assert_eq!(store.person(&maya).await.unwrap().unwrap().created_at, NOW);
    })
    .await;
}

#[tokio::test]
async fn a_vendor_gets_another_name_and_keeps_its_addresses() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        for _ in 0..2 {
            store.rename_vendor(acme, "  Acme Ltd ", "test", NOW).await.unwrap();
        }
        let scope = scope(&*store, "acme").await;
        assert_eq!(store.vendor(&scope).await.unwrap().name, "Acme Ltd");
        let log = store.audit_log(&scope, None, 10).await.unwrap();
        assert_eq!(log.iter().filter(|row| row.action == "rename_vendor").count(), 1);
        let words = store.rename_vendor(acme, " ", "test", NOW).await.unwrap_err().to_string();
        assert!(words.starts_with("name: "), "{words}");
        assert!(store.rename_vendor(VendorId(99), "x", "test", NOW).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_person_sees_and_ends_their_own_sessions() {
    on_every_backend(async |store| {
        let (first, second) =
            (session_of(&*store, "maya@example.com").await, session_of(&*store, "maya@example.com").await);
        let stranger = session_of(&*store, "ben@example.com").await;
        let listed = store.sessions_of(&second, NOW).await.unwrap();
        assert_eq!(listed.iter().map(|one| (one.agent.as_str(), one.is_this)).filter(|one| one.1).count(), 1);
        assert_eq!(listed.len(), 2);
        let old = listed.iter().find(|one| !one.is_this).unwrap();
        store.end_session(&stranger, &old.id, NOW).await.unwrap();
        assert!(store.session(first.cookie().expose(), NOW).await.unwrap().is_some(), "a stranger ends nothing");
        store.end_session(&second, &old.id, NOW).await.unwrap();
        store.end_session(&second, "not even a number", NOW).await.unwrap();
        assert!(store.session(first.cookie().expose(), NOW).await.unwrap().is_none());
        store.close_session(&second).await.unwrap();
        assert!(store.session(second.cookie().expose(), NOW).await.unwrap().is_none());
        assert!(store.session(stranger.cookie().expose(), NOW).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_session_lives_as_long_as_it_is_used() {
    on_every_backend(async |store| {
        let day = 24 * 60 * MINUTE;
        let session = session_of(&*store, "maya@example.com").await;
        let cookie = session.cookie().expose();
        assert!(store.session(cookie, later(29 * day)).await.unwrap().is_some());
        assert!(store.session(cookie, later(58 * day)).await.unwrap().is_some());
        let listed = store.sessions_of(&session, later(58 * day)).await.unwrap();
        assert_eq!(listed[0].last_used_at, later(58 * day));
        assert!(store.session(cookie, later(88 * day)).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn nothing_that_signs_in_is_stored_in_the_clear() {
    for place in Place::of_every_backend() {
        let store = place.open(keys()).await.unwrap();
        let (_, said) = ask(&*store, "maya@example.com", NOW).await;
        let link = said.unwrap().0;
        assert!(!place.holds(link.as_bytes()), "{}", place.name());
        let session = store.open_by_link(&link, "", NOW).await.unwrap().unwrap();
        assert!(!place.holds(session.cookie().expose().as_bytes()), "{}", place.name());
    }
}

#[tokio::test]
async fn a_cause_is_mailed_once() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        assert!(store.enqueue_mail(mail("spike:1", Some(acme)), NOW).await.unwrap());
        assert!(!store.enqueue_mail(mail("spike:1", Some(acme)), NOW).await.unwrap());
        let claimed = store.claim_mails(&KINDS, 10, NOW).await.unwrap();
        assert_eq!(claimed.len(), 1);
        let one = &claimed[0];
        assert_eq!(
            (one.tries, one.content.expose(), one.recipient.as_str()),
            (1, "what spike:1 says", "maya@example.com")
        );
        assert!(store.claim_mails(&KINDS, 10, NOW).await.unwrap().is_empty(), "claimed mail is nobody else's");
        assert!(store.begin_sending(one.id, one.tries, NOW).await.unwrap());
        assert!(!store.begin_sending(one.id, one.tries, NOW).await.unwrap(), "once");
        store.end_sending(one.id, one.tries, MailEnd::Sent, NOW).await.unwrap();
        assert!(!store.enqueue_mail(mail("spike:1", Some(acme)), NOW).await.unwrap());
        assert!(store.claim_mails(&KINDS, 10, later(60 * MINUTE)).await.unwrap().is_empty());
        let sent = store.mails(MailState::Sent, None, 10).await.unwrap();
        assert_eq!((sent.len(), sent[0].tries, sent[0].kind.as_str()), (1, 1, "test"));
        store.forget_vendor(acme, "test", NOW).await.unwrap();
        assert!(store.mails(MailState::Sent, None, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_is_let_lie_is_taken_again_and_a_hand_over_is_not() {
    on_every_backend(async |store| {
        store.enqueue_mail(mail("a", None), NOW).await.unwrap();
        store.enqueue_mail(mail("b", None), NOW).await.unwrap();
        let first = store.claim_mails(&KINDS, 10, NOW).await.unwrap();
        assert!(store.begin_sending(first[0].id, 1, NOW).await.unwrap());
        let after = later(CLAIM_MS);
        let again = store.claim_mails(&KINDS, 10, after).await.unwrap();
        assert_eq!(again.iter().map(|one| (one.id, one.tries)).collect::<Vec<_>>(), [(first[1].id, 2)]);
        // Whoever had it before is too late.
        assert!(!store.begin_sending(first[1].id, 1, after).await.unwrap());
        store.end_sending(first[1].id, 1, MailEnd::Sent, after).await.unwrap();
        assert!(store.begin_sending(again[0].id, 2, after).await.unwrap());
        store.end_sending(again[0].id, 2, MailEnd::Sent, after).await.unwrap();
        let unsure = store.mails(MailState::Unsure, None, 10).await.unwrap();
        assert_eq!(unsure.iter().map(|one| one.id).collect::<Vec<_>>(), [first[0].id]);
        assert!(unsure[0].error.contains("before it heard"), "{}", unsure[0].error);
        let words = store.retry_mail(first[0].id, false, "test", after).await.unwrap_err().to_string();
        assert!(words.contains("may arrive twice"), "{words}");
        assert_eq!(store.retry_failed_mails("test", "test", after).await.unwrap(), 0, "only what failed");
        store.retry_mail(first[0].id, true, "test", after).await.unwrap();
        assert_eq!(store.claim_mails(&KINDS, 10, after).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_mail_that_was_not_taken_waits_or_is_listed() {
    on_every_backend(async |store| {
        for cause in ["a", "b"] {
            store.enqueue_mail(mail(cause, None), NOW).await.unwrap();
        }
        let claimed = store.claim_mails(&KINDS, 10, NOW).await.unwrap();
        let end = MailEnd::Later { at: later(MINUTE), error: "try later\r\n".into() };
        store.end_sending(claimed[0].id, 1, end, NOW).await.unwrap();
        let end = MailEnd::Failed { error: "no such mailbox".into() };
        store.end_sending(claimed[1].id, 1, end, NOW).await.unwrap();
        assert!(store.claim_mails(&KINDS, 10, later(MINUTE - 1)).await.unwrap().is_empty());
        let waiting = store.mails(MailState::Waiting, None, 10).await.unwrap();
        assert_eq!((waiting.len(), waiting[0].error.as_str()), (1, "try later"));
        assert_eq!(store.claim_mails(&KINDS, 10, later(MINUTE)).await.unwrap()[0].tries, 2);
        let failed = store.mails(MailState::Failed, None, 10).await.unwrap();
        assert_eq!((failed.len(), failed[0].error.as_str()), (1, "no such mailbox"));
        assert!(store.mails(MailState::Failed, Some(failed[0].id), 10).await.unwrap().is_empty());
        assert!(store.retry_mail(claimed[0].id, true, "test", NOW).await.is_err(), "it is under way");
        assert_eq!(store.retry_failed_mails("other", "test", NOW).await.unwrap(), 0);
        assert_eq!(store.retry_failed_mails("test", "test", NOW).await.unwrap(), 1);
        let again = store.claim_mails(&KINDS, 10, NOW).await.unwrap();
        let end = MailEnd::Failed { error: "no such mailbox".into() };
        store.end_sending(again[0].id, again[0].tries, end, later(1)).await.unwrap();
        let listed = store.list_mails(MailFilter::default(), 10).await.unwrap();
        assert_eq!(listed.iter().map(|one| (one.state, one.finished_at)).collect::<Vec<_>>().len(), 2);
        assert_eq!((listed[0].id, listed[0].finished_at), (failed[0].id, Some(later(1))));
        let nothing = MailFilter { kind: Some("other".into()), ..MailFilter::default() };
        assert!(store.list_mails(nothing, 10).await.unwrap().is_empty());
        store.retry_mail(failed[0].id, false, "test", NOW).await.unwrap();
        assert_eq!(store.claim_mails(&KINDS, 10, NOW).await.unwrap()[0].content.expose(), "what b says");
    })
    .await;
}

#[tokio::test]
async fn a_sort_that_a_worker_does_not_know_waits_for_one_that_does() {
    on_every_backend(async |store| {
        store.enqueue_mail(NewMail { kind: "of_the_future", ..mail("a", None) }, NOW).await.unwrap();
        store.enqueue_mail(mail("b", None), NOW).await.unwrap();
        let known = store.claim_mails(&KINDS, 10, NOW).await.unwrap();
        assert_eq!(known.iter().map(|one| one.cause.0.as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(
            store.claim_mails(&KINDS, 10, later(10 * CLAIM_MS)).await.unwrap().iter().all(|one| one.cause.0 == "b")
        );
        let newer = store.claim_mails(&["of_the_future"], 10, later(10 * CLAIM_MS)).await.unwrap();
        assert_eq!(newer.iter().map(|one| one.cause.0.as_str()).collect::<Vec<_>>(), ["a"]);
        assert!(store.claim_mails(&[""; 101], 10, NOW).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn mail_that_waits_is_closed_again_by_a_newer_key() {
    for place in Place::of_every_backend() {
        let store = place.open(MasterKeys::from_bytes(&[[7; 32]])).await.unwrap();
        store.enqueue_mail(mail("a", None), NOW).await.unwrap();
        assert!(!place.holds(b"what a says"), "{}", place.name());
        let newer = MasterKeys::from_bytes(&[[7; 32], [9; 32]]);
        assert_eq!(store.rotate_master_key(newer, "test", NOW).await.unwrap(), 1);
        drop(store);
        let store = place.open(MasterKeys::from_bytes(&[[9; 32]])).await.unwrap();
        assert_eq!(store.claim_mails(&KINDS, 1, NOW).await.unwrap()[0].content.expose(), "what a says");
    }
}

#[tokio::test]
async fn an_affiliates_address_is_kept_beside_the_log() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        let decide = async |text: serde_json::Value| {
            store.decide(acme, vec![serde_json::from_value(text).unwrap()], "test", NOW).await
        };
        decide(serde_json::json!({"decide": "affiliate", "key": "aff_maya", "email": " Maya@Example.com"}))
            .await
            .unwrap();
        let email = async || store.affiliates(&scope(&*store, "acme").await).await.unwrap()[0].email.clone();
        assert_eq!(email().await.as_deref(), Some("maya@example.com"));
        decide(serde_json::json!({"decide": "affiliate", "key": "aff_maya", "name": "Maya"})).await.unwrap();
        assert_eq!(email().await.as_deref(), Some("maya@example.com"), "what is left out stays");
        let pending = store.pending_decisions(10).await.unwrap();
        assert!(!format!("{pending:?}").contains("example.com"));
        let wrong = decide(serde_json::json!({"decide": "affiliate", "key": "aff_maya", "email": "maya"})).await;
        let words = wrong.unwrap_err().to_string();
        assert!(words.contains("email") && words.contains("maya@example.com"), "{words}");
        decide(serde_json::json!({"decide": "affiliate", "key": "aff_maya", "email": ""})).await.unwrap();
        assert_eq!(email().await, None);
    })
    .await;
}

#[tokio::test]
async fn a_workspace_is_its_makers_and_a_name_is_taken_once() {
    on_every_backend(async |store| {
        let (maya, ben) = (session_of(&*store, "maya@example.com").await, session_of(&*store, "ben@example.com").await);
        let made = store.open_workspace(&maya, NewVendor::named("acme"), NOW).await.unwrap();
        assert_eq!(store.open_workspace(&maya, NewVendor::named("acme"), NOW).await.unwrap(), made);
        assert!(store.scope(&maya, "acme", Mode::Live).await.unwrap().is_some());
        let words = store.open_workspace(&ben, NewVendor::named("acme"), NOW).await.unwrap_err().to_string();
        assert!(words.contains("taken"), "{words}");
        assert!(store.scope(&ben, "acme", Mode::Live).await.unwrap().is_none());
        // What the command line made belongs to nobody, and cannot be taken over.
        vendor(&*store, "house").await;
        assert!(store.open_workspace(&ben, NewVendor::named("house"), NOW).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn the_row_of_an_old_sign_in_goes_and_that_of_another_cause_stays() {
    on_every_backend(async |store| {
        let month = 30 * 24 * 60 * MINUTE;
        store.enqueue_mail(NewMail { kind: SIGN_IN_KIND, ..mail("old", None) }, NOW).await.unwrap();
        store.enqueue_mail(mail("spike:1", None), NOW).await.unwrap();
        for one in store.claim_mails(&KINDS, 10, NOW).await.unwrap() {
            assert!(store.begin_sending(one.id, one.tries, NOW).await.unwrap());
            store.end_sending(one.id, one.tries, MailEnd::Sent, NOW).await.unwrap();
        }
        let causes = async || {
            let sent = store.mails(MailState::Sent, None, 10).await.unwrap();
            sent.into_iter().map(|one| one.cause.0).collect::<Vec<_>>()
        };
        ask(&*store, "maya@example.com", later(month - 1)).await;
        assert_eq!(causes().await, ["spike:1", "old"]);
        ask(&*store, "maya@example.com", later(month)).await;
        assert_eq!(causes().await, ["spike:1"]);
    })
    .await;
}
