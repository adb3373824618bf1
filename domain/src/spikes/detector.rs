//! A redemption comes in, an alert may come out.

use super::alert::alert_id;
use super::context::{hour_of, slot_of};
use super::evidence::{Window, count_in_windows, largest_rise, most_telling, move_rises, windows};
use super::learning::{Level, Memory, learn_late, learn_until};
use super::state::{CodeState, Episode, MOST_WAITING};
use super::{Alert, HOUR_MS, MINUTE_MS, Statistic, Thresholds, VendorContext};
use crate::ids::Timestamp;

/// Redemptions that arrive within this time of each other are judged in the order in which they happened.
pub const ORDER_MS: i64 = 2 * MINUTE_MS;
/// Older ones at arrival are only learned from: a provider that retries after an outage is not a spike.
const LATE_MS: i64 = 30 * MINUTE_MS;
/// A redemption from further in the future than this happened when it arrived.
const AHEAD_MS: i64 = 10 * MINUTE_MS;
/// The end of the year 9999: later moments are wrong, and computing with them would overflow.
const LATEST_MS: i64 = 253_402_300_799_999;
/// Fewer redemptions in six hours are never a spike.
const FEWEST_REDEMPTIONS: u32 = 6;
/// Fewer customers are never a spike.
const FEWEST_CUSTOMERS: u8 = 3;
/// After so long without a sign an episode is over, and the next one is reported again. What pauses for a night is one.
const EPISODE_ENDS_AFTER_MINUTES: u32 = 12 * 60;
/// What lasts longer than this is how the code is used now.
const ACCEPTED_AFTER_MINUTES: u32 = 24 * 60;
/// A new level is learned from at least so many redemptions.
const ACCEPTED_FROM_REDEMPTIONS: f32 = 10.0;
/// And only while there are so many times what the old level would bring.
const ACCEPTED_ABOVE: f64 = 1.5;

/// A use of a code, as it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redemption {
    /// Place of its record in the log, rising for one code. What is not above the last one was seen already.
    pub position: u64,
    /// Provider's time.
    pub at: Timestamp,
    /// Time on the log record.
    pub arrived_at: Timestamp,
    /// Salted hash of the customer.
    pub customer: u64,
}

/// Judges redemptions of the codes of one vendor.
#[derive(Debug, Clone, Copy)]
pub struct Detector<'a> {
    context: VendorContext<'a>,
}

