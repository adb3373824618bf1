//! Errors of the broker, injected by the client library's own broker.

use super::*;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

pub(super) type Cluster = MockCluster<'static, DefaultProducerContext>;

pub(super) fn cluster(brokers: i32) -> (Cluster, KafkaSettings) {
    let cluster = MockCluster::new(brokers).unwrap();
    let settings = KafkaSettings { brokers: cluster.bootstrap_servers(), ..KafkaSettings::default() };
    cluster.create_topic(&settings.events_topic, i32::from(PARTITIONS), brokers).unwrap();
    (cluster, settings)
}

pub(super) fn record(partition: u16, text: &str) -> NewRecord {
    NewRecord { partition, bytes: text.as_bytes().to_vec() }
}

/// The records of a partition, read by a log of its own.
pub(super) async fn stored(settings: &KafkaSettings, partition: u16) -> Vec<String> {
    let log = KafkaLog::open(settings.clone()).unwrap();
    let (_, end) = log.bounds(partition).await.unwrap();
    let mut texts: Vec<String> = Vec::new();
    while (texts.len() as u64) < end {
        let records = log.read(partition, texts.len() as u64, 1_000, 10_000_000).await.unwrap();
        texts.extend(records.into_iter().map(|record| String::from_utf8(record.bytes).unwrap()));
    }
    texts
}

/// What a writer knows of one record: where it is, and how many earlier tries may be stored too.
struct Acknowledged {
    partition: u16,
    offset: u64,
    text: String,
    unknown: usize,
}

/// As a provider would: sends until it is acknowledged. No other error than "unknown" may come.
async fn append_until_acknowledged(log: &KafkaLog, partition: u16, text: String) -> Acknowledged {
    let mut unknown = 0;
    loop {
        match log.append(record(partition, &text)).await {
            Ok(appended) => return Acknowledged { partition, offset: appended.offset().unwrap(), text, unknown },
            Err(LogError::Unavailable(words)) if words.contains("unknown") => unknown += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_that_pass_lose_nothing_and_store_once() {
    let (cluster, settings) = cluster(1);
    let log = KafkaLog::open(settings.clone()).unwrap();
    log.append(record(0, "first")).await.unwrap();
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    );
    assert_eq!(log.append(record(0, "second")).await.unwrap(), Appended::Log(1));
    assert_eq!(stored(&settings, 0).await, ["first", "second"]);
    assert_eq!(log.producer_rebuilds(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_comes_too_late_is_no_acknowledgement() {
    let (cluster, settings) = cluster(1);
    let settings = KafkaSettings { append_timeout: Duration::from_millis(1_000), ..settings };
    let log = KafkaLog::open(settings.clone()).unwrap();
    log.append(record(0, "first")).await.unwrap();
    cluster.broker_round_trip_time(-1, Duration::from_secs(3)).unwrap();
    let error = log.append(record(0, "late")).await.unwrap_err();
    assert!(matches!(&error, LogError::Unavailable(words) if words.contains("unknown")), "{error}");
    cluster.broker_round_trip_time(-1, Duration::ZERO).unwrap();
    append_until_acknowledged(&log, 0, "late".to_owned()).await;
    let stored = stored(&settings, 0).await;
    assert!(stored.len() >= 2 && stored[1..].iter().all(|text| text == "late"), "copies are allowed: {stored:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fatal_error_costs_a_producer_and_no_record() {
    let (cluster, settings) = cluster(1);
    let log = Arc::new(KafkaLog::open(settings.clone()).unwrap());
    log.append(record(0, "first")).await.unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    let mut appends = tokio::task::JoinSet::new();
    for number in 0..32 {
        let log = Arc::clone(&log);
        appends.spawn(async move { append_until_acknowledged(&log, 0, number.to_string()).await });
    }
    appends.join_all().await;
    assert_eq!(log.producer_rebuilds(), 1, "once, however many met it");
    let stored = stored(&settings, 0).await;
    for number in 0..32 {
        assert!(stored.contains(&number.to_string()), "{number} is there");
    }
}

/// On a slow machine some appends are given up before their report; only those may be stored more than once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_that_change_all_the_time_cost_nothing() {
    let (cluster, settings) = cluster(3);
    let log = Arc::new(KafkaLog::open(settings.clone()).unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16_u16 {
        let log = Arc::clone(&log);
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0..100 {
                acknowledged.push(append_until_acknowledged(&log, writer % 2, format!("{writer}/{number}")).await);
            }
            acknowledged
        });
    }
    for change in 0..50 {
        cluster.partition_leader(&settings.events_topic, 0, Some(change % 3 + 1)).unwrap();
        cluster.partition_leader(&settings.events_topic, 1, Some((change + 1) % 3 + 1)).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let acknowledged: Vec<Acknowledged> = writers.join_all().await.into_iter().flatten().collect();
    let stored = [stored(&settings, 0).await, stored(&settings, 1).await];
    for Acknowledged { partition, offset, text, unknown } in acknowledged {
        let records = &stored[usize::from(partition)];
        assert_eq!(records[offset as usize], text, "where it was said to be");
        let copies = records.iter().filter(|stored| **stored == text).count();
        assert!(copies <= 1 + unknown, "{text}: {copies} copies, {unknown} tries without an answer");
    }
}

/// The first append has no other one to learn from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_append_that_meets_a_frozen_broker_is_given_up_before_its_own_limit() {
    let (cluster, settings) = cluster(1);
    let hours = Duration::from_secs(3_600);
    let log = KafkaLog::open(KafkaSettings { append_timeout: hours, ..settings }).unwrap();
    log.append(record(0, "first")).await.unwrap();
    cluster.broker_round_trip_time(-1, hours).unwrap();
    let given_up = tokio::time::timeout(Duration::from_secs(60), log.append(record(0, "frozen"))).await;
    let error = given_up.expect("not as long as the append itself may take").unwrap_err();
    assert!(matches!(&error, LogError::Unavailable(words) if words.contains("unknown")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_appends_are_refused_and_afterwards_not() {
    let (cluster, settings) = cluster(1);
    let log = KafkaLog::open(settings.clone()).unwrap();
    log.append(record(0, "first")).await.unwrap();
    cluster.broker_down(-1).unwrap();
    for _ in 0..3 {
        assert!(matches!(log.append(record(0, "away")).await, Err(LogError::Unavailable(_))));
    }
    assert!(log.is_away());
    cluster.broker_up(-1).unwrap();
    while log.append(record(0, "back")).await.is_err() {}
    assert!(!log.is_away());
    let stored = stored(&settings, 0).await;
    assert_eq!((stored.first().unwrap().as_str(), stored.last().unwrap().as_str()), ("first", "back"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_at_once() {
    let (cluster, settings) = cluster(1);
    let settings = KafkaSettings { queue_records: 10, ..settings };
    let log = Arc::new(KafkaLog::open(settings).unwrap());
    cluster.broker_down(-1).unwrap();
    let mut appends = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let log = Arc::clone(&log);
        appends.spawn(async move { log.append(record(0, "x")).await.unwrap_err().to_string() });
    }
    let words = appends.join_all().await;
    assert_eq!(words.iter().filter(|words| words.contains("queue is full")).count(), 20, "{words:?}");
}
