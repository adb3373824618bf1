//! Traces of this process, as configured. Off is the default.

use crate::base::Role;
use crate::config::Config;
use std::sync::Arc;
use store::secrets::FillRandom;
use telemetry::traces::Traces;
use telemetry::traces::export::{self, ExportSettings, Exporter};

/// What makes spans, and what sends them if there is somewhere to send them. A role that neither takes nor folds
/// deliveries has none.
///
/// # Errors
/// When the exporter cannot be made. Whether anybody listens at the address is not asked.
pub fn open(config: &Config, role: Role, random: Arc<FillRandom>) -> anyhow::Result<(Traces, Option<Exporter>)> {
    let Some(endpoint) = &config.telemetry.traces_endpoint else { return Ok((Traces::default(), None)) };
    if !role.takes_deliveries() && !role.folds() {
        return Ok((Traces::default(), None));
    }
    processor::lookups::choose_tls();
    let settings = ExportSettings {
        endpoint: endpoint.to_string(),
        service: config.telemetry.traces_service.clone(),
        role: role.name(),
        version: env!("CARGO_PKG_VERSION"),
        one_in: config.telemetry.traces_one_in,
    };
    let (traces, exporter) = export::open(settings, Arc::new(move |bytes: &mut [u8]| random(bytes).is_ok()))?;
    tracing::info!("traces one of {} deliveries, to {endpoint}", config.telemetry.traces_one_in);
    Ok((traces, Some(exporter)))
}
