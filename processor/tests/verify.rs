//! What the warehouse loses is noticed and inserted again, to the cent; what it has too much is reported and left alone.
//! On the real engine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;
#[path = "../../store/src/warehouse/test_engine.rs"]
mod test_engine;

use domain::catalogue::CatalogueEntry;
use domain::decision::Decision;
use domain::fact::{Alias, Answer};
use domain::ids::*;
use domain::line::LedgerLine;
use domain::spikes::Alert;
use domain::story::{Scope, Story};
use processor::audit::Differences;
use processor::owns_everything;
use processor::sink::Sink;
use processor::verify::{Memory, Verifier, Which};
use schemas::record::Record;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration as Time;
use store::event_log::{all_partitions, partition_of};
use store::fold_store::*;
use store::live::{Hold, LiveHub};
use store::warehouse::{InsertBatch, Warehouse, WarehouseConfig};
use support::*;
use test_engine::{TestEngine, fresh_database, test_engine};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const GENERATION: u16 = 1;
/// The last day of January 2026, so that sales a day apart lie in two months.
const MONTH_END: i64 = 1_769_860_800;

/// What pages were told, with the alarms of that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    HeldAt(u64, Vec<String>),
    Released(usize),
}

struct Recorder {
    differences: Arc<Differences>,
    told: Mutex<Vec<Told>>,
}

impl Hold for Recorder {
    fn hold(&self, _partition: u16, upto: Visible) {
        self.told.lock().unwrap().push(Told::HeldAt(upto.next_offset, self.differences.list()));
    }

    fn release(&self, _partition: u16, vendors: &BTreeSet<(VendorId, Mode)>) {
        self.told.lock().unwrap().push(Told::Released(vendors.len()));
    }
}

/// Log, fold store, warehouse and verifier.
struct Scene {
    bench: Bench,
    warehouse: Warehouse,
    url: String,
    verifier: Verifier,
    told: Arc<Recorder>,
    stop: CancellationToken,
    engine: TestEngine,
}

impl Scene {
    /// Everything of the records is folded and in the warehouse.
    async fn of(records: &[Record]) -> Scene {
        let bench = Bench::new();
        bench.append(records).await;
        let engine = test_engine();
        let database = fresh_database();
        let warehouse = Warehouse::new(WarehouseConfig {
            url: engine.url.clone(),
            user: String::new(),
            key: engine.key.clone(),
            database: database.clone(),
            query_timeout: Time::from_secs(20),
            insert_timeout: Time::from_secs(20),
        });
        warehouse.migrate().await.unwrap();
        let differences: Arc<Differences> = Arc::default();
        let told = Arc::new(Recorder { differences: differences.clone(), told: Mutex::default() });
        let ticks = Arc::new(AtomicI64::new(1));
        let verifier = Verifier {
            store: bench.store.clone(),
            log: bench.log.clone(),
            partitions: owns_everything(),
            warehouse: warehouse.clone(),
            shown: told.clone(),
            generation: GENERATION,
            batch_items: 7,
            scratch: bench.folder.path().join("refold"),
            clock: Arc::new(move || Timestamp(ticks.fetch_add(1, Ordering::Relaxed))),
            differences,
            every: Time::from_secs(180),
        };
        let url = format!("{}/?database={database}", engine.url);
        let stop = CancellationToken::new();
        let scene = Scene { bench, warehouse, url, verifier, told, stop, engine };
        scene.fold_and_project().await;
        scene
    }

