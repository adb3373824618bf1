//! The one place that reads the clock.

use domain::ids::Timestamp;
use std::sync::Arc;

/// The time now, as everything that needs it is handed it.
#[expect(clippy::disallowed_methods, reason = "the clock is read here and handed on")]
pub fn system_clock() -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)))
    })
}
