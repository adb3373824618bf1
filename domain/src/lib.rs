//! Pure words and rules: ids, money, facts, the fold, attribution, commission.
//!
//! Nothing here reads a clock, draws a random number, waits or does I/O. The same
//! facts and decisions give the same ledger, in whatever order they came.
pub mod catalogue;
pub mod decision;
pub mod decisions;
pub mod fact;
pub mod fold;
pub mod ids;
pub mod line;
pub mod money;
pub mod spikes;
pub mod story;
pub mod target;
