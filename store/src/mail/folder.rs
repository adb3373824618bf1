//! Mail that is not sent: each message becomes a file, which people read while they try the product out.

use super::{HandOver, MailError, MailTransport};
use crate::control::MailAddress;
use async_trait::async_trait;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Most files that are listed, the newest of them.
const MAX_LISTED: usize = 200;
/// Longest message that is read back, in bytes.
const MAX_READ_BYTES: u64 = 2_000_000;

/// A folder of `.eml` files.
#[derive(Debug, Clone)]
pub struct FolderMail {
    folder: PathBuf,
}

/// A message that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaughtMail {
    /// Names it.
    pub name: String,
    /// When it was caught, milliseconds since 1970 in UTC.
    pub at: i64,
}

impl FolderMail {
    /// Into this folder, which is made when the first mail comes.
    pub fn new(folder: impl Into<PathBuf>) -> FolderMail {
        FolderMail { folder: folder.into() }
    }

    /// What was caught, the newest first. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn caught(&self) -> std::io::Result<Vec<CaughtMail>> {
        let files = match std::fs::read_dir(&self.folder) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut caught = Vec::new();
        for file in files {
            let file = file?;
            let Some(name) = file.file_name().to_str().and_then(|name| name.strip_suffix(".eml")).map(str::to_owned)
            else {
                continue;
            };
            let written = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            caught.push(CaughtMail { name, at: i64::try_from(written.as_millis()).unwrap_or(i64::MAX) });
        }
        caught.sort_by(|one, other| (other.at, &other.name).cmp(&(one.at, &one.name)));
        caught.truncate(MAX_LISTED);
        Ok(caught)
    }

    /// The bytes of one; none when there is no such message. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        let file = self.folder.join(format!("{name}.eml"));
        if !is_plain(name) || !file.is_file() || file.metadata()?.len() > MAX_READ_BYTES {
            return Ok(None);
        }
        std::fs::read(file).map(Some)
    }
}

/// A name that stays in the folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[async_trait]
impl MailTransport for FolderMail {
    async fn prepare(&self, _recipient: &MailAddress) -> Result<Box<dyn HandOver>, MailError> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl HandOver for FolderMail {
    async fn hand_over(self: Box<Self>, name: &str, message: &[u8]) -> Result<(), MailError> {
        if !is_plain(name) {
            return Err(MailError::Refused(format!("`{name}` cannot name a file")));
        }
        let (folder, name, message) = (self.folder, name.to_owned(), message.to_vec());
        let written = tokio::task::spawn_blocking(move || write(&folder, &name, &message)).await;
        // A file that is there already is the same mail: writing it again changes nothing.
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(MailError::Later(format!("the mail folder: {error}"))),
            Err(error) => Err(MailError::Later(format!("the mail folder: {error}"))),
        }
    }
}

fn write(folder: &Path, name: &str, message: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!("{name}.part"));
    let mut file = File::create(&unfinished)?;
    file.write_all(message)?;
    file.sync_all()?;
    std::fs::rename(unfinished, folder.join(format!("{name}.eml")))
}
