//! Everything behind a purchase: events, discount, mapping, rule, base, rounding, lines.

use super::purchase::{find, lines_of};
use super::{Ledger, Reached, blocking, words};
use crate::model::{ExplainedEvent, Explanation, PurchaseItem, WaterfallStep};
use crate::services::ranges::{local_text, time_zone};
use crate::services::{Names, line_item};
use domain::fact::Alias;
use domain::story::Component;
use domain::target::PurchaseTarget;
use jiff::tz::TimeZone;
use schemas::record::{Payload, Record};
use std::sync::Arc;
use store::event_log::partition_of;
use store::scope::TenantScope;

/// How many events an explanation lists.
const LISTED_EVENTS: usize = 200;

/// Explains a purchase by any of its names.
pub async fn explain(ledger: &Arc<Ledger>, scope: &TenantScope, name: &str) -> anyhow::Result<Option<Explanation>> {
    let Some(reached) = find(ledger, scope, name).await? else { return Ok(None) };
    let Some(purchase) = reached.purchase_named(&[Alias(name.to_owned())]) else { return Ok(None) };
    let names = ledger.catalogue.names(scope).await?;
    let number = reached.number_of(purchase);
    let lines = lines_of(ledger, scope, number).await?;
    Ok(Some(Explanation {
        purchase: item(&reached, purchase, &names, &time_zone(&names.time_zone)?),
        events: events(ledger, scope, &reached).await?,
        waterfall: waterfall(purchase),
        attribution: words::attribution(&reached, purchase),
        mapping: words::mapping(&reached, purchase),
        rule: words::rule(purchase),
        rounding: words::rounding(purchase),
        lines: lines.iter().map(|line| line_item(line, &names)).collect(),
    }))
}

fn item(reached: &Reached, purchase: &PurchaseTarget, names: &Names, zone: &TimeZone) -> PurchaseItem {
    let affiliate = names.affiliate(purchase.affiliate());
    let shown = purchase.attribution.shown.as_ref();
    PurchaseItem {
        purchase: reached.number_of(purchase),
        business_key: purchase.key.0.clone(),
        sale_at: purchase.sale.occurred_at,
        sale_at_text: local_text(purchase.sale.occurred_at, zone),
        outcome: purchase.outcome,
        reason: purchase.reason.clone(),
        affiliate: purchase.affiliate(),
        affiliate_key: affiliate.key,
        affiliate_name: affiliate.name,
        code: purchase.attribution.rule_code,
        code_text: shown
            .and_then(|discount| discount.code.clone().or_else(|| discount.coupon.clone()))
            .unwrap_or_default(),
        sale_kind: purchase.kind.name().to_owned(),
        redemption: purchase.redemption,
        currency: purchase.sale.currency,
        gross: purchase.sale.gross,
        net: purchase.sale.net,
        reversed: purchase.reversed,
        commission: purchase.commission,
        flags: purchase.flags.iter().map(|flag| (*flag).to_owned()).collect(),
    }
}

async fn events(ledger: &Arc<Ledger>, scope: &TenantScope, reached: &Reached) -> anyhow::Result<Vec<ExplainedEvent>> {
    let partition = partition_of(scope.vendor());
    let offsets: Vec<u64> = reached.story.records.iter().copied().take(LISTED_EVENTS).collect();
    let wanted = offsets.clone();
    let listed = blocking(ledger, move |ledger| Ok(ledger.store.records(partition, &wanted)?)).await?;
    let mut events = Vec::new();
    for offset in offsets {
        let stored = ledger.log.read(partition, offset, 1, 1).await?;
        let Some(record) = stored.first().and_then(|stored| Record::decode(&stored.bytes).ok()) else { continue };
        let outcome = listed.iter().find(|one| one.offset == offset);
        let (event_id, event_type, created) = match &record.payload {
            Payload::Delivery(delivery) => (delivery.event_id.clone(), delivery.event_type.clone(), delivery.created),
            Payload::LookupResult(result) => (result.request.clone(), "look-up".to_owned(), result.asked_at),
            Payload::Decision(decision) => (String::new(), decision.kind().to_owned(), record.at),
            Payload::Expire(_) => continue,
        };
        let outcome = outcome.map_or(String::new(), |one| {
            [one.outcome.replace('_', " "), one.reason.replace('_', " ")].join(" ").trim().to_owned()
        });
        events.push(ExplainedEvent { event_id, event_type, created, offset, outcome });
    }
    events.sort_by_key(|event| (event.created, event.offset));
    Ok(events)
}

/// From what was asked for to what the affiliate gets.
fn waterfall(purchase: &PurchaseTarget) -> Vec<WaterfallStep> {
    let sale = &purchase.sale;
    let mut steps = Vec::new();
    let mut step = |label: &str, amount: i64, is_total: bool| {
        steps.push(WaterfallStep { label: label.to_owned(), amount, is_total })
    };
    step("Subtotal", sale.subtotal, true);
    for (label, amount) in [
        ("Discount", -sale.discount),
        ("Tax and other charges", sale.gross - (sale.subtotal - sale.discount) - sale.shipping),
        ("Shipping", sale.shipping),
    ] {
        if amount != 0 {
            step(label, amount, false);
        }
    }
    step("Gross", sale.gross, true);
    for (label, amount) in [
        ("Tax", -sale.tax),
        ("Shipping", -sale.shipping),
        ("Not paid in money", sale.net - (sale.gross - sale.tax - sale.shipping)),
    ] {
        if amount != 0 {
            step(label, amount, false);
        }
    }
    step("Net: the commission base", sale.net, true);
    for part in purchase.components.iter().filter(|part| part.component != Component::Sale) {
        step(part_label(&part.component), part.amounts.net, false);
    }
    if purchase.components.len() > 1 {
        step("Net after refunds", sale.net - purchase.reversed, true);
    }
    step("Commission", purchase.commission, true);
    steps
}

fn part_label(component: &Component) -> &'static str {
    match component {
        Component::Sale => "Sale",
        Component::Refund(_) | Component::Snapshot(..) => "Refund",
        Component::Dispute(_) => "Dispute",
        Component::CreditNote(_) => "Credit note",
        Component::Void => "Void",
    }
}
