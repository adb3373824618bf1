//! What is asked of an OpenID provider: where its parts are (OpenID Connect Discovery 4), its keys, and what a code
//! stands for.

use super::OpenIdError;
use super::keys;
use domain::ids::Timestamp;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long an answer about the provider itself is good, in milliseconds.
const KEPT_MS: i64 = 60 * 60 * 1_000;
/// A key that nobody knows makes us ask for the keys again, at most this often, in milliseconds.
const ASK_AGAIN_MS: i64 = 60 * 1_000;

/// Where a provider's parts are.
#[derive(Debug, Deserialize)]
pub(super) struct About {
    issuer: String,
    pub authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

/// Asks one provider.
pub(super) struct Client {
    issuer: String,
    http: reqwest::Client,
    about: Mutex<Option<(Timestamp, Arc<About>)>>,
    keys: Mutex<Option<(Timestamp, Arc<JwkSet>)>>,
}

impl Client {
    pub fn new(issuer: String) -> anyhow::Result<Client> {
        keys::install();
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Client { issuer, http, about: Mutex::default(), keys: Mutex::default() })
    }

    /// Where its parts are. One request an hour; the lock makes many who sign in at once ask once.
    pub async fn about(&self, now: Timestamp) -> Result<Arc<About>, OpenIdError> {
        let mut kept = self.about.lock().await;
        if let Some((_, about)) = kept.as_ref().filter(|(at, _)| now.0 - at.0 < KEPT_MS) {
            return Ok(about.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let about: About = read("its configuration", self.http.get(&url)).await?;
        if about.issuer != self.issuer {
            return Err(OpenIdError::Provider(format!(
                "it calls itself {}, and openid.issuer is {}: write exactly what it says",
                about.issuer, self.issuer
            )));
        }
        let about = Arc::new(about);
        *kept = Some((now, about.clone()));
        Ok(about)
    }

    /// What a code stands for.
    pub async fn exchange(&self, about: &About, form: &[(&str, &str)]) -> Result<String, OpenIdError> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self
            .http
            .post(&about.token_endpoint)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body);
        Ok(read::<Tokens>("what the code stands for", request).await?.id_token)
    }

    /// The key that a token names.
    pub async fn key(&self, about: &About, token: &str, now: Timestamp) -> Result<DecodingKey, OpenIdError> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| OpenIdError::Token(error.to_string()))?;
        let find = |keys: &JwkSet| {
            let signs =
                |key: &&Jwk| key.common.public_key_use.as_ref().is_none_or(|use_| *use_ == PublicKeyUse::Signature);
            let named = |key: &&Jwk| header.kid.is_none() || key.common.key_id == header.kid;
            let found = keys.keys.iter().filter(signs).find(named);
            found.map(DecodingKey::from_jwk)
        };
        let keys = self.keys(about, now, KEPT_MS).await?;
        let found = match find(&keys) {
            Some(key) => Some(key),
            // The provider may have a new one.
            None => find(self.keys(about, now, ASK_AGAIN_MS).await?.as_ref()),
        };
        match found {
            Some(key) => key.map_err(|error| OpenIdError::Token(error.to_string())),
            None => Err(OpenIdError::Token("the provider publishes no such key".to_owned())),
        }
    }

    async fn keys(&self, about: &About, now: Timestamp, good_for_ms: i64) -> Result<Arc<JwkSet>, OpenIdError> {
        let mut kept = self.keys.lock().await;
        if let Some((_, keys)) = kept.as_ref().filter(|(at, _)| now.0 - at.0 < good_for_ms) {
            return Ok(keys.clone());
        }
        let keys: Arc<JwkSet> = Arc::new(read("its keys", self.http.get(&about.jwks_uri)).await?);
        *kept = Some((now, keys.clone()));
        Ok(keys)
    }
}

/// Sends a request and reads its answer. No message holds what was sent or answered: both have secrets.
async fn read<T: DeserializeOwned>(what: &str, request: reqwest::RequestBuilder) -> Result<T, OpenIdError> {
    let failed = |words: String| OpenIdError::Provider(format!("{what} could not be read: {words}"));
    let mut answer = request.send().await.map_err(|error| failed(error.without_url().to_string()))?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed(error.without_url().to_string()))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(failed(format!("it has more than {MAX_ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        return Err(failed(format!("HTTP {}{}", status.as_u16(), reason(&body))));
    }
    serde_json::from_slice(&body).map_err(|error| failed(format!("unexpected answer ({:?})", error.classify())))
}

/// The error's name, which RFC 6749 5.2 defines: `invalid_client` tells an operator what to look at.
fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let named =
        |refusal: &Refusal| refusal.error.len() < 64 && refusal.error.chars().all(|sign| sign.is_ascii_graphic());
    let refusal = serde_json::from_slice::<Refusal>(body).ok().filter(named);
    refusal.map(|refusal| format!(", {}", refusal.error)).unwrap_or_default()
}
