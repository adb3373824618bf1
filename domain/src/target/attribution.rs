//! Who brought a purchase. One affiliate per purchase, in the order of the payment rules:
//! promotion code, code text, bare coupon, referral key, the subscription's first sale.

use super::cluster::{Cluster, join_discounts};
use super::discounts::{Details, Known, Shelf};
use super::history::Histories;
use super::{Context, StateError, StoryTarget};
use crate::decisions::fold_code;
use crate::fact::*;
use crate::ids::*;
use crate::story::Story;
use std::collections::BTreeSet;

/// Through what a purchase is credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// A code.
    PromotionCode,
    /// A bare coupon that belongs to exactly one affiliate.
    Coupon,
    /// A referral key.
    Link,
    /// The subscription's first sale.
    Subscription,
    /// Nobody.
    None,
    /// The provider still has to say which discount it is.
    Pending,
}

impl How {
    /// The word used in the API; none while it is undecided.
    pub fn name(self) -> Option<&'static str> {
        match self {
            How::PromotionCode => Some("promotion_code"),
            How::Coupon => Some("coupon"),
            How::Link => Some("link"),
            How::Subscription => Some("subscription"),
            How::None => Some("none"),
            How::Pending => None,
        }
    }
}

/// What was found about one discount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is an affiliate's.
    Mapped {
        /// Whose.
        affiliate: AffiliateId,
        /// Through what.
        how: How,
        /// Number of the code.
        code: CodeId,
        /// The mapping decision's sequence.
        seq: u64,
    },
    /// The house's: mapped to nobody, or not mapped.
    House,
    /// Several affiliates share the coupon.
    Ambiguous,
    /// Not known yet which code it is.
    Unknown,
}

/// One discount that was considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// As far as it is known.
    pub discount: Discount,
    /// What was found.
    pub verdict: Verdict,
}

/// Who brought a purchase, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    /// Through what.
    pub how: How,
    /// Whose.
    pub affiliate: Option<AffiliateId>,
    /// Number of the code that is shown; 0 = none.
    pub code: CodeId,
    /// Number of the code whose rule applies: the first sale's for later payments.
    pub rule_code: CodeId,
    /// The discount that is shown: the chosen one, else the first house discount.
    pub shown: Option<Discount>,
    /// The mapping decision that held.
    pub mapping_seq: Option<u64>,
    /// Referral key that was seen.
    pub referral: Option<String>,
    /// By a code or coupon of this very sale (or remembered for a first sale).
    pub by_code: bool,
    /// Everything that was considered, in order.
    pub candidates: Vec<Candidate>,
    /// For people.
    pub flags: BTreeSet<&'static str>,
}

impl Attribution {
    fn nobody() -> Attribution {
        Attribution {
            how: How::None,
            affiliate: None,
            code: CodeId(0),
            rule_code: CodeId(0),
            shown: None,
            mapping_seq: None,
            referral: None,
            by_code: false,
            candidates: Vec::new(),
            flags: BTreeSet::new(),
        }
    }
}

struct Finder<'a, 'b> {
    story: &'a Story,
    context: &'a Context<'b>,
    shelf: Shelf<'a, 'b>,
    sold: &'a [(Cluster<'a>, Sale)],
    own: Vec<Vec<Known>>,
}

