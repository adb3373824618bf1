//! Signing in, and a person's own account, over the real services.

use super::{Pages, failed, new_session, store_failed};
use api::mail::{Mail, SignInLetter};
use api::words::full_sentence;
use async_trait::async_trait;
use domain::ids::Timestamp;
use mail_parser::MessageParser;
use store::control::{CodeTried, IdentityTried, MailAddress, SIGN_IN_LIFE_MS, Session, SignInMail};
use store::mail::{CaughtMail, FolderMail};
use web::accounts::*;
use web::backend::{BackendError, FieldError, FormError, NewSession, Secret, SessionCookie};

/// A mail address as somebody typed it.
pub(super) fn typed_address(email: &str) -> Result<MailAddress, FormError> {
    MailAddress::parse(email).map_err(|message| {
        FormError::Fields(vec![FieldError { field: "email".to_owned(), message: full_sentence(&message) }])
    })
}

impl Pages {
    pub(super) fn now(&self) -> Timestamp {
        (self.app.clock)()
    }

    /// A session that was opened at this time, as its browser gets it. Whoever signs in for the first time finds a demo.
    async fn come_in(&self, session: &Session, now: Timestamp) -> NewSession {
        if let Some(demos) = &self.doors.demos
            && let Ok(Some(person)) = self.app.control.person(session).await
            && person.created_at == now
        {
            demos.give(session).await;
        }
        new_session(session.cookie(), session.csrf())
    }

    /// Writes the mail of a sign-in, once its link and code are drawn.
    fn sign_in_mail(&self, recipient: &MailAddress) -> SignInMail {
        let (url, recipient) = (self.public_url.clone(), recipient.clone());
        let site = url::Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        Box::new(move |secrets, cause| {
            let mail = Mail::SignIn(SignInLetter {
                link: format!("{url}/sign-in/link/{}", secrets.link.expose()),
                code: secrets.code.expose().to_owned(),
                minutes: SIGN_IN_LIFE_MS / 60_000,
                site,
            });
            mail.queued(None, &recipient, cause)
        })
    }
}

#[async_trait]
impl Accounts for Pages {
    async fn ask_sign_in(&self, email: &str) -> Result<String, FormError> {
        let address = typed_address(email)?;
        let (mail, may_sign_up) = (self.sign_in_mail(&address), self.app.may_sign_up);
        let asked = self.app.control.ask_sign_in(&address, may_sign_up, mail, self.now()).await;
        Ok(asked.map_err(store_failed("ask for a mail"))?.ticket)
    }

    async fn sign_in_of_link(&self, link: &str) -> Result<Option<String>, BackendError> {
        let found = self.app.control.sign_in_of_link(link, self.now()).await;
        Ok(found.map_err(store_failed("read the link"))?.map(|address| address.to_string()))
    }

    async fn open_by_link(&self, link: &str, agent: &str) -> Result<Option<NewSession>, BackendError> {
        let now = self.now();
        let opened = self.app.control.open_by_link(link, agent, now).await;
        Ok(match opened.map_err(store_failed("open a session"))? {
            Some(session) => Some(self.come_in(&session, now).await),
            None => None,
        })
    }

    async fn open_by_code(&self, ticket: &str, code: &str, agent: &str) -> Result<CodeOutcome, BackendError> {
        let now = self.now();
        let tried = self.app.control.open_by_code(ticket, code, agent, now).await;
        Ok(match tried.map_err(store_failed("open a session"))? {
            CodeTried::Opened(session) => CodeOutcome::Opened(self.come_in(&session, now).await),
            CodeTried::Wrong { left } => CodeOutcome::Wrong { left },
            CodeTried::Gone => CodeOutcome::Gone,
        })
    }

    fn openid_provider(&self) -> Option<&str> {
        self.doors.openid.as_ref().map(|provider| provider.name())
    }

