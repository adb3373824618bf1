//! The target of a story: what its ledger must come to, as a pure function of the set of its
//! facts, of the catalogue and of the decisions in force.

mod attribution;
mod cluster;
mod commission;
mod discounts;
mod history;
mod reversal;

pub use attribution::{Attribution, Candidate, How, Verdict as CandidateVerdict};
pub use commission::commission_of;

use crate::catalogue::CatalogueEntry;
use crate::decision::{SetRule, Verdict};
use crate::decisions::VendorDecisions;
use crate::fact::{Alias, Answer, BillingReason, Discount, Sale, SaleSource};
use crate::ids::*;
use crate::line::{Amounts, PurchaseOutcome};
use crate::money::Currency;
use crate::story::{Component, Story};
use cluster::Cluster;
use std::collections::{BTreeMap, BTreeSet};

/// Something outside the fold failed while it read its state.
#[derive(Debug, thiserror::Error)]
#[error("the fold could not read its state: {0}")]
pub struct StateError(pub String);

/// Reads what a story's connection knows beyond the story.
pub trait CatalogueReader {
    /// The entry of `promo:ID`, `di:ID` or `coupon:ID`.
    fn entry(&self, key: &str) -> Result<Option<CatalogueEntry>, StateError>;
    /// The best answer to a question so far.
    fn answer(&self, request: &str) -> Result<Option<Answer>, StateError>;
}

/// What decides besides the facts.
pub struct Context<'a> {
    /// The vendor's decisions in force.
    pub decisions: &'a VendorDecisions,
    /// The connection's catalogue.
    pub catalogue: &'a dyn CatalogueReader,
}

/// `first`, `renewal` ... (shown; decides no money).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaleKind {
    /// First sale of a subscription.
    First,
    /// The next period.
    Renewal,
    /// A change within a period.
    Update,
    /// Without subscription.
    OneTime,
    /// Total 0.
    Zero,
}

impl SaleKind {
    /// The word used in the API.
    pub fn name(self) -> &'static str {
        match self {
            SaleKind::First => "first",
            SaleKind::Renewal => "renewal",
            SaleKind::Update => "update",
            SaleKind::OneTime => "one_time",
            SaleKind::Zero => "zero",
        }
    }
}

/// A part of a purchase and what it must come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentTarget {
    /// Which part.
    pub component: Component,
    /// Provider time.
    pub occurred_at: Timestamp,
    /// What it must come to.
    pub amounts: Amounts,
    /// The amount of the provider that caused it, with tax (before the cap at what was paid).
    pub amount: i64,
}

/// A purchase and what it must come to.
#[derive(Debug, Clone)]
pub struct PurchaseTarget {
    /// Public name.
    pub key: Alias,
    /// All names.
    pub aliases: BTreeSet<Alias>,
    /// The sale, joined from all its views.
    pub sale: Sale,
    /// Shown kind.
    pub kind: SaleKind,
    /// A use of a code that is a first sale.
    pub redemption: bool,
    /// First sale with something paid.
    pub first_payment: bool,
    /// Who brought it.
    pub attribution: Attribution,
    /// The rule that held at the sale's time.
    pub rule: SetRule,
    /// Whether the rule's duration reaches this sale.
    pub rule_reaches: bool,
    /// What a person decided.
    pub review: Option<(Verdict, String)>,
    /// The sale first, then what takes back, in time order.
    pub components: Vec<ComponentTarget>,
    /// Part of `net` taken back.
    pub reversed: i64,
    /// After what was taken back.
    pub commission: i64,
    /// How it ended.
    pub outcome: PurchaseOutcome,
    /// Why, or for what.
    pub reason: String,
    /// For people.
    pub flags: BTreeSet<&'static str>,
}

impl PurchaseTarget {
    /// Whose it is; 0 = nobody's.
    pub fn affiliate(&self) -> AffiliateId {
        self.attribution.affiliate.unwrap_or_default()
    }
}

/// A question to the provider that would settle something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// `GET /...`.
    pub request: String,
    /// What it would settle.
    pub about: &'static str,
}

