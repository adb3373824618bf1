//! The algebra of the fold. Whatever the order in which the records of a history arrive, however
//! often each is delivered, wherever the vendor's decisions fall between them (in their own
//! order) and however they are cut into batches: the ledger is the same in the end, and what must
//! hold at any moment holds after every record (checked by `Scene`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use domain::decision::{Adjust, Decision, Duration, Rate, Review, RuleScope, SetConnection, Verdict};
use domain::fold::Outcome;
use domain::ids::{CodeId, ConnectionId, Mode, Provider, Timestamp};
use domain::line::Amounts;
use domain::money::Currency;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use serde_json::json;
use tests::drawn::Drawn;
use tests::recorded;
use tests::scene::{Scene, Step};
use tests::stripe::*;

#[path = "fold_properties/batches.rs"]
mod batches;

const DAY: i64 = 86_400;
/// Sort keys drawn for an order: more than any history here has records.
const KEYS: usize = 256;

/// So many cases, always the same; other ones with `PROPTEST_RNG_SEED`, more with
/// `PROPTEST_CASES`. A failing case is kept in `regressions/` and tried first from then on.
pub fn cases(count: u32) -> ProptestConfig {
    let base = ProptestConfig::default();
    // What the library takes when nobody asked for a number or a seed.
    let seed = match base.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        asked @ RngSeed::Fixed(_) => asked,
    };
    ProptestConfig {
        cases: if base.cases == 256 { count } else { base.cases },
        rng_seed: seed,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("regressions/fold_properties.txt"))),
        max_shrink_iters: 500,
        ..base
    }
}

/// What happened, and what was decided, each in its own order.
#[derive(Debug, Clone)]
pub struct History {
    /// Deliveries and answers.
    pub records: Vec<Step>,
    /// In the vendor's own order.
    pub decisions: Vec<Step>,
}

impl History {
    fn canonical(&self) -> Vec<Step> {
        self.decisions.iter().chain(&self.records).cloned().collect()
    }

    /// A drawn history: everything the generator made of the seed.
    pub fn drawn(seed: u64, deliveries: usize) -> History {
        let drawn = Drawn::new(seed, deliveries, 0);
        let decisions = numbered(drawn.before.into_iter().chain(drawn.during));
        let records = drawn.readings.into_iter().filter_map(|reading| match reading {
            Reading::Step(step) => Some(step),
            Reading::Ignored(_) => None,
            refused => panic!("{refused:?}"),
        });
        History { records: records.collect(), decisions }
    }
}

/// An order: sort keys for records and decisions, and how often each record comes. All zero is
/// the canonical order, so that a failing case shrinks towards it.
#[derive(Clone)]
pub struct Order {
    records: Vec<u16>,
    decisions: Vec<u16>,
    copies: Vec<u8>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let moved = |keys: &[u16]| keys.iter().take(24).map(u16::to_string).collect::<Vec<_>>().join(" ");
        let copies: String = self.copies.iter().take(24).map(u8::to_string).collect();
        write!(
            f,
            "records [{} ...], decisions [{} ...], copies {copies}...",
            moved(&self.records),
            moved(&self.decisions)
        )
    }
}

/// Any order.
pub fn any_order() -> impl Strategy<Value = Order> {
    let copies = prop_oneof![4 => Just(0_u8), 1 => Just(1), 1 => Just(2)];
    (
        prop::collection::vec(any::<u16>(), KEYS),
        prop::collection::vec(any::<u16>(), KEYS),
        prop::collection::vec(copies, KEYS),
    )
        .prop_map(|(records, decisions, copies)| Order { records, decisions, copies })
}

impl Order {
    /// The history in this order.
    pub fn of(&self, history: &History) -> Vec<Step> {
        let mut keyed: Vec<(u16, bool, usize, &Step)> = Vec::new();
        let mut decided: Vec<u16> = (0..history.decisions.len()).map(|index| self.decisions[index % KEYS]).collect();
        decided.sort_unstable();
        keyed.extend(history.decisions.iter().enumerate().map(|(index, step)| (decided[index], false, index, step)));
        for (index, step) in history.records.iter().enumerate() {
            for copy in 0..=usize::from(self.copies[index % KEYS]) {
                let key = self.records[(index + copy * 101) % KEYS];
                keyed.push((key, true, index, step));
            }
        }
        keyed.sort_by_key(|(key, is_record, index, _)| (*key, *is_record, *index));
        keyed.into_iter().map(|(_, _, _, step)| step.clone()).collect()
    }
}

