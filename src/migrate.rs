//! `affilitrack migrate`: makes and checks what the roles share, before they start.

use crate::base::{Role, blocking, refuse_missing_settings};
use crate::config::Config;
use crate::ledger_stores::raise_sequences;
use crate::outside;
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::control::{POSTGRES_MIGRATIONS, PostgresControlStore};
use store::fold_store::PostgresFoldStore;
use store::postgres::{PostgresPool, PostgresSettings};
use store::secrets::{MasterKeys, system_random};

/// How long one statement of a migration may take.
const STATEMENT_LIMIT: Duration = Duration::from_secs(3600);

/// Topics, tables of both stores, tables of the warehouse. What exists is checked; nothing is removed.
pub async fn run(config: Config) -> anyhow::Result<()> {
    crate::run::start_telemetry(&config)?;
    refuse_missing_settings(&config, Role::Serve)?;
    let kafka = outside::kafka_settings(&config, Role::Serve).context("kafka.brokers")?;
    store::kafka::migrate(&kafka).await?;
    println!("Kafka: topics {} and {} are as they must be", kafka.events_topic, kafka.live_topic);
    let patient = |settings: Option<PostgresSettings>| {
        settings.map(|settings| PostgresSettings { statement_timeout: STATEMENT_LIMIT, ..settings })
    };
    let control = patient(outside::control_settings(&config, Role::Serve)).context("postgres.url")?;
    let fold = patient(outside::fold_settings(&config, Role::Serve)).context("postgres.url")?;
    let (control, fold) = blocking(move || -> anyhow::Result<(Arc<PostgresPool>, PostgresFoldStore)> {
        let control = PostgresPool::connect(control)?;
        store::postgres::migrate(&control, &POSTGRES_MIGRATIONS)?;
        Ok((control, PostgresFoldStore::open(PostgresPool::connect(fold)?)?))
    })
    .await
    .context("Postgres")?;
    raise_sequences(&control_without_secrets(control).await?, Arc::new(fold)).await?;
    println!("Postgres: schemas {0}_control and {0}_fold are up to date", config.postgres.schema);
    let warehouse = outside::warehouse(&config, STATEMENT_LIMIT)?;
    let version = warehouse.migrate().await.context("the warehouse's tables could not be made")?;
    println!("Warehouse: tables are up to date (version {version})");
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
