//! The broker is away, or its answers get lost.

use super::broker::Broker;
use super::scene::{Load, Scene};
use crate::sender::Record;
use anyhow::{Context, Result};
use bytes::Bytes;
use corpus::client::Http;
use corpus::clock::unix_seconds;
use corpus::cluster::Cluster;
use corpus::sign::Provider;
use hyper::Method;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long the broker stands still before it is killed, and how long it is gone then.
const STANDS_STILL: Duration = Duration::from_secs(8);
const GONE: Duration = Duration::from_secs(12);
/// A refusal is meant to come within two seconds; what it took is printed. After this a provider has hung up.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);
/// Who asks at the same time while nothing can be stored.
const ASKERS: usize = 32;
/// How much larger an edge may become meanwhile, in KiB.
const GROWTH_KIB: u64 = 64 * 1024;

/// Frozen, killed, started again. What was acknowledged meanwhile lay in the spools.
pub async fn away_with_spool(scene: &mut Scene) -> Result<()> {
    let mut broker = Broker::start(&scene.folder, &scene.options.kafka_libs).await?;
    let mut cluster = scene.cluster(vec![broker.environment()]).await?;
    let load = scene.load(&cluster, scene.amount(700, 2_000), 15).await?;
    scene.copies_are_stored();
    load.wait_for_percent(15).await?;
    let before = load.sender.record();
    broker.freeze().await?;
    tokio::time::sleep(STANDS_STILL).await;
    broker.kill().await?;
    tokio::time::sleep(GONE).await;
    let after = load.sender.record();
    broker.restart().await?;
    let acknowledged = acknowledged(&after) - acknowledged(&before);
    let put_off = after.put_off - before.put_off;
    scene.say(format!(
        "broker stood still for {} s and was gone for {} s: {acknowledged} acknowledged meanwhile, {put_off} put off",
        STANDS_STILL.as_secs(),
        GONE.as_secs()
    ));
    scene.expect(acknowledged > 0, "nothing was acknowledged while the broker was away");
    scene.expect(put_off == 0, format!("{put_off} deliveries were put off although there was a spool"));
    cluster.check_running()?;
    scene.finish(cluster, load).await
}

/// Without a spool deliveries are refused, soon and with a time to come back, and nothing piles up.
pub async fn away_without_spool(scene: &mut Scene) -> Result<()> {
    let mut broker = Broker::start(&scene.folder, &scene.options.kafka_libs).await?;
    let no_spool = ("AFFILITRACK_KAFKA_SPOOL_MAX_BYTES".to_owned(), "0".to_owned());
    let mut cluster = scene.cluster(vec![broker.environment(), no_spool]).await?;
    let load = scene.load(&cluster, scene.amount(500, 2_000), 15).await?;
    scene.copies_are_stored();
    load.wait_for_percent(15).await?;
    let before = memory_kib(&mut cluster)?;
    broker.freeze().await?;
    let frozen = ask_while_away(scene, &load, STANDS_STILL).await?;
    broker.kill().await?;
    let gone = ask_while_away(scene, &load, GONE).await?;
    let after = memory_kib(&mut cluster)?;
    broker.restart().await?;
    for (words, asked) in [("stood still", frozen), ("was gone", gone)] {
        scene.say(format!(
            "while the broker {words}: {} asked, {} refused with a time to come back, the slowest after {} ms",
            asked.count,
            asked.refused,
            asked.slowest.as_millis()
        ));
        scene.expect(asked.count > 0 && asked.refused == asked.count, format!("while it {words}: {:?}", asked.others));
        scene.expect(asked.slowest <= REFUSED_WITHIN, format!("a refusal took {} ms", asked.slowest.as_millis()));
    }
    for (before, after) in before.into_iter().zip(after) {
        scene.say(format!("memory of an edge: {before} KiB before, {after} KiB after"));
        scene.expect(after < before + GROWTH_KIB, "an edge grew by 64 MiB or more");
    }
    cluster.check_running()?;
    scene.finish(cluster, load).await
}

