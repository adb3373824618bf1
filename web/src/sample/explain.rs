//! The story behind an invented purchase.

use api::model::{ExplainedEvent, Explanation, LineItem, PurchaseItem, WaterfallStep};
use domain::ids::Timestamp;

pub(super) fn explanation(item: &PurchaseItem) -> Explanation {
    let remaining = item.net - item.reversed;
    let offset = item.purchase.0 / 256;
    let event = |id: &str, event_type: &str, later_ms: i64, outcome: &str| ExplainedEvent {
        event_id: format!("evt_{id}{offset}"),
        event_type: event_type.into(),
        created: Timestamp(item.sale_at.0 + later_ms),
        offset: offset + u64::from(later_ms > 0),
        outcome: outcome.into(),
    };
    let mut events =
        vec![event("1A", "checkout.session.completed", 0, "no_effect"), event("1B", "invoice.paid", 0, "counted")];
    let mut lines = vec![line(item, "sale", 0, (item.gross, item.net, share(item, item.net)))];
    if item.reversed > 0 {
        events.push(event("1C", "charge.refunded", 7_200_000, "counted"));
        lines.push(line(
            item,
            "refund",
            7_200_000,
            (-item.reversed, -item.reversed, item.commission - share(item, item.net)),
        ));
    }
    Explanation {
        purchase: item.clone(),
        events,
        waterfall: waterfall(item, remaining),
        attribution: attribution(item),
        mapping: if item.affiliate_name.is_empty() {
            String::new()
        } else {
            format!("{} has belonged to {} since 1 March 2026.", item.code_text, item.affiliate_name)
        },
        rule: if item.affiliate.0 == 0 {
            String::new()
        } else {
            "20 % of net revenue for life (the default rule).".into()
        },
        rounding: if item.affiliate.0 == 0 {
            vec![]
        } else {
            vec![format!("{remaining} × 200000 / 1000000 → {}", item.commission)]
        },
        lines,
    }
}

fn share(item: &PurchaseItem, net: i64) -> i64 {
    if item.affiliate.0 == 0 { 0 } else { domain::money::round_half_up(net, 200_000, 1_000_000) }
}

fn attribution(item: &PurchaseItem) -> Vec<String> {
    if item.code_text.is_empty() {
        return vec![];
    }
    vec![
        format!(
            "The promotion code {} was used in the checkout, and a promotion code comes before everything else.",
            item.code_text
        ),
        "The coupon “Autumn” behind it lost: a bare coupon is only asked when no promotion code was used.".into(),
    ]
}

fn waterfall(item: &PurchaseItem, remaining: i64) -> Vec<WaterfallStep> {
    let step = |label: &str, amount, is_total| WaterfallStep { label: label.into(), amount, is_total };
    let mut steps = vec![
        step("Gross", item.gross, true),
        step("Tax", item.net - item.gross, false),
        step("Net revenue", item.net, true),
    ];
    if item.reversed > 0 {
        steps.push(step("Refunded", -item.reversed, false));
        steps.push(step("Commission base", remaining, true));
    }
    steps.push(step("Commission", item.commission, true));
    steps
}

fn line(item: &PurchaseItem, kind: &str, later_ms: i64, (gross, net, commission): (i64, i64, i64)) -> LineItem {
    let at = Timestamp(item.sale_at.0 + later_ms);
    let sign = if kind == "sale" { i64::from(item.redemption) } else { 0 };
    LineItem {
        id: format!("0-{}-0", item.purchase.0 / 256 + u64::from(later_ms > 0)),
        kind: kind.into(),
        occurred_at: at,
        booked_at: at,
        sale_at: item.sale_at,
        purchase: item.purchase,
        affiliate: item.affiliate_key.clone(),
        code: item.code_text.clone(),
        currency: item.currency,
        redemptions: sign,
        conversions: sign,
        gross,
        net,
        commission,
        rule_rev: 0,
    }
}
