//! A purchase as a row, in the live feed and in the explorer, and a ledger line as one.

use crate::backend::Place;
use crate::links::Link;
use crate::money::Money;
use crate::times;
use crate::words;
use api::model::{LineItem, PurchaseItem};

/// Words and links of one purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurchaseRow {
    /// Unique on a page, stable over time.
    pub id: String,
    /// For scripts that watch arrivals.
    pub business_key: String,
    /// The page that explains it.
    pub href: String,
    /// `21 Nov 2026, 14:03`
    pub sale_at: String,
    /// RFC 3339.
    pub sale_at_machine: String,
    /// Name of the affiliate, or empty.
    pub affiliate: String,
    /// Code text, or empty.
    pub code: String,
    /// Word of the outcome.
    pub outcome: &'static str,
    /// Class of the outcome.
    pub outcome_class: &'static str,
    /// Why, or for what; may be empty.
    pub reason: String,
    /// `First payment`
    pub kind: String,
    /// A use of a code that is a first sale.
    pub is_redemption: bool,
    /// After refunds.
    pub net: Money,
    /// Before refunds, with tax.
    pub gross: Money,
    /// Taken back.
    pub reversed: Money,
    /// After refunds.
    pub commission: Money,
    /// In words.
    pub flags: Vec<String>,
}

impl PurchaseRow {
    /// Of a purchase.
    pub fn new(item: &PurchaseItem, place: &Place) -> PurchaseRow {
        let money = |minor| Money::new(minor, item.currency);
        PurchaseRow {
            id: format!("purchase-{}", item.purchase),
            business_key: item.business_key.clone(),
            href: Link::to(&[&place.vendor, "purchases", &item.business_key]).with("mode", place.mode.name()).build(),
            sale_at: item.sale_at_text.clone(),
            sale_at_machine: times::machine(item.sale_at),
            affiliate: item.affiliate_name.clone(),
            code: item.code_text.clone(),
            outcome: words::outcome(item.outcome),
            outcome_class: item.outcome.name(),
            reason: words::sentence(&item.reason),
            kind: words::sale_kind(&item.sale_kind),
            is_redemption: item.redemption,
            net: money(item.net.saturating_sub(item.reversed)),
            gross: money(item.gross),
            reversed: money(item.reversed.saturating_neg()),
            commission: money(item.commission),
            flags: item
                .flags
                .iter()
                // The reason is told already.
                .filter(|flag| **flag != item.reason)
                .map(|flag| words::sentence(flag))
                .collect(),
        }
    }

    /// Whether something was taken back.
    pub fn has_refund(&self) -> bool {
        self.reversed.minor != 0
    }
}

/// Words of one ledger line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineRow {
    /// Unique in the ledger.
    pub id: String,
    /// The page that explains its purchase; empty where there is none, or nobody may see it.
    pub href: String,
    /// `21 Nov 2026, 14:03:09`
    pub at: String,
    /// RFC 3339.
    pub machine: String,
    /// `Sale`, `Refund` …
    pub kind: String,
    /// A use of a code that is a first sale.
    pub is_redemption: bool,
    /// Code text, or empty.
    pub code: String,
    /// Signed, net of tax.
    pub revenue: Money,
    /// Signed.
    pub commission: Money,
}

impl LineRow {
    /// Without a link.
    pub fn new(line: &LineItem, time_zone: &str) -> LineRow {
        LineRow {
            id: line.id.clone(),
            href: String::new(),
            at: times::moment(line.occurred_at, time_zone),
            machine: times::machine(line.occurred_at),
            kind: words::line_kind(&line.kind),
            is_redemption: line.redemptions > 0,
            code: line.code.clone(),
            revenue: Money::new(line.net, line.currency),
            commission: Money::new(line.commission, line.currency),
        }
    }
}
