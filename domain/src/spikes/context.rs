//! What is known about the vendor when a redemption is judged.

use super::{Curve, HOUR_MS, LocalClock};
use crate::decision::Campaign;
use crate::ids::{CodeId, Timestamp, VendorId};

/// Redemptions an hour below which a mean level is not believed: one in more than a year.
const SMALLEST_LEVEL: f64 = 1e-4;
/// False alarms a year that a vendor puts up with: one a month, over all codes and both statistics.
const ALARMS_PER_VENDOR_YEAR: f64 = 12.0;

/// The vendor of a code.
#[derive(Debug, Clone, Copy)]
pub struct VendorContext<'a> {
    /// Whose code.
    pub vendor: VendorId,
    /// Mean redemptions an hour of the vendor's codes: where a new code starts from.
    pub mean_level: f64,
    /// Codes that are in use: they share the vendor's false alarms.
    pub active_codes: u32,
    /// The vendor's week.
    pub curve: &'a Curve,
    /// The vendor's time zone.
    pub clock: &'a LocalClock,
    /// What was announced.
    pub campaigns: &'a [Campaign],
}

impl VendorContext<'_> {
    /// Hours of mean activity from one moment to another, announced campaigns included.
    pub(super) fn hours_between(&self, code: CodeId, from_ms: i64, to_ms: i64) -> f64 {
        let mut hours = self.season_hours(from_ms, to_ms);
        for campaign in self.campaigns_of(code) {
            let (from, to) = (from_ms.max(campaign.from.0), to_ms.min(campaign.to.0));
            if from < to {
                hours += extra(campaign) * self.season_hours(from, to);
            }
        }
        hours
    }

    fn season_hours(&self, from_ms: i64, to_ms: i64) -> f64 {
        let mut hours = 0.0;
        self.clock.local_pieces(from_ms, to_ms, |from, to| hours += self.curve.between(from, to));
        hours
    }

    /// How much busier than its mean a code is expected to be at a moment.
    pub(super) fn factor_at(&self, code: CodeId, at_ms: i64) -> f64 {
        let mut factor = 1.0;
        for campaign in self.campaigns_of(code).filter(|one| one.from.0 <= at_ms && at_ms < one.to.0) {
            factor += extra(campaign);
        }
        factor * self.curve.factor(self.clock.hour_of_week(Timestamp(at_ms)))
    }

    /// Whether more is announced for any part of a span.
    pub(super) fn is_announced(&self, code: CodeId, from_ms: i64, to_ms: i64) -> bool {
        self.campaigns_of(code).any(|one| one.from.0 < to_ms && from_ms < one.to.0 && extra(one) > 0.0)
    }

    fn campaigns_of(&self, code: CodeId) -> impl Iterator<Item = &Campaign> {
        self.campaigns.iter().filter(move |campaign| campaign.code_id.is_none_or(|one| one == code))
    }

    /// The mean level, never nothing.
    pub(super) fn believable_level(&self) -> f64 {
        self.mean_level.max(SMALLEST_LEVEL)
    }
}

/// What a campaign adds to the usual rate, as a multiple of it. Several campaigns at once add up.
fn extra(campaign: &Campaign) -> f64 {
    (f64::from(campaign.expected_percent) / 100.0 - 1.0).max(0.0)
}

/// When a code alarms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// The largest cumulative sum, in nats, reaches this.
    pub rise: f64,
    /// While it is above this the code does not learn.
    pub freeze: f64,
    /// The chance of a window's count falls below this.
    pub tail: f64,
}

/// Nats at which the sums alone alarm falsely once per year on a code with [`MEASURED_LEVEL`].
const RISE_AT_ONE_A_YEAR: f64 = 10.2;
/// Chance at which the windows alone alarm falsely once per year on such a code.
const TAIL_AT_ONE_A_YEAR: f64 = 1.3e-5;
/// Redemptions an hour.
const MEASURED_LEVEL: f64 = 2.0;
/// Busier codes have more chances to alarm falsely: so many nats per e-fold of the level.
const RISE_PER_LEVEL: f64 = 0.6;
/// The same for the windows.
const TAIL_PER_LEVEL: f64 = 0.45;
/// Beyond these levels (redemptions an hour) nothing was measured.
const LEVELS: (f64, f64) = (0.02, 1e3);
/// Fewer nats than this are no evidence, however few codes there are.
const LOWEST_RISE: f64 = 6.0;
const FREEZE: f64 = 10.0;

