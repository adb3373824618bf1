//! What the sign-in and account pages need from the services.

use crate::backend::{BackendError, FormError, NewSession, Secret, SessionCookie};
use async_trait::async_trait;
use domain::ids::Timestamp;

/// What came of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeOutcome {
    /// It was right.
    Opened(NewSession),
    /// It was wrong; so many tries are left.
    Wrong {
        /// Tries left.
        left: u32,
    },
    /// Too old, used, or tried too often: ask for a new one.
    Gone,
}

/// A sign-in with an OpenID provider that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenIdStart {
    /// Where the browser goes.
    pub url: String,
    /// What it keeps until it comes back.
    pub kept: Secret,
}

/// What a browser brings back from an OpenID provider.
#[derive(Debug, Clone, Copy)]
pub struct OpenIdAnswer<'a> {
    /// What it kept.
    pub kept: &'a str,
    /// Which sign-in it answers.
    pub state: &'a str,
    /// Stands for who they are; empty when the provider, or the person, said no.
    pub code: &'a str,
}

/// What came of signing in with an OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenIdOutcome {
    /// They are signed in.
    Opened(NewSession),
    /// The provider does not vouch for the address: it has to be proved by mail.
    MailFirst {
        /// The address.
        email: String,
    },
    /// Nobody here has the address, and unknown people may not sign up.
    Unknown {
        /// The address.
        email: String,
    },
    /// Nobody was signed in. Why stands in the log.
    Failed,
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Where their mail goes; none for the operator, who came with a link of the command line.
    pub email: Option<String>,
    /// Their sessions, the last used first.
    pub sessions: Vec<SessionRow>,
}

/// One session of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Names it in the form that ends it; opens nothing.
    pub id: String,
    /// What the browser said it is.
    pub agent: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last used, to the hour.
    pub last_used_at: Timestamp,
    /// The one that looks.
    pub is_this: bool,
}

/// A mail that was caught instead of sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaughtRow {
    /// Names it in URLs.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// To whom.
    pub to: String,
    /// About what.
    pub subject: String,
    /// What it says, as text.
    pub text: String,
}

/// Signing in, and what a person may do with their own account.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// Somebody asks for a mail to sign in with. Returns a ticket with which the code of that mail counts; the answer
    /// is the same whether a mail went out or not.
    async fn ask_sign_in(&self, email: &str) -> Result<String, FormError>;

    /// Whose link this is, while it can be used.
    async fn sign_in_of_link(&self, link: &str) -> Result<Option<String>, BackendError>;

    /// Uses a link up.
    async fn open_by_link(&self, link: &str, agent: &str) -> Result<Option<NewSession>, BackendError>;

    /// Tries a code.
    async fn open_by_code(&self, ticket: &str, code: &str, agent: &str) -> Result<CodeOutcome, BackendError>;

    /// The OpenID provider that people may sign in with, as its button calls it.
    fn openid_provider(&self) -> Option<&str>;

    /// Begins a sign-in with it. `None`: there is none, or it does not answer.
    async fn begin_openid(&self) -> Result<Option<OpenIdStart>, BackendError>;

    /// Ends a sign-in with it.
    async fn finish_openid(&self, answer: OpenIdAnswer<'_>, agent: &str) -> Result<OpenIdOutcome, BackendError>;

    /// The account of a session.
    async fn account(&self, cookie: &SessionCookie) -> Result<AccountView, BackendError>;

    /// Ends one of the account's sessions.
    async fn end_session(&self, cookie: &SessionCookie, id: &str) -> Result<(), BackendError>;

    /// Ends this session.
    async fn sign_out(&self, cookie: &SessionCookie) -> Result<(), BackendError>;

    /// Mail that was caught, the newest first; none where mail is sent, or where this visitor may not see it.
    async fn caught_mail(&self, cookie: Option<&SessionCookie>) -> Result<Option<Vec<CaughtRow>>, BackendError>;
}
