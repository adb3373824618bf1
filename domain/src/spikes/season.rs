//! The vendor's week: how busy each hour of the day and each day of the week is.

use super::local_clock::WEEK_HOURS;
use super::{HOUR_MS, LocalClock};
use crate::ids::Timestamp;
use serde::{Deserialize, Serialize};

const DAY_HOURS: usize = 24;
const WEEK_DAYS: usize = 7;
/// 24 hours of the day, then 7 days of the week.
const FACTORS: usize = DAY_HOURS + WEEK_DAYS;
/// Redemptions after which a vendor's own habits weigh as much as the platform's.
const PLATFORM_WEIGHT: f64 = 200.0;
/// After so many hours a counted redemption weighs half.
const HALF_LIFE_HOURS: f64 = 60.0 * 24.0;
/// Steps of the stored factors: one is 3.2 %, the range is a 54th to 53 times.
const STEPS_PER_E: f64 = 32.0;
const STEP_OF_ONE: f64 = 128.0;

/// Factors of the hours of the day and the days of the week, each one byte on a logarithmic scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Season {
    factors: [u8; FACTORS],
}

impl Season {
    /// Every hour alike.
    pub fn flat() -> Season {
        Season { factors: [STEP_OF_ONE as u8; FACTORS] }
    }

    /// What is taken for the platform's curve before there is one: an assumption about people who buy software,
    /// quiet nights and weekends. 200 redemptions outweigh it.
    pub fn typical() -> Season {
        let hours = [
            0.5, 0.35, 0.3, 0.25, 0.25, 0.3, 0.45, 0.7, 1.0, 1.3, 1.5, 1.5, 1.4, 1.4, 1.5, 1.5, 1.4, 1.3, 1.2, 1.2,
            1.2, 1.2, 1.0, 0.75,
        ];
        Season::from_factors(&hours, &[1.1, 1.15, 1.15, 1.1, 1.05, 0.7, 0.75])
    }

    /// From factors around one.
    pub fn from_factors(hours: &[f64; DAY_HOURS], days: &[f64; WEEK_DAYS]) -> Season {
        let mut season = Season::flat();
        for (stored, factor) in season.factors.iter_mut().zip(hours.iter().chain(days)) {
            // The cast saturates, and a factor of nothing becomes the smallest one.
            *stored = (STEP_OF_ONE + STEPS_PER_E * factor.ln()).round() as u8;
        }
        season
    }

    /// The factors as they are stored, 24 hours and 7 days.
    pub fn as_bytes(&self) -> &[u8; FACTORS] {
        &self.factors
    }

    /// From stored factors.
    pub fn from_bytes(factors: [u8; FACTORS]) -> Season {
        Season { factors }
    }

    fn factor(&self, index: usize) -> f64 {
        ((f64::from(self.factors[index]) - STEP_OF_ONE) / STEPS_PER_E).exp()
    }

    /// The factors of all hours of a week, with a mean of one.
    pub fn curve(&self) -> Curve {
        let mut hours = [0.0; WEEK_HOURS];
        for (index, hour) in hours.iter_mut().enumerate() {
            *hour = self.factor(index % DAY_HOURS) * self.factor(DAY_HOURS + index / DAY_HOURS);
        }
        Curve::of_hours(hours)
    }
}

/// A [`Season`] unfolded: the factor of each hour of the week and their running sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    hours: [f64; WEEK_HOURS],
    before: [f64; WEEK_HOURS],
}

impl Curve {
    /// From the factors of the hours from Monday 00:00 on; they are scaled to a mean of one.
    pub fn of_hours(mut hours: [f64; WEEK_HOURS]) -> Curve {
        let mean = hours.iter().sum::<f64>() / WEEK_HOURS as f64;
        hours.iter_mut().for_each(|hour| *hour /= mean);
        let mut before = [0.0; WEEK_HOURS];
        for hour in 1..WEEK_HOURS {
            before[hour] = before[hour - 1] + hours[hour - 1];
        }
        Curve { hours, before }
    }

    /// The factor of an hour of the week.
    pub fn factor(&self, hour_of_week: usize) -> f64 {
        self.hours[hour_of_week % WEEK_HOURS]
    }

    /// The sum of factors over a span of milliseconds since a Monday at 00:00: hours of mean activity.
    pub(super) fn between(&self, from_ms: i64, to_ms: i64) -> f64 {
        let week_ms = WEEK_HOURS as i64 * HOUR_MS;
        let weeks = to_ms.div_euclid(week_ms) - from_ms.div_euclid(week_ms);
        weeks as f64 * WEEK_HOURS as f64 + self.since_monday(to_ms.rem_euclid(week_ms))
            - self.since_monday(from_ms.rem_euclid(week_ms))
    }

    fn since_monday(&self, ms: i64) -> f64 {
        let hour = (ms / HOUR_MS) as usize;
        self.before[hour] + self.hours[hour] * ((ms % HOUR_MS) as f64 / HOUR_MS as f64)
    }
}

/// What is counted of a vendor's redemptions to learn its season and the mean level of its codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VendorHabits {
    counts: Vec<f32>,
    began_hour: i64,
    until_hour: i64,
}

impl VendorHabits {
    /// Nothing counted yet, from this moment on.
    pub fn new(began: Timestamp) -> VendorHabits {
        let hour = began.0.div_euclid(HOUR_MS);
        VendorHabits { counts: vec![0.0; FACTORS], began_hour: hour, until_hour: hour }
    }

