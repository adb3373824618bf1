//! Where the embedded engine's library is.

use std::path::{Path, PathBuf};

const FILE: &str = "libchdb.so";
/// Below a folder that `scripts/fetch-engine.sh` filled.
const IN_ENGINE_FOLDER: &str = "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";
/// Where an installed binary keeps it.
const INSTALLED: &str = "/usr/local/lib/affilitrack/libchdb.so";

/// What decides where to look.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// `warehouse.library`; empty if not set.
    pub configured: String,
    /// `AFFILITRACK_ENGINE_DIR`, as `scripts/fetch-engine.sh` reads it.
    pub engine_dir: Option<PathBuf>,
    /// This binary.
    pub binary: Option<PathBuf>,
    /// The folder that the process was started in.
    pub working_dir: PathBuf,
}

/// The first place that has it. A configured file is the only place that is looked at.
///
/// # Errors
/// All places that were looked at, in words.
pub fn find(search: &Search) -> Result<PathBuf, String> {
    let places = places(search);
    let found = places.iter().find(|place| place.is_file()).cloned();
    found.ok_or_else(|| {
        let looked: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        format!("the embedded engine's library is not at {}", looked.join(" or "))
    })
}

fn places(search: &Search) -> Vec<PathBuf> {
    if !search.configured.is_empty() {
        return vec![PathBuf::from(&search.configured)];
    }
    let in_project = |folder: &Path| folder.join(".cache/engine").join(IN_ENGINE_FOLDER);
    let mut places: Vec<PathBuf> = search.engine_dir.iter().map(|folder| folder.join(IN_ENGINE_FOLDER)).collect();
    let binary_dir = search.binary.as_deref().and_then(Path::parent);
    places.extend(binary_dir.map(|folder| folder.join(FILE)));
    places.push(PathBuf::from(INSTALLED));
    // A binary in target/release or target/debug belongs to the project two folders above it, a test's three.
    let above = binary_dir.into_iter().flat_map(|folder| folder.ancestors().skip(2).take(2));
    places.extend(above.map(in_project));
    places.push(in_project(&search.working_dir));
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn put(path: &Path) {
        fs::create_dir_all(path.parent().expect("below the temporary folder")).expect("made");
        fs::write(path, "").expect("written");
    }

    #[test]
    fn a_configured_file_is_the_only_place() {
        let search = Search { configured: "/nowhere/libchdb.so".to_owned(), ..Search::default() };
        assert_eq!(
            find(&search).expect_err("not there"),
            "the embedded engine's library is not at /nowhere/libchdb.so"
        );
    }

    #[test]
    fn the_project_of_the_binary_and_a_file_beside_it_are_found() {
        let project = tempfile::tempdir().expect("a temporary folder");
        let binary = project.path().join("target/release/affilitrack");
        let search = Search { binary: Some(binary.clone()), working_dir: PathBuf::from("/"), ..Search::default() };
        let fetched = project.path().join(".cache/engine").join(IN_ENGINE_FOLDER);
        put(&fetched);
        assert_eq!(find(&search).expect("fetched"), fetched);
        let beside = binary.with_file_name(FILE);
        put(&beside);
        assert_eq!(find(&search).expect("beside the binary"), beside);
        let engine_dir = project.path().join("engine");
        put(&engine_dir.join(IN_ENGINE_FOLDER));
        let search = Search { engine_dir: Some(engine_dir.clone()), ..search };
        assert_eq!(find(&search).expect("named by the environment"), engine_dir.join(IN_ENGINE_FOLDER));
    }

    #[test]
    fn what_was_looked_at_is_said() {
        let search = Search { working_dir: PathBuf::from("/nowhere"), ..Search::default() };
        let message = places(&search).iter().map(|place| place.display().to_string()).collect::<Vec<_>>();
        assert_eq!(message.len(), 2, "{message:?}");
    }
}
