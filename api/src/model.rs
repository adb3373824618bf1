//! What the services answer: plain data for pages and for the JSON API.
//! Amounts are integers in minor units; every amount stands beside its currency.

use domain::ids::{AffiliateId, CodeId, PurchaseId, Timestamp};
use domain::line::PurchaseOutcome;
use domain::money::Currency;
use serde::Serialize;

/// Up to where a page reads: every query of one page uses the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Watermark {
    /// Generation of the log.
    pub generation: u16,
    /// The vendor's partition.
    pub partition: u16,
    /// Lines with `src_off` below this number are visible (one past the last).
    pub next_offset: u64,
    /// When it last moved.
    pub as_of: Timestamp,
}

/// Bucket width of a time series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bucket {
    /// One hour.
    Hour,
    /// One day of the vendor's time zone.
    Day,
    /// Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
}

/// A range of local days, both ends included, in one time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DateRange {
    /// First local day, `YYYY-MM-DD`.
    pub from: jiff::civil::Date,
    /// Last local day.
    pub to: jiff::civil::Date,
    /// IANA name.
    pub time_zone: String,
}

/// Sums of one group of lines in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Currency of the amounts.
    pub currency: Currency,
    /// Uses of a code that are first sales.
    pub redemptions: i64,
    /// First payments.
    pub conversions: i64,
    /// Purchases with something paid (sale lines with gross above zero, corrections included).
    pub sales: i64,
    /// Gross of everything, after refunds.
    pub gross: i64,
    /// Net revenue after refunds.
    pub revenue: i64,
    /// Net taken back by refunds, disputes, credit notes and voids (positive).
    pub refunded: i64,
    /// Commission after refunds.
    pub commission: i64,
}

/// Totals of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupTotals {
    /// `aff_maya`, `MAYA20` or `2026-11-21`, by the grouping; empty for unattributed.
    pub group: String,
    /// Number of the affiliate or code; 0 for none, and where the grouping is another.
    pub number: u64,
    /// Name shown on pages.
    pub label: String,
    /// One entry per currency.
    pub totals: Vec<Totals>,
}

/// One bucket of the chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeriesPoint {
    /// Start of the bucket.
    pub starts_at: Timestamp,
    /// Words for the axis and the table, for example `21 Nov`.
    pub label: String,
    /// Not over yet.
    pub partial: bool,
    /// Redemptions in all currencies.
    pub redemptions: i64,
    /// Money per currency, in the order of [`Dashboard::currencies`].
    pub revenue: Vec<i64>,
    /// Money per currency, in the order of [`Dashboard::currencies`].
    pub commission: Vec<i64>,
}

/// How many purchases ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct OutcomeCounts {
    /// An affiliate is credited.
    pub credited: u64,
    /// Nobody brought it.
    pub organic: u64,
    /// Somebody brought it and gets nothing.
    pub rejected: u64,
    /// Something is still to be learnt.
    pub waiting: u64,
    /// Deliveries that could not be understood (open).
    pub refused: u64,
}

/// One row of the live feed or of the explorer: a purchase as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PurchaseItem {
    /// Number of the purchase.
    pub purchase: PurchaseId,
    /// Public name, for example `inv:in_1`.
    pub business_key: String,
    /// Provider time of the sale.
    pub sale_at: Timestamp,
    /// `21 Nov 2026, 14:03` in the vendor's time zone.
    pub sale_at_text: String,
    /// How it stands.
    pub outcome: PurchaseOutcome,
    /// Why, or for what.
    pub reason: String,
    /// Whose.
    pub affiliate: AffiliateId,
    /// Affiliate's handle, empty if none.
    pub affiliate_key: String,
    /// Affiliate's name, empty if none.
    pub affiliate_name: String,
    /// Which code.
    pub code: CodeId,
    /// Code text, empty if none.
    pub code_text: String,
    /// `first`, `renewal`, `update`, `one_time`, `zero`.
    pub sale_kind: String,
    /// A use of a code that is a first sale.
    pub redemption: bool,
    /// Currency of the amounts.
    pub currency: Currency,
    /// Before refunds, with tax.
    pub gross: i64,
    /// Before refunds, the commission base.
    pub net: i64,
    /// Part of `net` taken back.
    pub reversed: i64,
    /// After refunds.
    pub commission: i64,
    /// `attribution_pending` ...
    pub flags: Vec<String>,
}

