//! Amounts as text: integers only, currency always visible.

use domain::money::Currency;
use std::fmt;

/// U+2212, as wide as a digit.
const MINUS: char = '−';

/// An amount in minor units beside its currency. `Display` is plain text, `1,234.50 USD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// Signed minor units.
    pub minor: i64,
    /// Of what.
    pub currency: Currency,
}

impl Money {
    /// An amount.
    pub fn new(minor: i64, currency: Currency) -> Money {
        Money { minor, currency }
    }

    /// The number: `−1,234.50`. Raw minor units when the currency's digits are not known.
    pub fn amount(&self) -> String {
        let digits = usize::from(self.currency.minor_digits().unwrap_or(0));
        let padded = format!("{:0>width$}", self.minor.unsigned_abs(), width = digits + 1);
        let (whole, fraction) = padded.split_at(padded.len() - digits);
        let mut text = String::new();
        if self.minor < 0 {
            text.push(MINUS);
        }
        text.push_str(&grouped(whole));
        if digits > 0 {
            text.push('.');
            text.push_str(fraction);
        }
        text
    }

    /// `USD`, or `ZZZ minor units` when nobody knows how many digits ZZZ has.
    pub fn unit(&self) -> String {
        let code = self.currency.as_str().to_ascii_uppercase();
        if self.is_raw() { format!("{code} minor units") } else { code }
    }

    /// The currency's digits are not known: the amount is shown as raw minor units.
    pub fn is_raw(&self) -> bool {
        self.currency.minor_digits().is_none()
    }

    /// The same as markup, with number and currency apart. Safe: it is made of digits and letters only.
    pub fn html(&self) -> String {
        let note = if self.is_raw() {
            " title=\"The number of decimals of this currency is not known, so the amount is in its smallest unit.\""
        } else {
            ""
        };
        let sign = match self.minor {
            0 => " is-zero",
            ..0 => " is-negative",
            _ => "",
        };
        format!(
            "<span class=\"money{sign}\"{note}><span class=\"amount\">{}</span> <span class=\"unit\">{}</span></span>",
            self.amount(),
            self.unit()
        )
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.unit())
    }
}

/// A count with groups of three digits: `12,345`.
pub fn count(number: i64) -> String {
    let sign = if number < 0 { MINUS.to_string() } else { String::new() };
    sign + &grouped(&number.unsigned_abs().to_string())
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, code: &str) -> String {
        Money::new(minor, Currency::parse(code).unwrap()).to_string()
    }

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        for (minor, code, text) in [
            (0, "usd", "0.00 USD"),
            (5, "usd", "0.05 USD"),
            (-5, "usd", "−0.05 USD"),
            (99, "eur", "0.99 EUR"),
            (100, "eur", "1.00 EUR"),
            (123_450, "usd", "1,234.50 USD"),
            (-123_456_789, "usd", "−1,234,567.89 USD"),
            (1500, "jpy", "1,500 JPY"),
            (0, "jpy", "0 JPY"),
            (1, "kwd", "0.001 KWD"),
            (1_234_567, "kwd", "1,234.567 KWD"),
            (1234, "zzz", "1,234 ZZZ minor units"),
            (i64::MAX, "usd", "92,233,720,368,547,758.07 USD"),
            (i64::MIN, "usd", "−92,233,720,368,547,758.08 USD"),
            (i64::MIN, "jpy", "−9,223,372,036,854,775,808 JPY"),
        ] {
            assert_eq!(money(minor, code), text);
        }
    }

    #[test]
    fn markup_keeps_number_and_currency_apart() {
        let usd = Money::new(-1, Currency::parse("usd").unwrap()).html();
        assert_eq!(
            usd,
            "<span class=\"money is-negative\"><span class=\"amount\">−0.01</span> <span class=\"unit\">USD</span></span>"
        );
        assert!(Money::new(1, Currency::parse("zzz").unwrap()).html().contains("smallest unit"));
    }

    #[test]
    fn counts_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "−1,234,567")] {
            assert_eq!(count(number), text);
        }
    }
}