/// The heart of it: this order ends where the canonical order ends, and everything again adds
/// nothing.
fn same_in_any_order(history: &History, order: &Order) {
    let mut canonical = Scene::of(&history.canonical());
    let expected = canonical.books();
    let steps = order.of(history);
    let mut scene = Scene::of(&steps);
    let found = scene.books();
    assert_eq!(found.booked, expected.booked, "what is booked depends on the order");
    assert_eq!(found.purchases, expected.purchases, "how purchases stand depends on the order");
    assert_eq!(found, expected, "what is open depends on the order");
    assert_eq!(scene.manual(), canonical.manual());
    if found.unplaced.iter().all(|(_, _, refused)| refused.is_some()) {
        let waiting: Vec<_> = scene.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Waiting(_))).collect();
        assert!(waiting.is_empty(), "nothing is unplaced, but records wait: {waiting:?}");
    }
    // P: replaying everything books nothing and tells nothing.
    let told = scene.rows.len();
    for step in &steps {
        let lines = scene.fold(step);
        assert!(lines.is_empty(), "a replay booked {lines:?}");
        let outcome = scene.outcomes.last().unwrap();
        assert!(matches!(outcome, Outcome::NoEffect(_) | Outcome::Decision), "a replay ended as {outcome:?}");
    }
    assert_eq!(scene.rows.len(), told, "a replay told the warehouse something");
    assert_eq!(scene.books(), expected);
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn a_drawn_history_ends_in_the_same_ledger(seed in 0_u64..100_000, deliveries in 4_usize..40, order in any_order()) {
        same_in_any_order(&History::drawn(seed, deliveries), &order);
    }
}

proptest! {
    #![proptest_config(cases(24))]

    /// Every recorded event of the three providers in one pot, with the providers' answers.
    #[test]
    fn the_recorded_events_end_in_the_same_ledger(order in any_order()) {
        same_in_any_order(&RECORDED, &order);
    }
}

static RECORDED: std::sync::LazyLock<History> = std::sync::LazyLock::new(|| {
    let corpus = recorded::corpus();
    let mut records: Vec<Step> = recorded::readings(&corpus)
        .into_iter()
        .filter_map(|reading| match reading {
            Reading::Step(step) => Some(step),
            Reading::Ignored(_) | Reading::Refused(_) | Reading::NotAnEvent(_) => None,
        })
        .collect();
    assert!(records.len() > 60, "most recorded events are for the fold");
    records.extend(recorded::answers(&corpus).into_values().flatten());
    History { records, decisions: numbered(recorded::decisions(&corpus)) }
});

/// Everything that can take a sale back, mixed at random: not only what a provider would send.
fn any_takebacks() -> impl Strategy<Value = Vec<Step>> {
    let status = prop_oneof![Just("succeeded"), Just("pending"), Just("failed"), Just("canceled")];
    let refund = (0..4_u8, 1..9_000_i64, 1..40_i64, status);
    let snapshot = (0..9_000_i64, 1..40_i64);
    let dispute = prop_oneof![
        Just(("charge.dispute.created", "needs_response", 0_usize)),
        Just(("charge.dispute.created", "warning_needs_response", 0)),
        Just(("charge.dispute.funds_withdrawn", "needs_response", 1)),
        Just(("charge.dispute.closed", "lost", 1)),
        Just(("charge.dispute.closed", "won", 2)),
        Just(("charge.dispute.funds_reinstated", "won", 2)),
    ];
    (
        prop::collection::vec(refund, 0..6),
        prop::collection::vec(snapshot, 0..4),
        prop::collection::vec((dispute, 1..8_000_i64), 0..3),
        prop::option::of(1..60_i64),
        any::<bool>(),
    )
        .prop_map(|(refunds, snapshots, disputes, voided, currency_differs)| {
            let invoice = Invoice { gross: 7_937, tax: 1_267, paid: 7_500, ..Invoice::default() };
            let mut steps = Vec::new();
            for (id, amount, day, status) in refunds {
                let kind = if status == "failed" { "refund.failed" } else { "refund.updated" };
                // One refund has one amount and one time, whatever its states.
                let (id, at) = (format!("{id}_{amount}"), NOON + day * DAY);
                steps.push(invoice.refund("refund.created", &id, amount, at, "succeeded"));
                steps.push(invoice.refund(kind, &id, amount, at, status));
            }
            steps.extend(snapshots.into_iter().map(|(refunded, day)| invoice.snapshot(refunded, NOON + day * DAY + 7)));
            for ((kind, status, moved), amount) in disputes {
                let transactions = [-amount, amount];
                steps.push(invoice.dispute(kind, amount, NOON + 9 * DAY, status, &transactions[..moved]));
            }
            steps.extend(voided.map(|day| invoice.voided(NOON + day * DAY)));
            if currency_differs {
                let foreign = Invoice { currency: "eur", ..invoice.clone() };
                steps.push(foreign.refund("refund.created", "foreign", 100, NOON + DAY, "succeeded"));
            }
            steps.push(invoice.paid());
            steps
        })
}