/// Something that cannot be counted yet, or never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// The names it hangs on.
    pub names: BTreeSet<Alias>,
    /// `None` = waits for a sale; otherwise why it is refused.
    pub refused: Option<String>,
}

/// What a story must come to.
#[derive(Debug, Clone, Default)]
pub struct StoryTarget {
    /// In the order of their sales.
    pub purchases: Vec<PurchaseTarget>,
    /// Open questions.
    pub questions: BTreeSet<Question>,
    /// Refunds and disputes without a sale, or in another currency than their sale.
    pub unplaced: Vec<Unplaced>,
    /// Index keys under which the story must be found again.
    pub refs: BTreeSet<String>,
}

/// Computes the target of a story.
pub fn target(story: &Story, context: &Context<'_>) -> Result<StoryTarget, StateError> {
    let sorted = cluster::clusters(&story.facts);
    let mut result = StoryTarget { refs: cluster::base_refs(story), ..Default::default() };
    let mut sold: Vec<(Cluster<'_>, Sale)> = Vec::new();
    for cluster in sorted.purchases {
        match cluster.joined_sale() {
            Some(sale) => sold.push((cluster, sale)),
            None => note_without_sale(&cluster, context, &mut result)?,
        }
    }
    result
        .unplaced
        .extend(sorted.nameless.into_iter().map(|name| Unplaced { names: BTreeSet::from([name]), refused: None }));
    sold.sort_by(|a, b| (a.1.created, a.1.occurred_at, &a.1.key).cmp(&(b.1.created, b.1.occurred_at, &b.1.key)));
    let connection = context.decisions.connections.get(&story.scope.connection);
    let histories = history::histories(story, &sold, connection, context)?;
    let attributions = attribution::attribute(story, &sold, &histories, context)?;
    attribution::learn_remembered(story, context, &mut result)?;
    for (index, (cluster, sale)) in sold.iter().enumerate() {
        let (attribution, details) = &attributions[index];
        result.refs.extend(details.refs.iter().cloned());
        result.questions.extend(details.questions.iter().cloned());
        let place = histories.place(index).clone();
        result.questions.extend(place.question.clone());
        let purchase = purchase_target(story, context, cluster, sale, attribution.clone(), place, &mut result.unplaced);
        if purchase.affiliate() != AffiliateId(0) {
            result.refs.insert(format!("aff:{}", purchase.affiliate()));
        }
        if purchase.attribution.rule_code != CodeId(0) {
            result.refs.insert(format!("codeid:{}", purchase.attribution.rule_code));
        }
        result.purchases.push(purchase);
    }
    result.refs.extend(histories.requests.iter().map(|request| format!("ask:{request}")));
    result.refs.extend(result.questions.iter().map(|question| format!("ask:{}", question.request)));
    result.refs.extend(
        sold.iter().filter_map(|(_, sale)| sale.discount_question.as_ref()).map(|request| format!("ask:{request}")),
    );
    Ok(result)
}

/// How discounts and a referral key that one event names would be attributed by themselves.
pub fn attribute_alone(
    provider: Provider,
    scope: crate::story::Scope,
    discounts: Vec<Discount>,
    referral: Option<String>,
    at: Timestamp,
    context: &Context<'_>,
) -> Result<Attribution, StateError> {
    let mut story = Story::new(StoryId(0), scope, provider);
    let sale = Sale {
        source: SaleSource::Invoice,
        key: Alias::new("inv", "alone"),
        links: Vec::new(),
        subscription: None,
        created: at,
        occurred_at: at,
        currency: Currency::parse("usd").expect("a currency"),
        subtotal: 0,
        discount: 0,
        tax: 0,
        shipping: 0,
        gross: 0,
        paid: 0,
        net: 0,
        reason: BillingReason::OneTime,
        discounts,
        unnamed_discount: false,
        discount_question: None,
        referral,
        customer: None,
    };
    story.facts.insert(crate::fact::FactBody::Sale(sale), crate::fact::Seen { at, event: String::new() });
    let mut reached = target(&story, context)?;
    Ok(reached.purchases.remove(0).attribution)
}

fn note_without_sale(cluster: &Cluster<'_>, context: &Context<'_>, result: &mut StoryTarget) -> Result<(), StateError> {
    if !cluster.movements_wait() {
        return Ok(());
    }
    result.unplaced.push(Unplaced { names: cluster.waiting_names(), refused: None });
    if let Some(question) = cluster.join_question()
        && context.catalogue.answer(&question.request)?.is_none()
    {
        result.questions.insert(question);
    }
    Ok(())
}

fn purchase_target(
    story: &Story,
    context: &Context<'_>,
    cluster: &Cluster<'_>,
    sale: &Sale,
    attribution: Attribution,
    place: history::Place,
    unplaced: &mut Vec<Unplaced>,
) -> PurchaseTarget {
    let aliases = cluster.owned_aliases();
    let review = review_of(story, &aliases);
    let rule =
        context.decisions.rule_at(attribution.affiliate.unwrap_or_default(), attribution.rule_code, sale.occurred_at);
    let redemption = attribution.by_code && place.can_redeem;
    let rule_reaches = commission::reaches(&rule, sale.occurred_at, &place);
    let rejected = matches!(review, Some((Verdict::Reject, _)));
    let earns = attribution.affiliate.is_some() && rule_reaches && !rejected;
    let (movements, mut flags) = reversal::movements(cluster, sale, unplaced);
    let mut components = vec![ComponentTarget {
        component: Component::Sale,
        occurred_at: sale.occurred_at,
        amounts: Amounts {
            redemptions: i64::from(redemption),
            conversions: i64::from(place.first_payment),
            gross: sale.gross,
            net: sale.net,
            commission: if earns { commission_of(&rule, sale, 0, 0) } else { 0 },
        },
        amount: sale.gross,
    }];
    components.extend(reversal::components(sale, &movements, |gross_back, net_back| {
        if earns { commission_of(&rule, sale, gross_back, net_back) } else { 0 }
    }));
    let total = components.iter().fold(Amounts::default(), |sum, part| sum.plus(part.amounts));
    flags.extend(attribution.flags.iter().copied());
    flags.extend(place.history_unknown.then_some("history_unknown"));
    let (outcome, reason) = outcome_of(&attribution, &review);
    PurchaseTarget {
        key: cluster.business_key(),
        aliases,
        kind: place.kind,
        redemption,
        first_payment: place.first_payment,
        rule,
        rule_reaches,
        review,
        reversed: sale.net - total.net,
        commission: total.commission,
        components,
        outcome,
        reason,
        flags,
        sale: sale.clone(),
        attribution,
    }
}

fn review_of(story: &Story, aliases: &BTreeSet<Alias>) -> Option<(Verdict, String)> {
    story
        .reviews
        .iter()
        .rev()
        .find(|numbered| aliases.iter().any(|alias| alias.0 == numbered.decision.purchase))
        .map(|numbered| (numbered.decision.verdict, numbered.decision.reason.clone()))
        .filter(|(verdict, _)| *verdict != Verdict::Release)
}

fn outcome_of(attribution: &Attribution, review: &Option<(Verdict, String)>) -> (PurchaseOutcome, String) {
    if let Some((Verdict::Reject, reason)) = review {
        return (PurchaseOutcome::Rejected, reason.clone());
    }
    if attribution.affiliate.is_some() {
        let held = review.as_ref().map_or(String::new(), |(_, reason)| format!("on hold: {reason}"));
        return (PurchaseOutcome::Credited, held);
    }
    if attribution.how == How::Pending {
        return (PurchaseOutcome::Waiting, "attribution_pending".to_owned());
    }
    if attribution.flags.contains("ambiguous_coupon") {
        return (PurchaseOutcome::Rejected, "ambiguous_coupon".to_owned());
    }
    (PurchaseOutcome::Organic, String::new())
}

/// Sums of a target per affiliate and currency, for tests and previews.
pub fn sums(target: &StoryTarget) -> BTreeMap<(AffiliateId, Currency), Amounts> {
    let mut sums: BTreeMap<(AffiliateId, Currency), Amounts> = BTreeMap::new();
    for purchase in &target.purchases {
        for part in &purchase.components {
            let sum = sums.entry((purchase.affiliate(), purchase.sale.currency)).or_default();
            *sum = sum.plus(part.amounts);
        }
    }
    sums
}
