//! Behind the `affilitrack` binary: command line, configuration, and the wiring of all parts.
//!
//! [`program`] parses [`cli::Cli`] and loads [`config::Config`]. [`run`] starts every role in one
//! process out of what [`app`] builds; [`parts`] are its tasks. The other commands talk to the
//! running process through the local [`socket`].

pub mod agreement;
pub mod answers;
pub mod app;
pub mod backup;
pub mod base;
mod broken_mail;
pub mod check_config;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod data_folder;
pub mod demo;
pub mod directory_loader;
pub mod doctor;
mod door;
pub mod embedded_engine;
pub mod engine_library;
pub mod failure_keeper;
pub mod folding;
mod in_log;
mod intake;
pub mod ledger_stores;
mod live_watch;
pub mod log_repair;
mod mail;
mod mail_commands;
pub mod migrate;
mod moving;
pub mod openid;
mod outside;
pub mod pages;
pub mod parts;
pub mod program;
pub mod reading;
pub mod run;
pub mod socket;
pub mod socket_client;
mod spike_mail;
mod summary_mail;
mod traces;
pub mod warehouse_role;
