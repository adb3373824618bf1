use super::*;
use domain::fold::Outcome;
use domain::ids::{ConnectionId, Mode, Provider, Timestamp, VendorId};
use store::fold_store::{OutboxRange, RecordRow};
use telemetry::traces::testing::{Ended, traces_into};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARTITION: u16 = 3;

fn scope() -> Scope {
    Scope { vendor: VendorId(7), connection: ConnectionId(12), mode: Mode::Live }
}

/// A traced record that booked something and asked something.
fn traced(offset: u64) -> Traced {
    let parent = TraceContext::from_header(&format!("00-{TRACE}-{:016x}-01", offset + 1)).unwrap();
    Traced { offset, parent, has_lines: true, questions: vec![(scope(), format!("GET /{offset}"))] }
}

fn commit(offsets: std::ops::Range<u64>) -> Commit {
    let row = |offset| RecordRow {
        offset,
        vendor: VendorId(7),
        connection: ConnectionId(12),
        mode: Some(Mode::Live),
        event_id: String::new(),
        event_type: String::new(),
        is_backfill: false,
        at: Timestamp(0),
        outcome: Outcome::Counted,
        story: None,
    };
    Commit { records: offsets.map(row).collect(), ..Commit::default() }
}

fn enter(book: &TraceBook, partition: u16, offsets: std::ops::Range<u64>) -> Vec<Entered> {
    let mut folded = book.begin_fold();
    folded.traced().expect("it is on").extend(offsets.clone().map(traced));
    book.enter(partition, folded, &commit(offsets))
}

fn visible(partition: u16, below: u64) -> OutboxBatch {
    let range = OutboxRange { partition, first: None, last: None, visible: below };
    OutboxBatch { items: Vec::new(), ranges: vec![range] }
}

fn question(offset: u64) -> OpenQuestion {
    OpenQuestion { id: offset, scope: scope(), provider: Provider::Stripe, request: format!("GET /{offset}") }
}

fn waiting(book: &TraceBook) -> (usize, usize) {
    let pages = book.pages();
    (pages.lines.len(), pages.questions.len())
}

#[test]
fn off_it_notes_nothing() {
    let book = TraceBook::default();
    let mut folded = book.begin_fold();
    assert!(folded.traced().is_none());
    assert!(book.enter(PARTITION, folded, &commit(0..1)).is_empty());
    book.insert_begins();
    book.visible(&visible(PARTITION, 9));
    assert!(book.ask(&question(0)).is_none());
    assert_eq!(waiting(&book), (0, 0));
}

#[test]
fn a_record_waits_from_its_fold_until_its_lines_are_visible() {
    let (traces, mut ended) = traces_into(100);
    let book = TraceBook::new(traces);
    let entered = enter(&book, PARTITION, 4..6);
    book.folded(entered);
    let folds: Vec<Ended> = ended.all();
    assert_eq!(
        folds.iter().map(|span| (span.name.as_str(), span.parent)).collect::<Vec<_>>(),
        [("fold", 5), ("fold", 6)]
    );
    assert!(folds.iter().all(|span| span.trace == TRACE && span.says("at.outcome=counted")), "{folds:?}");
    book.insert_begins();
    book.visible(&visible(PARTITION + 1, 100));
    book.visible(&visible(PARTITION, 4));
    assert!(ended.all().is_empty(), "neither another partition nor what is below concerns them");
    book.insert_begins();
    book.visible(&visible(PARTITION, 5));
    let inserts = ended.all();
    assert_eq!(inserts.len(), 1, "{inserts:?}");
    assert_eq!((inserts[0].name.as_str(), inserts[0].parent), ("insert", folds[0].span));
    assert!(inserts[0].says("at.offset=4") && inserts[0].says("at.partition=3"), "{inserts:?}");
    book.visible(&visible(PARTITION, 6));
    assert_eq!(ended.all()[0].parent, folds[1].span);
    assert_eq!(waiting(&book).0, 0);
}

#[test]
fn a_batch_that_was_not_committed_leaves_nothing_behind() {
    let (traces, mut ended) = traces_into(100);
    let book = TraceBook::new(traces);
    let first = enter(&book, PARTITION, 0..1);
    book.folded(first);
    let again = enter(&book, PARTITION, 0..3);
    book.withdraw(again);
    assert_eq!(waiting(&book), (0, 1), "the first one's question stands");
    assert_eq!(ended.all().len(), 1);
}

#[test]
fn a_record_without_lines_does_not_wait() {
    let (traces, mut ended) = traces_into(100);
    let book = TraceBook::new(traces);
    let mut folded = book.begin_fold();
    let nothing = traced(0).with(&Effects::default());
    folded.traced().expect("it is on").push(nothing);
    let entered = book.enter(PARTITION, folded, &commit(0..1));
    book.folded(entered);
    assert_eq!(waiting(&book), (0, 0));
    assert_eq!(ended.all().len(), 1);
}

#[test]
fn the_book_is_bounded() {
    let (traces, _ended) = traces_into(1);
    let book = TraceBook::new(traces);
    let more = CAPACITY as u64 + 10;
    enter(&book, PARTITION, 0..more);
    assert_eq!(waiting(&book), (CAPACITY, CAPACITY));
    // What found no room before finds it again.
    book.visible(&visible(PARTITION, more));
    enter(&book, PARTITION, more..more + 1);
    assert_eq!(waiting(&book).0, 1);
}

#[test]
fn what_went_to_another_process_is_forgotten() {
    let (traces, mut ended) = traces_into(100);
    let book = TraceBook::new(traces);
    let vendors = partition_of(scope().vendor);
    let other = (vendors + 1) % 16;
    enter(&book, vendors, 0..2);
    enter(&book, other, 2..3);
    book.keep(&BTreeSet::from([vendors]));
    assert_eq!(waiting(&book), (2, 3));
    book.keep(&BTreeSet::from([other]));
    assert_eq!(waiting(&book), (0, 0));
    book.visible(&visible(vendors, 10));
    assert!(ended.all().is_empty());
}

#[test]
fn a_question_continues_the_trace_and_its_answer_carries_it_on() {
    let (traces, mut ended) = traces_into(100);
    let book = TraceBook::new(traces);
    let entered = enter(&book, PARTITION, 0..1);
    book.folded(entered);
    let fold = ended.all().remove(0);
    let later = book.ask(&question(0)).expect("it waits");
    book.asked(later, &question(0), "later");
    let span = book.ask(&question(0)).expect("it is asked again");
    let header = book.asked(span, &question(0), "answered");
    let lookups = ended.all();
    assert!(lookups.iter().all(|span| span.name == "lookup" && span.parent == fold.span), "{lookups:?}");
    assert!(lookups[0].failed && !lookups[1].failed);
    let answer = TraceContext::from_header(&header).expect("its record carries a context");
    assert_eq!(answer.to_header(), format!("00-{TRACE}-{:016x}-01", lookups[1].span));
    book.close_question(&question(0));
    assert!(book.ask(&question(0)).is_none());
}
