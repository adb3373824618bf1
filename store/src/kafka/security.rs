//! How the brokers are spoken to: encrypted or not, and who signs in. The client library does both with OpenSSL of the
//! system; here it is only told what it needs, and what it reports is put into words.

use crate::tls::Authorities;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use std::fmt;
use std::path::{Path, PathBuf};

/// Protection of the connections to the brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaSecurity {
    /// Encryption; none = plain connections.
    pub tls: Option<KafkaTls>,
    /// Who signs in; none = nobody.
    pub user: Option<KafkaUser>,
}

/// Encryption. The brokers' certificates are always checked, with their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaTls {
    /// Whose signature under a broker's certificate is believed.
    pub authorities: Authorities,
    /// What is shown to brokers that ask for a certificate.
    pub certificate: Option<ClientCertificate>,
}

/// A certificate of ours. Both are PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and what connects it with its authority.
    pub certificate: PathBuf,
    /// Its key, without a passphrase.
    pub key: PathBuf,
}

/// Who signs in.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaUser {
    /// How.
    pub mechanism: KafkaMechanism,
    /// Name.
    pub name: String,
    /// Password; secret.
    pub password: String,
}

impl fmt::Debug for KafkaUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KafkaUser { mechanism, name, password: _ } = self;
        f.debug_struct("KafkaUser").field("mechanism", mechanism).field("name", name).finish_non_exhaustive()
    }
}

/// How a user signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaMechanism {
    /// The password is sent: only over encrypted connections.
    Plain,
    /// The password is proven without being sent.
    ScramSha256,
    /// The same with the longer hash.
    ScramSha512,
}

impl KafkaMechanism {
    fn name(self) -> &'static str {
        match self {
            KafkaMechanism::Plain => "PLAIN",
            KafkaMechanism::ScramSha256 => "SCRAM-SHA-256",
            KafkaMechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl KafkaSecurity {
    /// Tells it to a client.
    pub(super) fn apply(&self, config: &mut ClientConfig) {
        let protocol = match (&self.tls, &self.user) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            let text = |path: &Path| path.display().to_string();
            // The library's defaults, said aloud: nobody shall find them changed.
            config
                .set("enable.ssl.certificate.verification", "true")
                .set("ssl.endpoint.identification.algorithm", "https");
            if let Authorities::File(path) = &tls.authorities {
                config.set("ssl.ca.location", text(path));
            }
            if let Some(own) = &tls.certificate {
                config.set("ssl.certificate.location", text(&own.certificate)).set("ssl.key.location", text(&own.key));
            }
        }
        if let Some(user) = &self.user {
            config
                .set("sasl.mechanism", user.mechanism.name())
                .set("sasl.username", &user.name)
                .set("sasl.password", &user.password);
        }
    }
}

/// What a client's error means, if it is that the brokers do not let us in or are not whom we believe. `said` is the
/// library's own description, which names the broker and never the password.
pub(super) fn refusal(code: RDKafkaErrorCode, said: &str) -> Option<String> {
    match code {
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => Some(format!(
            "the sign-in was refused: look at kafka.user, kafka.password and kafka.sasl_mechanism ({said})"
        )),
        // With TLS 1.3 a broker says only after the handshake that it wants a certificate or another one.
        RDKafkaErrorCode::BrokerTransportFailure if !said.contains("SSL alert") => None,
        RDKafkaErrorCode::SSL | RDKafkaErrorCode::BrokerTransportFailure => Some(format!(
            "no encrypted connection came about: look at kafka.tls_ca_file (if it is empty, at the authorities of the system) and \
             kafka.tls_certificate_file ({said})"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_pass_by_itself_is_told_from_what_does() {
        let said = |code, text| refusal(code, text).unwrap_or_default();
        assert!(said(RDKafkaErrorCode::Authentication, "x").contains("kafka.password"));
        assert!(said(RDKafkaErrorCode::SSL, "x").contains("kafka.tls_ca_file"));
        let alert = "Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42";
        assert!(said(RDKafkaErrorCode::BrokerTransportFailure, alert).contains("kafka.tls_certificate_file"));
        for code in [RDKafkaErrorCode::BrokerTransportFailure, RDKafkaErrorCode::AllBrokersDown] {
            assert_eq!(refusal(code, "Connect to ipv4#127.0.0.1:1 failed: Connection refused"), None);
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let user = KafkaUser { mechanism: KafkaMechanism::Plain, name: "me".to_owned(), password: "geheim".to_owned() };
        let security = KafkaSecurity { tls: None, user: Some(user) };
        let mut config = ClientConfig::new();
        security.apply(&mut config);
        assert_eq!(config.get("sasl.password"), Some("geheim"));
        assert!(!format!("{security:?}{config:?}").contains("geheim"));
    }
}
