//! Facts: what one provider event says about money, in words that all providers share.
//!
//! A story is a *set* of facts; joining two stories is a union. A fact never changes, so the
//! union is commutative, associative and idempotent, and whatever is computed from the set
//! does not depend on the order of arrival.

use crate::ids::Timestamp;
use crate::money::Currency;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A provider object under a short prefix, for example `inv:in_1`, `pi:pi_1`, `sub:sub_1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Alias(pub String);

impl Alias {
    /// Joins a prefix and a provider id.
    pub fn new(prefix: &str, id: &str) -> Alias {
        Alias(format!("{prefix}:{id}"))
    }

    /// What stands before the colon.
    pub fn prefix(&self) -> &str {
        self.0.split_once(':').map_or("", |(prefix, _)| prefix)
    }

    /// What stands after it.
    pub fn id(&self) -> &str {
        self.0.split_once(':').map_or(self.0.as_str(), |(_, id)| id)
    }

    /// Rank as the business key of a purchase, smallest first; `None` for what names no
    /// purchase. An invoice beats a payment intent, that a charge, that a checkout session;
    /// a Lemon Squeezy order beats its initial subscription invoice.
    pub fn purchase_rank(&self) -> Option<u8> {
        match self.prefix() {
            "inv" | "txn" | "order" => Some(0),
            "pi" => Some(1),
            "ch" => Some(2),
            "cs" => Some(3),
            "subinv" => Some(4),
            _ => None,
        }
    }

    /// Whether it can be part of a purchase.
    pub fn names_purchase(&self) -> bool {
        self.purchase_rank().is_some()
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The earliest event that showed a fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seen {
    /// The provider's time of the event.
    pub at: Timestamp,
    /// The provider's event id.
    pub event: String,
}

/// A discount as one event names it. Any member may be missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Discount {
    /// Stripe `di_...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Stripe coupon id, Paddle or Lemon Squeezy discount id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<String>,
    /// Stripe promotion code id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_code: Option<String>,
    /// Code text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What it took off, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// Since when it is on the subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
}

impl Discount {
    /// Takes from `other` what is missing here.
    pub fn or(mut self, other: &Discount) -> Discount {
        self.id = self.id.or_else(|| other.id.clone());
        self.coupon = self.coupon.or_else(|| other.coupon.clone());
        self.promotion_code = self.promotion_code.or_else(|| other.promotion_code.clone());
        self.code = self.code.or_else(|| other.code.clone());
        self.amount = self.amount.or(other.amount);
        self.start = self.start.or(other.start);
        self
    }

    /// Whether it says which coupon or code it is.
    pub fn is_named(&self) -> bool {
        self.coupon.is_some() || self.promotion_code.is_some() || self.code.is_some()
    }

    /// Whether both speak of the same discount.
    pub fn same_as(&self, other: &Discount) -> bool {
        fn equal(a: &Option<String>, b: &Option<String>) -> bool {
            a.is_some() && a == b
        }
        equal(&self.id, &other.id)
            || equal(&self.promotion_code, &other.promotion_code)
            || equal(&self.code, &other.code)
            || (self.promotion_code.is_none() && other.promotion_code.is_none() && equal(&self.coupon, &other.coupon))
    }
}

/// Which object counted the sale. The order is the rank: the first one's fields win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaleSource {
    /// Stripe invoice.
    Invoice,
    /// Stripe checkout session without invoice.
    Session,
    /// Paddle transaction.
    Transaction,
    /// Lemon Squeezy order.
    Order,
    /// Lemon Squeezy subscription invoice.
    SubscriptionInvoice,
}

/// Why the provider billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingReason {
    /// A new subscription, or an order: a known first.
    Create,
    /// The next period.
    Cycle,
    /// A change within a period.
    Update,
    /// A purchase without subscription.
    OneTime,
    /// Anything else: decided by history.
    Unknown,
}

