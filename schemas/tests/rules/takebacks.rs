//! Refunds, disputes, voids and credit notes on Stripe.

use crate::kit::*;
use crate::objects::*;
use domain::fold::Outcome;
use domain::ids::Provider;
use serde_json::{Value, json};

/// 100.00 with 16.00 of tax: net 84.00, paid by `pi_cs_1`.
fn sold() -> Step {
    stripe(
        "checkout.session.completed",
        1,
        with(session("cs_1", 0, 10_000), json!({"total_details": {"amount_tax": 1600}})),
    )
}

fn refunded(event_type: &str, after: i64, id: &str, made: i64, amount: i64, status: &str) -> Step {
    stripe(event_type, after, refund(id, made, amount, status, Some("ch_1"), Some("pi_cs_1")))
}

fn snapshot(after: i64, cumulative: i64) -> Step {
    stripe("charge.refunded", after, charge("ch_1", Some("pi_cs_1"), cumulative))
}

fn disputed(event_type: &str, after: i64, amount: i64, status: &str, moved: &[i64]) -> Step {
    stripe(event_type, after, dispute("dp_1", amount, status, moved, "pi_cs_1"))
}

fn reversed(steps: &[Step]) -> i64 {
    only(&[map_coupon("none", None)], steps).reversed
}

#[test]
fn one_refund_seen_as_refund_and_as_snapshot_reverses_once() {
    let seen = [refunded("refund.created", 10, "re_1", 10, 5000, "succeeded"), snapshot(10, 5000)];
    assert_eq!(reversed(&[sold(), seen[0].clone(), seen[1].clone()]), 4200);
    assert_eq!(reversed(&[sold(), seen[0].clone()]), 4200);
    assert_eq!(reversed(&[sold(), seen[1].clone()]), 4200);
}

#[test]
fn snapshots_are_cumulative_and_parts_add_up() {
    assert_eq!(reversed(&[sold(), snapshot(10, 3333), snapshot(20, 6666), snapshot(30, 10_000)]), 8400);
    assert_eq!(reversed(&[sold(), snapshot(10, 3333), snapshot(20, 6666)]), 5599);
}

#[test]
fn a_refund_goes_from_pending_to_succeeded_to_failed() {
    let pending = refunded("refund.created", 10, "re_1", 10, 5000, "pending");
    let succeeded = refunded("refund.updated", 20, "re_1", 10, 5000, "succeeded");
    let failed = refunded("refund.failed", 30, "re_1", 10, 5000, "failed");
    assert_eq!(reversed(&[sold(), pending.clone()]), 0);
    assert_eq!(reversed(&[sold(), pending.clone(), succeeded.clone()]), 4200);
    assert_eq!(reversed(&[sold(), pending, succeeded, failed]), 0);
    assert_eq!(
        reversed(&[
            sold(),
            refunded("refund.updated", 20, "re_1", 10, 5000, "canceled"),
            refunded("refund.created", 10, "re_1", 10, 5000, "requires_action")
        ]),
        0
    );
}

#[test]
fn a_snapshot_that_contains_a_pending_or_failed_refund_shows_too_much() {
    let pending = refunded("refund.created", 10, "re_1", 10, 4000, "pending");
    assert_eq!(reversed(&[sold(), pending.clone(), snapshot(10, 4000)]), 0);
    let other = refunded("refund.created", 15, "re_2", 15, 1000, "succeeded");
    assert_eq!(reversed(&[sold(), pending.clone(), other.clone(), snapshot(15, 5000)]), 840);
    let failed = refunded("refund.failed", 30, "re_1", 10, 4000, "failed");
    assert_eq!(reversed(&[sold(), failed.clone(), other, snapshot(15, 5000)]), 840);
    // One that failed before the snapshot is not in it any more.
    assert_eq!(reversed(&[sold(), failed, snapshot(40, 2000)]), 1680);
}

#[test]
fn a_pending_refund_made_after_the_snapshot_is_not_in_it() {
    assert_eq!(
        reversed(&[sold(), snapshot(10, 4000), refunded("refund.created", 20, "re_1", 20, 3000, "pending")]),
        3360
    );
}

