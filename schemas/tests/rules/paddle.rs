//! Paddle Billing.

use crate::kit::*;
use domain::fold::Outcome;
use domain::ids::Provider;
use schemas::decode::Action;
use serde_json::{Value, json};

fn transaction(id: &str, origin: &str, after: i64, totals: Value) -> Value {
    json!({
        "id": id, "status": "completed", "origin": origin, "customer_id": "ctm_1", "subscription_id": "sub_1", "currency_code": "USD",
        "discount_id": null, "custom_data": null, "created_at": at(after), "billed_at": at(after + 1), "details": {"totals": totals}
    })
}

fn totals(subtotal: i64, tax: i64) -> Value {
    let total = subtotal + tax;
    json!({
        "subtotal": subtotal.to_string(), "discount": "0", "tax": tax.to_string(), "total": total.to_string(), "credit": "0",
        "grand_total": total.to_string(), "grand_total_tax": tax.to_string()
    })
}

fn completed(id: &str, origin: &str, after: i64, totals: Value) -> Step {
    paddle("transaction.completed", after + 2, transaction(id, origin, after, totals))
}

fn adjustment(
    event_type: &str,
    after: i64,
    id: &str,
    action: &str,
    status: &str,
    (subtotal, total): (i64, i64),
) -> Step {
    let data = json!({
        "id": id, "action": action, "status": status, "transaction_id": "txn_1", "currency_code": "USD", "created_at": at(50),
        "totals": {"subtotal": subtotal.to_string(), "tax": (total - subtotal).to_string(), "total": total.to_string()}
    });
    paddle(event_type, after, data)
}

fn reversed(adjustments: &[Step]) -> i64 {
    let sold = completed("txn_1", "web", 0, totals(5000, 1000));
    only(&[], &[std::slice::from_ref(&sold), adjustments].concat()).reversed
}

#[test]
fn origins_say_where_a_transaction_stands() {
    let rows = ends(
        &[],
        &[
            completed("txn_1", "web", 0, totals(5000, 1000)),
            completed("txn_2", "subscription_recurring", 100, totals(5000, 1000)),
            completed("txn_3", "subscription_update", 200, totals(700, 0)),
            completed("txn_4", "subscription_charge", 300, totals(700, 0)),
        ],
    );
    let kinds: Vec<_> = rows.values().map(|row| (row.kind, row.first_payment, row.net)).collect();
    assert_eq!(
        kinds,
        [("first", true, 5000), ("renewal", false, 5000), ("update", false, 700), ("update", false, 700)]
    );
}

#[test]
fn a_change_of_the_payment_method_is_no_sale() {
    let step = completed("txn_1", "subscription_payment_method_change", 0, totals(0, 0));
    assert_eq!(action(&step), Action::Ignore);
    assert!(ends(&[], &[step]).is_empty());
}

#[test]
fn a_transaction_that_is_only_paid_is_not_counted() {
    let paid = paddle(
        "transaction.paid",
        1,
        with(transaction("txn_1", "web", 0, totals(5000, 0)), json!({"subscription_id": null})),
    );
    let reading = read(&paid).unwrap();
    assert_eq!((reading.action, reading.flags), (Action::Link, vec!["awaiting_completion"]));
    assert_eq!(only(&[], &[paid, completed("txn_1", "web", 0, totals(5000, 0))]).gross, 5000);
}

#[test]
fn credit_is_not_paid_and_the_tax_of_the_rest_is_said_or_computed() {
    let said = with(totals(5000, 1000), json!({"credit": "2000", "grand_total": "4000", "grand_total_tax": "600"}));
    let row = only(&[], &[completed("txn_1", "web", 0, said.clone())]);
    assert_eq!((row.gross, row.paid, row.net), (6000, 4000, 3400));
    let older = with(said, json!({"grand_total_tax": null}));
    assert_eq!(only(&[], &[completed("txn_1", "web", 0, older)]).net, 3333);
    let all_credit = with(totals(5000, 1000), json!({"credit": "6000", "grand_total": "0", "grand_total_tax": "0"}));
    let row = only(&[], &[completed("txn_1", "web", 0, all_credit)]);
    assert_eq!((row.net, row.first_payment, row.kind), (0, false, "first"));
}

#[test]
fn a_trial_is_a_zero_sale() {
    let rows = ends(
        &[],
        &[
            completed("txn_1", "web", 0, totals(0, 0)),
            completed("txn_2", "subscription_recurring", 100, totals(500, 0)),
        ],
    );
    assert_eq!(
        (rows["txn:txn_1"].kind, rows["txn:txn_1"].first_payment, rows["txn:txn_2"].first_payment),
        ("zero", false, true)
    );
}

