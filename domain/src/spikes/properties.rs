//! What must hold for any history of a code.

use super::{Alert, CodeState, Curve, Detector, LocalClock, ORDER_MS, Redemption, Season, VendorContext};
use crate::ids::{CodeId, Timestamp, VendorId};
use proptest::prelude::*;

/// A Wednesday noon.
const START_MS: i64 = 1_772_020_800_000;

struct Vendor {
    curve: Curve,
    clock: LocalClock,
}

impl Vendor {
    fn new() -> Vendor {
        Vendor { curve: Season::typical().curve(), clock: LocalClock::fixed(7200) }
    }

    fn detector(&self) -> Detector<'_> {
        Detector::new(VendorContext {
            vendor: VendorId(3),
            mean_level: 0.5,
            active_codes: 12,
            curve: &self.curve,
            clock: &self.clock,
            campaigns: &[],
        })
    }
}

/// Time, how long it took to arrive, and whose it is.
type Event = (i64, i64, u64);

/// In the order of arrival, and one far behind that makes all of them due.
fn run(events: &[Event], restart: bool) -> (Vec<Alert>, CodeState) {
    let vendor = Vendor::new();
    let detector = vendor.detector();
    let mut arrivals: Vec<(i64, i64, u64)> = events.iter().map(|(at, delay, who)| (at + delay, *at, *who)).collect();
    arrivals.sort_by_key(|(arrived_at, _, _)| *arrived_at);
    let end = events.iter().map(|(at, _, _)| *at).max().unwrap_or(START_MS) + 3 * ORDER_MS;
    arrivals.push((end, end, 1));
    let mut state = CodeState::new(CodeId(9));
    let mut alerts = Vec::new();
    for (position, (arrived_at, at, customer)) in arrivals.into_iter().enumerate() {
        let (at, arrived_at) = (Timestamp(at), Timestamp(arrived_at));
        alerts.extend(
            detector.redemption(&mut state, Redemption { position: position as u64, at, arrived_at, customer }),
        );
        if restart {
            state = CodeState::from_bytes(&state.to_bytes()).unwrap();
        }
    }
    (alerts, state)
}

