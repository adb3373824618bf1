//! What really happened at a vendor: the facts from which events are rendered, and from which
//! the oracle computes what everybody is owed. Times are unix seconds; amounts are minor
//! units.

use std::collections::BTreeMap;

/// One vendor's history.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Handles of the affiliates.
    pub affiliates: Vec<String>,
    /// Discount codes and coupons.
    pub codes: Vec<Code>,
    /// Keys of referral links.
    pub links: Vec<String>,
    /// Who owns which code or link since when.
    pub mappings: Vec<Mapping>,
    /// Commission rules.
    pub rules: Vec<Rule>,
    /// Subscriptions and single purchases.
    pub stories: Vec<Story>,
}

/// A discount as the provider knows it. Each has a coupon of its own.
#[derive(Debug, Clone)]
pub struct Code {
    /// What buyers type; also the provider's text.
    pub text: String,
    /// None = a coupon that the vendor applies without a code.
    pub promotion_code_id: Option<String>,
    /// The coupon behind it.
    pub coupon_id: String,
    /// Whether later payments of a subscription carry it as well.
    pub every_payment: bool,
    /// By what the vendor maps it.
    pub mapped_by: MappedBy,
}

/// By what a code is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappedBy {
    /// Its promotion code id alone.
    PromotionCode,
    /// Its text alone: the provider's catalogue event joins text and id.
    Text,
    /// Its coupon id alone.
    Coupon,
    /// Text, promotion code id and coupon id together.
    Everything,
}

/// When a decision is made, measured in the deliveries of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the first one.
    Before,
    /// After so many thousandths of them.
    During(u32),
}

/// What is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapped {
    /// Position in [`World::codes`].
    Code(usize),
    /// Position in [`World::links`].
    Link(usize),
}

/// A code or link belongs to somebody from a time on.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// What.
    pub what: Mapped,
    /// Whose: position in [`World::affiliates`]; none = the house's.
    pub affiliate: Option<usize>,
    /// None = always.
    pub valid_from: Option<i64>,
    /// When it is decided.
    pub decided: Moment,
}

/// Whom a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everybody.
    Vendor,
    /// One affiliate.
    Affiliate(usize),
    /// Sales credited through one code.
    Code(usize),
}

/// How much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rate {
    /// Parts per million of what was paid without tax and shipping.
    Percent(u32),
    /// Minor units by currency; a currency that is not named earns nothing.
    Flat(BTreeMap<String, i64>),
}

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// Only the first payment.
    FirstPayment,
    /// Before the first payment plus so many calendar months.
    Months(i64),
    /// For ever.
    Life,
}

/// A commission rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// For whom.
    pub scope: Scope,
    /// For sales from this time on.
    pub effective_from: i64,
    /// None takes the scope's rule away.
    pub rate: Option<Rate>,
    /// For how long.
    pub lasting: Lasting,
    /// When it is decided.
    pub decided: Moment,
}

/// A subscription with its payments, or one single purchase.
#[derive(Debug, Clone)]
pub struct Story {
    /// Several payments, or one.
    pub is_subscription: bool,
    /// When it began.
    pub started_at: i64,
    /// Positions in [`World::codes`]; the first is the affiliate's, further ones the house's.
    pub discounts: Vec<usize>,
    /// Position in [`World::links`].
    pub link: Option<usize>,
    /// In order of time.
    pub sales: Vec<Sale>,
    /// Currency of all its sales.
    pub currency: String,
}

/// Why an invoice was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaleKind {
    /// First of a subscription (a trial's zero invoice included).
    First,
    /// The next period.
    Renewal,
    /// A change in the middle of a period.
    Update,
    /// A single purchase.
    OneTime,
}

/// One paid object.
#[derive(Debug, Clone)]
pub struct Sale {
    /// Why.
    pub kind: SaleKind,
    /// When it was paid.
    pub paid_at: i64,
    /// Whether the story's discounts are on it.
    pub carries_discounts: bool,
    /// Before discount and tax.
    pub subtotal: i64,
    /// Taken off.
    pub discount: i64,
    /// On top.
    pub tax: i64,
    /// On top.
    pub shipping: i64,
    /// What the invoice says in the end; negative for a credit.
    pub gross: i64,
    /// What was really paid.
    pub paid: i64,
    /// In order of time.
    pub refunds: Vec<Refund>,
    /// In order of time.
    pub disputes: Vec<Dispute>,
    /// When the invoice was voided although paid.
    pub voided_at: Option<i64>,
}

/// How a refund ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundFate {
    /// The money went back at once.
    Succeeded,
    /// First pending, then it went back.
    SucceededLater,
    /// It seemed to go back, then failed.
    Failed,
    /// Still pending.
    Pending,
}

/// A refund.
#[derive(Debug, Clone)]
pub struct Refund {
    /// When it was made.
    pub created: i64,
    /// Minor units.
    pub amount: i64,
    /// How it ended.
    pub fate: RefundFate,
}

/// How a dispute went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisputeFate {
    /// Money withdrawn, then lost.
    Lost,
    /// Lost without a withdrawal having been shown.
    LostUnseen,
    /// Money withdrawn and given back.
    Won,
    /// Won before any money moved.
    WonUnseen,
    /// Only asked; no money moved.
    Inquiry,
    /// Money withdrawn, not decided yet.
    Open,
}

/// A dispute.
#[derive(Debug, Clone)]
pub struct Dispute {
    /// When it was opened.
    pub created: i64,
    /// Minor units.
    pub amount: i64,
    /// How it went.
    pub fate: DisputeFate,
}
