//! Plain words for the product's own terms.

use domain::line::PurchaseOutcome;

/// The word on a badge.
pub fn outcome(outcome: PurchaseOutcome) -> &'static str {
    match outcome {
        PurchaseOutcome::Credited => "Credited",
        PurchaseOutcome::Organic => "Organic",
        PurchaseOutcome::Rejected => "Rejected",
        PurchaseOutcome::Waiting => "Waiting",
        PurchaseOutcome::Merged => "Merged",
    }
}

/// Kinds of sale.
pub fn sale_kind(kind: &str) -> String {
    match kind {
        "first" => "First payment".into(),
        "renewal" => "Renewal".into(),
        "update" => "Plan change".into(),
        "one_time" => "One-time".into(),
        "zero" => "Nothing paid".into(),
        other => sentence(other),
    }
}

/// Kinds of ledger line.
pub fn line_kind(kind: &str) -> String {
    match kind {
        "refund_undo" => "Refund undone".into(),
        "dispute_undo" => "Dispute won".into(),
        "move_out" => "Moved away".into(),
        "move_in" => "Moved here".into(),
        "rerate" => "New rate".into(),
        "manual" => "Adjustment".into(),
        "correct" => "Correction".into(),
        other => sentence(other),
    }
}

/// A word of the program as people write it: `attribution_pending` becomes `Attribution
/// pending`. What is already a sentence stays as it is.
pub fn sentence(word: &str) -> String {
    let text = phrase(word);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The same inside a sentence.
pub fn phrase(word: &str) -> String {
    if word.contains(' ') { word.to_owned() } else { word.replace('_', " ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_are_still_readable() {
        assert_eq!(sentence("attribution_pending"), "Attribution pending");
        assert_eq!(sentence("Waiting for Stripe to tell us inv_1"), "Waiting for Stripe to tell us inv_1");
        assert_eq!(sentence(""), "");
        assert_eq!(line_kind("credit_note"), "Credit note");
        assert_eq!(sale_kind("first"), "First payment");
    }
}
