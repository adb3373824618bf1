//! What a mail server may do to us, and what we then know about the mail.

use super::conformance::{arrived, letter, recipient, settings};
use super::*;
use crate::secrets::SecretText;

async fn send(settings: SmtpSettings, recipient: &MailAddress) -> Result<(), MailError> {
    let ready = SmtpMail::new(settings).unwrap().prepare(recipient).await?;
    ready.hand_over("m1", &letter(recipient)).await
}

#[tokio::test]
async fn refused_for_good_refused_for_now_and_refused_after_the_message_are_told_apart() {
    for (beginning, expected) in [("refused", "there is no such mailbox"), ("full", "the mailbox is full")] {
        let recipient = recipient(beginning);
        let error = send(settings(SmtpTls::Off), &recipient).await.unwrap_err();
        assert!(matches!(&error, MailError::Refused(words) if words.contains(expected)), "{error:?}");
        assert!(arrived(&recipient).is_empty());
    }
    let error = send(settings(SmtpTls::Off), &recipient("busy")).await.unwrap_err();
    assert!(matches!(&error, MailError::Later(words) if words.contains("come again later")), "{error:?}");
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let recipient = recipient("slow");
    send(settings(SmtpTls::Off), &recipient).await.unwrap();
    assert_eq!(arrived(&recipient).len(), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_leaves_us_unsure() {
    let recipient = recipient("cut");
    let error = send(settings(SmtpTls::Off), &recipient).await.unwrap_err();
    assert!(matches!(error, MailError::Unsure(_)), "{error:?}");
    assert_eq!(arrived(&recipient).len(), 1, "it arrived, and nobody told us");
}

#[tokio::test]
async fn what_is_wrong_with_our_side_can_be_mended_so_the_mail_waits() {
    let nobody = SmtpSettings { port: 1, ..settings(SmtpTls::Off) };
    let wrong_password =
        SmtpSettings { user: Some(("affilitrack".into(), SecretText::new("wrong"))), ..settings(SmtpTls::StartTls) };
    let stranger = SmtpSettings { authorities: None, ..settings(SmtpTls::StartTls) };
    let other_name = SmtpSettings { host: "127.0.0.1".into(), ..settings(SmtpTls::Tls) };
    let plain_at_tls = SmtpSettings { port: settings(SmtpTls::Off).port, ..settings(SmtpTls::Tls) };
    for (what, settings) in [
        ("nobody listens", nobody),
        ("a wrong password", wrong_password),
        ("an authority that nobody knows", stranger),
        ("a certificate for another name", other_name),
        ("a server that does not begin with TLS", plain_at_tls),
    ] {
        let recipient = recipient("maya");
        let error = send(settings, &recipient).await.unwrap_err();
        assert!(matches!(&error, MailError::Later(words) if !words.contains("wrong")), "{what}: {error:?}");
        assert!(arrived(&recipient).is_empty(), "{what}");
    }
}

#[test]
fn a_password_is_in_no_debug_output() {
    let user = Some(("affilitrack".into(), SecretText::new("right")));
    let mail = SmtpMail::new(SmtpSettings { user, ..settings(SmtpTls::Off) }).unwrap();
    assert!(!format!("{mail:?}").contains("right"));
}
