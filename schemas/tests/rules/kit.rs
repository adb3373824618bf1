//! Folds written events in memory, in every order and repeatedly, and says what came of them.

use domain::catalogue::CatalogueEntry;
use domain::decision::*;
use domain::fact::Answer;
use domain::fold::*;
use domain::ids::*;
use domain::line::{Amounts, LedgerLine};
use domain::money::Currency;
use domain::story::Scope;
use domain::target::{CatalogueReader, Context, PurchaseTarget, StateError, StoryTarget, target};
use schemas::decode::{Action, Decoded, decode_answer, decode_delivery, seen_of};
use schemas::provider::ViewError;
use schemas::record::{Delivery, LookupResult, Source};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const VENDOR: VendorId = VendorId(7);
/// Everything happens after this second.
pub const START: i64 = 1_770_000_000;

/// One thing that arrives.
#[derive(Clone)]
pub enum Step {
    Event(Delivery),
    Answer(LookupResult),
}

/// One delivery as the edge appends it.
pub fn delivery(provider: Provider, event_id: String, event_type: &str, created: Timestamp, event: &Value) -> Delivery {
    Delivery {
        provider,
        source: Source::Webhook,
        account: None,
        mode: Mode::Live,
        event_id,
        event_type: event_type.to_owned(),
        created,
        body_sha256: String::new(),
        minimiser: 1,
        event: serde_json::value::to_raw_value(event).unwrap(),
    }
}

/// A Stripe event `after` seconds.
pub fn stripe(event_type: &str, after: i64, object: Value) -> Step {
    stripe_version(event_type, after, Some("2026-03-25.dahlia"), object)
}

pub fn stripe_version(event_type: &str, after: i64, version: Option<&str>, object: Value) -> Step {
    let id = format!("evt_{event_type}_{after}_{}", object["id"].as_str().unwrap_or("none"));
    let event = json!({"id": id, "object": "event", "type": event_type, "created": START + after, "livemode": true, "api_version": version, "data": {"object": object}});
    Step::Event(delivery(Provider::Stripe, id, event_type, Timestamp::from_seconds(START + after), &event))
}

/// RFC 3339 of so many seconds.
pub fn at(after: i64) -> String {
    jiff::Timestamp::from_second(START + after).unwrap().to_string()
}

pub fn paddle(event_type: &str, after: i64, data: Value) -> Step {
    let id = format!("evt_{event_type}_{after}_{}", data["id"].as_str().unwrap_or("none"));
    let event = json!({"event_id": id, "event_type": event_type, "occurred_at": at(after), "data": data});
    Step::Event(delivery(Provider::Paddle, id, event_type, Timestamp::from_seconds(START + after), &event))
}

pub fn lemon(event_type: &str, after: i64, kind: &str, id: &str, attributes: Value) -> Step {
    lemon_with(event_type, after, kind, id, attributes, Value::Null)
}

pub fn lemon_with(event_type: &str, after: i64, kind: &str, id: &str, attributes: Value, custom_data: Value) -> Step {
    let event_id = format!("lemonsqueezy:{event_type}:{kind}:{id}:{after:09}");
    let event = json!({"meta": {"event_name": event_type, "test_mode": false, "custom_data": custom_data}, "data": {"type": kind, "id": id, "attributes": attributes}});
    Step::Event(delivery(Provider::LemonSqueezy, event_id, event_type, Timestamp::from_seconds(START + after), &event))
}

pub fn answer(provider: Provider, request: &str, body: Value) -> Step {
    answered(provider, request, Some(&body), None)
}

pub fn refusal(provider: Provider, request: &str) -> Step {
    answered(provider, request, None, Some("the key lacks a permission"))
}

fn answered(provider: Provider, request: &str, body: Option<&Value>, refused: Option<&str>) -> Step {
    Step::Answer(LookupResult {
        mode: Mode::Live,
        provider,
        request: request.to_owned(),
        asked_at: Timestamp::from_seconds(START + 900_000_000),
        answer: body.map(|body| serde_json::value::to_raw_value(body).unwrap()),
        refused: refused.map(str::to_owned),
    })
}

