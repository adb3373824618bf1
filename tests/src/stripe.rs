//! Deliveries as they reach the fold: minimised as the edge does, written as a log record, read
//! again, decoded. And Stripe events made by hand.

use crate::scene::{Step, VENDOR};
use domain::decision::{Base, Decision, Duration, MapCode, Rate, RuleScope, SetAffiliate, SetConnection, SetRule};
use domain::fold::Event;
use domain::ids::{AffiliateId, CodeId, ConnectionId, Mode, Provider, Timestamp};
use domain::story::Scope;
use ingest::minimise::{MINIMISER_REVISION, Minimiser};
use schemas::decode::{decode_answer, decode_delivery, seen_of};
use schemas::record::{Delivery, LookupResult, Payload, Record, Source};
use serde_json::{Value, json, value::to_raw_value};
use std::sync::LazyLock;

static MINIMISER: LazyLock<Minimiser> = LazyLock::new(Minimiser::new);

/// When the hand-made sales happen, in seconds.
pub const NOON: i64 = 1_770_000_000;
/// The affiliate whose code `MAYA20` is.
pub const MAYA: AffiliateId = AffiliateId(1);
/// Another one.
pub const LEO: AffiliateId = AffiliateId(2);

/// How a body reads.
#[derive(Debug, Clone)]
pub enum Reading {
    /// Something for the fold.
    Step(Step),
    /// Not for us.
    Ignored(&'static str),
    /// It is refused by the decoder, with a reason.
    Refused(String),
    /// It is refused at the edge already.
    NotAnEvent(String),
}

/// The scope of a provider's events: one connection each.
pub fn scope_of(provider: Provider, mode: Mode) -> Scope {
    let connection = match provider {
        Provider::Stripe => 1,
        Provider::Paddle => 2,
        Provider::LemonSqueezy => 3,
    };
    Scope { vendor: VENDOR, connection: ConnectionId(connection), mode }
}

/// The log record of a Stripe webhook request.
pub fn delivery_record(body: &[u8]) -> Vec<u8> {
    record_of(Provider::Stripe, Mode::Live, body).unwrap().encode()
}

/// The log record of a webhook request, as [`VENDOR`]'s; or why the edge refuses it.
pub fn record_of(provider: Provider, mode: Mode, body: &[u8]) -> Result<Record, String> {
    let minimised = MINIMISER.minimise(provider, body, &[7; 32]).map_err(|error| error.to_string())?;
    let scope = scope_of(provider, minimised.mode.unwrap_or(mode));
    Ok(Record {
        vendor: VENDOR,
        connection: scope.connection,
        at: minimised.created,
        writer: "test".to_owned(),
        seq: None,
        trace: None,
        payload: Payload::Delivery(Delivery {
            provider,
            source: Source::Webhook,
            account: minimised.account,
            mode: scope.mode,
            event_id: minimised.event_id,
            event_type: minimised.event_type,
            created: minimised.created,
            body_sha256: minimised.body_sha256,
            minimiser: MINIMISER_REVISION,
            event: minimised.json,
        }),
    })
}

/// Takes the bytes of a webhook request the whole way to the fold's door.
pub fn read_body(provider: Provider, mode: Mode, body: &[u8]) -> Reading {
    let record = match record_of(provider, mode, body) {
        Ok(record) => Record::decode(&record.encode()).unwrap(),
        Err(error) => return Reading::NotAnEvent(error),
    };
    let Payload::Delivery(delivery) = record.payload else { unreachable!("a delivery was written") };
    match decode_delivery(&delivery) {
        Err(error) => Reading::Refused(error.to_string()),
        Ok(decoded) => match decoded.ignored {
            Some(reason) => Reading::Ignored(reason),
            None => Reading::Step(Step::Event(Event {
                scope: scope_of(provider, delivery.mode),
                provider,
                seen: seen_of(&delivery),
                facts: decoded.facts,
                sightings: decoded.sightings,
            })),
        },
    }
}

/// What the provider answered to a question; none = it refused.
pub fn answer(provider: Provider, mode: Mode, request: &str, asked_at: i64, body: Option<&Value>) -> Step {
    let result = LookupResult {
        mode,
        provider,
        request: request.to_owned(),
        asked_at: Timestamp(asked_at),
        answer: body.map(|body| to_raw_value(body).unwrap()),
        refused: body.is_none().then(|| "the key lacks a permission".to_owned()),
    };
    let decoded = decode_answer(&result);
    let seen = domain::fact::Seen { at: result.asked_at, event: result.request };
    let event =
        Event { scope: scope_of(provider, mode), provider, seen, facts: decoded.facts, sightings: decoded.sightings };
    Step::Answer(event, decoded.answer)
}

/// A Stripe event of an API version.
pub fn event_of(version: &str, id: &str, event_type: &str, created: i64, object: Value) -> Step {
    let body = json!({
        "id": id, "object": "event", "api_version": version, "created": created, "livemode": true, "type": event_type,
        "data": {"object": object}, "pending_webhooks": 1, "request": {"id": null, "idempotency_key": null}
    });
    match read_body(Provider::Stripe, Mode::Live, body.to_string().as_bytes()) {
        Reading::Step(step) => step,
        other => panic!("{event_type} {id} is not for the fold: {other:?}"),
    }
}

/// A Stripe event of the last version that shows payment intent and charge on the invoice.
pub fn event(id: &str, event_type: &str, created: i64, object: Value) -> Step {
    event_of("2024-06-20", id, event_type, created, object)
}

/// What an invoice is about.
#[derive(Debug, Clone)]
pub struct Invoice<'a> {
    /// Ends of `in_`, `pi_`, `ch_`.
    pub name: &'a str,
    /// Provider's subscription id.
    pub subscription: Option<&'a str>,
    /// `billing_reason`.
    pub reason: &'a str,
    /// Promotion codes on it, with their coupons.
    pub codes: &'a [(&'a str, &'a str)],
    /// Lower case.
    pub currency: &'a str,
    /// Total.
    pub gross: i64,
    /// Part of the total.
    pub tax: i64,
    /// Of the total.
    pub paid: i64,
    /// Seconds.
    pub paid_at: i64,
}

