//! Learning a code's level and how much it varies, hour by hour, one hour late.

use super::context::hour_of;
use super::local_clock::WEEK_HOURS;
use super::state::{CodeState, Episode};
use super::{HOUR_MS, VendorContext};

const LEVEL_HALF_LIFE_HOURS: f64 = 14.0 * 24.0;
/// Half-life of the second memory, which follows a code that grows: the first one is weeks behind.
const RECENT_HALF_LIFE_HOURS: f64 = 2.0 * 24.0;
/// The second memory says nothing until it knows so many hours of mean activity.
const RECENT_FROM_HOURS: f64 = 24.0;
const DISPERSION_HALF_LIFE_HOURS: f64 = 30.0 * 24.0;
/// Half-life of what would become the new level if an episode lasts.
const EPISODE_HALF_LIFE_HOURS: f64 = 12.0;
/// Variance beyond Poisson, as a square of the coefficient of variation of an hour's rate.
const DISPERSION_PRIOR: f64 = 0.05;
const DISPERSION_PRIOR_WEIGHT: f64 = 200.0;
const DISPERSION_RANGE: (f64, f64) = (0.02, 2.0);
/// After the last redemption so many hours of silence still tell how much a code varies.
const LISTENED_HOURS: u32 = WEEK_HOURS as u32;
/// Minutes before the first sign of an episode that are not learned.
const DOUBTED_MINUTES_BEFORE: u32 = 60;
/// Minutes after its last sign that are not learned.
const DOUBTED_MINUTES_AFTER: u32 = 120;

/// What a code is expected to do, and how sure that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    /// Redemptions an hour of mean activity.
    pub(super) mean: f64,
    /// Redemptions it was learned from, the prior one included.
    pub(super) weight: f64,
    /// Square of the coefficient of variation of an hour.
    pub(super) dispersion: f64,
}

impl Level {
    /// The Gamma posterior: one redemption at the vendor's mean level, and what was counted since.
    pub(super) fn of(state: &CodeState, mean_level: f64) -> Level {
        Sums::of(state).level(mean_level.max(f64::MIN_POSITIVE))
    }
}

/// Redemptions and hours of mean activity, which fade; half of them are gone after the half-life.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Memory {
    pub(super) events: f32,
    pub(super) exposure: f32,
}

/// A [`Memory`] in full width while hours are learned.
#[derive(Clone, Copy, Default)]
struct Fading {
    events: f64,
    exposure: f64,
}

impl Fading {
    fn of(memory: Memory) -> Fading {
        Fading { events: f64::from(memory.events), exposure: f64::from(memory.exposure) }
    }

    fn memory(self) -> Memory {
        Memory { events: self.events as f32, exposure: self.exposure as f32 }
    }

    fn fade(&mut self, kept: f64) {
        self.events *= kept;
        self.exposure *= kept;
    }

    fn add(&mut self, count: f64, exposure: f64) {
        self.events += count;
        self.exposure += exposure;
    }
}

/// The sums of a state in full width.
#[derive(Default)]
struct Sums {
    level: Fading,
    recent: Fading,
    excess: f64,
    squares: f64,
}

impl Sums {
    fn of(state: &CodeState) -> Sums {
        Sums {
            level: Fading::of(state.level),
            recent: Fading::of(state.recent),
            excess: f64::from(state.excess),
            squares: f64::from(state.squares),
        }
    }

    fn store(&self, state: &mut CodeState) {
        state.level = self.level.memory();
        state.recent = self.recent.memory();
        state.excess = self.excess as f32;
        state.squares = self.squares as f32;
    }

    fn level(&self, mean_level: f64) -> Level {
        let dispersion = self.dispersion();
        let weight = 1.0 + self.level.events;
        let mean = weight / (mean_level.recip() + self.level.exposure);
        // The recent level counts by as much as it is surely higher: by one standard deviation.
        let deviation = (self.recent.events * (1.0 + dispersion * mean)).sqrt();
        let recent = (self.recent.events - deviation) / self.recent.exposure.max(RECENT_FROM_HOURS);
        if self.recent.exposure >= RECENT_FROM_HOURS && recent > mean {
            return Level { mean: recent, weight: 1.0 + self.recent.events, dispersion };
        }
        Level { mean, weight, dispersion }
    }

    fn dispersion(&self) -> f64 {
        let prior = DISPERSION_PRIOR * DISPERSION_PRIOR_WEIGHT;
        let estimate = (prior + self.excess) / (DISPERSION_PRIOR_WEIGHT + self.squares);
        estimate.clamp(DISPERSION_RANGE.0, DISPERSION_RANGE.1)
    }

    fn fade(&mut self, kept: Kept) {
        self.level.fade(kept.level);
        self.recent.fade(kept.recent);
        self.excess *= kept.dispersion;
        self.squares *= kept.dispersion;
    }

    fn learn(&mut self, count: f64, exposure: f64) {
        self.level.add(count, exposure);
        self.recent.add(count, exposure);
    }

