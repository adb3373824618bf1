//! Every figure here was computed by hand.

use super::*;
use crate::calendar::days_of;
use crate::world::{Code, Dispute, MappedBy, Moment, Refund, SaleKind};

fn day(year: i64, month: i64, day: i64) -> i64 {
    days_of(year, month, day) * 86_400 + 36_000
}

fn sale(paid_at: i64, gross: i64) -> Sale {
    Sale {
        kind: SaleKind::OneTime,
        paid_at,
        carries_discounts: false,
        subtotal: gross,
        discount: 0,
        tax: 0,
        shipping: 0,
        gross,
        paid: gross,
        refunds: Vec::new(),
        disputes: Vec::new(),
        voided_at: None,
    }
}

fn with_code(paid_at: i64, gross: i64) -> Sale {
    Sale { carries_discounts: true, ..sale(paid_at, gross) }
}

fn story(sales: Vec<Sale>) -> Story {
    Story {
        is_subscription: sales.len() > 1,
        started_at: sales[0].paid_at,
        discounts: vec![0],
        link: None,
        sales,
        currency: "usd".to_owned(),
    }
}

fn refund(amount: i64, fate: RefundFate) -> Refund {
    Refund { created: day(2026, 6, 1), amount, fate }
}

fn dispute(amount: i64, fate: DisputeFate) -> Dispute {
    Dispute { created: day(2026, 6, 2), amount, fate }
}

fn mapping(what: Mapped, affiliate: Option<usize>, valid_from: Option<i64>) -> Mapping {
    Mapping { what, affiliate, valid_from, decided: Moment::Before }
}

fn rule(scope: Scope, effective_from: i64, rate: Option<Rate>, lasting: Lasting) -> Rule {
    Rule { scope, effective_from, rate, lasting, decided: Moment::Before }
}

fn flat(currency: &str, amount: i64) -> Option<Rate> {
    Some(Rate::Flat([(currency.to_owned(), amount)].into()))
}

/// Two affiliates, one code that is the first one's, one link that is the second one's.
fn world(stories: Vec<Story>) -> World {
    let code = |text: &str| Code {
        text: text.to_owned(),
        promotion_code_id: Some(format!("promo_{text}")),
        coupon_id: text.to_owned(),
        every_payment: false,
        mapped_by: MappedBy::Everything,
    };
    World {
        affiliates: vec!["aff_a".to_owned(), "aff_b".to_owned()],
        codes: vec![code("A"), code("HOUSE")],
        links: vec!["b".to_owned()],
        mappings: vec![mapping(Mapped::Code(0), Some(0), None), mapping(Mapped::Link(0), Some(1), None)],
        rules: Vec::new(),
        stories,
    }
}

fn figures(world: &World, affiliate: &str) -> (i128, i128, i128, i128) {
    let figures = ledger(world).get(&(affiliate.to_owned(), "usd".to_owned())).copied().unwrap_or_default();
    (figures.redemptions, figures.conversions, figures.revenue, figures.commission)
}

#[test]
fn a_plain_sale_earns_a_fifth_by_default() {
    assert_eq!(figures(&world(vec![story(vec![with_code(day(2026, 3, 1), 3920)])]), "aff_a"), (1, 1, 3920, 784));
}

#[test]
fn halves_are_rounded_up() {
    // 5 % of 10 is 0.5.
    let mut world = world(vec![story(vec![with_code(day(2026, 3, 1), 10)])]);
    world.rules.push(rule(Scope::Vendor, 0, Some(Rate::Percent(50_000)), Lasting::Life));
    assert_eq!(figures(&world, "aff_a").3, 1);
    assert_eq!(half_up(-1, 2), 0);
    assert_eq!(half_up(-3, 2), -1);
}

#[test]
fn tax_and_shipping_earn_nothing() {
    let taxed = Sale { tax: 745, shipping: 100, ..with_code(day(2026, 3, 1), 4765) };
    assert_eq!(figures(&world(vec![story(vec![taxed])]), "aff_a"), (1, 1, 3920, 784));
}

#[test]
fn only_what_was_paid_counts() {
    // 3920 * 2000 / 4665 = 1680.6 -> 1681; 20 % of it is 336.2 -> 336.
    let partly = Sale { tax: 745, paid: 2000, ..with_code(day(2026, 3, 1), 4665) };
    assert_eq!(figures(&world(vec![story(vec![partly])]), "aff_a"), (1, 1, 1681, 336));
    // Everything from the customer's balance: a sale, but nothing paid.
    let unpaid = Sale { paid: 0, ..with_code(day(2026, 3, 1), 4665) };
    assert_eq!(figures(&world(vec![story(vec![unpaid])]), "aff_a"), (1, 0, 0, 0));
}

#[test]
fn a_partial_refund_takes_its_share() {
    // The documented example: 3920 net of 4665, 2000 refunded: 1681 reversed, 2239 left, 447.8 -> 448.
    let taxed =
        Sale { tax: 745, refunds: vec![refund(2000, RefundFate::Succeeded)], ..with_code(day(2026, 3, 1), 4665) };
    assert_eq!(figures(&world(vec![story(vec![taxed])]), "aff_a"), (1, 1, 2239, 448));
}

