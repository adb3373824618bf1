//! Optional mail over the real services.

use super::{Pages, refused, store_failed};
use async_trait::async_trait;
use web::backend::{BackendError, FormError, SessionCookie};
use web::mail_settings::{LinkedMail, MailChoice, MailDesk, MailSetting, MailTopic};

#[async_trait]
impl MailDesk for Pages {
    async fn mail_settings(&self, cookie: &SessionCookie) -> Result<Vec<MailSetting>, BackendError> {
        let session = self.open(cookie).await?;
        self.app.control.mail_settings(&session).await.map_err(store_failed("read which mail you get"))
    }

    async fn choose_mail(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        topic: MailTopic,
        choice: MailChoice,
    ) -> Result<(), FormError> {
        let (session, now) = (self.open(cookie).await?, (self.app.clock)());
        let chosen = self.app.control.choose_mail(&session, vendor, topic, choice, now).await;
        chosen.map_err(refused("note which mail you get"))
    }

    async fn portal_mail_settings(&self, cookie: &SessionCookie) -> Result<Vec<MailSetting>, BackendError> {
        let session = self.guest(cookie).await?;
        self.app.control.portal_mail_settings(&session).await.map_err(store_failed("read which mail you get"))
    }

    async fn choose_portal_mail(
        &self,
        cookie: &SessionCookie,
        topic: MailTopic,
        choice: MailChoice,
    ) -> Result<(), FormError> {
        let (session, now) = (self.guest(cookie).await?, (self.app.clock)());
        let chosen = self.app.control.choose_portal_mail(&session, topic, choice, now).await;
        chosen.map_err(refused("note which mail you get"))
    }

    async fn mail_of_link(&self, link: &str) -> Result<Option<LinkedMail>, BackendError> {
        self.app.control.mail_of_link(link).await.map_err(store_failed("read the link"))
    }

    async fn unsubscribe(&self, link: &str) -> Result<Option<LinkedMail>, BackendError> {
        let done = self.app.control.unsubscribe(link, (self.app.clock)()).await;
        done.map_err(store_failed("note which mail you get"))
    }

    async fn subscribe_again(&self, link: &str) -> Result<Option<LinkedMail>, BackendError> {
        let done = self.app.control.subscribe_again(link, (self.app.clock)()).await;
        done.map_err(store_failed("note which mail you get"))
    }
}
