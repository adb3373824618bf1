//! `affilitrack doctor`: looks at the machine and the data folder and says what to do. Changes nothing.

use crate::backup;
use crate::config::Config;
use crate::data_folder::{BACKUP_LIST, DataFolder, FORMAT_VERSION, Found};
use std::fmt;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// A clock that is this far behind a file's time was set back.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but look at it.
    Warn,
    /// Does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub about: &'static str,
    /// What was seen, and what to do.
    pub message: String,
}

impl Finding {
    fn new(level: Level, about: &'static str, message: impl Into<String>) -> Finding {
        Finding { level, about, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "OK",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        };
        write!(formatter, "{level:<5} {:<14} {}", self.about, self.message)
    }
}

/// What the doctor is told instead of finding it out.
pub struct Surroundings<'a> {
    /// The clock.
    pub now: SystemTime,
    /// Whether AFFILITRACK_MASTER_KEY is set.
    pub master_key_in_environment: bool,
    /// Finds the engine's library, or says where it looked.
    pub find_engine: &'a dyn Fn() -> Result<PathBuf, String>,
}

/// Prints every finding; fails when one does.
pub fn run(config: &Config, surroundings: &Surroundings<'_>) -> ExitCode {
    let findings = examine(config, surroundings);
    for finding in &findings {
        println!("{finding}");
    }
    if findings.iter().any(|finding| finding.level == Level::Fail) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Looks at everything.
pub fn examine(config: &Config, surroundings: &Surroundings<'_>) -> Vec<Finding> {
    let dir = &config.data.dir;
    let running = UnixStream::connect(dir.join("affilitrack.sock")).is_ok();
    let mut findings: Vec<Finding> =
        config.warnings().into_iter().map(|text| Finding::new(Level::Warn, "configuration", text)).collect();
    findings.push(check_format(dir));
    findings.extend(check_restored(dir));
    findings.push(check_writable(dir));
    findings.push(check_disk(dir, config.data.low_disk_bytes));
    findings.push(check_master_key(dir, surroundings.master_key_in_environment));
    findings.push(check_clock(dir, surroundings.now));
    findings.push(check_port(config.server.listen, running));
    if config.warehouse.embedded {
        findings.push(check_processor(has_avx2()));
        findings.push(check_engine(surroundings.find_engine));
    }
    findings
}

fn check_format(dir: &Path) -> Finding {
    match DataFolder::inspect(dir) {
        Ok(Found::Ours) => {
            Finding::new(Level::Ok, "data format", format!("{} has format {FORMAT_VERSION}", dir.display()))
        }
        Ok(Found::Nothing) => {
            Finding::new(Level::Ok, "data format", format!("{} will be made at the first start", dir.display()))
        }
        Err(error) => Finding::new(Level::Fail, "data format", error.to_string()),
    }
}

/// A backup that was put back and not started yet.
fn check_restored(dir: &Path) -> Option<Finding> {
    if !dir.join(BACKUP_LIST).exists() {
        return None;
    }
    let about = "backup";
    let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
    Some(match runtime.block_on(backup::check(dir)) {
        Ok(list) => Finding::new(Level::Ok, about, format!("is put back whole: {} records", list.records())),
        Err(error) => {
            let advice = "copy the whole backup again into an empty folder";
            Finding::new(Level::Fail, about, format!("{error:#}: {advice}"))
        }
    })
}

/// Writes and removes a file, in the folder or in the nearest one above that exists.
fn check_writable(dir: &Path) -> Finding {
    let about = "data folder";
    let existing = nearest_existing(dir);
    let probe = existing.join(format!(".affilitrack-doctor-{}", std::process::id()));
    let tried = fs::OpenOptions::new().write(true).create_new(true).open(&probe).and_then(|_| fs::remove_file(&probe));
    match tried {
        Ok(()) => Finding::new(Level::Ok, about, format!("{} can be written", existing.display())),
        Err(error) => {
            let advice = "give this user write access, or set DATA_DIR to another folder";
            Finding::new(Level::Fail, about, format!("{} cannot be written ({error}): {advice}", existing.display()))
        }
    }
}

fn check_disk(dir: &Path, low_disk_bytes: u64) -> Finding {
    let about = "free disk";
    let existing = nearest_existing(dir);
    match rustix::fs::statvfs(&existing) {
        Ok(disk) => judge_free_disk(disk.f_bavail.saturating_mul(disk.f_frsize), low_disk_bytes),
        Err(error) => {
            Finding::new(Level::Warn, about, format!("could not be read for {}: {error}", existing.display()))
        }
    }
}

fn judge_free_disk(free_bytes: u64, low_disk_bytes: u64) -> Finding {
    let seen = format!("{} MiB", free_bytes >> 20);
    if free_bytes < 64 << 20 {
        Finding::new(
            Level::Fail,
            "free disk",
            format!("{seen}: deliveries will be answered 503; free some space or move the data folder"),
        )
    } else if free_bytes < low_disk_bytes {
        Finding::new(Level::Warn, "free disk", format!("{seen}, less than data.low_disk_bytes: free some space soon"))
    } else {
        Finding::new(Level::Ok, "free disk", seen)
    }
}

fn check_master_key(dir: &Path, in_environment: bool) -> Finding {
    let about = "master key";
    if in_environment {
        return Finding::new(Level::Ok, about, "comes from AFFILITRACK_MASTER_KEY");
    }
    let file = dir.join("master.key");
    match fs::metadata(&file) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            let mode = metadata.permissions().mode() & 0o777;
            let message = format!("{} can be read by others (mode {mode:04o}): chmod 600 {0}", file.display());
            Finding::new(Level::Fail, about, message)
        }
        Ok(_) => Finding::new(Level::Ok, about, format!("{} can be read by this user only", file.display())),
        Err(_) if dir.join("control.db").exists() => {
            let message = "is missing, so the stored secrets cannot be read: restore master.key from the backup, or set AFFILITRACK_MASTER_KEY";
            Finding::new(Level::Fail, about, message)
        }
        Err(_) => Finding::new(Level::Ok, about, "will be made at the first start"),
    }
}

