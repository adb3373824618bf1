//! Renders a story as the events that Stripe sends for it, in the shape of API version
//! 2025-08-27.basil: ids of discounts only, no payment intent on the invoice, personal data
//! in the usual places.

use crate::draw::chance;
use crate::ids::Ids;
use crate::world::{Code, Sale, SaleKind, Story, World};
use bytes::Bytes;
use corpus::shuffle::SplitMix;
use serde_json::{Value, json};

/// The API version that the events name.
pub const API_VERSION: &str = "2025-08-27.basil";

/// One webhook event.
#[derive(Debug, Clone)]
pub struct Event {
    /// The provider's event id.
    pub id: String,
    /// The provider's type.
    pub event_type: String,
    /// When it happened.
    pub created: i64,
    /// The exact bytes.
    pub body: Bytes,
    /// What is wrong with it, for an event made to be refused.
    pub poison: Option<&'static str>,
}

/// Renders events of one vendor.
#[derive(Debug)]
pub struct Renderer {
    ids: Ids,
    random: SplitMix,
}

/// Ids of the objects of one sale.
#[derive(Debug, Clone)]
pub struct SaleIds {
    /// Invoice; none for a single purchase.
    pub invoice: Option<String>,
    /// Payment intent; none if nothing was paid.
    pub payment_intent: Option<String>,
    /// Charge; none if nothing was paid.
    pub charge: Option<String>,
}

/// Ids of the objects of one story.
#[derive(Debug, Clone)]
struct StoryIds {
    customer: String,
    subscription: Option<String>,
    session: String,
    discounts: Vec<String>,
}

impl Renderer {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Renderer {
        Renderer { ids: Ids::new(seed), random: SplitMix::new(seed ^ 0x5a5a) }
    }

    /// The catalogue events of codes that are mapped by their text.
    pub fn catalogue(&mut self, world: &World) -> Vec<Event> {
        let mut events = Vec::new();
        for code in world.codes.iter().filter(|code| code.promotion_code_id.is_some()) {
            let created = crate::draw::first_day();
            let object = json!({
                "id": code.promotion_code_id, "object": "promotion_code", "active": true, "code": code.text,
                "coupon": coupon(code), "created": created, "customer": null, "expires_at": null, "livemode": true,
                "max_redemptions": null, "metadata": {}, "times_redeemed": 0
            });
            events.push(self.event("promotion_code.created", created, object));
        }
        events
    }

    /// Every event of a story, with the ids of each sale.
    pub fn story(&mut self, world: &World, story: &Story) -> (Vec<Event>, Vec<SaleIds>) {
        let started = story.started_at;
        let ids = StoryIds {
            customer: format!("cus_{}", self.ids.letters(14)),
            subscription: story.is_subscription.then(|| self.ids.make("sub", started)),
            session: self.ids.session(),
            discounts: story.discounts.iter().map(|_| self.ids.make("di", started)).collect(),
        };
        let mut events = Vec::new();
        if chance(&mut self.random, 40) {
            events.push(self.customer(&ids, started));
        }
        if story.is_subscription {
            for (position, code) in story.discounts.iter().enumerate() {
                events.push(self.discount(&ids, position, &world.codes[*code], started));
            }
            if chance(&mut self.random, 60) {
                events.push(self.subscription(&ids, started));
            }
        }
        let by_metadata = chance(&mut self.random, 50);
        let mut sales = Vec::new();
        for sale in &story.sales {
            let made = self.sale_ids(story, sale);
            match story.is_subscription {
                true => self.invoice_sale(&mut events, world, story, &ids, sale, &made, by_metadata),
                false => self.session_sale(&mut events, world, story, &ids, sale, &made, by_metadata),
            }
            crate::takebacks::render(self, &mut events, story, sale, &made);
            sales.push(made);
        }
        (events, sales)
    }

    /// Wraps an object as an event.
    pub fn event(&mut self, event_type: &str, created: i64, object: Value) -> Event {
        let id = self.ids.make("evt", created);
        let envelope = json!({
            "id": id, "object": "event", "api_version": API_VERSION, "created": created, "data": {"object": object},
            "livemode": true, "pending_webhooks": 1, "request": {"id": null, "idempotency_key": null}, "type": event_type
        });
        let body = Bytes::from(envelope.to_string());
        Event { id, event_type: event_type.to_owned(), created, body, poison: None }
    }

