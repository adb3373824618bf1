//! Stripe events.

use super::stripe_sale::{decode_invoice, decode_session};
use super::{Action, Decoded, MovementReading, referral_of, seconds, seen_of};
use crate::provider::stripe as view;
use crate::provider::{Id, ViewError, amount, currency, read};
use crate::record::Delivery;
use domain::catalogue::Sighting;
use domain::fact::*;
use domain::ids::Timestamp;
use serde_json::value::RawValue;

pub(super) fn decode(delivery: &Delivery) -> Result<Decoded, ViewError> {
    let event: view::Event = read(&delivery.event)?;
    if event.object.as_deref() == Some("v2.core.event") {
        return Ok(Decoded { flags: vec!["unsupported_thin"], ..Decoded::ignore("unsupported_thin") });
    }
    let mut decoded = match &event.data {
        Some(data) => decode_object(delivery, &data.object)?,
        None => Decoded::ignore("no_object"),
    };
    if decoded.ignored == Some("unknown_type") {
        decoded.flags.push("unknown_type");
    }
    if !event.api_version.as_deref().is_none_or(is_known_version) {
        decoded.flags.push("unknown_api_version");
    }
    Ok(decoded)
}

/// The named releases read so far, and the dated ones from 2020-08-27 to 2024-06-20.
fn is_known_version(version: &str) -> bool {
    match version.split_once('.') {
        Some((_, name)) => ["acacia", "basil", "clover", "dahlia", "endive"].contains(&name),
        None => ("2020-08-27"..="2024-06-20").contains(&version),
    }
}

fn decode_object(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let event_type = delivery.event_type.as_str();
    match event_type {
        "invoice.paid" | "invoice.payment_succeeded" => decode_invoice(delivery, object),
        "invoice.voided" => decode_void(delivery, object),
        "invoice.payment_failed" | "invoice.marked_uncollectible" => with_currency(Action::Ignore, object),
        "invoice_payment.paid" => decode_invoice_payment(object),
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => decode_session(delivery, object),
        "checkout.session.async_payment_failed" | "checkout.session.expired" => with_currency(Action::Ignore, object),
        "charge.succeeded" => decode_charge(object),
        "payment_intent.succeeded" => decode_intent(object),
        "charge.refunded" => decode_charge_refunded(delivery, object),
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            decode_refund(delivery, object)
        }
        "promotion_code.created" | "promotion_code.updated" => decode_promotion_code(delivery, object),
        "coupon.created" | "coupon.updated" | "coupon.deleted" => decode_coupon(object),
        "credit_note.created" | "credit_note.updated" | "credit_note.voided" => decode_credit_note(delivery, object),
        "customer.discount.created" | "customer.discount.updated" | "customer.discount.deleted" => {
            decode_discount(delivery, object)
        }
        "customer.created" | "customer.updated" | "customer.deleted" => Ok(Decoded::new(Action::Customer)),
        "charge.dispute.created"
        | "charge.dispute.updated"
        | "charge.dispute.funds_withdrawn"
        | "charge.dispute.funds_reinstated"
        | "charge.dispute.closed" => decode_dispute(delivery, object),
        _ if event_type.starts_with("customer.subscription.") => decode_subscription(delivery, object),
        _ => Ok(Decoded::ignore("unknown_type")),
    }
}

/// An event that moves no money: only its names and its currency are shown.
fn with_currency(action: Action, object: &RawValue) -> Result<Decoded, ViewError> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
        currency: Option<String>,
        payment_intent: Option<Id>,
    }
    let named: Named = read(object)?;
    let mut decoded = Decoded::new(action);
    decoded.currency = named.currency.as_deref().map(currency).transpose()?;
    let mut names = vec![own_alias(&named.id)];
    names.extend(alias("pi", &named.payment_intent));
    decoded.facts.push(FactBody::Link { names });
    Ok(decoded)
}

fn own_alias(id: &str) -> Alias {
    let prefix = if id.starts_with("in_") { "inv" } else { "cs" };
    Alias::new(prefix, id)
}

