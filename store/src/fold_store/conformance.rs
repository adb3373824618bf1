//! What every backend of the fold store must do.

use super::*;
use crate::event_log::all_partitions;
use crate::postgres::test_server::TestSchema;
use domain::catalogue::Earliest;
use domain::decision::{SetPolicy, Waive};
use domain::fact::{FactBody, Seen, Subscription};
use domain::line::{Amounts, LineKind, PurchaseOutcome};
use domain::money::Currency;
use std::collections::BTreeSet;

/// Where a store is. Opened again it is the same store, as another process would have it.
pub(super) trait Place {
    fn open(&self) -> Arc<dyn FoldStore>;
}

impl Place for tempfile::TempDir {
    fn open(&self) -> Arc<dyn FoldStore> {
        Arc::new(SqliteFoldStore::open(&self.path().join("fold.db")).unwrap())
    }
}

impl Place for TestSchema {
    fn open(&self) -> Arc<dyn FoldStore> {
        Arc::new(PostgresFoldStore::open(self.pool()).unwrap())
    }
}

/// Makes an empty place.
type Make = fn() -> Box<dyn Place>;

const BACKENDS: [(&str, Make); 2] =
    [("sqlite", || Box::new(tempfile::tempdir().unwrap())), ("postgres", || Box::new(TestSchema::new()))];

const PARTITION: u16 = 5;
const VENDOR: VendorId = VendorId(11);
const OTHER_VENDOR: VendorId = VendorId(12);
const NOW: Timestamp = Timestamp(1_790_000_000_000);
const HOUR: i64 = 3_600_000;

/// Runs a test on a fresh store of every backend.
pub(super) fn on_every_backend(test: impl Fn(&dyn FoldStore)) {
    on_every_place(|place| test(place.open().as_ref()));
}

/// Runs a test on an empty place of every backend.
pub(super) fn on_every_place(test: impl Fn(&dyn Place)) {
    for (name, make) in BACKENDS {
        println!("backend {name}");
        test(make().as_ref());
    }
}

fn scope() -> Scope {
    Scope { vendor: VENDOR, connection: ConnectionId(3), mode: Mode::Live }
}

fn alias(text: &str) -> Alias {
    Alias(text.to_owned())
}

fn story(id: u64, name: &str) -> Story {
    let mut story = Story::new(StoryId(id), scope(), Provider::Stripe);
    let fact = FactBody::Subscription(Subscription { id: name.to_owned(), created: Some(NOW), first_purchase: None });
    story.facts.insert(fact, Seen { at: NOW, event: format!("evt_{name}") });
    story.refs = BTreeSet::from(["conn:3".to_owned(), format!("code:{name}")]);
    story
}

fn put(story: &Story) -> (StoryId, Option<Arc<Story>>) {
    (story.id, Some(Arc::new(story.clone())))
}

/// The position after `offset` records, reached by some history.
pub(super) fn at(offset: u64) -> Position {
    Position {
        next_offset: offset,
        chain: [offset as u8; 32],
        last_hash: [offset as u8 ^ 0xff; 32],
        ..Position::start()
    }
}

/// Commits from where the partition is.
pub(super) fn commit(store: &dyn FoldStore, partition: u16, next: u64, commit: &Commit) -> Result<(), FoldStoreError> {
    store.commit(partition, &store.position(partition).unwrap(), &at(next), commit)
}

fn row(offset: u64, event_id: &str, outcome: Outcome) -> RecordRow {
    RecordRow {
        offset,
        vendor: VENDOR,
        connection: ConnectionId(3),
        mode: Some(Mode::Live),
        event_id: event_id.to_owned(),
        event_type: "invoice.paid".to_owned(),
        is_backfill: false,
        at: Timestamp(NOW.0 + offset as i64),
        outcome,
        story: None,
    }
}

pub(super) fn line(offset: u64, ord: u32) -> LedgerLine {
    LedgerLine {
        vendor: VENDOR,
        mode: Mode::Live,
        occurred_at: NOW,
        affiliate: AffiliateId(1),
        src_part: PARTITION,
        src_off: offset,
        ord,
        booked_at: NOW,
        sale_at: NOW,
        connection: ConnectionId(3),
        purchase: PurchaseId(offset + 1),
        kind: LineKind::Sale,
        code: CodeId(2),
        currency: Currency::parse("usd").unwrap(),
        amounts: Amounts { redemptions: 1, conversions: 1, gross: i64::MAX, net: i64::MIN, commission: -1 },
        rule_rev: 7,
    }
}

pub(super) fn purchase_row(offset: u64) -> PurchaseRow {
    PurchaseRow {
        vendor: VENDOR,
        mode: Mode::Live,
        sale_at: NOW,
        purchase: PurchaseId(offset + 1),
        outcome: PurchaseOutcome::Waiting,
        reason: "attribution_pending".to_owned(),
        affiliate: AffiliateId(0),
        code: CodeId(0),
        currency: Currency::parse("zzz").unwrap(),
        gross: 1,
        net: 2,
        reversed: 3,
        commission: 4,
        flags: vec!["a".to_owned(), "b".to_owned()],
        src_part: PARTITION,
        src_off: offset,
    }
}

fn records(rows: Vec<RecordRow>) -> Commit {
    Commit { records: rows, ..Commit::default() }
}

fn waiting(name: &str) -> Outcome {
    Outcome::Waiting(format!("waits for the sale of {name}"))
}

fn question(request: &str) -> (Scope, Provider, Question) {
    (scope(), Provider::Stripe, Question { request: request.to_owned(), about: "a code" })
}

fn answer(request: &str, refused: Option<&str>) -> Answer {
    Answer {
        request: request.to_owned(),
        refused: refused.map(str::to_owned),
        asked_at: NOW,
        discounts: Vec::new(),
        first_sale: Some(Timestamp(1)),
        first_paid: None,
    }
}

/// (source offset, `ord`, is a line) of the items of a cut.
fn shape(batch: &OutboxBatch) -> Vec<(u64, u32, bool)> {
    let item = |item: &OutboxItem| match item {
        OutboxItem::Line(line) => (line.src_off, line.ord, true),
        OutboxItem::Row(row) => (row.src_off, 0, false),
    };
    batch.items.iter().map(item).collect()
}

fn counts(store: &dyn FoldStore, vendor: VendorId, mode: Mode) -> Vec<(String, u64)> {
    store.outcome_counts(vendor, mode).unwrap().into_iter().collect()
}

