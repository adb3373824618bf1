//! The payment rules, one test each: what an event of a provider must come to in the ledger.
//! Every case is folded in many orders and repeatedly, and must always end alike.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "rules/attribution.rs"]
mod attribution;
#[path = "rules/kit.rs"]
mod kit;
#[path = "rules/lemon_squeezy.rs"]
mod lemon_squeezy;
#[path = "rules/objects.rs"]
mod objects;
#[path = "rules/paddle.rs"]
mod paddle;
#[path = "rules/recorded.rs"]
mod recorded;
#[path = "rules/sales.rs"]
mod sales;
#[path = "rules/shapes.rs"]
mod shapes;
#[path = "rules/takebacks.rs"]
mod takebacks;