/// A clock that runs behind the data would date new lines before old ones, and signatures would be refused as stale.
fn check_clock(dir: &Path, now: SystemTime) -> Finding {
    let about = "clock";
    let data_files =
        ["log.db", "log.db-wal", "fold.db", "fold.db-wal", "control.db", "format-version"].map(|name| dir.join(name));
    let binary = std::env::current_exe().ok();
    let changed = data_files.iter().chain(&binary).filter_map(|file| {
        let time = fs::metadata(file).and_then(|metadata| metadata.modified()).ok()?;
        Some((time, file))
    });
    let Some((latest, file)) = changed.max() else {
        return Finding::new(Level::Ok, about, "nothing to compare with yet");
    };
    match latest.duration_since(now) {
        Ok(behind) if behind > CLOCK_TOLERANCE => {
            let seen = format!("runs {} s behind the last change of {}", behind.as_secs(), file.display());
            Finding::new(Level::Fail, about, format!("{seen}: set the time (chrony or systemd-timesyncd keeps it)"))
        }
        _ => Finding::new(Level::Ok, about, "not behind any file of ours"),
    }
}

fn check_port(listen: SocketAddr, running: bool) -> Finding {
    let about = "port";
    if running {
        return Finding::new(Level::Ok, about, "affilitrack is running on this data folder");
    }
    match TcpListener::bind(listen) {
        Ok(_) => Finding::new(Level::Ok, about, format!("{listen} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let message = format!("{listen} is taken by another process: stop it, or choose another with PORT");
            Finding::new(Level::Fail, about, message)
        }
        Err(error) => {
            Finding::new(Level::Fail, about, format!("{listen} cannot be opened ({error}): change server.listen"))
        }
    }
}

fn check_processor(has_avx2: bool) -> Finding {
    if has_avx2 {
        Finding::new(Level::Ok, "processor", "has AVX2, which the embedded engine needs")
    } else {
        let message = "has no AVX2, which the embedded engine needs: use a newer machine, or set warehouse.embedded = false and name a ClickHouse server";
        Finding::new(Level::Fail, "processor", message)
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

fn check_engine(find: &dyn Fn() -> Result<PathBuf, String>) -> Finding {
    match find() {
        Ok(library) => Finding::new(Level::Ok, "engine", format!("{}", library.display())),
        Err(looked) => {
            let message = format!("{looked}: run scripts/setup.sh, or set warehouse.library to the file");
            Finding::new(Level::Fail, "engine", message)
        }
    }
}

/// The folder itself, or the nearest one above it that exists.
fn nearest_existing(dir: &Path) -> PathBuf {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
    let found = absolute.ancestors().find(|folder| folder.exists()).map(Path::to_path_buf);
    found.unwrap_or_else(|| PathBuf::from("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR_FUTURE: Duration = Duration::from_secs(200 * 365 * 24 * 3600);

    fn config_for(dir: &Path) -> Config {
        let mut config = Config::default();
        config.data.dir = dir.to_path_buf();
        config.server.listen = "127.0.0.1:0".parse().expect("an address");
        config
    }

    fn level_of(findings: &[Finding], about: &str) -> Level {
        findings.iter().find(|finding| finding.about == about).unwrap_or_else(|| panic!("nothing about {about}")).level
    }

    fn examine_with(config: &Config, now: SystemTime) -> Vec<Finding> {
        let found = || Err("libchdb.so was not found in /a or /b".to_owned());
        examine(config, &Surroundings { now, master_key_in_environment: false, find_engine: &found })
    }

    #[test]
    fn a_new_machine_only_lacks_the_engine() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let now = SystemTime::UNIX_EPOCH + FAR_FUTURE;
        let findings = examine_with(&config_for(&parent.path().join("data")), now);
        for about in ["data format", "data folder", "master key", "clock", "port"] {
            assert_eq!(level_of(&findings, about), Level::Ok, "{about}");
        }
        assert_eq!(level_of(&findings, "engine"), Level::Fail);
        assert!(!parent.path().join("data").exists(), "the doctor changes nothing");
        let engine = findings.iter().find(|finding| finding.about == "engine").expect("there").to_string();
        assert!(engine.starts_with("FAIL  engine") && engine.contains("scripts/setup.sh"), "{engine}");
    }

    #[test]
    fn an_open_master_key_and_a_missing_one_fail() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = folder.path().join("master.key");
        fs::write(&key, "k").expect("written");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
        let open = check_master_key(folder.path(), false);
        assert!(open.level == Level::Fail && open.message.contains("chmod 600"), "{open}");
        assert_eq!(check_master_key(folder.path(), true).level, Level::Ok);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("set");
        assert_eq!(check_master_key(folder.path(), false).level, Level::Ok);
        fs::remove_file(&key).expect("removed");
        fs::write(folder.path().join("control.db"), "").expect("written");
        assert_eq!(check_master_key(folder.path(), false).level, Level::Fail);
    }

    #[test]
    fn a_clock_behind_the_data_fails() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("log.db"), "").expect("written");
        let behind = check_clock(folder.path(), SystemTime::UNIX_EPOCH);
        assert!(behind.level == Level::Fail && behind.message.contains("set the time"), "{behind}");
        assert_eq!(check_clock(folder.path(), SystemTime::UNIX_EPOCH + FAR_FUTURE).level, Level::Ok);
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("bound");
        let finding = check_port(address, false);
        assert!(finding.level == Level::Fail && finding.message.contains(&address.to_string()), "{finding}");
        assert_eq!(check_port(address, true).level, Level::Ok);
    }

    #[test]
    fn disk_and_processor_are_judged() {
        assert_eq!(judge_free_disk(10 << 30, 1 << 30).level, Level::Ok);
        assert_eq!(judge_free_disk(1 << 29, 1 << 30).level, Level::Warn);
        assert_eq!(judge_free_disk(1 << 20, 1 << 30).level, Level::Fail);
        assert_eq!(check_processor(false).level, Level::Fail);
        assert_eq!(check_disk(Path::new("/nowhere/at/all"), 0).level, Level::Ok);
    }

    #[test]
    fn a_foreign_folder_fails() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("holiday.jpg"), "x").expect("written");
        assert_eq!(check_format(folder.path()).level, Level::Fail);
    }
}
