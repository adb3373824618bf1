//! Who brought a purchase on Stripe.

use crate::kit::*;
use crate::objects::*;
use domain::decision::{Decision, MapCode};
use domain::ids::{AffiliateId, Provider, Timestamp};
use serde_json::json;

fn expanded(id: &str, discounts: serde_json::Value) -> Step {
    let request = format!("GET /v1/invoices/{id}?expand[]=discounts");
    answer(Provider::Stripe, &request, json!({"id": id, "currency": "usd", "discounts": discounts}))
}

#[test]
fn a_code_mapped_by_text_only_is_asked_for_its_text() {
    let paid = stripe("invoice.paid", 1, discounted(invoice("in_1", "subscription_create", 0, 800), "di_1", 200));
    let mut vendor = Vendor::new(&[map_text(" Maya20 ", 1)]);
    vendor.take_in(&paid);
    let row = vendor.purchases().remove("inv:in_1").unwrap();
    assert_eq!((row.affiliate, row.how, row.flags), (None, None, vec!["attribution_pending"]));
    assert_eq!(vendor.questions(), ["GET /v1/invoices/in_1?expand[]=discounts"]);
    let asked = expanded("in_1", json!([discount("di_1", "C1", Some("promo_1"))]));
    vendor.take_in(&asked);
    assert_eq!(vendor.questions(), ["GET /v1/promotion_codes/promo_1"]);
    let text = answer(Provider::Stripe, "GET /v1/promotion_codes/promo_1", promotion_code("promo_1", "MAYA20", "C1"));
    let row = only(&[map_text(" Maya20 ", 1)], &[paid, asked, text]);
    assert_eq!(
        (row.affiliate, row.how, row.redemption, row.code.as_deref()),
        (Some(1), Some("promotion_code"), true, Some("MAYA20"))
    );
}

#[test]
fn the_catalogue_names_what_an_event_names_by_id() {
    let row = only(
        &[map_text("maya20", 1)],
        &[
            stripe("promotion_code.created", 0, promotion_code("promo_1", "MAYA20", "C1")),
            stripe("customer.discount.created", 0, discount("di_1", "C1", Some("promo_1"))),
            stripe("invoice.paid", 1, discounted(invoice("in_1", "subscription_create", 0, 800), "di_1", 200)),
        ],
    );
    assert_eq!(
        (row.affiliate, row.coupon.as_deref(), row.promotion_code.as_deref()),
        (Some(1), Some("C1"), Some("promo_1"))
    );
}

#[test]
fn a_remembered_code_is_asked_for_its_text_before_any_sale() {
    let mut vendor = Vendor::new(&[map_text("maya20", 1)]);
    vendor.take_in(&stripe("customer.discount.created", 0, discount("di_1", "C1", Some("promo_1"))));
    assert_eq!(vendor.questions(), ["GET /v1/promotion_codes/promo_1"]);
}

#[test]
fn a_bare_coupon_of_one_affiliate_credits_it() {
    let steps = [
        stripe("invoice.paid", 1, discounted(invoice("in_1", "subscription_create", 0, 800), "di_1", 200)),
        expanded("in_1", json!([discount("di_1", "KAI", None)])),
    ];
    let row = only(&[map_coupon("KAI", Some(3))], &steps);
    assert_eq!((row.affiliate, row.how, row.redemption, row.code), (Some(3), Some("coupon"), true, None));
}

#[test]
fn a_bare_coupon_may_be_known_only_through_its_promotion_codes() {
    let steps = [
        stripe("promotion_code.created", 0, promotion_code("promo_1", "LEO50", "C1")),
        stripe("invoice.paid", 1, discounted(invoice("in_1", "subscription_create", 0, 800), "di_1", 200)),
        expanded("in_1", json!([discount("di_1", "C1", None)])),
    ];
    let row = only(&[map_text("leo50", 4)], &steps);
    assert_eq!((row.affiliate, row.how), (Some(4), Some("coupon")));
    // Any discount that names both says whose coupon the code is.
    let taught = stripe(
        "customer.discount.created",
        0,
        with(discount("di_7", "C1", Some("promo_1")), json!({"subscription": "sub_7"})),
    );
    let by_id = Decision::MapCode(MapCode {
        promotion_code_id: Some("promo_1".into()),
        code: Some("LEO50".into()),
        ..maps(Some(4))
    });
    let row = only(&[by_id], &[taught, steps[1].clone(), steps[2].clone()]);
    assert_eq!((row.affiliate, row.how), (Some(4), Some("coupon")));
}

