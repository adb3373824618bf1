//! `affilitrack backup`: what cannot be made again of a data folder, as it was at one moment, also while a process works
//! on it. Fold store and warehouse are left out: both are made from the log.

use crate::agreement::LogNumbers;
use crate::cli::BackupArgs;
use crate::config::Config;
use crate::data_folder::{BACKUP_LIST, DataFolder, FORMAT_VERSION, Found};
use anyhow::Context;
use domain::ids::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use store::backup::Moment;
use store::local_log::LogCopy;

/// The format of the list.
const LIST_FORMAT: u32 = 1;
const CONTROL: &str = "control.db";
const LOG: &str = "log.db";
const KEY: &str = "master.key";
const VERSION: &str = "format-version";
/// Bytes that are read at a time.
const STEP_BYTES: usize = 1 << 20;
/// Damaged records that are named.
const NAMED: usize = 20;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupList {
    /// Format of this list.
    pub format: u32,
    /// Format of the data folder.
    pub data_format: u32,
    /// The program that wrote it.
    pub version: String,
    /// When.
    pub taken_at: Timestamp,
    /// One past the last record of each partition of the log.
    pub log_ends: Vec<u64>,
    /// Each file.
    pub files: BTreeMap<String, ListedFile>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

impl BackupList {
    /// How many records its log has.
    pub fn records(&self) -> u64 {
        self.log_ends.iter().sum()
    }
}

/// Makes a backup, or checks one.
pub async fn run(config: &Config, arguments: &BackupArgs, now: Timestamp) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    if arguments.check {
        let list = check(folder).await?;
        println!("{}: whole, {} records, taken {}", folder.display(), list.records(), in_words(list.taken_at));
        return Ok(());
    }
    let source = source_folder(config)?;
    let list = take(&source, folder, arguments.with_key, now).await?;
    check(folder).await.context("the backup was written, but it is not right")?;
    println!("{}: {} records. To restore, copy all of it into an empty data folder.", folder.display(), list.records());
    if !list.files.contains_key(KEY) {
        println!(
            "The master key is not in it ({}). Without it the backup is of no use: keep it elsewhere.",
            key_words(&source)
        );
    }
    Ok(())
}

fn source_folder(config: &Config) -> anyhow::Result<DataFolder> {
    let dir = &config.data.dir;
    anyhow::ensure!(
        config.kafka.brokers.is_empty(),
        "the log is in Kafka and the stores are in Postgres: see \"Backup and restore\" in docs/OPERATIONS.md (scripts/backup-cluster.sh)"
    );
    anyhow::ensure!(
        DataFolder::inspect(dir)? == Found::Ours && dir.join(LOG).exists() && dir.join(CONTROL).exists(),
        "{} holds no data of affilitrack yet: name the folder with DATA_DIR",
        dir.display()
    );
    Ok(DataFolder::open(dir)?)
}

fn key_words(source: &DataFolder) -> String {
    if source.master_key().exists() {
        format!("it is {}; --with-key puts it in", source.master_key().display())
    } else {
        "it comes from AFFILITRACK_MASTER_KEY".to_owned()
    }
}

/// Copies into a folder that is made, or empty.
///
/// # Errors
/// When the folder holds something, the disk is full, or the key is wanted and is no file.
pub async fn take(source: &DataFolder, target: &Path, with_key: bool, now: Timestamp) -> anyhow::Result<BackupList> {
    anyhow::ensure!(
        !with_key || source.master_key().exists(),
        "there is no {}: the master key comes from AFFILITRACK_MASTER_KEY and must be kept by whoever sets it",
        source.master_key().display()
    );
    make_empty(target)?;
    let (control, log, to) = (source.control(), source.log(), target.to_owned());
    tokio::task::spawn_blocking(move || Moment::of(&control, &log)?.copy(&to.join(CONTROL), &to.join(LOG))).await??;
    write_private(&target.join(VERSION), format!("{FORMAT_VERSION}\n").as_bytes())?;
    if with_key {
        write_private(&target.join(KEY), &fs::read(source.master_key())?)?;
    }
    let numbers = LogNumbers::read(&LogCopy::open(&target.join(LOG))?, &[]).await?;
    let mut files = BTreeMap::new();
    for name in [CONTROL, LOG, VERSION, KEY].into_iter().filter(|name| *name != KEY || with_key) {
        files.insert(name.to_owned(), listed(target, name).await?);
    }
    let list = BackupList {
        format: LIST_FORMAT,
        data_format: FORMAT_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at: now,
        log_ends: numbers.ends,
        files,
    };
    // Last: a folder without it is no whole backup.
    write_private(&target.join(BACKUP_LIST), &serde_json::to_vec_pretty(&list)?)?;
    fs::File::open(target)?.sync_all()?;
    Ok(list)
}

