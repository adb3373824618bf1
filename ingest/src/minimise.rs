//! The minimiser: reads who sent what from an event, and keeps the allowed part of it.
//!
//! Two passes over the bytes, neither of which builds a tree. The first reads the few members that
//! say what the event is; the second copies what [`crate::allow_list`] allows for that. The output
//! has the provider's own shape and names.

use crate::allow_list::{AllowList, AllowListError, Members, Node};
use crate::fields;
use crate::transcode::{Copied, MAX_SCALAR_BYTES, copy_allowed};
use domain::ids::{Mode, Provider, Timestamp};
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

pub use crate::transcode::keyed_hash;

/// Revision of the allow-list, kept with every record.
pub const MINIMISER_REVISION: u16 = 1;

/// `object` of Stripe's thin notifications.
const THIN_OBJECT: &str = "v2.core.event";

/// A minimised event.
#[derive(Debug, Clone)]
pub struct Minimised {
    /// The provider's event id; for Lemon Squeezy
    /// `lemonsqueezy:{event_name}:{data.type}:{data.id}:{attributes.updated_at}`.
    pub event_id: String,
    /// The provider's event type.
    pub event_type: String,
    /// The provider's time of the event (Lemon Squeezy: `updated_at`).
    pub created: Timestamp,
    /// The provider's account, when the event names one.
    pub account: Option<String>,
    /// Test or live, when the event says it.
    pub mode: Option<Mode>,
    /// The allowed part of the event, in the provider's shape.
    pub json: Box<RawValue>,
    /// SHA-256 of the bytes as they came, hex.
    pub body_sha256: String,
    /// How many values were too long and became null.
    pub cut_values: u32,
}

