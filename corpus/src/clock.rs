//! The one place of this crate that reads the clock: signatures carry the current time.

/// Unix time in seconds.
#[expect(clippy::disallowed_methods, reason = "a sender signs with the current time; nothing else depends on it")]
pub fn unix_seconds() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}
