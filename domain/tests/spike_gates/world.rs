//! Codes that are redeemed as real ones are, more or less: a week with a form, a level that drifts, hours that vary
//! together, and what is laid over all that.

use crate::random::Random;
use domain::ids::{CodeId, Timestamp, VendorId};
use domain::spikes::{Alert, CodeState, Curve, Detector, LocalClock, Redemption, Season, VendorContext};

pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// 2026-01-05, a Monday.
pub const START_MS: i64 = 1_767_571_200_000;
/// Half budget for each statistic, of one false alarm a code and year: twelve codes share twelve.
pub const CODES: u32 = 12;
/// Webhooks take a moment.
const TRAVEL_MS: i64 = 2_000;

/// What the detector takes for the truth.
pub struct Vendor {
    pub mean_level: f64,
    pub curve: Curve,
    pub clock: LocalClock,
    pub campaigns: Vec<domain::decision::Campaign>,
}

impl Vendor {
    pub fn new(mean_level: f64) -> Vendor {
        let curve = Season::typical().curve();
        Vendor { mean_level, curve, clock: LocalClock::fixed(0), campaigns: Vec::new() }
    }

    pub fn detector(&self) -> Detector<'_> {
        Detector::new(VendorContext {
            vendor: VendorId(1),
            mean_level: self.mean_level,
            active_codes: CODES,
            curve: &self.curve,
            clock: &self.clock,
            campaigns: &self.campaigns,
        })
    }
}

/// More redemptions for some time.
#[derive(Clone, Copy)]
pub struct Spike {
    pub from_ms: i64,
    pub to_ms: i64,
    pub multiple: f64,
}

/// One code and its truth.
pub struct Code {
    random: Random,
    per_hour: f64,
    variation: f64,
    /// Each hour of the week differs by 10 % from what was learned.
    season: Curve,
    clock: LocalClock,
    /// Logarithm of how far the level is from its mean: 5 % a day, drawn back by a twentieth.
    pub drift: f64,
}

impl Code {
    pub fn new(seed: u64, per_hour: f64, variation: f64, vendor: &Vendor) -> Code {
        let mut random = Random::seeded(seed);
        let hours = std::array::from_fn(|hour| vendor.curve.factor(hour) * (0.1 * random.normal()).exp());
        let drift = 0.16 * random.normal();
        Code { random, per_hour, variation, season: Curve::of_hours(hours), clock: vendor.clock.clone(), drift }
    }

    /// People who do not follow the vendor's clock.
    pub fn with_clock(mut self, clock: LocalClock) -> Code {
        self.clock = clock;
        self
    }

    /// The redemptions of one hour, ascending. `multiple` is laid over the level, spikes over that.
    pub fn hour(&mut self, hour_ms: i64, multiple: f64, spikes: &[Spike], times: &mut Vec<i64>) {
        times.clear();
        if hour_ms % DAY_MS == 0 {
            self.drift = 0.95 * self.drift + 0.05 * self.random.normal();
        }
        let factor = self.season.factor(self.clock.hour_of_week(Timestamp(hour_ms)));
        let varied = if self.variation > 0.0 { self.random.gamma_around_one(self.variation) } else { 1.0 };
        let mean = self.per_hour * self.drift.exp() * factor * varied * multiple;
        self.draw(mean, hour_ms, hour_ms + HOUR_MS, times);
        for spike in spikes {
            let (from, to) = (spike.from_ms.max(hour_ms), spike.to_ms.min(hour_ms + HOUR_MS));
            if from < to {
                self.draw(mean * (spike.multiple - 1.0) * (to - from) as f64 / HOUR_MS as f64, from, to, times);
            }
        }
        times.sort_unstable();
    }

    fn draw(&mut self, mean: f64, from: i64, to: i64, times: &mut Vec<i64>) {
        for _ in 0..self.random.poisson(mean) {
            times.push(self.random.between(from, to));
        }
    }

    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}

/// Feeds a detector with what happens and keeps what it says.
pub struct Watch<'a> {
    detector: Detector<'a>,
    pub state: CodeState,
    position: u64,
    pub alerts: Vec<Alert>,
}

impl<'a> Watch<'a> {
    pub fn new(detector: Detector<'a>) -> Watch<'a> {
        Watch { detector, state: CodeState::new(CodeId(1)), position: 0, alerts: Vec::new() }
    }

    pub fn tell(&mut self, at: i64, arrived_at: i64, customer: u64) {
        let (at, arrived_at) = (Timestamp(at), Timestamp(arrived_at));
        let redemption = Redemption { position: self.position, at, arrived_at, customer };
        self.position += 1;
        self.alerts.extend(self.detector.redemption(&mut self.state, redemption));
    }

    /// Position of the next record.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads from here again.
    pub fn rewind(&mut self, position: u64) {
        self.position = position;
    }

    /// Lets a code live from one hour to another, as days since the start.
    pub fn live(
        &mut self,
        code: &mut Code,
        days: std::ops::Range<i64>,
        multiple: impl Fn(i64) -> f64,
        spikes: &[Spike],
    ) {
        let mut times = Vec::new();
        let mut next_spike = 0;
        for hour in days.start * 24..days.end * 24 {
            let hour_ms = START_MS + hour * HOUR_MS;
            while spikes.get(next_spike).is_some_and(|spike| spike.to_ms <= hour_ms) {
                next_spike += 1;
            }
            let near = &spikes[next_spike..spikes.len().min(next_spike + 2)];
            code.hour(hour_ms, multiple(hour_ms), near, &mut times);
            for at in &times {
                let customer = code.random().bits();
                self.tell(*at, at + TRAVEL_MS, customer);
            }
        }
    }

    /// Alerts that crossed from one day on and before another.
    pub fn alerts_in_days(&self, days: std::ops::Range<i64>) -> usize {
        let from_ms = START_MS + days.start * DAY_MS;
        let to_ms = START_MS + days.end * DAY_MS;
        self.alerts.iter().filter(|alert| (from_ms..to_ms).contains(&alert.first_crossing.0)).count()
    }
}
