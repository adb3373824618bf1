//! One running instance in a temporary folder, and the calls that tests make.

use corpus::client::{Http, JsonApi, Reply};
use corpus::product::{Product, StartOptions};
use corpus::sign::Provider;
use hyper::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Signing secret of the vendors that tests connect.
pub const SECRET: &str = "whsec_it_secret";

/// Where the release binary is; tests of the whole product need it built.
pub fn binary() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/affilitrack");
    assert!(
        path.is_file(),
        "{} is missing: run `bash scripts/build-release.sh affilitrack loadtest` first (make test does)",
        path.display()
    );
    path
}

/// A running product.
pub struct Instance {
    pub product: Product,
    pub folder: TempDir,
    pub http: Http,
    options: StartOptions,
}

/// A connected vendor.
pub struct Vendor {
    pub slug: String,
    pub endpoint_url: String,
    pub api: JsonApi,
}

impl Instance {
    /// Starts in a new folder.
    pub async fn start() -> Instance {
        Instance::start_with(&[]).await
    }

    /// Starts in a new folder with more environment variables.
    pub async fn start_with(environment: &[(&str, &str)]) -> Instance {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        Instance::start_at(folder, data_dir, environment).await
    }

    /// Starts on a data folder that is given as it is, relative or not.
    pub async fn start_at(folder: TempDir, data_dir: PathBuf, environment: &[(&str, &str)]) -> Instance {
        let options = StartOptions {
            binary: binary(),
            command: "run",
            data_dir,
            port: 0,
            log_file: folder.path().join("output.log"),
            environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let product = Product::start(&options).await.unwrap();
        Instance { product, folder, http: Http::default(), options }
    }

    /// Where its data is.
    pub fn data_dir(&self) -> PathBuf {
        self.options.data_dir.clone()
    }

    /// Ends it with SIGKILL and starts it again on the same data.
    pub async fn kill_and_restart(&mut self) {
        self.product.kill().await.unwrap();
        self.start_again().await;
    }

    /// Environment variables of the next start, in the place of those before.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.options.environment = environment;
    }

    /// Starts it on the same data after it was ended.
    pub async fn start_again(&mut self) {
        self.product = Product::start(&self.options).await.unwrap();
    }

    /// Connects a vendor in test mode, all its history known, with the decisions.
    pub async fn vendor(&self, slug: &str, decisions: Value) -> Vendor {
        let socket = self.product.socket();
        let connect =
            json!({"vendor": slug, "provider": "stripe", "secret": SECRET, "complete_history": true, "mode": "test"});
        let connected = socket.post("/v1/connect", &connect).await.unwrap();
        if decisions.as_array().is_some_and(|list| !list.is_empty()) {
            socket.post("/v1/decide", &json!({"vendor": slug, "decisions": decisions})).await.unwrap();
        }
        let key = socket.post("/v1/api-keys", &json!({"vendor": slug, "mode": "test", "name": "it"})).await.unwrap();
        let api = JsonApi::new(self.http.clone(), self.product.url(), key["key"].as_str().unwrap());
        let vendor =
            Vendor { slug: slug.to_owned(), endpoint_url: connected["endpoint_url"].as_str().unwrap().to_owned(), api };
        vendor.settle().await;
        vendor
    }

    /// Delivers a body as the provider would, signed now.
    pub async fn deliver(&self, vendor: &Vendor, body: &str) -> Reply {
        let signature = Provider::Stripe.sign(SECRET, seconds_now(), body.as_bytes());
        self.post(&vendor.endpoint_url, &[("Stripe-Signature", &signature)], body.to_owned()).await
    }

    /// Posts to a URL.
    pub async fn post(&self, url: &str, headers: &[(&str, &str)], body: String) -> Reply {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.http.send(Method::POST, url, &headers, body.into()).await.unwrap()
    }

    /// Gets a URL.
    pub async fn get(&self, url: &str) -> Reply {
        self.http.send(Method::GET, url, &[], Default::default()).await.unwrap()
    }

    /// Runs a command of the binary on this instance's data.
    pub async fn command(&self, arguments: &[&str]) -> (bool, String) {
        let output = tokio::process::Command::new(binary())
            .args(arguments)
            .env("DATA_DIR", self.data_dir())
            .output()
            .await
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }
}

impl Vendor {
    /// Waits until all that was sent can be read.
    pub async fn settle(&self) {
        for _ in 0..600 {
            let status = self.api.get(&["status"], &[]).await.unwrap();
            if status["settled"] == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} did not settle within 12 s: {}", self.slug, self.api.get(&["status"], &[]).await.unwrap());
    }

    /// How a delivery was read.
    pub async fn delivery(&self, id: &str) -> Value {
        self.settle().await;
        self.api.get(&["deliveries", id], &[]).await.unwrap()
    }
}

/// Unix seconds.
#[expect(clippy::disallowed_methods, reason = "signatures are made now")]
pub fn seconds_now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A one-time sale of 49.00 that counts; members can be replaced.
pub fn session(id: &str, change: Value) -> Value {
    let mut object = json!({
        "id": format!("cs_test_{id}"), "object": "checkout.session", "mode": "payment", "payment_status": "paid", "status": "complete",
        "created": 1_760_000_000, "currency": "usd", "amount_subtotal": 4_900, "amount_total": 4_900, "invoice": null, "subscription": null,
        "total_details": {"amount_discount": 0, "amount_tax": 0, "amount_shipping": 0}, "payment_intent": format!("pi_{id}"),
        "discounts": [{"coupon": "MAYA_20", "promotion_code": "promo_maya"}], "client_reference_id": null, "metadata": {},
        "customer_details": {"email": "somebody@example.com", "name": "Some Body"},
    });
    for (name, value) in change.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    event(id, "checkout.session.completed", object)
}

/// An event around an object.
pub fn event(id: &str, kind: &str, object: Value) -> Value {
    json!({"id": format!("evt_{id}"), "object": "event", "api_version": "2025-09-30.clover", "created": 1_760_000_005, "livemode": false,
        "type": kind, "data": {"object": object}})
}

/// One affiliate with one code.
pub fn maya() -> Value {
    json!([
        {"decide": "affiliate", "key": "aff_maya", "name": "Maya"},
        {"decide": "map", "provider": "stripe", "code": "MAYA20", "promotion_code_id": "promo_maya", "coupon_id": "MAYA_20", "affiliate": "aff_maya"},
    ])
}
