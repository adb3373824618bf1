//! Whether an ID token is what it must be (OpenID Connect Core 3.1.3.7).

use super::OpenIdError;
use domain::ids::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use subtle::ConstantTimeEq;

/// So much may two clocks differ, in seconds.
const LEEWAY_S: i64 = 60;
/// A token that was made longer ago than this answers no question of now, in seconds.
const OLDEST_S: i64 = 15 * 60;
/// Signatures that are understood: what Google uses, and the usual other one.
pub(super) const ALGORITHMS: [Algorithm; 2] = [Algorithm::RS256, Algorithm::ES256];

/// What a token must say.
pub(super) struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    pub now: Timestamp,
}

/// What is used of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub sub: String,
    pub email: String,
    pub email_verified: bool,
    /// The organisation of Google that hosts the address.
    pub hd: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    sub: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    email_verified: bool,
    hd: Option<String>,
    nonce: Option<String>,
    exp: i64,
    iat: i64,
    /// Whom it was made for, where it is meant for several.
    azp: Option<String>,
}

/// Checks signature and claims.
pub(super) fn verify(token: &str, key: &DecodingKey, expected: &Expected<'_>) -> Result<Claims, OpenIdError> {
    let wrong = |message: String| OpenIdError::Token(message);
    let header = jsonwebtoken::decode_header(token).map_err(|error| wrong(error.to_string()))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(wrong(format!("it is signed with {:?}", header.alg)));
    }
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // The library would ask the system for the time.
    validation.validate_exp = false;
    let said: Said = jsonwebtoken::decode(token, key, &validation).map_err(|error| wrong(error.to_string()))?.claims;
    let now = expected.now.0 / 1_000;
    if said.exp < now - LEEWAY_S {
        return Err(wrong("it has expired".to_owned()));
    }
    if said.iat > now + LEEWAY_S || said.iat < now - OLDEST_S {
        return Err(wrong("it was not made now".to_owned()));
    }
    let nonce = said.nonce.unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(wrong("it answers another sign-in".to_owned()));
    }
    if said.azp.is_some_and(|party| party != expected.client_id) {
        return Err(wrong("it was made for another client".to_owned()));
    }
    if said.sub.is_empty() || said.sub.len() > 255 || said.email.is_empty() {
        return Err(wrong("it does not say who it is about".to_owned()));
    }
    Ok(Claims { sub: said.sub, email: said.email, email_verified: said.email_verified, hd: said.hd })
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::{Value, json};

    const NOW: i64 = 1_790_000_000;

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Signer {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pair = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
            Signer(EcdsaKeyPair::from_pkcs8(algorithm, pair.as_ref(), &SystemRandom::new()).unwrap())
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", text(header), text(claims));
            let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
        }

        fn key(&self) -> DecodingKey {
            DecodingKey::from_ec_der(self.0.public_key().as_ref())
        }
    }

    fn good() -> Value {
        json!({
            "iss": "https://id.example", "aud": "us", "sub": "7", "email": "maya@example.com", "email_verified": true,
            "nonce": "n", "iat": NOW - 5, "exp": NOW + 600,
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        claims[name] = value;
        claims
    }

    fn check(signer: &Signer, key: &DecodingKey, header: &Value, claims: &Value) -> Result<Claims, String> {
        keys::install();
        let expected =
            Expected { issuer: "https://id.example", client_id: "us", nonce: "n", now: Timestamp(NOW * 1_000) };
        verify(&signer.sign(header, claims), key, &expected).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_is_believed_only_when_all_of_it_fits() {
        let signer = Signer::new();
        let header = json!({ "alg": "ES256" });
        let claims = check(&signer, &signer.key(), &header, &good()).unwrap();
        assert_eq!(
            (claims.sub.as_str(), claims.email.as_str(), claims.email_verified),
            ("7", "maya@example.com", true)
        );
        let wrong = [
            with("iss", json!("https://evil.example")),
            with("iss", json!(["https://evil.example"])),
            with("iss", json!(7)),
            with("aud", json!("them")),
            with("aud", Value::Null),
            with("azp", json!("them")),
            with("nonce", json!("m")),
            with("nonce", Value::Null),
            with("exp", json!(NOW - 61)),
            with("exp", json!("soon")),
            with("iat", json!(NOW + 61)),
            with("iat", json!(NOW - 901)),
            with("sub", json!("")),
            with("email", json!("")),
        ];
        for claims in wrong {
            assert!(check(&signer, &signer.key(), &header, &claims).is_err(), "{claims}");
        }
    }

    #[test]
    fn a_token_of_another_key_or_of_none_is_worth_nothing() {
        let (signer, other) = (Signer::new(), Signer::new());
        assert!(check(&signer, &other.key(), &json!({ "alg": "ES256" }), &good()).is_err());
        for algorithm in ["none", "HS256", "ES384", "RS256"] {
            assert!(check(&signer, &signer.key(), &json!({ "alg": algorithm }), &good()).is_err(), "{algorithm}");
        }
    }
}