fn counted(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn nothing_is_known_at_the_start() {
    on_every_backend(|store| {
        for partition in 0..PARTITIONS {
            assert_eq!(store.position(partition).unwrap(), Position::start());
            assert_eq!(store.visible(partition).unwrap(), Visible::default());
        }
        assert_eq!(store.stories_of(&[(scope(), alias("inv:1"))]).unwrap(), [None]);
        assert_eq!(store.stories(&[StoryId(1)]).unwrap(), [None]);
        assert!(store.stories_with_ref(VENDOR, None, StoryId(0), 10).unwrap().is_empty());
        assert_eq!(store.catalogue_entry(scope(), "promo:1").unwrap(), None);
        assert_eq!(store.answer(scope(), "GET /").unwrap(), None);
        assert_eq!(store.decisions(&[VENDOR]).unwrap(), [vec![]]);
        assert_eq!(store.outbox(&all_partitions(), 10).unwrap(), OutboxBatch::default());
        assert_eq!(store.outbox_len().unwrap(), 0);
        assert_eq!(store.story_of_purchase(&[PurchaseId(1)]).unwrap(), [None]);
        assert!(store.outcome_counts(VENDOR, Mode::Live).unwrap().is_empty());
        assert_eq!(store.activity(ConnectionId(3), Timestamp(0)).unwrap(), Activity::default());
        assert!(store.records(PARTITION, &[0, 1]).unwrap().is_empty());
        assert!(store.records_of_event(VENDOR, "evt_1").unwrap().is_empty());
        assert!(store.open_questions(0, 10).unwrap().is_empty());
    });
}

#[test]
fn a_position_comes_back_whole_and_partitions_are_apart() {
    on_every_backend(|store| {
        let fanout = Fanout {
            vendor: VENDOR,
            keys: Some(vec!["code:ü".to_owned(), "promo:\"1\"".to_owned()]),
            after: StoryId((1 << 53) + 1),
        };
        let middle =
            Position { fanout: Some(fanout), counters: Counters { next_ord: 4_000_000_000, made: 9 }, ..at(40) };
        store.commit(PARTITION, &Position::start(), &middle, &Commit::default()).unwrap();
        assert_eq!(store.position(PARTITION).unwrap(), middle);
        assert_eq!(store.position(PARTITION + 1).unwrap(), Position::start());
        let everything =
            Position { fanout: Some(Fanout { vendor: VENDOR, keys: None, after: StoryId(0) }), ..middle.clone() };
        store.commit(PARTITION, &middle, &everything, &Commit::default()).unwrap();
        store.commit(PARTITION, &everything, &at(41), &Commit::default()).unwrap();
        assert_eq!(store.position(PARTITION).unwrap(), at(41));
    });
}

/// What a zombie would write, all of it.
fn zombie() -> Commit {
    let ghost = story(900, "ghost");
    Commit {
        stories: vec![put(&ghost), (StoryId(1), None)],
        aliases: vec![(scope(), alias("inv:ghost"), ghost.id), (scope(), alias("inv:1"), ghost.id)],
        refs: vec![(VENDOR, "code:ghost".to_owned(), ghost.id, true), (VENDOR, "code:1".to_owned(), StoryId(1), false)],
        catalogue: vec![(scope(), "promo:ghost".to_owned(), CatalogueEntry::default())],
        answers: vec![(scope(), answer("GET /open", None)), (scope(), answer("GET /ghost", None))],
        decisions: vec![(VENDOR, 1, 9, NOW, Decision::DropVendor)],
        records: vec![row(9, "evt_ghost", Outcome::Counted)],
        resolved: vec![(0, Outcome::Counted)],
        questions: vec![question("GET /ghost-question")],
        lines: vec![line(9, 0)],
        rows: vec![purchase_row(9)],
        purchases: vec![(PurchaseId(900), ghost.id)],
        spikes: SpikeChanges::default(),
    }
}

fn first_commit() -> Commit {
    let one = story(1, "1");
    Commit {
        stories: vec![put(&one)],
        aliases: vec![(scope(), alias("inv:1"), one.id)],
        refs: vec![(VENDOR, "code:1".to_owned(), one.id, true)],
        records: vec![row(0, "evt_1", Outcome::Waiting("waits".to_owned()))],
        questions: vec![question("GET /open")],
        ..Commit::default()
    }
}

/// Everything that the zombie touches, read.
fn picture(store: &dyn FoldStore) -> String {
    let names: Vec<_> = ["inv:1", "inv:ghost"].into_iter().map(|name| (scope(), alias(name))).collect();
    format!(
        "{:?}",
        (
            (
                store.position(PARTITION).unwrap(),
                store.visible(PARTITION).unwrap(),
                store.outbox(&all_partitions(), 100).unwrap(),
                store.outbox_len().unwrap()
            ),
            (store.stories_of(&names).unwrap(), store.stories(&[StoryId(1), StoryId(900)]).unwrap()),
            ["code:1", "code:ghost"].map(|key| store.stories_with_ref(VENDOR, Some(key), StoryId(0), 10).unwrap()),
            (
                store.stories_with_ref(VENDOR, None, StoryId(0), 10).unwrap(),
                store.story_of_purchase(&[PurchaseId(900)]).unwrap()
            ),
            (store.catalogue_entry(scope(), "promo:ghost").unwrap(), store.answer(scope(), "GET /ghost").unwrap()),
            (
                store.decisions(&[VENDOR]).unwrap(),
                store.records(PARTITION, &[0, 9]).unwrap(),
                store.records_of_event(VENDOR, "evt_ghost").unwrap()
            ),
            (store.open_questions(0, 10).unwrap(), store.open_question_count(VENDOR).unwrap()),
            (store.outcome_counts(VENDOR, Mode::Live).unwrap(), store.activity(ConnectionId(3), Timestamp(0)).unwrap()),
        )
    )
}

#[test]
fn a_zombie_is_refused_and_leaves_nothing() {
    on_every_backend(|store| {
        commit(store, PARTITION, 1, &first_commit()).unwrap();
        let before = picture(store);
        let conflict = |expected: &Position| {
            let error = store.commit(PARTITION, expected, &at(10), &zombie()).unwrap_err();
            assert_eq!(picture(store), before);
            match error {
                FoldStoreError::Conflict { partition: PARTITION, expected, found } => (expected, found),
                other => panic!("{other}"),
            }
        };
        assert_eq!(conflict(&Position::start()), (0, 1), "it started before the last commit");
        assert_eq!(conflict(&at(2)), (2, 1), "it started from what was never reached");
        // The same offset is not enough: the history before it must be the same.
        assert_eq!(conflict(&Position { chain: [9; 32], ..at(1) }), (1, 1));
        let middle = Position { fanout: Some(Fanout { vendor: VENDOR, keys: None, after: StoryId(4) }), ..at(1) };
        assert_eq!(conflict(&middle), (1, 1));
        assert_eq!(conflict(&Position { revision: 99, ..at(1) }), (1, 1));
        store.commit(PARTITION, &at(1), &at(10), &zombie()).unwrap();
        assert_ne!(picture(store), before, "the same commit from the right place is taken");
    });
}

#[test]
fn of_two_that_start_at_the_same_place_one_is_refused() {
    on_every_place(|place| {
        let store = place.open();
        let won: usize = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|number| {
                    let store = store.clone();
                    scope.spawn(move || {
                        let rows = records(vec![row(0, &format!("evt_{number}"), Outcome::Counted)]);
                        usize::from(store.commit(PARTITION, &Position::start(), &at(1), &rows).is_ok())
                    })
                })
                .collect();
            tries.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
        assert_eq!(counts(store.as_ref(), VENDOR, Mode::Live), counted(&[("counted", 1)]));
    });
}

#[test]
fn a_commit_that_fails_leaves_nothing() {
    on_every_backend(|store| {
        commit(store, PARTITION, 1, &first_commit()).unwrap();
        let before = picture(store);
        let broken = Commit { resolved: vec![(77, Outcome::Counted)], ..zombie() };
        assert!(
            store.commit(PARTITION, &at(1), &at(10), &broken).is_err(),
            "record 77 has no outcome that could change"
        );
        assert_eq!(picture(store), before);
    });
}

#[test]
fn stories_and_names_come_back_in_the_order_asked() {
    on_every_backend(|store| {
        let (one, two) = (story(1, "one"), story(u64::from(u32::MAX) << 20, "two"));
        let names = vec![(scope(), alias("inv:1"), one.id), (scope(), alias("sub:ü'; --"), two.id)];
        commit(
            store,
            PARTITION,
            1,
            &Commit { stories: vec![put(&two), put(&one)], aliases: names, ..Commit::default() },
        )
        .unwrap();
        assert_eq!(
            store.stories(&[two.id, StoryId(2), one.id, one.id]).unwrap(),
            [Some(two.clone()), None, Some(one.clone()), Some(one.clone())]
        );
        let asked = ["sub:ü'; --", "inv:9", "inv:1"].map(|name| (scope(), alias(name)));
        assert_eq!(store.stories_of(&asked).unwrap(), [Some(two.id), None, Some(one.id)]);
        assert!(store.stories(&[]).unwrap().is_empty() && store.stories_of(&[]).unwrap().is_empty());
        // The same name in another mode or account is another thing.
        let test_mode = Scope { mode: Mode::Test, ..scope() };
        let other_account = Scope { connection: ConnectionId(4), ..scope() };
        let elsewhere = [(test_mode, alias("inv:1")), (other_account, alias("inv:1"))];
        assert_eq!(store.stories_of(&elsewhere).unwrap(), [None, None]);
        // Merged away: the story is gone, its names lead to the other.
        let gone = Commit {
            stories: vec![(two.id, None)],
            aliases: vec![(scope(), alias("sub:ü'; --"), one.id)],
            ..Commit::default()
        };
        commit(store, PARTITION, 2, &gone).unwrap();
        assert_eq!(store.stories(&[two.id]).unwrap(), [None]);
        assert_eq!(store.stories_of(&asked).unwrap(), [Some(one.id), None, Some(one.id)]);
        assert_eq!(store.stories_with_ref(VENDOR, None, StoryId(0), 10).unwrap(), [one.id]);
        let mut changed = one.clone();
        changed.reviews.push(domain::decisions::Numbered {
            seq: 1,
            decision: domain::decision::Review {
                connection: ConnectionId(3),
                mode: Mode::Live,
                purchase: "inv:1".to_owned(),
                verdict: domain::decision::Verdict::Hold,
                reason: "r".to_owned(),
            },
        });
        commit(store, PARTITION, 3, &Commit { stories: vec![put(&changed)], ..Commit::default() }).unwrap();
        assert_eq!(store.stories(&[one.id]).unwrap(), [Some(changed)]);
    });
}

