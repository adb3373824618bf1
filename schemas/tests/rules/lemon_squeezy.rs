//! Lemon Squeezy.

use crate::kit::*;
use domain::ids::Provider;
use schemas::decode::Action;
use serde_json::{Value, json};

fn order(after: i64, total: i64, members: Value) -> Value {
    let object = json!({
        "customer_id": 66, "currency": "USD", "subtotal": total, "setup_fee": 0, "discount_total": 0, "tax": 0, "total": total,
        "refunded_amount": 0, "status": "paid", "refunded": false, "created_at": at(after), "updated_at": at(after)
    });
    with(object, members)
}

fn created(after: i64, total: i64, members: Value) -> Step {
    lemon("order_created", after, "orders", "54", order(after, total, members))
}

fn subscription_created(after: i64) -> Step {
    lemon(
        "subscription_created",
        after,
        "subscriptions",
        "88",
        json!({"order_id": 54, "created_at": at(after), "status": "active"}),
    )
}

fn payment(event_type: &str, after: i64, id: &str, reason: &str, total: i64) -> Step {
    lemon(
        event_type,
        after,
        "subscription-invoices",
        id,
        order(after, total, json!({"subscription_id": 88, "billing_reason": reason})),
    )
}

fn redemptions(data: Value) -> Step {
    answer(Provider::LemonSqueezy, "GET /v1/discount-redemptions?filter[order_id]=54", json!({"data": data}))
}

fn maya() -> Value {
    json!([{"type": "discount-redemptions", "id": "1", "attributes": {"discount_id": 512, "discount_code": "MAYA20", "amount": 980, "order_id": 54}}])
}

#[test]
fn the_initial_invoice_repeats_the_order() {
    let initial = payment("subscription_payment_success", 2, "770", "initial", 4704);
    assert_eq!(action(&initial), Action::Link);
    let rows = ends(
        &[],
        &[
            created(0, 4704, json!({"tax": 784})),
            subscription_created(1),
            initial,
            payment("subscription_payment_success", 900, "771", "renewal", 5880),
        ],
    );
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["order:54", "subinv:771"]);
    assert_eq!((rows["order:54"].kind, rows["order:54"].net, rows["order:54"].first_payment), ("first", 3920, true));
    assert_eq!((rows["subinv:771"].kind, rows["subinv:771"].first_payment), ("renewal", false));
}

#[test]
fn an_order_without_subscription_is_a_one_time_sale() {
    let row = only(&[], &[created(0, 9900, json!({"setup_fee": 100, "subtotal": 9800}))]);
    assert_eq!((row.kind, row.first_payment, row.net), ("one_time", true, 9900));
}

#[test]
fn the_code_is_looked_up() {
    let step = created(0, 3920, json!({"subtotal": 4900, "discount_total": 980}));
    let mut vendor = Vendor::new(&[]);
    vendor.take_in(&step);
    assert_eq!(vendor.questions(), ["GET /v1/discount-redemptions?filter[order_id]=54"]);
    assert_eq!(vendor.purchases()["order:54"].flags, ["attribution_pending"]);
    let row = only(&[map_text("maya20", 1)], &[step, redemptions(maya())]);
    assert_eq!(
        (row.affiliate, row.how, row.redemption, row.coupon.as_deref()),
        (Some(1), Some("promotion_code"), true, Some("512"))
    );
}

#[test]
fn a_trial_order_hides_its_code_and_its_first_renewal_is_the_first_payment() {
    let rows = ends(
        &[map_coupon("512", Some(1))],
        &[
            created(0, 0, json!({})),
            subscription_created(1),
            redemptions(maya()),
            payment("subscription_payment_success", 900, "771", "renewal", 4900),
        ],
    );
    assert_eq!(
        (rows["order:54"].kind, rows["order:54"].redemption, rows["order:54"].first_payment),
        ("zero", true, false)
    );
    let paid = &rows["subinv:771"];
    assert_eq!(
        (paid.kind, paid.redemption, paid.first_payment, paid.affiliate, paid.how),
        ("renewal", false, true, Some(1), Some("subscription"))
    );
    let rows = ends(&[], &[created(0, 0, json!({})), redemptions(json!([]))]);
    assert_eq!((rows["order:54"].how, &rows["order:54"].flags), (Some("none"), &vec![]));
}

#[test]
fn a_recovered_payment_is_the_same_as_its_success() {
    let rows = ends(
        &[],
        &[
            payment("subscription_payment_failed", 90, "771", "renewal", 4900),
            payment("subscription_payment_recovered", 100, "771", "renewal", 4900),
            payment("subscription_payment_success", 100, "771", "renewal", 4900),
        ],
    );
    assert_eq!((rows.len(), rows["subinv:771"].gross), (1, 4900));
}

