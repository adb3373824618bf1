//! Builds everything of one process out of the configuration, in the order of dependence.

use crate::clock::system_clock;
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::directory_loader::{DirectoryLoader, HashKeys};
use crate::embedded_engine;
use anyhow::Context;
use api::ledger::{Ledger, SharedLedger};
use api::model::Watermark;
use api::services::{CacheLimits, Clock, ControlNames, QueryCache, ReportSources, Reports, WatermarkSource};
use domain::ids::{PARTITIONS, Timestamp, VendorId};
use engine::Engine;
use ingest::directory::EndpointDirectory;
use ingest::failed::FailedList;
use ingest::limits::{LimitSettings, Limits};
use ingest::minimise::Minimiser;
use ingest::receive::{Edge, Tolerances};
use processor::audit::Audit;
use processor::continuity::check_continuity;
use processor::worker::Alarms;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::control::{ControlStore, SqliteControlStore};
use store::event_log::{EventLog, partition_of};
use store::fold_store::{FoldStore, SqliteFoldStore, Visible};
use store::live::{Hold, LiveHub};
use store::local_log::{LocalLog, LogLimits};
use store::secrets::{MASTER_KEY_VARIABLE, MasterKeys, system_random};
use store::warehouse::{Warehouse, WarehouseConfig};
use tokio::sync::Notify;

/// Generation of the log: it changes only when the log itself is replaced.
pub const GENERATION: u16 = 1;
/// The longest an insert may take before its result is called unknown.
const INSERT_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that the parts of the process share.
pub struct App {
    /// Settings.
    pub config: Config,
    /// Where data is.
    pub folder: DataFolder,
    /// The time.
    pub clock: Clock,
    /// The event log.
    pub log: Arc<LocalLog>,
    /// The fold store.
    pub fold: Arc<SqliteFoldStore>,
    /// The control store.
    pub control: Arc<dyn ControlStore>,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// The live signal.
    pub live: Arc<LiveHub>,
    /// Answers that are still true.
    pub cache: Arc<QueryCache>,
    /// What only the fold's own store can tell.
    pub ledger: SharedLedger,
    /// Totals, series and lists.
    pub reports: Reports,
    /// The webhook edge.
    pub edge: Arc<Edge>,
    /// Endpoints in memory.
    pub directory: Arc<EndpointDirectory>,
    /// Keeps endpoints and hash keys in memory true.
    pub loader: Arc<DirectoryLoader>,
    /// Hash keys in memory.
    pub hash_keys: Arc<HashKeys>,
    /// Partitions that stopped.
    pub alarms: Arc<Alarms>,
    /// Checks the books and measures.
    pub audit: Arc<Audit>,
    /// Partitions of which the warehouse lost everything, or may have: the verifier fills them again.
    pub lost: Vec<u16>,
    /// Woken after every commit of the fold.
    pub committed: Arc<Notify>,
    /// Woken when there are new questions.
    pub asked: Arc<Notify>,
}

struct LiveWatermarks(Arc<LiveHub>);

impl WatermarkSource for LiveWatermarks {
    fn watermark(&self, vendor: VendorId) -> Watermark {
        let partition = partition_of(vendor);
        let visible = self.0.visible(partition);
        Watermark { generation: GENERATION, partition, next_offset: visible.next_offset, as_of: visible.at }
    }
}