#[test]
fn the_catalogue_is_read_in_pages_by_kind() {
    on_every_backend(|store| {
        let entry = |listed| CatalogueEntry { listed, ..CatalogueEntry::default() };
        let keys = ["coupon:a", "coupon:b\0", "coupon:c", "di:1", "promo:x", "promo:y"];
        let mut catalogue: Vec<_> = keys.iter().map(|key| (scope(), (*key).to_owned(), entry(true))).collect();
        catalogue.push((Scope { mode: Mode::Test, ..scope() }, "promo:z".to_owned(), entry(false)));
        commit(store, PARTITION, 1, &Commit { catalogue, ..Commit::default() }).unwrap();
        let page = |kind: &str, after: &str, limit| -> Vec<String> {
            let found = store.catalogue_page(scope(), kind, after, limit).unwrap();
            found.into_iter().map(|(key, entry)| if entry.listed { key } else { panic!("{key}") }).collect()
        };
        assert_eq!(page("coupon", "", 2), ["coupon:a", "coupon:b\0"]);
        assert_eq!(page("coupon", "coupon:b\0", 2), ["coupon:c"]);
        assert_eq!(page("promo", "coupon:c", 9), ["promo:x", "promo:y"]);
        assert_eq!(page("promo", "promo:y", 9), Vec::<String>::new());
    });
}

#[test]
fn catalogue_answers_decisions_and_purchases_come_back() {
    on_every_backend(|store| {
        let seen = Seen { at: NOW, event: "evt_1".to_owned() };
        let entry = CatalogueEntry {
            code: Some(Earliest { value: "MAYA20".to_owned(), seen: seen.clone() }),
            promotion_codes: BTreeSet::from(["promo_1".to_owned()]),
            ..CatalogueEntry::default()
        };
        let policy = Decision::SetPolicy(SetPolicy { hold_days: 3, time_zone: "UTC".to_owned() });
        let waive = Decision::Waive(Waive { offsets: vec![1], reason: "r".to_owned() });
        let known = Commit {
            catalogue: vec![(scope(), "coupon:1".to_owned(), entry.clone())],
            answers: vec![(scope(), answer("GET /a?b[]=c", Some("no key")))],
            decisions: vec![
                (VENDOR, 1, 0, NOW, policy.clone()),
                (VENDOR, 2, 1, NOW, waive.clone()),
                (OTHER_VENDOR, 1, 2, NOW, Decision::DropVendor),
            ],
            purchases: vec![(PurchaseId(7), StoryId(1)), (PurchaseId(8), StoryId(2))],
            ..Commit::default()
        };
        commit(store, PARTITION, 3, &known).unwrap();
        assert_eq!(store.catalogue_entry(scope(), "coupon:1").unwrap(), Some(entry.clone()));
        let test_mode = Scope { mode: Mode::Test, ..scope() };
        assert_eq!(store.catalogue_entry(test_mode, "coupon:1").unwrap(), None);
        assert_eq!(store.answer(scope(), "GET /a?b[]=c").unwrap(), Some(answer("GET /a?b[]=c", Some("no key"))));
        assert_eq!(store.answer(test_mode, "GET /a?b[]=c").unwrap(), None);
        let asked = [OTHER_VENDOR, VendorId(999), VENDOR];
        let found = [vec![(1, Decision::DropVendor)], vec![], vec![(1, policy), (2, waive)]];
        assert_eq!(store.decisions(&asked).unwrap(), found);
        assert_eq!(
            store.story_of_purchase(&[PurchaseId(8), PurchaseId(9), PurchaseId(7)]).unwrap(),
            [Some(StoryId(2)), None, Some(StoryId(1))]
        );
        // Later values replace earlier ones; a purchase follows its story.
        let better = Commit {
            catalogue: vec![(scope(), "coupon:1".to_owned(), CatalogueEntry::default())],
            answers: vec![(scope(), answer("GET /a?b[]=c", None))],
            purchases: vec![(PurchaseId(8), StoryId(1))],
            ..Commit::default()
        };
        commit(store, PARTITION, 4, &better).unwrap();
        assert_eq!(store.catalogue_entry(scope(), "coupon:1").unwrap(), Some(CatalogueEntry::default()));
        assert_eq!(store.answer(scope(), "GET /a?b[]=c").unwrap(), Some(answer("GET /a?b[]=c", None)));
        assert_eq!(store.story_of_purchase(&[PurchaseId(8)]).unwrap(), [Some(StoryId(1))]);
    });
}

#[test]
fn it_knows_the_last_decision_of_every_vendor_and_whether_anything_was_booked() {
    on_every_backend(|store| {
        assert!(store.last_sequences().unwrap().is_empty() && !store.has_booked().unwrap());
        let decided = |vendor, seq| (vendor, seq, seq, NOW, Decision::DropVendor);
        let decisions = vec![decided(VENDOR, 1), decided(VENDOR, 2), decided(OTHER_VENDOR, 1)];
        commit(store, PARTITION, 3, &Commit { decisions, ..Commit::default() }).unwrap();
        let last = |store: &dyn FoldStore| store.last_sequences().unwrap().into_iter().collect::<BTreeSet<_>>();
        assert_eq!(last(store), [(VENDOR, 2), (OTHER_VENDOR, 1)].into());
        assert!(!store.has_booked().unwrap());
        let more = Commit {
            decisions: vec![decided(VENDOR, 3)],
            purchases: vec![(PurchaseId(1), StoryId(1))],
            ..Commit::default()
        };
        commit(store, PARTITION, 4, &more).unwrap();
        assert_eq!(last(store), [(VENDOR, 3), (OTHER_VENDOR, 1)].into());
        assert!(store.has_booked().unwrap());
    });
}

#[test]
fn a_decision_has_its_number_once() {
    on_every_backend(|store| {
        let decided = || Commit { decisions: vec![(VENDOR, 1, 0, NOW, Decision::DropVendor)], ..Commit::default() };
        commit(store, PARTITION, 1, &decided()).unwrap();
        assert!(commit(store, PARTITION, 2, &decided()).is_err(), "the fold never applies one twice");
        assert_eq!(store.position(PARTITION).unwrap(), at(1));
    });
}

#[test]
fn stories_are_found_by_key_page_by_page() {
    on_every_backend(|store| {
        let mut many = Commit::default();
        for id in 1..=25_u64 {
            many.stories.push(put(&story(id * 1_000, "s")));
            many.refs.push((VENDOR, "code:s".to_owned(), StoryId(id * 1_000), true));
            if id % 5 == 0 {
                many.refs.push((VENDOR, "promo:1".to_owned(), StoryId(id * 1_000), true));
            }
        }
        many.refs.push((OTHER_VENDOR, "code:s".to_owned(), StoryId(1_500), true));
        commit(store, PARTITION, 1, &many).unwrap();
        let ids = |key: Option<&str>, after: u64, limit: usize| -> Vec<u64> {
            let found = store.stories_with_ref(VENDOR, key, StoryId(after), limit).unwrap();
            found.into_iter().map(|id| id.0 / 1_000).collect()
        };
        for key in [None, Some("code:s")] {
            assert_eq!(ids(key, 0, 10), (1..=10).collect::<Vec<u64>>());
            assert_eq!(ids(key, 10_000, 10), (11..=20).collect::<Vec<u64>>());
            assert_eq!(ids(key, 20_000, 10), (21..=25).collect::<Vec<u64>>());
            assert_eq!(ids(key, 19_999, 2), [20, 21]);
            assert!(ids(key, 25_000, 10).is_empty() && ids(key, 0, 0).is_empty());
        }
        assert_eq!(ids(Some("promo:1"), 0, 100), [5, 10, 15, 20, 25]);
        assert!(ids(Some("promo:"), 0, 100).is_empty(), "a key is not a prefix");
        assert_eq!(store.stories_with_ref(OTHER_VENDOR, Some("code:s"), StoryId(0), 10).unwrap(), [StoryId(1_500)]);
        // Removed keys, keys that were never there, and keys added again.
        let refs = vec![
            (VENDOR, "promo:1".to_owned(), StoryId(10_000), false),
            (VENDOR, "promo:1".to_owned(), StoryId(11_000), false),
            (VENDOR, "promo:1".to_owned(), StoryId(15_000), true),
            (VENDOR, "promo:2".to_owned(), StoryId(15_000), true),
        ];
        commit(store, PARTITION, 2, &Commit { refs, ..Commit::default() }).unwrap();
        assert_eq!(ids(Some("promo:1"), 0, 100), [5, 15, 20, 25]);
        assert_eq!(ids(Some("promo:2"), 0, 100), [15]);
        assert_eq!(ids(Some("code:s"), 0, 100).len(), 25);
    });
}

