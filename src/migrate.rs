//! `affilitrack migrate`: makes and checks what the roles share, before they start.

use crate::base::{Role, blocking, refuse_missing_settings};
use crate::cli::MigrateArgs;
use crate::config::Config;
use crate::ledger_stores::{EMPTY, find_lost, hold};
use crate::{agreement, moving, outside};
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::control::{POSTGRES_MIGRATIONS, PostgresControlStore};
use store::event_log::EventLog;
use store::fold_store::{FoldStore, PostgresFoldStore};
use store::kafka::{KafkaLog, KafkaSettings};
use store::postgres::{PostgresPool, PostgresSettings};
use store::secrets::{MasterKeys, system_random};
use store::warehouse::Warehouse;

/// How long one statement of a migration may take.
const STATEMENT_LIMIT: Duration = Duration::from_secs(3600);

/// The outside parts, as they must be.
pub struct Migrated {
    /// The log.
    pub kafka: KafkaSettings,
    /// Connections to the control store's schema.
    pub control: Arc<PostgresPool>,
    /// The fold store.
    pub fold: Arc<dyn FoldStore>,
    /// The warehouse.
    pub warehouse: Warehouse,
}

/// Makes and checks what the roles share; if asked, brings over a data folder or compares with it.
pub async fn run(config: Config, args: &MigrateArgs) -> anyhow::Result<()> {
    crate::run::start_telemetry(&config)?;
    refuse_missing_settings(&config, Role::Serve)?;
    let outside = migrate(&config).await?;
    match &args.from {
        Some(folder) if args.compare => return moving::compare(folder, &outside).await,
        Some(folder) => moving::bring_over(folder, &outside).await?,
        None => {}
    }
    agree(&outside).await
}

/// Topics, tables of both stores, tables of the warehouse. What exists is checked; nothing is removed.
async fn migrate(config: &Config) -> anyhow::Result<Migrated> {
    let kafka = outside::kafka_settings(config, Role::Serve).context("kafka.brokers")?;
    store::kafka::migrate(&kafka).await?;
    println!("Kafka: topics {} and {} are as they must be", kafka.events_topic, kafka.live_topic);
    let patient = |settings: Option<PostgresSettings>| {
        settings.map(|settings| PostgresSettings { statement_timeout: STATEMENT_LIMIT, ..settings })
    };
    let control = patient(outside::control_settings(config, Role::Serve)).context("postgres.url")?;
    let fold = patient(outside::fold_settings(config, Role::Serve)).context("postgres.url")?;
    let (control, fold) = blocking(move || -> anyhow::Result<(Arc<PostgresPool>, PostgresFoldStore)> {
        let control = PostgresPool::connect(control)?;
        store::postgres::migrate(&control, &POSTGRES_MIGRATIONS)?;
        Ok((control, PostgresFoldStore::open(PostgresPool::connect(fold)?)?))
    })
    .await
    .context("Postgres")?;
    println!("Postgres: schemas {0}_control and {0}_fold are up to date", config.postgres.schema);
    let warehouse = outside::warehouse(config, STATEMENT_LIMIT)?;
    let version = warehouse.migrate().await.context("the warehouse's tables could not be made")?;
    println!("Warehouse: tables are up to date (version {version})");
    Ok(Migrated { kafka, control, fold: Arc::new(fold), warehouse })
}

/// What was restored from backups of different moments is brought together.
async fn agree(outside: &Migrated) -> anyhow::Result<()> {
    let control = control_without_secrets(Arc::clone(&outside.control)).await?;
    let log = KafkaLog::open(outside.kafka.clone())?;
    let agreed = agreement::bring_up(&control, &log, Arc::clone(&outside.fold)).await;
    log.close().await;
    agreed?.iter().for_each(|words| println!("Log: {words}"));
    let lost = find_lost(Arc::clone(&outside.fold), &outside.warehouse).await?;
    if !lost.is_empty() {
        println!("Warehouse: {EMPTY} by the processors, and nothing is shown until then");
        hold(Arc::clone(&outside.fold), lost).await?;
    }
    Ok(())
}

/// Nothing is sealed or opened with it, so it needs no key that lasts.
async fn control_without_secrets(control: Arc<PostgresPool>) -> anyhow::Result<PostgresControlStore> {
    let random = system_random();
    let mut key = [0_u8; 32];
    random(&mut key).context("randomness")?;
    let keys = MasterKeys::load(Some(&hex::encode(key)), Path::new(""), random.as_ref())?;
    Ok(PostgresControlStore::open(control, keys, random).await?)
}
