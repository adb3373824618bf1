//! Tests that belong to no single crate. `tidy.rs` judges the text of the repository itself.
