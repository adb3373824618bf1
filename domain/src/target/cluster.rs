//! Which facts of a story speak of one purchase.

use super::Question;
use crate::fact::*;
use crate::story::Story;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The facts of one purchase.
#[derive(Debug, Default)]
pub(super) struct Cluster<'a> {
    pub aliases: BTreeSet<&'a Alias>,
    pub subscription: Option<&'a str>,
    pub sales: Vec<(&'a Sale, &'a Seen)>,
    pub hints: Vec<&'a Hint>,
    pub refunds: Vec<(&'a Refund, &'a Seen)>,
    pub snapshots: Vec<&'a RefundSnapshot>,
    pub disputes: Vec<(&'a Dispute, &'a Seen)>,
    pub notes: Vec<&'a CreditNote>,
    pub voids: Vec<&'a Void>,
    /// Own names of the refunds, disputes and credit notes.
    movements: BTreeSet<Alias>,
    /// Charges and the payment intent that some fact names beside them.
    pairs: BTreeSet<(&'a Alias, &'a Alias)>,
}

/// Joins names; the representative of a group is its smallest name.
struct Groups<'a> {
    parent: HashMap<&'a str, &'a str>,
}

impl<'a> Groups<'a> {
    fn root(&self, mut name: &'a str) -> &'a str {
        while let Some(parent) = self.parent.get(name) {
            if *parent == name {
                break;
            }
            name = parent;
        }
        name
    }

    fn join(&mut self, a: &'a str, b: &'a str) {
        let (a, b) = (self.root(a), self.root(b));
        let (small, large) = if a <= b { (a, b) } else { (b, a) };
        self.parent.insert(small, small);
        self.parent.insert(large, small);
    }
}

/// Purchase names, and `first:SUB`, the yet unnamed first purchase of a subscription.
fn joins_purchase(alias: &Alias) -> bool {
    alias.names_purchase() || alias.prefix() == "first"
}

fn first_of(subscription: &Subscription) -> Alias {
    Alias::new("first", &subscription.id)
}

/// The id under which several sightings speak of one refund, dispute or credit note.
fn movement_id(body: &FactBody) -> Option<Alias> {
    match body {
        FactBody::Refund(refund) => Some(Alias::new("re", &refund.id)),
        FactBody::Dispute(dispute) => Some(Alias::new("dp", &dispute.id)),
        FactBody::CreditNote(note) => Some(Alias::new("cn", &note.id)),
        _ => None,
    }
}

/// A story's facts by purchase.
pub(super) struct Sorted<'a> {
    /// In the order of their names.
    pub purchases: Vec<Cluster<'a>>,
    /// Refunds, disputes and credit notes that no sighting has placed yet.
    pub nameless: BTreeSet<Alias>,
}

/// Sorts a story's facts into purchases.
pub(super) fn clusters(facts: &Facts) -> Sorted<'_> {
    let firsts: Vec<(Alias, &Alias)> = facts
        .iter()
        .filter_map(|(body, _)| match body {
            FactBody::Subscription(subscription) => {
                subscription.first_purchase.as_ref().map(|first| (first_of(subscription), first))
            }
            _ => None,
        })
        .collect();
    let placed = placed_movements(facts);
    let groups = join_names(facts, &firsts, &placed);
    let mut clusters: BTreeMap<String, Cluster<'_>> = BTreeMap::new();
    let mut nameless = BTreeSet::new();
    for (body, seen) in facts.iter() {
        let names = purchase_names(body);
        let movement = movement_id(body);
        // A later sighting of a refund may name neither charge nor payment intent.
        let first = names.first().copied().or_else(|| movement.as_ref().and_then(|id| placed.get(id).copied()));
        let Some(first) = first else {
            nameless.extend(movement);
            continue;
        };
        let cluster = clusters.entry(groups.root(first.0.as_str()).to_owned()).or_default();
        cluster.movements.extend(movement);
        cluster.aliases.extend(names.iter().copied().filter(|alias| alias.names_purchase()));
        cluster.add_pair(&names);
        cluster.add(body, seen);
    }
    // A remembered attribution speaks for a purchase without being a name of it.
    for (body, _) in facts.iter() {
        if let FactBody::Hint(hint) = body {
            for cluster in clusters.values_mut() {
                if hint.of.iter().any(|alias| cluster.aliases.contains(alias)) {
                    cluster.hints.push(hint);
                }
            }
        }
    }
    for (_, first) in &firsts {
        for (body, _) in facts.iter() {
            if let FactBody::Subscription(subscription) = body
                && subscription.first_purchase.as_ref() == Some(*first)
                && let Some(cluster) = clusters.values_mut().find(|cluster| cluster.aliases.contains(*first))
            {
                cluster.subscription.get_or_insert(&subscription.id);
            }
        }
    }
    let mut purchases: Vec<_> = clusters.into_values().filter(|cluster| !cluster.aliases.is_empty()).collect();
    purchases.sort_by_key(Cluster::business_key);
    Sorted { purchases, nameless }
}