    async fn begin_openid(&self) -> Result<Option<OpenIdStart>, BackendError> {
        let Some(provider) = &self.doors.openid else { return Ok(None) };
        match provider.begin(self.now()).await {
            Ok(begun) => Ok(Some(OpenIdStart { url: begun.url, kept: Secret(begun.kept.expose().to_owned()) })),
            Err(error) => {
                tracing::error!(error = %error, "nobody can sign in with {}: {error}", provider.name());
                Ok(None)
            }
        }
    }

    async fn finish_openid(&self, answer: OpenIdAnswer<'_>, agent: &str) -> Result<OpenIdOutcome, BackendError> {
        let Some(provider) = &self.doors.openid else { return Ok(OpenIdOutcome::Failed) };
        let identity = match provider.finish(answer.kept, answer.state, answer.code, self.now()).await {
            Ok(identity) => identity,
            Err(error) => {
                tracing::warn!(error = %error, "a sign-in with {} failed: {error}", provider.name());
                return Ok(OpenIdOutcome::Failed);
            }
        };
        let now = self.now();
        let tried = self.app.control.open_by_identity(&identity, self.app.may_sign_up, agent, now).await;
        let email = identity.email.to_string();
        Ok(match tried.map_err(store_failed("open a session"))? {
            IdentityTried::Opened(session) => OpenIdOutcome::Opened(self.come_in(&session, now).await),
            IdentityTried::MailFirst => OpenIdOutcome::MailFirst { email },
            IdentityTried::Unknown => OpenIdOutcome::Unknown { email },
        })
    }

    async fn account(&self, cookie: &SessionCookie) -> Result<AccountView, BackendError> {
        let session = self.open(cookie).await?;
        let person = self.app.control.person(&session).await.map_err(store_failed("read the account"))?;
        let sessions = self.app.control.sessions_of(&session, self.now()).await;
        let row = |session: store::control::SessionInfo| SessionRow {
            id: session.id,
            agent: session.agent,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            is_this: session.is_this,
        };
        Ok(AccountView {
            email: person.map(|person| person.email.to_string()),
            sessions: sessions.map_err(store_failed("list sessions"))?.into_iter().map(row).collect(),
        })
    }

    async fn end_session(&self, cookie: &SessionCookie, id: &str) -> Result<(), BackendError> {
        let session = self.open(cookie).await?;
        self.app.control.end_session(&session, id, self.now()).await.map_err(store_failed("end a session"))
    }

    async fn sign_out(&self, cookie: &SessionCookie) -> Result<(), BackendError> {
        let session = self.open(cookie).await?;
        self.app.control.close_session(&session).await.map_err(store_failed("end the session"))
    }

    async fn caught_mail(&self, cookie: Option<&SessionCookie>) -> Result<Option<Vec<CaughtRow>>, BackendError> {
        let Some(folder) = self.app.mail.caught.clone() else {
            return Ok(None);
        };
        let is_operator = match cookie {
            Some(cookie) => self.open(cookie).await.is_ok_and(|session| session.person().is_none()),
            None => false,
        };
        if !(is_operator || self.app.mail.is_shown_to_all) {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || read_caught(&folder)).await;
        let rows = read.map_err(anyhow::Error::from).map_err(failed("read caught mail"))?;
        Ok(Some(rows.map_err(anyhow::Error::from).map_err(failed("read caught mail"))?))
    }
}

fn read_caught(folder: &FolderMail) -> std::io::Result<Vec<CaughtRow>> {
    let mut rows = Vec::new();
    for caught in folder.caught()? {
        // One that somebody removed meanwhile is not there any more.
        if let Some(message) = folder.read(&caught.name)? {
            rows.push(caught_row(caught, &message));
        }
    }
    Ok(rows)
}

fn caught_row(caught: CaughtMail, message: &[u8]) -> CaughtRow {
    let message = MessageParser::default().parse(message).unwrap_or_default();
    let to = message.to().and_then(|to| to.first()).and_then(|to| to.address()).unwrap_or("nobody");
    CaughtRow {
        name: caught.name,
        at: Timestamp(caught.at),
        to: to.to_owned(),
        subject: message.subject().unwrap_or("(no subject)").to_owned(),
        text: message.body_text(0).map(|text| text.replace("\r\n", "\n")).unwrap_or_default(),
    }
}
