//! Secrets at rest: encrypted with a master key that comes from the environment or from a
//! key file beside the data, and never shown.
//!
//! Several master keys may be known, so that the key can be changed while rows still carry
//! the old one; the newest encrypts. What is encrypted is bound to the row it belongs to:
//! a value copied into another row does not open there.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

/// The environment variable that carries the master key; the configuration reads it.
pub const MASTER_KEY_VARIABLE: &str = "AFFILITRACK_MASTER_KEY";
/// Name of the key file in the data folder.
pub const KEY_FILE_NAME: &str = "master.key";
/// No more keys than this are tried or kept.
const MAX_KEYS: usize = 16;
/// A key file is a few lines.
const MAX_KEY_FILE_BYTES: u64 = 4096;
const KEY_BYTES: usize = 32;
/// XChaCha20's nonce is long enough to be drawn at random.
const NONCE_BYTES: usize = 24;

/// Fills a buffer with random bytes. A test hands in a fixed sequence.
pub type FillRandom = dyn Fn(&mut [u8]) -> Result<(), getrandom::Error> + Send + Sync;

/// The operating system's generator.
#[expect(clippy::disallowed_methods, reason = "the one place where the wiring gets its generator from")]
pub fn system_random() -> Arc<FillRandom> {
    Arc::new(getrandom::fill)
}

/// A text nobody may see: wiped when dropped, `***` when printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> SecretText {
        SecretText(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `…` and the last four characters; of a short text nothing at all.
    pub fn masked(&self) -> String {
        let characters = self.0.chars().count();
        if characters < 12 {
            "…".to_owned()
        } else {
            format!("…{}", self.0.chars().skip(characters - 4).collect::<String>())
        }
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> serde::Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(SecretText::new)
    }
}

/// What went wrong with keys or with what they closed. No message carries a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Not 64 hexadecimal digits.
    #[error("{origin}: {problem}; a master key is 64 hexadecimal digits, for example from `openssl rand -hex 32`")]
    BadKey {
        /// Where the key came from.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Others can read the key file.
    #[error("{} can be read by other users (mode {mode:03o}): run `chmod 600 {}`, and think about a new key", path.display(), path.display())]
    KeyFileOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file cannot be read or written.
    #[error("cannot read or write the key file {}: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The row was closed by a key that is not known here.
    #[error(
        "{row} was encrypted with master key {key_id}, which is not known: add it to {MASTER_KEY_VARIABLE} or to {KEY_FILE_NAME} before the newest one"
    )]
    UnknownKey {
        /// Table and row.
        row: String,
        /// Id of the missing key.
        key_id: String,
    },
    /// The bytes were changed, or belong to another row.
    #[error("{row} cannot be decrypted: its bytes were changed or belong to another row")]
    Damaged {
        /// Table and row.
        row: String,
    },
    /// No randomness.
    #[error("the system gave no random bytes: {0}")]
    NoRandomness(#[from] getrandom::Error),
}

/// An encrypted value as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which master key closed it.
    pub key_id: String,
    /// Nonce and ciphertext.
    pub bytes: Vec<u8>,
}

