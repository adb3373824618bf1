//! Stripe objects, every API version from 2020-08-27 on.

use super::{Id, Minor};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What Stripe has to send, in the order of its own list.
pub const STRIPE_EVENTS: [&str; 27] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.voided",
    "invoice_payment.paid",
    "charge.succeeded",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "charge.dispute.closed",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.discount.created",
    "promotion_code.created",
    "promotion_code.updated",
    "coupon.created",
    "coupon.updated",
    "coupon.deleted",
    "credit_note.created",
    "credit_note.voided",
];

/// The API version that our requests name and that endpoints made by us are pinned to. What comes is read by its shape.
pub const STRIPE_VERSION: &str = "2025-09-30.clover";

/// An event.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// `event`, or `v2.core.event` for a thin notification.
    #[serde(default)]
    pub object: Option<String>,
    /// Rendering of `data.object`.
    #[serde(default)]
    pub api_version: Option<String>,
    /// Absent in thin notifications.
    #[serde(default)]
    pub data: Option<EventData>,
}

/// The object.
#[derive(Debug, Deserialize)]
pub struct EventData {
    /// As it was at the time of the event.
    pub object: Box<RawValue>,
}

/// Our metadata keys.
#[derive(Debug, Default, Deserialize)]
pub struct Metadata {
    /// Referral key.
    #[serde(default, deserialize_with = "super::lenient_text")]
    pub affiliate_ref: Option<String>,
}

/// A discount, expanded or by its id.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum DiscountRef {
    /// `di_...`.
    Id(String),
    /// The object.
    Object(Box<Discount>),
}

/// A discount object. Clover and later name the coupon in `source`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Discount {
    /// `di_...`.
    pub id: Option<String>,
    /// Until clover.
    pub coupon: Option<Id>,
    /// From clover on.
    pub source: Option<DiscountSource>,
    /// Promotion code.
    pub promotion_code: Option<Id>,
    /// Unix seconds.
    pub start: Option<i64>,
    /// Where it is.
    pub subscription: Option<Id>,
    /// Where it is.
    pub invoice: Option<Id>,
    /// Where it is.
    pub checkout_session: Option<Id>,
}

/// What a discount comes from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DiscountSource {
    /// Coupon id.
    pub coupon: Option<Id>,
}

/// A list object.
#[derive(Debug, Default, Deserialize)]
pub struct List<T> {
    /// First page.
    #[serde(default = "Vec::new")]
    pub data: Vec<T>,
    /// It is not the whole list.
    #[serde(default)]
    pub has_more: Option<bool>,
}

/// `{amount}` of a tax.
#[derive(Debug, Deserialize)]
pub struct TaxAmount {
    /// Minor units.
    #[serde(default)]
    pub amount: Option<Minor>,
}

/// How much a discount took off.
#[derive(Debug, Deserialize)]
pub struct DiscountAmount {
    /// Minor units.
    #[serde(default)]
    pub amount: Option<Minor>,
    /// Which.
    #[serde(default)]
    pub discount: Option<Id>,
}

/// `subscription_details`, on the invoice or under `parent`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SubscriptionDetails {
    /// From basil on.
    pub subscription: Option<Id>,
    /// Snapshot of the subscription's metadata.
    pub metadata: Option<Metadata>,
}

/// `parent` of an invoice, from basil on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InvoiceParent {
    /// Set for invoices of subscriptions.
    pub subscription_details: Option<SubscriptionDetails>,
}

/// Times of an invoice.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatusTransitions {
    /// Unix seconds.
    pub paid_at: Option<i64>,
    /// Unix seconds.
    pub voided_at: Option<i64>,
}

/// What paid an invoice.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PaymentRef {
    /// Payment intent.
    pub payment_intent: Option<Id>,
    /// Only when there is no payment intent.
    pub charge: Option<Id>,
}

/// An invoice payment.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InvoicePayment {
    /// Whose.
    pub invoice: Option<Id>,
    /// By what.
    pub payment: Option<PaymentRef>,
    /// Currency.
    pub currency: Option<String>,
}

/// An invoice.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // members as the provider names them
pub struct Invoice {
    pub id: String,
    pub currency: String,
    pub customer: Option<Id>,
    pub billing_reason: Option<String>,
    pub created: Option<i64>,
    pub subtotal: Option<Minor>,
    pub total: Option<Minor>,
    pub amount_due: Option<Minor>,
    pub amount_paid: Option<Minor>,
    pub amount_shipping: Option<Minor>,
    pub paid_out_of_band: Option<bool>,
    pub tax: Option<Minor>,
    pub total_taxes: Option<Vec<TaxAmount>>,
    pub total_discount_amounts: Option<Vec<DiscountAmount>>,
    pub discount: Option<DiscountRef>,
    pub discounts: Option<Vec<DiscountRef>>,
    pub subscription: Option<Id>,
    pub subscription_details: Option<SubscriptionDetails>,
    pub parent: Option<InvoiceParent>,
    pub payment_intent: Option<Id>,
    pub charge: Option<Id>,
    pub payments: Option<List<InvoicePayment>>,
    pub status_transitions: Option<StatusTransitions>,
    pub metadata: Option<Metadata>,
}

