//! What the edge takes at most: failing requests per client, bytes in memory, verified traffic
//! per endpoint.
//!
//! Providers deliver bursts and retry storms from a handful of addresses, so a correctly signed
//! delivery is never refused for its address. What fails is counted per client; what is verified
//! is bounded per endpoint, far above any retry storm, and answered so that it is sent again.

use crate::client_address::ClientKey;
use domain::ids::Timestamp;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;
use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use telemetry::metrics::{Metric, set};

/// The window of [`LimitSettings::failing_per_minute`], in milliseconds.
const MINUTE_MS: i64 = 60_000;

/// The limits of the edge, as the config file sets them.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Largest body, in bytes.
    pub max_body_bytes: usize,
    /// Bodies in memory at one time, in bytes.
    pub max_inflight_bytes: usize,
    /// Failing requests of one client within any minute; the next gets 429.
    pub failing_per_minute: usize,
    /// Clients whose failing requests are remembered at one time.
    pub max_clients: usize,
    /// Verified deliveries of one endpoint per second, sustained.
    pub verified_per_second: NonZeroU32,
    /// Verified deliveries of one endpoint at once.
    pub verified_burst: NonZeroU32,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for LimitSettings {
    fn default() -> LimitSettings {
        LimitSettings {
            max_body_bytes: 2 * 1024 * 1024,
            max_inflight_bytes: 64 * 1024 * 1024,
            failing_per_minute: 60,
            max_clients: 16_384,
            verified_per_second: const { NonZeroU32::new(50_000).expect("not zero") },
            verified_burst: const { NonZeroU32::new(100_000).expect("not zero") },
            trusted_proxies: Vec::new(),
        }
    }
}

/// The limits at work.
pub struct Limits {
    settings: LimitSettings,
    failing: Mutex<FailingClients>,
    inflight: Arc<AtomicUsize>,
    verified: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
}

impl Limits {
    /// Limits with nothing counted yet.
    pub fn new(settings: LimitSettings) -> Limits {
        let quota = Quota::per_second(settings.verified_per_second).allow_burst(settings.verified_burst);
        Limits {
            failing: Mutex::new(FailingClients::default()),
            inflight: Arc::default(),
            verified: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            settings,
        }
    }

    /// The settings.
    pub fn settings(&self) -> &LimitSettings {
        &self.settings
    }

    /// Counts a failing request. An error says after how many seconds the client may fail again.
    pub fn count_failing(&self, client: ClientKey, now: Timestamp) -> Result<(), u64> {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.count(client, now, &self.settings)
    }

    /// A reservation of memory for one body, empty at first.
    pub fn reserve(&self) -> Reservation {
        Reservation { inflight: Arc::clone(&self.inflight), limit: self.settings.max_inflight_bytes, bytes: 0 }
    }

    /// Counts a verified delivery. An error says after how many seconds the endpoint has room again.
    pub fn count_verified(&self, endpoint: &String) -> Result<(), u64> {
        self.verified.check_key(endpoint).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            wait.as_secs() + 1
        })
    }
}

/// Bytes of bodies in memory that are given back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    inflight: Arc<AtomicUsize>,
    limit: usize,
    bytes: usize,
}

/// The memory for bodies is used up.
#[derive(Debug, PartialEq, Eq)]
pub struct NoRoom;

impl Reservation {
    /// Reserves more. Reserve what has arrived, not what was announced: announcing costs nothing.
    pub fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let total = self.inflight.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes += bytes;
        set(Metric::IngestInflightBytes, [], total as f64);
        if total > self.limit { Err(NoRoom) } else { Ok(()) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let before = self.inflight.fetch_sub(self.bytes, Ordering::Relaxed);
        set(Metric::IngestInflightBytes, [], (before - self.bytes) as f64);
    }
}

/// When each client failed within the last minute. Exact, unlike a bucket that refills while it
/// is being emptied: the request after the last allowed one is refused however fast they came.
#[derive(Default)]
struct FailingClients {
    clients: HashMap<ClientKey, VecDeque<i64>>,
    swept_at: i64,
}

