//! What every backend of the event log must do.

use crate::event_log::{Appended, EventLog, LogError, NewRecord, StoredRecord};
use crate::kafka::spool::{SpoolSettings, SpooledLog};
use crate::kafka::test_broker::TestTopics;
use crate::kafka::{KafkaLog, KafkaSettings};
use crate::local_log::{LocalLog, MAX_RECORD_BYTES};
use domain::ids::{PARTITIONS, Timestamp};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use std::sync::Arc;
use std::time::Duration;

/// Where a log is. Opening it again is the same log.
enum Place {
    Local(tempfile::TempDir),
    Kafka(TestTopics),
    Spooled(TestTopics, tempfile::TempDir),
    /// The client library's own broker; the cluster lives as long as this.
    Mock(KafkaSettings, #[expect(dead_code, reason = "ends the cluster")] MockCluster<'static, DefaultProducerContext>),
}

impl Place {
    /// A new, empty place of every kind.
    async fn all() -> Vec<Place> {
        let cluster = MockCluster::new(1).unwrap();
        let settings = KafkaSettings { brokers: cluster.bootstrap_servers(), ..KafkaSettings::default() };
        cluster.create_topic(&settings.events_topic, i32::from(PARTITIONS), 1).unwrap();
        vec![
            Place::Local(tempfile::tempdir().unwrap()),
            Place::Mock(settings, cluster),
            Place::Kafka(TestTopics::made().await),
            Place::Spooled(TestTopics::made().await, tempfile::tempdir().unwrap()),
        ]
    }

