//! What people decide. Every decision that can change a balance is a log record with
//! the vendor's own sequence number; it carries explicit times, so that where it falls
//! between deliveries does not matter.

use crate::ids::{AffiliateId, CodeId, ConnectionId, Mode, Provider, Timestamp};
use crate::money::Currency;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decide", rename_all = "snake_case")]
pub enum Decision {
    /// An affiliate is created, renamed or suspended.
    SetAffiliate(SetAffiliate),
    /// A code, id or referral key belongs to an affiliate (or to the house).
    MapCode(MapCode),
    /// A commission rule.
    SetRule(SetRule),
    /// The vendor's policy. The last one holds.
    SetPolicy(SetPolicy),
    /// A provider account is opened or closed.
    SetConnection(SetConnection),
    /// A person looked at a purchase.
    Review(Review),
    /// An announced campaign.
    Campaign(Campaign),
    /// A manual line.
    Adjust(Adjust),
    /// A period is closed: the statement is all lines up to this record's offset.
    CloseStatement(CloseStatement),
    /// Fold these records again.
    Retry(Retry),
    /// Accept that these records are never counted.
    Waive(Waive),
    /// Forget the vendor.
    DropVendor,
}

impl Decision {
    /// The kind of the log record that carries it.
    pub fn kind(&self) -> &'static str {
        match self {
            Decision::SetAffiliate(_) => "set_affiliate",
            Decision::MapCode(_) => "map_code",
            Decision::SetRule(_) => "set_rule",
            Decision::SetPolicy(_) => "set_policy",
            Decision::SetConnection(_) => "set_connection",
            Decision::Review(_) => "review",
            Decision::Campaign(_) => "campaign",
            Decision::Adjust(_) => "adjust",
            Decision::CloseStatement(_) => "close_statement",
            Decision::Retry(_) => "retry",
            Decision::Waive(_) => "waive",
            Decision::DropVendor => "drop_vendor",
        }
    }
}

/// An affiliate is created, renamed or suspended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetAffiliate {
    /// Number of the affiliate, given by the control store.
    pub affiliate: AffiliateId,
    /// Public handle, unique per vendor, for example `aff_maya`.
    pub key: String,
    /// Name shown on pages.
    pub name: String,
    /// Since when suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Timestamp>,
}

/// A code, id or referral key belongs to an affiliate from a time on.
///
/// At least one of `code`, `promotion_code_id`, `coupon_id`, `referral_key` is set. Paddle's
/// and Lemon Squeezy's discount ids are `coupon_id`. `affiliate` none = a house code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapCode {
    /// Number of the code, given by the control store; 0 for a referral key.
    #[serde(default)]
    pub code_id: CodeId,
    /// Only discounts of this provider; none = any. A referral key is not of a provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// Code text as people write it; compared trimmed, NFC, case-folded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Stripe promotion code id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_code_id: Option<String>,
    /// Stripe coupon id, Paddle or Lemon Squeezy discount id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon_id: Option<String>,
    /// Referral key of a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral_key: Option<String>,
    /// Whose it is; none = the house's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affiliate: Option<AffiliateId>,
    /// Holds for sales from this time on; none = always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Holds for sales before this time; none = for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Timestamp>,
}

/// Whom a rule is for. The narrowest scope with a rule in force decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleScope {
    /// Every sale of the vendor.
    Vendor,
    /// Sales credited to one affiliate.
    Affiliate(AffiliateId),
    /// Sales credited through one code.
    Code(CodeId),
}

/// How much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// Parts per million of the base; 200000 is 20 %.
    Percent {
        /// 0 to 1,000,000.
        ppm: u32,
    },
    /// An amount in minor units per currency; a currency that is not named earns nothing.
    Flat {
        /// Currency to minor units.
        amounts: BTreeMap<Currency, i64>,
    },
}

/// For how long a customer earns commission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duration {
    /// The first payment only.
    FirstPayment,
    /// Sales before the first paid sale plus N calendar months (UTC).
    Months(u16),
    /// Every sale.
    Life,
}

/// What the rate is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// Without tax and shipping (default).
    #[default]
    Net,
    /// With them.
    Gross,
}

/// A commission rule: effective-dated, never edited, only superseded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetRule {
    /// Revision, counted per vendor by the control store from 1.
    pub rev: u32,
    /// Whom it is for.
    pub scope: RuleScope,
    /// Sales from this time on.
    pub effective_from: Timestamp,
    /// None takes the scope's rule away from this time on.
    pub rate: Option<Rate>,
    /// For how long.
    pub duration: Duration,
    /// Applied to what.
    #[serde(default)]
    pub base: Base,
}

/// The vendor's policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetPolicy {
    /// Days before a commission is payable.
    pub hold_days: u16,
    /// IANA name, for example `Europe/Berlin`: days and ranges of pages and exports.
    pub time_zone: String,
}

impl Default for SetPolicy {
    fn default() -> Self {
        SetPolicy { hold_days: 30, time_zone: "UTC".to_owned() }
    }
}

/// A provider account is opened or closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetConnection {
    /// Number of the connection, given by the control store.
    pub connection: ConnectionId,
    /// Which provider.
    pub provider: Provider,
    /// The provider's account id, when events must name it (Stripe Connect). None = any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Since when all events are known. None = older than every event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_from: Option<Timestamp>,
    /// Whether the vendor gave a key for look-ups.
    #[serde(default)]
    pub can_look_up: bool,
    /// Closed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

/// What a person decided about a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Keeps the commission out of payable.
    Hold,
    /// Takes a hold or a rejection back.
    Release,
    /// Earns no commission.
    Reject,
}

/// A person looked at a purchase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// Scope of the provider ids.
    pub connection: ConnectionId,
    /// Scope of the provider ids.
    pub mode: Mode,
    /// The purchase's business key or any of its aliases, for example `inv:in_1`.
    pub purchase: String,
    /// Hold, release or reject.
    pub verdict: Verdict,
    /// Why, in the person's words.
    pub reason: String,
}

/// An announced campaign: more redemptions are expected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// Which code; none = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_id: Option<CodeId>,
    /// From.
    pub from: Timestamp,
    /// To.
    pub to: Timestamp,
    /// Expected multiple of the usual rate, in percent; 500 is five times.
    pub expected_percent: u32,
}

/// A manual line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adjust {
    /// Test or live.
    pub mode: Mode,
    /// Whose balance.
    pub affiliate: AffiliateId,
    /// Currency of the amount.
    pub currency: Currency,
    /// Signed minor units of commission.
    pub commission: i64,
    /// When it counts.
    pub occurred_at: Timestamp,
    /// Why.
    pub reason: String,
}

/// A period is closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloseStatement {
    /// Test or live.
    pub mode: Mode,
    /// Number of the statement.
    pub statement: u64,
    /// Close time: the payable part is what was sold before it minus the hold.
    pub closed_at: Timestamp,
    /// Who closed it.
    pub by: String,
}

/// Fold these records again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Log offsets in the vendor's partition.
    pub offsets: Vec<u64>,
}

/// Accept that these records are never counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waive {
    /// Log offsets in the vendor's partition.
    pub offsets: Vec<u64>,
    /// Why.
    pub reason: String,
}
