//! `GET /api/v1/deliveries/{id}`: how one delivery was read, its outcome and lines.

use super::purchase::{common, line_json, lines_of, moment};
use super::{Ledger, Reached, StoredCatalogue, blocking};
use domain::fact::{Alias, FactBody, RefundStatus};
use domain::ids::PurchaseId;
use domain::story::Scope;
use domain::target::{Attribution, Context, attribute_alone};
use schemas::decode::{Action, Decoded, MovementReading, decode_delivery};
use schemas::record::{Delivery, Payload, Record};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::event_log::partition_of;
use store::fold_store::ListedRecord;
use store::scope::TenantScope;

/// A delivery with the record that was folded for it.
struct Found {
    listed: ListedRecord,
    scope: Scope,
    delivery: Delivery,
}

/// The first record of the event in the scope's mode. Copies of it have no effect.
async fn find(ledger: &Arc<Ledger>, scope: &TenantScope, id: &str) -> anyhow::Result<Option<Found>> {
    let (vendor, name) = (scope.vendor(), id.to_owned());
    let listed = blocking(ledger, move |ledger| Ok(ledger.store.records_of_event(vendor, &name)?)).await?;
    for one in listed {
        let stored = ledger.log.read(partition_of(vendor), one.offset, 1, 1).await?;
        let Some(record) = stored.first().and_then(|stored| Record::decode(&stored.bytes).ok()) else { continue };
        let at = Scope { vendor: record.vendor, connection: record.connection, mode: scope.mode() };
        if let Payload::Delivery(delivery) = record.payload
            && record.vendor == vendor
            && delivery.mode == scope.mode()
            && delivery.event_id == id
        {
            return Ok(Some(Found { listed: one, scope: at, delivery }));
        }
    }
    Ok(None)
}

pub(super) async fn delivery_json(
    ledger: &Arc<Ledger>,
    scope: &TenantScope,
    id: &str,
) -> anyhow::Result<Option<Value>> {
    let Some(found) = find(ledger, scope, id).await? else { return Ok(None) };
    let offset = found.listed.offset;
    let copy = *scope;
    let (mut members, purchase) = blocking(ledger, move |ledger| read(ledger, &copy, &found)).await?;
    let names = ledger.catalogue.names(scope).await?;
    let lines = match purchase {
        Some(purchase) => lines_of(ledger, scope, purchase).await?,
        None => Vec::new(),
    };
    members.insert(
        "lines".into(),
        lines.iter().filter(|line| line.src_off == offset).map(|line| line_json(line, &names)).collect(),
    );
    Ok(Some(Value::Object(members)))
}

fn read(
    ledger: &Ledger,
    scope: &TenantScope,
    found: &Found,
) -> anyhow::Result<(Map<String, Value>, Option<PurchaseId>)> {
    let delivery = &found.delivery;
    let mut members = Map::new();
    members.insert("event_type".into(), json!(delivery.event_type));
    members.insert("event_id".into(), json!(delivery.event_id));
    members.insert("provider".into(), json!(delivery.provider.name()));
    members.insert("livemode".into(), json!(delivery.mode.is_live()));
    members.insert("occurred_at".into(), json!(moment(delivery.created)));
    members.insert("received_at".into(), json!(moment(found.listed.at)));
    members.insert("offset".into(), json!(found.listed.offset));
    members.insert("outcome".into(), json!(found.listed.outcome));
    members.insert("reason".into(), json!(found.listed.reason));
    members.insert("body_sha256".into(), json!(delivery.body_sha256));
    let decoded = match decode_delivery(delivery) {
        Ok(decoded) => decoded,
        Err(error) => {
            members.insert("error".into(), json!(error.to_string()));
            return Ok((members, None));
        }
    };
    let reached = found.listed.story.map(|story| current_story(ledger, scope, found, story)).transpose()?.flatten();
    let purchase = describe(ledger, found, &decoded, reached.as_ref(), &mut members)?;
    Ok((members, purchase))
}

/// The story that the event's facts are in now: it may have been merged into another since.
fn current_story(
    ledger: &Ledger,
    scope: &TenantScope,
    found: &Found,
    story: domain::ids::StoryId,
) -> anyhow::Result<Option<Reached>> {
    if let Some(reached) = ledger.reached(scope, story)? {
        return Ok(Some(reached));
    }
    let decoded = decode_delivery(&found.delivery)?;
    let names: Vec<(Scope, Alias)> =
        decoded.facts.iter().flat_map(FactBody::aliases).map(|alias| (found.scope, alias)).collect();
    match ledger.store.stories_of(&names)?.into_iter().flatten().next() {
        Some(id) => ledger.reached(scope, id),
        None => Ok(None),
    }
}

