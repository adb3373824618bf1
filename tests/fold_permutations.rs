//! Every order of one purchase's events, without exception: sale, two partial refunds, the
//! failure of one, a dispute, the dispute won, a void. After every event of every order the sums
//! are between nothing and what was paid (checked by `Scene`), and in the end always the same.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use domain::decision::{Duration, Rate, RuleScope};
use domain::ids::{Mode, Provider};
use domain::line::Amounts;
use tests::books::Books;
use tests::scene::{Scene, Step};
use tests::stripe::*;

const DAY: i64 = 86_400;

/// The seven events; the void is the last one.
fn seven(refunds: [Step; 3]) -> Vec<Step> {
    let sale = invoice();
    let [one, other, failure] = refunds;
    vec![
        sale.paid(),
        one,
        other,
        failure,
        sale.dispute("charge.dispute.funds_withdrawn", 5_000, NOON + 9 * DAY, "needs_response", &[-5_000]),
        sale.dispute("charge.dispute.closed", 5_000, NOON + 9 * DAY, "won", &[-5_000, 5_000]),
        sale.voided(NOON + 40 * DAY),
    ]
}

fn invoice() -> Invoice<'static> {
    Invoice { gross: 11_900, tax: 1_900, paid: 11_900, ..Invoice::default() }
}

/// The refunds as events of their own.
fn by_refund_events() -> [Step; 3] {
    let sale = invoice();
    [
        sale.refund("refund.created", "a", 3_333, NOON + 3 * DAY, "succeeded"),
        sale.refund("refund.created", "b", 4_000, NOON + 5 * DAY, "succeeded"),
        sale.refund("refund.failed", "b", 4_000, NOON + 5 * DAY, "failed"),
    ]
}

/// The refunds as the charge's cumulative amount; only the failure is an event of its own.
fn by_snapshots() -> [Step; 3] {
    let sale = invoice();
    let failure = sale.refund("refund.failed", "b", 4_000, NOON + 5 * DAY, "failed");
    [sale.snapshot(3_333, NOON + 3 * DAY), sale.snapshot(7_333, NOON + 5 * DAY + 1), failure]
}

fn decided() -> Vec<Step> {
    numbered([connected(), affiliate(MAYA), map(1, "promo_maya", Some(MAYA), None)])
}

/// Folds every order of `left`, sharing what orders have in common, and hands over each end.
fn every_order(scene: &Scene, left: &[Step], ends: &mut Ends) {
    if left.is_empty() {
        ends.take(scene);
        return;
    }
    for position in 0..left.len() {
        let mut next = scene.clone();
        next.fold(&left[position]);
        let mut rest = left.to_vec();
        rest.remove(position);
        every_order(&next, &rest, ends);
    }
}

/// The ends of all orders: how many, and the one ledger they must share.
#[derive(Default)]
struct Ends {
    count: usize,
    books: Option<Books>,
}

impl Ends {
    fn take(&mut self, scene: &Scene) {
        self.count += 1;
        let books = scene.clone().books();
        match &self.books {
            None => self.books = Some(books),
            Some(known) => assert_eq!(*known, books, "order {} ended in another ledger", self.count),
        }
    }

    fn sum(&self) -> Amounts {
        self.books.as_ref().unwrap().sum_of("inv:in_1")
    }
}

#[test]
fn all_5040_orders_with_the_void_end_at_zero() {
    for refunds in [by_refund_events(), by_snapshots()] {
        let mut ends = Ends::default();
        every_order(&Scene::of(&decided()), &seven(refunds), &mut ends);
        assert_eq!(ends.count, 5_040);
        assert_eq!(ends.sum(), Amounts { redemptions: 1, conversions: 1, ..Amounts::default() });
        let standing = ends.books.unwrap().purchases.into_values().next().unwrap();
        assert!(standing.told.flags.contains(&"void_after_paid".to_owned()));
    }
}

/// 3,333 of 11,900 went back: of the net of 10,000 that is 2,800.84, so 2,801; what is left earns
/// 20 % of 7,199 = 1,439.8, so 1,440.
#[test]
fn all_720_orders_without_the_void_leave_the_same_rest() {
    for refunds in [by_refund_events(), by_snapshots()] {
        let mut events = seven(refunds);
        events.pop();
        let mut ends = Ends::default();
        every_order(&Scene::of(&decided()), &events, &mut ends);
        assert_eq!(ends.count, 720);
        let expected = Amounts { redemptions: 1, conversions: 1, gross: 11_900 - 3_333, net: 7_199, commission: 1_440 };
        assert_eq!(ends.sum(), expected);
    }
}

