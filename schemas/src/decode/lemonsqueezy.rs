//! Lemon Squeezy events. Codes are never in them: they are asked for.

use super::stripe::add_hint;
use super::{Action, Decoded, MovementReading, net_of, referral_of};
use crate::provider::lemonsqueezy as view;
use crate::provider::{Id, Minor, ViewError, amount, currency, moment, read};
use crate::record::Delivery;
use domain::fact::*;
use domain::ids::Timestamp;

pub(super) fn decode(delivery: &Delivery) -> Result<Decoded, ViewError> {
    let event: view::Event = read(&delivery.event)?;
    let referral = referral_of(None, event.meta.custom_data.as_ref().and_then(|data| data.affiliate_ref.as_deref()));
    match delivery.event_type.as_str() {
        "order_created" => decode_order(delivery, &event.data, referral),
        "subscription_payment_success" | "subscription_payment_recovered" => {
            decode_payment(delivery, &event.data, referral)
        }
        "subscription_payment_failed" => decode_failed(&event.data),
        "order_refunded" => decode_refunded(delivery, &event.data, "order"),
        "subscription_payment_refunded" => decode_refunded(delivery, &event.data, "subinv"),
        other if other.starts_with("subscription_") && event.data.kind == "subscriptions" => {
            decode_subscription(&event.data, referral)
        }
        _ => Ok(Decoded { flags: vec!["unknown_type"], ..Decoded::ignore("unknown_type") }),
    }
}

/// Status of an order that the provider holds for fraud.
const FRAUDULENT: &str = "fraudulent";

fn optional(field: &'static str, value: Option<Minor>) -> Result<i64, ViewError> {
    amount(field, value.unwrap_or_default().0)
}

fn optional_moment(field: &'static str, text: &Option<String>, fallback: Timestamp) -> Result<Timestamp, ViewError> {
    text.as_deref().map_or(Ok(fallback), |text| moment(field, text))
}

fn sale_of(
    delivery: &Delivery,
    data: &view::Data,
    view: &view::Sale,
    referral: Option<String>,
) -> Result<Sale, ViewError> {
    let is_order = data.kind == "orders";
    let gross = amount(
        "data.attributes.total",
        view.total
            .ok_or_else(|| {
                ViewError::Shape("data.attributes.total: missing; an amount in minor units is needed".to_owned())
            })?
            .0,
    )?;
    let tax = optional("data.attributes.tax", view.tax)?;
    let discount = optional("data.attributes.discount_total", view.discount_total)?;
    let created = optional_moment("data.attributes.created_at", &view.created_at, delivery.created)?;
    // Trial orders hide the code, so a zero total is asked about too.
    let asks = is_order && (discount > 0 || gross == 0);
    Ok(Sale {
        source: if is_order { SaleSource::Order } else { SaleSource::SubscriptionInvoice },
        key: Alias::new(if is_order { "order" } else { "subinv" }, &data.id),
        links: Vec::new(),
        subscription: view.subscription_id.as_ref().map(|id| id.0.clone()),
        created,
        occurred_at: created,
        currency: currency(&view.currency)?,
        subtotal: optional("data.attributes.subtotal", view.subtotal)?
            + optional("data.attributes.setup_fee", view.setup_fee)?,
        discount,
        tax,
        shipping: 0,
        gross,
        paid: gross,
        net: net_of(gross, tax, 0, gross),
        reason: match (is_order, view.billing_reason.as_deref()) {
            (true, _) => BillingReason::Create,
            (false, Some("renewal")) => BillingReason::Cycle,
            (false, Some("updated")) => BillingReason::Update,
            (false, _) => BillingReason::Unknown,
        },
        discounts: Vec::new(),
        unnamed_discount: asks,
        discount_question: asks.then(|| format!("GET /v1/discount-redemptions?filter[order_id]={}", data.id)),
        referral,
        customer: view.customer_id.as_ref().map(|id| id.0.clone()),
    })
}

fn decode_order(delivery: &Delivery, data: &view::Data, referral: Option<String>) -> Result<Decoded, ViewError> {
    let view: view::Sale = read(&data.attributes)?;
    let status = view.status.as_deref().unwrap_or("paid");
    if status == FRAUDULENT {
        return decode_refunded(delivery, data, "order");
    }
    let counts = matches!(status, "paid" | "refunded" | "partial_refund");
    let mut decoded = Decoded::new(if counts { Action::Sale } else { Action::Link });
    let sale = sale_of(delivery, data, &view, referral)?;
    decoded.currency = Some(sale.currency);
    decoded.referral = sale.referral.clone();
    if !counts {
        decoded.facts.push(FactBody::Link { names: vec![sale.key] });
        return Ok(decoded);
    }
    push_sale(&mut decoded, delivery, &view, sale)?;
    Ok(decoded)
}

