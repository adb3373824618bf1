//! Reading: its order, its pauses, its end.

use super::super::reading::{EventError, ReadingLimits, StripeReader};
use super::*;
use domain::ids::{Mode, Provider, Timestamp, VendorId};
use schemas::record::{Delivery, Payload, Record, Source};
use serde_json::{Value, json, value::RawValue};
use std::collections::VecDeque;
use store::control::*;
use store::event_log::{EventLog, partition_of};
use store::local_log::LocalLog;
use store::scope::TenantScope;
use store::secrets::{MasterKeys, system_random};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const NOW: i64 = 1_790_000_000_000;

/// A reader over real stores, with a clock that is set by hand.
struct Bench {
    _folder: TempDir,
    reader: StripeReader,
    control: Arc<dyn ControlStore>,
    log: Arc<LocalLog>,
    now: Arc<Mutex<i64>>,
    scope: TenantScope,
    vendor: VendorId,
    client: reqwest::Client,
}

fn minimised(vendor: VendorId, body: &[u8]) -> Result<Delivery, EventError> {
    let event: Value = serde_json::from_slice(body).unwrap();
    if event["id"] == "evt_early" && vendor == VendorId(1) {
        return Err(EventError::UnknownVendor);
    }
    if !event["type"].is_string() {
        return Err(EventError::Unreadable("no type".to_owned()));
    }
    Ok(Delivery {
        provider: Provider::Stripe,
        source: Source::Backfill,
        account: None,
        mode: Mode::from_livemode(event["livemode"] == true),
        event_id: event["id"].as_str().unwrap().to_owned(),
        event_type: event["type"].as_str().unwrap().to_owned(),
        created: Timestamp::from_seconds(event["created"].as_i64().unwrap()),
        body_sha256: String::new(),
        minimiser: 1,
        event: RawValue::from_string(event.to_string()).unwrap(),
    })
}

impl Bench {
    async fn new(stand_in: &StandIn) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let keys = MasterKeys::from_bytes(&[[7; 32]]);
        let store = SqliteControlStore::open(&folder.path().join("control.db"), keys, system_random()).unwrap();
        let control: Arc<dyn ControlStore> = Arc::new(store);
        let log = Arc::new(LocalLog::open(&folder.path().join("log.db")).unwrap());
        let request = StripeKeyRequest {
            vendor: "acme".into(),
            key: SecretText::new(KEY),
            api_base: Some(stand_in.base.clone()),
        };
        let begun = control.begin_stripe(request, "test", Timestamp(NOW)).await.unwrap();
        let webhook = StripeWebhook { id: "we_1".into(), secret: None, made_by_us: true, missing_events: Vec::new() };
        control.finish_stripe(&begun, webhook, "test", Timestamp(NOW)).await.unwrap();
        let scope = control.admin_scope(&LocalAdmin::for_local_socket(), "acme", Mode::Test).await.unwrap().unwrap();
        let now = Arc::new(Mutex::new(NOW));
        let clock = now.clone();
        let reader = StripeReader {
            control: control.clone(),
            log: log.clone(),
            minimise_event: Arc::new(minimised),
            minimise_answer: Arc::new(|_, _, _, body| Ok(serde_json::from_slice(body)?)),
            clock: Arc::new(move || Timestamp(*clock.lock().unwrap())),
            writer: "test".into(),
            owner: "one".into(),
            limits: ReadingLimits { tries: 3, ..ReadingLimits::default() },
        };
        let client = crate::lookups::client(Duration::from_secs(5)).unwrap();
        Bench { _folder: folder, reader, control, log, now, scope, vendor: begun.vendor, client }
    }

    /// The relay's work: the connection is in the log.
    async fn relay(&self) {
        let pending = self.control.pending_decisions(10).await.unwrap();
        self.control.mark_sent(&pending.iter().map(|one| one.id).collect::<Vec<_>>()).await.unwrap();
    }

    async fn turn(&self) -> StripeRead {
        assert!(self.reader.turn(&self.client, &CancellationToken::new()).await.unwrap(), "nothing to read");
        self.read().await
    }

    async fn read(&self) -> StripeRead {
        self.control.stripe_setups(&self.scope).await.unwrap()[0].read.clone().unwrap()
    }

    fn later(&self, milliseconds: i64) {
        *self.now.lock().unwrap() += milliseconds;
    }

    /// What is in the log: the ids of events, the requests of lists.
    async fn logged(&self) -> Vec<String> {
        let records = self.log.read(partition_of(self.vendor), 0, 1_000, 1 << 20).await.unwrap();
        let name = |payload: &Payload| match payload {
            Payload::Delivery(delivery) => format!("{} {:?}", delivery.event_id, delivery.source),
            Payload::LookupResult(result) => result.request.clone(),
            other => panic!("{other:?}"),
        };
        records.iter().map(|record| name(&Record::decode(&record.bytes).unwrap().payload)).collect()
    }
}

