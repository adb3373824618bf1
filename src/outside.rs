//! Outside parts as the configuration names them: Kafka, Postgres and the warehouse.

use crate::base::Role;
use crate::config::Config;
use std::time::Duration;
use store::kafka::KafkaSettings;
use store::postgres::PostgresSettings;
use store::warehouse::{Warehouse, WarehouseConfig};

/// Said when topics or tables are not as they must be.
pub const MIGRATE_FIRST: &str = "topics and tables must be made first: affilitrack migrate";

/// How Kafka is reached; none when the log is in the data folder.
pub fn kafka_settings(config: &Config, role: Role) -> Option<KafkaSettings> {
    let settings = &config.kafka;
    (!settings.brokers.is_empty()).then(|| KafkaSettings {
        brokers: settings.brokers.clone(),
        client_id: format!("affilitrack-{}", role.name()),
        events_topic: settings.topic.clone(),
        live_topic: settings.live_topic.clone(),
        replication_factor: settings.replication_factor,
        min_insync_replicas: settings.min_insync_replicas,
        ..KafkaSettings::default()
    })
}

/// How the control store's schema is reached; none when it is a file.
pub fn control_settings(config: &Config, role: Role) -> Option<PostgresSettings> {
    postgres_settings(config, role, "control")
}

/// How the fold store's schema is reached; none when it is a file.
pub fn fold_settings(config: &Config, role: Role) -> Option<PostgresSettings> {
    postgres_settings(config, role, "fold")
}

fn postgres_settings(config: &Config, role: Role, store: &str) -> Option<PostgresSettings> {
    let settings = &config.postgres;
    (!settings.url.is_empty()).then(|| PostgresSettings {
        pool_size: settings.connections,
        statement_timeout: Duration::from_secs(settings.statement_timeout_s),
        connect_timeout: Duration::from_secs(settings.connect_timeout_s),
        wait_timeout: Duration::from_secs(settings.connect_timeout_s),
        application_name: format!("affilitrack {}", role.name()),
        ..PostgresSettings::new(settings.url.expose(), &format!("{}_{store}", settings.schema))
    })
}

/// A warehouse at an address. Does not connect yet.
pub fn warehouse(config: &Config, insert_timeout: Duration) -> Warehouse {
    let warehouse = Warehouse::new(warehouse_settings(config, insert_timeout));
    match config.warehouse.cluster.as_str() {
        "" => warehouse,
        cluster => warehouse.on_cluster(cluster),
    }
}

/// How a warehouse at an address is reached.
pub fn warehouse_settings(config: &Config, insert_timeout: Duration) -> WarehouseConfig {
    let settings = &config.warehouse;
    WarehouseConfig {
        url: settings.url.as_ref().map(ToString::to_string).unwrap_or_default(),
        user: settings.user.clone(),
        key: settings.password.expose().to_owned(),
        database: settings.database.clone(),
        query_timeout: Duration::from_secs(settings.query_timeout_s),
        insert_timeout,
    }
}
