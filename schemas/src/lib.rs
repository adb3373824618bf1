//! What is stored or sent: log records, provider payload views, warehouse rows, SQL.
pub mod decode;
pub mod provider;
pub mod record;
pub mod warehouse;
