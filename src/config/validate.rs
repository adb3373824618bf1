//! What a value must be beyond its kind, and what the settings must be together.

use super::Config;
use super::problems::Problems;
use super::protection;
use url::Url;

/// Notes everything that cannot work.
pub fn check(config: &Config, problems: &mut Problems) {
    check_ranges(config, problems);
    check_server(config, problems);
    check_together(config, problems);
    check_warehouse(config, problems);
    check_kafka(config, problems);
    check_postgres(config, problems);
    protection::check(config, problems);
    check_telemetry(config, problems);
    check_traces(config, problems);
}

/// Setting, value, least, most. Both ends are allowed.
type Range = (&'static str, u64, u64, u64);

const KIBIBYTE: u64 = 1 << 10;
const MEBIBYTE: u64 = 1 << 20;
const DAY_S: u64 = 24 * 3600;

fn size(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn ranges_of_intake(config: &Config) -> Vec<Range> {
    let Config { server, edge, log, .. } = config;
    vec![
        ("server.shutdown_s", server.shutdown_s, 1, 300),
        ("edge.max_body_bytes", size(edge.max_body_bytes), 16 * KIBIBYTE, 64 * MEBIBYTE),
        ("edge.max_inflight_bytes", size(edge.max_inflight_bytes), MEBIBYTE, 4096 * MEBIBYTE),
        ("edge.failing_requests_per_minute", edge.failing_requests_per_minute.into(), 1, 100_000),
        ("edge.endpoint_requests_per_second", edge.endpoint_requests_per_second.into(), 1, 1_000_000),
        ("edge.signature_tolerance_s", edge.signature_tolerance_s, 30, 3600),
        ("log.queue_records", size(log.queue_records), 1, 1_000_000),
        ("log.queue_bytes", size(log.queue_bytes), MEBIBYTE, 4096 * MEBIBYTE),
        ("log.group_max_records", size(log.group_max_records), 1, 100_000),
        ("log.group_max_bytes", size(log.group_max_bytes), 64 * KIBIBYTE, 256 * MEBIBYTE),
    ]
}

fn ranges_of_fold_and_reading(config: &Config) -> Vec<Range> {
    let Config { processor, warehouse, kafka, postgres, api, web, telemetry, .. } = config;
    vec![
        ("kafka.replication_factor", kafka.replication_factor.into(), 1, 16),
        ("kafka.min_insync_replicas", kafka.min_insync_replicas.into(), 1, 16),
        ("kafka.spool_max_bytes", kafka.spool_max_bytes, 0, 1 << 50),
        ("kafka.spool_max_age_s", kafka.spool_max_age_s, 1, 30 * DAY_S),
        ("postgres.connections", size(postgres.connections), 2, 1_000),
        ("postgres.statement_timeout_s", postgres.statement_timeout_s, 1, 3_600),
        ("postgres.connect_timeout_s", postgres.connect_timeout_s, 1, 300),
        ("processor.batch_max_records", size(processor.batch_max_records), 1, 100_000),
        ("processor.batch_max_bytes", size(processor.batch_max_bytes), 64 * KIBIBYTE, 256 * MEBIBYTE),
        ("processor.project_max_lines", size(processor.project_max_lines), 1, 1_000_000),
        ("processor.outbox_max_lines", size(processor.outbox_max_lines), 1000, 100_000_000),
        ("processor.lookup_concurrency", size(processor.lookup_concurrency), 1, 64),
        ("processor.lookup_timeout_ms", processor.lookup_timeout_ms, 100, 120_000),
        ("processor.lookup_deadline_s", processor.lookup_deadline_s, 60, 30 * DAY_S),
        ("processor.verify_every_s", processor.verify_every_s, 1, 3_600),
        ("warehouse.max_memory_mb", warehouse.max_memory_mb, 256, 1 << 20),
        ("warehouse.connections", size(warehouse.connections), 1, 64),
        ("warehouse.query_timeout_s", warehouse.query_timeout_s, 1, 600),
        ("api.requests_per_minute_per_key", api.requests_per_minute_per_key.into(), 1, 1_000_000),
        ("api.burst_per_key", api.burst_per_key.into(), 1, 1_000_000),
        ("web.max_streams", size(web.max_streams), 1, 100_000),
        ("web.session_days", web.session_days.into(), 1, 365),
        ("web.sign_ins_per_minute", web.sign_ins_per_minute.into(), 1, 10_000),
        ("telemetry.traces_one_in", telemetry.traces_one_in.into(), 1, 1_000_000_000),
    ]
}

fn check_ranges(config: &Config, problems: &mut Problems) {
    for (about, value, least, most) in ranges_of_intake(config).into_iter().chain(ranges_of_fold_and_reading(config)) {
        if value < least || value > most {
            problems.add(about, "", format!("must be from {least} to {most}, got {value}"));
        }
    }
}

fn check_server(config: &Config, problems: &mut Problems) {
    let about = "server.public_url";
    if let Some(url) = &config.server.public_url {
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            problems.add(
                about,
                "",
                format!("must begin with https:// (or http:// on this machine) and a host, got {url}"),
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            problems.add(about, "", format!("must end after the path, without ? and #, got {url}"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            problems.add(about, "", "must not hold a user name or password");
        }
    } else if !config.server.listen.ip().is_loopback() {
        let message = format!(
            "must be set when server.listen ({}) can be reached from other machines: the address that people and \
             providers use, such as https://track.example.com",
            config.server.listen
        );
        problems.add(about, "", message);
    }
    if config.server.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        let message =
            "must not be everybody (/0): then any client chooses the address it is limited by; name the proxy";
        problems.add("server.trusted_proxies", "", message);
    }
}

fn check_together(config: &Config, problems: &mut Problems) {
    let edge = &config.edge;
    if edge.max_inflight_bytes < edge.max_body_bytes {
        let message = format!(
            "must be at least edge.max_body_bytes ({}), or the largest allowed delivery never fits; got {}",
            edge.max_body_bytes, edge.max_inflight_bytes
        );
        problems.add("edge.max_inflight_bytes", "", message);
    }
    let log = &config.log;
    if log.group_max_records > log.queue_records {
        let message =
            format!("must be at most log.queue_records ({}), got {}", log.queue_records, log.group_max_records);
        problems.add("log.group_max_records", "", message);
    }
    for (about, bytes) in [
        ("log.queue_bytes", log.queue_bytes),
        ("log.group_max_bytes", log.group_max_bytes),
        ("processor.batch_max_bytes", config.processor.batch_max_bytes),
    ] {
        if bytes < edge.max_body_bytes {
            let message = format!("must be at least edge.max_body_bytes ({}), got {bytes}", edge.max_body_bytes);
            problems.add(about, "", message);
        }
    }
    if config.data.dir.as_os_str().is_empty() {
        problems.add("data.dir", "", "must name a folder, such as ./data");
    }
}

fn check_warehouse(config: &Config, problems: &mut Problems) {
    let warehouse = &config.warehouse;
    match (&warehouse.url, warehouse.embedded) {
        (Some(_), true) => {
            problems.add(
                "warehouse.url",
                "",
                "contradicts warehouse.embedded = true: set embedded = false, or remove the url",
            );
        }
        (None, false) => {
            let message =
                "must be set when warehouse.embedded = false: the server's HTTP address, such as http://127.0.0.1:8123";
            problems.add("warehouse.url", "", message);
        }
        (Some(url), false) if !is_http(url) => {
            problems.add("warehouse.url", "", format!("must begin with http:// or https://, got {url}"));
        }
        (Some(_), false) | (None, true) => {}
    }
    let is_name_character = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let database = &warehouse.database;
    if database.is_empty() || database == "default" || !database.chars().all(is_name_character) {
        let message = format!("must be a name of letters, digits and _ of our own (not \"default\"), got {database:?}");
        problems.add("warehouse.database", "", message);
    }
    let cluster = &warehouse.cluster;
    if !cluster.chars().all(is_name_character) || cluster.len() > 100 {
        let message = format!("must be letters, digits and _, at most 100, got {cluster:?}");
        problems.add("warehouse.cluster", "", message);
    }
    if warehouse.embedded && !cluster.is_empty() {
        problems.add(
            "warehouse.cluster",
            "",
            "is for servers: set warehouse.embedded = false and warehouse.url, or leave it empty",
        );
    }
}

fn check_kafka(config: &Config, problems: &mut Problems) {
    let kafka = &config.kafka;
    for broker in kafka.brokers.split(',').map(str::trim).filter(|_| !kafka.brokers.is_empty()) {
        let port =
            broker.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            let message =
                format!("must be host:port, with commas between several, such as 10.0.0.1:9092, got {broker:?}");
            problems.add("kafka.brokers", "", message);
        }
    }
    let is_name_character = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    for (about, name) in
        [("kafka.topic", &kafka.topic), ("kafka.live_topic", &kafka.live_topic), ("kafka.group", &kafka.group)]
    {
        if name.is_empty() || name.len() > 249 || !name.chars().all(is_name_character) {
            problems.add(about, "", format!("must be letters, digits, dots, _ and -, at most 249, got {name:?}"));
        }
    }
    if kafka.topic == kafka.live_topic {
        problems.add(
            "kafka.live_topic",
            "",
            "must not be kafka.topic: records and signals are kept for different times",
        );
    }
    if kafka.min_insync_replicas > kafka.replication_factor {
        let message = format!(
            "must be at most kafka.replication_factor ({}), got {}",
            kafka.replication_factor, kafka.min_insync_replicas
        );
        problems.add("kafka.min_insync_replicas", "", message);
    }
}

fn check_postgres(config: &Config, problems: &mut Problems) {
    let url = config.postgres.url.expose();
    // The address may hold a password, so it is never repeated.
    if !url.is_empty() && !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
        let message = "must look like postgresql://user:password@host:5432/database, or be empty";
        problems.add("postgres.url", "", message);
    }
    let schema = &config.postgres.schema;
    let is_name = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
    if !schema.starts_with(|first: char| first.is_ascii_lowercase())
        || schema.len() > 32
        || !schema.chars().all(is_name)
    {
        let message = format!("must be small letters, digits and _, a letter first, at most 32, got {schema:?}");
        problems.add("postgres.schema", "", message);
    }
}

/// Roles that share nothing but outside parts must be told where these are.
pub fn missing_for_roles(config: &Config) -> Vec<String> {
    let needs = [
        (config.kafka.brokers.is_empty(), "kafka.brokers: host:port of a broker (AFFILITRACK_KAFKA_BROKERS)"),
        (
            config.postgres.url.is_empty(),
            "postgres.url: postgresql://user:password@host:5432/database (AFFILITRACK_POSTGRES_URL)",
        ),
        (
            config.warehouse.embedded,
            "warehouse.embedded = false, and warehouse.url: the warehouse's HTTP address (AFFILITRACK_WAREHOUSE_EMBEDDED=off, AFFILITRACK_WAREHOUSE_URL)",
        ),
    ];
    needs.into_iter().filter(|(missing, _)| *missing).map(|(_, words)| words.to_owned()).collect()
}

fn check_telemetry(config: &Config, problems: &mut Problems) {
    let filter = &config.telemetry.filter;
    if filter.trim().is_empty() {
        problems.add("telemetry.filter", "", "must not be empty; info is usual, off writes nothing");
    } else if let Err(error) = tracing_subscriber::EnvFilter::try_new(filter) {
        problems.add(
            "telemetry.filter",
            "",
            format!("must look like info or warn,processor=debug, got {filter:?} ({error})"),
        );
    }
}

fn check_traces(config: &Config, problems: &mut Problems) {
    let about = "telemetry.traces_endpoint";
    if let Some(url) = &config.telemetry.traces_endpoint {
        if !is_http(url) || url.host_str().is_none() {
            let message = "must begin with http:// or https:// and a host, such as http://127.0.0.1:4318";
            problems.add(about, "", message);
        }
        if url.query().is_some() || url.fragment().is_some() || url.path().contains("/v1/traces") {
            problems.add(about, "", "must end before /v1/traces, which is added, and have no ? and #");
        }
        // It is said in log lines, so it must not hold a secret, and is not repeated here.
        if !url.username().is_empty() || url.password().is_some() {
            problems.add(about, "", "must not hold a user name or password: put a collector in between that adds them");
        }
    }
    let service = &config.telemetry.traces_service;
    if service.trim().is_empty() || service.chars().count() > 100 {
        problems.add("telemetry.traces_service", "", "must be a name of 1 to 100 characters");
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// What is allowed but probably not meant.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(url) = &config.server.public_url {
        let is_local = url.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() == "http" && !is_local {
            warnings.push(format!(
                "server.public_url ({url}) is not https: signed deliveries and sessions travel in the clear; put a proxy with TLS in front"
            ));
        }
    }
    if !config.server.listen.ip().is_loopback() && config.server.trusted_proxies.is_empty() {
        warnings.push(
            "server.trusted_proxies is empty: if a proxy stands in front, all clients share its address and its limit of failing requests"
                .to_owned(),
        );
    }
    if !config.warehouse.embedded && config.warehouse.password.is_empty() {
        warnings.push("warehouse.password is empty: the warehouse server accepts everybody who reaches it".to_owned());
    }
    warnings.extend(protection::warnings(config));
    warnings
}
