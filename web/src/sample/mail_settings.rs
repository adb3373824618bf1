//! Optional mail of the sample: every month, until one link switches it off.

use super::portal::PORTAL_COOKIE;
use super::{COOKIE, SampleBackend};
use crate::backend::*;
use crate::mail_settings::{LinkedMail, MailChoice, MailDesk, MailSetting, MailTopic};
use async_trait::async_trait;

/// The end of the link that switches the summary off.
pub const UNSUBSCRIBE_LINK: &str = "sample-unsubscribe";
const CHOICES: &[MailChoice] = &[MailChoice::Monthly, MailChoice::Off];

fn setting(slug: &str) -> MailSetting {
    MailSetting {
        slug: slug.into(),
        vendor: "Acme Analytics".into(),
        topic: MailTopic::Summary,
        choice: MailChoice::Monthly,
        choices: CHOICES,
    }
}

fn linked(link: &str, choice: MailChoice) -> Option<LinkedMail> {
    let linked = || LinkedMail { vendor: "Acme Analytics".into(), topic: MailTopic::Summary, choice };
    (link == UNSUBSCRIBE_LINK).then(linked)
}

#[async_trait]
impl MailDesk for SampleBackend {
    async fn mail_settings(&self, cookie: &SessionCookie) -> Result<Vec<MailSetting>, BackendError> {
        if cookie.0 == COOKIE { Ok(vec![setting("acme")]) } else { Err(BackendError::NotFound) }
    }

    async fn choose_mail(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        _topic: MailTopic,
        _choice: MailChoice,
    ) -> Result<(), FormError> {
        drop(self.check(cookie, vendor)?);
        Ok(())
    }

    async fn portal_mail_settings(&self, cookie: &SessionCookie) -> Result<Vec<MailSetting>, BackendError> {
        if cookie.0 == PORTAL_COOKIE { Ok(vec![setting("")]) } else { Err(BackendError::NotFound) }
    }

    async fn choose_portal_mail(
        &self,
        cookie: &SessionCookie,
        _topic: MailTopic,
        _choice: MailChoice,
    ) -> Result<(), FormError> {
        if cookie.0 == PORTAL_COOKIE { Ok(()) } else { Err(BackendError::NotFound.into()) }
    }

    async fn mail_of_link(&self, link: &str) -> Result<Option<LinkedMail>, BackendError> {
        Ok(linked(link, MailChoice::Monthly))
    }

    async fn unsubscribe(&self, link: &str) -> Result<Option<LinkedMail>, BackendError> {
        Ok(linked(link, MailChoice::Off))
    }

    async fn subscribe_again(&self, link: &str) -> Result<Option<LinkedMail>, BackendError> {
        Ok(linked(link, MailChoice::Monthly))
    }
}
