//! Stripe's interface: one request, its limits, and what a refusal means. Neither the key nor anything of a body ever stands
//! in an error.

use crate::lookups::{client, default_base, read_limited};
use domain::ids::Provider;
use reqwest::{Method, RequestBuilder, Response};
use schemas::provider::stripe::STRIPE_VERSION;
use serde::Deserialize;
use std::time::Duration;
use store::secrets::SecretText;

/// The largest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;
/// The largest refusal that is read.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// The longest name of a cause that is taken from a refusal.
const MAX_CAUSE_CHARACTERS: usize = 60;

/// Why Stripe did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StripeError {
    /// 401.
    #[error("Stripe does not know the key: it was deleted, has expired, or a part of it is missing")]
    Key,
    /// 403.
    #[error("the key may not do this")]
    Permission,
    /// Another refusal; trying again does not help.
    #[error("Stripe refused the request ({cause})")]
    Refused {
        /// Stripe's code or type of the error.
        cause: String,
        /// The parameter that it names.
        parameter: String,
    },
    /// 429, or another request with the same idempotency key is under way.
    #[error("Stripe asked us to slow down")]
    Limited {
        /// How long it wants us to wait, if it says so.
        after: Option<Duration>,
    },
    /// 5xx, or no answer at all.
    #[error("Stripe could not be reached ({0})")]
    Unreachable(String),
    /// Not what was expected.
    #[error("Stripe's answer could not be read ({0})")]
    Answer(String),
}

/// Asks Stripe with one key.
pub struct StripeInterface {
    client: reqwest::Client,
    base: String,
    key: SecretText,
}

impl StripeInterface {
    /// With a key. `base` is the address when it is not Stripe's own.
    pub fn new(client: reqwest::Client, base: Option<&str>, key: SecretText) -> StripeInterface {
        let base = base.unwrap_or(default_base(Provider::Stripe)).trim_end_matches('/').to_owned();
        StripeInterface { client, base, key }
    }

    /// The same over a client of its own, for a single occasion.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn once(timeout: Duration, base: Option<&str>, key: SecretText) -> Result<StripeInterface, StripeError> {
        let client = client(timeout).map_err(|error| StripeError::Unreachable(error.to_string()))?;
        Ok(StripeInterface::new(client, base, key))
    }

    /// Reads.
    ///
    /// # Errors
    /// What Stripe refused, or that it was not reached.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>, StripeError> {
        body(self.send(self.request(Method::GET, path)?).await?).await
    }

    /// Whether this may be read. The answer itself is not looked at.
    ///
    /// # Errors
    /// Everything but a missing permission.
    pub async fn may_get(&self, path: &str) -> Result<bool, StripeError> {
        match self.send(self.request(Method::GET, path)?).await {
            Ok(_) => Ok(true),
            Err(StripeError::Permission) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether this may be written: a request without what it needs is refused either way, but for another reason.
    ///
    /// # Errors
    /// That the key is unknown, or that Stripe was not reached.
    pub async fn may_post(&self, path: &str) -> Result<bool, StripeError> {
        match self.post(path, &[], None).await {
            Ok(_) | Err(StripeError::Refused { .. }) => Ok(true),
            Err(StripeError::Permission) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes. The same idempotency key again gives the first answer again.
    ///
    /// # Errors
    /// What Stripe refused, or that it was not reached.
    pub async fn post(
        &self,
        path: &str,
        form: &[(String, String)],
        idempotency_key: Option<&str>,
    ) -> Result<Vec<u8>, StripeError> {
        let mut request = self
            .request(Method::POST, path)?
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(form));
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        body(self.send(request).await?).await
    }

    /// Removes.
    ///
    /// # Errors
    /// What Stripe refused, or that it was not reached.
    pub async fn delete(&self, path: &str) -> Result<(), StripeError> {
        self.send(self.request(Method::DELETE, path)?).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, StripeError> {
        let url = url::Url::parse(&format!("{}{path}", self.base))
            .map_err(|_| StripeError::Unreachable("its address cannot be read".to_owned()))?;
        let request = self.client.request(method, url).bearer_auth(self.key.expose());
        Ok(request.header("stripe-version", STRIPE_VERSION))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, StripeError> {
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Err(match status.as_u16() {
            401 => StripeError::Key,
            403 => StripeError::Permission,
            409 | 429 => StripeError::Limited { after: after.map(Duration::from_secs) },
            500..=599 => StripeError::Unreachable(format!("it answered {}", status.as_u16())),
            // Redirects are not followed, so that the key never travels to another host.
            300..=399 => StripeError::Unreachable("it answered with another address".to_owned()),
            code => refused(code, response).await,
        })
    }
}

fn encoded(form: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

fn unreachable(error: &reqwest::Error) -> StripeError {
    // The error itself may name the whole address.
    let what = if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke off"
    };
    StripeError::Unreachable(what.to_owned())
}

async fn body(response: Response) -> Result<Vec<u8>, StripeError> {
    read_limited(response, MAX_ANSWER_BYTES)
        .await
        .map_err(|_| StripeError::Answer(format!("it broke off or has more than {} MiB", MAX_ANSWER_BYTES >> 20)))
}

#[derive(Deserialize)]
struct RefusalBody {
    error: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    param: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

async fn refused(status: u16, response: Response) -> StripeError {
    let body = read_limited(response, MAX_REFUSAL_BYTES).await.unwrap_or_default();
    let Ok(RefusalBody { error }) = serde_json::from_slice::<RefusalBody>(&body) else {
        return StripeError::Refused { cause: status.to_string(), parameter: String::new() };
    };
    // Stripe also says so with another status.
    if error.message.is_some_and(|message| message.contains("required permissions")) {
        return StripeError::Permission;
    }
    let cause = error.code.or(error.kind).filter(|cause| is_name(cause)).unwrap_or_else(|| status.to_string());
    StripeError::Refused { cause, parameter: error.param.filter(|name| is_name(name)).unwrap_or_default() }
}

/// A name of Stripe's own, not something that somebody typed.
fn is_name(text: &str) -> bool {
    text.len() <= MAX_CAUSE_CHARACTERS
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_[]".contains(&byte))
}
