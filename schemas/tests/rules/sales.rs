//! What counts money on Stripe, how much, and where it stands in its history.

use crate::kit::*;
use crate::objects::*;
use domain::fold::Outcome;
use domain::ids::Provider;
use schemas::decode::Action;
use serde_json::json;

#[test]
fn paid_and_payment_succeeded_are_one_sale() {
    let row = only(
        &[],
        &[
            stripe("invoice.paid", 1, invoice("in_1", "subscription_create", 0, 1000)),
            stripe("invoice.payment_succeeded", 1, invoice("in_1", "subscription_create", 0, 1000)),
        ],
    );
    assert_eq!((row.kind, row.gross, row.first_payment, row.redemption), ("first", 1000, true, false));
}

#[test]
fn events_that_repeat_money_count_nothing() {
    let rows = ends(
        &[],
        &[
            stripe("charge.succeeded", 1, charge("ch_1", Some("pi_1"), 0)),
            stripe("payment_intent.succeeded", 1, json!({"id": "pi_1", "currency": "usd", "latest_charge": "ch_1"})),
            stripe("invoice_payment.paid", 1, invoice_payment("in_1", "pi_1")),
            stripe("checkout.session.completed", 1, subscription_session("cs_1", 0, Some("in_1"))),
            stripe(
                "customer.subscription.created",
                1,
                json!({"id": "sub_1", "created": START, "latest_invoice": "in_1"}),
            ),
        ],
    );
    assert!(rows.is_empty(), "{rows:?}");
}

#[test]
fn a_trial_begins_with_a_zero_sale_and_its_first_cycle_is_the_first_payment() {
    let codes = [map_all("MAYA", "promo_1", "C1", 1)];
    let zero = discounted(invoice("in_0", "subscription_create", 0, 0), "di_1", 0);
    let steps = [
        stripe("invoice.paid", 1, zero),
        stripe("customer.discount.created", 0, discount("di_1", "C1", Some("promo_1"))),
        stripe("invoice.paid", 2_000_000, invoice("in_1", "subscription_cycle", 1_999_999, 4900)),
        stripe("invoice.paid", 4_000_000, invoice("in_2", "subscription_cycle", 3_999_999, 4900)),
    ];
    let rows = ends(&codes, &steps);
    let shown = |key: &str| {
        let row = &rows[key];
        (row.kind, row.redemption, row.first_payment, row.affiliate, row.how, row.commission)
    };
    assert_eq!(shown("inv:in_0"), ("zero", true, false, Some(1), Some("promotion_code"), 0));
    assert_eq!(shown("inv:in_1"), ("renewal", false, true, Some(1), Some("subscription"), 980));
    assert_eq!(shown("inv:in_2"), ("renewal", false, false, Some(1), Some("subscription"), 980));
}

#[test]
fn a_trial_invoice_may_name_a_discount_without_an_amount() {
    let zero = with(invoice("in_0", "subscription_create", 0, 0), json!({"discounts": ["di_1"]}));
    let steps = [
        stripe("invoice.paid", 1, zero),
        answer(
            Provider::Stripe,
            "GET /v1/invoices/in_0?expand[]=discounts",
            json!({"id": "in_0", "currency": "usd", "discounts": [discount("di_1", "C1", Some("promo_1"))]}),
        ),
    ];
    let row = only(&[map_all("MAYA", "promo_1", "C1", 1)], &steps);
    assert_eq!((row.redemption, row.affiliate, row.code.as_deref()), (true, Some(1), Some("MAYA")));
}

#[test]
fn history_decides_the_first_payment_by_creation_not_by_arrival() {
    let rows = ends(
        &[],
        &[
            stripe("invoice.paid", 300, invoice("in_2", "subscription_cycle", 200, 500)),
            stripe("invoice.paid", 900, invoice("in_1", "subscription_create", 100, 500)),
        ],
    );
    assert_eq!((rows["inv:in_1"].first_payment, rows["inv:in_2"].first_payment), (true, false));
}

