//! What the spike detector costs the fold: the same log of paid invoices with codes folded with it and without it, in
//! turns, each time into a new SQLite fold store. Compared is CPU time, which other work on the machine disturbs less; the
//! time on the clock is printed beside it.
//!
//! `cargo run --release -p processor --example bench_spikes [events] [vendors] [codes a vendor]`
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![allow(clippy::unwrap_used, reason = "a measurement may end loudly")]
#![allow(clippy::float_arithmetic, reason = "times and ratios; no money is computed here")]

use domain::decision::{Decision, MapCode, SetAffiliate};
use domain::ids::*;
use processor::batch::Batch;
use processor::spikes::SpikeWatch;
use processor::state::StoreState;
use schemas::record::{Delivery, Payload, Record, Source};
use serde_json::json;
use std::time::Instant;
use store::event_log::StoredRecord;
use store::fold_store::{FoldStore, Position, SqliteFoldStore};

const PARTITION: u16 = 3;
const BATCH: usize = 1_000;
const ROUNDS: usize = 5;
const START: i64 = 1_790_000_000;

fn decided(vendor: u64, seq: u64, decision: Decision) -> Record {
    record(vendor, START, Some(seq), Payload::Decision(decision))
}

fn record(vendor: u64, at: i64, seq: Option<u64>, payload: Payload) -> Record {
    let (vendor, connection) = (VendorId(vendor), ConnectionId(if seq.is_some() { 0 } else { vendor }));
    Record { vendor, connection, at: Timestamp::from_seconds(at), writer: "bench".into(), seq, trace: None, payload }
}

fn mapped(code: u64) -> Decision {
    Decision::MapCode(MapCode {
        code_id: CodeId(code),
        provider: None,
        code: None,
        promotion_code_id: Some(format!("promo_{code}")),
        coupon_id: None,
        referral_key: None,
        affiliate: Some(AffiliateId(1)),
        valid_from: None,
        valid_to: None,
    })
}

/// A first payment with a code.
fn sale(vendor: u64, code: u64, number: u64, at: i64) -> Record {
    let object = json!({
        "id": format!("in_1T{number:020}"), "object": "invoice", "amount_due": 11_900, "amount_paid": 11_900,
        "billing_reason": "manual", "charge": format!("ch_3T{number:020}"), "payment_intent": format!("pi_3T{number:020}"),
        "created": at - 1, "currency": "usd", "customer": format!("cus_{number:020}"),
        "discounts": [{"id": format!("di_1T{number:020}"), "object": "discount", "coupon": {"id": "COUPON"}, "promotion_code": format!("promo_{code}")}],
        "status": "paid", "status_transitions": {"paid_at": at, "voided_at": null}, "subtotal": 10_000, "tax": 1_900,
        "total": 11_900, "total_discount_amounts": []
    });
    let event = json!({
        "id": format!("evt_1T{number:020}"), "object": "event", "api_version": "2024-06-20", "created": at, "livemode": true,
        "type": "invoice.paid", "data": {"object": object}
    });
    let delivery = Delivery {
        provider: Provider::Stripe,
        source: Source::Webhook,
        account: None,
        mode: Mode::Live,
        event_id: format!("evt_1T{number:020}"),
        event_type: "invoice.paid".into(),
        created: Timestamp::from_seconds(at),
        body_sha256: String::new(),
        minimiser: 1,
        event: serde_json::value::to_raw_value(&event).unwrap(),
    };
    record(vendor, at + 2, None, Payload::Delivery(delivery))
}

fn log(events: u64, vendors: u64, codes: u64) -> Vec<StoredRecord> {
    let mut records = Vec::new();
    for vendor in 1..=vendors {
        let affiliate =
            SetAffiliate { affiliate: AffiliateId(1), key: "aff".into(), name: "Maya".into(), suspended_at: None };
        records.push(decided(vendor, 1, Decision::SetAffiliate(affiliate)));
        records.extend((1..=codes).map(|code| decided(vendor, code + 1, mapped(code))));
    }
    // Twenty a second, so that the hours go by.
    records.extend((0..events).map(|one| {
        sale(one % vendors + 1, one / vendors * 7 % codes + 1, one, START + i64::try_from(one).unwrap() / 20)
    }));
    let stored = |(offset, record): (u64, Record)| StoredRecord { offset, bytes: record.encode() };
    (0..).zip(records).map(stored).collect()
}

/// Seconds of processor time of this process so far, in steps of a hundredth.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    // After the name in brackets; see proc(5).
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// Seconds for the sales, without the decisions before them: of the processor, and on the clock.
fn fold(log: &[StoredRecord], decisions: usize, watches: bool) -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteFoldStore::open(&folder.path().join("fold.db")).unwrap();
    let (mut state, mut spikes) = (StoreState::new(&store), SpikeWatch::new(&store));
    let read_one = |_| Ok(None);
    let mut position = Position::start();
    let mut began = (cpu_seconds(), Instant::now());
    while (position.next_offset as usize) < log.len() {
        let at = position.next_offset as usize;
        let limit = if position.fanout.is_some() { 1 } else { BATCH };
        let end = if at < decisions { decisions } else { log.len() };
        if at == decisions {
            began = (cpu_seconds(), Instant::now());
        }
        let records = log[at..end.min(at + limit)].to_vec();
        let mut batch = Batch::new(PARTITION, &mut state, &store, &read_one);
        if watches {
            batch = batch.watched_by(&mut spikes);
        }
        let (commit, next) = batch.fold(&position, records).unwrap();
        store.commit(PARTITION, &position, &next, &commit).unwrap();
        position = next;
    }
    (cpu_seconds() - began.0, began.1.elapsed().as_secs_f64())
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|text| text.parse().unwrap()).collect();
    let number = |place: usize, usual: u64| numbers.get(place).copied().unwrap_or(usual);
    let (events, vendors, codes) = (number(0, 20_000), number(1, 50), number(2, 20));
    let log = log(events, vendors, codes);
    let decisions = log.len() - usize::try_from(events).unwrap();
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let first = round % 2 == 0;
        let one = fold(&log, decisions, first);
        let other = fold(&log, decisions, !first);
        let (with, without) = if first { (one, other) } else { (other, one) };
        let figures = |(cpu, clock): (f64, f64)| {
            format!("{:.1} us of CPU an event, {:.0} events/s", cpu * 1e6 / events as f64, events as f64 / clock)
        };
        println!("with: {} | without: {}", figures(with), figures(without));
        ratios.push(without.0 / with.0);
    }
    ratios.sort_by(f64::total_cmp);
    println!("events per CPU second, with / without: {:.3} (median of {ROUNDS}; {ratios:.3?})", ratios[ROUNDS / 2]);
}