#[test]
fn an_updated_invoice_is_an_update() {
    let rows = ends(
        &[],
        &[
            created(0, 100, json!({})),
            subscription_created(1),
            payment("subscription_payment_success", 9, "772", "updated", 50),
        ],
    );
    assert_eq!((rows["subinv:772"].kind, rows["subinv:772"].redemption), ("update", false));
}

fn order_refunded(after: i64, refunded: i64) -> Step {
    lemon(
        "order_refunded",
        after,
        "orders",
        "54",
        order(after, 5000, json!({"tax": 1000, "refunded_amount": refunded})),
    )
}

#[test]
fn refunds_of_an_order_are_cumulative() {
    let sold = created(0, 5000, json!({"tax": 1000}));
    assert_eq!(only(&[], &[sold.clone(), order_refunded(9, 2000), order_refunded(19, 5000)]).reversed, 4000);
    assert_eq!(only(&[], &[sold, order_refunded(9, 2000)]).reversed, 1600);
}

#[test]
fn a_refund_of_the_initial_payment_may_arrive_both_ways() {
    let by_invoice = |after: i64, refunded: i64| {
        lemon(
            "subscription_payment_refunded",
            after,
            "subscription-invoices",
            "770",
            order(
                after,
                5000,
                json!({"subscription_id": 88, "billing_reason": "initial", "refunded_amount": refunded}),
            ),
        )
    };
    let sold = [created(0, 5000, json!({"tax": 1000})), subscription_created(1)];
    assert_eq!(only(&[], &[&sold[..], &[order_refunded(9, 2000), by_invoice(9, 2000)]].concat()).reversed, 1600);
    assert_eq!(
        only(&[], &[&sold[..], &[order_refunded(9, 2000), by_invoice(19, 3000)]].concat()).reversed,
        2400,
        "the larger of the two"
    );
    assert_eq!(only(&[], &[&sold[..], &[by_invoice(9, 5000)]].concat()).reversed, 4000);
}

#[test]
fn a_refund_of_a_renewal_stays_with_the_renewal() {
    let refunded = lemon(
        "subscription_payment_refunded",
        950,
        "subscription-invoices",
        "771",
        order(900, 4900, json!({"subscription_id": 88, "billing_reason": "renewal", "refunded_amount": 4900})),
    );
    let rows = ends(
        &[],
        &[
            created(0, 5000, json!({})),
            subscription_created(1),
            payment("subscription_payment_success", 900, "771", "renewal", 4900),
            refunded,
        ],
    );
    assert_eq!((rows["order:54"].reversed, rows["subinv:771"].reversed), (0, 4900));
}

#[test]
fn a_fraudulent_order_is_no_sale_and_reverses_one_that_was() {
    let sold = created(0, 5000, json!({"tax": 1000}));
    let fraud = created(50, 5000, json!({"tax": 1000, "status": "fraudulent"}));
    assert!(ends(&[], std::slice::from_ref(&fraud)).is_empty());
    assert_eq!(only(&[], &[sold.clone(), fraud]).reversed, 4000);
    let refunded = lemon(
        "order_refunded",
        60,
        "orders",
        "54",
        order(0, 5000, json!({"tax": 1000, "status": "fraudulent", "refunded_amount": 0})),
    );
    assert_eq!(only(&[], &[sold, refunded]).reversed, 4000);
}

#[test]
fn orders_that_are_not_paid_count_nothing() {
    for status in ["pending", "failed"] {
        assert!(ends(&[], &[created(0, 500, json!({"status": status}))]).is_empty(), "{status}");
    }
    let resent = created(90, 5000, json!({"refunded_amount": 5000, "status": "refunded"}));
    assert_eq!(
        only(&[], &[created(0, 5000, json!({})), resent]).reversed,
        5000,
        "a resent order says what was refunded since"
    );
}

#[test]
fn custom_data_of_the_order_or_the_subscription_is_the_referral() {
    let links = [map_link("ines", 2)];
    let linked =
        lemon_with("order_created", 0, "orders", "54", order(0, 500, json!({})), json!({"affiliate_ref": "ines"}));
    let row = only(&links, &[linked]);
    assert_eq!((row.affiliate, row.how, row.redemption), (Some(2), Some("link"), false));
    let subscription = lemon_with(
        "subscription_created",
        1,
        "subscriptions",
        "88",
        json!({"order_id": 54, "created_at": at(1)}),
        json!({"affiliate_ref": "ines"}),
    );
    let rows = ends(
        &links,
        &[
            created(0, 500, json!({})),
            subscription,
            payment("subscription_payment_success", 900, "771", "renewal", 490),
        ],
    );
    assert_eq!((rows["order:54"].affiliate, rows["subinv:771"].affiliate), (Some(2), Some(2)));
    let empty = lemon_with("order_created", 0, "orders", "54", order(0, 500, json!({})), json!([]));
    assert_eq!(only(&links, &[empty]).affiliate, None);
}
