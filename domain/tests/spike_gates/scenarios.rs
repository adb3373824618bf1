//! What must not alarm, or only once.

use crate::world::{Code, DAY_MS, HOUR_MS, MINUTE_MS, START_MS, Spike, Vendor, Watch};
use domain::decision::Campaign;
use domain::ids::Timestamp;
use domain::spikes::{CodeState, LocalClock};

const BURN_IN_DAYS: i64 = 60;
const LEVELS: [f64; 3] = [0.5, 2.0, 12.0];

/// A code and its watch after 60 ordinary days.
fn settled<'a>(vendor: &'a Vendor, seed: u64) -> (Code, Watch<'a>) {
    let mut code = Code::new(seed, vendor.mean_level, 0.3, vendor);
    let mut watch = Watch::new(vendor.detector());
    watch.live(&mut code, 0..BURN_IN_DAYS, |_| 1.0, &[]);
    (code, watch)
}

/// The redemptions of some hours, ascending.
fn happens(code: &mut Code, from_hour: i64, hours: i64) -> Vec<i64> {
    let mut all = Vec::new();
    let mut times = Vec::new();
    for hour in from_hour..from_hour + hours {
        code.hour(START_MS + hour * HOUR_MS, 1.0, &[], &mut times);
        all.extend_from_slice(&times);
    }
    all
}

/// Three hours cannot be delivered; then the provider sends all of it within ten minutes, in any order.
pub fn alarms_after_an_outage(codes: u64) -> usize {
    let mut alarms = 0;
    for (per_hour, number) in LEVELS.iter().flat_map(|level| (0..codes).map(move |number| (*level, number))) {
        let vendor = Vendor::new(per_hour);
        let (mut code, mut watch) = settled(&vendor, 70_000 + number);
        watch.alerts.clear();
        let from_hour = BURN_IN_DAYS * 24 + (number % 24) as i64;
        let end_ms = START_MS + (from_hour + 3) * HOUR_MS;
        let mut arrivals: Vec<(i64, i64)> = Vec::new();
        for at in happens(&mut code, from_hour, 4) {
            let held_until = if at < end_ms { end_ms + code.random().between(0, 10 * MINUTE_MS) } else { at };
            arrivals.push((held_until.max(at) + 1_000, at));
        }
        arrivals.sort_unstable();
        for (arrived_at, at) in arrivals {
            let customer = code.random().bits();
            watch.tell(at, arrived_at, customer);
        }
        alarms += watch.alerts.len();
    }
    alarms
}

/// A day at six times the usual rate, announced or not: how many of the codes alarmed.
pub fn alarmed_by_a_campaign(codes: u64, is_announced: bool) -> usize {
    let (from_ms, to_ms) = (START_MS + BURN_IN_DAYS * DAY_MS, START_MS + (BURN_IN_DAYS + 1) * DAY_MS);
    let mut vendor = Vendor::new(2.0);
    if is_announced {
        let (from, to) = (Timestamp(from_ms), Timestamp(to_ms));
        vendor.campaigns.push(Campaign { code_id: None, from, to, expected_percent: 600 });
    }
    let spike = Spike { from_ms, to_ms, multiple: 6.0 };
    let alarmed = (0..codes).filter(|number| {
        let (mut code, mut watch) = settled(&vendor, 80_000 + number);
        watch.live(&mut code, BURN_IN_DAYS..BURN_IN_DAYS + 2, |_| 1.0, &[spike]);
        watch.alerts_in_days(BURN_IN_DAYS..BURN_IN_DAYS + 2) > 0
    });
    alarmed.count()
}

/// What a code did after its rate had become another one for good.
pub struct Step {
    pub alarms_in_three_days: usize,
    pub alarms_in_two_weeks_after: usize,
    /// Learned level over the true one, after three days.
    pub learned: f64,
}

/// The code is redeemed five times as often from now on.
pub fn step(per_hour: f64, number: u64) -> Step {
    let vendor = Vendor::new(per_hour);
    let (mut code, mut watch) = settled(&vendor, 90_000 + number);
    let learned_by = BURN_IN_DAYS + 3;
    watch.live(&mut code, BURN_IN_DAYS..learned_by, |_| 5.0, &[]);
    let learned = watch.state.level_per_hour(per_hour) / (5.0 * per_hour * code.drift.exp());
    watch.live(&mut code, learned_by..learned_by + 14, |_| 5.0, &[]);
    Step {
        alarms_in_three_days: watch.alerts_in_days(BURN_IN_DAYS..learned_by),
        alarms_in_two_weeks_after: watch.alerts_in_days(learned_by..learned_by + 14),
        learned,
    }
}

