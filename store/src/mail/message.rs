//! From a letter to the bytes of a message (RFC 5322, MIME).

use crate::control::MailAddress;
use domain::ids::Timestamp;
use lettre::message::header::{self, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use std::time::{Duration, SystemTime};

/// What somebody is told, as text and as HTML that says the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// Without any markup.
    pub text: String,
    /// A whole document.
    pub html: String,
    /// Shown inside the HTML.
    pub picture: Option<Picture>,
    /// Where one click unsubscribes (RFC 8058); none where the mail is essential.
    pub unsubscribe: Option<String>,
}

/// A picture that comes with a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// How the HTML names it: `cid:` and this.
    pub id: String,
    /// A PNG file.
    pub png: Vec<u8>,
}

/// Who writes.
#[derive(Debug, Clone)]
pub struct Sender(Mailbox);

impl Sender {
    /// A mailbox such as `AffiliTrack <mail@example.com>`.
    ///
    /// # Errors
    /// When it is none, in words.
    pub fn parse(text: &str) -> Result<Sender, String> {
        text.parse()
            .map(Sender)
            .map_err(|_| format!("`{text}` is no mailbox; write it like AffiliTrack <mail@example.com>"))
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.email
    }

    fn host(&self) -> &str {
        self.0.email.domain()
    }
}

/// Why a letter cannot become a message.
#[derive(Debug, thiserror::Error)]
#[error("the mail cannot be put together: {0}")]
pub struct MessageError(String);

/// The bytes of a message. `name` makes its Message-ID, so that the same mail tried twice can be told as one.
pub fn compose(
    sender: &Sender,
    recipient: &MailAddress,
    letter: &Letter,
    name: &str,
    at: Timestamp,
) -> Result<Vec<u8>, MessageError> {
    let failed = |error: &dyn std::fmt::Display| MessageError(error.to_string());
    let to: Address = recipient.as_str().parse().map_err(|error| failed(&error))?;
    let written_at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or_default());
    let mut message = Message::builder()
        .from(sender.0.clone())
        .to(Mailbox::new(None, to))
        .date(written_at)
        .message_id(Some(format!("<{name}@{}>", sender.host())))
        .subject(one_line(&letter.subject))
        // Nobody's holiday notice answers a machine (RFC 3834).
        .raw_header(raw("Auto-Submitted", "auto-generated"));
    if let Some(url) = &letter.unsubscribe {
        message = message
            .raw_header(raw("List-Unsubscribe", &format!("<{}>", one_line(url))))
            .raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
    }
    let both = both_forms(letter)?;
    let message = message.header(header::MIME_VERSION_1_0).multipart(both).map_err(|error| failed(&error))?;
    Ok(message.formatted())
}

/// Text, and HTML with its picture.
fn both_forms(letter: &Letter) -> Result<MultiPart, MessageError> {
    let (text, html) = (letter.text.clone(), letter.html.clone());
    let Some(picture) = &letter.picture else {
        return Ok(MultiPart::alternative_plain_html(text, html));
    };
    let png = ContentType::parse("image/png").map_err(|error| MessageError(error.to_string()))?;
    let shown = Attachment::new_inline(picture.id.clone()).body(picture.png.clone(), png);
    let with_picture = MultiPart::related().singlepart(SinglePart::html(html)).singlepart(shown);
    Ok(MultiPart::alternative().singlepart(SinglePart::plain(text)).multipart(with_picture))
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// A header is one line, whatever a name that somebody chose has in it.
fn one_line(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        Letter {
            subject: "Anna\u{2019}s code\r\nBcc: everybody@example.com".into(),
            text: "Grüße, 5 €".into(),
            html: "<p>Grüße, 5 €</p>".into(),
            picture: None,
            unsubscribe: Some("https://example.com/u/1".into()),
        }
    }

    fn composed(letter: &Letter) -> String {
        let sender = Sender::parse("AffiliTrack <mail@track.example>").unwrap();
        let to = MailAddress::parse("maya@example.com").unwrap();
        String::from_utf8(compose(&sender, &to, letter, "m7", Timestamp(1_790_000_000_000)).unwrap()).unwrap()
    }

    #[test]
    fn a_message_says_who_when_and_what_in_two_forms() {
        let message = composed(&letter());
        for line in [
            "From: AffiliTrack <mail@track.example>",
            "To: maya@example.com",
            "Message-ID: <m7@track.example>",
            "Date: Mon, 21 Sep 2026 14:13:20 +0000",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
            "List-Unsubscribe: <https://example.com/u/1>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        ] {
            assert!(message.contains(&format!("{line}\r\n")), "{line} is not in\n{message}");
        }
        assert!(message.contains("multipart/alternative") && message.is_ascii());
        assert!(message.find("text/plain").unwrap() < message.find("text/html").unwrap());
        // The same mail is the same message id; only the boundary differs.
        assert!(composed(&letter()).contains("<m7@track.example>"));
    }

    #[test]
    fn a_picture_comes_inside_the_html() {
        let picture = Some(Picture { id: "month".into(), png: vec![0x89, b'P', b'N', b'G', 0, 255] });
        let message = composed(&Letter { picture, ..letter() });
        let places = ["multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"]
            .map(|part| message.find(part).unwrap_or_else(|| panic!("{part} is not in\n{message}")));
        assert!(places.is_sorted(), "{message}");
        assert!(message.contains("Content-ID: <month>") && message.contains("iVBORwD/") && message.is_ascii());
    }

    #[test]
    fn a_subject_cannot_bring_headers_of_its_own() {
        let message = composed(&letter());
        assert!(!message.lines().any(|line| line.starts_with("Bcc")), "{message}");
        let essential = composed(&Letter { unsubscribe: None, ..letter() });
        assert!(!essential.contains("List-Unsubscribe"));
    }

    #[test]
    fn a_sender_that_is_none_is_said() {
        assert!(Sender::parse("nobody").unwrap_err().contains("nobody"));
        assert!(Sender::parse("mail@track.example").is_ok());
    }
}