#[test]
fn a_refund_holds_until_it_is_approved_and_reverses_its_subtotal() {
    let pending = adjustment("adjustment.created", 60, "adj_1", "refund", "pending_approval", (2000, 2400));
    let approved = adjustment("adjustment.updated", 70, "adj_1", "refund", "approved", (2000, 2400));
    assert_eq!(reversed(std::slice::from_ref(&pending)), 0);
    assert_eq!(reversed(&[pending.clone(), approved.clone()]), 2000);
    let late_pending = adjustment("adjustment.updated", 90, "adj_1", "refund", "pending_approval", (2000, 2400));
    assert_eq!(reversed(&[approved.clone(), late_pending]), 2000);
    assert_eq!(
        reversed(&[pending, adjustment("adjustment.updated", 70, "adj_1", "refund", "rejected", (2000, 2400))]),
        0
    );
    assert_eq!(
        reversed(&[approved, adjustment("adjustment.updated", 80, "adj_1", "refund", "reversed", (2000, 2400))]),
        0
    );
}

#[test]
fn what_is_shown_of_an_adjustment_is_its_total() {
    let reading = read(&adjustment("adjustment.updated", 70, "adj_1", "refund", "approved", (2000, 2400))).unwrap();
    let movement = reading.movement.unwrap();
    assert_eq!(
        (reading.action, movement.id.as_deref(), movement.amount, movement.status.as_deref()),
        (Action::Refund, Some("adj_1"), Some(2400), Some("approved"))
    );
}

#[test]
fn parts_add_up_to_the_whole_net() {
    assert_eq!(
        reversed(&[
            adjustment("adjustment.created", 60, "adj_1", "refund", "approved", (1667, 2000)),
            adjustment("adjustment.created", 61, "adj_2", "refund", "approved", (1667, 2000)),
            adjustment("adjustment.created", 62, "adj_3", "credit", "approved", (1667, 2000)),
        ]),
        5000
    );
}

#[test]
fn a_chargeback_reverses_and_its_reverse_restores() {
    let back = adjustment("adjustment.created", 60, "adj_1", "chargeback", "approved", (5000, 6000));
    let reverse = adjustment("adjustment.created", 70, "adj_2", "chargeback_reverse", "approved", (5000, 6000));
    assert_eq!(reversed(std::slice::from_ref(&back)), 5000);
    assert_eq!(reversed(&[back.clone(), reverse.clone()]), 0);
    let marked = adjustment("adjustment.updated", 71, "adj_1", "chargeback", "reversed", (5000, 6000));
    let refund = adjustment("adjustment.created", 61, "adj_3", "refund", "approved", (1000, 1200));
    assert_eq!(
        reversed(&[back.clone(), reverse.clone(), marked.clone(), refund.clone()]),
        1000,
        "said twice, restored once"
    );
    assert_eq!(reversed(&[reverse, refund]), 1000, "more than was taken does not come back");
    assert_eq!(reversed(&[back, marked]), 0);
}

#[test]
fn a_credit_may_be_reversed_too() {
    let credit = adjustment("adjustment.created", 60, "adj_1", "credit", "approved", (1000, 1200));
    let reverse = adjustment("adjustment.created", 70, "adj_2", "credit_reverse", "approved", (1000, 1200));
    assert_eq!(reversed(std::slice::from_ref(&credit)), 1000);
    assert_eq!(reversed(&[credit, reverse]), 0);
}

#[test]
fn warnings_and_unknown_actions_hold() {
    for action in ["chargeback_warning", "chargeback_warning_reverse", "something_new"] {
        let step = adjustment("adjustment.created", 60, "adj_1", action, "approved", (5000, 6000));
        assert_eq!(read(&step).unwrap().action, Action::Dispute);
        assert_eq!(reversed(&[step]), 0, "{action}");
    }
}

#[test]
fn refunds_and_chargebacks_together_take_back_no_more_than_was_paid() {
    assert_eq!(
        reversed(&[
            adjustment("adjustment.created", 60, "adj_1", "refund", "approved", (2000, 2400)),
            adjustment("adjustment.created", 70, "adj_2", "chargeback", "approved", (5000, 6000)),
        ]),
        5000
    );
}

#[test]
fn a_discount_without_a_code_is_a_coupon() {
    let sold = paddle(
        "transaction.completed",
        2,
        with(transaction("txn_1", "web", 0, totals(5000, 0)), json!({"discount_id": "dsc_1"})),
    );
    let request = "GET /discounts/dsc_1";
    let unnamed = answer(Provider::Paddle, request, json!({"data": {"id": "dsc_1", "code": null}}));
    let row = only(&[map_coupon("dsc_1", Some(3))], &[sold.clone(), unnamed.clone()]);
    assert_eq!((row.affiliate, row.how, row.redemption, row.code), (Some(3), Some("coupon"), true, None));
    let row = only(&[], &[sold.clone(), unnamed]);
    assert_eq!((row.affiliate, row.how, row.flags), (None, Some("none"), vec![]));
    let named = answer(Provider::Paddle, request, json!({"data": {"id": "dsc_1", "code": "MAYA20"}}));
    let row = only(&[map_text("maya20", 1)], &[sold.clone(), named]);
    assert_eq!((row.affiliate, row.how, row.code.as_deref()), (Some(1), Some("promotion_code"), Some("MAYA20")));
    let row = only(&[], &[sold.clone(), refusal(Provider::Paddle, request)]);
    assert_eq!((row.affiliate, row.how, row.flags), (None, None, vec!["attribution_pending"]));
    let unnamed = answer(Provider::Paddle, request, json!({"data": {"id": "dsc_1", "code": null}}));
    let row = only(&[], &[sold, refusal(Provider::Paddle, request), unnamed]);
    assert_eq!((row.how, row.flags), (Some("none"), vec![]), "an answer beats a refusal, in either order");
}

