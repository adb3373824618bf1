//! What no text of the repository may hold.

use crate::repository::Repository;
use std::collections::BTreeMap;

/// Endings of files that people write.
const WRITTEN: [&str; 17] = [
    ".rs",
    ".toml",
    ".md",
    ".sh",
    ".mjs",
    ".js",
    ".ts",
    ".css",
    ".html",
    ".sql",
    ".yml",
    ".yaml",
    ".json",
    ".txt",
    ".service",
    "Makefile",
    "Containerfile",
];
/// Recorded data, kept as it came.
const RECORDED: [&str; 3] = ["tests/corpus/", "golden/", ".snap"];

/// Traces of folders beside the repository. The words are put together here, so that this file holds none of them.
pub fn outside(repository: &Repository) -> Vec<String> {
    let folder = ["sha", "red"].concat();
    let mut needles = vec![["/wo", "rk/"].concat() + "main", format!("../{folder}/"), format!("/{folder}/")];
    needles.extend(["design", "fixtures", "reference", "hooks"].map(|part| format!("{folder}/{part}")));
    let mut findings = Vec::new();
    for file in &repository.texts {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(needle) = needles.iter().find(|needle| line.contains(needle.as_str())) {
                findings.push(format!("{}:{}: points outside the repository: {needle}", file.path, index + 1));
            }
        }
    }
    findings
}

/// Download addresses in lock files: whoever installs has a registry of their own.
pub fn hosts_in_lock_files(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in &repository.texts {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        for (index, line) in file.text.lines().enumerate() {
            let bad = match name {
                "package-lock.json" => line.contains("\"resolved\"") && line.contains("://"),
                "Cargo.lock" => line.starts_with("source = ") && line != CRATES_IO,
                ".npmrc" => line.trim_start().starts_with("registry"),
                _ => false,
            };
            if bad {
                findings.push(format!("{}:{}: names a host: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    findings
}

/// How cargo writes the usual registry, whichever mirror it came from.
const CRATES_IO: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

/// Blanks at the end of a line, and files that do not end in one line break.
pub fn trailing_white_space(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in &repository.texts {
        let written = WRITTEN.iter().any(|ending| file.path.ends_with(ending));
        let recorded = RECORDED.iter().any(|part| file.path.contains(part)) || file.path.ends_with("package-lock.json");
        if !written || recorded {
            continue;
        }
        let lines = file.text.lines().enumerate().filter(|(_, line)| line.ends_with([' ', '\t', '\r']));
        findings
            .extend(lines.map(|(index, _)| format!("{}:{}: white space at the end of the line", file.path, index + 1)));
        if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
            findings.push(format!("{}: must end in one line break", file.path));
        }
    }
    findings
}

/// Decision records: `docs/adr/0001-what.md`, each number once, none left out, the number in the title.
pub fn decision_records(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    let mut numbers: BTreeMap<usize, &str> = BTreeMap::new();
    for file in
        repository.texts.iter().filter(|file| file.path.starts_with("docs/adr/") && !file.path.ends_with("README.md"))
    {
        let name = file.path.trim_start_matches("docs/adr/");
        let number = name.get(..4).and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|_| name.get(4..5) == Some("-") && name.ends_with(".md")) else {
            findings.push(format!("{}: must be named like docs/adr/0001-what-was-decided.md", file.path));
            continue;
        };
        if let Some(other) = numbers.insert(number, &file.path) {
            findings.push(format!("{}: has the number of {other}", file.path));
        }
        let title = file.text.lines().next().unwrap_or_default();
        if !title.starts_with("# ") || !title.contains(&number.to_string()) {
            findings.push(format!("{}: must begin with a title that has its number: # {number}. ...", file.path));
        }
    }
    for (expected, (number, path)) in (1..).zip(&numbers) {
        if *number != expected {
            findings.push(format!("{path}: number {expected} is missing before it"));
            break;
        }
    }
    findings
}