    /// A new id.
    pub fn id(&mut self, prefix: &str, created: i64) -> String {
        self.ids.make(prefix, created)
    }

    /// Draws with a probability in percent.
    pub fn chance(&mut self, percent: u64) -> bool {
        chance(&mut self.random, percent)
    }

    fn sale_ids(&mut self, story: &Story, sale: &Sale) -> SaleIds {
        let at = sale.paid_at;
        SaleIds {
            invoice: story.is_subscription.then(|| self.ids.make("in", at)),
            payment_intent: (sale.paid > 0).then(|| self.ids.make("pi", at)),
            charge: (sale.paid > 0).then(|| self.ids.make("ch", at)),
        }
    }

    fn customer(&mut self, ids: &StoryIds, at: i64) -> Event {
        let object = json!({
            "id": ids.customer, "object": "customer", "address": null, "balance": 0, "created": at,
            "email": "buyer@example.com", "name": "Test Buyer", "phone": "+1 555 0100", "livemode": true, "metadata": {}
        });
        self.event("customer.created", at, object)
    }

    fn discount(&mut self, ids: &StoryIds, position: usize, code: &Code, at: i64) -> Event {
        let object = json!({
            "id": ids.discounts[position], "object": "discount", "checkout_session": null, "coupon": coupon(code),
            "customer": ids.customer, "end": null, "invoice": null, "invoice_item": null,
            "promotion_code": code.promotion_code_id, "start": at, "subscription": ids.subscription, "subscription_item": null
        });
        self.event("customer.discount.created", at, object)
    }

    fn subscription(&mut self, ids: &StoryIds, at: i64) -> Event {
        let object = json!({
            "id": ids.subscription, "object": "subscription", "billing_cycle_anchor": at, "cancel_at_period_end": false,
            "canceled_at": null, "collection_method": "charge_automatically", "created": at, "customer": ids.customer,
            "discounts": ids.discounts, "ended_at": null, "livemode": true, "metadata": {}, "start_date": at,
            "status": "active", "trial_end": null
        });
        self.event("customer.subscription.created", at, object)
    }

