//! Draws vendors and stories from a seed. Only histories whose outcome the rules state
//! beyond doubt are drawn: for example a decision never begins within hours of a sale.

use crate::calendar::{add_months, days_of};
use crate::world::{
    Code, Dispute, DisputeFate, Lasting, Mapped, MappedBy, Mapping, Moment, Rate, Refund, RefundFate, Rule, Sale,
    SaleKind, Scope, Story, World,
};
use corpus::shuffle::SplitMix;

const DAY: i64 = 86_400;
const HOUR: i64 = 3600;
/// Stories begin in this many days from [`first_day`].
const DAYS: u64 = 200;
/// Nothing is sold later than so many days after [`first_day`].
const LAST_DAY: i64 = 290;
/// Currencies with the smallest step that providers charge, and how often each is drawn.
const CURRENCIES: [(&str, i64, u64); 8] = [
    ("usd", 1, 40),
    ("eur", 1, 24),
    ("jpy", 1, 14),
    ("kwd", 10, 8),
    ("isk", 100, 4),
    ("ugx", 100, 4),
    ("gbp", 1, 4),
    ("zzz", 1, 2),
];

/// 5 January 2026, 00:00 UTC.
pub fn first_day() -> i64 {
    days_of(2026, 1, 5) * DAY
}

/// Draws with a probability in percent.
pub fn chance(random: &mut SplitMix, percent: u64) -> bool {
    random.below(100) < percent
}

/// From `low` to `high`, both included.
pub fn between(random: &mut SplitMix, low: i64, high: i64) -> i64 {
    low + random.below((high - low + 1).unsigned_abs()) as i64
}

fn pick<T: Clone>(random: &mut SplitMix, items: &[T]) -> T {
    items[random.below(items.len() as u64) as usize].clone()
}

/// Midnight of a random day of the story: decisions begin then, sales are between 02:00 and 22:00.
fn midnight(random: &mut SplitMix) -> i64 {
    first_day() + between(random, 5, DAYS as i64) * DAY
}

/// A vendor's affiliates, codes, links, mappings and rules.
pub fn draw_vendor(random: &mut SplitMix) -> World {
    let mut world = World::default();
    let affiliates = 3 + random.below(4) as usize;
    world.affiliates = (0..affiliates).map(|n| format!("aff_{n:02}")).collect();
    for number in 0..affiliates * 2 {
        draw_code(random, &mut world, number);
    }
    world.codes.push(Code {
        text: "HOUSE30".to_owned(),
        promotion_code_id: Some(promotion_code_id(99)),
        coupon_id: "HOUSE_30".to_owned(),
        every_payment: false,
        mapped_by: MappedBy::Everything,
    });
    let house = Mapped::Code(world.codes.len() - 1);
    world.mappings.push(Mapping { what: house, affiliate: None, valid_from: None, decided: Moment::Before });
    for link in 0..2 {
        let affiliate = Some(random.below(affiliates as u64) as usize);
        world.links.push(format!("friend{link}"));
        let decided = if chance(random, 30) { during(random) } else { Moment::Before };
        world.mappings.push(Mapping { what: Mapped::Link(link), affiliate, valid_from: None, decided });
    }
    draw_rules(random, &mut world);
    world
}

fn promotion_code_id(number: usize) -> String {
    format!("promo_1TkzQe3vEqJzMu0O{number:08}")
}