/// Redemptions with gaps from seconds to days.
fn histories() -> impl Strategy<Value = Vec<(i64, u64)>> {
    let gap = prop_oneof![6 => 5_000..600_000_i64, 2 => 600_000..20_000_000_i64, 1 => 0..3_000_000_000_i64];
    prop::collection::vec((gap, 0..12_u64), 1..120).prop_map(|gaps| {
        let mut at = START_MS;
        let mut next = |(gap, who): (i64, u64)| {
            // At most as many within two minutes as are sorted.
            at += gap.max(5_000);
            (at, who)
        };
        gaps.into_iter().map(&mut next).collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_arrival_within_two_minutes_decides_nothing(
        history in histories(),
        delays in prop::collection::vec((0..ORDER_MS, 0..ORDER_MS), 120),
    ) {
        let with = |pick: fn(&(i64, i64)) -> i64| -> Vec<Event> {
            history.iter().zip(&delays).map(|((at, who), delay)| (*at, pick(delay), *who)).collect()
        };
        let one = run(&with(|delay| delay.0), false);
        let other = run(&with(|delay| delay.1), false);
        prop_assert_eq!(one, other);
    }

    #[test]
    fn a_restart_changes_no_bit(
        history in histories(),
        delays in prop::collection::vec(prop_oneof![3 => 0..ORDER_MS, 1 => 0..20_000_000_i64], 120),
    ) {
        let events: Vec<Event> = history.iter().zip(&delays).map(|((at, who), delay)| (*at, *delay, *who)).collect();
        let through = run(&events, false);
        let restarted = run(&events, true);
        prop_assert_eq!(&through, &restarted);
        prop_assert_eq!(through.1.to_bytes(), restarted.1.to_bytes());
    }

    #[test]
    fn a_burst_is_reported_once(gaps in prop::collection::vec((1_000..200_000_i64, 0..9_u64), 30..400)) {
        let mut at = START_MS;
        let before = (0..40).map(|day| (START_MS - (41 - day) * 86_400_000, 0, 5));
        let burst = gaps.iter().map(|(gap, who)| {
            at += gap;
            (at, 0, *who)
        });
        let events: Vec<Event> = before.chain(burst).collect();
        let (alerts, _) = run(&events, false);
        prop_assert_eq!(alerts.len(), 1, "one a day, and then one every two minutes");
    }

    #[test]
    fn what_was_seen_is_not_seen_again(history in histories(), again_from in 0..120_usize) {
        let vendor = Vendor::new();
        let detector = vendor.detector();
        let mut state = CodeState::new(CodeId(9));
        let redemption = |index: usize| {
            let (at, customer) = history[index];
            Redemption { position: index as u64, at: Timestamp(at), arrived_at: Timestamp(at), customer }
        };
        for index in 0..history.len() {
            detector.redemption(&mut state, redemption(index));
        }
        let after = state.clone();
        for index in again_from.min(history.len())..history.len() {
            prop_assert_eq!(detector.redemption(&mut state, redemption(index)), None);
        }
        prop_assert_eq!(state, after);
    }

    #[test]
    fn broken_bytes_are_refused_or_read_as_they_are(history in histories(), at in 0..600_usize, bit in 0..8_u32) {
        let events: Vec<Event> = history.iter().map(|(at, who)| (*at, 0, *who)).collect();
        let bytes = run(&events, false).1.to_bytes();
        prop_assert!(CodeState::from_bytes(&bytes[..at.min(bytes.len() - 1)]).is_err());
        let mut broken = bytes;
        let place = at % broken.len();
        broken[place] ^= 1 << bit;
        if let Ok(state) = CodeState::from_bytes(&broken) {
            prop_assert_eq!(state.to_bytes(), broken);
        }
    }
}

#[test]
fn a_look_tells_what_the_next_redemption_will() {
    let vendor = Vendor::new();
    let detector = vendor.detector();
    let mut state = CodeState::new(CodeId(9));
    let at = |index: i64| Timestamp(START_MS + index * 10_000);
    for index in 0..12 {
        let customer = index as u64;
        let redemption = Redemption { position: customer, at: at(index), arrived_at: at(index), customer };
        assert_eq!(detector.redemption(&mut state, redemption), None, "all within two minutes");
    }
    let before = state.clone();
    assert_eq!(detector.look(&state, at(11)), None);
    let seen = detector.look(&state, Timestamp(at(11).0 + ORDER_MS)).expect("twelve in two minutes are too many");
    assert_eq!(state, before, "a look changes nothing");
    let next = Timestamp(at(11).0 + 3 * ORDER_MS);
    let redemption = Redemption { position: 12, at: next, arrived_at: next, customer: 1 };
    assert_eq!(detector.redemption(&mut state, redemption), Some(seen));
}

#[test]
fn no_time_overflows() {
    let vendor = Vendor::new();
    let detector = vendor.detector();
    let times = [0, START_MS, i64::MIN, i64::MAX, -1, START_MS + 1];
    let mut state = CodeState::new(CodeId(9));
    let pairs = times.iter().flat_map(|at| times.iter().map(move |arrived_at| (*at, *arrived_at)));
    for (position, (at, arrived_at)) in (0..).zip(pairs) {
        let (at, arrived_at) = (Timestamp(at), Timestamp(arrived_at));
        detector.redemption(&mut state, Redemption { position, at, arrived_at, customer: position });
        detector.look(&state, arrived_at);
        assert_eq!(CodeState::from_bytes(&state.to_bytes()).as_ref(), Ok(&state));
    }
}

#[test]
fn one_customer_is_no_spike() {
    let events: Vec<Event> = (0..200).map(|index| (START_MS + index * 30_000, 0, index as u64 % 2)).collect();
    assert_eq!(run(&events, false).0, []);
}

#[test]
fn five_redemptions_are_no_spike() {
    let events: Vec<Event> = (0..5).map(|index| (START_MS + index * 1_000, 0, index as u64)).collect();
    assert_eq!(run(&events, false).0, []);
}

#[test]
fn a_code_at_rest_is_small() {
    let events: Vec<Event> = (0..40).map(|day| (START_MS + day * 86_400_000, 0, 5)).collect();
    let state = run(&events, false).1;
    assert!(state.to_bytes().len() < 130, "{} bytes", state.to_bytes().len());
    assert_eq!(CodeState::new(CodeId(1)).to_bytes().len(), 71);
}
