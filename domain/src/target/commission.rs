//! Commission on cumulative targets: what an affiliate has earned once so much was taken back.

use super::history::Place;
use crate::decision::{Base, Duration, Rate, SetRule};
use crate::fact::Sale;
use crate::ids::Timestamp;
use crate::money::{MAX_AMOUNT, round_half_up};

/// 100 % in parts per million. Rates and flat amounts are checked where they are decided; here
/// they are only kept from overflowing.
const WHOLE_PPM: u32 = 1_000_000;

/// Commission after `gross_back` and `net_back` were taken back.
///
/// Percent: `round_half_up(base * ppm / 10^6)`. Flat: `round_half_up(flat * base / full base)`.
/// Booked as differences of this, parts always add up and a full refund comes to zero.
pub fn commission_of(rule: &SetRule, sale: &Sale, gross_back: i64, net_back: i64) -> i64 {
    let (full, left) = match rule.base {
        Base::Net => (sale.net, sale.net - net_back),
        Base::Gross => (sale.gross, sale.gross - gross_back),
    };
    if full <= 0 || sale.paid <= 0 {
        return 0;
    }
    match &rule.rate {
        None => 0,
        Some(Rate::Percent { ppm }) => round_half_up(left, i64::from((*ppm).min(WHOLE_PPM)), i64::from(WHOLE_PPM)),
        Some(Rate::Flat { amounts }) => {
            let flat = amounts.get(&sale.currency).copied().unwrap_or_default();
            round_half_up(flat.clamp(-MAX_AMOUNT, MAX_AMOUNT), left, full)
        }
    }
}

/// Whether the rule's duration reaches a sale.
pub(super) fn reaches(rule: &SetRule, occurred_at: Timestamp, place: &Place) -> bool {
    match rule.duration {
        Duration::Life => true,
        Duration::FirstPayment => place.first_payment,
        Duration::Months(months) => place.first_paid_at.is_none_or(|first| occurred_at < add_months(first, months)),
    }
}

/// N calendar months later in UTC; the 31st becomes the last day of a shorter month.
pub(super) fn add_months(from: Timestamp, months: u16) -> Timestamp {
    let Ok(instant) = jiff::Timestamp::from_millisecond(from.0) else { return Timestamp(i64::MAX) };
    let moved = instant.to_zoned(jiff::tz::TimeZone::UTC).checked_add(jiff::Span::new().months(i64::from(months)));
    moved.map_or(Timestamp(i64::MAX), |zoned| Timestamp(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_calendar_months() {
        let at = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        assert_eq!(add_months(at("2025-01-31T10:00:00Z"), 1), at("2025-02-28T10:00:00Z"));
        assert_eq!(add_months(at("2024-01-31T10:00:00Z"), 1), at("2024-02-29T10:00:00Z"));
        assert_eq!(add_months(at("2025-11-30T00:00:00Z"), 3), at("2026-02-28T00:00:00Z"));
    }
}
