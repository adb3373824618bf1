//! Tests that belong to no single crate, and what they share: a ledger folded in memory whose
//! every step is checked, and histories to fold.
//!
//! `tidy.rs` judges the text of the repository itself, `fold_properties.rs` and
//! `fold_permutations.rs` the algebra of the fold, `oracle.rs` its figures.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub mod books;
pub mod drawn;
pub mod recorded;
pub mod scene;
pub mod stripe;
