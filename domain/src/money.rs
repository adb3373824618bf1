//! Money: integer minor units with their currency. No float, no conversion.
//!
//! Digits come from the list of the payment providers (reference: Stripe's currency
//! page, Paddle's and Lemon Squeezy's normalised to it), never from a crate.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The largest absolute amount in minor units that is accepted anywhere.
pub const MAX_AMOUNT: i64 = 1_000_000_000_000_000;

/// A three-letter currency code in lower case, as Stripe writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

const ZERO_DIGITS: [&str; 15] =
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"];
const THREE_DIGITS: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];
/// ISO 4217 codes with two display digits here (ISK, UGX, HUF and TWD included, as charged).
const TWO_DIGITS: &str = "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob bov brl bsd btn bwp byn bzd cad cdf che chf chw clf cnh cny cop cou crc cup cve czk dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs gip gmd gtq gyd hkd hnl htg huf idr ils inr iqd irr isk jmd kes kgs khr kpw kyd kzt lak lbp lkr lrd lsl lyd mad mdl mkd mmk mnt mop mru mur mvr mwk mxn mxv myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sdg sek sgd shp sle sll sos srd ssp std stn svc syp szl thb tjs tmt top try ttd twd tzs uah ugx usd usn uyi uyu uyw uzs ved ves wst xcd xcg xdr yer zar zmw zwg zwl";

impl Currency {
    /// Normalises a provider's code: three ASCII letters of either case.
    /// `None` for anything else; such an amount is refused.
    pub fn parse(text: &str) -> Option<Currency> {
        let bytes: [u8; 3] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphabetic).then(|| Currency(bytes.map(|byte| byte.to_ascii_lowercase())))
    }

    /// The code in lower case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three ASCII letters")
    }

    /// The code as bytes, as the warehouse stores it.
    pub fn bytes(&self) -> [u8; 3] {
        self.0
    }

    /// How many digits of the minor unit are shown after the point. `None` for a
    /// three-letter code that is not in the list: it is counted and shown as raw minor units.
    pub fn minor_digits(&self) -> Option<u8> {
        let code = self.as_str();
        if ZERO_DIGITS.contains(&code) {
            Some(0)
        } else if THREE_DIGITS.contains(&code) {
            Some(3)
        } else if TWO_DIGITS.split(' ').any(|known| known == code) {
            Some(2)
        } else {
            None
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Currency::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a currency code")))
    }
}

/// `a * b / c` rounded half up, in integers: `(2ab + c) / (2c)`. `c` must be positive.
/// Half up means towards positive infinity, also for negative products. A share of accepted
/// amounts always fits; anything else saturates, because no event may stop a partition.
pub fn round_half_up(a: i64, b: i64, c: i64) -> i64 {
    debug_assert!(c > 0, "the divisor of a share is positive");
    let (product, divisor) = (i128::from(a) * i128::from(b), i128::from(c.max(1)));
    let up = 2 * product.rem_euclid(divisor) >= divisor;
    let share = product.div_euclid(divisor) + i128::from(up);
    i64::try_from(share).unwrap_or(if share > 0 { i64::MAX } else { i64::MIN })
}

/// Whether an amount is within what is accepted anywhere.
pub fn is_accepted_amount(amount: i64) -> bool {
    amount.unsigned_abs() <= MAX_AMOUNT.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_the_providers() {
        for (code, digits) in
            [("JPY", Some(0)), ("usd", Some(2)), ("KWD", Some(3)), ("isk", Some(2)), ("ugx", Some(2)), ("zzz", None)]
        {
            assert_eq!(Currency::parse(code).unwrap().minor_digits(), digits, "{code}");
        }
        assert_eq!(Currency::parse("us"), None);
        assert_eq!(Currency::parse("u$d"), None);
    }

    #[test]
    fn halves_go_up() {
        assert_eq!(round_half_up(3920, 2000, 4665), 1681);
        assert_eq!(round_half_up(1, 1, 2), 1);
        assert_eq!(round_half_up(-1, 1, 2), 0);
        assert_eq!(round_half_up(MAX_AMOUNT, MAX_AMOUNT, MAX_AMOUNT), MAX_AMOUNT);
        assert_eq!(round_half_up(i64::MIN, i64::MIN, i64::MAX), i64::MAX, "saturates");
        assert_eq!(round_half_up(i64::MIN, i64::MAX, 1), i64::MIN, "saturates");
    }
}
