//! The spike detector at the fold: one alert per spike, wherever the records are cut and whoever folds them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use domain::decision::{Campaign, Decision};
use domain::ids::*;
use domain::spikes::Alert;
use processor::batch::Batch;
use processor::owns_everything;
use processor::spikes::{SpikeTimer, SpikeWatch};
use processor::state::StoreState;
use schemas::record::Record;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::event_log::{StoredRecord, partition_of};
use store::fold_store::{Commit, FoldStore, FoldStoreError, Position, SpikeRows};
use store::live::{Announce, LiveSignal};
use support::*;

const CODE: CodeId = CodeId(1);
const MINUTE: i64 = 60;

/// A sale with the code, paid at that second and arriving `delay` seconds later.
fn redemption(name: &str, at: i64, delay: i64, customer: &str) -> Record {
    let mut object = invoice(name);
    object["created"] = json!(at - 1);
    object["status_transitions"]["paid_at"] = json!(at);
    object["customer"] = json!(customer);
    let mut record = delivery(VENDOR, &format!("evt_{name}"), "invoice.paid", at, &object);
    record.at = Timestamp::from_seconds(at + delay);
    record
}

/// The same in test mode.
fn in_test_mode(record: Record) -> Record {
    let mut bytes: serde_json::Value = serde_json::from_slice(&record.encode()).unwrap();
    let text = serde_json::to_string(&bytes).unwrap().replace("\"mode\":\"live\"", "\"mode\":\"test\"");
    bytes = serde_json::from_str(&text.replace("\"livemode\":true", "\"livemode\":false")).unwrap();
    Record::decode(&serde_json::to_vec(&bytes).unwrap()).unwrap()
}

/// Three weeks with six redemptions a day, each by somebody else, arriving as they happen.
fn quiet_weeks() -> Vec<Record> {
    let hours = (0..21 * 24).step_by(4);
    hours.map(|hour| redemption(&format!("q{hour}"), NOON + hour * 3_600, 3, &format!("cus_q{hour}"))).collect()
}

/// When the quiet weeks are over.
const BURST: i64 = NOON + 21 * DAY;

/// Thirty redemptions in a quarter of an hour.
fn burst(delay: i64) -> Vec<Record> {
    (0..30).map(|one| redemption(&format!("b{one}"), BURST + one * 30, delay, &format!("cus_b{one}"))).collect()
}

/// A day later, so that everything before is judged.
fn the_next_day() -> Record {
    redemption("last", BURST + DAY, 3, "cus_last")
}

fn story(parts: impl IntoIterator<Item = Vec<Record>>) -> Vec<Record> {
    opened(VENDOR).into_iter().chain(parts.into_iter().flatten()).collect()
}

/// A bench with these records in its log.
async fn with(records: &[Record]) -> Bench {
    let bench = Bench::new();
    bench.append(records).await;
    bench
}

/// Folds one batch as a process would that has just started; returns what would be committed.
async fn folded(bench: &Bench, size: usize) -> Option<(Position, Position, Commit)> {
    let partition = partition_of(VENDOR);
    let log = bench.stored(partition).await;
    let position = bench.store.position(partition).unwrap();
    let limit = if position.fanout.is_some() { 1 } else { size };
    let records: Vec<StoredRecord> = log.iter().skip(position.next_offset as usize).take(limit).cloned().collect();
    if records.is_empty() {
        return None;
    }
    let read_one = |offset: u64| Ok(log.get(offset as usize).cloned());
    let (mut state, mut spikes) = (StoreState::new(bench.store.as_ref()), SpikeWatch::new(bench.store.as_ref()));
    let batch = Batch::new(partition, &mut state, bench.store.as_ref(), &read_one).watched_by(&mut spikes);
    let (commit, next) = batch.fold(&position, records).unwrap();
    Some((position, next, commit))
}

fn commit(bench: &Bench, (position, next, commit): &(Position, Position, Commit)) -> Result<(), FoldStoreError> {
    bench.store.commit(partition_of(VENDOR), position, next, commit)
}

/// Folds everything in batches of these sizes, over and over, each by a new process.
async fn fold_in(bench: &Bench, sizes: &[usize]) {
    for size in sizes.iter().cycle() {
        let Some(batch) = folded(bench, *size).await else { return };
        commit(bench, &batch).unwrap();
    }
}

