//! Builds the parts of one process out of the configuration, in the order of dependence.

use crate::base::{Base, Role};
use crate::config::Config;
use crate::failure_keeper::FailureKeeper;
use crate::folding::Folding;
use crate::intake;
use crate::ledger_stores::LedgerStores;
use crate::reading::{LiveParts, Reading};
use engine::Engine;
use ingest::failed::FailedList;
use ingest::receive::Edge;
use std::sync::Arc;
use store::kafka::live::LiveListener;
use store::live::LiveHub;
use store::secrets::system_random;
use telemetry::traces::export::Exporter;

/// The parts of a process; which there are depends on its role.
pub struct App {
    /// What every role stands on.
    pub base: Base,
    /// The webhook edge.
    pub edge: Option<Arc<Edge>>,
    /// What edges refused.
    pub failures: Arc<FailureKeeper>,
    /// The fold.
    pub folding: Option<Folding>,
    /// What pages stand on.
    pub reading: Option<Arc<Reading>>,
    /// Hears what other processes made visible.
    pub listener: Option<LiveListener>,
    /// Sends traces, if that is switched on.
    pub exporter: Option<Exporter>,
}

impl App {
    /// Opens all stores and builds all services. Nothing runs and nothing listens yet. The
    /// embedded engine, if one was started, is the caller's to shut down last.
    pub async fn build(config: Config, role: Role) -> anyhow::Result<(App, Option<Engine>)> {
        let (traces, exporter) = crate::traces::open(&config, role, system_random())?;
        let base = Base::open(config, role, traces).await?;
        let failed: Arc<FailedList> = Arc::default();
        let (control, clock) = (base.control.clone(), base.clock.clone());
        let failures = Arc::new(FailureKeeper::new(failed.clone(), control, clock, system_random().as_ref())?);
        let edge = role.takes_deliveries().then(|| Arc::new(intake::edge(&base, failed)));
        let mut app =
            App { base, edge, failures: failures.clone(), folding: None, reading: None, listener: None, exporter };
        if role == Role::Ingest {
            return Ok((app, None));
        }
        let (stores, engine) = LedgerStores::open(&app.base).await?;
        let mut pages: Option<Arc<LiveHub>> = None;
        let mut reading = None;
        if role.shows_pages() {
            if let Some(kafka) = &app.base.kafka {
                app.listener = Some(LiveListener::open(kafka).await?);
            }
            let live = LiveParts::new(&stores).await?;
            pages = Some(live.hub.clone());
            reading = Some(Reading::new(&app.base, &stores, live, failures)?);
        }
        if role.folds() {
            let folding = Folding::open(&app.base, &stores, pages)?;
            if let Some(reading) = &mut reading {
                reading.alarms = folding.alarms.clone();
            }
            app.folding = Some(folding);
        }
        app.reading = reading.map(Arc::new);
        Ok((app, engine))
    }
}