pub(super) fn alias(prefix: &str, id: &Option<Id>) -> Option<Alias> {
    id.as_ref().map(|id| Alias::new(prefix, &id.0))
}

pub(super) fn text(id: &Option<Id>) -> Option<String> {
    id.as_ref().map(|id| id.0.clone())
}

/// A discount object in the words of the fold.
pub(super) fn discount_of(discount: &view::Discount) -> Discount {
    let coupon = text(&discount.coupon).or_else(|| discount.source.as_ref().and_then(|source| text(&source.coupon)));
    Discount {
        id: discount.id.clone(),
        coupon,
        promotion_code: text(&discount.promotion_code),
        start: seconds(discount.start),
        ..Default::default()
    }
}

/// A discount as an object or by its id, in the words of the fold.
pub(super) fn discount_of_ref(one: &view::DiscountRef) -> Discount {
    match one {
        view::DiscountRef::Id(id) => Discount { id: Some(id.clone()), ..Default::default() },
        view::DiscountRef::Object(discount) => discount_of(discount),
    }
}

/// What a discount teaches the catalogue: which code its id stands for, and whose coupon the code is.
pub(super) fn sightings_of(discount: &Discount, seen: &Seen) -> Vec<Sighting> {
    let (coupon, code) = (&discount.coupon, &discount.promotion_code);
    let id = discount.id.as_ref().filter(|_| discount.is_named());
    let mut found: Vec<Sighting> =
        id.map(|id| Sighting::discount(id, coupon.clone(), code.clone(), discount.start, seen)).into_iter().collect();
    if let (Some(_), Some(code)) = (coupon, code) {
        found.push(Sighting::promotion_code(code, None, coupon.clone(), seen));
    }
    found
}

/// Discounts of an invoice or a subscription: ids or objects, and the single `discount` of
/// classic versions.
pub(super) fn discounts_of(list: &Option<Vec<view::DiscountRef>>, single: &Option<view::DiscountRef>) -> Vec<Discount> {
    let mut found: Vec<Discount> = list.iter().flatten().map(discount_of_ref).collect();
    if let Some(single) = single {
        let single = discount_of_ref(single);
        match found.iter_mut().find(|known| known.same_as(&single)) {
            Some(known) => *known = known.clone().or(&single),
            None => found.push(single),
        }
    }
    found
}

pub(super) fn metadata_ref(metadata: &Option<view::Metadata>) -> Option<&str> {
    metadata.as_ref().and_then(|metadata| metadata.affiliate_ref.as_deref())
}

fn decode_void(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let invoice: view::Invoice = read(object)?;
    let mut decoded = Decoded::new(Action::Void);
    decoded.currency = Some(currency(&invoice.currency)?);
    let voided_at =
        invoice.status_transitions.as_ref().and_then(|at| seconds(at.voided_at)).unwrap_or(delivery.created);
    let mut of = vec![Alias::new("inv", &invoice.id)];
    of.extend(alias("pi", &invoice.payment_intent));
    decoded.facts.push(FactBody::Void(Void { of, voided_at }));
    Ok(decoded)
}

fn decode_invoice_payment(object: &RawValue) -> Result<Decoded, ViewError> {
    let payment: view::InvoicePayment = read(object)?;
    let mut decoded = Decoded::new(Action::Link);
    decoded.currency = payment.currency.as_deref().map(currency).transpose()?;
    decoded.facts.extend(link_of_payment(&payment));
    Ok(decoded)
}

/// The only event that joins invoice and payment intent from basil on. A payment out of band
/// names the invoice only.
pub(super) fn link_of_payment(payment: &view::InvoicePayment) -> Option<FactBody> {
    let mut names: Vec<Alias> = alias("inv", &payment.invoice).into_iter().collect();
    let by = payment.payment.as_ref();
    names.extend(by.and_then(|by| alias("pi", &by.payment_intent).or_else(|| alias("ch", &by.charge))));
    (!names.is_empty()).then_some(FactBody::Link { names })
}

