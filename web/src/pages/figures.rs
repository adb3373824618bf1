//! The six key figures with their comparison. Money is never summed across currencies.

use crate::money::{Money, count};
use api::model::{Dashboard, Totals};
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
    /// Against the range before.
    pub change: Option<Change>,
}

/// How a number changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `12 %`, or `new`.
    pub text: String,
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
    let active = FigureValue {
        amount: count(i64::try_from(dashboard.active_affiliates).unwrap_or(i64::MAX)),
        unit: String::new(),
        change: None,
    };
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

fn count_value(dashboard: &Dashboard, of: fn(&Totals) -> i64) -> FigureValue {
    let sum = |totals: &[Totals]| totals.iter().map(of).fold(0_i64, i64::saturating_add);
    let (now, before) = (sum(&dashboard.totals), sum(&dashboard.previous));
    FigureValue { amount: count(now), unit: String::new(), change: change(now, before, Meaning::MoreIsBetter) }
}

/// One value per currency, in the order of the dashboard; currencies that only the range
/// before had come last, with zero.
fn money_values(dashboard: &Dashboard, of: fn(&Totals) -> i64, meaning: Meaning) -> Vec<FigureValue> {
    let mut currencies = dashboard.currencies.clone();
    for totals in dashboard.totals.iter().chain(&dashboard.previous) {
        if !currencies.contains(&totals.currency) {
            currencies.push(totals.currency);
        }
    }
    let sum = |totals: &[Totals], currency: Currency| {
        totals.iter().filter(|totals| totals.currency == currency).map(of).fold(0_i64, i64::saturating_add)
    };
    let values = currencies.into_iter().map(|currency| {
        let (now, before) = (sum(&dashboard.totals, currency), sum(&dashboard.previous, currency));
        let money = Money::new(now, currency);
        FigureValue { amount: money.amount(), unit: money.unit(), change: change(now, before, meaning) }
    });
    let values: Vec<FigureValue> = values.collect();
    if values.is_empty() { vec![FigureValue { amount: "0".into(), unit: String::new(), change: None }] } else { values }
}

/// Whole percents, rounded half away from zero; nothing when both are zero.
fn change(now: i64, before: i64, meaning: Meaning) -> Option<Change> {
    if before == 0 {
        return (now != 0).then(|| Change { text: "new".into(), direction: "same", tone: "neutral" });
    }
    let (now, before) = (i128::from(now), i128::from(before));
    let size = before.abs();
    let percent = ((now - before).abs() * 200 + size) / (2 * size);
    let (direction, is_more) = match now.cmp(&before) {
        std::cmp::Ordering::Greater => ("up", true),
        std::cmp::Ordering::Less => ("down", false),
        std::cmp::Ordering::Equal => return Some(Change { text: "0 %".into(), direction: "same", tone: "neutral" }),
    };
    let tone = match meaning {
        Meaning::Neutral => "neutral",
        Meaning::MoreIsBetter if is_more => "good",
        Meaning::LessIsBetter if !is_more => "good",
        _ => "bad",
    };
    let text = if percent > 999 { "over 999 %".into() } else { format!("{percent} %") };
    Some(Change { text, direction, tone })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(now: i64, before: i64, meaning: Meaning) -> Option<(String, &'static str, &'static str)> {
        change(now, before, meaning).map(|change| (change.text, change.direction, change.tone))
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
}
