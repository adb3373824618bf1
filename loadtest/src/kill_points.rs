//! The kill test at named points: a build of the product that can end itself between two steps is
//! told where, deliveries come in until it does, it is started again, and every figure must be right.

use crate::own_folder::OwnFolder;
use crate::plan::{Plan, PlanOptions, Size};
use crate::reconcile::{SETTLE_LIMIT, conclude};
use crate::sender::{SendOptions, Sender};
use crate::vendors::{Target, open_vendors};
use crate::verify::settle;
use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use corpus::client::{Http, JsonApi};
use corpus::clock::unix_seconds;
use corpus::folder::Answer;
use corpus::product::{Product, ProductError, StartOptions};
use corpus::provider::ProviderServer;
use corpus::shuffle::SplitMix;
use corpus::sign::Provider;
use hyper::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Every point, and at which of its first passes it may be used: more are not certain to come.
pub const POINTS: [(&str, u64); 12] = [
    ("edge_before_append", 100),
    ("log_before_commit", 40),
    ("edge_before_answer", 100),
    ("fold_before_commit", 10),
    ("fold_after_commit", 10),
    ("sink_before_insert", 4),
    ("sink_after_insert", 4),
    ("sink_after_delivered", 4),
    ("relay_after_append", 1),
    ("answer_before_append", 1),
    ("deadline_before_append", 1),
    ("shutdown_before_close", 1),
];

/// How long a point may take to be reached.
const REACHED_WITHIN: Duration = Duration::from_secs(120);
/// How long what was interrupted may take to come right.
const RIGHT_WITHIN: Duration = Duration::from_secs(180);
/// Vendors of each run.
const VENDORS: usize = 2;
/// Deliveries per second: slow enough for several batches.
const RATE: u64 = 200;
const SIGKILL: i32 = 9;
/// Signs what comes beside a plan.
pub(crate) const SECRET: &str = "whsec_load_points";

/// What to kill, and where.
#[derive(Debug, Clone)]
pub struct PointOptions {
    /// A binary with the points compiled in.
    pub binary: PathBuf,
    /// Plans and passes follow from it.
    pub seed: u64,
    /// About so many deliveries for each point.
    pub deliveries: usize,
    /// Only this point.
    pub only: Option<String>,
    /// Poisonous events per thousand.
    pub poison_per_thousand: u64,
    /// Deliveries under way at the same time.
    pub connections: usize,
    /// Keep the data folder and say where it is.
    pub keep: bool,
}

/// Runs each point once, on one data folder. True if nothing differs.
pub async fn kill_at_points(options: &PointOptions, out: &mut (dyn Write + Send)) -> Result<bool> {
    let folder = OwnFolder::new("points")?;
    let start = folder.start_options(&options.binary)?;
    let result = run(options, &start, out).await;
    folder.end(options.keep, &result, out)?;
    result
}

async fn run(options: &PointOptions, start: &StartOptions, out: &mut (dyn Write + Send)) -> Result<bool> {
    let chosen = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let points: Vec<(&str, u64)> = POINTS.into_iter().filter(|(name, _)| chosen(name)).collect();
    ensure!(!points.is_empty(), "there is no such point; there are: {}", POINTS.map(|(name, _)| name).join(", "));
    let mut random = SplitMix::new(options.seed ^ 0x9e37);
    let mut product = Product::start(start).await?;
    let mut run = Run { options, start, side: Side::open(&product).await? };
    let mut right = true;
    for (number, (point, passes)) in points.into_iter().enumerate() {
        let pass = 1 + random.below(passes);
        let plan = plan_with_decisions(options, options.seed + 1_000 * (number as u64 + 1));
        let began = Instant::now();
        let (again, passed) = run.at_point(product, (point, pass), Arc::new(plan), out).await?;
        product = again;
        right &= passed;
        let words = if passed { "0 cents difference" } else { "NOT RIGHT" };
        writeln!(out, "{point}:{pass}: killed, started again, {words} ({} ms)", began.elapsed().as_millis())?;
    }
    ensure!(product.stop().await?, "the product did not end within a minute of SIGTERM");
    Ok(right)
}

