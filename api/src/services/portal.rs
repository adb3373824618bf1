//! What an affiliate sees at the portal.

use crate::model::{Dashboard, LineItem};
use crate::services::listings::line_item;
use crate::services::ranges::LocalRange;
use crate::services::reports::{FiguresRequest, ReportError, Reports};
use domain::ids::Timestamp;
use domain::money::Currency;
use store::scope::TenantScope;
use store::warehouse::queries::{Balances, NewestLines, Subject};

/// How many lines the portal shows.
const LINES: u32 = 50;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// An affiliate's own figures.
#[derive(Debug, Clone, PartialEq)]
pub struct PortalReport {
    /// The figures of a range. Feed and counts by outcome are left empty.
    pub figures: Dashboard,
    /// The newest lines of the range, at most 50.
    pub lines: Vec<LineItem>,
    /// Of all time, one per currency.
    pub balances: Vec<PortalBalance>,
}

/// An affiliate's commission of all time in one currency, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortalBalance {
    /// Of the amounts.
    pub currency: Currency,
    /// Everything, after refunds: `in_hold + payable`.
    pub earned: i64,
    /// The part whose purchases are too young to be paid.
    pub in_hold: i64,
    /// The rest.
    pub payable: i64,
}

impl Reports {
    /// The figures of an affiliate's scope. `hold_days` is how old a purchase must be before its commission is payable,
    /// to the hour, so that the answer can be kept.
    ///
    /// # Errors
    /// As every report.
    pub async fn portal(
        &self,
        scope: &TenantScope,
        request: &FiguresRequest,
        hold_days: u16,
    ) -> Result<PortalReport, ReportError> {
        let page = self.open_page(scope).await?;
        let moments = LocalRange::new(&request.range)?.moments;
        let newest = NewestLines { range: Some(moments), of: Subject::All, limit: LINES };
        let balances = Balances { held_from: held_from((self.sources.clock)(), hold_days) };
        let (figures, lines, balances) = tokio::try_join!(
            self.figures(&page, request, Subject::All),
            self.read(&page, &newest),
            self.read(&page, &balances)
        )?;
        let balance = |sums: &store::warehouse::queries::Balance| PortalBalance {
            currency: sums.currency,
            earned: sums.earned,
            in_hold: sums.in_hold,
            payable: sums.earned.saturating_sub(sums.in_hold),
        };
        Ok(PortalReport {
            figures,
            lines: lines.iter().map(|line| line_item(line, &page.names)).collect(),
            balances: balances.iter().map(balance).collect(),
        })
    }
}

/// Commission of purchases from here on is in hold: the hour of `now`, `hold_days` earlier.
fn held_from(now: Timestamp, hold_days: u16) -> Timestamp {
    Timestamp(now.0 - now.0.rem_euclid(HOUR_MS) - i64::from(hold_days) * DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_at_a_full_hour() {
        assert_eq!(held_from(Timestamp(100 * DAY_MS + 1), 30), Timestamp(70 * DAY_MS));
        assert_eq!(held_from(Timestamp(100 * DAY_MS - 1), 30), Timestamp(70 * DAY_MS - HOUR_MS));
        assert_eq!(held_from(Timestamp(100 * DAY_MS), 0), Timestamp(100 * DAY_MS));
    }
}