/// Mappings that move, rules that change from past dates, reviews, a manual line.
fn eventful_decisions(invoice: &str) -> Vec<Decision> {
    let review = |verdict, purchase: &str| {
        Decision::Review(Review {
            connection: ConnectionId(1),
            mode: Mode::Live,
            purchase: purchase.to_owned(),
            verdict,
            reason: "looked at".to_owned(),
        })
    };
    let flat = Rate::Flat { amounts: [(Currency::parse("usd").unwrap(), 777)].into() };
    vec![
        connected(),
        affiliate(MAYA),
        rule(1, RuleScope::Vendor, Some(Rate::Percent { ppm: 333_333 }), 0, Duration::Life),
        map(1, "promo_maya", Some(MAYA), None),
        review(Verdict::Hold, &format!("inv:in_{invoice}")),
        affiliate(LEO),
        map(1, "promo_maya", Some(LEO), Some(NOON - DAY)),
        rule(2, RuleScope::Affiliate(LEO), Some(flat), NOON - DAY, Duration::FirstPayment),
        review(Verdict::Reject, &format!("pi:pi_{invoice}")),
        rule(3, RuleScope::Code(CodeId(1)), Some(Rate::Percent { ppm: 123_456 }), 0, Duration::Months(3)),
        review(Verdict::Release, &format!("ch:ch_{invoice}")),
        Decision::Adjust(Adjust {
            mode: Mode::Live,
            affiliate: LEO,
            currency: Currency::parse("usd").unwrap(),
            commission: -500,
            occurred_at: Timestamp(1),
            reason: "agreed".to_owned(),
        }),
    ]
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn a_purchase_with_anything_that_takes_back(records in any_takebacks(), decided in 0..13_usize, order in any_order()) {
        let decisions = numbered(eventful_decisions("1").into_iter().take(decided));
        same_in_any_order(&History { records, decisions }, &order);
    }
}

