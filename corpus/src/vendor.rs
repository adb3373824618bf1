//! A vendor of its own for each event and each scenario: set up with the catalogue over the
//! local socket, sent to over HTTP, read back over the JSON API.

use crate::client::{ClientError, Http, JsonApi, LocalSocket};
use crate::clock::unix_seconds;
use crate::folder::{CatalogueEntry, EventCase};
use crate::provider::ProviderServer;
use crate::sign::Provider;
use hyper::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long a vendor may take to settle.
const SETTLE_LIMIT: Duration = Duration::from_secs(180);
/// How often a delivery is sent before it counts as refused.
const MAX_ATTEMPTS: u32 = 8;
/// At most this many pages of purchases are read.
const MAX_PAGES: usize = 100;

/// What a run needs to reach the product and to play the provider.
#[derive(Debug)]
pub struct Surroundings {
    /// Kept connections.
    pub http: Http,
    /// The local control socket.
    pub socket: LocalSocket,
    /// Where the product listens.
    pub url: String,
    /// The served providers.
    pub providers: ProviderServer,
    /// The mappings.
    pub catalogue: Vec<CatalogueEntry>,
}

/// One vendor of the run.
#[derive(Debug)]
pub struct Vendor {
    endpoints: BTreeMap<(Provider, bool), Endpoint>,
    keys: BTreeMap<bool, JsonApi>,
}

#[derive(Debug)]
struct Endpoint {
    url: String,
    secret: String,
}

/// Why a vendor's run could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum VendorError {
    /// The product did not answer, or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An answer lacks something.
    #[error("{request}: the answer has no `{member}`: {answer}")]
    Incomplete {
        /// What was asked.
        request: String,
        /// What is missing.
        member: String,
        /// The answer.
        answer: String,
    },
    /// A delivery was not accepted.
    #[error("delivery of {file}: expected 2xx, got {status}: {body}")]
    NotAccepted {
        /// Event file.
        file: String,
        /// HTTP status.
        status: u16,
        /// Beginning of the answer.
        body: String,
    },
    /// Something is still under way.
    #[error("not settled after {} seconds; the last status was {status}", SETTLE_LIMIT.as_secs())]
    NotSettled {
        /// The last status.
        status: String,
    },
}

impl Vendor {
    /// Creates the vendor `slug` with a connection per provider and mode of `events`, the
    /// catalogue, and an API key per mode.
    pub async fn open(around: &Surroundings, slug: &str, events: &[&EventCase]) -> Result<Vendor, VendorError> {
        let uses: BTreeSet<(Provider, bool)> = events.iter().map(|event| (event.provider, event.livemode)).collect();
        let mut vendor = Vendor { endpoints: BTreeMap::new(), keys: BTreeMap::new() };
        for (provider, livemode) in uses {
            let endpoint = connect(around, slug, provider, livemode).await?;
            vendor.endpoints.insert((provider, livemode), endpoint);
        }
        let decisions = decisions_of(&around.catalogue);
        if !decisions.is_empty() {
            around.socket.post("/v1/decide", &json!({"vendor": slug, "decisions": decisions})).await?;
        }
        let modes: BTreeSet<bool> = events.iter().map(|event| event.livemode).collect();
        for livemode in modes {
            let request = json!({"vendor": slug, "mode": mode_name(livemode), "name": "corpus"});
            let answer = around.socket.post("/v1/api-keys", &request).await?;
            let key = text_of("POST /v1/api-keys", &answer, "key")?;
            vendor.keys.insert(livemode, JsonApi::new(around.http.clone(), &around.url, &key));
        }
        Ok(vendor)
    }

    /// Signs and delivers the exact bytes; an answer of 5xx or 429 and a broken connection
    /// are tried again, as a provider does.
    pub async fn deliver(&self, around: &Surroundings, event: &EventCase) -> Result<(), VendorError> {
        let Some(endpoint) = self.endpoints.get(&(event.provider, event.livemode)) else { return Ok(()) };
        let mut attempt = 1;
        loop {
            let mut headers = event.headers.clone();
            let signature = event.provider.sign(&endpoint.secret, unix_seconds(), &event.body);
            headers.push((event.provider.signature_header().to_owned(), signature));
            let reply = around.http.send(Method::POST, &endpoint.url, &headers, event.body.clone()).await;
            match reply {
                Ok(reply) if (200..300).contains(&reply.status) => return Ok(()),
                Ok(reply) if attempt == MAX_ATTEMPTS || (reply.status < 500 && reply.status != 429) => {
                    let body = reply.excerpt();
                    return Err(VendorError::NotAccepted { file: event.file.clone(), status: reply.status, body });
                }
                Err(error) if attempt == MAX_ATTEMPTS => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
            attempt += 1;
        }
    }

    /// Waits until everything sent is folded, looked up and readable.
    pub async fn settle(&self) -> Result<(), VendorError> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        let mut pause = Duration::from_millis(10);
        for key in self.keys.values() {
            loop {
                let status = key.get(&["status"], &[]).await?;
                if status.get("settled").and_then(Value::as_bool) == Some(true) {
                    break;
                }
                if Instant::now() >= deadline {
                    return Err(VendorError::NotSettled { status: status.to_string() });
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 3 / 2).min(Duration::from_millis(400));
            }
        }
        Ok(())
    }

    /// How a delivery was read; `None` if the product does not know it.
    pub async fn delivery(&self, event: &EventCase) -> Result<Option<Value>, VendorError> {
        match self.keys.get(&event.livemode) {
            Some(key) => Ok(key.find(&["deliveries", &event.lookup_key]).await?),
            None => Ok(None),
        }
    }

