//! Against Stripe's own mock server, which checks the form of every request by Stripe's description of its interface.

use super::super::interface::StripeError;
use super::super::permissions::missing;
use super::super::webhook::ensure;
use super::*;
use domain::ids::{ConnectionId, Mode, Timestamp, VendorId};
use store::control::{BegunStripe, ReadState, ReadStep, StripeRead};

#[expect(clippy::disallowed_methods, reason = "where the script started the server")]
fn mock() -> StripeInterface {
    let base = std::env::var("STRIPE_MOCK_URL").expect("run these tests with: bash scripts/stripe-mock.sh");
    StripeInterface::once(Duration::from_secs(10), Some(&base), SecretText::new("rk_test_123")).unwrap()
}

#[tokio::test]
#[ignore = "needs Stripe's mock server: bash scripts/stripe-mock.sh"]
async fn every_trial_of_a_permission_is_a_request_that_stripe_knows() {
    assert_eq!(missing(&mock()).await.unwrap(), []);
    let unknown = mock().get("/v1/no_such_thing").await.unwrap_err();
    assert!(matches!(unknown, StripeError::Refused { .. }), "{unknown:?}");
}

#[tokio::test]
#[ignore = "needs Stripe's mock server: bash scripts/stripe-mock.sh"]
async fn the_endpoint_is_made_in_a_form_that_stripe_takes() {
    let begun = BegunStripe {
        vendor: VendorId(1),
        connection: ConnectionId(1),
        mode: Mode::Test,
        endpoint_id: "e1".into(),
        attempt: 1,
        webhook: None,
        has_secret: false,
    };
    // It takes the form and answers with an endpoint, but without the secret that Stripe tells.
    let made = ensure(&mock(), &begun, "https://track.example/webhooks/stripe/e1").await.unwrap_err();
    assert_eq!(made, StripeError::Answer("not a webhook endpoint".to_owned()));
    let wrong = [("url".to_owned(), "https://track.example".to_owned()), ("no_such_thing".to_owned(), "1".to_owned())];
    let refused = mock().post("/v1/webhook_endpoints", &wrong, None).await.unwrap_err();
    assert!(matches!(refused, StripeError::Refused { .. }), "{refused:?}");
}

#[tokio::test]
#[ignore = "needs Stripe's mock server: bash scripts/stripe-mock.sh"]
async fn every_page_is_asked_for_in_a_form_that_stripe_takes_and_read() {
    let read = StripeRead {
        vendor: VendorId(1),
        connection: ConnectionId(1),
        mode: Mode::Test,
        state: ReadState::Running,
        step: ReadStep::PromotionCodes,
        after: None,
        oldest_at: Some(Timestamp(1_790_000_000_000)),
        since: Timestamp(1_780_000_000_000),
        began_at: Timestamp(1_790_000_000_000),
        pages: 0,
        promotion_codes: 0,
        coupons: 0,
        events: 0,
        skipped: 0,
        tries: 0,
        rests_until: Timestamp(0),
        reason: String::new(),
        finished_at: None,
    };
    for step in ReadStep::ALL {
        for after in [None, Some("id_1 & more".to_owned())] {
            let path = super::super::lists::next_page(&StripeRead { step, after, ..read.clone() });
            let body = mock().get(&path).await.unwrap_or_else(|error| panic!("{path}: {error}"));
            let page = super::super::lists::read_page(&body).unwrap();
            for item in page.data {
                assert!(!super::super::lists::read_item(item).unwrap().id.is_empty());
            }
        }
    }
}