/// Why a body is not an event of its provider. No message repeats a value of the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MinimiseError {
    /// Not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// Not JSON.
    #[error("the body is not JSON: it breaks at line {line}, column {column}")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A JSON text of another kind.
    #[error("{0} is not a JSON object")]
    NotAnObject(&'static str),
    /// A member stands twice, so that readers would disagree.
    #[error("the JSON is ambiguous: {0}")]
    Ambiguous(String),
    /// A member that every event has is missing or null.
    #[error("member {0} is missing")]
    Missing(&'static str),
    /// A member has the wrong type or form.
    #[error("member {member} is not {expected}")]
    Wrong {
        /// Its path.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// This provider has no such answers.
    #[error("{provider} has no answers of kind {kind:?}", provider = .provider.name())]
    NoSuchAnswer {
        /// Whose answer.
        provider: Provider,
        /// What was asked for.
        kind: AnswerKind,
    },
}

/// What a provider was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// One invoice, with discounts or payments expanded (Stripe).
    Invoice,
    /// A page of invoices (Stripe).
    Invoices,
    /// One checkout session with its breakdown expanded (Stripe).
    CheckoutSession,
    /// One promotion code (Stripe).
    PromotionCode,
    /// A page of promotion codes (Stripe).
    PromotionCodes,
    /// A page of coupons (Stripe).
    Coupons,
    /// A page of invoice payments (Stripe).
    InvoicePayments,
    /// One subscription (Stripe).
    Subscription,
    /// A page of subscriptions (Stripe).
    Subscriptions,
    /// One discount (Paddle).
    Discount,
    /// A page of transactions (Paddle).
    Transactions,
    /// A page of discount redemptions (Lemon Squeezy).
    DiscountRedemptions,
}

/// Minimises events and answers. Make one and share it.
#[derive(Debug)]
pub struct Minimiser {
    stripe_events: HashMap<&'static str, usize>,
    stripe_trees: Vec<Members>,
    stripe_unknown: Members,
    stripe_thin: Members,
    paddle_entities: HashMap<&'static str, Members>,
    paddle_unknown: Members,
    lemon_types: HashMap<&'static str, Members>,
    lemon_unknown: Members,
    answers: HashMap<(Provider, AnswerKind), Members>,
}

impl Default for Minimiser {
    fn default() -> Minimiser {
        Minimiser::new()
    }
}

impl Minimiser {
    /// Reads the allow-lists.
    pub fn new() -> Minimiser {
        Minimiser::read().expect("the allow-lists are constants, and every test of this crate reads them")
    }

    fn read() -> Result<Minimiser, AllowListError> {
        let stripe = AllowList::parse(fields::STRIPE)?;
        let paddle = AllowList::parse(fields::PADDLE)?;
        let lemon = AllowList::parse(fields::LEMON_SQUEEZY)?;
        let mut stripe_events = HashMap::new();
        let mut stripe_trees = Vec::new();
        for (object, types) in fields::STRIPE_EVENTS {
            stripe_events.extend(types.iter().map(|event_type| (*event_type, stripe_trees.len())));
            stripe_trees.push(event_tree(&stripe, &["data", "object"], object)?);
        }
        let mut paddle_entities = HashMap::new();
        for entity in fields::PADDLE_ENTITIES {
            paddle_entities.insert(*entity, event_tree(&paddle, &["data"], entity)?);
        }
        let mut lemon_types = HashMap::new();
        for kind in fields::LEMON_SQUEEZY_TYPES {
            lemon_types.insert(*kind, event_tree(&lemon, &["data", "attributes"], kind)?);
        }
        Ok(Minimiser {
            stripe_events,
            stripe_trees,
            stripe_unknown: stripe.tree("unknown_event")?.clone(),
            stripe_thin: stripe.tree("thin_event")?.clone(),
            paddle_entities,
            paddle_unknown: event_tree(&paddle, &["data"], "unknown")?,
            lemon_types,
            lemon_unknown: event_tree(&lemon, &["data", "attributes"], "unknown")?,
            answers: answer_trees(&stripe, &paddle, &lemon)?,
        })
    }

    /// Minimises an event whose signature is right. `hash_key` is the vendor's.
    pub fn minimise(&self, provider: Provider, body: &[u8], hash_key: &[u8; 32]) -> Result<Minimised, MinimiseError> {
        let text = object_text(body)?;
        let (envelope, members) = match provider {
            Provider::Stripe => self.read_stripe(text)?,
            Provider::Paddle => self.read_paddle(text)?,
            Provider::LemonSqueezy => self.read_lemon(text)?,
        };
        let copied = copy_allowed(text, members, hash_key).map_err(json_error)?;
        let cut_values = copied.cut_values;
        Ok(Minimised {
            event_id: envelope.event_id,
            event_type: envelope.event_type,
            created: envelope.created,
            account: envelope.account,
            mode: envelope.mode,
            json: finish(copied)?,
            body_sha256: sha256_hex(body),
            cut_values,
        })
    }

    /// Minimises what a provider answered to a look-up.
    pub fn minimise_answer(
        &self,
        provider: Provider,
        kind: AnswerKind,
        body: &[u8],
        hash_key: &[u8; 32],
    ) -> Result<Box<RawValue>, MinimiseError> {
        let members = self.answers.get(&(provider, kind)).ok_or(MinimiseError::NoSuchAnswer { provider, kind })?;
        finish(copy_allowed(object_text(body)?, members, hash_key).map_err(json_error)?)
    }

    fn read_stripe(&self, text: &str) -> Result<(Envelope, &Members), MinimiseError> {
        let head: StripeHead<'_> = serde_json::from_str(text).map_err(json_error)?;
        let event_type = required_text(head.event_type, "type")?;
        let thin = head.object.is_some_and(|raw| raw.get().trim_matches('"') == THIN_OBJECT);
        let created = required(head.created, "created")?;
        let created = match thin {
            true => rfc3339(created, "created")?,
            false => unix_seconds(created, "created")?,
        };
        let members = match self.stripe_events.get(event_type.as_str()) {
            _ if thin => &self.stripe_thin,
            Some(place) => &self.stripe_trees[*place],
            None => &self.stripe_unknown,
        };
        let envelope = Envelope {
            event_id: required_text(head.id, "id")?,
            event_type,
            created,
            account: optional_text(head.account, "account")?,
            mode: optional_bool(head.livemode, "livemode")?.map(Mode::from_livemode),
        };
        Ok((envelope, members))
    }

    fn read_paddle(&self, text: &str) -> Result<(Envelope, &Members), MinimiseError> {
        let head: PaddleHead<'_> = serde_json::from_str(text).map_err(json_error)?;
        let event_type = required_text(head.event_type, "event_type")?;
        let entity = event_type.split('.').next().unwrap_or_default();
        let members = self.paddle_entities.get(entity).unwrap_or(&self.paddle_unknown);
        let envelope = Envelope {
            event_id: required_text(head.event_id, "event_id")?,
            created: rfc3339(required(head.occurred_at, "occurred_at")?, "occurred_at")?,
            event_type,
            account: None,
            mode: None,
        };
        Ok((envelope, members))
    }

    fn read_lemon(&self, text: &str) -> Result<(Envelope, &Members), MinimiseError> {
        let head: LemonHead<'_> = serde_json::from_str(text).map_err(json_error)?;
        let meta: LemonMeta<'_> = object(head.meta, "meta")?;
        let data: LemonData<'_> = object(head.data, "data")?;
        let attributes: LemonAttributes<'_> = object(data.attributes, "data.attributes")?;
        let event_type = required_text(meta.event_name, "meta.event_name")?;
        let kind = required_text(data.kind, "data.type")?;
        let id = scalar_text(required(data.id, "data.id")?, "data.id")?;
        let updated_at = required(attributes.updated_at, "data.attributes.updated_at")?;
        let updated_text = scalar_text(updated_at, "data.attributes.updated_at")?;
        let envelope = Envelope {
            event_id: format!("lemonsqueezy:{event_type}:{kind}:{id}:{updated_text}"),
            created: rfc3339(updated_at, "data.attributes.updated_at")?,
            event_type,
            account: attributes.store_id.map(|raw| scalar_text(raw, "data.attributes.store_id")).transpose()?,
            mode: optional_bool(meta.test_mode, "meta.test_mode")?.map(|test| Mode::from_livemode(!test)),
        };
        Ok((envelope, self.lemon_types.get(kind.as_str()).unwrap_or(&self.lemon_unknown)))
    }
}

/// The provider's `event` tree with the tree of one object put in at `path`.
fn event_tree(list: &AllowList, path: &[&'static str], object: &str) -> Result<Members, AllowListError> {
    let mut event = list.tree("event")?.clone();
    let mut members = &mut event;
    let (last, parents) = path.split_last().expect("a path has a last step");
    for step in parents {
        members = match members.get_mut(step) {
            Some(Node::Object(inner)) => inner,
            _ => return Err(AllowListError::Name((*step).to_owned())),
        };
    }
    members.insert(last, Node::Object(list.tree(object)?.clone()));
    Ok(event)
}

fn answer_trees(
    stripe: &AllowList,
    paddle: &AllowList,
    lemon: &AllowList,
) -> Result<HashMap<(Provider, AnswerKind), Members>, AllowListError> {
    let table = [
        (Provider::Stripe, stripe, AnswerKind::Invoice, "invoice"),
        (Provider::Stripe, stripe, AnswerKind::Invoices, "invoice_list"),
        (Provider::Stripe, stripe, AnswerKind::CheckoutSession, "checkout.session"),
        (Provider::Stripe, stripe, AnswerKind::PromotionCode, "promotion_code"),
        (Provider::Stripe, stripe, AnswerKind::PromotionCodes, "promotion_code_list"),
        (Provider::Stripe, stripe, AnswerKind::Coupons, "coupon_list"),
        (Provider::Stripe, stripe, AnswerKind::InvoicePayments, "invoice_payment_list"),
        (Provider::Stripe, stripe, AnswerKind::Subscription, "subscription"),
        (Provider::Stripe, stripe, AnswerKind::Subscriptions, "subscription_list"),
        (Provider::Paddle, paddle, AnswerKind::Discount, "discount_answer"),
        (Provider::Paddle, paddle, AnswerKind::Transactions, "transaction_list"),
        (Provider::LemonSqueezy, lemon, AnswerKind::DiscountRedemptions, "discount_redemptions"),
    ];
    let trees = table.into_iter();
    trees.map(|(provider, list, kind, tree)| Ok(((provider, kind), list.tree(tree)?.clone()))).collect()
}

/// What an event says about itself.
struct Envelope {
    event_id: String,
    event_type: String,
    created: Timestamp,
    account: Option<String>,
    mode: Option<Mode>,
}

// The heads below read members raw, so that a wrong type is answered with the member's name and
// never with its value.

#[derive(Deserialize)]
struct StripeHead<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow)]
    livemode: Option<&'a RawValue>,
    #[serde(borrow)]
    account: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PaddleHead<'a> {
    #[serde(borrow)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow)]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    occurred_at: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LemonHead<'a> {
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LemonMeta<'a> {
    #[serde(borrow)]
    event_name: Option<&'a RawValue>,
    #[serde(borrow)]
    test_mode: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LemonData<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LemonAttributes<'a> {
    #[serde(borrow)]
    updated_at: Option<&'a RawValue>,
    #[serde(borrow)]
    store_id: Option<&'a RawValue>,
}

