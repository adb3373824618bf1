//! How often somebody may ask: an API key, or the client of a form.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The budget of each of them.
#[derive(Debug, Clone, Copy)]
pub struct BudgetLimits {
    /// Requests per minute in the long run.
    pub per_minute: NonZeroU32,
    /// Requests at once after a pause.
    pub burst: NonZeroU32,
}

impl Default for BudgetLimits {
    /// Ten requests per second, 120 at once.
    fn default() -> BudgetLimits {
        BudgetLimits {
            per_minute: NonZeroU32::new(600).expect("600 is not 0"),
            burst: NonZeroU32::new(120).expect("120 is not 0"),
        }
    }
}

type Limiter<K, C> = RateLimiter<K, HashMapStateStore<K>, C, StateInformationMiddleware>;

/// Those who paused long enough to have their whole budget again are forgotten every so many
/// requests, so that the table holds active ones only.
const SWEEP_EVERY: u64 = 10_000;

/// The budgets of all of them.
pub struct Budgets<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    limiter: Limiter<K, C>,
    clock: C,
    burst: u32,
    requests: AtomicU64,
}

/// What a request leaves of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    limit: u32,
    remaining: u32,
    /// Set when the budget is used up: until it has room for one request.
    pub retry_after_seconds: Option<u64>,
}

impl<K: Hash + Eq + Clone> Budgets<K> {
    /// Whole budgets for everybody, by the clock of the process.
    pub fn new(limits: BudgetLimits) -> Budgets<K> {
        Budgets::with_clock(limits, DefaultClock::default())
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Budgets<K, C> {
    /// Whole budgets for everybody.
    pub fn with_clock(limits: BudgetLimits, clock: C) -> Budgets<K, C> {
        let quota = Quota::per_minute(limits.per_minute).allow_burst(limits.burst);
        let limiter = Limiter::new(quota, HashMapStateStore::default(), clock.clone());
        Budgets { limiter, clock, burst: limits.burst.get(), requests: AtomicU64::new(0) }
    }

    /// Takes one request out of a budget.
    pub fn check(&self, key: K) -> Standing {
        if self.requests.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
        }
        match self.limiter.check_key(&key) {
            Ok(snapshot) => Standing {
                limit: self.burst,
                remaining: snapshot.remaining_burst_capacity(),
                retry_after_seconds: None,
            },
            Err(refusal) => {
                let wait = refusal.wait_time_from(self.clock.now());
                Standing { limit: self.burst, remaining: 0, retry_after_seconds: Some(whole_seconds(wait)) }
            }
        }
    }
}

/// Rounded up, at least one.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_millis() as u64).div_ceil(1_000).max(1)
}

impl Standing {
    /// `RateLimit-Limit` and `RateLimit-Remaining`.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        headers.insert(HeaderName::from_static("ratelimit-limit"), HeaderValue::from(self.limit));
        headers.insert(HeaderName::from_static("ratelimit-remaining"), HeaderValue::from(self.remaining));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    #[test]
    fn each_key_has_a_budget_of_its_own_that_comes_back() {
        let clock = FakeRelativeClock::default();
        let limits = BudgetLimits { per_minute: NonZeroU32::new(60).unwrap(), burst: NonZeroU32::new(2).unwrap() };
        let budgets = Budgets::with_clock(limits, clock.clone());
        assert_eq!(budgets.check([1; 32]).remaining, 1);
        assert_eq!(budgets.check([1; 32]).remaining, 0);
        assert_eq!(budgets.check([1; 32]).retry_after_seconds, Some(1));
        assert_eq!(budgets.check([2; 32]).retry_after_seconds, None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(budgets.check([1; 32]).retry_after_seconds, None);
    }
}
