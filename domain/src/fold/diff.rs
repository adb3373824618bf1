//! From what is booked to what must be: the lines between, and the kind of each.

use crate::line::{Amounts, LineKind};
use crate::story::{Book, BookKey, Component};
use std::collections::{BTreeMap, BTreeSet};

/// A line without its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub key: BookKey,
    pub kind: LineKind,
    pub amounts: Amounts,
}

/// The lines that bring `booked` to `target`. Per key they add up to the difference.
pub(super) fn drafts(booked: &Book, target: &BTreeMap<BookKey, Amounts>) -> Vec<Draft> {
    let parts: BTreeSet<_> =
        booked.0.keys().chain(target.keys()).map(|key| (key.purchase, key.component.clone())).collect();
    let mut drafts = Vec::new();
    for (purchase, component) in parts {
        let of_part = |key: &&BookKey| key.purchase == purchase && key.component == component;
        let old: Vec<&BookKey> = booked.0.keys().filter(of_part).collect();
        let new: Vec<&BookKey> = target.keys().filter(of_part).collect();
        if old == new {
            same_keys(&component, booked, target, &new, &mut drafts);
        } else {
            other_keys(&component, booked, target, (&old, &new), &mut drafts);
        }
    }
    drafts
}

fn same_keys(
    component: &Component,
    booked: &Book,
    target: &BTreeMap<BookKey, Amounts>,
    keys: &[&BookKey],
    drafts: &mut Vec<Draft>,
) {
    for key in keys {
        let amounts = target[*key].minus(booked.0[*key]);
        if amounts.is_zero() {
            continue;
        }
        let only_commission = Amounts { commission: 0, ..amounts }.is_zero();
        let kind = match component {
            _ if only_commission => LineKind::Rerate,
            Component::Sale => LineKind::Correct,
            _ if amounts.net > 0 => undo(component),
            _ => natural(component),
        };
        drafts.push(Draft { key: (*key).clone(), kind, amounts });
    }
}

fn other_keys(
    component: &Component,
    booked: &Book,
    target: &BTreeMap<BookKey, Amounts>,
    (old, new): (&[&BookKey], &[&BookKey]),
    drafts: &mut Vec<Draft>,
) {
    let moved = match (old, new) {
        ([old], [new]) => {
            old.affiliate != new.affiliate && old.occurred_at == new.occurred_at && old.currency == new.currency
        }
        _ => false,
    };
    for key in old {
        let kind = match (moved, new.is_empty()) {
            (true, _) => LineKind::MoveOut,
            (false, true) => undo(component),
            (false, false) => LineKind::Correct,
        };
        let amounts = booked.0[*key].negated();
        let kept = target.get(*key).copied().unwrap_or_default();
        drafts.push(Draft { key: (*key).clone(), kind, amounts: amounts.plus(kept) });
    }
    for key in new.iter().filter(|key| !old.contains(key)) {
        let kind = match (moved, old.is_empty()) {
            (true, _) => LineKind::MoveIn,
            // An adjustment of its own that gives back.
            (false, true) if *component != Component::Sale && target[*key].gross > 0 => undo(component),
            (false, true) => natural(component),
            (false, false) => LineKind::Correct,
        };
        drafts.push(Draft { key: (*key).clone(), kind, amounts: target[*key] });
    }
    drafts.retain(|draft| !draft.amounts.is_zero());
}

fn natural(component: &Component) -> LineKind {
    match component {
        Component::Sale => LineKind::Sale,
        Component::Refund(_) | Component::Snapshot(..) => LineKind::Refund,
        Component::Dispute(_) => LineKind::Dispute,
        Component::CreditNote(_) => LineKind::CreditNote,
        Component::Void => LineKind::Void,
    }
}

fn undo(component: &Component) -> LineKind {
    match component {
        Component::Refund(_) | Component::Snapshot(..) => LineKind::RefundUndo,
        Component::Dispute(_) => LineKind::DisputeUndo,
        Component::Sale | Component::CreditNote(_) | Component::Void => LineKind::Correct,
    }
}
