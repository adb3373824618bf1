//! Affiliates, their codes and the commission rules: what is in force when, as pages show and change it.

pub mod import;
mod windows;
pub mod words;

pub use windows::Holding;

use domain::decision::{MapCode, RuleScope, SetPolicy, SetRule};
use domain::decisions::{default_rule, fold_code};
use domain::ids::{AffiliateId, CodeId, Timestamp};
use std::collections::{BTreeSet, HashMap};
use store::control::input::MapInput;
use store::control::input::Moment;
use store::control::{AffiliateInfo, CodeInfo, ControlResult, ControlStore, RuleInfo};
use store::scope::TenantScope;

/// Everything that people decided about who is paid and how much, of one vendor.
#[derive(Debug, Clone)]
pub struct Roster {
    /// By key.
    pub affiliates: Vec<AffiliateInfo>,
    /// By text.
    pub codes: Vec<CodeInfo>,
    /// In the order they were decided.
    pub mappings: Vec<MapCode>,
    /// By revision.
    pub rules: Vec<RuleInfo>,
    /// The one in force.
    pub policy: SetPolicy,
}

/// A rule and when it holds, before any later one of its scope.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSpan {
    /// The rule, who made it and when.
    pub info: RuleInfo,
    /// The next rule of the scope holds from then on; none is for ever.
    pub until: Option<Timestamp>,
}

impl RuleSpan {
    /// Since when it holds.
    pub fn from(&self) -> Timestamp {
        self.info.rule.effective_from
    }

    /// Whether it holds at a time.
    pub fn holds_at(&self, at: Timestamp) -> bool {
        self.from() <= at && self.until.is_none_or(|until| at < until)
    }

    /// Whether it will hold, but does not yet.
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        self.from() > now && self.until.is_none_or(|until| self.from() < until)
    }
}

impl Roster {
    /// Reads it.
    ///
    /// # Errors
    /// When the control store cannot be read, or the scope is that of one affiliate.
    pub async fn read(control: &dyn ControlStore, scope: &TenantScope) -> ControlResult<Roster> {
        Ok(Roster {
            affiliates: control.affiliates(scope).await?,
            codes: control.codes(scope).await?,
            mappings: control.mappings(scope).await?,
            rules: control.rules(scope).await?,
            policy: control.policy(scope).await?,
        })
    }

    /// The affiliate with this handle.
    pub fn by_key(&self, key: &str) -> Option<&AffiliateInfo> {
        self.affiliates.iter().find(|affiliate| affiliate.key == key)
    }

    /// The affiliate with this number.
    pub fn by_id(&self, id: AffiliateId) -> Option<&AffiliateInfo> {
        self.affiliates.iter().find(|affiliate| affiliate.id == id)
    }

    /// The code with this number.
    pub fn code(&self, id: CodeId) -> Option<&CodeInfo> {
        self.codes.iter().find(|code| code.id == id)
    }

    /// Who holds which code when.
    pub fn holdings(&self) -> Vec<Holding> {
        windows::holdings(&self.mappings)
    }

    /// The rules of a scope in the order in which they hold; those that never hold, because another one of the same
    /// beginning was decided after them, have no time between their beginning and end.
    pub fn spans(&self, scope: RuleScope) -> Vec<RuleSpan> {
        let mut rules: Vec<&RuleInfo> = self.rules.iter().filter(|info| info.rule.scope == scope).collect();
        rules.sort_by_key(|info| (info.rule.effective_from, info.rule.rev));
        let beginnings: Vec<Timestamp> = rules.iter().map(|info| info.rule.effective_from).collect();
        let spans = rules.into_iter().enumerate();
        spans.map(|(at, info)| RuleSpan { info: info.clone(), until: beginnings.get(at + 1).copied() }).collect()
    }

    /// The rule of this very scope that holds at a time, if it has a rate.
    pub fn own_rule(&self, scope: RuleScope, at: Timestamp) -> Option<SetRule> {
        let span = self.spans(scope).into_iter().rev().find(|span| span.holds_at(at))?;
        Some(span.info.rule).filter(|rule| rule.rate.is_some())
    }

    /// The rule that holds at a time for sales that no code brings to an affiliate; none for everybody's.
    pub fn rule_at(&self, affiliate: Option<AffiliateId>, at: Timestamp) -> SetRule {
        let own = affiliate.and_then(|id| self.own_rule(RuleScope::Affiliate(id), at));
        own.or_else(|| self.own_rule(RuleScope::Vendor, at)).unwrap_or_else(default_rule)
    }

    /// The scopes that have a rule, everybody's first.
    pub fn rule_scopes(&self) -> Vec<RuleScope> {
        let scopes: BTreeSet<RuleScope> = self.rules.iter().map(|info| info.rule.scope).collect();
        scopes.into_iter().collect()
    }