fn link_with_referral(decoded: &mut Decoded, names: Vec<Alias>, metadata: &Option<view::Metadata>) {
    decoded.referral = referral_of(None, metadata_ref(metadata));
    if let Some(referral) = &decoded.referral {
        let hint = Hint { of: names.clone(), discounts: Vec::new(), referral: Some(referral.clone()), start: None };
        decoded.facts.push(FactBody::Hint(hint));
    }
    decoded.facts.push(FactBody::Link { names });
}

fn decode_charge(object: &RawValue) -> Result<Decoded, ViewError> {
    let charge: view::Charge = read(object)?;
    let mut decoded = Decoded::new(Action::Link);
    decoded.currency = Some(currency(&charge.currency)?);
    link_with_referral(&mut decoded, names_of_charge(&charge), &charge.metadata);
    Ok(decoded)
}

fn names_of_charge(charge: &view::Charge) -> Vec<Alias> {
    let mut names = vec![Alias::new("ch", &charge.id)];
    names.extend(alias("pi", &charge.payment_intent));
    names.extend(alias("inv", &charge.invoice));
    names
}

fn decode_intent(object: &RawValue) -> Result<Decoded, ViewError> {
    let intent: view::PaymentIntent = read(object)?;
    let mut decoded = Decoded::new(Action::Link);
    decoded.currency = Some(currency(&intent.currency)?);
    let mut names = vec![Alias::new("pi", &intent.id)];
    names.extend(alias("ch", &intent.latest_charge));
    let charges = intent.charges.iter().flat_map(|list| &list.data).filter(|charge| !charge.id.is_empty());
    names.extend(
        charges
            .map(|charge| Alias::new("ch", &charge.id))
            .filter(|name| Some(name) != alias("ch", &intent.latest_charge).as_ref()),
    );
    names.extend(alias("inv", &intent.invoice));
    link_with_referral(&mut decoded, names, &intent.metadata);
    Ok(decoded)
}

fn decode_charge_refunded(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let charge: view::Charge = read(object)?;
    let mut decoded = Decoded::new(Action::Refund);
    let charge_currency = currency(&charge.currency)?;
    decoded.currency = Some(charge_currency);
    let of = names_of_charge(&charge);
    let refunded = amount("data.object.amount_refunded", charge.amount_refunded.unwrap_or_default().0)?.max(0);
    let mut reading =
        MovementReading { cumulative: Some(refunded), status: Some("succeeded".to_owned()), ..Default::default() };
    let mut newest: Option<i64> = None;
    for refund in charge.refunds.iter().flat_map(|list| &list.data) {
        let fact = refund_fact(delivery, refund, &of, &charge.currency)?;
        if newest.is_none_or(|created| refund.created.unwrap_or(0) > created) {
            newest = Some(refund.created.unwrap_or(0));
            reading.id = Some(refund.id.clone());
            reading.amount = Some(fact.amount);
            reading.status = refund.status.clone().or(reading.status);
        }
        decoded.facts.push(FactBody::Refund(fact));
    }
    decoded.facts.push(FactBody::RefundSnapshot(RefundSnapshot {
        of,
        currency: charge_currency,
        refunded,
        at: delivery.created,
    }));
    decoded.movement = Some(reading);
    Ok(decoded)
}

fn refund_fact(
    delivery: &Delivery,
    refund: &view::Refund,
    of: &[Alias],
    fallback_currency: &str,
) -> Result<Refund, ViewError> {
    let mut of = of.to_vec();
    for alias in [alias("ch", &refund.charge), alias("pi", &refund.payment_intent)].into_iter().flatten() {
        if !of.contains(&alias) {
            of.push(alias);
        }
    }
    let status = match refund.status.as_deref() {
        Some("failed" | "canceled") => RefundStatus::Failed,
        Some("pending" | "requires_action") => RefundStatus::Pending,
        // Old versions have no status: the refund was made.
        _ => RefundStatus::Succeeded,
    };
    Ok(Refund {
        id: refund.id.clone(),
        of,
        status,
        currency: currency(refund.currency.as_deref().unwrap_or(fallback_currency))?,
        amount: amount("refund.amount", refund.amount.unwrap_or_default().0)?.max(0),
        net: None,
        created: seconds(refund.created).unwrap_or(delivery.created),
    })
}