#[test]
fn outcomes_are_counted_and_move() {
    on_every_backend(|store| {
        let decision = |offset| RecordRow { mode: None, event_id: String::new(), ..row(offset, "", Outcome::Decision) };
        let test_mode = RecordRow { mode: Some(Mode::Test), ..row(4, "evt_4", Outcome::Counted) };
        let foreign = RecordRow { vendor: OTHER_VENDOR, ..row(5, "evt_5", Outcome::Refused("r".to_owned())) };
        let rows = vec![
            row(0, "evt_0", Outcome::Counted),
            row(1, "evt_1", Outcome::Waiting("waits for inv:1".to_owned())),
            row(2, "evt_2", Outcome::Refused("bad".to_owned())),
            decision(3),
            test_mode,
            foreign,
        ];
        commit(store, PARTITION, 6, &records(rows)).unwrap();
        assert_eq!(
            counts(store, VENDOR, Mode::Live),
            counted(&[("counted", 1), ("decisions", 1), ("refused", 1), ("waiting", 1)])
        );
        assert_eq!(counts(store, VENDOR, Mode::Test), counted(&[("counted", 1), ("decisions", 1)]));
        assert_eq!(counts(store, OTHER_VENDOR, Mode::Live), counted(&[("refused", 1)]));
        // A record of the same commit, one of an earlier commit, one twice.
        let moves = Commit {
            records: vec![
                row(6, "evt_6", Outcome::Waiting("w".to_owned())),
                row(7, "evt_7", Outcome::NoEffect("seen_before".to_owned())),
            ],
            resolved: vec![
                (1, Outcome::Counted),
                (6, Outcome::Counted),
                (2, Outcome::NoEffect("x".to_owned())),
                (2, Outcome::Ignored("waived: y".to_owned())),
            ],
            ..Commit::default()
        };
        commit(store, PARTITION, 8, &moves).unwrap();
        let expected = counted(&[("counted", 3), ("decisions", 1), ("ignored", 1), ("no_effect", 1)]);
        assert_eq!(counts(store, VENDOR, Mode::Live), expected);
        let listed = store.records(PARTITION, &[6, 2, 99, 1]).unwrap();
        let listed: Vec<_> = listed.iter().map(|one| (one.offset, one.outcome.as_str(), one.reason.as_str())).collect();
        assert_eq!(listed, [(6, "counted", ""), (2, "ignored", "waived: y"), (1, "counted", "")]);
    });
}

#[test]
fn the_tally_holds_every_record_and_every_outcome() {
    on_every_backend(|store| {
        assert_eq!(store.tally().unwrap(), Tally::default());
        let decision = RecordRow { mode: None, ..row(2, "", Outcome::Decision) };
        let rows = vec![row(0, "evt_1", Outcome::Counted), row(1, "evt_2", waiting("pi_1")), decision];
        commit(store, PARTITION, 3, &records(rows)).unwrap();
        let other = RecordRow { vendor: OTHER_VENDOR, mode: Some(Mode::Test), ..row(0, "evt_3", Outcome::Counted) };
        commit(store, 7, 1, &records(vec![other])).unwrap();
        let sorted = |tally: Tally| {
            let mut outcomes: Vec<(u64, String, i64)> =
                tally.outcomes.into_iter().filter(|one| one.2 != 0).map(|one| (one.0.0, one.1, one.2)).collect();
            outcomes.sort();
            (tally.records, outcomes)
        };
        let line = |vendor: VendorId, outcome: &str, count: i64| (vendor.0, outcome.to_owned(), count);
        let (partitions, outcomes) = sorted(store.tally().unwrap());
        assert_eq!(partitions, [(PARTITION, 3), (7, 1)]);
        let both = [line(VENDOR, "counted", 1), line(VENDOR, "decisions", 1), line(VENDOR, "waiting", 1)];
        assert_eq!(outcomes, [&both[..], &[line(OTHER_VENDOR, "counted", 1)]].concat());
        // One that is under way is noted; what is resolved moves; the sum stays that of the records.
        let under_way =
            Position { fanout: Some(domain::fold::Fanout { vendor: VENDOR, keys: None, after: StoryId(0) }), ..at(3) };
        let next = Commit {
            records: vec![RecordRow { mode: None, ..row(3, "", Outcome::Decision) }],
            resolved: vec![(1, Outcome::Counted)],
            ..Commit::default()
        };
        store.commit(PARTITION, &store.position(PARTITION).unwrap(), &under_way, &next).unwrap();
        let (partitions, outcomes) = sorted(store.tally().unwrap());
        assert_eq!(partitions, [(PARTITION, 4), (7, 1)]);
        let both = [line(VENDOR, "counted", 2), line(VENDOR, "decisions", 2)];
        assert_eq!(outcomes, [&both[..], &[line(OTHER_VENDOR, "counted", 1)]].concat());
    });
}

#[test]
fn what_is_open_is_summed_up_by_reason() {
    on_every_backend(|store| {
        assert_eq!(store.open_summary().unwrap(), []);
        let refused = |words: &str| Outcome::Refused(words.to_owned());
        let rows = vec![
            row(0, "evt_1", refused("bad_currency: `dollars`")),
            row(1, "evt_2", refused("bad_currency: `euros`")),
            row(2, "evt_3", refused("without a colon")),
            row(3, "evt_4", waiting("pi_1")),
            row(4, "evt_5", Outcome::Counted),
        ];
        commit(store, PARTITION, 5, &records(rows)).unwrap();
        let mut found = store.open_summary().unwrap();
        found.sort_by(|one, other| (&one.outcome, &one.reason).cmp(&(&other.outcome, &other.reason)));
        let open = |outcome: &str, reason: &str, records, offset: i64| OpenSummary {
            outcome: outcome.to_owned(),
            reason: reason.to_owned(),
            records,
            oldest: Timestamp(NOW.0 + offset),
        };
        assert_eq!(found[..2], [open("refused", "bad_currency", 2, 0), open("refused", "without a colon", 1, 2)]);
        assert_eq!((found.len(), &found[2].outcome[..], found[2].records), (3, "waiting", 1));
    });
}

#[test]
fn open_records_are_listed_and_found() {
    on_every_backend(|store| {
        let rows = (0..10).map(|offset| {
            let outcome = match offset % 3 {
                0 => Outcome::Refused(format!("bad {offset}")),
                1 => Outcome::Waiting("w".to_owned()),
                _ => Outcome::Counted,
            };
            RecordRow { story: Some(StoryId(offset)), ..row(offset, "evt_same", outcome) }
        });
        commit(store, PARTITION, 10, &records(rows.collect())).unwrap();
        let list = |outcome: &str, after, limit| -> Vec<u64> {
            store.open_records(VENDOR, outcome, after, limit).unwrap().iter().map(|one| one.offset).collect()
        };
        assert_eq!(list("refused", None, 2), [0, 3]);
        assert_eq!(list("refused", Some(3), 10), [6, 9]);
        assert_eq!(list("waiting", None, 10), [1, 4, 7]);
        assert!(list("counted", None, 10).is_empty(), "only what is open");
        assert!(store.open_records(OTHER_VENDOR, "refused", None, 10).unwrap().is_empty());
        let first = &store.open_records(VENDOR, "refused", None, 1).unwrap()[0];
        assert_eq!((first.partition, first.reason.as_str(), first.story), (PARTITION, "bad 0", Some(StoryId(0))));
        assert_eq!((first.event_type.as_str(), first.at), ("invoice.paid", NOW));
        let of_event: Vec<u64> =
            store.records_of_event(VENDOR, "evt_same").unwrap().iter().map(|one| one.offset).collect();
        assert_eq!(of_event, (0..10).collect::<Vec<u64>>());
        assert!(store.records_of_event(OTHER_VENDOR, "evt_same").unwrap().is_empty());
        assert!(store.records_of_event(VENDOR, "evt_sam").unwrap().is_empty());
        let waiting = store.waiting_since(PARTITION, Timestamp(NOW.0 + 5), 10).unwrap();
        assert_eq!(waiting, [(VENDOR, 1), (VENDOR, 4)]);
        assert_eq!(store.waiting_since(PARTITION, Timestamp(NOW.0 + 100), 1).unwrap(), [(VENDOR, 1)]);
        assert!(store.waiting_since(PARTITION + 1, Timestamp(NOW.0 + 100), 10).unwrap().is_empty());
        commit(store, PARTITION, 11, &Commit { resolved: vec![(4, Outcome::Counted)], ..Commit::default() }).unwrap();
        assert_eq!(list("waiting", None, 10), [1, 7]);
        assert_eq!(store.waiting_since(PARTITION, Timestamp(NOW.0 + 100), 10).unwrap(), [(VENDOR, 1), (VENDOR, 7)]);
    });
}

