//! The data folder: what is where in it, and which version of the format it has.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The format that this binary writes. Raised when an older binary could no longer read the folder.
pub const FORMAT_VERSION: u32 = 1;

/// The file in which a backup says what it holds.
pub const BACKUP_LIST: &str = "backup.json";

/// A data folder whose format this binary understands.
#[derive(Debug, Clone)]
pub struct DataFolder {
    dir: PathBuf,
}

/// Why a data folder cannot be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// It cannot be made, read or written.
    #[error(
        "the data folder {dir} cannot be used: {source}; give this user write access to it, or set DATA_DIR to another folder"
    )]
    Unusable {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Written by a newer version.
    #[error(
        "the data folder {dir} has format {found}, and this binary knows formats up to {FORMAT_VERSION}: use the newer affilitrack that wrote it, or restore the backup from before the upgrade"
    )]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Written by an older version.
    #[error(
        "the data folder {dir} has the old format {found}, and this binary writes {FORMAT_VERSION} and cannot convert it: start the older affilitrack, or follow \"Upgrade\" in docs/OPERATIONS.md"
    )]
    Older {
        /// The folder.
        dir: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Holds something, but not ours.
    #[error(
        "the folder {dir} is not empty and has no format-version file, so it is not a data folder: choose an empty or new folder, or restore the file from the backup"
    )]
    NotOurs {
        /// The folder.
        dir: PathBuf,
    },
    /// Its log goes on elsewhere.
    #[error(
        "the data folder {dir} was brought over ({to}), and its log goes on there: start the roles instead; to go back to the state of that moment and lose what came since, remove the file {dir}/moved"
    )]
    Moved {
        /// The folder.
        dir: PathBuf,
        /// Where to.
        to: String,
    },
    /// The version file is damaged.
    #[error(
        "{file} holds {text:?} instead of a number: restore it from the backup; a folder written by this version holds {FORMAT_VERSION}"
    )]
    BadVersion {
        /// The file.
        file: PathBuf,
        /// What it holds.
        text: String,
    },
}

/// What a folder is before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Not there, or empty: it will be made.
    Nothing,
    /// Of the format of this binary.
    Ours,
}

impl DataFolder {
    /// Makes the folder (only this user may enter) when it is not there, and checks its format.
    ///
    /// # Errors
    /// See [`DataFolderError`].
    pub fn open(dir: &Path) -> Result<DataFolder, DataFolderError> {
        // Whatever the process does later, its data stays where it was when it started.
        let absolute =
            std::path::absolute(dir).map_err(|source| DataFolderError::Unusable { dir: dir.to_path_buf(), source })?;
        let folder = DataFolder { dir: absolute };
        if DataFolder::inspect(dir)? == Found::Nothing {
            folder.make().map_err(|source| DataFolderError::Unusable { dir: dir.to_path_buf(), source })?;
        }
        Ok(folder)
    }

