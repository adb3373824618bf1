//! The path of a record, simulated: the product's own fold worker, sink, relay and deadline timer,
//! one step at a time in an order drawn from a seed, over a log, a fold store, a warehouse and a
//! control store that fail as drawn from the same seed. No threads race, no clock is read; a seed
//! gives the same run every time.
//!
//! [`load`] draws what happens at some vendors, [`world`] lets it happen, [`verdict`] compares what
//! came of it with the oracle and with the same log folded undisturbed. [`broken`] names rules that
//! a test breaks on purpose, to see that the simulation would notice.

pub mod broken;
pub mod dice;
pub mod load;
pub mod processes;
pub mod reference;
pub mod run;
pub mod sim_control;
pub mod sim_log;
pub mod sim_store;
pub mod sim_warehouse;
pub mod verdict;
pub mod world;