fn decode_refund(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let refund: view::Refund = read(object)?;
    let mut decoded = Decoded::new(Action::Refund);
    let fact = refund_fact(delivery, &refund, &[], "")?;
    decoded.currency = Some(fact.currency);
    decoded.movement = Some(MovementReading {
        id: Some(refund.id.clone()),
        amount: Some(fact.amount),
        cumulative: None,
        status: refund.status.clone(),
    });
    decoded.facts.push(FactBody::Refund(fact));
    Ok(decoded)
}

/// States of newer versions (`prevented`, `appeal_*`) hold, unless the money is seen to be gone.
fn dispute_step(dispute: &view::Dispute, event_type: &str) -> DisputeStep {
    let moved: Vec<Option<i128>> = dispute
        .balance_transactions
        .iter()
        .flatten()
        .map(|one| one.amount.map(|amount| i128::from(amount.0)))
        .collect();
    let came_back = moved.len() > 1 && moved.iter().copied().sum::<Option<i128>>().is_some_and(|sum| sum >= 0);
    match (dispute.status.as_str(), event_type) {
        ("won" | "warning_closed", _) | (_, "charge.dispute.funds_reinstated") => DisputeStep::Won,
        ("lost", _) => DisputeStep::Lost,
        _ if came_back => DisputeStep::Won,
        (status, _) if status.starts_with("warning_") => DisputeStep::Hold,
        (_, "charge.dispute.funds_withdrawn") => DisputeStep::Withdrawn,
        _ if !moved.is_empty() => DisputeStep::Withdrawn,
        _ => DisputeStep::Hold,
    }
}

fn decode_dispute(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let dispute: view::Dispute = read(object)?;
    let mut decoded = Decoded::new(Action::Dispute);
    let mut of: Vec<Alias> = alias("ch", &dispute.charge).into_iter().collect();
    of.extend(alias("pi", &dispute.payment_intent));
    let step = dispute_step(&dispute, &delivery.event_type);
    let fact = Dispute {
        id: dispute.id.clone(),
        of,
        step,
        currency: currency(&dispute.currency)?,
        amount: amount("data.object.amount", dispute.amount.unwrap_or_default().0)?.max(0),
        net: None,
        created: seconds(dispute.created).unwrap_or(delivery.created),
    };
    decoded.currency = Some(fact.currency);
    decoded.movement = Some(MovementReading {
        id: Some(dispute.id.clone()),
        amount: Some(fact.amount),
        cumulative: None,
        status: Some(dispute.status),
    });
    decoded.facts.push(FactBody::Dispute(fact));
    Ok(decoded)
}

/// Only the part that did not go out as refunds counts: the refunds reverse themselves.
fn decode_credit_note(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let note: view::CreditNote = read(object)?;
    let mut decoded = Decoded::new(Action::CreditNote);
    let whole = note.amount.unwrap_or_default().0;
    let by_refunds: i128 =
        note.refunds.iter().flatten().map(|refund| i128::from(refund.amount_refunded.unwrap_or_default().0)).sum();
    let own = match note.post_payment_amount {
        // The single refund of older versions carries all of it.
        _ if note.refunds.is_none() && note.refund.is_some() => 0,
        Some(post) => i128::from(amount("data.object.post_payment_amount", post.0)?) - by_refunds,
        None if note.note_type.as_deref() == Some("post_payment") => i128::from(whole),
        None => 0,
    };
    let own_amount = amount("data.object.post_payment_amount", i64::try_from(own.max(0)).unwrap_or(i64::MAX))?;
    let fact = CreditNote {
        id: note.id.clone(),
        of: alias("inv", &note.invoice).into_iter().collect(),
        voided: note.status.as_deref() == Some("void") || delivery.event_type == "credit_note.voided",
        currency: currency(&note.currency)?,
        own_amount,
        created: seconds(note.created).unwrap_or(delivery.created),
    };
    decoded.currency = Some(fact.currency);
    decoded.movement = Some(MovementReading { id: None, amount: Some(whole), cumulative: None, status: note.status });
    decoded.facts.push(FactBody::CreditNote(fact));
    Ok(decoded)
}

