//! What the codes of a vendor share: its week, its mean level, how many codes are in use.
#![allow(clippy::float_arithmetic, reason = "rates of counts; no money is computed here")]

use domain::decision::Campaign;
use domain::decisions::VendorDecisions;
use domain::ids::{Timestamp, VendorId};
use domain::spikes::{Curve, LocalClock, Season, VendorContext, VendorHabits};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) const DAY_MS: i64 = 86_400_000;
/// A code that was redeemed within so many days is in use.
const ACTIVE_DAYS: i64 = 30;
/// A vendor that is watched for less than this is not known yet.
const YOUNG_MS: i64 = 7 * DAY_MS;
/// Redemptions an hour and code that are assumed of a vendor that is not known yet, at least: without it the first
/// customers of everybody who connects would be a spike.
const LEVEL_OF_THE_YOUNG: f32 = 1.0;
/// Redemptions that are older when they arrive are not counted as habits: a single old one would make the time since then
/// look quiet. A backfill brings thirty days.
const OLDEST_HABIT_MS: i64 = 35 * DAY_MS;
/// Habits are looked at again when there are so many times more of them, not only once a day: a history may come at once.
const GROWN_BY: u64 = 2;
/// And when there are at least so many.
const FIRST_LOOK: u64 = 50;
/// Announced campaigns that count: the last ones.
const MOST_CAMPAIGNS: usize = 50;
/// Between these, half a century, a zone's changes are known.
const CLOCK_FROM: Timestamp = Timestamp(1_420_070_400_000);
const CLOCK_TO: Timestamp = Timestamp(2_998_000_000_000);

/// As it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stored {
    habits: VendorHabits,
    /// Provider time of the oldest redemption that is counted.
    began_at: Timestamp,
    /// Redemptions that were counted as habits.
    counted: u64,
    /// From so many on they are looked at again.
    look_at: u64,
    /// The day of the last look.
    looked_day: i64,
    season: Season,
    mean_level: f32,
    active_codes: u32,
    /// Codes by the day on which they were last seen; the last [`ACTIVE_DAYS`] only.
    seen: BTreeMap<i64, u32>,
    zone: String,
}

/// A vendor as the detector sees it.
pub(super) struct Vendor {
    id: VendorId,
    stored: Stored,
    curve: Curve,
    clock: LocalClock,
}

impl Vendor {
    /// Before its first redemption.
    pub fn new(id: VendorId, first_at: Timestamp, arrived_at: Timestamp) -> Vendor {
        let season = Season::typical();
        let first_at = Timestamp(first_at.0.clamp(arrived_at.0.saturating_sub(OLDEST_HABIT_MS), arrived_at.0));
        let stored = Stored {
            habits: VendorHabits::new(first_at),
            began_at: first_at,
            counted: 0,
            look_at: FIRST_LOOK,
            looked_day: 0,
            season,
            mean_level: LEVEL_OF_THE_YOUNG,
            active_codes: 1,
            seen: BTreeMap::new(),
            zone: "UTC".to_owned(),
        };
        Vendor { id, stored, curve: season.curve(), clock: LocalClock::fixed(0) }
    }

    /// From what was stored; none if that cannot be read, so that it begins anew.
    pub fn read(id: VendorId, bytes: &[u8]) -> Option<Vendor> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        let (curve, clock) = (stored.season.curve(), clock_of(&stored.zone));
        Some(Vendor { id, stored, curve, clock })
    }

    /// To be stored.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.stored).expect("its keys are numbers and words")
    }

    /// Follows the vendor's zone.
    pub fn set_zone(&mut self, decisions: &VendorDecisions) {
        let zone = decisions.policy.as_ref().map_or("UTC", |policy| policy.time_zone.as_str());
        if zone != self.stored.zone {
            self.stored.zone = zone.to_owned();
            self.clock = clock_of(zone);
        }
    }

    /// What the detector is told.
    pub fn context<'a>(&'a self, campaigns: &'a [Campaign]) -> VendorContext<'a> {
        VendorContext {
            vendor: self.id,
            mean_level: f64::from(self.stored.mean_level),
            active_codes: self.stored.active_codes,
            curve: &self.curve,
            clock: &self.clock,
            campaigns: &campaigns[campaigns.len().saturating_sub(MOST_CAMPAIGNS)..],
        }
    }

    /// A code that was seen on one day is seen on another.
    pub fn see(&mut self, before: Option<i64>, today: i64) {
        if let Some(count) = before.and_then(|day| self.stored.seen.get_mut(&day)) {
            *count = count.saturating_sub(1);
        }
        *self.stored.seen.entry(today).or_default() += 1;
        let oldest = self.stored.seen.last_key_value().map_or(today, |(last, _)| *last) - ACTIVE_DAYS;
        self.stored.seen.retain(|day, count| *day > oldest && *count > 0);
    }

    /// Counts a redemption that is taken for usual.
    pub fn count(&mut self, at: Timestamp, arrived_at: Timestamp) {
        let at = Timestamp(at.0.min(arrived_at.0));
        if arrived_at.0 - at.0 > OLDEST_HABIT_MS {
            return;
        }
        self.stored.began_at = self.stored.began_at.min(at);
        self.stored.habits.add(at, &self.clock);
        self.stored.counted += 1;
    }

    /// Looks at the habits again, about daily. After the redemption is judged: what waits was judged by the same habits
    /// as if somebody had asked before.
    pub fn look_again(&mut self, arrived_at: Timestamp) {
        let today = arrived_at.0.div_euclid(DAY_MS);
        if today <= self.stored.looked_day && self.stored.counted < self.stored.look_at {
            return;
        }
        let stored = &mut self.stored;
        stored.looked_day = stored.looked_day.max(today);
        stored.look_at = stored.counted.saturating_mul(GROWN_BY).max(FIRST_LOOK);
        stored.active_codes = stored.seen.values().sum::<u32>().max(1);
        let mean = stored.habits.rate_per_hour(arrived_at) / f64::from(stored.active_codes);
        // A few old sales are no history of a week.
        let is_young = arrived_at.0.saturating_sub(stored.began_at.0) < YOUNG_MS || stored.counted < FIRST_LOOK;
        stored.mean_level = if is_young { (mean as f32).max(LEVEL_OF_THE_YOUNG) } else { mean as f32 };
        stored.season = stored.habits.season(&Season::typical());
        self.curve = stored.season.curve();
    }
}

