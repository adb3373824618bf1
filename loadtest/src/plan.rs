//! A whole run drawn from a seed: vendors, their decisions, their events, and what has to come out.

use crate::calendar::rfc3339;
use crate::draw::{chance, draw_story, draw_vendor};
use crate::oracle::{Ledger, ledger};
use crate::poison;
use crate::stripe::{Event, Renderer};
use crate::world::{Lasting, Mapped, MappedBy, Moment, Rate, Rule, Scope, World};
use corpus::shuffle::SplitMix;
use serde_json::{Map, Value, json};

/// How large a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many sales, at least.
    Purchases(usize),
    /// So many deliveries with their duplicates, about.
    Deliveries(usize),
}

/// What to draw.
#[derive(Debug, Clone, Copy)]
pub struct PlanOptions {
    /// Everything follows from it.
    pub seed: u64,
    /// Vendors that share the purchases.
    pub vendors: usize,
    /// How much.
    pub size: Size,
    /// Poisonous events per thousand events.
    pub poison_per_thousand: u64,
}

/// One vendor of a plan.
#[derive(Debug, Clone)]
pub struct VendorPlan {
    /// Its handle.
    pub slug: String,
    /// Decisions made before the first delivery.
    pub before: Vec<Value>,
    /// Decisions made after so many thousandths of all deliveries.
    pub during: Vec<(u32, Value)>,
    /// Its events, in order of time.
    pub events: Vec<Event>,
    /// What everybody is owed in the end.
    pub expected: Ledger,
    /// Number of sales.
    pub purchases: usize,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its vendors.
    pub vendors: Vec<VendorPlan>,
    /// What is delivered and decided, in order.
    pub steps: Vec<Step>,
}

/// One step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Deliver an event.
    Deliver {
        /// Position in [`Plan::vendors`].
        vendor: usize,
        /// Position in [`VendorPlan::events`].
        event: usize,
        /// The provider does not get to see the first answer and delivers again.
        lost_answer: bool,
    },
    /// Make a decision.
    Decide {
        /// Position in [`Plan::vendors`].
        vendor: usize,
        /// Position in [`VendorPlan::during`].
        decision: usize,
    },
}

impl Plan {
    /// Draws a run. The same options give the same run, byte for byte.
    pub fn generate(options: PlanOptions) -> Plan {
        let mut random = SplitMix::new(options.seed);
        let vendors = options.vendors.max(1);
        let mut drawn: Vec<Drawn> = (0..vendors).map(|number| Drawn::new(&mut random, options.seed, number)).collect();
        let mut size = 0;
        let mut next = 0;
        let enough = |size: usize| match options.size {
            Size::Purchases(count) => size >= count,
            // A quarter of the events is delivered again.
            Size::Deliveries(count) => size * 13 / 10 >= count,
        };
        while !enough(size) {
            let vendor = &mut drawn[next % vendors];
            let before = (vendor.purchases, vendor.events.len());
            vendor.add_story(&mut random, options.poison_per_thousand);
            size += match options.size {
                Size::Purchases(_) => vendor.purchases - before.0,
                Size::Deliveries(_) => vendor.events.len() - before.1,
            };
            next += 1;
        }
        let vendors: Vec<VendorPlan> = drawn.into_iter().map(Drawn::finish).collect();
        let steps = schedule(&mut random, &vendors);
        Plan { vendors, steps }
    }

    /// Number of distinct events.
    pub fn event_count(&self) -> usize {
        self.vendors.iter().map(|vendor| vendor.events.len()).sum()
    }
}

struct Drawn {
    slug: String,
    world: World,
    renderer: Renderer,
    events: Vec<Event>,
    purchases: usize,
}

impl Drawn {
    fn new(random: &mut SplitMix, seed: u64, number: usize) -> Drawn {
        let world = draw_vendor(random);
        let mut renderer = Renderer::new(random.next_u64());
        let events = renderer.catalogue(&world);
        Drawn { slug: format!("load-{seed}-{number}"), world, renderer, events, purchases: 0 }
    }

    fn add_story(&mut self, random: &mut SplitMix, poison_per_thousand: u64) {
        let story = draw_story(random, &self.world);
        let (events, made) = self.renderer.story(&self.world, &story);
        // A sale that nothing took back, for a refund in a foreign currency.
        let untouched = story.sales.iter().zip(&made).find(|(sale, made)| {
            made.charge.is_some() && sale.refunds.is_empty() && sale.disputes.is_empty() && sale.voided_at.is_none()
        });
        for event in &events {
            if random.below(1000) < poison_per_thousand {
                let sale = untouched.map(|(_, made)| (made, story.currency.as_str()));
                self.events.push(poison::draw(&mut self.renderer, random, event.created, sale));
            }
        }
        self.events.extend(events);
        self.purchases += story.sales.len();
        self.world.stories.push(story);
    }

