//! Watches the uses of codes while records are folded, and raises alerts about those that are far too many.
//!
//! The fold says what was redeemed (`domain::fold::Redeemed`); [`watch`] hands it to the detector (`domain::spikes`) in
//! the order of the log and puts what the detector knows afterwards into the same commit as the lines. The detector
//! changes no line, outcome or position. [`vendor`] holds what its codes share. [`timer`] asks about codes that nobody
//! redeems any more.
//!
//! Everything is a function of the records and their order, wherever they are cut into batches: the vendor's campaigns
//! and zone are those in force at the record, and what is computed anew from time to time is computed at a redemption
//! that the records determine. Only live mode is watched.
mod timer;
mod vendor;
mod watch;

pub use timer::{EVERY, SpikeTimer};
pub use watch::SpikeWatch;
