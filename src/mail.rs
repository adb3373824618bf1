//! Outgoing mail of this process: where it goes, and who sends it.

use crate::config::{Config, Mail, MailTls};
use api::mail::MailWorker;
use api::services::Clock;
use std::sync::Arc;
use store::control::ControlStore;
use store::mail::{FolderMail, MailTransport, Sender, SmtpMail, SmtpSettings, SmtpTls};
use store::secrets::SecretText;
use web::mails::Letters;

/// The folder of caught mail, below the data folder.
const FOLDER: &str = "mail";

/// Where the process's mail goes.
pub struct Outgoing {
    transport: Arc<dyn MailTransport>,
    sender: Sender,
    /// Caught mail; none where a server takes it.
    pub caught: Option<FolderMail>,
    /// Whether everybody who can reach the process may read caught mail.
    pub is_shown_to_all: bool,
}

impl Outgoing {
    /// As the settings say.
    ///
    /// # Errors
    /// When they cannot be used, in words.
    pub fn new(config: &Config, folder: &std::path::Path) -> anyhow::Result<Outgoing> {
        let mail = &config.mail;
        let sender = Sender::parse(&mail.from).map_err(|message| anyhow::anyhow!("mail.from: {message}"))?;
        let is_shown_to_all = config.server.listen.ip().is_loopback() && config.server.public_url.is_none();
        if mail.host.is_empty() {
            let caught = FolderMail::new(folder.join(FOLDER));
            return Ok(Outgoing { transport: Arc::new(caught.clone()), sender, caught: Some(caught), is_shown_to_all });
        }
        let server = SmtpMail::new(settings(mail, sender.clone())?);
        let transport = Arc::new(server.map_err(|message| anyhow::anyhow!("mail.tls_ca_file: {message}"))?);
        Ok(Outgoing { transport, sender, caught: None, is_shown_to_all })
    }

    /// Takes mail out of the queue and sends it.
    pub fn worker(&self, queue: Arc<dyn ControlStore>, clock: Clock) -> MailWorker {
        let typeset = Arc::new(Letters);
        MailWorker { queue, transport: self.transport.clone(), typeset, sender: self.sender.clone(), clock }
    }
}

fn settings(mail: &Mail, sender: Sender) -> anyhow::Result<SmtpSettings> {
    let authorities = match mail.tls_ca_file.as_str() {
        "" => None,
        file => Some(std::fs::read(file).map_err(|error| anyhow::anyhow!("mail.tls_ca_file: {file}: {error}"))?),
    };
    let user = (!mail.user.is_empty()).then(|| (mail.user.clone(), SecretText::new(mail.password.expose())));
    let tls = match mail.tls {
        MailTls::StartTls => SmtpTls::StartTls,
        MailTls::Tls => SmtpTls::Tls,
        MailTls::Off => SmtpTls::Off,
    };
    Ok(SmtpSettings { host: mail.host.clone(), port: mail.port, tls, authorities, user, sender })
}
