//! What takes a sale back: refunds, snapshots of refunded amounts, disputes, credit notes, the
//! void. Cumulative and capped at what was paid, so that the parts always add up.

use super::cluster::Cluster;
use super::{ComponentTarget, Unplaced};
use crate::fact::*;
use crate::ids::Timestamp;
use crate::line::Amounts;
use crate::money::round_half_up;
use crate::story::Component;
use std::collections::{BTreeMap, BTreeSet};

/// One thing that takes back, or (negative) an adjustment of its own that gives back again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Movement {
    pub component: Component,
    pub occurred_at: Timestamp,
    /// With tax.
    pub amount: i64,
    /// Without tax, where the provider says it.
    pub net: Option<i64>,
}

/// All movements of a purchase in (time, id) order, and the flags they raise.
pub(super) fn movements(
    cluster: &Cluster<'_>,
    sale: &Sale,
    unplaced: &mut Vec<Unplaced>,
) -> (Vec<Movement>, BTreeSet<&'static str>) {
    let mut found = Vec::new();
    let mut flags = BTreeSet::new();
    refuse_other_currencies(cluster, sale, unplaced);
    refunds(cluster, sale, &mut found);
    disputes(cluster, sale, &mut found);
    credit_notes(cluster, sale, &mut found);
    let voided = cluster.voids.iter().map(|void| void.voided_at).filter(|at| *at > sale.occurred_at).min();
    if let Some(voided_at) = voided
        && sale.paid > 0
    {
        flags.insert("void_after_paid");
        found.push(Movement { component: Component::Void, occurred_at: voided_at, amount: sale.paid, net: None });
    }
    found.retain(|movement| movement.amount != 0);
    found.sort_by(|a, b| (a.occurred_at, &a.component).cmp(&(b.occurred_at, &b.component)));
    (found, flags)
}

fn refuse_other_currencies(cluster: &Cluster<'_>, sale: &Sale, unplaced: &mut Vec<Unplaced>) {
    let mut refuse = |name: Alias, currency: crate::money::Currency| {
        if currency != sale.currency {
            unplaced.push(Unplaced {
                names: BTreeSet::from([name]),
                refused: Some(format!("currency_mismatch: {currency} on a sale in {}", sale.currency)),
            });
        }
    };
    cluster.refunds.iter().for_each(|(refund, _)| refuse(Alias::new("re", &refund.id), refund.currency));
    cluster.snapshots.iter().for_each(|snapshot| refuse(snapshot.own_name(), snapshot.currency));
    cluster.disputes.iter().for_each(|(dispute, _)| refuse(Alias::new("dp", &dispute.id), dispute.currency));
    cluster.notes.iter().for_each(|note| refuse(Alias::new("cn", &note.id), note.currency));
    cluster.sales.iter().for_each(|(view, _)| refuse(view.key.clone(), view.currency));
}

/// One refund out of all its sightings: the furthest state wins, then the earliest sighting.
#[derive(Debug, Clone)]
struct JoinedRefund<'a> {
    refund: &'a Refund,
    group: String,
    /// When it was first seen as failed.
    failed_at: Option<Timestamp>,
}

/// Which charge a refund or snapshot belongs to: the payment intent if any name of the purchase's
/// facts joins it to one, else the charge, else the purchase itself.
fn charge_group(cluster: &Cluster<'_>, of: &[Alias]) -> String {
    let intents: BTreeSet<&str> = of.iter().filter(|alias| alias.prefix() == "pi").map(Alias::id).collect();
    if let Some(intent) = intents.first() {
        return format!("pi:{intent}");
    }
    let Some(charge) = of.iter().find(|alias| alias.prefix() == "ch") else { return "purchase".to_owned() };
    cluster.intent_of_charge(charge).map_or_else(|| charge.0.clone(), |intent| intent.0.clone())
}

