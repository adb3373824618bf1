//! Ledger lines: immutable, identified by the log record that caused them.

use crate::ids::{AffiliateId, CodeId, ConnectionId, Mode, PurchaseId, Timestamp, VendorId};
use crate::money::Currency;
use serde::{Deserialize, Serialize};

/// What a line books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[allow(missing_docs)] // the names are the product's words
pub enum LineKind {
    Sale = 1,
    Refund = 2,
    RefundUndo = 3,
    Dispute = 4,
    DisputeUndo = 5,
    CreditNote = 6,
    Void = 7,
    MoveOut = 8,
    MoveIn = 9,
    Rerate = 10,
    Manual = 11,
    Correct = 12,
    Cap = 13,
}

impl LineKind {
    /// Every kind, in the order of its number.
    pub const ALL: [LineKind; 13] = [
        LineKind::Sale,
        LineKind::Refund,
        LineKind::RefundUndo,
        LineKind::Dispute,
        LineKind::DisputeUndo,
        LineKind::CreditNote,
        LineKind::Void,
        LineKind::MoveOut,
        LineKind::MoveIn,
        LineKind::Rerate,
        LineKind::Manual,
        LineKind::Correct,
        LineKind::Cap,
    ];

    /// The word used in the API and in the warehouse.
    pub fn name(self) -> &'static str {
        match self {
            LineKind::Sale => "sale",
            LineKind::Refund => "refund",
            LineKind::RefundUndo => "refund_undo",
            LineKind::Dispute => "dispute",
            LineKind::DisputeUndo => "dispute_undo",
            LineKind::CreditNote => "credit_note",
            LineKind::Void => "void",
            LineKind::MoveOut => "move_out",
            LineKind::MoveIn => "move_in",
            LineKind::Rerate => "rerate",
            LineKind::Manual => "manual",
            LineKind::Correct => "correct",
            LineKind::Cap => "cap",
        }
    }
}

/// Signed counts and minor units. Adding two is the ledger's only arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amounts {
    /// Uses of a code that are first sales.
    pub redemptions: i64,
    /// First payments.
    pub conversions: i64,
    /// With tax and shipping.
    pub gross: i64,
    /// The commission base: without them, after what was really paid.
    pub net: i64,
    /// What the affiliate earns.
    pub commission: i64,
}

impl Amounts {
    /// Component-wise sum.
    pub fn plus(self, other: Amounts) -> Amounts {
        Amounts {
            redemptions: self.redemptions + other.redemptions,
            conversions: self.conversions + other.conversions,
            gross: self.gross + other.gross,
            net: self.net + other.net,
            commission: self.commission + other.commission,
        }
    }

    /// Component-wise difference.
    pub fn minus(self, other: Amounts) -> Amounts {
        self.plus(other.negated())
    }

    /// Every component with the other sign.
    pub fn negated(self) -> Amounts {
        Amounts {
            redemptions: -self.redemptions,
            conversions: -self.conversions,
            gross: -self.gross,
            net: -self.net,
            commission: -self.commission,
        }
    }

    /// Nothing at all.
    pub fn is_zero(self) -> bool {
        self == Amounts::default()
    }
}

/// One line of the ledger.
///
/// Identity: (generation, partition, `src_off`, `ord`). Every member is a function of the
/// log record, so that two copies of a line are always the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// Tenant.
    pub vendor: VendorId,
    /// Test or live.
    pub mode: Mode,
    /// Provider time of the movement.
    pub occurred_at: Timestamp,
    /// 0 = unattributed.
    pub affiliate: AffiliateId,
    /// Log partition.
    pub src_part: u16,
    /// Log offset.
    pub src_off: u64,
    /// Counts the lines of one record.
    pub ord: u32,
    /// Time on the log record.
    pub booked_at: Timestamp,
    /// Provider time of the purchase's sale, for cohorts and holds.
    pub sale_at: Timestamp,
    /// Provider account; 0 for a manual line.
    pub connection: ConnectionId,
    /// 0 for a manual line.
    pub purchase: PurchaseId,
    /// What it books.
    pub kind: LineKind,
    /// 0 = none.
    pub code: CodeId,
    /// Currency of the amounts.
    pub currency: Currency,
    /// Signed counts and minor units.
    #[serde(flatten)]
    pub amounts: Amounts,
    /// Revision of the commission rule; 0 = the product's default.
    pub rule_rev: u32,
}

/// How a purchase ended, shown on the first screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum PurchaseOutcome {
    /// An affiliate is credited.
    Credited = 1,
    /// Nobody brought it.
    Organic = 2,
    /// Somebody brought it and gets nothing, with a reason.
    Rejected = 3,
    /// Something is still to be learnt, named in the reason.
    Waiting = 4,
    /// Turned out to be another purchase.
    Merged = 5,
}

impl PurchaseOutcome {
    /// The word used in the API and in the warehouse.
    pub fn name(self) -> &'static str {
        match self {
            PurchaseOutcome::Credited => "credited",
            PurchaseOutcome::Organic => "organic",
            PurchaseOutcome::Rejected => "rejected",
            PurchaseOutcome::Waiting => "waiting",
            PurchaseOutcome::Merged => "merged",
        }
    }
}

/// State of a purchase after a change, for lists and outcome counts as of a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchaseRow {
    /// Tenant.
    pub vendor: VendorId,
    /// Test or live.
    pub mode: Mode,
    /// Provider time of the sale.
    pub sale_at: Timestamp,
    /// Which purchase.
    pub purchase: PurchaseId,
    /// How it stands.
    pub outcome: PurchaseOutcome,
    /// Why, or for what; empty when the outcome says it all.
    pub reason: String,
    /// 0 = none.
    pub affiliate: AffiliateId,
    /// 0 = none.
    pub code: CodeId,
    /// Currency of the amounts.
    pub currency: Currency,
    /// Before refunds.
    pub gross: i64,
    /// Before refunds.
    pub net: i64,
    /// Part of `net` taken back.
    pub reversed: i64,
    /// After refunds.
    pub commission: i64,
    /// See payment rules: `attribution_pending`, `multi_affiliate` ...
    pub flags: Vec<String>,
    /// Log partition.
    pub src_part: u16,
    /// Log offset of the change.
    pub src_off: u64,
}