fn draw_code(random: &mut SplitMix, world: &mut World, number: usize) {
    let mapped_by = pick(random, &[MappedBy::PromotionCode, MappedBy::Text, MappedBy::Coupon, MappedBy::Everything]);
    let text = format!("CODE{number:02}");
    world.codes.push(Code {
        promotion_code_id: (mapped_by != MappedBy::Coupon).then(|| promotion_code_id(number)),
        coupon_id: format!("COUPON_{number:02}"),
        every_payment: chance(random, 40),
        mapped_by,
        text,
    });
    let what = Mapped::Code(world.codes.len() - 1);
    let owner = number % world.affiliates.len();
    let other = (owner + 1) % world.affiliates.len();
    let mapping = |affiliate, valid_from, decided| Mapping { what, affiliate: Some(affiliate), valid_from, decided };
    match random.below(100) {
        // From the beginning, for ever.
        0..50 => world.mappings.push(mapping(owner, None, Moment::Before)),
        // From a day on.
        50..60 => world.mappings.push(mapping(owner, Some(midnight(random)), Moment::Before)),
        // Mapped long after its sales, without a beginning.
        60..75 => world.mappings.push(mapping(owner, None, during(random))),
        // Moved from a past day. (A bare coupon with two owners would be ambiguous.)
        75..92 if mapped_by != MappedBy::Coupon => {
            world.mappings.push(mapping(owner, None, Moment::Before));
            let (from, decided) = (midnight(random), during(random));
            world.mappings.push(mapping(other, Some(from), decided));
        }
        75..92 => world.mappings.push(mapping(owner, None, Moment::Before)),
        // Never mapped.
        _ => {}
    }
}

fn draw_rules(random: &mut SplitMix, world: &mut World) {
    if chance(random, 70) {
        push_rule(random, world, Scope::Vendor, 0, Moment::Before);
        if chance(random, 50) {
            let (from, decided) = (midnight(random), during(random));
            push_rule(random, world, Scope::Vendor, from, decided);
        }
    }
    for affiliate in 0..world.affiliates.len() {
        if chance(random, 35) {
            let from = midnight(random);
            let decided = if chance(random, 50) { during(random) } else { Moment::Before };
            push_rule(random, world, Scope::Affiliate(affiliate), from, decided);
            if chance(random, 25) {
                let from = from + between(random, 5, 60) * DAY;
                push_rule(random, world, Scope::Affiliate(affiliate), from, Moment::During(900));
                if let Some(rule) = world.rules.last_mut() {
                    rule.rate = None;
                }
            }
        }
    }
    for code in 0..world.codes.len() {
        let on_every_sale = world.codes[code].every_payment && world.codes[code].mapped_by == MappedBy::Everything;
        let known = world.mappings.iter().any(|one| one.what == Mapped::Code(code) && one.decided == Moment::Before);
        if on_every_sale && known && chance(random, 50) {
            push_rule(random, world, Scope::Code(code), 0, Moment::Before);
        }
    }
}

fn push_rule(random: &mut SplitMix, world: &mut World, scope: Scope, effective_from: i64, decided: Moment) {
    let rate = if chance(random, 70) {
        Rate::Percent(pick(random, &[50_000, 100_000, 200_000, 250_000, 300_000, 123_456, 333_333, 5]))
    } else {
        let named = [("usd", 500), ("eur", 450), ("jpy", 700), ("kwd", 1_230), ("isk", 9_900)];
        Rate::Flat(named.into_iter().map(|(currency, amount)| (currency.to_owned(), amount)).collect())
    };
    let lasting = match random.below(10) {
        0..2 => Lasting::FirstPayment,
        2..5 => Lasting::Months(between(random, 1, 6)),
        _ => Lasting::Life,
    };
    world.rules.push(Rule { scope, effective_from, rate: Some(rate), lasting, decided });
}

fn during(random: &mut SplitMix) -> Moment {
    Moment::During(50 + random.below(900) as u32)
}

/// A subscription with its payments, or a single purchase, with refunds, disputes and voids.
pub fn draw_story(random: &mut SplitMix, world: &World) -> Story {
    let is_subscription = chance(random, 65);
    let started_at = first_day() + random.below(DAYS) as i64 * DAY + between(random, 2 * HOUR, 18 * HOUR);
    let (currency, step) = draw_currency(random);
    let mut story =
        Story { is_subscription, started_at, discounts: Vec::new(), link: None, sales: Vec::new(), currency };
    draw_origin(random, world, &mut story);
    let percent_off = pick(random, &[10, 15, 20, 50, 100]);
    if is_subscription {
        draw_payments(random, world, &mut story, step, percent_off);
    } else {
        let paid_at = story.started_at + between(random, 60, 600);
        let sale = draw_sale(random, &story, (SaleKind::OneTime, paid_at), step, Some(percent_off));
        story.sales.push(sale);
    }
    for sale in &mut story.sales {
        draw_takebacks(random, sale, step);
    }
    story
}

