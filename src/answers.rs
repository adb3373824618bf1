//! Which part of an answer may be kept, by the question; and of an event that was asked for.

use crate::directory_loader::HashKeys;
use domain::ids::{Mode, Provider, VendorId};
use ingest::minimise::{AnswerKind, MINIMISER_REVISION, Minimiser};
use processor::lookups::MinimiseAnswer;
use processor::stripe::reading::{EventError, MinimiseEvent};
use schemas::record::{Delivery, Source};
use serde_json::value::RawValue;
use std::sync::{Arc, PoisonError};

/// The minimiser of look-up answers.
pub fn answer_minimiser(keys: Arc<HashKeys>) -> Arc<MinimiseAnswer> {
    let minimiser = Minimiser::new();
    Arc::new(move |vendor: VendorId, provider: Provider, request: &str, body: &[u8]| -> anyhow::Result<Box<RawValue>> {
        let kind = kind_of(request).ok_or_else(|| anyhow::anyhow!("nothing is known about the answer to {request}"))?;
        Ok(minimiser.minimise_answer(provider, kind, body, &key_of(&keys, vendor)?)?)
    })
}

/// The minimiser of Stripe's events that were asked for: exactly that of deliveries.
pub fn event_minimiser(keys: Arc<HashKeys>) -> Arc<MinimiseEvent> {
    let minimiser = Minimiser::new();
    Arc::new(move |vendor: VendorId, body: &[u8]| -> Result<Delivery, EventError> {
        let key = key_of(&keys, vendor).map_err(|_| EventError::UnknownVendor)?;
        let minimised = minimiser.minimise(Provider::Stripe, body, &key);
        let minimised = minimised.map_err(|error| EventError::Unreadable(error.to_string()))?;
        Ok(Delivery {
            provider: Provider::Stripe,
            source: Source::Backfill,
            account: minimised.account,
            mode: minimised.mode.unwrap_or(Mode::Live),
            event_id: minimised.event_id,
            event_type: minimised.event_type,
            created: minimised.created,
            body_sha256: minimised.body_sha256,
            minimiser: MINIMISER_REVISION,
            event: minimised.json,
        })
    })
}

fn key_of(keys: &HashKeys, vendor: VendorId) -> anyhow::Result<[u8; 32]> {
    let key = keys.read().unwrap_or_else(PoisonError::into_inner).get(&vendor).map(|key| key.0);
    key.ok_or_else(|| anyhow::anyhow!("the vendor is not known here (yet), or gone"))
}

fn kind_of(request: &str) -> Option<AnswerKind> {
    let path = request.strip_prefix("GET ")?;
    let known = [
        ("/v1/invoice_payments", AnswerKind::InvoicePayments),
        ("/v1/invoices?", AnswerKind::Invoices),
        ("/v1/invoices/", AnswerKind::Invoice),
        ("/v1/checkout/sessions/", AnswerKind::CheckoutSession),
        ("/v1/promotion_codes/", AnswerKind::PromotionCode),
        ("/v1/promotion_codes?", AnswerKind::PromotionCodes),
        ("/v1/coupons?", AnswerKind::Coupons),
        ("/v1/discount-redemptions", AnswerKind::DiscountRedemptions),
        ("/discounts/", AnswerKind::Discount),
    ];
    known.into_iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, kind)| kind)
}
