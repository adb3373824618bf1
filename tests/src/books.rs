//! What a ledger has come to, in words that do not depend on the order of arrival: numbers of
//! stories and purchases are replaced by the purchase's public name.

use domain::catalogue::CatalogueEntry;
use domain::fact::Answer;
use domain::fold::FoldState;
use domain::ids::{AffiliateId, CodeId, PurchaseId, Timestamp, VendorId};
use domain::line::{Amounts, PurchaseRow};
use domain::money::Currency;
use domain::story::{Component, Scope, Story};
use domain::target::{CatalogueReader, Context, PurchaseTarget, StateError, StoryTarget, target};
use std::collections::{BTreeMap, BTreeSet};

/// Under what amounts are booked, by the purchase's public name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    /// Where the name is unique.
    pub scope: Scope,
    /// Public name of the purchase.
    pub business_key: String,
    /// Part of the purchase.
    pub component: Component,
    /// 0 = unattributed.
    pub affiliate: AffiliateId,
    /// 0 = none.
    pub code: CodeId,
    /// Of the amounts.
    pub currency: Currency,
    /// Of the movement.
    pub occurred_at: Timestamp,
    /// Of the sale.
    pub sale_at: Timestamp,
}

/// How a purchase stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// A use of a code that is a first sale.
    pub redemption: bool,
    /// First sale with something paid.
    pub first_payment: bool,
    /// Kind, attribution, rule: whatever is shown.
    pub shown: String,
    /// As it was told to the warehouse, without the numbers.
    pub told: PurchaseRow,
}

/// A ledger in comparable form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Books {
    /// What is booked.
    pub booked: BTreeMap<Account, Amounts>,
    /// Purchases by public name.
    pub purchases: BTreeMap<(Scope, String), Standing>,
    /// Names that wait for a sale, and refusals.
    pub unplaced: BTreeSet<(Scope, Vec<String>, Option<String>)>,
    /// Open questions.
    pub questions: BTreeSet<(Scope, String)>,
}

struct Reader<'a, S> {
    state: &'a S,
    scope: Scope,
}

impl<S: FoldState> CatalogueReader for Reader<'_, S> {
    fn entry(&self, key: &str) -> Result<Option<CatalogueEntry>, StateError> {
        self.state.catalogue_entry(self.scope, key)
    }

    fn answer(&self, request: &str) -> Result<Option<Answer>, StateError> {
        self.state.answer(self.scope, request)
    }
}

impl Books {
    /// Reads all stories of a vendor, and checks on the way that each is booked exactly at its
    /// target and was told exactly as it stands: a change that did not reach a story it
    /// concerns fails here.
    pub fn read<S: FoldState>(state: &mut S, vendor: VendorId, stories: &[Story]) -> Books {
        let decisions = state.decisions(vendor).unwrap();
        let mut books = Books::default();
        for story in stories.iter().filter(|story| story.scope.vendor == vendor) {
            let catalogue = Reader { state: &*state, scope: story.scope };
            let reached = target(story, &Context { decisions: &decisions, catalogue: &catalogue }).unwrap();
            assert_eq!(story.refs, reached.refs, "index keys of story {} are not up to date", story.id);
            let names = names_of_slots(story, &reached);
            books.take_purchases(story, &reached);
            books.take_booked(story, &names);
            check_target(story, &reached, &names, &books);
            books.take_open(story.scope, &reached);
        }
        books
    }

    fn take_purchases(&mut self, story: &Story, reached: &StoryTarget) {
        for purchase in &reached.purchases {
            let slot =
                story.slots.iter().find(|slot| slot.aliases.iter().any(|alias| purchase.aliases.contains(alias)));
            let told =
                slot.and_then(|slot| slot.told.clone()).unwrap_or_else(|| panic!("{} was never told", purchase.key));
            check_told(purchase, &told);
            let standing = Standing {
                redemption: purchase.redemption,
                first_payment: purchase.first_payment,
                shown: format!(
                    "{:?} {:?} code {} rule {} {} review {:?}",
                    purchase.kind,
                    purchase.attribution.how,
                    purchase.attribution.code,
                    purchase.rule.rev,
                    purchase.rule_reaches,
                    purchase.review
                ),
                told: PurchaseRow { purchase: PurchaseId(0), src_off: 0, src_part: 0, ..told },
            };
            let known = self.purchases.insert((story.scope, purchase.key.0.clone()), standing);
            assert!(known.is_none(), "two purchases have the name {}", purchase.key);
        }
    }

