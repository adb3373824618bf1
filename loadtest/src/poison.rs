//! Events that must not be counted, must not block anything, and must be listed.

use crate::stripe::{Event, Renderer, SaleIds};
use bytes::Bytes;
use corpus::shuffle::SplitMix;
use serde_json::{Value, json};

/// How deep the nested object goes.
const DEPTH: usize = 3000;

/// One poisonous event. `sale` is a sale without refunds, for a refund in a currency that
/// is not the sale's.
pub fn draw(renderer: &mut Renderer, random: &mut SplitMix, at: i64, sale: Option<(&SaleIds, &str)>) -> Event {
    match random.below(9) {
        0 => amount(renderer, at, json!(i64::MAX), "near 2^63"),
        1 => amount(renderer, at, json!(u64::MAX), "beyond 2^63"),
        2 => amount(renderer, at, json!("twelve"), "text for an amount"),
        3 => amount(renderer, at, json!({"value": 12}), "object for an amount"),
        4 => amount(renderer, at, json!(1_000_000_000_000_001_i64), "beyond 10^15"),
        5 => {
            let mut event = amount(renderer, at, json!(1200), "not a currency");
            event.body = replaced(&event.body, "\"currency\":\"usd\"", "\"currency\":\"u$d\"");
            event
        }
        6 => deep(renderer, at),
        7 => {
            let mut event = amount(renderer, at, json!(1200), "truncated");
            event.body = event.body.slice(..event.body.len() / 2);
            event
        }
        _ => match sale {
            Some((made, currency)) => foreign_refund(renderer, at, made, currency),
            None => amount(renderer, at, json!([]), "list for an amount"),
        },
    }
}

fn amount(renderer: &mut Renderer, at: i64, amount: Value, poison: &'static str) -> Event {
    let object = json!({
        "id": renderer.id("in", at), "object": "invoice", "amount_due": amount, "amount_paid": amount,
        "amount_shipping": 0, "billing_reason": "manual", "created": at, "currency": "usd", "customer": null,
        "discounts": [], "livemode": true, "metadata": {}, "status": "paid",
        "status_transitions": {"paid_at": at, "voided_at": null}, "subtotal": amount, "total": amount,
        "total_discount_amounts": [], "total_taxes": []
    });
    Event { poison: Some(poison), ..renderer.event("invoice.paid", at, object) }
}

fn deep(renderer: &mut Renderer, at: i64) -> Event {
    let event = amount(renderer, at, json!([]), "deep");
    let nested = format!("\"metadata\":{}1{}", "{\"a\":".repeat(DEPTH), "}".repeat(DEPTH));
    Event { body: replaced(&event.body, "\"metadata\":{}", &nested), ..event }
}

fn foreign_refund(renderer: &mut Renderer, at: i64, made: &SaleIds, currency: &str) -> Event {
    let other = if currency == "usd" { "sek" } else { "usd" };
    let object = json!({
        "id": renderer.id("re", at), "object": "refund", "amount": 100, "charge": made.charge, "created": at,
        "currency": other, "metadata": {}, "payment_intent": made.payment_intent, "status": "succeeded"
    });
    Event { poison: Some("refund in a foreign currency"), ..renderer.event("refund.created", at, object) }
}

fn replaced(body: &Bytes, old: &str, new: &str) -> Bytes {
    let text = String::from_utf8_lossy(body);
    Bytes::from(text.replacen(old, new, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_drawn_and_is_what_it_says() {
        let (mut renderer, mut random) = (Renderer::new(1), SplitMix::new(1));
        let made = SaleIds { invoice: None, payment_intent: Some("pi_1".to_owned()), charge: Some("ch_1".to_owned()) };
        let mut kinds = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let event = draw(&mut renderer, &mut random, 1_770_000_000, Some((&made, "usd")));
            let kind = event.poison.unwrap();
            kinds.insert(kind);
            let parsed = serde_json::from_slice::<Value>(&event.body);
            assert_eq!(parsed.is_ok(), !matches!(kind, "deep" | "truncated"), "{kind}");
        }
        assert_eq!(kinds.len(), 9);
    }
}