/// The same without the void, with the mapping decided at every moment between the events.
#[test]
fn all_5040_orders_with_the_mapping_anywhere_between() {
    let mut steps = seven(by_refund_events());
    steps.pop();
    let mut decisions = decided();
    steps.extend(decisions.pop());
    let mut ends = Ends::default();
    every_order(&Scene::of(&decisions), &steps, &mut ends);
    assert_eq!(ends.count, 5_040);
    assert_eq!((ends.sum().net, ends.sum().commission, ends.sum().redemptions), (7_199, 1_440, 1));
}

/// The five events of a purchase of a newer API version, where only `invoice_payment.paid` joins
/// the refund to its invoice: two stories become one whenever it comes.
#[test]
fn all_orders_in_which_two_stories_turn_out_to_be_one() {
    let sale = invoice();
    let mut object = sale.object();
    object["payment_intent"] = serde_json::Value::Null;
    object["charge"] = serde_json::Value::Null;
    let payment = serde_json::json!({
        "id": "inpay_1", "object": "invoice_payment", "amount_paid": 11_900, "currency": "usd", "invoice": "in_1", "livemode": true,
        "payment": {"payment_intent": "pi_1", "type": "payment_intent"}, "status": "paid"
    });
    let version = "2025-08-27.basil";
    let steps = vec![
        event_of(version, "evt_sale", "invoice.paid", NOON, object),
        event_of(version, "evt_join", "invoice_payment.paid", NOON, payment),
        sale.refund("refund.created", "a", 3_333, NOON + 3 * DAY, "succeeded"),
        sale.snapshot_without_invoice(3_333, NOON + 3 * DAY + 1),
        sale.dispute("charge.dispute.closed", 5_000, NOON + 9 * DAY, "lost", &[-5_000]),
        Step::Decide(3, map(1, "promo_maya", Some(MAYA), None)),
    ];
    let mut ends = Ends::default();
    every_order(&Scene::of(&decided()[..2]), &steps, &mut ends);
    assert_eq!(ends.count, 720);
    // 8,333 of 11,900 went back: of the net 7,002.52, so 7,003.
    assert_eq!((ends.sum().net, ends.sum().commission), (2_997, 599));
}

/// A subscription older than its connection: its history is asked for, the provider refuses once
/// and answers once. The answer beats the refusal, whichever is folded first, and says that this
/// payment was not the first.
#[test]
fn all_orders_of_a_refusal_and_an_answer_about_history() {
    let sale = Invoice { subscription: Some("sub_1"), reason: "subscription_cycle", ..invoice() };
    let question = "GET /v1/invoices?subscription=sub_1&status=paid&limit=100";
    let earlier = Invoice { name: "0", paid_at: NOON - 90 * DAY, ..sale.clone() }.object();
    let history = serde_json::json!({"object": "list", "data": [sale.object(), earlier]});
    let Step::Decide(_, domain::decision::Decision::SetConnection(open)) = decided().remove(0) else {
        unreachable!("the first decision")
    };
    let since = Some(domain::ids::Timestamp::from_seconds(NOON - DAY));
    let younger =
        domain::decision::Decision::SetConnection(domain::decision::SetConnection { history_from: since, ..open });
    let months = rule(1, RuleScope::Vendor, Some(Rate::Percent { ppm: 200_000 }), 0, Duration::Months(2));
    let decisions = numbered([younger, affiliate(MAYA), map(1, "promo_maya", Some(MAYA), None), months]);
    let steps = vec![
        sale.paid(),
        answer(Provider::Stripe, Mode::Live, question, 1_000_000, None),
        answer(Provider::Stripe, Mode::Live, question, 2_000_000, Some(&history)),
    ];
    let mut ends = Ends::default();
    every_order(&Scene::of(&decisions), &steps, &mut ends);
    assert_eq!(ends.count, 6);
    // First paid 90 days ago: two months are over.
    let expected = Amounts { gross: 11_900, net: 10_000, ..Amounts::default() };
    assert_eq!(ends.sum(), expected);
}
