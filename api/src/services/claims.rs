//! *Was I credited?*: an affiliate asks about one sale, and learns how it ended for them.
//!
//! The answer names nobody and nothing of the buyer, and is the same for a sale that does not exist, for one of another
//! vendor and for one that is not visible yet. How often may be asked is counted by the control store.

use crate::services::ranges::{LocalRange, RangeError};
use crate::services::reports::{ReportError, Reports};
use crate::{model::DateRange, services::reports::Page};
use domain::ids::{AffiliateId, PurchaseId, Timestamp};
use domain::line::{PurchaseOutcome, PurchaseRow};
use domain::money::Currency;
use jiff::civil::Date;
use store::scope::TenantScope;
use store::warehouse::queries::PurchasesPage;

/// The longest id that is looked for, in bytes.
pub const MAX_CLAIM_BYTES: usize = 100;
/// Sales that one question may find.
const MOST_FOUND: u32 = 100;

/// Which sale an affiliate asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The provider's id of an invoice, payment or order, in whole.
    Receipt(String),
    /// What was paid on a day of the vendor's time zone.
    Paid {
        /// The day.
        day: Date,
        /// With tax, in minor units.
        gross: i64,
        /// Of the amount.
        currency: Currency,
    },
}

/// How the sale ended for who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is theirs.
    Credited {
        /// Time of the sale.
        sale_at: Timestamp,
        /// Of the commission.
        currency: Currency,
        /// After refunds, in minor units.
        commission: i64,
        /// Something of it was taken back.
        is_reduced: bool,
    },
    /// It came by somebody else's code or link.
    Another,
    /// No affiliate brought it.
    Organic,
    /// It would be theirs, or nobody's, and was rejected.
    Rejected {
        /// Because several affiliates share the coupon. Other reasons are the vendor's words, which may name others.
        is_shared: bool,
    },
    /// Something is still to be learnt.
    Waiting,
    /// Several fit, and none is credited to who asks.
    NoneOfThem,
    /// There is none that may be told of.
    Unknown,
}

impl Verdict {
    /// Of several sales that fit, the one that says the most for who asks comes first.
    fn rank(&self) -> u8 {
        match self {
            Verdict::Credited { .. } => 0,
            Verdict::Waiting => 1,
            Verdict::Rejected { .. } => 2,
            Verdict::Another => 3,
            Verdict::Organic => 4,
            Verdict::NoneOfThem => 5,
            Verdict::Unknown => 6,
        }
    }
}

impl Reports {
    /// How a sale ended for an affiliate. `scope` is the vendor's whole: another's sale must be found to be told apart
    /// from none.
    ///
    /// # Errors
    /// As every report.
    pub async fn was_credited(
        &self,
        scope: &TenantScope,
        affiliate: AffiliateId,
        claim: &Claim,
    ) -> Result<Verdict, ReportError> {
        let page = self.open_page(scope).await?;
        let query = match claim {
            Claim::Receipt(id) => self.named_purchases(&page, id).await?,
            Claim::Paid { day, gross, currency } => match paid_on(*day, &page.names.time_zone)? {
                None => return Ok(Verdict::Unknown),
                Some(days) => PurchasesPage {
                    sold: Some(days.moments),
                    gross: Some(*gross),
                    currency: Some(*currency),
                    ..PurchasesPage::default()
                },
            },
        };
        let query = PurchasesPage { limit: MOST_FOUND, ..query };
        // Their own first: of a price that many pay there may be more sales in a day than are looked at.
        let own = PurchasesPage { affiliate: Some(affiliate), ..query.clone() };
        let own = self.read(&page, &own).await?;
        let found = if own.is_empty() { self.read(&page, &query).await? } else { own };
        let fits = |row: &&PurchaseRow| match claim {
            Claim::Receipt(_) => true,
            // It may have been another amount once.
            Claim::Paid { gross, .. } => row.gross == *gross,
        };
        let verdicts: Vec<Verdict> = found.iter().filter(fits).map(|row| verdict(row, affiliate)).collect();
        let is_one_sale = verdicts.len() == 1 || matches!(claim, Claim::Receipt(_));
        let best = verdicts.into_iter().min_by_key(Verdict::rank).unwrap_or(Verdict::Unknown);
        // Which of several sales of a price they mean, nobody knows.
        let is_certain = is_one_sale || matches!(best, Verdict::Credited { .. } | Verdict::Waiting | Verdict::Unknown);
        Ok(if is_certain { best } else { Verdict::NoneOfThem })
    }

    async fn named_purchases(&self, page: &Page, id: &str) -> Result<PurchasesPage, ReportError> {
        let id = id.trim();
        let purchases: Vec<PurchaseId> = match id.is_empty() || id.len() > MAX_CLAIM_BYTES {
            true => Vec::new(),
            false => self.sources.purchases.search(&page.scope, id, MOST_FOUND as usize).await?,
        };
        Ok(PurchasesPage { purchases: Some(purchases), ..PurchasesPage::default() })
    }
}

