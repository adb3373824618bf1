//! What the provider answered to a question, as facts, sightings and named discounts.

use super::stripe::{link_of_payment, promotion_code_of, sightings_of};
use super::stripe_sale::{discounts_of_invoice_answer, discounts_of_session_answer};
use crate::provider::{ViewError, lemonsqueezy, paddle, read, stripe};
use crate::record::LookupResult;
use domain::catalogue::Sighting;
use domain::fact::{Answer, Discount, FactBody, Seen};
use domain::ids::Timestamp;
use serde_json::value::RawValue;

/// An answer, and what else it teaches.
#[derive(Debug)]
pub struct DecodedAnswer {
    /// Kept per connection.
    pub answer: Answer,
    /// Joined to stories.
    pub facts: Vec<FactBody>,
    /// Joined to the catalogue.
    pub sightings: Vec<Sighting>,
}

/// Reads an answer. One that cannot be read counts as a refusal, with the reason.
pub fn decode_answer(result: &LookupResult) -> DecodedAnswer {
    let seen = Seen { at: result.asked_at, event: result.request.clone() };
    let mut decoded = DecodedAnswer {
        answer: Answer {
            request: result.request.clone(),
            refused: result.refused.clone(),
            asked_at: result.asked_at,
            discounts: Vec::new(),
            first_sale: None,
            first_paid: None,
        },
        facts: Vec::new(),
        sightings: Vec::new(),
    };
    match &result.answer {
        None if decoded.answer.refused.is_none() => decoded.answer.refused = Some("no answer".to_owned()),
        None => {}
        Some(body) => {
            if let Err(error) = read_answer(&result.request, body, &seen, &mut decoded) {
                decoded.answer.refused = Some(format!("the answer could not be read: {error}"));
            }
        }
    }
    decoded
}

fn read_answer(request: &str, body: &RawValue, seen: &Seen, decoded: &mut DecodedAnswer) -> Result<(), ViewError> {
    let path = request.strip_prefix("GET ").unwrap_or(request);
    if path.starts_with("/v1/invoice_payments") {
        let list: stripe::List<stripe::InvoicePayment> = read(body)?;
        decoded.facts.extend(list.data.iter().filter_map(link_of_payment));
    } else if path.starts_with("/v1/promotion_codes/") {
        let code: stripe::PromotionCode = read(body)?;
        let discount = promotion_code_of(&code);
        decoded.sightings.push(Sighting::promotion_code(&code.id, discount.code, discount.coupon, seen));
    } else if path.starts_with("/v1/promotion_codes?") {
        let list: stripe::List<stripe::PromotionCode> = read(body)?;
        for code in list.data.iter().filter(|code| !code.id.is_empty()) {
            let discount = promotion_code_of(code);
            decoded.sightings.push(Sighting::promotion_code(&code.id, discount.code, discount.coupon, seen));
        }
    } else if path.starts_with("/v1/coupons?") {
        let list: stripe::List<stripe::Named> = read(body)?;
        let named = list.data.iter().filter(|coupon| !coupon.id.is_empty());
        decoded.sightings.extend(named.map(|coupon| Sighting::listed_coupon(&coupon.id)));
    } else if path.starts_with("/v1/invoices?") {
        read_history(body, decoded)?;
    } else if path.starts_with("/v1/invoices/") {
        named(decoded, discounts_of_invoice_answer(body)?, seen);
    } else if path.starts_with("/v1/checkout/sessions/") {
        named(decoded, discounts_of_session_answer(body)?, seen);
    } else if path.starts_with("/discounts/") {
        let discount: paddle::DiscountAnswer = read(body)?;
        decoded.sightings.push(Sighting::coupon(&discount.data.id, discount.data.code, seen));
    } else if path.starts_with("/v1/discount-redemptions") {
        let list: lemonsqueezy::Redemptions = read(body)?;
        let discounts = list.data.into_iter().map(|one| Discount {
            coupon: one.attributes.discount_id.map(|id| id.0),
            code: one.attributes.discount_code,
            amount: one.attributes.amount.map(|taken| taken.0),
            ..Default::default()
        });
        named(decoded, discounts.collect(), seen);
    } else {
        return Err(ViewError::Shape(format!("no reader for {request}")));
    }
    Ok(())
}

fn named(decoded: &mut DecodedAnswer, discounts: Vec<Discount>, seen: &Seen) {
    decoded.sightings.extend(discounts.iter().flat_map(|discount| sightings_of(discount, seen)));
    decoded.answer.discounts = discounts;
}

/// A subscription's paid invoices: which was the first.
fn read_history(body: &RawValue, decoded: &mut DecodedAnswer) -> Result<(), ViewError> {
    let list: stripe::List<stripe::Invoice> = read(body)?;
    if list.has_more == Some(true) {
        return Err(ViewError::Shape(
            "has_more: the subscription has more paid invoices than one page, and the first is not on it".to_owned(),
        ));
    }
    let created = |invoice: &stripe::Invoice| invoice.created.map(Timestamp::from_seconds);
    // What was paid out of band is not in the `amount_paid` of classic versions.
    let paid = |invoice: &&stripe::Invoice| match invoice.paid_out_of_band {
        Some(true) => invoice.amount_due.unwrap_or_default().0 > 0,
        _ => invoice.amount_paid.unwrap_or_default().0 > 0,
    };
    decoded.answer.first_sale = list.data.iter().filter_map(created).min();
    decoded.answer.first_paid = list.data.iter().filter(paid).filter_map(created).min();
    Ok(())
}
