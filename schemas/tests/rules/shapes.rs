//! Events are read by shape, not by version.

use crate::kit::*;
use crate::objects::*;
use domain::fold::Outcome;
use schemas::decode::Action;
use serde_json::json;

#[test]
fn expanded_objects_stand_for_their_ids() {
    let object = with(
        classic("in_1", "subscription_create", 0, 800),
        json!({
            "customer": {"id": "cus_1", "deleted": true}, "subscription": {"id": "sub_1"}, "payment_intent": {"id": "pi_1"}, "charge": {"id": "ch_1"},
            "discounts": [{"id": "di_1", "coupon": {"id": "C1"}, "promotion_code": {"id": "promo_1"}}],
            "total_discount_amounts": [{"amount": 200, "discount": {"id": "di_1"}}]
        }),
    );
    let row = only(
        &[map_all("MAYA", "promo_1", "C1", 1)],
        &[
            stripe("invoice.paid", 1, object),
            stripe(
                "refund.created",
                9,
                json!({"id": "re_1", "amount": 400, "currency": "usd", "status": "succeeded", "created": START + 9, "charge": {"id": "ch_1"}, "payment_intent": {"id": "pi_1"}}),
            ),
        ],
    );
    assert_eq!((row.affiliate, row.discount, row.reversed), (Some(1), 200, 400));
}

#[test]
fn an_id_may_stand_where_an_object_was() {
    let object =
        with(classic("in_1", "subscription_create", 0, 800), json!({"discount": "di_1", "discounts": ["di_1"]}));
    let row = only(
        &[map_all("MAYA", "promo_1", "C1", 1)],
        &[
            stripe("invoice.paid", 1, object),
            stripe("customer.subscription.updated", 2, json!({"id": "sub_1", "discount": "di_1"})),
            stripe("customer.discount.created", 0, discount("di_1", "C1", Some("promo_1"))),
        ],
    );
    assert_eq!(row.affiliate, Some(1));
}

#[test]
fn one_event_in_two_shapes_is_one_sale() {
    let old = with(
        classic("in_1", "subscription_create", 0, 1200),
        json!({"tax": 200, "discount": {"id": "di_1", "coupon": {"id": "C1"}, "promotion_code": "promo_1"}}),
    );
    let new = with(
        discounted(invoice("in_1", "subscription_create", 0, 1200), "di_1", 100),
        json!({"total_taxes": [{"amount": 200}]}),
    );
    let (old, mut new) = (stripe_version("invoice.paid", 1, Some("2020-08-27"), old), stripe("invoice.paid", 1, new));
    if let (Step::Event(old), Step::Event(new)) = (&old, &mut new) {
        new.event_id = old.event_id.clone();
    }
    let rows = ends(
        &[map_all("MAYA", "promo_1", "C1", 1)],
        &[old, new, stripe("refund.created", 9, refund("re_1", 9, 1200, "succeeded", Some("ch_in_1"), None))],
    );
    let row = &rows["inv:in_1"];
    assert_eq!((rows.len(), row.net, row.affiliate, row.redemption, row.reversed), (1, 1000, Some(1), true, 1000));
}

#[test]
fn the_coupon_is_read_in_every_place_it_ever_had() {
    for object in [
        json!({"id": "di_1", "coupon": {"id": "KAI"}, "promotion_code": null, "subscription": "sub_1", "start": START}),
        json!({"id": "di_1", "source": {"type": "coupon", "coupon": "KAI"}, "promotion_code": null, "subscription": "sub_1", "start": START}),
        json!({"id": "di_1", "source": {"type": "coupon", "coupon": {"id": "KAI"}}, "promotion_code": null, "subscription": "sub_1", "start": START}),
    ] {
        let row = only(
            &[map_coupon("KAI", Some(3))],
            &[
                stripe("customer.discount.created", 0, object),
                stripe("invoice.paid", 1, discounted(invoice("in_1", "subscription_create", 0, 800), "di_1", 200)),
            ],
        );
        assert_eq!((row.affiliate, row.how), (Some(3), Some("coupon")));
    }
}

#[test]
fn a_classic_promotion_code_names_its_coupon_as_an_object() {
    let classic = json!({"id": "promo_1", "code": "LEO50", "coupon": {"id": "C1"}});
    let row = only(
        &[map_text("leo50", 4)],
        &[
            stripe("promotion_code.created", 0, classic),
            stripe(
                "checkout.session.completed",
                1,
                with(session("cs_1", 0, 800), json!({"discounts": [{"coupon": null, "promotion_code": "promo_1"}]})),
            ),
        ],
    );
    assert_eq!((row.affiliate, row.coupon.as_deref()), (Some(4), Some("C1")));
}