impl<'a> Detector<'a> {
    /// For a vendor as it is now.
    pub fn new(context: VendorContext<'a>) -> Detector<'a> {
        Detector { context }
    }

    /// Takes in a redemption. The alert, if any, is about redemptions that happened at least [`ORDER_MS`] before this
    /// one arrived; [`Detector::look`] asks without waiting for a next one.
    pub fn redemption(&self, state: &mut CodeState, redemption: Redemption) -> Option<Alert> {
        if redemption.position < state.next_position {
            return None;
        }
        state.next_position = redemption.position.saturating_add(1);
        let arrived_ms = redemption.arrived_at.0.min(LATEST_MS);
        let alert = self.judge_waiting(state, arrived_ms);
        let is_ahead = redemption.at.0 > arrived_ms.saturating_add(AHEAD_MS);
        let at_ms = if is_ahead { arrived_ms } else { redemption.at.0 }.clamp(1, LATEST_MS);
        if arrived_ms.saturating_sub(at_ms) > LATE_MS {
            learn_late(state, &self.context, at_ms);
            return alert;
        }
        let entry = (at_ms, redemption.customer);
        let place = state.waiting.partition_point(|waiting| *waiting <= entry);
        state.waiting.insert(place, entry);
        let too_many = (state.waiting.len() > MOST_WAITING).then(|| state.waiting.remove(0));
        let pushed_out = too_many.and_then(|(at_ms, customer)| self.judge(state, at_ms, customer));
        let arrived_late = self.judge_waiting(state, arrived_ms);
        alert.or(pushed_out).or(arrived_late)
    }

    /// The alert that would be raised if nothing else came until this moment. It changes nothing: when the next
    /// redemption comes, [`Detector::redemption`] raises the same alert with the same id.
    pub fn look(&self, state: &CodeState, now: Timestamp) -> Option<Alert> {
        if state.due_at().is_none_or(|due| due > now) {
            return None;
        }
        self.judge_waiting(&mut state.clone(), now.0.min(LATEST_MS))
    }

    fn judge_waiting(&self, state: &mut CodeState, arrived_ms: i64) -> Option<Alert> {
        let due = state.waiting.partition_point(|(at_ms, _)| at_ms.saturating_add(ORDER_MS) <= arrived_ms);
        let mut alert = None;
        for index in 0..due {
            let (at_ms, customer) = state.waiting[index];
            let raised = self.judge(state, at_ms, customer);
            alert = alert.or(raised);
        }
        state.waiting.drain(..due);
        alert
    }

    /// One redemption in its order. One that came after its order (between two and thirty minutes late) is counted in
    /// the windows and does not move the sums.
    fn judge(&self, state: &mut CodeState, at_ms: i64, customer: u64) -> Option<Alert> {
        let now_ms = at_ms.max(state.last_at);
        learn_until(state, &self.context, now_ms);
        if hour_of(at_ms) >= state.learned_until {
            state.hours.add(hour_of(at_ms));
        }
        end_old_episode(state, slot_of(now_ms, MINUTE_MS));
        count_in_windows(state, at_ms, customer, now_ms);
        let level = Level::of(state, self.context.believable_level());
        let thresholds = Thresholds::new(self.context.active_codes, level.mean);
        if at_ms == now_ms {
            move_rises(state, &self.context, level, at_ms, thresholds.rise);
        }
        let windows = windows(state, &self.context, level, now_ms);
        self.draw_conclusions(state, &windows, thresholds, now_ms)
    }

    fn draw_conclusions(
        &self,
        state: &mut CodeState,
        windows: &[Window; 3],
        thresholds: Thresholds,
        now_ms: i64,
    ) -> Option<Alert> {
        let minute = slot_of(now_ms, MINUTE_MS);
        let (rise, statistic) = largest_rise(state);
        let telling = most_telling(windows);
        let has_risen = rise >= thresholds.rise;
        let enough = windows[2].observed >= FEWEST_REDEMPTIONS
            && state.customers.count_from(minute.saturating_sub(360)) >= FEWEST_CUSTOMERS;
        let is_window = telling.tail < thresholds.tail;
        if rise <= thresholds.freeze && !(is_window && enough) {
            return None;
        }
        let fresh = Episode { since: minute, last: minute, raised: false, aside: Memory::default() };
        let episode = state.episode.get_or_insert(fresh);
        episode.last = minute;
        let is_new = enough && (has_risen || is_window) && !episode.raised;
        episode.raised |= is_new;
        let lasts = minute.saturating_sub(episode.since) >= ACCEPTED_AFTER_MINUTES
            && episode.aside.events >= ACCEPTED_FROM_REDEMPTIONS
            && windows[2].observed >= FEWEST_REDEMPTIONS
            && f64::from(windows[2].observed) >= ACCEPTED_ABOVE * windows[2].expected;
        if lasts {
            accept_new_level(state);
        }
        let statistic = if has_risen { statistic } else { Statistic::Window { minutes: telling.minutes } };
        is_new.then(|| self.alert(state, statistic, telling, now_ms))
    }

    fn alert(&self, state: &CodeState, statistic: Statistic, window: Window, now_ms: i64) -> Alert {
        let first_crossing = Timestamp(now_ms);
        Alert {
            id: alert_id(self.context.vendor, state.code, first_crossing),
            code: state.code,
            first_crossing,
            statistic,
            from: window.from(),
            to: first_crossing,
            observed: window.observed,
            expected: window.expected,
            customers: state.customers.count_from(slot_of(now_ms - 6 * HOUR_MS, MINUTE_MS)),
        }
    }
}

fn end_old_episode(state: &mut CodeState, minute: u32) {
    let is_over = |episode: &Episode| minute.saturating_sub(episode.last) > EPISODE_ENDS_AFTER_MINUTES;
    if state.episode.as_ref().is_some_and(is_over) {
        state.episode = None;
    }
}

/// What was set aside during the episode becomes the level, and the sums begin anew.
fn accept_new_level(state: &mut CodeState) {
    if let Some(episode) = state.episode.take() {
        state.level = episode.aside;
        state.recent = episode.aside;
        state.rises = [0.0; 3];
    }
}
