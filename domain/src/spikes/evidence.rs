//! The two statistics: cumulative sums and windows.

use super::context::{VendorContext, slot_of};
use super::learning::Level;
use super::state::CodeState;
use super::tail::upper_tail;
use super::{MINUTE_MS, QUARTER_MS, Statistic};
use crate::ids::Timestamp;

/// Multiples of the usual rate that the three sums are tuned to.
pub(super) const RATIOS: [u8; 3] = [3, 8, 25];
/// How far a sum may rise above its threshold: it must fall again soon after a spike.
const ABOVE_THRESHOLD: f64 = 4.0;
/// Windows in minutes.
const WINDOWS: [u16; 3] = [15, 60, 360];
/// Standard deviations above the mean from which on a tail is worth computing.
const WORTH_A_TAIL: f64 = 3.0;

/// What level and season together may be wrong by in all hours of a window, a tenth, squared: it does not even out.
const COMMON_ERROR: f64 = 0.01;

/// A window that ends now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) minutes: u16,
    pub(super) from_ms: i64,
    pub(super) observed: u32,
    pub(super) expected: f64,
    /// The chance of that many or more.
    pub(super) tail: f64,
}

/// Moves the sums at a redemption; only redemptions move them.
///
/// Each is `max(0, S + (ln r - (r - 1) * expected since the last one) / phi)`. `phi` is the variance of an hour over its
/// mean, with the doubt about the level in it.
pub(super) fn move_rises(state: &mut CodeState, context: &VendorContext, level: Level, at_ms: i64, threshold: f64) {
    if state.last_at == 0 {
        state.last_at = at_ms;
        return;
    }
    let expected = level.mean * context.hours_between(state.code, state.last_at, at_ms);
    let hourly = level.mean * context.factor_at(state.code, at_ms);
    let phi = 1.0 + (level.dispersion + level.weight.recip()) * hourly;
    for (sum, ratio) in state.rises.iter_mut().zip(RATIOS) {
        let ratio = f64::from(ratio);
        let moved = f64::from(*sum) + (ratio.ln() - (ratio - 1.0) * expected) / phi;
        *sum = moved.clamp(0.0, threshold + ABOVE_THRESHOLD) as f32;
    }
    state.last_at = at_ms;
}

/// The largest sum, and which it is.
pub(super) fn largest_rise(state: &CodeState) -> (f64, Statistic) {
    let mut largest = (f64::from(state.rises[0]), RATIOS[0]);
    for (sum, ratio) in state.rises.iter().zip(RATIOS) {
        if f64::from(*sum) > largest.0 {
            largest = (f64::from(*sum), ratio);
        }
    }
    (largest.0, Statistic::Rise { ratio: largest.1 })
}

/// Puts a redemption into the windows that end at `now_ms`.
pub(super) fn count_in_windows(state: &mut CodeState, at_ms: i64, customer: u64, now_ms: i64) {
    let minute_now = slot_of(now_ms, MINUTE_MS);
    state.minutes.add(slot_of(at_ms, MINUTE_MS));
    state.minutes.forget_before(minute_now.saturating_sub(u32::from(WINDOWS[0])));
    state.quarters.add(slot_of(at_ms, QUARTER_MS));
    state.quarters.forget_before(first_quarter(WINDOWS[2], now_ms));
    state.customers.remember(customer, slot_of(at_ms, MINUTE_MS));
    state.customers.forget_before(minute_now.saturating_sub(u32::from(WINDOWS[2])));
}

fn first_quarter(minutes: u16, now_ms: i64) -> u32 {
    slot_of(now_ms, QUARTER_MS).saturating_sub(u32::from(minutes / 15))
}

/// The windows that end now, from the shortest to the longest.
///
/// They begin where a slot begins, so they are up to a minute (the first) or a quarter longer than they are called;
/// what is expected is expected in just that span.
pub(super) fn windows(state: &CodeState, context: &VendorContext, level: Level, now_ms: i64) -> [Window; 3] {
    WINDOWS.map(|minutes| {
        let (from_ms, observed) = if minutes == WINDOWS[0] {
            let first = slot_of(now_ms, MINUTE_MS).saturating_sub(u32::from(minutes));
            (i64::from(first) * MINUTE_MS, state.minutes.count_from(first))
        } else {
            let first = first_quarter(minutes, now_ms);
            (i64::from(first) * QUARTER_MS, state.quarters.count_from(first))
        };
        let expected = level.mean * context.hours_between(state.code, from_ms, now_ms);
        // Hours vary independently of each other, so in six of them a part evens out.
        let hours = (f64::from(minutes) / 60.0).max(1.0);
        let dispersion = level.weight.recip() + COMMON_ERROR + level.dispersion / hours;
        let deviation = (expected + expected * expected * dispersion).sqrt();
        let is_far = f64::from(observed) > expected + WORTH_A_TAIL * deviation;
        let tail = if is_far { upper_tail(observed, expected, dispersion) } else { 1.0 };
        Window { minutes, from_ms, observed, expected, tail }
    })
}

/// The window that tells most: the smallest chance, and the longest of those that tell nothing.
pub(super) fn most_telling(windows: &[Window; 3]) -> Window {
    let mut best = windows[2];
    for window in &windows[..2] {
        if window.tail < best.tail {
            best = *window;
        }
    }
    best
}

impl Window {
    /// Its first moment.
    pub(super) fn from(&self) -> Timestamp {
        Timestamp(self.from_ms)
    }
}
