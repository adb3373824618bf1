//! Outside parts as the configuration names them: Kafka, Postgres and the warehouse.

use crate::base::Role;
use crate::config::{Config, Kafka, PostgresTls, SaslMechanism};
use anyhow::Context;
use std::path::PathBuf;
use std::time::Duration;
use store::kafka::{ClientCertificate, KafkaMechanism, KafkaSecurity, KafkaSettings, KafkaTls, KafkaUser};
use store::postgres::{self, PostgresSettings};
use store::tls::Authorities;
use store::warehouse::{Warehouse, WarehouseConfig};

/// Said when topics or tables are not as they must be.
pub const MIGRATE_FIRST: &str = "topics and tables must be made first: affilitrack migrate";

/// How Kafka is reached; none when the log is in the data folder.
pub fn kafka_settings(config: &Config, role: Role) -> Option<KafkaSettings> {
    let settings = &config.kafka;
    (!settings.brokers.is_empty()).then(|| KafkaSettings {
        brokers: settings.brokers.clone(),
        security: kafka_security(settings),
        client_id: format!("affilitrack-{}", role.name()),
        events_topic: settings.topic.clone(),
        live_topic: settings.live_topic.clone(),
        replication_factor: settings.replication_factor,
        min_insync_replicas: settings.min_insync_replicas,
        ..KafkaSettings::default()
    })
}

fn kafka_security(settings: &Kafka) -> KafkaSecurity {
    let mechanism = match settings.sasl_mechanism {
        SaslMechanism::None => None,
        SaslMechanism::Plain => Some(KafkaMechanism::Plain),
        SaslMechanism::ScramSha256 => Some(KafkaMechanism::ScramSha256),
        SaslMechanism::ScramSha512 => Some(KafkaMechanism::ScramSha512),
    };
    let user = mechanism.filter(|_| settings.security_protocol.has_user()).map(|mechanism| KafkaUser {
        mechanism,
        name: settings.user.clone(),
        password: settings.password.expose().to_owned(),
    });
    let certificate = named_file(&settings.tls_certificate_file)
        .zip(named_file(&settings.tls_key_file))
        .map(|(certificate, key)| ClientCertificate { certificate, key });
    let tls = KafkaTls { authorities: authorities(&settings.tls_ca_file), certificate };
    KafkaSecurity { tls: settings.security_protocol.is_encrypted().then_some(tls), user }
}

fn named_file(path: &str) -> Option<PathBuf> {
    (!path.is_empty()).then(|| PathBuf::from(path))
}

fn authorities(ca_file: &str) -> Authorities {
    named_file(ca_file).map_or(Authorities::System, Authorities::File)
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
        tls: match settings.tls {
            PostgresTls::Url => postgres::PostgresTls::AsUrl,
            PostgresTls::Off => postgres::PostgresTls::Off,
            PostgresTls::Require => postgres::PostgresTls::Require,
            PostgresTls::VerifyCa => postgres::PostgresTls::VerifyCa(authorities(&settings.tls_ca_file)),
            PostgresTls::VerifyFull => postgres::PostgresTls::VerifyFull(authorities(&settings.tls_ca_file)),
        },
        pool_size: settings.connections,
        statement_timeout: Duration::from_secs(settings.statement_timeout_s),
        connect_timeout: Duration::from_secs(settings.connect_timeout_s),
        wait_timeout: Duration::from_secs(settings.connect_timeout_s),
        application_name: format!("affilitrack {}", role.name()),
        ..PostgresSettings::new(settings.url.expose(), &format!("{}_{store}", settings.schema))
    })
}

/// A warehouse at an address. Does not connect yet.
pub fn warehouse(config: &Config, insert_timeout: Duration) -> anyhow::Result<Warehouse> {
    let settings = warehouse_settings(config, insert_timeout);
    let warehouse = if config.warehouse.is_encrypted() {
        Warehouse::over_tls(settings, &authorities(&config.warehouse.tls_ca_file)).context("warehouse.tls_ca_file")?
    } else {
        Warehouse::new(settings)
    };
    Ok(match config.warehouse.cluster.as_str() {
        "" => warehouse,
        cluster => warehouse.on_cluster(cluster),
    })
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
