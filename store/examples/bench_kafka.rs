//! Appends per second of the log on Kafka: closed-loop senders, acks=all.
//!
//! `cargo run --release -p store --example bench_kafka BROKERS [appends per sender]`
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![allow(clippy::unwrap_used, reason = "a measurement may end loudly")]

use std::sync::Arc;
use std::time::{Duration, Instant};
use store::event_log::{EventLog, NewRecord};
use store::kafka::{KafkaLog, KafkaSettings, migrate};

const SENDERS: u64 = 64;
const BODY_BYTES: usize = 1024;
const PARTITIONS: u64 = 16;

/// Every sender appends, one after another; all waits in order of length.
async fn append(log: &Arc<KafkaLog>, each: u64) -> Vec<Duration> {
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let log = Arc::clone(log);
        senders.spawn(async move {
            let mut waits = Vec::with_capacity(each as usize);
            for _ in 0..each {
                let began = Instant::now();
                let partition = (sender % PARTITIONS) as u16;
                log.append(NewRecord { partition, bytes: vec![b'7'; BODY_BYTES] }).await.unwrap();
                waits.push(began.elapsed());
            }
            waits
        });
    }
    let mut waits: Vec<Duration> = senders.join_all().await.into_iter().flatten().collect();
    waits.sort();
    waits
}

/// Reads everything; returns how many records that were.
async fn read_back(log: &KafkaLog) -> u64 {
    let mut records = 0;
    for partition in 0..PARTITIONS as u16 {
        let (start, end) = log.bounds(partition).await.unwrap();
        let mut next = start;
        while next < end {
            next += log.read(partition, next, 10_000, 16 << 20).await.unwrap().len() as u64;
        }
        records += end - start;
    }
    records
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let brokers = arguments.next().expect("say where Kafka is: HOST:PORT");
    let each = arguments.next().map_or(1_000, |text| text.parse().unwrap());
    // Topics of its own: a measurement must not write into a log that is in use.
    let settings = KafkaSettings {
        brokers,
        events_topic: format!("bench-{}.events", std::process::id()),
        live_topic: format!("bench-{}.live", std::process::id()),
        ..KafkaSettings::default()
    };
    migrate(&settings).await.unwrap();
    let log = Arc::new(KafkaLog::open(settings.clone()).unwrap());
    append(&log, 50).await;
    for round in 0..3 {
        let began = Instant::now();
        let waits = append(&log, each).await;
        let per_second = waits.len() as u64 * 1_000_000 / (began.elapsed().as_micros() as u64).max(1);
        let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_micros();
        println!("round {round}: {per_second}/s, p50 {} us, p99 {} us", at(50), at(99));
    }
    let began = Instant::now();
    let records = read_back(&log).await;
    println!("read back {records} records in {} ms", began.elapsed().as_millis());
    println!(
        "{SENDERS} senders, {BODY_BYTES} bytes, {each} appends each; topics {} and {} can be removed",
        settings.events_topic, settings.live_topic
    );
}
