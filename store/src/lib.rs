//! The ports and their backends; the only crate that executes SQL or names a driver.
pub mod event_log;
pub mod fold_store;
pub mod live;
pub mod scope;
pub mod warehouse;
pub mod control;
pub mod local_log;
pub mod secrets;
pub mod sqlite;

#[cfg(test)]
mod event_log_conformance;