#[test]
fn refunds_embedded_in_old_charges_are_read() {
    let embedded = |after: i64, list: Value, cumulative: i64| {
        stripe(
            "charge.refunded",
            after,
            with(charge("ch_1", Some("pi_cs_1"), cumulative), json!({"refunds": {"data": list}})),
        )
    };
    let first = refund("re_1", 10, 4000, "succeeded", Some("ch_1"), None);
    let second = refund("re_2", 20, 6000, "succeeded", Some("ch_1"), None);
    assert_eq!(
        reversed(&[sold(), embedded(10, json!([first]), 4000), embedded(20, json!([second, first]), 10_000)]),
        8400
    );
    let pending = refund("re_1", 10, 4000, "pending", Some("ch_1"), None);
    assert_eq!(reversed(&[sold(), embedded(10, json!([pending]), 4000)]), 0);
}

#[test]
fn a_refund_may_name_neither_charge_nor_payment_intent() {
    let named = stripe("refund.created", 10, refund("re_1", 10, 5000, "succeeded", None, Some("pi_cs_1")));
    let failed = stripe("refund.failed", 20, refund("re_1", 10, 5000, "failed", None, None));
    assert_eq!(reversed(&[sold(), named, failed.clone()]), 0);
    let mut vendor = Vendor::new(&[]);
    assert!(matches!(vendor.take_in(&failed), Outcome::Waiting(_)), "it waits to be placed");
}

#[test]
fn a_refund_by_charge_finds_the_purchase_of_the_payment_intent() {
    let by_charge = stripe("refund.created", 10, refund("re_1", 10, 5000, "succeeded", Some("ch_1"), None));
    assert_eq!(
        reversed(&[sold(), by_charge.clone(), stripe("charge.succeeded", 1, charge("ch_1", Some("pi_cs_1"), 0))]),
        4200
    );
    let by_intent = stripe("refund.updated", 11, refund("re_1", 10, 5000, "succeeded", None, Some("pi_cs_1")));
    assert_eq!(reversed(&[sold(), by_charge, by_intent]), 4200, "two sightings of one refund are one purchase");
}

#[test]
fn a_refund_before_its_sale_waits_and_asks_for_the_invoice() {
    let mut vendor = Vendor::new(&[]);
    let back = stripe("refund.created", 9, refund("re_1", 9, 500, "succeeded", Some("ch_1"), Some("pi_1")));
    assert_eq!(vendor.take_in(&back), Outcome::Waiting("waits for the sale of pi:pi_1".to_owned()));
    let request = "GET /v1/invoice_payments?payment[type]=payment_intent&payment[payment_intent]=pi_1";
    assert_eq!(vendor.questions(), [request]);
    let joined = answer(Provider::Stripe, request, json!({"data": [invoice_payment("in_1", "pi_1")]}));
    let row = only(&[], &[back, stripe("invoice.paid", 1, invoice("in_1", "subscription_create", 0, 1000)), joined]);
    assert_eq!(row.reversed, 500);
}

#[test]
fn charges_of_one_invoice_are_counted_each() {
    let steps = [
        stripe("invoice.paid", 1, invoice("in_1", "subscription_create", 0, 1000)),
        stripe("invoice_payment.paid", 1, invoice_payment("in_1", "pi_a")),
        stripe("invoice_payment.paid", 2, invoice_payment("in_1", "pi_b")),
        stripe("charge.refunded", 10, charge("ch_a", Some("pi_a"), 300)),
        stripe("charge.refunded", 11, charge("ch_b", Some("pi_b"), 200)),
        stripe("refund.created", 11, refund("re_b", 11, 200, "succeeded", Some("ch_b"), Some("pi_b"))),
    ];
    assert_eq!(only(&[], &steps).reversed, 500);
}

#[test]
fn nothing_paid_is_nothing_reversed_and_more_than_paid_is_capped() {
    let by_balance = with(invoice("in_1", "subscription_create", 0, 1000), json!({"amount_paid": 0}));
    let linked = stripe("invoice_payment.paid", 1, invoice_payment("in_1", "pi_1"));
    let back = stripe("refund.created", 9, refund("re_1", 9, 5000, "succeeded", None, Some("pi_1")));
    assert_eq!(only(&[], &[stripe("invoice.paid", 1, by_balance), linked.clone(), back.clone()]).reversed, 0);
    let partly = with(invoice("in_1", "subscription_create", 0, 1000), json!({"amount_paid": 400}));
    assert_eq!(only(&[], &[stripe("invoice.paid", 1, partly), linked, back]).reversed, 400);
}