#[test]
fn the_outbox_is_cut_in_order_and_a_half_sent_record_is_not_visible() {
    on_every_backend(|store| {
        // Record 1 has three items, record 3 two; 0, 2 and 4 have none.
        let filled = Commit {
            rows: vec![purchase_row(1), purchase_row(3)],
            lines: vec![line(1, 0), line(1, 1), line(3, 0)],
            ..Commit::default()
        };
        commit(store, PARTITION, 5, &filled).unwrap();
        assert_eq!(store.outbox_len().unwrap(), 5);
        let all = [(1, 0, false), (1, 0, true), (1, 1, true), (3, 0, false), (3, 0, true)];
        let whole = store.outbox(&all_partitions(), 100).unwrap();
        assert_eq!(shape(&whole), all, "a purchase travels before its lines");
        assert_eq!(
            whole.ranges,
            [OutboxRange { partition: PARTITION, first: Some((1, 0)), last: Some((3, 1)), visible: 5 }]
        );
        assert_eq!(store.outbox(&all_partitions(), 100).unwrap(), whole, "cutting changes nothing");
        let OutboxItem::Line(sent) = &whole.items[1] else { panic!("a line") };
        assert_eq!(*sent, line(1, 0));
        // In the middle of record 1.
        let cut = store.outbox(&all_partitions(), 2).unwrap();
        assert_eq!(shape(&cut), all[..2]);
        assert_eq!(cut.ranges[0].visible, 1, "record 1 is not whole yet");
        store.delivered(&cut, NOW).unwrap();
        assert_eq!(store.visible(PARTITION).unwrap(), Visible { next_offset: 1, at: NOW });
        // The end of record 1 exactly: whether it is whole is only known from what follows.
        let cut = store.outbox(&all_partitions(), 1).unwrap();
        assert_eq!(shape(&cut), all[2..3]);
        assert_eq!((cut.ranges[0].first, cut.ranges[0].last), (Some((1, 2)), Some((1, 2))));
        assert!(cut.ranges[0].visible <= 2);
        store.delivered(&cut, NOW).unwrap();
        // In the middle of record 3.
        let cut = store.outbox(&all_partitions(), 1).unwrap();
        assert_eq!((shape(&cut), cut.ranges[0].visible), (all[3..4].to_vec(), 3));
        store.delivered(&cut, Timestamp(NOW.0 + 1)).unwrap();
        let rest = store.outbox(&all_partitions(), 100).unwrap();
        assert_eq!((shape(&rest), rest.ranges[0].visible), (all[4..].to_vec(), 5));
        store.delivered(&rest, Timestamp(NOW.0 + 2)).unwrap();
        assert_eq!(store.visible(PARTITION).unwrap(), Visible { next_offset: 5, at: Timestamp(NOW.0 + 2) });
        assert_eq!(store.outbox(&all_partitions(), 100).unwrap(), OutboxBatch::default());
        assert_eq!(store.outbox_len().unwrap(), 0);
        // Delivering again, as after a lost answer, takes nothing back.
        store.delivered(&whole, Timestamp(NOW.0 + 3)).unwrap();
        assert_eq!(store.visible(PARTITION).unwrap().next_offset, 5);
        // A batch that was cut before the store went back to an older copy shows nothing that is not folded now.
        let range = OutboxRange { partition: PARTITION, first: None, last: None, visible: 9 };
        store.delivered(&OutboxBatch { items: Vec::new(), ranges: vec![range] }, Timestamp(NOW.0 + 4)).unwrap();
        assert_eq!(store.visible(PARTITION).unwrap().next_offset, 5);
    });
}

#[test]
fn records_without_lines_become_visible_too() {
    on_every_backend(|store| {
        commit(store, PARTITION, 7, &Commit::default()).unwrap();
        let batch = store.outbox(&all_partitions(), 10).unwrap();
        assert_eq!(batch.ranges, [OutboxRange { partition: PARTITION, first: None, last: None, visible: 7 }]);
        store.delivered(&batch, NOW).unwrap();
        assert_eq!(store.visible(PARTITION).unwrap().next_offset, 7);
        assert!(store.outbox(&all_partitions(), 10).unwrap().ranges.is_empty());
    });
}

#[test]
fn what_is_folded_after_the_cut_stays_in_the_outbox() {
    on_every_backend(|store| {
        commit(store, PARTITION, 1, &Commit { lines: vec![line(0, 0)], ..Commit::default() }).unwrap();
        let cut = store.outbox(&all_partitions(), 10).unwrap();
        commit(store, PARTITION, 2, &Commit { lines: vec![line(1, 0)], ..Commit::default() }).unwrap();
        store.delivered(&cut, NOW).unwrap();
        assert_eq!(store.visible(PARTITION).unwrap().next_offset, 1);
        assert_eq!(shape(&store.outbox(&all_partitions(), 10).unwrap()), [(1, 0, true)]);
    });
}

#[test]
fn partitions_share_a_cut() {
    on_every_backend(|store| {
        for partition in [2, 4, 9] {
            let lines = (0..3).map(|offset| LedgerLine { src_part: partition, ..line(offset, 0) }).collect();
            commit(store, partition, 3, &Commit { lines, ..Commit::default() }).unwrap();
        }
        let mut delivered: Vec<(u16, u64)> = Vec::new();
        for _ in 0..20 {
            let cut = store.outbox(&all_partitions(), 4).unwrap();
            assert!(cut.items.len() <= 4);
            let parts: Vec<u16> = cut.ranges.iter().map(|range| range.partition).collect();
            assert!(parts.is_sorted());
            for item in &cut.items {
                let OutboxItem::Line(line) = item else { panic!("only lines") };
                assert!(parts.contains(&line.src_part));
                delivered.push((line.src_part, line.src_off));
            }
            store.delivered(&cut, NOW).unwrap();
            for range in &cut.ranges {
                let undelivered = |offset: u64| !delivered.contains(&(range.partition, offset));
                assert!(
                    (0..range.visible).all(|offset| !undelivered(offset)),
                    "visible before it was delivered: {range:?}"
                );
            }
            if cut.ranges.is_empty() {
                break;
            }
        }
        let expected: Vec<(u16, u64)> =
            [2, 4, 9].into_iter().flat_map(|partition| (0..3).map(move |offset| (partition, offset))).collect();
        assert_eq!(delivered, expected, "each once, in order");
        assert!([2, 4, 9].iter().all(|partition| store.visible(*partition).unwrap().next_offset == 3));
        assert_eq!(store.outbox_len().unwrap(), 0);
    });
}

