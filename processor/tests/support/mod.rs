//! A real log and a real fold store in a temporary folder, and records to put into them.

use domain::decision::*;
use domain::fold::Outcome;
use domain::ids::*;
use domain::story::Story;
use processor::batch::Batch;
use processor::state::StoreState;
use processor::worker::{Alarms, FoldLimits, FoldWorker};
use schemas::record::{Delivery, Payload, Record, Source};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration as Time;
use store::event_log::{EventLog, NewRecord, StoredRecord, all_partitions, partition_of};
use store::fold_store::{FoldStore, OutboxItem, Position, SqliteFoldStore};
use store::local_log::LocalLog;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Most tests have one vendor.
pub const VENDOR: VendorId = VendorId(1);
/// When sales happen, in seconds.
pub const NOON: i64 = 1_770_000_000;
pub const DAY: i64 = 86_400;
/// The time on the first record, in milliseconds.
pub const FIRST_AT: i64 = 1_790_000_000_000;
/// How long anything may take.
const PATIENCE: Time = Time::from_secs(30);

/// Log and fold store.
pub struct Bench {
    pub folder: TempDir,
    pub log: Arc<LocalLog>,
    pub store: Arc<SqliteFoldStore>,
}

/// A worker on its thread.
pub struct Running {
    pub alarms: Arc<Alarms>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Stops it and waits.
    pub fn stop(mut self) {
        self.stop.cancel();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Bench {
    pub fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(LocalLog::open(&folder.path().join("log.db")).unwrap());
        let store = Arc::new(SqliteFoldStore::open(&folder.path().join("fold.db")).unwrap());
        Bench { folder, log, store }
    }

    /// Closes both files and opens them again, as after the end of the process.
    pub fn reopened(self) -> Bench {
        let Bench { folder, log, store } = self;
        drop((log, store));
        let log = Arc::new(LocalLog::open(&folder.path().join("log.db")).unwrap());
        let store = Arc::new(SqliteFoldStore::open(&folder.path().join("fold.db")).unwrap());
        Bench { folder, log, store }
    }

    /// Appends records in order; gives their offsets.
    pub async fn append(&self, records: &[Record]) -> Vec<u64> {
        let new = |record: &Record| NewRecord { partition: partition_of(record.vendor), bytes: record.encode() };
        let answers = self.log.append_many(records.iter().map(new).collect()).await;
        answers.into_iter().map(Result::unwrap).collect()
    }

    /// All records of a partition.
    pub async fn stored(&self, partition: u16) -> Vec<StoredRecord> {
        self.log.read(partition, 0, 100_000, 64 << 20).await.unwrap()
    }

    /// Folds one batch of at most `size` records with a processor that remembers nothing.
    /// Returns whether there was one.
    pub async fn fold_once(&self, partition: u16, size: usize) -> bool {
        let log = self.stored(partition).await;
        let position = self.store.position(partition).unwrap();
        let limit = if position.fanout.is_some() { 1 } else { size };
        let records: Vec<StoredRecord> = log.iter().skip(position.next_offset as usize).take(limit).cloned().collect();
        if records.is_empty() {
            return false;
        }
        let read_one = |offset: u64| Ok(log.get(offset as usize).cloned());
        let mut state = StoreState::new(self.store.as_ref());
        let (commit, next) =
            Batch::new(partition, &mut state, self.store.as_ref(), &read_one).fold(&position, records).unwrap();
        self.store.commit(partition, &position, &next, &commit).unwrap();
        true
    }

    /// Folds everything, in batches of `size`.
    pub async fn fold_all(&self, partition: u16, size: usize) {
        while self.fold_once(partition, size).await {}
    }

    /// Starts a worker.
    pub fn worker(&self, partitions: Vec<u16>, limits: FoldLimits) -> Running {
        let alarms = Arc::new(Alarms::default());
        let worker = FoldWorker {
            log: self.log.clone(),
            store: self.store.clone(),
            partitions: tokio::sync::watch::channel(partitions.into_iter().collect()).1,
            limits,
            committed: Arc::new(Notify::new()),
            asked: Arc::new(Notify::new()),
            alarms: alarms.clone(),
            traces: Arc::default(),
        };
        let stop = CancellationToken::new();
        let (token, runtime) = (stop.clone(), tokio::runtime::Handle::current());
        let thread = std::thread::spawn(move || worker.run(&runtime, &token));
        Running { alarms, stop, thread: Some(thread) }
    }

    /// Waits until a partition is folded up to the log's end.
    pub async fn until_folded(&self, partition: u16) {
        self.until("the partition is folded", async || {
            let (_, end) = self.log.bounds(partition).await.unwrap();
            let position = self.store.position(partition).unwrap();
            position.next_offset == end && position.fanout.is_none()
        })
        .await;
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !is_so().await {
            assert!(tokio::time::Instant::now() < deadline, "not after {} s: {what}", PATIENCE.as_secs());
            tokio::time::sleep(Time::from_millis(10)).await;
        }
    }

    /// Appends, folds, and gives the outcomes of these records.
    pub async fn fold(&self, records: &[Record]) -> Vec<(String, String)> {
        let offsets = self.append(records).await;
        let partition = partition_of(records[0].vendor);
        self.fold_all(partition, 1_000).await;
        self.outcomes(partition, &offsets)
    }

    /// Outcome and reason by offset.
    pub fn outcomes(&self, partition: u16, offsets: &[u64]) -> Vec<(String, String)> {
        let listed = self.store.records(partition, offsets).unwrap();
        assert_eq!(listed.len(), offsets.len(), "every record has an outcome");
        listed.into_iter().map(|record| (record.outcome, record.reason)).collect()
    }

    /// Outcome and reason of one record.
    pub fn outcome(&self, vendor: VendorId, offset: u64) -> (String, String) {
        self.outcomes(partition_of(vendor), &[offset]).remove(0)
    }

    /// Everything that would go into the warehouse.
    pub fn outbox(&self) -> Vec<OutboxItem> {
        self.store.outbox(&all_partitions(), 1_000_000).unwrap().items
    }

    /// (gross, net, commission) over all lines in the outbox.
    pub fn sums(&self) -> (i64, i64, i64) {
        self.outbox().iter().fold((0, 0, 0), |sum, item| match item {
            OutboxItem::Line(line) => {
                (sum.0 + line.amounts.gross, sum.1 + line.amounts.net, sum.2 + line.amounts.commission)
            }
            OutboxItem::Row(_) => sum,
        })
    }

    /// Everything the fold knows of a vendor, to be compared.
    pub fn picture(&self, vendor: VendorId) -> (Position, Vec<Story>, Vec<OutboxItem>, BTreeMap<String, u64>) {
        let ids = self.store.stories_with_ref(vendor, None, StoryId(0), 100_000).unwrap();
        let stories = self.store.stories(&ids).unwrap().into_iter().map(Option::unwrap).collect();
        (self.store.position(partition_of(vendor)).unwrap(), stories, self.outbox(), self.counts(vendor))
    }

    /// Outcome counts of both modes.
    pub fn counts(&self, vendor: VendorId) -> BTreeMap<String, u64> {
        let mut counts = self.store.outcome_counts(vendor, Mode::Live).unwrap();
        for (outcome, count) in self.store.outcome_counts(vendor, Mode::Test).unwrap() {
            if outcome != Outcome::Decision.name() {
                *counts.entry(outcome).or_default() += count;
            }
        }
        counts
    }
}

fn record(vendor: VendorId, seq: Option<u64>, payload: Payload) -> Record {
    let connection = ConnectionId(if seq.is_some() { 0 } else { vendor.0 });
    Record { vendor, connection, at: Timestamp(FIRST_AT), writer: "test-1".to_owned(), seq, trace: None, payload }
}

/// A Stripe delivery with any object.
pub fn delivery(vendor: VendorId, event_id: &str, event_type: &str, created: i64, object: &Value) -> Record {
    let event = json!({
        "id": event_id, "object": "event", "api_version": "2024-06-20", "created": created, "livemode": true, "type": event_type,
        "data": {"object": object}
    });
    let delivery = Delivery {
        provider: Provider::Stripe,
        source: Source::Webhook,
        account: None,
        mode: Mode::Live,
        event_id: event_id.to_owned(),
        event_type: event_type.to_owned(),
        created: Timestamp::from_seconds(created),
        body_sha256: String::new(),
        minimiser: 1,
        event: serde_json::value::to_raw_value(&event).unwrap(),
    };
    record(vendor, None, Payload::Delivery(delivery))
}

/// A paid invoice object of 119.00 with 19.00 tax.
pub fn invoice(name: &str) -> Value {
    json!({
        "id": format!("in_{name}"), "object": "invoice", "amount_due": 11_900, "amount_paid": 11_900, "billing_reason": "manual",
        "charge": format!("ch_{name}"), "payment_intent": format!("pi_{name}"), "created": NOON - 5, "currency": "usd", "customer": "cus_1",
        "discounts": [{"id": format!("di_{name}"), "object": "discount", "coupon": {"id": "COUPON_MAYA"}, "promotion_code": "promo_maya"}],
        "status": "paid", "status_transitions": {"paid_at": NOON, "voided_at": null}, "subtotal": 10_000, "tax": 1_900, "total": 11_900,
        "total_discount_amounts": []
    })
}

/// The delivery of a paid invoice.
pub fn sale(vendor: VendorId, name: &str) -> Record {
    delivery(vendor, &format!("evt_sale_{name}"), "invoice.paid", NOON, &invoice(name))
}

/// The delivery of a refund.
pub fn refund(vendor: VendorId, name: &str, amount: i64, currency: &str) -> Record {
    let object = json!({
        "id": format!("re_{name}_{amount}"), "object": "refund", "amount": amount, "charge": format!("ch_{name}"), "created": NOON + DAY,
        "currency": currency, "payment_intent": format!("pi_{name}"), "status": "succeeded"
    });
    delivery(vendor, &format!("evt_refund_{name}_{amount}"), "refund.created", NOON + DAY, &object)
}

/// A record of another kind.
pub fn other(vendor: VendorId, payload: Payload) -> Record {
    record(vendor, None, payload)
}

/// A decision.
pub fn decision(vendor: VendorId, seq: u64, decision: Decision) -> Record {
    record(vendor, Some(seq), Payload::Decision(decision))
}

/// The code of every sale belongs to an affiliate.
pub fn mapped_to(affiliate: Option<u64>) -> Decision {
    Decision::MapCode(MapCode {
        code_id: CodeId(1),
        provider: None,
        code: None,
        promotion_code_id: Some("promo_maya".to_owned()),
        coupon_id: None,
        referral_key: None,
        affiliate: affiliate.map(AffiliateId),
        valid_from: None,
        valid_to: None,
    })
}

/// The vendor's connection, with an account name or without.
pub fn connected(vendor: VendorId, account: Option<&str>) -> Decision {
    Decision::SetConnection(SetConnection {
        connection: ConnectionId(vendor.0),
        provider: Provider::Stripe,
        account: account.map(str::to_owned),
        history_from: None,
        can_look_up: true,
        closed_at: None,
    })
}

/// Connection, affiliate and mapping.
pub fn opened(vendor: VendorId) -> Vec<Record> {
    let affiliate = SetAffiliate {
        affiliate: AffiliateId(7),
        key: "aff_maya".to_owned(),
        name: "Maya".to_owned(),
        suspended_at: None,
    };
    let decisions = [connected(vendor, None), Decision::SetAffiliate(affiliate), mapped_to(Some(7))];
    (1..).zip(decisions).map(|(seq, one)| decision(vendor, seq, one)).collect()
}

/// A vendor in another partition than `not`.
pub fn vendor_elsewhere(not: VendorId) -> VendorId {
    (2..).map(VendorId).find(|vendor| partition_of(*vendor) != partition_of(not)).unwrap()
}

/// Another vendor of the same partition.
pub fn neighbour_of(vendor: VendorId) -> VendorId {
    (vendor.0 + 1..).map(VendorId).find(|other| partition_of(*other) == partition_of(vendor)).unwrap()
}
