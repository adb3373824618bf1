//! Log records version 1 are frozen: every kind has a file, and what this binary writes is that
//! file, byte for byte. A record that was written once is read for ever.
//!
//! A new kind, or a new member of a kind, is added here first; then
//! `AFFILITRACK_TEST_BLESS=1 cargo test -p schemas --test golden_records` writes its file. The
//! change of an existing file is a change of history: old logs hold the old bytes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use domain::decision::*;
use domain::ids::*;
use domain::money::Currency;
use schemas::record::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/record/v1")
}

fn usd() -> Currency {
    Currency::parse("usd").unwrap()
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

fn record(payload: Payload) -> Record {
    let seq = matches!(payload, Payload::Decision(_)).then_some(17);
    let connection = ConnectionId(if seq.is_some() { 0 } else { 12 });
    let writer = if seq.is_some() { "serve-1" } else { "ingest-1" };
    Record {
        vendor: VendorId(9_007_199_254_740_993),
        connection,
        at: Timestamp(1_795_258_989_123),
        writer: writer.to_owned(),
        seq,
        trace: None,
        payload,
    }
}

fn delivery(event: &Value) -> Delivery {
    Delivery {
        provider: Provider::Stripe,
        source: Source::Webhook,
        account: None,
        mode: Mode::Live,
        event_id: "evt_1".to_owned(),
        event_type: "invoice.paid".to_owned(),
        created: Timestamp(1_795_258_980_000),
        body_sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".to_owned(),
        minimiser: 1,
        event: raw(event),
    }
}

fn lookup(answer: Option<&Value>, refused: Option<&str>) -> Payload {
    Payload::LookupResult(LookupResult {
        mode: Mode::Test,
        provider: Provider::Paddle,
        request: "GET /discounts/dsc_1".to_owned(),
        asked_at: Timestamp(1_795_258_985_000),
        answer: answer.map(raw),
        refused: refused.map(str::to_owned),
    })
}

fn rule(scope: RuleScope, rate: Option<Rate>, duration: Duration, base: Base) -> Decision {
    Decision::SetRule(SetRule { rev: 4, scope, effective_from: Timestamp(1_795_000_000_000), rate, duration, base })
}

/// Every kind, and every shape of a kind.
fn samples() -> Vec<(&'static str, Record)> {
    let mut samples = written_by_machines();
    samples.extend(written_by_people().into_iter().map(|(name, decision)| (name, Payload::Decision(decision))));
    let mut samples: Vec<_> = samples.into_iter().map(|(name, payload)| (name, record(payload))).collect();
    samples.extend(written_while_traced());
    samples
}

/// The header of a record whose way is followed; of other records it has no such member.
fn written_while_traced() -> Vec<(&'static str, Record)> {
    let trace = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let webhook = Payload::Delivery(delivery(&json!({"id": "evt_1"})));
    let answered = lookup(Some(&json!({"data": {"id": "dsc_1"}})), None);
    vec![
        ("delivery_traced", Record { trace: trace.clone(), ..record(webhook) }),
        ("lookup_result_traced", Record { trace, ..record(answered) }),
    ]
}

fn written_by_machines() -> Vec<(&'static str, Payload)> {
    // White space, the order of members and large numbers stay as the minimiser left them.
    let event: Box<RawValue> = serde_json::from_str(
        r#"{"type":"invoice.paid", "data":{"object":{"id":"in_1","total":90071992547409930,"u":"\u00fc\n"}}}"#,
    )
    .unwrap();
    let webhook = Delivery { event, ..delivery(&json!({})) };
    let backfill = Delivery {
        provider: Provider::LemonSqueezy,
        source: Source::Backfill,
        account: Some("acct_1".to_owned()),
        mode: Mode::Test,
        event_id: "lemonsqueezy:order_created:orders:1:2026-11-21T12:03:09Z".to_owned(),
        event_type: "order_created".to_owned(),
        ..delivery(&json!({"data": {"id": "1"}}))
    };
    vec![
        ("delivery", Payload::Delivery(webhook)),
        ("delivery_backfill", Payload::Delivery(backfill)),
        ("lookup_result_answered", lookup(Some(&json!({"data": {"id": "dsc_1", "code": "MAYA20"}})), None)),
        ("lookup_result_refused", lookup(None, Some("the key lacks a permission"))),
        ("expire", Payload::Expire(Expire { offsets: vec![3, 1_000_000_007] })),
    ]
}

fn written_by_people() -> Vec<(&'static str, Decision)> {
    let at = Timestamp(1_795_000_000_000);
    let text = |text: &str| Some(text.to_owned());
    let nothing_mapped = MapCode {
        code_id: CodeId(0),
        provider: None,
        code: None,
        promotion_code_id: None,
        coupon_id: None,
        referral_key: None,
        affiliate: None,
        valid_from: None,
        valid_to: None,
    };
    let mapping = MapCode {
        code_id: CodeId(5),
        provider: Some(Provider::Stripe),
        code: text("MÄYA20"),
        promotion_code_id: text("promo_1"),
        coupon_id: text("COUPON_1"),
        referral_key: None,
        affiliate: Some(AffiliateId(7)),
        valid_from: Some(at),
        valid_to: Some(Timestamp(1_796_000_000_000)),
    };
    let referral = MapCode { referral_key: text("maya"), ..nothing_mapped };
    let affiliate = SetAffiliate {
        affiliate: AffiliateId(7),
        key: "aff_maya".to_owned(),
        name: "Maya".to_owned(),
        suspended_at: None,
    };
    let percent = Some(Rate::Percent { ppm: 200_000 });
    let flat = Some(Rate::Flat { amounts: [(usd(), 500), (Currency::parse("jpy").unwrap(), 700)].into() });
    let connection = SetConnection {
        connection: ConnectionId(12),
        provider: Provider::Stripe,
        account: text("acct_1"),
        history_from: Some(at),
        can_look_up: true,
        closed_at: Some(at),
    };
    let review = |verdict| Review {
        connection: ConnectionId(12),
        mode: Mode::Live,
        purchase: "inv:in_1".to_owned(),
        verdict,
        reason: "same card".to_owned(),
    };
    let campaign = |code_id| Campaign { code_id, from: at, to: Timestamp(1_796_000_000_000), expected_percent: 500 };
    vec![
        ("set_affiliate", Decision::SetAffiliate(affiliate.clone())),
        ("set_affiliate_suspended", Decision::SetAffiliate(SetAffiliate { suspended_at: Some(at), ..affiliate })),
        ("map_code", Decision::MapCode(mapping)),
        ("map_code_referral", Decision::MapCode(referral)),
        ("set_rule_percent", rule(RuleScope::Vendor, percent, Duration::Life, Base::Net)),
        ("set_rule_flat", rule(RuleScope::Affiliate(AffiliateId(7)), flat, Duration::Months(12), Base::Gross)),
        ("set_rule_none", rule(RuleScope::Code(CodeId(5)), None, Duration::FirstPayment, Base::Net)),
        ("set_policy", Decision::SetPolicy(SetPolicy { hold_days: 30, time_zone: "Europe/Berlin".to_owned() })),
        ("set_connection", Decision::SetConnection(connection)),
        ("review", Decision::Review(review(Verdict::Reject))),
        ("review_hold", Decision::Review(review(Verdict::Hold))),
        ("review_release", Decision::Review(review(Verdict::Release))),
        ("campaign", Decision::Campaign(campaign(Some(CodeId(5))))),
        ("campaign_all", Decision::Campaign(campaign(None))),
        (
            "adjust",
            Decision::Adjust(Adjust {
                mode: Mode::Live,
                affiliate: AffiliateId(7),
                currency: usd(),
                commission: -500,
                occurred_at: at,
                reason: "agreed".to_owned(),
            }),
        ),
        (
            "close_statement",
            Decision::CloseStatement(CloseStatement {
                mode: Mode::Live,
                statement: 3,
                closed_at: at,
                by: "anna@acme.example".to_owned(),
            }),
        ),
        ("retry", Decision::Retry(Retry { offsets: vec![4, 5] })),
        ("waive", Decision::Waive(Waive { offsets: vec![6], reason: "a test".to_owned() })),
        ("drop_vendor", Decision::DropVendor),
    ]
}

fn golden(name: &str) -> String {
    let path = folder().join(format!("{name}.json"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}. Run AFFILITRACK_TEST_BLESS=1 cargo test -p schemas --test golden_records", path.display())
    })
}

