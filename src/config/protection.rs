//! How connections to the outside parts are protected: the words of the settings, and what they must be together.

use super::problems::Problems;
use super::{Config, Kafka, Mail, OpenId, Postgres};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::Path;
use store::mail::Sender;
use store::tls::TlsError;
use store::{postgres, tls};
use url::Url;

/// How the brokers of Kafka are spoken to, in Kafka's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KafkaProtocol {
    /// Not encrypted, without a user.
    #[default]
    #[serde(alias = "PLAINTEXT")]
    Plaintext,
    /// Encrypted, without a user.
    #[serde(alias = "SSL")]
    Ssl,
    /// Not encrypted, with a user.
    #[serde(alias = "SASL_PLAINTEXT")]
    SaslPlaintext,
    /// Encrypted, with a user.
    #[serde(alias = "SASL_SSL")]
    SaslSsl,
}

impl KafkaProtocol {
    /// Whether connections are encrypted.
    pub fn is_encrypted(self) -> bool {
        matches!(self, KafkaProtocol::Ssl | KafkaProtocol::SaslSsl)
    }

    /// Whether a user signs in.
    pub fn has_user(self) -> bool {
        matches!(self, KafkaProtocol::SaslPlaintext | KafkaProtocol::SaslSsl)
    }
}

/// How a user proves to Kafka who it is, in Kafka's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SaslMechanism {
    /// Nobody signs in.
    #[default]
    #[serde(rename = "")]
    None,
    /// The password itself is sent.
    #[serde(rename = "PLAIN")]
    Plain,
    /// The password is proven.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The password is proven.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// How connections to Postgres are protected, in the words of its own clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PostgresTls {
    /// As `sslmode` of the URL says.
    #[default]
    Url,
    /// Not encrypted.
    Off,
    /// Encrypted; whoever answers is believed.
    Require,
    /// Encrypted, and an authority signed the certificate.
    VerifyCa,
    /// Encrypted, and an authority signed the certificate for this name.
    VerifyFull,
}

/// How the mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// In the clear at first, then encrypted.
    #[default]
    StartTls,
    /// Encrypted from the first byte.
    Tls,
    /// Never encrypted.
    Off,
}

/// Notes everything that cannot work.
pub fn check(config: &Config, problems: &mut Problems) {
    check_kafka_user(&config.kafka, problems);
    check_kafka_files(&config.kafka, problems);
    check_postgres(&config.postgres, problems);
    check_warehouse(config, problems);
    check_mail(&config.mail, problems);
    check_openid(&config.openid, problems);
}

fn check_mail(mail: &Mail, problems: &mut Problems) {
    if let Err(message) = Sender::parse(&mail.from) {
        problems.add("mail.from", "", message);
    }
    if mail.user.is_empty() != mail.password.is_empty() {
        problems.add("mail.user", "", "and mail.password belong together: set both, or neither");
    }
    if !mail.tls_ca_file.is_empty() {
        if mail.tls == MailTls::Off {
            problems.add("mail.tls_ca_file", "", "would not be used: mail.tls is off");
        }
        check_file("mail.tls_ca_file", &mail.tls_ca_file, tls::check_authorities, problems);
    }
    let is_near = mail.host == "localhost" || mail.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if mail.tls == MailTls::Off && !mail.host.is_empty() && !is_near {
        let message = "must be starttls or tls when mail.host is another machine: mail has links that sign in";
        problems.add("mail.tls", "", message);
    }
}

fn check_openid(openid: &OpenId, problems: &mut Problems) {
    if openid.client_id.is_empty() != openid.client_secret.is_empty() {
        problems.add("openid.client_id", "", "and openid.client_secret belong together: set both, or neither");
    }
    let is_near = |url: &Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let is_protected =
        Url::parse(&openid.issuer).is_ok_and(|url| url.scheme() == "https" || url.scheme() == "http" && is_near(&url));
    if !is_protected {
        let message = format!(
            "must be an address that begins with https:// (http:// only on this machine), got {:?}: who answers there \
             decides who people are",
            openid.issuer
        );
        problems.add("openid.issuer", "", message);
    }
    if openid.name.trim().is_empty() || openid.name.chars().count() > 40 {
        problems.add("openid.name", "", "must have 1 to 40 characters: the button says Continue with it");
    }
}

fn check_kafka_user(kafka: &Kafka, problems: &mut Problems) {
    let has_mechanism = kafka.sasl_mechanism != SaslMechanism::None;
    let settings = [
        ("kafka.sasl_mechanism", has_mechanism, "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, as the brokers want it"),
        ("kafka.user", !kafka.user.is_empty(), "who signs in"),
        ("kafka.password", !kafka.password.is_empty(), "the user's, best as AFFILITRACK_KAFKA_PASSWORD"),
    ];
    for (about, is_set, what) in settings {
        match (kafka.security_protocol.has_user(), is_set) {
            (true, false) => {
                let message = format!("must be set, because kafka.security_protocol signs a user in: {what}");
                problems.add(about, "", message);
            }
            (false, true) => {
                let message =
                    "would not be used: set kafka.security_protocol to sasl_ssl (or sasl_plaintext), or leave it empty";
                problems.add(about, "", message);
            }
            (true, true) | (false, false) => {}
        }
    }
    // Neither is repeated: a password may stand in the wrong place.
    for (about, text) in [("kafka.user", kafka.user.as_str()), ("kafka.password", kafka.password.expose())] {
        if text.contains(char::is_control) {
            problems.add(about, "", "must be one line without control characters");
        }
    }
}

