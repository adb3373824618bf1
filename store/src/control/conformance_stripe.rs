//! What every backend of the control store must do: Stripe connected with a restricted key.

use super::conformance::{NOW, on_every_backend, scope};
use super::*;

const MINUTE: i64 = 60_000;
const KEY: &str = "rk_test_ofTheConformanceSuite";

fn later(milliseconds: i64) -> Timestamp {
    Timestamp(NOW.0 + milliseconds)
}

fn request(vendor: &str, key: &str) -> StripeKeyRequest {
    StripeKeyRequest { vendor: vendor.to_owned(), key: SecretText::new(key), api_base: None }
}

fn made(secret: Option<&str>) -> StripeWebhook {
    StripeWebhook { id: "we_1".into(), secret: secret.map(SecretText::new), made_by_us: true, missing_events: vec![] }
}

/// Connects a vendor with a key of test mode, up to where reading begins.
pub(super) async fn connected(store: &dyn ControlStore, vendor: &str) -> BegunStripe {
    let begun = store.begin_stripe(request(vendor, KEY), "test", NOW).await.unwrap();
    store.finish_stripe(&begun, made(Some("whsec_made")), "test", NOW).await.unwrap();
    begun
}

#[tokio::test]
async fn a_key_opens_a_connection_and_again_joins_it() {
    on_every_backend(async |store| {
        let first = store.begin_stripe(request("acme", KEY), "test", NOW).await.unwrap();
        assert_eq!((first.mode, first.attempt, first.webhook.clone(), first.has_secret), (Mode::Test, 1, None, false));
        let scope = scope(&*store, "acme").await;
        let setups = store.stripe_setups(&scope).await.unwrap();
        assert_eq!(setups.len(), 1);
        assert_eq!((setups[0].webhook.id.clone(), setups[0].read.clone()), (None, None), "nothing is read yet");
        assert_eq!(store.begin_stripe(request("acme", KEY), "test", NOW).await.unwrap(), first);

        store.finish_stripe(&first, made(Some("whsec_made")), "test", NOW).await.unwrap();
        let again = store.begin_stripe(request("acme", KEY), "test", NOW).await.unwrap();
        assert_eq!((again.webhook.as_deref(), again.has_secret), (Some("we_1"), true));
        // The same secret once more is the same secret.
        store.finish_stripe(&again, made(Some("whsec_made")), "test", NOW).await.unwrap();
        let connections = store.connections(&scope).await.unwrap();
        assert_eq!((connections.len(), connections[0].endpoints.len()), (1, 1));
        assert_eq!(connections[0].endpoints[0].secrets.len(), 1);
        let key = store.lookup_credentials(first.connection, Mode::Test).await.unwrap().unwrap().key;
        assert_eq!(key.expose(), KEY);
        assert!(store.lookup_credentials(first.connection, Mode::Live).await.unwrap().is_none());

        // The other mode joins the same connection and endpoint.
        let live = store.begin_stripe(request("acme", "rk_live_1"), "test", NOW).await.unwrap();
        assert_eq!((live.connection, &live.endpoint_id), (first.connection, &first.endpoint_id));
        assert_eq!((live.mode, live.webhook), (Mode::Live, None));
        assert_eq!(store.stripe_setups(&scope).await.unwrap().len(), 2);
        let words = store.begin_stripe(request("acme", "whsec_1"), "test", NOW).await.unwrap_err().to_string();
        assert!(words.starts_with("key: is no key of Stripe"), "{words}");
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_made_under_another_number() {
    on_every_backend(async |store| {
        let begun = connected(&*store, "acme").await;
        let next = store.next_stripe_attempt(&begun).await.unwrap();
        assert_eq!((next.attempt, next.webhook.clone()), (2, None));
        assert_eq!(store.next_stripe_attempt(&begun).await.unwrap(), next, "the same loss counts once");
        let missing =
            StripeWebhook { missing_events: vec!["invoice.paid".into(), "refund.failed".into()], ..made(None) };
        store.finish_stripe(&next, StripeWebhook { made_by_us: false, ..missing }, "test", NOW).await.unwrap();
        let setups = store.stripe_setups(&scope(&*store, "acme").await).await.unwrap();
        assert_eq!(setups[0].webhook.missing_events, ["invoice.paid", "refund.failed"]);
        assert!(!setups[0].webhook.made_by_us);
    })
    .await;
}

#[tokio::test]
async fn one_reads_at_a_time_and_what_was_noted_is_where_the_next_goes_on() {
    on_every_backend(async |store| {
        assert_eq!(store.claim_stripe_read("one", NOW, later(MINUTE)).await.unwrap(), None);
        connected(&*store, "acme").await;
        let mut read = store.claim_stripe_read("one", NOW, later(MINUTE)).await.unwrap().unwrap();
        assert_eq!((read.state, read.step), (ReadState::Running, ReadStep::PromotionCodes));
        assert_eq!(read.since, later(-30 * 24 * 60 * MINUTE));
        assert_eq!(store.claim_stripe_read("two", later(1), later(MINUTE)).await.unwrap(), None, "it is one's");

        read.step = ReadStep::MostEvents;
        (read.after, read.oldest_at) = (Some("evt_7".into()), Some(later(-5)));
        (read.pages, read.promotion_codes, read.coupons, read.events, read.skipped) = (3, 40, 4, 100, 1);
        assert!(store.note_stripe_read("one", &read, later(2), later(2 * MINUTE)).await.unwrap());
        assert_eq!(store.claim_stripe_read("two", later(MINUTE), later(2 * MINUTE)).await.unwrap(), None, "renewed");
        assert!(!store.note_stripe_read("two", &read, later(3), later(MINUTE)).await.unwrap());

        // One died: after its time another goes on, and one's late words change nothing.
        let taken = store.claim_stripe_read("two", later(2 * MINUTE), later(4 * MINUTE)).await.unwrap();
        assert_eq!(taken, Some(read.clone()));
        let late = StripeRead { pages: 99, ..read.clone() };
        assert!(!store.note_stripe_read("one", &late, later(2 * MINUTE), later(4 * MINUTE)).await.unwrap());

        // It rests.
        let rests = StripeRead { tries: 1, rests_until: later(10 * MINUTE), reason: "busy".into(), ..read.clone() };
        assert!(store.note_stripe_read("two", &rests, later(3 * MINUTE), NOW).await.unwrap());
        assert_eq!(store.claim_stripe_read("one", later(9 * MINUTE), later(11 * MINUTE)).await.unwrap(), None);
        let taken = store.claim_stripe_read("one", later(10 * MINUTE), later(11 * MINUTE)).await.unwrap();
        assert_eq!(taken, Some(rests));
    })
    .await;
}

#[tokio::test]
async fn what_failed_goes_on_and_what_is_done_begins_anew() {
    on_every_backend(async |store| {
        let begun = connected(&*store, "acme").await;
        let scope = scope(&*store, "acme").await;
        let again =
            async |now| store.read_stripe_again(&scope, begun.connection, Mode::Test, "test", now).await.unwrap();
        let read = store.claim_stripe_read("one", NOW, later(MINUTE)).await.unwrap().unwrap();
        let failed = StripeRead {
            state: ReadState::Failed,
            step: ReadStep::MostEvents,
            after: Some("evt_7".into()),
            pages: 3,
            tries: 8,
            reason: "Stripe cannot be reached".into(),
            finished_at: Some(later(1)),
            ..read
        };
        assert!(store.note_stripe_read("one", &failed, later(1), NOW).await.unwrap());
        assert_eq!(store.claim_stripe_read("one", later(2), later(MINUTE)).await.unwrap(), None);
        assert_eq!(store.stripe_setups(&scope).await.unwrap()[0].read, Some(failed.clone()));

        again(later(3)).await;
        let read = store.claim_stripe_read("one", later(3), later(MINUTE)).await.unwrap().unwrap();
        assert_eq!((read.after.as_deref(), read.pages, read.tries), (Some("evt_7"), 3, 0));
        again(later(4)).await;
        let done = StripeRead { state: ReadState::Done, finished_at: Some(later(5)), ..read };
        assert!(store.note_stripe_read("one", &done, later(5), NOW).await.unwrap(), "begun twice is begun once");
        again(later(6)).await;
        let read = store.claim_stripe_read("one", later(6), later(MINUTE)).await.unwrap().unwrap();
        assert_eq!((read.step, read.after, read.pages), (ReadStep::PromotionCodes, None, 0));
        assert_eq!(read.began_at, later(6));
    })
    .await;
}

#[tokio::test]
async fn nobody_reads_or_sees_what_is_closed_forgotten_or_anothers() {
    on_every_backend(async |store| {
        let acme = connected(&*store, "acme").await;
        connected(&*store, "globex").await;
        let (own, other) = (scope(&*store, "acme").await, scope(&*store, "globex").await);
        assert_eq!(store.stripe_setups(&own).await.unwrap().len(), 1);
        let foreign = store.read_stripe_again(&other, acme.connection, Mode::Test, "test", NOW).await;
        assert!(matches!(foreign, Err(ControlError::NotFound(_))), "{foreign:?}");
        store.close_connection(acme.vendor, acme.connection, "test", NOW).await.unwrap();
        assert!(store.stripe_setups(&own).await.unwrap().is_empty());
        let read = store.claim_stripe_read("one", NOW, later(MINUTE)).await.unwrap().unwrap();
        assert_ne!(read.vendor, acme.vendor);
        assert_eq!(store.claim_stripe_read("one", NOW, later(MINUTE)).await.unwrap(), None);
        store.forget_vendor(read.vendor, "test", NOW).await.unwrap();
        assert!(!store.note_stripe_read("one", &read, NOW, later(MINUTE)).await.unwrap());
    })
    .await;
}
