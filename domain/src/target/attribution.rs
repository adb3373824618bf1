//! Who brought a purchase. One affiliate per purchase, in the order of the payment rules:
//! promotion code, code text, bare coupon, referral key, the subscription's first sale.

use super::cluster::{Cluster, join_discounts};
use super::history::Histories;
use super::{Context, Question, StateError};
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

/// What finding it out touched.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub refs: BTreeSet<String>,
    pub questions: BTreeSet<Question>,
}

/// A discount with where its knowledge comes from.
#[derive(Debug, Clone)]
struct Known {
    discount: Discount,
    /// What must be asked to learn more.
    question: Option<Question>,
    /// The provider refused to say.
    refused: bool,
}

struct Finder<'a, 'b> {
    story: &'a Story,
    context: &'a Context<'b>,
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
    let mut finder = Finder { story, context, sold, own: Vec::new() };
    let mut results: Vec<(Attribution, Details)> = Vec::new();
    for (cluster, sale) in sold {
        let mut details = Details::default();
        let own = finder.own_discounts(cluster, sale, &mut details)?;
        finder.own.push(own);
        results.push((Attribution::nobody(), details));
    }
    for index in 0..sold.len() {
        let group = sold[index].1.subscription.as_ref().and_then(|subscription| histories.groups.get(subscription));
        let mut details = std::mem::take(&mut results[index].1);
        let mut found = finder.own_attribution(index, group, &mut details)?;
        if let Some(group) = group
            && found.affiliate.is_none()
            && found.how != How::Pending
        {
            let first = (group[0] != index).then(|| results[group[0]].0.clone());
            found = finder.remembered(index, group, found, first, &mut details)?;
        }
        results[index] = (found, details);
    }
    Ok(results)
}

