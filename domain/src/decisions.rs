//! The decisions of one vendor that are in force, and how they are looked up by time.

use crate::decision::*;
use crate::ids::{AffiliateId, ConnectionId, Provider, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use unicode_normalization::UnicodeNormalization;

/// A code text as it is compared: trimmed, NFC, case-folded.
pub fn fold_code(text: &str) -> String {
    text.trim().nfc().collect::<String>().to_lowercase().nfc().collect()
}

/// A decision and its place in the vendor's own order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbered<T> {
    /// The vendor's own count.
    pub seq: u64,
    /// The decision.
    pub decision: T,
}

/// All decisions of a vendor that the fold has passed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VendorDecisions {
    /// The last sequence number that was applied.
    pub last_seq: u64,
    /// By number.
    pub affiliates: BTreeMap<AffiliateId, SetAffiliate>,
    /// In the vendor's order.
    pub mappings: Vec<Numbered<MapCode>>,
    /// In the vendor's order.
    pub rules: Vec<Numbered<SetRule>>,
    /// The last one holds.
    pub policy: Option<SetPolicy>,
    /// By number.
    pub connections: BTreeMap<ConnectionId, SetConnection>,
    /// In the vendor's order.
    pub campaigns: Vec<Campaign>,
    /// Closed statements, in order.
    pub statements: Vec<CloseStatement>,
    /// The vendor is forgotten: nothing is folded any more.
    pub dropped: bool,
    /// Mapping key to places in `mappings`, in order. Built as decisions are applied.
    index: HashMap<String, Vec<usize>>,
}

/// The keys under which a mapping is found.
pub fn mapping_keys(mapping: &MapCode) -> Vec<String> {
    let mut keys = Vec::new();
    keys.extend(mapping.promotion_code_id.iter().map(|id| format!("promo:{id}")));
    keys.extend(mapping.code.iter().map(|code| format!("code:{}", fold_code(code))));
    keys.extend(mapping.coupon_id.iter().map(|id| format!("coupon:{id}")));
    keys.extend(mapping.referral_key.iter().map(|key| format!("ref:{key}")));
    keys
}

fn holds(mapping: &MapCode, any_provider: bool, provider: Provider, at: Timestamp) -> bool {
    (any_provider || mapping.provider.is_none_or(|only| only == provider))
        && mapping.valid_from.is_none_or(|from| from <= at)
        && mapping.valid_to.is_none_or(|to| at < to)
}

impl VendorDecisions {
    /// Takes a decision in. Returns the index keys of stories it may change; `None` means all
    /// of the vendor's stories.
    pub fn apply(&mut self, seq: u64, decision: &Decision) -> Option<Vec<String>> {
        self.last_seq = seq;
        match decision {
            Decision::SetAffiliate(set) => {
                self.affiliates.insert(set.affiliate, set.clone());
                Some(Vec::new())
            }
            Decision::MapCode(map) => {
                let keys = mapping_keys(map);
                for key in &keys {
                    self.index.entry(key.clone()).or_default().push(self.mappings.len());
                }
                self.mappings.push(Numbered { seq, decision: map.clone() });
                Some(keys)
            }
            Decision::SetRule(rule) => {
                self.rules.push(Numbered { seq, decision: rule.clone() });
                match rule.scope {
                    RuleScope::Vendor => None,
                    RuleScope::Affiliate(id) => Some(vec![format!("aff:{id}")]),
                    RuleScope::Code(id) => Some(vec![format!("codeid:{id}")]),
                }
            }
            Decision::SetPolicy(policy) => {
                self.policy = Some(policy.clone());
                Some(Vec::new())
            }
            Decision::SetConnection(set) => {
                let changed = self.connections.insert(set.connection, set.clone()).is_none_or(|old| {
                    (old.history_from, old.can_look_up, &old.account)
                        != (set.history_from, set.can_look_up, &set.account)
                });
                Some(if changed { vec![format!("conn:{}", set.connection)] } else { Vec::new() })
            }
            Decision::Campaign(campaign) => {
                self.campaigns.push(campaign.clone());
                Some(Vec::new())
            }
            Decision::CloseStatement(close) => {
                self.statements.push(close.clone());
                Some(Vec::new())
            }
            Decision::DropVendor => {
                self.dropped = true;
                Some(Vec::new())
            }
            Decision::Review(_) | Decision::Adjust(_) | Decision::Retry(_) | Decision::Waive(_) => Some(Vec::new()),
        }
    }

    /// The decisions in force after these, in their own order.
    pub fn replay(decisions: impl IntoIterator<Item = (u64, Decision)>) -> VendorDecisions {
        let mut in_force = VendorDecisions::default();
        for (seq, decision) in decisions {
            in_force.apply(seq, &decision);
        }
        in_force
    }

    /// The mappings of a key, the last decided one first.
    fn mappings_of(&self, key: &str) -> impl Iterator<Item = &Numbered<MapCode>> {
        let places = self.index.get(key).map_or(&[][..], Vec::as_slice);
        places.iter().rev().map(|place| &self.mappings[*place])
    }

