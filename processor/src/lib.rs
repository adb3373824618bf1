//! Reads the log, decodes, folds, commits, projects, announces; asks providers what an event
//! did not say.
pub mod batch;
pub mod state;
