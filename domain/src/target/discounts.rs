//! What is known about the discounts of a sale: what its events name, completed by what was
//! remembered, by the provider's answers and by the catalogue.

use super::cluster::{Cluster, join_discounts};
use super::{Context, Question, StateError};
use crate::decisions::fold_code;
use crate::fact::*;
use crate::ids::Provider;
use std::collections::BTreeSet;

/// What finding out who brought a purchase touched.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub refs: BTreeSet<String>,
    pub questions: BTreeSet<Question>,
}

/// A discount with where its knowledge comes from.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub discount: Discount,
    /// What must be asked before it can be said whose it is.
    pub question: Option<Question>,
    /// What would only make it complete.
    pub wish: Option<Question>,
    /// The provider refused to say.
    pub refused: bool,
}

/// How an object's unnamed discounts can be asked for.
#[derive(Debug, Clone, Default)]
struct Asking {
    question: Option<Question>,
    refused: bool,
}

/// Completes discounts.
pub(super) struct Shelf<'a, 'b> {
    pub provider: Provider,
    pub context: &'a Context<'b>,
}

impl Shelf<'_, '_> {
    /// A sale's own discounts. `remembered` are those of its subscription that speak for it.
    pub fn own(
        &self,
        cluster: &Cluster<'_>,
        sale: &Sale,
        remembered: &[Discount],
        details: &mut Details,
    ) -> Result<Vec<Known>, StateError> {
        let mut discounts = sale.discounts.clone();
        for hint in &cluster.hints {
            join_discounts(&mut discounts, &hint.discounts);
        }
        let answer = match &sale.discount_question {
            Some(request) => self.context.catalogue.answer(request)?,
            None => None,
        };
        let asking = Asking {
            refused: answer.as_ref().is_some_and(|answer| answer.refused.is_some()),
            question: sale
                .discount_question
                .as_ref()
                .filter(|_| answer.is_none())
                .map(|request| Question { request: request.clone(), about: "which code a purchase used" }),
        };
        if let Some(answer) = &answer {
            join_discounts(&mut discounts, &answer.discounts);
        }
        let (own, names_itself) = (discounts.len(), discounts.iter().any(Discount::is_named));
        join_discounts(&mut discounts, remembered);
        let mut known = Vec::new();
        for (index, discount) in discounts.into_iter().enumerate() {
            let one = self.complete(discount, &asking, &mut details.refs)?;
            let speaks_for_it =
                one.discount.is_named() && one.discount.start.is_none_or(|start| start <= sale.occurred_at);
            if index < own || speaks_for_it {
                known.push(one);
            }
        }
        merge_same(&mut known, &asking);
        let says_nothing = !names_itself && known.iter().all(|one| !one.discount.is_named());
        if sale.unnamed_discount && says_nothing && (answer.is_none() || asking.refused) {
            known.push(Known {
                discount: Discount::default(),
                question: asking.question,
                wish: None,
                refused: asking.refused,
            });
        }
        details.questions.extend(known.iter().flat_map(|one| [&one.question, &one.wish]).flatten().cloned());
        Ok(known)
    }

    /// A discount that a subscription or another object remembers.
    pub fn remembered(&self, discount: Discount, details: &mut Details) -> Result<Known, StateError> {
        let known = self.complete(discount, &Asking::default(), &mut details.refs)?;
        details.questions.extend([&known.question, &known.wish].into_iter().flatten().cloned());
        Ok(known)
    }

    fn complete(&self, discount: Discount, asking: &Asking, refs: &mut BTreeSet<String>) -> Result<Known, StateError> {
        let mut known = Known { discount, question: None, wish: None, refused: false };
        self.complete_id(&mut known.discount, refs)?;
        if let Some(id) = known.discount.promotion_code.clone() {
            self.complete_code(&id, &mut known, refs)?;
        } else if let Some(coupon) = known.discount.coupon.clone() {
            self.complete_coupon(&coupon, &mut known, refs)?;
        }
        if !known.discount.is_named() {
            known.question = asking.question.clone();
            known.refused = asking.refused;
        }
        refs.extend(known.discount.coupon.iter().map(|id| format!("coupon:{id}")));
        refs.extend(known.discount.code.iter().map(|code| format!("code:{}", fold_code(code))));
        Ok(known)
    }

    fn complete_id(&self, discount: &mut Discount, refs: &mut BTreeSet<String>) -> Result<(), StateError> {
        let Some(key) = discount.id.as_ref().map(|id| format!("di:{id}")) else { return Ok(()) };
        if let Some(entry) = self.context.catalogue.entry(&key)? {
            discount.coupon = discount.coupon.take().or_else(|| entry.coupon().map(str::to_owned));
            discount.promotion_code =
                discount.promotion_code.take().or_else(|| entry.promotion_code().map(str::to_owned));
            discount.start = discount.start.or(entry.start.map(|start| start.value));
        }
        refs.insert(key);
        Ok(())
    }

