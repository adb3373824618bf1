//! Renders what takes a sale back: refunds in each of the ways the provider tells of them,
//! disputes, voids.

use crate::stripe::{Event, Renderer, SaleIds, charge};
use crate::world::{Dispute, DisputeFate, Refund, RefundFate, Sale, Story};
use serde_json::{Value, json};

const DAY: i64 = 86_400;

/// How the refunds of one charge are told. A mixture in which neither way alone knows all of
/// them would not be what the provider sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    RefundEvents,
    ChargeSnapshots,
    Both,
}

/// Appends the events of everything that took the sale back.
pub fn render(renderer: &mut Renderer, events: &mut Vec<Event>, story: &Story, sale: &Sale, made: &SaleIds) {
    if !sale.refunds.is_empty() {
        refunds(renderer, events, story, sale, made);
    }
    for dispute in &sale.disputes {
        disputes(renderer, events, story, dispute, made);
    }
    if let Some(voided_at) = sale.voided_at {
        let object = json!({
            "id": made.invoice, "object": "invoice", "amount_due": sale.paid, "amount_paid": sale.paid, "created": sale.paid_at - 3,
            "currency": story.currency, "customer_email": "buyer@example.com", "livemode": true, "metadata": {}, "status": "void",
            "status_transitions": {"finalized_at": sale.paid_at - 3, "marked_uncollectible_at": null, "paid_at": sale.paid_at, "voided_at": voided_at},
            "subtotal": sale.subtotal, "total": sale.gross, "total_excluding_tax": sale.gross - sale.tax,
            "total_discount_amounts": [], "total_taxes": []
        });
        events.push(renderer.event("invoice.voided", voided_at, object));
    }
}

fn refunds(renderer: &mut Renderer, events: &mut Vec<Event>, story: &Story, sale: &Sale, made: &SaleIds) {
    // A snapshot alone cannot say that a refund is pending.
    let pending = sale.refunds.iter().any(|one| matches!(one.fate, RefundFate::Pending | RefundFate::SucceededLater));
    let told = match (renderer.chance(35), renderer.chance(40)) {
        (true, _) => Told::RefundEvents,
        (false, true) if !pending => Told::ChargeSnapshots,
        _ => Told::Both,
    };
    for (position, refund) in sale.refunds.iter().enumerate() {
        let id = renderer.id("re", refund.created);
        let object = |status: &str| refund_object(story, made, refund, &id, status);
        if told != Told::ChargeSnapshots {
            let waiting = matches!(refund.fate, RefundFate::Pending | RefundFate::SucceededLater);
            let first = if waiting { "pending" } else { "succeeded" };
            events.push(renderer.event("refund.created", refund.created, object(first)));
        }
        if told != Told::RefundEvents {
            let at = refund.created + 1;
            let snapshot = charge(story, sale, made, "cus_refunded", refunded_at(sale, position, at));
            events.push(renderer.event("charge.refunded", at, snapshot));
        }
        match refund.fate {
            RefundFate::SucceededLater => {
                events.push(renderer.event("refund.updated", refund.created + DAY, object("succeeded")));
            }
            RefundFate::Failed => {
                let failed_at = fails_at(refund);
                events.push(renderer.event("refund.failed", failed_at, object("failed")));
                if renderer.chance(50) {
                    events.push(renderer.event("refund.updated", failed_at, object("failed")));
                }
            }
            RefundFate::Succeeded | RefundFate::Pending => {}
        }
    }
}

/// When a failing refund fails.
fn fails_at(refund: &Refund) -> i64 {
    refund.created + 2 * DAY
}

/// The charge's `amount_refunded` at a time: every refund made until then, pending ones
/// included, without those that have failed by then.
fn refunded_at(sale: &Sale, position: usize, at: i64) -> i64 {
    let made = sale.refunds[..=position].iter();
    made.filter(|one| one.fate != RefundFate::Failed || fails_at(one) > at).map(|one| one.amount).sum()
}

