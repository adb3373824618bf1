//! People who sign in: what they asked for, their sessions, and the vendors that they may open.

use super::mails::{MailId, NewMail};
use super::{ControlError, ControlResult, NewVendor, Session, Vendor};
use crate::secrets::SecretText;
use async_trait::async_trait;
use domain::ids::{Timestamp, VendorId};
use std::fmt;

/// Longest address that SMTP carries, in bytes (RFC 5321, 4.5.3.1.3, without the angle brackets).
const MAX_ADDRESS_BYTES: usize = 254;
/// Longest name in front of the `@`, in bytes (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;

/// A mail address, trimmed and in lower case, so that one person is found however they write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailAddress(String);

impl MailAddress {
    /// An address as somebody typed it.
    ///
    /// # Errors
    /// In words, when no mail can go there.
    pub fn parse(text: &str) -> Result<MailAddress, String> {
        let text = text.trim().to_lowercase();
        let wrong = |why: &str| Err(format!("{why}; write it like maya@example.com"));
        let Some((local, domain)) = text.rsplit_once('@') else {
            return wrong("there is no @ in the address");
        };
        if text.len() > MAX_ADDRESS_BYTES || local.len() > MAX_LOCAL_BYTES {
            return wrong("the address is too long");
        }
        let is_word = |part: &str| {
            !part.is_empty()
                && part.chars().all(|sign| sign.is_ascii_graphic() && !"()<>[]:;,\\\"@".contains(sign))
                && !part.starts_with('.')
                && !part.ends_with('.')
                && !part.contains("..")
        };
        if !is_word(local) {
            return wrong("what stands before the @ is not a mail name");
        }
        let is_host = |part: &str| {
            !part.is_empty()
                && part.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        if !is_word(domain) || !domain.split('.').all(is_host) {
            return wrong("what stands after the @ is not the name of a server");
        }
        Ok(MailAddress(text))
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Number of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(pub u64);

/// Somebody who can sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their number.
    pub id: PersonId,
    /// Where their mail goes.
    pub email: MailAddress,
    /// When they first signed in.
    pub created_at: Timestamp,
}

/// What a person may do with a vendor. More roles come with teams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Owner,
}

impl Role {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Role::Owner => "owner",
        }
    }
}

/// What the mail of a sign-in carries. Stored as hashes only.
#[derive(Debug)]
pub struct SignInSecrets {
    /// End of the link.
    pub link: SecretText,
    /// Six digits.
    pub code: SecretText,
}

/// Writes the mail of a sign-in.
pub type SignInMail = Box<dyn FnOnce(&SignInSecrets, MailId) -> NewMail + Send>;

/// A sign-in that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInTicket {
    /// The browser that asked keeps it: only with it the code counts.
    pub ticket: String,
    /// Whether a mail was written. None is when the address asked too often lately, or is not known and may not sign
    /// up. Whoever asked is told the same either way.
    pub is_mailed: bool,
}

/// What came of a code.
#[derive(Debug)]
pub enum CodeTried {
    /// It was right.
    Opened(Session),
    /// It was wrong; so many tries are left.
    Wrong {
        /// Tries left.
        left: u32,
    },
    /// Too old, used, tried too often, or never asked for.
    Gone,
}

/// Who somebody is, as an OpenID provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Its number for them.
    pub subject: String,
    /// Their address.
    pub email: MailAddress,
    /// Whether its word on the address is enough to take them for whoever reads that mail.
    pub is_vouched: bool,
}

/// What came of signing in with an OpenID provider.
#[derive(Debug)]
pub enum IdentityTried {
    /// They are signed in.
    Opened(Session),
    /// The address has to be proved by mail.
    MailFirst,
    /// Nobody here has the address, and unknown people may not sign up.
    Unknown,
}

/// One of a person's sessions, for the list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Names it; opens nothing.
    pub id: String,
    /// What the browser said it is.
    pub agent: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last used, to the hour.
    pub last_used_at: Timestamp,
    /// The one that asks.
    pub is_this: bool,
}

/// People and their sessions.
#[async_trait]
pub trait People: Send + Sync {
    /// Somebody asks to sign in with this address; `may_sign_up` says whether an unknown one may. The mail is written in
    /// the same transaction.
    async fn ask_sign_in(
        &self,
        email: &MailAddress,
        may_sign_up: bool,
        mail: SignInMail,
        now: Timestamp,
    ) -> ControlResult<SignInTicket>;
    /// Whose link this is, if it can still be used. Uses nothing up: mail scanners open links too.
    async fn sign_in_of_link(&self, link: &str, now: Timestamp) -> ControlResult<Option<MailAddress>>;
    /// Uses a link up. The person is made at their first sign-in.
    async fn open_by_link(&self, link: &str, agent: &str, now: Timestamp) -> ControlResult<Option<Session>>;
    /// Uses a code up, with the ticket of the browser that asked for it.
    async fn open_by_code(&self, ticket: &str, code: &str, agent: &str, now: Timestamp) -> ControlResult<CodeTried>;
    /// Signs somebody in who an OpenID provider knows. A provider's person stays the same person when their address
    /// changes there; one who is new is taken for whoever has the address here, if the provider's word is enough.
    async fn open_by_identity(
        &self,
        identity: &Identity,
        may_sign_up: bool,
        agent: &str,
        now: Timestamp,
    ) -> ControlResult<IdentityTried>;
    /// The person of a session; none of the operator's.
    async fn person(&self, session: &Session) -> ControlResult<Option<Person>>;
    /// The sessions of a session's person, the last used first.
    async fn sessions_of(&self, session: &Session, now: Timestamp) -> ControlResult<Vec<SessionInfo>>;
    /// Ends one of the person's own sessions. One that is gone is no error.
    async fn end_session(&self, session: &Session, id: &str, now: Timestamp) -> ControlResult<()>;
    /// The demos that people have of their own, by slug.
    async fn own_demos(&self) -> ControlResult<Vec<Vendor>>;
    /// Makes a vendor that belongs to the session's person; the operator's belong to nobody. One that exists is
    /// returned as it is to whoever may open it, and is taken for everybody else.
    async fn open_workspace(&self, session: &Session, vendor: NewVendor, now: Timestamp) -> ControlResult<Vendor>;
    /// The vendor is the person's from now on. What they are already stays.
    async fn add_member(
        &self,
        vendor: VendorId,
        person: PersonId,
        role: Role,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<()>;
}

impl MailAddress {
    /// An address that was stored.
    pub(super) fn stored(text: String) -> ControlResult<MailAddress> {
        MailAddress::parse(&text).map_err(|_| ControlError::Failed(anyhow::anyhow!("a stored mail address is damaged")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_whatever_its_case() {
        assert_eq!(MailAddress::parse("  Maya@Example.COM ").unwrap().as_str(), "maya@example.com");
        assert_eq!(MailAddress::parse("a+b.c_d@x-y.example").unwrap().as_str(), "a+b.c_d@x-y.example");
    }

    #[test]
    fn what_cannot_get_mail_is_said() {
        for wrong in [
            "",
            "maya",
            "@example.com",
            "maya@",
            "a b@example.com",
            "maya@exa mple.com",
            "maya@-x.com",
            "maya@x..com",
            "a@b@c.com",
            "<maya@example.com>",
            "maya@example.com\r\nBcc: x@y.z",
            ".maya@example.com",
            "maya@b_c.com",
        ] {
            assert!(MailAddress::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(MailAddress::parse(&format!("{}@example.com", "m".repeat(65))).is_err());
        assert!(MailAddress::parse(&format!("m@{}.com", "m".repeat(250))).is_err());
    }
}