impl App {
    /// Opens all stores and builds all services. Nothing runs and nothing listens yet. The
    /// embedded engine, if one was started, is the caller's to shut down last.
    #[expect(
        clippy::disallowed_methods,
        reason = "the master key is no setting: it must not stand in a file of settings"
    )]
    pub async fn build(config: Config) -> anyhow::Result<(App, Option<Engine>)> {
        let clock: Clock = system_clock();
        let folder = DataFolder::open(&config.data.dir)?;
        crate::socket::refuse_second_process(&folder.socket())?;
        let random = system_random();
        let environment = std::env::var(MASTER_KEY_VARIABLE).ok();
        let keys = MasterKeys::load(environment.as_deref(), &folder.master_key(), random.as_ref())?;
        let log = Arc::new(LocalLog::open_with(&folder.log(), log_limits(&config))?);
        let fold = Arc::new(SqliteFoldStore::open(&folder.fold())?);
        let partitions: Vec<u16> = (0..PARTITIONS).collect();
        check_continuity(log.as_ref(), fold.as_ref(), &partitions).await?;
        let control: Arc<dyn ControlStore> = Arc::new(SqliteControlStore::open(&folder.control(), keys, random)?);
        // A control store from an older backup must not give out numbers that the log has.
        for (vendor, seq) in fold.last_sequences()? {
            control.raise_sequence(vendor, seq).await?;
        }
        let (engine, warehouse) = open_warehouse(&config, &folder).await?;
        let lost = lost_partitions(&warehouse, fold.as_ref(), &folder.refold()).await?;
        let cache = Arc::new(QueryCache::new(CacheLimits::default()));
        let live = Arc::new(live_hub(fold.as_ref(), cache.clone(), &lost)?);
        let watermarks: Arc<dyn WatermarkSource> = Arc::new(LiveWatermarks(live.clone()));
        let catalogue = Arc::new(ControlNames::new(control.clone(), clock.clone()));
        let ledger = SharedLedger(Arc::new(Ledger::new(
            log.clone(),
            fold.clone(),
            control.clone(),
            warehouse.clone(),
            watermarks.clone(),
            catalogue.clone(),
            clock.clone(),
        )));
        let reports = Reports::new(ReportSources {
            warehouse: warehouse.clone(),
            cache: cache.clone(),
            catalogue,
            purchases: Arc::new(ledger.clone()),
            ledger: Arc::new(ledger.clone()),
            watermarks,
            clock: clock.clone(),
        });
        let directory = Arc::new(EndpointDirectory::new());
        let hash_keys: Arc<HashKeys> = Arc::default();
        let loader = Arc::new(DirectoryLoader::new(control.clone(), directory.clone(), hash_keys.clone()));
        let edge = Arc::new(edge(&config, log.clone(), directory.clone(), clock.clone()));
        let audit = Arc::new(audit(log.clone(), fold.clone(), clock.clone()));
        let app = App {
            config,
            folder,
            clock,
            log,
            fold,
            control,
            warehouse,
            live,
            cache,
            ledger,
            reports,
            edge,
            directory,
            loader,
            hash_keys,
            alarms: Arc::default(),
            audit,
            lost,
            committed: Arc::default(),
            asked: Arc::default(),
        };
        app.load_directory().await?;
        Ok((app, engine))
    }

    /// Reads endpoints, secrets and hash keys into memory, unless they were read since the last
    /// change. When it returns, every change made before the call is known to this process's edge.
    pub async fn load_directory(&self) -> anyhow::Result<()> {
        self.loader.load().await
    }

    /// The log as a port.
    pub fn event_log(&self) -> Arc<dyn EventLog> {
        self.log.clone()
    }

    /// The fold store as a port.
    pub fn fold_store(&self) -> Arc<dyn FoldStore> {
        self.fold.clone()
    }
}

fn log_limits(config: &Config) -> LogLimits {
    let settings = &config.log;
    LogLimits {
        queue_records: settings.queue_records,
        queue_bytes: settings.queue_bytes,
        group_records: settings.group_max_records,
        group_bytes: settings.group_max_bytes,
    }
}

