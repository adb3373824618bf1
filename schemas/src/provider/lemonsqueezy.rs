//! Lemon Squeezy objects (JSON:API). Ids are strings outside and numbers inside attributes.

use super::{Id, Minor};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A webhook.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// Event name, custom data.
    pub meta: Meta,
    /// The object.
    pub data: Data,
}

/// `meta`.
#[derive(Debug, Deserialize)]
pub struct Meta {
    /// For example `order_created`.
    pub event_name: String,
    /// Set at checkout.
    #[serde(default)]
    pub custom_data: Option<CustomData>,
}

/// Our keys in custom data.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CustomData {
    /// Referral key.
    #[serde(deserialize_with = "super::lenient_text")]
    pub affiliate_ref: Option<String>,
}

/// `data`.
#[derive(Debug, Deserialize)]
pub struct Data {
    /// For example `orders`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A number in a string.
    #[serde(deserialize_with = "super::id_text")]
    pub id: String,
    /// By `kind`.
    pub attributes: Box<RawValue>,
}

/// Attributes of an order or a subscription invoice.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Sale {
    pub customer_id: Option<Id>,
    pub subscription_id: Option<Id>,
    pub billing_reason: Option<String>,
    pub currency: String,
    pub subtotal: Option<Minor>,
    pub setup_fee: Option<Minor>,
    pub discount_total: Option<Minor>,
    pub tax: Option<Minor>,
    pub total: Option<Minor>,
    pub refunded_amount: Option<Minor>,
    pub status: Option<String>,
    pub created_at: Option<String>,
    pub updated_at: Option<String>,
}

/// Attributes of a subscription.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Subscription {
    pub order_id: Option<Id>,
    pub created_at: Option<String>,
    pub updated_at: Option<String>,
}

/// The answer of `GET /v1/discount-redemptions`.
#[derive(Debug, Deserialize)]
pub struct Redemptions {
    /// First page.
    #[serde(default)]
    pub data: Vec<Redemption>,
}

/// One redemption.
#[derive(Debug, Deserialize)]
pub struct Redemption {
    /// Its members.
    pub attributes: RedemptionAttributes,
}

/// Attributes of a redemption.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct RedemptionAttributes {
    pub discount_id: Option<Id>,
    pub discount_code: Option<String>,
    pub amount: Option<Minor>,
}