/// The sink names a batch by its ranges, and the warehouse drops a batch whose name it has
/// seen. So two batches with other items must never have the same ranges, not even when the
/// first slice of a record is in the warehouse before the next is folded.
#[test]
fn slices_of_one_record_never_have_the_range_of_an_earlier_one() {
    on_every_backend(|store| {
        // A record without lines before it: the first slice is sent alone.
        commit(store, PARTITION, 3, &Commit::default()).unwrap();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut ords: Vec<u32> = Vec::new();
        for number in 0..3_u32 {
            let fanout = Some(Fanout { vendor: VENDOR, keys: None, after: StoryId(u64::from(number) + 1) });
            let middle = Position { fanout, counters: Counters { next_ord: number + 1, made: 0 }, ..at(3) };
            let next = if number == 2 { at(4) } else { middle };
            // The first slice has as many items as the two others together.
            let rows = vec![purchase_row(3); if number == 0 { 3 } else { 1 }];
            let slice = Commit { rows, lines: vec![line(3, number)], ..Commit::default() };
            store.commit(PARTITION, &store.position(PARTITION).unwrap(), &next, &slice).unwrap();
            let batch = store.outbox(&all_partitions(), 100).unwrap();
            let Some(range) = batch.ranges.first() else { continue };
            assert_eq!(range.visible, if number == 2 { 4 } else { 3 }, "visible only after the last slice");
            assert!(seen.insert(format!("{:?}", (range.first, range.last))), "{range:?} names other items than before");
            ords.extend(shape(&batch).into_iter().filter(|(_, _, is_line)| *is_line).map(|(_, ord, _)| ord));
            store.delivered(&batch, NOW).unwrap();
        }
        assert_eq!(ords, [0, 1, 2]);
        assert_eq!(store.visible(PARTITION).unwrap().next_offset, 4);
        assert_eq!(store.outbox_len().unwrap(), 0);
    });
}

/// The same without deliveries between: one cut has all slices in order.
#[test]
fn slices_that_wait_together_keep_their_order() {
    on_every_backend(|store| {
        let middle = Position { fanout: Some(Fanout { vendor: VENDOR, keys: None, after: StoryId(1) }), ..at(0) };
        let first = Commit { rows: vec![purchase_row(0)], lines: vec![line(0, 0)], ..Commit::default() };
        store.commit(PARTITION, &Position::start(), &middle, &first).unwrap();
        assert!(store.outbox(&all_partitions(), 10).unwrap().ranges.iter().all(|range| range.visible == 0));
        let second = Commit { rows: vec![purchase_row(0)], lines: vec![line(0, 1)], ..Commit::default() };
        store.commit(PARTITION, &middle, &at(1), &second).unwrap();
        let batch = store.outbox(&all_partitions(), 10).unwrap();
        assert_eq!(shape(&batch), [(0, 0, false), (0, 0, true), (0, 0, false), (0, 1, true)]);
        assert_eq!(batch.ranges[0].visible, 1);
    });
}

#[test]
fn questions_are_asked_once_and_closed_by_their_answer() {
    on_every_backend(|store| {
        let test_mode = (Scope { mode: Mode::Test, ..scope() }, Provider::Stripe, question("GET /a").2);
        let foreign = (
            Scope { vendor: OTHER_VENDOR, connection: ConnectionId(8), mode: Mode::Live },
            Provider::Paddle,
            question("GET /a").2,
        );
        let asked = Commit {
            questions: vec![question("GET /a"), question("GET /b"), question("GET /a"), test_mode, foreign],
            ..Commit::default()
        };
        commit(store, PARTITION, 1, &asked).unwrap();
        commit(store, PARTITION, 2, &Commit { questions: vec![question("GET /b")], ..Commit::default() }).unwrap();
        let open = store.open_questions(0, 100).unwrap();
        let listed: Vec<_> =
            open.iter().map(|one| (one.scope.vendor, one.scope.mode, one.provider, one.request.as_str())).collect();
        let expected = [
            (VENDOR, Mode::Live, Provider::Stripe, "GET /a"),
            (VENDOR, Mode::Live, Provider::Stripe, "GET /b"),
            (VENDOR, Mode::Test, Provider::Stripe, "GET /a"),
            (OTHER_VENDOR, Mode::Live, Provider::Paddle, "GET /a"),
        ];
        assert_eq!(listed, expected);
        assert_eq!(
            (store.open_question_count(VENDOR).unwrap(), store.open_question_count(OTHER_VENDOR).unwrap()),
            (3, 1)
        );
        assert_eq!(store.open_questions(0, 2).unwrap(), open[..2]);
        assert_eq!(store.open_questions(open[1].id, 100).unwrap(), open[2..]);
        // Its own scope's answer closes it; a refusal is an answer too.
        commit(
            store,
            PARTITION,
            3,
            &Commit { answers: vec![(scope(), answer("GET /a", Some("no")))], ..Commit::default() },
        )
        .unwrap();
        assert_eq!(store.open_questions(0, 100).unwrap(), open[1..]);
        // Asked and answered in one batch.
        let both = Commit {
            questions: vec![question("GET /c")],
            answers: vec![(scope(), answer("GET /c", None))],
            ..Commit::default()
        };
        commit(store, PARTITION, 4, &both).unwrap();
        assert_eq!(store.open_questions(0, 100).unwrap(), open[1..]);
        assert_eq!(store.open_question_count(VENDOR).unwrap(), 2);
    });
}

#[test]
fn activity_is_counted_by_hour() {
    on_every_backend(|store| {
        let at_hour = |offset, hour: i64, event_type: &str| RecordRow {
            at: Timestamp(hour * HOUR + 5),
            event_type: event_type.to_owned(),
            ..row(offset, "evt", Outcome::Counted)
        };
        let decision = RecordRow { event_id: String::new(), mode: None, ..at_hour(3, 12, "set_rule") };
        let foreign = RecordRow { connection: ConnectionId(4), ..at_hour(4, 12, "refund.created") };
        let asked_for = RecordRow { is_backfill: true, ..at_hour(5, 12, "c") };
        commit(
            store,
            PARTITION,
            6,
            &records(vec![at_hour(0, 10, "a"), at_hour(1, 10, "a"), at_hour(2, 12, "b"), decision, foreign, asked_for]),
        )
        .unwrap();
        commit(store, PARTITION, 7, &records(vec![at_hour(6, 12, "b")])).unwrap();
        let since = |hour: i64| store.activity(ConnectionId(3), Timestamp(hour * HOUR)).unwrap();
        let types = vec!["a".to_owned(), "b".to_owned()];
        let last_at = Some(Timestamp(12 * HOUR + 5));
        assert_eq!(since(0), Activity { last_at, recent: 4, event_types: types.clone() });
        assert_eq!(since(11), Activity { last_at, recent: 2, event_types: types.clone() });
        assert_eq!(since(13), Activity { last_at, recent: 0, event_types: types });
        assert_eq!(store.activity(ConnectionId(4), Timestamp(0)).unwrap().recent, 1);
    });
}

#[test]
fn reopening_keeps_everything() {
    on_every_place(|place| {
        let (before, batch) = {
            let store = place.open();
            commit(store.as_ref(), PARTITION, 1, &first_commit()).unwrap();
            store.commit(PARTITION, &at(1), &at(10), &zombie()).unwrap();
            store.delivered(&store.outbox(&all_partitions(), 1).unwrap(), NOW).unwrap();
            (picture(store.as_ref()), store.outbox(&all_partitions(), 100).unwrap())
        };
        let store = place.open();
        assert_eq!(picture(store.as_ref()), before);
        assert_eq!(store.outbox(&all_partitions(), 100).unwrap(), batch);
        assert_eq!(store.position(PARTITION).unwrap(), at(10));
        assert!(matches!(
            store.commit(PARTITION, &at(1), &at(11), &Commit::default()),
            Err(FoldStoreError::Conflict { .. })
        ));
        store.commit(PARTITION, &at(10), &at(11), &Commit::default()).unwrap();
    });
}

#[test]
fn readers_see_whole_commits_while_the_writer_goes_on() {
    on_every_place(|place| {
        let store = place.open();
        std::thread::scope(|scope| {
            let writer = store.clone();
            scope.spawn(move || {
                for offset in 0..200 {
                    let both = Commit {
                        records: vec![row(offset, "evt", Outcome::Counted)],
                        lines: vec![line(offset, 0), line(offset, 1)],
                        ..Commit::default()
                    };
                    commit(writer.as_ref(), PARTITION, offset + 1, &both).unwrap();
                }
            });
            for _ in 0..100 {
                let batch = store.outbox(&all_partitions(), 10_000).unwrap();
                assert_eq!(batch.items.len() % 2, 0, "half a commit was seen");
                let visible = batch.ranges.first().map_or(0, |range| range.visible);
                assert_eq!(batch.items.len() as u64, visible * 2);
            }
        });
        assert_eq!(counts(store.as_ref(), VENDOR, Mode::Live), counted(&[("counted", 200)]));
    });
}

