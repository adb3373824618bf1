//! The demo's sample events: Stripe shapes, computed from the time the workspace was made.

use domain::ids::Timestamp;
use serde_json::{Value, json};

/// First sales with a code.
pub const REDEMPTIONS: usize = 47;
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;

struct Sample {
    code: &'static str,
    promotion_code: &'static str,
    coupon: &'static str,
    percent_off: i64,
}

const SAMPLES: [Sample; 3] = [
    Sample { code: "MAYA20", promotion_code: "promo_demo_maya", coupon: "MAYA_20", percent_off: 20 },
    Sample { code: "LEO15", promotion_code: "promo_demo_leo", coupon: "LEO_15", percent_off: 15 },
    Sample { code: "INES10", promotion_code: "promo_demo_ines", coupon: "INES_10", percent_off: 10 },
];

/// Affiliates, codes and rules.
pub fn decisions() -> Value {
    json!([
        {"decide": "policy", "hold_days": 30, "time_zone": "Europe/Berlin"},
        {"decide": "affiliate", "key": "maya", "name": "Maya Torres"},
        {"decide": "affiliate", "key": "leo", "name": "Leo Brandt"},
        {"decide": "affiliate", "key": "ines", "name": "Ines Okafor"},
        {"decide": "map", "provider": "stripe", "code": "MAYA20", "promotion_code_id": "promo_demo_maya", "coupon_id": "MAYA_20", "affiliate": "maya"},
        {"decide": "map", "provider": "stripe", "code": "LEO15", "promotion_code_id": "promo_demo_leo", "coupon_id": "LEO_15", "affiliate": "leo"},
        {"decide": "map", "provider": "stripe", "code": "INES10", "promotion_code_id": "promo_demo_ines", "coupon_id": "INES_10", "affiliate": "ines"},
        {"decide": "map", "provider": "stripe", "code": "BLACKFRIDAY", "promotion_code_id": "promo_demo_house", "coupon_id": "BF_30", "affiliate": null},
        {"decide": "rule", "scope": "vendor", "percent": "20", "duration": "life"},
        {"decide": "rule", "scope": {"affiliate": "leo"}, "percent": "30", "duration": "first_payment"},
    ])
}

/// One purchase was looked at by a person.
pub fn reviews() -> Value {
    json!([{"decide": "review", "mode": "live", "purchase": "inv:in_demo_5", "verdict": "reject", "reason": "bought their own subscription"}])
}

