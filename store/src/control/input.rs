//! What people write: the decide file, and the `decisions` of the local socket.
//!
//! Affiliates and codes are named as people know them; the control store turns the names
//! into numbers. A mistake is answered with the index and the member it is in.

use super::{ControlError, ControlResult};
use domain::decision::{Base, Duration, Verdict};
use domain::ids::{ConnectionId, Mode, Provider, Timestamp};
use domain::money::Currency;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// More decisions than this are given in several calls.
pub const MAX_DECISIONS: usize = 10_000;
/// A percentage of 100, in parts per million.
const WHOLE_PPM: u32 = 1_000_000;

/// A moment written as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let moment: jiff::Timestamp = text.trim().parse().map_err(|_| {
            serde::de::Error::custom(format!("`{text}` is not a time; write it as 2026-01-31T00:00:00Z"))
        })?;
        Ok(Moment(Timestamp(moment.as_millisecond())))
    }
}

/// One decision as it is written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "decide", rename_all = "snake_case")]
pub enum DecisionInput {
    /// An affiliate is created, renamed, suspended or let in again.
    Affiliate(AffiliateInput),
    /// A code, id or referral key belongs to an affiliate or to the house.
    Map(MapInput),
    /// A commission rule.
    Rule(RuleInput),
    /// The vendor's policy.
    Policy(PolicyInput),
    /// A person looked at a purchase.
    Review(ReviewInput),
    /// A manual line.
    Adjust(AdjustInput),
    /// An announced campaign.
    Campaign(CampaignInput),
    /// Records are folded again.
    Retry(RetryInput),
    /// Records are accepted as never counted.
    Waive(WaiveInput),
}

/// An affiliate. What is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AffiliateInput {
    /// Public handle, for example `aff_maya`.
    pub key: String,
    /// Name on pages; a new affiliate without one is named like its key.
    #[serde(default)]
    pub name: Option<String>,
    /// Suspended from now on, or let in again.
    #[serde(default)]
    pub suspended: Option<bool>,
    /// Where their mail goes; empty text for nowhere. It is no part of the log record.
    #[serde(default)]
    pub email: Option<String>,
    /// Refuse it when the handle is known. No part of the decide file: there, writing the same again is no mistake.
    #[serde(skip)]
    pub must_be_new: bool,
}

/// Whose a code is. At least one of code, promotion code, coupon, referral key is given.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapInput {
    /// Only discounts of this provider.
    #[serde(default)]
    pub provider: Option<Provider>,
    /// Code text.
    #[serde(default)]
    pub code: Option<String>,
    /// Stripe promotion code id.
    #[serde(default)]
    pub promotion_code_id: Option<String>,
    /// Stripe coupon id, Paddle or Lemon Squeezy discount id.
    #[serde(default, alias = "discount_id")]
    pub coupon_id: Option<String>,
    /// Referral key of a link.
    #[serde(default)]
    pub referral_key: Option<String>,
    /// Handle of the affiliate; `null` for the house. It must be written: a code that is the
    /// house's by an oversight would pay nobody.
    #[serde(deserialize_with = "Option::deserialize")]
    pub affiliate: Option<String>,
    /// For sales from then on.
    #[serde(default)]
    pub valid_from: Option<Moment>,
    /// For sales before.
    #[serde(default)]
    pub valid_to: Option<Moment>,
}

/// Whom a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeInput {
    /// Every sale.
    Vendor,
    /// Sales credited to the affiliate with this handle.
    Affiliate(String),
    /// Sales credited through this code (text, promotion code id or coupon id).
    Code(String),
}

/// A commission rule. Exactly one of `percent`, `percent_ppm`, `flat` and `none` is given.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleInput {
    /// Whom it is for.
    pub scope: ScopeInput,
    /// Percentage as a decimal text, for example `"12.5"`.
    #[serde(default)]
    pub percent: Option<String>,
    /// Percentage in parts per million.
    #[serde(default)]
    pub percent_ppm: Option<u32>,
    /// Minor units per currency.
    #[serde(default)]
    pub flat: Option<BTreeMap<Currency, i64>>,
    /// `true` takes the scope's rule away.
    #[serde(default)]
    pub none: Option<bool>,
    /// For how long a customer earns commission; for life when left out.
    #[serde(default)]
    pub duration: Option<Duration>,
    /// Net when left out.
    #[serde(default)]
    pub base: Option<Base>,
    /// From when on. When left out: always for the first rule of a scope, else from now on.
    #[serde(default)]
    pub effective_from: Option<Moment>,
}

/// The vendor's policy. What is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyInput {
    /// Days before a commission is payable.
    #[serde(default)]
    pub hold_days: Option<u16>,
    /// IANA name.
    #[serde(default)]
    pub time_zone: Option<String>,
}

