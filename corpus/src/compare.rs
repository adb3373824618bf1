//! What a run compares, and what it leaves alone.
//!
//! One event: the members of its index entry that are neither null nor empty (`false` is a
//! value). Where the file alone cannot decide (`needs_history`), everything that depends on
//! other events is left to the scenarios. One scenario: all of `final`, and that nothing else
//! was counted.

use crate::folder::{EventCase, ScenarioCase};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Members of an event that are compared, with a dot for a member of a member.
const EVENT_MEMBERS: [&str; 31] = [
    "event_type",
    "event_id",
    "livemode",
    "occurred_at",
    "action",
    "sale_kind",
    "redemption",
    "is_first_payment",
    "business_key",
    "currency",
    "minor_digits",
    "subtotal_minor",
    "discount_minor",
    "tax_minor",
    "shipping_minor",
    "gross_minor",
    "paid_minor",
    "net_minor",
    "coupon_id",
    "promotion_code_id",
    "code",
    "attribution",
    "affiliate",
    "refund_of",
    "refund.refund_id",
    "refund.amount_minor",
    "refund.cumulative_minor",
    "refund.status",
    "dispute.dispute_id",
    "dispute.status",
    "dispute.amount_minor",
];

/// Amounts of the event itself: compared only where the action is a sale.
const SALE_MEMBERS: [&str; 8] = [
    "minor_digits",
    "subtotal_minor",
    "discount_minor",
    "tax_minor",
    "shipping_minor",
    "gross_minor",
    "paid_minor",
    "net_minor",
];

/// Left to the scenarios where the file alone cannot decide.
const HISTORY_MEMBERS: [&str; 10] = [
    "sale_kind",
    "redemption",
    "is_first_payment",
    "attribution",
    "affiliate",
    "coupon_id",
    "promotion_code_id",
    "code",
    "business_key",
    "refund_of",
];

/// One member that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Event file or scenario.
    pub file: String,
    /// Which member.
    pub member: String,
    /// What the index says.
    pub expected: String,
    /// What the product says.
    pub got: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: expected {}, got {}", self.file, self.member, self.expected, self.got)
    }
}

/// Compares how one delivery was read (`got`, from the product's API) with its index entry.
pub fn compare_event(event: &EventCase, got: &Value) -> Vec<Difference> {
    let expected = Value::Object(event.expected.clone());
    let mut differences = Vec::new();
    for member in EVENT_MEMBERS.into_iter().chain(["flags"]) {
        let wanted = at(&expected, member);
        if is_empty(wanted) || is_left_out(&expected, member) {
            continue;
        }
        let found = at(got, member);
        if !is_equal(member, wanted, found) {
            differences.push(difference(&event.file, member, wanted, found));
        }
    }
    differences
}

fn is_left_out(expected: &Value, member: &str) -> bool {
    let needs_history = expected.get("needs_history") == Some(&Value::Bool(true));
    let is_sale = expected.get("action").and_then(Value::as_str) == Some("sale");
    if SALE_MEMBERS.contains(&member) {
        return !is_sale;
    }
    if member == "refund.amount_minor" {
        return needs_history && is_empty(at(expected, "refund.refund_id"));
    }
    needs_history && HISTORY_MEMBERS.contains(&member)
}

/// What the product says about a vendor after a scenario.
#[derive(Debug, Clone, Default)]
pub struct FinalState {
    /// Sum over the vendor's totals.
    pub redemptions: i64,
    /// The expected business keys that were found.
    pub purchases: BTreeMap<String, Value>,
    /// Every purchase of the vendor.
    pub listed: Vec<Value>,
}

/// Compares the end of a scenario. `name` is how the run is called in messages.
pub fn compare_final(name: &str, scenario: &ScenarioCase, state: &FinalState) -> Vec<Difference> {
    let mut differences = Vec::new();
    if scenario.redemptions != state.redemptions {
        let (wanted, found) = (Value::from(scenario.redemptions), Value::from(state.redemptions));
        differences.push(difference(name, "redemptions", &wanted, &found));
    }
    for (key, members) in &scenario.purchases {
        match state.purchases.get(key) {
            None => differences.push(Difference {
                file: name.to_owned(),
                member: key.clone(),
                expected: "a purchase".to_owned(),
                got: "none".to_owned(),
            }),
            Some(found) => differences.extend(compare_purchase(name, key, members, found)),
        }
    }
    differences.extend(additional_purchases(name, scenario, state));
    differences
}

