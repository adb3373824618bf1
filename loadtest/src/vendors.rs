//! Sets up the vendors of a plan on a running product, over its local socket.

use crate::plan::Plan;
use anyhow::{Context, Result};
use corpus::client::{Http, JsonApi, LocalSocket};
use serde_json::{Value, json};
use std::path::Path;

/// How many decisions are sent in one request.
const DECISIONS_PER_REQUEST: usize = 200;

/// A running product.
#[derive(Debug, Clone)]
pub struct Target {
    /// Kept connections.
    pub http: Http,
    /// Its local control socket.
    pub socket: LocalSocket,
    /// Where it listens.
    pub url: String,
}

impl Target {
    /// The product that runs on a data folder.
    pub async fn of_data_dir(data_dir: &Path) -> Result<Target> {
        let path = data_dir.join("affilitrack.sock");
        let socket = LocalSocket::new(&path);
        let status = socket.get("/v1/status").await.with_context(|| {
            format!("nothing answers on {}: start the product with DATA_DIR={}", path.display(), data_dir.display())
        })?;
        let url = text(&status, "url")?.trim_end_matches('/').to_owned();
        Ok(Target { http: Http::default(), socket, url })
    }
}

/// A vendor that can be sent to and read.
#[derive(Debug, Clone)]
pub struct LiveVendor {
    /// Its handle.
    pub slug: String,
    /// Where its events go.
    pub endpoint_url: String,
    /// With what they are signed.
    pub secret: String,
    /// Reads it (live mode).
    pub api: JsonApi,
}

/// Opens a live Stripe connection, older than every event, for a vendor: its signing secret, and the answer.
pub(crate) async fn connect(socket: &LocalSocket, slug: &str) -> Result<(String, Value)> {
    let secret = format!("whsec_load_{slug}");
    let request = json!({
        "vendor": slug, "provider": "stripe", "secret": secret, "key": null, "api_base": null, "account": null,
        "complete_history": true, "mode": "live"
    });
    let answer = socket.post("/v1/connect", &request).await?;
    Ok((secret, answer))
}

/// Connects a vendor, tells its decisions, and makes a key to read it.
pub async fn open_vendor(target: &Target, slug: &str, before: &[Value]) -> Result<LiveVendor> {
    let (secret, answer) = connect(&target.socket, slug).await?;
    let address = text(&answer, "endpoint_url")?;
    // The public URL may be another than the one it listens on; only its path counts here.
    let path = url::Url::parse(&address).map(|url| url.path().to_owned()).unwrap_or(address);
    for decisions in before.chunks(DECISIONS_PER_REQUEST) {
        target.socket.post("/v1/decide", &json!({"vendor": slug, "decisions": decisions})).await?;
    }
    let request = json!({"vendor": slug, "mode": "live", "name": "loadtest"});
    let key = text(&target.socket.post("/v1/api-keys", &request).await?, "key")?;
    let api = JsonApi::new(target.http.clone(), &target.url, &key);
    Ok(LiveVendor { slug: slug.to_owned(), endpoint_url: format!("{}{path}", target.url), secret, api })
}

/// Opens every vendor of a plan.
pub async fn open_vendors(target: &Target, plan: &Plan) -> Result<Vec<LiveVendor>> {
    let mut live = Vec::with_capacity(plan.vendors.len());
    for vendor in &plan.vendors {
        live.push(open_vendor(target, &vendor.slug, &vendor.before).await?);
    }
    Ok(live)
}

/// A member of an answer that must be text.
pub(crate) fn text(answer: &Value, member: &str) -> Result<String> {
    let text = answer.get(member).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("the answer has no `{member}`: {answer}"))
}