#[test]
fn a_pending_transaction_asks_for_the_text_of_its_discount() {
    let mut vendor = Vendor::new(&[map_text("maya20", 1)]);
    vendor.take_in(&paddle(
        "transaction.paid",
        1,
        with(transaction("txn_1", "web", 0, totals(5000, 0)), json!({"discount_id": "dsc_1"})),
    ));
    assert_eq!(vendor.questions(), ["GET /discounts/dsc_1"]);
}

#[test]
fn a_discount_is_known_from_its_events_and_from_the_subscription() {
    let event = paddle("discount.created", 0, json!({"id": "dsc_1", "code": "MAYA20"}));
    let created = paddle(
        "subscription.created",
        1,
        json!({"id": "sub_1", "created_at": at(0), "transaction_id": "txn_1", "discount": {"id": "dsc_1", "starts_at": null}}),
    );
    let rows = ends(
        &[map_text("maya20", 1)],
        &[
            event,
            created,
            completed("txn_1", "web", 0, totals(0, 0)),
            completed("txn_2", "subscription_recurring", 99, totals(500, 0)),
        ],
    );
    assert_eq!((rows["txn:txn_1"].affiliate, rows["txn:txn_1"].redemption), (Some(1), true));
    assert_eq!((rows["txn:txn_2"].affiliate, rows["txn:txn_2"].how), (Some(1), Some("subscription")));
}

#[test]
fn a_discount_that_joins_a_subscription_later_credits_only_later_sales() {
    let updated = paddle(
        "subscription.updated",
        1000,
        json!({"id": "sub_1", "created_at": at(0), "discount": {"id": "dsc_1", "starts_at": null}}),
    );
    let rows = ends(
        &[map_coupon("dsc_1", Some(3))],
        &[
            completed("txn_1", "web", 0, totals(500, 0)),
            updated,
            completed("txn_2", "subscription_recurring", 2000, totals(500, 0)),
            answer(Provider::Paddle, "GET /discounts/dsc_1", json!({"data": {"id": "dsc_1", "code": null}})),
        ],
    );
    assert_eq!((rows["txn:txn_1"].affiliate, rows["txn:txn_2"].affiliate), (None, Some(3)));
}

#[test]
fn custom_data_carries_the_referral_in_whatever_form() {
    let linked = |data: Value| {
        paddle(
            "transaction.completed",
            2,
            with(transaction("txn_1", "web", 0, totals(500, 0)), json!({"custom_data": data})),
        )
    };
    assert_eq!(only(&[map_link("ines", 2)], &[linked(json!({"affiliate_ref": "ines"}))]).affiliate, Some(2));
    assert_eq!(only(&[map_link("17", 2)], &[linked(json!({"affiliate_ref": 17}))]).affiliate, Some(2));
    for odd in [json!([]), json!({"affiliate_ref": null}), json!({"affiliate_ref": {"a": 1}})] {
        assert_eq!(only(&[], &[linked(odd)]).affiliate, None);
    }
}

#[test]
fn amounts_are_strings_and_may_exceed_every_integer() {
    let exact = only(&[], &[completed("txn_1", "web", 0, totals(999_999_999_999_999, 1))]);
    assert_eq!(exact.net, 999_999_999_999_999);
    for text in ["9223372036854775807", "9223372036854775808", "-99999999999999999999999999"] {
        let error = read(&completed("txn_1", "web", 0, with(totals(1, 0), json!({"total": text})))).unwrap_err();
        assert!(error.to_string().starts_with("amount_out_of_range"), "{error}");
    }
    assert!(read(&completed("txn_1", "web", 0, with(totals(1, 0), json!({"total": "12.50"})))).is_err());
}

#[test]
fn an_adjustment_in_another_currency_is_refused() {
    let mut vendor = Vendor::new(&[]);
    vendor.take_in(&completed("txn_1", "web", 0, totals(500, 0)));
    let foreign = json!({"id": "adj_1", "action": "refund", "status": "approved", "transaction_id": "txn_1", "currency_code": "EUR", "totals": {"subtotal": "5", "total": "5"}});
    assert!(matches!(vendor.take_in(&paddle("adjustment.created", 5, foreign)), Outcome::Refused(_)));
    assert_eq!(vendor.purchases()["txn:txn_1"].reversed, 0);
}