#[test]
fn thin_notifications_and_unknown_types_are_ignored_by_name() {
    let thin = json!({"id": "evt_1", "object": "v2.core.event", "type": "v1.invoice.paid", "created": "2026-10-26T09:33:23.512Z", "livemode": true});
    let mut step = stripe("v1.invoice.paid", 1, json!({}));
    if let Step::Event(delivery) = &mut step {
        delivery.event = serde_json::value::to_raw_value(&thin).unwrap();
    }
    let reading = read(&step).unwrap();
    assert_eq!((reading.action, reading.flags), (Action::Ignore, vec!["unsupported_thin"]));
    for event_type in ["invoice.created", "charge.dispute.appealed", "topup.created"] {
        let reading = read(&stripe(event_type, 1, json!({"id": "x_1", "object": "x"}))).unwrap();
        assert_eq!((reading.action, reading.flags), (Action::Ignore, vec!["unknown_type"]), "{event_type}");
    }
}

#[test]
fn unknown_versions_are_flagged_and_parsed_all_the_same() {
    for (version, flags) in [
        (Some("2020-08-27"), vec![]),
        (Some("2022-08-01"), vec![]),
        (Some("2025-01-27.acacia"), vec![]),
        (Some("2026-10-28.endive"), vec![]),
        (None, vec![]),
        (Some("2019-12-03"), vec!["unknown_api_version"]),
        (Some("2027-03-31.fescue"), vec!["unknown_api_version"]),
    ] {
        let reading = read(&stripe_version("invoice.paid", 1, version, manual("in_1", 0, 500))).unwrap();
        assert_eq!((reading.action, reading.flags), (Action::Sale, flags), "{version:?}");
    }
}

#[test]
fn an_invoice_paid_out_of_band_names_its_invoice() {
    let payment =
        json!({"id": "inpay_1", "currency": "usd", "invoice": "in_1", "payment": {"type": "out_of_band_payment"}});
    let reading = read(&stripe("invoice_payment.paid", 1, payment)).unwrap();
    assert_eq!(reading.purchase_names().iter().map(ToString::to_string).collect::<Vec<_>>(), ["inv:in_1"]);
    let legacy =
        json!({"id": "inpay_1", "currency": "usd", "invoice": "in_1", "payment": {"type": "charge", "charge": "ch_1"}});
    let row = only(
        &[],
        &[
            stripe("invoice_payment.paid", 1, legacy),
            stripe("invoice.paid", 1, manual("in_1", 0, 500)),
            stripe("charge.refunded", 9, charge("ch_1", None, 100)),
        ],
    );
    assert_eq!(row.reversed, 100);
}

#[test]
fn an_old_payment_intent_lists_its_charges() {
    let intent = json!({"id": "pi_cs_1", "currency": "usd", "charges": {"data": [{"id": "ch_0", "object": "charge"}, {"id": "ch_1", "object": "charge"}]}});
    let row = only(
        &[],
        &[
            stripe_version("payment_intent.succeeded", 1, Some("2020-08-27"), intent),
            stripe("checkout.session.completed", 2, session("cs_1", 0, 800)),
            stripe("refund.created", 9, refund("re_1", 9, 300, "succeeded", Some("ch_1"), None)),
        ],
    );
    assert_eq!(row.reversed, 300);
}

#[test]
fn what_people_put_into_metadata_never_refuses_a_sale() {
    for odd in [json!(42), json!(null), json!(true), json!(["x"]), json!({"a": 1})] {
        let row = only(
            &[map_link("42", 2)],
            &[stripe("invoice.paid", 1, with(manual("in_1", 0, 500), json!({"metadata": {"affiliate_ref": odd}})))],
        );
        assert_eq!(row.affiliate, (odd == json!(42)).then_some(2), "{odd}");
    }
}

#[test]
fn a_sale_without_its_amount_is_refused_by_name() {
    let mut vendor = Vendor::new(&[]);
    let outcome = vendor.take_in(&stripe("invoice.paid", 1, with(manual("in_1", 0, 500), json!({"total": null}))));
    assert!(matches!(&outcome, Outcome::Refused(reason) if reason.contains("data.object.total")), "{outcome:?}");
}