    /// Folds what is in the log, and runs the real sink, with batches that end inside of records, until all is sent.
    async fn fold_and_project(&self) {
        for partition in all_partitions() {
            self.bench.fold_all(partition, 1_000).await;
        }
        let sink = Sink {
            store: self.bench.store.clone(),
            partitions: owns_everything(),
            warehouse: Arc::new(self.warehouse.clone()),
            live: Arc::new(LiveHub::new([], Box::new(|_| {}))),
            committed: Arc::new(Notify::new()),
            generation: GENERATION,
            batch_items: 7,
            clock: Arc::new(|| Timestamp(5)),
            traces: Arc::default(),
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { sink.run(&stop).await }
        });
        self.bench
            .until("everything is sent", async || {
                all_partitions().into_iter().all(|partition| {
                    let folded = self.bench.store.position(partition).unwrap().next_offset;
                    self.bench.store.visible(partition).unwrap().next_offset == folded
                })
            })
            .await;
        stop.cancel();
        running.await.unwrap();
    }

    /// Runs a statement in the warehouse, as a person or an accident would.
    async fn statement(&self, sql: &str) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(Time::from_secs(20)).build().unwrap();
        let answer = client
            .post(&self.url)
            .header("X-ClickHouse-Key", &self.engine.key)
            .body(sql.to_owned())
            .send()
            .await
            .unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{sql}: {}", answer.text().await.unwrap());
    }

    /// Everything the warehouse holds, as pages add it up.
    async fn sums(&self) -> SentSums {
        let mut all = SentSums::default();
        for partition in all_partitions() {
            let sums = self.warehouse.sums_by_range(GENERATION, partition, &[0], 1 << 50).await.unwrap();
            sums.values().for_each(|one| all.absorb(one));
        }
        all
    }

    async fn round(&self, memory: &mut Memory, which: Which) {
        self.verifier.round(memory, which, &self.stop).await;
    }

    fn told(&self) -> Vec<Told> {
        std::mem::take(&mut self.told.told.lock().unwrap())
    }

    /// One loss: noticed, alarmed before anything else, repaired to the cent, and the alarm goes away.
    async fn heals(&self, memory: &mut Memory, which: Which, lose: &str) {
        let before = self.sums().await;
        for sql in lose.split(';') {
            self.statement(sql).await;
        }
        assert_ne!(self.sums().await, before, "something is lost: {lose}");
        self.round(memory, which).await;
        let told = self.told();
        assert!(told.contains(&Told::Released(1)), "a vendor's open pages are told: {told:?}");
        let held = told.iter().position(|one| matches!(one, Told::HeldAt(..))).unwrap();
        assert!(held < told.iter().position(|one| *one == Told::Released(1)).unwrap(), "{told:?}");
        let Told::HeldAt(_, words) = &told[held] else { panic!("{told:?}") };
        let says = |needle: &str| words.iter().any(|one| one.contains(needle));
        assert!(says("inserted again from the log") || says("filled again from the log"), "{words:?}");
        assert_eq!(self.sums().await, before, "to the cent: {lose}");
        assert!(self.verifier.differences.list().is_empty(), "{:?}", self.verifier.differences.list());
        assert!(!self.verifier.scratch.exists(), "nothing is left in the data folder");
        self.round(memory, Which::All).await;
        assert!(self.told().is_empty(), "nothing to do any more");
    }
}

fn sale_at(vendor: VendorId, name: &str, paid_at: i64) -> Record {
    let mut object = invoice(name);
    object["created"] = (paid_at - 5).into();
    object["status_transitions"]["paid_at"] = paid_at.into();
    delivery(vendor, &format!("evt_sale_{name}"), "invoice.paid", paid_at, &object)
}

