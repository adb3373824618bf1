//! What the running process says about itself: logs, metrics, lifecycle.
//!
//! * [`logs`] sets up structured logging once, at the start of the binary.
//! * [`metrics`] names every metric the product has, in one enum with bounded labels, and
//!   renders them for `/metrics`.
//! * [`traces`] follows single deliveries through all processes, for an OpenTelemetry back end.
//! * [`lifecycle`] starts and stops the parts of the process in order, and notices when one dies.
//!
//! [`event!`] writes a log line and moves its counter together, so that a number on a dashboard
//! can always be found again in the log.
//!
//! Never logged, at any level: secrets, keys, tokens, signatures, raw request bodies, e-mail
//! addresses, names.
pub mod lifecycle;
pub mod logs;
pub mod metrics;
pub mod traces;

/// Used by [`event!`]; callers need no `tracing` of their own for it.
#[doc(hidden)]
pub use tracing;
