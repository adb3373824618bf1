//! A metric that nothing emits is a promise that nobody keeps.

use crate::repository::Repository;

const TABLE: &str = "telemetry/src/metrics.rs";
/// Emitted only where deliveries go through a spool.
const OF_A_SPOOL: [&str; 3] = ["SpoolBytes", "SpoolOldestSeconds", "SpoolFsyncSeconds"];

/// Lines of the table whose metric no product file names.
pub fn never_emitted(repository: &Repository) -> Vec<String> {
    let table = repository.text(TABLE).expect("the table of metrics is there");
    let names: Vec<&str> = table
        .lines()
        .filter(|line| line.contains(", \"at_"))
        .filter_map(|line| line.trim().split(',').next())
        .collect();
    assert!(names.len() > 10, "the table has another form than this check knows");
    let emits = |name: &str| {
        let used = format!("Metric::{name}");
        let mut others = repository.product().filter(|file| file.path != TABLE);
        others.any(|file| {
            file.rust.product.match_indices(&used).any(|(position, _)| {
                !file.rust.product[position + used.len()..].starts_with(|next: char| next.is_alphanumeric())
            })
        })
    };
    let missing = names.into_iter().filter(|name| !OF_A_SPOOL.contains(name) && !emits(name));
    missing.map(|name| format!("{TABLE}: nothing emits {name}: emit it or remove its line")).collect()
}