fn decode_subscription(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let subscription: view::Subscription = read(object)?;
    let mut decoded = Decoded::new(Action::Subscription);
    let seen = seen_of(delivery);
    let name = Alias::new("sub", &subscription.id);
    let created = seconds(subscription.created);
    decoded.facts.push(FactBody::Subscription(Subscription {
        id: subscription.id.clone(),
        created,
        first_purchase: None,
    }));
    if let Some(invoice) = alias("inv", &subscription.latest_invoice) {
        decoded.facts.push(FactBody::Link { names: vec![invoice, name.clone()] });
    }
    let discounts = discounts_of(&subscription.discounts, &subscription.discount);
    decoded.sightings.extend(discounts.iter().flat_map(|discount| sightings_of(discount, &seen)));
    decoded.referral = referral_of(None, metadata_ref(&subscription.metadata));
    let start = if delivery.event_type == "customer.subscription.created" { created } else { Some(delivery.created) };
    add_hint(&mut decoded, vec![name], discounts, start);
    Ok(decoded)
}

/// Remembers discounts and the referral key that `decoded` names.
pub(super) fn add_hint(decoded: &mut Decoded, of: Vec<Alias>, discounts: Vec<Discount>, start: Option<Timestamp>) {
    if of.is_empty() || (discounts.is_empty() && decoded.referral.is_none()) {
        return;
    }
    decoded.own_discounts = discounts.clone();
    // A referral was there from the beginning; only discounts begin at a time.
    if let Some(referral) = &decoded.referral {
        decoded.facts.push(FactBody::Hint(Hint {
            of: of.clone(),
            discounts: Vec::new(),
            referral: Some(referral.clone()),
            start: None,
        }));
    }
    for discount in discounts {
        let start = discount.start.or(start);
        decoded.facts.push(FactBody::Hint(Hint { of: of.clone(), discounts: vec![discount], referral: None, start }));
    }
}

fn decode_discount(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let view: view::Discount = read(object)?;
    let mut decoded = Decoded::new(Action::Link);
    let discount = discount_of(&view);
    decoded.sightings.extend(sightings_of(&discount, &seen_of(delivery)));
    let mut of: Vec<Alias> = alias("sub", &view.subscription).into_iter().collect();
    of.extend(alias("inv", &view.invoice));
    of.extend(alias("cs", &view.checkout_session));
    decoded.own_discounts = vec![discount.clone()];
    // Deleting a discount changes nothing that was counted, and says nothing new.
    if delivery.event_type != "customer.discount.deleted" {
        add_hint(&mut decoded, of, vec![discount], Some(delivery.created));
    }
    Ok(decoded)
}

fn decode_promotion_code(delivery: &Delivery, object: &RawValue) -> Result<Decoded, ViewError> {
    let code: view::PromotionCode = read(object)?;
    let mut decoded = Decoded::new(Action::Catalog);
    let discount = promotion_code_of(&code);
    decoded.sightings.push(Sighting::promotion_code(
        &code.id,
        discount.code.clone(),
        discount.coupon.clone(),
        &seen_of(delivery),
    ));
    decoded.own_discounts = vec![discount];
    Ok(decoded)
}

/// A promotion code object as a discount. From clover on the coupon is in `promotion`.
pub(super) fn promotion_code_of(code: &view::PromotionCode) -> Discount {
    let coupon = text(&code.coupon).or_else(|| code.promotion.as_ref().and_then(|promotion| text(&promotion.coupon)));
    Discount { coupon, promotion_code: Some(code.id.clone()), code: code.code.clone(), ..Default::default() }
}

fn decode_coupon(object: &RawValue) -> Result<Decoded, ViewError> {
    let coupon: view::Named = read(object)?;
    let mut decoded = Decoded::new(Action::Catalog);
    decoded.own_discounts = vec![Discount { coupon: Some(coupon.id), ..Default::default() }];
    Ok(decoded)
}