#[test]
fn a_coupon_that_several_share_credits_nobody_unless_a_code_or_link_does() {
    let shared = [map_all("SAM", "promo_s", "P15", 5), map_all("TIA", "promo_t", "P15", 6), map_link("ines", 2)];
    let paid = |metadata| with(discounted(manual("in_1", 0, 800), "di_1", 200), json!({"metadata": metadata}));
    let bare = expanded("in_1", json!([discount("di_1", "P15", None)]));
    let row = only(&shared, &[stripe("invoice.paid", 1, paid(json!({}))), bare.clone()]);
    assert_eq!(
        (row.affiliate, row.how, row.redemption, row.flags),
        (None, Some("none"), false, vec!["ambiguous_coupon"])
    );
    let coded = expanded("in_1", json!([discount("di_1", "P15", Some("promo_t"))]));
    let row = only(&shared, &[stripe("invoice.paid", 1, paid(json!({}))), coded]);
    assert_eq!((row.affiliate, row.flags), (Some(6), vec![]));
    let row = only(&shared, &[stripe("invoice.paid", 1, paid(json!({"affiliate_ref": "ines"}))), bare]);
    assert_eq!((row.affiliate, row.how, row.redemption), (Some(2), Some("link"), false));
}

#[test]
fn a_code_that_moved_takes_its_coupon_along() {
    let moved = Decision::MapCode(MapCode { promotion_code_id: Some("promo_1".into()), ..maps(Some(9)) });
    let steps = [
        stripe("invoice.paid", 1, discounted(manual("in_1", 0, 800), "di_1", 200)),
        expanded("in_1", json!([discount("di_1", "C1", None)])),
    ];
    let row = only(&[map_all("LEO", "promo_1", "C1", 4), moved], &steps);
    assert_eq!((row.affiliate, row.flags), (Some(9), vec![]));
}

#[test]
fn several_discounts_promotion_code_before_coupon_then_the_larger_amount() {
    let codes = [map_all("A", "promo_a", "CA", 1), map_all("B", "promo_b", "CB", 2), map_coupon("KAI", Some(3))];
    let paid = |amounts: [i64; 3]| {
        let ids = ["di_a", "di_b", "di_k"];
        let amounts: Vec<_> =
            ids.iter().zip(amounts).map(|(id, amount)| json!({"amount": amount, "discount": id})).collect();
        stripe(
            "invoice.paid",
            1,
            with(manual("in_1", 0, 800), json!({"discounts": ids, "total_discount_amounts": amounts})),
        )
    };
    let named = expanded(
        "in_1",
        json!([
            discount("di_a", "CA", Some("promo_a")),
            discount("di_b", "CB", Some("promo_b")),
            discount("di_k", "KAI", None)
        ]),
    );
    for (amounts, winner) in [([10, 20, 900], 2), ([20, 10, 900], 1), ([10, 10, 900], 1)] {
        let row = only(&codes, &[paid(amounts), named.clone()]);
        assert_eq!(
            (row.affiliate, row.how, row.flags),
            (Some(winner), Some("promotion_code"), vec!["multi_affiliate"]),
            "{amounts:?}"
        );
    }
}

#[test]
fn house_discounts_do_not_compete() {
    let house = Decision::MapCode(MapCode {
        promotion_code_id: Some("promo_h".into()),
        code: Some("BF".into()),
        coupon_id: Some("BF30".into()),
        ..maps(None)
    });
    let named = expanded("in_1", json!([discount("di_h", "BF30", Some("promo_h")), discount("di_k", "KAI", None)]));
    let paid = with(
        manual("in_1", 0, 800),
        json!({"discounts": ["di_h", "di_k"], "total_discount_amounts": [{"amount": 500, "discount": "di_h"}, {"amount": 5, "discount": "di_k"}]}),
    );
    let row = only(&[house.clone(), map_coupon("KAI", Some(3))], &[stripe("invoice.paid", 1, paid), named]);
    assert_eq!((row.affiliate, row.how, row.flags), (Some(3), Some("coupon"), vec![]));
    let paid = with(manual("in_1", 0, 800), json!({"discounts": [discount("di_h", "BF30", Some("promo_h"))]}));
    let row = only(&[house], &[stripe("invoice.paid", 1, paid)]);
    assert_eq!((row.affiliate, row.how, row.redemption, row.code.as_deref()), (None, Some("none"), false, Some("BF")));
}

