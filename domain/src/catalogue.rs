//! What a connection's events and look-ups told about codes, coupons and discounts.
//!
//! An entry is a join of sightings: each member keeps the value of the earliest sighting, so
//! that arrival order decides nothing.

use crate::fact::Seen;
use crate::ids::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A value and the earliest sighting of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earliest<T> {
    /// The value.
    pub value: T,
    /// Who said it.
    pub seen: Seen,
}

/// Keeps the earlier sighting; of two at the same moment, the smaller event id.
fn keep_earliest<T: Clone + Ord>(known: &mut Option<Earliest<T>>, new: &Option<Earliest<T>>) {
    let Some(new) = new else { return };
    let replace = match known {
        None => true,
        Some(known) => (&new.seen, &new.value) < (&known.seen, &known.value),
    };
    if replace {
        *known = Some(new.clone());
    }
}

/// What a sighting changed of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// Nothing.
    Nothing,
    /// What is kept, and nothing that a story looks at.
    Noted,
    /// What a story could see.
    Seen,
}

/// One promotion code, coupon or discount.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CatalogueEntry {
    /// Code text (promotion codes; Paddle discounts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Earliest<String>>,
    /// Its coupon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<Earliest<String>>,
    /// Its promotion code (discounts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_code: Option<Earliest<String>>,
    /// Its start (discounts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Earliest<Timestamp>>,
    /// Promotion codes of a coupon.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub promotion_codes: BTreeSet<String>,
    /// Stood in the provider's own list of coupons: it is there, used or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listed: bool,
}

impl CatalogueEntry {
    /// Joins another sighting. Returns what that changed.
    pub fn join(&mut self, other: &CatalogueEntry) -> Joined {
        let before = self.clone();
        keep_earliest(&mut self.code, &other.code);
        keep_earliest(&mut self.coupon, &other.coupon);
        keep_earliest(&mut self.promotion_code, &other.promotion_code);
        keep_earliest(&mut self.start, &other.start);
        self.promotion_codes.extend(other.promotion_codes.iter().cloned());
        self.listed |= other.listed;
        if *self == before {
            Joined::Nothing
        } else if *self == (CatalogueEntry { listed: self.listed, ..before }) {
            Joined::Noted
        } else {
            Joined::Seen
        }
    }

    /// The code text.
    pub fn code(&self) -> Option<&str> {
        self.code.as_ref().map(|earliest| earliest.value.as_str())
    }

    /// The coupon id.
    pub fn coupon(&self) -> Option<&str> {
        self.coupon.as_ref().map(|earliest| earliest.value.as_str())
    }

    /// The promotion code id.
    pub fn promotion_code(&self) -> Option<&str> {
        self.promotion_code.as_ref().map(|earliest| earliest.value.as_str())
    }
}

/// One sighting: the key (`promo:ID`, `di:ID`, `coupon:ID`) and what was said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Which entry.
    pub key: String,
    /// What was said.
    pub entry: CatalogueEntry,
}

impl Sighting {
    /// Of a promotion code. A coupon learns its promotion codes from it: see [`Sighting::mirrored`].
    pub fn promotion_code(id: &str, code: Option<String>, coupon: Option<String>, seen: &Seen) -> Sighting {
        Sighting {
            key: format!("promo:{id}"),
            entry: CatalogueEntry { code: earliest(code, seen), coupon: earliest(coupon, seen), ..Default::default() },
        }
    }

    /// Of a discount.
    pub fn discount(
        id: &str,
        coupon: Option<String>,
        promotion_code: Option<String>,
        start: Option<Timestamp>,
        seen: &Seen,
    ) -> Sighting {
        Sighting {
            key: format!("di:{id}"),
            entry: CatalogueEntry {
                coupon: earliest(coupon, seen),
                promotion_code: earliest(promotion_code, seen),
                start: earliest(start, seen),
                ..Default::default()
            },
        }
    }

    /// Of a coupon or of another provider's discount, with the code text if it has one.
    pub fn coupon(id: &str, code: Option<String>, seen: &Seen) -> Sighting {
        Sighting {
            key: format!("coupon:{id}"),
            entry: CatalogueEntry { code: earliest(code, seen), ..Default::default() },
        }
    }

    /// Of a coupon in the provider's own list.
    pub fn listed_coupon(id: &str) -> Sighting {
        Sighting { key: format!("coupon:{id}"), entry: CatalogueEntry { listed: true, ..Default::default() } }
    }

    /// What a promotion code's sighting says about its coupon.
    pub fn mirrored(&self) -> Option<Sighting> {
        let promotion_code = self.key.strip_prefix("promo:")?;
        let coupon = self.entry.coupon()?;
        Some(Sighting {
            key: format!("coupon:{coupon}"),
            entry: CatalogueEntry {
                promotion_codes: BTreeSet::from([promotion_code.to_owned()]),
                ..Default::default()
            },
        })
    }
}

fn earliest<T>(value: Option<T>, seen: &Seen) -> Option<Earliest<T>> {
    value.map(|value| Earliest { value, seen: seen.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at: i64, event: &str) -> Seen {
        Seen { at: Timestamp(at), event: event.to_owned() }
    }

    #[test]
    fn the_earliest_sighting_wins_in_either_order() {
        let early = Sighting::promotion_code("p", Some("A".into()), None, &seen(1, "b")).entry;
        let late = Sighting::promotion_code("p", Some("B".into()), Some("C".into()), &seen(2, "a")).entry;
        let mut one = early.clone();
        assert_eq!(one.join(&late), Joined::Seen);
        let mut other = late.clone();
        assert_eq!(other.join(&early), Joined::Seen);
        assert_eq!(one, other);
        assert_eq!((one.code(), one.coupon()), (Some("A"), Some("C")));
        assert_eq!(one.clone().join(&late), Joined::Nothing, "joining again changes nothing");
        let listed = CatalogueEntry { listed: true, ..CatalogueEntry::default() };
        assert_eq!(one.clone().join(&listed), Joined::Noted, "no story looks at it");
        let both = CatalogueEntry { listed: true, ..late.clone() };
        assert_eq!(CatalogueEntry::default().join(&both), Joined::Seen);
    }
}