fn clock_of(zone: &str) -> LocalClock {
    LocalClock::of_zone(&TimeZone::get(zone).unwrap_or(TimeZone::UTC), CLOCK_FROM, CLOCK_TO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_790_000_000_000;

    fn fed(days: i64, codes: i64, a_day: i64) -> Vendor {
        let mut vendor = Vendor::new(VendorId(1), Timestamp(START), Timestamp(START));
        let mut seen: BTreeMap<i64, i64> = BTreeMap::new();
        for day in 0..days {
            for one in 0..a_day {
                let at = Timestamp(START + day * DAY_MS + one * DAY_MS / a_day);
                let today = at.0.div_euclid(DAY_MS);
                vendor.see(seen.insert(one % codes, today), today);
                vendor.count(at, at);
                vendor.look_again(at);
            }
        }
        vendor
    }

    #[test]
    fn codes_in_use_and_their_level_are_learned() {
        let vendor = fed(20, 4, 48);
        assert_eq!(vendor.stored.active_codes, 4);
        assert!((vendor.stored.mean_level - 0.5).abs() < 0.05, "{}", vendor.stored.mean_level);
        assert!((fed(6, 4, 48).stored.mean_level - LEVEL_OF_THE_YOUNG).abs() < 1e-6, "not known yet");
    }

    #[test]
    fn a_code_that_is_not_used_any_more_is_not_in_use() {
        let mut vendor = fed(20, 4, 48);
        let later = Timestamp(START + 60 * DAY_MS);
        vendor.see(Some(START.div_euclid(DAY_MS) + 19), later.0.div_euclid(DAY_MS));
        vendor.look_again(later);
        assert_eq!(vendor.stored.active_codes, 1);
        assert_eq!(vendor.stored.seen.len(), 1, "what is kept is bounded");
    }

    #[test]
    fn a_history_that_comes_at_once_is_learned_at_once() {
        let mut vendor = Vendor::new(VendorId(1), Timestamp(START), Timestamp(START));
        let now = Timestamp(START);
        for day in 0..21 {
            for hour in 0..6 {
                vendor.see((day + hour > 0).then(|| now.0.div_euclid(DAY_MS)), now.0.div_euclid(DAY_MS));
                vendor.count(Timestamp(START - day * DAY_MS - hour * DAY_MS / 6), now);
                vendor.look_again(now);
            }
        }
        assert!((vendor.stored.mean_level - 0.25).abs() < 0.05, "{}", vendor.stored.mean_level);
    }

    #[test]
    fn a_few_old_sales_are_no_history() {
        let now = Timestamp(START);
        let mut vendor = Vendor::new(VendorId(1), Timestamp(START - 240 * DAY_MS), now);
        for day in [240, 34, 20, 0] {
            vendor.see(None, now.0.div_euclid(DAY_MS));
            vendor.count(Timestamp(START - day * DAY_MS), now);
            vendor.look_again(now);
        }
        assert!((vendor.stored.mean_level - LEVEL_OF_THE_YOUNG).abs() < 1e-6, "{}", vendor.stored.mean_level);
        assert_eq!(vendor.stored.counted, 3, "what is older than a backfill is not counted");
    }

    #[test]
    fn what_is_stored_is_everything() {
        let mut vendor = fed(9, 3, 30);
        let mut decisions = VendorDecisions::default();
        decisions.policy = Some(domain::decision::SetPolicy { time_zone: "Europe/Berlin".to_owned(), hold_days: 30 });
        vendor.set_zone(&decisions);
        let again = Vendor::read(VendorId(1), &vendor.bytes()).unwrap();
        assert_eq!((&again.stored, &again.curve, &again.clock), (&vendor.stored, &vendor.curve, &vendor.clock));
        assert_ne!(again.clock, LocalClock::fixed(0));
        assert!(Vendor::read(VendorId(1), b"{}").is_none());
    }
}
