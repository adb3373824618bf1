//! The ports and their backends; the only crate that executes SQL or names a driver.
pub mod event_log;
pub mod scope;