impl Default for Invoice<'_> {
    fn default() -> Self {
        let codes = &[("promo_maya", "COUPON_MAYA")];
        Invoice {
            name: "1",
            subscription: None,
            reason: "manual",
            codes,
            currency: "usd",
            gross: 11_900,
            tax: 1_900,
            paid: 11_900,
            paid_at: NOON,
        }
    }
}

impl Invoice<'_> {
    /// The invoice object.
    pub fn object(&self) -> Value {
        let discounts: Vec<Value> = self
            .codes
            .iter()
            .map(|(code, coupon)| {
                json!({"id": format!("di_{code}"), "object": "discount", "coupon": {"id": coupon, "object": "coupon"}, "promotion_code": code,
                       "start": self.paid_at - 10, "subscription": self.subscription})
            })
            .collect();
        json!({
            "id": format!("in_{}", self.name), "object": "invoice", "amount_due": self.paid, "amount_paid": self.paid, "billing_reason": self.reason,
            "charge": (self.paid > 0).then(|| format!("ch_{}", self.name)), "payment_intent": (self.paid > 0).then(|| format!("pi_{}", self.name)),
            "created": self.paid_at - 5, "currency": self.currency, "customer": "cus_1", "discounts": discounts, "livemode": true, "metadata": {},
            "status": "paid", "status_transitions": {"paid_at": self.paid_at, "voided_at": null}, "subscription": self.subscription,
            "subtotal": self.gross - self.tax, "tax": self.tax, "total": self.gross, "total_discount_amounts": []
        })
    }

    /// `invoice.paid`.
    pub fn paid(&self) -> Step {
        event(&format!("evt_paid_{}", self.name), "invoice.paid", self.paid_at, self.object())
    }

    /// `invoice.voided`.
    pub fn voided(&self, voided_at: i64) -> Step {
        let mut object = self.object();
        object["status"] = json!("void");
        object["status_transitions"]["voided_at"] = json!(voided_at);
        event(&format!("evt_void_{}", self.name), "invoice.voided", voided_at, object)
    }

    /// A refund event: `refund.created`, `refund.updated`, `refund.failed`.
    pub fn refund(&self, event_type: &str, refund: &str, amount: i64, created: i64, status: &str) -> Step {
        let object = json!({
            "id": format!("re_{refund}"), "object": "refund", "amount": amount, "charge": format!("ch_{}", self.name), "created": created,
            "currency": self.currency, "metadata": {}, "payment_intent": format!("pi_{}", self.name), "status": status
        });
        let at = if status == "failed" { created + 100 } else { created };
        event(&format!("evt_re_{refund}_{status}"), event_type, at, object)
    }

    /// `charge.refunded` with so much refunded until then.
    pub fn snapshot(&self, refunded: i64, at: i64) -> Step {
        event(&format!("evt_snap_{}_{refunded}", self.name), "charge.refunded", at, self.charge(refunded))
    }

    /// The same as newer API versions send it: the charge does not name its invoice.
    pub fn snapshot_without_invoice(&self, refunded: i64, at: i64) -> Step {
        let mut charge = self.charge(refunded);
        charge["invoice"] = Value::Null;
        event_of("2025-08-27.basil", &format!("evt_snap_{}_{refunded}", self.name), "charge.refunded", at, charge)
    }

    fn charge(&self, refunded: i64) -> Value {
        json!({
            "id": format!("ch_{}", self.name), "object": "charge", "amount": self.paid, "amount_captured": self.paid, "amount_refunded": refunded,
            "created": self.paid_at - 1, "currency": self.currency, "invoice": format!("in_{}", self.name), "livemode": true, "metadata": {},
            "payment_intent": format!("pi_{}", self.name), "refunded": refunded == self.paid, "status": "succeeded"
        })
    }

    /// A dispute event.
    pub fn dispute(&self, event_type: &str, amount: i64, created: i64, status: &str, transactions: &[i64]) -> Step {
        let moved: Vec<Value> = transactions
            .iter()
            .map(|amount| json!({"object": "balance_transaction", "amount": amount, "currency": self.currency}))
            .collect();
        let object = json!({
            "id": format!("dp_{}", self.name), "object": "dispute", "amount": amount, "balance_transactions": moved, "charge": format!("ch_{}", self.name),
            "created": created, "currency": self.currency, "livemode": true, "metadata": {}, "payment_intent": format!("pi_{}", self.name), "status": status
        });
        event(
            &format!("evt_dp_{}_{status}_{}", self.name, transactions.len()),
            event_type,
            created + transactions.len() as i64,
            object,
        )
    }
}

