//! Rules in words.

use domain::decision::{Base, Duration, Rate, SetRule};
use domain::money::Currency;

/// Parts per million as a percentage: `12.5`.
pub fn percent(ppm: u32) -> String {
    let (whole, fraction) = (ppm / 10_000, format!("{:04}", ppm % 10_000));
    match fraction.trim_end_matches('0') {
        "" => whole.to_string(),
        digits => format!("{whole}.{digits}"),
    }
}

/// An amount of money as people type it: `4.50`. Raw minor units where the currency's digits are not known.
pub fn amount(minor: i64, currency: Currency) -> String {
    let digits = currency.minor_digits().map_or(0, usize::from);
    let padded = format!("{:0>width$}", minor.unsigned_abs(), width = digits + 1);
    let (whole, fraction) = padded.split_at(padded.len() - digits);
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{whole}{point}{fraction}", if minor < 0 { "-" } else { "" })
}

/// `20 %` or `5.00 USD`; what takes a rule away has no rate.
pub fn rate(rule: &SetRule) -> String {
    match &rule.rate {
        None => "No rule of its own".to_owned(),
        Some(Rate::Percent { ppm }) => format!("{} %", percent(*ppm)),
        Some(Rate::Flat { amounts }) => {
            let each = |(currency, minor): (&Currency, &i64)| {
                format!("{} {}", amount(*minor, *currency), currency.as_str().to_ascii_uppercase())
            };
            amounts.iter().map(each).collect::<Vec<_>>().join(", ")
        }
    }
}

/// `first payment only`, `12 months`, `for life`.
pub fn duration(duration: Duration) -> String {
    match duration {
        Duration::FirstPayment => "first payment only".to_owned(),
        Duration::Months(1) => "for 1 month".to_owned(),
        Duration::Months(months) => format!("for {months} months"),
        Duration::Life => "for life".to_owned(),
    }
}

/// All of a rule: `20 %, for life`. What is applied to the gross amount says so.
pub fn rule(rule: &SetRule) -> String {
    match (&rule.rate, rule.base) {
        (None, _) => rate(rule),
        (Some(_), Base::Net) => format!("{}, {}", rate(rule), duration(rule.duration)),
        (Some(_), Base::Gross) => format!("{} of gross, {}", rate(rule), duration(rule.duration)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_and_amounts_are_exact() {
        let shown = [200_000, 125_000, 1, 1_000_000, 333_333].map(percent);
        assert_eq!(shown, ["20", "12.5", "0.0001", "100", "33.3333"]);
        let shown = [("usd", 5), ("usd", 450), ("jpy", 450), ("kwd", -4_500)]
            .map(|(code, minor)| amount(minor, Currency::parse(code).unwrap()));
        assert_eq!(shown, ["0.05", "4.50", "450", "-4.500"]);
    }
}
