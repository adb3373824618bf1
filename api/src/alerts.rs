//! Spikes in words, the same on pages and in mail.

use domain::ids::Timestamp;
use domain::spikes::Alert;

/// How many redemptions were to be expected, as people say it: `almost none`, `0.4`, `12`.
fn expected(number: f64) -> String {
    match number {
        number if number < 0.05 => "almost none".to_owned(),
        number if number < 9.95 => format!("about {number:.1}").replace(".0", ""),
        number => format!("about {number:.0}"),
    }
}

/// A span of time, rounded: `15 minutes`, `6 hours`.
fn span(from: Timestamp, to: Timestamp) -> String {
    let minutes = to.0.saturating_sub(from.0).max(0).saturating_add(30_000) / 60_000;
    match minutes {
        0 | 1 => "a minute".to_owned(),
        2..100 => format!("{minutes} minutes"),
        _ => format!("{} hours", (minutes + 30) / 60),
    }
}

/// What happened, to be read after the name of the code: `was redeemed 14 times in 15 minutes by at least 8 customers;
/// about 0.4 were expected`.
pub fn sentence(alert: &Alert) -> String {
    let customers = if alert.customers >= 8 { "at least 8".to_owned() } else { alert.customers.to_string() };
    format!(
        "was redeemed {} times in {} by {customers} customers; {} were expected",
        alert.observed,
        span(alert.from, alert.to),
        expected(alert.expected)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::CodeId;
    use domain::spikes::Statistic;

    #[test]
    fn a_spike_is_told_in_words() {
        let alert = |observed, number, minutes: i64, customers| Alert {
            id: 1,
            code: CodeId(1),
            first_crossing: Timestamp(0),
            statistic: Statistic::Window { minutes: 15 },
            from: Timestamp(0),
            to: Timestamp(minutes * 60_000),
            observed,
            expected: number,
            customers,
        };
        let words = |observed, number, minutes, customers| sentence(&alert(observed, number, minutes, customers));
        assert_eq!(
            words(14, 0.42, 15, 8),
            "was redeemed 14 times in 15 minutes by at least 8 customers; about 0.4 were expected"
        );
        assert_eq!(
            words(6, 0.01, 60, 3),
            "was redeemed 6 times in 60 minutes by 3 customers; almost none were expected"
        );
        assert_eq!(
            words(90, 30.2, 371, 8),
            "was redeemed 90 times in 6 hours by at least 8 customers; about 30 were expected"
        );
        assert!(words(9, 2.0, 15, 4).ends_with("about 2 were expected"));
        assert!(words(90, 9.99, 15, 4).ends_with("about 10 were expected"));
    }
}
