//! From a delivery or an answer to facts, in words that all providers share.

mod answers;
mod lemonsqueezy;
mod paddle;
mod stripe;
mod stripe_sale;

pub use answers::decode_answer;

use crate::provider::ViewError;
use crate::record::Delivery;
use domain::catalogue::Sighting;
use domain::fact::{Alias, Discount, FactBody, Sale, Seen};
use domain::ids::{Provider, Timestamp};
use domain::money::Currency;

/// What an event does, as people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    Sale,
    Link,
    Refund,
    Dispute,
    Void,
    CreditNote,
    Catalog,
    Subscription,
    Customer,
    Ignore,
}

impl Action {
    /// The word used in the API.
    pub fn name(self) -> &'static str {
        match self {
            Action::Sale => "sale",
            Action::Link => "link",
            Action::Refund => "refund",
            Action::Dispute => "dispute",
            Action::Void => "void",
            Action::CreditNote => "credit_note",
            Action::Catalog => "catalog",
            Action::Subscription => "subscription",
            Action::Customer => "customer",
            Action::Ignore => "ignore",
        }
    }
}

/// How a refund, dispute or credit note reads, for the API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MovementReading {
    /// Refund, dispute or adjustment id.
    pub id: Option<String>,
    /// Minor units.
    pub amount: Option<i64>,
    /// All refunded so far, when the event says it.
    pub cumulative: Option<i64>,
    /// The provider's word.
    pub status: Option<String>,
}

/// A decoded event.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// What it does.
    pub action: Action,
    /// What it says about money.
    pub facts: Vec<FactBody>,
    /// What it says about codes.
    pub sightings: Vec<Sighting>,
    /// Why it is not for us.
    pub ignored: Option<&'static str>,
    /// For people.
    pub flags: Vec<&'static str>,
    /// Of its amounts.
    pub currency: Option<Currency>,
    /// The discounts it names itself.
    pub own_discounts: Vec<Discount>,
    /// The referral key it names itself.
    pub referral: Option<String>,
    /// Code text of a catalogue event.
    pub movement: Option<MovementReading>,
}

impl Decoded {
    fn new(action: Action) -> Decoded {
        Decoded {
            action,
            facts: Vec::new(),
            sightings: Vec::new(),
            ignored: None,
            flags: Vec::new(),
            currency: None,
            own_discounts: Vec::new(),
            referral: None,
            movement: None,
        }
    }

    fn ignore(reason: &'static str) -> Decoded {
        Decoded { ignored: Some(reason), ..Decoded::new(Action::Ignore) }
    }

    /// The sale it counts, if it does.
    pub fn sale(&self) -> Option<&Sale> {
        self.facts.iter().find_map(|fact| match fact {
            FactBody::Sale(sale) => Some(sale),
            _ => None,
        })
    }

    /// The purchase names in it.
    pub fn purchase_names(&self) -> Vec<Alias> {
        let mut names: Vec<Alias> =
            self.facts.iter().flat_map(FactBody::aliases).filter(Alias::names_purchase).collect();
        names.sort_by_key(|alias| (alias.purchase_rank(), alias.0.clone()));
        names.dedup();
        names
    }
}

/// Reads a delivery. An error is a reason to refuse it by name.
pub fn decode_delivery(delivery: &Delivery) -> Result<Decoded, ViewError> {
    match delivery.provider {
        Provider::Stripe => stripe::decode(delivery),
        Provider::Paddle => paddle::decode(delivery),
        Provider::LemonSqueezy => lemonsqueezy::decode(delivery),
    }
}

/// The sighting of a delivery.
pub fn seen_of(delivery: &Delivery) -> Seen {
    Seen { at: delivery.created, event: delivery.event_id.clone() }
}

/// `net` of the payment rules: without tax and shipping, after what was really paid.
fn net_of(gross: i64, tax: i64, shipping: i64, paid: i64) -> i64 {
    let full = gross - tax - shipping;
    match () {
        () if gross <= 0 || paid <= 0 => 0,
        () if paid >= gross => full,
        () => domain::money::round_half_up(full, paid, gross),
    }
}

/// The referral key of a link, where the vendor's own value has no prefix.
fn referral_of(client_reference: Option<&str>, metadata: Option<&str>) -> Option<String> {
    let named = |key: &&str| !key.is_empty();
    let reference = client_reference.and_then(|reference| reference.strip_prefix("ref_")).map(str::trim).filter(named);
    reference.or(metadata.map(str::trim).filter(named)).map(str::to_owned)
}

fn seconds(value: Option<i64>) -> Option<Timestamp> {
    value.map(Timestamp::from_seconds)
}
