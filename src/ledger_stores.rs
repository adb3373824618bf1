//! The two stores of the ledger: the fold's own, and the warehouse that shows it.

use crate::base::{Base, Role, blocking};
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::{embedded_engine, outside};
use anyhow::Context;
use domain::ids::PARTITIONS;
use engine::Engine;
use processor::continuity::check_continuity;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::control::ControlStore;
use store::fold_store::{FoldStore, PostgresFoldStore, SqliteFoldStore};
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
            raise_sequences(base.control.as_ref(), Arc::clone(&stores.fold)).await?;
            stores.warehouse.migrate().await.context("the warehouse's tables could not be made")?;
        }
        if base.role.folds() {
            stores.lost = stores.lost_partitions(base.folder.refold()).await?;
        }
        Ok((stores, engine))
    }

    /// The partitions of which pages must show nothing before the verifier has been there: those that were shown before
    /// the warehouse was taken away, or before a repair was interrupted.
    async fn lost_partitions(&self, repairs: PathBuf) -> anyhow::Result<Vec<u16>> {
        let fold = self.fold.clone();
        let (shown, sent) = blocking(move || -> anyhow::Result<(Vec<u16>, bool)> {
            let (mut shown, mut sent) = (Vec::new(), false);
            for partition in 0..PARTITIONS {
                if fold.visible(partition)?.next_offset > 0 {
                    shown.push(partition);
                }
                sent |= fold.sent(partition)?.iter().any(|range| range.sums.rows > 0);
            }
            // An earlier release did not note what it sent: with something still in the outbox nothing may have been
            // inserted yet.
            let sent = sent || !shown.is_empty() && fold.outbox_len()? == 0 && fold.has_booked()?;
            Ok((shown, sent))
        })
        .await?;
        if sent && !self.warehouse.has_purchases().await? {
            tracing::error!(
                "the warehouse is empty, but the fold store says that purchases were written to it: it is filled again from the log, \
                 and nothing is shown until then"
            );
            return Ok(shown);
        }
        Ok(if repairs.exists() { shown } else { Vec::new() })
    }
}

/// A control store from an older backup must not give out numbers that the log has.
pub async fn raise_sequences(control: &dyn ControlStore, fold: Arc<dyn FoldStore>) -> anyhow::Result<()> {
    for (vendor, seq) in blocking(move || fold.last_sequences()).await? {
        control.raise_sequence(vendor, seq).await?;
    }
    Ok(())
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
