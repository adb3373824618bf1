//! What every transport must do: the message arrives as it is, once for each time it is handed over, and nothing before.

use super::*;
use domain::ids::Timestamp;
use std::path::{Path, PathBuf};

const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache/services/mail");
const INSTRUCTION: &str = "run: bash scripts/services/mail.sh start";

/// Ports of the server that the script starts: plain, encrypted.
pub(super) fn ports() -> (u16, u16) {
    let address = std::fs::read_to_string(Path::new(PLACE).join("address"));
    let address = address.unwrap_or_else(|_| panic!("there is no mail server for the tests. {INSTRUCTION}"));
    let mut ports = address.split_whitespace().skip(1).map(|port| port.parse().unwrap());
    (ports.next().unwrap(), ports.next().unwrap())
}

pub(super) fn settings(tls: SmtpTls) -> SmtpSettings {
    let (plain, encrypted) = ports();
    SmtpSettings {
        host: "localhost".into(),
        port: if tls == SmtpTls::Tls { encrypted } else { plain },
        tls,
        authorities: Some(std::fs::read(Path::new(PLACE).join("ca.pem")).expect(INSTRUCTION)),
        user: None,
        sender: sender(),
    }
}

pub(super) fn sender() -> Sender {
    Sender::parse("AffiliTrack <mail@track.example>").unwrap()
}

/// An address that no other test has, in no other run.
#[expect(clippy::disallowed_methods, reason = "a name that no other run has")]
pub(super) fn recipient(beginning: &str) -> MailAddress {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).unwrap();
    MailAddress::parse(&format!("{beginning}-{}@example.com", hex::encode(random))).unwrap()
}

pub(super) fn letter(recipient: &MailAddress) -> Vec<u8> {
    let letter = Letter {
        subject: "Grüße".into(),
        text: "a line\n.\n.. and a dot at its beginning\n".into(),
        html: "<p>a line</p>".into(),
        picture: None,
        unsubscribe: None,
    };
    compose(&sender(), recipient, &letter, "m1", Timestamp(1_790_000_000_000)).unwrap()
}

/// What the server got for an address.
pub(super) fn arrived(recipient: &MailAddress) -> Vec<Vec<u8>> {
    messages(&Path::new(PLACE).join("inbox").join(recipient.as_str()))
}

fn messages(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = files
        .map(|file| file.unwrap().path())
        .filter(|file| file.extension().is_some_and(|end| end == "eml"))
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// A transport, and where to look for what arrived.
struct Place {
    name: &'static str,
    transport: Box<dyn MailTransport>,
    folder: Option<tempfile::TempDir>,
}

impl Place {
    fn of_every_transport() -> Vec<Place> {
        let folder = tempfile::tempdir().unwrap();
        let smtp = |tls| -> Box<dyn MailTransport> { Box::new(SmtpMail::new(settings(tls)).unwrap()) };
        let with_user = SmtpSettings {
            user: Some(("affilitrack".into(), crate::secrets::SecretText::new("right"))),
            ..settings(SmtpTls::StartTls)
        };
        vec![
            Place {
                name: "folder",
                transport: Box::new(FolderMail::new(folder.path().join("mail"))),
                folder: Some(folder),
            },
            Place { name: "smtp", transport: smtp(SmtpTls::Off), folder: None },
            Place { name: "smtp, STARTTLS", transport: smtp(SmtpTls::StartTls), folder: None },
            Place { name: "smtp, TLS", transport: smtp(SmtpTls::Tls), folder: None },
            Place { name: "smtp, user", transport: Box::new(SmtpMail::new(with_user).unwrap()), folder: None },
        ]
    }

    fn arrived(&self, recipient: &MailAddress) -> Vec<Vec<u8>> {
        match &self.folder {
            Some(folder) => messages(&folder.path().join("mail")),
            None => arrived(recipient),
        }
    }
}

#[tokio::test]
async fn a_message_arrives_as_it_is_and_not_before_it_is_handed_over() {
    for place in Place::of_every_transport() {
        println!("transport {}", place.name);
        let recipient = recipient("maya");
        let message = letter(&recipient);
        let ready = place.transport.prepare(&recipient).await.unwrap();
        assert!(place.arrived(&recipient).is_empty(), "nothing was handed over");
        ready.hand_over("m1", &message).await.unwrap();
        let arrived = place.arrived(&recipient);
        assert_eq!(arrived.len(), 1);
        let (arrived, message) = (String::from_utf8_lossy(&arrived[0]), String::from_utf8_lossy(&message));
        assert_eq!(arrived.trim_end(), message.trim_end());
        // Preparing and going away sends nothing.
        drop(place.transport.prepare(&recipient).await.unwrap());
        assert_eq!(place.arrived(&recipient).len(), 1);
    }
}

#[tokio::test]
async fn a_folder_has_one_file_for_a_mail_that_is_tried_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mail = FolderMail::new(folder.path().join("mail"));
    assert!(mail.caught().unwrap().is_empty());
    for _ in 0..2 {
        let ready = mail.prepare(&recipient("maya")).await.unwrap();
        ready.hand_over("m1", b"one").await.unwrap();
    }
    let caught = mail.caught().unwrap();
    assert_eq!(caught.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["m1"]);
    assert_eq!(mail.read("m1").unwrap().as_deref(), Some(&b"one"[..]));
    for name in ["", "m2", "../m1", "m1.eml", "/etc/passwd"] {
        assert_eq!(mail.read(name).unwrap(), None, "{name}");
    }
    let ready = mail.prepare(&recipient("maya")).await.unwrap();
    assert!(matches!(ready.hand_over("../m1", b"one").await, Err(MailError::Refused(_))));
}