/// Two vendors in two partitions, over two months, with refunds, a code that moves, and a record that reaches far.
fn eventful() -> Vec<Record> {
    let mut records = Vec::new();
    for vendor in [VENDOR, vendor_elsewhere(VENDOR)] {
        records.extend(opened(vendor));
        for number in 0..30 {
            let name = number.to_string();
            records.push(sale_at(vendor, &name, MONTH_END + (number % 3 - 1) * DAY));
            if number % 4 == 0 {
                records.push(refund(vendor, &name, 1_190, "usd"));
            }
        }
        records.push(decision(vendor, 4, mapped_to(Some(8))));
        records.push(sale_at(vendor, "last", MONTH_END));
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_comes_back_to_the_cent() {
    let scene = Scene::of(&eventful()).await;
    let mut memory = Memory::default();
    scene.round(&mut memory, Which::All).await;
    assert!(scene.told().is_empty() && scene.verifier.differences.list().is_empty(), "all is well at first");
    let some = "ALTER TABLE ledger_lines DELETE WHERE src_off BETWEEN 10 AND 20 SETTINGS mutations_sync = 1";
    scene.heals(&mut memory, Which::All, some).await;
    // The same again: under the tokens of the first repair the rows would be dropped in silence.
    scene.heals(&mut memory, Which::Newest, some).await;
    let purchases = "ALTER TABLE purchases DELETE WHERE src_off > 25 SETTINGS mutations_sync = 1";
    scene.heals(&mut memory, Which::Newest, purchases).await;
    scene.heals(&mut memory, Which::All, "ALTER TABLE ledger_lines DROP PARTITION (1, 202601)").await;
    scene.heals(&mut memory, Which::All, "TRUNCATE TABLE ledger_lines;TRUNCATE TABLE purchases").await;
    let emptied = "TRUNCATE TABLE ledger_lines;TRUNCATE TABLE purchases";
    scene.heals(&mut Memory::of_lost(all_partitions()), Which::All, emptied).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_too_much_is_reported_and_nothing_is_touched() {
    let scene = Scene::of(&eventful()).await;
    let partition = partition_of(VENDOR);
    let (lines, _) = everything_folded(&scene).await;
    let copied = lines.into_iter().find(|line| line.src_part == partition).unwrap();
    let stranger = LedgerLine { ord: 77, ..copied };
    let batch = InsertBatch { generation: GENERATION, lines: &[stranger], purchases: &[], token: "a stranger" };
    scene.warehouse.insert(&batch).await.unwrap();
    let with_stranger = scene.sums().await;
    let mut memory = Memory::default();
    for which in [Which::All, Which::Newest, Which::All] {
        scene.round(&mut memory, which).await;
        let words = scene.verifier.differences.list();
        assert_eq!(words.len(), 1, "{words:?}");
        assert!(words[0].contains(&format!("partition {partition}")), "{words:?}");
        assert!(words[0].contains("more than was sent") && words[0].contains("nothing was changed"), "{words:?}");
        assert_eq!(scene.sums().await, with_stranger);
        assert!(scene.told().is_empty(), "pages are not held for it");
    }
    scene.statement("ALTER TABLE ledger_lines DELETE WHERE ord = 77 SETTINGS mutations_sync = 1").await;
    scene.round(&mut memory, Which::Newest).await;
    assert!(scene.verifier.differences.list().is_empty(), "the alarm ends when it is gone");
}

/// The log is not what it was: its lines are not those that were sent, and are not inserted.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_come_out_otherwise_are_not_inserted() {
    let scene =
        Scene::of(&[opened(VENDOR), vec![sale(VENDOR, "a"), sale(VENDOR, "b"), sale(VENDOR, "c")]].concat()).await;
    let partition = partition_of(VENDOR);
    let mut object = invoice("b");
    object["tax"] = 900.into();
    let other = delivery(VENDOR, "evt_sale_b", "invoice.paid", NOON, &object);
    scene.bench.log.replace(partition, 4, other.encode()).await.unwrap();
    scene.statement("TRUNCATE TABLE ledger_lines").await;
    let mut memory = Memory::default();
    scene.round(&mut memory, Which::All).await;
    let words = scene.verifier.differences.list().join("\n");
    assert!(words.contains("did not help") && words.contains("the log gives"), "{words}");
    let told = scene.told();
    assert!(told.iter().all(|one| matches!(one, Told::HeldAt(..))) && !told.is_empty(), "less is shown: {told:?}");
    let after = scene.sums().await;
    scene.round(&mut memory, Which::Newest).await;
    assert_eq!(scene.sums().await, after);
    assert!(!scene.told().iter().any(|one| matches!(one, Told::Released(_))), "and still");
}

/// What is missing is noted for processes that begin to show pages, or take the partition up, while it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_outlives_the_process_that_found_it() {
    let mut scene = Scene::of(&eventful()).await;
    let partition = partition_of(VENDOR);
    let whole = scene.sums().await;
    let log = scene.verifier.log.clone();
    // A log that cannot be folded again: the repair has to wait.
    let empty = tempfile::tempdir().unwrap();
    scene.verifier.log = Arc::new(store::local_log::LocalLog::open(&empty.path().join("log.db")).unwrap());
    scene
        .statement("ALTER TABLE ledger_lines DELETE WHERE src_off BETWEEN 10 AND 20 SETTINGS mutations_sync = 1")
        .await;
    let mut memory = Memory::default();
    scene.round(&mut memory, Which::All).await;
    assert!(scene.told().iter().any(|one| matches!(one, Told::HeldAt(1..=10, _))));
    let noted = scene.bench.store.held(partition).unwrap().map(|held| held.next_offset);
    assert!(matches!(noted, Some(1..=10)), "whoever begins to show pages now finds it: {noted:?}");
    // Another process takes the partition up: it is not released in between.
    let (_sender, nothing) = tokio::sync::watch::channel(BTreeSet::new());
    let ours = std::mem::replace(&mut scene.verifier.partitions, nothing);
    scene.round(&mut memory, Which::Newest).await;
    assert!(scene.told().is_empty() && scene.bench.store.held(partition).unwrap().is_some());
    scene.verifier.partitions = ours;
    scene.verifier.log = log;
    scene.round(&mut Memory::default(), Which::Newest).await;
    assert!(scene.told().contains(&Told::Released(1)));
    assert_eq!(scene.sums().await, whole);
    assert!(all_partitions().into_iter().all(|partition| scene.bench.store.held(partition).unwrap().is_none()));
    // Repaired by others: a note that is left is taken away.
    scene.bench.store.hold(partition, Some(Visible { next_offset: 3, at: Timestamp(1) })).unwrap();
    scene.round(&mut Memory::default(), Which::Newest).await;
    assert_eq!(scene.told(), [Told::Released(0)]);
    assert_eq!(scene.bench.store.held(partition).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_sent_again_without_the_memory_of_tokens_change_nothing() {
    let scene = Scene::of(&eventful()).await;
    let before = scene.sums().await;
    for table in ["ledger_lines", "purchases"] {
        scene.statement(&format!("ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0")).await;
    }
    let (lines, rows) = everything_folded(&scene).await;
    for number in 0..100 {
        let (lines, purchases) =
            (lines.chunks(7).nth(number).unwrap_or(&[]), rows.chunks(7).nth(number).unwrap_or(&[]));
        let batch = InsertBatch { generation: GENERATION, lines, purchases, token: &format!("again {number}") };
        scene.warehouse.insert(&batch).await.unwrap();
    }
    assert_eq!(scene.sums().await, before);
    let mut memory = Memory::default();
    scene.round(&mut memory, Which::All).await;
    assert!(scene.verifier.differences.list().is_empty() && scene.told().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_the_whole_log_into_the_same_tables_adds_nothing() {
    let scene = Scene::of(&eventful()).await;
    let before = scene.sums().await;
    let Scene { bench, warehouse, url, verifier, told, stop, engine } = scene;
    let Bench { folder, log, store } = bench;
    drop(store);
    let store = Arc::new(SqliteFoldStore::open(&folder.path().join("fold-again.db")).unwrap());
    let verifier = Verifier { store: store.clone(), ..verifier };
    let scene = Scene { bench: Bench { folder, log, store }, warehouse, url, verifier, told, stop, engine };
    scene.fold_and_project().await;
    assert_eq!(scene.sums().await, before, "no line more, no cent more");
    scene.round(&mut Memory::default(), Which::All).await;
    assert!(scene.verifier.differences.list().is_empty() && scene.told().is_empty());
}

/// Lines and rows of the whole log, folded anew beside everything.
async fn everything_folded(scene: &Scene) -> (Vec<LedgerLine>, Vec<domain::line::PurchaseRow>) {
    let store = Arc::new(SqliteFoldStore::open(&scene.bench.folder.path().join("beside.db")).unwrap());
    let beside = Bench { folder: tempfile::tempdir().unwrap(), log: scene.bench.log.clone(), store };
    for partition in all_partitions() {
        beside.fold_all(partition, 1_000).await;
    }
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for item in beside.outbox() {
        match item {
            OutboxItem::Line(line) => lines.push(line),
            OutboxItem::Row(row) => rows.push(row),
        }
    }
    (lines, rows)
}

/// A store that an earlier release wrote: it does not know what it sent.
struct Unnoted(Arc<SqliteFoldStore>);

macro_rules! forwarded {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($argument: $kind),*) -> Result<$answer, FoldStoreError> {
            self.0.$name($($argument),*)
        })*
    };
}

#[rustfmt::skip]
impl SpikeRows for Unnoted {
    forwarded! {
        spike_vendors(vendors: &[VendorId]) -> Vec<Option<Vec<u8>>>;
        spike_codes(codes: &[(VendorId, CodeId)]) -> Vec<Option<SpikeCode>>;
        spikes_due(partition: u16, now: Timestamp, limit: usize) -> Vec<SpikeCode>;
        spikes_looked(partition: u16, looks: &[SpikeLook]) -> Vec<(VendorId, Alert)>;
        alerts(vendor: VendorId, limit: usize) -> Vec<Alert>;
        alert(vendor: VendorId, id: u64) -> Option<Alert>;
        untold_alerts(partitions: &BTreeSet<u16>, limit: usize) -> Vec<(VendorId, Alert)>;
        alerts_told(told: &[(VendorId, u64)]) -> ();
    }
}

#[rustfmt::skip]
impl FoldStore for Unnoted {
    fn sent(&self, _partition: u16) -> Result<Vec<SentRange>, FoldStoreError> {
        Ok(Vec::new())
    }

    forwarded! {
        position(partition: u16) -> Position;
        visible(partition: u16) -> Visible;
        held(partition: u16) -> Option<Visible>;
        hold(partition: u16, upto: Option<Visible>) -> ();
        stories_of(names: &[(Scope, Alias)]) -> Vec<Option<StoryId>>;
        stories(ids: &[StoryId]) -> Vec<Option<Story>>;
        stories_with_ref(vendor: VendorId, key: Option<&str>, after: StoryId, limit: usize) -> Vec<StoryId>;
        catalogue_page(scope: Scope, kind: &str, after: &str, limit: usize) -> Vec<(String, CatalogueEntry)>;
        catalogue_entry(scope: Scope, key: &str) -> Option<CatalogueEntry>;
        answer(scope: Scope, request: &str) -> Option<Answer>;
        decisions(vendors: &[VendorId]) -> Vec<Vec<(u64, Decision)>>;
        commit(partition: u16, expected: &Position, next: &Position, commit: &Commit) -> ();
        outbox(partitions: &BTreeSet<u16>, limit: usize) -> OutboxBatch;
        delivered(batch: &OutboxBatch, at: Timestamp) -> ();
        outbox_len() -> u64;
        open_questions(after: u64, limit: usize) -> Vec<OpenQuestion>;
        open_question_count(vendor: VendorId) -> u64;
        story_of_purchase(purchases: &[PurchaseId]) -> Vec<Option<StoryId>>;
        records_of_event(vendor: VendorId, event_id: &str) -> Vec<ListedRecord>;
        records(partition: u16, offsets: &[u64]) -> Vec<ListedRecord>;
        open_records(vendor: VendorId, outcome: &str, after: Option<u64>, limit: usize) -> Vec<ListedRecord>;
        outcome_counts(vendor: VendorId, mode: Mode) -> OutcomeCounts;
        tally() -> Tally;
        open_summary() -> Vec<OpenSummary>;
        last_sequences() -> Vec<(VendorId, u64)>;
        has_booked() -> bool;
        activity(connection: ConnectionId, since: Timestamp) -> Activity;
        waiting_since(partition: u16, before: Timestamp, limit: usize) -> Vec<(VendorId, u64)>;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_warehouse_is_filled_also_with_what_was_never_noted() {
    let mut scene = Scene::of(&eventful()).await;
    let before = scene.sums().await;
    scene.verifier.store = Arc::new(Unnoted(scene.bench.store.clone()));
    scene.statement("TRUNCATE TABLE ledger_lines").await;
    scene.statement("TRUNCATE TABLE purchases").await;
    scene.round(&mut Memory::default(), Which::All).await;
    assert!(scene.told().is_empty() && scene.sums().await.lines == 0, "who does not know what was sent misses nothing");
    let mut memory = Memory::of_lost(all_partitions());
    scene.round(&mut memory, Which::All).await;
    assert_eq!(scene.sums().await, before);
    let told = scene.told();
    let held = told.iter().position(|one| matches!(one, Told::HeldAt(0, words) if !words.is_empty())).unwrap();
    assert!(held < told.iter().position(|one| *one == Told::Released(1)).unwrap(), "{told:?}");
    assert!(scene.verifier.differences.list().is_empty());
    scene.round(&mut memory, Which::All).await;
    assert_eq!(scene.sums().await, before);
}