/// A paid object. Exactly these create a sale.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sale {
    /// Rank among several views of one purchase.
    pub source: SaleSource,
    /// The object itself, for example `inv:in_1`.
    pub key: Alias,
    /// Other names of the same purchase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Alias>,
    /// Provider's subscription id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// When the object was created: the order of history.
    pub created: Timestamp,
    /// When it was paid: the sale's own time.
    pub occurred_at: Timestamp,
    /// Currency of the amounts.
    pub currency: Currency,
    /// Before discounts.
    pub subtotal: i64,
    /// Taken off.
    pub discount: i64,
    /// All tax.
    pub tax: i64,
    /// Shipping.
    pub shipping: i64,
    /// Total.
    pub gross: i64,
    /// What was really paid.
    pub paid: i64,
    /// The commission base.
    pub net: i64,
    /// Why it was billed.
    pub reason: BillingReason,
    /// As far as the event names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// The object shows a discount but not which: [`Sale::discount_question`] must be asked.
    #[serde(default)]
    pub unnamed_discount: bool,
    /// The look-up that names the discounts, as `GET /...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount_question: Option<String>,
    /// Referral key of a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<String>,
    /// Provider's customer id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
}

/// Attribution remembered from an object that counts no money.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hint {
    /// The objects it speaks for: purchase aliases, or `sub:` for a subscription's payments.
    pub of: Vec<Alias>,
    /// Discounts it names.
    #[serde(default)]
    pub discounts: Vec<Discount>,
    /// Referral key it names.
    #[serde(default)]
    pub referral: Option<String>,
    /// Credits no sale before this time (a discount's own `start` comes first).
    #[serde(default)]
    pub start: Option<Timestamp>,
}

/// How far a refund is. The order is the lattice: the later state wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// Only holds.
    Pending,
    /// Counts.
    Succeeded,
    /// Gives back what was reversed; final.
    Failed,
    /// Was made and taken back by the provider (Paddle); gives back, final.
    Reversed,
}

/// One refund with an id of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refund {
    /// Provider's refund or adjustment id.
    pub id: String,
    /// What is refunded.
    pub of: Vec<Alias>,
    /// How far it is.
    pub status: RefundStatus,
    /// Currency of the amount.
    pub currency: Currency,
    /// With tax.
    pub amount: i64,
    /// Without tax, where the provider says it (Paddle).
    #[serde(default)]
    pub net: Option<i64>,
    /// When it was made.
    pub created: Timestamp,
}

/// A cumulative refunded amount without refund ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefundSnapshot {
    /// What is refunded; the first one is the object with the amount.
    pub of: Vec<Alias>,
    /// Currency of the amount.
    pub currency: Currency,
    /// All that was refunded so far.
    pub refunded: i64,
    /// The snapshot's time.
    pub at: Timestamp,
}

impl RefundSnapshot {
    /// A name for what it says in its currency: it has no id of its own.
    pub fn own_name(&self) -> Alias {
        let of = self.of.first().map_or("", |alias| alias.0.as_str());
        Alias(format!("snapshot:{}/{of}", self.currency))
    }
}

/// How far a dispute is. The order is the lattice: the later state wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeStep {
    /// No money moved.
    Hold,
    /// The money was taken.
    Withdrawn,
    /// It stays taken.
    Lost,
    /// It came back.
    Won,
}

/// One dispute or chargeback.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dispute {
    /// Provider's dispute or adjustment id.
    pub id: String,
    /// What is disputed.
    pub of: Vec<Alias>,
    /// How far it is.
    pub step: DisputeStep,
    /// Currency of the amount.
    pub currency: Currency,
    /// With tax.
    pub amount: i64,
    /// Without tax, where the provider says it (Paddle).
    #[serde(default)]
    pub net: Option<i64>,
    /// When it was opened.
    pub created: Timestamp,
}

/// A credit note: only the part that no refund carries counts here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CreditNote {
    /// Provider's id.
    pub id: String,
    /// What is credited.
    pub of: Vec<Alias>,
    /// Taken back for good.
    pub voided: bool,
    /// Currency of the amount.
    pub currency: Currency,
    /// The part that did not go out as refunds.
    pub own_amount: i64,
    /// When it was made.
    pub created: Timestamp,
}

/// A voided invoice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Void {
    /// What is voided.
    pub of: Vec<Alias>,
    /// When.
    pub voided_at: Timestamp,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subscription {
    /// Provider's id.
    pub id: String,
    /// When it began.
    #[serde(default)]
    pub created: Option<Timestamp>,
    /// The purchase that began it, where the provider names it (Paddle, Lemon Squeezy).
    #[serde(default)]
    pub first_purchase: Option<Alias>,
}