/// The body as text that begins an object.
fn object_text(body: &[u8]) -> Result<&str, MinimiseError> {
    let text = std::str::from_utf8(body).map_err(|_| MinimiseError::NotUtf8)?;
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{') => Ok(text),
        Some(_) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => {
            Err(MinimiseError::NotAnObject("the body"))
        }
        _ => Err(MinimiseError::NotJson { line: 1, column: 1 }),
    }
}

fn object<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>, member: &'static str) -> Result<T, MinimiseError> {
    let text = required(raw, member)?.get();
    if !text.starts_with('{') {
        return Err(MinimiseError::NotAnObject(member));
    }
    serde_json::from_str(text).map_err(json_error)
}

fn required<'a>(raw: Option<&'a RawValue>, member: &'static str) -> Result<&'a RawValue, MinimiseError> {
    raw.ok_or(MinimiseError::Missing(member))
}

fn required_text(raw: Option<&RawValue>, member: &'static str) -> Result<String, MinimiseError> {
    optional_text(raw, member)?.ok_or(MinimiseError::Missing(member))
}

/// A text; none when it is absent, null or empty.
fn optional_text(raw: Option<&RawValue>, member: &'static str) -> Result<Option<String>, MinimiseError> {
    let wrong = MinimiseError::Wrong { member, expected: "a text of at most 512 bytes" };
    let Some(raw) = raw else { return Ok(None) };
    if raw.get().len() > MAX_SCALAR_BYTES + 2 {
        return Err(wrong);
    }
    let text: String = serde_json::from_str(raw.get()).map_err(|_| wrong)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A text, or a whole number as text.
fn scalar_text(raw: &RawValue, member: &'static str) -> Result<String, MinimiseError> {
    match raw.get().parse::<i64>() {
        Ok(number) => Ok(number.to_string()),
        Err(_) => required_text(Some(raw), member),
    }
}

fn optional_bool(raw: Option<&RawValue>, member: &'static str) -> Result<Option<bool>, MinimiseError> {
    match raw.map(RawValue::get) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(MinimiseError::Wrong { member, expected: "true or false" }),
    }
}