/// A small generator: the same numbers for the same place in the list.
fn draw(seed: usize, below: i64) -> i64 {
    let mixed = (seed as u64).wrapping_add(1).wrapping_mul(6_364_136_223_846_793_005).rotate_left(23) ^ 0x9e37_79b9;
    ((mixed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below.unsigned_abs()) as i64
}

fn event(id: String, kind: &str, created: i64, object: Value) -> Value {
    json!({
        "id": format!("evt_demo_{id}"), "object": "event", "api_version": "2025-09-30.clover", "created": created,
        "livemode": true, "type": kind, "data": {"object": object},
    })
}

/// All events, in the order in which they happened.
pub fn events(created_at: Timestamp) -> Vec<Value> {
    let now = created_at.seconds();
    let start = now - 60 * DAY;
    let mut all: Vec<Value> = SAMPLES.iter().map(|sample| promotion_code(sample, start)).collect();
    for n in 0..REDEMPTIONS {
        redemption(n, now, &mut all);
    }
    for n in 0..16 {
        all.push(one_time_sale(n, now));
    }
    for n in 0..2 {
        all.push(unnamed_discount(n, now));
    }
    all.retain(|event| event["created"].as_i64().is_some_and(|created| created <= now));
    all.sort_by_key(|event| event["created"].as_i64());
    all
}

fn promotion_code(sample: &Sample, at: i64) -> Value {
    let object = json!({"id": sample.promotion_code, "object": "promotion_code", "code": sample.code, "active": true,
        "promotion": {"type": "coupon", "coupon": sample.coupon}});
    event(sample.promotion_code.to_owned(), "promotion_code.created", at, object)
}

/// A first payment with a code, its renewals, and for some what takes them back.
fn redemption(n: usize, now: i64, all: &mut Vec<Value>) {
    let sample = &SAMPLES[[0, 0, 1, 0, 2, 1][n % 6]];
    let at = now - 59 * DAY + (n as i64 * 59 * DAY) / REDEMPTIONS as i64 + draw(n, 20) * HOUR + draw(n + 500, 3_000);
    let price = [2_900, 4_900, 4_900, 9_900][draw(n + 90, 4) as usize];
    let currency = if n % 7 == 3 { "eur" } else { "usd" };
    let off = price * sample.percent_off / 100;
    let discount = json!({"id": format!("di_demo_{n}"), "object": "discount", "source": {"type": "coupon", "coupon": sample.coupon},
        "promotion_code": sample.promotion_code, "subscription": format!("sub_demo_{n}"), "start": at});
    all.push(event(format!("di_{n}"), "customer.discount.created", at, discount));
    let first =
        Invoice { n, id: format!("in_demo_{n}"), reason: "subscription_create", at: at + 3, price, off, currency };
    all.push(first.event(Some(format!("di_demo_{n}"))));
    all.push(first.payment());
    let renewal = Invoice {
        id: format!("in_demo_{n}_2"),
        reason: "subscription_cycle",
        at: at + 30 * DAY,
        off: 0,
        ..first.clone()
    };
    all.push(renewal.event(None));
    if n % 11 == 4 {
        all.push(first.refund(at + 4 * DAY, if n.is_multiple_of(2) { price - off } else { (price - off) / 2 }));
    }
    if n == 9 {
        all.extend(first.dispute(at + 9 * DAY));
    }
}

#[derive(Clone)]
struct Invoice {
    n: usize,
    id: String,
    reason: &'static str,
    at: i64,
    price: i64,
    off: i64,
    currency: &'static str,
}

impl Invoice {
    fn paid(&self) -> i64 {
        self.price - self.off
    }

    fn event(&self, discount: Option<String>) -> Value {
        let discounts: Vec<&String> = discount.iter().collect();
        let amounts: Vec<Value> = discount.iter().map(|id| json!({"amount": self.off, "discount": id})).collect();
        let object = json!({
            "id": self.id, "object": "invoice", "status": "paid", "currency": self.currency, "customer": format!("cus_demo_{}", self.n),
            "billing_reason": self.reason, "created": self.at, "subtotal": self.price, "total": self.paid(), "amount_due": self.paid(),
            "amount_paid": self.paid(), "total_taxes": [], "total_discount_amounts": amounts, "discounts": discounts,
            "parent": {"type": "subscription_details", "subscription_details": {"subscription": format!("sub_demo_{}", self.n), "metadata": {}}},
            "status_transitions": {"paid_at": self.at},
        });
        event(self.id.clone(), "invoice.paid", self.at, object)
    }

    fn payment(&self) -> Value {
        let object = json!({"id": format!("inpay_{}", self.id), "object": "invoice_payment", "invoice": self.id, "currency": self.currency,
            "amount_paid": self.paid(), "payment": {"type": "payment_intent", "payment_intent": format!("pi_{}", self.id)}});
        event(format!("inpay_{}", self.id), "invoice_payment.paid", self.at, object)
    }

    fn refund(&self, at: i64, amount: i64) -> Value {
        let object = json!({"id": format!("re_{}", self.id), "object": "refund", "amount": amount, "currency": self.currency, "status": "succeeded",
            "created": at, "charge": format!("ch_{}", self.id), "payment_intent": format!("pi_{}", self.id)});
        event(format!("re_{}", self.id), "refund.created", at, object)
    }

    fn dispute(&self, at: i64) -> Vec<Value> {
        let object = |status: &str| {
            json!({"id": format!("dp_{}", self.id), "object": "dispute", "amount": self.paid(), "currency": self.currency, "status": status,
                "created": at, "charge": format!("ch_{}", self.id), "payment_intent": format!("pi_{}", self.id), "balance_transactions": []})
        };
        vec![
            event(format!("dp1_{}", self.id), "charge.dispute.funds_withdrawn", at, object("needs_response")),
            event(format!("dp2_{}", self.id), "charge.dispute.closed", at + 12 * DAY, object("lost")),
        ]
    }
}

/// Purchases that no affiliate brought: without a code, and some with the house's own.
fn one_time_sale(n: usize, now: i64) -> Value {
    let at = now - draw(n + 2_000, 58 * 24) * HOUR - draw(n + 3_000, 3_000);
    let house = n.is_multiple_of(5);
    let (price, off) = (7_900, if house { 2_370 } else { 0 });
    let discounts = if house { json!([{"coupon": "BF_30", "promotion_code": "promo_demo_house"}]) } else { json!([]) };
    let object = json!({
        "id": format!("cs_demo_{n}"), "object": "checkout.session", "mode": "payment", "payment_status": "paid", "status": "complete",
        "created": at - 120, "currency": "usd", "amount_subtotal": price, "amount_total": price - off,
        "total_details": {"amount_discount": off, "amount_tax": 0, "amount_shipping": 0}, "payment_intent": format!("pi_demo_once_{n}"),
        "invoice": null, "subscription": null, "discounts": discounts, "client_reference_id": null, "metadata": {},
    });
    event(format!("cs_{n}"), "checkout.session.completed", at, object)
}

/// Payments whose discount no event names: they wait, because the demo has no key to ask with.
fn unnamed_discount(n: usize, now: i64) -> Value {
    let at = now - (3 + 5 * n as i64) * DAY;
    let invoice = Invoice {
        n: 900 + n,
        id: format!("in_demo_wait_{n}"),
        reason: "subscription_create",
        at,
        price: 4_900,
        off: 980,
        currency: "usd",
    };
    invoice.event(Some(format!("di_unknown_{n}")))
}