/// A plan in which every vendor decides something while deliveries come in.
fn plan_with_decisions(options: &PointOptions, first_seed: u64) -> Plan {
    let draw = |seed| {
        Plan::generate(PlanOptions {
            seed,
            vendors: VENDORS,
            size: Size::Deliveries(options.deliveries),
            poison_per_thousand: options.poison_per_thousand,
        })
    };
    let decides = |plan: &Plan| plan.vendors.iter().all(|vendor| !vendor.during.is_empty());
    (first_seed..first_seed + 1_000).map(draw).find(decides).unwrap_or_else(|| draw(first_seed))
}

struct Run<'a> {
    options: &'a PointOptions,
    start: &'a StartOptions,
    side: Side,
}

impl Run<'_> {
    /// One point: armed, reached, started again, compared. Returns the running product.
    async fn at_point(
        &mut self,
        mut product: Product,
        (point, pass): (&str, u64),
        plan: Arc<Plan>,
        out: &mut (dyn Write + Send),
    ) -> Result<(Product, bool)> {
        let target = Target { http: Http::default(), socket: product.socket(), url: product.url().to_owned() };
        let live = Arc::new(open_vendors(&target, &plan).await?);
        // With something left to fold, the next start could reach its point before it answers.
        settle(&live, SETTLE_LIMIT).await?;
        product.kill().await?;
        let environment = vec![("AFFILITRACK_TEST_CRASH_AT".to_owned(), format!("{point}:{pass}"))];
        product = Product::start(&StartOptions { environment, ..self.start.clone() }).await?;
        let send = SendOptions { connections: self.options.connections, rate: Some(RATE) };
        let sender = Sender::new(target, Arc::clone(&plan), Arc::clone(&live), send);
        let sending = tokio::spawn(Arc::clone(&sender).run());
        let waits_for = self.side.deliver(point).await?;
        if point == "shutdown_before_close" {
            while sender.done() < plan.steps.len() as u64 / 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            product.ask_to_stop().await?;
        }
        wait_until_killed(&mut product, point, pass).await?;
        product = Product::start(self.start).await?;
        tokio::time::timeout(SETTLE_LIMIT, sending).await???;
        settle(&live, SETTLE_LIMIT).await?;
        if let Some((path, member, expected)) = waits_for {
            self.side.wait_for(&path, member, &expected).await?;
        }
        let passed = conclude(&plan, &live, &sender.record(), out).await?;
        Ok((product, passed))
    }
}