fn make_empty(target: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(target);
    made.with_context(|| format!("{} cannot be made", target.display()))?;
    let mut entries = fs::read_dir(target).with_context(|| format!("{} cannot be read", target.display()))?;
    anyhow::ensure!(entries.next().is_none(), "{} is not empty: name a new folder for each backup", target.display());
    Ok(())
}

fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.with_context(|| format!("{} cannot be written", path.display()))
}

async fn listed(folder: &Path, name: &str) -> anyhow::Result<ListedFile> {
    let path = folder.join(name);
    let words = format!("{} cannot be read", path.display());
    tokio::task::spawn_blocking(move || hash(&path)).await?.context(words)
}

fn hash(path: &Path) -> std::io::Result<ListedFile> {
    let (mut file, mut hasher, mut bytes) = (fs::File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; STEP_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(ListedFile { bytes, sha256: hex::encode(hasher.finalize()) });
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// Reads all of a backup: every byte is what was written, every record is whole, and log and control store fit.
///
/// # Errors
/// All that is wrong, in words.
pub async fn check(folder: &Path) -> anyhow::Result<BackupList> {
    let path = folder.join(BACKUP_LIST);
    let text = fs::read(&path).with_context(|| {
        format!("{} cannot be read: {} is no backup, or was not finished", path.display(), folder.display())
    })?;
    let list: BackupList = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    anyhow::ensure!(
        list.format <= LIST_FORMAT && list.data_format <= FORMAT_VERSION,
        "the backup was written by affilitrack {}, whose format this one does not know: use that version",
        list.version
    );
    let mut wrong = Vec::new();
    for (name, expected) in &list.files {
        match listed(folder, name).await {
            Err(error) => wrong.push(format!("{error:#}")),
            Ok(found) if found == *expected => {}
            Ok(found) => wrong.push(format!(
                "{name} is not the file that was written ({} bytes instead of {}, or other content)",
                found.bytes, expected.bytes
            )),
        }
    }
    if wrong.is_empty() {
        wrong = disagreements(folder, &list).await?;
    }
    anyhow::ensure!(wrong.is_empty(), "{} cannot be used:\n  {}", folder.display(), wrong.join("\n  "));
    Ok(list)
}

async fn disagreements(folder: &Path, list: &BackupList) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for name in [CONTROL, LOG] {
        let path = folder.join(name);
        let damage = tokio::task::spawn_blocking(move || store::backup::damage(&path)).await??;
        wrong.extend(damage.into_iter().map(|words| format!("{name}: {words}")));
    }
    let numbers = LogNumbers::read(&LogCopy::open(&folder.join(LOG))?, &[]).await?;
    let damaged = numbers.damaged.iter().take(NAMED);
    wrong.extend(
        damaged.map(|(partition, offset, why)| format!("{LOG}: partition {partition}, record {offset}: {why}")),
    );
    if numbers.ends != list.log_ends {
        wrong.push(format!("{LOG} does not end where the list says"));
    }
    wrong.extend(numbers.disagreements(&store::backup::numbers(&folder.join(CONTROL))?));
    Ok(wrong)
}

/// A data folder into which a backup was put back, before its first start: it is checked once, and the list is put aside.
///
/// # Errors
/// When the files are not those of the backup, or do not fit.
pub async fn check_restored(folder: &DataFolder) -> anyhow::Result<()> {
    let path = folder.backup_list();
    if !path.exists() {
        return Ok(());
    }
    let list = check(folder.dir()).await.with_context(|| {
        format!(
            "a backup was put back into {}, and it is not as it was taken. Nothing was started. Copy the whole backup again into an \
             empty folder; to start on these files all the same, remove {}",
            folder.dir().display(),
            path.display()
        )
    })?;
    tracing::info!("a backup of {} is started: {} records", in_words(list.taken_at), list.records());
    fs::rename(&path, path.with_extension("json.restored"))?;
    Ok(())
}

fn in_words(Timestamp(ms): Timestamp) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}