fn compare_purchase(name: &str, key: &str, members: &Map<String, Value>, found: &Value) -> Vec<Difference> {
    let wrong = members.iter().filter(|(member, wanted)| {
        let found = at(found, member);
        !(is_equal(member, wanted, found) || is_empty(wanted) && is_empty(found))
    });
    wrong.map(|(member, wanted)| difference(name, &format!("{key}.{member}"), wanted, at(found, member))).collect()
}

fn additional_purchases(name: &str, scenario: &ScenarioCase, state: &FinalState) -> Vec<Difference> {
    let wanted: BTreeSet<&str> = scenario.purchases.iter().map(|(key, _)| key.as_str()).collect();
    let counted = state.listed.iter().filter(|purchase| is_counted(purchase));
    let keys: BTreeSet<&str> = counted.filter_map(|purchase| purchase.get("business_key")?.as_str()).collect();
    keys.difference(&wanted)
        .map(|key| Difference {
            file: name.to_owned(),
            member: (*key).to_owned(),
            expected: "no further purchase".to_owned(),
            got: "counted".to_owned(),
        })
        .collect()
}

/// A purchase that was merged into another, or that has no sale (a refund waiting for one), is not counted.
fn is_counted(purchase: &Value) -> bool {
    let merged = purchase.get("outcome").and_then(Value::as_str) == Some("merged");
    let without_sale = purchase.get("sale_kind").is_some_and(is_empty);
    !merged && !without_sale
}

fn at<'v>(value: &'v Value, member: &str) -> &'v Value {
    member.split('.').fold(value, |value, name| value.get(name).unwrap_or(&Value::Null))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_equal(member: &str, wanted: &Value, found: &Value) -> bool {
    if member == "occurred_at" {
        return matches!((moment(wanted), moment(found)), (Some(wanted), Some(found)) if wanted == found);
    }
    if member.ends_with("_minor") || member == "minor_digits" {
        return matches!((integer(wanted), integer(found)), (Some(wanted), Some(found)) if wanted == found);
    }
    match (wanted, found) {
        (Value::Array(wanted), Value::Array(found)) => texts(wanted) == texts(found),
        _ => wanted == found,
    }
}

/// Flags have no order.
fn texts(list: &[Value]) -> BTreeSet<String> {
    list.iter().map(Value::to_string).collect()
}

/// An amount: a number, or a text when it is beyond 2^53.
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Milliseconds since 1970 of RFC 3339, unix seconds, or (from 10^11 on) unix milliseconds. Finer
/// parts of a second are cut off: the product keeps milliseconds.
fn moment(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => {
            let number = number.as_i64()?;
            Some(if number.abs() < 100_000_000_000 { number * 1000 } else { number })
        }
        Value::String(text) => Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()),
        _ => None,
    }
}