fn describe(
    ledger: &Ledger,
    found: &Found,
    decoded: &Decoded,
    reached: Option<&Reached>,
    members: &mut Map<String, Value>,
) -> anyhow::Result<Option<PurchaseId>> {
    let names = decoded.purchase_names();
    let purchase = reached.and_then(|reached| reached.purchase_named(&names));
    let mut flags: Vec<String> = decoded.flags.iter().map(|flag| (*flag).to_owned()).collect();
    members.insert("action".into(), json!(decoded.action.name()));
    members.insert("redemption".into(), json!(false));
    members.insert("currency".into(), json!(decoded.currency));
    let names_a_purchase = !matches!(decoded.action, Action::Subscription | Action::Customer | Action::Catalog);
    let key = purchase.map(|purchase| &purchase.key).or(names.first()).filter(|_| names_a_purchase);
    members.insert("business_key".into(), json!(key));
    if let (Some(own), Some(purchase), Some(reached)) = (decoded.sale(), purchase, reached) {
        members.extend(common(reached, purchase).into_iter().map(|(name, value)| (name.to_owned(), value)));
        members.extend(own_amounts(own));
        flags.extend(purchase.flags.iter().map(|flag| (*flag).to_owned()));
    } else {
        describe_attribution(ledger, found, decoded, members)?;
    }
    if found.listed.reason == "unknown_account" {
        // A receipt is kept, nothing was done with it.
        members.insert("action".into(), json!(Action::Ignore.name()));
        flags.push("unknown_account".to_owned());
    }
    flags.sort();
    flags.dedup();
    members.insert("flags".into(), json!(flags));
    describe_movement(
        decoded,
        purchase.map(|purchase| purchase.key.0.as_str()).or(key.map(|key| key.0.as_str())),
        reached,
        members,
    );
    Ok(purchase.zip(reached).map(|(purchase, reached)| reached.number_of(purchase)))
}

/// The amounts are the event's own, also where another view of the purchase decided.
fn own_amounts(sale: &domain::fact::Sale) -> Vec<(String, Value)> {
    vec![
        ("subtotal_minor".into(), json!(sale.subtotal)),
        ("discount_minor".into(), json!(sale.discount)),
        ("tax_minor".into(), json!(sale.tax)),
        ("shipping_minor".into(), json!(sale.shipping)),
        ("gross_minor".into(), json!(sale.gross)),
        ("paid_minor".into(), json!(sale.paid)),
        ("net_minor".into(), json!(sale.net)),
    ]
}

/// What the event's own discounts and referral key say by themselves.
fn describe_attribution(
    ledger: &Ledger,
    found: &Found,
    decoded: &Decoded,
    members: &mut Map<String, Value>,
) -> anyhow::Result<()> {
    if decoded.own_discounts.is_empty() && decoded.referral.is_none() {
        return Ok(());
    }
    let decisions = ledger.decisions(found.scope.vendor)?;
    let catalogue = StoredCatalogue { store: ledger.store.as_ref(), scope: found.scope };
    let context = Context { decisions: &decisions, catalogue: &catalogue };
    let (provider, at) = (found.delivery.provider, found.delivery.created);
    let alone: Attribution =
        attribute_alone(provider, found.scope, decoded.own_discounts.clone(), decoded.referral.clone(), at, &context)?;
    let shown = alone.shown.as_ref();
    members.insert("code".into(), json!(shown.and_then(|discount| discount.code.as_ref())));
    members.insert("coupon_id".into(), json!(shown.and_then(|discount| discount.coupon.as_ref())));
    members.insert("promotion_code_id".into(), json!(shown.and_then(|discount| discount.promotion_code.as_ref())));
    if decoded.action != Action::Catalog {
        let affiliate = alone
            .affiliate
            .map(|id| decisions.affiliates.get(&id).map_or_else(|| id.to_string(), |known| known.key.clone()));
        members.insert("attribution".into(), json!(alone.how.name()));
        members.insert("affiliate".into(), json!(affiliate));
    }
    Ok(())
}

fn describe_movement(
    decoded: &Decoded,
    key: Option<&str>,
    reached: Option<&Reached>,
    members: &mut Map<String, Value>,
) {
    let Some(movement) = &decoded.movement else { return };
    members.insert("refund_of".into(), json!(key));
    match decoded.action {
        Action::Dispute => {
            let dispute =
                json!({"dispute_id": movement.id, "status": movement.status, "amount_minor": movement.amount});
            members.insert("dispute".into(), dispute);
        }
        _ => {
            let cumulative = movement.cumulative.or_else(|| reached.map(|reached| succeeded_so_far(decoded, reached)));
            members.insert("refund".into(), refund_json(movement, cumulative));
        }
    }
}

fn refund_json(movement: &MovementReading, cumulative: Option<i64>) -> Value {
    json!({
        "refund_id": movement.id,
        "amount_minor": movement.amount,
        "cumulative_minor": cumulative,
        "status": movement.status,
    })
}

/// All refunds that are known to have succeeded for the same charge.
fn succeeded_so_far(decoded: &Decoded, reached: &Reached) -> i64 {
    let names = decoded.purchase_names();
    let mut by_id: BTreeMap<&str, (RefundStatus, i64)> = BTreeMap::new();
    for (fact, _) in reached.story.facts.iter() {
        if let FactBody::Refund(refund) = fact
            && refund.of.iter().any(|alias| names.contains(alias))
        {
            let known = by_id.entry(&refund.id).or_insert((refund.status, refund.amount));
            *known = (*known).max((refund.status, refund.amount));
        }
    }
    by_id.values().filter(|(status, _)| *status == RefundStatus::Succeeded).map(|(_, amount)| amount).sum()
}