    fn finish(mut self) -> VendorPlan {
        self.events.sort_by_key(|event| event.created);
        let (before, during) = decisions(&self.world);
        let expected = ledger(&self.world);
        let (slug, events, purchases) = (self.slug, self.events, self.purchases);
        VendorPlan { slug, before, during, events, expected, purchases }
    }
}

/// Delivery order: mostly as it happened, some late, some very late, a quarter again.
fn schedule(random: &mut SplitMix, vendors: &[VendorPlan]) -> Vec<Step> {
    let mut events: Vec<(i64, usize, usize)> = Vec::new();
    for (vendor, plan) in vendors.iter().enumerate() {
        events.extend(plan.events.iter().enumerate().map(|(event, one)| (one.created, vendor, event)));
    }
    events.sort_unstable();
    let total = events.len() as u64;
    let mut deliveries: Vec<(u64, usize, usize)> = Vec::new();
    for (rank, (_, vendor, event)) in events.into_iter().enumerate() {
        let copies = match random.below(100) {
            0..78 => 1,
            78..95 => 2,
            _ => 3,
        };
        for _ in 0..copies {
            let delay = match random.below(100) {
                0..55 => 0,
                55..75 => random.below(6),
                75..92 => random.below(200),
                _ => random.below(total),
            };
            deliveries.push((rank as u64 + delay, vendor, event));
        }
    }
    deliveries.sort_by_key(|(position, _, _)| *position);
    let mut decisions: Vec<(usize, Step)> = Vec::new();
    for (vendor, plan) in vendors.iter().enumerate() {
        for (decision, (thousandths, _)) in plan.during.iter().enumerate() {
            let at = deliveries.len() * (*thousandths as usize) / 1000;
            decisions.push((at, Step::Decide { vendor, decision }));
        }
    }
    decisions.sort_by_key(|(at, _)| *at);
    let mut decisions = decisions.into_iter().peekable();
    let mut steps = Vec::new();
    for (position, (_, vendor, event)) in deliveries.into_iter().enumerate() {
        while let Some((_, step)) = decisions.next_if(|(at, _)| *at <= position) {
            steps.push(step);
        }
        steps.push(Step::Deliver { vendor, event, lost_answer: chance(random, 2) });
    }
    steps.extend(decisions.map(|(_, step)| step));
    steps
}

/// What the vendor decides: before the first delivery, and while they come in.
fn decisions(world: &World) -> (Vec<Value>, Vec<(u32, Value)>) {
    let mut before: Vec<Value> =
        world.affiliates.iter().map(|key| json!({"decide": "affiliate", "key": key, "name": key})).collect();
    let mut during = Vec::new();
    let mut add = |decided: Moment, decision: Value| match decided {
        Moment::Before => before.push(decision),
        Moment::During(thousandths) => during.push((thousandths, decision)),
    };
    for mapping in &world.mappings {
        let mut decision = match mapping.what {
            Mapped::Code(code) => map_code(world, code),
            Mapped::Link(link) => json!({"decide": "map", "referral_key": world.links[link]}),
        };
        decision["affiliate"] = json!(mapping.affiliate.map(|affiliate| &world.affiliates[affiliate]));
        decision["valid_from"] = json!(mapping.valid_from.map(rfc3339));
        add(mapping.decided, decision);
    }
    for rule in &world.rules {
        add(rule.decided, rule_decision(world, rule));
    }
    (before, during)
}

fn map_code(world: &World, position: usize) -> Value {
    let code = &world.codes[position];
    let mut decision = json!({"decide": "map", "provider": "stripe"});
    match code.mapped_by {
        MappedBy::PromotionCode => decision["promotion_code_id"] = json!(code.promotion_code_id),
        // People write codes as they like.
        MappedBy::Text => decision["code"] = json!(code.text.to_lowercase()),
        MappedBy::Coupon => decision["coupon_id"] = json!(code.coupon_id),
        MappedBy::Everything => {
            decision["code"] = json!(code.text);
            decision["promotion_code_id"] = json!(code.promotion_code_id);
            decision["coupon_id"] = json!(code.coupon_id);
        }
    }
    decision
}

