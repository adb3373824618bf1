//! Reads the log, decodes, folds, commits, projects, announces; asks providers what an event
//! did not say.
//!
//! The path of a record: [`worker`] reads a batch, [`batch`] decodes and folds it over
//! [`state`], one transaction commits it with the position; [`sink`] carries the lines into the
//! warehouse and announces them. [`relay`] brings people's decisions into the log, [`lookups`]
//! the providers' answers, [`deadlines`] what waited too long, [`stripe`] what was at the provider before. [`spikes`] watches the uses of codes. [`verify`] asks the warehouse whether
//! what was sent is still there. [`trace_book`] follows single records through all of it, where that is switched on.
pub mod audit;
pub mod batch;
pub mod continuity;
pub mod deadlines;
mod generations;
pub mod lookups;
mod refold;
pub mod relay;
pub mod sink;
pub mod spikes;
pub mod state;
pub mod stripe;
pub mod trace_book;
pub mod verify;
pub mod worker;

/// The partitions that are this process's, now and after every change. Several processes share them; which one may
/// write is decided by the fold store, so a set that is out of date costs work and nothing else.
pub type Owned = tokio::sync::watch::Receiver<std::collections::BTreeSet<u16>>;

/// Every partition, for ever: for a process on its own.
pub fn owns_everything() -> Owned {
    tokio::sync::watch::channel(store::event_log::all_partitions()).1
}