    /// Counts a redemption. Leave those out whose code is not learning (`CodeState::is_learning`).
    pub fn add(&mut self, at: Timestamp, clock: &LocalClock) {
        let hour = at.0.div_euclid(HOUR_MS);
        // A history that is handed in later belongs to the time that is counted too.
        self.began_hour = self.began_hour.min(hour);
        if hour > self.until_hour {
            let kept = decay((hour - self.until_hour) as f64) as f32;
            self.counts.iter_mut().for_each(|count| *count *= kept);
            self.until_hour = hour;
        }
        let hour_of_week = clock.hour_of_week(at);
        let weight = decay((self.until_hour - hour) as f64) as f32;
        for index in [hour_of_week % DAY_HOURS, DAY_HOURS + hour_of_week / DAY_HOURS] {
            if let Some(count) = self.counts.get_mut(index) {
                *count += weight;
            }
        }
    }

    /// The season: the vendor's own shares, drawn to the platform's.
    pub fn season(&self, platform: &Season) -> Season {
        let mut hours = [1.0; DAY_HOURS];
        let mut days = [1.0; WEEK_DAYS];
        self.shrink(0, platform, &mut hours);
        self.shrink(DAY_HOURS, platform, &mut days);
        Season::from_factors(&hours, &days)
    }

    fn shrink(&self, first: usize, platform: &Season, factors: &mut [f64]) {
        let counted = |index: usize| self.counts.get(first + index).map_or(0.0, |count| f64::from(*count));
        let many = factors.len() as f64;
        let total: f64 = (0..factors.len()).map(counted).sum();
        let platform_total: f64 = (0..factors.len()).map(|index| platform.factor(first + index)).sum();
        for (index, factor) in factors.iter_mut().enumerate() {
            let share = platform.factor(first + index) / platform_total;
            *factor = many * (counted(index) + PLATFORM_WEIGHT * share) / (total + PLATFORM_WEIGHT);
        }
    }

    /// Redemptions an hour of all codes together, up to a moment.
    pub fn rate_per_hour(&self, now: Timestamp) -> f64 {
        let hour = now.0.div_euclid(HOUR_MS).max(self.until_hour);
        let kept = decay((hour - self.until_hour) as f64);
        let total: f64 = self.counts.iter().take(DAY_HOURS).map(|count| f64::from(*count)).sum();
        let hours = (1.0 - decay((hour - self.began_hour) as f64)) * HALF_LIFE_HOURS / std::f64::consts::LN_2;
        total * kept / hours.max(1.0)
    }
}

fn decay(hours: f64) -> f64 {
    (-hours / HALF_LIFE_HOURS).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_survive_their_byte_within_two_percent() {
        let hours: [f64; 24] = std::array::from_fn(|hour| 0.1 + hour as f64 * 0.3);
        let season = Season::from_factors(&hours, &[1.0; 7]);
        for (index, factor) in hours.iter().enumerate() {
            assert!((season.factor(index) / factor - 1.0).abs() < 0.02, "{factor}");
        }
        assert_eq!(Season::from_bytes(*season.as_bytes()), season);
        assert_eq!(Season::from_factors(&[0.0; 24], &[1e9; 7]).as_bytes()[23..25], [0, 255]);
    }

    #[test]
    fn a_week_of_any_season_is_a_week() {
        let curve = Season::typical().curve();
        let week_ms = 168 * HOUR_MS;
        assert!((curve.between(12_345_678, 12_345_678 + week_ms) - 168.0).abs() < 1e-9);
        let night = curve.between(3 * HOUR_MS, 4 * HOUR_MS);
        assert!((night - curve.factor(3)).abs() < 1e-12 && night < 0.5);
        let parts = curve.between(-HOUR_MS / 3, 5 * HOUR_MS) + curve.between(5 * HOUR_MS, 5 * week_ms);
        assert!((parts - curve.between(-HOUR_MS / 3, 5 * week_ms)).abs() < 1e-9);
    }

    #[test]
    fn habits_outweigh_the_platform_slowly() {
        let clock = LocalClock::fixed(0);
        let mut habits = VendorHabits::new(Timestamp(0));
        let platform = Season::flat();
        assert_eq!(habits.season(&platform), platform);
        // All redemptions at 09:00, one each minute of that hour.
        for day in 0..100 {
            for minute in 0..20 {
                habits.add(Timestamp(day * 24 * HOUR_MS + 9 * HOUR_MS + minute * 60_000), &clock);
            }
        }
        let season = habits.season(&platform);
        assert!(season.factor(9) > 15.0 && season.factor(10) < 0.3, "{} {}", season.factor(9), season.factor(10));
        let rate = habits.rate_per_hour(Timestamp(100 * 24 * HOUR_MS));
        assert!((rate - 20.0 / 24.0).abs() < 0.02, "{rate}");
    }

    #[test]
    fn a_history_handed_in_backwards_has_the_same_rate() {
        let clock = LocalClock::fixed(0);
        let at = |hour: i64| Timestamp(hour * HOUR_MS);
        let (mut forwards, mut backwards) = (VendorHabits::new(at(0)), VendorHabits::new(at(999)));
        for hour in 0..1_000 {
            forwards.add(at(hour), &clock);
            backwards.add(at(999 - hour), &clock);
        }
        let (one, other) = (forwards.rate_per_hour(at(1_000)), backwards.rate_per_hour(at(1_000)));
        assert!((one - 1.0).abs() < 0.01 && (one - other).abs() < 0.01, "{one} {other}");
    }
}
