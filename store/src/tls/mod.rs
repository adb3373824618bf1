//! Encrypted connections to the outside parts that are reached by rustls: Postgres and the warehouse. Kafka's client
//! library brings OpenSSL of the system instead and is only told the files.

mod verifiers;
mod words;

#[cfg(test)]
pub(crate) mod test_authority;

pub(crate) use words::{chain, handshake_advice};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use verifiers::{AnyName, Anyone};

/// Whose signature under a server's certificate is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Authorities {
    /// Those that the system believes, or those of the file that `SSL_CERT_FILE` names.
    #[default]
    System,
    /// The certificates in a PEM file, and nobody else. Read once, when the connections are set up.
    File(PathBuf),
}

/// How much of a server's certificate is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checks {
    /// A believed authority signed it for the name under which the server was asked.
    Full(Authorities),
    /// A believed authority signed it, for whatever name.
    Authority(Authorities),
    /// Whoever answers is believed.
    Nothing,
}

/// Why files of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not there, not readable, or not PEM.
    #[error("{path} cannot be read ({reason}): name a PEM file that this user may read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// Readable, but with nothing in it.
    #[error("{path} holds no {what}: it must be a PEM file with -----BEGIN {what}-----")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A certificate that no server's certificate can be checked with.
    #[error("{path} holds a certificate that cannot be used: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: rustls::Error,
    },
    /// The system believes nobody.
    #[error("the system has no certificates of authorities ({0}): install the package ca-certificates, or name a file")]
    NoSystem(String),
    /// The library refused what it was given.
    #[error("encrypted connections cannot be set up: {0}")]
    Setup(String),
}

/// Refuses a file that is no PEM file with certificates of authorities.
pub fn check_authorities(path: &Path) -> Result<(), TlsError> {
    roots_of_file(path).map(|_| ())
}

/// Refuses a file that is no PEM file with certificates.
pub fn check_certificates(path: &Path) -> Result<(), TlsError> {
    certificates(path).map(|_| ())
}

/// Refuses a file that is no PEM file with a private key, or whose key wants a passphrase.
pub fn check_key(path: &Path) -> Result<(), TlsError> {
    match PrivateKeyDer::from_pem_file(path) {
        Ok(_) => Ok(()),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => {
            Err(TlsError::Empty { path: path.to_owned(), what: "PRIVATE KEY" })
        }
        Err(error) => Err(unreadable(path, error)),
    }
}

/// What a client needs that checks so much.
pub(crate) fn client_config(checks: &Checks) -> Result<ClientConfig, TlsError> {
    let setup = |error: &dyn ToString| TlsError::Setup(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(&error))?;
    let verifier = |authorities: &Authorities, provider: &Arc<CryptoProvider>| {
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots(authorities)?), Arc::clone(provider))
            .build()
            .map_err(|error| setup(&error))
    };
    let config = match checks {
        Checks::Full(authorities) => builder.with_webpki_verifier(verifier(authorities, &provider)?),
        Checks::Authority(authorities) => {
            let any_name = AnyName(verifier(authorities, &provider)?);
            builder.dangerous().with_custom_certificate_verifier(Arc::new(any_name))
        }
        Checks::Nothing => {
            let anyone = Anyone(provider.signature_verification_algorithms);
            builder.dangerous().with_custom_certificate_verifier(Arc::new(anyone))
        }
    };
    Ok(config.with_no_client_auth())
}

fn roots(authorities: &Authorities) -> Result<RootCertStore, TlsError> {
    match authorities {
        Authorities::File(path) => roots_of_file(path),
        Authorities::System => {
            let found = rustls_native_certs::load_native_certs();
            let mut roots = RootCertStore::empty();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let reason = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
                return Err(TlsError::NoSystem(reason));
            }
            Ok(roots)
        }
    }
}

/// Every certificate of the file must be of use: one that is left out in silence is missed when it is needed.
fn roots_of_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|reason| TlsError::Unusable { path: path.to_owned(), reason })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(TlsError::Empty { path: path.to_owned(), what: "CERTIFICATE" })
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn unreadable(path: &Path, error: rustls::pki_types::pem::Error) -> TlsError {
    let reason = match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        // Its own words may repeat what stands in the file, which may be a key.
        _ => "it is no PEM file".to_owned(),
    };
    TlsError::Unreadable { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::test_authority::TestAuthority;
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named_with_what_is_wrong() {
        let authority = TestAuthority::new();
        let issued = authority.issue("DNS:localhost");
        check_authorities(&authority.file()).unwrap();
        check_certificates(&issued.certificate).unwrap();
        check_key(&issued.key).unwrap();
        let words = check_authorities(Path::new("/nowhere/ca.pem")).unwrap_err().to_string();
        assert!(words.starts_with("/nowhere/ca.pem cannot be read (No such file"), "{words}");
        let words = check_authorities(&issued.key).unwrap_err().to_string();
        assert!(words.contains("holds no CERTIFICATE"), "{words}");
        let words = check_key(&issued.certificate).unwrap_err().to_string();
        assert!(words.contains("holds no PRIVATE KEY"), "{words}");
        let broken = authority.folder().join("broken.pem");
        std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\ngeheim!\n-----END CERTIFICATE-----\n").unwrap();
        let words = check_authorities(&broken).unwrap_err().to_string();
        assert!(words.contains("broken.pem") && !words.contains("geheim"), "{words}");
    }
}
