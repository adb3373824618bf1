//! Paddle Billing events.

use super::stripe::add_hint;
use super::{Action, Decoded, MovementReading, referral_of, seen_of};
use crate::provider::paddle as view;
use crate::provider::{Minor, ViewError, amount, currency, moment, read};
use crate::record::Delivery;
use domain::catalogue::Sighting;
use domain::fact::*;
use domain::ids::Timestamp;
use domain::money::round_half_up;
use serde_json::value::RawValue;

pub(super) fn decode(delivery: &Delivery) -> Result<Decoded, ViewError> {
    let event: view::Event = read(&delivery.event)?;
    match delivery.event_type.as_str() {
        "transaction.completed" => decode_completed(delivery, &event.data),
        "transaction.paid" => decode_paid(&event.data),
        "discount.created" | "discount.updated" | "discount.imported" => decode_discount(delivery, &event.data),
        "adjustment.created" | "adjustment.updated" => decode_adjustment(delivery, &event.data),
        other if other.starts_with("subscription.") => decode_subscription(delivery, &event.data),
        other if other.starts_with("transaction.") => decode_named(&event.data),
        other if other.starts_with("customer.") => Ok(Decoded::new(Action::Customer)),
        _ => Ok(Decoded { flags: vec!["unknown_type"], ..Decoded::ignore("unknown_type") }),
    }
}

fn optional_moment(field: &'static str, text: &Option<String>) -> Result<Option<Timestamp>, ViewError> {
    text.as_deref().map(|text| moment(field, text)).transpose()
}

fn required(field: &'static str, value: Option<Minor>) -> Result<i64, ViewError> {
    let value =
        value.ok_or_else(|| ViewError::Shape(format!("{field}: missing; an amount in minor units is needed")))?;
    amount(field, value.0)
}

fn discount_of(transaction: &view::Transaction, taken: Option<i64>) -> Vec<Discount> {
    transaction
        .discount_id
        .iter()
        .map(|id| Discount { coupon: Some(id.clone()), amount: taken, ..Default::default() })
        .collect()
}

fn custom_ref(data: &Option<view::CustomData>) -> Option<String> {
    referral_of(None, data.as_ref().and_then(|data| data.affiliate_ref.as_deref()))
}

fn decode_completed(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let transaction: view::Transaction = read(object)?;
    let totals = transaction.details.as_ref().map(|details| &details.totals);
    let total = |pick: fn(&view::Totals) -> Option<Minor>| totals.and_then(pick);
    let gross = required("data.details.totals.total", total(|totals| totals.total))?;
    if transaction.origin.as_deref() == Some("subscription_payment_method_change") && gross == 0 {
        return decode_named(object);
    }
    let tax = amount("data.details.totals.tax", total(|totals| totals.tax).unwrap_or_default().0)?;
    let paid = required("data.details.totals.grand_total", total(|totals| totals.grand_total))?;
    let net = match total(|totals| totals.grand_total_tax) {
        _ if gross <= 0 || paid <= 0 => 0,
        Some(paid_tax) => paid - amount("data.details.totals.grand_total_tax", paid_tax.0)?,
        None => round_half_up(gross - tax, paid, gross),
    };
    amount("net of data.details.totals", net)?;
    let discount = amount("data.details.totals.discount", total(|totals| totals.discount).unwrap_or_default().0)?;
    let mut decoded = Decoded::new(Action::Sale);
    let sale = Sale {
        source: SaleSource::Transaction,
        key: Alias::new("txn", &transaction.id),
        links: Vec::new(),
        reason: match transaction.origin.as_deref() {
            Some("web" | "api") => BillingReason::Create,
            Some("subscription_recurring") => BillingReason::Cycle,
            Some("subscription_update" | "subscription_charge") => BillingReason::Update,
            _ => BillingReason::Unknown,
        },
        created: optional_moment("data.created_at", &transaction.created_at)?.unwrap_or(delivery.created),
        occurred_at: optional_moment("data.billed_at", &transaction.billed_at)?.unwrap_or(delivery.created),
        currency: currency(&transaction.currency_code)?,
        subtotal: required("data.details.totals.subtotal", total(|totals| totals.subtotal))?,
        discount,
        tax,
        shipping: 0,
        gross,
        paid,
        net,
        discounts: discount_of(&transaction, Some(discount)),
        unnamed_discount: false,
        discount_question: None,
        referral: custom_ref(&transaction.custom_data),
        customer: transaction.customer_id.clone(),
        subscription: transaction.subscription_id.clone(),
    };
    decoded.currency = Some(sale.currency);
    decoded.own_discounts = sale.discounts.clone();
    decoded.referral = sale.referral.clone();
    decoded.facts.push(FactBody::Sale(sale));
    Ok(decoded)
}

