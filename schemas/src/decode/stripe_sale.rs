//! The two Stripe objects that count money: invoices, and checkout sessions without invoice.

use super::stripe::{add_hint, alias, discount_of_ref, discounts_of, metadata_ref, sightings_of, text};
use super::{Action, Decoded, net_of, referral_of, seconds, seen_of};
use crate::provider::stripe as view;
use crate::provider::{Minor, ViewError, amount, currency, read};
use crate::record::Delivery;
use domain::fact::*;
use serde_json::value::RawValue;

fn required(field: &'static str, value: Option<Minor>) -> Result<i64, ViewError> {
    let value = value.ok_or_else(|| {
        ViewError::Shape(format!("{field}: missing; an amount in minor units is needed to count the sale"))
    })?;
    amount(field, value.0)
}

fn optional(field: &'static str, value: Option<Minor>) -> Result<i64, ViewError> {
    amount(field, value.unwrap_or_default().0)
}

/// Sums of amounts that are each accepted can still leave the range.
fn summed(field: &'static str, amounts: impl Iterator<Item = i64>) -> Result<i64, ViewError> {
    let sum: i128 = amounts.map(i128::from).sum();
    amount(field, i64::try_from(sum).unwrap_or(i64::MAX))
}

pub(super) fn decode_invoice(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let invoice: view::Invoice = read(object)?;
    let mut decoded = Decoded::new(Action::Sale);
    let seen = seen_of(delivery);
    let sale = invoice_sale(delivery, &invoice)?;
    decoded.currency = Some(sale.currency);
    decoded.referral = sale.referral.clone();
    decoded.sightings.extend(sale.discounts.iter().flat_map(|discount| sightings_of(discount, &seen)));
    decoded.own_discounts = sale.discounts.clone();
    decoded.facts.extend(
        invoice
            .payments
            .iter()
            .flat_map(|list| &list.data)
            .filter_map(|payment| link_of_expanded(&invoice.id, payment)),
    );
    decoded.facts.insert(0, FactBody::Sale(sale));
    Ok(decoded)
}

/// Expanded `payments` of an invoice name the payment but not the invoice.
fn link_of_expanded(invoice: &str, payment: &view::InvoicePayment) -> Option<FactBody> {
    let by = payment.payment.as_ref()?;
    let other = alias("pi", &by.payment_intent).or_else(|| alias("ch", &by.charge))?;
    Some(FactBody::Link { names: vec![Alias::new("inv", invoice), other] })
}

fn invoice_sale(delivery: &Delivery, invoice: &view::Invoice) -> Result<Sale, ViewError> {
    let details = invoice
        .parent
        .as_ref()
        .and_then(|parent| parent.subscription_details.as_ref())
        .or(invoice.subscription_details.as_ref());
    let subscription = details.and_then(|details| text(&details.subscription)).or_else(|| text(&invoice.subscription));
    let snapshot = details.and_then(|details| metadata_ref(&details.metadata));
    let gross = required("data.object.total", invoice.total)?;
    let shipping = optional("data.object.amount_shipping", invoice.amount_shipping)?;
    let tax = match &invoice.total_taxes {
        Some(taxes) => summed("data.object.total_taxes", taxes.iter().map(|tax| tax.amount.unwrap_or_default().0))?,
        None => optional("data.object.tax", invoice.tax)?,
    };
    // Classic invoices leave money that was paid out of band out of `amount_paid`.
    let paid = match invoice.paid_out_of_band {
        Some(true) => required("data.object.amount_due", invoice.amount_due)?,
        _ => required("data.object.amount_paid", invoice.amount_paid)?,
    };
    let mut links: Vec<Alias> = alias("pi", &invoice.payment_intent).into_iter().collect();
    links.extend(alias("ch", &invoice.charge));
    let discounts = invoice_discounts(invoice)?;
    let created = seconds(invoice.created).unwrap_or(delivery.created);
    let paid_at = invoice.status_transitions.as_ref().and_then(|at| seconds(at.paid_at)).unwrap_or(delivery.created);
    Ok(Sale {
        source: SaleSource::Invoice,
        key: Alias::new("inv", &invoice.id),
        links,
        reason: billing_reason(invoice.billing_reason.as_deref(), subscription.is_some()),
        subscription,
        created,
        occurred_at: paid_at,
        currency: currency(&invoice.currency)?,
        subtotal: required("data.object.subtotal", invoice.subtotal)?,
        discount: summed(
            "data.object.total_discount_amounts",
            invoice.total_discount_amounts.iter().flatten().map(|one| one.amount.unwrap_or_default().0),
        )?,
        tax,
        shipping,
        gross,
        paid,
        net: net_of(gross, tax, shipping, paid),
        discount_question: (!discounts.is_empty())
            .then(|| format!("GET /v1/invoices/{}?expand[]=discounts", invoice.id)),
        unnamed_discount: false,
        discounts,
        referral: referral_of(None, metadata_ref(&invoice.metadata).or(snapshot)),
        customer: text(&invoice.customer),
    })
}

fn billing_reason(reason: Option<&str>, has_subscription: bool) -> BillingReason {
    match reason {
        _ if !has_subscription => BillingReason::OneTime,
        Some("subscription_create") => BillingReason::Create,
        Some("subscription_cycle") => BillingReason::Cycle,
        Some("subscription_update" | "subscription_threshold") => BillingReason::Update,
        _ => BillingReason::Unknown,
    }
}