#[test]
fn another_currency_is_refused() {
    let foreign = with(refund("re_1", 9, 500, "succeeded", None, Some("pi_cs_1")), json!({"currency": "eur"}));
    assert_eq!(reversed(&[sold(), stripe("refund.created", 9, foreign.clone())]), 0);
    let mut vendor = Vendor::new(&[]);
    vendor.take_in(&sold());
    for step in [
        stripe("refund.created", 9, foreign),
        stripe("charge.refunded", 9, with(charge("ch_1", Some("pi_cs_1"), 500), json!({"currency": "eur"}))),
        stripe(
            "charge.dispute.created",
            9,
            with(dispute("dp_1", 5, "lost", &[], "pi_cs_1"), json!({"currency": "eur"})),
        ),
    ] {
        let outcome = vendor.take_in(&step);
        assert!(matches!(&outcome, Outcome::Refused(reason) if reason.starts_with("currency_mismatch")), "{outcome:?}");
    }
    assert_eq!(vendor.take_in(&refunded("refund.created", 10, "re_2", 10, 5000, "succeeded")), Outcome::Counted);
    assert_eq!(vendor.purchases()["pi:pi_cs_1"].reversed, 4200);
}

#[test]
fn a_dispute_holds_until_the_money_is_gone() {
    let created = disputed("charge.dispute.created", 50, 10_000, "needs_response", &[]);
    assert_eq!(reversed(&[sold(), created.clone()]), 0);
    assert_eq!(reversed(&[sold(), disputed("charge.dispute.created", 50, 10_000, "needs_response", &[-10_000])]), 8400);
    let withdrawn = disputed("charge.dispute.funds_withdrawn", 51, 10_000, "needs_response", &[]);
    assert_eq!(reversed(&[sold(), created.clone(), withdrawn.clone()]), 8400);
    assert_eq!(
        reversed(&[
            sold(),
            created.clone(),
            withdrawn.clone(),
            disputed("charge.dispute.closed", 90, 10_000, "lost", &[-10_000])
        ]),
        8400
    );
    assert_eq!(
        reversed(&[sold(), created, disputed("charge.dispute.closed", 90, 10_000, "lost", &[])]),
        8400,
        "lost, and no withdrawal was seen"
    );
}

#[test]
fn a_won_dispute_is_undone_whatever_arrives_later() {
    let withdrawn = disputed("charge.dispute.funds_withdrawn", 51, 10_000, "needs_response", &[-10_000]);
    let reinstated = disputed("charge.dispute.funds_reinstated", 80, 10_000, "under_review", &[-10_000, 10_000]);
    let won = disputed("charge.dispute.closed", 81, 10_000, "won", &[-10_000, 10_000]);
    assert_eq!(reversed(&[sold(), withdrawn.clone(), reinstated.clone(), won.clone()]), 0);
    assert_eq!(reversed(&[sold(), withdrawn.clone(), won]), 0);
    assert_eq!(reversed(&[sold(), withdrawn, reinstated]), 0);
}

#[test]
fn inquiries_and_newer_states_hold() {
    for status in [
        "warning_needs_response",
        "warning_under_review",
        "warning_closed",
        "prevented",
        "appeal_pending",
        "appeal_under_review",
    ] {
        assert_eq!(reversed(&[sold(), disputed("charge.dispute.created", 50, 10_000, status, &[])]), 0, "{status}");
    }
    let lost = disputed("charge.dispute.closed", 60, 10_000, "lost", &[-10_000]);
    assert_eq!(
        reversed(&[sold(), lost, disputed("charge.dispute.updated", 70, 10_000, "appeal_pending", &[-10_000])]),
        8400
    );
}

#[test]
fn a_partial_dispute_and_a_refund_add_up_to_what_was_paid_at_most() {
    let partial = disputed("charge.dispute.funds_withdrawn", 51, 2500, "needs_response", &[-2500]);
    assert_eq!(reversed(&[sold(), partial.clone()]), 2100);
    let refund = refunded("refund.created", 40, "re_1", 40, 5000, "succeeded");
    assert_eq!(reversed(&[sold(), partial, refund.clone()]), 6300);
    assert_eq!(reversed(&[sold(), disputed("charge.dispute.funds_withdrawn", 51, 10_000, "lost", &[]), refund]), 8400);
}