#[test]
fn parts_add_up_to_nothing_left() {
    let thirds = vec![
        refund(334, RefundFate::Succeeded),
        refund(333, RefundFate::SucceededLater),
        refund(333, RefundFate::Succeeded),
    ];
    let taxed = Sale { tax: 160, refunds: thirds, ..with_code(day(2026, 3, 1), 1000) };
    // Counts stay, money goes.
    assert_eq!(figures(&world(vec![story(vec![taxed])]), "aff_a"), (1, 1, 0, 0));
}

#[test]
fn failed_and_pending_refunds_take_nothing() {
    let refunds =
        vec![refund(500, RefundFate::Failed), refund(300, RefundFate::Pending), refund(100, RefundFate::Succeeded)];
    let refunded = Sale { refunds, ..with_code(day(2026, 3, 1), 1000) };
    assert_eq!(figures(&world(vec![story(vec![refunded])]), "aff_a"), (1, 1, 900, 180));
}

#[test]
fn disputes_take_what_they_withdrew_and_give_back_what_they_won() {
    for (fate, left) in [
        (DisputeFate::Lost, 0),
        (DisputeFate::LostUnseen, 0),
        (DisputeFate::Open, 0),
        (DisputeFate::Won, 1000),
        (DisputeFate::WonUnseen, 1000),
        (DisputeFate::Inquiry, 1000),
    ] {
        let disputed = Sale { disputes: vec![dispute(1000, fate)], ..with_code(day(2026, 3, 1), 1000) };
        assert_eq!(figures(&world(vec![story(vec![disputed])]), "aff_a").2, left, "{fate:?}");
    }
}

#[test]
fn refunds_and_disputes_together_never_exceed_what_was_paid() {
    let both = Sale {
        refunds: vec![refund(400, RefundFate::Succeeded)],
        disputes: vec![dispute(1000, DisputeFate::Lost)],
        ..with_code(day(2026, 3, 1), 1000)
    };
    assert_eq!(figures(&world(vec![story(vec![both])]), "aff_a"), (1, 1, 0, 0));
}

#[test]
fn a_void_after_payment_takes_the_rest() {
    let voided = Sale {
        refunds: vec![refund(1, RefundFate::Succeeded)],
        voided_at: Some(day(2026, 3, 9)),
        ..with_code(day(2026, 3, 1), 1000)
    };
    assert_eq!(figures(&world(vec![story(vec![voided])]), "aff_a"), (1, 1, 0, 0));
}

#[test]
fn a_credit_is_a_sale_without_net() {
    let sales = vec![with_code(day(2026, 3, 1), 1000), Sale { paid: 0, ..sale(day(2026, 3, 5), -400) }];
    assert_eq!(figures(&world(vec![story(sales)]), "aff_a"), (1, 1, 1000, 200));
}

#[test]
fn a_trial_redeems_first_and_converts_later() {
    let sales = vec![with_code(day(2026, 3, 1), 0), sale(day(2026, 3, 15), 4900), sale(day(2026, 4, 15), 4900)];
    assert_eq!(figures(&world(vec![story(sales)]), "aff_a"), (1, 1, 9800, 1960));
}

#[test]
fn later_payments_follow_the_first_sale() {
    let sales = vec![with_code(day(2026, 3, 1), 1000), sale(day(2026, 4, 1), 1000)];
    let mut world = world(vec![story(sales)]);
    // The code moves between the two payments: the subscription stays where it began.
    world.mappings.push(mapping(Mapped::Code(0), Some(1), Some(day(2026, 3, 10))));
    assert_eq!(figures(&world, "aff_a"), (1, 1, 2000, 400));
    // It moves from before the first sale: everything follows.
    world.mappings[2].valid_from = Some(day(2026, 2, 1));
    assert_eq!(figures(&world, "aff_a"), (0, 0, 0, 0));
    assert_eq!(figures(&world, "aff_b"), (1, 1, 2000, 400));
}

#[test]
fn a_code_without_owner_at_the_time_credits_nobody() {
    let mut world = world(vec![story(vec![with_code(day(2026, 3, 1), 1000), with_code(day(2026, 4, 1), 1000)])]);
    world.mappings[0].valid_from = Some(day(2026, 3, 2));
    assert_eq!(figures(&world, "aff_a"), (0, 0, 0, 0));
    assert_eq!(figures(&world, ""), (0, 1, 2000, 0));
}

#[test]
fn a_house_code_is_a_sale_and_no_redemption() {
    let mut world = world(vec![Story { discounts: vec![1], ..story(vec![with_code(day(2026, 3, 1), 1000)]) }]);
    world.mappings.push(mapping(Mapped::Code(1), None, None));
    assert_eq!(figures(&world, ""), (0, 1, 1000, 0));
    // Beside an affiliate's code it does not compete.
    world.stories[0].discounts = vec![1, 0];
    assert_eq!(figures(&world, "aff_a"), (1, 1, 1000, 200));
}