/// How one event reads by itself.
pub fn read(step: &Step) -> Result<Decoded, ViewError> {
    match step {
        Step::Event(delivery) => decode_delivery(delivery),
        Step::Answer(_) => panic!("an answer is not an event"),
    }
}

pub fn action(step: &Step) -> Action {
    read(step).unwrap().action
}

/// A mapping under construction; everything that is not said is none.
pub fn maps(affiliate: Option<u64>) -> MapCode {
    MapCode {
        code_id: CodeId(0),
        provider: None,
        code: None,
        promotion_code_id: None,
        coupon_id: None,
        referral_key: None,
        affiliate: affiliate.map(AffiliateId),
        valid_from: None,
        valid_to: None,
    }
}

pub fn map_text(code: &str, affiliate: u64) -> Decision {
    Decision::MapCode(MapCode { code: Some(code.to_owned()), ..maps(Some(affiliate)) })
}

pub fn map_coupon(coupon: &str, affiliate: Option<u64>) -> Decision {
    Decision::MapCode(MapCode { coupon_id: Some(coupon.to_owned()), ..maps(affiliate) })
}

pub fn map_link(key: &str, affiliate: u64) -> Decision {
    Decision::MapCode(MapCode { referral_key: Some(key.to_owned()), ..maps(Some(affiliate)) })
}

pub fn map_all(code: &str, promotion_code: &str, coupon: &str, affiliate: u64) -> Decision {
    Decision::MapCode(MapCode {
        code: Some(code.to_owned()),
        promotion_code_id: Some(promotion_code.to_owned()),
        coupon_id: Some(coupon.to_owned()),
        ..maps(Some(affiliate))
    })
}

/// The connection of a provider: its number is its place in this list.
fn connection_of(provider: Provider) -> ConnectionId {
    ConnectionId(match provider {
        Provider::Stripe => 1,
        Provider::Paddle => 2,
        Provider::LemonSqueezy => 3,
    })
}

fn scope_of(provider: Provider) -> Scope {
    Scope { vendor: VENDOR, connection: connection_of(provider), mode: Mode::Live }
}

/// A vendor in memory.
#[derive(Default)]
pub struct Vendor {
    pub state: MemoryState,
    pub outcomes: Vec<Outcome>,
    lines: Vec<LedgerLine>,
    offset: u64,
    seq: u64,
}

struct Reader<'a>(&'a MemoryState, Scope);

impl CatalogueReader for Reader<'_> {
    fn entry(&self, key: &str) -> Result<Option<CatalogueEntry>, StateError> {
        self.0.catalogue_entry(self.1, key)
    }

    fn answer(&self, request: &str) -> Result<Option<Answer>, StateError> {
        self.0.answer(self.1, request)
    }
}

impl Vendor {
    /// With complete history, and these decisions.
    pub fn new(decisions: &[Decision]) -> Vendor {
        Vendor::since(None, decisions)
    }

    /// Connected so many seconds after the start; none = before every event.
    pub fn since(after: Option<i64>, decisions: &[Decision]) -> Vendor {
        let mut vendor = Vendor::default();
        for provider in [Provider::Stripe, Provider::Paddle, Provider::LemonSqueezy] {
            vendor.decide(&Decision::SetConnection(SetConnection {
                connection: connection_of(provider),
                provider,
                account: None,
                history_from: after.map(|after| Timestamp::from_seconds(START + after)),
                can_look_up: true,
                closed_at: None,
            }));
        }
        decisions.iter().for_each(|decision| vendor.decide(decision));
        vendor
    }

    fn place(&mut self) -> Place {
        self.offset += 1;
        Place {
            partition: 5,
            offset: self.offset,
            at: Timestamp::from_seconds(START + 1_000_000_000 + self.offset as i64),
        }
    }

