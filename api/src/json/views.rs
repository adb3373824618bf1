//! What the JSON API writes. Times are RFC 3339 in UTC, amounts integers in minor units.

use crate::model::{PurchaseItem, Totals, Watermark};
use crate::services::ReportedLine;
use crate::services::ranges::moment;
use domain::ids::Timestamp;
use domain::money::Currency;
use serde::{Serialize, Serializer};

/// Writes a moment as RFC 3339.
pub(crate) fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&moment(*time))
}

/// Up to where an answer was read.
#[derive(Debug, Serialize)]
pub(crate) struct WatermarkView {
    generation: u16,
    partition: u16,
    next_offset: u64,
    #[serde(serialize_with = "rfc3339")]
    as_of: Timestamp,
}

impl From<Watermark> for WatermarkView {
    fn from(watermark: Watermark) -> WatermarkView {
        WatermarkView {
            generation: watermark.generation,
            partition: watermark.partition,
            next_offset: watermark.next_offset,
            as_of: watermark.as_of,
        }
    }
}

/// Sums in one currency.
#[derive(Debug, Serialize)]
pub(crate) struct TotalsView {
    currency: Currency,
    minor_digits: Option<u8>,
    redemptions: i64,
    conversions: i64,
    sales: i64,
    gross_minor: i64,
    revenue_minor: i64,
    refunded_minor: i64,
    commission_minor: i64,
}

impl From<&Totals> for TotalsView {
    fn from(totals: &Totals) -> TotalsView {
        TotalsView {
            currency: totals.currency,
            minor_digits: totals.currency.minor_digits(),
            redemptions: totals.redemptions,
            conversions: totals.conversions,
            sales: totals.sales,
            gross_minor: totals.gross,
            revenue_minor: totals.revenue,
            refunded_minor: totals.refunded,
            commission_minor: totals.commission,
        }
    }
}

/// A ledger line.
#[derive(Debug, Serialize)]
pub(crate) struct LineView {
    id: String,
    kind: String,
    #[serde(serialize_with = "rfc3339")]
    occurred_at: Timestamp,
    #[serde(serialize_with = "rfc3339")]
    booked_at: Timestamp,
    #[serde(serialize_with = "rfc3339")]
    sale_at: Timestamp,
    purchase: u64,
    business_key: String,
    affiliate: String,
    code: String,
    currency: Currency,
    minor_digits: Option<u8>,
    redemptions: i64,
    conversions: i64,
    gross_minor: i64,
    net_minor: i64,
    commission_minor: i64,
    rule_rev: u32,
}

impl From<ReportedLine> for LineView {
    fn from(reported: ReportedLine) -> LineView {
        let line = reported.line;
        LineView {
            id: line.id,
            kind: line.kind,
            occurred_at: line.occurred_at,
            booked_at: line.booked_at,
            sale_at: line.sale_at,
            purchase: line.purchase.0,
            business_key: reported.business_key,
            affiliate: line.affiliate,
            code: line.code,
            currency: line.currency,
            minor_digits: line.currency.minor_digits(),
            redemptions: line.redemptions,
            conversions: line.conversions,
            gross_minor: line.gross,
            net_minor: line.net,
            commission_minor: line.commission,
            rule_rev: line.rule_rev,
        }
    }
}

/// A purchase as it stands.
#[derive(Debug, Serialize)]
pub(crate) struct PurchaseView {
    purchase: u64,
    business_key: String,
    #[serde(serialize_with = "rfc3339")]
    sale_at: Timestamp,
    outcome: &'static str,
    reason: String,
    affiliate: String,
    affiliate_name: String,
    code: String,
    sale_kind: String,
    redemption: bool,
    currency: Currency,
    minor_digits: Option<u8>,
    gross_minor: i64,
    net_minor: i64,
    reversed_minor: i64,
    commissionable_minor: i64,
    commission_minor: i64,
    flags: Vec<String>,
}

impl From<PurchaseItem> for PurchaseView {
    fn from(item: PurchaseItem) -> PurchaseView {
        PurchaseView {
            purchase: item.purchase.0,
            business_key: item.business_key,
            sale_at: item.sale_at,
            outcome: item.outcome.name(),
            reason: item.reason,
            affiliate: item.affiliate_key,
            affiliate_name: item.affiliate_name,
            code: item.code_text,
            sale_kind: item.sale_kind,
            redemption: item.redemption,
            currency: item.currency,
            minor_digits: item.currency.minor_digits(),
            gross_minor: item.gross,
            net_minor: item.net,
            reversed_minor: item.reversed,
            commissionable_minor: item.net.saturating_sub(item.reversed),
            commission_minor: item.commission,
            flags: item.flags,
        }
    }
}
