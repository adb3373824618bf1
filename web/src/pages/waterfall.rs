//! From gross to commission, as bars beside their numbers. Geometry in integers.

use crate::money::Money;
use api::model::WaterfallStep;
use domain::money::Currency;

/// Width of the drawing, in its own units.
pub const WIDTH: i64 = 1_000;

/// A step with its bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// Words.
    pub label: String,
    /// Signed.
    pub amount: Money,
    /// A subtotal rather than a step.
    pub is_total: bool,
    /// Left edge, 0 to [`WIDTH`].
    pub left: i64,
    /// At least 2 when there is anything, so that it can be seen.
    pub width: i64,
    /// `total`, `plus` or `minus`.
    pub class: &'static str,
}

/// A step begins where the one before ended; a total begins at zero.
pub fn bars(steps: &[WaterfallStep], currency: Currency) -> Vec<Bar> {
    let spans = spans(steps);
    let lowest = spans.iter().map(|(start, end)| *start.min(end)).fold(0, i128::min);
    let highest = spans.iter().map(|(start, end)| *start.max(end)).fold(0, i128::max);
    let size = (highest - lowest).max(1);
    let place = |value: i128| i64::try_from((value - lowest) * i128::from(WIDTH) / size).unwrap_or(WIDTH);
    steps
        .iter()
        .zip(spans)
        .map(|(step, (start, end))| {
            let (left, right) = (place(start.min(end)), place(start.max(end)));
            Bar {
                label: step.label.clone(),
                amount: Money::new(step.amount, currency),
                is_total: step.is_total,
                left: left.min(WIDTH - 2),
                width: if start == end { 0 } else { (right - left).max(2) },
                class: if step.is_total {
                    "total"
                } else if step.amount < 0 {
                    "minus"
                } else {
                    "plus"
                },
            }
        })
        .collect()
}

fn spans(steps: &[WaterfallStep]) -> Vec<(i128, i128)> {
    let mut level = 0_i128;
    let span = |step: &WaterfallStep| {
        let start = if step.is_total { 0 } else { level };
        level = start + i128::from(step.amount);
        (start, level)
    };
    steps.iter().map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(label: &str, amount: i64, is_total: bool) -> WaterfallStep {
        WaterfallStep { label: label.into(), amount, is_total }
    }

    fn drawn(steps: &[WaterfallStep]) -> Vec<(i64, i64)> {
        bars(steps, Currency::parse("usd").unwrap()).iter().map(|bar| (bar.left, bar.width)).collect()
    }

    #[test]
    fn steps_hang_together() {
        let steps = [
            step("Gross", 1000, true),
            step("Tax", -200, false),
            step("Net", 800, true),
            step("Commission", 160, true),
        ];
        assert_eq!(drawn(&steps), [(0, 1000), (800, 200), (0, 800), (0, 160)]);
    }

    #[test]
    fn extremes_stay_inside() {
        assert_eq!(drawn(&[]), []);
        assert_eq!(drawn(&[step("Gross", 0, true)]), [(0, 0)]);
        for (left, width) in drawn(&[
            step("a", i64::MAX, true),
            step("b", i64::MIN, false),
            step("c", i64::MIN, true),
            step("d", 1, true),
        ]) {
            assert!((0..=WIDTH).contains(&left) && (0..=WIDTH).contains(&(left + width)), "{left} {width}");
        }
    }
}
