//! Stripe with a restricted key: what the key may do, our webhook endpoint there, and reading what was before.
//!
//! Nothing here writes money. Codes come into the log as answers, events as deliveries with source `backfill`; the fold
//! treats both like all others.

pub mod interface;
mod lists;
pub mod permissions;
pub mod reading;
#[cfg(test)]
mod tests;
pub mod webhook;
