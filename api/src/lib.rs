//! The operations of the product (services) and the JSON API over them.
pub mod model;