/// Every refund, dispute and credit note with a name of its purchase from any of its sightings.
fn placed_movements(facts: &Facts) -> HashMap<Alias, &Alias> {
    let mut placed = HashMap::new();
    for (body, _) in facts.iter() {
        if let (Some(id), Some(first)) = (movement_id(body), purchase_names(body).first().copied()) {
            placed.entry(id).or_insert(first);
        }
    }
    placed
}

fn join_names<'a>(
    facts: &'a Facts,
    firsts: &'a [(Alias, &'a Alias)],
    placed: &HashMap<Alias, &'a Alias>,
) -> OwnedGroups {
    let mut groups = Groups { parent: HashMap::new() };
    for (body, _) in facts.iter() {
        let names = purchase_names(body);
        for pair in names.windows(2) {
            groups.join(&pair[0].0, &pair[1].0);
        }
        // Two sightings of one refund speak of one purchase.
        if let (Some(first), Some(other)) = (names.first(), movement_id(body).and_then(|id| placed.get(&id).copied())) {
            groups.join(&first.0, &other.0);
        }
    }
    for (placeholder, first) in firsts {
        groups.join(&placeholder.0, &first.0);
    }
    let roots = groups.parent.keys().map(|name| ((*name).to_owned(), groups.root(name).to_owned())).collect();
    OwnedGroups { roots }
}

struct OwnedGroups {
    roots: HashMap<String, String>,
}

impl OwnedGroups {
    fn root<'b>(&'b self, name: &'b str) -> &'b str {
        self.roots.get(name).map_or(name, String::as_str)
    }
}

/// The names through which a fact belongs to a purchase. A hint has none: it speaks for several.
fn purchase_names(body: &FactBody) -> Vec<&Alias> {
    match body {
        FactBody::Sale(sale) => {
            std::iter::once(&sale.key).chain(&sale.links).filter(|alias| joins_purchase(alias)).collect()
        }
        FactBody::Link { names } => names.iter().filter(|alias| joins_purchase(alias)).collect(),
        FactBody::Refund(refund) => refund.of.iter().filter(|alias| joins_purchase(alias)).collect(),
        FactBody::RefundSnapshot(snapshot) => snapshot.of.iter().filter(|alias| joins_purchase(alias)).collect(),
        FactBody::Dispute(dispute) => dispute.of.iter().filter(|alias| joins_purchase(alias)).collect(),
        FactBody::CreditNote(note) => note.of.iter().filter(|alias| joins_purchase(alias)).collect(),
        FactBody::Void(void) => void.of.iter().filter(|alias| joins_purchase(alias)).collect(),
        FactBody::Subscription(subscription) => subscription.first_purchase.iter().collect(),
        FactBody::Hint(_) => Vec::new(),
    }
}

