//! Amounts as cells: integers only.

use domain::money::Currency;

/// How many digits stand after the point; none for a currency that nobody knows, whose amounts stay in minor units.
pub(super) fn digits(currency: Currency) -> u8 {
    currency.minor_digits().unwrap_or(0)
}

/// `USD`, or `ZZZ minor units` as on pages.
pub(super) fn unit(currency: Currency) -> String {
    let code = currency.as_str().to_ascii_uppercase();
    if currency.minor_digits().is_none() { format!("{code} minor units") } else { code }
}

/// `-1234.50`: a plain minus, a point, as many decimals as the currency has, and nothing between thousands.
pub(super) fn decimal(minor: i64, digits: u8) -> String {
    let digits = usize::from(digits);
    let sign = if minor < 0 { "-" } else { "" };
    let padded = format!("{:0>width$}", minor.unsigned_abs(), width = digits + 1);
    let (whole, fraction) = padded.split_at(padded.len() - digits);
    if digits == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        for (minor, code, text) in [
            (0, "usd", "0.00"),
            (-5, "usd", "-0.05"),
            (123_456_789, "eur", "1234567.89"),
            (-100, "usd", "-1.00"),
            (1_500, "jpy", "1500"),
            (-1_500, "jpy", "-1500"),
            (1, "kwd", "0.001"),
            (-1_234_567, "kwd", "-1234.567"),
            (1_234, "zzz", "1234"),
            (i64::MIN, "usd", "-92233720368547758.08"),
        ] {
            assert_eq!(decimal(minor, digits(Currency::parse(code).unwrap())), text);
        }
    }

    #[test]
    fn raw_minor_units_say_so() {
        assert_eq!(unit(Currency::parse("usd").unwrap()), "USD");
        assert_eq!(unit(Currency::parse("zzz").unwrap()), "ZZZ minor units");
    }
}
