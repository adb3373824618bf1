//! The recorded events: how each stands by itself, and how every scenario ends.

use crate::kit::*;
use domain::decision::{Decision, MapCode};
use domain::ids::{AffiliateId, Provider, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

struct Recorded {
    index: Value,
    affiliates: BTreeMap<String, u64>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/webhooks")
}

fn json_of(file: &str) -> Value {
    let path = folder().join(file);
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl Recorded {
    fn read() -> Recorded {
        let index = json_of("index.json");
        let mut affiliates = BTreeMap::new();
        for entry in index["catalog"].as_array().unwrap() {
            if let Some(handle) = text(&entry["affiliate"]) {
                let next = affiliates.len() as u64 + 1;
                affiliates.entry(handle).or_insert(next);
            }
        }
        Recorded { index, affiliates }
    }

    fn decisions(&self) -> Vec<Decision> {
        let map = |entry: &Value| {
            Decision::MapCode(MapCode {
                provider: entry["provider"].as_str().and_then(Provider::from_name),
                code: text(&entry["code"]),
                promotion_code_id: text(&entry["promotion_code_id"]),
                coupon_id: text(&entry["coupon_id"]).or_else(|| text(&entry["discount_id"])),
                referral_key: text(&entry["referral_key"]),
                affiliate: text(&entry["affiliate"]).map(|handle| AffiliateId(self.affiliates[&handle])),
                ..maps(None)
            })
        };
        self.index["catalog"].as_array().unwrap().iter().map(map).collect()
    }

    fn event(&self, file: &str) -> &Value {
        self.index["events"].as_array().unwrap().iter().find(|event| event["file"] == file).unwrap()
    }

    /// The event as the edge would append it.
    fn step(&self, file: &str) -> Step {
        let (event, body) = (self.event(file), json_of(file));
        let provider = Provider::from_name(event["provider"].as_str().unwrap()).unwrap();
        let created = match &event["occurred_at"] {
            Value::Number(seconds) => Timestamp::from_seconds(seconds.as_i64().unwrap()),
            other => Timestamp(other.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()),
        };
        let id = text(&event["event_id"]).or_else(|| text(&event["dedupe_key"])).unwrap();
        Step::Event(delivery(provider, id, event["event_type"].as_str().unwrap(), created, &body))
    }

    /// Folds files and answers what is asked until nothing more is.
    fn fold(&self, files: &[&str]) -> Vendor {
        let mut vendor = Vendor::new(&self.decisions());
        for file in files {
            vendor.take_in(&self.step(file));
        }
        for _ in 0..10 {
            for question in vendor.questions() {
                let provider = match question.as_str() {
                    paddle if paddle.starts_with("GET /discounts/") => Provider::Paddle,
                    lemon if lemon.starts_with("GET /v1/discount-redemptions") => Provider::LemonSqueezy,
                    _ => Provider::Stripe,
                };
                let step = match self.index["api"][&question]["file"].as_str() {
                    Some(file) => answer(provider, &question, json_of(file)),
                    None => refusal(provider, &question),
                };
                vendor.take_in(&step);
            }
        }
        vendor
    }

    fn handle(&self, affiliate: Option<u64>) -> Value {
        let known = self.affiliates.iter().find(|(_, number)| Some(**number) == affiliate);
        known.map_or(Value::Null, |(handle, _)| Value::from(handle.as_str()))
    }
}

#[test]
fn every_scenario_ends_as_recorded() {
    let recorded = Recorded::read();
    let mut problems = Vec::new();
    for scenario in recorded.index["scenarios"].as_array().unwrap() {
        let files: Vec<&str> = scenario["files"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let wanted = scenario["final"]["purchases"].as_array().unwrap();
        for turned in [files.clone(), files.iter().rev().copied().collect(), [&files[..], &files[..]].concat()] {
            let rows = recorded.fold(&turned).purchases();
            let found: BTreeMap<String, Value> = rows
                .iter()
                .map(|(key, row)| {
                    let members = serde_json::json!({
                        "business_key": key, "affiliate": recorded.handle(row.affiliate), "code": row.code, "currency": row.currency,
                        "gross_minor": row.gross, "net_minor": row.net, "reversed_minor": row.reversed,
                        "commissionable_minor": row.net - row.reversed, "redemption": row.redemption, "is_first_payment": row.first_payment
                    });
                    (key.clone(), members)
                })
                .collect();
            let wanted: BTreeMap<String, Value> =
                wanted.iter().map(|one| (text(&one["business_key"]).unwrap(), one.clone())).collect();
            if found != wanted {
                problems.push(format!("{}: {found:#?}\n instead of {wanted:#?}", scenario["name"]));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_sale_stands_as_recorded_by_itself() {
    let recorded = Recorded::read();
    let mut problems = Vec::new();
    for event in recorded.index["events"].as_array().unwrap() {
        let file = event["file"].as_str().unwrap();
        let reading = read(&recorded.step(file)).unwrap();
        assert_eq!(reading.action.name(), event["action"], "{file}");
        if event["action"] != "sale" {
            continue;
        }
        let rows = recorded.fold(&[file]).purchases();
        let (key, row) = rows.iter().next().unwrap();
        let found = serde_json::json!({
            "business_key": key, "sale_kind": row.kind, "redemption": row.redemption, "is_first_payment": row.first_payment,
            "currency": row.currency, "minor_digits": row.currency.minor_digits(), "discount_minor": row.discount, "tax_minor": row.tax,
            "gross_minor": row.gross, "paid_minor": row.paid, "net_minor": row.net, "coupon_id": row.coupon,
            "promotion_code_id": row.promotion_code, "code": row.code, "attribution": row.how, "affiliate": recorded.handle(row.affiliate)
        });
        let history = [
            "sale_kind",
            "redemption",
            "is_first_payment",
            "attribution",
            "affiliate",
            "coupon_id",
            "promotion_code_id",
            "code",
            "business_key",
        ];
        let left_out = |member: &str| event["needs_history"] == true && history.contains(&member);
        for (member, value) in found.as_object().unwrap() {
            if !event[member].is_null() && !left_out(member) && event[member] != *value {
                problems.push(format!("{file}: {member}: {value} instead of {}", event[member]));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