impl<'a> Finder<'a, '_> {
    /// The sale's discounts, completed by remembered ones, by answers and by the catalogue.
    fn own_discounts(&self, cluster: &Cluster<'_>, sale: &Sale, details: &mut Details) -> Result<Vec<Known>, StateError> {
        let mut discounts = sale.discounts.clone();
        for hint in &cluster.hints {
            join_discounts(&mut discounts, &hint.discounts);
        }
        let answer = match &sale.discount_question {
            Some(request) => self.context.catalogue.answer(request)?,
            None => None,
        };
        if let Some(answer) = &answer {
            join_discounts(&mut discounts, &answer.discounts);
        }
        let refused = answer.as_ref().is_some_and(|answer| answer.refused.is_some());
        let ask = sale.discount_question.as_ref().filter(|_| answer.is_none()).map(|request| Question {
            request: request.clone(),
            about: "which code a purchase used",
        });
        let mut known = Vec::new();
        let named_before = discounts.iter().any(Discount::is_named);
        for discount in discounts {
            known.push(self.complete(discount, ask.clone(), refused, details)?);
        }
        // An invoice names a discount by its id only; a session that was remembered for the same
        // purchase names the code but not the id. One of each is one discount.
        merge_single_unnamed(&mut known);
        if sale.unnamed_discount && !named_before && known.iter().all(|one| !one.discount.is_named()) && answer.is_none_or(|answer| answer.refused.is_some()) {
            details.questions.extend(ask.clone());
            known.push(Known { discount: Discount::default(), question: ask, refused });
        }
        Ok(known)
    }

    fn complete(&self, discount: Discount, ask: Option<Question>, refused: bool, details: &mut Details) -> Result<Known, StateError> {
        let mut discount = discount;
        if let Some(id) = &discount.id {
            details.refs.insert(format!("di:{id}"));
            if let Some(entry) = self.context.catalogue.entry(&format!("di:{id}"))? {
                discount.coupon = discount.coupon.or_else(|| entry.coupon().map(str::to_owned));
                discount.promotion_code = discount.promotion_code.or_else(|| entry.promotion_code().map(str::to_owned));
                discount.start = discount.start.or(entry.start.map(|start| start.value));
            }
        }
        let mut question = None;
        let mut refused_code = false;
        if let Some(id) = discount.promotion_code.clone() {
            self.complete_code(&id, &mut discount, &mut question, &mut refused_code, details)?;
        } else if let Some(coupon) = discount.coupon.clone() {
            self.complete_coupon(&coupon, &mut discount, &mut question, details)?;
        }
        if !discount.is_named() {
            question = ask;
            refused_code = refused;
        }
        details.refs.extend(discount.coupon.iter().map(|id| format!("coupon:{id}")));
        details.refs.extend(discount.code.iter().map(|code| format!("code:{}", fold_code(code))));
        details.questions.extend(question.clone());
        Ok(Known { discount, question, refused: refused_code })
    }

    fn complete_code(
        &self,
        id: &str,
        discount: &mut Discount,
        question: &mut Option<Question>,
        refused: &mut bool,
        details: &mut Details,
    ) -> Result<(), StateError> {
        let key = format!("promo:{id}");
        if let Some(entry) = self.context.catalogue.entry(&key)? {
            discount.code = discount.code.take().or_else(|| entry.code().map(str::to_owned));
            discount.coupon = discount.coupon.take().or_else(|| entry.coupon().map(str::to_owned));
        }
        let mapping = self.context.decisions.mapping_named(&key, self.story.provider);
        if let Some(mapping) = mapping {
            discount.code = discount.code.take().or_else(|| mapping.code.clone());
            discount.coupon = discount.coupon.take().or_else(|| mapping.coupon_id.clone());
        }
        if discount.code.is_none() && mapping.is_none() {
            let request = format!("GET /v1/promotion_codes/{id}");
            match self.context.catalogue.answer(&request)? {
                None => *question = Some(Question { request, about: "the text of a code" }),
                Some(answer) => *refused = answer.refused.is_some(),
            }
        }
        details.refs.insert(key);
        Ok(())
    }

    /// A discount of Paddle or Lemon Squeezy may have a code text; a Stripe coupon has none.
    fn complete_coupon(&self, id: &str, discount: &mut Discount, question: &mut Option<Question>, details: &mut Details) -> Result<(), StateError> {
        let key = format!("coupon:{id}");
        let entry = self.context.catalogue.entry(&key)?;
        if self.story.provider == Provider::Stripe {
            // A mapping of any of the coupon's codes may decide whose the bare coupon is.
            for code in entry.iter().flat_map(|entry| &entry.promotion_codes) {
                let text = self.context.catalogue.entry(&format!("promo:{code}"))?.and_then(|entry| entry.code().map(fold_code));
                details.refs.insert(format!("promo:{code}"));
                details.refs.extend(text.map(|text| format!("code:{text}")));
            }
            return Ok(());
        }
        if let Some(entry) = entry {
            discount.code = discount.code.take().or_else(|| entry.code().map(str::to_owned));
        }
        let mapping = self.context.decisions.mapping_named(&key, self.story.provider);
        if let Some(mapping) = mapping {
            discount.code = discount.code.take().or_else(|| mapping.code.clone());
        }
        if discount.code.is_none() && mapping.is_none() && self.story.provider == Provider::Paddle {
            let request = format!("GET /discounts/{id}");
            if self.context.catalogue.answer(&request)?.is_none() {
                *question = Some(Question { request, about: "the text of a code" });
            }
        }
        details.refs.insert(key);
        Ok(())
    }

    /// The time at which a discount's mapping is decided: the subscription's first sale that
    /// carries it, else this sale.
    fn mapping_time(&self, discount: &Discount, index: usize, group: Option<&Vec<usize>>) -> Timestamp {
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
        let by_discount = discount.coupon.as_ref().filter(|_| provider != Provider::Stripe).map(|id| format!("coupon:{id}"));
        for key in [by_id, by_discount, by_text].into_iter().flatten() {
            if let Some(found) = decisions.mapping_at(&key, provider, at) {
                return Ok(match found.decision.affiliate {
                    Some(affiliate) => Verdict::Mapped { affiliate, how: How::PromotionCode, code: found.decision.code_id, seq: found.seq },
                    None => Verdict::House,
                });
            }
        }
        if known.question.is_some() || known.refused {
            return Ok(Verdict::Unknown);
        }
        match &discount.coupon {
            Some(coupon) if discount.promotion_code.is_none() && discount.code.is_none() => self.judge_coupon(coupon, at),
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
                let code = self.context.catalogue.entry(&format!("promo:{id}"))?.and_then(|entry| entry.code().map(fold_code));
                let by_id = decisions.mapping_at(&format!("promo:{id}"), provider, at);
                found.extend(by_id.or_else(|| code.and_then(|code| decisions.mapping_at(&format!("code:{code}"), provider, at))));
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

    fn own_attribution(&self, index: usize, group: Option<&Vec<usize>>, details: &mut Details) -> Result<Attribution, StateError> {
        let mut candidates = Vec::new();
        for known in &self.own[index] {
            let verdict = self.judge(known, self.mapping_time(&known.discount, index, group))?;
            candidates.push(Candidate { discount: known.discount.clone(), verdict });
        }
        let open = self.own[index].iter().zip(&candidates).any(|(known, one)| one.verdict == Verdict::Unknown && known.question.is_some() && !known.refused);
        let mut found = choose(candidates);
        let unknown = found.candidates.iter().any(|candidate| candidate.verdict == Verdict::Unknown);
        if unknown {
            found.flags.insert("attribution_pending");
        }
        let (cluster, sale) = &self.sold[index];
        let mut referrals: Vec<&String> = sale.referral.iter().collect();
        referrals.extend(cluster.hints.iter().filter_map(|hint| hint.referral.as_ref()));
        let subscription = sale.subscription.as_ref().map(|id| Alias::new("sub", id));
        referrals.extend(self.hints_of(subscription.as_ref(), sale.occurred_at).filter_map(|hint| hint.referral.as_ref()));
        if open {
            // Never guess: the discount that is still unknown might be the one that decides.
            return Ok(pending(found));
        }
        self.apply_referral(&mut found, &referrals, index, group, details);
        if found.affiliate.is_none() && unknown {
            return Ok(pending(found));
        }
        Ok(found)
    }

    /// A referral credits what no code credits; one that disagrees with the code is flagged.
    fn apply_referral(&self, found: &mut Attribution, referrals: &[&String], index: usize, group: Option<&Vec<usize>>, details: &mut Details) {
        let at = group.map_or(self.sold[index].1.occurred_at, |group| self.sold[group[0]].1.occurred_at);
        for key in referrals {
            details.refs.insert(format!("ref:{key}"));
            let Some(mapping) = self.context.decisions.mapping_at(&format!("ref:{key}"), self.story.provider, at) else { continue };
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

    fn hints_of(&self, subscription: Option<&Alias>, until: Timestamp) -> impl Iterator<Item = &'a Hint> {
        let subscription = subscription.cloned();
        let story = self.story;
        story.facts.iter().filter_map(move |(body, _)| match body {
            FactBody::Hint(hint) => Some(hint)
                .filter(|hint| subscription.as_ref().is_some_and(|name| hint.of.contains(name)))
                .filter(|hint| hint.start.is_none_or(|start| start <= until)),
            _ => None,
        })
    }

    /// What the subscription remembers: for the first sale its discounts, for a later one the
    /// first sale's affiliate, else what was remembered since.
    fn remembered(
        &self,
        index: usize,
        group: &[usize],
        mut found: Attribution,
        first: Option<Attribution>,
        details: &mut Details,
    ) -> Result<Attribution, StateError> {
        let sale = &self.sold[index].1;
        if let Some(first) = &first
            && first.affiliate.is_some()
        {
            found.how = How::Subscription;
            found.affiliate = first.affiliate;
            found.rule_code = first.rule_code;
            found.mapping_seq = first.mapping_seq;
            return Ok(found);
        }
        if first.as_ref().is_some_and(|first| first.how == How::Pending) {
            found.flags.insert("attribution_pending");
            return Ok(pending(found));
        }
        let subscription = sale.subscription.as_ref().map(|id| Alias::new("sub", id));
        let mut discounts = Vec::new();
        for hint in self.hints_of(subscription.as_ref(), sale.occurred_at) {
            join_discounts(&mut discounts, &hint.discounts);
        }
        let mut candidates = Vec::new();
        for discount in discounts {
            let known = self.complete(discount, None, false, details)?;
            let start = known.discount.start;
            if start.is_some_and(|start| start > sale.occurred_at) {
                continue;
            }
            let since = group.iter().map(|other| self.sold[*other].1.occurred_at).filter(|at| start.is_none_or(|start| start <= *at)).min();
            let verdict = self.judge(&known, since.unwrap_or(sale.occurred_at))?;
            candidates.push(Candidate { discount: known.discount, verdict });
        }
        let chosen = choose(candidates);
        if chosen.affiliate.is_none() {
            return Ok(found);
        }
        let mut flags = found.flags;
        flags.extend(chosen.flags.iter().copied());
        let is_first = first.is_none();
        Ok(Attribution {
            how: if is_first { chosen.how } else { How::Subscription },
            shown: if is_first { chosen.shown } else { found.shown },
            code: if is_first { chosen.code } else { CodeId(0) },
            by_code: is_first,
            flags,
            referral: found.referral,
            affiliate: chosen.affiliate,
            rule_code: chosen.rule_code,
            mapping_seq: chosen.mapping_seq,
            candidates: chosen.candidates,
        })
    }
}

/// One discount known by its id only and one known by its code only are the same discount.
fn merge_single_unnamed(known: &mut Vec<Known>) {
    let unnamed: Vec<usize> = (0..known.len()).filter(|index| !known[*index].discount.is_named()).collect();
    let without_id: Vec<usize> = (0..known.len()).filter(|index| known[*index].discount.is_named() && known[*index].discount.id.is_none()).collect();
    if let ([unnamed], [named]) = (unnamed.as_slice(), without_id.as_slice()) {
        let id_only = known[*unnamed].discount.clone();
        known[*named].discount = known[*named].discount.clone().or(&id_only);
        known.remove(*unnamed);
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
        (how, -candidate.discount.amount.unwrap_or(0), index)
    };
    let best = candidates.iter().enumerate().min_by_key(|(index, candidate)| rank(*index, candidate)).map(|(_, candidate)| candidate.clone());
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