    /// One purchase, in whichever mode it is.
    pub async fn purchase(&self, business_key: &str) -> Result<Option<Value>, VendorError> {
        for key in self.keys.values() {
            if let Some(purchase) = key.find(&["purchases", business_key]).await? {
                return Ok(Some(purchase));
            }
        }
        Ok(None)
    }

    /// Every purchase of the vendor.
    pub async fn purchases(&self) -> Result<Vec<Value>, VendorError> {
        let mut purchases = Vec::new();
        for key in self.keys.values() {
            let mut cursor: Option<String> = None;
            for _ in 0..MAX_PAGES {
                let query: Vec<(&str, &str)> = cursor.iter().map(|cursor| ("cursor", cursor.as_str())).collect();
                let page = key.get(&["purchases"], &query).await?;
                let items = page.get("purchases").and_then(Value::as_array);
                purchases.extend(items.ok_or_else(|| incomplete("GET /api/v1/purchases", "purchases", &page))?.clone());
                cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(purchases)
    }

    /// Number of redemptions in the vendor's totals, over all currencies and modes.
    pub async fn redemptions(&self) -> Result<i64, VendorError> {
        let mut sum = 0;
        for key in self.keys.values() {
            let answer = key.get(&["totals"], &[]).await?;
            let rows = answer.get("rows").and_then(Value::as_array);
            for row in rows.ok_or_else(|| incomplete("GET /api/v1/totals", "rows", &answer))? {
                let totals = row.get("totals").and_then(Value::as_array).into_iter().flatten();
                sum += totals.filter_map(|total| total.get("redemptions")?.as_i64()).sum::<i64>();
            }
        }
        Ok(sum)
    }
}

async fn connect(
    around: &Surroundings,
    slug: &str,
    provider: Provider,
    livemode: bool,
) -> Result<Endpoint, VendorError> {
    let (secret, key) = credentials(provider, slug, livemode);
    let request = json!({
        "vendor": slug,
        "provider": provider.name(),
        "secret": secret,
        "key": key,
        "api_base": around.providers.base(provider),
        "account": null,
        "complete_history": true,
        "mode": mode_name(livemode),
    });
    let answer = around.socket.post("/v1/connect", &request).await?;
    let address = text_of("POST /v1/connect", &answer, "endpoint_url")?;
    // The public URL may be another than the one the instance listens on; only its path counts here.
    let path = url::Url::parse(&address).map(|url| url.path().to_owned()).unwrap_or(address);
    Ok(Endpoint { url: format!("{}{path}", around.url), secret })
}

/// A signing secret and an API key in the provider's own form. They protect nothing: the
/// instance is temporary and its providers are served by the runner.
fn credentials(provider: Provider, slug: &str, livemode: bool) -> (String, String) {
    let mode = mode_name(livemode);
    match provider {
        Provider::Stripe => (format!("whsec_corpus_{mode}_{slug}"), format!("rk_{mode}_corpus{slug}")),
        Provider::Paddle => (format!("pdl_ntfset_corpus_{mode}_{slug}"), format!("pdl_sdbx_apikey_corpus{slug}")),
        Provider::LemonSqueezy => {
            let tail: String = slug.chars().rev().take(24).collect();
            (format!("corpus-{mode}-{tail}"), format!("ls_corpus_{slug}"))
        }
    }
}

fn mode_name(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}

fn decisions_of(catalogue: &[CatalogueEntry]) -> Vec<Value> {
    let affiliates: BTreeSet<&str> = catalogue.iter().filter_map(|entry| entry.affiliate.as_deref()).collect();
    let mut decisions: Vec<Value> =
        affiliates.into_iter().map(|key| json!({"decide": "affiliate", "key": key, "name": key})).collect();
    decisions.extend(catalogue.iter().map(|entry| {
        json!({
            "decide": "map",
            "provider": entry.provider,
            "code": entry.code,
            "promotion_code_id": entry.promotion_code_id,
            "coupon_id": entry.coupon_id,
            "referral_key": entry.referral_key,
            "affiliate": entry.affiliate,
            "valid_from": null,
            "valid_to": null,
        })
    }));
    decisions
}

fn text_of(request: &str, answer: &Value, member: &str) -> Result<String, VendorError> {
    let text = answer.get(member).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| incomplete(request, member, answer))
}

fn incomplete(request: &str, member: &str, answer: &Value) -> VendorError {
    let answer = answer.to_string().chars().take(300).collect();
    VendorError::Incomplete { request: request.to_owned(), member: member.to_owned(), answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_the_length_their_provider_allows() {
        let (secret, _) = credentials(Provider::LemonSqueezy, &"x".repeat(90), false);
        assert!((6..=40).contains(&secret.len()), "{}", secret.len());
    }

    #[test]
    fn every_affiliate_is_created_once_and_before_its_mappings() {
        let entry = |affiliate: Option<&str>, code: &str| CatalogueEntry {
            affiliate: affiliate.map(str::to_owned),
            code: Some(code.to_owned()),
            ..CatalogueEntry::default()
        };
        let decisions = decisions_of(&[entry(Some("aff_a"), "A"), entry(None, "HOUSE"), entry(Some("aff_a"), "B")]);
        let kinds: Vec<&str> = decisions.iter().filter_map(|decision| decision["decide"].as_str()).collect();
        assert_eq!(kinds, ["affiliate", "map", "map", "map"]);
        assert!(decisions[2]["affiliate"].is_null());
    }
}
