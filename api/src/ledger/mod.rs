//! What only the fold's own store can tell: a purchase, a delivery, why a figure is what it is.
//!
//! Everything here runs the fold's pure functions on what is stored, without booking.

mod delivery;
mod explain;
mod names;
mod preview;
mod purchase;
mod words;

pub use explain::explain;
pub use names::SharedLedger;
pub use preview::{Difference, MOST_PURCHASES, Preview, Previewed, preview};

use crate::services::Clock;
use domain::catalogue::CatalogueEntry;
use domain::decisions::VendorDecisions;
use domain::fact::{Alias, Answer};
use domain::ids::*;
use domain::story::{Scope, Story};
use domain::target::{CatalogueReader, Context, PurchaseTarget, StateError, StoryTarget, target};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::control::ControlStore;
use store::event_log::{EventLog, partition_of};
use store::fold_store::FoldStore;
use store::scope::TenantScope;
use store::warehouse::Warehouse;

/// Reads the ledger's own stores.
pub struct Ledger {
    /// Records.
    pub log: Arc<dyn EventLog>,
    /// Stories.
    pub store: Arc<dyn FoldStore>,
    /// Names.
    pub control: Arc<dyn ControlStore>,
    /// Booked lines.
    pub warehouse: Warehouse,
    /// Up to where they can be read.
    pub watermarks: Arc<dyn crate::services::WatermarkSource>,
    /// Names of affiliates and codes.
    pub catalogue: Arc<dyn crate::services::Catalogue>,
    /// The time now.
    pub clock: Clock,
    /// Decisions in force by vendor, and up to which offset they were read.
    decisions: Mutex<HashMap<VendorId, (u64, Arc<VendorDecisions>)>>,
}

/// How many vendors' decisions are kept between reads.
const KEPT_VENDORS: usize = 500;

/// A story with its target.
pub(crate) struct Reached {
    pub story: Story,
    pub target: StoryTarget,
    pub decisions: Arc<VendorDecisions>,
}

impl Reached {
    /// The purchase that has one of these names.
    pub fn purchase_named(&self, names: &[Alias]) -> Option<&PurchaseTarget> {
        self.target.purchases.iter().find(|purchase| names.iter().any(|name| purchase.aliases.contains(name)))
    }

    /// The internal number of a purchase.
    pub fn number_of(&self, purchase: &PurchaseTarget) -> PurchaseId {
        let slot =
            self.story.slots.iter().find(|slot| slot.aliases.iter().any(|alias| purchase.aliases.contains(alias)));
        slot.map_or(PurchaseId(0), |slot| slot.purchase)
    }
}

struct StoredCatalogue<'a> {
    store: &'a dyn FoldStore,
    scope: Scope,
}

impl CatalogueReader for StoredCatalogue<'_> {
    fn entry(&self, key: &str) -> Result<Option<CatalogueEntry>, StateError> {
        self.store.catalogue_entry(self.scope, key).map_err(|error| StateError(error.to_string()))
    }

    fn answer(&self, request: &str) -> Result<Option<Answer>, StateError> {
        self.store.answer(self.scope, request).map_err(|error| StateError(error.to_string()))
    }
}

impl Ledger {
    /// Reads through these.
    pub fn new(
        log: Arc<dyn EventLog>,
        store: Arc<dyn FoldStore>,
        control: Arc<dyn ControlStore>,
        warehouse: Warehouse,
        watermarks: Arc<dyn crate::services::WatermarkSource>,
        catalogue: Arc<dyn crate::services::Catalogue>,
        clock: Clock,
    ) -> Ledger {
        Ledger { log, store, control, warehouse, watermarks, catalogue, clock, decisions: Mutex::default() }
    }

    /// The decisions in force. Read again when the vendor's partition moved on.
    fn decisions(&self, vendor: VendorId) -> anyhow::Result<Arc<VendorDecisions>> {
        let folded = self.store.position(partition_of(vendor))?.next_offset;
        let lock = || self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((offset, known)) = lock().get(&vendor)
            && *offset == folded
        {
            return Ok(known.clone());
        }
        let read = Arc::new(VendorDecisions::replay(self.store.decisions(&[vendor])?.into_iter().flatten()));
        let mut kept = lock();
        if kept.len() >= KEPT_VENDORS {
            kept.clear();
        }
        kept.insert(vendor, (folded, read.clone()));
        Ok(read)
    }

    /// A story of the scope with its target; `None` for another tenant's or another mode's.
    fn reached(&self, scope: &TenantScope, id: StoryId) -> anyhow::Result<Option<Reached>> {
        let Some(story) = self.store.stories(&[id])?.pop().flatten() else { return Ok(None) };
        if story.scope.vendor != scope.vendor() || story.scope.mode != scope.mode() {
            return Ok(None);
        }
        let decisions = self.decisions(scope.vendor())?;
        let catalogue = StoredCatalogue { store: self.store.as_ref(), scope: story.scope };
        let target = target(&story, &Context { decisions: &decisions, catalogue: &catalogue })?;
        Ok(Some(Reached { story, target, decisions }))
    }

    /// The provider accounts in which a name may be.
    fn scopes(&self, scope: &TenantScope) -> anyhow::Result<Vec<Scope>> {
        let decisions = self.decisions(scope.vendor())?;
        Ok(decisions
            .connections
            .keys()
            .map(|connection| Scope { vendor: scope.vendor(), connection: *connection, mode: scope.mode() })
            .collect())
    }

    /// The stories of a name, one per provider account at most.
    fn stories_named(&self, scope: &TenantScope, name: &str) -> anyhow::Result<Vec<StoryId>> {
        let names: Vec<(Scope, Alias)> =
            self.scopes(scope)?.into_iter().map(|scope| (scope, Alias(name.to_owned()))).collect();
        Ok(self.store.stories_of(&names)?.into_iter().flatten().collect())
    }
}

/// Runs a read of the fold store on the blocking pool.
pub(crate) async fn blocking<T: Send + 'static>(
    ledger: &Arc<Ledger>,
    read: impl FnOnce(&Ledger) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let ledger = ledger.clone();
    tokio::task::spawn_blocking(move || read(&ledger)).await?
}
