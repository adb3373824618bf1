//! Identifiers. Each is a number of its own type, so that a vendor id can never be
//! handed where a connection id is meant.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

numeric_id!(
    /// A tenant.
    VendorId
);
numeric_id!(
    /// One provider account of one vendor. 0 = none.
    ConnectionId
);
numeric_id!(
    /// An affiliate of one vendor. 0 = unattributed.
    AffiliateId
);
numeric_id!(
    /// A code (promotion code, coupon or discount mapped to an affiliate). 0 = none.
    CodeId
);
numeric_id!(
    /// A purchase: a function of the log record that created it (offset, partition, count).
    PurchaseId
);
numeric_id!(
    /// A story: everything that hangs together through the provider ids of one
    /// subscription or one single purchase. A function of the log record that created it.
    StoryId
);

/// Where a payment provider's event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Stripe.
    Stripe,
    /// Paddle Billing.
    Paddle,
    /// Lemon Squeezy.
    LemonSqueezy,
}

impl Provider {
    /// The name used in URLs, records and the API.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Stripe => "stripe",
            Provider::Paddle => "paddle",
            Provider::LemonSqueezy => "lemonsqueezy",
        }
    }

    /// The provider with this name.
    pub fn from_name(name: &str) -> Option<Provider> {
        [Provider::Stripe, Provider::Paddle, Provider::LemonSqueezy]
            .into_iter()
            .find(|provider| provider.name() == name)
    }
}

/// Test and live money are never summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Money nobody paid.
    Test,
    /// Real money.
    Live,
}

impl Mode {
    /// The mode of a provider's `livemode` member.
    pub fn from_livemode(livemode: bool) -> Mode {
        if livemode { Mode::Live } else { Mode::Test }
    }

    /// The provider's `livemode` member.
    pub fn is_live(self) -> bool {
        self == Mode::Live
    }

    /// 0 for test, 1 for live, as the warehouse stores it.
    pub fn as_u8(self) -> u8 {
        self.is_live() as u8
    }

    /// The word used in URLs and the API.
    pub fn name(self) -> &'static str {
        if self.is_live() { "live" } else { "test" }
    }
}

/// A moment in UTC, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds, as Stripe writes them. Saturates.
    pub fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1000))
    }

    /// Whole seconds, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// The number of log partitions on one node. It never changes in place: another
/// count is a new generation of the log.
pub const PARTITIONS: u16 = 16;
