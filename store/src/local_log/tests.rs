//! What only the SQLite log promises: damage is noticed, a full disk passes, a torn
//! write-ahead file never makes an offset twice.

use super::*;
use std::path::PathBuf;

fn record(partition: u16, text: &str) -> NewRecord {
    NewRecord { partition, bytes: text.as_bytes().to_vec() }
}

fn copy_without_shared_memory(from: &Path, to: &Path, wal_bytes: usize) {
    std::fs::copy(from.join("log.db"), to.join("log.db")).unwrap();
    let wal = std::fs::read(from.join("log.db-wal")).unwrap();
    std::fs::write(to.join("log.db-wal"), &wal[..wal_bytes]).unwrap();
}

async fn filled(folder: &Path, count: u64) -> (LocalLog, PathBuf) {
    let path = folder.join("log.db");
    let log = LocalLog::open(&path).unwrap();
    for number in 0..count {
        log.append(record(2, &format!("record {number}"))).await.unwrap();
    }
    (log, path)
}

#[tokio::test]
async fn a_changed_byte_is_noticed_and_can_be_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let (log, path) = filled(folder.path(), 10).await;
    let file = rusqlite::Connection::open(&path).unwrap();
    let changed =
        file.execute("update records set body = cast('recorD 4' as blob) where part = 2 and off = 4", []).unwrap();
    assert_eq!(changed, 1);

    assert_eq!(log.read(2, 0, 100, 10_000).await.unwrap().len(), 4, "up to the damage");
    let error = log.read(2, 4, 100, 10_000).await.unwrap_err();
    assert!(matches!(error, LogError::Damaged { partition: 2, offset: 4, .. }), "{error}");
    assert_eq!(log.read(2, 5, 100, 10_000).await.unwrap().len(), 5, "only who asks beyond it sees more");
    let (damage, looked) = log.find_damage(2, 0, 1_000).await.unwrap();
    assert_eq!((damage.map(|damage| damage.offset), looked), (Some(4), 4));

    log.replace(2, 4, b"record 4".to_vec()).await.unwrap();
    assert_eq!(log.read(2, 0, 100, 10_000).await.unwrap().len(), 10);
    assert_eq!(log.find_damage(2, 0, 1_000).await.unwrap(), (None, 10));
    assert_eq!(log.find_damage(2, 0, 3).await.unwrap(), (None, 3));
    let words = log.replace(2, 10, b"x".to_vec()).await.unwrap_err().to_string();
    assert!(words.contains("partition 2 has no offset 10, its end is 10"), "{words}");
}

#[tokio::test]
async fn a_record_in_the_place_of_another_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, path) = filled(folder.path(), 10).await;
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch(
        "create temp table kept as select crc, body from records where part = 2 and off = 7;
         update records set crc = (select crc from kept), body = (select body from kept) where part = 2 and off = 3;",
    )
    .unwrap();
    assert!(matches!(log.read(2, 3, 1, 1).await, Err(LogError::Damaged { offset: 3, .. })));
}

#[tokio::test]
async fn a_missing_record_is_damage_in_the_middle_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (log, path) = filled(folder.path(), 10).await;
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute("delete from records where part = 2 and off in (5, 9)", []).unwrap();
    assert_eq!(log.read(2, 0, 100, 10_000).await.unwrap().len(), 5);
    let words = log.read(2, 5, 100, 10_000).await.unwrap_err().to_string();
    assert_eq!(words, "record 5 of partition 2 is damaged: it is missing");
    assert_eq!(log.read(2, 6, 100, 10_000).await.unwrap().len(), 3);
    assert!(matches!(log.read(2, 9, 100, 10_000).await, Err(LogError::Damaged { offset: 9, .. })));
    log.replace(2, 9, b"again".to_vec()).await.unwrap();
    assert_eq!(log.append(record(2, "next")).await.unwrap(), Appended::Log(10), "an offset is never issued twice");
}

#[tokio::test]
async fn a_torn_write_ahead_file_leaves_a_shorter_but_whole_log() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _path) = filled(folder.path(), 60).await;
    let wal_bytes = std::fs::metadata(folder.path().join("log.db-wal")).unwrap().len() as usize;
    assert!(wal_bytes > 60 * 4096, "the records are still in the write-ahead file");
    let mut lengths = Vec::new();
    // Odd steps meet every place in a frame: header, middle of a page, end.
    for kept in (0..wal_bytes).rev().step_by(12_289).chain([wal_bytes]) {
        let copy = tempfile::tempdir().unwrap();
        copy_without_shared_memory(folder.path(), copy.path(), kept);
        let torn = LocalLog::open(&copy.path().join("log.db")).unwrap();
        let (_, end) = torn.bounds(2).await.unwrap();
        let records = torn.read(2, 0, 1_000, 1_000_000).await.unwrap();
        assert_eq!(records.len() as u64, end, "kept {kept} bytes");
        for (number, stored) in records.iter().enumerate() {
            assert_eq!(
                (stored.offset, stored.bytes.as_slice()),
                (number as u64, format!("record {number}").as_bytes())
            );
        }
        assert_eq!(torn.append(record(2, "after")).await.unwrap(), Appended::Log(end));
        lengths.push(end);
    }
    assert_eq!(lengths.last(), Some(&60));
    assert!(lengths.iter().any(|end| (1..60).contains(end)), "some were cut in the middle: {lengths:?}");
    drop(log);
}

