//! Outgoing mail as a port: a letter becomes a message, and a transport takes it somewhere.
//!
//! A transport works in two steps, because only the second one cannot be taken back: it prepares until nothing but the
//! message itself is missing, then it hands that over. Whoever sends can note in between that it begins.

mod folder;
mod message;
mod smtp;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod smtp_faults;

pub use folder::{CaughtMail, FolderMail};
pub use message::{Letter, MessageError, Picture, Sender, compose};
pub use smtp::{SmtpMail, SmtpSettings, SmtpTls};

use crate::control::MailAddress;
use async_trait::async_trait;

/// Why a mail did not go out, or perhaps did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It was not taken; later it may be.
    #[error("{0}")]
    Later(String),
    /// It was not taken, and the same mail never will be.
    #[error("{0}")]
    Refused(String),
    /// It was handed over, and no answer came.
    #[error("{0}")]
    Unsure(String),
}

/// Where mail goes.
#[async_trait]
pub trait MailTransport: Send + Sync {
    /// Comes so far that only the message is missing. Nothing has been sent yet, so it may be done again.
    ///
    /// # Errors
    /// [`MailError::Later`] or [`MailError::Refused`].
    async fn prepare(&self, recipient: &MailAddress) -> Result<Box<dyn HandOver>, MailError>;
}

/// A transport that waits for one message.
#[async_trait]
pub trait HandOver: Send {
    /// Hands the message over. `name` is the same whenever the same mail is tried again.
    ///
    /// # Errors
    /// Any of [`MailError`].
    async fn hand_over(self: Box<Self>, name: &str, message: &[u8]) -> Result<(), MailError>;
}