fn text_of(record: &Record) -> String {
    String::from_utf8(record.encode()).unwrap()
}

#[test]
fn every_kind_is_written_as_it_was_frozen() {
    #[expect(clippy::disallowed_methods, reason = "only this test reads it")]
    let blesses = std::env::var_os("AFFILITRACK_TEST_BLESS").is_some();
    for (name, record) in samples() {
        if blesses {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(folder().join(format!("{name}.json")), record.encode()).unwrap();
        }
        assert_eq!(text_of(&record), golden(name), "{name}: what is written has changed");
    }
}

#[test]
fn a_frozen_record_is_read_and_written_again_byte_for_byte() {
    for (name, sample) in samples() {
        let read = Record::decode(golden(name).as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(format!("{read:?}"), format!("{sample:?}"), "{name}: what is read has changed");
        assert_eq!(text_of(&read), golden(name), "{name}");
        assert_eq!(read.payload.kind(), sample.payload.kind());
    }
}

#[test]
fn every_file_has_a_sample_and_every_kind_a_file() {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".json", ""))
        .collect();
    files.sort();
    let mut names: Vec<String> = samples().into_iter().map(|(name, _)| name.to_owned()).collect();
    names.sort();
    assert_eq!(files, names);
    let kinds: std::collections::BTreeSet<&str> = samples().iter().map(|(_, record)| record.payload.kind()).collect();
    let designed = [
        "adjust",
        "campaign",
        "close_statement",
        "delivery",
        "drop_vendor",
        "expire",
        "lookup_result",
        "map_code",
        "retry",
        "review",
        "set_affiliate",
        "set_connection",
        "set_policy",
        "set_rule",
        "waive",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), designed);
}

