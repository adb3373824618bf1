//! Stripe objects in the shape that a minimised event has.

use crate::kit::{START, with};
use serde_json::{Value, json};

/// A basil-or-later invoice of `sub_1`, paid in full a second after it was made.
pub fn invoice(id: &str, reason: &str, after: i64, total: i64) -> Value {
    json!({
        "id": id, "object": "invoice", "currency": "usd", "customer": "cus_1", "billing_reason": reason,
        "created": START + after, "subtotal": total, "total": total, "amount_due": total, "amount_paid": total,
        "amount_shipping": 0, "total_discount_amounts": [], "total_taxes": [], "discounts": [],
        "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1", "metadata": {}}},
        "status_transitions": {"paid_at": START + after + 1, "voided_at": null}, "metadata": {}
    })
}

/// The same before basil, with payment intent `pi_{id}` and charge `ch_{id}`.
pub fn classic(id: &str, reason: &str, after: i64, total: i64) -> Value {
    let mut object = with(
        invoice(id, reason, after, total),
        json!({
            "subscription": "sub_1", "payment_intent": format!("pi_{id}"), "charge": format!("ch_{id}"), "tax": null,
            "discount": null, "paid": true, "paid_out_of_band": false
        }),
    );
    for newer in ["parent", "total_taxes"] {
        object.as_object_mut().unwrap().remove(newer);
    }
    object
}

/// A paid invoice that belongs to no subscription.
pub fn manual(id: &str, after: i64, total: i64) -> Value {
    with(invoice(id, "manual", after, total), json!({"parent": null}))
}

/// A paid one-time session without invoice.
pub fn session(id: &str, after: i64, total: i64) -> Value {
    json!({
        "id": id, "object": "checkout.session", "mode": "payment", "payment_status": "paid", "created": START + after,
        "currency": "usd", "customer": null, "amount_subtotal": total, "amount_total": total, "invoice": null,
        "invoice_creation": {"enabled": false}, "payment_intent": format!("pi_{id}"), "subscription": null,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, "discounts": [],
        "client_reference_id": null, "metadata": {}
    })
}

/// The session that began `sub_1` with the invoice.
pub fn subscription_session(id: &str, after: i64, invoice: Option<&str>) -> Value {
    with(
        session(id, after, 1000),
        json!({"mode": "subscription", "payment_intent": null, "subscription": "sub_1", "invoice": invoice}),
    )
}

pub fn charge(id: &str, intent: Option<&str>, refunded: i64) -> Value {
    json!({
        "id": id, "object": "charge", "currency": "usd", "amount": 10_000, "amount_refunded": refunded,
        "payment_intent": intent, "metadata": {}
    })
}

pub fn refund(id: &str, after: i64, amount: i64, status: &str, charge: Option<&str>, intent: Option<&str>) -> Value {
    json!({
        "id": id, "object": "refund", "amount": amount, "currency": "usd", "status": status, "created": START + after,
        "charge": charge, "payment_intent": intent
    })
}

pub fn dispute(id: &str, amount: i64, status: &str, moved: &[i64], intent: &str) -> Value {
    let moved: Vec<Value> = moved.iter().map(|amount| json!({"amount": amount})).collect();
    json!({
        "id": id, "object": "dispute", "amount": amount, "currency": "usd", "status": status, "created": START + 50,
        "charge": null, "payment_intent": intent, "balance_transactions": moved
    })
}

/// What joins an invoice to its payment intent from basil on.
pub fn invoice_payment(invoice: &str, intent: &str) -> Value {
    json!({
        "id": format!("inpay_{intent}"), "object": "invoice_payment", "currency": "usd", "invoice": invoice,
        "payment": {"type": "payment_intent", "payment_intent": intent}
    })
}

pub fn promotion_code(id: &str, code: &str, coupon: &str) -> Value {
    json!({"id": id, "object": "promotion_code", "code": code, "active": true, "promotion": {"type": "coupon", "coupon": coupon}})
}

/// A clover-or-later discount.
pub fn discount(id: &str, coupon: &str, promotion_code: Option<&str>) -> Value {
    json!({
        "id": id, "object": "discount", "source": {"type": "coupon", "coupon": coupon}, "promotion_code": promotion_code,
        "start": START, "subscription": "sub_1", "checkout_session": null, "invoice": null
    })
}

/// An invoice that names one discount by its id.
pub fn discounted(invoice: Value, id: &str, off: i64) -> Value {
    with(invoice, json!({"discounts": [id], "total_discount_amounts": [{"amount": off, "discount": id}]}))
}

pub fn credit_note(id: &str, invoice: &str, members: Value) -> Value {
    let note = json!({"id": id, "object": "credit_note", "currency": "usd", "created": START + 60, "invoice": invoice, "status": "issued"});
    with(note, members)
}