    /// The number of the code that has this text, promotion code id or coupon id; the last mapping that named it says.
    pub fn code_named(&self, name: &str) -> Option<CodeId> {
        let (name, folded) = (name.trim(), fold_code(name));
        let names_it = |map: &&MapCode| {
            map.code.as_deref().is_some_and(|code| fold_code(code) == folded)
                || map.promotion_code_id.as_deref() == Some(name)
        };
        let of_coupon = |map: &&MapCode| {
            map.code.is_none() && map.promotion_code_id.is_none() && map.coupon_id.as_deref() == Some(name)
        };
        let last = |is_it: &dyn Fn(&&MapCode) -> bool| self.mappings.iter().rev().find(is_it).map(|map| map.code_id);
        last(&names_it).or_else(|| last(&of_coupon)).filter(|id| *id != CodeId(0))
    }

    /// What gives a code to somebody from a time on: a mapping for each of the ways in which it is known. A provider may
    /// name the code by its id alone, so that a new owner of the text must become the owner of the ids too.
    pub fn give(&self, given: &GivenCode) -> Vec<MapInput> {
        let code = given.name().and_then(|name| self.code_named(name));
        let mut inputs = vec![given.input()];
        let ways = self.mappings.iter().filter(|map| code == Some(map.code_id));
        for map in ways {
            let way = MapInput {
                provider: map.provider,
                code: map.code.clone(),
                promotion_code_id: map.promotion_code_id.clone(),
                coupon_id: map.coupon_id.clone(),
                referral_key: map.referral_key.clone(),
                ..given.dates_and_owner()
            };
            if !inputs.contains(&way) {
                inputs.push(way);
            }
        }
        let more_than_text = inputs.iter().skip(1).any(|way| {
            way.provider.is_none()
                && way.code.as_deref().map(fold_code) == inputs[0].code.as_deref().map(fold_code)
                && (inputs[0].promotion_code_id.is_none() || way.promotion_code_id == inputs[0].promotion_code_id)
                && (inputs[0].coupon_id.is_none() || way.coupon_id == inputs[0].coupon_id)
        });
        if more_than_text {
            inputs.remove(0);
        }
        inputs
    }

    /// Affiliates by mail address, as it is compared.
    pub fn by_email(&self) -> HashMap<String, Vec<&AffiliateInfo>> {
        let mut found: HashMap<String, Vec<&AffiliateInfo>> = HashMap::new();
        for affiliate in &self.affiliates {
            if let Some(email) = &affiliate.email {
                found.entry(email.to_lowercase()).or_default().push(affiliate);
            }
        }
        found
    }
}

/// A code that is to belong to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GivenCode {
    /// As customers type it.
    pub code: Option<String>,
    /// Stripe's id of it.
    pub promotion_code_id: Option<String>,
    /// Stripe's coupon id, Paddle's or Lemon Squeezy's discount id.
    pub coupon_id: Option<String>,
    /// Handle; none for nobody.
    pub affiliate: Option<String>,
    /// For sales from then on; none is always.
    pub from: Option<Timestamp>,
}

impl GivenCode {
    /// What it is called: its text, else an id of the provider.
    pub fn name(&self) -> Option<&str> {
        self.code.as_deref().or(self.promotion_code_id.as_deref()).or(self.coupon_id.as_deref())
    }

    fn dates_and_owner(&self) -> MapInput {
        MapInput { affiliate: self.affiliate.clone(), valid_from: self.from.map(Moment), ..MapInput::default() }
    }

    fn input(&self) -> MapInput {
        MapInput {
            code: self.code.clone(),
            promotion_code_id: self.promotion_code_id.clone(),
            coupon_id: self.coupon_id.clone(),
            ..self.dates_and_owner()
        }
    }
}

/// A handle for somebody new: the name in small letters, with a number where that is taken.
pub fn new_handle(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    /// Leaves room for the number within the control store's limit.
    const LONGEST: usize = 80;
    let words = name.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-").to_lowercase();
    let mut base: String = joined.chars().take(LONGEST).collect();
    if base.is_empty() || RESERVED.contains(&base.as_str()) {
        base = format!("affiliate{}{base}", if base.is_empty() { "" } else { "-" });
    }
    if !is_taken(&base) {
        return base;
    }
    let numbers = 2_u32..;
    let mut numbered = numbers.map(|number| format!("{base}-{number}"));
    numbered.find(|handle| !is_taken(handle)).unwrap_or(base)
}

/// Handles whose page would have the address of another one.
pub const RESERVED: [&str; 2] = ["new", "import"];

#[cfg(test)]
mod tests;
