//! The real binary as a process of its own, through its public doors: what a stranger would try.

#![expect(clippy::unwrap_used, reason = "a failed call of a test's own helper is a failed test")]

#[path = "it/backup.rs"]
mod backup;
#[path = "it/bad_input.rs"]
mod bad_input;
#[path = "it/decisions.rs"]
mod decisions;
#[path = "it/instance.rs"]
mod instance;
#[path = "it/log_tail.rs"]
mod log_tail;
#[path = "it/lost_warehouse.rs"]
mod lost_warehouse;
#[path = "it/mail_restart.rs"]
mod mail_restart;
#[path = "it/operating.rs"]
mod operating;
#[path = "it/roles.rs"]
mod roles;
#[path = "it/traces.rs"]
mod traces;
