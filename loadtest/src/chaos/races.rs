//! Things that happen at the same time, and things that happen again much later.

use super::broker::Broker;
use super::clocks::ahead;
use super::kafka::post;
use super::scene::{Scene, settle_patiently};
use crate::kill_points::{SECRET, event};
use crate::verify::verify;
use anyhow::{Context, Result, ensure};
use corpus::client::{Http, JsonApi, LocalSocket};
use corpus::clock::unix_seconds;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Seconds of a day.
const DAY_SECONDS: i64 = 24 * 3_600;
/// How long a sale may take to be whose it is.
const RIGHT_WITHIN: Duration = Duration::from_secs(300);

/// Two processes map one code to two affiliates while its payment arrives. The later decision holds, in every round.
pub async fn mappings(scene: &mut Scene) -> Result<()> {
    let mut cluster = scene.cluster(Vec::new()).await?;
    let serves = cluster.members().iter_mut().filter(|member| member.command() == "serve");
    let sockets: Vec<LocalSocket> =
        serves.filter_map(|member| member.product()).map(|product| product.socket()).collect();
    let [first, second] = sockets.as_slice() else { anyhow::bail!("two processes show pages") };
    let connect = json!({
        "vendor": "chaos-race", "provider": "stripe", "secret": SECRET, "key": null, "api_base": null, "account": null,
        "complete_history": true, "mode": "live"
    });
    let url = first.post("/v1/connect", &connect).await?["endpoint_url"].as_str().unwrap_or_default().to_owned();
    let affiliates = json!([
        {"decide": "affiliate", "key": "aff_a", "name": "A"}, {"decide": "affiliate", "key": "aff_b", "name": "B"}
    ]);
    first.post("/v1/decide", &json!({"vendor": "chaos-race", "decisions": affiliates})).await?;
    let key = first.post("/v1/api-keys", &json!({"vendor": "chaos-race", "mode": "live", "name": "chaos"})).await?;
    let api = JsonApi::new(Http::default(), &cluster.url(), key["key"].as_str().unwrap_or_default());
    let rounds = scene.amount(20, 200);
    let (mut won, mut difference) = ([0, 0], 0);
    for round in 0..rounds {
        let map = |affiliate: &str| {
            let map = json!({"decide": "map", "provider": "stripe", "promotion_code_id": format!("promo_{round}"), "affiliate": affiliate});
            json!({"vendor": "chaos-race", "decisions": [map]})
        };
        let (of_a, of_b) = (map("aff_a"), map("aff_b"));
        let http = Http::default();
        let pauses = [scene.pause_ms(20), scene.pause_ms(20), scene.pause_ms(40)];
        let (a, b, (status, _)) = tokio::join!(
            after(pauses[0], first.post("/v1/decide", &of_a)),
            after(pauses[1], second.post("/v1/decide", &of_b)),
            after(pauses[2], post(&http, &url, SECRET, sale(round).to_string().into(), 0)),
        );
        ensure!(status == 200, "the sale was answered {status}");
        let winner = if sequence(&a?)? > sequence(&b?)? { 0 } else { 1 };
        won[winner] += 1;
        let expected = ["aff_a", "aff_b"][winner];
        let got = wait_for(&api, round, expected).await;
        difference += (784 - got["commission_minor"].as_i64().unwrap_or(0)).abs();
        scene.expect(got["affiliate"] == json!(expected), format!("round {round}: {expected} decided last: {got}"));
    }
    scene.say(format!("{rounds} rounds; the later decision was A's {} times and B's {} times", won[0], won[1]));
    scene.say(format!("difference: {difference} cents"));
    scene.expect(difference == 0, "a commission is wrong");
    cluster.stop().await?;
    Ok(())
}

async fn after<T>(pause: Duration, work: impl Future<Output = T>) -> T {
    tokio::time::sleep(pause).await;
    work.await
}

fn sequence(answer: &Value) -> Result<u64> {
    answer["last_seq"].as_u64().with_context(|| format!("`last_seq` of {answer}"))
}

/// The sale of a round, when it is whose it should be, or when the time is over.
async fn wait_for(api: &JsonApi, round: usize, affiliate: &str) -> Value {
    let deadline = Instant::now() + RIGHT_WITHIN;
    loop {
        let sale = api.find(&["purchases", &format!("inv:in_race_{round}")]).await.ok().flatten().unwrap_or_default();
        let is_settled = api.get(&["status"], &[]).await.is_ok_and(|status| status["settled"] == json!(true));
        if (is_settled && sale["affiliate"] == json!(affiliate)) || Instant::now() >= deadline {
            return sale;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A sale of 49.00 with 9.80 off for a code of its own.
fn sale(round: usize) -> Value {
    let now = unix_seconds();
    event(
        "invoice.paid",
        &json!({
            "id": format!("in_race_{round}"), "object": "invoice", "amount_due": 3_920, "amount_paid": 3_920,
            "billing_reason": "manual", "created": now, "currency": "usd", "customer": format!("cus_{round}"),
            "discounts": [{
                "id": format!("di_{round}"), "object": "discount", "promotion_code": format!("promo_{round}"),
                "source": {"type": "coupon", "coupon": "RACE"}, "start": now
            }],
            "livemode": true, "metadata": {}, "status": "paid", "status_transitions": {"paid_at": now}, "subtotal": 4_900,
            "total": 3_920, "total_discount_amounts": [{"amount": 980, "discount": format!("di_{round}")}], "total_taxes": []
        }),
    )
}

/// Every event is delivered again 1, 3 and 40 days later by the clocks of edges and provider. Nothing changes.
pub async fn redelivered_later(scene: &mut Scene) -> Result<()> {
    // The shared broker refuses records whose time is more than an hour ahead of its own clock.
    let broker = Broker::start(&scene.folder, &scene.options.kafka_libs).await?;
    let mut cluster = scene.cluster(vec![broker.environment()]).await?;
    let load = scene.load(&cluster, scene.amount(250, 3_000), 80).await?;
    load.wait_for_percent(100).await?;
    settle_patiently(&load.live).await?;
    let before = verify(&load.plan, &load.live, &load.sender.record()).await?;
    let http = Http::default();
    for later in [1, 3, 40] {
        for member in cluster.members().iter_mut().filter(|member| member.command() == "ingest") {
            member.stop().await?;
            let clock = ahead(&scene.folder, later * DAY_SECONDS).await?;
            member.options().environment.extend(clock);
            member.start().await?;
        }
        let mut taken = 0;
        for (number, vendor) in load.live.iter().enumerate() {
            let (mut sent, mut copies) = (0, 0);
            for event in &load.plan.vendors[number].events {
                let ahead = later * DAY_SECONDS;
                let (status, _) = post(&http, &vendor.endpoint_url, &vendor.secret, event.body.clone(), ahead).await;
                sent += 1;
                copies += u64::from(status == 200);
                scene.expect(status == 200 || event.poison.is_some(), format!("{} was answered {status}", event.id));
            }
            scene.delivered_beside(number, sent, copies);
            taken += copies;
        }
        settle_patiently(&load.live).await?;
        scene.say(format!("{later} days later: {taken} delivered again and acknowledged"));
    }
    let record = scene.counted(load.sender.record());
    let after = verify(&load.plan, &load.live, &record).await?;
    scene.say(format!("{} lines before, {} after", before.lines, after.lines));
    scene.expect(before.lines == after.lines, "there are new lines");
    scene.finish(cluster, load).await
}