/// A subscription seen through everything: session, invoices, payments, a hint, two disputes.
fn subscription() -> Vec<Step> {
    let invoice = |name, reason, months: i64| Invoice {
        name,
        subscription: Some("sub_1"),
        reason,
        codes: if months == 0 { &[("promo_maya", "COUPON_MAYA")] } else { &[] },
        paid_at: NOON + months * 31 * DAY,
        ..Invoice::default()
    };
    let first = Invoice { gross: 0, tax: 0, paid: 0, ..invoice("a", "subscription_create", 0) };
    let (second, third) = (invoice("b", "subscription_cycle", 1), invoice("c", "subscription_cycle", 2));
    let update = Invoice { gross: 4_000, tax: 0, paid: 4_000, ..invoice("d", "subscription_update", 3) };
    let session = json!({
        "id": "cs_1", "object": "checkout.session", "client_reference_id": "ref_maya", "created": NOON - 60, "currency": "usd",
        "discounts": [{"coupon": "COUPON_MAYA", "promotion_code": "promo_maya"}], "invoice": "in_a", "livemode": true, "metadata": {},
        "mode": "subscription", "payment_intent": null, "payment_status": "no_payment_required", "subscription": "sub_1"
    });
    let object = json!({
        "id": "sub_1", "object": "subscription", "created": NOON - 50, "latest_invoice": "in_a", "livemode": true,
        "metadata": {"affiliate_ref": "leo"}, "status": "active"
    });
    vec![
        event("evt_session", "checkout.session.completed", NOON + 1, session),
        event("evt_subscription", "customer.subscription.created", NOON - 50, object),
        first.paid(),
        second.paid(),
        third.paid(),
        update.paid(),
        second.refund("refund.created", "half", 5_000, NOON + 40 * DAY, "succeeded"),
        third.dispute("charge.dispute.closed", 11_900, NOON + 80 * DAY, "lost", &[-11_900]),
        third.snapshot(700, NOON + 70 * DAY),
        update.voided(NOON + 100 * DAY),
    ]
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn a_subscription_with_later_payments(decided in 0..13_usize, order in any_order()) {
        let decisions = numbered(eventful_decisions("b").into_iter().take(decided));
        same_in_any_order(&History { records: subscription(), decisions }, &order);
    }

    /// The connection is younger than the subscription: history is asked for; the provider once
    /// refuses, once answers. An answer beats a refusal, whichever is folded first.
    #[test]
    fn a_subscription_older_than_the_connection(order in any_order(), with_answer in any::<bool>(), with_refusal in any::<bool>()) {
        let mut decisions = eventful_decisions("b");
        decisions[0] = Decision::SetConnection(SetConnection {
            connection: ConnectionId(1),
            provider: Provider::Stripe,
            account: None,
            history_from: Some(Timestamp::from_seconds(NOON + 20 * DAY)),
            can_look_up: true,
            closed_at: None,
        });
        let mut records = subscription();
        records.retain(|step| !format!("{step:?}").contains("inv:in_a"));
        let question = "GET /v1/invoices?subscription=sub_1&status=paid&limit=100";
        let paid = |name: &str, created: i64| Invoice { name, paid_at: created, ..Invoice::default() }.object();
        let history = json!({"object": "list", "data": [paid("b", NOON + 31 * DAY), paid("z", NOON - 90 * DAY)]});
        records.extend(with_answer.then(|| answer(Provider::Stripe, Mode::Live, question, 2_000_000, Some(&history))));
        records.extend(with_refusal.then(|| answer(Provider::Stripe, Mode::Live, question, 1_000_000, None)));
        same_in_any_order(&History { records, decisions: numbered(decisions) }, &order);
    }

    /// A code that has to be asked for: catalogue event, refusal and answer in any order.
    #[test]
    fn a_code_that_is_asked_for(order in any_order(), told_by in prop::collection::vec(0..4_u8, 0..4)) {
        let mut records = vec![Invoice::default().paid(), Invoice { name: "2", paid_at: NOON + DAY, ..Invoice::default() }.paid()];
        let code = json!({"id": "promo_maya", "object": "promotion_code", "code": "MAYA20", "coupon": {"id": "COUPON_MAYA"}, "livemode": true});
        let question = "GET /v1/promotion_codes/promo_maya";
        for how in told_by {
            records.push(match how {
                0 => answer(Provider::Stripe, Mode::Live, question, 1_000_000, None),
                1 => answer(Provider::Stripe, Mode::Live, question, 2_000_000, Some(&code)),
                2 => event("evt_code", "promotion_code.created", NOON - DAY, code.clone()),
                _ => answer(Provider::Stripe, Mode::Live, question, 500_000, None),
            });
        }
        let by_text = |owner, valid_from| match map(1, "unused", Some(owner), valid_from) {
            Decision::MapCode(mapping) => Decision::MapCode(domain::decision::MapCode { promotion_code_id: None, code: Some("maya20 ".to_owned()), ..mapping }),
            other => other,
        };
        let decisions = numbered([connected(), affiliate(MAYA), by_text(MAYA, None), by_text(LEO, Some(NOON + 1))]);
        same_in_any_order(&History { records, decisions }, &order);
    }
}

/// A rate whose commission is not zero.
fn any_rate() -> impl Strategy<Value = Rate> {
    prop_oneof![
        (1..=1_000_000_u32).prop_map(|ppm| Rate::Percent { ppm }),
        (1..100_000_i64).prop_map(|flat| Rate::Flat { amounts: [(Currency::parse("usd").unwrap(), flat)].into() }),
    ]
}

/// Cuts a whole into parts that add up to it.
fn parts_of(whole: i64, cuts: &[u16]) -> Vec<i64> {
    let mut at: Vec<i64> = cuts.iter().map(|cut| whole * i64::from(*cut) / 65_536).chain([0, whole]).collect();
    at.sort_unstable();
    at.windows(2).map(|pair| pair[1] - pair[0]).filter(|part| *part > 0).collect()
}

