//! Encrypts and decrypts, and draws random bytes, inside a transaction.

use super::ControlResult;
use crate::secrets::{FillRandom, MasterKeys, Sealed, SecretError, SecretText};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The keys of this moment and the generator.
#[derive(Clone)]
pub(super) struct Sealer {
    pub(super) keys: MasterKeys,
    pub(super) random: Arc<FillRandom>,
}

impl Sealer {
    pub(super) fn seal(&self, row: &str, plain: &[u8]) -> ControlResult<Sealed> {
        Ok(self.keys.seal(row, plain, &*self.random)?)
    }

    pub(super) fn open(&self, row: &str, sealed: &Sealed) -> ControlResult<Zeroizing<Vec<u8>>> {
        Ok(self.keys.open(row, sealed)?)
    }

    pub(super) fn open_text(&self, row: &str, sealed: &Sealed) -> ControlResult<SecretText> {
        Ok(self.keys.open_text(row, sealed)?)
    }

    pub(super) fn fill_random(&self, buffer: &mut [u8]) -> ControlResult<()> {
        Ok((self.random)(buffer).map_err(SecretError::from)?)
    }

    pub(super) fn newest_key_id(&self) -> &str {
        self.keys.newest_id()
    }
}