    fn take(&mut self, place: Place, mut effects: Effects) {
        loop {
            self.lines.append(&mut effects.lines);
            let Some(fanout) = effects.fanout.take() else { return };
            effects = continue_fanout(&mut self.state, place, fanout, effects.counters).unwrap();
        }
    }

    pub fn decide(&mut self, decision: &Decision) {
        self.seq += 1;
        let place = self.place();
        let (_, effects) = apply_decision(&mut self.state, place, VENDOR, self.seq, decision).unwrap();
        self.take(place, effects);
    }

    pub fn take_in(&mut self, step: &Step) -> Outcome {
        let place = self.place();
        let counters = Counters::default();
        let (outcome, effects) = match step {
            Step::Event(delivery) => match decode_delivery(delivery) {
                Err(error) => (Outcome::Refused(error.to_string()), Effects::default()),
                Ok(Decoded { ignored: Some(reason), .. }) => (Outcome::Ignored(reason.to_owned()), Effects::default()),
                Ok(decoded) => {
                    let provider = delivery.provider;
                    let event = Event {
                        scope: scope_of(provider),
                        provider,
                        seen: seen_of(delivery),
                        facts: decoded.facts,
                        sightings: decoded.sightings,
                    };
                    apply_event(&mut self.state, place, event, counters).unwrap()
                }
            },
            Step::Answer(result) => {
                let decoded = decode_answer(result);
                let seen = domain::fact::Seen { at: result.asked_at, event: result.request.clone() };
                let event = Event {
                    scope: scope_of(result.provider),
                    provider: result.provider,
                    seen,
                    facts: decoded.facts,
                    sightings: decoded.sightings,
                };
                apply_answer(&mut self.state, place, event, decoded.answer, counters).unwrap()
            }
        };
        self.outcomes.push(outcome.clone());
        self.take(place, effects);
        outcome
    }

    fn reached(&mut self) -> Vec<(domain::story::Story, StoryTarget)> {
        let decisions = self.state.decisions(VENDOR).unwrap();
        let stories: Vec<_> = self.state.stories().cloned().collect();
        stories
            .into_iter()
            .map(|story| {
                let catalogue = Reader(&self.state, story.scope);
                let reached = target(&story, &Context { decisions: &decisions, catalogue: &catalogue }).unwrap();
                (story, reached)
            })
            .collect()
    }

    /// What is still asked.
    pub fn questions(&mut self) -> Vec<String> {
        let mut questions: Vec<String> = self
            .reached()
            .iter()
            .flat_map(|(_, reached)| &reached.questions)
            .map(|question| question.request.clone())
            .collect();
        questions.sort();
        questions.dedup();
        questions
    }

    /// Names that wait, and refusals.
    pub fn unplaced(&mut self) -> Vec<String> {
        let reached = self.reached();
        let mut unplaced: Vec<String> =
            reached.iter().flat_map(|(_, reached)| &reached.unplaced).map(|one| format!("{:?}", one.refused)).collect();
        unplaced.sort();
        unplaced
    }

    /// Every purchase, by its public name. Checks that the lines of its number add up to it.
    pub fn purchases(&mut self) -> BTreeMap<String, Row> {
        let mut booked: BTreeMap<PurchaseId, Amounts> = BTreeMap::new();
        for line in &self.lines {
            let sum = booked.entry(line.purchase).or_default();
            *sum = sum.plus(line.amounts);
        }
        let mut rows = BTreeMap::new();
        for (story, reached) in self.reached() {
            for purchase in &reached.purchases {
                let slot = story
                    .slots
                    .iter()
                    .find(|slot| slot.aliases == purchase.aliases)
                    .expect("every purchase has a number");
                let wanted = purchase.components.iter().fold(Amounts::default(), |sum, part| sum.plus(part.amounts));
                assert_eq!(booked.remove(&slot.purchase).unwrap_or_default(), wanted, "the lines of {}", purchase.key);
                let twice = rows.insert(purchase.key.0.clone(), Row::of(purchase));
                assert!(twice.is_none(), "{} is counted twice", purchase.key);
            }
        }
        assert!(
            booked.values().all(|amounts| amounts.is_zero()),
            "lines are left of purchases that are gone: {booked:?}"
        );
        rows
    }
}