fn live_hub(fold: &dyn FoldStore, cache: Arc<QueryCache>, lost: &[u16]) -> anyhow::Result<LiveHub> {
    let visible = (0..PARTITIONS)
        .map(|partition| Ok((partition, fold.visible(partition)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let held = cache.clone();
    let forget = move |signal: &store::live::LiveSignal| {
        cache.mark_changed(signal.vendor, signal.mode, GENERATION, signal.next_offset)
    };
    let forget_all = move |partition: u16, next_offset: u64| held.forget(partition, GENERATION, next_offset);
    let live = LiveHub::new(visible, Box::new(forget)).forgetting(Box::new(forget_all));
    // Partial figures are never shown as if they were true: nothing is, until the verifier has filled it again.
    lost.iter().for_each(|partition| live.hold(*partition, Visible::default()));
    Ok(live)
}

async fn open_warehouse(config: &Config, folder: &DataFolder) -> anyhow::Result<(Option<Engine>, Warehouse)> {
    let settings = &config.warehouse;
    let query_timeout = Duration::from_secs(settings.query_timeout_s);
    let mut target = WarehouseConfig {
        url: settings.url.as_ref().map(ToString::to_string).unwrap_or_default(),
        user: settings.user.clone(),
        key: settings.password.expose().to_owned(),
        database: settings.database.clone(),
        query_timeout,
        insert_timeout: INSERT_TIMEOUT,
    };
    let mut engine = None;
    if settings.embedded {
        let started = embedded_engine::start(config, folder, embedded_engine::own_use()?).await?;
        target.url = started.url().to_owned();
        target.key = started.key().to_owned();
        target.user = "default".to_owned();
        target.database = started.database().to_owned();
        engine = Some(started);
    }
    let warehouse = Warehouse::new(target);
    warehouse.migrate().await.context("the warehouse's tables could not be made")?;
    Ok((engine, warehouse))
}

/// The partitions of which pages must show nothing before the verifier has been there: those that were shown before the
/// warehouse was taken away, or before a repair was interrupted.
async fn lost_partitions(warehouse: &Warehouse, fold: &dyn FoldStore, repairs: &Path) -> anyhow::Result<Vec<u16>> {
    let (mut shown, mut sent) = (Vec::new(), false);
    for partition in 0..PARTITIONS {
        if fold.visible(partition)?.next_offset > 0 {
            shown.push(partition);
        }
        sent |= fold.sent(partition)?.iter().any(|range| range.sums.rows > 0);
    }
    // An earlier release did not note what it sent: with something still in the outbox nothing may have been inserted yet.
    let sent = sent || !shown.is_empty() && fold.outbox_len()? == 0 && fold.has_booked()?;
    if sent && !warehouse.has_purchases().await? {
        tracing::error!(
            "the warehouse is empty, but fold.db says that purchases were written to it: it is filled again from the log, and \
             nothing is shown until then"
        );
        return Ok(shown);
    }
    Ok(if repairs.exists() { shown } else { Vec::new() })
}

fn audit(log: Arc<dyn EventLog>, store: Arc<dyn FoldStore>, clock: Clock) -> Audit {
    let measured_at = tokio::sync::Mutex::new(Timestamp(0));
    Audit { store, log, partitions: processor::owns_everything(), clock, differences: Arc::default(), measured_at }
}

fn edge(config: &Config, log: Arc<LocalLog>, directory: Arc<EndpointDirectory>, clock: Clock) -> Edge {
    let settings = &config.edge;
    let per_second = NonZeroU32::new(settings.endpoint_requests_per_second).unwrap_or(NonZeroU32::MIN);
    let limits = LimitSettings {
        max_body_bytes: settings.max_body_bytes,
        max_inflight_bytes: settings.max_inflight_bytes,
        failing_per_minute: settings.failing_requests_per_minute as usize,
        verified_per_second: per_second,
        verified_burst: per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)),
        trusted_proxies: config.server.trusted_proxies.clone(),
        ..LimitSettings::default()
    };
    Edge {
        log,
        directory,
        minimiser: Minimiser::new(),
        limits: Limits::new(limits),
        clock,
        writer: "run".to_owned(),
        tolerances: Tolerances { stripe: settings.signature_tolerance_s as i64, ..Tolerances::default() },
        failed: FailedList::default(),
    }
}