proptest! {
    #![proptest_config(cases(200))]

    /// Whatever a sale was made of and however it was refunded: all of it back is nothing left.
    #[test]
    fn a_full_refund_returns_everything_to_zero(
        gross in 1..=1_000_000_000_000_i64,
        tax_percent in 0..=25_i64,
        paid_percent in 1..=100_i64,
        rate in any_rate(),
        cuts in prop::collection::vec(any::<u16>(), 0..5),
        by_snapshots in any::<bool>(),
        order in any_order(),
    ) {
        let paid = (gross / 100 * paid_percent).max(1);
        let invoice = Invoice { gross, tax: gross / 100 * tax_percent, paid, ..Invoice::default() };
        let mut records = vec![invoice.paid()];
        let mut refunded = 0;
        for (number, part) in parts_of(paid, &cuts).into_iter().enumerate() {
            refunded += part;
            let at = NOON + (number as i64 + 1) * DAY;
            records.push(match by_snapshots {
                true => invoice.snapshot(refunded, at),
                false => invoice.refund("refund.created", &number.to_string(), part, at, "succeeded"),
            });
        }
        let rules = [connected(), affiliate(MAYA), map(1, "promo_maya", Some(MAYA), None), rule(1, RuleScope::Vendor, Some(rate), 0, Duration::Life)];
        let history = History { records, decisions: numbered(rules) };
        let mut scene = Scene::of(&order.of(&history));
        let books = scene.books();
        let left = books.sum_of("inv:in_1");
        // The use of the code and the first payment happened all the same.
        prop_assert_eq!(left, Amounts { redemptions: 1, conversions: 1, ..Amounts::default() });
        let shown = scene.lines.iter().fold((0_i128, 0_i128, 0_i128), |sum, line| {
            let amounts = line.amounts;
            (sum.0 + i128::from(amounts.gross), sum.1 + i128::from(amounts.net), sum.2 + i128::from(amounts.commission))
        });
        prop_assert_eq!(shown, (0, 0, 0));
    }
}

/// Gross and net over all affiliates stay what they are while codes move between them; only the
/// new owner has something in the end.
#[test]
fn moves_conserve_the_sums_over_affiliates() {
    let sale = Invoice::default();
    let mut scene = Scene::of(&numbered([connected(), affiliate(MAYA), affiliate(LEO)]));
    scene.fold(&sale.paid());
    scene.fold(&sale.refund("refund.created", "part", 3_000, NOON + DAY, "succeeded"));
    let expected = scene.books().sum_of("inv:in_1");
    let owners = [Some(MAYA), Some(LEO), None, Some(LEO), Some(MAYA)];
    for (seq, owner) in (4..).zip(owners) {
        let booked = scene.fold(&Step::Decide(seq, map(1, "promo_maya", owner, None))).len();
        assert!(booked > 0, "the move to {owner:?} was booked");
        let books = scene.books();
        let sum = books.sum_of("inv:in_1");
        assert_eq!((sum.gross, sum.net), (expected.gross, expected.net));
        assert_eq!(sum.commission, if owner.is_some() { (sum.net * 20 + 50) / 100 } else { 0 });
        assert!(books.booked.keys().all(|account| account.affiliate == owner.unwrap_or_default()));
    }
}

/// A refund of a currency that is not the sale's is refused by name, whichever way it is told.
#[test]
fn a_refund_in_another_currency_is_refused_however_it_is_told() {
    let sale = Invoice::default();
    let foreign = Invoice { currency: "eur", ..Invoice::default() };
    let told = [
        ("refund event", foreign.refund("refund.created", "x", 100, NOON + DAY, "succeeded")),
        ("dispute", foreign.dispute("charge.dispute.closed", 100, NOON + DAY, "lost", &[-100])),
        ("charge snapshot", foreign.snapshot(100, NOON + DAY)),
    ];
    let mut wrong = Vec::new();
    for (name, step) in told {
        for sale_first in [true, false] {
            let mut scene = Scene::default();
            let position = if sale_first {
                scene.fold(&sale.paid());
                scene.fold(&step);
                1
            } else {
                scene.fold(&step);
                scene.fold(&sale.paid());
                0
            };
            let outcome = scene.outcomes[position].clone();
            if !matches!(&outcome, Outcome::Refused(reason) if reason.starts_with("currency_mismatch")) {
                wrong.push(format!("{name}, sale first {sale_first}: {outcome:?}"));
            }
            assert_eq!(scene.books().sum_of("inv:in_1").net, 10_000, "{name} took nothing back");
        }
    }
    assert!(wrong.is_empty(), "not refused:\n  {}", wrong.join("\n  "));
}
