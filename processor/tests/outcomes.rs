//! Every record of the log ends in exactly one outcome, and none blocks another.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use domain::decision::{Adjust, Decision, Retry, Waive};
use domain::ids::*;
use domain::money::Currency;
use processor::deadlines::DeadlineTimer;
use processor::worker::FoldLimits;
use schemas::record::{Expire, LookupResult, Payload};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::event_log::{EventLog, NewRecord, partition_of};
use store::fold_store::FoldStore;
use support::*;

fn pair(outcome: &str, reason: &str) -> (String, String) {
    (outcome.to_owned(), reason.to_owned())
}

fn retry(seq: u64, offsets: &[u64]) -> schemas::record::Record {
    decision(VENDOR, seq, Decision::Retry(Retry { offsets: offsets.to_vec() }))
}

fn waive(vendor: VendorId, seq: u64, offsets: &[u64]) -> schemas::record::Record {
    decision(vendor, seq, Decision::Waive(Waive { offsets: offsets.to_vec(), reason: "a test sale".to_owned() }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_folds_what_is_appended_and_duplicates_add_nothing() {
    let bench = Bench::new();
    let partition = partition_of(VENDOR);
    let running = bench.worker((0..PARTITIONS).collect(), FoldLimits::default());
    bench.append(&opened(VENDOR)).await;
    bench.append(&[sale(VENDOR, "a"), sale(VENDOR, "a"), refund(VENDOR, "a", 1_190, "usd")]).await;
    bench.until_folded(partition).await;
    assert_eq!(bench.sums(), (10_710, 9_000, 1_800));
    for _ in 0..3 {
        bench.append(&[sale(VENDOR, "a"), refund(VENDOR, "a", 1_190, "usd")]).await;
    }
    bench.until_folded(partition).await;
    running.stop();
    assert_eq!(bench.sums(), (10_710, 9_000, 1_800));
    let outcomes = bench.outcomes(partition, &(3..12).collect::<Vec<u64>>());
    let words: Vec<&str> = outcomes.iter().map(|(outcome, _)| outcome.as_str()).collect();
    assert_eq!(words[..3], ["counted", "no_effect", "counted"]);
    assert!(outcomes[3..].iter().all(|one| *one == pair("no_effect", "seen_before")), "{outcomes:?}");
    let counts = bench.counts(VENDOR);
    assert_eq!(counts.values().sum::<u64>(), 12, "{counts:?}");
}

/// What is wrong with a sale, and the beginning of the reason.
fn poison() -> Vec<(&'static str, Value, &'static str)> {
    let with = |member: &str, value: Value| {
        let mut object = invoice("poison");
        object[member] = value;
        object
    };
    vec![
        ("an amount as text", with("total", json!("twelve")), "bad_payload: total"),
        ("an amount as a list", with("amount_paid", json!([1])), "bad_payload: amount_paid"),
        ("an amount as an object", with("total", json!({"value": 1})), "bad_payload: total"),
        ("a fraction", with("total", json!(11.5)), "bad_payload: total"),
        ("no amount", with("total", Value::Null), "bad_payload: data.object.total: missing"),
        ("2^63 - 1", with("total", json!(i64::MAX)), "amount_out_of_range: data.object.total is 9223372036854775807"),
        ("2^64 - 1", with("total", json!(u64::MAX)), "amount_out_of_range: data.object.total"),
        (
            "-2^63",
            with("amount_paid", json!(i64::MIN)),
            "amount_out_of_range: data.object.amount_paid is -9223372036854775808",
        ),
        ("one beyond 10^15", with("tax", json!(1_000_000_000_000_001_i64)), "amount_out_of_range: data.object.tax"),
        (
            "taxes that leave the range together",
            with("total_taxes", json!([{"amount": 900_000_000_000_000_i64}, {"amount": 900_000_000_000_000_i64}])),
            "amount_out_of_range: data.object.total_taxes",
        ),
        ("not a currency", with("currency", json!("u$d")), "bad_currency: `u$d`"),
        ("a long currency", with("currency", json!("usdt")), "bad_currency: `usdt`"),
        ("an empty currency", with("currency", json!("")), "bad_currency: ``"),
        ("a currency of a wrong type", with("currency", json!(840)), "bad_payload: currency"),
        ("an id of a wrong type", with("id", json!(["in_1"])), "bad_payload: id"),
        ("discounts of a wrong type", with("discounts", json!("promo")), "bad_payload: discounts"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_refused_by_name_and_blocks_nothing() {
    let bench = Bench::new();
    let mut records = opened(VENDOR);
    let first = records.len() as u64;
    for (number, (_, object, _)) in poison().iter().enumerate() {
        records.push(delivery(VENDOR, &format!("evt_poison_{number}"), "invoice.paid", NOON, object));
    }
    records.push(sale(VENDOR, "good"));
    let outcomes = bench.fold(&records).await;
    let mut wrong = Vec::new();
    for ((what, _, reason), (outcome, found)) in poison().iter().zip(&outcomes[first as usize..]) {
        if outcome != "refused" || !found.starts_with(reason) {
            wrong.push(format!("{what}: expected refused, {reason:?}; got {outcome}, {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(outcomes.last().unwrap().0, "counted");
    assert_eq!(bench.sums(), (11_900, 10_000, 2_000));
    let open: Vec<u64> =
        bench.store.open_records(VENDOR, "refused", None, 100).unwrap().iter().map(|one| one.offset).collect();
    assert_eq!(open, (first..first + poison().len() as u64).collect::<Vec<u64>>(), "all are listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_for_us_has_an_outcome_too() {
    let bench = Bench::new();
    let mut foreign = sale(VENDOR, "foreign");
    if let Payload::Delivery(delivery) = &mut foreign.payload {
        delivery.account = Some("acct_other".to_owned());
    }
    let mut own = sale(VENDOR, "own");
    if let Payload::Delivery(delivery) = &mut own.payload {
        delivery.account = Some("acct_1".to_owned());
    }
    let mut unknown_currency = invoice("zzz");
    unknown_currency["currency"] = json!("ZZZ");
    let outcomes = bench
        .fold(&[
            decision(VENDOR, 1, connected(VENDOR, Some("acct_1"))),
            foreign,
            own,
            delivery(VENDOR, "evt_x", "radar.early_fraud_warning.created", NOON, &json!({"id": "issfr_1"})),
            delivery(VENDOR, "evt_y", "invoice.payment_failed", NOON, &json!({"id": "in_9", "currency": "usd"})),
            delivery(VENDOR, "evt_z", "invoice.paid", NOON, &unknown_currency),
        ])
        .await;
    let expected = [
        pair("decisions", ""),
        pair("ignored", "unknown_account"),
        pair("counted", ""),
        pair("ignored", "unknown_type"),
        pair("no_effect", "nothing_to_count"),
        pair("counted", ""),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(bench.sums().1, 20_000, "a currency that is not in any list counts as raw minor units");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_record_are_refused_and_passed() {
    let bench = Bench::new();
    let partition = partition_of(VENDOR);
    bench.append(&[sale(VENDOR, "a")]).await;
    for bytes in [b"not a record".to_vec(), Vec::new(), vec![0xff; 64], b"{\"v\":1}".to_vec()] {
        bench.log.append(NewRecord { partition, bytes }).await.unwrap();
    }
    bench.append(&[sale(VENDOR, "b")]).await;
    bench.fold_all(partition, 100).await;
    let outcomes = bench.outcomes(partition, &[0, 1, 2, 3, 4, 5]);
    let words: Vec<&str> = outcomes.iter().map(|(outcome, _)| outcome.as_str()).collect();
    assert_eq!(words, ["counted", "refused", "refused", "refused", "refused", "counted"]);
    assert!(outcomes[1..5].iter().all(|(_, reason)| reason.starts_with("not a log record: ")), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_waits_for_its_sale_and_counts_then() {
    let bench = Bench::new();
    let mut records = opened(VENDOR);
    records.push(refund(VENDOR, "a", 11_900, "usd"));
    let outcomes = bench.fold(&records).await;
    assert_eq!(outcomes[3], pair("waiting", "waits for the sale of pi:pi_a"));
    assert_eq!(bench.sums(), (0, 0, 0));
    bench.fold(&[sale(VENDOR, "a")]).await;
    assert_eq!(bench.outcome(VENDOR, 3), pair("counted", ""));
    assert_eq!(bench.sums(), (0, 0, 0));
    assert_eq!(bench.outbox().len(), 3, "sale and refund are lines of their own, and the purchase");
    assert!(bench.store.open_records(VENDOR, "waiting", None, 10).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_changes_the_label_and_no_money() {
    let bench = Bench::new();
    let partition = partition_of(VENDOR);
    bench.fold(&[refund(VENDOR, "a", 1_190, "usd"), sale(VENDOR, "b")]).await;
    let timer = |days: i64| DeadlineTimer {
        partitions: processor::owns_everything(),
        store: bench.store.clone(),
        log: bench.log.clone(),
        clock: Arc::new(move || Timestamp(FIRST_AT + days * DAY * 1_000)),
        deadline: Duration::from_secs(30 * DAY as u64),
        every: Duration::from_secs(600),
        writer: "timer-1".to_owned(),
    };
    timer(29).round(partition).await.unwrap();
    assert_eq!(bench.log.bounds(partition).await.unwrap().1, 2, "not yet");
    timer(31).round(partition).await.unwrap();
    assert_eq!(bench.log.bounds(partition).await.unwrap().1, 3);
    bench.fold_all(partition, 10).await;
    assert_eq!(bench.outcome(VENDOR, 0), pair("refused", "deadline_passed: what it waited for did not come"));
    assert_eq!(bench.outcome(VENDOR, 2).0, "decisions");
    timer(32).round(partition).await.unwrap();
    assert_eq!(bench.log.bounds(partition).await.unwrap().1, 3, "it is named once");
    // What still comes counts.
    bench.fold(&[sale(VENDOR, "a")]).await;
    assert_eq!(bench.outcome(VENDOR, 0), pair("counted", ""));
    assert_eq!(bench.sums().1, 19_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_names_only_what_still_waits() {
    let bench = Bench::new();
    let names = Expire { offsets: vec![0, 1, 2, 77] };
    let outcomes = bench
        .fold(&[
            sale(VENDOR, "a"),
            delivery(VENDOR, "evt_bad", "invoice.paid", NOON, &json!({"id": 1})),
            refund(VENDOR, "b", 100, "usd"),
            other(VENDOR, Payload::Expire(names)),
        ])
        .await;
    let words: Vec<&str> = outcomes.iter().map(|(outcome, _)| outcome.as_str()).collect();
    assert_eq!(words, ["counted", "refused", "refused", "decisions"]);
    assert!(outcomes[1].1.starts_with("bad_payload") && outcomes[2].1.starts_with("deadline_passed"), "{outcomes:?}");
}

/// The record is written again as it should have been (the provider was asked again, or a newer
/// binary can read it), and then retried.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_counts_once_under_its_own_position() {
    let bench = Bench::new();
    let partition = partition_of(VENDOR);
    let mut records = opened(VENDOR);
    records.push(delivery(VENDOR, "evt_sale_a", "invoice.paid", NOON, &json!({"id": "in_a", "total": "twelve"})));
    let outcomes = bench.fold(&records).await;
    assert_eq!(outcomes[3].0, "refused");
    bench.log.replace(partition, 3, sale(VENDOR, "a").encode()).await.unwrap();
    bench.fold(&[retry(4, &[3])]).await;
    assert_eq!(bench.outcome(VENDOR, 3), pair("counted", ""));
    assert_eq!(bench.sums(), (11_900, 10_000, 2_000));
    for item in bench.outbox() {
        let store::fold_store::OutboxItem::Line(line) = item else { continue };
        assert_eq!(line.src_off, 4, "its lines carry the position of the retry");
    }
    // Again, and with the delivery once more: nothing.
    bench.fold(&[retry(5, &[3]), sale(VENDOR, "a"), retry(6, &[3, 3, 5])]).await;
    assert_eq!(bench.outcome(VENDOR, 3), pair("counted", ""));
    assert_eq!(bench.sums(), (11_900, 10_000, 2_000));
    let counts = bench.counts(VENDOR);
    assert_eq!(counts.values().sum::<u64>(), 8, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_fails_again_stays_refused() {
    let bench = Bench::new();
    let mut records = opened(VENDOR);
    records.push(delivery(VENDOR, "evt_bad", "invoice.paid", NOON, &json!({"id": "in_a", "total": "twelve"})));
    records.push(sale(VENDOR, "b"));
    records.push(refund(VENDOR, "b", 100, "eur"));
    let before = bench.fold(&records).await;
    assert_eq!((before[3].0.as_str(), before[5].0.as_str()), ("refused", "refused"), "{before:?}");
    assert_eq!(before[5].1, "currency_mismatch: eur on a sale in usd");
    bench.fold(&[retry(4, &[3, 5])]).await;
    assert_eq!(bench.outcome(VENDOR, 3), before[3]);
    assert_eq!(bench.outcome(VENDOR, 5), before[5]);
    assert_eq!(bench.sums(), (11_900, 10_000, 2_000));
}

/// Its deadline passed, and what it waited for is still not there: trying again does not take it
/// off every list.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_a_deadline_does_not_hide_the_record() {
    let bench = Bench::new();
    let mut records = opened(VENDOR);
    records.push(refund(VENDOR, "a", 1_190, "usd"));
    records.push(other(VENDOR, Payload::Expire(Expire { offsets: vec![3] })));
    assert_eq!(bench.fold(&records).await.len(), 5);
    assert_eq!(bench.outcome(VENDOR, 3).0, "refused");
    bench.fold(&[retry(4, &[3])]).await;
    let outcome = bench.outcome(VENDOR, 3);
    assert!(["refused", "waiting"].contains(&outcome.0.as_str()), "{outcome:?}");
    bench.fold(&[sale(VENDOR, "a")]).await;
    assert_eq!(bench.outcome(VENDOR, 3), pair("counted", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_what_waits_lets_it_wait() {
    let bench = Bench::new();
    let mut records = opened(VENDOR);
    records.push(refund(VENDOR, "a", 1_190, "usd"));
    let before = bench.fold(&records).await;
    bench.fold(&[retry(4, &[3])]).await;
    assert_eq!(bench.outcome(VENDOR, 3), before[3]);
    bench.fold(&[sale(VENDOR, "a")]).await;
    assert_eq!(bench.outcome(VENDOR, 3), pair("counted", ""));
    assert_eq!(bench.outcome(VENDOR, 4).0, "decisions");
}

/// The refused refund can be read now, but its sale is not there yet: the record that waits is
/// the delivery, not the retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_retried_record_that_must_wait_is_settled_itself() {
    let bench = Bench::new();
    let mut records = opened(VENDOR);
    records.push(delivery(
        VENDOR,
        "evt_refund_a_1190",
        "refund.created",
        NOON,
        &json!({"id": "re_a_1190", "amount": "x"}),
    ));
    assert_eq!(bench.fold(&records).await[3].0, "refused");
    bench.log.replace(partition_of(VENDOR), 3, refund(VENDOR, "a", 1_190, "usd").encode()).await.unwrap();
    bench.fold(&[retry(4, &[3])]).await;
    assert_eq!(bench.outcome(VENDOR, 3), pair("waiting", "waits for the sale of pi:pi_a"));
    bench.fold(&[sale(VENDOR, "a")]).await;
    assert_eq!((bench.outcome(VENDOR, 3).0.as_str(), bench.outcome(VENDOR, 4).0.as_str()), ("counted", "decisions"));
    assert_eq!(bench.sums().1, 9_000);
}

/// One retry of many sales: each becomes a purchase of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_many_keeps_them_apart() {
    const SALES: u64 = 200;
    let bench = Bench::new();
    let partition = partition_of(VENDOR);
    let mut records = opened(VENDOR);
    records.extend(
        (0..SALES)
            .map(|number| delivery(VENDOR, &format!("evt_{number}"), "invoice.paid", NOON, &json!({"id": number}))),
    );
    bench.fold(&records).await;
    for number in 0..SALES {
        bench.log.replace(partition, 3 + number, sale(VENDOR, &number.to_string()).encode()).await.unwrap();
    }
    let offsets: Vec<u64> = (3..3 + SALES).collect();
    bench.fold(&[retry(4, &offsets)]).await;
    assert!(bench.outcomes(partition, &offsets).iter().all(|(outcome, _)| outcome == "counted"));
    assert_eq!(bench.sums().1, 10_000 * SALES as i64);
    let stories = bench.store.stories_with_ref(VENDOR, None, StoryId(0), 1_000).unwrap();
    assert_eq!(stories.len() as u64, SALES, "one story per sale");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waived_record_is_out_of_the_list() {
    let bench = Bench::new();
    let mut records = opened(VENDOR);
    records.push(delivery(VENDOR, "evt_bad", "invoice.paid", NOON, &json!({"id": 1})));
    records.push(refund(VENDOR, "a", 100, "usd"));
    records.push(sale(VENDOR, "b"));
    records.push(waive(VENDOR, 4, &[3, 4, 5, 99]));
    let outcomes = bench.fold(&records).await;
    assert_eq!(outcomes[3], pair("ignored", "waived: a test sale"));
    assert!(bench.store.open_records(VENDOR, "refused", None, 10).unwrap().is_empty());
    // What waits is folded already and would count when its sale comes; what is counted stays so.
    assert_eq!(
        outcomes[4..],
        [pair("waiting", "waits for the sale of pi:pi_a"), pair("counted", ""), pair("decisions", "")]
    );
    bench.fold(&[retry(5, &[3])]).await;
    assert_eq!(bench.outcome(VENDOR, 3).0, "ignored", "what was waived is not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_retries_or_waives_anothers_records() {
    let bench = Bench::new();
    let neighbour = neighbour_of(VENDOR);
    let bad = delivery(VENDOR, "evt_bad", "invoice.paid", NOON, &json!({"id": 1}));
    let before = bench.fold(&[bad, refund(VENDOR, "a", 100, "usd")]).await;
    let theirs = decision(neighbour, 2, Decision::Retry(Retry { offsets: vec![0, 1] }));
    let expire = other(neighbour, Payload::Expire(Expire { offsets: vec![0, 1] }));
    bench.fold(&[waive(neighbour, 1, &[0, 1]), theirs, expire]).await;
    assert_eq!(bench.outcomes(partition_of(VENDOR), &[0, 1]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_decisions_stops_them_until_it_is_filled() {
    let bench = Bench::new();
    let steps = opened(VENDOR);
    let records = [
        sale(VENDOR, "a"),
        steps[0].clone(),
        steps[2].clone(),
        decision(VENDOR, 4, mapped_to(None)),
        sale(VENDOR, "b"),
    ];
    let outcomes = bench.fold(&records).await;
    assert_eq!(outcomes[1], pair("decisions", ""));
    assert_eq!(outcomes[2], pair("refused", "sequence_gap: expected 2, got 3"));
    assert_eq!(
        outcomes[3],
        pair("refused", "sequence_gap: expected 2, got 4"),
        "what comes after the gap is refused too"
    );
    assert_eq!(bench.sums(), (23_800, 20_000, 0), "money is counted, nobody is credited");
    // The relay sends again from where the log is whole.
    let again = bench.fold(&[steps[1].clone(), steps[1].clone(), steps[2].clone()]).await;
    assert_eq!(again, [pair("decisions", ""), pair("decisions", ""), pair("decisions", "")]);
    assert_eq!(bench.sums(), (23_800, 20_000, 4_000));
    let mut without = steps[0].clone();
    without.seq = None;
    assert_eq!(bench.fold(&[without]).await, [pair("refused", "a decision without a sequence number")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_through_the_log() {
    let bench = Bench::new();
    let mut object = invoice("a");
    object["discounts"] = json!(["di_a"]);
    let mut records = opened(VENDOR);
    records.push(delivery(VENDOR, "evt_sale_a", "invoice.paid", NOON, &object));
    bench.fold(&records).await;
    let open = bench.store.open_questions(0, 10).unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].request, "GET /v1/invoices/in_a?expand[]=discounts");
    assert_eq!(bench.sums(), (11_900, 10_000, 0), "the money counts before anybody is credited");
    let answered = |answer: Option<Value>, asked_at: i64| {
        other(
            VENDOR,
            Payload::LookupResult(LookupResult {
                mode: Mode::Live,
                provider: Provider::Stripe,
                request: open[0].request.clone(),
                asked_at: Timestamp(asked_at),
                refused: answer.is_none().then(|| "no permission".to_owned()),
                answer: answer.map(|answer| serde_json::value::to_raw_value(&answer).unwrap()),
            }),
        )
    };
    bench.fold(&[answered(None, 1_000)]).await;
    assert!(bench.store.open_questions(0, 10).unwrap().is_empty());
    assert_eq!(bench.sums().2, 0);
    bench.fold(&[answered(Some(invoice("a")), 2_000)]).await;
    assert_eq!(bench.sums(), (11_900, 10_000, 2_000));
    bench.fold(&[answered(None, 500), answered(Some(invoice("a")), 3_000)]).await;
    assert_eq!(bench.sums(), (11_900, 10_000, 2_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn manual_lines_and_a_dropped_vendor() {
    let bench = Bench::new();
    let adjust = Adjust {
        mode: Mode::Live,
        affiliate: AffiliateId(7),
        currency: Currency::parse("usd").unwrap(),
        commission: -500,
        occurred_at: Timestamp(1),
        reason: "agreed".to_owned(),
    };
    let mut records = opened(VENDOR);
    records.extend([
        sale(VENDOR, "a"),
        decision(VENDOR, 4, Decision::Adjust(adjust.clone())),
        decision(VENDOR, 4, Decision::Adjust(adjust)),
    ]);
    records.extend([decision(VENDOR, 5, Decision::DropVendor), sale(VENDOR, "b")]);
    let outcomes = bench.fold(&records).await;
    assert_eq!(bench.sums(), (11_900, 10_000, 1_500), "the manual line once");
    assert_eq!(outcomes[5..], [pair("decisions", ""), pair("decisions", ""), pair("ignored", "vendor_dropped")]);
}