#[test]
fn the_code_wins_over_the_link_and_is_flagged() {
    let codes = [map_all("MAYA", "promo_1", "C1", 1), map_link("ines", 2), map_link("maya", 1)];
    let linked =
        |key: &str| with(discounted(manual("in_1", 0, 800), "di_1", 200), json!({"metadata": {"affiliate_ref": key}}));
    let named = expanded("in_1", json!([discount("di_1", "C1", Some("promo_1"))]));
    let row = only(&codes, &[stripe("invoice.paid", 1, linked("ines")), named.clone()]);
    assert_eq!((row.affiliate, row.flags), (Some(1), vec!["link_and_code_disagree"]));
    let row = only(&codes, &[stripe("invoice.paid", 1, linked("maya")), named]);
    assert_eq!((row.affiliate, row.flags), (Some(1), vec![]));
}

#[test]
fn a_remembered_code_also_wins_over_the_link_of_the_first_sale() {
    let codes = [map_all("MAYA", "promo_1", "C1", 1), map_link("ines", 2)];
    let session = with(
        subscription_session("cs_1", 0, None),
        json!({"client_reference_id": "ref_ines", "discounts": [{"coupon": null, "promotion_code": "promo_1"}]}),
    );
    let row = only(
        &codes,
        &[
            stripe("checkout.session.completed", 3, session),
            stripe("invoice.paid", 1, invoice("in_1", "subscription_create", 0, 0)),
        ],
    );
    assert_eq!(
        (row.affiliate, row.how, row.redemption, row.flags),
        (Some(1), Some("promotion_code"), true, vec!["link_and_code_disagree"])
    );
}

#[test]
fn later_payments_follow_the_first_sale_and_not_the_link_of_its_session() {
    let codes = [map_all("MAYA", "promo_1", "C1", 1), map_link("ines", 2)];
    let session = with(
        subscription_session("cs_1", 0, Some("in_1")),
        json!({"client_reference_id": "ref_ines", "discounts": [{"coupon": null, "promotion_code": "promo_1"}]}),
    );
    let rows = ends(
        &codes,
        &[
            stripe("checkout.session.completed", 3, session),
            stripe("invoice.paid", 1, discounted(invoice("in_1", "subscription_create", 0, 800), "di_1", 200)),
            stripe("invoice.paid", 2_000_000, invoice("in_2", "subscription_cycle", 1_999_990, 1000)),
        ],
    );
    assert_eq!(
        (rows["inv:in_1"].affiliate, rows["inv:in_2"].affiliate, rows["inv:in_2"].how),
        (Some(1), Some(1), Some("subscription"))
    );
    assert_eq!(rows["inv:in_2"].code, None, "the discount is over");
}

#[test]
fn a_link_on_the_session_credits_the_whole_subscription() {
    let session = with(subscription_session("cs_1", 0, Some("in_1")), json!({"client_reference_id": "ref_ines"}));
    let rows = ends(
        &[map_link("ines", 2)],
        &[
            stripe("checkout.session.completed", 3, session),
            stripe("invoice.paid", 1, invoice("in_1", "subscription_create", 0, 1000)),
            stripe("invoice.paid", 2_000_000, invoice("in_2", "subscription_cycle", 1_999_990, 1000)),
        ],
    );
    assert_eq!(
        (rows["inv:in_1"].how, rows["inv:in_1"].redemption, rows["inv:in_1"].first_payment),
        (Some("link"), false, true)
    );
    assert_eq!((rows["inv:in_2"].how, rows["inv:in_2"].affiliate), (Some("subscription"), Some(2)));
}