    fn learn_dispersion(&mut self, count: f64, expected: f64) {
        self.excess += (count - expected) * (count - expected) - expected;
        self.squares += expected * expected;
    }
}

/// What remains of each sum.
#[derive(Clone, Copy)]
struct Kept {
    level: f64,
    recent: f64,
    dispersion: f64,
}

impl Kept {
    fn after(hours: f64) -> Kept {
        Kept {
            level: kept(hours, LEVEL_HALF_LIFE_HOURS),
            recent: kept(hours, RECENT_HALF_LIFE_HOURS),
            dispersion: kept(hours, DISPERSION_HALF_LIFE_HOURS),
        }
    }
}

fn kept(hours: f64, half_life_hours: f64) -> f64 {
    (-hours / half_life_hours).exp2()
}

/// Learns every hour that ended at least an hour before this moment.
pub(super) fn learn_until(state: &mut CodeState, context: &VendorContext, at_ms: i64) {
    let end = hour_of(at_ms).saturating_sub(1);
    if state.learned_until == 0 {
        state.learned_until = hour_of(at_ms).max(1);
    }
    let start = state.learned_until;
    if start >= end {
        return;
    }
    let listened_until = end.min(start.saturating_add(LISTENED_HOURS));
    let mut sums = Sums::of(state);
    learn_hours(state, context, &mut sums, start..listened_until, true);
    let weeks = (end - listened_until) / LISTENED_HOURS;
    learn_silent_weeks(state, context, &mut sums, listened_until, weeks);
    let rest = listened_until + weeks * LISTENED_HOURS;
    learn_hours(state, context, &mut sums, rest..end, false);
    sums.store(state);
    state.learned_until = end;
    state.hours.forget_before(end);
}

fn learn_hours(
    state: &mut CodeState,
    context: &VendorContext,
    sums: &mut Sums,
    hours: std::ops::Range<u32>,
    with_dispersion: bool,
) {
    let an_hour = Kept::after(1.0);
    let mean_level = context.believable_level();
    for hour in hours {
        let (from_ms, to_ms) = (i64::from(hour) * HOUR_MS, i64::from(hour + 1) * HOUR_MS);
        let count = f64::from(state.hours.count_of(hour));
        let exposure = context.hours_between(state.code, from_ms, to_ms);
        let expected = sums.level(mean_level).mean * exposure;
        sums.fade(an_hour);
        if let Some(episode) = state.episode.as_mut().filter(|episode| episode.doubts(hour))
            && !context.is_announced(state.code, from_ms, to_ms)
        {
            episode.set_aside(count, exposure);
            continue;
        }
        sums.learn(count, exposure);
        if with_dispersion {
            sums.learn_dispersion(count, expected);
        }
    }
}

/// Whole weeks without a redemption, at the price of one.
///
/// After `m` weeks, each of which keeps the part `k` of what was before it and adds the exposure `w`, there is
/// `before * k^m + w * (1 - k^m) / (1 - k)`.
fn learn_silent_weeks(state: &CodeState, context: &VendorContext, sums: &mut Sums, from_hour: u32, weeks: u32) {
    if weeks == 0 {
        return;
    }
    let (an_hour, a_week) = (Kept::after(1.0), Kept::after(f64::from(LISTENED_HOURS)));
    let all = Kept::after(f64::from(LISTENED_HOURS) * f64::from(weeks));
    let (mut level, mut recent) = (0.0, 0.0);
    for hour in from_hour..from_hour + LISTENED_HOURS {
        let from_ms = i64::from(hour) * HOUR_MS;
        let exposure = context.hours_between(state.code, from_ms, from_ms + HOUR_MS);
        level = level * an_hour.level + exposure;
        recent = recent * an_hour.recent + exposure;
    }
    sums.fade(all);
    sums.level.add(0.0, level * (1.0 - all.level) / (1.0 - a_week.level));
    sums.recent.add(0.0, recent * (1.0 - all.recent) / (1.0 - a_week.recent));
}

/// A redemption that came too late to be judged.
pub(super) fn learn_late(state: &mut CodeState, context: &VendorContext, at_ms: i64) {
    learn_until(state, context, at_ms);
    let hour = hour_of(at_ms);
    if hour >= state.learned_until {
        state.hours.add(hour);
    } else if !state.episode.as_ref().is_some_and(|episode| episode.doubts(hour)) {
        let age = f64::from(state.learned_until - 1 - hour);
        let mut sums = Sums::of(state);
        let kept = Kept::after(age);
        sums.level.add(kept.level, 0.0);
        sums.recent.add(kept.recent, 0.0);
        sums.store(state);
    }
}

impl Episode {
    /// Whether an hour is too near to be learned.
    fn doubts(&self, hour: u32) -> bool {
        let (from, to) = (hour.saturating_mul(60), hour.saturating_mul(60).saturating_add(60));
        to > self.since.saturating_sub(DOUBTED_MINUTES_BEFORE) && from < self.last.saturating_add(DOUBTED_MINUTES_AFTER)
    }