/// Folds everything with one worker's memory, which is never lost.
async fn fold_in_one_process(bench: &Bench) {
    let running = bench.worker(vec![partition_of(VENDOR)], processor::worker::FoldLimits::default());
    bench.until_folded(partition_of(VENDOR)).await;
    running.stop();
}

fn alerts(bench: &Bench) -> Vec<Alert> {
    bench.store.alerts(VENDOR, 100).unwrap()
}

/// Everything that the detector knows.
fn known(bench: &Bench) -> impl PartialEq + std::fmt::Debug + use<> {
    let codes = bench.store.spike_codes(&[(VENDOR, CODE)]).unwrap();
    (alerts(bench), codes, bench.store.spike_vendors(&[VENDOR]).unwrap())
}

async fn alerts_of(records: &[Record]) -> Vec<Alert> {
    let bench = with(records).await;
    fold_in(&bench, &[1_000]).await;
    alerts(&bench)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_cut_into_batches_and_any_restart_gives_the_same_alert() {
    let records = story([quiet_weeks(), burst(3), vec![the_next_day()]]);
    let whole = with(&records).await;
    fold_in(&whole, &[1_000]).await;
    let found = alerts(&whole);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].code, CODE);
    assert!(found[0].first_crossing.seconds() >= BURST && found[0].first_crossing.seconds() < BURST + 15 * MINUTE);
    assert!(found[0].observed >= 5 && found[0].expected < 2.0 && found[0].customers >= 3, "{found:?}");
    let expected = known(&whole);
    for sizes in [&[1][..], &[2], &[7], &[50], &[1, 30, 3, 11, 1, 2]] {
        let bench = with(&records).await;
        fold_in(&bench, sizes).await;
        assert_eq!(known(&bench), expected, "batches of {sizes:?}");
    }
    let bench = with(&records).await;
    fold_in_one_process(&bench).await;
    assert_eq!(known(&bench), expected, "one worker");
    assert_eq!(bench.outbox(), whole.outbox());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_lost_or_folded_twice_gives_one_alert() {
    let records = story([quiet_weeks(), burst(3), vec![the_next_day()]]);
    let mut bench = with(&records).await;
    let mut expected = with(&records).await;
    fold_in(&expected, &[40]).await;
    loop {
        // Folded by a process that ends before its commit.
        if folded(&bench, 40).await.is_none() {
            break;
        }
        bench = bench.reopened();
        let batch = folded(&bench, 40).await.unwrap();
        commit(&bench, &batch).unwrap();
        assert!(matches!(commit(&bench, &batch), Err(FoldStoreError::Conflict { .. })), "the answer was lost");
    }
    assert_eq!(alerts(&bench).len(), 1);
    assert_eq!(known(&bench), known(&expected));
    expected = expected.reopened();
    assert_eq!(known(&bench), known(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_detector_changes_nothing_but_its_own_rows() {
    let records = story([quiet_weeks(), burst(3), vec![refund(VENDOR, "b1", 11_900, "usd"), the_next_day()]]);
    let (watched, unwatched) = (with(&records).await, with(&records).await);
    fold_in(&watched, &[40]).await;
    unwatched.fold_all(partition_of(VENDOR), 40).await;
    assert_eq!(watched.picture(VENDOR), unwatched.picture(VENDOR));
    assert!(alerts(&unwatched).is_empty() && alerts(&watched).len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_announced_or_is_no_crowd_raises_nothing() {
    let announced = Campaign {
        code_id: Some(CODE),
        from: Timestamp::from_seconds(BURST - 3_600),
        to: Timestamp::from_seconds(BURST + DAY),
        expected_percent: 60_000,
    };
    let campaign = decision(VENDOR, 4, Decision::Campaign(announced));
    assert!(alerts_of(&story([quiet_weeks(), vec![campaign], burst(3), vec![the_next_day()]])).await.is_empty());
    let outage = burst(3 * 3_600);
    assert!(alerts_of(&story([quiet_weeks(), outage, vec![the_next_day()]])).await.is_empty(), "sent after an outage");
    let test_mode = burst(3).into_iter().map(in_test_mode).collect();
    assert!(alerts_of(&story([quiet_weeks(), test_mode, vec![the_next_day()]])).await.is_empty(), "test mode");
    let same = |one: i64| redemption(&format!("s{one}"), BURST + one * 30, 3, "cus_same");
    assert!(alerts_of(&story([quiet_weeks(), (0..30).map(same).collect(), vec![the_next_day()]])).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_and_refunds_are_no_redemptions() {
    let once = redemption("once", BURST, 3, "cus_once");
    let copies: Vec<Record> = (0..30)
        .map(|one| {
            let mut copy = once.clone();
            copy.at = Timestamp::from_seconds(BURST + 3 + one * 30);
            copy
        })
        .collect();
    let refunds = (0..21 * 24).step_by(4).take(30).map(|hour| refund(VENDOR, &format!("q{hour}"), 11_900, "usd"));
    let records = story([quiet_weeks(), copies, refunds.collect(), vec![the_next_day()]]);
    assert!(alerts_of(&records).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_mapped_late_or_moves_raises_nothing() {
    let mapping = opened(VENDOR).pop().unwrap();
    let mut records: Vec<Record> = opened(VENDOR).into_iter().take(2).collect();
    records.extend(quiet_weeks());
    records.extend(burst(3));
    let mut late = mapping;
    late.at = Timestamp::from_seconds(BURST + 2 * DAY);
    records.push(late);
    let mut moved = decision(VENDOR, 4, mapped_to(Some(8)));
    moved.at = Timestamp::from_seconds(BURST + 2 * DAY);
    records.push(moved);
    records.push(redemption("last", BURST + 3 * DAY, 3, "cus_last"));
    assert!(alerts_of(&records).await.is_empty());
}

#[derive(Default)]
struct Told(Mutex<Vec<LiveSignal>>);

impl Announce for Told {
    fn announce(&self, signals: Vec<LiveSignal>, moved: &[(u16, store::fold_store::Visible)]) {
        assert!(moved.is_empty());
        self.0.lock().unwrap().extend(signals);
    }
}

fn timer(bench: &Bench, told: &Arc<Told>, now: i64) -> SpikeTimer {
    SpikeTimer {
        store: bench.store.clone(),
        partitions: owns_everything(),
        live: told.clone(),
        clock: Arc::new(move || Timestamp::from_seconds(now)),
        every: Duration::from_secs(5),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_finds_a_spike_whose_last_redemptions_nothing_follows() {
    // All within two minutes: when the last one comes, none of them can be judged.
    let at_once = |one: i64| redemption(&format!("a{one}"), BURST + one * 3, 3, &format!("cus_a{one}"));
    let bench = with(&story([quiet_weeks(), (0..30).map(at_once).collect()])).await;
    fold_in(&bench, &[1_000]).await;
    let told = Arc::new(Told::default());
    let last = BURST + 29 * 3;
    timer(&bench, &told, last).round(partition_of(VENDOR)).unwrap();
    assert_eq!(alerts(&bench), [], "too early to say");
    timer(&bench, &told, last + 2 * MINUTE).round(partition_of(VENDOR)).unwrap();
    let found = alerts(&bench);
    assert_eq!(found.len(), 1);
    assert_eq!(told.0.lock().unwrap().len(), 1, "open pages hear of it once");
    for _ in 0..2 {
        timer(&bench, &told, last + 3 * MINUTE).round(partition_of(VENDOR)).unwrap();
    }
    assert_eq!(bench.store.spikes_due(partition_of(VENDOR), Timestamp(i64::MAX), 9).unwrap(), [], "nobody need ask");
    bench.append(&[the_next_day()]).await;
    fold_in(&bench, &[1_000]).await;
    assert_eq!(alerts(&bench), found, "the next redemption finds the same one");
    assert_eq!(told.0.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_vendor_leaves_nothing_behind() {
    let removed = decision(VENDOR, 4, Decision::DropVendor);
    for sizes in [&[1][..], &[1_000]] {
        let bench = with(&story([quiet_weeks(), burst(3), vec![removed.clone(), the_next_day()]])).await;
        fold_in(&bench, sizes).await;
        assert!(alerts(&bench).is_empty());
        assert_eq!(bench.store.spike_codes(&[(VENDOR, CODE)]).unwrap(), [None]);
        assert_eq!(bench.store.spike_vendors(&[VENDOR]).unwrap(), [None]);
    }
}
