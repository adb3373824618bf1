//! The spool: nothing is lost, nothing overtakes, and it has limits.

use super::mock_tests::{Cluster, cluster, record, stored};
use super::spool::{SpoolSettings, SpoolStatus, SpooledLog};
use super::*;
use domain::ids::Timestamp;
use std::path::Path;
use std::sync::atomic::AtomicI64;

const PATIENCE: Duration = Duration::from_secs(120);

/// A clock that stands still until it is set.
#[derive(Clone, Default)]
struct Hands(Arc<AtomicI64>);

async fn open(settings: &KafkaSettings, folder: &Path, hands: &Hands) -> SpooledLog {
    open_with(settings, SpoolSettings::in_folder(folder.to_owned()), hands).await
}

async fn open_with(settings: &KafkaSettings, spool: SpoolSettings, hands: &Hands) -> SpooledLog {
    open_over(Arc::new(KafkaLog::open(settings.clone()).unwrap()), spool, hands).await
}

async fn open_over(kafka: Arc<KafkaLog>, spool: SpoolSettings, hands: &Hands) -> SpooledLog {
    let hands = hands.clone();
    let clock = Arc::new(move || Timestamp(hands.0.load(Ordering::Relaxed)));
    SpooledLog::open(kafka, spool, clock).await.unwrap()
}