    fn take_booked(&mut self, story: &Story, names: &BTreeMap<PurchaseId, String>) {
        for (key, amounts) in &story.booked.0 {
            let business_key =
                names.get(&key.purchase).cloned().unwrap_or_else(|| panic!("{amounts:?} are booked for no purchase"));
            let account = Account {
                scope: story.scope,
                business_key,
                component: key.component.clone(),
                affiliate: key.affiliate,
                code: key.code,
                currency: key.currency,
                occurred_at: key.occurred_at,
                sale_at: key.sale_at,
            };
            let sum = self.booked.entry(account).or_default();
            *sum = sum.plus(*amounts);
        }
    }

    fn take_open(&mut self, scope: Scope, reached: &StoryTarget) {
        for unplaced in &reached.unplaced {
            let names = unplaced.names.iter().map(|alias| alias.0.clone()).collect();
            self.unplaced.insert((scope, names, unplaced.refused.clone()));
        }
        self.questions.extend(reached.questions.iter().map(|question| (scope, question.request.clone())));
    }

    /// The sums of one purchase.
    pub fn sum_of(&self, business_key: &str) -> Amounts {
        let mine = self.booked.iter().filter(|(account, _)| account.business_key == business_key);
        mine.fold(Amounts::default(), |sum, (_, amounts)| sum.plus(*amounts))
    }
}

fn names_of_slots(story: &Story, reached: &StoryTarget) -> BTreeMap<PurchaseId, String> {
    let mut names = BTreeMap::new();
    for slot in &story.slots {
        let purchase =
            reached.purchases.iter().find(|purchase| slot.aliases.iter().any(|alias| purchase.aliases.contains(alias)));
        let purchase = purchase.unwrap_or_else(|| panic!("purchase {} has no sale any more", slot.purchase));
        assert_eq!(slot.aliases, purchase.aliases, "the names of {} are not up to date", purchase.key);
        names.insert(slot.purchase, purchase.key.0.clone());
    }
    names
}

/// P4: for each component, booked is the target.
fn check_target(story: &Story, reached: &StoryTarget, names: &BTreeMap<PurchaseId, String>, books: &Books) {
    let mut wanted: BTreeMap<(String, Component), Amounts> = BTreeMap::new();
    for purchase in &reached.purchases {
        for part in purchase.components.iter().filter(|part| !part.amounts.is_zero()) {
            wanted.insert((purchase.key.0.clone(), part.component.clone()), part.amounts);
        }
    }
    let mine: BTreeSet<&String> = names.values().collect();
    let accounts =
        books.booked.iter().filter(|(account, _)| account.scope == story.scope && mine.contains(&account.business_key));
    let mut found: BTreeMap<(String, Component), Amounts> = BTreeMap::new();
    for (account, amounts) in accounts {
        let other = found.insert((account.business_key.clone(), account.component.clone()), *amounts);
        assert_eq!(other, None, "a component is booked under two keys: {account:?}");
    }
    assert_eq!(found, wanted, "story {} is not booked at its target", story.id);
}

fn check_told(purchase: &PurchaseTarget, told: &PurchaseRow) {
    let flags: Vec<String> = purchase.flags.iter().map(|flag| (*flag).to_owned()).collect();
    assert_eq!(
        (
            told.outcome,
            &told.reason,
            told.affiliate,
            told.code,
            told.net,
            told.reversed,
            told.commission,
            &told.flags,
            told.sale_at
        ),
        (
            purchase.outcome,
            &purchase.reason,
            purchase.affiliate(),
            purchase.attribution.rule_code,
            purchase.sale.net,
            purchase.reversed,
            purchase.commission,
            &flags,
            purchase.sale.occurred_at
        ),
        "{} was told otherwise than it stands",
        purchase.key
    );
}