/// Alarms of a code that is redeemed twice as often after four weeks, a little more each hour; two weeks after are
/// watched too.
pub fn alarms_of_a_slow_doubling(per_hour: f64, number: u64) -> usize {
    let vendor = Vendor::new(per_hour);
    let (mut code, mut watch) = settled(&vendor, 100_000 + number);
    let begins_ms = START_MS + BURN_IN_DAYS * DAY_MS;
    let growth = |at: i64| ((at - begins_ms) as f64 / (28 * DAY_MS) as f64).min(1.0).exp2();
    watch.live(&mut code, BURN_IN_DAYS..BURN_IN_DAYS + 42, growth, &[]);
    watch.alerts_in_days(BURN_IN_DAYS..BURN_IN_DAYS + 42)
}

/// False alarms in the week after the clocks changed, and in the four weeks before. The vendor's clock changes, the
/// people's does not.
pub fn alarms_when_clocks_change(codes: u64, per_hour: f64) -> (usize, usize) {
    let change_day = 83;
    let change = Timestamp(START_MS + change_day * DAY_MS + HOUR_MS);
    let mut vendor = Vendor::new(per_hour);
    vendor.clock = LocalClock::with_changes(3600, &[(change, 7200)]);
    let (mut week, mut before) = (0, 0);
    for number in 0..codes {
        let mut code = Code::new(110_000 + number, per_hour, 0.3, &vendor).with_clock(LocalClock::fixed(3600));
        let mut watch = Watch::new(vendor.detector());
        watch.live(&mut code, 0..change_day + 7, |_| 1.0, &[]);
        week += watch.alerts_in_days(change_day..change_day + 7);
        before += watch.alerts_in_days(change_day - 28..change_day);
    }
    (week, before)
}

/// Three spikes while our clock jumps ahead and back, every record read twice, with a restart between: each alert with
/// its number of raises, and the alerts in hours in which nothing but the clock was wrong.
pub fn raises_with_wrong_clocks(codes: u64) -> (Vec<usize>, usize) {
    let (mut raises, mut quiet) = (Vec::new(), 0);
    for number in 0..codes {
        let vendor = Vendor::new(2.0);
        let (mut code, mut watch) = settled(&vendor, 120_000 + number);
        let mut told: Vec<(i64, i64, u64)> = Vec::new();
        let mut times = Vec::new();
        let spikes = [0, 3, 6].map(|day| {
            let from_ms = START_MS + (BURN_IN_DAYS + day) * DAY_MS + 12 * HOUR_MS;
            Spike { from_ms, to_ms: from_ms + 4 * HOUR_MS, multiple: 20.0 }
        });
        for hour in 0..8 * 24 {
            let hour_ms = START_MS + BURN_IN_DAYS * DAY_MS + hour * HOUR_MS;
            code.hour(hour_ms, 1.0, &spikes, &mut times);
            let wrong_by = match hour % 24 {
                13 => -20 * MINUTE_MS,
                14 => 20 * MINUTE_MS,
                20 => -2 * HOUR_MS,
                21 => 2 * HOUR_MS,
                _ => 0,
            };
            told.extend(times.iter().map(|at| (*at, at + wrong_by, code.random().bits())));
        }
        let before = watch.alerts.len();
        let first_position = watch.position();
        told.iter().for_each(|(at, arrived_at, customer)| watch.tell(*at, *arrived_at, *customer));
        watch.state = CodeState::from_bytes(&watch.state.to_bytes()).expect("its own bytes");
        watch.rewind(first_position);
        told.iter().for_each(|(at, arrived_at, customer)| watch.tell(*at, *arrived_at, *customer));
        let alerts = &watch.alerts[before..];
        for alert in alerts {
            raises.push(alerts.iter().filter(|other| other.id == alert.id).count());
        }
        let in_spike = |at: i64| spikes.iter().any(|spike| (spike.from_ms..spike.to_ms).contains(&at));
        quiet += alerts.iter().filter(|alert| !in_spike(alert.first_crossing.0)).count();
    }
    (raises, quiet)
}
