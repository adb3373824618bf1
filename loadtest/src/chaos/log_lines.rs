//! What the processes wrote: lines of level ERROR, and which partitions somebody folded when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Lines of level ERROR in the logs of a folder that hold none of the expected words.
pub fn errors_in(folder: &Path, expected: &[&str]) -> Vec<String> {
    let mut errors = Vec::new();
    for (name, text) in logs_in(folder) {
        let unexpected =
            text.lines().filter(|line| is_error(line) && !expected.iter().any(|words| line.contains(words)));
        errors.extend(unexpected.map(|line| format!("{name}: {}", line.chars().take(400).collect::<String>())));
    }
    errors
}

/// Name and text of every log of a folder, in order of names.
pub fn logs_in(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "log"));
    paths
        .filter_map(|path| {
            let name = path.file_stem()?.to_string_lossy().into_owned();
            Some((name, String::from_utf8_lossy(&std::fs::read(&path).ok()?).into_owned()))
        })
        .collect()
}

fn is_error(line: &str) -> bool {
    line.split_whitespace().nth(1) == Some("ERROR")
}

/// At a moment (milliseconds since midnight) a process folded these partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    /// When.
    pub at_ms: i64,
    /// Which process.
    pub process: String,
    /// Which partitions.
    pub partitions: BTreeSet<u16>,
}

/// What the processors of a folder said about which partitions they fold, in order of time.
pub fn folds_in(folder: &Path) -> Vec<Folds> {
    let mut said = Vec::new();
    for (process, text) in logs_in(folder).iter().filter(|(name, _)| name.starts_with("process")) {
        said.extend(text.lines().filter_map(|line| folds_of(process, line)));
    }
    said.sort_by_key(|folds| folds.at_ms);
    said
}

fn folds_of(process: &str, line: &str) -> Option<Folds> {
    // A process that was asked to stop folds nothing from then on.
    let partitions = if line.contains("asked to stop") {
        BTreeSet::new()
    } else {
        let (_, rest) = line.split_once(": folds ")?;
        let (_, list) = rest.split_once('{')?;
        list.trim_end_matches('}').split(',').filter_map(|number| number.trim().parse().ok()).collect()
    };
    Some(Folds { at_ms: time_of(line)?, process: process.to_owned(), partitions })
}

/// Milliseconds since midnight of a line's time, `2026-11-21T16:00:01.123456Z`.
fn time_of(line: &str) -> Option<i64> {
    let (_, time) = line.split_whitespace().next()?.split_once('T')?;
    let (hours, rest) = time.split_once(':')?;
    let (minutes, rest) = rest.split_once(':')?;
    let (seconds, fraction) = rest.trim_end_matches('Z').split_once('.')?;
    let number = |text: &str| text.parse::<i64>().ok();
    Some(((number(hours)? * 60 + number(minutes)?) * 60 + number(seconds)?) * 1000 + number(fraction.get(..3)?)?)
}

/// The longest time in milliseconds that a partition was nobody's, after all were somebody's for the first time.
pub fn longest_without_owner_ms(said: &[Folds], partitions: u16) -> i64 {
    let mut owned: BTreeMap<&str, &BTreeSet<u16>> = BTreeMap::new();
    let mut free_since: BTreeMap<u16, i64> = BTreeMap::new();
    let (mut longest, mut began) = (0, false);
    for folds in said {
        owned.insert(&folds.process, &folds.partitions);
        let is_owned = |partition: &u16| owned.values().any(|owned| owned.contains(partition));
        began |= (0..partitions).all(|partition| is_owned(&partition));
        for partition in (0..partitions).filter(|_| began) {
            if !is_owned(&partition) {
                free_since.entry(partition).or_insert(folds.at_ms);
            } else if let Some(since) = free_since.remove(&partition) {
                longest = longest.max((folds.at_ms - since).rem_euclid(DAY_MS));
            }
        }
    }
    match free_since.is_empty() {
        true => longest,
        false => i64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folds(at_ms: i64, process: &str, partitions: &[u16]) -> Folds {
        Folds { at_ms, process: process.to_owned(), partitions: partitions.iter().copied().collect() }
    }

    #[test]
    fn lines_are_understood() {
        let line = "2026-11-21T16:00:01.123456Z  INFO processor::worker: folds 2 partitions partitions={3, 14}";
        assert_eq!(folds_of("process-1", line), Some(folds(57_601_123, "process-1", &[3, 14])));
        let line = "2026-11-21T16:00:02.000456Z  INFO affilitrack::run: asked to stop";
        assert_eq!(folds_of("process-1", line), Some(folds(57_602_000, "process-1", &[])));
        assert_eq!(folds_of("process-1", "2026-11-21T16:00:02.000456Z  INFO store: something else"), None);
    }

    #[test]
    fn only_unexpected_errors_count() {
        let folder = tempfile::tempdir().unwrap();
        let text = "2026-11-21T16:00:01.1Z ERROR a: broken\n2026-11-21T16:00:01.1Z ERROR a: known\n\
                    2026-11-21T16:00:01.1Z  WARN a: an ERROR elsewhere\n";
        std::fs::write(folder.path().join("serve-1.log"), text).unwrap();
        std::fs::write(folder.path().join("other.txt"), "x ERROR y").unwrap();
        let errors = errors_in(folder.path(), &["known"]);
        assert_eq!(errors, ["serve-1: 2026-11-21T16:00:01.1Z ERROR a: broken"]);
    }

    #[test]
    fn a_partition_that_changes_hands_is_free_in_between() {
        let said = [
            folds(0, "a", &[0, 1]),
            folds(1_000, "a", &[0]),
            folds(4_000, "b", &[1]),
            folds(5_000, "c", &[1]),
            folds(6_000, "b", &[]),
        ];
        assert_eq!(longest_without_owner_ms(&said, 2), 3_000);
        assert_eq!(longest_without_owner_ms(&said[..2], 2), i64::MAX, "it stayed nobody's");
    }
}