impl FailingClients {
    fn count(&mut self, client: ClientKey, now: Timestamp, settings: &LimitSettings) -> Result<(), u64> {
        let client = self.admit(client, now.0, settings.max_clients);
        let times = self.clients.entry(client).or_default();
        while times.front().is_some_and(|time| now.0.saturating_sub(*time) >= MINUTE_MS) {
            times.pop_front();
        }
        if times.len() < settings.failing_per_minute {
            times.push_back(now.0);
            return Ok(());
        }
        let oldest = times.front().copied().unwrap_or(now.0);
        let wait_ms = oldest.saturating_add(MINUTE_MS).saturating_sub(now.0).clamp(0, MINUTE_MS);
        Err(wait_ms.unsigned_abs().div_ceil(1000).max(1))
    }

    /// The key to count under: the client's own while there is room, else one shared by all newcomers.
    fn admit(&mut self, client: ClientKey, now: i64, max_clients: usize) -> ClientKey {
        if self.clients.contains_key(&client) || self.clients.len() < max_clients {
            return client;
        }
        if now.saturating_sub(self.swept_at) >= 1000 {
            self.swept_at = now;
            self.clients.retain(|_, times| times.back().is_some_and(|time| now.saturating_sub(*time) < MINUTE_MS));
        }
        if self.clients.len() < max_clients { client } else { ClientKey::SHARED }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> ClientKey {
        ClientKey::of([192, 0, 2, last].into())
    }

    fn count(limits: &Limits, last: u8, at_ms: i64) -> Result<(), u64> {
        limits.count_failing(client(last), Timestamp(at_ms))
    }

    #[test]
    fn the_61st_failing_request_within_a_minute_waits() {
        let limits = Limits::new(LimitSettings::default());
        for number in 0..60 {
            assert_eq!(count(&limits, 1, number * 900), Ok(()));
        }
        assert_eq!(count(&limits, 1, 59_999), Err(1));
        assert_eq!(count(&limits, 2, 59_999), Ok(()), "another client is not concerned");
        assert_eq!(count(&limits, 1, 60_000), Ok(()), "the first is a minute ago");
        assert_eq!(count(&limits, 1, 60_000), Err(1));
        assert_eq!(count(&limits, 1, 200_000), Ok(()));
        assert_eq!(count(&limits, 1, 1_000), Ok(()), "a clock that goes back blocks nobody");
    }

    #[test]
    fn memory_for_clients_is_bounded() {
        let limits = Limits::new(LimitSettings { max_clients: 2, failing_per_minute: 1, ..LimitSettings::default() });
        assert_eq!((count(&limits, 1, 0), count(&limits, 2, 0)), (Ok(()), Ok(())));
        assert_eq!(count(&limits, 3, 0), Ok(()), "under the shared key");
        assert_eq!(count(&limits, 4, 500), Err(60));
        assert!(limits.failing.lock().expect("not poisoned").clients.len() <= 3);
        assert_eq!(count(&limits, 4, 60_000), Ok(()), "the others are forgotten");
        assert_eq!(limits.failing.lock().expect("not poisoned").clients.len(), 1);
    }

    #[test]
    fn bytes_come_back() {
        let limits = Limits::new(LimitSettings { max_inflight_bytes: 10, ..LimitSettings::default() });
        let mut first = limits.reserve();
        assert_eq!(first.grow(6), Ok(()));
        assert_eq!(limits.reserve().grow(5), Err(NoRoom));
        assert_eq!(first.grow(4), Ok(()));
        drop(first);
        assert_eq!(limits.reserve().grow(10), Ok(()));
    }

    #[test]
    fn an_endpoint_has_its_own_budget() {
        let one = NonZeroU32::MIN;
        let limits = Limits::new(LimitSettings { verified_per_second: one, verified_burst: one, ..Default::default() });
        assert_eq!(limits.count_verified(&"a".to_owned()), Ok(()));
        assert!(limits.count_verified(&"a".to_owned()).is_err_and(|wait| wait >= 1));
        assert_eq!(limits.count_verified(&"b".to_owned()), Ok(()));
    }
}
