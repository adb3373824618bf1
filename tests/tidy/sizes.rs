//! How long files and functions may be.

use crate::repository::Repository;

/// Lines of a file, tests not counted.
const LONGEST_FILE: usize = 500;
/// Lines of a function, signature included.
const LONGEST_FUNCTION: usize = 70;
/// Functions that are longer, one a line: `path function: reason`.
const LONG_FUNCTIONS: &str = include_str!("long-functions.txt");

/// Files that are too long.
pub fn long_files(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in repository.product() {
        let lines = file.rust.product_lines();
        if lines > LONGEST_FILE {
            findings
                .push(format!("{}: {lines} lines without tests, {LONGEST_FILE} allowed: cut it by purpose", file.path));
        }
    }
    findings
}

/// Functions that are too long, and exceptions that are no longer needed.
pub fn long_functions(repository: &Repository) -> Vec<String> {
    let exceptions: Vec<&str> =
        LONG_FUNCTIONS.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
    let mut used = Vec::new();
    let mut findings = Vec::new();
    for file in repository.product() {
        for function in file.rust.functions().into_iter().filter(|function| function.lines > LONGEST_FUNCTION) {
            let beginning = format!("{} {}: ", file.path, function.name);
            match exceptions.iter().find(|line| line.starts_with(&beginning)) {
                Some(exception) => used.push(*exception),
                None => findings.push(format!(
                    "{}:{}: {} has {} lines, {LONGEST_FUNCTION} allowed: move leaves into functions of their own",
                    file.path, function.line, function.name, function.lines
                )),
            }
        }
    }
    let stale = exceptions.iter().filter(|line| !used.contains(line));
    findings.extend(stale.map(|line| format!("tests/tidy/long-functions.txt: no longer needed: {line}")));
    findings
}
