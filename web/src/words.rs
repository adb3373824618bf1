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

/// What a delivery did: `no effect nothing to count` becomes `No effect: nothing to count`.
pub fn delivery_outcome(text: &str) -> String {
    let outcomes = ["no effect", "ignored", "waiting", "refused"];
    let parts = outcomes.iter().find_map(|outcome| Some((*outcome, text.strip_prefix(outcome)?.strip_prefix(' ')?)));
    parts.map_or_else(|| sentence(text), |(outcome, reason)| format!("{}: {reason}", sentence(outcome)))
}

/// A word of the program as people write it: `credit_note` becomes `Credit note`. What is already a sentence stays
/// as it is.
pub fn sentence(word: &str) -> String {
    let text = phrase(word);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The same inside a sentence.
pub fn phrase(word: &str) -> String {
    match word {
        "attribution_pending" => "waiting for the provider to say which code it was".into(),
        "ambiguous_coupon" => "several affiliates share this coupon".into(),
        "multi_affiliate" => "codes of several affiliates".into(),
        "link_and_code_disagree" => "link and code disagree".into(),
        "history_unknown" => "earlier payments are not known".into(),
        "void_after_paid" => "voided after it was paid".into(),
        _ if word.contains(' ') => word.to_owned(),
        _ => word.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_are_still_readable() {
        assert_eq!(sentence("attribution_pending"), "Waiting for the provider to say which code it was");
        assert_eq!(sentence("never_seen_before"), "Never seen before");
        assert_eq!(sentence("Waiting for Stripe to tell us inv_1"), "Waiting for Stripe to tell us inv_1");
        assert_eq!(sentence(""), "");
        assert_eq!(line_kind("credit_note"), "Credit note");
        assert_eq!(delivery_outcome("no effect nothing to count"), "No effect: nothing to count");
        assert_eq!(delivery_outcome("counted"), "Counted");
        assert_eq!(delivery_outcome("waiting"), "Waiting");
        assert_eq!(sale_kind("first"), "First payment");
    }
}