    #[expect(clippy::too_many_arguments, reason = "what one invoice is made of")]
    fn invoice_sale(
        &mut self,
        events: &mut Vec<Event>,
        world: &World,
        story: &Story,
        ids: &StoryIds,
        sale: &Sale,
        made: &SaleIds,
        by_metadata: bool,
    ) {
        let at = sale.paid_at;
        let link = story.link.map(|link| world.links[link].as_str());
        let invoice = self.invoice(story, ids, sale, made, link.filter(|_| by_metadata));
        events.push(self.event("invoice.paid", at, invoice.clone()));
        if chance(&mut self.random, 40) {
            events.push(self.event("invoice.payment_succeeded", at, invoice));
        }
        if sale.paid > 0 {
            events.push(self.invoice_payment(story, sale, made));
            self.payment_noise(events, story, ids, sale, made);
        }
        // The session is how a link referral without metadata is known; otherwise it may be missing.
        let first = sale.kind == SaleKind::First;
        if first && (link.is_some() && !by_metadata || chance(&mut self.random, 60)) {
            let session = self.session(world, story, ids, sale, made, link.filter(|_| !by_metadata));
            events.push(self.event("checkout.session.completed", at + 2, session));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what one purchase is made of")]
    fn session_sale(
        &mut self,
        events: &mut Vec<Event>,
        world: &World,
        story: &Story,
        ids: &StoryIds,
        sale: &Sale,
        made: &SaleIds,
        by_metadata: bool,
    ) {
        let link = story.link.map(|link| world.links[link].as_str());
        let mut session = self.session(world, story, ids, sale, made, link.filter(|_| !by_metadata));
        if let Some(link) = link.filter(|_| by_metadata) {
            session["metadata"] = json!({"affiliate_ref": link});
        }
        if sale.paid > 0 && chance(&mut self.random, 12) {
            let mut unpaid = session.clone();
            unpaid["payment_status"] = json!("unpaid");
            events.push(self.event("checkout.session.completed", sale.paid_at - 50, unpaid));
            events.push(self.event("checkout.session.async_payment_succeeded", sale.paid_at, session));
        } else {
            events.push(self.event("checkout.session.completed", sale.paid_at, session));
        }
        if sale.paid > 0 {
            self.payment_noise(events, story, ids, sale, made);
        }
    }

    fn invoice(&mut self, story: &Story, ids: &StoryIds, sale: &Sale, made: &SaleIds, link: Option<&str>) -> Value {
        let at = sale.paid_at;
        let shown = if sale.carries_discounts { &ids.discounts[..] } else { &[] };
        // A trial's zero invoice names the discount and takes nothing off.
        let amounts = if sale.discount > 0 { split(sale.discount, shown) } else { Vec::new() };
        let untaxed = sale.gross - sale.tax;
        let reason = match sale.kind {
            SaleKind::First | SaleKind::OneTime => "subscription_create",
            SaleKind::Renewal => "subscription_cycle",
            SaleKind::Update => "subscription_update",
        };
        let taxes: Vec<Value> = (sale.tax > 0)
            .then(|| json!({"amount": sale.tax, "tax_behavior": "exclusive", "taxability_reason": "standard_rated", "taxable_amount": untaxed, "type": "tax_rate_details"}))
            .into_iter()
            .collect();
        let metadata = link.map_or_else(|| json!({"workspace": "w_90"}), |link| json!({"affiliate_ref": link}));
        json!({
            "id": made.invoice, "object": "invoice", "account_country": "US", "account_name": "Acme AI",
            "amount_due": sale.paid, "amount_overpaid": 0, "amount_paid": sale.paid, "amount_remaining": 0,
            "amount_shipping": sale.shipping, "attempt_count": 1, "attempted": true, "billing_reason": reason,
            "collection_method": "charge_automatically", "created": at - 3, "currency": story.currency,
            "customer": ids.customer, "customer_address": {"city": "Berlin", "country": "DE", "line1": "Teststr. 1"},
            "customer_email": "buyer@example.com", "customer_name": "Test Buyer", "customer_phone": null,
            "discounts": shown, "effective_at": at - 3, "livemode": true, "metadata": {}, "number": "E5DEEFA5-0001",
            "lines": {"object": "list", "has_more": false, "data": [{
                "id": self.ids.make("il", at), "object": "line_item", "amount": sale.subtotal, "currency": story.currency,
                "description": "Writer Pro", "quantity": 1,
                "pricing": {"price_details": {"price": "price_1Ikty53vEqJzMu0OvGQ81hcX", "product": "prod_mylrPyU6GNyj9E"}, "type": "price_details"}
            }]},
            "parent": {"quote_details": null, "type": "subscription_details", "subscription_details": {"metadata": metadata, "subscription": ids.subscription}},
            "receipt_number": null, "starting_balance": sale.paid - sale.gross, "status": "paid",
            "status_transitions": {"finalized_at": at - 3, "marked_uncollectible_at": null, "paid_at": at, "voided_at": null},
            "subtotal": sale.subtotal, "total": sale.gross, "total_discount_amounts": amounts,
            "total_excluding_tax": untaxed, "total_taxes": taxes
        })
    }

    fn session(
        &mut self,
        world: &World,
        story: &Story,
        ids: &StoryIds,
        sale: &Sale,
        made: &SaleIds,
        link: Option<&str>,
    ) -> Value {
        let carried = if sale.carries_discounts { &story.discounts[..] } else { &[] };
        let discounts: Vec<Value> = carried
            .iter()
            .map(|code| {
                let code = &world.codes[*code];
                let named = code.promotion_code_id.is_none() || chance(&mut self.random, 30);
                json!({"coupon": named.then_some(&code.coupon_id), "promotion_code": code.promotion_code_id})
            })
            .collect();
        let intent = made.payment_intent.as_ref().filter(|_| !story.is_subscription);
        json!({
            "id": ids.session, "object": "checkout.session", "allow_promotion_codes": true,
            "amount_subtotal": sale.subtotal, "amount_total": sale.gross, "cancel_url": "https://acme.example.test/pricing",
            "client_reference_id": link.map(|link| format!("ref_{link}")), "created": story.started_at,
            "currency": story.currency, "customer": ids.customer,
            "customer_details": {"email": "buyer@example.com", "name": "Test Buyer", "phone": null, "address": {"city": "Berlin", "country": "DE"}},
            "customer_email": null, "discounts": discounts, "invoice": made.invoice,
            "invoice_creation": if story.is_subscription { Value::Null } else { json!({"enabled": false}) },
            "livemode": true, "metadata": {}, "mode": if story.is_subscription { "subscription" } else { "payment" },
            "payment_intent": intent, "payment_method_types": ["card"],
            "payment_status": if sale.paid > 0 { "paid" } else { "no_payment_required" }, "status": "complete",
            "subscription": ids.subscription, "success_url": "https://acme.example.test/thanks",
            "total_details": {"amount_discount": sale.discount, "amount_shipping": sale.shipping, "amount_tax": sale.tax},
            "ui_mode": "hosted"
        })
    }

    fn invoice_payment(&mut self, story: &Story, sale: &Sale, made: &SaleIds) -> Event {
        let at = sale.paid_at;
        let object = json!({
            "id": self.ids.make("inpay", at), "object": "invoice_payment", "amount_paid": sale.paid,
            "amount_requested": sale.paid, "created": at - 3, "currency": story.currency, "invoice": made.invoice,
            "is_default": true, "livemode": true, "payment": {"payment_intent": made.payment_intent, "type": "payment_intent"},
            "status": "paid", "status_transitions": {"canceled_at": null, "paid_at": at}
        });
        self.event("invoice_payment.paid", at, object)
    }

    /// Events that repeat the money of the sale and must not be counted.
    fn payment_noise(&mut self, events: &mut Vec<Event>, story: &Story, ids: &StoryIds, sale: &Sale, made: &SaleIds) {
        let at = sale.paid_at - 1;
        if chance(&mut self.random, 70) {
            let charge = charge(story, sale, made, &ids.customer, 0);
            events.push(self.event("charge.succeeded", at, charge));
        }
        if chance(&mut self.random, 40) {
            let object = json!({
                "id": made.payment_intent, "object": "payment_intent", "amount": sale.paid, "amount_received": sale.paid,
                "created": at, "currency": story.currency, "customer": ids.customer, "latest_charge": made.charge,
                "livemode": true, "metadata": {}, "receipt_email": "buyer@example.com", "status": "succeeded"
            });
            events.push(self.event("payment_intent.succeeded", at, object));
        }
    }
}

/// A charge as it looks when so much of it was refunded.
pub fn charge(story: &Story, sale: &Sale, made: &SaleIds, customer: &str, refunded: i64) -> Value {
    json!({
        "id": made.charge, "object": "charge", "amount": sale.paid, "amount_captured": sale.paid,
        "amount_refunded": refunded, "billing_details": {"email": "buyer@example.com", "name": "Test Buyer", "address": {"postal_code": "10115"}},
        "captured": true, "created": sale.paid_at - 1, "currency": story.currency, "customer": customer, "disputed": false,
        "livemode": true, "metadata": {}, "paid": true, "payment_intent": made.payment_intent,
        "payment_method_details": {"type": "card", "card": {"brand": "visa", "country": "DE", "fingerprint": "KwrQy3kEUVfm14b8", "last4": "4242"}},
        "receipt_email": null, "refunded": refunded == sale.paid, "status": "succeeded"
    })
}

fn coupon(code: &Code) -> Value {
    let duration = if code.every_payment { "forever" } else { "once" };
    json!({
        "id": code.coupon_id, "object": "coupon", "amount_off": null, "created": crate::draw::first_day(), "currency": null,
        "duration": duration, "duration_in_months": null, "livemode": true, "max_redemptions": null, "metadata": {},
        "name": code.text, "percent_off": 20, "redeem_by": null, "times_redeemed": 0, "valid": true
    })
}

/// The discount amount over the shown discounts: the first takes the larger part.
fn split(amount: i64, shown: &[String]) -> Vec<Value> {
    let others = shown.len().saturating_sub(1) as i64;
    let small = if others == 0 { 0 } else { amount / 4 / others };
    let part = |n: usize| if n == 0 { amount - small * others } else { small };
    shown.iter().enumerate().map(|(n, id)| json!({"amount": part(n), "discount": id})).collect()
}
