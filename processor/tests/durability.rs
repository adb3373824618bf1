//! Whatever happens between two commits: the same log ends in the same state, and a log that is
//! not the one that was folded is noticed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use domain::decision::{Base, Decision, Duration, Rate, RuleScope, SetRule};
use domain::fold::SLICE;
use domain::ids::*;
use domain::line::LineKind;
use processor::continuity::{ContinuityError, check_continuity};
use processor::worker::FoldLimits;
use schemas::record::Record;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration as Time;
use store::event_log::{EventLog, NewRecord, all_partitions, partition_of};
use store::fold_store::{Commit, FoldStore, OutboxItem, Position};
use store::local_log::LocalLog;
use support::*;

/// Sales, refunds before and after them, duplicates, poison, decisions between.
fn eventful(vendor: VendorId) -> Vec<Record> {
    let mut records = Vec::new();
    let mut decisions = opened(vendor).into_iter();
    for number in 0..30 {
        let name = number.to_string();
        if number % 3 == 0 {
            records.push(refund(vendor, &name, 1_190, "usd"));
        }
        records.push(sale(vendor, &name));
        if number % 4 == 0 {
            records.push(sale(vendor, &name));
            records.push(refund(vendor, &name, 11_900, "usd"));
        }
        if number % 7 == 0 {
            records.push(delivery(vendor, &format!("evt_bad_{number}"), "invoice.paid", NOON, &json!({"id": number})));
            records.push(refund(vendor, &name, 50, "eur"));
        }
        records.extend(decisions.next());
    }
    records.push(decision(vendor, 4, mapped_to(None)));
    records.push(decision(vendor, 5, mapped_to(Some(8))));
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cut_and_every_restart_ends_in_the_same_state() {
    let partition = partition_of(VENDOR);
    let undisturbed = Bench::new();
    undisturbed.append(&eventful(VENDOR)).await;
    undisturbed.fold_all(partition, 10_000).await;
    let expected = undisturbed.picture(VENDOR);
    assert_eq!(expected.3.values().sum::<u64>(), eventful(VENDOR).len() as u64, "P1: {:?}", expected.3);
    assert!(
        ["counted", "no_effect", "refused", "decisions"].iter().all(|outcome| expected.3.contains_key(*outcome)),
        "{:?}",
        expected.3
    );
    // Half, then everything is dropped, then the rest.
    let mut bench = Bench::new();
    bench.append(&eventful(VENDOR)).await;
    assert!(bench.fold_once(partition, eventful(VENDOR).len() / 2).await);
    bench = bench.reopened();
    bench.fold_all(partition, 10_000).await;
    assert_eq!(bench.picture(VENDOR), expected);
    // A new process for every few records.
    for size in [1, 7] {
        let mut bench = Bench::new();
        bench.append(&eventful(VENDOR)).await;
        let mut rounds = 0;
        while bench.fold_once(partition, size).await {
            rounds += 1;
            if rounds % 5 == 0 {
                bench = bench.reopened();
                check_continuity(bench.log.as_ref(), bench.store.as_ref(), &[partition]).await.unwrap();
            }
        }
        assert_eq!(bench.picture(VENDOR), expected, "batches of {size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_and_started_ends_in_the_same_state() {
    let partition = partition_of(VENDOR);
    let undisturbed = Bench::new();
    undisturbed.append(&eventful(VENDOR)).await;
    undisturbed.fold_all(partition, 10_000).await;
    let expected = undisturbed.picture(VENDOR);
    let bench = Bench::new();
    let limits = FoldLimits { records: 3, ..FoldLimits::default() };
    for part in eventful(VENDOR).chunks(11) {
        let running = bench.worker(vec![partition], limits);
        bench.append(part).await;
        tokio::time::sleep(Time::from_millis(5)).await;
        running.stop();
    }
    let running = bench.worker(vec![partition], limits);
    bench.until_folded(partition).await;
    assert!(running.alarms.list().is_empty());
    running.stop();
    assert_eq!(bench.picture(VENDOR), expected);
}

/// Two processors believe that the partition is theirs: only one commit of two from the same
/// position is taken, so everything is booked once.
#[tokio::test(flavor = "multi_thread")]
async fn two_workers_on_one_partition_book_everything_once() {
    let partition = partition_of(VENDOR);
    let undisturbed = Bench::new();
    undisturbed.append(&eventful(VENDOR)).await;
    undisturbed.fold_all(partition, 10_000).await;
    let bench = Bench::new();
    bench.append(&eventful(VENDOR)).await;
    let limits = FoldLimits { records: 2, ..FoldLimits::default() };
    let rivals = [bench.worker(vec![partition], limits), bench.worker(vec![partition], limits)];
    bench.until_folded(partition).await;
    for running in rivals {
        for (stopped, words) in running.alarms.list() {
            assert!(stopped == partition && words.contains("was moved by another processor"), "{words}");
        }
        running.stop();
    }
    assert_eq!(bench.picture(VENDOR), undisturbed.picture(VENDOR));
}

/// More stories than two slices hold, all with the same code.
async fn crowded(bench: &Bench) -> u64 {
    let sales = (2 * SLICE + 50) as u64;
    let mut records = opened(VENDOR);
    records.extend((0..sales).map(|number| sale(VENDOR, &format!("{number:04}"))));
    bench.append(&records).await;
    bench.fold_all(partition_of(VENDOR), 1_000).await;
    sales
}

fn far_reaching() -> Vec<Record> {
    let rule = SetRule {
        rev: 1,
        scope: RuleScope::Vendor,
        effective_from: Timestamp(0),
        rate: Some(Rate::Percent { ppm: 100_000 }),
        duration: Duration::Life,
        base: Base::Net,
    };
    vec![decision(VENDOR, 4, mapped_to(Some(8))), decision(VENDOR, 5, Decision::SetRule(rule)), sale(VENDOR, "after")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_reaching_decision_is_folded_in_slices_and_survives_a_restart_between_them() {
    let partition = partition_of(VENDOR);
    let undisturbed = Bench::new();
    let sales = crowded(&undisturbed).await;
    undisturbed.append(&far_reaching()).await;
    undisturbed.fold_all(partition, 1_000).await;
    let expected = undisturbed.picture(VENDOR);
    let mut bench = Bench::new();
    crowded(&bench).await;
    let moved_at = bench.append(&far_reaching()).await[0];
    let mut unfinished = Vec::new();
    // A new process for every slice.
    while bench.fold_once(partition, 1_000).await {
        bench = bench.reopened();
        let position = bench.store.position(partition).unwrap();
        let Some(rest) = &position.fanout else { continue };
        unfinished.push(position.next_offset);
        assert!(rest.after > StoryId(0));
        let visible = bench.store.outbox(&all_partitions(), 1_000_000).unwrap().ranges[0].visible;
        assert_eq!(visible, position.next_offset, "it is visible only after its last slice");
        assert_eq!(
            bench.store.records(partition, &[position.next_offset]).unwrap().len(),
            1,
            "it has its outcome from the first slice on"
        );
    }
    assert_eq!(
        unfinished,
        [moved_at, moved_at, moved_at + 1, moved_at + 1],
        "the position stays at a record until its third slice"
    );
    assert_eq!(bench.picture(VENDOR), expected);
    assert_eq!(bench.sums().1, 10_000 * (sales as i64 + 1));
    assert_eq!(bench.sums().2, 1_000 * (sales as i64 + 1), "10 % of everything");
    for record in [moved_at, moved_at + 1] {
        let lines: Vec<_> = bench
            .outbox()
            .into_iter()
            .filter_map(|item| match item {
                OutboxItem::Line(line) if line.src_off == record => Some(line),
                OutboxItem::Line(_) | OutboxItem::Row(_) => None,
            })
            .collect();
        let ords: Vec<u32> = lines.iter().map(|line| line.ord).collect();
        assert_eq!(ords, (0..lines.len() as u32).collect::<Vec<u32>>(), "`ord` counts on through the slices");
        let gross: i64 = lines.iter().map(|line| line.amounts.gross).sum();
        assert_eq!(gross, 0, "nothing is made or lost");
        let kinds = if record == moved_at { vec![LineKind::MoveOut, LineKind::MoveIn] } else { vec![LineKind::Rerate] };
        assert_eq!(lines.len() as u64, sales * kinds.len() as u64);
        assert!(lines.iter().all(|line| kinds.contains(&line.kind)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_tail_is_refused_by_name() {
    let bench = Bench::new();
    let partition = partition_of(VENDOR);
    bench.fold(&[sale(VENDOR, "a"), sale(VENDOR, "b"), sale(VENDOR, "c")]).await;
    check_continuity(bench.log.as_ref(), bench.store.as_ref(), &(0..PARTITIONS).collect::<Vec<u16>>()).await.unwrap();
    let shorter = LocalLog::open(&bench.folder.path().join("other.db")).unwrap();
    for name in ["a", "b"] {
        shorter.append(NewRecord { partition, bytes: sale(VENDOR, name).encode() }).await.unwrap();
    }
    let error = check_continuity(&shorter, bench.store.as_ref(), &[partition]).await.unwrap_err();
    assert!(matches!(error, ContinuityError::LogLostItsTail { end: 2, last: 2, .. }), "{error}");
    let words = error.to_string();
    assert!(
        words.contains(&format!("partition {partition}: records 2 to 2")) && words.contains("Restore the log (log.db"),
        "{words}"
    );
    // The log as long again, with another record: an offset was given out twice.
    shorter.append(NewRecord { partition, bytes: sale(VENDOR, "d").encode() }).await.unwrap();
    let error = check_continuity(&shorter, bench.store.as_ref(), &[partition]).await.unwrap_err();
    assert!(matches!(error, ContinuityError::OtherRecord { offset: 2, .. }), "{error}");
    shorter.append(NewRecord { partition, bytes: sale(VENDOR, "e").encode() }).await.unwrap();
    assert!(check_continuity(&shorter, bench.store.as_ref(), &[partition]).await.is_err(), "and longer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_last_record_is_refused() {
    let bench = Bench::new();
    let partition = partition_of(VENDOR);
    bench.fold(&[sale(VENDOR, "a"), sale(VENDOR, "b")]).await;
    bench.log.replace(partition, 1, sale(VENDOR, "x").encode()).await.unwrap();
    let error = check_continuity(bench.log.as_ref(), bench.store.as_ref(), &[partition]).await.unwrap_err();
    assert!(matches!(error, ContinuityError::OtherRecord { offset: 1, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_fold_revision_is_refused() {
    let bench = Bench::new();
    let partition = partition_of(VENDOR);
    bench.fold(&[sale(VENDOR, "a")]).await;
    let position = bench.store.position(partition).unwrap();
    let other = Position { revision: position.revision + 1, ..position.clone() };
    bench.store.commit(partition, &position, &other, &Commit::default()).unwrap();
    let error = check_continuity(bench.log.as_ref(), bench.store.as_ref(), &[partition]).await.unwrap_err();
    let words = error.to_string();
    assert!(matches!(error, ContinuityError::OtherRevision { .. }) && words.contains("fold the log anew"), "{words}");
}

/// Flips one byte of the file where `text` stands.
fn damage(path: &std::path::Path, text: &str) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_stops_its_partition_until_it_is_repaired() {
    let (mine, theirs) = (VENDOR, vendor_elsewhere(VENDOR));
    let partition = partition_of(mine);
    let bench = Bench::new();
    bench.append(&[sale(mine, "a"), sale(mine, "broken"), sale(mine, "c")]).await;
    bench.append(&[sale(theirs, "d")]).await;
    let Bench { folder, log, store } = bench;
    drop((log, store));
    damage(&folder.path().join("log.db"), "evt_sale_broken");
    let log = Arc::new(LocalLog::open(&folder.path().join("log.db")).unwrap());
    let store = Arc::new(store::fold_store::SqliteFoldStore::open(&folder.path().join("fold.db")).unwrap());
    let bench = Bench { folder, log, store };
    let running = bench.worker((0..PARTITIONS).collect(), FoldLimits::default());
    bench.until_folded(partition_of(theirs)).await;
    bench.until("an alarm", async || !running.alarms.list().is_empty()).await;
    let alarms = running.alarms.list();
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].0, partition);
    assert!(alarms[0].1.contains(&format!("record 1 of partition {partition} is damaged")), "{}", alarms[0].1);
    assert_eq!(bench.store.position(partition).unwrap().next_offset, 1, "nothing is skipped");
    // The others go on meanwhile.
    bench.append(&[sale(theirs, "e")]).await;
    bench.until_folded(partition_of(theirs)).await;
    bench.log.replace(partition, 1, sale(mine, "broken").encode()).await.unwrap();
    bench.until_folded(partition).await;
    bench.until("the alarm ends", async || running.alarms.list().is_empty()).await;
    running.stop();
    assert_eq!(bench.sums().1, 50_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_newer_version_stops_its_partition_at_that_record() {
    let (mine, theirs) = (VENDOR, vendor_elsewhere(VENDOR));
    let partition = partition_of(mine);
    let bench = Bench::new();
    bench.append(&[sale(mine, "a"), sale(theirs, "d")]).await;
    let newer = String::from_utf8(sale(mine, "b").encode()).unwrap().replacen("\"v\":1", "\"v\":2", 1);
    bench.log.append(NewRecord { partition, bytes: newer.into_bytes() }).await.unwrap();
    bench.append(&[sale(mine, "c")]).await;
    let running = bench.worker((0..PARTITIONS).collect(), FoldLimits::default());
    bench.until_folded(partition_of(theirs)).await;
    bench.until("an alarm", async || !running.alarms.list().is_empty()).await;
    let words = running.alarms.list()[0].1.clone();
    assert!(words.contains("record 1") && words.contains("version 2") && words.contains("newer binary"), "{words}");
    tokio::time::sleep(Time::from_millis(200)).await;
    running.stop();
    assert_eq!(
        bench.store.position(partition).unwrap().next_offset,
        1,
        "what is before it is folded, and it is not passed"
    );
}

/// The warehouse is away: every partition pauses, not only the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_outbox_pauses_folding_until_there_is_room() {
    let partition = partition_of(VENDOR);
    let first = (0..PARTITIONS).find(|other| *other != partition).unwrap();
    for partitions in [vec![partition], vec![first, partition]] {
        let bench = Bench::new();
        bench.append(&(0..20).map(|number| sale(VENDOR, &number.to_string())).collect::<Vec<_>>()).await;
        let limits = FoldLimits { records: 1, outbox_items: 6, ..FoldLimits::default() };
        let running = bench.worker(partitions.clone(), limits);
        tokio::time::sleep(Time::from_millis(700)).await;
        let waiting = bench.store.outbox_len().unwrap();
        assert!((1..=10).contains(&waiting), "{waiting} items wait although 6 are allowed (partitions {partitions:?})");
        bench
            .until("everything is folded as room is made", async || {
                let batch = bench.store.outbox(&all_partitions(), 1_000).unwrap();
                bench.store.delivered(&batch, Timestamp(1)).unwrap();
                bench.store.position(partition).unwrap().next_offset == 20
            })
            .await;
        running.stop();
    }
}
