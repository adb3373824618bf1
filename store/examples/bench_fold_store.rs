//! Events per second of both fold stores: commits with the rows that a sale leaves, with the reads that folding does
//! before them, and with the outbox taken away behind them.
//!
//! `cargo run --release -p store --example bench_fold_store [postgres URL] [events per round]`; the URL of
//! `scripts/services/postgres.sh start` if none is given. It makes the schema `bench_fold` and drops it.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![allow(clippy::unwrap_used, reason = "a measurement may end loudly")]

use domain::fact::{Alias, FactBody, Seen, Subscription};
use domain::fold::Outcome;
use domain::ids::*;
use domain::line::{Amounts, LedgerLine, LineKind, PurchaseOutcome, PurchaseRow};
use domain::money::Currency;
use domain::story::{Scope, Story};
use std::sync::Arc;
use std::time::Instant;
use store::event_log::all_partitions;
use store::fold_store::{Commit, FoldStore, Position, PostgresFoldStore, RecordRow, SqliteFoldStore};
use store::postgres::{PostgresPool, PostgresSettings};

/// Records of one commit: what the worker takes at most.
const BATCH: u64 = 1_000;
/// Items of one cut: more than what a batch adds.
const CUT: usize = 10_000;
const PARTITION: u16 = 3;
const VENDORS: u64 = 50;
const NOW: i64 = 1_795_262_400_000;
const ROUNDS: u64 = 3;

fn scope(offset: u64) -> Scope {
    let vendor = VendorId(offset % VENDORS + 1);
    Scope { vendor, connection: ConnectionId(vendor.0), mode: Mode::Live }
}

/// The ids that a paid invoice names.
fn names(offset: u64) -> Vec<Alias> {
    ["inv:in_1T", "pi:pi_3T", "ch:ch_3T", "sub:sub_1T"].map(|head| Alias(format!("{head}{offset:020}"))).to_vec()
}

fn story(offset: u64) -> Story {
    let mut story = Story::new(StoryId(offset + 1), scope(offset), Provider::Stripe);
    let seen = Seen { at: Timestamp(NOW), event: format!("evt_1T{offset:020}") };
    let id = format!("sub_1T{offset:020}");
    let subscription = Subscription { id, created: Some(Timestamp(NOW)), first_purchase: None };
    story.facts.insert(FactBody::Subscription(subscription), seen.clone());
    // As many bytes as a sale with its discounts has.
    for _ in 0..4 {
        let names = names(offset + story.facts.len() as u64);
        story.facts.insert(FactBody::Link { names }, seen.clone());
    }
    story.refs = [format!("code:CODE{}", offset % 40), format!("conn:{}", story.scope.connection)].into();
    story.records = vec![offset];
    story
}

fn line(offset: u64) -> LedgerLine {
    LedgerLine {
        vendor: scope(offset).vendor,
        mode: Mode::Live,
        occurred_at: Timestamp(NOW),
        affiliate: AffiliateId(offset % 20),
        src_part: PARTITION,
        src_off: offset,
        ord: 0,
        booked_at: Timestamp(NOW),
        sale_at: Timestamp(NOW),
        connection: scope(offset).connection,
        purchase: PurchaseId(offset + 1),
        kind: LineKind::Sale,
        code: CodeId(offset % 40),
        currency: Currency::parse("usd").unwrap(),
        amounts: Amounts { redemptions: 1, conversions: 1, gross: 2_400, net: 2_000, commission: 400 },
        rule_rev: 1,
    }
}

fn row(offset: u64) -> PurchaseRow {
    PurchaseRow {
        vendor: scope(offset).vendor,
        mode: Mode::Live,
        sale_at: Timestamp(NOW),
        purchase: PurchaseId(offset + 1),
        outcome: PurchaseOutcome::Credited,
        reason: String::new(),
        affiliate: AffiliateId(offset % 20),
        code: CodeId(offset % 40),
        currency: Currency::parse("usd").unwrap(),
        gross: 2_400,
        net: 2_000,
        reversed: 0,
        commission: 400,
        flags: Vec::new(),
        src_part: PARTITION,
        src_off: offset,
    }
}

