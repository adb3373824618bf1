//! What every backend of the control store must do: signing in with an OpenID provider, and cookies that follow one
//! another.

use super::conformance::{NOW, keys, on_every_backend};
use super::conformance_people::session_of;
use super::conformance_portal::{portal_session_of, with_maya};
use super::test_places::Place;
use super::*;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn later(milliseconds: i64) -> Timestamp {
    Timestamp(NOW.0 + milliseconds)
}

fn identity(subject: &str, email: &str) -> Identity {
    Identity {
        issuer: "https://id.example".to_owned(),
        subject: subject.to_owned(),
        email: MailAddress::parse(email).unwrap(),
        is_vouched: true,
    }
}

async fn open(store: &dyn ControlStore, identity: &Identity, may_sign_up: bool) -> IdentityTried {
    store.open_by_identity(identity, may_sign_up, "Firefox", NOW).await.unwrap()
}

async fn person(store: &dyn ControlStore, identity: &Identity) -> PersonId {
    match open(store, identity, true).await {
        IdentityTried::Opened(session) => session.person().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_provider_s_person_is_whoever_reads_the_mail_of_the_address() {
    on_every_backend(async |store| {
        let by_mail = session_of(&*store, "maya@example.com").await.person().unwrap();
        assert_eq!(person(&*store, &identity("1", "maya@example.com")).await, by_mail);
        // They stay themselves when their address changes there, also where nobody may vouch for the new one.
        let moved = Identity { is_vouched: false, ..identity("1", "maya@elsewhere.example") };
        assert_eq!(person(&*store, &moved).await, by_mail);
        // Who has the old address now is who reads its mail now, and the former one is so no more.
        assert_eq!(person(&*store, &identity("2", "maya@example.com")).await, by_mail);
        let former = person(&*store, &identity("1", "maya@elsewhere.example")).await;
        assert_ne!(former, by_mail);
        // The same number at another provider is another person.
        let other = Identity { issuer: "https://other.example".into(), ..identity("2", "ben@example.com") };
        assert_ne!(person(&*store, &other).await, by_mail);
    })
    .await;
}

#[tokio::test]
async fn an_address_that_nobody_vouches_for_and_a_stranger_open_nothing() {
    on_every_backend(async |store| {
        session_of(&*store, "maya@example.com").await;
        let doubtful = Identity { is_vouched: false, ..identity("1", "maya@example.com") };
        assert!(matches!(open(&*store, &doubtful, true).await, IdentityTried::MailFirst));
        let stranger = identity("2", "ben@example.com");
        assert!(matches!(open(&*store, &stranger, false).await, IdentityTried::Unknown));
        assert!(matches!(open(&*store, &identity("1", "maya@example.com"), false).await, IdentityTried::Opened(_)));
    })
    .await;
}

#[tokio::test]
async fn a_cookie_is_followed_by_another_after_a_day() {
    on_every_backend(async |store| {
        let session = session_of(&*store, "maya@example.com").await;
        let first = session.cookie().expose();
        assert!(store.renew_session(&session, later(DAY - 1)).await.unwrap().is_none());
        let second = store.renew_session(&session, later(DAY)).await.unwrap().unwrap();
        // It may have been lost: both open the session, and no third one is made.
        let shown = store.session(first, later(DAY)).await.unwrap().unwrap();
        assert_eq!(shown.csrf(), session.csrf());
        assert!(store.renew_session(&shown, later(DAY + MINUTE)).await.unwrap().is_none());
        // Once it is shown, the first one lives for a minute more, and stays dead.
        let shown = store.session(second.expose(), later(DAY + MINUTE)).await.unwrap().unwrap();
        assert_eq!((shown.csrf(), shown.person()), (session.csrf(), session.person()));
        assert!(store.renew_session(&shown, later(DAY + MINUTE)).await.unwrap().is_none());
        assert!(store.session(first, later(DAY + 2 * MINUTE - 1)).await.unwrap().is_some());
        for at in [DAY + 2 * MINUTE, 3 * DAY, 20 * DAY] {
            assert!(store.session(first, later(at)).await.unwrap().is_none(), "{at}");
            let shown = store.session(second.expose(), later(at)).await.unwrap().unwrap();
            let listed = store.sessions_of(&shown, later(at)).await.unwrap();
            assert_eq!(listed.iter().map(|one| one.is_this).collect::<Vec<_>>(), [true]);
        }
    })
    .await;
}

#[tokio::test]
async fn two_tabs_that_ask_at_once_both_stay_signed_in() {
    on_every_backend(async |store| {
        let session = session_of(&*store, "maya@example.com").await;
        let renew = async |session: &Session| store.renew_session(session, later(2 * DAY)).await.unwrap();
        let (one, other) = tokio::join!(renew(&session), renew(&session));
        for kept in [one, other].into_iter().flatten() {
            let shown = store.session(kept.expose(), later(2 * DAY)).await.unwrap().unwrap();
            store.renew_session(&shown, later(2 * DAY)).await.unwrap();
            // Whichever of them a browser keeps, it goes on opening the session.
            assert!(store.session(kept.expose(), later(2 * DAY + 5 * MINUTE)).await.unwrap().is_some());
        }
        let first = session.cookie().expose();
        assert!(store.session(first, later(2 * DAY + 5 * MINUTE)).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_session_with_many_cookies_ends_for_all_of_them() {
    on_every_backend(async |store| {
        let mut session = session_of(&*store, "maya@example.com").await;
        let mut cookies = vec![session.cookie().clone()];
        for day in 1..70 {
            let next = store.renew_session(&session, later(day * DAY)).await.unwrap().unwrap();
            session = store.session(next.expose(), later(day * DAY)).await.unwrap().unwrap();
            assert!(store.renew_session(&session, later(day * DAY)).await.unwrap().is_none());
            cookies.push(next);
        }
        let now = later(69 * DAY + 2 * MINUTE);
        for (number, cookie) in cookies.iter().enumerate() {
            let opens = store.session(cookie.expose(), now).await.unwrap().is_some();
            assert_eq!(opens, number == 69, "cookie {number}");
        }
        store.close_session(&session).await.unwrap();
        for cookie in &cookies {
            assert!(store.session(cookie.expose(), now).await.unwrap().is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn the_operator_s_and_the_portal_s_cookies_follow_one_another_too() {
    on_every_backend(async |store| {
        let token = store.create_login_token(NOW).await.unwrap();
        let operator = store.open_session(token.expose(), NOW).await.unwrap().unwrap();
        let next = store.renew_session(&operator, later(DAY)).await.unwrap().unwrap();
        assert!(store.session(next.expose(), later(DAY)).await.unwrap().unwrap().person().is_none());
        assert!(store.portal_session(next.expose(), later(DAY)).await.unwrap().is_none());

        with_maya(&*store).await;
        let guest = portal_session_of(&*store, "acme", "aff_maya").await;
        let next = store.renew_portal(&guest, later(DAY)).await.unwrap().unwrap();
        let shown = store.portal_session(next.expose(), later(DAY)).await.unwrap().unwrap();
        assert_eq!(shown.numbers(), guest.numbers());
        assert!(store.session(next.expose(), later(DAY)).await.unwrap().is_none());
        store.close_portal(&shown).await.unwrap();
        for cookie in [next.expose(), guest.cookie().expose()] {
            assert!(store.portal_session(cookie, later(DAY)).await.unwrap().is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn a_cookie_that_follows_is_not_stored_in_the_clear() {
    for place in Place::of_every_backend() {
        let store = place.open(keys()).await.unwrap();
        let session = session_of(&*store, "maya@example.com").await;
        let next = store.renew_session(&session, later(DAY)).await.unwrap().unwrap();
        assert!(!place.holds(next.expose().as_bytes()), "{}", place.name());
    }
}
