//! False alarms without spikes, and how soon spikes are found.

use crate::world::{Code, DAY_MS, HOUR_MS, MINUTE_MS, START_MS, Spike, Vendor, Watch};
use domain::spikes::ORDER_MS;

pub const MULTIPLES: [f64; 5] = [3.0, 5.0, 10.0, 20.0, 50.0];
const BURN_IN_DAYS: i64 = 60;
const QUIET_CODES: u64 = 300;
const QUIET_DAYS: i64 = 730;
const SPIKE_CODES: u64 = 500;
const SPIKE_DAYS: i64 = 120;
const SPIKE_MS: i64 = 6 * HOUR_MS;

/// A rate, and how much its hours vary.
#[derive(Clone, Copy)]
pub struct Setting {
    pub per_hour: f64,
    pub variation: f64,
    pub seed: u64,
}

/// False alarms a code and year in 600 code-years without spikes.
pub fn false_alarms(setting: Setting) -> f64 {
    let vendor = Vendor::new(setting.per_hour);
    let mut alarms = 0;
    for number in 0..QUIET_CODES {
        let mut code = Code::new(setting.seed * 1_000_003 + number, setting.per_hour, setting.variation, &vendor);
        let mut watch = Watch::new(vendor.detector());
        watch.live(&mut code, 0..BURN_IN_DAYS + QUIET_DAYS, |_| 1.0, &[]);
        alarms += watch.alerts_in_days(BURN_IN_DAYS..BURN_IN_DAYS + QUIET_DAYS);
    }
    alarms as f64 / (QUIET_CODES as f64 * QUIET_DAYS as f64 / 365.0)
}

/// How soon spikes of one multiple were found.
#[derive(Default, Clone)]
pub struct Found {
    spikes: usize,
    /// Minutes from the beginning of the spike until the alert could be read.
    after_minutes: Vec<f64>,
}

impl Found {
    pub fn share_within(&self, minutes: f64) -> f64 {
        let soon = self.after_minutes.iter().filter(|after| **after <= minutes).count();
        soon as f64 / self.spikes.max(1) as f64
    }

    /// Median over all spikes, those that were not found last. None if more than half were not.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.after_minutes.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(self.spikes / 2).copied()
    }
}

/// Spikes of six hours every five to seven days, each code in its order of multiples, after 60 days without.
pub fn detection(setting: Setting) -> [Found; 5] {
    let vendor = Vendor::new(setting.per_hour);
    let mut found: [Found; 5] = Default::default();
    for number in 0..SPIKE_CODES {
        let mut code = Code::new(setting.seed * 1_000_003 + number, setting.per_hour, setting.variation, &vendor);
        let spikes = draw_spikes(&mut code, number as usize);
        let mut watch = Watch::new(vendor.detector());
        watch.live(&mut code, 0..SPIKE_DAYS, |_| 1.0, &spikes);
        for (index, spike) in spikes.iter().enumerate() {
            let one = &mut found[(index + number as usize) % MULTIPLES.len()];
            one.spikes += 1;
            let crossings = watch.alerts.iter().map(|alert| alert.first_crossing.0);
            let first = crossings.filter(|at| (spike.from_ms..spike.to_ms - ORDER_MS).contains(at)).min();
            one.after_minutes.extend(first.map(|at| (at + ORDER_MS - spike.from_ms) as f64 / MINUTE_MS as f64));
        }
    }
    found
}

fn draw_spikes(code: &mut Code, first: usize) -> Vec<Spike> {
    let mut spikes = Vec::new();
    let mut from_ms = START_MS + BURN_IN_DAYS * DAY_MS;
    loop {
        from_ms += code.random().between(5 * DAY_MS, 7 * DAY_MS);
        let to_ms = from_ms + SPIKE_MS;
        if to_ms > START_MS + SPIKE_DAYS * DAY_MS {
            return spikes;
        }
        let multiple = MULTIPLES[(spikes.len() + first) % MULTIPLES.len()];
        spikes.push(Spike { from_ms, to_ms, multiple });
    }
}

/// One line of the table: shares within 15, 60 and 360 minutes, and the median.
pub fn line(name: &str, found: &[Found; 5]) -> String {
    let cells = found.iter().map(|one| {
        let median = one.median().map_or("-".to_owned(), |minutes| format!("{minutes:.0}"));
        let share = |minutes| one.share_within(minutes);
        format!(" {:.2} / {:.2} / {:.2}; {median} |", share(15.0), share(60.0), share(360.0))
    });
    format!("| {name} |{}", cells.collect::<String>())
}
