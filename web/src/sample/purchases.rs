//! Invented purchases. The same clock gives the same purchases.

use domain::ids::{AffiliateId, CodeId, PurchaseId, Timestamp};
use domain::line::PurchaseOutcome;
use domain::money::{Currency, round_half_up};

use api::model::PurchaseItem;

const DAY: i64 = 86_400_000;
/// Affiliate number, handle, name, code.
const AFFILIATES: [(u64, &str, &str, &str); 3] = [
    (1, "aff_maya", "Maya Lindqvist", "MAYA20"),
    (2, "aff_jonas", "Jonas Weber", "JONAS15"),
    (3, "aff_devtalk", "DevTalk Podcast", "DEVTALK"),
];
const PRICES: [i64; 5] = [4_900, 9_900, 14_900, 2_900, 49_900];

/// A small generator with a fixed start, good enough to look alive.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// 47 redemptions over 60 days, their renewals left out, and some organic sales between them.
pub(super) fn demo(now: Timestamp) -> Vec<PurchaseItem> {
    spread(now, 62, 60, "usd", 7)
}

/// A vendor with a few hundred purchases in three currencies, one of them without known digits.
pub(super) fn acme(now: Timestamp) -> Vec<PurchaseItem> {
    let mut items = spread(now, 230, 120, "usd", 11);
    for (index, item) in items.iter_mut().enumerate() {
        if index % 4 == 1 {
            item.currency = currency("eur");
        }
    }
    if let Some(item) = items.last_mut() {
        item.currency = currency("zzz");
    }
    items
}

/// The purchase that comes after `existing` others.
pub(super) fn next(existing: usize, now: Timestamp) -> PurchaseItem {
    let mut dice = Dice(existing as u64 + 977);
    let who = usize::try_from(dice.roll(3)).unwrap_or(0);
    item(existing, now, &mut dice, Some(who), "usd")
}

fn spread(now: Timestamp, number: usize, days: i64, code: &str, seed: u64) -> Vec<PurchaseItem> {
    let mut dice = Dice(seed);
    let count = i64::try_from(number).unwrap_or(1);
    let mut items: Vec<PurchaseItem> = (0..number)
        .map(|index| {
            let position = i64::try_from(index).unwrap_or(0);
            let jitter = i64::try_from(dice.roll(20 * 3_600)).unwrap_or(0) * 1_000;
            let at = Timestamp(now.0 - days * DAY + position * days * DAY / count + jitter);
            let at = Timestamp(at.0.min(now.0 - 60_000 * (count - position)));
            let who = (dice.roll(4) != 0).then(|| [0, 0, 1, 0, 2, 1][usize::try_from(dice.roll(6)).unwrap_or(0)]);
            item(index, at, &mut dice, who, code)
        })
        .collect();
    items.sort_by_key(|item| item.sale_at);
    items
}

fn item(index: usize, at: Timestamp, dice: &mut Dice, who: Option<usize>, code: &str) -> PurchaseItem {
    let gross = PRICES[usize::try_from(dice.roll(5)).unwrap_or(0)] * 119 / 100;
    let net = round_half_up(gross, 100, 119);
    let refunded = match dice.roll(14) {
        0 => net,
        1 => net / 3,
        _ => 0,
    };
    let (outcome, reason, flags) = match (who, dice.roll(16)) {
        (None, _) => (PurchaseOutcome::Organic, "", vec![]),
        (Some(_), 0) => {
            (PurchaseOutcome::Waiting, "Waiting for Stripe to tell us the code", vec!["attribution_pending".to_owned()])
        }
        (Some(_), 1) => (PurchaseOutcome::Rejected, "The code was used after its last day", vec![]),
        (Some(_), _) => (PurchaseOutcome::Credited, "", vec![]),
    };
    let is_credited = outcome == PurchaseOutcome::Credited;
    let (number, handle, name, text) = who.map_or((0, "", "", ""), |who| AFFILIATES[who]);
    let credited = |text: &'static str| if is_credited { text.to_owned() } else { String::new() };
    PurchaseItem {
        purchase: PurchaseId((index as u64 + 1) * 256),
        business_key: format!("inv:in_1Q{:04}Sample{:03}", 1000 + index, index % 997),
        sale_at: at,
        sale_at_text: crate::times::moment(at, super::TIME_ZONE)[..]
            .rsplit_once(':')
            .map(|(text, _)| text.to_owned())
            .unwrap_or_default(),
        outcome,
        reason: reason.to_owned(),
        affiliate: AffiliateId(if is_credited { number } else { 0 }),
        affiliate_key: credited(handle),
        affiliate_name: credited(name),
        code: CodeId(number),
        code_text: if outcome == PurchaseOutcome::Waiting { String::new() } else { text.to_owned() },
        sale_kind: if dice.roll(5) == 0 { "one_time".into() } else { "first".into() },
        redemption: is_credited,
        currency: currency(code),
        gross,
        net,
        reversed: refunded,
        commission: if is_credited { round_half_up(net - refunded, 200_000, 1_000_000) } else { 0 },
        flags,
    }
}

fn currency(code: &str) -> Currency {
    Currency::parse(code).expect("the sample data names real codes")
}