impl Thresholds {
    /// For a vendor with so many codes in use and a code with this level. Each statistic gets half of the false alarms.
    ///
    /// False alarms fall about e-fold with each nat and in proportion to the tail, and rise with the level; the
    /// constants are measured (`tests/spike_gates.rs`).
    pub fn new(active_codes: u32, level_per_hour: f64) -> Thresholds {
        let half = ALARMS_PER_VENDOR_YEAR / f64::from(active_codes.max(1)) / 2.0;
        let busier = (level_per_hour.clamp(LEVELS.0, LEVELS.1) / MEASURED_LEVEL).ln();
        let rise = (RISE_AT_ONE_A_YEAR - half.ln() + RISE_PER_LEVEL * busier).max(LOWEST_RISE);
        let tail = TAIL_AT_ONE_A_YEAR * half * (-TAIL_PER_LEVEL * busier).exp();
        Thresholds { rise, freeze: FREEZE.min(rise - 1.0), tail }
    }
}

/// The hour a moment lies in; moments before 1970 lie in the first.
pub(super) fn hour_of(at_ms: i64) -> u32 {
    slot_of(at_ms, HOUR_MS)
}

/// The number of the slot of this length a moment lies in.
pub(super) fn slot_of(at_ms: i64, length_ms: i64) -> u32 {
    u32::try_from(at_ms.div_euclid(length_ms).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spikes::Season;

    #[test]
    fn thresholds_follow_the_number_of_codes() {
        let twelve = Thresholds::new(12, 2.0);
        let many = Thresholds::new(12_000, 2.0);
        assert!((many.rise - twelve.rise - 1000.0_f64.ln()).abs() < 1e-9);
        assert!((many.tail * 1000.0 - twelve.tail).abs() < 1e-15);
        let one = Thresholds::new(0, 0.0);
        assert_eq!(one, Thresholds::new(1, 0.0));
        assert!(one.freeze < one.rise && one.rise >= LOWEST_RISE);
    }

    #[test]
    fn thresholds_are_higher_for_busy_codes() {
        let (rare, busy) = (Thresholds::new(12, 0.5), Thresholds::new(12, 12.0));
        assert!(rare.rise < busy.rise && rare.tail > busy.tail);
        assert_eq!(Thresholds::new(12, 1e9), Thresholds::new(12, 1e3));
    }

    #[test]
    fn campaigns_multiply_what_is_expected() {
        let curve = Season::flat().curve();
        let clock = LocalClock::fixed(0);
        let campaigns = [Campaign {
            code_id: Some(CodeId(1)),
            from: Timestamp(2 * HOUR_MS),
            to: Timestamp(4 * HOUR_MS),
            expected_percent: 500,
        }];
        let context = VendorContext {
            vendor: VendorId(1),
            mean_level: 0.0,
            active_codes: 1,
            curve: &curve,
            clock: &clock,
            campaigns: &campaigns,
        };
        let hours = |code, from, to| context.hours_between(CodeId(code), from * HOUR_MS, to * HOUR_MS);
        assert!((hours(1, 0, 6) - 14.0).abs() < 1e-9);
        assert!((hours(1, 3, 6) - 7.0).abs() < 1e-9);
        assert!((hours(2, 0, 6) - 6.0).abs() < 1e-9);
        assert!((context.factor_at(CodeId(1), 3 * HOUR_MS) - 5.0).abs() < 1e-9);
        assert!(context.is_announced(CodeId(1), 0, 3 * HOUR_MS) && !context.is_announced(CodeId(1), 0, 2 * HOUR_MS));
    }
}
