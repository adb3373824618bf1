//! Whose a code is at which time: many mappings, of which the last decided one whose window has the time holds.

use domain::decision::MapCode;
use domain::ids::{AffiliateId, CodeId, Provider, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A stretch of time in which a code belongs to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Number of the code; 0 for a referral key.
    pub code: CodeId,
    /// As people wrote it, else an id of the provider.
    pub text: String,
    /// Only where it is paid through this provider; none is everywhere.
    pub provider: Option<Provider>,
    /// Whose; none is the house's.
    pub affiliate: Option<AffiliateId>,
    /// None is always.
    pub from: Option<Timestamp>,
    /// First moment in which it is somebody else's; none is for ever.
    pub until: Option<Timestamp>,
}

impl Holding {
    /// Whether it is so at a time.
    pub fn holds_at(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }
}

/// All of them, by code and time.
pub(super) fn holdings(mappings: &[MapCode]) -> Vec<Holding> {
    let mut by_code: BTreeMap<(CodeId, Option<&str>), Vec<&MapCode>> = BTreeMap::new();
    for map in mappings {
        let referral = map.referral_key.as_deref().filter(|_| map.code_id == CodeId(0));
        by_code.entry((map.code_id, referral)).or_default().push(map);
    }
    by_code.into_values().flat_map(|mappings| of_code(&mappings)).collect()
}

/// Of one code: per provider that a mapping names, and where none is named.
fn of_code(mappings: &[&MapCode]) -> Vec<Holding> {
    let lanes: BTreeSet<Option<Provider>> = mappings.iter().map(|map| map.provider).collect();
    let mut found: Vec<Holding> = Vec::new();
    // Everywhere comes first in their order; what a provider's lane says like it is not said twice.
    for lane in lanes {
        let counting: Vec<&MapCode> =
            mappings.iter().copied().filter(|map| map.provider.is_none() || map.provider == lane).collect();
        for holding in of_lane(&counting, lane) {
            let is_known = found.iter().any(|other| Holding { provider: lane, ..other.clone() } == holding);
            if !is_known {
                found.push(holding);
            }
        }
    }
    found.sort_by_key(|holding| (holding.from.is_some(), holding.from));
    found
}

fn of_lane(mappings: &[&MapCode], provider: Option<Provider>) -> Vec<Holding> {
    let ends = mappings.iter().flat_map(|map| [map.valid_from, map.valid_to]).flatten();
    let cuts: BTreeSet<Timestamp> = ends.collect();
    let beginnings = std::iter::once(None).chain(cuts.iter().copied().map(Some));
    let mut found: Vec<Holding> = Vec::new();
    for from in beginnings {
        let covers = |map: &&&MapCode| {
            let has_begun = map.valid_from.is_none_or(|begins| from.is_some_and(|from| begins <= from));
            let is_over = map.valid_to.is_some_and(|ends| from.is_some_and(|from| ends <= from));
            has_begun && !is_over
        };
        let Some(map) = mappings.iter().rev().find(covers) else { continue };
        let until = match from {
            None => cuts.first().copied(),
            Some(from) => cuts.range((std::ops::Bound::Excluded(from), std::ops::Bound::Unbounded)).next().copied(),
        };
        match found.last_mut() {
            Some(last) if last.until == from && last.until.is_some() && last.affiliate == map.affiliate => {
                last.until = until;
            }
            _ => found.push(Holding {
                code: map.code_id,
                text: text_of(mappings),
                provider,
                affiliate: map.affiliate,
                from,
                until,
            }),
        }
    }
    found
}

/// As the last mapping with a text wrote it.
fn text_of(mappings: &[&MapCode]) -> String {
    let last = |of: fn(&MapCode) -> Option<&String>| mappings.iter().rev().find_map(|map| of(map)).cloned();
    last(|map| map.code.as_ref())
        .or_else(|| last(|map| map.promotion_code_id.as_ref()))
        .or_else(|| last(|map| map.coupon_id.as_ref()))
        .or_else(|| last(|map| map.referral_key.as_ref()))
        .unwrap_or_default()
}