async fn until_empty(log: &SpooledLog) {
    let emptied = tokio::time::timeout(PATIENCE, async {
        while log.status().bytes > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    emptied.await.expect("the spool empties when the broker is back");
}

/// A log whose broker went away after the first record of partition 0, and that knows it.
async fn without_broker(folder: &Path) -> (Cluster, KafkaSettings, SpooledLog) {
    let (cluster, settings) = cluster(1);
    let kafka = Arc::new(KafkaLog::open(settings.clone()).unwrap());
    let spool = SpoolSettings::in_folder(folder.to_owned());
    let log = open_over(Arc::clone(&kafka), spool, &Hands::default()).await;
    assert_eq!(log.append(record(0, "first")).await.unwrap(), Appended::Log(0));
    cluster.broker_down(-1).unwrap();
    let known = tokio::time::timeout(PATIENCE, async {
        while !kafka.is_away() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    // From here on nothing is tried directly.
    known.await.expect("a broker that cannot be reached is noticed");
    (cluster, settings, log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_while_the_broker_was_away_arrives_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, settings, log) = without_broker(folder.path()).await;
    for number in 0..50 {
        assert_eq!(log.append(record(0, &number.to_string())).await.unwrap(), Appended::Spool);
        assert_eq!(log.append(record(7, &number.to_string())).await.unwrap(), Appended::Spool);
    }
    assert!(log.status().bytes > 0);
    cluster.broker_up(-1).unwrap();
    until_empty(&log).await;
    assert_eq!(log.status(), SpoolStatus { bytes: 0, oldest: None, spooled: 100, forwarded: 100 });
    for partition in [0, 7] {
        let expected = (0..50).map(|number| number.to_string());
        let stored = stored(&settings, partition).await;
        assert_eq!(stored.into_iter().filter(|text| text != "first").collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
    let direct = tokio::time::timeout(PATIENCE, async {
        while log.append(record(7, "direct")).await.unwrap() == Appended::Spool {}
    });
    direct.await.expect("it goes to Kafka directly again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_overtakes_while_the_broker_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, settings) = cluster(1);
    let mut spool = SpoolSettings::in_folder(folder.path().to_owned());
    spool.spool_after = Duration::from_millis(300);
    let log = Arc::new(open_with(&settings, spool, &Hands::default()).await);
    let writer = {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let mut spooled = 0;
            for number in 0..1_500 {
                let appended = log.append(record(3, &format!("{number:05}"))).await.unwrap();
                spooled += u32::from(appended == Appended::Spool);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            spooled
        })
    };
    while !writer.is_finished() {
        cluster.broker_down(-1).unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        cluster.broker_up(-1).unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert!(writer.await.unwrap() > 0, "some of it was spooled");
    until_empty(&log).await;
    let mut firsts: Vec<String> = Vec::new();
    for text in stored(&settings, 3).await {
        // Copies may come later; the first of each must be in order.
        if !firsts.contains(&text) {
            firsts.push(text);
        }
    }
    let expected: Vec<String> = (0..1_500).map(|number| format!("{number:05}")).collect();
    assert_eq!(firsts, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_where_forwarding_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, settings, log) = without_broker(folder.path()).await;
    for number in 0..20 {
        log.append(record(0, &number.to_string())).await.unwrap();
    }
    log.shutdown().await;
    drop(log);
    cluster.broker_up(-1).unwrap();
    for _ in 0..2 {
        let log = open(&settings, folder.path(), &Hands::default()).await;
        until_empty(&log).await;
        log.shutdown().await;
    }
    let stored = stored(&settings, 0).await;
    let mut expected = vec!["first".to_owned()];
    expected.extend((0..20).map(|number| number.to_string()));
    assert_eq!(stored, expected, "the second start forwarded nothing again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_between_report_and_note_makes_copies_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, settings, log) = without_broker(folder.path()).await;
    for number in 0..5 {
        log.append(record(0, &number.to_string())).await.unwrap();
    }
    cluster.broker_up(-1).unwrap();
    until_empty(&log).await;
    log.shutdown().await;
    std::fs::remove_file(folder.path().join("forwarded.json")).unwrap();
    let log = open(&settings, folder.path(), &Hands::default()).await;
    until_empty(&log).await;
    let expected = ["first", "0", "1", "2", "3", "4", "0", "1", "2", "3", "4"];
    assert_eq!(stored(&settings, 0).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_renewed_when_all_of_it_was_forwarded() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, settings, log) = without_broker(folder.path()).await;
    let large = "x".repeat(50_000);
    for _ in 0..4 {
        log.append(record(0, &large)).await.unwrap();
    }
    cluster.broker_up(-1).unwrap();
    until_empty(&log).await;
    let renewed = tokio::time::timeout(PATIENCE, async {
        while folder.path().join("spool-1.db").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    renewed.await.expect("the old file goes");
    assert!(folder.path().join("spool-2.db").exists());
    cluster.broker_down(-1).unwrap();
    log.append(record(0, "again")).await.unwrap();
    log.shutdown().await;
    // A position file that does not know of the new file yet.
    std::fs::write(folder.path().join("forwarded.json"), r#"{"generation":1,"next":[4]}"#).unwrap();
    cluster.broker_up(-1).unwrap();
    let log = open(&settings, folder.path(), &Hands::default()).await;
    until_empty(&log).await;
    assert_eq!(stored(&settings, 0).await.last().unwrap(), "again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_quota_of_bytes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, settings) = cluster(1);
    cluster.broker_down(-1).unwrap();
    let spool = SpoolSettings { quota_bytes: 250, ..SpoolSettings::in_folder(folder.path().to_owned()) };
    let log = open_with(&settings, spool, &Hands::default()).await;
    let text = "x".repeat(100);
    for _ in 0..2 {
        assert_eq!(log.append(record(0, &text)).await.unwrap(), Appended::Spool);
    }
    let words = log.append(record(1, &text)).await.unwrap_err().to_string();
    assert!(words.contains("the spool is full: 200 of 250 bytes"), "{words}");
    assert_eq!(log.append(record(1, "small")).await.unwrap(), Appended::Spool);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_quota_of_age_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, settings) = cluster(1);
    cluster.broker_down(-1).unwrap();
    let hands = Hands::default();
    let log = open(&settings, folder.path(), &hands).await;
    assert_eq!(log.append(record(0, "old")).await.unwrap(), Appended::Spool);
    assert_eq!(log.status().oldest, Some(Timestamp(0)));
    hands.0.store(24 * 3_600_000, Ordering::Relaxed);
    assert_eq!(log.append(record(0, "new")).await.unwrap(), Appended::Spool);
    hands.0.store(24 * 3_600_000 + 1, Ordering::Relaxed);
    let words = log.append(record(0, "late")).await.unwrap_err().to_string();
    assert!(words.contains("for more than 86400 s"), "{words}");
}