fn refund_object(story: &Story, made: &SaleIds, refund: &Refund, id: &str, status: &str) -> Value {
    json!({
        "id": id, "object": "refund", "amount": refund.amount, "charge": made.charge, "created": refund.created,
        "currency": story.currency, "metadata": {}, "payment_intent": made.payment_intent,
        "reason": "requested_by_customer", "receipt_number": null, "status": status,
        "failure_reason": (status == "failed").then_some("expired_or_canceled_card")
    })
}

fn disputes(renderer: &mut Renderer, events: &mut Vec<Event>, story: &Story, dispute: &Dispute, made: &SaleIds) {
    let id = renderer.id("dp", dispute.created);
    let at = dispute.created;
    let transactions = [renderer.id("txn", at), renderer.id("txn", at)];
    let object =
        |status: &str, moved: usize| dispute_object(story, made, dispute, (&id, status), &transactions[..moved]);
    let opened = if dispute.fate == DisputeFate::Inquiry { "warning_needs_response" } else { "needs_response" };
    events.push(renderer.event("charge.dispute.created", at, object(opened, 0)));
    if matches!(dispute.fate, DisputeFate::Lost | DisputeFate::Won | DisputeFate::Open) {
        events.push(renderer.event("charge.dispute.funds_withdrawn", at + 1, object("needs_response", 1)));
    }
    let closed = at + 20 * DAY;
    match dispute.fate {
        DisputeFate::Lost => events.push(renderer.event("charge.dispute.closed", closed, object("lost", 1))),
        DisputeFate::LostUnseen => events.push(renderer.event("charge.dispute.closed", closed, object("lost", 0))),
        DisputeFate::Won => {
            events.push(renderer.event("charge.dispute.funds_reinstated", closed, object("won", 2)));
            events.push(renderer.event("charge.dispute.closed", closed + 1, object("won", 2)));
        }
        DisputeFate::WonUnseen => events.push(renderer.event("charge.dispute.closed", closed, object("won", 0))),
        DisputeFate::Inquiry => {
            events.push(renderer.event("charge.dispute.closed", closed, object("warning_closed", 0)))
        }
        DisputeFate::Open => {}
    }
}

fn dispute_object(
    story: &Story,
    made: &SaleIds,
    dispute: &Dispute,
    (id, status): (&str, &str),
    transactions: &[String],
) -> Value {
    let moved = transactions.iter().enumerate().map(|(position, transaction)| {
        let (amount, category) =
            if position == 0 { (-dispute.amount, "dispute") } else { (dispute.amount, "dispute_reversal") };
        json!({
            "id": transaction, "object": "balance_transaction", "amount": amount, "created": dispute.created,
            "currency": story.currency, "fee": 0, "net": amount, "reporting_category": category, "source": id,
            "status": "pending", "type": "adjustment"
        })
    });
    json!({
        "id": id, "object": "dispute", "amount": dispute.amount, "balance_transactions": moved.collect::<Vec<_>>(),
        "charge": made.charge, "created": dispute.created, "currency": story.currency, "is_charge_refundable": false,
        "evidence": {"customer_email_address": "buyer@example.com", "customer_name": "Test Buyer"},
        "livemode": true, "metadata": {}, "payment_intent": made.payment_intent, "reason": "fraudulent", "status": status
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::SaleKind;

    #[test]
    fn a_snapshot_contains_a_failing_refund_until_it_fails() {
        let refund = |created, amount, fate| Refund { created, amount, fate };
        let sale = Sale {
            kind: SaleKind::OneTime,
            paid_at: 0,
            carries_discounts: false,
            subtotal: 1000,
            discount: 0,
            tax: 0,
            shipping: 0,
            gross: 1000,
            paid: 1000,
            refunds: vec![
                refund(DAY, 300, RefundFate::Failed),
                refund(2 * DAY, 100, RefundFate::Pending),
                refund(9 * DAY, 50, RefundFate::Succeeded),
            ],
            disputes: Vec::new(),
            voided_at: None,
        };
        assert_eq!(refunded_at(&sale, 0, DAY + 1), 300);
        assert_eq!(refunded_at(&sale, 1, 2 * DAY + 1), 400);
        assert_eq!(refunded_at(&sale, 2, 9 * DAY + 1), 150);
    }
}
