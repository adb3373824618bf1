//! What every backend of the event log must do.

use crate::event_log::{EventLog, LogError, NewRecord, StoredRecord};
use crate::local_log::LocalLog;
use domain::ids::PARTITIONS;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A way to open a log on a folder; the same folder again is the same log.
type Open = fn(&Path) -> Arc<dyn EventLog>;

const BACKENDS: [(&str, Open); 1] = [("local", |folder| Arc::new(LocalLog::open(&folder.join("log.db")).unwrap()))];

fn record(partition: u16, text: &str) -> NewRecord {
    NewRecord { partition, bytes: text.as_bytes().to_vec() }
}

fn texts(records: &[StoredRecord]) -> Vec<(u64, String)> {
    records.iter().map(|record| (record.offset, String::from_utf8(record.bytes.clone()).unwrap())).collect()
}

#[tokio::test]
async fn offsets_count_per_partition_and_reading_keeps_the_order() {
    for (_, open) in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path());
        assert_eq!(log.bounds(3).await.unwrap(), (0, 0));
        assert!(log.read(3, 0, 10, 1000).await.unwrap().is_empty());
        for (offset, text) in ["a", "b", "c"].iter().enumerate() {
            assert_eq!(log.append(record(3, text)).await.unwrap(), offset as u64);
        }
        assert_eq!(log.append(record(4, "x")).await.unwrap(), 0);
        assert_eq!(log.append(record(4, "")).await.unwrap(), 1);
        assert_eq!(log.bounds(3).await.unwrap(), (0, 3));
        assert_eq!(texts(&log.read(3, 1, 10, 1000).await.unwrap()), [(1, "b".to_owned()), (2, "c".to_owned())]);
        assert_eq!(texts(&log.read(4, 0, 10, 1000).await.unwrap()), [(0, "x".to_owned()), (1, String::new())]);
        assert!(log.read(3, 3, 10, 1000).await.unwrap().is_empty());
        assert!(log.read(3, 99, 10, 1000).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_read_has_limits_but_always_goes_on() {
    for (_, open) in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path());
        for _ in 0..10 {
            log.append(record(0, &"x".repeat(100))).await.unwrap();
        }
        assert_eq!(log.read(0, 0, 4, 100_000).await.unwrap().len(), 4);
        assert_eq!(log.read(0, 0, 100, 250).await.unwrap().len(), 2);
        assert_eq!(log.read(0, 0, 100, 1).await.unwrap().len(), 1);
        assert_eq!(log.read(0, 8, 100, 100_000).await.unwrap().len(), 2);
        assert!(log.read(0, 0, 0, 100_000).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused() {
    for (_, open) in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path());
        assert!(matches!(log.append(record(PARTITIONS, "x")).await, Err(LogError::Failed(_))));
        assert!(matches!(log.read(PARTITIONS, 0, 1, 1).await, Err(LogError::Failed(_))));
        assert!(matches!(log.bounds(PARTITIONS).await, Err(LogError::Failed(_))));
        let huge = NewRecord { partition: 0, bytes: vec![0; crate::local_log::MAX_RECORD_BYTES + 1] };
        assert!(matches!(log.append(huge).await, Err(LogError::Failed(_))));
        let largest = NewRecord { partition: 0, bytes: vec![7; crate::local_log::MAX_RECORD_BYTES] };
        assert_eq!(log.append(largest).await.unwrap(), 0);
        assert_eq!(log.read(0, 0, 1, 1).await.unwrap()[0].bytes.len(), crate::local_log::MAX_RECORD_BYTES);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_leave_no_gap_and_no_double() {
    for (_, open) in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path());
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..64_u16 {
            let log = Arc::clone(&log);
            writers.spawn(async move {
                let partition = writer % 4;
                let mut answered = Vec::new();
                for number in 0..200 {
                    let text = format!("{writer}/{number}");
                    let offset = log.append(record(partition, &text)).await.unwrap();
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
            let records = log.read(partition, 0, 10_000, 10_000_000).await.unwrap();
            stored.extend(texts(&records).into_iter().map(|(offset, text)| (partition, offset, text)));
        }
        assert_eq!(stored.len(), 12_800);
        assert_eq!(stored, answered);
    }
}

#[tokio::test]
async fn reopening_keeps_everything() {
    for (_, open) in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..3 {
            let log = open(folder.path());
            assert_eq!(log.bounds(5).await.unwrap(), (0, round * 10));
            for number in 0..10 {
                let offset = round * 10 + number;
                assert_eq!(log.append(record(5, &offset.to_string())).await.unwrap(), offset);
            }
        }
        let stored = open(folder.path()).read(5, 0, 100, 10_000).await.unwrap();
        assert_eq!(texts(&stored), (0..30).map(|offset| (offset, offset.to_string())).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_reader_that_found_nothing_misses_no_append() {
    for (_, open) in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path());
        for number in 0..20 {
            let appended = log.appended();
            assert!(log.read(0, number, 10, 1000).await.unwrap().is_empty());
            log.append(record(0, "x")).await.unwrap();
            tokio::time::timeout(Duration::from_secs(5), appended)
                .await
                .expect("told, although it was not awaited yet");
        }
    }
}
