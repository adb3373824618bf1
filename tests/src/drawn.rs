//! Histories of the load test's generator, as the fold meets them.

use crate::stripe::{Reading, connected, read_body};
use domain::decision::{Base, Decision, Duration, MapCode, Rate, RuleScope, SetAffiliate, SetRule};
use domain::ids::{AffiliateId, CodeId, Mode, Provider, Timestamp};
use domain::money::Currency;
use loadtest::plan::{Plan, PlanOptions, Size, VendorPlan};
use serde_json::Value;
use std::collections::BTreeMap;

/// One vendor's history.
pub struct Drawn {
    /// As it was drawn: steps and what has to come out.
    pub plan: Plan,
    /// Decisions before the first delivery, the connection's first.
    pub before: Vec<Decision>,
    /// Decisions while deliveries come in, in the plan's order.
    pub during: Vec<Decision>,
    /// How each event of the plan reads.
    pub readings: Vec<Reading>,
    /// Handles of affiliates.
    pub handles: BTreeMap<AffiliateId, String>,
}

impl Drawn {
    /// Draws one vendor with about so many deliveries.
    pub fn new(seed: u64, deliveries: usize, poison_per_thousand: u64) -> Drawn {
        let size = Size::Deliveries(deliveries);
        let plan = Plan::generate(PlanOptions { seed, vendors: 1, size, poison_per_thousand });
        let vendor = &plan.vendors[0];
        let Decided { before, during, handles } = Decided::by(vendor);
        let readings = vendor.events.iter().map(|event| read_body(Provider::Stripe, Mode::Live, &event.body)).collect();
        Drawn { before, during, readings, handles, plan }
    }

    /// The vendor as it was drawn.
    pub fn vendor(&self) -> &VendorPlan {
        &self.plan.vendors[0]
    }
}

/// What a drawn vendor decides, with the numbers that the control store would give.
pub struct Decided {
    /// Before the first delivery, the connection's first.
    pub before: Vec<Decision>,
    /// While deliveries come in, in the plan's order.
    pub during: Vec<Decision>,
    /// Handles of affiliates.
    pub handles: BTreeMap<AffiliateId, String>,
}

impl Decided {
    /// Reads the plan of a vendor.
    pub fn by(vendor: &VendorPlan) -> Decided {
        let mut numbers = Numbers::default();
        let mut before = vec![connected()];
        before.extend(vendor.before.iter().map(|decision| numbers.decision(decision)));
        // Numbers are given in the order in which decisions are made.
        let mut order: Vec<usize> = (0..vendor.during.len()).collect();
        order.sort_by_key(|position| vendor.during[*position].0);
        let mut during: Vec<Option<Decision>> = vec![None; vendor.during.len()];
        for position in order {
            during[position] = Some(numbers.decision(&vendor.during[position].1));
        }
        let handles = numbers.affiliates.iter().map(|(handle, id)| (AffiliateId(*id), handle.clone())).collect();
        Decided { before, during: during.into_iter().flatten().collect(), handles }
    }
}

/// The numbers that the control store would give.
#[derive(Default)]
struct Numbers {
    affiliates: BTreeMap<String, u64>,
    codes: BTreeMap<String, u64>,
    rules: u32,
}

impl Numbers {
    fn decision(&mut self, written: &Value) -> Decision {
        match written["decide"].as_str().unwrap() {
            "affiliate" => {
                let key = text(&written["key"]).unwrap();
                let next = self.affiliates.len() as u64 + 1;
                let id = *self.affiliates.entry(key.clone()).or_insert(next);
                Decision::SetAffiliate(SetAffiliate {
                    affiliate: AffiliateId(id),
                    name: key.clone(),
                    key,
                    suspended_at: None,
                })
            }
            "map" => self.mapping(written),
            "rule" => self.rule(written),
            other => panic!("the plan decides {other}"),
        }
    }

    fn mapping(&mut self, written: &Value) -> Decision {
        let (code, promotion_code_id, coupon_id) =
            (text(&written["code"]), text(&written["promotion_code_id"]), text(&written["coupon_id"]));
        let next = self.codes.len() as u64 + 1;
        let code_id = match code.as_ref().or(promotion_code_id.as_ref()).or(coupon_id.as_ref()) {
            Some(name) => *self.codes.entry(name.clone()).or_insert(next),
            None => 0,
        };
        Decision::MapCode(MapCode {
            code_id: CodeId(code_id),
            provider: written["provider"].as_str().and_then(Provider::from_name),
            code,
            promotion_code_id,
            coupon_id,
            referral_key: text(&written["referral_key"]),
            affiliate: written["affiliate"].as_str().map(|handle| AffiliateId(self.affiliates[handle])),
            valid_from: moment(&written["valid_from"]),
            valid_to: None,
        })
    }

    fn rule(&mut self, written: &Value) -> Decision {
        self.rules += 1;
        let scope = match (&written["scope"], written["scope"]["affiliate"].as_str()) {
            (Value::String(_), _) => RuleScope::Vendor,
            (_, Some(handle)) => RuleScope::Affiliate(AffiliateId(self.affiliates[handle])),
            (scope, None) => RuleScope::Code(CodeId(self.codes[scope["code"].as_str().unwrap()])),
        };
        let rate = if written["none"] == true {
            None
        } else if let Some(percent) = written["percent"].as_str() {
            Some(Rate::Percent { ppm: percent.parse::<u32>().unwrap() * 10_000 })
        } else if let Some(ppm) = written["percent_ppm"].as_u64() {
            Some(Rate::Percent { ppm: u32::try_from(ppm).unwrap() })
        } else {
            let amounts = written["flat"].as_object().unwrap().iter();
            Some(Rate::Flat {
                amounts: amounts.map(|(code, flat)| (Currency::parse(code).unwrap(), flat.as_i64().unwrap())).collect(),
            })
        };
        let duration = match &written["duration"] {
            Value::String(word) if word == "life" => Duration::Life,
            Value::String(_) => Duration::FirstPayment,
            months => Duration::Months(u16::try_from(months["months"].as_u64().unwrap()).unwrap()),
        };
        let effective_from = moment(&written["effective_from"]).unwrap();
        Decision::SetRule(SetRule { rev: self.rules, scope, effective_from, rate, duration, base: Base::Net })
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn moment(value: &Value) -> Option<Timestamp> {
    let parsed: jiff::Timestamp = value.as_str()?.parse().unwrap();
    Some(Timestamp(parsed.as_millisecond()))
}