#[test]
fn a_link_converts_but_never_redeems_and_yields_to_a_code() {
    let linked = Story { discounts: Vec::new(), link: Some(0), ..story(vec![sale(day(2026, 3, 1), 1000)]) };
    assert_eq!(figures(&world(vec![linked]), "aff_b"), (0, 1, 1000, 200));
    let both = Story { link: Some(0), ..story(vec![with_code(day(2026, 3, 1), 1000)]) };
    assert_eq!(figures(&world(vec![both]), "aff_a"), (1, 1, 1000, 200));
}

#[test]
fn a_flat_commission_shrinks_with_refunds_and_knows_its_currency() {
    // 500 flat, a third refunded: left 667 of 1000: 333.5 -> 334.
    let refunded = Sale { refunds: vec![refund(333, RefundFate::Succeeded)], ..with_code(day(2026, 3, 1), 1000) };
    let mut world = world(vec![story(vec![refunded])]);
    world.rules.push(rule(Scope::Vendor, 0, flat("usd", 500), Lasting::Life));
    assert_eq!(figures(&world, "aff_a").3, 334);
    world.rules[0].rate = flat("eur", 500);
    assert_eq!(figures(&world, "aff_a").3, 0);
}

#[test]
fn the_narrowest_rule_in_force_decides() {
    let mut world = world(vec![story(vec![with_code(day(2026, 3, 1), 1000)])]);
    let percent = |ppm| Some(Rate::Percent(ppm));
    world.rules.push(rule(Scope::Vendor, 0, percent(100_000), Lasting::Life));
    assert_eq!(figures(&world, "aff_a").3, 100);
    world.rules.push(rule(Scope::Affiliate(0), day(2026, 1, 1), percent(300_000), Lasting::Life));
    assert_eq!(figures(&world, "aff_a").3, 300);
    world.rules.push(rule(Scope::Code(0), day(2026, 1, 1), percent(400_000), Lasting::Life));
    assert_eq!(figures(&world, "aff_a").3, 400);
    // Taken away before the sale: the next wider one holds. Not yet begun: no effect.
    world.rules.push(rule(Scope::Code(0), day(2026, 2, 1), None, Lasting::Life));
    world.rules.push(rule(Scope::Affiliate(0), day(2026, 4, 1), percent(900_000), Lasting::Life));
    assert_eq!(figures(&world, "aff_a").3, 300);
}

#[test]
fn each_sale_has_the_rule_of_its_own_time() {
    let sales = vec![with_code(day(2026, 3, 1), 1000), sale(day(2026, 4, 1), 1000)];
    let mut world = world(vec![story(sales)]);
    world.rules.push(rule(Scope::Vendor, 0, Some(Rate::Percent(100_000)), Lasting::Life));
    world.rules.push(rule(Scope::Vendor, day(2026, 3, 15), Some(Rate::Percent(250_000)), Lasting::Life));
    assert_eq!(figures(&world, "aff_a").3, 350);
}

#[test]
fn the_first_payment_only() {
    let sales = vec![with_code(day(2026, 3, 1), 0), sale(day(2026, 3, 15), 1000), sale(day(2026, 4, 15), 1000)];
    let mut world = world(vec![story(sales)]);
    world.rules.push(rule(Scope::Vendor, 0, Some(Rate::Percent(200_000)), Lasting::FirstPayment));
    assert_eq!(figures(&world, "aff_a"), (1, 1, 2000, 200));
}

#[test]
fn months_are_counted_from_the_first_payment_and_end_before_the_boundary() {
    let sales = vec![
        with_code(day(2026, 1, 31), 1000),
        // One second before 28 February, 10:00, and exactly then.
        sale(day(2026, 2, 28) - 1, 1000),
        sale(day(2026, 2, 28), 1000),
    ];
    let mut world = world(vec![story(sales)]);
    world.rules.push(rule(Scope::Vendor, 0, Some(Rate::Percent(200_000)), Lasting::Months(1)));
    assert_eq!(figures(&world, "aff_a"), (1, 1, 3000, 400));
}

#[test]
fn currencies_are_never_summed() {
    let yen = Story { currency: "jpy".to_owned(), ..story(vec![with_code(day(2026, 3, 1), 999)]) };
    let world = world(vec![story(vec![with_code(day(2026, 3, 1), 1000)]), yen]);
    let ledger = ledger(&world);
    assert_eq!(figures(&world, "aff_a").2, 1000);
    // 999 * 0.2 = 199.8 -> 200.
    assert_eq!(ledger[&("aff_a".to_owned(), "jpy".to_owned())].commission, 200);
}

#[test]
fn amounts_near_the_limit_do_not_overflow() {
    let huge = 1_000_000_000_000_000;
    let refunded = Sale { refunds: vec![refund(huge - 1, RefundFate::Succeeded)], ..with_code(day(2026, 3, 1), huge) };
    let mut world = world(vec![story(vec![refunded])]);
    world.rules.push(rule(Scope::Vendor, 0, Some(Rate::Percent(1_000_000)), Lasting::Life));
    assert_eq!(figures(&world, "aff_a"), (1, 1, 1, 1));
}