/// None for a day that the ledger cannot hold.
fn paid_on(day: Date, time_zone: &str) -> Result<Option<LocalRange>, RangeError> {
    match LocalRange::new(&DateRange { from: day, to: day, time_zone: time_zone.to_owned() }) {
        Ok(range) => Ok(Some(range)),
        Err(RangeError::DayOutside(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn verdict(row: &PurchaseRow, affiliate: AffiliateId) -> Verdict {
    let is_theirs = row.affiliate == affiliate;
    match row.outcome {
        PurchaseOutcome::Waiting => Verdict::Waiting,
        PurchaseOutcome::Organic => Verdict::Organic,
        PurchaseOutcome::Credited | PurchaseOutcome::Rejected if !is_theirs && row.affiliate.0 != 0 => Verdict::Another,
        PurchaseOutcome::Credited => Verdict::Credited {
            sale_at: row.sale_at,
            currency: row.currency,
            commission: row.commission,
            is_reduced: row.reversed != 0,
        },
        PurchaseOutcome::Rejected => Verdict::Rejected { is_shared: row.reason == "ambiguous_coupon" },
        PurchaseOutcome::Merged => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::test_api::{NOW, Sale, TestApi};
    use domain::ids::{CodeId, Mode};
    use jiff::civil::date;

    #[tokio::test]
    async fn a_sale_is_theirs_another_s_or_not_to_be_told_of() {
        let api = TestApi::start().await;
        let acme = api.vendor("acme", Mode::Live).await;
        let globex = api.vendor("globex", Mode::Live).await;
        let maya = api.affiliate(&acme, "aff_maya").await;
        let leo = api.affiliate(&acme, "aff_leo").await;
        let sale = |offset, affiliate, currency, net| Sale { offset, at: NOW.0, affiliate, currency, net };
        api.book(&acme, &[sale(1, maya, "usd", 4_900), sale(2, leo, "usd", 2_500), sale(3, leo, "usd", 4_900)]).await;
        api.book(&globex, &[sale(4, (AffiliateId(9), CodeId(9)), "usd", 7_700)]).await;
        let ask = async |affiliate: AffiliateId, claim: Claim| {
            api.reports.was_credited(&acme, affiliate, &claim).await.unwrap()
        };
        let receipt = |number: u64| Claim::Receipt(format!(" {} ", number * 256));
        let usd = Currency::parse("usd").unwrap();
        let paid = |day, gross| Claim::Paid { day, gross, currency: usd };
        let today = date(2026, 11, 21);
        let credited = Verdict::Credited { sale_at: NOW, currency: usd, commission: 980, is_reduced: false };
        assert_eq!(ask(maya.0, receipt(1)).await, credited);
        assert_eq!(ask(maya.0, receipt(2)).await, Verdict::Another);
        assert_eq!(ask(leo.0, receipt(1)).await, Verdict::Another);
        // Both have a sale of this amount: each is told of their own.
        assert_eq!(ask(maya.0, paid(today, 4_900)).await, credited);
        assert_eq!(ask(leo.0, paid(today, 4_900)).await, credited);
        assert_eq!(ask(maya.0, paid(today, 2_500)).await, Verdict::Another);
        // Of several of one price none of which is theirs, nobody knows which one they mean.
        api.book(&acme, &[sale(5, leo, "usd", 2_500)]).await;
        assert_eq!(ask(maya.0, paid(today, 2_500)).await, Verdict::NoneOfThem);
        for nothing in [
            receipt(4),
            receipt(77),
            Claim::Receipt(String::new()),
            Claim::Receipt("x".repeat(5_000)),
            paid(today, 7_700),
            paid(date(2026, 11, 20), 4_900),
            paid(date(1900, 1, 1), 4_900),
            Claim::Paid { day: today, gross: 4_900, currency: Currency::parse("eur").unwrap() },
        ] {
            assert_eq!(ask(maya.0, nothing).await, Verdict::Unknown);
        }
    }

    #[test]
    fn every_outcome_has_its_answer() {
        let row = |outcome, affiliate| PurchaseRow {
            vendor: domain::ids::VendorId(1),
            mode: Mode::Live,
            sale_at: NOW,
            purchase: PurchaseId(1),
            outcome,
            reason: "self_referral".into(),
            affiliate: AffiliateId(affiliate),
            code: CodeId(0),
            currency: Currency::parse("usd").unwrap(),
            gross: 1_000,
            net: 1_000,
            reversed: 400,
            commission: 120,
            flags: Vec::new(),
            src_part: 0,
            src_off: 1,
        };
        let of = |outcome, affiliate| verdict(&row(outcome, affiliate), AffiliateId(5));
        let rejected = Verdict::Rejected { is_shared: false };
        assert!(matches!(
            of(PurchaseOutcome::Credited, 5),
            Verdict::Credited { is_reduced: true, commission: 120, .. }
        ));
        assert_eq!(of(PurchaseOutcome::Credited, 6), Verdict::Another);
        assert_eq!((of(PurchaseOutcome::Rejected, 5), of(PurchaseOutcome::Rejected, 0)), (rejected.clone(), rejected));
        assert_eq!(of(PurchaseOutcome::Rejected, 6), Verdict::Another);
        assert_eq!(
            (of(PurchaseOutcome::Organic, 0), of(PurchaseOutcome::Waiting, 6)),
            (Verdict::Organic, Verdict::Waiting)
        );
    }
}