fn check_kafka_files(kafka: &Kafka, problems: &mut Problems) {
    let files: [(&str, &str, Check); 3] = [
        ("kafka.tls_ca_file", &kafka.tls_ca_file, tls::check_authorities),
        ("kafka.tls_certificate_file", &kafka.tls_certificate_file, tls::check_certificates),
        ("kafka.tls_key_file", &kafka.tls_key_file, tls::check_key),
    ];
    for (about, file, check) in files {
        if !kafka.security_protocol.is_encrypted() && !file.is_empty() {
            let message = "would not be used: set kafka.security_protocol to ssl or sasl_ssl, or leave it empty";
            problems.add(about, "", message);
        } else {
            check_file(about, file, check, problems);
        }
    }
    let about = match (kafka.tls_certificate_file.is_empty(), kafka.tls_key_file.is_empty()) {
        (false, true) => "kafka.tls_key_file",
        (true, false) => "kafka.tls_certificate_file",
        (true, true) | (false, false) => return,
    };
    problems.add(about, "", "must be set too: a certificate and its key belong together");
}

fn check_postgres(settings: &Postgres, problems: &mut Problems) {
    let mode = postgres::sslmode(settings.url.expose());
    // What it says is not repeated: the address holds a password, and may be cut at a wrong place.
    match (mode, settings.tls) {
        (None | Some("disable"), PostgresTls::Url | PostgresTls::Off)
        | (None, PostgresTls::Require | PostgresTls::VerifyCa | PostgresTls::VerifyFull)
        | (Some("prefer"), _)
        | (
            Some("require"),
            PostgresTls::Url | PostgresTls::Require | PostgresTls::VerifyCa | PostgresTls::VerifyFull,
        ) => {}
        (Some("disable"), PostgresTls::Require | PostgresTls::VerifyCa | PostgresTls::VerifyFull) => {
            problems.add("postgres.tls", "", "contradicts sslmode=disable in postgres.url: take one of them away");
        }
        (Some("require"), PostgresTls::Off) => {
            problems.add("postgres.tls", "", "contradicts sslmode=require in postgres.url: take one of them away");
        }
        (Some(_), _) => {
            let message =
                "sslmode must be disable, prefer or require; in place of verify-ca and verify-full set postgres.tls";
            problems.add("postgres.url", "", message);
        }
    }
    if settings.url.expose().contains("sslrootcert=") {
        problems.add("postgres.url", "", "must not hold sslrootcert: set postgres.tls_ca_file to that file instead");
    }
    let about = "postgres.tls_ca_file";
    match (settings.tls, settings.tls_ca_file.is_empty()) {
        (PostgresTls::VerifyCa, true) => {
            let message = "must be set with postgres.tls = \"verify-ca\": otherwise every certificate in the world that is sold would do";
            problems.add(about, "", message);
        }
        (PostgresTls::Url | PostgresTls::Off | PostgresTls::Require, false) => {
            problems.add(
                about,
                "",
                "would not be used: set postgres.tls to verify-full (or verify-ca), or leave it empty",
            );
        }
        (PostgresTls::VerifyCa | PostgresTls::VerifyFull, _) | (_, true) => {
            check_file(about, &settings.tls_ca_file, tls::check_authorities, problems);
        }
    }
}

fn check_warehouse(config: &Config, problems: &mut Problems) {
    let warehouse = &config.warehouse;
    let about = "warehouse.tls_ca_file";
    if warehouse.is_encrypted() {
        check_file(about, &warehouse.tls_ca_file, tls::check_authorities, problems);
    } else if !warehouse.tls_ca_file.is_empty() {
        problems.add(about, "", "would not be used: warehouse.url must begin with https://, or leave it empty");
    }
    if let Some(url) = &warehouse.url
        && (!url.username().is_empty() || url.password().is_some())
    {
        problems.add(
            "warehouse.url",
            "",
            "must not hold a user or password: set warehouse.user and warehouse.password",
        );
    }
}

type Check = fn(&Path) -> Result<(), TlsError>;

fn check_file(about: &str, file: &str, check: Check, problems: &mut Problems) {
    if !file.is_empty()
        && let Err(error) = check(Path::new(file))
    {
        problems.add(about, "", error.to_string());
    }
}

/// What is allowed but probably not meant.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let (kafka, postgres) = (&config.kafka, &config.postgres);
    if kafka.security_protocol == KafkaProtocol::SaslPlaintext && kafka.sasl_mechanism == SaslMechanism::Plain {
        warnings.push(
            "kafka.security_protocol = \"sasl_plaintext\" with kafka.sasl_mechanism = \"PLAIN\" sends the password readable for everybody on the way: use sasl_ssl"
                .to_owned(),
        );
    }
    let believes_anyone = match postgres.tls {
        PostgresTls::Url => matches!(postgres::sslmode(postgres.url.expose()), Some("prefer" | "require")),
        PostgresTls::Require => true,
        PostgresTls::Off | PostgresTls::VerifyCa | PostgresTls::VerifyFull => false,
    };
    if believes_anyone {
        warnings.push(
            "the connection to Postgres is encrypted, but whoever answers is believed: set postgres.tls = \"verify-full\", and postgres.tls_ca_file to the certificate of its authority"
                .to_owned(),
        );
    }
    warnings
}
