//! The ports and their backends; the only crate that executes SQL or names a driver.
pub mod backup;
pub mod control;
pub mod crash;
pub mod event_log;
pub mod fold_store;
pub mod kafka;
pub mod live;
pub mod local_log;
pub mod mail;
pub mod postgres;
pub mod scope;
pub mod secrets;
pub mod sqlite;
pub mod tls;
pub mod warehouse;

#[cfg(test)]
mod event_log_conformance;