    fn set_aside(&mut self, count: f64, exposure: f64) {
        let mut aside = Fading::of(self.aside);
        aside.fade(kept(1.0, EPISODE_HALF_LIFE_HOURS));
        aside.add(count, exposure);
        self.aside = aside.memory();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CodeId, Timestamp, VendorId};
    use crate::spikes::{Curve, LocalClock, Season};
    use proptest::prelude::*;

    fn context<'a>(curve: &'a Curve, clock: &'a LocalClock) -> VendorContext<'a> {
        let vendor = VendorId(1);
        VendorContext { vendor, mean_level: 0.5, active_codes: 1, curve, clock, campaigns: &[] }
    }

    /// A code that was redeemed so often in each of its first hours.
    fn with_counts(counts: &[u16], context: &VendorContext) -> CodeState {
        let mut state = CodeState::new(CodeId(1));
        for (index, count) in counts.iter().enumerate() {
            let at_ms = (500_000 + index as i64) * HOUR_MS;
            learn_until(&mut state, context, at_ms);
            (0..*count).for_each(|_| state.hours.add(hour_of(at_ms)));
        }
        state
    }

    fn close(left: f32, right: f64) -> bool {
        (f64::from(left) - right).abs() <= 1e-4 * right.abs().max(1e-3)
    }

    proptest! {
        /// Hour by hour by the definition, however long nothing happens.
        #[test]
        fn silence_is_the_sum_of_its_hours(counts in prop::collection::vec(0..9_u16, 1..60), silence in 1..4000_u32) {
            let (curve, clock) = (Season::typical().curve(), LocalClock::fixed(3600));
            let context = context(&curve, &clock);
            let mut state = with_counts(&counts, &context);
            let end = 500_000 + counts.len() as u32 + silence;
            let mut plain = Sums::default();
            let listened_until = state.learned_until + LISTENED_HOURS;
            for hour in 500_000..end - 1 {
                let count = f64::from(counts.get((hour - 500_000) as usize).copied().unwrap_or(0));
                let at = Timestamp(i64::from(hour) * HOUR_MS);
                let exposure = curve.factor(clock.hour_of_week(at));
                let expected = plain.level(0.5).mean * exposure;
                let half_after = |hours: f64| 0.5_f64.powf(hours.recip());
                plain.fade(Kept { level: half_after(336.0), recent: half_after(48.0), dispersion: half_after(720.0) });
                plain.learn(count, exposure);
                if hour < listened_until {
                    plain.learn_dispersion(count, expected);
                }
            }
            learn_until(&mut state, &context, i64::from(end) * HOUR_MS);
            prop_assert_eq!(state.learned_until, end - 1);
            for (memory, plain) in [(state.level, plain.level), (state.recent, plain.recent)] {
                prop_assert!(close(memory.events, plain.events), "{} {}", memory.events, plain.events);
                prop_assert!(close(memory.exposure, plain.exposure), "{} {}", memory.exposure, plain.exposure);
            }
            prop_assert!(close(state.excess, plain.excess), "{} {}", state.excess, plain.excess);
            prop_assert!(close(state.squares, plain.squares), "{} {}", state.squares, plain.squares);
            prop_assert!(state.hours.entries().is_empty() || silence < 3);
        }
    }

    #[test]
    fn a_new_code_begins_where_its_peers_are() {
        let level = Level::of(&CodeState::new(CodeId(1)), 0.5);
        assert_eq!((level.mean, level.weight), (0.5, 1.0));
        assert!((level.dispersion - DISPERSION_PRIOR).abs() < 1e-12);
    }

    #[test]
    fn a_late_redemption_only_adds_to_the_level() {
        let (curve, clock) = (Season::flat().curve(), LocalClock::fixed(0));
        let context = context(&curve, &clock);
        let mut late = with_counts(&[2; 40], &context);
        let mut punctual = late.clone();
        let hour = late.learned_until + 1;
        learn_late(&mut late, &context, i64::from(hour) * HOUR_MS);
        assert_eq!(late.hours.count_of(hour), punctual.hours.count_of(hour) + 1);
        assert_eq!((late.level, late.rises), (punctual.level, punctual.rises));
        let learned = late.level.events;
        learn_late(&mut late, &context, i64::from(punctual.learned_until - 336 - 1) * HOUR_MS);
        assert!((late.level.events - learned - 0.5).abs() < 1e-3, "one half-life old counts half");
        punctual.episode = Some(Episode { since: hour * 60, last: hour * 60, raised: true, aside: Memory::default() });
        learn_until(&mut punctual, &context, i64::from(hour + 10) * HOUR_MS);
        let episode = punctual.episode.expect("only the detector ends it");
        assert!((3.0..4.0).contains(&episode.aside.events), "the two hours beside it are set aside, weighed by age");
    }
}
