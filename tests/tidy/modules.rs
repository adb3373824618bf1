//! Which Rust files are compiled, and which of them only for tests.

use crate::repository::{Crate, Repository, RustFile};
use std::collections::{BTreeMap, BTreeSet};

/// Files that no `mod` reaches.
pub fn unused(repository: &Repository) -> Vec<String> {
    let reached = reached(&repository.rust, &repository.crates);
    let dead = repository.rust.iter().filter(|file| !reached.contains_key(&file.path));
    dead.map(|file| format!("{}: no mod reaches it: remove it or declare it", file.path)).collect()
}

/// Every file that cargo compiles, and whether only tests do so.
pub fn reached(rust: &[RustFile], crates: &[Crate]) -> BTreeMap<String, bool> {
    let files: BTreeMap<&str, &RustFile> = rust.iter().map(|file| (file.path.as_str(), file)).collect();
    let all: BTreeSet<&str> = files.keys().copied().collect();
    let mut reached: BTreeMap<String, bool> = BTreeMap::new();
    let mut open: Vec<(String, bool, bool)> =
        crates.iter().flat_map(|one| roots(one, &all)).map(|path| (path, true, false)).collect();
    while let Some((path, is_root, only_tests)) = open.pop() {
        let Some(file) = files.get(path.as_str()) else { continue };
        // A file that the product reaches too is no longer only for tests, and neither is what it declares.
        if reached.get(&path).is_some_and(|known| !known || only_tests) {
            continue;
        }
        reached.insert(path, only_tests);
        let found = children(file, is_root).into_iter();
        open.extend(found.map(|(child, in_tests)| (child, false, only_tests || in_tests)));
    }
    reached
}

/// Files that cargo compiles by itself.
fn roots(one: &Crate, all: &BTreeSet<&str>) -> Vec<String> {
    let prefix = if one.folder.is_empty() { String::new() } else { format!("{}/", one.folder) };
    let mut roots: Vec<String> =
        ["src/lib.rs", "src/main.rs", "build.rs"].iter().map(|name| format!("{prefix}{name}")).collect();
    for folder in ["src/bin/", "benches/", "examples/", "tests/"] {
        // The folder tests/ at the top is a crate of its own.
        if one.folder.is_empty() && folder == "tests/" {
            continue;
        }
        let folder = format!("{prefix}{folder}");
        let direct = |path: &&&str| {
            path.strip_prefix(folder.as_str()).is_some_and(|rest| !rest.contains('/') || rest.ends_with("/main.rs"))
        };
        roots.extend(all.iter().filter(direct).map(|path| path.to_string()));
    }
    for kind in ["test", "bin", "bench", "example", "lib"] {
        let named = one.manifest.get(kind).into_iter();
        let targets = named.flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]));
        let paths = targets.filter_map(|target| Some(target.get("path")?.as_str()?.to_owned()));
        roots.extend(paths.map(|path| format!("{prefix}{path}")));
    }
    roots
}

/// Files that this one declares, and whether for tests only.
fn children(file: &RustFile, is_root: bool) -> Vec<(String, bool)> {
    let path = file.path.as_str();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let stem = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
    let below = if is_root || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut children = Vec::new();
    let originals: Vec<&str> = file.rust.original.lines().collect();
    for (index, (line, product)) in file.rust.code.lines().zip(file.rust.product.lines()).enumerate() {
        let in_tests = line != product;
        if line.contains("include!(")
            && let Some(name) = quoted(originals[index])
        {
            children.push((format!("{folder}/{name}"), in_tests));
        }
        let Some(name) = declared_module(line) else { continue };
        let above = originals[index.saturating_sub(4)..index]
            .iter()
            .rev()
            .take_while(|text| text.trim_start().starts_with("#["));
        let named = above.filter(|text| text.contains("#[path")).find_map(|text| quoted(text));
        match named {
            Some(path) => children.push((format!("{folder}/{path}"), in_tests)),
            None => children
                .extend([format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")].map(|path| (path, in_tests))),
        }
    }
    children
}

/// `mod name;` with or without visibility.
fn declared_module(line: &str) -> Option<&str> {
    let declaration = line.trim().strip_suffix(';')?;
    let (before, name) = declaration.rsplit_once("mod ")?;
    let is_visibility = before.is_empty() || before.starts_with("pub") || before.starts_with("#[");
    (is_visibility && !name.contains(' ')).then_some(name)
}

fn quoted(line: &str) -> Option<String> {
    Some(line.split('"').nth(1)?.to_owned())
}
