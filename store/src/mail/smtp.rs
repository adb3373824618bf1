//! Mail by SMTP: one connection a mail, with TLS and a user where the settings say so.

use super::{HandOver, MailError, MailTransport, Sender};
use crate::control::MailAddress;
use crate::secrets::SecretText;
use async_trait::async_trait;
use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use std::fmt;
use std::time::Duration;

/// From the connection to the permission to send the message.
const PREPARE_LIMIT: Duration = Duration::from_secs(30);
/// From the first byte of the message to the answer. Shorter than a claim of the queue.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(60);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SmtpTls {
    /// It begins in the clear and must change over (port 587). Without it nothing is sent.
    #[default]
    StartTls,
    /// From the first byte (port 465).
    Tls,
    /// Never: only for a server on the same machine.
    Off,
}

/// How the server is reached.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Encryption.
    pub tls: SmtpTls,
    /// Authorities beside the system's, PEM.
    pub authorities: Option<Vec<u8>>,
    /// Who signs in, with what; none where the server asks nobody.
    pub user: Option<(String, SecretText)>,
    /// Who writes.
    pub sender: Sender,
}

/// A server that takes mail.
pub struct SmtpMail {
    settings: SmtpSettings,
    tls: Option<TlsParameters>,
}

impl fmt::Debug for SmtpMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpMail").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl SmtpMail {
    /// With these settings. Connects to nothing yet.
    ///
    /// # Errors
    /// When the authorities cannot be read, in words.
    pub fn new(settings: SmtpSettings) -> Result<SmtpMail, String> {
        let tls = match settings.tls {
            SmtpTls::Off => None,
            SmtpTls::StartTls | SmtpTls::Tls => Some(tls_parameters(&settings)?),
        };
        Ok(SmtpMail { settings, tls })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let settings = &self.settings;
        let hello = ClientId::Domain(settings.sender.address().domain().to_owned());
        let at_once = self.tls.clone().filter(|_| settings.tls == SmtpTls::Tls);
        let server = (settings.host.as_str(), settings.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT_LIMIT), &hello, at_once, None).await?;
        if let (SmtpTls::StartTls, Some(tls)) = (settings.tls, &self.tls) {
            connection.starttls(tls.clone(), &hello).await?;
        }
        if let Some((user, password)) = &settings.user {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        connection.command(Mail::new(Some(settings.sender.address().clone()), Vec::new())).await?;
        Ok(connection)
    }

    async fn ready(&self, recipient: Address) -> Result<AsyncSmtpConnection, MailError> {
        // What the server refuses before it hears of the recipient is about us, and somebody can mend it.
        let mut connection = self.connect().await.map_err(|error| MailError::Later(words(&error)))?;
        connection.command(Rcpt::new(recipient, Vec::new())).await.map_err(|error| answered(&error))?;
        connection.command(Data).await.map_err(|error| answered(&error))?;
        Ok(connection)
    }
}

fn tls_parameters(settings: &SmtpSettings) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(authorities) = &settings.authorities {
        let certificate = Certificate::from_pem(authorities).map_err(|error| words(&error))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| words(&error))
}

/// An error with its causes, one line.
fn words(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let text = next.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = next.source();
    }
    words
}

/// What an error before the message means.
fn answered(error: &Error) -> MailError {
    if error.is_permanent() { MailError::Refused(words(error)) } else { MailError::Later(words(error)) }
}

#[async_trait]
impl MailTransport for SmtpMail {
    async fn prepare(&self, recipient: &MailAddress) -> Result<Box<dyn HandOver>, MailError> {
        let address: Address =
            recipient.as_str().parse().map_err(|error| MailError::Refused(format!("the address: {error}")))?;
        match tokio::time::timeout(PREPARE_LIMIT, self.ready(address)).await {
            Ok(ready) => Ok(Box::new(ReadyConnection(ready?))),
            Err(_) => Err(MailError::Later(format!("the mail server did not answer in {} s", PREPARE_LIMIT.as_secs()))),
        }
    }
}

/// The server said that it waits for the message.
struct ReadyConnection(AsyncSmtpConnection);

#[async_trait]
impl HandOver for ReadyConnection {
    async fn hand_over(mut self: Box<Self>, _name: &str, message: &[u8]) -> Result<(), MailError> {
        match tokio::time::timeout(HAND_OVER_LIMIT, self.0.message(message)).await {
            Ok(Ok(_)) => {
                // It is taken; how the connection ends changes nothing.
                let _ = tokio::time::timeout(CONNECT_LIMIT, self.0.command(Quit)).await;
                Ok(())
            }
            Ok(Err(error)) if error.is_permanent() => Err(MailError::Refused(words(&error))),
            Ok(Err(error)) if error.is_transient() => Err(MailError::Later(words(&error))),
            Ok(Err(error)) => {
                Err(MailError::Unsure(format!("the connection broke during the message: {}", words(&error))))
            }
            Err(_) => Err(MailError::Unsure(format!(
                "the mail server did not say within {} s whether it took the message",
                HAND_OVER_LIMIT.as_secs()
            ))),
        }
    }
}