#[test]
fn a_subscription_older_than_the_connection_is_asked_for_its_invoices() {
    let mut vendor = Vendor::since(Some(1_000), &[]);
    vendor.take_in(&stripe("invoice.paid", 2_000, invoice("in_9", "subscription_cycle", 1_999, 500)));
    let row = vendor.purchases().remove("inv:in_9").unwrap();
    assert_eq!((row.first_payment, row.flags), (false, vec!["history_unknown"]));
    let question = "GET /v1/invoices?subscription=sub_1&status=paid&limit=100";
    assert_eq!(vendor.questions(), [question]);
    let zero_then_paid = json!({"data": [invoice("in_9", "subscription_cycle", 1_999, 500), invoice("in_0", "subscription_create", 5, 0)], "has_more": false});
    vendor.take_in(&answer(Provider::Stripe, question, zero_then_paid));
    let row = vendor.purchases().remove("inv:in_9").unwrap();
    assert_eq!((row.first_payment, row.kind, row.flags), (true, "renewal", vec![]));
}

#[test]
fn a_history_of_more_than_one_page_stays_unknown() {
    let mut vendor = Vendor::since(Some(1_000), &[]);
    vendor.take_in(&stripe("invoice.paid", 2_000, invoice("in_9", "subscription_cycle", 1_999, 500)));
    let page = json!({"data": [invoice("in_9", "subscription_cycle", 1_999, 500)], "has_more": true});
    vendor.take_in(&answer(Provider::Stripe, "GET /v1/invoices?subscription=sub_1&status=paid&limit=100", page));
    let row = vendor.purchases().remove("inv:in_9").unwrap();
    assert_eq!((row.first_payment, row.flags), (false, vec!["history_unknown"]));
}

#[test]
fn without_a_key_an_older_subscription_is_history_unknown_but_a_known_first_is_first() {
    let mut vendor = Vendor::since(Some(1_000), &[]);
    vendor.take_in(&stripe("invoice.paid", 2_000, invoice("in_9", "subscription_cycle", 1_999, 500)));
    vendor.take_in(&refusal(Provider::Stripe, "GET /v1/invoices?subscription=sub_1&status=paid&limit=100"));
    assert_eq!(vendor.purchases()["inv:in_9"].flags, ["history_unknown"]);
    let mut vendor = Vendor::since(Some(1_000), &[]);
    vendor.take_in(&stripe("invoice.paid", 2_000, invoice("in_1", "subscription_create", 1_999, 500)));
    let row = vendor.purchases().remove("inv:in_1").unwrap();
    assert_eq!((row.first_payment, row.flags), (true, vec![]));
}

#[test]
fn a_manual_invoice_is_a_one_time_sale() {
    let row = only(&[], &[stripe("invoice.paid", 1, manual("in_1", 0, 700))]);
    assert_eq!((row.kind, row.first_payment), ("one_time", true));
}

#[test]
fn an_unknown_billing_reason_is_decided_by_history() {
    let rows = ends(
        &[],
        &[
            stripe("invoice.paid", 1, invoice("in_1", "quote_accept", 0, 500)),
            stripe("invoice.paid", 11, invoice("in_2", "quote_accept", 10, 500)),
            stripe("invoice.paid", 21, invoice("in_3", "subscription_threshold", 20, 500)),
        ],
    );
    assert_eq!((rows["inv:in_1"].kind, rows["inv:in_2"].kind, rows["inv:in_3"].kind), ("first", "renewal", "update"));
    assert!(rows["inv:in_1"].first_payment && !rows["inv:in_2"].first_payment);
}

#[test]
fn a_negative_total_is_a_sale_with_net_zero() {
    let credit = with(invoice("in_1", "subscription_update", 0, -300), json!({"amount_due": 0, "amount_paid": 0}));
    let row = only(&[], &[stripe("invoice.paid", 1, credit)]);
    assert_eq!((row.kind, row.gross, row.net, row.first_payment), ("update", -300, 0, false));
}

#[test]
fn what_the_customer_balance_paid_earns_nothing() {
    let partly = with(
        invoice("in_1", "subscription_create", 0, 4665),
        json!({"total_taxes": [{"amount": 745}], "amount_due": 2000, "amount_paid": 2000}),
    );
    let row = only(&[], &[stripe("invoice.paid", 1, partly)]);
    assert_eq!((row.gross, row.paid, row.tax, row.net), (4665, 2000, 745, 1681));
}

#[test]
fn an_overpaid_invoice_has_its_whole_net() {
    let overpaid =
        with(invoice("in_1", "subscription_create", 0, 1000), json!({"amount_paid": 1200, "amount_overpaid": 200}));
    assert_eq!(only(&[], &[stripe("invoice.paid", 1, overpaid)]).net, 1000);
}

