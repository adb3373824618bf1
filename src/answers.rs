//! Which part of an answer may be kept, by the question.

use crate::directory_loader::HashKeys;
use domain::ids::{Provider, VendorId};
use ingest::minimise::{AnswerKind, Minimiser};
use processor::lookups::MinimiseAnswer;
use serde_json::value::RawValue;
use std::sync::{Arc, PoisonError};

/// The minimiser of look-up answers.
pub fn answer_minimiser(keys: Arc<HashKeys>) -> Arc<MinimiseAnswer> {
    let minimiser = Minimiser::new();
    Arc::new(move |vendor: VendorId, provider: Provider, request: &str, body: &[u8]| -> anyhow::Result<Box<RawValue>> {
        let kind = kind_of(request).ok_or_else(|| anyhow::anyhow!("nothing is known about the answer to {request}"))?;
        let key = keys.read().unwrap_or_else(PoisonError::into_inner).get(&vendor).map(|key| key.0);
        let key = key.ok_or_else(|| anyhow::anyhow!("the vendor is gone"))?;
        Ok(minimiser.minimise_answer(provider, kind, body, &key)?)
    })
}

fn kind_of(request: &str) -> Option<AnswerKind> {
    let path = request.strip_prefix("GET ")?;
    let known = [
        ("/v1/invoice_payments", AnswerKind::InvoicePayments),
        ("/v1/invoices?", AnswerKind::Invoices),
        ("/v1/invoices/", AnswerKind::Invoice),
        ("/v1/checkout/sessions/", AnswerKind::CheckoutSession),
        ("/v1/promotion_codes/", AnswerKind::PromotionCode),
        ("/v1/discount-redemptions", AnswerKind::DiscountRedemptions),
        ("/discounts/", AnswerKind::Discount),
    ];
    known.into_iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, kind)| kind)
}
