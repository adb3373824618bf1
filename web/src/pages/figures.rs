//! The six key figures with their comparison. Money is never summed across currencies.

use crate::money::{Money, count};
use api::model::{Dashboard, Earlier, Totals};
use domain::money::Currency;

/// One figure of the first screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Unique on the page.
    pub id: &'static str,
    /// Its name.
    pub label: &'static str,
    /// What exactly is counted.
    pub hint: &'static str,
    /// One per currency; a single one for counts.
    pub values: Vec<FigureValue>,
}

/// A number and how it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FigureValue {
    /// `1,234.50`
    pub amount: String,
    /// `USD`, or empty for a count.
    pub unit: String,
    /// Against the earlier range; none where there is nothing to compare with.
    pub change: Option<Change>,
}

/// How a number changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `12 %`, or `new`.
    pub text: String,
    /// `+1,234.50`, in the unit of the number; empty where nothing changed.
    pub difference: String,
    /// `up`, `down` or `same`; never told by colour alone.
    pub direction: &'static str,
    /// `good`, `bad` or `neutral`.
    pub tone: &'static str,
}

/// Whether more of it is good news.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    MoreIsBetter,
    LessIsBetter,
    Neutral,
}

/// The six figures of a dashboard.
pub fn figures(dashboard: &Dashboard) -> Vec<Figure> {
    let counted =
        |id, label, hint, of: fn(&Totals) -> i64| Figure { id, label, hint, values: vec![count_value(dashboard, of)] };
    let money = |id, label, hint, of: fn(&Totals) -> i64, meaning| Figure {
        id,
        label,
        hint,
        values: money_values(dashboard, of, meaning),
    };
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let active_before = earlier_of(dashboard).map(|earlier| number(earlier.active_affiliates));
    let active = counted_value(number(dashboard.active_affiliates), active_before);
    vec![
        counted("redemptions", "Redemptions", "First sales with a code", |totals| totals.redemptions),
        counted("sales", "Sales", "Purchases with something paid", |totals| totals.sales),
        money("revenue", "Revenue", "Net of tax, after refunds", |totals| totals.revenue, Meaning::MoreIsBetter),
        money(
            "commission",
            "Commission",
            "Earned by affiliates, after refunds",
            |totals| totals.commission,
            Meaning::Neutral,
        ),
        money(
            "refunds",
            "Refunds",
            "Net taken back by refunds and disputes",
            |totals| totals.refunded,
            Meaning::LessIsBetter,
        ),
        Figure {
            id: "affiliates",
            label: "Active affiliates",
            hint: "With a ledger line in this range",
            values: vec![active],
        },
    ]
}

/// The earlier range, if anything happened in it.
fn earlier_of(dashboard: &Dashboard) -> Option<&Earlier> {
    dashboard.earlier.as_ref().filter(|earlier| !earlier.totals.is_empty())
}

fn count_value(dashboard: &Dashboard, of: fn(&Totals) -> i64) -> FigureValue {
    let sum = |totals: &[Totals]| totals.iter().map(of).fold(0_i64, i64::saturating_add);
    counted_value(sum(&dashboard.totals), earlier_of(dashboard).map(|earlier| sum(&earlier.totals)))
}

fn counted_value(now: i64, before: Option<i64>) -> FigureValue {
    let change = before.and_then(|before| change(now, before, Meaning::MoreIsBetter, count));
    FigureValue { amount: count(now), unit: String::new(), change }
}