fn draw_currency(random: &mut SplitMix) -> (String, i64) {
    let mut at = random.below(CURRENCIES.iter().map(|(_, _, weight)| weight).sum());
    for (code, step, weight) in CURRENCIES {
        if at < weight {
            return (code.to_owned(), step);
        }
        at -= weight;
    }
    ("usd".to_owned(), 1)
}

fn draw_origin(random: &mut SplitMix, world: &World, story: &mut Story) {
    let house = world.codes.len() - 1;
    match random.below(100) {
        0..55 => {
            let code = random.below(house as u64) as usize;
            story.discounts.push(code);
            // A rule of the code is drawn only where every payment carries the code.
            let has_rule = world.rules.iter().any(|rule| rule.scope == Scope::Code(code));
            if chance(random, 8) && !has_rule {
                story.discounts.push(house);
            }
            // Code and link together only where no later payment could tell them apart.
            if !story.is_subscription && chance(random, 8) {
                story.link = Some(random.below(2) as usize);
            }
        }
        55..60 => story.discounts.push(house),
        60..78 => story.link = Some(random.below(2) as usize),
        _ => {}
    }
}

fn draw_payments(random: &mut SplitMix, world: &World, story: &mut Story, step: i64, percent_off: i64) {
    let every_payment = story.discounts.len() == 1 && world.codes[story.discounts[0]].every_payment;
    let off = |carries: bool| carries.then_some(percent_off);
    let discounted = !story.discounts.is_empty();
    let is_trial = chance(random, 20);
    let first = (SaleKind::First, story.started_at + 3);
    let mut sale = draw_sale(random, story, first, step, off(discounted));
    if is_trial {
        (sale.subtotal, sale.discount, sale.tax, sale.gross, sale.paid) = (0, 0, 0, 0, 0);
    }
    story.sales.push(sale);
    let anchor = if is_trial { story.started_at + 14 * DAY } else { story.started_at };
    let periods = random.below(7) as i64;
    for period in i64::from(!is_trial)..=periods {
        // An invoice is finalised about an hour after the period began.
        let paid_at = add_months(anchor, period) + HOUR + between(random, 0, 1800);
        if paid_at > first_day() + LAST_DAY * DAY {
            break;
        }
        let sale = draw_sale(random, story, (SaleKind::Renewal, paid_at), step, off(discounted && every_payment));
        story.sales.push(sale);
        if chance(random, 10) {
            let update = (SaleKind::Update, paid_at + between(random, 3, 20) * DAY);
            let mut sale = draw_sale(random, story, update, step, off(discounted && every_payment));
            if chance(random, 30) {
                // A downgrade: the invoice ends in a credit.
                sale.subtotal = -sale.subtotal;
                (sale.discount, sale.tax, sale.gross, sale.paid) = (0, 0, sale.subtotal, 0);
            }
            story.sales.push(sale);
        }
    }
}