#[test]
fn a_referral_key_is_read_wherever_it_may_be() {
    let links = [map_link("ines", 2)];
    let snapshot =
        json!({"parent": {"subscription_details": {"subscription": "sub_1", "metadata": {"affiliate_ref": "ines"}}}});
    let by_snapshot = stripe("invoice.paid", 1, with(invoice("in_1", "subscription_create", 0, 10), snapshot));
    let classic_snapshot = json!({"subscription_details": {"metadata": {"affiliate_ref": "ines"}}});
    let by_classic_snapshot =
        stripe("invoice.paid", 1, with(classic("in_1", "subscription_create", 0, 10), classic_snapshot));
    let by_session = stripe(
        "checkout.session.completed",
        1,
        with(session("cs_1", 0, 10), json!({"metadata": {"affiliate_ref": "ines"}})),
    );
    for step in [by_snapshot, by_classic_snapshot, by_session] {
        let row = only(&links, &[step]);
        assert_eq!((row.affiliate, row.how, row.redemption), (Some(2), Some("link"), false));
    }
    let by_charge = with(charge("ch_1", Some("pi_cs_1"), 0), json!({"metadata": {"affiliate_ref": "ines"}}));
    let by_subscription = json!({"id": "sub_1", "created": START, "metadata": {"affiliate_ref": "ines"}});
    let row = only(
        &links,
        &[stripe("checkout.session.completed", 1, session("cs_1", 0, 10)), stripe("charge.succeeded", 1, by_charge)],
    );
    assert_eq!(row.affiliate, Some(2));
    let row = only(
        &links,
        &[
            stripe("invoice.paid", 1, invoice("in_1", "subscription_create", 0, 10)),
            stripe("customer.subscription.created", 1, by_subscription),
        ],
    );
    assert_eq!((row.affiliate, row.how), (Some(2), Some("link")));
}

#[test]
fn a_reference_without_our_prefix_is_the_vendors_own() {
    let own = with(session("cs_1", 0, 10), json!({"client_reference_id": "ines"}));
    let row = only(&[map_link("ines", 2)], &[stripe("checkout.session.completed", 1, own)]);
    assert_eq!((row.affiliate, row.how), (None, Some("none")));
    let empty =
        with(session("cs_1", 0, 10), json!({"client_reference_id": "ref_", "metadata": {"affiliate_ref": "ines"}}));
    assert_eq!(only(&[map_link("ines", 2)], &[stripe("checkout.session.completed", 1, empty)]).affiliate, Some(2));
}

#[test]
fn a_refused_look_up_leaves_the_affiliate_empty_also_where_a_link_is_known() {
    let paid = with(discounted(manual("in_1", 0, 800), "di_1", 200), json!({"metadata": {"affiliate_ref": "ines"}}));
    let row = only(
        &[map_link("ines", 2)],
        &[stripe("invoice.paid", 1, paid), refusal(Provider::Stripe, "GET /v1/invoices/in_1?expand[]=discounts")],
    );
    assert_eq!((row.affiliate, row.how, row.net, row.flags), (None, None, 800, vec!["attribution_pending"]));
}

#[test]
fn a_session_without_discounts_is_asked_for_its_breakdown() {
    let sold = with(session("cs_1", 0, 800), json!({"discounts": null, "total_details": {"amount_discount": 200}}));
    let request = "GET /v1/checkout/sessions/cs_1?expand[]=total_details.breakdown";
    let breakdown = json!({"id": "cs_1", "total_details": {"amount_discount": 200, "breakdown": {"discounts": [{"amount": 200, "discount": {"id": "di_1", "coupon": {"id": "C1"}, "promotion_code": "promo_1"}}]}}});
    let mut vendor = Vendor::new(&[]);
    vendor.take_in(&stripe("checkout.session.completed", 1, sold.clone()));
    assert_eq!(vendor.questions(), [request]);
    let row = only(
        &[map_all("ZOE", "promo_1", "C1", 8)],
        &[stripe("checkout.session.completed", 1, sold), answer(Provider::Stripe, request, breakdown)],
    );
    assert_eq!((row.affiliate, row.redemption), (Some(8), true));
}