/// A person looked at a purchase.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewInput {
    /// Which connection; may be left out when the vendor has one.
    #[serde(default)]
    pub connection: Option<ConnectionId>,
    /// Test or live.
    pub mode: Mode,
    /// Business key, for example `inv:in_1`.
    pub purchase: String,
    /// Hold, release or reject.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// A manual line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdjustInput {
    /// Test or live.
    pub mode: Mode,
    /// Handle of the affiliate.
    pub affiliate: String,
    /// Currency of the amount.
    pub currency: Currency,
    /// Signed minor units of commission.
    pub commission_minor: i64,
    /// When it counts; now when left out.
    #[serde(default)]
    pub occurred_at: Option<Moment>,
    /// Why.
    pub reason: String,
}

/// An announced campaign.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignInput {
    /// Which code; none = all.
    #[serde(default)]
    pub code: Option<String>,
    /// From.
    pub from: Moment,
    /// To.
    pub to: Moment,
    /// Expected multiple of the usual rate in percent; 500 is five times.
    pub expected_percent: u32,
}

/// Records are folded again.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryInput {
    /// Log offsets in the vendor's partition.
    pub offsets: Vec<u64>,
}

/// Records are accepted as never counted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaiveInput {
    /// Log offsets in the vendor's partition.
    pub offsets: Vec<u64>,
    /// Why.
    pub reason: String,
}

/// Reads the `decisions` array. The first mistake is named like `decisions[3].valid_from`.
pub fn parse_decisions(decisions: &Value) -> ControlResult<Vec<DecisionInput>> {
    let Value::Array(items) = decisions else {
        return Err(ControlError::invalid("decisions", "must be a list"));
    };
    check_count(items.len())?;
    items.iter().enumerate().map(|(index, item)| parse_decision(item).map_err(|error| at_index(index, error))).collect()
}

/// Refuses an empty list and one that is too long for one transaction.
pub(super) fn check_count(count: usize) -> ControlResult<()> {
    match count {
        0 => Err(ControlError::invalid("decisions", "the list is empty")),
        1..=MAX_DECISIONS => Ok(()),
        _ => Err(ControlError::invalid(
            "decisions",
            format!("{count} decisions at once, the limit is {MAX_DECISIONS}: split the file"),
        )),
    }
}

/// Puts the index before the member that an error names.
pub(super) fn at_index(index: usize, error: ControlError) -> ControlError {
    match error {
        ControlError::Invalid { field, message } if field.is_empty() => {
            ControlError::invalid(format!("decisions[{index}]"), message)
        }
        ControlError::Invalid { field, message } => {
            ControlError::invalid(format!("decisions[{index}].{field}"), message)
        }
        other => other,
    }
}

fn parse_decision(item: &Value) -> ControlResult<DecisionInput> {
    let Value::Object(members) = item else {
        return Err(ControlError::invalid("", "must be an object like {\"decide\": \"affiliate\", ...}"));
    };
    DecisionInput::deserialize(item).map_err(|error| {
        let message = error.to_string();
        ControlError::invalid(culprit(members, &message), message)
    })
}

/// The member that a message is about. The deserializer does not say it for a tagged enum;
/// but without the culprit the message would be another one.
fn culprit(members: &Map<String, Value>, message: &str) -> String {
    if let Some(rest) = message.strip_prefix("missing field `") {
        return rest.trim_end_matches('`').to_owned();
    }
    if message.starts_with("unknown variant")
        && DecisionInput::deserialize(&only_kind(members)).is_err_and(|error| error.to_string() == message)
    {
        return "decide".to_owned();
    }
    let differs = |name: &&String| {
        let mut without = members.clone();
        without.remove(*name);
        !DecisionInput::deserialize(&Value::Object(without)).is_err_and(|error| error.to_string() == message)
    };
    members.keys().filter(|name| *name != "decide").find(differs).cloned().unwrap_or_default()
}

fn only_kind(members: &Map<String, Value>) -> Value {
    let kind = members.get("decide").cloned().unwrap_or(Value::Null);
    Value::Object(Map::from_iter([("decide".to_owned(), kind)]))
}