/// Attributes every sale, in historical order.
pub(super) fn attribute(
    story: &Story,
    sold: &[(Cluster<'_>, Sale)],
    histories: &Histories,
    context: &Context<'_>,
) -> Result<Vec<(Attribution, Details)>, StateError> {
    let shelf = Shelf { provider: story.provider, context };
    let mut finder = Finder { story, context, shelf, sold, own: Vec::new() };
    let group_of = |index: usize| {
        sold[index]
            .1
            .subscription
            .as_ref()
            .and_then(|subscription| histories.groups.get(subscription))
            .map(Vec::as_slice)
    };
    let mut results: Vec<(Attribution, Details)> = Vec::new();
    for (index, (cluster, sale)) in sold.iter().enumerate() {
        let mut details = Details::default();
        // What a subscription was begun with speaks for its first sale.
        let is_first = group_of(index).is_some_and(|group| group[0] == index);
        let remembered = if is_first { finder.remembered_discounts(sale) } else { Vec::new() };
        let own = finder.shelf.own(cluster, sale, &remembered, &mut details)?;
        finder.own.push(own);
        results.push((Attribution::nobody(), details));
    }
    for index in 0..sold.len() {
        let mut details = std::mem::take(&mut results[index].1);
        let mut found = finder.own_attribution(index, group_of(index), &mut details)?;
        if let Some(group) = group_of(index)
            && group[0] != index
            && found.affiliate.is_none()
            && found.how != How::Pending
        {
            found = finder.later_payment(index, group, found, &results[group[0]].0, &mut details)?;
        }
        results[index] = (found, details);
    }
    Ok(results)
}

/// Asks for the texts of codes that are remembered for sales still to come, so that whose they
/// are is known by then.
pub(super) fn learn_remembered(
    story: &Story,
    context: &Context<'_>,
    target: &mut StoryTarget,
) -> Result<(), StateError> {
    let shelf = Shelf { provider: story.provider, context };
    let mut details = Details::default();
    for (body, _) in story.facts.iter() {
        let FactBody::Hint(hint) = body else { continue };
        for discount in &hint.discounts {
            shelf.remembered(discount.clone(), &mut details)?;
        }
    }
    target.refs.extend(details.refs);
    target.questions.extend(details.questions);
    Ok(())
}

impl<'a> Finder<'a, '_> {
    /// The time at which a discount's mapping is decided: the subscription's first sale that
    /// carries it, else this sale.
    fn mapping_time(&self, discount: &Discount, index: usize, group: Option<&[usize]>) -> Timestamp {
        let own = self.sold[index].1.occurred_at;
        let Some(group) = group else { return own };
        group
            .iter()
            .filter(|other| self.own[**other].iter().any(|known| known.discount.same_as(discount)))
            .map(|other| self.sold[*other].1.occurred_at)
            .min()
            .unwrap_or(own)
    }

    fn judge(&self, known: &Known, at: Timestamp) -> Result<Verdict, StateError> {
        let discount = &known.discount;
        let provider = self.story.provider;
        let decisions = self.context.decisions;
        let by_id = discount.promotion_code.as_ref().map(|id| format!("promo:{id}"));
        let by_text = discount.code.as_ref().map(|code| format!("code:{}", fold_code(code)));
        let by_discount =
            discount.coupon.as_ref().filter(|_| provider != Provider::Stripe).map(|id| format!("coupon:{id}"));
        for key in [by_id, by_discount, by_text].into_iter().flatten() {
            if let Some(found) = decisions.mapping_at(&key, provider, at) {
                // A discount that the seller applied has no code to come by.
                let has_code = discount.promotion_code.is_some() || discount.code.is_some();
                let how = if has_code { How::PromotionCode } else { How::Coupon };
                return Ok(match found.decision.affiliate {
                    Some(affiliate) => Verdict::Mapped { affiliate, how, code: found.decision.code_id, seq: found.seq },
                    None => Verdict::House,
                });
            }
        }
        if known.question.is_some() || known.refused {
            return Ok(Verdict::Unknown);
        }
        match &discount.coupon {
            Some(coupon) if discount.promotion_code.is_none() && discount.code.is_none() => {
                self.judge_coupon(coupon, at)
            }
            _ => Ok(Verdict::House),
        }
    }

    /// A bare coupon belongs to somebody only if it belongs to exactly one.
    fn judge_coupon(&self, coupon: &str, at: Timestamp) -> Result<Verdict, StateError> {
        let provider = self.story.provider;
        let decisions = self.context.decisions;
        let mut found = decisions.coupon_mappings_at(coupon, provider, at);
        if let Some(entry) = self.context.catalogue.entry(&format!("coupon:{coupon}"))? {
            for id in &entry.promotion_codes {
                let code =
                    self.context.catalogue.entry(&format!("promo:{id}"))?.and_then(|entry| entry.code().map(fold_code));
                let by_id = decisions.mapping_at(&format!("promo:{id}"), provider, at);
                found.extend(
                    by_id.or_else(|| code.and_then(|code| decisions.mapping_at(&format!("code:{code}"), provider, at))),
                );
            }
        }
        let owners: BTreeSet<AffiliateId> = found.iter().filter_map(|numbered| numbered.decision.affiliate).collect();
        let first = found.iter().find(|numbered| numbered.decision.affiliate.is_some());
        Ok(match (owners.len(), first) {
            (1, Some(numbered)) => Verdict::Mapped {
                affiliate: numbered.decision.affiliate.unwrap_or_default(),
                how: How::Coupon,
                code: numbered.decision.code_id,
                seq: numbered.seq,
            },
            (0, _) => Verdict::House,
            _ => Verdict::Ambiguous,
        })
    }

    fn own_attribution(
        &self,
        index: usize,
        group: Option<&[usize]>,
        details: &mut Details,
    ) -> Result<Attribution, StateError> {
        let mut candidates = Vec::new();
        for known in &self.own[index] {
            let verdict = self.judge(known, self.mapping_time(&known.discount, index, group))?;
            candidates.push(Candidate { discount: known.discount.clone(), verdict });
        }
        let open = self.own[index]
            .iter()
            .zip(&candidates)
            .any(|(known, one)| one.verdict == Verdict::Unknown && known.question.is_some() && !known.refused);
        let mut found = choose(candidates);
        let unknown = found.candidates.iter().any(|candidate| candidate.verdict == Verdict::Unknown);
        if unknown {
            found.flags.insert("attribution_pending");
        }
        if open || (unknown && found.affiliate.is_none()) {
            // Never guess: the discount that is still unknown might be the one that decides, and
            // a code comes before a link.
            return Ok(pending(found));
        }
        let (cluster, sale) = &self.sold[index];
        let mut referrals: Vec<&String> = sale.referral.iter().collect();
        referrals.extend(cluster.hints.iter().filter_map(|hint| hint.referral.as_ref()));
        // A later payment follows the first sale before the link that the subscription began with.
        if group.is_none_or(|group| group[0] == index) {
            referrals.extend(self.hints_for(sale).filter_map(|hint| hint.referral.as_ref()));
        }
        self.apply_referral(&mut found, &referrals, index, group, details);
        Ok(found)
    }

    /// A referral credits what no code credits; one that disagrees with the code is flagged.
    fn apply_referral(
        &self,
        found: &mut Attribution,
        referrals: &[&String],
        index: usize,
        group: Option<&[usize]>,
        details: &mut Details,
    ) {
        let at = group.map_or(self.sold[index].1.occurred_at, |group| self.sold[group[0]].1.occurred_at);
        for key in referrals {
            details.refs.insert(format!("ref:{key}"));
            let Some(mapping) = self.context.decisions.mapping_at(&format!("ref:{key}"), self.story.provider, at)
            else {
                continue;
            };
            let Some(affiliate) = mapping.decision.affiliate else { continue };
            found.referral.get_or_insert_with(|| (*key).clone());
            match found.affiliate {
                None => {
                    found.affiliate = Some(affiliate);
                    found.how = How::Link;
                    found.mapping_seq = Some(mapping.seq);
                }
                Some(credited) if credited != affiliate && matches!(found.how, How::PromotionCode | How::Coupon) => {
                    found.flags.insert("link_and_code_disagree");
                }
                Some(_) => {}
            }
        }
    }

    /// What the sale's subscription remembers for it.
    fn hints_for(&self, sale: &Sale) -> impl Iterator<Item = &'a Hint> {
        let subscription = sale.subscription.as_ref().map(|id| Alias::new("sub", id));
        let (story, until) = (self.story, sale.occurred_at);
        story.facts.iter().filter_map(move |(body, _)| match body {
            FactBody::Hint(hint) => Some(hint)
                .filter(|hint| subscription.as_ref().is_some_and(|name| hint.of.contains(name)))
                .filter(|hint| hint.start.is_none_or(|start| start <= until)),
            _ => None,
        })
    }

    fn remembered_discounts(&self, sale: &Sale) -> Vec<Discount> {
        let mut discounts = Vec::new();
        for hint in self.hints_for(sale) {
            join_discounts(&mut discounts, &hint.discounts);
        }
        discounts
    }

    /// A later payment is the first sale's affiliate's, else whose the subscription remembers.
    fn later_payment(
        &self,
        index: usize,
        group: &[usize],
        mut found: Attribution,
        first: &Attribution,
        details: &mut Details,
    ) -> Result<Attribution, StateError> {
        if first.how == How::Pending {
            found.flags.insert("attribution_pending");
            return Ok(pending(found));
        }
        if first.affiliate.is_some() {
            found.how = How::Subscription;
            found.affiliate = first.affiliate;
            found.rule_code = first.rule_code;
            found.mapping_seq = first.mapping_seq;
            return Ok(found);
        }
        let chosen = self.remembered_code(&self.sold[index].1, group, details)?;
        if chosen.candidates.iter().any(|candidate| candidate.verdict == Verdict::Unknown) {
            found.flags.insert("attribution_pending");
            return Ok(pending(found));
        }
        if chosen.affiliate.is_some() {
            found.how = How::Subscription;
            found.affiliate = chosen.affiliate;
            found.rule_code = chosen.rule_code;
            found.mapping_seq = chosen.mapping_seq;
            found.flags.extend(chosen.flags);
            found.candidates = chosen.candidates;
            return Ok(found);
        }
        let referrals: Vec<&String> =
            self.hints_for(&self.sold[index].1).filter_map(|hint| hint.referral.as_ref()).collect();
        self.apply_referral(&mut found, &referrals, index, Some(group), details);
        if found.affiliate.is_some() {
            found.how = How::Subscription;
        }
        Ok(found)
    }

    /// What the discounts say that the subscription remembers, none of which counts before its start.
    fn remembered_code(&self, sale: &Sale, group: &[usize], details: &mut Details) -> Result<Attribution, StateError> {
        let mut candidates = Vec::new();
        for discount in self.remembered_discounts(sale) {
            let known = self.shelf.remembered(discount, details)?;
            let start = known.discount.start;
            if start.is_some_and(|start| start > sale.occurred_at) {
                continue;
            }
            let since = group
                .iter()
                .map(|other| self.sold[*other].1.occurred_at)
                .filter(|at| start.is_none_or(|start| start <= *at))
                .min();
            let verdict = self.judge(&known, since.unwrap_or(sale.occurred_at))?;
            candidates.push(Candidate { discount: known.discount, verdict });
        }
        Ok(choose(candidates))
    }
}

