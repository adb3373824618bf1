//! What is stored or sent: log records, provider payload views, warehouse rows, SQL.
pub mod record;