/// Reads a percentage from its decimal text into parts per million, exactly: at most 100,
/// at most four digits after the point.
pub fn percent_to_ppm(text: &str) -> Result<u32, String> {
    let wrong = || {
        format!(
            "`{text}` is not a percentage from 0 to 100 with at most four digits after the point, for example \"12.5\""
        )
    };
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let has_point = text.contains('.');
    if whole.is_empty()
        || whole.len() > 3
        || fraction.len() > 4
        || (has_point && fraction.is_empty())
        || !digits(whole)
        || !digits(fraction)
    {
        return Err(wrong());
    }
    let ppm: u32 = format!("{whole}{fraction:0<4}").parse().map_err(|_| wrong())?;
    if ppm > WHOLE_PPM { Err(wrong()) } else { Ok(ppm) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mistake(decision: Value) -> String {
        parse_decisions(&json!([{"decide": "retry", "offsets": [1]}, decision])).unwrap_err().to_string()
    }

    #[test]
    fn percentages_are_exact() {
        for (text, ppm) in [
            ("20", 200_000),
            ("0", 0),
            ("100", 1_000_000),
            ("12.5", 125_000),
            ("0.0001", 1),
            ("33.3333", 333_333),
            (" 7.25 ", 72_500),
            ("007", 70_000),
        ] {
            assert_eq!(percent_to_ppm(text), Ok(ppm), "{text}");
        }
        for text in [
            "",
            " ",
            "-1",
            "+1",
            "100.0001",
            "101",
            "1e1",
            "20%",
            "1,5",
            "1.",
            ".5",
            "0.00001",
            "٢",
            "1.2.3",
            "4294967296",
        ] {
            assert!(percent_to_ppm(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_kind_is_read_as_people_write_it() {
        let decisions = json!([
            {"decide":"affiliate","key":"aff_maya","name":"Maya","suspended":false},
            {"decide":"map","provider":"stripe","code":"MAYA20","promotion_code_id":"promo_1","coupon_id":null,"affiliate":"aff_maya","valid_from":"2026-01-01T00:00:00+01:00","valid_to":null},
            {"decide":"map","provider":"lemonsqueezy","discount_id":"d_1","affiliate":null},
            {"decide":"rule","scope":"vendor","percent":"20","duration":"life","base":"net"},
            {"decide":"rule","scope":{"affiliate":"aff_maya"},"percent_ppm":200000,"duration":{"months":12},"base":"gross"},
            {"decide":"rule","scope":{"code":"MAYA20"},"flat":{"usd":500,"JPY":70},"duration":"first_payment"},
            {"decide":"rule","scope":"vendor","none":true},
            {"decide":"policy","hold_days":30,"time_zone":"Europe/Berlin"},
            {"decide":"review","mode":"live","purchase":"inv:in_1","verdict":"reject","reason":"own purchase"},
            {"decide":"adjust","mode":"live","affiliate":"aff_maya","currency":"usd","commission_minor":-500,"occurred_at":"2026-01-01T00:00:00Z","reason":"goodwill"},
            {"decide":"campaign","code":"MAYA20","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","expected_percent":500},
            {"decide":"retry","offsets":[1]},
            {"decide":"waive","offsets":[1],"reason":"test"}
        ]);
        let read = parse_decisions(&decisions).unwrap();
        assert_eq!(read.len(), 13);
        let DecisionInput::Map(map) = &read[1] else { panic!() };
        assert_eq!(map.valid_from, Some(Moment(Timestamp(1_767_222_000_000))));
        let DecisionInput::Map(map) = &read[2] else { panic!() };
        assert_eq!(map.coupon_id.as_deref(), Some("d_1"));
        let DecisionInput::Rule(rule) = &read[5] else { panic!() };
        assert_eq!(rule.flat.as_ref().unwrap()[&Currency::parse("jpy").unwrap()], 70);
        assert_eq!(rule.duration, Some(Duration::FirstPayment));
    }

    #[test]
    fn mistakes_name_index_and_member() {
        for (decision, expected) in [
            (json!({"decide":"affiliate"}), "decisions[1].key: missing field `key`"),
            (json!({"decide":"affiliate","key":5}), "decisions[1].key: invalid type: integer `5`"),
            (json!({"decide":"affiliate","key":"a","nmae":"x"}), "decisions[1].nmae: unknown field `nmae`"),
            (json!({"decide":"map","code":"A"}), "decisions[1].affiliate: missing field `affiliate`"),
            (
                json!({"decide":"map","code":"A","affiliate":null,"valid_from":"yesterday"}),
                "decisions[1].valid_from: `yesterday` is not a time",
            ),
            (
                json!({"decide":"map","code":"A","affiliate":null,"provider":"strip"}),
                "decisions[1].provider: unknown variant `strip`",
            ),
            (
                json!({"decide":"rule","scope":{"afiliate":"x"},"percent":"1"}),
                "decisions[1].scope: unknown variant `afiliate`",
            ),
            (json!({"decide":"rule","scope":"vendor","percent":20}), "decisions[1].percent: invalid type"),
            (
                json!({"decide":"rule","scope":"vendor","flat":{"dollars":5}}),
                "decisions[1].flat: `dollars` is not a currency code",
            ),
            (
                json!({"decide":"adjust","mode":"live","affiliate":"a","currency":"usd","commission_minor":1.5,"reason":"r"}),
                "decisions[1].commission_minor: invalid type",
            ),
            (json!({"decide":"dance"}), "decisions[1].decide: unknown variant `dance`"),
            (json!({"key":"aff_maya"}), "decisions[1].decide: missing field `decide`"),
            (json!(7), "decisions[1]: must be an object"),
        ] {
            let words = mistake(decision.clone());
            assert!(words.starts_with(expected), "{decision}\n  expected {expected}\n  got      {words}");
        }
        assert_eq!(parse_decisions(&json!({})).unwrap_err().to_string(), "decisions: must be a list");
        assert_eq!(parse_decisions(&json!([])).unwrap_err().to_string(), "decisions: the list is empty");
    }
}
