//! Signatures of webhook requests, over the raw bytes as they came.
//!
//! | provider | header | signed text |
//! |---|---|---|
//! | Stripe | `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>]` | `t` `.` body |
//! | Paddle | `Paddle-Signature: ts=<seconds>;h1=<hex>[;h1=<hex>]` | `ts` `:` body |
//! | Lemon Squeezy | `X-Signature: <hex>` | body |
//!
//! All are HMAC-SHA256 in lower-case hex. Other schemes in a header (`v0`, `h2`) are ignored: a
//! right code under another name must not pass. Any signature that matches any active secret is
//! enough, so that a secret can be changed without losing a delivery.

use domain::ids::Provider;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// How far a Paddle timestamp may lie in the future, in seconds. Paddle checks the age only; a
/// bound keeps a signed request from being valid for ever.
const PADDLE_FUTURE_SECONDS: i64 = 300;

/// Length of an HMAC-SHA256 in hex.
const HEX_LENGTH: usize = 64;

/// A signing secret, kept as the keyed state that verifies, not as text.
#[derive(Clone)]
pub struct Secret {
    /// None for a blank secret, which verifies nothing.
    keyed: Option<Hmac<Sha256>>,
}

impl Secret {
    /// A secret as it was saved. It is not trimmed here: see [`normalise_secret`].
    pub fn new(text: &str) -> Secret {
        let blank = text.trim().is_empty();
        Secret { keyed: (!blank).then(|| keyed(text.as_bytes())) }
    }

    /// The signature of `prefix` followed by `body`, in hex. None for a blank secret.
    fn sign(&self, prefix: &[&[u8]], body: &[u8]) -> Option<[u8; HEX_LENGTH]> {
        let mut mac = self.keyed.clone()?;
        for part in prefix {
            mac.update(part);
        }
        mac.update(body);
        let mut signature = [0u8; HEX_LENGTH];
        hex::encode_to_slice(mac.finalize().into_bytes(), &mut signature).expect("32 bytes are 64 digits");
        Some(signature)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

pub(crate) fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no header, or an empty one.
    #[error("the signature header is missing")]
    Missing,
    /// The body has no bytes; no provider sends such a request.
    #[error("the body is empty")]
    EmptyBody,
    /// The header is not of the provider's form.
    #[error("the signature header is not understood: {0}")]
    Malformed(&'static str),
    /// No signature of the header matches any active secret.
    #[error("no signature matches a secret of this endpoint")]
    Mismatch,
    /// The signature is right, the request too old.
    #[error("signed {age_seconds} s ago, more than {tolerance_seconds} s")]
    TooOld {
        /// Age at the time of receipt.
        age_seconds: i64,
        /// What is allowed.
        tolerance_seconds: i64,
    },
    /// The signature is right, its time lies too far ahead of our clock.
    #[error("signed {ahead_seconds} s in the future: check the clock of this machine")]
    InFuture {
        /// How far ahead.
        ahead_seconds: i64,
    },
}

/// Why a secret cannot be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing secret is blank: copy it from the provider's webhook page")]
pub struct BlankSecret;

/// The form in which a pasted secret is saved: without the spaces and line breaks around it.
pub fn normalise_secret(text: &str) -> Result<String, BlankSecret> {
    let trimmed = text.trim();
    if trimmed.is_empty() { Err(BlankSecret) } else { Ok(trimmed.to_owned()) }
}

/// The header that carries a provider's signature.
pub fn header_name(provider: Provider) -> &'static str {
    match provider {
        Provider::Stripe => "stripe-signature",
        Provider::Paddle => "paddle-signature",
        Provider::LemonSqueezy => "x-signature",
    }
}

/// Checks a request. `now` is the receiver's clock when the request came, in unix seconds;
/// `tolerance` is the greatest accepted age in seconds (Lemon Squeezy signs no time and has none).
pub fn verify(
    provider: Provider,
    header: Option<&str>,
    body: &[u8],
    secrets: &[Secret],
    now: i64,
    tolerance: i64,
) -> Result<(), SignatureError> {
    let header = header.filter(|header| !header.is_empty()).ok_or(SignatureError::Missing)?;
    if body.is_empty() {
        return Err(SignatureError::EmptyBody);
    }
    match provider {
        Provider::Stripe => verify_timed(&STRIPE, header, body, secrets, now, tolerance),
        Provider::Paddle => verify_timed(&PADDLE, header, body, secrets, now, tolerance),
        Provider::LemonSqueezy => match any_matches(secrets, &[], body, std::iter::once(header)) {
            true => Ok(()),
            false => Err(SignatureError::Mismatch),
        },
    }
}

/// A scheme that signs the time together with the body.
struct TimedScheme {
    separator: char,
    time_name: &'static str,
    signature_name: &'static str,
    joint: &'static [u8],
    /// None: as far as the tolerance.
    future_seconds: Option<i64>,
}

const STRIPE: TimedScheme =
    TimedScheme { separator: ',', time_name: "t", signature_name: "v1", joint: b".", future_seconds: None };
const PADDLE: TimedScheme = TimedScheme {
    separator: ';',
    time_name: "ts",
    signature_name: "h1",
    joint: b":",
    future_seconds: Some(PADDLE_FUTURE_SECONDS),
};

impl TimedScheme {
    /// The values of one name in the header, in order.
    fn values<'h>(&self, header: &'h str, name: &'static str) -> impl Iterator<Item = &'h str> + Clone {
        let pairs = header.split(self.separator).filter_map(|item| item.split_once('='));
        pairs.filter(move |(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The one timestamp, as written and as a number.
    fn time<'h>(&self, header: &'h str) -> Result<(&'h str, i64), SignatureError> {
        let mut times = self.values(header, self.time_name);
        let text = times.next().ok_or(SignatureError::Malformed("it has no timestamp"))?;
        if times.next().is_some() {
            return Err(SignatureError::Malformed("it has two timestamps"));
        }
        let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<i64>() {
            Ok(seconds) if digits_only => Ok((text, seconds)),
            _ => Err(SignatureError::Malformed("its timestamp is not a number")),
        }
    }
}

fn verify_timed(
    scheme: &TimedScheme,
    header: &str,
    body: &[u8],
    secrets: &[Secret],
    now: i64,
    tolerance: i64,
) -> Result<(), SignatureError> {
    let (time_text, time) = scheme.time(header)?;
    let prefix = [time_text.as_bytes(), scheme.joint];
    if !any_matches(secrets, &prefix, body, scheme.values(header, scheme.signature_name)) {
        return Err(SignatureError::Mismatch);
    }
    let age_seconds = now.saturating_sub(time);
    if age_seconds > tolerance {
        return Err(SignatureError::TooOld { age_seconds, tolerance_seconds: tolerance });
    }
    let ahead_seconds = time.saturating_sub(now);
    if ahead_seconds > scheme.future_seconds.unwrap_or(tolerance) {
        return Err(SignatureError::InFuture { ahead_seconds });
    }
    Ok(())
}

/// Whether any candidate is the signature under any secret. Every pair is compared, in constant
/// time, so that the time taken says nothing about which one matched.
fn any_matches<'h>(
    secrets: &[Secret],
    prefix: &[&[u8]],
    body: &[u8],
    candidates: impl Iterator<Item = &'h str> + Clone,
) -> bool {
    let mut matched = Choice::from(0);
    for secret in secrets {
        let Some(expected) = secret.sign(prefix, body) else { continue };
        for candidate in candidates.clone().filter(|candidate| candidate.len() == HEX_LENGTH) {
            matched |= candidate.as_bytes().ct_eq(&expected);
        }
    }
    matched.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }

