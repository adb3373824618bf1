//! A log that lost its tail after it was folded: every record is there, or the start is refused
//! and says which are missing. No offset is given out twice.

use crate::instance::{Instance, binary, maya, session};
use domain::ids::PARTITIONS;
use processor::continuity::{ContinuityError, check_continuity};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use store::event_log::{EventLog, NewRecord};
use store::fold_store::{FoldStore, SqliteFoldStore};
use store::local_log::LocalLog;

/// How much of the end of the write-ahead file is cut away, and in which steps.
const CUT_BYTES: u64 = 64 * 1024;
const STEP_BYTES: u64 = 512;
/// Deliveries before the kill: more than the part that is cut.
const DELIVERIES: usize = 60;

/// What one partition held, in order.
type Records = Vec<Vec<u8>>;

async fn records_of(log: &LocalLog, partition: u16) -> Records {
    let end = log.bounds(partition).await.unwrap().1;
    let records = log.read(partition, 0, 10_000, usize::MAX).await.unwrap();
    assert_eq!(records.len() as u64, end, "no gaps");
    records.into_iter().map(|record| record.bytes).collect()
}

/// A copy of the databases, with the log's write-ahead file cut to a length.
fn copy_cut(from: &Path, to: &Path, wal_bytes: u64) {
    std::fs::create_dir(to).unwrap();
    for name in [
        "log.db",
        "log.db-wal",
        "fold.db",
        "fold.db-wal",
        "control.db",
        "control.db-wal",
        "master.key",
        "format-version",
    ] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
    std::fs::OpenOptions::new().write(true).open(to.join("log.db-wal")).unwrap().set_len(wal_bytes).unwrap();
}

/// Delivers, lets everything be folded, and ends the process as a power cut would.
async fn killed_after_folding() -> Instance {
    let mut it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    for n in 0..DELIVERIES {
        assert!(it.deliver(&acme, &session(&format!("tail{n}"), json!({})).to_string()).await.status < 300);
    }
    acme.settle().await;
    it.product.kill().await.unwrap();
    it
}

/// Opens a copy as a start does. True when all is there; else checks that the words name what is missing.
async fn is_whole(dir: &Path, whole: &[Records]) -> bool {
    // What a start refuses before anything runs is as good.
    let Ok(log) = LocalLog::open(&dir.join("log.db")) else { return false };
    let fold = SqliteFoldStore::open(&dir.join("fold.db")).unwrap();
    let partitions: Vec<u16> = (0..PARTITIONS).collect();
    match check_continuity(&log, &fold, &partitions).await {
        Ok(()) => {}
        Err(error @ ContinuityError::LogLostItsTail { partition, end, last }) => {
            assert_eq!(last + 1, fold.position(partition).unwrap().next_offset);
            assert!(end <= last, "records {end} to {last}");
            let words = error.to_string();
            assert!(words.contains(&format!("records {end} to {last} were folded but are not in the log")), "{words}");
            return false;
        }
        Err(other) => panic!("a cut tail is a lost tail, not: {other}"),
    }
    for partition in partitions {
        let expected = &whole[usize::from(partition)];
        assert_eq!(&records_of(&log, partition).await, expected, "partition {partition}");
        let next = log.append(NewRecord { partition, bytes: b"{}".to_vec() }).await.unwrap();
        assert_eq!(next.offset(), Some(expected.len() as u64), "an offset is given out once");
    }
    log.shutdown().await;
    true
}

#[tokio::test]
async fn a_log_that_was_cut_is_whole_or_refused_with_the_missing_offsets() {
    let it = killed_after_folding().await;
    let copies = tempfile::tempdir().unwrap();
    let length = std::fs::metadata(it.data_dir().join("log.db-wal")).unwrap().len();
    assert!(length > CUT_BYTES, "the write-ahead file has {length} bytes");
    let uncut = copies.path().join("uncut");
    copy_cut(&it.data_dir(), &uncut, length);
    let log = LocalLog::open(&uncut.join("log.db")).unwrap();
    let mut whole = Vec::new();
    for partition in 0..PARTITIONS {
        whole.push(records_of(&log, partition).await);
    }
    drop(log);
    assert!(whole.iter().map(Vec::len).sum::<usize>() > DELIVERIES);
    let (mut complete, mut refused) = (0, 0);
    for step in 0..=CUT_BYTES / STEP_BYTES {
        let copy = copies.path().join(format!("cut-{step}"));
        copy_cut(&it.data_dir(), &copy, length - step * STEP_BYTES);
        if is_whole(&copy, &whole).await {
            complete += 1
        } else {
            refused += 1
        }
        std::fs::remove_dir_all(copy).unwrap();
    }
    assert!(complete >= 1 && refused > 100, "{complete} complete, {refused} refused");
}

#[tokio::test]
async fn the_binary_refuses_a_cut_log_in_words_and_changes_nothing() {
    let it = killed_after_folding().await;
    let copies = tempfile::tempdir().unwrap();
    let length = std::fs::metadata(it.data_dir().join("log.db-wal")).unwrap().len();
    for (n, cut) in [4_096, 30_000, CUT_BYTES].into_iter().enumerate() {
        let copy = copies.path().join(format!("copy-{n}"));
        copy_cut(&it.data_dir(), &copy, length - cut);
        let output = Command::new(binary()).arg("run").env("DATA_DIR", &copy).env("PORT", "0").output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{words}");
        assert!(words.contains("were folded but are not in the log") && words.contains("log.db"), "{words}");
    }
}