fn pending(mut found: Attribution) -> Attribution {
    found.how = How::Pending;
    found.affiliate = None;
    found.code = CodeId(0);
    found.rule_code = CodeId(0);
    found.by_code = false;
    found.mapping_seq = None;
    found
}

/// Promotion code before bare coupon, then the larger discount, then payload order. House
/// discounts do not compete.
fn choose(candidates: Vec<Candidate>) -> Attribution {
    let mut found = Attribution::nobody();
    let rank = |index: usize, candidate: &Candidate| {
        let how = match candidate.verdict {
            Verdict::Mapped { how: How::PromotionCode, .. } => 0,
            Verdict::Mapped { .. } => 1,
            _ => 2 + u8::from(candidate.discount.promotion_code.is_none()),
        };
        (how, std::cmp::Reverse(candidate.discount.amount.unwrap_or(0)), index)
    };
    let best = candidates
        .iter()
        .enumerate()
        .min_by_key(|(index, candidate)| rank(*index, candidate))
        .map(|(_, candidate)| candidate.clone());
    let owners: BTreeSet<AffiliateId> = candidates
        .iter()
        .filter_map(|candidate| match candidate.verdict {
            Verdict::Mapped { affiliate, .. } => Some(affiliate),
            _ => None,
        })
        .collect();
    if owners.len() > 1 {
        found.flags.insert("multi_affiliate");
    }
    if owners.is_empty() && candidates.iter().any(|candidate| candidate.verdict == Verdict::Ambiguous) {
        found.flags.insert("ambiguous_coupon");
    }
    if let Some(best) = best {
        if let Verdict::Mapped { affiliate, how, code, seq } = best.verdict {
            found.affiliate = Some(affiliate);
            found.how = how;
            found.code = code;
            found.rule_code = code;
            found.mapping_seq = Some(seq);
            found.by_code = true;
        }
        found.shown = Some(best.discount);
    }
    found.candidates = candidates;
    found
}