/// A transaction that moves no money: only its name and its currency are shown.
fn decode_named(object: &RawValue) -> Result<Decoded, ViewError> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
        currency_code: Option<String>,
    }
    let named: Named = read(object)?;
    let mut decoded = Decoded::new(Action::Ignore);
    decoded.currency = named.currency_code.as_deref().map(currency).transpose()?;
    decoded.facts.push(FactBody::Link { names: vec![Alias::new("txn", &named.id)] });
    Ok(decoded)
}

/// Captured but not processed: shown as pending, counted when it completes.
fn decode_paid(object: &RawValue) -> Result<Decoded, ViewError> {
    let transaction: view::Transaction = read(object)?;
    let mut decoded = Decoded::new(Action::Link);
    decoded.currency = Some(currency(&transaction.currency_code)?);
    decoded.flags.push("awaiting_completion");
    decoded.referral = custom_ref(&transaction.custom_data);
    let mut names = vec![Alias::new("txn", &transaction.id)];
    add_hint(&mut decoded, names.clone(), discount_of(&transaction, None), None);
    names.extend(transaction.subscription_id.iter().map(|id| Alias::new("sub", id)));
    decoded.facts.push(FactBody::Link { names });
    Ok(decoded)
}

fn decode_subscription(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let subscription: view::Subscription = read(object)?;
    let mut decoded = Decoded::new(Action::Subscription);
    let created = optional_moment("data.created_at", &subscription.created_at)?;
    let name = Alias::new("sub", &subscription.id);
    decoded.facts.push(FactBody::Subscription(Subscription {
        id: subscription.id.clone(),
        created,
        first_purchase: subscription.transaction_id.as_ref().map(|id| Alias::new("txn", id)),
    }));
    decoded.referral = custom_ref(&subscription.custom_data);
    let mut discounts = Vec::new();
    if let Some(discount) = &subscription.discount
        && let Some(id) = &discount.id
    {
        let start = optional_moment("data.discount.starts_at", &discount.starts_at)?;
        discounts.push(Discount { coupon: Some(id.clone()), start, ..Default::default() });
    }
    // A discount without a start that shows up later did not credit what was sold before.
    let start = if delivery.event_type == "subscription.created" { created } else { Some(delivery.created) };
    add_hint(&mut decoded, vec![name], discounts, start);
    Ok(decoded)
}

fn decode_discount(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let discount: view::Discount = read(object)?;
    let mut decoded = Decoded::new(Action::Catalog);
    decoded.sightings.push(Sighting::coupon(&discount.id, discount.code.clone(), &seen_of(delivery)));
    decoded.own_discounts = vec![Discount { coupon: Some(discount.id), code: discount.code, ..Default::default() }];
    Ok(decoded)
}

fn decode_adjustment(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let adjustment: view::Adjustment = read(object)?;
    let totals = adjustment.totals.as_ref();
    let total = required("data.totals.total", totals.and_then(|totals| totals.total))?;
    let net = required("data.totals.subtotal", totals.and_then(|totals| totals.subtotal))?;
    let created = optional_moment("data.created_at", &adjustment.created_at)?.unwrap_or(delivery.created);
    let of = vec![Alias::new("txn", &adjustment.transaction_id)];
    let unit = currency(&adjustment.currency_code)?;
    let is_refund = matches!(adjustment.action.as_str(), "refund" | "credit" | "credit_reverse");
    // A reversal is an adjustment of its own that gives back: a negative amount here.
    let gives_back = matches!(adjustment.action.as_str(), "chargeback_reverse" | "credit_reverse");
    let sign = if gives_back { -1 } else { 1 };
    let mut decoded = Decoded::new(if is_refund { Action::Refund } else { Action::Dispute });
    let (id, amount, net) = (adjustment.id.clone(), sign * total.abs(), Some(sign * net.abs()));
    decoded.facts.push(if is_refund {
        let status = match adjustment.status.as_str() {
            "approved" => RefundStatus::Succeeded,
            "rejected" => RefundStatus::Failed,
            "reversed" => RefundStatus::Reversed,
            _ => RefundStatus::Pending,
        };
        FactBody::Refund(Refund { id, of, status, currency: unit, amount, net, created })
    } else {
        let step = match (adjustment.action.as_str(), adjustment.status.as_str()) {
            ("chargeback" | "chargeback_reverse", "approved") => DisputeStep::Withdrawn,
            ("chargeback" | "chargeback_reverse", "rejected" | "reversed") => DisputeStep::Won,
            // Warnings, and actions that are not known yet, move no money.
            _ => DisputeStep::Hold,
        };
        FactBody::Dispute(Dispute { id, of, step, currency: unit, amount, net, created })
    });
    decoded.currency = Some(unit);
    decoded.movement = Some(MovementReading {
        id: Some(adjustment.id),
        amount: Some(total),
        cumulative: None,
        status: Some(adjustment.status),
    });
    Ok(decoded)
}