/// The figures of an earlier range, beside those of a later one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Earlier {
    /// Its days.
    pub range: DateRange,
    /// Its totals, one per currency; empty when nothing happened.
    pub totals: Vec<Totals>,
    /// Affiliates with a line in it.
    pub active_affiliates: u64,
    /// One point beside each of [`Dashboard::series`], of the same days or hours that much earlier. Currencies that only
    /// the earlier range has are in the totals alone.
    pub series: Vec<SeriesPoint>,
}

/// The first screen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dashboard {
    /// Up to where it was read.
    pub watermark: Watermark,
    /// The range.
    pub range: DateRange,
    /// Bucket of the series.
    pub bucket: Bucket,
    /// Currencies seen in the range, the one with the most sales first.
    pub currencies: Vec<Currency>,
    /// Totals of the range, one per currency.
    pub totals: Vec<Totals>,
    /// What it is compared with; none where nothing was wanted, or where no earlier day exists.
    pub earlier: Option<Earlier>,
    /// Affiliates with a line in the range.
    pub active_affiliates: u64,
    /// One point per bucket, gaps filled with zeros.
    pub series: Vec<SeriesPoint>,
    /// By affiliate, most commission first, at most 50.
    pub affiliates: Vec<GroupTotals>,
    /// By code, most redemptions first, at most 50.
    pub codes: Vec<GroupTotals>,
    /// Newest purchases, at most 20.
    pub feed: Vec<PurchaseItem>,
    /// Purchases by outcome (whole history).
    pub outcomes: OutcomeCounts,
}

/// Filters of the redemptions explorer. Everything optional.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExplorerFilter {
    /// Handle of an affiliate.
    pub affiliate: Option<String>,
    /// Code text.
    pub code: Option<String>,
    /// Outcome.
    pub outcome: Option<PurchaseOutcome>,
    /// Currency.
    pub currency: Option<Currency>,
    /// Business key or a part of a provider id.
    pub search: Option<String>,
    /// Only uses of a code.
    pub redemptions_only: bool,
    /// Only sold on this day of the vendor's time zone or later.
    pub from: Option<jiff::civil::Date>,
    /// Only sold on this day or earlier.
    pub to: Option<jiff::civil::Date>,
}

/// A page of the explorer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplorerPage {
    /// Up to where it was read.
    pub watermark: Watermark,
    /// Newest first, at most the page size.
    pub items: Vec<PurchaseItem>,
    /// Opaque cursor of the next page.
    pub next: Option<String>,
}

/// One ledger line of a purchase, for *explain* and the JSON API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineItem {
    /// `part-offset-ord`: the line's public identity.
    pub id: String,
    /// Kind of line.
    pub kind: String,
    /// Provider time of the movement.
    pub occurred_at: Timestamp,
    /// Time on the log record.
    pub booked_at: Timestamp,
    /// Provider time of the sale.
    pub sale_at: Timestamp,
    /// Number of the purchase.
    pub purchase: PurchaseId,
    /// Affiliate's handle, empty if none.
    pub affiliate: String,
    /// Code text, empty if none.
    pub code: String,
    /// Currency of the amounts.
    pub currency: Currency,
    /// Signed.
    pub redemptions: i64,
    /// Signed.
    pub conversions: i64,
    /// Signed.
    pub gross: i64,
    /// Signed.
    pub net: i64,
    /// Signed.
    pub commission: i64,
    /// 0 = default rule.
    pub rule_rev: u32,
}

/// Everything behind a purchase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The purchase as it stands.
    pub purchase: PurchaseItem,
    /// The provider's events, oldest first.
    pub events: Vec<ExplainedEvent>,
    /// From gross to commission.
    pub waterfall: Vec<WaterfallStep>,
    /// Which discount was chosen, which lost, and why, in words.
    pub attribution: Vec<String>,
    /// The mapping that held, in words; empty if none.
    pub mapping: String,
    /// The rule that held, in words.
    pub rule: String,
    /// The rounding, as arithmetic, for example `980 x 200000 / 1000000 = 196.0 -> 196`.
    pub rounding: Vec<String>,
    /// The booked lines in booking order.
    pub lines: Vec<LineItem>,
}

/// One event of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedEvent {
    /// The provider's event id.
    pub event_id: String,
    /// The provider's type.
    pub event_type: String,
    /// The provider's time.
    pub created: Timestamp,
    /// Offset in the log.
    pub offset: u64,
    /// What it did: `counted`, `no effect`, ...
    pub outcome: String,
}

/// One step from gross to commission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaterfallStep {
    /// Words, for example `Tax`.
    pub label: String,
    /// Signed minor units of the step.
    pub amount: i64,
    /// A subtotal rather than a step.
    pub is_total: bool,
}