/// What was learnt by asking the provider. Not a fact of one story: kept per connection, and
/// read by every story that asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Answer {
    /// The question, as `GET /...`.
    pub request: String,
    /// The provider refused, and why.
    #[serde(default)]
    pub refused: Option<String>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The discounts named.
    #[serde(default)]
    pub discounts: Vec<Discount>,
    /// Of a subscription's history: when its first sale was created, and its first paid one.
    #[serde(default)]
    pub first_sale: Option<Timestamp>,
    /// See `first_sale`.
    #[serde(default)]
    pub first_paid: Option<Timestamp>,
}

impl Answer {
    /// Of two answers to one question: an answer beats a refusal, then the earliest question,
    /// then the smaller content. Commutative, associative and idempotent.
    pub fn better(self, other: Answer) -> Answer {
        let rank = |answer: &Answer| (answer.refused.is_some(), answer.asked_at);
        if (rank(&other), &other) < (rank(&self), &self) { other } else { self }
    }
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum FactBody {
    /// A paid object.
    Sale(Sale),
    /// These names are one purchase (and, with `sub:`, belong to one subscription).
    Link {
        /// The names.
        names: Vec<Alias>,
    },
    /// Attribution without money.
    Hint(Hint),
    /// One refund.
    Refund(Refund),
    /// A cumulative refunded amount.
    RefundSnapshot(RefundSnapshot),
    /// One dispute.
    Dispute(Dispute),
    /// A credit note.
    CreditNote(CreditNote),
    /// A voided invoice.
    Void(Void),
    /// A subscription.
    Subscription(Subscription),
}

impl FactBody {
    /// Every name in it that joins a story. Customer, coupon and discount ids do not join.
    pub fn aliases(&self) -> Vec<Alias> {
        let subscription = |id: &Option<String>| id.iter().map(|id| Alias::new("sub", id)).collect::<Vec<_>>();
        match self {
            FactBody::Sale(sale) => {
                let mut all = vec![sale.key.clone()];
                all.extend(sale.links.iter().cloned());
                all.extend(subscription(&sale.subscription));
                all
            }
            FactBody::Link { names } => names.clone(),
            FactBody::Hint(hint) => hint.of.clone(),
            FactBody::Refund(refund) => with_own("re", &refund.id, &refund.of),
            FactBody::RefundSnapshot(snapshot) => snapshot.of.clone(),
            FactBody::Dispute(dispute) => with_own("dp", &dispute.id, &dispute.of),
            FactBody::CreditNote(note) => with_own("cn", &note.id, &note.of),
            FactBody::Void(void) => void.of.clone(),
            FactBody::Subscription(subscription) => {
                let mut all = vec![Alias::new("sub", &subscription.id)];
                all.extend(subscription.first_purchase.iter().cloned());
                all
            }
        }
    }

    /// Whether it moves money (and so needs a sale to hang on).
    pub fn counts(&self) -> bool {
        matches!(
            self,
            FactBody::Sale(_)
                | FactBody::Refund(_)
                | FactBody::RefundSnapshot(_)
                | FactBody::Dispute(_)
                | FactBody::CreditNote(_)
                | FactBody::Void(_)
        )
    }
}

fn with_own(prefix: &str, id: &str, of: &[Alias]) -> Vec<Alias> {
    let mut all = vec![Alias::new(prefix, id)];
    all.extend(of.iter().cloned());
    all
}

/// A set of facts, each with the earliest event that showed it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(Vec<(FactBody, Seen)>);

impl Facts {
    /// Joins one fact. Returns whether it was new (an earlier sighting of a known fact is not).
    pub fn insert(&mut self, body: FactBody, seen: Seen) -> bool {
        match self.0.binary_search_by(|(known, _)| known.cmp(&body)) {
            Ok(index) => {
                let known = &mut self.0[index].1;
                if seen < *known {
                    *known = seen;
                }
                false
            }
            Err(index) => {
                self.0.insert(index, (body, seen));
                true
            }
        }
    }

    /// Joins another set.
    pub fn join(&mut self, other: Facts) {
        for (body, seen) in other.0 {
            self.insert(body, seen);
        }
    }

    /// In canonical order.
    pub fn iter(&self) -> impl Iterator<Item = (&FactBody, &Seen)> {
        self.0.iter().map(|(body, seen)| (body, seen))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