    /// The mapping of a key that holds at a time: the last decided one whose window has it.
    pub fn mapping_at(&self, key: &str, provider: Provider, at: Timestamp) -> Option<&Numbered<MapCode>> {
        // A link is the vendor's own: which provider was paid through does not matter.
        let any_provider = key.starts_with("ref:");
        self.mappings_of(key).find(|numbered| holds(&numbered.decision, any_provider, provider, at))
    }

    /// Any mapping of a key, whenever it holds: it still names code and coupon.
    pub fn mapping_named(&self, key: &str, provider: Provider) -> Option<&MapCode> {
        self.mappings_of(key)
            .map(|numbered| &numbered.decision)
            .find(|mapping| mapping.provider.is_none_or(|only| only == provider))
    }

    /// The mappings through which a bare coupon may belong to somebody at a time: per promotion
    /// code or code text that is mapped with the coupon the mapping of that code which holds (a
    /// later one need not name the coupon again), and the last one of the coupon alone.
    pub fn coupon_mappings_at(&self, coupon: &str, provider: Provider, at: Timestamp) -> Vec<&Numbered<MapCode>> {
        let mut identities = BTreeSet::new();
        self.mappings_of(&format!("coupon:{coupon}"))
            .filter(|numbered| holds(&numbered.decision, false, provider, at))
            .filter_map(|numbered| {
                let mapping = &numbered.decision;
                let by_id = mapping.promotion_code_id.as_ref().map(|id| format!("promo:{id}"));
                let code = by_id.or_else(|| mapping.code.as_deref().map(|code| format!("code:{}", fold_code(code))));
                let current = code.as_deref().map_or(Some(numbered), |key| self.mapping_at(key, provider, at));
                identities.insert(code).then_some(current).flatten()
            })
            .collect()
    }

    /// The rule for a sale: the narrowest scope with a rate in force at the sale's own time.
    pub fn rule_at(&self, affiliate: AffiliateId, code: crate::ids::CodeId, at: Timestamp) -> SetRule {
        [RuleScope::Code(code), RuleScope::Affiliate(affiliate), RuleScope::Vendor]
            .into_iter()
            .filter(|scope| *scope != RuleScope::Code(crate::ids::CodeId(0)))
            .find_map(|scope| self.scoped_rule_at(scope, at).filter(|rule| rule.rate.is_some()))
            .cloned()
            .unwrap_or_else(default_rule)
    }

    fn scoped_rule_at(&self, scope: RuleScope, at: Timestamp) -> Option<&SetRule> {
        self.rules
            .iter()
            .map(|numbered| &numbered.decision)
            .filter(|rule| rule.scope == scope && rule.effective_from <= at)
            .max_by_key(|rule| (rule.effective_from, rule.rev))
    }

    /// The policy in force.
    pub fn policy(&self) -> SetPolicy {
        self.policy.clone().unwrap_or_default()
    }
}

/// 20 % of net, for life: what a vendor without a rule pays.
pub fn default_rule() -> SetRule {
    SetRule {
        rev: 0,
        scope: RuleScope::Vendor,
        effective_from: Timestamp(i64::MIN),
        rate: Some(Rate::Percent { ppm: 200_000 }),
        duration: Duration::Life,
        base: Base::Net,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(code: &str, affiliate: u64, from: Option<i64>) -> Decision {
        Decision::MapCode(MapCode {
            code_id: Default::default(),
            provider: None,
            code: Some(code.to_owned()),
            promotion_code_id: None,
            coupon_id: None,
            referral_key: None,
            affiliate: Some(AffiliateId(affiliate)),
            valid_from: from.map(Timestamp),
            valid_to: None,
        })
    }

    #[test]
    fn the_last_decision_whose_window_has_the_time_holds() {
        let mut decisions = VendorDecisions::default();
        decisions.apply(1, &map("Anna ", 1, None));
        decisions.apply(2, &map("ANNA", 2, Some(100)));
        let owner = |at| {
            decisions
                .mapping_at("code:anna", Provider::Stripe, Timestamp(at))
                .and_then(|found| found.decision.affiliate)
        };
        assert_eq!(owner(99), Some(AffiliateId(1)));
        assert_eq!(owner(100), Some(AffiliateId(2)));
    }

    #[test]
    fn the_narrowest_scope_decides_and_a_taken_away_rule_falls_through() {
        let rule = |rev, scope, from, rate| {
            Decision::SetRule(SetRule {
                rev,
                scope,
                effective_from: Timestamp(from),
                rate,
                duration: Duration::Life,
                base: Base::Net,
            })
        };
        let percent = |ppm| Some(Rate::Percent { ppm });
        let mut decisions = VendorDecisions::default();
        assert_eq!(decisions.rule_at(AffiliateId(1), Default::default(), Timestamp(0)).rev, 0);
        decisions.apply(1, &rule(1, RuleScope::Vendor, 0, percent(100)));
        decisions.apply(2, &rule(2, RuleScope::Affiliate(AffiliateId(1)), 10, percent(200)));
        decisions.apply(3, &rule(3, RuleScope::Affiliate(AffiliateId(1)), 20, None));
        let rev = |at| decisions.rule_at(AffiliateId(1), Default::default(), Timestamp(at)).rev;
        assert_eq!((rev(5), rev(15), rev(25)), (1, 2, 1));
    }
}
