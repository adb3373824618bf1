//! Which crate may use which.

use crate::repository::{Crate, Repository};
use std::collections::BTreeSet;

/// Crate, and what it may use of ours. The three that wire everything up may use all.
const ARROWS: [(&str, &[&str]); 11] = [
    ("domain", &[]),
    ("telemetry", &[]),
    ("engine", &[]),
    ("schemas", &["domain"]),
    ("store", &["schemas", "domain", "engine"]),
    ("ingest", &["store", "schemas", "domain", "telemetry"]),
    ("processor", &["store", "schemas", "domain", "telemetry"]),
    ("api", &["store", "schemas", "domain", "telemetry"]),
    ("web", &["api", "store", "domain", "telemetry"]),
    // The tools compute money themselves and only read results; they share how an instance is started and signed for.
    ("loadtest", &["domain", "corpus"]),
    ("corpus", &["domain"]),
];
const USES_EVERYTHING: [&str; 3] = ["affilitrack", "tests", "simulation"];
/// Tests may start these beside what the crate itself may use.
const FOR_TESTS: [&str; 2] = ["engine", "telemetry"];

/// A driver, and the crates that may name it.
const DRIVERS: [(&str, &[&str]); 7] = [
    ("rusqlite", &["store", "tests"]),
    ("postgres", &["store", "tests"]),
    ("sqlx", &["store", "tests"]),
    // The engine's own tests drive it with the official client.
    ("clickhouse", &["store", "engine", "tests"]),
    ("rdkafka", &["store", "tests"]),
    ("libloading", &["engine"]),
    ("lz4_flex", &["engine"]),
];
/// What the pure crate must not see: input and output, async, clock, randomness.
const NOT_IN_DOMAIN: [&str; 9] =
    ["tokio", "futures", "async-trait", "axum", "hyper", "reqwest", "tracing", "getrandom", "rusqlite"];

/// Arrows that are not in the table.
pub fn between_crates(repository: &Repository) -> Vec<String> {
    let ours: BTreeSet<&str> = repository.crates.iter().map(|one| one.name.as_str()).collect();
    let mut findings = Vec::new();
    for one in &repository.crates {
        if USES_EVERYTHING.contains(&one.name.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == one.name) else {
            findings.push(format!("crate {} has no line in tests/tidy/arrows.rs: add what it may use", one.name));
            continue;
        };
        for (table, used) in dependencies(one) {
            let for_tests = table == "dev-dependencies" && FOR_TESTS.contains(&used.as_str());
            if ours.contains(used.as_str()) && !allowed.contains(&used.as_str()) && !for_tests {
                findings.push(format!("{}/Cargo.toml: {} must not use {used} ({table})", one.folder, one.name));
            }
        }
    }
    findings
}

/// Drivers named by a crate that must not know them.
pub fn to_drivers(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for one in &repository.crates {
        for (table, used) in dependencies(one) {
            let place = format!("{}/Cargo.toml", one.folder);
            if one.name == "domain" && NOT_IN_DOMAIN.contains(&used.as_str()) {
                findings.push(format!("{place}: domain is pure and must not use {used} ({table})"));
            }
            let driver = DRIVERS.iter().find(|(driver, _)| *driver == used);
            if let Some((_, allowed)) = driver.filter(|(_, allowed)| !allowed.contains(&one.name.as_str())) {
                findings.push(format!("{place}: only {} may name {used} ({table})", allowed.join(" and ")));
            }
        }
    }
    findings
}

/// Table and name of every dependency.
fn dependencies(one: &Crate) -> Vec<(&'static str, String)> {
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let names = |table: &'static str| {
        let entries = one.manifest.get(table).and_then(toml::Value::as_table);
        entries.into_iter().flat_map(|entries| entries.keys()).map(move |name| (table, name.clone()))
    };
    tables.into_iter().flat_map(names).collect()
}
