//! What code must not do, and where it may all the same.

use crate::repository::{Repository, RustFile};

/// Reads the clock or draws random bytes.
const CLOCKS_AND_DICE: [&str; 12] = [
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "getrandom::fill",
    "getrandom::u32",
    "getrandom::u64",
    "rand::",
    "fastrand::",
    "OsRng",
    "thread_rng",
    "generate_key",
];

/// Where the clock may be read and random bytes drawn, and why.
const CLOCK_PLACES: [(&str, &str); 6] = [
    ("src/", "the binary hands clock and randomness to everything else"),
    ("telemetry/src/", "measures how long things take; no result depends on it"),
    ("loadtest/src/", "a tool: paces its own traffic"),
    ("corpus/src/", "a tool: signs deliveries with the time of the run"),
    ("engine/src/", "time limits of statements, and the random key of its local endpoint"),
    ("store/src/secrets.rs", "makes keys and nonces"),
];

const PRINTING: [&str; 4] = ["println!", "eprintln!", "print!", "eprint!"];
/// Command lines: what they print is what they are for.
const PRINTING_PLACES: [&str; 5] = ["src/", "loadtest/src/", "corpus/src/", "tests/", "build.rs"];

/// Crates whose business is SQL.
const SQL_PLACES: [&str; 4] = ["store", "schemas", "engine", "tests"];
/// How a statement begins.
const SQL_BEGINNINGS: [&str; 14] = [
    "select ",
    "insert into ",
    "insert or ",
    "update ",
    "delete from ",
    "create table ",
    "create view ",
    "create index ",
    "create database ",
    "alter table ",
    "drop table ",
    "with recursive ",
    "pragma ",
    "replace into ",
];
/// What only stands inside a statement.
const SQL_INSIDES: [&str; 6] = ["SELECT ", "INSERT INTO ", "DELETE FROM ", "GROUP BY ", "ORDER BY ", " FROM "];

fn place(file: &RustFile, line: usize) -> String {
    format!("{}:{line}", file.path)
}

fn is_under(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place) || path.ends_with(&format!("/{place}")))
}

/// Clock and randomness outside the named places.
pub fn time_and_randomness(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in repository.product() {
        let named = CLOCK_PLACES.iter().any(|(place, _)| file.path.starts_with(place));
        for needle in CLOCKS_AND_DICE.iter().filter(|_| !named) {
            for line in file.rust.lines_with(needle) {
                if !is_pausable_clock(file, needle, line) && !has_exception(file, line) {
                    let place = place(file, line);
                    findings.push(format!(
                        "{place}: {needle}: take time and randomness as an argument (named places: tests/tidy/bans.rs)"
                    ));
                }
            }
        }
    }
    findings
}

/// Tokio's clock: a test can pause it.
fn is_pausable_clock(file: &RustFile, needle: &str, line: usize) -> bool {
    let text = file.rust.product.lines().nth(line - 1).unwrap_or_default();
    let imported =
        file.rust.product.contains("use tokio::time::Instant") || file.rust.product.contains("use tokio::time::{");
    needle == "Instant::now"
        && (text.contains("time::Instant::now") && text.contains("tokio") || imported && !text.contains("std::time"))
}

/// Whether the linter's exception with its reason stands on this line or in the few above it.
fn has_exception(file: &RustFile, line: usize) -> bool {
    let lines: Vec<&str> = file.rust.original.lines().collect();
    lines[line.saturating_sub(6)..line].iter().any(|text| text.contains("clippy::disallowed_methods"))
}

/// Printing outside command lines.
pub fn printing(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in repository.product().filter(|file| !is_under(&file.path, &PRINTING_PLACES)) {
        for needle in PRINTING {
            let lines = file.rust.lines_with(needle).into_iter();
            findings.extend(lines.map(|line| format!("{}: {needle}: use tracing", place(file, line))));
        }
    }
    findings
}

/// SQL outside the crates whose business it is.
pub fn sql(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in repository.product().filter(|file| !SQL_PLACES.contains(&file.folder.as_str())) {
        for (line, literal) in file.rust.literals.iter().filter(|(_, literal)| is_sql(literal)) {
            let beginning: String = literal.trim().chars().take(40).collect();
            findings.push(format!("{}: SQL belongs into store: {beginning:?}", place(file, *line)));
        }
    }
    findings
}

fn is_sql(literal: &str) -> bool {
    let lower = literal.trim_start().to_lowercase();
    let has_statement_words =
        [" from ", " into ", " set ", " table ", " values"].iter().any(|word| lower.contains(word));
    let begins = SQL_BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning));
    (begins && has_statement_words) || SQL_INSIDES.iter().filter(|inside| literal.contains(*inside)).count() >= 2
}

/// `unwrap`, and `expect` that does not say why it cannot fail.
pub fn unwraps(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in repository.product() {
        for needle in [".unwrap()", ".expect(\"\")"] {
            for line in file.rust.lines_with(needle) {
                findings.push(format!(
                    "{}: {needle}: return an error, or expect(\"why it cannot fail\")",
                    place(file, line)
                ));
            }
        }
    }
    findings
}

/// `#[allow(...)]` and `#[expect(...)]` that do not say why.
pub fn exceptions_without_reason(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in repository.product() {
        for needle in ["[allow(", "[expect("] {
            for (position, _) in file.rust.product.match_indices(needle) {
                let end =
                    file.rust.product[position..].find(")]").map_or(file.rust.product.len(), |end| position + end);
                let exception = &file.rust.product[position..end];
                // Members that mirror a provider's are documented by the provider.
                if !exception.contains("reason =") && !exception.ends_with("(missing_docs") {
                    let line = file.rust.product[..position].lines().count();
                    findings.push(format!("{}: #{needle}...)] needs reason = \"...\"", place(file, line)));
                }
            }
        }
    }
    findings
}

/// Bans of clippy.toml that do not say why and what to use instead.
pub fn bans_without_reason(repository: &Repository) -> Vec<String> {
    let text = repository.text("clippy.toml").expect("clippy.toml is at the top");
    let table: toml::Table = text.parse().expect("clippy.toml is TOML");
    let lists = ["disallowed-methods", "disallowed-types", "disallowed-macros"];
    let bans = lists.iter().filter_map(|list| table.get(*list)?.as_array()).flatten();
    let mut findings = Vec::new();
    for ban in bans {
        let path = ban.get("path").and_then(toml::Value::as_str).unwrap_or("a ban without a path");
        let reason = ban.get("reason").and_then(toml::Value::as_str).unwrap_or_default();
        if reason.len() < 20 || !reason.contains("Instead: ") {
            findings.push(format!("clippy.toml: {path}: say why, and after \"Instead: \" what to use"));
        }
    }
    findings
}

/// Tests that are skipped.
pub fn ignored_tests(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in &repository.rust {
        for (index, line) in file.rust.code.lines().enumerate() {
            if line.trim() == "#[ignore]" {
                findings.push(format!("{}: #[ignore] needs a reason: #[ignore = \"...\"]", place(file, index + 1)));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_is_told_from_words() {
        assert!(is_sql("select sum(x) from lines where vendor = ?"));
        assert!(is_sql("\n  INSERT INTO a VALUES (1)"));
        assert!(is_sql("with a as (SELECT 1 FROM b) ..."));
        assert!(!is_sql("Select a range"));
        assert!(!is_sql("update the browser"));
        assert!(!is_sql("credited to the affiliate, from the event"));
    }
}