impl<'a> Cluster<'a> {
    fn add_pair(&mut self, names: &[&'a Alias]) {
        let intent = names.iter().find(|alias| alias.prefix() == "pi");
        let charge = names.iter().find(|alias| alias.prefix() == "ch");
        if let (Some(charge), Some(intent)) = (charge, intent) {
            self.pairs.insert((charge, intent));
        }
    }

    fn add(&mut self, body: &'a FactBody, seen: &'a Seen) {
        match body {
            FactBody::Sale(sale) => {
                self.sales.push((sale, seen));
                if let Some(id) = &sale.subscription {
                    self.subscription = Some(id);
                }
            }
            FactBody::Link { names } => {
                if let Some(alias) = names.iter().find(|alias| alias.prefix() == "sub") {
                    self.subscription.get_or_insert(alias.id());
                }
            }
            FactBody::Refund(refund) => self.refunds.push((refund, seen)),
            FactBody::RefundSnapshot(snapshot) => self.snapshots.push(snapshot),
            FactBody::Dispute(dispute) => self.disputes.push((dispute, seen)),
            FactBody::CreditNote(note) => self.notes.push(note),
            FactBody::Void(void) => self.voids.push(void),
            FactBody::Subscription(_) | FactBody::Hint(_) => {}
        }
    }

    /// The public name: an invoice, else a payment intent, else a charge, else a session.
    pub fn business_key(&self) -> Alias {
        let best = self.aliases.iter().min_by_key(|alias| (alias.purchase_rank(), alias.0.as_str()));
        (*best.expect("a cluster has a name")).clone()
    }

    /// All its names.
    pub fn owned_aliases(&self) -> BTreeSet<Alias> {
        self.aliases.iter().map(|alias| (*alias).clone()).collect()
    }

    /// One sale out of all views of it: an invoice beats a session, a value beats none, then
    /// the smaller event id.
    pub fn joined_sale(&self) -> Option<Sale> {
        let mut views = self.sales.clone();
        views.sort_by_key(|(sale, seen)| (sale.source, &seen.event, *sale));
        let (first, rest) = views.split_first()?;
        let mut joined = first.0.clone();
        for (view, _) in rest {
            joined.referral = joined.referral.or_else(|| view.referral.clone());
            joined.customer = joined.customer.or_else(|| view.customer.clone());
            join_discounts(&mut joined.discounts, &view.discounts);
        }
        joined.subscription = joined.subscription.or_else(|| self.subscription.map(str::to_owned));
        Some(joined)
    }

    /// Its names and those of what takes it back: what waits for its sale waits for one of these.
    pub fn waiting_names(&self) -> BTreeSet<Alias> {
        self.owned_aliases().into_iter().chain(self.movements.iter().cloned()).collect()
    }

    /// Whether something here waits for a sale.
    pub fn movements_wait(&self) -> bool {
        !(self.refunds.is_empty() && self.snapshots.is_empty() && self.disputes.is_empty() && self.notes.is_empty())
    }

    /// The question that joins a payment intent without a sale to its invoice (Stripe, basil
    /// and later).
    pub fn join_question(&self) -> Option<Question> {
        let intent = self.aliases.iter().find(|alias| alias.prefix() == "pi")?;
        let knows_invoice = self.aliases.iter().any(|alias| alias.prefix() == "inv");
        (!knows_invoice).then(|| Question {
            request: format!(
                "GET /v1/invoice_payments?payment[type]=payment_intent&payment[payment_intent]={}",
                intent.id()
            ),
            about: "which invoice a payment belongs to",
        })
    }
}

/// Takes from other views what is missing, and adds discounts that only they name.
pub(super) fn join_discounts(known: &mut Vec<Discount>, others: &[Discount]) {
    for other in others {
        match known.iter_mut().find(|discount| discount.same_as(other)) {
            Some(discount) => *discount = discount.clone().or(other),
            None => known.push(other.clone()),
        }
    }
}

/// Index keys that do not depend on the catalogue.
pub(super) fn base_refs(story: &Story) -> BTreeSet<String> {
    BTreeSet::from([format!("conn:{}", story.scope.connection)])
}

impl<'a> Cluster<'a> {
    /// The payment intent that a fact of this purchase names beside a charge.
    pub fn intent_of_charge(&self, charge: &Alias) -> Option<&'a Alias> {
        self.pairs.iter().find(|(known, _)| *known == charge).map(|(_, intent)| *intent)
    }
}
