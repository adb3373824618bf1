//! A log that moved is the same log.

use super::mock_tests::{cluster, record, stored};
use super::*;
use crate::local_log::LocalLog;
use std::path::Path;

async fn filled(folder: &Path) -> LocalLog {
    let log = LocalLog::open(&folder.join("log.db")).unwrap();
    for number in 0..700 {
        log.append(record(number % 3, &format!("record {number}"))).await.unwrap();
    }
    log
}

async fn texts(log: &LocalLog, partition: u16) -> Vec<String> {
    let records = log.read(partition, 0, 1_000, 10_000_000).await.unwrap();
    records.into_iter().map(|record| String::from_utf8(record.bytes).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_is_at_its_own_offset_and_a_copy_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (_cluster, settings) = cluster(1);
    let log = filled(folder.path()).await;
    let earlier = KafkaLog::open(settings.clone()).unwrap();
    for text in texts(&log, 1).await.into_iter().take(40) {
        earlier.append(record(1, &text)).await.unwrap();
    }
    let mut seen = Vec::new();
    let records = copy_log(&log, &settings, &mut |copied| seen.push(copied)).await.unwrap();
    assert_eq!(records, 700);
    for partition in 0..3 {
        assert_eq!(stored(&settings, partition).await, texts(&log, partition).await);
    }
    let of = texts(&log, 1).await.len() as u64;
    assert!(
        seen.contains(&Copied { partition: 1, records: 40, of })
            && seen.contains(&Copied { partition: 1, records: of, of })
    );
    assert_eq!(copy_log(&log, &settings, &mut |_| {}).await.unwrap(), 700, "once more changes nothing");
    assert_eq!(stored(&settings, 1).await.len() as u64, of);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_holds_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_cluster, settings) = cluster(1);
    let log = filled(folder.path()).await;
    KafkaLog::open(settings.clone()).unwrap().append(record(2, "another")).await.unwrap();
    let words = copy_log(&log, &settings, &mut |_| {}).await.unwrap_err().to_string();
    assert!(words.starts_with("partition 2 of topic at.events.v1 does not begin like the local log"), "{words}");
}