/// Waits until the product has ended itself with SIGKILL; anything else is an error.
async fn wait_until_killed(product: &mut Product, point: &str, pass: u64) -> Result<()> {
    let deadline = Instant::now() + REACHED_WITHIN;
    loop {
        match product.check_running() {
            Err(ProductError::Ended { status, .. }) if status.signal() == Some(SIGKILL) => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(()) if Instant::now() >= deadline => {
                bail!(
                    "{point}:{pass} was not reached within {} s: is the binary built with crash points?",
                    REACHED_WITHIN.as_secs()
                )
            }
            Ok(()) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// A vendor beside the plans', for what they do not hold: a question to the provider, and a
/// refund whose sale never comes.
struct Side {
    http: Http,
    endpoint_url: String,
    api: JsonApi,
    /// Answers until it is dropped.
    _provider: ProviderServer,
}

/// Path in the JSON API, member of the answer, and its value in the end.
type Awaited = (Vec<String>, &'static str, Value);

impl Side {
    async fn open(product: &Product) -> Result<Side> {
        let whole = whole_invoice("promo_side");
        let answer = Answer { status: 200, body: Bytes::from(whole.to_string()) };
        let question = "GET /v1/invoices/in_side?expand[]=discounts".to_owned();
        let provider = ProviderServer::start(&BTreeMap::from([(question, answer)])).await?;
        let socket = product.socket();
        let connect = json!({
            "vendor": "load-side", "provider": "stripe", "secret": SECRET, "key": "rk_live_side",
            "api_base": provider.base(Provider::Stripe), "complete_history": true, "mode": "live"
        });
        let endpoint_url = socket.post("/v1/connect", &connect).await?["endpoint_url"].clone();
        let decisions = json!([
            {"decide": "affiliate", "key": "aff_side", "name": "Side"},
            {"decide": "map", "provider": "stripe", "code": "SIDE", "promotion_code_id": "promo_side", "affiliate": "aff_side"},
        ]);
        socket.post("/v1/decide", &json!({"vendor": "load-side", "decisions": decisions})).await?;
        let key =
            socket.post("/v1/api-keys", &json!({"vendor": "load-side", "mode": "live", "name": "points"})).await?;
        let http = Http::default();
        let api = JsonApi::new(http.clone(), product.url(), key["key"].as_str().unwrap_or_default());
        Ok(Side { http, endpoint_url: endpoint_url.as_str().unwrap_or_default().to_owned(), api, _provider: provider })
    }

    /// Delivers what makes the product pass a point that the plan does not reach, and says what must come of it.
    async fn deliver(&self, point: &str) -> Result<Option<Awaited>> {
        let (event, awaited) = match point {
            "answer_before_append" => (
                event("invoice.paid", &invoice(json!(["di_side"]))),
                (vec!["purchases".to_owned(), "inv:in_side".to_owned()], "commission_minor", json!(784)),
            ),
            "deadline_before_append" => {
                let object = json!({
                    "id": "re_side", "object": "refund", "amount": 100, "charge": "ch_side", "created": unix_seconds(),
                    "currency": "usd", "metadata": {}, "payment_intent": "pi_side", "status": "succeeded"
                });
                let event = event("refund.created", &object);
                let id = event["id"].as_str().unwrap_or_default().to_owned();
                (event, (vec!["deliveries".to_owned(), id], "outcome", json!("refused")))
            }
            _ => return Ok(None),
        };
        let body = Bytes::from(event.to_string());
        let headers = [("Stripe-Signature".to_owned(), Provider::Stripe.sign(SECRET, unix_seconds(), &body))];
        let reply = self.http.send(Method::POST, &self.endpoint_url, &headers, body).await?;
        ensure!(reply.status < 300, "the event beside the plan was answered {}", reply.status);
        Ok(Some(awaited))
    }

    async fn wait_for(&self, path: &[String], member: &str, expected: &Value) -> Result<()> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let deadline = Instant::now() + RIGHT_WITHIN;
        loop {
            let answer = self.api.find(&path).await?.unwrap_or_default();
            if answer[member] == *expected {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{path:?}: {member} should be {expected}: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// An event around an object.
pub(crate) fn event(kind: &str, object: &Value) -> Value {
    let id = format!("evt_{}", object["id"].as_str().unwrap_or_default());
    json!({
        "id": id, "object": "event", "api_version": "2025-09-30.clover", "created": unix_seconds(), "livemode": true,
        "type": kind, "data": {"object": object}
    })
}

/// The sale as the provider tells it when it is asked.
pub(crate) fn whole_invoice(promotion_code: &str) -> Value {
    invoice(json!([{
        "id": "di_side", "object": "discount", "promotion_code": promotion_code,
        "source": {"type": "coupon", "coupon": "SIDE"}, "start": unix_seconds()
    }]))
}

/// A sale of 49.00 with 9.80 off.
pub(crate) fn invoice(discounts: Value) -> Value {
    let now = unix_seconds();
    json!({
        "id": "in_side", "object": "invoice", "amount_due": 3_920, "amount_paid": 3_920, "billing_reason": "manual", "created": now,
        "currency": "usd", "customer": "cus_side", "discounts": discounts, "livemode": true, "metadata": {}, "status": "paid",
        "status_transitions": {"paid_at": now}, "subtotal": 4_900, "total": 3_920,
        "total_discount_amounts": [{"amount": 980, "discount": "di_side"}], "total_taxes": []
    })
}
