//! The warehouse's tables: ordered SQL files and the names of their columns.
//!
//! A file that was released never changes; a change is a new file that also works with the
//! release before. `warehouse/golden.txt` freezes what the files say.

/// The table of ledger lines.
pub const LEDGER_LINES: &str = "ledger_lines";

/// The table of purchases after each change.
pub const PURCHASES: &str = "purchases";

/// Columns of [`LEDGER_LINES`], in the order in which they are sent.
pub const LEDGER_LINE_COLUMNS: [&str; 21] = [
    "vendor_id",
    "livemode",
    "occurred_at",
    "affiliate_id",
    "src_off",
    "ord",
    "src_part",
    "gen",
    "booked_at",
    "sale_at",
    "connection_id",
    "purchase_id",
    "kind",
    "code_id",
    "currency",
    "redemptions",
    "conversions",
    "gross",
    "net",
    "commission",
    "rule_rev",
];

/// Columns of [`PURCHASES`], in the order in which they are sent.
pub const PURCHASE_COLUMNS: [&str; 17] = [
    "vendor_id",
    "livemode",
    "gen",
    "purchase_id",
    "src_off",
    "src_part",
    "sale_at",
    "outcome",
    "reason",
    "affiliate_id",
    "code_id",
    "currency",
    "gross",
    "net",
    "reversed",
    "commission",
    "flags",
];

/// One step of the schema: a single statement that may be run again without harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Counts from 1 without gaps.
    pub version: u32,
    /// File name without its ending.
    pub name: &'static str,
    /// The statement with its comments.
    pub sql: &'static str,
}

/// Every migration, oldest first.
pub const MIGRATIONS: [Migration; 2] = [
    Migration { version: 1, name: "0001_ledger_lines", sql: include_str!("../warehouse/0001_ledger_lines.sql") },
    Migration { version: 2, name: "0002_purchases", sql: include_str!("../warehouse/0002_purchases.sql") },
];

/// A statement that makes a table, for every replica of a cluster: the copies meet by the table's UUID, which `ON CLUSTER`
/// makes the same everywhere. No test of this project runs it; `warehouse/golden_cluster.txt` freezes what it says.
pub fn on_cluster(sql: &str, cluster: &str) -> String {
    let mut text = String::with_capacity(sql.len() + 100);
    for line in sql.lines() {
        let line = line
            .replace("ENGINE = ReplacingMergeTree", "ENGINE = ReplicatedReplacingMergeTree")
            .replace("non_replicated_deduplication_window", "replicated_deduplication_window");
        text.push_str(&line);
        if line.starts_with("CREATE TABLE IF NOT EXISTS ") {
            text.push_str(" ON CLUSTER `");
            text.push_str(cluster);
            text.push('`');
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::line::{LineKind, PurchaseOutcome};

    /// The statement without comments and with single blanks.
    fn normalise(sql: &str) -> String {
        let code: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        code.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn columns(sql: &str) -> Vec<String> {
        let body = sql.split_once("\n(\n").expect("a column list").1.split_once("\n)\n").expect("its end").0;
        body.lines()
            .filter(|line| line.starts_with("    ") && !line.starts_with("     "))
            .map(|line| line.split_whitespace().next().expect("a name").to_owned())
            .collect()
    }

    #[test]
    fn released_statements_never_change() {
        let text: String =
            MIGRATIONS.iter().map(|migration| format!("{}\n{}\n", migration.name, normalise(migration.sql))).collect();
        assert_eq!(text, include_str!("../warehouse/golden.txt"), "add a migration instead of changing one");
    }

    #[test]
    fn statements_for_a_cluster_are_the_same_but_for_their_engine() {
        let text: String = MIGRATIONS
            .iter()
            .map(|migration| format!("{}\n{}\n", migration.name, normalise(&on_cluster(migration.sql, "main"))))
            .collect();
        assert_eq!(text, include_str!("../warehouse/golden_cluster.txt"), "what a server's tables are made with");
        assert_eq!(text.matches(" ON CLUSTER `main` ").count(), MIGRATIONS.len());
        assert_eq!(text.matches("ENGINE = ReplicatedReplacingMergeTree ").count(), MIGRATIONS.len());
    }

    #[test]
    fn versions_count_without_gaps_and_each_file_is_one_statement() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
            assert!(!migration.sql.contains(';'), "{} holds more than one statement", migration.name);
        }
    }

    #[test]
    fn column_lists_are_those_of_the_tables() {
        assert_eq!(columns(MIGRATIONS[0].sql), LEDGER_LINE_COLUMNS);
        assert_eq!(columns(MIGRATIONS[1].sql), PURCHASE_COLUMNS);
    }

    #[test]
    fn enums_hold_every_word_of_the_domain() {
        let lines = normalise(MIGRATIONS[0].sql);
        for kind in LineKind::ALL {
            assert!(lines.contains(&format!("'{}' = {}", kind.name(), kind as u8)), "{}", kind.name());
        }
        let purchases = normalise(MIGRATIONS[1].sql);
        for outcome in [
            PurchaseOutcome::Credited,
            PurchaseOutcome::Organic,
            PurchaseOutcome::Rejected,
            PurchaseOutcome::Waiting,
            PurchaseOutcome::Merged,
        ] {
            assert!(purchases.contains(&format!("'{}' = {}", outcome.name(), outcome as u8)), "{}", outcome.name());
        }
    }
}