/// A resent or polled sale may have been refunded since: it says how much.
fn push_sale(decoded: &mut Decoded, delivery: &Delivery, view: &view::Sale, sale: Sale) -> Result<(), ViewError> {
    let refunded = refunded_of(view)?;
    let (of, unit) = (vec![sale.key.clone()], sale.currency);
    decoded.facts.push(FactBody::Sale(sale));
    if refunded > 0 {
        decoded.facts.push(FactBody::RefundSnapshot(RefundSnapshot {
            of,
            currency: unit,
            refunded,
            at: delivery.created,
        }));
    }
    Ok(())
}

/// All that was refunded so far. A fraudulent order is reversed as a whole.
fn refunded_of(view: &view::Sale) -> Result<i64, ViewError> {
    let refunded = optional("data.attributes.refunded_amount", view.refunded_amount)?;
    let whole = optional("data.attributes.total", view.total)?;
    Ok(if view.status.as_deref() == Some(FRAUDULENT) { refunded.max(whole) } else { refunded }.max(0))
}

/// Names of a subscription invoice. The initial one is the order's money again: it joins the
/// subscription's first purchase.
fn names_of_payment(id: &str, subscription: &Option<Id>, billing_reason: Option<&str>) -> Vec<Alias> {
    let mut names = vec![Alias::new("subinv", id)];
    if let Some(subscription) = subscription {
        if billing_reason == Some("initial") {
            names.push(Alias::new("first", &subscription.0));
        }
        names.push(Alias::new("sub", &subscription.0));
    }
    names
}

fn decode_payment(delivery: &Delivery, data: &view::Data, referral: Option<String>) -> Result<Decoded, ViewError> {
    let view: view::Sale = read(&data.attributes)?;
    let initial = view.billing_reason.as_deref() == Some("initial");
    let mut decoded = Decoded::new(if initial { Action::Link } else { Action::Sale });
    decoded.currency = Some(currency(&view.currency)?);
    decoded.referral = referral.clone();
    if initial {
        decoded
            .facts
            .push(FactBody::Link { names: names_of_payment(&data.id, &view.subscription_id, Some("initial")) });
    } else {
        push_sale(&mut decoded, delivery, &view, sale_of(delivery, data, &view, referral)?)?;
    }
    Ok(decoded)
}

fn decode_failed(data: &view::Data) -> Result<Decoded, ViewError> {
    let view: view::Sale = read(&data.attributes)?;
    let mut decoded = Decoded::new(Action::Ignore);
    decoded.currency = Some(currency(&view.currency)?);
    decoded.facts.push(FactBody::Link {
        names: names_of_payment(&data.id, &view.subscription_id, view.billing_reason.as_deref()),
    });
    Ok(decoded)
}

/// `refunded_amount` is cumulative, on the order or on the subscription invoice.
fn decode_refunded(delivery: &Delivery, data: &view::Data, prefix: &str) -> Result<Decoded, ViewError> {
    let view: view::Sale = read(&data.attributes)?;
    let mut decoded = Decoded::new(Action::Refund);
    let unit = currency(&view.currency)?;
    let refunded = refunded_of(&view)?;
    let of = match prefix {
        "order" => vec![Alias::new("order", &data.id)],
        _ => names_of_payment(&data.id, &view.subscription_id, view.billing_reason.as_deref()),
    };
    decoded.currency = Some(unit);
    decoded.movement =
        Some(MovementReading { id: None, amount: Some(refunded), cumulative: Some(refunded), status: view.status });
    decoded.facts.push(FactBody::RefundSnapshot(RefundSnapshot { of, currency: unit, refunded, at: delivery.created }));
    Ok(decoded)
}

fn decode_subscription(data: &view::Data, referral: Option<String>) -> Result<Decoded, ViewError> {
    let view: view::Subscription = read(&data.attributes)?;
    let mut decoded = Decoded::new(Action::Subscription);
    let created = view.created_at.as_deref().map(|text| moment("data.attributes.created_at", text)).transpose()?;
    decoded.facts.push(FactBody::Subscription(Subscription {
        id: data.id.clone(),
        created,
        first_purchase: view.order_id.as_ref().map(|id| Alias::new("order", &id.0)),
    }));
    decoded.referral = referral;
    add_hint(&mut decoded, vec![Alias::new("sub", &data.id)], Vec::new(), created);
    Ok(decoded)
}
