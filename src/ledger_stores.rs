//! The two stores of the ledger: the fold's own, and the warehouse that shows it.

use crate::base::{Base, Role, blocking};
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::{agreement, embedded_engine, outside};
use anyhow::Context;
use domain::ids::PARTITIONS;
use engine::Engine;
use processor::continuity::check_continuity;
use std::sync::Arc;
use std::time::Duration;
use store::fold_store::{FoldStore, PostgresFoldStore, SqliteFoldStore, Visible};
use store::postgres::PostgresPool;
use store::warehouse::{Warehouse, WarehouseConfig};

/// The longest an insert may take before its result is called unknown.
const INSERT_TIMEOUT: Duration = Duration::from_secs(60);

/// Where lines are made and where they are read.
#[derive(Clone)]
pub struct LedgerStores {
    /// The fold store.
    pub fold: Arc<dyn FoldStore>,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Partitions of which the warehouse lost everything, or may have: the verifier fills them again.
    pub lost: Vec<u16>,
}

impl LedgerStores {
    /// Opens both. The embedded engine, if one was started, is the caller's to shut down last.
    pub async fn open(base: &Base) -> anyhow::Result<(LedgerStores, Option<Engine>)> {
        let fold = open_fold(&base.config, base.role, &base.folder).await?;
        if base.kafka.is_none() {
            let partitions: Vec<u16> = (0..PARTITIONS).collect();
            check_continuity(base.log.as_ref(), fold.as_ref(), &partitions).await?;
        }
        let (engine, warehouse) = open_warehouse(&base.config, &base.folder).await?;
        let mut stores = LedgerStores { fold, warehouse, lost: Vec::new() };
        if base.role == Role::All {
            let agreed =
                agreement::bring_up(base.control.as_ref(), base.log.as_ref(), Arc::clone(&stores.fold)).await?;
            agreed.iter().for_each(|words| tracing::warn!("{words}"));
            stores.warehouse.migrate().await.context("the warehouse's tables could not be made")?;
        }
        stores.lost = stores.lost_partitions(base).await?;
        Ok((stores, engine))
    }

    /// The partitions of which pages must show nothing before the verifier has been there: those that were shown before
    /// the warehouse was taken away, or before a repair was interrupted.
    async fn lost_partitions(&self, base: &Base) -> anyhow::Result<Vec<u16>> {
        let found = find_lost(self.fold.clone(), &self.warehouse).await;
        let found = match found {
            // Who only shows pages goes on with what the others find.
            Err(error) if !base.role.folds() => {
                tracing::warn!(error = %error, "whether the warehouse is empty is not known: {error:#}");
                return Ok(Vec::new());
            }
            found => found?,
        };
        if !found.is_empty() {
            tracing::error!("{EMPTY}, and nothing is shown until then");
            hold(self.fold.clone(), found.clone()).await?;
            return Ok(found);
        }
        if base.role.folds() && base.folder.refold().exists() { shown(self.fold.clone()).await } else { Ok(Vec::new()) }
    }
}

/// Said when it lost everything.
pub const EMPTY: &str = "the warehouse is empty, but the fold store says that purchases were written to it: it is filled again from the log";

/// Partitions of which something was visible, if the warehouse has nothing any more of what was written to it.
pub async fn find_lost(fold: Arc<dyn FoldStore>, warehouse: &Warehouse) -> anyhow::Result<Vec<u16>> {
    let shown = shown(fold.clone()).await?;
    let any = shown.clone();
    let sent = blocking(move || -> anyhow::Result<bool> {
        for partition in any.iter().copied() {
            if fold.sent(partition)?.iter().any(|range| range.sums.rows > 0) {
                return Ok(true);
            }
        }
        // An earlier release did not note what it sent: with something still in the outbox nothing may have been
        // inserted yet.
        Ok(!any.is_empty() && fold.outbox_len()? == 0 && fold.has_booked()?)
    })
    .await?;
    Ok(if sent && !warehouse.has_purchases().await? { shown } else { Vec::new() })
}

async fn shown(fold: Arc<dyn FoldStore>) -> anyhow::Result<Vec<u16>> {
    let visible = visible(fold).await?;
    Ok(visible.into_iter().filter(|(_, upto)| upto.next_offset > 0).map(|(partition, _)| partition).collect())
}

/// What the warehouse shows of every partition.
pub async fn visible(fold: Arc<dyn FoldStore>) -> anyhow::Result<Vec<(u16, Visible)>> {
    blocking(move || -> anyhow::Result<Vec<(u16, Visible)>> {
        (0..PARTITIONS).map(|partition| Ok((partition, fold.visible(partition)?))).collect()
    })
    .await
}

/// Up to where partitions may be shown of which something is missing in the warehouse.
pub async fn held(fold: Arc<dyn FoldStore>) -> anyhow::Result<Vec<(u16, Visible)>> {
    blocking(move || -> anyhow::Result<Vec<(u16, Visible)>> {
        let mut held = Vec::new();
        for partition in 0..PARTITIONS {
            held.extend(fold.held(partition)?.map(|upto| (partition, upto)));
        }
        Ok(held)
    })
    .await
}

/// Nothing of these is shown by anybody until a verifier found that nothing is missing.
pub async fn hold(fold: Arc<dyn FoldStore>, partitions: Vec<u16>) -> anyhow::Result<()> {
    blocking(move || partitions.into_iter().try_for_each(|partition| fold.hold(partition, Some(Visible::default()))))
        .await
}

async fn open_fold(config: &Config, role: Role, folder: &DataFolder) -> anyhow::Result<Arc<dyn FoldStore>> {
    let Some(settings) = outside::fold_settings(config, role) else {
        return Ok(Arc::new(SqliteFoldStore::open(&folder.fold())?));
    };
    let opened = blocking(move || -> anyhow::Result<PostgresFoldStore> {
        Ok(PostgresFoldStore::attach(PostgresPool::connect(settings)?)?)
    });
    Ok(Arc::new(opened.await.context(outside::MIGRATE_FIRST)?))
}

/// The warehouse as configured: the engine of this process, or one at an address.
pub async fn open_warehouse(config: &Config, folder: &DataFolder) -> anyhow::Result<(Option<Engine>, Warehouse)> {
    if !config.warehouse.embedded {
        return Ok((None, outside::warehouse(config, INSERT_TIMEOUT)?));
    }
    let started = embedded_engine::start(config, folder, embedded_engine::own_use()?).await?;
    let target = WarehouseConfig {
        url: started.url().to_owned(),
        key: started.key().to_owned(),
        user: "default".to_owned(),
        database: started.database().to_owned(),
        ..outside::warehouse_settings(config, INSERT_TIMEOUT)
    };
    Ok((Some(started), Warehouse::new(target)))
}