/// How a purchase ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub kind: &'static str,
    pub redemption: bool,
    pub first_payment: bool,
    pub affiliate: Option<u64>,
    pub how: Option<&'static str>,
    pub code: Option<String>,
    pub coupon: Option<String>,
    pub promotion_code: Option<String>,
    pub currency: Currency,
    pub gross: i64,
    pub paid: i64,
    pub net: i64,
    pub tax: i64,
    pub discount: i64,
    pub reversed: i64,
    pub commission: i64,
    pub flags: Vec<&'static str>,
}

impl Row {
    fn of(purchase: &PurchaseTarget) -> Row {
        let shown = purchase.attribution.shown.clone().unwrap_or_default();
        Row {
            kind: purchase.kind.name(),
            redemption: purchase.redemption,
            first_payment: purchase.first_payment,
            affiliate: purchase.attribution.affiliate.map(|id| id.0),
            how: purchase.attribution.how.name(),
            code: shown.code,
            coupon: shown.coupon,
            promotion_code: shown.promotion_code,
            currency: purchase.sale.currency,
            gross: purchase.sale.gross,
            paid: purchase.sale.paid,
            net: purchase.sale.net,
            tax: purchase.sale.tax,
            discount: purchase.sale.discount,
            reversed: purchase.reversed,
            commission: purchase.commission,
            flags: purchase.flags.iter().copied().collect(),
        }
    }
}

/// All orders of up to four steps, else every rotation forwards and backwards.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count <= 4 {
        let mut orders = vec![vec![]];
        for next in 0..count {
            orders = orders
                .into_iter()
                .flat_map(|order: Vec<usize>| {
                    (0..=order.len()).map(move |place| {
                        let mut order = order.clone();
                        order.insert(place, next);
                        order
                    })
                })
                .collect();
        }
        return orders;
    }
    let forwards = (0..count).map(|shift| (0..count).map(|index| (index + shift) % count).collect::<Vec<_>>());
    forwards.flat_map(|order| [order.iter().rev().copied().collect(), order]).collect()
}

/// Folds the steps as they stand, in other orders, and twice; all must end alike.
pub fn ends(decisions: &[Decision], steps: &[Step]) -> BTreeMap<String, Row> {
    let fold = |order: &[usize]| {
        let mut vendor = Vendor::new(decisions);
        order.iter().for_each(|index| {
            vendor.take_in(&steps[*index]);
        });
        (vendor.purchases(), vendor.questions(), vendor.unplaced())
    };
    let as_given: Vec<usize> = (0..steps.len()).collect();
    let expected = fold(&as_given);
    for order in orders(steps.len()) {
        assert_eq!(fold(&order), expected, "in the order {order:?}");
        let twice: Vec<usize> = order.iter().flat_map(|index| [*index, *index]).chain(order.iter().copied()).collect();
        assert_eq!(fold(&twice), expected, "repeated in the order {order:?}");
    }
    // Decisions may also come last.
    let mut late = Vendor::new(&[]);
    steps.iter().for_each(|step| {
        late.take_in(step);
    });
    decisions.iter().for_each(|decision| late.decide(decision));
    assert_eq!(late.purchases(), expected.0, "with the decisions last");
    expected.0
}

/// The only purchase.
pub fn only(decisions: &[Decision], steps: &[Step]) -> Row {
    let rows = ends(decisions, steps);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.into_values().next().unwrap()
}

/// An object with some members put in or replaced.
pub fn with(mut object: Value, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}