/// One master key.
#[derive(Clone)]
struct MasterKey {
    id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// All known master keys, oldest first. The newest encrypts.
#[derive(Clone)]
pub struct MasterKeys(Vec<MasterKey>);

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl MasterKeys {
    /// Keys from the key file, if there is one, and from the environment's value (64
    /// hexadecimal digits, or several keys with commas, the newest last). The environment's
    /// keys are newer than the file's. With neither, the file is created with mode 0600.
    pub fn load(environment: Option<&str>, key_file: &Path, random: &FillRandom) -> Result<MasterKeys, SecretError> {
        let mut keys = read_key_file(key_file)?;
        match environment {
            Some(text) => {
                for part in text.split(',') {
                    add_newest(&mut keys, parse_key(part, MASTER_KEY_VARIABLE)?);
                }
            }
            None if keys.is_empty() => keys.push(add_to_key_file(key_file, random)?),
            None => {}
        }
        if keys.len() > MAX_KEYS {
            let problem = format!("{} master keys are known, {MAX_KEYS} are the limit", keys.len());
            return Err(SecretError::BadKey { origin: key_file.display().to_string(), problem });
        }
        Ok(MasterKeys(keys))
    }

    /// Keys given as bytes, oldest first.
    pub fn from_bytes(keys: &[[u8; KEY_BYTES]]) -> MasterKeys {
        assert!(!keys.is_empty(), "without a key nothing can be encrypted");
        MasterKeys(keys.iter().map(|bytes| MasterKey { id: key_id(bytes), bytes: Zeroizing::new(*bytes) }).collect())
    }

    /// Adds a new key as the last line of the key file. Load again to use it, then
    /// re-encrypt the rows.
    pub fn add_new_to_file(key_file: &Path, random: &FillRandom) -> Result<String, SecretError> {
        Ok(add_to_key_file(key_file, random)?.id)
    }

    /// Id of the key that encrypts: the head of a hash of it.
    pub fn newest_id(&self) -> &str {
        &self.newest().id
    }

    fn newest(&self) -> &MasterKey {
        self.0.last().expect("there is at least one key")
    }

    /// Encrypts a value for one row, named as `table/row`.
    pub fn seal(&self, row: &str, plain: &[u8], random: &FillRandom) -> Result<Sealed, SecretError> {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        let key = self.newest();
        let closed = cipher(key)
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: row.as_bytes() })
            .map_err(|_| SecretError::Damaged { row: row.to_owned() })?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&closed);
        Ok(Sealed { key_id: key.id.clone(), bytes })
    }

    /// Decrypts a value of the row named as `table/row`.
    pub fn open(&self, row: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let damaged = || SecretError::Damaged { row: row.to_owned() };
        let key = self
            .0
            .iter()
            .find(|key| key.id == sealed.key_id)
            .ok_or_else(|| SecretError::UnknownKey { row: row.to_owned(), key_id: sealed.key_id.clone() })?;
        let (nonce, closed) = sealed.bytes.split_at_checked(NONCE_BYTES).ok_or_else(damaged)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| damaged())?;
        cipher(key)
            .decrypt(&XNonce::from(nonce), Payload { msg: closed, aad: row.as_bytes() })
            .map(Zeroizing::new)
            .map_err(|_| damaged())
    }

    /// Decrypts a text.
    pub fn open_text(&self, row: &str, sealed: &Sealed) -> Result<SecretText, SecretError> {
        let bytes = self.open(row, sealed)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(SecretText::new(text)),
            Err(_) => Err(SecretError::Damaged { row: row.to_owned() }),
        }
    }
}

fn cipher(key: &MasterKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key.bytes))
}

/// The id names the key without telling anything about it.
fn key_id(bytes: &[u8; KEY_BYTES]) -> String {
    let digest = Sha256::new().chain_update(b"affilitrack master key id").chain_update(bytes).finalize();
    hex::encode(&digest[..4])
}

fn add_newest(keys: &mut Vec<MasterKey>, key: MasterKey) {
    keys.retain(|known| known.id != key.id);
    keys.push(key);
}