fn unix_seconds(raw: &RawValue, member: &'static str) -> Result<Timestamp, MinimiseError> {
    let wrong = MinimiseError::Wrong { member, expected: "a time in whole seconds since 1970" };
    raw.get().parse().map(Timestamp::from_seconds).map_err(|_| wrong)
}

fn rfc3339(raw: &RawValue, member: &'static str) -> Result<Timestamp, MinimiseError> {
    let wrong = MinimiseError::Wrong { member, expected: "a time as RFC 3339 writes it" };
    let text = optional_text(Some(raw), member).ok().flatten().ok_or_else(|| wrong.clone())?;
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong)?;
    Ok(Timestamp(time.as_millisecond()))
}

/// Twice as fast as `hex::encode`, which collects single characters.
fn sha256_hex(body: &[u8]) -> String {
    let mut digits = [0; 64];
    hex::encode_to_slice(Sha256::digest(body), &mut digits).expect("32 bytes are 64 digits");
    String::from_utf8_lossy(&digits).into_owned()
}

/// The copy as raw JSON. Reading it once more costs about a microsecond and makes sure that no
/// record can carry a broken text.
fn finish(copied: Copied) -> Result<Box<RawValue>, MinimiseError> {
    let text = String::from_utf8(copied.text).map_err(|_| MinimiseError::NotUtf8)?;
    RawValue::from_string(text).map_err(json_error)
}

/// What serde_json found. Its messages of category `Data` are our own or name a member.
fn json_error(error: serde_json::Error) -> MinimiseError {
    match error.classify() {
        Category::Data => MinimiseError::Ambiguous(error.to_string()),
        Category::Syntax | Category::Eof | Category::Io => {
            MinimiseError::NotJson { line: error.line(), column: error.column() }
        }
    }
}

#[cfg(test)]
#[path = "minimise_tests.rs"]
mod tests;