/// Records are stored and the broker's answers thrown away, again and again.
pub async fn answers_lost(scene: &mut Scene) -> Result<()> {
    let broker = Broker::start(&scene.folder, &scene.options.kafka_libs).await?;
    let mut cluster = scene.cluster(vec![broker.environment()]).await?;
    let rounds = scene.amount(5, 20);
    let load = scene.load(&cluster, scene.amount(500, 2_000), 15).await?;
    scene.copies_are_stored();
    for round in 0..rounds {
        load.wait_for_percent((5 + round * 80 / rounds) as u64).await?;
        broker.line().lose_answers(true);
        tokio::time::sleep(scene.pause_ms(2_500)).await;
        // A connection that lost a part of an answer cannot be used any more.
        broker.line().cut();
        broker.line().lose_answers(false);
        broker.line().mend();
        cluster.check_running()?;
    }
    scene.say(format!("the broker's answers were thrown away {rounds} times for up to 2.5 s"));
    scene.finish(cluster, load).await
}

/// What was answered while the broker was away.
struct Asked {
    count: u64,
    refused: u64,
    slowest: Duration,
    others: Vec<String>,
}

/// Many deliver the same event while nothing can be stored.
async fn ask_while_away(scene: &mut Scene, load: &Load, lasting: Duration) -> Result<Asked> {
    let until = Instant::now() + lasting;
    let vendor = load.live[0].clone();
    let body = load.plan.vendors[0].events[0].body.clone();
    let mut askers = JoinSet::new();
    for _ in 0..ASKERS {
        let (vendor, body) = (vendor.clone(), body.clone());
        askers.spawn(async move {
            let http = Http::default();
            let mut asked = Asked { count: 0, refused: 0, slowest: Duration::ZERO, others: Vec::new() };
            while Instant::now() < until {
                let began = Instant::now();
                let (status, retry_after) = post(&http, &vendor.endpoint_url, &vendor.secret, body.clone(), 0).await;
                asked.count += 1;
                asked.slowest = asked.slowest.max(began.elapsed());
                if status == 503 && retry_after {
                    asked.refused += 1;
                } else if asked.others.len() < 5 {
                    asked.others.push(format!("status {status}, Retry-After: {retry_after}"));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            asked
        });
    }
    let mut sum = Asked { count: 0, refused: 0, slowest: Duration::ZERO, others: Vec::new() };
    while let Some(asked) = askers.join_next().await {
        let asked = asked?;
        sum.count += asked.count;
        sum.refused += asked.refused;
        sum.slowest = sum.slowest.max(asked.slowest);
        sum.others.extend(asked.others);
    }
    scene.delivered_beside(0, sum.count, sum.count - sum.refused);
    Ok(sum)
}

/// Delivers once, signed with a time so many seconds from now; status (0: no answer) and whether a time was given.
pub async fn post(http: &Http, url: &str, secret: &str, body: Bytes, ahead_seconds: i64) -> (u16, bool) {
    let signature = Provider::Stripe.sign(secret, unix_seconds() + ahead_seconds, &body);
    let headers = [
        ("Content-Type".to_owned(), "application/json; charset=utf-8".to_owned()),
        ("Stripe-Signature".to_owned(), signature),
    ];
    match http.send(Method::POST, url, &headers, body).await {
        Ok(reply) => (reply.status, reply.retry_after.is_some()),
        Err(_) => (0, false),
    }
}

fn acknowledged(record: &Record) -> u64 {
    record.acknowledged_copies.values().sum()
}

/// Resident memory of every edge.
fn memory_kib(cluster: &mut Cluster) -> Result<Vec<u64>> {
    let mut sizes = Vec::new();
    for member in cluster.members().iter_mut().filter(|member| member.command() == "ingest") {
        let pid = member.product().and_then(|product| product.pid()).context("an edge does not run")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = size.and_then(|size| size.trim().trim_end_matches(" kB").parse().ok());
        sizes.push(size.context("VmRSS")?);
    }
    Ok(sizes)
}