fn parse_key(text: &str, origin: &str) -> Result<MasterKey, SecretError> {
    let bad = |problem: &str| SecretError::BadKey { origin: origin.to_owned(), problem: problem.to_owned() };
    let text = text.trim();
    if text.is_empty() {
        return Err(bad("the key is blank"));
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    if text.len() != 2 * KEY_BYTES {
        return Err(bad(&format!("the key has {} characters", text.chars().count())));
    }
    hex::decode_to_slice(text, bytes.as_mut_slice())
        .map_err(|_| bad("the key has a character that is no hexadecimal digit"))?;
    Ok(MasterKey { id: key_id(&bytes), bytes })
}

/// Keys of the file, oldest first; none when there is no file.
fn read_key_file(path: &Path) -> Result<Vec<MasterKey>, SecretError> {
    let failed = |source| SecretError::KeyFile { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::KeyFileOpen { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text).map_err(failed)?;
    let mut keys = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        add_newest(&mut keys, parse_key(line, &path.display().to_string())?);
    }
    if keys.is_empty() {
        // An emptied file must not be answered with a new key: the rows need the old one.
        return Err(SecretError::BadKey {
            origin: path.display().to_string(),
            problem: "the file is empty".to_owned(),
        });
    }
    Ok(keys)
}

fn add_to_key_file(path: &Path, random: &FillRandom) -> Result<MasterKey, SecretError> {
    let failed = |source| SecretError::KeyFile { path: path.to_owned(), source };
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    random(bytes.as_mut_slice())?;
    let mut line = hex::encode(bytes.as_slice());
    line.push('\n');
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
    line.zeroize();
    written.map_err(failed)?;
    sync_folder(path).map_err(failed)?;
    Ok(MasterKey { id: key_id(&bytes), bytes })
}

/// Makes the file's name durable: a key that is lost with the power loses every secret.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(byte: u8) -> impl Fn(&mut [u8]) -> Result<(), getrandom::Error> + Send + Sync {
        move |buffer| {
            buffer.fill(byte);
            Ok(())
        }
    }

    #[test]
    fn what_is_closed_opens_in_its_own_row_only() {
        let keys = MasterKeys::from_bytes(&[[1; 32]]);
        let sealed = keys.seal("endpoint_secrets/1", b"whsec_x", &fixed(9)).unwrap();
        assert_eq!(keys.open_text("endpoint_secrets/1", &sealed).unwrap().expose(), "whsec_x");
        assert!(matches!(keys.open("endpoint_secrets/2", &sealed), Err(SecretError::Damaged { .. })));
        let mut changed = sealed.clone();
        changed.bytes[30] ^= 1;
        assert!(matches!(keys.open("endpoint_secrets/1", &changed), Err(SecretError::Damaged { .. })));
        changed.bytes.truncate(5);
        assert!(matches!(keys.open("endpoint_secrets/1", &changed), Err(SecretError::Damaged { .. })));
    }

    #[test]
    fn randomness_comes_from_the_argument() {
        let keys = MasterKeys::from_bytes(&[[1; 32]]);
        assert_eq!(keys.seal("a/1", b"x", &fixed(9)).unwrap(), keys.seal("a/1", b"x", &fixed(9)).unwrap());
        let random = system_random();
        assert_ne!(keys.seal("a/1", b"x", &*random).unwrap(), keys.seal("a/1", b"x", &*random).unwrap());
    }

    #[test]
    fn the_newest_key_closes_and_old_ones_still_open() {
        let old = MasterKeys::from_bytes(&[[1; 32]]);
        let sealed = old.seal("a/1", b"x", &fixed(9)).unwrap();
        let both = MasterKeys::from_bytes(&[[1; 32], [2; 32]]);
        assert_eq!(**both.open("a/1", &sealed).unwrap(), *b"x");
        assert_eq!(both.seal("a/1", b"x", &fixed(9)).unwrap().key_id, both.newest_id());
        let words = MasterKeys::from_bytes(&[[2; 32]]).open("a/1", &sealed).unwrap_err().to_string();
        assert!(words.contains(&sealed.key_id) && words.contains("not known"), "{words}");
    }

    #[test]
    fn the_key_file_is_made_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY_FILE_NAME);
        let first = MasterKeys::load(None, &path, &*system_random()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = MasterKeys::load(None, &path, &*system_random()).unwrap();
        assert_eq!(first.newest_id(), second.newest_id());

        let added = MasterKeys::add_new_to_file(&path, &*system_random()).unwrap();
        let third = MasterKeys::load(None, &path, &*system_random()).unwrap();
        assert_eq!(third.newest_id(), added);
        assert_eq!(third.0.len(), 2);
    }

    #[test]
    fn a_key_file_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY_FILE_NAME);
        MasterKeys::load(None, &path, &*system_random()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let words = MasterKeys::load(None, &path, &*system_random()).unwrap_err().to_string();
        assert!(words.contains("mode 644") && words.contains("chmod 600"), "{words}");
    }

    #[test]
    fn an_emptied_key_file_is_not_filled_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY_FILE_NAME);
        std::fs::write(&path, "\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(
            MasterKeys::load(None, &path, &*system_random()).unwrap_err().to_string().contains("the file is empty")
        );
    }

    #[test]
    fn keys_from_the_environment_are_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY_FILE_NAME);
        let old = MasterKeys::load(None, &path, &*system_random()).unwrap();
        let text = format!("{},{}", "ab".repeat(32), "cd".repeat(32));
        let keys = MasterKeys::load(Some(&text), &path, &*system_random()).unwrap();
        assert_eq!(keys.newest_id(), key_id(&[0xcd; 32]));
        assert!(keys.0.iter().any(|key| key.id == old.newest_id()));
        std::fs::remove_file(&path).unwrap();
        MasterKeys::load(Some(&text), &path, &*system_random()).unwrap();
        assert!(!path.exists(), "with a key in the environment no file is made");
        for (bad, said) in [("", "blank"), ("abcd", "4 characters"), (&*"zz".repeat(32), "no hexadecimal digit")] {
            let words = MasterKeys::load(Some(bad), &path, &*system_random()).unwrap_err().to_string();
            assert!(words.contains(said) && words.contains(MASTER_KEY_VARIABLE), "{words}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        assert_eq!(format!("{:?}", SecretText::new("whsec_1234567890")), "***");
        assert_eq!(SecretText::new("whsec_1234567890").masked(), "…7890");
        assert_eq!(SecretText::new("short").masked(), "…");
        assert!(!format!("{:?}", MasterKeys::from_bytes(&[[7; 32]])).contains("07"));
    }
}