#[test]
fn money_out_of_band_counts_in_classic_versions_too() {
    let classic =
        with(classic("in_1", "subscription_create", 0, 900), json!({"paid_out_of_band": true, "amount_paid": 0}));
    let row = only(&[], &[stripe("invoice.paid", 1, classic)]);
    assert_eq!((row.paid, row.net, row.first_payment), (900, 900, true));
}

#[test]
fn classic_tax_and_shipping_are_taken_out() {
    let object = with(classic("in_1", "subscription_create", 0, 1500), json!({"tax": 200, "amount_shipping": 300}));
    assert_eq!(only(&[], &[stripe("invoice.paid", 1, object)]).net, 1000);
}

#[test]
fn inclusive_and_exclusive_taxes_are_summed() {
    let object = with(
        invoice("in_1", "subscription_create", 0, 1500),
        json!({"total_taxes": [{"amount": 200}, {"amount": 40}]}),
    );
    let row = only(&[], &[stripe("invoice.paid", 1, object)]);
    assert_eq!((row.tax, row.net), (240, 1260));
}

#[test]
fn a_session_is_one_purchase_with_its_payment_intent() {
    let rows = ends(
        &[],
        &[
            stripe("checkout.session.completed", 2, session("cs_1", 0, 800)),
            stripe("charge.succeeded", 1, charge("ch_1", Some("pi_cs_1"), 0)),
        ],
    );
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["pi:pi_cs_1"]);
}

#[test]
fn a_free_session_is_a_zero_sale_under_its_own_name() {
    let free = with(
        session("cs_1", 0, 0),
        json!({
            "amount_subtotal": 500, "payment_status": "no_payment_required", "payment_intent": null,
            "total_details": {"amount_discount": 500}, "discounts": [{"coupon": null, "promotion_code": "promo_1"}]
        }),
    );
    let rows = ends(&[map_all("MAYA", "promo_1", "C1", 1)], &[stripe("checkout.session.completed", 1, free)]);
    let row = &rows["cs:cs_1"];
    assert_eq!(
        (row.kind, row.redemption, row.first_payment, row.affiliate, row.commission),
        ("zero", true, false, Some(1), 0)
    );
}

#[test]
fn a_session_with_an_invoice_is_counted_by_the_invoice_only() {
    let with_invoice = with(
        session("cs_1", 0, 1000),
        json!({"invoice": "in_1", "payment_intent": "pi_1", "client_reference_id": "ref_ines"}),
    );
    let completed = stripe("checkout.session.completed", 5, with_invoice);
    assert_eq!(action(&completed), Action::Link);
    let rows = ends(
        &[map_link("ines", 2)],
        &[
            completed,
            stripe("invoice.paid", 3, manual("in_1", 0, 1000)),
            stripe("invoice_payment.paid", 3, invoice_payment("in_1", "pi_1")),
        ],
    );
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["inv:in_1"]);
    assert_eq!((rows["inv:in_1"].affiliate, rows["inv:in_1"].how), (Some(2), Some("link")));
}

#[test]
fn a_session_that_will_make_an_invoice_is_only_a_link() {
    let before_invoice = with(
        session("cs_1", 0, 1000),
        json!({"payment_intent": "pi_1", "invoice_creation": {"enabled": true}, "discounts": [{"coupon": null, "promotion_code": "promo_1"}]}),
    );
    let completed = stripe("checkout.session.completed", 5, before_invoice);
    assert_eq!(action(&completed), Action::Link);
    let steps = [
        completed,
        stripe("invoice_payment.paid", 6, invoice_payment("in_1", "pi_1")),
        stripe("invoice.paid", 6, discounted(manual("in_1", 0, 1000), "di_1", 100)),
    ];
    let rows = ends(&[map_all("MAYA", "promo_1", "C1", 1)], &steps);
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["inv:in_1"]);
    let row = &rows["inv:in_1"];
    assert_eq!((row.redemption, row.affiliate, row.code.as_deref()), (true, Some(1), Some("MAYA")));
}

#[test]
fn an_unpaid_session_waits_for_its_money() {
    let unpaid =
        stripe("checkout.session.completed", 1, with(session("cs_1", 0, 1000), json!({"payment_status": "unpaid"})));
    let reading = read(&unpaid).unwrap();
    assert_eq!((reading.action, reading.flags), (Action::Link, vec!["awaiting_payment"]));
    assert!(ends(&[], std::slice::from_ref(&unpaid)).is_empty());
    let row = only(&[], &[unpaid, stripe("checkout.session.async_payment_succeeded", 90, session("cs_1", 0, 1000))]);
    assert_eq!((row.kind, row.net, row.first_payment), ("one_time", 1000, true));
}