    #[derive(serde::Deserialize)]
    struct Vector {
        name: String,
        provider: Provider,
        header: Option<String>,
        secrets: Vec<String>,
        body: String,
        now: i64,
        tolerance: Option<i64>,
        expected: String,
    }

    #[test]
    fn every_vector_has_its_expected_verdict() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpus/signatures.json");
        let text = std::fs::read_to_string(path).expect("tests/corpus/signatures.json is part of the repository");
        let vectors: Vectors = serde_json::from_str(&text).expect("vectors have one form");
        assert_eq!(vectors.vectors.len(), 50);
        for vector in vectors.vectors {
            let secrets: Vec<Secret> = vector.secrets.iter().map(|text| Secret::new(text)).collect();
            let tolerance = vector.tolerance.unwrap_or(0);
            let body = vector.body.as_bytes();
            let verdict = verify(vector.provider, vector.header.as_deref(), body, &secrets, vector.now, tolerance);
            assert_eq!(verdict.is_ok(), vector.expected == "valid", "{}: {verdict:?}", vector.name);
        }
    }

    fn signed(text: &str, secret: &str) -> String {
        let signature = Secret::new(secret).sign(&[], text.as_bytes()).expect("not blank");
        String::from_utf8(signature.to_vec()).expect("hex")
    }

    #[test]
    fn the_reason_is_named() {
        let secrets = [Secret::new("whsec_a")];
        let header = format!("t=1000,v1={}", signed("1000.{}", "whsec_a"));
        let at = |now| verify(Provider::Stripe, Some(&header), b"{}", &secrets, now, 300);
        assert_eq!(at(1300), Ok(()));
        assert_eq!(at(1301), Err(SignatureError::TooOld { age_seconds: 301, tolerance_seconds: 300 }));
        assert_eq!(at(700), Ok(()));
        assert_eq!(at(699), Err(SignatureError::InFuture { ahead_seconds: 301 }));
        let none = verify(Provider::Stripe, Some(&header), b"{}", &[], 1000, 300);
        assert_eq!(none, Err(SignatureError::Mismatch));
        let huge = verify(Provider::Stripe, Some("t=99999999999999999999,v1=00"), b"{}", &secrets, 1000, 300);
        assert_eq!(huge, Err(SignatureError::Malformed("its timestamp is not a number")));
    }

    #[test]
    fn a_paddle_clock_may_run_ahead_by_more_than_the_age_limit() {
        let secrets = [Secret::new("pdl_a")];
        let header = format!("ts=1000;h1={}", signed("1000:{}", "pdl_a"));
        let at = |now| verify(Provider::Paddle, Some(&header), b"{}", &secrets, now, 5);
        assert_eq!((at(1005), at(700)), (Ok(()), Ok(())));
        assert!(at(1006).is_err() && at(699).is_err());
    }

    #[test]
    fn secrets_are_trimmed_when_saved_and_never_shown() {
        assert_eq!(normalise_secret(" whsec_a\n"), Ok("whsec_a".to_owned()));
        assert_eq!(normalise_secret(" \t\n"), Err(BlankSecret));
        assert_eq!(format!("{:?}", Secret::new("whsec_a")), "Secret(..)");
    }
}
