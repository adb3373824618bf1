//! What pages about optional mail need from the services.

use crate::backend::{BackendError, FormError, SessionCookie};
use async_trait::async_trait;
pub use store::control::{LinkedMail, MailChoice, MailSetting, MailTopic};

/// Which mail people want. Links in mails work without a session.
#[async_trait]
pub trait MailDesk: Send + Sync + 'static {
    /// What the session's person gets of each of their workspaces; nothing for the operator.
    async fn mail_settings(&self, cookie: &SessionCookie) -> Result<Vec<MailSetting>, BackendError>;

    /// The session's person chooses, for the workspace of a slug.
    async fn choose_mail(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        topic: MailTopic,
        choice: MailChoice,
    ) -> Result<(), FormError>;

    /// What the affiliate of a portal session gets.
    async fn portal_mail_settings(&self, cookie: &SessionCookie) -> Result<Vec<MailSetting>, BackendError>;

    /// The affiliate of a portal session chooses.
    async fn choose_portal_mail(
        &self,
        cookie: &SessionCookie,
        topic: MailTopic,
        choice: MailChoice,
    ) -> Result<(), FormError>;

    /// What the link of a mail is about. `None`: nobody was mailed such a link.
    async fn mail_of_link(&self, link: &str) -> Result<Option<LinkedMail>, BackendError>;

    /// Switches off what a link is about.
    async fn unsubscribe(&self, link: &str) -> Result<Option<LinkedMail>, BackendError>;

    /// Takes that back.
    async fn subscribe_again(&self, link: &str) -> Result<Option<LinkedMail>, BackendError>;
}
