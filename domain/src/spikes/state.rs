//! What is kept of one code.

use super::customers::Customers;
use super::learning::{Level, Memory};
use super::slots::Slots;
use crate::ids::{CodeId, Timestamp};

/// A time in which a code is redeemed more than usual, whether reported or not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Episode {
    /// Minute of the first redemption that was too many.
    pub(super) since: u32,
    /// Minute of the last one.
    pub(super) last: u32,
    /// Whether an alert was raised.
    pub(super) raised: bool,
    /// The hours that are not learned.
    pub(super) aside: Memory,
}

/// Redemptions that wait for earlier ones to arrive, at most.
pub(super) const MOST_WAITING: usize = 32;

/// What the detector knows about one code: 71 bytes when stored and nothing happened in the last six hours, up to 400
/// for a code that is redeemed all the time.
///
/// Numbers that last are `f32`, so that the stored state is the whole state.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeState {
    pub(super) code: CodeId,
    /// Records below this position are known.
    pub(super) next_position: u64,
    /// Hours since 1970 before this one are learned; 0 before the first redemption.
    pub(super) learned_until: u32,
    /// The last redemption that moved the sums, in milliseconds; 0 before the first.
    pub(super) last_at: i64,
    /// Of weeks.
    pub(super) level: Memory,
    /// Of days.
    pub(super) recent: Memory,
    /// `sum((n - mu)² - mu)` over hours, weighed by age.
    pub(super) excess: f32,
    /// `sum(mu²)` over the same hours.
    pub(super) squares: f32,
    /// The cumulative sums.
    pub(super) rises: [f32; 3],
    pub(super) episode: Option<Episode>,
    /// Counts of hours that are not learned yet.
    pub(super) hours: Slots,
    /// Counts of quarters of an hour, for the windows of one and six hours.
    pub(super) quarters: Slots,
    /// Counts of minutes, for the window of 15.
    pub(super) minutes: Slots,
    pub(super) customers: Customers,
    /// Time and customer of redemptions that wait for their order, ascending.
    pub(super) waiting: Vec<(i64, u64)>,
}

impl CodeState {
    /// A code that was never redeemed.
    pub fn new(code: CodeId) -> CodeState {
        CodeState {
            code,
            next_position: 0,
            learned_until: 0,
            last_at: 0,
            level: Memory::default(),
            recent: Memory::default(),
            excess: 0.0,
            squares: 0.0,
            rises: [0.0; 3],
            episode: None,
            hours: Slots::default(),
            quarters: Slots::default(),
            minutes: Slots::default(),
            customers: Customers::default(),
            waiting: Vec::new(),
        }
    }

    /// Whose state this is.
    pub fn code(&self) -> CodeId {
        self.code
    }

    /// Whether what happens now is taken for usual. While it is not, leave the code's redemptions out of
    /// [`super::VendorHabits`] too.
    pub fn is_learning(&self) -> bool {
        self.episode.is_none()
    }

    /// When the oldest redemption that waits for its order can be judged; none if none waits.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.waiting.first().map(|(at, _)| Timestamp(at.saturating_add(super::ORDER_MS)))
    }

    /// Redemptions an hour of this code, for a vendor whose codes have this mean level.
    pub fn level_per_hour(&self, mean_level: f64) -> f64 {
        Level::of(self, mean_level).mean
    }
}
