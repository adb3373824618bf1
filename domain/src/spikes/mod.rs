//! Spikes: codes that are redeemed far more often than they should be (leaked, scraped, abused).
//!
//! Per code a level (redemptions an hour) is learned, per vendor the hours of its week. Two statistics look at every
//! redemption: a bank of three cumulative sums, which finds slow rises, and three windows, which find sudden ones.
//! Both share one budget of false alarms, at most one a month for the whole vendor ([`Thresholds`]).
//!
//! Everything is a function of a code's own records in the order of the log. Silence costs nothing: between two
//! redemptions the sums only fall, and hours without any are learned when the next one comes.
#![allow(clippy::float_arithmetic, reason = "statistics of counts; no money is computed here")]

mod alert;
mod bytes;
mod context;
mod customers;
mod detector;
mod evidence;
mod learning;
mod local_clock;
#[cfg(test)]
mod properties;
mod season;
mod slots;
mod state;
mod tail;

pub use alert::{Alert, Statistic};
pub use bytes::StateError;
pub use context::{Thresholds, VendorContext};
pub use detector::{Detector, ORDER_MS, Redemption};
pub use local_clock::LocalClock;
pub use season::{Curve, Season, VendorHabits};
pub use state::CodeState;

const MINUTE_MS: i64 = 60_000;
const QUARTER_MS: i64 = 15 * MINUTE_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