    async fn open(&self) -> Arc<dyn EventLog> {
        match self {
            Place::Local(folder) => Arc::new(LocalLog::open(&folder.path().join("log.db")).unwrap()),
            Place::Kafka(topics) => Arc::new(KafkaLog::open(topics.settings.clone()).unwrap()),
            Place::Spooled(topics, folder) => {
                let kafka = Arc::new(KafkaLog::open(topics.settings.clone()).unwrap());
                // So late that a busy machine does not spool what these tests want the offset of.
                let spool_after = Duration::from_secs(60);
                let spool = SpoolSettings { spool_after, ..SpoolSettings::in_folder(folder.path().to_owned()) };
                Arc::new(SpooledLog::open(kafka, spool, Arc::new(|| Timestamp(0))).await.unwrap())
            }
            Place::Mock(settings, _) => Arc::new(KafkaLog::open(settings.clone()).unwrap()),
        }
    }
}

fn record(partition: u16, text: &str) -> NewRecord {
    NewRecord { partition, bytes: text.as_bytes().to_vec() }
}

fn texts(records: &[StoredRecord]) -> Vec<(u64, String)> {
    records.iter().map(|record| (record.offset, String::from_utf8(record.bytes.clone()).unwrap())).collect()
}

/// Everything from an offset on: a read may return less than there is, but not nothing.
async fn read_all(log: &dyn EventLog, partition: u16, from: u64) -> Vec<StoredRecord> {
    let mut all: Vec<StoredRecord> = Vec::new();
    loop {
        let next = all.last().map_or(from, |record| record.offset + 1);
        let records = log.read(partition, next, 10_000, 10_000_000).await.unwrap();
        if records.is_empty() {
            return all;
        }
        all.extend(records);
    }
}

#[tokio::test]
async fn offsets_count_per_partition_and_reading_keeps_the_order() {
    for place in Place::all().await {
        let log = place.open().await;
        assert_eq!(log.bounds(3).await.unwrap(), (0, 0));
        assert!(log.read(3, 0, 10, 1000).await.unwrap().is_empty());
        for (offset, text) in ["a", "b", "c"].iter().enumerate() {
            assert_eq!(log.append(record(3, text)).await.unwrap(), Appended::Log(offset as u64));
        }
        assert_eq!(log.append(record(4, "x")).await.unwrap(), Appended::Log(0));
        assert_eq!(log.append(record(4, "")).await.unwrap(), Appended::Log(1));
        assert_eq!(log.bounds(3).await.unwrap(), (0, 3));
        assert_eq!(texts(&log.read(3, 1, 10, 1000).await.unwrap()), [(1, "b".to_owned()), (2, "c".to_owned())]);
        assert_eq!(texts(&log.read(4, 0, 10, 1000).await.unwrap()), [(0, "x".to_owned()), (1, String::new())]);
        assert!(log.read(3, 3, 10, 1000).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn beyond_the_end_is_an_error_and_not_the_end() {
    for place in Place::all().await {
        let log = place.open().await;
        log.append(record(3, "a")).await.unwrap();
        let error = log.read(3, 99, 10, 1000).await.unwrap_err();
        assert!(matches!(error, LogError::OutOfRange { partition: 3, offset: 99, start: 0, end: 1 }), "{error}");
        assert_eq!(log.read(3, 0, 10, 1000).await.unwrap().len(), 1, "and what is there can be read");
        assert!(matches!(log.read(3, 2, 1, 1000).await, Err(LogError::OutOfRange { .. })));
    }
}

#[tokio::test]
async fn a_read_has_limits_but_always_goes_on() {
    for place in Place::all().await {
        let log = place.open().await;
        for _ in 0..10 {
            log.append(record(0, &"x".repeat(100))).await.unwrap();
        }
        assert_eq!(log.read(0, 0, 4, 100_000).await.unwrap().len(), 4);
        assert_eq!(log.read(0, 0, 100, 250).await.unwrap().len(), 2);
        assert_eq!(texts(&log.read(0, 2, 100, 250).await.unwrap())[0].0, 2, "goes on where the last one ended");
        assert_eq!(log.read(0, 0, 100, 1).await.unwrap().len(), 1);
        assert_eq!(log.read(0, 8, 100, 100_000).await.unwrap().len(), 2);
        assert!(log.read(0, 0, 0, 100_000).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn reads_of_single_records_do_not_disturb_who_reads_on() {
    for place in Place::all().await {
        let log = place.open().await;
        for number in 0..30 {
            log.append(record(0, &number.to_string())).await.unwrap();
        }
        let mut next = 0;
        while next < 30 {
            let records = log.read(0, next, 7, 100_000).await.unwrap();
            let before = log.read(0, next / 2, 1, 1).await.unwrap();
            assert_eq!(texts(&before), [(next / 2, (next / 2).to_string())]);
            let expected: Vec<_> = (next..(next + 7).min(30)).map(|offset| (offset, offset.to_string())).collect();
            assert_eq!(texts(&records), expected);
            next += records.len() as u64;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused() {
    for place in Place::all().await {
        let log = place.open().await;
        assert!(matches!(log.append(record(PARTITIONS, "x")).await, Err(LogError::Failed(_))));
        assert!(matches!(log.read(PARTITIONS, 0, 1, 1).await, Err(LogError::Failed(_))));
        assert!(matches!(log.bounds(PARTITIONS).await, Err(LogError::Failed(_))));
        let huge = NewRecord { partition: 0, bytes: vec![0; MAX_RECORD_BYTES + 1] };
        assert!(matches!(log.append(huge).await, Err(LogError::Failed(_))));
        let largest = NewRecord { partition: 0, bytes: vec![7; MAX_RECORD_BYTES] };
        assert_eq!(log.append(largest).await.unwrap(), Appended::Log(0));
        assert_eq!(log.read(0, 0, 1, 1).await.unwrap()[0].bytes.len(), MAX_RECORD_BYTES);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_leave_no_gap_and_no_double() {
    for place in Place::all().await {
        let log = place.open().await;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..64_u16 {
            let log = Arc::clone(&log);
            writers.spawn(async move {
                let partition = writer % 4;
                let mut answered = Vec::new();
                for number in 0..200 {
                    let text = format!("{writer}/{number}");
                    let offset = log.append(record(partition, &text)).await.unwrap().offset().unwrap();
                    answered.push((partition, offset, text));
                }
                assert!(answered.windows(2).all(|pair| pair[0].1 < pair[1].1), "one writer's records keep their order");
                answered
            });
        }
        let mut answered: Vec<(u16, u64, String)> = Vec::new();
        while let Some(done) = writers.join_next().await {
            answered.extend(done.unwrap());
        }
        answered.sort();
        let mut stored = Vec::new();
        for partition in 0..4 {
            assert_eq!(log.bounds(partition).await.unwrap(), (0, 3200));
            let records = read_all(log.as_ref(), partition, 0).await;
            stored.extend(texts(&records).into_iter().map(|(offset, text)| (partition, offset, text)));
        }
        assert_eq!(stored.len(), 12_800);
        assert_eq!(stored, answered);
    }
}

#[tokio::test]
async fn reopening_keeps_everything() {
    for place in Place::all().await {
        for round in 0..3 {
            let log = place.open().await;
            assert_eq!(log.bounds(5).await.unwrap(), (0, round * 10));
            for number in 0..10 {
                let offset = round * 10 + number;
                assert_eq!(log.append(record(5, &offset.to_string())).await.unwrap(), Appended::Log(offset));
            }
        }
        let stored = read_all(place.open().await.as_ref(), 5, 0).await;
        assert_eq!(texts(&stored), (0..30).map(|offset| (offset, offset.to_string())).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_reader_that_found_nothing_misses_no_append() {
    for place in Place::all().await {
        let log = place.open().await;
        for number in 0..20 {
            let appended = log.appended();
            assert!(log.read(0, number, 10, 1000).await.unwrap().is_empty());
            log.append(record(0, "x")).await.unwrap();
            tokio::time::timeout(Duration::from_secs(60), appended)
                .await
                .expect("told, although it was not awaited yet");
        }
    }
}