#[test]
fn a_coupon_told_without_its_code_is_the_same_discount() {
    let codes = [map_all("SAM", "promo_s", "P15", 5), map_coupon("P15", Some(6))];
    let session = with(
        subscription_session("cs_1", 0, Some("in_1")),
        json!({"discounts": [{"coupon": "P15", "promotion_code": null}]}),
    );
    let rows = ends(
        &codes,
        &[
            stripe("checkout.session.completed", 3, session),
            stripe(
                "invoice.paid",
                1,
                with(
                    invoice("in_1", "subscription_create", 0, 800),
                    json!({"discounts": [discount("di_1", "P15", Some("promo_s"))]}),
                ),
            ),
        ],
    );
    assert_eq!((rows["inv:in_1"].affiliate, &rows["inv:in_1"].flags), (Some(5), &vec![]));
}

#[test]
fn an_invoice_of_a_remembered_session_is_not_counted_as_two_discounts() {
    let session = with(
        subscription_session("cs_1", 0, Some("in_1")),
        json!({"discounts": [{"coupon": null, "promotion_code": "promo_1"}]}),
    );
    let row = only(
        &[map_all("MAYA", "promo_1", "C1", 1)],
        &[
            stripe("invoice.paid", 1, discounted(invoice("in_1", "subscription_create", 0, 800), "di_1", 200)),
            stripe("checkout.session.completed", 3, session),
            refusal(Provider::Stripe, "GET /v1/invoices/in_1?expand[]=discounts"),
        ],
    );
    assert_eq!((row.affiliate, row.coupon.as_deref(), row.flags), (Some(1), Some("C1"), vec![]));
}

#[test]
fn a_remembered_discount_credits_nothing_sold_before_its_start() {
    let later = with(discount("di_1", "C1", Some("promo_1")), json!({"start": START + 1_000_000}));
    let rows = ends(
        &[map_all("MAYA", "promo_1", "C1", 1)],
        &[
            stripe("invoice.paid", 1, invoice("in_1", "subscription_create", 0, 500)),
            stripe("customer.discount.created", 1_000_000, later),
            stripe("invoice.paid", 2_000_000, invoice("in_2", "subscription_cycle", 1_999_990, 500)),
        ],
    );
    assert_eq!(
        (rows["inv:in_1"].affiliate, rows["inv:in_2"].affiliate, rows["inv:in_2"].redemption),
        (None, Some(1), false)
    );
}

#[test]
fn deactivating_and_deleting_detaches_nothing() {
    let rows = ends(
        &[map_all("LEO", "promo_1", "C1", 4)],
        &[
            stripe(
                "invoice.paid",
                1,
                with(
                    invoice("in_1", "subscription_create", 0, 500),
                    json!({"discounts": [discount("di_1", "C1", Some("promo_1"))]}),
                ),
            ),
            stripe("promotion_code.updated", 2, with(promotion_code("promo_1", "LEO", "C1"), json!({"active": false}))),
            stripe("coupon.deleted", 3, json!({"id": "C1", "deleted": true})),
            stripe("customer.discount.deleted", 4, discount("di_1", "C1", Some("promo_1"))),
            stripe(
                "invoice.paid",
                2_000_000,
                discounted(invoice("in_2", "subscription_cycle", 1_999_990, 500), "di_1", 50),
            ),
        ],
    );
    assert_eq!(
        (rows["inv:in_1"].affiliate, rows["inv:in_2"].affiliate, rows["inv:in_2"].code.as_deref()),
        (Some(4), Some(4), Some("LEO"))
    );
}

#[test]
fn the_mapping_of_the_first_sale_that_carried_the_discount_is_kept() {
    let moved = Decision::MapCode(MapCode {
        promotion_code_id: Some("promo_1".into()),
        valid_from: Some(Timestamp::from_seconds(START + 1_000_000)),
        affiliate: Some(AffiliateId(9)),
        ..maps(None)
    });
    let named = |id: &str, reason: &str, after| {
        with(invoice(id, reason, after, 500), json!({"discounts": [discount("di_1", "C1", Some("promo_1"))]}))
    };
    let rows = ends(
        &[map_all("LEO", "promo_1", "C1", 4), moved],
        &[
            stripe("invoice.paid", 1, named("in_1", "subscription_create", 0)),
            stripe("invoice.paid", 2_000_000, named("in_2", "subscription_cycle", 1_999_990)),
        ],
    );
    assert_eq!((rows["inv:in_1"].affiliate, rows["inv:in_2"].affiliate), (Some(4), Some(4)));
}