fn joined_refunds<'a>(cluster: &Cluster<'a>, sale: &Sale) -> Vec<JoinedRefund<'a>> {
    let mut by_id: BTreeMap<&str, Vec<(&'a Refund, &'a Seen)>> = BTreeMap::new();
    for (refund, seen) in &cluster.refunds {
        if refund.currency == sale.currency {
            by_id.entry(&refund.id).or_default().push((refund, seen));
        }
    }
    by_id
        .into_values()
        .map(|mut sightings| {
            sightings.sort_by_key(|(refund, seen)| (std::cmp::Reverse(refund.status), *seen, *refund));
            let refund = sightings[0].0;
            let of: Vec<Alias> = sightings.iter().flat_map(|(refund, _)| refund.of.iter().cloned()).collect();
            let failed = sightings.iter().filter(|(refund, _)| refund.status == RefundStatus::Failed);
            JoinedRefund { refund, group: charge_group(cluster, &of), failed_at: failed.map(|(_, seen)| seen.at).min() }
        })
        .collect()
}

/// Per charge: what known refunds with status succeeded come to, or what the largest snapshot
/// shows beyond refunds that do not count, whichever is more.
fn refunds(cluster: &Cluster<'_>, sale: &Sale, found: &mut Vec<Movement>) {
    let refunds = joined_refunds(cluster, sale);
    let counting = refunds.iter().filter(|one| one.refund.status == RefundStatus::Succeeded);
    let taken = counting.map(|one| Movement {
        component: Component::Refund(one.refund.id.clone()),
        occurred_at: one.refund.created,
        amount: one.refund.amount,
        net: one.refund.net,
    });
    let reversed = refunds
        .iter()
        .filter(|one| one.refund.status == RefundStatus::Reversed)
        .map(|one| i128::from(one.refund.amount))
        .sum();
    found.extend(less_given_back(taken.collect(), reversed));
    let mut snapshots: BTreeMap<String, Vec<(Timestamp, i64)>> = BTreeMap::new();
    for snapshot in cluster.snapshots.iter().filter(|snapshot| snapshot.currency == sale.currency) {
        let group = charge_group(cluster, &snapshot.of);
        let adjusted = i128::from(snapshot.refunded) - not_counting(&refunds, &group, snapshot.at);
        snapshots.entry(group).or_default().push((snapshot.at, saturated(adjusted)));
    }
    for (group, values) in snapshots {
        snapshot_movements(&group, values, &refunds, found);
    }
}

fn saturated(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum > 0 { i64::MAX } else { i64::MIN })
}

/// What was taken, and the adjustments of their own that give it back (negative). The provider may
/// say the same return twice, as an adjustment and as the state of what it returns: `already`
/// was given back by that state and is not given again. No more comes back than was taken.
fn less_given_back(movements: Vec<Movement>, already: i128) -> Vec<Movement> {
    let (taken, mut returns): (Vec<Movement>, Vec<Movement>) =
        movements.into_iter().partition(|movement| movement.amount >= 0);
    returns.sort_by(|a, b| (a.occurred_at, &a.component).cmp(&(b.occurred_at, &b.component)));
    let mut already = already;
    let mut left: i128 = taken.iter().map(|movement| i128::from(movement.amount)).sum();
    let mut found = taken;
    for given in returns {
        let size = -i128::from(given.amount);
        let said = already.min(size);
        already -= said;
        let back = saturated((size - said).min(left));
        left -= i128::from(back);
        let net = given.net.map(|net| round_half_up(net, back, saturated(size)));
        found.push(Movement { amount: -back, net, ..given });
    }
    found
}