fn voided(after: i64, at: i64) -> Step {
    let object = with(
        invoice("in_1", "subscription_create", 0, 1000),
        json!({"status_transitions": {"paid_at": null, "voided_at": START + at}}),
    );
    stripe("invoice.voided", after, object)
}

#[test]
fn a_void_after_payment_reverses_all_that_is_left() {
    let paid = stripe("invoice.paid", 1, invoice("in_1", "subscription_create", 0, 1000));
    let row = only(&[], &[paid.clone(), voided(50, 50)]);
    assert_eq!((row.reversed, row.flags), (1000, vec!["void_after_paid"]));
    let linked = stripe("invoice_payment.paid", 1, invoice_payment("in_1", "pi_1"));
    let back = stripe("refund.created", 9, refund("re_1", 9, 300, "succeeded", None, Some("pi_1")));
    let row = only(&[], &[paid.clone(), voided(50, 50), linked, back]);
    assert_eq!((row.reversed, row.commission), (1000, 0));
    let row = only(&[], &[paid, voided(0, 0)]);
    assert_eq!((row.reversed, row.flags), (0, vec![]), "voided before it was paid");
    assert!(ends(&[], &[voided(50, 50)]).is_empty(), "nothing paid, nothing to do");
}

#[test]
fn a_credit_note_counts_what_no_refund_carries() {
    let paid = stripe("invoice.paid", 1, invoice("in_1", "subscription_create", 0, 1000));
    let note = |members: Value| stripe("credit_note.created", 60, credit_note("cn_1", "in_1", members));
    let back = |members: Value| only(&[], &[paid.clone(), note(members)]).reversed;
    assert_eq!(back(json!({"amount": 500, "post_payment_amount": 500, "pre_payment_amount": 0, "refunds": []})), 500);
    assert_eq!(
        back(
            json!({"amount": 500, "post_payment_amount": 500, "refunds": [{"amount_refunded": 200, "refund": "re_1"}]})
        ),
        300
    );
    assert_eq!(
        back(
            json!({"amount": 500, "post_payment_amount": 500, "refunds": [{"amount_refunded": 500, "refund": "re_1"}]})
        ),
        0
    );
    assert_eq!(back(json!({"amount": 500, "post_payment_amount": 0, "pre_payment_amount": 500, "refunds": []})), 0);
    assert_eq!(back(json!({"amount": 500, "type": "post_payment", "refund": null})), 500);
    assert_eq!(back(json!({"amount": 500, "type": "post_payment", "refund": "re_1"})), 0);
    assert_eq!(back(json!({"amount": 500, "type": "post_payment", "post_payment_amount": 500, "refund": "re_1"})), 0);
    assert_eq!(back(json!({"amount": 500, "type": "pre_payment", "refund": null})), 0);
}

#[test]
fn a_voided_credit_note_is_gone_for_good() {
    let members = json!({"amount": 500, "post_payment_amount": 500, "refunds": []});
    let row = only(
        &[],
        &[
            stripe("invoice.paid", 1, invoice("in_1", "subscription_create", 0, 1000)),
            stripe("credit_note.created", 60, credit_note("cn_1", "in_1", members.clone())),
            stripe("credit_note.voided", 70, with(credit_note("cn_1", "in_1", members), json!({"status": "void"}))),
        ],
    );
    assert_eq!(row.reversed, 0);
}

#[test]
fn a_refunded_credit_note_and_its_refund_reverse_once() {
    let row = only(
        &[],
        &[
            stripe("invoice.paid", 1, classic("in_1", "subscription_create", 0, 1000)),
            stripe(
                "credit_note.created",
                60,
                credit_note("cn_1", "in_1", json!({"amount": 500, "type": "post_payment", "refund": "re_1"})),
            ),
            stripe("refund.created", 60, refund("re_1", 60, 500, "succeeded", Some("ch_in_1"), Some("pi_in_1"))),
            stripe("charge.refunded", 60, charge("ch_in_1", Some("pi_in_1"), 500)),
        ],
    );
    assert_eq!(row.reversed, 500);
}