/// One value per currency, in the order of the dashboard; currencies that only the range
/// before had come last, with zero.
fn money_values(dashboard: &Dashboard, of: fn(&Totals) -> i64, meaning: Meaning) -> Vec<FigureValue> {
    let mut currencies = dashboard.currencies.clone();
    let earlier = earlier_of(dashboard);
    for totals in dashboard.totals.iter().chain(earlier.iter().flat_map(|earlier| &earlier.totals)) {
        if !currencies.contains(&totals.currency) {
            currencies.push(totals.currency);
        }
    }
    let sum = |totals: &[Totals], currency: Currency| {
        totals.iter().filter(|totals| totals.currency == currency).map(of).fold(0_i64, i64::saturating_add)
    };
    let values = currencies.into_iter().map(|currency| {
        let now = sum(&dashboard.totals, currency);
        let money = Money::new(now, currency);
        let written = |minor| Money::new(minor, currency).amount();
        let change = earlier.and_then(|earlier| change(now, sum(&earlier.totals, currency), meaning, written));
        FigureValue { amount: money.amount(), unit: money.unit(), change }
    });
    let values: Vec<FigureValue> = values.collect();
    if values.is_empty() { vec![FigureValue { amount: "0".into(), unit: String::new(), change: None }] } else { values }
}

/// Whole percents, rounded half away from zero, and the difference as `written` writes it; nothing when both are zero.
fn change(now: i64, before: i64, meaning: Meaning, written: impl Fn(i64) -> String) -> Option<Change> {
    let difference = match now.saturating_sub(before) {
        0 => String::new(),
        more @ 1.. => format!("+{}", written(more)),
        less => written(less),
    };
    if before == 0 {
        return (now != 0).then(|| Change { text: "new".into(), difference, direction: "same", tone: "neutral" });
    }
    let (now, before) = (i128::from(now), i128::from(before));
    let size = before.abs();
    let percent = ((now - before).abs() * 200 + size) / (2 * size);
    let (direction, is_more) = match now.cmp(&before) {
        std::cmp::Ordering::Greater => ("up", true),
        std::cmp::Ordering::Less => ("down", false),
        std::cmp::Ordering::Equal => {
            return Some(Change { text: "0 %".into(), difference, direction: "same", tone: "neutral" });
        }
    };
    let tone = match meaning {
        Meaning::Neutral => "neutral",
        Meaning::MoreIsBetter if is_more => "good",
        Meaning::LessIsBetter if !is_more => "good",
        _ => "bad",
    };
    let text = if percent > 999 { "over 999 %".into() } else { format!("{percent} %") };
    Some(Change { text, difference, direction, tone })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(now: i64, before: i64, meaning: Meaning) -> Option<(String, &'static str, &'static str)> {
        change(now, before, meaning, count).map(|change| (change.text, change.direction, change.tone))
    }

    #[test]
    fn changes_are_whole_percents() {
        assert_eq!(described(0, 0, Meaning::Neutral), None);
        assert_eq!(described(5, 0, Meaning::MoreIsBetter), Some(("new".into(), "same", "neutral")));
        assert_eq!(described(112, 100, Meaning::MoreIsBetter), Some(("12 %".into(), "up", "good")));
        assert_eq!(described(1125, 1000, Meaning::MoreIsBetter), Some(("13 %".into(), "up", "good")));
        assert_eq!(described(50, 100, Meaning::MoreIsBetter), Some(("50 %".into(), "down", "bad")));
        assert_eq!(described(50, 100, Meaning::LessIsBetter), Some(("50 %".into(), "down", "good")));
        assert_eq!(described(100, 100, Meaning::LessIsBetter), Some(("0 %".into(), "same", "neutral")));
        assert_eq!(described(50, -100, Meaning::MoreIsBetter), Some(("150 %".into(), "up", "good")));
        assert_eq!(described(i64::MAX, 1, Meaning::MoreIsBetter).unwrap().0, "over 999 %");
        assert_eq!(described(i64::MIN, i64::MAX, Meaning::MoreIsBetter).unwrap().1, "down");
    }

    #[test]
    fn differences_carry_their_sign() {
        let difference = |now, before| change(now, before, Meaning::Neutral, count).map(|change| change.difference);
        assert_eq!(difference(1_500, 200), Some("+1,300".into()));
        assert_eq!(difference(200, 1_500), Some("−1,300".into()));
        assert_eq!((difference(7, 7), difference(7, 0), difference(0, 0)), (Some("".into()), Some("+7".into()), None));
    }
}