fn difference(file: &str, member: &str, wanted: &Value, found: &Value) -> Difference {
    Difference {
        file: file.to_owned(),
        member: member.to_owned(),
        expected: wanted.to_string(),
        got: if found.is_null() { "nothing".to_owned() } else { found.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::Provider;
    use bytes::Bytes;
    use serde_json::json;

    fn event(expected: Value) -> EventCase {
        EventCase {
            file: "e.json".to_owned(),
            provider: Provider::Stripe,
            livemode: false,
            lookup_key: "evt_1".to_owned(),
            body: Bytes::new(),
            headers: Vec::new(),
            expected: expected.as_object().unwrap().clone(),
        }
    }

    fn members(event: &EventCase, got: &Value) -> Vec<String> {
        compare_event(event, got).into_iter().map(|difference| difference.member).collect()
    }

    #[test]
    fn a_wrong_member_is_reported_with_both_values() {
        let event = event(json!({"action": "sale", "net_minor": 3920, "affiliate": "aff_a"}));
        let got = json!({"action": "sale", "net_minor": 3921, "affiliate": "aff_a"});
        let differences = compare_event(&event, &got);
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].to_string(), "e.json: net_minor: expected 3920, got 3921");
    }

    #[test]
    fn null_and_empty_are_not_compared_but_false_is() {
        let event = event(json!({"code": null, "flags": [], "refund": {"refund_id": null}, "redemption": false}));
        assert!(members(&event, &json!({"code": "X", "flags": ["y"], "redemption": false})).is_empty());
        assert_eq!(members(&event, &json!({"redemption": true})), ["redemption"]);
        assert_eq!(members(&event, &json!({})), ["redemption"]);
    }

    #[test]
    fn moments_and_large_amounts_have_several_spellings() {
        let one = event(json!({"occurred_at": 1633046403, "action": "sale", "gross_minor": "9007199254740993"}));
        let spelled =
            json!({"occurred_at": "2021-10-01T00:00:03Z", "action": "sale", "gross_minor": 9007199254740993_i64});
        assert!(members(&one, &spelled).is_empty());
        let millis = json!({"occurred_at": 1633046403000_i64, "action": "sale", "gross_minor": "9007199254740993"});
        assert!(members(&one, &millis).is_empty());
        let fine = event(json!({"occurred_at": "2025-09-15T01:33:20.366122Z"}));
        assert!(members(&fine, &json!({"occurred_at": "2025-09-15T01:33:20.366Z"})).is_empty());
        assert_eq!(members(&fine, &json!({"occurred_at": "2025-09-15T01:33:20.365Z"})), ["occurred_at"]);
    }

    #[test]
    fn amounts_of_the_event_count_only_for_sales() {
        let refund =
            event(json!({"action": "refund", "gross_minor": 1, "minor_digits": 2, "refund": {"amount_minor": 5}}));
        assert_eq!(members(&refund, &json!({"action": "refund"})), ["refund.amount_minor"]);
    }

    #[test]
    fn what_needs_history_is_left_to_the_scenarios() {
        let refund = event(json!({
            "action": "refund", "needs_history": true, "business_key": "inv:1", "refund_of": "inv:1", "redemption": false,
            "refund": {"refund_id": null, "amount_minor": 7, "cumulative_minor": 9, "status": "succeeded"}
        }));
        assert_eq!(members(&refund, &json!({"action": "refund"})), ["refund.cumulative_minor", "refund.status"]);
        let named = event(json!({"needs_history": true, "refund": {"refund_id": "re_1", "amount_minor": 7}}));
        assert_eq!(members(&named, &json!({})), ["refund.refund_id", "refund.amount_minor"]);
    }

    #[test]
    fn flags_have_no_order() {
        let flagged = event(json!({"flags": ["a", "b"]}));
        assert!(members(&flagged, &json!({"flags": ["b", "a"]})).is_empty());
        assert_eq!(members(&flagged, &json!({"flags": ["a"]})), ["flags"]);
    }

    fn scenario() -> ScenarioCase {
        let purchase = json!({"net_minor": 5, "code": null, "redemption": true});
        ScenarioCase {
            name: "s".to_owned(),
            files: vec![0],
            redemptions: 1,
            purchases: vec![("inv:1".to_owned(), purchase.as_object().unwrap().clone())],
        }
    }

    #[test]
    fn all_of_final_is_compared_null_included() {
        let found = json!({"business_key": "inv:1", "net_minor": 5, "code": "", "redemption": true});
        let mut state =
            FinalState { redemptions: 1, purchases: [("inv:1".to_owned(), found.clone())].into(), listed: vec![found] };
        assert!(compare_final("s", &scenario(), &state).is_empty());
        state.purchases.get_mut("inv:1").unwrap()["code"] = json!("X");
        state.redemptions = 2;
        let texts: Vec<String> = compare_final("s", &scenario(), &state).iter().map(Difference::to_string).collect();
        assert_eq!(texts, ["s: redemptions: expected 1, got 2", "s: inv:1.code: expected null, got \"X\""]);
    }

    #[test]
    fn missing_and_additional_purchases_are_reported() {
        let state = FinalState {
            redemptions: 1,
            purchases: BTreeMap::new(),
            listed: vec![
                json!({"business_key": "pi:9", "outcome": "organic"}),
                json!({"business_key": "pi:8", "outcome": "merged"}),
                json!({"business_key": "pi:7", "outcome": "waiting", "sale_kind": ""}),
            ],
        };
        let texts: Vec<String> = compare_final("s", &scenario(), &state).iter().map(Difference::to_string).collect();
        assert_eq!(
            texts,
            ["s: inv:1: expected a purchase, got none", "s: pi:9: expected no further purchase, got counted"]
        );
    }
}