/// A processor is stopped, another takes its partition over, the first wakes up where it was.
#[test]
fn a_second_processor_takes_over_and_the_first_is_refused() {
    on_every_place(|place| {
        let (first, second) = (place.open(), place.open());
        commit(first.as_ref(), PARTITION, 1, &first_commit()).unwrap();
        let stopped_at = first.position(PARTITION).unwrap();
        let taken_over = second.position(PARTITION).unwrap();
        assert_eq!(taken_over, stopped_at);
        let its_own = records(vec![row(1, "evt_2", Outcome::Counted)]);
        second.commit(PARTITION, &taken_over, &at(2), &its_own).unwrap();
        let before = picture(second.as_ref());
        let refused = first.commit(PARTITION, &stopped_at, &at(10), &zombie()).unwrap_err();
        assert!(
            matches!(refused, FoldStoreError::Conflict { partition: PARTITION, expected: 1, found: 2 }),
            "{refused}"
        );
        let words = refused.to_string();
        assert!(words.contains("was moved by another processor: expected to continue at 1, it is at 2"), "{words}");
        assert_eq!(picture(first.as_ref()), before, "nothing of it was written");
        // Partitions are apart: it goes on with the one that is still its own.
        commit(first.as_ref(), PARTITION + 1, 5, &Commit::default()).unwrap();
        // When it has read where things are it may take over again, and then the other is the stale one.
        commit(first.as_ref(), PARTITION, 3, &records(vec![row(2, "evt_3", Outcome::Counted)])).unwrap();
        assert!(second.commit(PARTITION, &at(2), &at(3), &Commit::default()).is_err());
        assert_eq!(second.position(PARTITION).unwrap(), at(3));
    });
}

/// Two processors in the middle of the same far-reaching record: each slice is applied once.
#[test]
fn a_fan_out_is_continued_by_another_and_no_slice_is_applied_twice() {
    on_every_place(|place| {
        let (first, second) = (place.open(), place.open());
        let keys = Some(vec!["code:1".to_owned()]);
        let slice = |number: u64| Position {
            fanout: Some(Fanout { vendor: VENDOR, keys: keys.clone(), after: StoryId(number) }),
            counters: Counters { next_ord: number as u32, made: number },
            ..at(7)
        };
        let booked = |ord: u32| Commit { lines: vec![line(7, ord)], rows: vec![purchase_row(7)], ..Commit::default() };
        first.commit(PARTITION, &Position::start(), &at(7), &Commit::default()).unwrap();
        first.commit(PARTITION, &at(7), &slice(1), &booked(0)).unwrap();
        assert_eq!(second.position(PARTITION).unwrap(), slice(1));
        second.commit(PARTITION, &slice(1), &slice(2), &booked(1)).unwrap();
        // The offset is the same in all of these; only the cursor and the counters tell them apart.
        for stale in [
            at(7),
            slice(1),
            Position { fanout: None, ..slice(2) },
            Position { counters: Counters::default(), ..slice(2) },
        ] {
            assert!(matches!(
                first.commit(PARTITION, &stale, &slice(3), &booked(9)),
                Err(FoldStoreError::Conflict { expected: 7, found: 7, .. })
            ));
        }
        let last = Position { counters: Counters::default(), ..at(8) };
        first.commit(PARTITION, &slice(2), &last, &booked(2)).unwrap();
        let batch = second.outbox(&all_partitions(), 100).unwrap();
        let ords: Vec<u32> = shape(&batch).iter().filter(|(_, _, is_line)| *is_line).map(|(_, ord, _)| *ord).collect();
        assert_eq!((ords, batch.items.len()), (vec![0, 1, 2], 6));
        assert_eq!((batch.ranges[0].last, batch.ranges[0].visible), (Some((7, 5)), 8));
    });
}

/// The sink is another process than the fold: what it cut is what it takes away.
#[test]
fn what_one_process_cuts_another_may_add_to() {
    on_every_place(|place| {
        let (fold, sink) = (place.open(), place.open());
        // Counted by whoever opens it: a file has one process, which counts in memory from then on.
        let waiting = || place.open().outbox_len().unwrap();
        let filled = |offset| Commit { lines: vec![line(offset, 0), line(offset, 1)], ..Commit::default() };
        commit(fold.as_ref(), PARTITION, 1, &filled(0)).unwrap();
        commit(fold.as_ref(), PARTITION + 1, 1, &filled(0)).unwrap();
        assert_eq!(waiting(), 4);
        let cut = sink.outbox(&all_partitions(), 3).unwrap();
        assert_eq!(cut.ranges.iter().map(|range| range.visible).collect::<Vec<_>>(), [1, 0]);
        commit(fold.as_ref(), PARTITION, 2, &filled(1)).unwrap();
        sink.delivered(&cut, NOW).unwrap();
        assert_eq!(waiting(), 3);
        // The answer was lost, so it is said again.
        sink.delivered(&cut, NOW).unwrap();
        assert_eq!(waiting(), 3);
        assert_eq!(fold.visible(PARTITION).unwrap().next_offset, 1);
        let rest = sink.outbox(&all_partitions(), 100).unwrap();
        assert_eq!(shape(&rest), [(1, 0, true), (1, 1, true), (0, 1, true)]);
        sink.delivered(&rest, NOW).unwrap();
        assert_eq!((waiting(), fold.visible(PARTITION).unwrap().next_offset), (0, 2));
        assert_eq!(fold.visible(PARTITION + 1).unwrap().next_offset, 1);
        // Moving what is visible is not moving the position.
        commit(fold.as_ref(), PARTITION, 3, &Commit::default()).unwrap();
    });
}

/// However outcomes change, they add up to the number of records.
#[test]
fn every_record_has_one_outcome_after_any_resolution() {
    on_every_backend(|store| {
        let waiting = |offset: u64| row(offset, &format!("evt_{offset}"), Outcome::Waiting("w".to_owned()));
        commit(store, PARTITION, 6, &records((0..6).map(waiting).collect())).unwrap();
        let change = |next: u64, resolved: Vec<(u64, Outcome)>| {
            commit(store, PARTITION, next, &Commit { resolved, ..Commit::default() }).unwrap();
            counts(store, VENDOR, Mode::Live)
        };
        assert_eq!(
            change(7, vec![(0, Outcome::Counted), (5, Outcome::Counted)]),
            counted(&[("counted", 2), ("waiting", 4)])
        );
        // There and back again, and to what it was already.
        let back = vec![
            (0, Outcome::Waiting("again".to_owned())),
            (5, Outcome::Counted),
            (1, Outcome::Waiting("w".to_owned())),
        ];
        assert_eq!(change(8, back), counted(&[("counted", 1), ("waiting", 5)]));
        let all = (0..6).rev().map(|offset| (offset, Outcome::NoEffect("n".to_owned()))).collect();
        assert_eq!(change(9, all), counted(&[("no_effect", 6)]), "what nothing has is not listed");
        assert!(store.open_records(VENDOR, "waiting", None, 10).unwrap().is_empty());
        // A batch with one that has no outcome changes none.
        let broken = Commit { resolved: vec![(0, Outcome::Counted), (99, Outcome::Counted)], ..Commit::default() };
        assert!(commit(store, PARTITION, 10, &broken).is_err());
        assert_eq!(counts(store, VENDOR, Mode::Live), counted(&[("no_effect", 6)]));
    });
}

