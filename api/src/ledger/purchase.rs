//! `GET /api/v1/purchases/{business_key}`.

use super::{Ledger, Reached, blocking};
use crate::services::Names;
use domain::fact::Alias;
use domain::ids::{PurchaseId, Timestamp};
use domain::line::LedgerLine;
use domain::target::PurchaseTarget;
use serde_json::{Value, json};
use std::sync::Arc;
use store::scope::TenantScope;
use store::warehouse::queries::PurchaseLines;

/// RFC 3339 with milliseconds.
pub(super) fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |instant| format!("{instant:.3}"))
}

/// Handle of the purchase's affiliate; null if none.
pub(super) fn affiliate_key(reached: &Reached, purchase: &PurchaseTarget) -> Option<String> {
    let affiliate = purchase.attribution.affiliate?;
    Some(reached.decisions.affiliates.get(&affiliate).map_or_else(|| affiliate.to_string(), |known| known.key.clone()))
}

/// The members that a purchase and the delivery that sold it have in common.
pub(super) fn common(reached: &Reached, purchase: &PurchaseTarget) -> Vec<(&'static str, Value)> {
    let sale = &purchase.sale;
    let shown = purchase.attribution.shown.as_ref();
    vec![
        ("business_key", json!(purchase.key.0)),
        ("sale_kind", json!(purchase.kind.name())),
        ("redemption", json!(purchase.redemption)),
        ("is_first_payment", json!(purchase.first_payment)),
        ("attribution", json!(purchase.attribution.how.name())),
        ("affiliate", json!(affiliate_key(reached, purchase))),
        ("code", json!(shown.and_then(|discount| discount.code.as_ref()))),
        ("coupon_id", json!(shown.and_then(|discount| discount.coupon.as_ref()))),
        ("promotion_code_id", json!(shown.and_then(|discount| discount.promotion_code.as_ref()))),
        ("currency", json!(sale.currency)),
        ("minor_digits", json!(sale.currency.minor_digits())),
        ("subtotal_minor", json!(sale.subtotal)),
        ("discount_minor", json!(sale.discount)),
        ("tax_minor", json!(sale.tax)),
        ("shipping_minor", json!(sale.shipping)),
        ("gross_minor", json!(sale.gross)),
        ("paid_minor", json!(sale.paid)),
        ("net_minor", json!(sale.net)),
        ("flags", json!(purchase.flags)),
    ]
}

/// The booked lines of a purchase, as the JSON API writes them.
pub(super) fn line_json(line: &LedgerLine, names: &Names) -> Value {
    json!({
        "id": format!("{}-{}-{}", line.src_part, line.src_off, line.ord),
        "kind": line.kind.name(),
        "occurred_at": moment(line.occurred_at),
        "booked_at": moment(line.booked_at),
        "sale_at": moment(line.sale_at),
        "affiliate": names.affiliate(line.affiliate).key,
        "code": names.code(line.code),
        "currency": line.currency,
        "redemptions": line.amounts.redemptions,
        "conversions": line.amounts.conversions,
        "gross_minor": line.amounts.gross,
        "net_minor": line.amounts.net,
        "commission_minor": line.amounts.commission,
        "rule_rev": line.rule_rev,
    })
}

/// The lines of a purchase in booking order.
pub(super) async fn lines_of(
    ledger: &Ledger,
    scope: &TenantScope,
    purchase: PurchaseId,
) -> anyhow::Result<Vec<LedgerLine>> {
    let watermark = ledger.watermarks.watermark(scope.vendor());
    let at = store::warehouse::Watermark {
        generation: watermark.generation,
        partition: watermark.partition,
        next_offset: watermark.next_offset,
    };
    Ok(ledger.warehouse.read(scope, &at, &PurchaseLines { purchase }).await?)
}

/// A purchase by any of its names, with its story's target.
pub(super) async fn find(ledger: &Arc<Ledger>, scope: &TenantScope, name: &str) -> anyhow::Result<Option<Reached>> {
    let (scope, name) = (*scope, name.to_owned());
    blocking(ledger, move |ledger| {
        for id in ledger.stories_named(&scope, &name)? {
            if let Some(reached) = ledger.reached(&scope, id)?
                && reached.purchase_named(&[Alias(name.clone())]).is_some()
            {
                return Ok(Some(reached));
            }
        }
        Ok(None)
    })
    .await
}

pub(super) async fn purchase_json(
    ledger: &Arc<Ledger>,
    scope: &TenantScope,
    business_key: &str,
) -> anyhow::Result<Option<Value>> {
    let Some(reached) = find(ledger, scope, business_key).await? else { return Ok(None) };
    let Some(purchase) = reached.purchase_named(&[Alias(business_key.to_owned())]) else { return Ok(None) };
    let names = ledger.catalogue.names(scope).await?;
    let lines = lines_of(ledger, scope, reached.number_of(purchase)).await?;
    let mut members: serde_json::Map<String, Value> =
        common(&reached, purchase).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    members.insert("purchase".into(), json!(reached.number_of(purchase)));
    members.insert("aliases".into(), json!(purchase.aliases));
    members.insert("sale_at".into(), json!(moment(purchase.sale.occurred_at)));
    members.insert("outcome".into(), json!(purchase.outcome.name()));
    members.insert("reason".into(), json!(purchase.reason));
    members.insert("reversed_minor".into(), json!(purchase.reversed));
    members.insert("commissionable_minor".into(), json!(purchase.sale.net - purchase.reversed));
    members.insert("commission_minor".into(), json!(purchase.commission));
    members.insert("rule_rev".into(), json!(purchase.rule.rev));
    members.insert("lines".into(), lines.iter().map(|line| line_json(line, &names)).collect());
    Ok(Some(Value::Object(members)))
}
