use super::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts up and spreads the counts over all numbers, so that a sample of them is a fair one.
fn spread() -> Arc<FillRandom> {
    let next = AtomicU64::new(1);
    Arc::new(move |bytes| {
        for chunk in bytes.chunks_mut(8) {
            let mut number = next.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            number ^= number >> 32;
            chunk.copy_from_slice(&number.wrapping_mul(0xd6e8_feb8_6659_fd93).to_be_bytes()[..chunk.len()]);
        }
        true
    })
}

fn traces(one_in: u32) -> (Traces, mpsc::Receiver<SpanData>) {
    let (sender, queue) = mpsc::channel(16);
    (Traces::new(one_in, spread(), sender), queue)
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn off_is_the_default_and_asks_for_nothing() {
    let traces = Traces::default();
    assert!(!traces.is_on() && traces.now().is_none());
    assert!(traces.begin(|| panic!("nobody looks at the header")).is_none());
}

#[test]
fn about_one_of_so_many_is_traced() {
    for (one_in, least, most) in [(1, 10_000, 10_000), (10, 900, 1_100), (100, 70, 130)] {
        let (traces, _queue) = traces(one_in);
        let traced = (0..10_000).filter(|_| traces.begin(|| None).is_some()).count();
        assert!((least..=most).contains(&traced), "one in {one_in}: {traced} of 10,000");
    }
}

#[test]
fn a_trace_that_came_with_the_request_is_continued_or_left_alone() {
    let (traces, mut queue) = traces(u32::MAX);
    let span = traces.begin(|| Some(PARENT)).expect("theirs is kept, whatever ours would be");
    assert_eq!(span.context().trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    traces.finish(span);
    let data = queue.try_recv().expect("it is handed on");
    assert_eq!(data.parent_span_id, SpanId::from(0x00f0_67aa_0ba9_02b7_u64));
    assert!(data.parent_span_is_remote);
    let (all, _queue) = self::traces(1);
    assert!(all.begin(|| Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")).is_none());
    let own = all.begin(|| Some("nonsense")).expect("what is not understood is as if it were not there");
    assert!(own.parent.is_none());
}

#[test]
fn children_are_in_the_same_trace_and_name_their_parent() {
    let (traces, mut queue) = traces(1);
    let edge = traces.begin(|| None).expect("all are traced");
    let (trace, parent) = (edge.context().trace, edge.context().span);
    let mut append = traces.child(edge.context(), SpanName::Append).expect("it is on");
    append.say(Attribute::Store, "spool");
    append.count(Attribute::Offset, u64::MAX);
    append.fail();
    let header = append.context().to_header();
    let append_span = append.context().span;
    traces.finish(append);
    let read = TraceContext::from_header(&header).expect("it is ours");
    let fold = traces.consume(read, SpanName::Fold, traces.now().expect("it is on")).expect("it is on");
    traces.finish(fold);

    let append = queue.try_recv().expect("the first");
    assert_eq!(append.span_context.trace_id(), TraceId::from(trace));
    assert_eq!(append.parent_span_id, SpanId::from(parent));
    assert_eq!((append.name.as_ref(), &append.span_kind), ("append", &SpanKind::Producer));
    assert!(append.end_time >= append.start_time && append.status == Status::error(""));
    let said: Vec<String> = append.attributes.iter().map(|one| format!("{}={}", one.key, one.value)).collect();
    assert_eq!(said, ["at.store=spool".to_owned(), format!("at.offset={}", i64::MAX)]);
    let fold = queue.try_recv().expect("the second");
    assert_eq!(fold.span_context.trace_id(), TraceId::from(trace));
    assert_eq!(fold.parent_span_id, SpanId::from(append_span));
    assert!(fold.parent_span_is_remote && fold.span_kind == SpanKind::Consumer);
}

#[test]
fn without_random_bytes_nothing_is_traced() {
    let (sender, _queue) = mpsc::channel(1);
    let traces = Traces::new(1, Arc::new(|_| false), sender);
    assert!(traces.begin(|| None).is_none());
    let context = TraceContext { trace: 1, span: 1 };
    assert!(traces.child(context, SpanName::Append).is_none());
}