/// The header's kind is what the payload says it is.
#[test]
fn the_header_says_what_the_payload_is() {
    for (name, record) in samples() {
        let written: Value = serde_json::from_str(&golden(name)).unwrap();
        assert_eq!(written["kind"], record.payload.kind(), "{name}");
        if let Payload::Decision(_) = record.payload {
            assert_eq!(written["payload"]["decide"], record.payload.kind(), "{name}");
            assert_eq!(written["seq"], 17, "{name}");
        }
    }
}

/// A newer binary of the same version may add members anywhere; this one ignores them.
#[test]
fn members_that_are_not_known_are_ignored() {
    for (name, _) in samples() {
        let mut written: Value = serde_json::from_str(&golden(name)).unwrap();
        written["added_later"] = json!({"deep": [1, 2, {"x": null}]});
        written["payload"]["added_later"] = json!([{"deep": true}]);
        for inner in ["scope", "rate", "duration"] {
            if let Some(Value::Object(inner)) =
                written["payload"].get_mut(inner).and_then(|value| value.as_object_mut()?.values_mut().next())
            {
                inner.entry("added_later").or_insert(json!(1));
            }
        }
        if name == "set_rule_flat" {
            // In a map of currencies every member is a currency.
            written["payload"]["rate"]["flat"].as_object_mut().unwrap().remove("added_later");
        }
        let read = Record::decode(written.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again: Value = serde_json::from_slice(&read.encode()).unwrap();
        let mut expected: Value = serde_json::from_str(&golden(name)).unwrap();
        if name.starts_with("delivery") || matches!(name, "lookup_result_answered" | "lookup_result_traced") {
            // Raw JSON inside keeps its bytes, but this test parsed them.
            for raw in ["event", "answer"] {
                assert_eq!(again["payload"].get(raw), expected["payload"].get(raw), "{name}");
            }
            expected["payload"] = again["payload"].clone();
        }
        assert_eq!(again, expected, "{name}");
    }
}

#[test]
fn members_may_come_in_any_order() {
    for (name, _) in samples() {
        // serde_json's map sorts its members.
        let sorted: Value = serde_json::from_str(&golden(name)).unwrap();
        Record::decode(sorted.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_newer_version_is_refused_with_words() {
    for (name, _) in samples() {
        let newer = golden(name).replacen("\"v\":1", "\"v\":2", 1);
        let error = Record::decode(newer.as_bytes()).unwrap_err();
        assert!(matches!(error, RecordError::Newer { found: 2 }), "{name}: {error}");
        let words = error.to_string();
        assert!(words.contains("version 2") && words.contains("up to 1") && words.contains("newer binary"), "{words}");
    }
}

/// Nothing but its version is known of a newer record: it is refused as newer, and never taken
/// for a broken one, which the fold would go past.
#[test]
fn a_newer_version_of_another_shape_is_refused_as_newer() {
    for text in [
        r#"{"v":2}"#,
        r#"{"v":3,"kind":"delivery","tenant":"acme","body":[1,2]}"#,
        r#"{"v":2,"kind":7,"vendor":"acme","at":"2027-01-01T00:00:00Z","writer":null,"payload":{}}"#,
        r#"{"kind":"delivery","payload":{},"v":4}"#,
    ] {
        let error = Record::decode(text.as_bytes()).unwrap_err();
        assert!(matches!(error, RecordError::Newer { .. }), "{text}: {error}");
    }
}

#[test]
fn what_is_no_record_is_refused_with_words() {
    let good = golden("delivery");
    let cases = [
        ("", "EOF"),
        ("{}", "missing field `v`"),
        ("[1]", "invalid"),
        (&good[..good.len() - 2], "EOF"),
        (&good.replace("\"vendor\":9007199254740993", "\"vendor\":-1"), "invalid value"),
        (&good.replace("\"stripe\"", "\"mollie\""), "unknown variant `mollie`"),
        (&good.replace("\"mode\":\"live\"", "\"mode\":\"prod\""), "unknown variant `prod`"),
        (&good.replace("\"kind\":\"delivery\"", "\"kind\":\"telegram\""), "decide"),
        (
            &golden("set_policy").replace("\"decide\":\"set_policy\"", "\"decide\":\"set_weather\""),
            "unknown variant `set_weather`",
        ),
        (&golden("adjust").replace("\"usd\"", "\"u$d\""), "is not a currency code"),
    ];
    for (text, words) in cases {
        let error = Record::decode(text.as_bytes()).unwrap_err().to_string();
        assert!(
            error.starts_with("not a log record: ") && error.contains(words),
            "{text}\n  expected {words:?}, got {error:?}"
        );
    }
    assert!(Record::decode(&[0xff, 0xfe, b'{']).is_err(), "not UTF-8");
}