fn event(id: &str, days_ago: i64) -> Value {
    let created = NOW / 1000 - days_ago * 86_400;
    json!({"id": id, "object": "event", "type": "invoice.paid", "created": created, "livemode": false})
}

fn page(items: &[Value], has_more: bool) -> String {
    json!({"object": "list", "data": items, "has_more": has_more}).to_string()
}

/// Answers what it is given, in this order; afterwards empty lists.
async fn answering(answers: Vec<(u16, &'static str, String)>) -> StandIn {
    let answers = Mutex::new(VecDeque::from(answers));
    StandIn::start(move |_| answers.lock().unwrap().pop_front().unwrap_or_else(empty_list)).await
}

#[tokio::test]
async fn lists_come_before_events_and_all_of_it_is_in_the_log() {
    let stranger = json!({"id": "evt_live", "type": "x", "created": NOW / 1000, "livemode": true});
    let stand_in = answering(vec![
        ok(page(&[json!({"id": "promo_1", "code": "A"}), json!({"id": "promo_2", "code": "B"})], true)),
        ok(page(&[json!({"id": "promo_3", "code": "C"})], false)),
        ok(page(&[json!({"id": "BLACK FRIDAY & 20%"})], true)),
        ok(page(&[json!({"id": "c2"})], false)),
        ok(page(&[event("evt_1", 1), json!({"id": "evt_broken"}), stranger], true)),
        ok(page(&[event("evt_2", 2)], false)),
    ])
    .await;
    let bench = Bench::new(&stand_in).await;
    let read = bench.turn().await;
    assert_eq!((read.pages, stand_in.lines().len()), (0, 0), "not before the log has the connection");
    bench.relay().await;
    bench.later(2_000);
    let read = bench.turn().await;
    assert_eq!((read.state, read.pages), (ReadState::Done, 7));
    assert_eq!((read.promotion_codes, read.coupons, read.events, read.skipped), (3, 2, 2, 2));
    let expected = [
        "GET /v1/promotion_codes?limit=100",
        "GET /v1/promotion_codes?limit=100&starting_after=promo_2",
        "GET /v1/coupons?limit=100",
        "GET /v1/coupons?limit=100&starting_after=BLACK+FRIDAY+%26+20%25",
        "evt_1 Backfill",
        "evt_2 Backfill",
    ];
    assert_eq!(bench.logged().await, expected);
    let lines = stand_in.lines();
    let since = format!("GET /v1/events?limit=100&created[gte]={}&types[]=checkout", NOW / 1000 - 30 * 86_400);
    assert!(lines[4].starts_with(&since), "{}", lines[4]);
    assert_eq!((lines[4].matches("types[]").count(), lines[6].matches("types[]").count()), (20, 7));
    assert!(lines[5].ends_with("&starting_after=evt_live"), "{}", lines[5]);
    assert!(!bench.reader.turn(&bench.client, &CancellationToken::new()).await.unwrap());
}

#[tokio::test]
async fn it_waits_as_long_as_stripe_asks_and_gives_up_after_some_tries() {
    let slow = || (429, "retry-after: 30", String::new());
    let stand_in = answering(vec![
        slow(),
        empty_list(),
        empty_list(),
        (503, "", String::new()),
        (503, "", String::new()),
        (503, "", String::new()),
    ])
    .await;
    let bench = Bench::new(&stand_in).await;
    bench.relay().await;
    let read = bench.turn().await;
    assert_eq!((read.tries, read.rests_until), (1, Timestamp(NOW + 30_000)));
    assert_eq!(read.reason, "Stripe asked us to slow down.");
    bench.later(29_999);
    assert!(!bench.reader.turn(&bench.client, &CancellationToken::new()).await.unwrap(), "it is not time yet");
    bench.later(1);
    let read = bench.turn().await;
    assert_eq!((read.step, read.tries, read.rests_until.0), (ReadStep::MostEvents, 1, NOW + 31_000));
    assert!(stand_in.lines()[1].contains("limit=20"), "a page after a failure is smaller");
    bench.later(1_000);
    assert_eq!(bench.turn().await.tries, 2);
    bench.later(2_000);
    let read = bench.turn().await;
    assert_eq!((read.state, read.tries), (ReadState::Failed, 3));
    assert_eq!(read.reason, "Stripe could not be reached (it answered 503). It was tried 3 times.");
    bench.later(3_600_000);
    assert!(
        !bench.reader.turn(&bench.client, &CancellationToken::new()).await.unwrap(),
        "nobody asked for another try"
    );
    let connection = read.connection;
    bench.control.read_stripe_again(&bench.scope, connection, Mode::Test, "test", Timestamp(NOW)).await.unwrap();
    let read = bench.turn().await;
    assert_eq!((read.state, stand_in.lines().len()), (ReadState::Done, 8));
}

#[tokio::test]
async fn a_place_that_is_gone_is_found_again_by_time() {
    let stand_in = answering(vec![
        empty_list(),
        empty_list(),
        ok(page(&[event("evt_1", 1)], true)),
        refused(400, "resource_missing"),
        ok(page(&[event("evt_1", 1), event("evt_2", 2)], false)),
    ])
    .await;
    let bench = Bench::new(&stand_in).await;
    bench.relay().await;
    assert_eq!(bench.turn().await.tries, 1);
    bench.later(1_000);
    assert_eq!(bench.turn().await.state, ReadState::Done);
    let lines = stand_in.lines();
    assert!(lines[3].ends_with("&starting_after=evt_1"), "{}", lines[3]);
    assert!(lines[4].contains(&format!("&created[lte]={}", NOW / 1000 - 86_400)), "{}", lines[4]);
    assert_eq!(bench.logged().await[2..], ["evt_1 Backfill", "evt_1 Backfill", "evt_2 Backfill"]);
}

#[tokio::test]
async fn what_this_process_cannot_minimise_yet_is_not_skipped() {
    let stand_in = answering(vec![empty_list(), empty_list(), ok(page(&[event("evt_early", 1)], false))]).await;
    let bench = Bench::new(&stand_in).await;
    bench.relay().await;
    let read = bench.turn().await;
    assert_eq!((read.state, read.tries, read.skipped), (ReadState::Running, 1, 0));
    assert_eq!(bench.logged().await.len(), 2);
}

#[tokio::test]
async fn a_key_that_may_not_or_is_gone_ends_it_in_words() {
    for (answer, words) in [
        (
            refused(401, "x"),
            "Stripe does not accept the restricted key any more. Paste a new one; nothing is counted twice.",
        ),
        (refused(403, "x"), "The restricted key may not read promotion codes. Allow it at Stripe, then try again."),
    ] {
        let stand_in = answering(vec![answer]).await;
        let bench = Bench::new(&stand_in).await;
        bench.relay().await;
        let read = bench.turn().await;
        assert_eq!((read.state, read.reason.as_str()), (ReadState::Failed, words));
    }
}

#[tokio::test]
async fn what_was_stopped_on_the_way_is_free_at_once_and_goes_on() {
    let stand_in = answering(vec![empty_list()]).await;
    let bench = Bench::new(&stand_in).await;
    bench.relay().await;
    let stopped = CancellationToken::new();
    stopped.cancel();
    bench.reader.turn(&bench.client, &stopped).await.unwrap();
    assert_eq!(bench.read().await.state, ReadState::Running);
    let another =
        StripeReader { owner: "two".into(), log: bench.log.clone(), control: bench.control.clone(), ..bench.reader };
    assert!(another.turn(&bench.client, &CancellationToken::new()).await.unwrap());
    let read = bench.control.stripe_setups(&bench.scope).await.unwrap()[0].read.clone().unwrap();
    assert_eq!(read.state, ReadState::Done);
}
