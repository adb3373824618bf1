//! What a change of a story's ledger says about uses of codes, for whoever watches them. It decides no line.

use super::diff::Draft;
use crate::ids::{CodeId, PurchaseId, Timestamp};
use crate::story::Scope;
use crate::target::PurchaseTarget;
use std::collections::BTreeMap;

/// A use of a code on a first sale that was not counted for this code before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redeemed {
    /// Vendor, connection and mode.
    pub scope: Scope,
    /// Which code.
    pub code: CodeId,
    /// On which purchase.
    pub purchase: PurchaseId,
    /// Provider time of the sale.
    pub at: Timestamp,
    /// The provider's name of the customer, if it has one. Not to be stored.
    pub customer: Option<String>,
    /// `ord` of the line that counts it: rising within a record.
    pub ord: u32,
}

/// The redemptions that drafts add, whose lines are counted from `first_ord` on. What only moves (another affiliate,
/// another time, another number of the purchase) is none: the story counted it for the code already.
pub(super) fn redeemed(
    scope: Scope,
    drafts: &[Draft],
    first_ord: u32,
    purchases: &[(&PurchaseTarget, PurchaseId)],
) -> Vec<Redeemed> {
    let mut gone: BTreeMap<CodeId, i64> = BTreeMap::new();
    for draft in drafts.iter().filter(|draft| draft.amounts.redemptions < 0) {
        *gone.entry(draft.key.code).or_default() -= draft.amounts.redemptions;
    }
    let mut found = Vec::new();
    for (draft, ord) in drafts.iter().zip(first_ord..) {
        if draft.amounts.redemptions <= 0 || draft.key.code == CodeId(0) {
            continue;
        }
        let moved = gone.entry(draft.key.code).or_default();
        if *moved > 0 {
            *moved -= 1;
            continue;
        }
        let target = purchases.iter().find(|(_, number)| *number == draft.key.purchase);
        found.push(Redeemed {
            scope,
            code: draft.key.code,
            purchase: draft.key.purchase,
            at: draft.key.sale_at,
            customer: target.and_then(|(purchase, _)| purchase.sale.customer.clone()),
            ord,
        });
    }
    found
}
