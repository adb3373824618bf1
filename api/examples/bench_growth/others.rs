//! Lines and purchases of many other vendors, made by the engine itself.

use axum::http::Request;
use bytes::Bytes;
use domain::ids::{Timestamp, VendorId};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::{Duration, Instant};

/// How many.
pub const VENDORS: u64 = 20_000;
/// Over so many spans of thirty days.
const SPANS: u64 = 12;
const SPAN_MS: i64 = 30 * 86_400_000;
/// Inserts of one span: each makes a part for every month it touches.
const INSERTS_PER_SPAN: u64 = 4;
/// Merges may take so long to come to rest.
const REST: Duration = Duration::from_secs(120);

/// Fills a database of the engine.
pub struct Others<'a> {
    /// The engine.
    pub engine: &'a engine::Engine,
    /// Which of its databases.
    pub database: &'a str,
    /// The vendor that they are not.
    pub not: VendorId,
    /// The end of the last span.
    pub now: Timestamp,
}

impl Others<'_> {
    /// About so many lines, and as many purchases: one sale each.
    pub async fn fill(&self, lines: u64) {
        let count = lines / (SPANS * INSERTS_PER_SPAN);
        for span in 0..SPANS {
            for insert in 0..INSERTS_PER_SPAN {
                let first = (span * INSERTS_PER_SPAN + insert) * count;
                let from = self.now.0 - SPAN_MS * (SPANS - span) as i64;
                self.run(&self.lines(first, count, from)).await;
                self.run(&self.purchases(first, count, from)).await;
            }
        }
    }

    fn lines(&self, first: u64, count: u64, from: i64) -> String {
        let (vendor, at) = (self.vendor(first), moment(first, from));
        format!(
            "INSERT INTO {}.ledger_lines (vendor_id, livemode, occurred_at, affiliate_id, src_off, ord, src_part, gen, booked_at\
             , sale_at, connection_id, purchase_id, kind, code_id, currency, redemptions, conversions, gross, net, commission, rule_rev) \
             SELECT {vendor} AS vendor, 1, {at} AS at, 1 + number % 20, number + {first}, 0, vendor % 16, 1, at\
             , at, 1, number + {first}, 'sale', 1 + number % 40, 'eur', 1, 1, 5831, 4900, 980, 0 FROM numbers({count})",
            self.database
        )
    }

    fn purchases(&self, first: u64, count: u64, from: i64) -> String {
        let (vendor, at) = (self.vendor(first), moment(first, from));
        format!(
            "INSERT INTO {}.purchases (vendor_id, livemode, gen, purchase_id, src_off, src_part, sale_at, outcome, reason\
             , affiliate_id, code_id, currency, gross, net, reversed, commission, flags) \
             SELECT {vendor} AS vendor, 1, 1, number + {first}, number + {first}, vendor % 16, {at}, 'credited', ''\
             , 1 + number % 20, 1 + number % 40, 'eur', 5831, 4900, 0, 980, [] FROM numbers({count})",
            self.database
        )
    }

    /// On both sides of the vendor in the sort order, never itself.
    fn vendor(&self, first: u64) -> String {
        let drawn = format!("(1 + intHash64(number + {first}) % {VENDORS})");
        format!("({drawn} + ({drawn} >= {}))", self.not.0)
    }

    /// Until nothing is merged any more, so that both tables are at rest.
    pub async fn wait_for_merges(&self) {
        let deadline = Instant::now() + REST;
        let mut calm = 0;
        while calm < 3 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let merges = self.run("SELECT count() FROM system.merges").await;
            calm = if merges.trim() == "0" { calm + 1 } else { 0 };
        }
    }

    /// What the database holds.
    pub async fn summary(&self) -> String {
        let parts = format!(
            "SELECT table, sum(rows) AS held, count() AS parts FROM system.parts WHERE active AND database = '{}' \
             AND table IN ('ledger_lines', 'purchases') GROUP BY table ORDER BY table",
            self.database
        );
        let said = self.run(&parts).await;
        let lines = said.lines().map(|line| line.replace('\t', ", ")).collect::<Vec<_>>();
        format!("{}: table, rows, parts: {}", self.database, lines.join("; "))
    }

    async fn run(&self, statement: &str) -> String {
        let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::post(self.engine.url())
            .header("X-ClickHouse-User", "default")
            .header("X-ClickHouse-Key", self.engine.key())
            .body(Full::new(Bytes::from(statement.to_owned())))
            .unwrap();
        let answer = client.request(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(status.is_success(), "{status}: {text}");
        text
    }
}

/// Somewhere in the thirty days from `from`.
fn moment(first: u64, from: i64) -> String {
    format!("fromUnixTimestamp64Milli(toInt64({from} + intHash64(number + {first} + 7) % {SPAN_MS}), 'UTC')")
}