fn rule_decision(world: &World, rule: &Rule) -> Value {
    let mut decision = Map::new();
    let mut set = |name: &str, value: Value| decision.insert(name.to_owned(), value);
    set("decide", json!("rule"));
    set(
        "scope",
        match rule.scope {
            Scope::Vendor => json!("vendor"),
            Scope::Affiliate(affiliate) => json!({"affiliate": world.affiliates[affiliate]}),
            Scope::Code(code) => json!({"code": world.codes[code].text}),
        },
    );
    match &rule.rate {
        None => set("none", json!(true)),
        Some(Rate::Percent(ppm)) if ppm % 10_000 == 0 => set("percent", json!((ppm / 10_000).to_string())),
        Some(Rate::Percent(ppm)) => set("percent_ppm", json!(ppm)),
        Some(Rate::Flat(amounts)) => set("flat", json!(amounts)),
    };
    set(
        "duration",
        match rule.lasting {
            Lasting::Life => json!("life"),
            Lasting::FirstPayment => json!("first_payment"),
            Lasting::Months(months) => json!({"months": months}),
        },
    );
    set("base", json!("net"));
    set("effective_from", json!(rfc3339(rule.effective_from)));
    Value::Object(decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn options(seed: u64) -> PlanOptions {
        PlanOptions { seed, vendors: 3, size: Size::Deliveries(2000), poison_per_thousand: 10 }
    }

    #[test]
    fn a_seed_gives_one_plan_byte_for_byte() {
        let (one, again, other) = (Plan::generate(options(1)), Plan::generate(options(1)), Plan::generate(options(2)));
        assert_eq!(one.steps, again.steps);
        for (one, again) in one.vendors.iter().zip(&again.vendors) {
            assert!(
                one.events.iter().zip(&again.events).all(|(one, again)| one.body == again.body && one.id == again.id)
            );
            assert_eq!((&one.before, &one.during, &one.expected), (&again.before, &again.during, &again.expected));
        }
        assert_ne!(one.vendors[0].events[5].body, other.vendors[0].events[5].body);
    }

    #[test]
    fn every_event_is_delivered_some_again_some_out_of_order_and_every_decision_made() {
        let plan = Plan::generate(options(3));
        let mut delivered = BTreeSet::new();
        let (mut again, mut late, mut decided, mut newest) = (0, 0, BTreeSet::new(), 0);
        for step in &plan.steps {
            match *step {
                Step::Deliver { vendor, event, .. } => {
                    again += u32::from(!delivered.insert((vendor, event)));
                    let created = plan.vendors[vendor].events[event].created;
                    late += u32::from(created < newest);
                    newest = newest.max(created);
                }
                Step::Decide { vendor, decision } => assert!(decided.insert((vendor, decision))),
            }
        }
        assert_eq!(delivered.len(), plan.event_count());
        assert_eq!(decided.len(), plan.vendors.iter().map(|vendor| vendor.during.len()).sum::<usize>());
        assert!((1900..2400).contains(&plan.steps.len()), "{} steps", plan.steps.len());
        assert!(again > 200 && late > 500, "{again} again, {late} late");
        assert!(plan.vendors.iter().flat_map(|vendor| &vendor.events).any(|event| event.poison.is_some()));
    }

    #[test]
    fn event_ids_are_unique_and_money_is_owed() {
        let plan = Plan::generate(PlanOptions { size: Size::Purchases(3000), ..options(4) });
        for vendor in &plan.vendors {
            let ids: BTreeSet<&str> = vendor.events.iter().map(|event| event.id.as_str()).collect();
            assert_eq!(ids.len(), vendor.events.len());
            assert!(vendor.expected.values().any(|figures| figures.commission > 0));
            assert!(vendor.expected.values().all(|figures| figures.revenue >= 0 && figures.commission >= 0));
            let currencies: BTreeSet<&str> = vendor.expected.keys().map(|(_, currency)| currency.as_str()).collect();
            for currency in ["usd", "jpy", "kwd", "zzz"] {
                assert!(currencies.contains(currency), "{currency} is missing");
            }
        }
    }

    #[test]
    fn rules_are_written_as_people_write_them() {
        let rule =
            |rate, lasting| Rule { scope: Scope::Vendor, effective_from: 0, rate, lasting, decided: Moment::Before };
        let world = World::default();
        let percent = rule_decision(&world, &rule(Some(Rate::Percent(200_000)), Lasting::Months(3)));
        assert_eq!(percent["percent"], "20");
        assert_eq!(percent["duration"], json!({"months": 3}));
        assert_eq!(percent["effective_from"], "1970-01-01T00:00:00Z");
        assert_eq!(rule_decision(&world, &rule(None, Lasting::Life))["none"], true);
    }
}
