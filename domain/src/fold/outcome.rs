//! The one outcome of a record, and how an event's is found.

use super::Event;
use crate::fact::{Alias, FactBody};
use crate::target::StoryTarget;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The one outcome of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "snake_case")]
pub enum Outcome {
    /// Its money is in the ledger.
    Counted,
    /// Understood; nothing to count (again), and why.
    NoEffect(String),
    /// Not for us, and why.
    Ignored(String),
    /// Understood; waits for something named.
    Waiting(String),
    /// Cannot be understood, and why.
    Refused(String),
    /// A person's decision, a look-up's answer or a deadline, applied.
    Decision,
}

impl Outcome {
    /// The word used in the API, in lists and as a metric label.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Counted => "counted",
            Outcome::NoEffect(_) => "no_effect",
            Outcome::Ignored(_) => "ignored",
            Outcome::Waiting(_) => "waiting",
            Outcome::Refused(_) => "refused",
            Outcome::Decision => "decisions",
        }
    }

    /// Why, if that needs saying.
    pub fn reason(&self) -> &str {
        match self {
            Outcome::Counted | Outcome::Decision => "",
            Outcome::NoEffect(reason)
            | Outcome::Ignored(reason)
            | Outcome::Waiting(reason)
            | Outcome::Refused(reason) => reason,
        }
    }
}

/// What an event brings that was not known.
pub(super) struct News {
    /// The names of what it counts.
    pub names: Vec<Alias>,
    says_something: bool,
    fresh: bool,
    fresh_counting: bool,
}

impl News {
    pub fn of(event: &Event) -> News {
        let counting = event.facts.iter().filter(|fact| fact.counts());
        let snapshots = event.facts.iter().filter_map(|fact| match fact {
            FactBody::RefundSnapshot(snapshot) => Some(snapshot.own_name()),
            _ => None,
        });
        News {
            names: counting.flat_map(FactBody::aliases).chain(snapshots).collect(),
            says_something: !(event.facts.is_empty() && event.sightings.is_empty()),
            fresh: false,
            fresh_counting: false,
        }
    }

    pub fn add(&mut self, new: bool, counts: bool) {
        self.fresh |= new;
        self.fresh_counting |= new && counts;
    }

    /// The outcome as long as no story says another.
    pub fn without_effect(&self, catalogue_changed: bool) -> Outcome {
        let reason = match (self.names.is_empty(), self.fresh || catalogue_changed) {
            (true, false) if !self.says_something => "nothing_to_count",
            (_, false) => "seen_before",
            (true, true) => "nothing_to_count",
            (false, true) => "nothing_was_paid",
        };
        Outcome::NoEffect(reason.to_owned())
    }

    /// What a story's target says about the event.
    pub fn outcome_in(&self, target: &StoryTarget) -> Option<Outcome> {
        if self.names.is_empty() || !self.fresh_counting {
            return None;
        }
        let mine = |names: &BTreeSet<Alias>| self.names.iter().any(|alias| names.contains(alias));
        if let Some(unplaced) = target.unplaced.iter().find(|unplaced| mine(&unplaced.names)) {
            return Some(match &unplaced.refused {
                Some(reason) => Outcome::Refused(reason.clone()),
                None => Outcome::Waiting(waiting_reason(&unplaced.names)),
            });
        }
        target.purchases.iter().any(|purchase| mine(&purchase.aliases)).then_some(Outcome::Counted)
    }
}

fn waiting_reason(names: &BTreeSet<Alias>) -> String {
    let of_purchase = names.iter().filter(|alias| alias.names_purchase());
    let best = of_purchase.min_by_key(|alias| (alias.purchase_rank(), alias.0.as_str())).or(names.first());
    format!("waits for the sale of {}", best.map_or("an unknown purchase", |alias| alias.0.as_str()))
}
