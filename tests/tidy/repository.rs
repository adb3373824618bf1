//! The files of the repository, read once.

use crate::modules;
use crate::rust_text::RustText;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours, wherever they are.
const NOT_OURS: [&str; 4] = ["node_modules", ".git", ".cache", "dist"];
/// Folders at the top that hold nothing of ours.
const NOT_OURS_AT_TOP: [&str; 3] = ["target", "data", "vendor-engine"];
/// Larger files are data.
const LARGEST_TEXT_BYTES: u64 = 4 << 20;

/// One file with text in it.
pub struct TextFile {
    /// From the top of the repository, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// One Rust file.
pub struct RustFile {
    /// From the top of the repository, with `/`.
    pub path: String,
    /// The crate's folder, empty for the binary's.
    pub folder: String,
    /// What is in it, in the forms that the checks need.
    pub rust: RustText,
    /// Whether it is compiled for tests only, or is a bench or an example.
    pub is_test: bool,
}

/// One crate.
pub struct Crate {
    /// Its folder, empty for the binary's.
    pub folder: String,
    /// Its name.
    pub name: String,
    /// Its manifest.
    pub manifest: toml::Table,
}

/// Everything that is checked.
pub struct Repository {
    /// Every file with text in it.
    pub texts: Vec<TextFile>,
    /// Every Rust file.
    pub rust: Vec<RustFile>,
    /// Every crate.
    pub crates: Vec<Crate>,
}

impl Repository {
    /// Reads the folder above this crate.
    pub fn read() -> Repository {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is one folder below the top");
        let mut paths = Vec::new();
        list(top, top, &mut paths);
        paths.sort();
        let texts: Vec<TextFile> = paths.iter().filter_map(|path| read_text(top, path)).collect();
        let crates = find_crates(&texts);
        let mut rust: Vec<RustFile> =
            texts.iter().filter(|file| file.path.ends_with(".rs")).map(|file| rust_file(file, &crates)).collect();
        let reached = modules::reached(&rust, &crates);
        for file in &mut rust {
            file.is_test |= reached.get(&file.path).is_some_and(|only_tests| *only_tests);
        }
        Repository { texts, rust, crates }
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// Rust files that are part of the product, not of its tests.
    pub fn product(&self) -> impl Iterator<Item = &RustFile> {
        self.rust.iter().filter(|file| !file.is_test)
    }
}

fn list(top: &Path, folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the repository can be read") {
        let entry = entry.expect("the repository can be read");
        let name = entry.file_name().into_string().unwrap_or_default();
        let kind = entry.file_type().expect("the repository can be read");
        let not_ours = NOT_OURS.contains(&name.as_str()) || (folder == top && NOT_OURS_AT_TOP.contains(&name.as_str()));
        if kind.is_dir() && !not_ours {
            list(top, &entry.path(), paths);
        } else if kind.is_file() && name != ".git" {
            // In a linked work tree .git is a file, and names the main one.
            paths.push(entry.path());
        }
    }
}

fn read_text(top: &Path, path: &Path) -> Option<TextFile> {
    let length = fs::metadata(path).ok()?.len();
    if length > LARGEST_TEXT_BYTES {
        return None;
    }
    let text = String::from_utf8(fs::read(path).ok()?).ok()?;
    let path = path.strip_prefix(top).ok()?.to_str()?.to_owned();
    (!text.contains('\0')).then_some(TextFile { path, text })
}

fn find_crates(texts: &[TextFile]) -> Vec<Crate> {
    let manifests = texts.iter().filter(|file| file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml"));
    let mut crates = Vec::new();
    for file in manifests {
        let manifest: toml::Table = file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path));
        let folder = file.path.trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned();
        if let Some(name) =
            manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str)
        {
            crates.push(Crate { folder, name: name.to_owned(), manifest: manifest.clone() });
        }
    }
    crates
}

fn rust_file(file: &TextFile, crates: &[Crate]) -> RustFile {
    let holds = |folder: &str| folder.is_empty() || file.path.starts_with(&format!("{folder}/"));
    let folders = crates.iter().map(|one| one.folder.as_str()).filter(|folder| holds(folder));
    let folder = folders.max_by_key(|folder| folder.len()).unwrap_or_default().to_owned();
    let is_test = file.path.split('/').any(|part| ["tests", "benches", "examples"].contains(&part));
    RustFile { path: file.path.clone(), folder, rust: RustText::new(&file.text), is_test }
}