/// The Stripe connection is opened with its whole history.
pub fn connected() -> Decision {
    Decision::SetConnection(SetConnection {
        connection: ConnectionId(1),
        provider: Provider::Stripe,
        account: None,
        history_from: None,
        can_look_up: true,
        closed_at: None,
    })
}

/// An affiliate.
pub fn affiliate(id: AffiliateId) -> Decision {
    let key = format!("aff_{id}");
    Decision::SetAffiliate(SetAffiliate { affiliate: id, name: key.clone(), key, suspended_at: None })
}

/// A promotion code belongs to somebody from a time on (seconds).
pub fn map(code: u64, promotion_code: &str, owner: Option<AffiliateId>, valid_from: Option<i64>) -> Decision {
    Decision::MapCode(MapCode {
        code_id: CodeId(code),
        provider: None,
        code: None,
        promotion_code_id: Some(promotion_code.to_owned()),
        coupon_id: None,
        referral_key: None,
        affiliate: owner,
        valid_from: valid_from.map(Timestamp::from_seconds),
        valid_to: None,
    })
}

/// A rule from a time on (seconds).
pub fn rule(rev: u32, scope: RuleScope, rate: Option<Rate>, effective_from: i64, duration: Duration) -> Decision {
    Decision::SetRule(SetRule {
        rev,
        scope,
        effective_from: Timestamp::from_seconds(effective_from),
        rate,
        duration,
        base: Base::Net,
    })
}

/// Decisions with the vendor's own count.
pub fn numbered(decisions: impl IntoIterator<Item = Decision>) -> Vec<Step> {
    (1..).zip(decisions).map(|(seq, decision)| Step::Decide(seq, decision)).collect()
}