    /// Looks without changing anything.
    ///
    /// # Errors
    /// See [`DataFolderError`].
    pub fn inspect(dir: &Path) -> Result<Found, DataFolderError> {
        let unusable = |source| DataFolderError::Unusable { dir: dir.to_path_buf(), source };
        let file = dir.join("format-version");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return if is_empty(dir).map_err(unusable)? {
                    Ok(Found::Nothing)
                } else {
                    Err(DataFolderError::NotOurs { dir: dir.to_path_buf() })
                };
            }
            Err(error) => return Err(unusable(error)),
        };
        let dir = dir.to_path_buf();
        match text.trim().parse::<u32>() {
            Ok(FORMAT_VERSION) => Ok(Found::Ours),
            Ok(found) if found > FORMAT_VERSION => Err(DataFolderError::Newer { dir, found }),
            Ok(found) => Err(DataFolderError::Older { dir, found }),
            Err(_) => Err(DataFolderError::BadVersion { file, text: text.chars().take(40).collect() }),
        }
    }

    /// Refuses a folder whose log goes on elsewhere.
    ///
    /// # Errors
    /// [`DataFolderError::Moved`].
    pub fn refuse_moved(&self) -> Result<(), DataFolderError> {
        match fs::read_to_string(self.moved()) {
            Ok(to) => Err(DataFolderError::Moved { dir: self.dir.clone(), to: to.trim().to_owned() }),
            Err(_) => Ok(()),
        }
    }

    fn make(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.version_file())?;
        writeln!(file, "{FORMAT_VERSION}")?;
        file.sync_all()?;
        fs::File::open(&self.dir)?.sync_all()
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The durable log. The only file that cannot be made again.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log.db")
    }

    /// What waits for a broker that is away.
    pub fn spool(&self) -> PathBuf {
        self.dir.join("spool")
    }

    /// State of the fold, the outbox and the position.
    pub fn fold(&self) -> PathBuf {
        self.dir.join("fold.db")
    }

    /// Where the log is folded once more when the warehouse lost something; empty otherwise.
    pub fn refold(&self) -> PathBuf {
        self.dir.join("refold")
    }

    /// Vendors, connections, sessions, keys.
    pub fn control(&self) -> PathBuf {
        self.dir.join("control.db")
    }

    /// Where the embedded engine keeps its tables.
    pub fn warehouse(&self) -> PathBuf {
        self.dir.join("warehouse")
    }

    /// The key that encrypts stored secrets.
    pub fn master_key(&self) -> PathBuf {
        self.dir.join("master.key")
    }

    /// What a backup says of itself. In a data folder it means that its files were put back and not started yet.
    pub fn backup_list(&self) -> PathBuf {
        self.dir.join(BACKUP_LIST)
    }

    /// The local control socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("affilitrack.sock")
    }

    /// Says where the log went when it was brought over to Kafka; a process that goes on here would fork it.
    pub fn moved(&self) -> PathBuf {
        self.dir.join("moved")
    }

    /// Holds the format's number.
    pub fn version_file(&self) -> PathBuf {
        self.dir.join("format-version")
    }
}

/// Whether there is no such folder, or nothing in it but `lost+found`.
fn is_empty(dir: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        if entry?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn with_version(text: &str) -> Result<Found, DataFolderError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("format-version"), text).expect("written");
        DataFolder::inspect(folder.path())
    }

    #[test]
    fn a_new_folder_is_made_for_this_user_only_and_opens_again() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let dir = parent.path().join("deep/data");
        assert_eq!(DataFolder::inspect(&dir).expect("nothing there"), Found::Nothing);
        let folder = DataFolder::open(&dir).expect("made");
        assert_eq!(fs::metadata(&dir).expect("there").permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(folder.version_file()).expect("there"), "1\n");
        DataFolder::open(&dir).expect("opens again");
        assert_eq!(DataFolder::inspect(&dir).expect("ours"), Found::Ours);
    }

    #[test]
    fn other_versions_and_other_folders_are_refused_with_words() {
        let newer = with_version("2\n").expect_err("newer").to_string();
        assert!(newer.contains("format 2") && newer.contains("newer affilitrack"), "{newer}");
        let older = with_version("0").expect_err("older").to_string();
        assert!(older.contains("old format 0") && older.contains("docs/OPERATIONS.md"), "{older}");
        let damaged = with_version("one").expect_err("damaged").to_string();
        assert!(damaged.contains("instead of a number"), "{damaged}");

        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("holiday.jpg"), "x").expect("written");
        let foreign = DataFolder::open(folder.path()).expect_err("not ours").to_string();
        assert!(foreign.contains("is not a data folder"), "{foreign}");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("data");
        fs::write(&file, "x").expect("written");
        let error = DataFolder::open(&file).expect_err("a file").to_string();
        assert!(error.contains("cannot be used") && error.contains("DATA_DIR"), "{error}");
    }
}
