//! What is reported.

use super::{HOUR_MS, MINUTE_MS};
use crate::ids::{CodeId, Timestamp, VendorId};
use serde::{Deserialize, Serialize};

/// Which statistic crossed its threshold first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// The cumulative sum that is tuned to this multiple of the usual rate.
    Rise {
        /// 3, 8 or 25.
        ratio: u8,
    },
    /// The count in a window.
    Window {
        /// 15, 60 or 360.
        minutes: u16,
    },
}

/// A spike, raised once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// A function of vendor, code and the minute of the first crossing: folding the log again gives the same.
    pub id: u64,
    /// Which code.
    pub code: CodeId,
    /// Provider time of the redemption at which a threshold was crossed.
    pub first_crossing: Timestamp,
    /// What crossed it.
    pub statistic: Statistic,
    /// Beginning of the window that tells most; its redemptions are the rows behind the alert.
    pub from: Timestamp,
    /// Last moment of the window, inclusive: the crossing.
    pub to: Timestamp,
    /// Redemptions in the window.
    pub observed: u32,
    /// Redemptions that were to be expected in it.
    pub expected: f64,
    /// Different customers in the last six hours; eight means eight or more.
    pub customers: u8,
}

impl Alert {
    /// Redemptions beyond what was expected: what a loss is estimated from.
    pub fn excess(&self) -> f64 {
        (f64::from(self.observed) - self.expected).max(0.0)
    }

    /// Whether it is recent enough to be mailed: at most one hour old. A rebuild raises old alerts again.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.first_crossing.0) <= HOUR_MS
    }
}

/// The id of an alert: FNV-1a over vendor, code and minute.
pub(super) fn alert_id(vendor: VendorId, code: CodeId, first_crossing: Timestamp) -> u64 {
    let minute = first_crossing.0.div_euclid(MINUTE_MS);
    let bytes = [vendor.0.to_le_bytes(), code.0.to_le_bytes(), minute.to_le_bytes()].concat();
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(at: i64) -> Alert {
        Alert {
            id: 1,
            code: CodeId(7),
            first_crossing: Timestamp(at),
            statistic: Statistic::Rise { ratio: 8 },
            from: Timestamp(0),
            to: Timestamp(at),
            observed: 9,
            expected: 2.5,
            customers: 4,
        }
    }

    #[test]
    fn an_alert_is_fresh_for_an_hour() {
        assert!(alert(1_000).is_fresh(Timestamp(1_000 + HOUR_MS)));
        assert!(!alert(1_000).is_fresh(Timestamp(1_001 + HOUR_MS)));
        assert!(alert(5_000).is_fresh(Timestamp(0)), "a clock that is behind does not silence it");
    }

    #[test]
    fn the_excess_is_never_negative() {
        assert_eq!(alert(0).excess(), 6.5);
        assert_eq!(Alert { expected: 20.0, ..alert(0) }.excess(), 0.0);
    }

    #[test]
    fn the_id_is_stable_within_a_minute_and_different_beyond() {
        let id = |vendor, code, at| alert_id(VendorId(vendor), CodeId(code), Timestamp(at));
        assert_eq!(id(1, 2, 60_000), 0x1821_8934_73eb_b347, "stored ids depend on it");
        assert_eq!(id(1, 2, 60_000), id(1, 2, 119_999));
        assert_ne!(id(1, 2, 60_000), id(1, 2, 120_000));
        assert_ne!(id(1, 2, 60_000), id(2, 1, 60_000));
    }
}
