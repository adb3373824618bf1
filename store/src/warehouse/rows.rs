//! Rows as they travel, one struct per table or answer, converted to the domain's types here.

use super::error::WarehouseError;
use clickhouse::Row;
use domain::ids::{AffiliateId, CodeId, ConnectionId, Mode, PurchaseId, Timestamp, VendorId};
use domain::line::{Amounts, LedgerLine, LineKind, PurchaseOutcome, PurchaseRow};
use domain::money::Currency;
use serde::{Deserialize, Serialize};

/// The first moment the tables hold: 1970-01-01T00:00:00Z.
pub const EARLIEST_TIME: Timestamp = Timestamp(0);

/// The last moment the tables hold: the end of 2149-06-06, the last day of the type `Date`,
/// which the sort key uses.
pub const LATEST_TIME: Timestamp = Timestamp(5_662_310_399_999);

/// The moment as the tables hold it: the nearest one between [`EARLIEST_TIME`] and
/// [`LATEST_TIME`]. A function of the moment alone, so that copies of a line still meet.
pub(crate) fn clamp_time(time: Timestamp) -> i64 {
    time.clamp(EARLIEST_TIME, LATEST_TIME).0
}

/// A row that says whose it is.
pub trait TenantRow: clickhouse::RowOwned + clickhouse::RowRead {
    /// What the caller gets.
    type Output: Send;

    /// Vendor id and 0 for test or 1 for live, as they stand in the row.
    fn tenant(&self) -> (u64, u8);

    /// The affiliate the row belongs to, where it belongs to one.
    fn affiliate(&self) -> Option<u64> {
        None
    }

    /// The row in the domain's words; `query` names the query in errors.
    fn convert(self, query: &'static str) -> Result<Self::Output, WarehouseError>;
}

/// The mode of a row.
pub(crate) fn mode_of(livemode: u8) -> Mode {
    Mode::from_livemode(livemode != 0)
}

/// The currency of a row.
pub(crate) fn currency_of(bytes: [u8; 3], query: &'static str) -> Result<Currency, WarehouseError> {
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(Currency::parse)
        .ok_or_else(|| WarehouseError::Unreadable { query, reason: format!("currency {bytes:?}") })
}

/// A sum that must fit 64 bits: amounts are bounded by 10^15, so this holds for 9,000 full
/// amounts in one group and is checked, never wrapped.
pub(crate) fn sum_of(sum: i128, query: &'static str) -> Result<i64, WarehouseError> {
    i64::try_from(sum)
        .map_err(|_| WarehouseError::Unreadable { query, reason: format!("the sum {sum} is out of range") })
}

/// A row of `ledger_lines`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LineRow {
    pub vendor_id: u64,
    pub livemode: u8,
    pub occurred_at: i64,
    pub affiliate_id: u64,
    pub src_off: u64,
    pub ord: u32,
    pub src_part: u16,
    #[serde(rename = "gen")]
    pub generation: u16,
    pub booked_at: i64,
    pub sale_at: i64,
    pub connection_id: u64,
    pub purchase_id: u64,
    pub kind: i8,
    pub code_id: u64,
    pub currency: [u8; 3],
    pub redemptions: i8,
    pub conversions: i8,
    pub gross: i64,
    pub net: i64,
    pub commission: i64,
    pub rule_rev: u32,
}

impl LineRow {
    /// The row of a line. Fails when a count does not fit its column.
    pub fn new(line: &LedgerLine, generation: u16) -> Result<LineRow, WarehouseError> {
        let count = |name: &str, value: i64| {
            i8::try_from(value).map_err(|_| {
                WarehouseError::Unstorable(format!(
                    "{name} of line {}-{} is {value}, not a small count",
                    line.src_off, line.ord
                ))
            })
        };
        Ok(LineRow {
            vendor_id: line.vendor.0,
            livemode: line.mode.as_u8(),
            occurred_at: clamp_time(line.occurred_at),
            affiliate_id: line.affiliate.0,
            src_off: line.src_off,
            ord: line.ord,
            src_part: line.src_part,
            generation,
            booked_at: clamp_time(line.booked_at),
            sale_at: clamp_time(line.sale_at),
            connection_id: line.connection.0,
            purchase_id: line.purchase.0,
            kind: line.kind as i8,
            code_id: line.code.0,
            currency: line.currency.bytes(),
            redemptions: count("redemptions", line.amounts.redemptions)?,
            conversions: count("conversions", line.amounts.conversions)?,
            gross: line.amounts.gross,
            net: line.amounts.net,
            commission: line.amounts.commission,
            rule_rev: line.rule_rev,
        })
    }
}

impl TenantRow for LineRow {
    type Output = LedgerLine;

    fn tenant(&self) -> (u64, u8) {
        (self.vendor_id, self.livemode)
    }

