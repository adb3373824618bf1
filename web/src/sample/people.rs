//! Invented affiliates. Decisions change them in memory, as far as pages show them.

use super::SampleBackend;
use crate::backend::{BackendError, FieldError, FormError, SessionCookie};
use crate::people::People;
use api::ledger::{Difference, Preview, Previewed};
use api::people::Roster;
use async_trait::async_trait;
use domain::decision::{Base, Duration, MapCode, Rate, RuleScope, SetPolicy, SetRule};
use domain::ids::{AffiliateId, CodeId, Mode, Timestamp};
use domain::money::Currency;
use store::control::input::{AffiliateInput, DecisionInput, MapInput, RuleInput, ScopeInput};
use store::control::{AffiliateInfo, CodeInfo, RuleInfo};

/// The affiliates of every sample vendor that has some.
pub(super) fn rosters() -> Vec<(String, Roster)> {
    let mut roster = empty();
    for (name, key, code) in [("Maya Torres", "maya", "MAYA20"), ("Leo <b>Brandt</b>", "leo", "LEO15")] {
        let email = Some(format!("{key}@example.com"));
        let input = AffiliateInput { key: key.into(), name: Some(name.into()), email, ..AffiliateInput::default() };
        let affiliate = Some(key.to_owned());
        let map = MapInput { code: Some(code.into()), affiliate, ..MapInput::default() };
        set_affiliate(&mut roster, input);
        add_mapping(&mut roster, map);
    }
    vec![("demo".into(), roster.clone()), ("acme".into(), roster), ("fresh".into(), empty())]
}

fn empty() -> Roster {
    let policy = SetPolicy { time_zone: super::TIME_ZONE.into(), ..SetPolicy::default() };
    Roster { affiliates: Vec::new(), codes: Vec::new(), mappings: Vec::new(), rules: Vec::new(), policy }
}

fn set_affiliate(roster: &mut Roster, input: AffiliateInput) {
    let known = roster.affiliates.iter_mut().find(|one| one.key == input.key);
    let email = input.email.map(|email| email.to_lowercase());
    match known {
        Some(one) => {
            one.name = input.name.unwrap_or(one.name.clone());
            one.suspended = input.suspended.unwrap_or(one.suspended);
            one.email = email.map_or(one.email.clone(), |email| Some(email).filter(|email| !email.is_empty()));
        }
        None => roster.affiliates.push(AffiliateInfo {
            id: AffiliateId(roster.affiliates.len() as u64 + 1),
            name: input.name.unwrap_or(input.key.clone()),
            key: input.key,
            suspended: false,
            email,
        }),
    }
}

fn add_mapping(roster: &mut Roster, input: MapInput) {
    let text = input.code.clone().or(input.promotion_code_id.clone()).or(input.coupon_id.clone()).unwrap_or_default();
    let affiliate = input.affiliate.as_deref().and_then(|key| roster.by_key(key)).map(|one| one.id);
    let number = roster.code_named(&text).unwrap_or(CodeId(roster.codes.len() as u64 + 1));
    roster.codes.retain(|code| code.id != number);
    roster.codes.push(CodeInfo { id: number, text, affiliate });
    roster.mappings.push(MapCode {
        code_id: number,
        provider: input.provider,
        code: input.code,
        promotion_code_id: input.promotion_code_id,
        coupon_id: input.coupon_id,
        referral_key: input.referral_key,
        affiliate,
        valid_from: input.valid_from.map(|moment| moment.0),
        valid_to: input.valid_to.map(|moment| moment.0),
    });
}

fn add_rule(roster: &mut Roster, input: RuleInput, now: Timestamp) {
    let scope = match &input.scope {
        ScopeInput::Vendor => RuleScope::Vendor,
        ScopeInput::Affiliate(key) => RuleScope::Affiliate(roster.by_key(key).map(|one| one.id).unwrap_or_default()),
        ScopeInput::Code(name) => RuleScope::Code(roster.code_named(name).unwrap_or_default()),
    };
    let percent = input.percent_ppm.map(|ppm| Rate::Percent { ppm });
    let rule = SetRule {
        rev: roster.rules.len() as u32 + 1,
        scope,
        effective_from: input.effective_from.map_or(Timestamp(0), |moment| moment.0),
        rate: percent.or(input.flat.map(|amounts| Rate::Flat { amounts })),
        duration: input.duration.unwrap_or(Duration::Life),
        base: input.base.unwrap_or(Base::Net),
    };
    roster.rules.push(RuleInfo { rule, actor: "operator".into(), decided_at: now });
}

#[async_trait]
impl People for SampleBackend {
    async fn roster(&self, cookie: &SessionCookie, vendor: &str) -> Result<Roster, BackendError> {
        let state = self.check(cookie, vendor)?;
        let found = state.rosters.iter().find(|(slug, _)| slug == vendor);
        Ok(found.map_or_else(empty, |(_, roster)| roster.clone()))
    }

    /// One purchase of 5.00 USD commission with every code that somebody has.
    async fn preview(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        decisions: Vec<DecisionInput>,
    ) -> Result<Previewed, FormError> {
        let roster = self.roster(cookie, vendor).await?;
        let month = crate::times::day(self.now(), super::TIME_ZONE).first_of_month();
        let moved = decisions.iter().find_map(|decision| match decision {
            DecisionInput::Map(input) => {
                let code = roster.code(roster.code_named(input.code.as_deref()?)?)?;
                Some((code.affiliate?, input.affiliate.as_deref().and_then(|key| roster.by_key(key)).map(|one| one.id)))
            }
            _ => None,
        });
        let Some((from, to)) = moved.filter(|(from, to)| Some(*from) != *to) else {
            return Ok(Previewed::Known(Preview::default()));
        };
        let currency = Currency::parse("usd").expect("three letters");
        let difference =
            |affiliate, before, after| Difference { mode: Mode::Live, month, affiliate, currency, before, after };
        let differences = std::iter::once(difference(from, 500, 0)).chain(to.map(|to| difference(to, 0, 500)));
        Ok(Previewed::Known(Preview { purchases: 2, changed: 1, differences: differences.collect() }))
    }

    async fn decide(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        decisions: Vec<DecisionInput>,
    ) -> Result<(), FormError> {
        let now = self.now();
        let mut state = self.check(cookie, vendor)?;
        let found = state.rosters.iter_mut().find(|(slug, _)| slug == vendor);
        let Some((_, roster)) = found else { return Err(FormError::Backend(BackendError::NotFound)) };
        for (index, decision) in decisions.into_iter().enumerate() {
            let refused = |member: &str, message: &str| {
                let field = format!("decisions[{index}].{member}");
                Err(FormError::Fields(vec![FieldError { field, message: message.into() }]))
            };
            match decision {
                DecisionInput::Affiliate(input) if input.must_be_new && roster.by_key(&input.key).is_some() => {
                    return refused("key", "there is an affiliate of this handle already");
                }
                DecisionInput::Affiliate(input)
                    if input.email.as_ref().is_some_and(|email| !email.is_empty() && !email.contains('@')) =>
                {
                    return refused("email", "there is no @ in the address");
                }
                DecisionInput::Affiliate(input) => set_affiliate(roster, input),
                DecisionInput::Map(input) => add_mapping(roster, input),
                DecisionInput::Rule(input) => add_rule(roster, input, now),
                DecisionInput::Policy(input) => {
                    roster.policy.hold_days = input.hold_days.unwrap_or(roster.policy.hold_days);
                }
                _ => return refused("decide", "the sample knows nothing of it"),
            }
        }
        Ok(())
    }
}
