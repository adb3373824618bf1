//! What affiliates earned in a range, as a file: one row per affiliate and currency; and purchases, one row each
//! (`purchases.rs`).
//!
//! `services/payouts.rs` makes the report; [`csv`] and [`xlsx`] write it. Both write the same cells, so what is in which
//! column is decided here.

mod amount;
pub mod csv;
mod purchases;
pub mod xlsx;

use crate::model::{DateRange, Watermark};
use domain::ids::AffiliateId;
use domain::money::Currency;
use std::collections::HashMap;

pub use purchases::{MOST_PURCHASES, PURCHASE_COLUMNS, csv_head, csv_rows, purchases_file_name, workbook};
pub use store::warehouse::queries::AffiliateSum;

/// The most rows of a file. A row is 48 bytes while the file is made.
pub const MOST_ROWS: usize = 200_000;

/// The columns, in their order.
pub const COLUMNS: [&str; 10] = [
    "Affiliate",
    "Key",
    "E-mail",
    "Currency",
    "Redemptions",
    "Revenue",
    "Refunds",
    "Commission owed",
    "Status",
    "Payout address",
];

/// How an affiliate stands today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayeeStatus {
    /// Takes part.
    Active,
    /// Was suspended. Commission of the range is shown all the same.
    Suspended,
    /// The ledger knows it and the list of affiliates does not.
    Unknown,
}

impl PayeeStatus {
    /// The word in the file.
    pub fn name(self) -> &'static str {
        match self {
            PayeeStatus::Active => "active",
            PayeeStatus::Suspended => "suspended",
            PayeeStatus::Unknown => "unknown",
        }
    }
}

/// Who is paid, as known today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payee {
    /// Name shown on pages.
    pub name: String,
    /// Handle, for example `aff_maya`.
    pub key: String,
    /// Address, where one is known.
    pub email: Option<String>,
    /// How it stands.
    pub status: PayeeStatus,
    /// How they want to be paid, on one line; empty where they did not say.
    pub payout_address: String,
}

/// The report. Affiliates without a ledger line in the range are not in it, and sales of nobody are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutReport {
    /// Up to where it was read.
    pub watermark: Watermark,
    /// The days.
    pub range: DateRange,
    /// The sums, in the order of the file.
    pub sums: Vec<AffiliateSum>,
    /// The affiliates of the vendor.
    pub payees: HashMap<AffiliateId, Payee>,
}

/// One row of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutRow {
    /// Who.
    pub payee: Payee,
    /// Of the amounts.
    pub currency: Currency,
    /// Uses of a code that are first sales.
    pub redemptions: i64,
    /// Net after refunds, in minor units.
    pub revenue: i64,
    /// Net taken back (positive), in minor units.
    pub refunds: i64,
    /// Commission earned minus reversed, in minor units.
    pub commission: i64,
}

impl PayoutReport {
    /// The rows, made one by one.
    pub fn rows(&self) -> impl Iterator<Item = PayoutRow> {
        self.sums.iter().map(|sum| self.row(sum))
    }

    /// One row.
    pub(crate) fn row(&self, sum: &AffiliateSum) -> PayoutRow {
        PayoutRow {
            payee: self.payees.get(&sum.affiliate).cloned().unwrap_or_else(|| nameless(sum.affiliate)),
            currency: sum.currency,
            redemptions: sum.redemptions,
            revenue: sum.revenue,
            refunds: sum.refunds,
            commission: sum.commission,
        }
    }
}

/// Words for a number that nobody knows, as on pages.
fn nameless(affiliate: AffiliateId) -> Payee {
    Payee {
        name: format!("Affiliate {affiliate}"),
        key: format!("affiliate-{affiliate}"),
        email: None,
        status: PayeeStatus::Unknown,
        payout_address: String::new(),
    }
}

impl PayoutRow {
    /// Name, handle, address, currency: the cells before the numbers.
    fn texts(&self) -> [String; 4] {
        [
            self.payee.name.clone(),
            self.payee.key.clone(),
            self.payee.email.clone().unwrap_or_default(),
            amount::unit(self.currency),
        ]
    }

    /// Revenue, refunds, commission: the amounts.
    fn amounts(&self) -> [i64; 3] {
        [self.revenue, self.refunds, self.commission]
    }
}

/// `acme-commission-2026-10-01-to-2026-10-31.csv`; files of test mode say so, because their sums are nobody's money.
pub fn file_name(vendor: &str, is_live: bool, range: &DateRange, ending: &str) -> String {
    let test = if is_live { "" } else { "test-" };
    format!("{vendor}-{test}commission-{}-to-{}.{ending}", range.from, range.to)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use domain::ids::Timestamp;
    use jiff::civil::date;

    /// Name, handle, address, currency; revenue, refunds, commission.
    pub(crate) type Written<'a> = (&'a str, &'a str, Option<&'a str>, &'a str, [i64; 3]);

    /// A report with these rows.
    pub(crate) fn report(rows: &[Written<'_>]) -> PayoutReport {
        let mut sums = Vec::new();
        let mut payees = HashMap::new();
        for (number, (name, key, email, currency, [revenue, refunds, commission])) in (1..).zip(rows) {
            sums.push(AffiliateSum {
                affiliate: AffiliateId(number),
                currency: Currency::parse(currency).unwrap(),
                redemptions: number as i64,
                revenue: *revenue,
                refunds: *refunds,
                commission: *commission,
            });
            let status = if number % 2 == 1 { PayeeStatus::Active } else { PayeeStatus::Suspended };
            let email = email.map(str::to_owned);
            payees.insert(
                AffiliateId(number),
                Payee {
                    name: (*name).to_owned(),
                    key: (*key).to_owned(),
                    email,
                    status,
                    payout_address: String::new(),
                },
            );
        }
        PayoutReport {
            watermark: Watermark { generation: 1, partition: 0, next_offset: 9, as_of: Timestamp(1_795_262_400_000) },
            range: DateRange { from: date(2026, 10, 1), to: date(2026, 10, 31), time_zone: "UTC".into() },
            sums,
            payees,
        }
    }

    #[test]
    fn file_names_say_whose_what_and_when() {
        let range = report(&[]).range;
        assert_eq!(file_name("acme", true, &range, "csv"), "acme-commission-2026-10-01-to-2026-10-31.csv");
        assert_eq!(file_name("acme", false, &range, "xlsx"), "acme-test-commission-2026-10-01-to-2026-10-31.xlsx");
    }

    #[test]
    fn a_number_without_a_name_is_shown_as_on_pages() {
        let mut report = report(&[("Maya", "aff_maya", None, "usd", [1, 0, 1])]);
        report.payees.clear();
        let payee = report.rows().next().unwrap().payee;
        assert_eq!(
            (payee.name.as_str(), payee.key.as_str(), payee.status.name()),
            ("Affiliate 1", "affiliate-1", "unknown")
        );
    }
}
