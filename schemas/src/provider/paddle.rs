//! Paddle Billing entities. Amounts are strings in minor units.

use super::Minor;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A notification.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// RFC 3339.
    pub occurred_at: String,
    /// The entity.
    pub data: Box<RawValue>,
}

/// Our keys in custom data.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CustomData {
    /// Referral key.
    #[serde(deserialize_with = "super::lenient_text")]
    pub affiliate_ref: Option<String>,
}

/// `details.totals`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Totals {
    pub subtotal: Option<Minor>,
    pub discount: Option<Minor>,
    pub tax: Option<Minor>,
    pub total: Option<Minor>,
    pub grand_total: Option<Minor>,
    pub grand_total_tax: Option<Minor>,
}

/// `details`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Details {
    /// In the transaction's currency.
    pub totals: Totals,
}

/// A transaction.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Transaction {
    pub id: String,
    pub customer_id: Option<String>,
    pub custom_data: Option<CustomData>,
    pub currency_code: String,
    pub origin: Option<String>,
    pub subscription_id: Option<String>,
    pub discount_id: Option<String>,
    pub details: Option<Details>,
    pub created_at: Option<String>,
    pub billed_at: Option<String>,
}

/// The discount on a subscription.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SubscriptionDiscount {
    /// `dsc_...`.
    pub id: Option<String>,
    /// RFC 3339.
    pub starts_at: Option<String>,
}

/// A subscription.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Subscription {
    pub id: String,
    pub created_at: Option<String>,
    pub discount: Option<SubscriptionDiscount>,
    pub custom_data: Option<CustomData>,
    pub transaction_id: Option<String>,
}

/// An adjustment.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Adjustment {
    pub id: String,
    pub action: String,
    pub status: String,
    pub transaction_id: String,
    pub subscription_id: Option<String>,
    pub currency_code: String,
    pub totals: Option<Totals>,
    pub created_at: Option<String>,
}

/// A discount.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Discount {
    pub id: String,
    pub code: Option<String>,
}

/// The answer of `GET /discounts/{id}`.
#[derive(Debug, Deserialize)]
pub struct DiscountAnswer {
    /// The discount.
    pub data: Discount,
}
