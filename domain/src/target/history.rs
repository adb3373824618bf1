//! Where a sale stands in the history of its subscription: first sale, first payment, kind.

use super::cluster::Cluster;
use super::{Context, Question, SaleKind, StateError};
use crate::decision::SetConnection;
use crate::fact::*;
use crate::ids::{Provider, Timestamp};
use crate::story::Story;
use std::collections::{BTreeMap, BTreeSet};

/// Where one sale stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub kind: SaleKind,
    pub first_payment: bool,
    /// A use of a code here would be a redemption.
    pub can_redeem: bool,
    pub history_unknown: bool,
    /// When the customer first paid: durations in months count from it.
    pub first_paid_at: Option<Timestamp>,
    pub question: Option<Question>,
}

/// Places of all sales of a story, and the sales of each subscription in historical order.
pub(super) struct Histories {
    places: Vec<Place>,
    pub groups: BTreeMap<String, Vec<usize>>,
    /// Questions whose answers decide, whether they are known yet or not: a better one may come.
    pub requests: BTreeSet<String>,
}

impl Histories {
    pub fn place(&self, index: usize) -> &Place {
        &self.places[index]
    }
}

/// What is known about a subscription besides its sales.
struct Known {
    complete: bool,
    first_paid: Option<Timestamp>,
    created: Option<Timestamp>,
    question: Option<Question>,
}

/// `sold` is sorted by (created, paid, name): the order of history.
pub(super) fn histories(
    story: &Story,
    sold: &[(Cluster<'_>, Sale)],
    connection: Option<&SetConnection>,
    context: &Context<'_>,
) -> Result<Histories, StateError> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, (_, sale)) in sold.iter().enumerate() {
        if let Some(subscription) = &sale.subscription {
            groups.entry(subscription.clone()).or_default().push(index);
        }
    }
    let mut requests = BTreeSet::new();
    let mut places: Vec<Place> = sold.iter().map(|(_, sale)| single(sale)).collect();
    for (subscription, members) in &groups {
        let first_sale = &sold[members[0]].1;
        let known = known_history(story, subscription, first_sale, connection, context, &mut requests)?;
        let first_paid = members.iter().copied().find(|index| sold[*index].1.paid > 0);
        let first_paid_at = known
            .first_paid
            .or(first_paid.filter(|_| known.complete).map(|index| sold[index].1.occurred_at))
            .or(known.created)
            .or(first_paid.map(|index| sold[index].1.occurred_at));
        for index in members {
            let sale = &sold[*index].1;
            let is_first = *index == members[0];
            let certain = known.complete || sale.reason == BillingReason::Create;
            places[*index] = Place {
                kind: kind_in_subscription(sale, is_first),
                first_payment: first_paid == Some(*index)
                    && certain
                    && known.first_paid.is_none_or(|first| sale.created <= first),
                can_redeem: is_first && certain && !matches!(sale.reason, BillingReason::Cycle | BillingReason::Update),
                history_unknown: !certain,
                first_paid_at,
                question: known.question.clone().filter(|_| !certain),
            };
        }
    }
    Ok(Histories { places, groups, requests })
}

fn single(sale: &Sale) -> Place {
    let kind = match sale.reason {
        _ if sale.gross == 0 => SaleKind::Zero,
        BillingReason::Cycle => SaleKind::Renewal,
        BillingReason::Update => SaleKind::Update,
        BillingReason::Create | BillingReason::OneTime | BillingReason::Unknown => SaleKind::OneTime,
    };
    let stands_alone = matches!(kind, SaleKind::Zero | SaleKind::OneTime);
    Place {
        kind,
        first_payment: stands_alone && sale.paid > 0,
        can_redeem: stands_alone,
        history_unknown: false,
        first_paid_at: Some(sale.occurred_at),
        question: None,
    }
}

fn kind_in_subscription(sale: &Sale, is_first: bool) -> SaleKind {
    match sale.reason {
        _ if sale.gross == 0 => SaleKind::Zero,
        BillingReason::Create => SaleKind::First,
        BillingReason::Cycle => SaleKind::Renewal,
        BillingReason::Update => SaleKind::Update,
        BillingReason::OneTime | BillingReason::Unknown if is_first => SaleKind::First,
        BillingReason::OneTime | BillingReason::Unknown => SaleKind::Renewal,
    }
}

/// All events are known from `history_from` on, so a subscription that began later has its
/// whole history here; for an older one its paid invoices are asked for.
fn known_history(
    story: &Story,
    subscription: &str,
    first_sale: &Sale,
    connection: Option<&SetConnection>,
    context: &Context<'_>,
    requests: &mut BTreeSet<String>,
) -> Result<Known, StateError> {
    let created = story.facts.iter().find_map(|(body, _)| match body {
        FactBody::Subscription(known) if known.id == subscription => known.created,
        _ => None,
    });
    let history_from = connection.and_then(|connection| connection.history_from);
    let complete = match history_from {
        None => connection.is_some() || first_sale.reason == BillingReason::Create,
        Some(from) => first_sale.reason == BillingReason::Create || created.is_some_and(|created| created >= from),
    };
    let mut known = Known { complete, first_paid: None, created, question: None };
    if complete || connection.is_none() || story.provider != Provider::Stripe {
        return Ok(known);
    }
    let question = Question {
        request: format!("GET /v1/invoices?subscription={subscription}&status=paid&limit=100"),
        about: "which payment of a subscription was the first",
    };
    requests.insert(question.request.clone());
    match context.catalogue.answer(&question.request)? {
        Some(answer) if answer.refused.is_none() => {
            known.complete = true;
            known.first_paid = answer.first_paid;
        }
        Some(_) => {}
        None => known.question = Some(question),
    }
    Ok(known)
}
