//! Brokers that let in only over TLS or with a password.

use super::secured_broker::{PASSWORD, SecuredBroker, USER};
use super::*;
use crate::tls::Authorities;
use crate::tls::test_authority::TestAuthority;

const PATIENCE: Duration = Duration::from_secs(120);

fn user(mechanism: KafkaMechanism, password: &str) -> Option<KafkaUser> {
    Some(KafkaUser { mechanism, name: USER.to_owned(), password: password.to_owned() })
}

fn tls(authority: &TestAuthority, certificate: Option<ClientCertificate>) -> Option<KafkaTls> {
    Some(KafkaTls { authorities: Authorities::File(authority.file()), certificate })
}

fn settings(host: &str, port: u16, tls: Option<KafkaTls>, user: Option<KafkaUser>) -> KafkaSettings {
    let security = KafkaSecurity { tls, user };
    KafkaSettings { brokers: format!("{host}:{port}"), security, ..KafkaSettings::default() }
}

/// What is said to somebody who is not let in. No password is in it.
async fn refusal(settings: KafkaSettings) -> String {
    let error = check(&settings).await.unwrap_err();
    let words = error.to_string();
    assert!(matches!(error, TopicError::Refused { .. }), "{words}");
    assert!(words.contains(&settings.brokers) && !words.contains("secret"), "{words}");
    words
}

/// Appends until the answer is as it must be.
async fn until_appended(log: &KafkaLog, mut is_right: impl FnMut(&Result<Appended, LogError>) -> bool) {
    let answers =
        async { while !is_right(&log.append(NewRecord { partition: 3, bytes: b"sealed".to_vec() }).await) {} };
    tokio::time::timeout(PATIENCE, answers).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_is_let_in_and_everybody_else_is_told_which_setting_to_look_at() {
    let broker = tokio::task::spawn_blocking(SecuredBroker::start).await.unwrap();
    let SecuredBroker { authority, sasl_ssl, sasl_plaintext, ssl, .. } = &broker;
    let scram = KafkaMechanism::ScramSha512;
    let right = settings("localhost", *sasl_ssl, tls(authority, None), user(scram, PASSWORD));
    assert!(!format!("{right:?}").contains(PASSWORD));

    migrate(&right).await.unwrap();
    let log = KafkaLog::open(right.clone()).unwrap();
    // The first sign-in of a new broker may take longer than an append waits.
    until_appended(&log, |result| result.is_ok()).await;
    assert_eq!(log.read(3, 0, 1, 100).await.unwrap()[0].bytes, b"sealed");

    let issued = authority.issue("DNS:client");
    let certificate = ClientCertificate { certificate: issued.certificate, key: issued.key };
    for also_right in [
        settings("localhost", *sasl_ssl, tls(authority, None), user(KafkaMechanism::Plain, PASSWORD)),
        settings("127.0.0.1", *sasl_plaintext, None, user(KafkaMechanism::ScramSha256, PASSWORD)),
        settings("localhost", *ssl, tls(authority, Some(certificate)), None),
    ] {
        check(&also_right).await.unwrap();
    }

    let stranger = TestAuthority::new();
    let wrong_password = settings("localhost", *sasl_ssl, tls(authority, None), user(scram, "wrong-and-secret"));
    let unheard_of = settings("127.0.0.1", *sasl_plaintext, None, user(scram, PASSWORD));
    let wrong_authority = settings("localhost", *sasl_ssl, tls(&stranger, None), user(scram, PASSWORD));
    let wrong_name = settings("127.0.0.1", *sasl_ssl, tls(authority, None), user(scram, PASSWORD));
    let without_certificate = settings("localhost", *ssl, tls(authority, None), None);
    let without_tls = settings("localhost", *sasl_ssl, None, user(scram, PASSWORD));
    let appends = KafkaLog::open(wrong_password.clone()).unwrap();
    let is_refused = |result: &Result<Appended, LogError>| matches!(result, Err(LogError::Unavailable(words)) if words.contains("kafka.password") && words.contains("unknown"));
    let (password, mechanism, authority, name, certificate, plain, ()) = tokio::join!(
        refusal(wrong_password),
        refusal(unheard_of),
        refusal(wrong_authority),
        refusal(wrong_name),
        check(&without_certificate),
        check(&without_tls),
        until_appended(&appends, is_refused),
    );
    assert!(password.contains("kafka.password"), "{password}");
    assert!(mechanism.contains("kafka.sasl_mechanism"), "{mechanism}");
    assert!(authority.contains("kafka.tls_ca_file"), "{authority}");
    assert!(name.contains("kafka.tls_ca_file"), "{name}");
    // The broker hangs up after its last word, which may then not be heard.
    for error in [certificate.unwrap_err(), plain.unwrap_err()] {
        assert!(matches!(error, TopicError::Refused { .. } | TopicError::Unreachable { .. }), "{error}");
    }
}
