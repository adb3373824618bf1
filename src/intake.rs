//! The webhook edge of a process.

use crate::base::Base;
use ingest::failed::FailedList;
use ingest::limits::{LimitSettings, Limits};
use ingest::minimise::Minimiser;
use ingest::receive::{Edge, Tolerances};
use std::num::NonZeroU32;
use std::sync::Arc;

/// The edge over the process's log, noting what it refuses.
pub fn edge(base: &Base, failed: Arc<FailedList>) -> Edge {
    let settings = &base.config.edge;
    let per_second = NonZeroU32::new(settings.endpoint_requests_per_second).unwrap_or(NonZeroU32::MIN);
    let limits = LimitSettings {
        max_body_bytes: settings.max_body_bytes,
        max_inflight_bytes: settings.max_inflight_bytes,
        failing_per_minute: settings.failing_requests_per_minute as usize,
        verified_per_second: per_second,
        verified_burst: per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)),
        trusted_proxies: base.config.server.trusted_proxies.clone(),
        ..LimitSettings::default()
    };
    Edge {
        log: base.deliveries.clone(),
        directory: base.directory.clone(),
        minimiser: Minimiser::new(),
        limits: Limits::new(limits),
        clock: base.clock.clone(),
        writer: base.role.name().to_owned(),
        tolerances: Tolerances { stripe: settings.signature_tolerance_s as i64, ..Tolerances::default() },
        failed,
        traces: base.traces.clone(),
    }
}
