//! Signing in with an OpenID provider (Google, or the operator's own): the authorization code flow of OpenID Connect
//! Core 3.1, with a state, a nonce and PKCE (RFC 7636).
//!
//! What a sign-in needs until its answer comes is in a cookie of the browser that began it, so any process can finish it.

mod client;
mod keys;
mod token;

use crate::config::{Config, OpenId};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::Client;
use domain::ids::Timestamp;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use store::control::{Identity, MailAddress};
use store::secrets::{FillRandom, SecretText};
use subtle::ConstantTimeEq;
use url::Url;

/// The issuer that vouches only for addresses it hosts itself.
const GOOGLE: &str = "https://accounts.google.com";
/// Where the provider sends people back to; it has to be registered there.
pub const CALLBACK: &str = "/sign-in/openid/callback";
const SECRET_BYTES: usize = 32;

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum OpenIdError {
    /// The answer does not belong to a sign-in that this browser began, or it is too old.
    #[error("the answer belongs to no sign-in that this browser began")]
    NotBegun,
    /// The person, or the provider, said no.
    #[error("the provider, or the person there, said no")]
    Denied,
    /// The provider could not be asked, or its answer cannot be used.
    #[error("{0}")]
    Provider(String),
    /// What the provider signed is not what it must be.
    #[error("the ID token is not valid: {0}")]
    Token(String),
}

/// A sign-in that was begun.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// What it keeps until it comes back.
    pub kept: SecretText,
}

/// One provider, as it is configured.
pub struct Provider {
    settings: OpenId,
    callback: String,
    client: Client,
    random: Arc<FillRandom>,
}

/// The three secrets of one sign-in.
struct Kept<'a> {
    state: &'a str,
    nonce: &'a str,
    verifier: &'a str,
}

impl<'a> Kept<'a> {
    fn parse(kept: &'a str) -> Option<Kept<'a>> {
        let mut parts = kept.split('.');
        let (state, nonce, verifier) = (parts.next()?, parts.next()?, parts.next()?);
        let is_whole = parts.next().is_none() && [state, nonce, verifier].iter().all(|part| part.len() >= 43);
        is_whole.then_some(Kept { state, nonce, verifier })
    }
}

impl Provider {
    /// The configured one; none when there is none.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(config: &Config, public_url: &str, random: Arc<FillRandom>) -> anyhow::Result<Option<Provider>> {
        let settings = config.openid.clone();
        if settings.client_id.is_empty() {
            return Ok(None);
        }
        let client = Client::new(settings.issuer.clone())?;
        Ok(Some(Provider { callback: format!("{public_url}{CALLBACK}"), client, settings, random }))
    }

    /// What the button calls it.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    /// When the provider does not say where its parts are.
    pub async fn begin(&self, now: Timestamp) -> Result<Begun, OpenIdError> {
        let about = self.client.about(now).await?;
        let [state, nonce, verifier] = [self.secret()?, self.secret()?, self.secret()?];
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let mut url = Url::parse(&about.authorization_endpoint)
            .map_err(|error| OpenIdError::Provider(format!("its authorization endpoint is no URL: {error}")))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.callback)
            .append_pair("scope", "openid email")
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(Begun { url: url.into(), kept: SecretText::new(format!("{state}.{nonce}.{verifier}")) })
    }

    fn secret(&self) -> Result<String, OpenIdError> {
        let mut bytes = [0; SECRET_BYTES];
        (self.random)(&mut bytes).map_err(|error| OpenIdError::Provider(format!("no random numbers: {error}")))?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Who came back. `kept` is what the browser kept, `state` and `code` are what the provider sent it back with.
    ///
    /// # Errors
    /// [`OpenIdError`]; nobody is signed in by any of them.
    pub async fn finish(&self, kept: &str, state: &str, code: &str, now: Timestamp) -> Result<Identity, OpenIdError> {
        let kept = Kept::parse(kept).ok_or(OpenIdError::NotBegun)?;
        if code.is_empty() {
            return Err(OpenIdError::Denied);
        }
        if !bool::from(kept.state.as_bytes().ct_eq(state.as_bytes())) {
            return Err(OpenIdError::NotBegun);
        }
        let about = self.client.about(now).await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.callback.as_str()),
            ("client_id", self.settings.client_id.as_str()),
            ("client_secret", self.settings.client_secret.expose()),
            ("code_verifier", kept.verifier),
        ];
        let id_token = self.client.exchange(&about, &form).await?;
        let expected = token::Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: kept.nonce,
            now,
        };
        let key = self.client.key(&about, &id_token, now).await?;
        let claims = token::verify(&id_token, &key, &expected)?;
        identity(claims, &self.settings.issuer)
    }
}

/// Google verifies an address once, and hosts only some of them: of the others it cannot know whose they are today
/// (developers.google.com/identity, "Authenticate with a backend server": `email_verified` and `hd`).
fn identity(claims: token::Claims, issuer: &str) -> Result<Identity, OpenIdError> {
    let is_hosted = claims.hd.is_some() || claims.email.to_ascii_lowercase().ends_with("@gmail.com");
    let email = MailAddress::parse(&claims.email)
        .map_err(|message| OpenIdError::Token(format!("its address cannot get mail: {message}")))?;
    Ok(Identity {
        issuer: issuer.to_owned(),
        subject: claims.sub,
        email,
        is_vouched: claims.email_verified && (issuer != GOOGLE || is_hosted),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(email: &str, email_verified: bool, hd: Option<&str>) -> token::Claims {
        token::Claims { sub: "1".into(), email: email.into(), email_verified, hd: hd.map(str::to_owned) }
    }

    #[test]
    fn google_vouches_for_what_it_hosts() {
        let cases = [
            ("maya@gmail.com", true, None, true),
            ("maya@gmail.com", false, None, false),
            ("maya@firm.example", true, Some("firm.example"), true),
            ("maya@firm.example", true, None, false),
            ("maya@notgmail.com", true, None, false),
        ];
        for (email, verified, hd, vouched) in cases {
            assert_eq!(
                identity(claims(email, verified, hd), GOOGLE).unwrap().is_vouched,
                vouched,
                "{email} {verified} {hd:?}"
            );
        }
        let own = "https://login.firm.example";
        assert!(identity(claims("maya@firm.example", true, None), own).unwrap().is_vouched);
        assert!(!identity(claims("maya@firm.example", false, None), own).unwrap().is_vouched);
        assert!(identity(claims("not an address", true, None), own).is_err());
    }

    #[test]
    fn what_a_browser_kept_is_whole_or_nothing() {
        let part = "a".repeat(43);
        assert!(Kept::parse(&format!("{part}.{part}.{part}")).is_some());
        for broken in [String::new(), "..".into(), format!("{part}.{part}"), format!("{part}.{part}.{part}.{part}")] {
            assert!(Kept::parse(&broken).is_none(), "{broken}");
        }
    }
}