    fn affiliate(&self) -> Option<u64> {
        Some(self.affiliate_id)
    }

    fn convert(self, query: &'static str) -> Result<LedgerLine, WarehouseError> {
        let kind = LineKind::ALL
            .into_iter()
            .find(|kind| *kind as i8 == self.kind)
            .ok_or_else(|| WarehouseError::Unreadable { query, reason: format!("kind {}", self.kind) })?;
        Ok(LedgerLine {
            vendor: VendorId(self.vendor_id),
            mode: mode_of(self.livemode),
            occurred_at: Timestamp(self.occurred_at),
            affiliate: AffiliateId(self.affiliate_id),
            src_part: self.src_part,
            src_off: self.src_off,
            ord: self.ord,
            booked_at: Timestamp(self.booked_at),
            sale_at: Timestamp(self.sale_at),
            connection: ConnectionId(self.connection_id),
            purchase: PurchaseId(self.purchase_id),
            kind,
            code: CodeId(self.code_id),
            currency: currency_of(self.currency, query)?,
            amounts: Amounts {
                redemptions: i64::from(self.redemptions),
                conversions: i64::from(self.conversions),
                gross: self.gross,
                net: self.net,
                commission: self.commission,
            },
            rule_rev: self.rule_rev,
        })
    }
}

/// A row of `purchases`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PurchaseChangeRow {
    pub vendor_id: u64,
    pub livemode: u8,
    #[serde(rename = "gen")]
    pub generation: u16,
    pub purchase_id: u64,
    pub src_off: u64,
    pub src_part: u16,
    pub sale_at: i64,
    pub outcome: i8,
    pub reason: String,
    pub affiliate_id: u64,
    pub code_id: u64,
    pub currency: [u8; 3],
    pub gross: i64,
    pub net: i64,
    pub reversed: i64,
    pub commission: i64,
    pub flags: Vec<String>,
}

impl PurchaseChangeRow {
    /// The row of a change.
    pub fn new(change: &PurchaseRow, generation: u16) -> PurchaseChangeRow {
        PurchaseChangeRow {
            vendor_id: change.vendor.0,
            livemode: change.mode.as_u8(),
            generation,
            purchase_id: change.purchase.0,
            src_off: change.src_off,
            src_part: change.src_part,
            sale_at: clamp_time(change.sale_at),
            outcome: change.outcome as i8,
            reason: change.reason.clone(),
            affiliate_id: change.affiliate.0,
            code_id: change.code.0,
            currency: change.currency.bytes(),
            gross: change.gross,
            net: change.net,
            reversed: change.reversed,
            commission: change.commission,
            flags: change.flags.clone(),
        }
    }
}

impl TenantRow for PurchaseChangeRow {
    type Output = PurchaseRow;

    fn tenant(&self) -> (u64, u8) {
        (self.vendor_id, self.livemode)
    }

    fn affiliate(&self) -> Option<u64> {
        Some(self.affiliate_id)
    }

    fn convert(self, query: &'static str) -> Result<PurchaseRow, WarehouseError> {
        Ok(PurchaseRow {
            vendor: VendorId(self.vendor_id),
            mode: mode_of(self.livemode),
            sale_at: Timestamp(self.sale_at),
            purchase: PurchaseId(self.purchase_id),
            outcome: outcome_of(self.outcome, query)?,
            reason: self.reason,
            affiliate: AffiliateId(self.affiliate_id),
            code: CodeId(self.code_id),
            currency: currency_of(self.currency, query)?,
            gross: self.gross,
            net: self.net,
            reversed: self.reversed,
            commission: self.commission,
            flags: self.flags,
            src_part: self.src_part,
            src_off: self.src_off,
        })
    }
}

/// The outcome with this number.
pub(crate) fn outcome_of(number: i8, query: &'static str) -> Result<PurchaseOutcome, WarehouseError> {
    [
        PurchaseOutcome::Credited,
        PurchaseOutcome::Organic,
        PurchaseOutcome::Rejected,
        PurchaseOutcome::Waiting,
        PurchaseOutcome::Merged,
    ]
    .into_iter()
    .find(|outcome| *outcome as i8 == number)
    .ok_or_else(|| WarehouseError::Unreadable { query, reason: format!("outcome {number}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_the_tables() {
        assert_eq!(LineRow::COLUMN_NAMES, schemas::warehouse::LEDGER_LINE_COLUMNS);
        assert_eq!(PurchaseChangeRow::COLUMN_NAMES, schemas::warehouse::PURCHASE_COLUMNS);
    }

    #[test]
    fn moments_beyond_the_tables_move_to_the_nearest_one() {
        assert_eq!(clamp_time(Timestamp(-1)), 0);
        assert_eq!(clamp_time(Timestamp(i64::MAX)), LATEST_TIME.0);
        assert_eq!(clamp_time(Timestamp(5)), 5);
    }
}
