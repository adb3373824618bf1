//! What a failed handshake means for the operator, and which setting to look at.

use rustls::{CertificateError, Error as TlsFailure};

/// The causes of an error, outermost first, without the error itself.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(error.source(), |source| source.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// What to do about a handshake that failed somewhere below `error`; none if no handshake did. `ca_file` is the
/// setting that names the authorities.
pub(crate) fn handshake_advice(error: &(dyn std::error::Error + 'static), ca_file: &str) -> Option<String> {
    let failure = std::iter::successors(Some(error), |cause| cause.source()).find_map(tls_failure)?;
    Some(match failure {
        TlsFailure::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!(
                "the server's certificate is not signed by an authority of {ca_file} (of the system, if that is empty)"
            )
        }
        TlsFailure::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the server's certificate is for another name: connect by a name that stands in it".to_owned(),
        TlsFailure::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "the server's certificate is not valid today: renew it, or set this machine's clock".to_owned(),
        TlsFailure::InvalidMessage(_) => "what answers speaks no TLS".to_owned(),
        _ => format!("no encrypted connection came about: look at the server's certificate and at {ca_file}"),
    })
}

/// An error of the TLS library, also inside I/O errors, which do not name what they hold as their source.
fn tls_failure<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a TlsFailure> {
    let held = |error: &'a (dyn std::error::Error + 'static)| {
        let held = error.downcast_ref::<std::io::Error>()?.get_ref()?;
        Some(held as &'a (dyn std::error::Error + 'static))
    };
    std::iter::successors(Some(error), |error| held(*error)).find_map(|error| error.downcast_ref())
}
