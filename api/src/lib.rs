//! The operations of the product (services) and the JSON API over them.
pub mod alerts;
pub mod budget;
pub mod export;
pub mod json;
pub mod ledger;
pub mod mail;
pub mod model;
pub mod people;
pub mod services;
pub mod summary;
pub mod words;