/// What a provider sends is no reason to stop, whatever bytes its texts have.
#[test]
fn strange_texts_come_back_and_stay_apart() {
    on_every_backend(|store| {
        let texts = ["a", "a\0", "a\u{1a}", "a\u{1a}0", "\0", "", "'; --", "\u{fffd}", "é", "e\u{301}", "A"];
        let mut strange = Commit::default();
        for (number, text) in texts.iter().enumerate() {
            let (offset, id) = (number as u64, StoryId(number as u64 + 1));
            strange.aliases.push((scope(), alias(text), id));
            strange.refs.push((VENDOR, (*text).to_owned(), id, true));
            let code = Earliest { value: (*text).to_owned(), seen: Seen { at: NOW, event: (*text).to_owned() } };
            strange.catalogue.push((
                scope(),
                (*text).to_owned(),
                CatalogueEntry { code: Some(code), ..CatalogueEntry::default() },
            ));
            strange.answers.push((scope(), answer(&format!("GET {text}"), Some(text))));
            strange.questions.push(question(text));
            strange.records.push(RecordRow {
                event_type: (*text).to_owned(),
                ..row(offset, &format!("evt {text}"), Outcome::Refused((*text).to_owned()))
            });
        }
        commit(store, PARTITION, texts.len() as u64, &strange).unwrap();
        for (number, text) in texts.iter().enumerate() {
            let id = StoryId(number as u64 + 1);
            assert_eq!(store.stories_of(&[(scope(), alias(text))]).unwrap(), [Some(id)], "{text:?}");
            assert_eq!(store.stories_with_ref(VENDOR, Some(text), StoryId(0), 10).unwrap(), [id], "{text:?}");
            let entry = store.catalogue_entry(scope(), text).unwrap().unwrap();
            assert_eq!(entry.code.unwrap().value, **text);
            let request = format!("GET {text}");
            assert_eq!(store.answer(scope(), &request).unwrap(), Some(answer(&request, Some(text))));
            let listed = store.records_of_event(VENDOR, &format!("evt {text}")).unwrap();
            assert_eq!((listed[0].event_type.as_str(), listed[0].reason.as_str()), (*text, *text));
        }
        let open: Vec<String> = store.open_questions(0, 100).unwrap().into_iter().map(|one| one.request).collect();
        assert_eq!(open, texts);
        let types = store.activity(ConnectionId(3), Timestamp(0)).unwrap().event_types;
        assert_eq!(types.into_iter().collect::<BTreeSet<_>>(), texts.iter().map(|text| (*text).to_owned()).collect());
    });
}

/// Ranges as (from, to, lines, rows).
fn sent(store: &dyn FoldStore) -> Vec<(u64, u64, u64, u64)> {
    let ranges = store.sent(PARTITION).unwrap();
    ranges.iter().map(|range| (range.from, range.to, range.sums.lines, range.sums.rows)).collect()
}

fn deliver(store: &dyn FoldStore, limit: usize, at: Timestamp) {
    store.delivered(&store.outbox(&all_partitions(), limit).unwrap(), at).unwrap();
}

#[test]
fn what_was_sent_is_noted_and_no_record_is_in_two_ranges() {
    on_every_backend(|store| {
        assert!(store.sent(PARTITION).unwrap().is_empty());
        // Records without lines.
        commit(store, PARTITION, 2, &Commit::default()).unwrap();
        deliver(store, 10, NOW);
        assert_eq!(sent(store), [(0, 2, 0, 0)]);
        let filled = Commit {
            rows: vec![purchase_row(2), purchase_row(4)],
            lines: vec![line(2, 0), line(2, 1), line(4, 0)],
            ..Commit::default()
        };
        commit(store, PARTITION, 6, &filled).unwrap();
        // In the middle of record 2: it has a range of its own until it is whole.
        deliver(store, 2, NOW);
        assert_eq!(sent(store), [(0, 2, 0, 0), (2, 3, 1, 1)]);
        // Its end, and the beginning of record 4.
        let cut = store.outbox(&all_partitions(), 2).unwrap();
        store.delivered(&cut, NOW).unwrap();
        let half = [(0, 2, 0, 0), (2, 4, 2, 1), (4, 5, 0, 1)];
        assert_eq!(sent(store), half);
        // Said again, as after a lost answer: nothing was taken out, so nothing is noted twice.
        store.delivered(&cut, NOW).unwrap();
        assert_eq!(sent(store), half);
        let later = Timestamp(NOW.0 + 5);
        deliver(store, 10, later);
        assert_eq!(sent(store), [(0, 2, 0, 0), (2, 4, 2, 1), (4, 6, 1, 1)]);
        let ranges = store.sent(PARTITION).unwrap();
        let (many, few) = (i128::from(i64::MAX), i128::from(i64::MIN));
        let of_two = SentSums {
            lines: 2,
            rows: 1,
            redemptions: 2,
            conversions: 2,
            gross: 2 * many,
            net: 2 * few,
            commission: -2,
        };
        assert_eq!(ranges[1].sums, of_two, "sums beyond 64 bits are exact");
        assert_eq!((ranges[1].at, ranges[2].at), (NOW, later));
        assert!(store.sent(PARTITION + 1).unwrap().is_empty());
        // Records without lines after it go to the same range.
        commit(store, PARTITION, 9, &Commit::default()).unwrap();
        deliver(store, 10, later);
        assert_eq!(sent(store)[2], (4, 9, 1, 1));
    });
}

#[test]
fn slices_of_a_record_are_noted_in_one_range() {
    on_every_backend(|store| {
        commit(store, PARTITION, 3, &Commit { lines: vec![line(1, 0)], ..Commit::default() }).unwrap();
        // The first slice is sent with what comes before it, the others wait for the last.
        for (number, noted) in [(0_u32, 1), (1, 1), (2, 3)] {
            let fanout = Some(Fanout { vendor: VENDOR, keys: None, after: StoryId(u64::from(number) + 1) });
            let middle = Position { fanout, counters: Counters { next_ord: number + 1, made: 0 }, ..at(3) };
            let next = if number == 2 { at(4) } else { middle };
            let slice = Commit { lines: vec![line(3, number)], ..Commit::default() };
            store.commit(PARTITION, &store.position(PARTITION).unwrap(), &next, &slice).unwrap();
            deliver(store, 100, NOW);
            assert_eq!(sent(store), [(0, 3, 1, 0), (3, 4, noted, 0)]);
        }
        assert_eq!(store.visible(PARTITION).unwrap().next_offset, 4);
    });
}

/// Of two processes that cut the same, the one that is later took nothing out.
#[test]
fn overlapping_deliveries_are_noted_once() {
    on_every_place(|place| {
        let (one, other) = (place.open(), place.open());
        commit(one.as_ref(), PARTITION, 1, &Commit { lines: vec![line(0, 0)], ..Commit::default() }).unwrap();
        let short = one.outbox(&all_partitions(), 10).unwrap();
        commit(one.as_ref(), PARTITION, 2, &Commit { lines: vec![line(1, 0)], ..Commit::default() }).unwrap();
        let long = other.outbox(&all_partitions(), 10).unwrap();
        one.delivered(&short, NOW).unwrap();
        other.delivered(&long, NOW).unwrap();
        one.delivered(&short, NOW).unwrap();
        assert_eq!(sent(one.as_ref()), [(0, 1, 1, 0), (1, 2, 1, 0)]);
    });
}

#[test]
fn what_was_noted_is_bounded_and_nothing_of_it_is_lost() {
    on_every_backend(|store| {
        let records = MOST_SENT_RANGES as u64 + 200;
        for offset in 0..records {
            commit(store, PARTITION, offset + 1, &Commit { lines: vec![line(offset, 0)], ..Commit::default() })
                .unwrap();
            deliver(store, 10, NOW);
        }
        let ranges = store.sent(PARTITION).unwrap();
        assert!(ranges.len() <= MOST_SENT_RANGES, "{} ranges", ranges.len());
        assert_eq!((ranges[0].from, ranges[ranges.len() - 1].to), (0, records));
        assert!(ranges.windows(2).all(|pair| pair[0].to == pair[1].from), "without gaps");
        assert_eq!(ranges.iter().map(|range| range.sums.lines).sum::<u64>(), records);
        assert!(ranges.iter().all(|range| range.sums.lines == range.to - range.from), "each holds what is its own");
    });
}

#[test]
fn what_is_held_is_known_to_whoever_opens_the_store() {
    on_every_place(|place| {
        let upto = |next_offset| Visible { next_offset, at: Timestamp(next_offset as i64 + 100) };
        let one = place.open();
        assert_eq!(one.held(PARTITION).unwrap(), None);
        one.hold(PARTITION, Some(upto(7))).unwrap();
        one.hold(PARTITION, Some(upto(9))).unwrap();
        one.hold(PARTITION + 1, Some(upto(0))).unwrap();
        let other = place.open();
        assert_eq!(other.held(PARTITION).unwrap(), Some(upto(9)));
        assert_eq!(other.held(PARTITION + 1).unwrap(), Some(upto(0)));
        other.hold(PARTITION, None).unwrap();
        other.hold(PARTITION, None).unwrap();
        assert_eq!((one.held(PARTITION).unwrap(), one.held(PARTITION + 1).unwrap()), (None, Some(upto(0))));
    });
}
