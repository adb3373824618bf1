//! Reads the log, decodes, folds, commits, projects, announces; asks providers what an event
//! did not say.
//!
//! The path of a record: [`worker`] reads a batch, [`batch`] decodes and folds it over
//! [`state`], one transaction commits it with the position; [`sink`] carries the lines into the
//! warehouse and announces them. [`relay`] brings people's decisions into the log, [`lookups`]
//! the providers' answers, [`deadlines`] what waited too long.
pub mod audit;
pub mod batch;
pub mod deadlines;
mod generations;
pub mod lookups;
pub mod relay;
pub mod sink;
pub mod state;
pub mod worker;
