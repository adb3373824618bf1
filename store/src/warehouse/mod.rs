//! The warehouse: ledger lines and purchases as the pages read them.
//!
//! Spoken to only through the official ClickHouse client over HTTP, whether a ClickHouse
//! server answers or the embedded engine. It is a projection: inserts may arrive twice, reads
//! go through `FINAL`, and no figure depends on an insert having been recognised as a copy.
//!
//! Path of a read: a query struct ([`queries`]) renders text and binds out of a
//! [`ScopeFilter`], the client runs it, and every row proves whose it is before it is returned.

mod client;
mod error;
mod insert;
mod migrate;
pub mod queries;
mod rows;
mod scope_filter;
mod sql;

#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod test_engine;
#[cfg(test)]
mod text_tests;
#[cfg(test)]
mod tls_tests;

pub use client::{Warehouse, WarehouseConfig};
pub use error::WarehouseError;
pub use insert::{InsertBatch, LineSink};
pub use queries::ScopedQuery;
pub use rows::{EARLIEST_TIME, LATEST_TIME, TenantRow};
pub use scope_filter::{ScopeFilter, TimeRange, Watermark};
pub use sql::{Sql, Value};
