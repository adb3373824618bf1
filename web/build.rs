//! Embeds the front-end bundle: reads `assets/dist/manifest.json` and writes a list of
//! `include_bytes!` that `src/assets.rs` includes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const INSTRUCTION: &str = "run scripts/setup.sh, or `npm ci && npm run build` in web/";

fn main() {
    let root = folder("CARGO_MANIFEST_DIR");
    let dist = root.join("assets/dist");
    let manifest_path = dist.join("manifest.json");
    println!("cargo:rerun-if-changed={}", manifest_path.display());
    println!("cargo:rerun-if-changed={}", root.join("assets/src").display());

    let Ok(text) = std::fs::read_to_string(&manifest_path) else {
        panic!("the front-end bundle is missing ({}): {INSTRUCTION}", manifest_path.display());
    };
    let manifest: serde_json::Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{} is damaged ({error}): {INSTRUCTION}", manifest_path.display()));
    warn_if_stale(&root, &dist.join(".built"));

    let files = manifest["files"].as_object().unwrap_or_else(|| panic!("manifest.json has no `files`: {INSTRUCTION}"));
    let mut code = String::from("/// Every embedded file.\npub static ASSETS: &[Asset] = &[\n");
    let mut names = String::new();
    for (name, file) in files {
        let file = file.as_str().unwrap_or_else(|| panic!("manifest.json: `{name}` is not a file name: {INSTRUCTION}"));
        let plain = existing(&dist, file);
        let gzip = existing(&dist, &format!("{file}.gz"));
        let constant = name.to_uppercase().replace(['.', '-'], "_");
        writeln!(
            code,
            "    Asset {{ file: {file:?}, plain: include_bytes!({plain:?}), gzip: include_bytes!({gzip:?}) }},"
        )
        .expect("writing to a string cannot fail");
        writeln!(names, "/// Where `{name}` is served.\npub const {constant}: &str = {:?};", format!("/assets/{file}"))
            .expect("writing to a string cannot fail");
    }
    code.push_str("];\n");
    std::fs::write(folder("OUT_DIR").join("assets.rs"), code + &names).expect("OUT_DIR is writable");
}

/// A folder that cargo names.
#[expect(clippy::disallowed_methods, reason = "cargo talks to build scripts through the environment")]
fn folder(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(name).expect("cargo sets it for every build script"))
}

fn existing(dist: &Path, file: &str) -> String {
    let path = dist.join(file);
    assert!(path.is_file(), "{} is missing: {INSTRUCTION}", path.display());
    path.to_string_lossy().into_owned()
}

/// A bundle older than its sources still builds, so that only the browser notices: say so.
fn warn_if_stale(root: &Path, stamp: &Path) {
    let built = modified(stamp);
    let mut folders = vec![root.join("assets/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if modified(&path) > built {
                println!("cargo:warning={} is newer than the bundle: `npm run build` in web/", path.display());
                return;
            }
        }
    }
}

fn modified(path: &Path) -> SystemTime {
    path.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}