#[test]
fn failed_and_expired_sessions_and_failed_invoices_are_no_money() {
    for event_type in ["checkout.session.async_payment_failed", "checkout.session.expired"] {
        let step = stripe(event_type, 1, session("cs_1", 0, 1000));
        assert_eq!(action(&step), Action::Ignore);
        assert!(ends(&[], &[step]).is_empty());
    }
    for event_type in ["invoice.payment_failed", "invoice.marked_uncollectible"] {
        assert!(ends(&[], &[stripe(event_type, 1, invoice("in_1", "subscription_cycle", 0, 5))]).is_empty());
    }
}

#[test]
fn a_counted_session_whose_invoice_shows_up_is_still_one_sale() {
    let rows = ends(
        &[],
        &[
            stripe("checkout.session.completed", 1, session("cs_1", 0, 1000)),
            stripe("invoice.paid", 2, manual("in_1", 0, 1000)),
            stripe("invoice_payment.paid", 3, invoice_payment("in_1", "pi_cs_1")),
        ],
    );
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["inv:in_1"]);
    assert_eq!(rows["inv:in_1"].gross, 1000);
}

#[test]
fn a_currency_that_is_not_in_the_list_is_counted_and_a_word_is_refused() {
    let row = only(&[], &[stripe("invoice.paid", 1, with(manual("in_1", 0, 500), json!({"currency": "ZZZ"})))]);
    assert_eq!((row.currency.as_str(), row.currency.minor_digits()), ("zzz", None));
    let refused =
        read(&stripe("invoice.paid", 1, with(manual("in_1", 0, 500), json!({"currency": "dollars"})))).unwrap_err();
    assert!(refused.to_string().contains("dollars"), "{refused}");
}

#[test]
fn amounts_near_the_end_of_the_range_are_refused_and_never_wrap() {
    let huge = i64::MAX;
    for members in [
        json!({"total": huge}),
        json!({"total": 18_446_744_073_709_551_615_u64}),
        json!({"amount_paid": i64::MIN}),
        json!({"total_taxes": [{"amount": 1_000_000_000_000_000_i64}, {"amount": 1_000_000_000_000_000_i64}]}),
        json!({"total_discount_amounts": [{"amount": huge, "discount": "di_1"}, {"amount": huge, "discount": "di_2"}]}),
    ] {
        let error = read(&stripe("invoice.paid", 1, with(manual("in_1", 0, 5), members))).unwrap_err();
        assert!(error.to_string().starts_with("amount_out_of_range"), "{error}");
    }
    let most = 1_000_000_000_000_000_i64;
    let odd = with(
        manual("in_1", 0, 1),
        json!({"total_taxes": [{"amount": -most}], "amount_shipping": -most, "amount_paid": -most}),
    );
    assert_eq!(only(&[], &[stripe("invoice.paid", 1, odd)]).net, 0, "nothing was paid");
    let full = with(manual("in_1", 0, most), json!({"amount_paid": most - 1}));
    assert_eq!(only(&[], &[stripe("invoice.paid", 1, full)]).net, most - 1);
    let mut note = credit_note(
        "cn_1",
        "in_1",
        json!({"post_payment_amount": 5, "refunds": [{"amount_refunded": huge}, {"amount_refunded": huge}]}),
    );
    assert!(read(&stripe("credit_note.created", 1, note.clone())).is_ok());
    note["post_payment_amount"] = json!(huge);
    assert!(read(&stripe("credit_note.created", 1, note)).is_err());
    let session = with(
        session("cs_1", 0, 5),
        json!({"mode": "subscription", "discounts": [{"coupon": "C"}], "total_details": {"amount_discount": i64::MIN}}),
    );
    assert!(read(&stripe("checkout.session.completed", 1, session)).is_err());
}

#[test]
fn an_event_without_anything_to_count_says_so() {
    let mut vendor = Vendor::new(&[]);
    let outcome = vendor.take_in(&stripe("customer.created", 1, json!({"id": "cus_1"})));
    assert_eq!(outcome, Outcome::NoEffect("nothing_to_count".to_owned()));
}