fn record(offset: u64) -> RecordRow {
    RecordRow {
        offset,
        vendor: scope(offset).vendor,
        connection: scope(offset).connection,
        mode: Some(Mode::Live),
        event_id: format!("evt_1T{offset:020}"),
        event_type: "invoice.paid".to_owned(),
        is_backfill: false,
        at: Timestamp(NOW + offset as i64),
        outcome: Outcome::Counted,
        story: Some(StoryId(offset + 1)),
    }
}

/// What a batch of first sales changes.
fn batch(from: u64) -> Commit {
    let mut commit = Commit::default();
    for offset in from..from + BATCH {
        let story = story(offset);
        commit.aliases.extend(names(offset).into_iter().map(|name| (story.scope, name, story.id)));
        commit.refs.extend(story.refs.iter().map(|key| (story.scope.vendor, key.clone(), story.id, true)));
        commit.purchases.push((PurchaseId(offset + 1), story.id));
        commit.stories.push((story.id, Some(Arc::new(story))));
        commit.records.push(record(offset));
        commit.lines.push(line(offset));
        commit.rows.push(row(offset));
    }
    commit
}

/// The reads before a commit: are these names known, and the stories of the batch before (as later events want them).
fn read_before(store: &dyn FoldStore, from: u64) {
    let asked: Vec<(Scope, Alias)> = (from..from + BATCH)
        .flat_map(|offset| names(offset).into_iter().map(move |name| (scope(offset), name)))
        .collect();
    assert!(store.stories_of(&asked).unwrap().iter().all(Option::is_none));
    let before: Vec<StoryId> = (from.saturating_sub(BATCH)..from).map(|offset| StoryId(offset + 1)).collect();
    assert!(store.stories(&before).unwrap().iter().all(Option::is_some));
    assert!(store.outbox_len().unwrap() < 10_000_000);
}

/// Events per second of commits alone, and of reads, commits and deliveries together.
fn measure(store: &dyn FoldStore, events: u64) -> (u64, u64) {
    let mut position = store.position(PARTITION).unwrap();
    let mut commit_us = 0;
    let mut whole_us = 0;
    for _ in 0..events / BATCH {
        let from = position.next_offset;
        let commit = batch(from);
        let next = Position { next_offset: from + BATCH, ..position.clone() };
        let whole = Instant::now();
        read_before(store, from);
        let committing = Instant::now();
        store.commit(PARTITION, &position, &next, &commit).unwrap();
        commit_us += committing.elapsed().as_micros() as u64;
        store.delivered(&store.outbox(&all_partitions(), CUT).unwrap(), Timestamp(NOW)).unwrap();
        whole_us += whole.elapsed().as_micros() as u64;
        position = next;
    }
    assert_eq!((store.outbox_len().unwrap(), store.visible(PARTITION).unwrap().next_offset), (0, position.next_offset));
    (events * 1_000_000 / commit_us.max(1), events * 1_000_000 / whole_us.max(1))
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| {
        std::fs::read_to_string(".cache/services/postgres/url").expect("run: bash scripts/services/postgres.sh start")
    });
    let events: u64 = arguments.next().map_or(50_000, |text| text.parse().unwrap());
    let pool = PostgresPool::connect(PostgresSettings::new(url.trim(), "bench_fold")).unwrap();
    let drop_schema = || pool.run(|connection| connection.batch("drop schema if exists bench_fold cascade")).unwrap();
    drop_schema();
    let folder = tempfile::tempdir_in(".").unwrap();
    let stores: [(&str, Arc<dyn FoldStore>); 2] = [
        ("sqlite", Arc::new(SqliteFoldStore::open(&folder.path().join("fold.db")).unwrap())),
        ("postgres", Arc::new(PostgresFoldStore::open(pool.clone()).unwrap())),
    ];
    let bytes = serde_json::to_vec(&story(7)).unwrap().len();
    println!("{BATCH} events a commit, one process, one partition; a story has {bytes} bytes");
    // Alternating rounds, so that a slow moment of the machine meets both; the stores grow from round to round.
    for round in 1..=ROUNDS {
        for (name, store) in &stores {
            let (commits, whole) = measure(store.as_ref(), events);
            println!("round {round} {name}: commit {commits} events/s; with reads and deliveries {whole} events/s");
        }
    }
    drop_schema();
}
