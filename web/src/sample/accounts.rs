//! Accounts of the sample: one person, who signs in with fixed words.

use super::{COOKIE, CSRF, SampleBackend};
use crate::accounts::*;
use crate::backend::*;
use async_trait::async_trait;
use domain::ids::Timestamp;

/// The address of the sample's person.
pub const EMAIL: &str = "maya@example.com";
/// The end of the link that signs in.
pub const LINK: &str = "sample-link";
/// Goes with the code.
pub const TICKET: &str = "sample-ticket";
/// Signs in.
pub const CODE: &str = "123456";

fn session() -> NewSession {
    NewSession { cookie: SessionCookie(COOKIE.into()), csrf: Secret(CSRF.into()) }
}

#[async_trait]
impl Accounts for SampleBackend {
    async fn ask_sign_in(&self, email: &str) -> Result<String, FormError> {
        match email.contains('@') {
            true => Ok(TICKET.into()),
            false => Err(FormError::Fields(vec![FieldError {
                field: "email".into(),
                message: "there is no @ in the address; write it like maya@example.com".into(),
            }])),
        }
    }

    async fn sign_in_of_link(&self, link: &str) -> Result<Option<String>, BackendError> {
        Ok((link == LINK).then(|| EMAIL.to_owned()))
    }

    async fn open_by_link(&self, link: &str, _agent: &str) -> Result<Option<NewSession>, BackendError> {
        Ok((link == LINK).then(session))
    }

    async fn open_by_code(&self, ticket: &str, code: &str, _agent: &str) -> Result<CodeOutcome, BackendError> {
        Ok(match (ticket == TICKET, code == CODE) {
            (true, true) => CodeOutcome::Opened(session()),
            (true, false) => CodeOutcome::Wrong { left: 4 },
            (false, _) => CodeOutcome::Gone,
        })
    }

    fn openid_provider(&self) -> Option<&str> {
        Some("Google")
    }

    async fn begin_openid(&self) -> Result<Option<OpenIdStart>, BackendError> {
        Ok(None)
    }

    async fn finish_openid(&self, answer: OpenIdAnswer<'_>, _agent: &str) -> Result<OpenIdOutcome, BackendError> {
        Ok(match answer.code {
            "unsure" => OpenIdOutcome::MailFirst { email: EMAIL.to_owned() },
            "unknown" => OpenIdOutcome::Unknown { email: EMAIL.to_owned() },
            _ => OpenIdOutcome::Failed,
        })
    }

    async fn account(&self, _cookie: &SessionCookie) -> Result<AccountView, BackendError> {
        let now = self.now();
        let row = |id: &str, agent: &str, days: i64, is_this| SessionRow {
            id: id.into(),
            agent: agent.into(),
            created_at: Timestamp(now.0 - days * 86_400_000),
            last_used_at: Timestamp(now.0 - days * 3_600_000),
            is_this,
        };
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile/15E148 Safari/604.1";
        let sessions = vec![row("a1", firefox, 0, true), row("b2", phone, 9, false)];
        Ok(AccountView { email: Some(EMAIL.into()), sessions })
    }

    async fn end_session(&self, _cookie: &SessionCookie, _id: &str) -> Result<(), BackendError> {
        Ok(())
    }

    async fn sign_out(&self, _cookie: &SessionCookie) -> Result<(), BackendError> {
        Ok(())
    }

    async fn caught_mail(&self, cookie: Option<&SessionCookie>) -> Result<Option<Vec<CaughtRow>>, BackendError> {
        let mail = CaughtRow {
            name: "mail-1".into(),
            at: self.now(),
            to: EMAIL.into(),
            subject: "Your link to sign in to AffiliTrack".into(),
            text: format!("Sign in:\n\nhttps://track.example/sign-in/link/{LINK}\n"),
        };
        Ok(cookie.map(|_| vec![mail]))
    }
}