/// `total_details` of a session.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct TotalDetails {
    pub amount_discount: Option<Minor>,
    pub amount_tax: Option<Minor>,
    pub amount_shipping: Option<Minor>,
    pub breakdown: Option<Breakdown>,
}

/// Only in look-ups, accepted everywhere.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Breakdown {
    /// Per discount.
    pub discounts: Vec<BreakdownDiscount>,
}

/// One discount of a breakdown.
#[derive(Debug, Deserialize)]
pub struct BreakdownDiscount {
    /// Minor units.
    #[serde(default)]
    pub amount: Option<Minor>,
    /// Which.
    #[serde(default)]
    pub discount: Option<DiscountRef>,
}

/// A discount of a session: either member may be null.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SessionDiscount {
    /// Coupon id.
    pub coupon: Option<Id>,
    /// Promotion code id.
    pub promotion_code: Option<Id>,
}

/// `invoice_creation`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InvoiceCreation {
    /// An invoice will follow and count the money.
    pub enabled: Option<bool>,
}

/// A checkout session.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Session {
    pub id: String,
    pub mode: Option<String>,
    pub payment_status: Option<String>,
    pub created: Option<i64>,
    pub currency: Option<String>,
    pub customer: Option<Id>,
    pub amount_subtotal: Option<Minor>,
    pub amount_total: Option<Minor>,
    pub total_details: Option<TotalDetails>,
    pub payment_intent: Option<Id>,
    pub subscription: Option<Id>,
    pub invoice: Option<Id>,
    pub invoice_creation: Option<InvoiceCreation>,
    pub discounts: Option<Vec<SessionDiscount>>,
    pub client_reference_id: Option<String>,
    pub metadata: Option<Metadata>,
}

/// A charge.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Charge {
    pub id: String,
    pub currency: String,
    pub amount_refunded: Option<Minor>,
    pub payment_intent: Option<Id>,
    pub invoice: Option<Id>,
    pub refunds: Option<List<Refund>>,
    pub metadata: Option<Metadata>,
}

/// A payment intent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PaymentIntent {
    pub id: String,
    pub currency: String,
    pub latest_charge: Option<Id>,
    /// Before 2022-11-15, in place of `latest_charge`.
    pub charges: Option<List<Named>>,
    pub invoice: Option<Id>,
    pub metadata: Option<Metadata>,
}

/// A refund.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Refund {
    pub id: String,
    pub amount: Option<Minor>,
    pub currency: Option<String>,
    pub status: Option<String>,
    pub created: Option<i64>,
    pub charge: Option<Id>,
    pub payment_intent: Option<Id>,
}

/// A balance transaction of a dispute.
#[derive(Debug, Deserialize)]
pub struct BalanceTransaction {
    /// Negative when money was taken.
    #[serde(default)]
    pub amount: Option<Minor>,
}

/// A dispute.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Dispute {
    pub id: String,
    pub amount: Option<Minor>,
    pub currency: String,
    pub status: String,
    pub created: Option<i64>,
    pub charge: Option<Id>,
    pub payment_intent: Option<Id>,
    pub balance_transactions: Option<Vec<BalanceTransaction>>,
}

/// A refund of a credit note.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CreditNoteRefund {
    /// Minor units.
    pub amount_refunded: Option<Minor>,
}

/// A credit note.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct CreditNote {
    pub id: String,
    pub amount: Option<Minor>,
    pub currency: String,
    pub created: Option<i64>,
    pub invoice: Option<Id>,
    pub post_payment_amount: Option<Minor>,
    pub refund: Option<Id>,
    pub refunds: Option<Vec<CreditNoteRefund>>,
    pub status: Option<String>,
    #[serde(rename = "type")]
    pub note_type: Option<String>,
}

/// A subscription.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Subscription {
    pub id: String,
    pub created: Option<i64>,
    pub latest_invoice: Option<Id>,
    pub discount: Option<DiscountRef>,
    pub discounts: Option<Vec<DiscountRef>>,
    pub metadata: Option<Metadata>,
}

/// `promotion` of a promotion code, from clover on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Promotion {
    /// Coupon id.
    pub coupon: Option<Id>,
}

/// A promotion code.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PromotionCode {
    pub id: String,
    pub code: Option<String>,
    pub coupon: Option<Id>,
    pub promotion: Option<Promotion>,
}

/// Any object of which only the id is read (coupon, customer).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Its id.
    pub id: String,
}