/// Payload order: `discounts`, then the single `discount`, then what only the amounts name.
fn invoice_discounts(invoice: &view::Invoice) -> Result<Vec<Discount>, ViewError> {
    let mut found = discounts_of(&invoice.discounts, &invoice.discount);
    for one in invoice.total_discount_amounts.iter().flatten() {
        let off = one.amount.map(|off| amount("data.object.total_discount_amounts", off.0)).transpose()?;
        let taken = Discount { id: text(&one.discount), amount: off, ..Default::default() };
        match found.iter_mut().find(|known| known.same_as(&taken)) {
            Some(known) => *known = known.clone().or(&taken),
            None => found.push(taken),
        }
    }
    Ok(found)
}

pub(super) fn decode_session(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let session: view::Session = read(object)?;
    let is_payment = session.mode.as_deref() == Some("payment") && session.invoice.is_none();
    let invoice_follows = session.invoice_creation.as_ref().is_some_and(|creation| creation.enabled == Some(true));
    let is_settled = matches!(session.payment_status.as_deref(), Some("paid" | "no_payment_required"));
    let late = delivery.event_type == "checkout.session.async_payment_succeeded";
    let counts = is_payment && !invoice_follows && (is_settled || late);
    let mut decoded = Decoded::new(if counts { Action::Sale } else { Action::Link });
    decoded.currency = session.currency.as_deref().map(currency).transpose()?;
    decoded.referral = referral_of(session.client_reference_id.as_deref(), metadata_ref(&session.metadata));
    let discounts = session_discounts(&session)?;
    decoded.sightings.extend(discounts.iter().flat_map(|discount| sightings_of(discount, &seen_of(delivery))));
    decoded.own_discounts = discounts.clone();
    if session.payment_status.as_deref() == Some("unpaid") && !late {
        decoded.flags.push("awaiting_payment");
    }
    if counts {
        let is_paid = late || session.payment_status.as_deref() == Some("paid");
        let sale = session_sale(delivery, &session, is_paid, discounts, decoded.referral.clone())?;
        decoded.facts.push(FactBody::Sale(sale));
        return Ok(decoded);
    }
    let mut names: Vec<Alias> = vec![Alias::new("cs", &session.id)];
    names.extend(alias("inv", &session.invoice));
    names.extend(alias("pi", &session.payment_intent));
    names.extend(alias("sub", &session.subscription));
    // Remembered for its own purchase and for the subscription's later payments.
    add_hint(&mut decoded, names.clone(), discounts, seconds(session.created));
    decoded.facts.push(FactBody::Link { names });
    Ok(decoded)
}

fn session_discounts(session: &view::Session) -> Result<Vec<Discount>, ViewError> {
    let named = session.discounts.iter().flatten().map(|one| Discount {
        coupon: text(&one.coupon),
        promotion_code: text(&one.promotion_code),
        ..Default::default()
    });
    let mut found: Vec<Discount> = named.filter(Discount::is_named).collect();
    let details = session.total_details.as_ref();
    for one in details.and_then(|details| details.breakdown.as_ref()).iter().flat_map(|breakdown| &breakdown.discounts)
    {
        let mut discount = one.discount.as_ref().map(discount_of_ref).unwrap_or_default();
        discount.amount = one.amount.map(|taken| amount("data.object.total_details.breakdown", taken.0)).transpose()?;
        match found.iter_mut().find(|known| known.same_as(&discount)) {
            Some(known) => *known = known.clone().or(&discount),
            None => found.push(discount),
        }
    }
    // One discount takes off all that was taken off.
    if let [only] = found.as_mut_slice()
        && only.amount.is_none()
    {
        let taken = details.and_then(|details| details.amount_discount);
        only.amount = taken.map(|taken| amount("data.object.total_details.amount_discount", taken.0)).transpose()?;
    }
    Ok(found)
}

fn session_sale(
    delivery: &Delivery,
    session: &view::Session,
    is_paid: bool,
    discounts: Vec<Discount>,
    referral: Option<String>,
) -> Result<Sale, ViewError> {
    let details = session.total_details.as_ref();
    let discount =
        optional("data.object.total_details.amount_discount", details.and_then(|details| details.amount_discount))?;
    let tax = optional("data.object.total_details.amount_tax", details.and_then(|details| details.amount_tax))?;
    let shipping =
        optional("data.object.total_details.amount_shipping", details.and_then(|details| details.amount_shipping))?;
    let gross = required("data.object.amount_total", session.amount_total)?;
    let paid = if is_paid { gross } else { 0 };
    let unnamed = discount > 0 && discounts.is_empty();
    let code = session.currency.as_deref().unwrap_or_default();
    Ok(Sale {
        source: SaleSource::Session,
        key: Alias::new("cs", &session.id),
        links: alias("pi", &session.payment_intent).into_iter().collect(),
        subscription: text(&session.subscription),
        created: seconds(session.created).unwrap_or(delivery.created),
        occurred_at: delivery.created,
        currency: currency(code)?,
        subtotal: required("data.object.amount_subtotal", session.amount_subtotal)?,
        discount,
        tax,
        shipping,
        gross,
        paid,
        net: net_of(gross, tax, shipping, paid),
        reason: BillingReason::OneTime,
        unnamed_discount: unnamed,
        discount_question: unnamed
            .then(|| format!("GET /v1/checkout/sessions/{}?expand[]=total_details.breakdown", session.id)),
        discounts,
        referral,
        customer: text(&session.customer),
    })
}

/// The discounts that a looked-up invoice names.
pub(super) fn discounts_of_invoice_answer(object: &RawValue) -> Result<Vec<Discount>, ViewError> {
    let invoice: view::Invoice = read(object)?;
    invoice_discounts(&invoice)
}

/// The discounts that a looked-up session names.
pub(super) fn discounts_of_session_answer(object: &RawValue) -> Result<Vec<Discount>, ViewError> {
    let session: view::Session = read(object)?;
    session_discounts(&session)
}
