//! What pages, JSON API and control socket of a process stand on.

use crate::base::Base;
use crate::data_folder::DataFolder;
use crate::directory_loader::DirectoryLoader;
use crate::failure_keeper::FailureKeeper;
use crate::ledger_stores::{LedgerStores, held, visible};
use crate::mail::Outgoing;
use api::ledger::{Ledger, SharedLedger};
use api::model::Watermark;
use api::services::{CacheLimits, Clock, ControlNames, QueryCache, ReportSources, Reports, WatermarkSource};
use domain::ids::VendorId;
use processor::worker::Alarms;
use std::sync::Arc;
use store::control::ControlStore;
use store::event_log::{EventLog, partition_of};
use store::fold_store::{FoldStore, Visible};
use store::live::{Change, Hold, LiveHub};

/// Generation of the log: it changes only when the log itself is replaced.
pub const GENERATION: u16 = 1;

/// What pages, JSON API and control socket share.
pub struct Reading {
    /// Where the process's data is.
    pub folder: DataFolder,
    /// The time.
    pub clock: Clock,
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// The fold store.
    pub fold: Arc<dyn FoldStore>,
    /// The control store.
    pub control: Arc<dyn ControlStore>,
    /// Keeps what the edge of this process knows true.
    pub loader: Arc<DirectoryLoader>,
    /// The live signal.
    pub live: Arc<LiveHub>,
    /// Answers that are still true.
    pub cache: Arc<QueryCache>,
    /// What only the fold's own store can tell.
    pub ledger: SharedLedger,
    /// Totals, series and lists.
    pub reports: Reports,
    /// What edges refused.
    pub failures: Arc<FailureKeeper>,
    /// Partitions of this process that stopped.
    pub alarms: Arc<Alarms>,
    /// Where mail goes.
    pub mail: Outgoing,
    /// Whether unknown addresses may sign in.
    pub may_sign_up: bool,
    /// Where Stripe is asked with keys that are pasted; none = Stripe itself.
    pub stripe_api: Option<String>,
}

struct LiveWatermarks(Arc<LiveHub>);

impl WatermarkSource for LiveWatermarks {
    fn watermark(&self, vendor: VendorId) -> Watermark {
        let partition = partition_of(vendor);
        let visible = self.0.visible(partition);
        Watermark { generation: GENERATION, partition, next_offset: visible.next_offset, as_of: visible.at }
    }
}

/// The live signal of a process, and the cache that it keeps true.
pub struct LiveParts {
    /// The signal.
    pub hub: Arc<LiveHub>,
    /// The cache.
    pub cache: Arc<QueryCache>,
}

impl LiveParts {
    /// Starts at what the fold store says is visible. Whoever listens for signals of other processes does so before.
    pub async fn new(stores: &LedgerStores) -> anyhow::Result<LiveParts> {
        let cache = Arc::new(QueryCache::new(CacheLimits::default()));
        let kept = cache.clone();
        let forget = move |change: Change<'_>| match change {
            Change::Of(signal) => {
                kept.mark_changed((signal.vendor, signal.mode), &signal.affiliates, GENERATION, signal.next_offset);
            }
            Change::Partition(partition, offset) => kept.mark_partition_changed(partition, GENERATION, offset),
            Change::Wrong(partition, offset) => kept.forget(partition, GENERATION, offset),
        };
        let hub = Arc::new(LiveHub::new(visible(stores.fold.clone()).await?, Box::new(forget)));
        // What another process, or an earlier one, found missing.
        for (partition, upto) in held(stores.fold.clone()).await? {
            hub.hold(partition, upto);
        }
        // Partial figures are never shown as if they were true: nothing is, until the verifier has filled it again.
        stores.lost.iter().for_each(|partition| hub.hold(*partition, Visible::default()));
        Ok(LiveParts { hub, cache })
    }
}

impl Reading {
    /// Reads through the stores, as far as the live signal says is visible.
    ///
    /// # Errors
    /// When the settings of outgoing mail cannot be used.
    pub fn new(
        base: &Base,
        stores: &LedgerStores,
        live: LiveParts,
        failures: Arc<FailureKeeper>,
    ) -> anyhow::Result<Reading> {
        let mail = Outgoing::new(&base.config, base.folder.dir())?;
        let (clock, control) = (base.clock.clone(), base.control.clone());
        let LiveParts { hub, cache } = live;
        let watermarks: Arc<dyn WatermarkSource> = Arc::new(LiveWatermarks(hub.clone()));
        let catalogue = Arc::new(ControlNames::new(control.clone(), clock.clone()));
        let ledger = SharedLedger(Arc::new(Ledger::new(
            base.log.clone(),
            stores.fold.clone(),
            control.clone(),
            stores.warehouse.clone(),
            watermarks.clone(),
            catalogue.clone(),
            clock.clone(),
        )));
        let reports = Reports::new(ReportSources {
            warehouse: stores.warehouse.clone(),
            cache: cache.clone(),
            catalogue,
            purchases: Arc::new(ledger.clone()),
            ledger: Arc::new(ledger.clone()),
            watermarks,
            clock: clock.clone(),
        });
        Ok(Reading {
            folder: base.folder.clone(),
            clock,
            log: base.log.clone(),
            fold: stores.fold.clone(),
            control,
            loader: base.loader.clone(),
            live: hub,
            cache,
            ledger,
            reports,
            failures,
            alarms: Arc::default(),
            mail,
            may_sign_up: base.config.web.sign_up,
            stripe_api: base.config.web.stripe_api.as_ref().map(url::Url::to_string),
        })
    }
}