fn draw_sale(
    random: &mut SplitMix,
    story: &Story,
    (kind, paid_at): (SaleKind, i64),
    step: i64,
    percent_off: Option<i64>,
) -> Sale {
    let rounded = |amount: i64| amount / step * step;
    let subtotal =
        rounded(pick(random, &[500, 999, 1900, 2900, 4900, 9900, 19_900, 49_900, 123_457, 5_000_000]).max(step));
    let carries_discounts = percent_off.is_some() && !story.discounts.is_empty();
    let discount = if carries_discounts { rounded(subtotal * percent_off.unwrap_or(0) / 100) } else { 0 };
    let taxable = subtotal - discount;
    let tax = if chance(random, 30) { rounded(taxable * 19 / 100) } else { 0 };
    let shipping = if kind == SaleKind::OneTime && chance(random, 10) { rounded(500.max(step)) } else { 0 };
    let gross = taxable + tax + shipping;
    let from_balance = kind != SaleKind::OneTime && gross > 4 * step && chance(random, 5);
    let paid = if from_balance { rounded(between(random, 0, gross - 1)) } else { gross };
    Sale {
        kind,
        paid_at,
        carries_discounts,
        subtotal,
        discount,
        tax,
        shipping,
        gross,
        paid,
        refunds: Vec::new(),
        disputes: Vec::new(),
        voided_at: None,
    }
}

fn draw_takebacks(random: &mut SplitMix, sale: &mut Sale, step: i64) {
    if sale.paid <= step {
        return;
    }
    let mut at = sale.paid_at;
    let mut later = |random: &mut SplitMix| {
        at += between(random, 3, 8) * DAY + between(random, 1, 3000);
        at
    };
    if chance(random, 18) {
        draw_refunds(random, sale, step, &mut later);
    }
    if chance(random, 6) {
        let fates = [
            DisputeFate::Lost,
            DisputeFate::LostUnseen,
            DisputeFate::Won,
            DisputeFate::WonUnseen,
            DisputeFate::Inquiry,
            DisputeFate::Open,
        ];
        let amount = if chance(random, 70) { sale.paid } else { (sale.paid / 2 / step * step).max(step) };
        sale.disputes.push(Dispute { created: later(random), amount, fate: pick(random, &fates) });
    }
    if sale.kind != SaleKind::OneTime && chance(random, 2) {
        sale.voided_at = Some(later(random));
    }
}

fn draw_refunds(random: &mut SplitMix, sale: &mut Sale, step: i64, later: &mut impl FnMut(&mut SplitMix) -> i64) {
    let mut left = sale.paid;
    for part in 0..1 + random.below(3) {
        if left < step {
            break;
        }
        let whole = part == 0 && chance(random, 35);
        let amount = if whole { left } else { between(random, 1, left) / step * step };
        if amount == 0 {
            continue;
        }
        let fate = match random.below(100) {
            0..70 => RefundFate::Succeeded,
            70..82 => RefundFate::SucceededLater,
            82..94 => RefundFate::Failed,
            _ => RefundFate::Pending,
        };
        sale.refunds.push(Refund { created: later(random), amount, fate });
        if fate != RefundFate::Failed {
            left -= amount;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_histories_are_plausible() {
        let mut random = SplitMix::new(11);
        let mut seen = (0, 0, 0, 0, 0);
        for _ in 0..40 {
            let world = draw_vendor(&mut random);
            for _ in 0..50 {
                let story = draw_story(&mut random, &world);
                assert!(story.sales.windows(2).all(|pair| pair[0].paid_at < pair[1].paid_at));
                for sale in &story.sales {
                    assert_eq!(sale.gross, sale.subtotal - sale.discount + sale.tax + sale.shipping);
                    assert!(sale.paid >= 0 && (sale.paid <= sale.gross || sale.gross < 0), "{sale:?}");
                    let gone: i64 =
                        sale.refunds.iter().filter(|one| one.fate != RefundFate::Failed).map(|one| one.amount).sum();
                    assert!(gone <= sale.paid.max(0));
                    let hour = sale.paid_at.rem_euclid(DAY) / HOUR;
                    assert!((2..23).contains(&hour), "{hour}");
                    seen.0 += sale.refunds.len();
                    seen.1 += sale.disputes.len();
                    seen.2 += usize::from(sale.voided_at.is_some());
                    seen.3 += usize::from(sale.gross < 0);
                    seen.4 += usize::from(sale.paid < sale.gross);
                }
            }
        }
        assert!(seen.0 > 100 && seen.1 > 50 && seen.2 > 10 && seen.3 > 5 && seen.4 > 20, "{seen:?}");
    }
}
