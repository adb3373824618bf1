//! Pure words and rules: ids, money, facts, the fold, attribution, commission.
//!
//! Nothing here reads a clock, draws a random number, waits or does I/O. The same
//! facts and decisions give the same ledger, in whatever order they came.
pub mod decision;
pub mod ids;
pub mod line;
pub mod money;