#[tokio::test]
async fn a_full_disk_refuses_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = filled(folder.path(), 3).await;
    log.set_max_file_bytes(u64::from(file::PAGE_BYTES) * 8).await.unwrap();
    let mut end = 3;
    let refused = loop {
        match log.append(record(2, &"x".repeat(4_000))).await {
            Ok(offset) => {
                assert_eq!(offset, Appended::Log(end));
                end += 1;
            }
            Err(error) => break error,
        }
        assert!(end < 100, "the limit is met");
    };
    assert!(matches!(&refused, LogError::Unavailable(words) if words.contains("full")), "{refused}");
    for _ in 0..3 {
        assert!(matches!(log.append(record(2, &"x".repeat(4_000))).await, Err(LogError::Unavailable(_))));
    }
    assert_eq!(log.bounds(2).await.unwrap(), (0, end));
    assert_eq!(log.read(2, 0, 100, 1_000_000).await.unwrap().len() as u64, end, "no acknowledged record is lost");
    log.set_max_file_bytes(u64::MAX).await.unwrap();
    assert_eq!(log.append(record(2, "space again")).await.unwrap(), Appended::Log(end));
}

#[tokio::test]
async fn after_an_error_of_the_file_the_thread_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (log, path) = filled(folder.path(), 3).await;
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch("alter table ends rename to hidden").unwrap();
    assert!(matches!(log.append(record(2, "x")).await, Err(LogError::Unavailable(_))));
    assert!(matches!(log.append(record(2, "x")).await, Err(LogError::Unavailable(_))));
    file.execute_batch("alter table hidden rename to ends").unwrap();
    assert_eq!(log.append(record(2, "x")).await.unwrap(), Appended::Log(3));
    // A file that was shortened behind the thread's back must not make an offset twice.
    file.execute_batch("update ends set next_off = 1; alter table records rename to hidden").unwrap();
    assert!(matches!(log.append(record(2, "x")).await, Err(LogError::Unavailable(_))));
    file.execute_batch("alter table hidden rename to records").unwrap();
    let words = log.append(record(2, "x")).await.unwrap_err().to_string();
    assert!(words.contains("lost records"), "{words}");
}

#[tokio::test]
async fn many_at_once_are_cut_and_answered_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(&folder.path().join("log.db")).unwrap();
    let records: Vec<_> = (0..3_000).map(|number: u16| record(number % 3, &number.to_string())).collect();
    let mut with_a_bad_one = records.clone();
    with_a_bad_one.insert(2_500, record(PARTITIONS, "x"));
    let answers = log.append_many(records).await;
    let offsets: Vec<u64> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(offsets, (0..3_000).map(|number| number / 3).collect::<Vec<u64>>());
    let answers = log.append_many(with_a_bad_one).await;
    assert_eq!(answers.len(), 3_001);
    assert_eq!(
        answers.iter().filter(|answer| answer.is_ok()).count(),
        2_048,
        "the piece with the bad record is refused as a whole"
    );
    assert!(log.append_many(Vec::new()).await.is_empty());
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(&folder.path().join("log.db")).unwrap();
    // Another writer holds the file, so that the thread waits and the queue fills.
    let file = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
    file.execute_batch("begin immediate").unwrap();
    let mut waiting = Vec::new();
    let refused = loop {
        match log.enqueue(vec![NewRecord { partition: 0, bytes: vec![0; MAX_RECORD_BYTES] }]) {
            Ok(answer) => waiting.push(answer),
            Err(error) => break error,
        }
        assert!(waiting.len() < 100);
    };
    assert!(
        matches!(&refused, LogError::Unavailable(words) if words.contains("bytes wait to be written")),
        "{refused}"
    );
    file.execute_batch("commit").unwrap();
    for answer in waiting {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(log.queued_bytes.load(Ordering::Relaxed), 0);
    log.append(record(0, "x")).await.unwrap();
}

#[tokio::test]
async fn shutting_down_writes_what_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let log = LocalLog::open(&path).unwrap();
    let answers: Vec<_> = (0..500).map(|number| log.enqueue(vec![record(1, &number.to_string())]).unwrap()).collect();
    log.shutdown().await;
    log.shutdown().await;
    for (offset, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().unwrap(), [offset as u64]);
    }
    assert!(matches!(log.append(record(1, "late")).await, Err(LogError::Unavailable(_))));
    assert_eq!(log.bounds(1).await.unwrap(), (0, 500));
    drop(log);
    assert_eq!(LocalLog::open(&path).unwrap().bounds(1).await.unwrap(), (0, 500));
}
