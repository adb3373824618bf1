//! What everybody is owed, computed from what happened and not from events. Written from the
//! rules in words; shares nothing with the product's fold. All arithmetic is in `i128`.

use crate::calendar::add_months;
use crate::world::{DisputeFate, Lasting, Mapped, Mapping, Rate, RefundFate, Rule, Sale, Scope, Story, World};
use std::collections::BTreeMap;

/// Parts per million that a vendor without any rule pays, for life.
const DEFAULT_PPM: i128 = 200_000;

/// Sums of one affiliate in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Uses of a code that are first sales.
    pub redemptions: i128,
    /// First payments.
    pub conversions: i128,
    /// Net after refunds.
    pub revenue: i128,
    /// After refunds.
    pub commission: i128,
}

/// By affiliate's handle (empty = nobody's) and currency.
pub type Ledger = BTreeMap<(String, String), Figures>;

/// Whom a sale is credited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credit {
    /// Position in [`World::affiliates`].
    pub affiliate: Option<usize>,
    /// The code on this very sale that decided, if one did.
    pub code: Option<usize>,
}

/// The ledger of a vendor.
pub fn ledger(world: &World) -> Ledger {
    let mut ledger = Ledger::new();
    for story in &world.stories {
        for position in 0..story.sales.len() {
            let credit = credit_of(world, story, position);
            let handle = credit.affiliate.map(|affiliate| world.affiliates[affiliate].clone()).unwrap_or_default();
            let figures = ledger.entry((handle, story.currency.clone())).or_default();
            let sale = &story.sales[position];
            figures.redemptions += i128::from(position == 0 && credit.code.is_some());
            figures.conversions += i128::from(first_payment(story) == Some(position));
            figures.revenue += net_of(sale) - reversed_of(sale);
            figures.commission += commission_of(world, story, position);
        }
    }
    ledger
}

/// Net of a sale: without tax and shipping, and only as far as it was paid.
pub fn net_of(sale: &Sale) -> i128 {
    let (gross, paid) = (i128::from(sale.gross), i128::from(sale.paid));
    let untaxed = gross - i128::from(sale.tax) - i128::from(sale.shipping);
    if gross <= 0 {
        0
    } else if paid >= gross {
        untaxed
    } else {
        half_up(untaxed * paid, gross)
    }
}

/// The part of the net that went back.
pub fn reversed_of(sale: &Sale) -> i128 {
    let net = net_of(sale);
    let paid = i128::from(sale.paid);
    if paid == 0 {
        return 0;
    }
    if sale.voided_at.is_some_and(|voided| voided > sale.paid_at) {
        return net;
    }
    let refunded = sale.refunds.iter().filter(|refund| match refund.fate {
        RefundFate::Succeeded | RefundFate::SucceededLater => true,
        RefundFate::Failed | RefundFate::Pending => false,
    });
    let disputed = sale.disputes.iter().filter(|dispute| match dispute.fate {
        DisputeFate::Lost | DisputeFate::LostUnseen | DisputeFate::Open => true,
        DisputeFate::Won | DisputeFate::WonUnseen | DisputeFate::Inquiry => false,
    });
    let back = refunded.map(|refund| i128::from(refund.amount)).sum::<i128>()
        + disputed.map(|dispute| i128::from(dispute.amount)).sum::<i128>();
    half_up(net * back.min(paid), paid)
}

/// Whom a sale is credited to: its code, else its link, else whoever has the subscription's
/// first sale.
pub fn credit_of(world: &World, story: &Story, position: usize) -> Credit {
    let sale = &story.sales[position];
    let first_carrying = story.sales.iter().find(|sale| sale.carries_discounts).map(|sale| sale.paid_at);
    if let (true, Some(decided_at)) = (sale.carries_discounts, first_carrying) {
        for code in &story.discounts {
            let owner = owner_at(world, Mapped::Code(*code), decided_at);
            if owner.is_some() {
                return Credit { affiliate: owner, code: Some(*code) };
            }
        }
    }
    if let Some(owner) = story.link.and_then(|link| owner_at(world, Mapped::Link(link), sale.paid_at)) {
        return Credit { affiliate: Some(owner), code: None };
    }
    if position == 0 {
        return Credit::default();
    }
    Credit { affiliate: credit_of(world, story, 0).affiliate, code: None }
}

/// Commission of a sale after refunds.
pub fn commission_of(world: &World, story: &Story, position: usize) -> i128 {
    let credit = credit_of(world, story, position);
    let Some(affiliate) = credit.affiliate else { return 0 };
    let sale = &story.sales[position];
    let net = net_of(sale);
    let left = net - reversed_of(sale);
    let scopes = [credit.code.map(Scope::Code), Some(Scope::Affiliate(affiliate)), Some(Scope::Vendor)];
    let rule = scopes.into_iter().flatten().find_map(|scope| rule_at(world, scope, sale.paid_at));
    let Some((rate, lasting)) = rule else { return half_up(left * DEFAULT_PPM, 1_000_000) };
    if !lasts(story, position, lasting) {
        return 0;
    }
    match rate {
        Rate::Percent(ppm) => half_up(left * i128::from(*ppm), 1_000_000),
        Rate::Flat(amounts) if net > 0 => {
            let flat = amounts.get(&story.currency).copied().unwrap_or(0);
            half_up(i128::from(flat) * left, net)
        }
        Rate::Flat(_) => 0,
    }
}

/// Position of the first sale with something paid.
fn first_payment(story: &Story) -> Option<usize> {
    story.sales.iter().position(|sale| sale.paid > 0)
}

fn lasts(story: &Story, position: usize, lasting: Lasting) -> bool {
    let Some(first) = first_payment(story) else { return false };
    match lasting {
        Lasting::Life => true,
        Lasting::FirstPayment => position == first,
        Lasting::Months(months) => story.sales[position].paid_at < add_months(story.sales[first].paid_at, months),
    }
}

/// Who owns a code or link at a time: the mapping with the latest beginning that has begun.
fn owner_at(world: &World, what: Mapped, at: i64) -> Option<usize> {
    let begun = |mapping: &&Mapping| mapping.what == what && mapping.valid_from.is_none_or(|from| from <= at);
    world.mappings.iter().filter(begun).max_by_key(|mapping| mapping.valid_from)?.affiliate
}

/// The rule of a scope at a time; none when there is none or it was taken away.
fn rule_at(world: &World, scope: Scope, at: i64) -> Option<(&Rate, Lasting)> {
    let begun = |rule: &&Rule| rule.scope == scope && rule.effective_from <= at;
    let rule = world.rules.iter().filter(begun).max_by_key(|rule| rule.effective_from)?;
    Some((rule.rate.as_ref()?, rule.lasting))
}

/// `a / b` rounded half up (towards positive infinity); `b` is positive.
fn half_up(dividend: i128, divisor: i128) -> i128 {
    let whole = dividend.div_euclid(divisor);
    whole + i128::from(2 * dividend.rem_euclid(divisor) >= divisor)
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