    fn complete_code(&self, id: &str, known: &mut Known, refs: &mut BTreeSet<String>) -> Result<(), StateError> {
        let (key, discount) = (format!("promo:{id}"), &mut known.discount);
        if let Some(entry) = self.context.catalogue.entry(&key)? {
            discount.code = discount.code.take().or_else(|| entry.code().map(str::to_owned));
            discount.coupon = discount.coupon.take().or_else(|| entry.coupon().map(str::to_owned));
        }
        let mapping = self.context.decisions.mapping_named(&key, self.provider);
        if let Some(mapping) = mapping {
            discount.code = discount.code.take().or_else(|| mapping.code.clone());
            discount.coupon = discount.coupon.take().or_else(|| mapping.coupon_id.clone());
        }
        let decides = discount.code.is_none() && mapping.is_none();
        if discount.code.is_none() || discount.coupon.is_none() {
            self.ask(format!("GET /v1/promotion_codes/{id}"), decides, known, refs)?;
        }
        refs.insert(key);
        Ok(())
    }

    /// A discount of Paddle or Lemon Squeezy may have a code text; a Stripe coupon has none.
    fn complete_coupon(&self, id: &str, known: &mut Known, refs: &mut BTreeSet<String>) -> Result<(), StateError> {
        let (key, discount) = (format!("coupon:{id}"), &mut known.discount);
        let entry = self.context.catalogue.entry(&key)?;
        if self.provider == Provider::Stripe {
            // A mapping of any of the coupon's codes may decide whose the bare coupon is.
            for code in entry.iter().flat_map(|entry| &entry.promotion_codes) {
                let text = self
                    .context
                    .catalogue
                    .entry(&format!("promo:{code}"))?
                    .and_then(|entry| entry.code().map(fold_code));
                refs.insert(format!("promo:{code}"));
                refs.extend(text.map(|text| format!("code:{text}")));
            }
            return Ok(());
        }
        if let Some(entry) = entry {
            discount.code = discount.code.take().or_else(|| entry.code().map(str::to_owned));
        }
        let mapping = self.context.decisions.mapping_named(&key, self.provider);
        if let Some(mapping) = mapping {
            discount.code = discount.code.take().or_else(|| mapping.code.clone());
        }
        if discount.code.is_none() && self.provider == Provider::Paddle {
            self.ask(format!("GET /discounts/{id}"), mapping.is_none(), known, refs)?;
        }
        refs.insert(key);
        Ok(())
    }

    /// Asks for the text of a code, once. A better answer may still come after a refusal.
    fn ask(
        &self,
        request: String,
        decides: bool,
        known: &mut Known,
        refs: &mut BTreeSet<String>,
    ) -> Result<(), StateError> {
        refs.insert(format!("ask:{request}"));
        let answer = self.context.catalogue.answer(&request)?;
        known.refused = decides && answer.as_ref().is_some_and(|answer| answer.refused.is_some());
        let question = answer.is_none().then_some(Question { request, about: "the text of a code" });
        if decides {
            known.question = question;
        } else {
            known.wish = question;
        }
        Ok(())
    }
}

/// Several objects name one discount in different words: by its own id, by its promotion code,
/// by its coupon. An invoice names it by id only, the session of the same purchase by its code.
fn merge_same(known: &mut Vec<Known>, asking: &Asking) {
    let mut index = 0;
    while index < known.len() {
        match (index + 1..known.len()).find(|other| are_same(&known[index].discount, &known[*other].discount)) {
            Some(other) => {
                let gone = known.remove(other);
                join_known(&mut known[index], gone);
            }
            None => index += 1,
        }
    }
    let unnamed: Vec<usize> = (0..known.len()).filter(|index| !known[*index].discount.is_named()).collect();
    let without_id: Vec<usize> = (0..known.len())
        .filter(|index| known[*index].discount.is_named() && known[*index].discount.id.is_none())
        .collect();
    match (unnamed.as_slice(), without_id.as_slice()) {
        // One of each is one discount.
        ([unnamed], [named]) => {
            let gone = known[*unnamed].discount.clone();
            let named = &mut known[*named];
            named.discount = named.discount.clone().or(&gone);
            if named.discount.promotion_code.is_none() {
                named.wish = asking.question.clone();
            }
            known.remove(*unnamed);
        }
        // As many of each are the same ones; which is which only the provider could say.
        (unnamed, without_id) if unnamed.len() == without_id.len() && asking.refused => {
            known.retain(|one| one.discount.is_named())
        }
        _ => {}
    }
}

/// Whether both are one discount. A bare coupon beside a promotion code of the same coupon is that
/// code, told without it, unless both have ids of their own.
fn are_same(a: &Discount, b: &Discount) -> bool {
    let bare = |one: &Discount| one.promotion_code.is_none() && one.code.is_none();
    let one_has_no_id = a.id.is_none() || b.id.is_none();
    a.same_as(b) || (a.coupon.is_some() && a.coupon == b.coupon && one_has_no_id && bare(a) != bare(b))
}

/// The one that names a code knows best what is still to be asked.
fn join_known(kept: &mut Known, gone: Known) {
    let code_of = |one: &Known| one.discount.promotion_code.is_some();
    let named = |one: &Known| one.discount.is_named();
    if (code_of(&gone), named(&gone)) > (code_of(kept), named(kept)) {
        (kept.question, kept.wish, kept.refused) = (gone.question, gone.wish, gone.refused);
    }
    kept.discount = kept.discount.clone().or(&gone.discount);
}
