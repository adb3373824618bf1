//! The load test: signed traffic whose outcome is known beforehand.
//!
//! [`draw`] invents what happened at some vendors, [`oracle`] computes from it what everybody
//! is owed, [`stripe`] and [`takebacks`] render it as webhook events, [`plan`] shuffles them as
//! a bad network would, [`sender`] delivers them as a provider does, and [`verify`] compares
//! what the product says in the end. The product is known only from outside.
#![recursion_limit = "256"]

pub mod as_one;
pub mod bare;
pub mod calendar;
pub mod chaos;
pub mod draw;
pub mod figures;
pub mod ids;
pub mod kill;
pub mod kill_points;
pub mod oracle;
pub mod own_folder;
pub mod plan;
pub mod poison;
pub mod reconcile;
pub mod sender;
pub mod stream;
pub mod stripe;
pub mod takebacks;
pub mod throughput;
pub mod vendors;
pub mod verify;
pub mod world;