/// The part of a snapshot that refunds hold which do not count: pending, or failed but not
/// before it, and made no later than it.
fn not_counting(refunds: &[JoinedRefund<'_>], group: &str, at: Timestamp) -> i128 {
    refunds
        .iter()
        .filter(|one| one.group == group && one.refund.status != RefundStatus::Succeeded)
        .filter(|one| one.refund.created <= at && one.failed_at.is_none_or(|failed| failed >= at))
        .map(|one| i128::from(one.refund.amount))
        .sum()
}

/// One movement per distinct value, worth its increase over the next smaller, as far as it goes
/// beyond the refunds that are known by id.
fn snapshot_movements(
    group: &str,
    mut values: Vec<(Timestamp, i64)>,
    refunds: &[JoinedRefund<'_>],
    found: &mut Vec<Movement>,
) {
    let counted = |until: Option<Timestamp>| -> i128 {
        refunds
            .iter()
            .filter(|one| one.group == group && one.refund.status == RefundStatus::Succeeded)
            .filter(|one| until.is_none_or(|until| one.refund.created <= until))
            .map(|one| i128::from(one.refund.amount))
            .sum()
    };
    values.sort_by_key(|(at, value)| (*value, *at));
    values.dedup_by_key(|(_, value)| *value);
    let beyond = values.last().map_or(0, |(_, largest)| (i128::from(*largest) - counted(None)).max(0));
    let mut shown = 0;
    for (at, value) in values {
        let reached = (i128::from(value) - counted(Some(at))).clamp(shown, beyond.max(shown));
        if reached > shown {
            let amount = saturated(reached - shown);
            found.push(Movement {
                component: Component::Snapshot(group.to_owned(), value),
                occurred_at: at,
                amount,
                net: None,
            });
            shown = reached;
        }
    }
}

fn disputes(cluster: &Cluster<'_>, sale: &Sale, found: &mut Vec<Movement>) {
    let mut by_id: BTreeMap<&str, Vec<(&Dispute, &Seen)>> = BTreeMap::new();
    for (dispute, seen) in &cluster.disputes {
        if dispute.currency == sale.currency {
            by_id.entry(&dispute.id).or_default().push((dispute, seen));
        }
    }
    let (mut taken, mut won) = (Vec::new(), 0_i128);
    for mut sightings in by_id.into_values() {
        sightings.sort_by_key(|(dispute, seen)| (std::cmp::Reverse(dispute.step), *seen, *dispute));
        let dispute = sightings[0].0;
        match dispute.step {
            DisputeStep::Hold => {}
            DisputeStep::Won => won += i128::from(dispute.amount.max(0)),
            DisputeStep::Withdrawn | DisputeStep::Lost => {
                let created = sightings.iter().map(|(dispute, _)| dispute.created).min().unwrap_or(dispute.created);
                taken.push(Movement {
                    component: Component::Dispute(dispute.id.clone()),
                    occurred_at: created,
                    amount: dispute.amount,
                    net: dispute.net,
                });
            }
        }
    }
    found.extend(less_given_back(taken, won));
}

fn credit_notes(cluster: &Cluster<'_>, sale: &Sale, found: &mut Vec<Movement>) {
    let mut by_id: BTreeMap<&str, Vec<&CreditNote>> = BTreeMap::new();
    for note in cluster.notes.iter().filter(|note| note.currency == sale.currency) {
        by_id.entry(&note.id).or_default().push(note);
    }
    for notes in by_id.into_values() {
        if notes.iter().any(|note| note.voided) {
            continue;
        }
        if let Some(note) = notes.iter().min() {
            found.push(Movement {
                component: Component::CreditNote(note.id.clone()),
                occurred_at: note.created,
                amount: note.own_amount,
                net: None,
            });
        }
    }
}

/// Targets of the movements. `commission(gross_back, net_back)` is cumulative.
pub(super) fn components(
    sale: &Sale,
    movements: &[Movement],
    commission: impl Fn(i64, i64) -> i64,
) -> Vec<ComponentTarget> {
    let mut targets = Vec::new();
    if sale.paid <= 0 {
        return targets;
    }
    let says_net = movements.iter().any(|movement| movement.net.is_some());
    let (mut amount, mut said_net) = (0_i128, 0_i128);
    let mut before = Amounts { commission: commission(0, 0), ..Default::default() };
    for movement in movements {
        amount += i128::from(movement.amount);
        let back = saturated(amount.clamp(0, i128::from(sale.paid)));
        let share = round_half_up(sale.net, back, sale.paid);
        let own_share = || round_half_up(sale.net, movement.amount.clamp(-sale.paid, sale.paid), sale.paid);
        said_net += i128::from(movement.net.unwrap_or_else(own_share));
        let said = saturated(said_net.clamp(0, i128::from(sale.net.max(0))));
        let net_back = if says_net && back > 0 && back < sale.paid { said } else { share };
        let gross_back = round_half_up(sale.gross, back, sale.paid);
        let after = Amounts {
            gross: gross_back,
            net: net_back,
            commission: commission(gross_back, net_back),
            ..Default::default()
        };
        let amounts = Amounts {
            gross: before.gross - after.gross,
            net: before.net - after.net,
            commission: after.commission - before.commission,
            ..Default::default()
        };
        if !amounts.is_zero() {
            targets.push(ComponentTarget {
                component: movement.component.clone(),
                occurred_at: movement.occurred_at,
                amounts,
                amount: movement.amount,
            });
        }
        before = after;
    }
    targets
}
