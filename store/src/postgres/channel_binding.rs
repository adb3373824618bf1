//! Binds the password to the connection: `tls-server-end-point` of RFC 5929, which SCRAM-SHA-256-PLUS and
//! `channel_binding=require` of a URL want. Who sits in between with a certificate of his own cannot pass it on.

use sha2::{Digest, Sha256, Sha384, Sha512};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// 1.2.840.113549.1.1, followed by the algorithm: RSA.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// 1.2.840.10045.4, followed by the algorithm: ECDSA.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];

/// The certificate's hash, by the hash function of its signature, or SHA-256 in place of MD5 and SHA-1. None for
/// signatures that name no such function (Ed25519, RSA-PSS): then the connection is not bound.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_algorithm(certificate)?;
    let rsa = algorithm.strip_prefix(RSA);
    let ecdsa = algorithm.strip_prefix(ECDSA);
    match (rsa, ecdsa) {
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => Some(Sha256::digest(certificate).to_vec()),
        (Some([12]), _) | (_, Some([3, 3])) => Some(Sha384::digest(certificate).to_vec()),
        (Some([13]), _) | (_, Some([3, 4])) => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER, ... }, ... }`
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (parts, _) = element(certificate, SEQUENCE)?;
    let (_signed, rest) = element(parts, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (identifier, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    Some(identifier)
}

/// Content of the DER element at the beginning, if it is of that kind, and what comes after it.
fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // So many bytes of length; a certificate has no need of more than three.
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (found == kind).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::test_authority::TestAuthority;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    /// A certificate as far as it is looked at, with so long a first part.
    fn certificate(identifier: &[u8], signed_bytes: u16) -> Vec<u8> {
        let mut signed = vec![SEQUENCE, 0x82];
        signed.extend(signed_bytes.to_be_bytes());
        signed.extend(vec![7; usize::from(signed_bytes)]);
        let length = u8::try_from(identifier.len()).unwrap();
        let algorithm = [&[SEQUENCE, length + 2, OBJECT_IDENTIFIER, length], identifier].concat();
        let parts = [signed, algorithm].concat();
        let length = u16::try_from(parts.len()).unwrap().to_be_bytes();
        [vec![SEQUENCE, 0x82, length[0], length[1]], parts].concat()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (identifier, bytes) in [
            ([RSA, &[5]].concat(), Some(32)),
            ([RSA, &[11]].concat(), Some(32)),
            ([RSA, &[12]].concat(), Some(48)),
            ([RSA, &[13]].concat(), Some(64)),
            ([ECDSA, &[3, 2]].concat(), Some(32)),
            ([ECDSA, &[3, 3]].concat(), Some(48)),
            ([ECDSA, &[3, 4]].concat(), Some(64)),
            ([RSA, &[10]].concat(), None),
            (vec![0x2b, 0x65, 0x70], None),
        ] {
            let found = end_point(&certificate(&identifier, 300)).map(|hash| hash.len());
            assert_eq!(found, bytes, "{identifier:?}");
        }
    }

    #[test]
    fn a_real_certificate_is_understood_and_a_cut_one_is_not() {
        let authority = TestAuthority::new();
        let real = CertificateDer::from_pem_file(authority.file()).unwrap();
        assert_eq!(end_point(&real), Some(Sha256::digest(&real).to_vec()));
        for end in 0..real.len().min(100) {
            assert_eq!(end_point(&real[..end]), None);
        }
    }
}
