//! Purchases and ledger lines one by one, in pages.

use crate::model::{DateRange, ExplorerFilter, ExplorerPage, LineItem, PurchaseItem, Watermark};
use crate::services::cursor::{read_line_place, read_purchase_place, write_line_place, write_purchase_place};
use crate::services::names::Names;
use crate::services::ranges::{FIRST_DAY, LAST_DAY, LocalRange, local_text, time_zone};
use crate::services::reports::{Page, ReportError, Reports, position};
use crate::services::sources::PurchaseDescription;
use domain::ids::{AffiliateId, PurchaseId};
use domain::line::{LedgerLine, PurchaseRow};
use jiff::tz::TimeZone;
use std::collections::HashMap;
use store::scope::TenantScope;
use store::warehouse::TimeRange;
use store::warehouse::queries::{LineCursor, LinesPage as LinesQuery, PurchaseCursor, PurchaseLines, PurchasesPage};

/// The most rows of a page.
pub const MAX_PAGE_SIZE: u32 = 500;

/// The most purchases a search looks at.
const MAX_SEARCH_HITS: usize = 1_000;

/// The longest text a search takes, in bytes.
const MAX_SEARCH_BYTES: usize = 200;

/// Filters of the list of lines. Everything optional.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinesFilter {
    /// Business key of a purchase, or its number.
    pub purchase: Option<String>,
    /// Handle of an affiliate; empty for unattributed.
    pub affiliate: Option<String>,
    /// Only what occurred in these days.
    pub range: Option<DateRange>,
}

/// A line with the public name of its purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedLine {
    /// The line.
    pub line: LineItem,
    /// Business key of its purchase; empty for a manual line.
    pub business_key: String,
}

/// A page of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinesPage {
    /// Up to where it was read.
    pub watermark: Watermark,
    /// Oldest movement first.
    pub lines: Vec<ReportedLine>,
    /// Cursor of the next page.
    pub next: Option<String>,
}

impl Reports {
    /// A page of purchases, newest sale first. All pages of one list are read at the position
    /// of the first one.
    pub async fn explorer(
        &self,
        scope: &TenantScope,
        filter: &ExplorerFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ExplorerPage, ReportError> {
        let mut page = self.open_page(scope).await?;
        let limit = limit.clamp(1, MAX_PAGE_SIZE);
        let mut query = self.purchases_query(&page, filter).await?;
        query.limit = limit + 1;
        if let Some(cursor) = cursor {
            let place = read_purchase_place(cursor)?;
            page.watermark.next_offset = place.watermark(&position(&page.watermark))?.next_offset;
            query.after = Some(place.after);
        }
        let rows = self.read(&page, &query).await?;
        let shown = &rows[..rows.len().min(limit as usize)];
        let next = (rows.len() > shown.len()).then(|| shown.last()).flatten().map(|last| {
            write_purchase_place(
                &position(&page.watermark),
                PurchaseCursor { sale_at: last.sale_at, purchase: last.purchase },
            )
        });
        let items = self.describe_purchases(&page, shown).await?;
        Ok(ExplorerPage { watermark: page.watermark, items, next })
    }

    pub(crate) async fn purchases_query(
        &self,
        page: &Page,
        filter: &ExplorerFilter,
    ) -> Result<PurchasesPage, ReportError> {
        let affiliate = filter.affiliate.as_deref().map(|key| known_affiliate(&page.names, key)).transpose()?;
        let codes = filter.code.as_deref().map(|text| page.names.codes_by_text(text));
        let purchases = match filter.search.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) if text.len() > MAX_SEARCH_BYTES => {
                let message = format!("the text to search for is longer than {MAX_SEARCH_BYTES} bytes");
                return Err(ReportError::Filter { field: "search", message });
            }
            Some(text) => Some(self.sources.purchases.search(&page.scope, text, MAX_SEARCH_HITS).await?),
            None => None,
        };
        Ok(PurchasesPage {
            affiliate,
            codes,
            outcome: filter.outcome,
            currency: filter.currency,
            purchases,
            redemptions_only: filter.redemptions_only,
            sold: sold_in(filter, &page.names.time_zone)?,
            ..PurchasesPage::default()
        })
    }

    /// Purchases with every name a page shows.
    pub(crate) async fn describe_purchases(
        &self,
        page: &Page,
        rows: &[PurchaseRow],
    ) -> Result<Vec<PurchaseItem>, ReportError> {
        let ids: Vec<PurchaseId> = rows.iter().map(|row| row.purchase).collect();
        let mut descriptions = self.describe(page, &ids).await?;
        let zone = time_zone(&page.names.time_zone)?;
        let items = rows.iter().map(|row| {
            let description = descriptions.remove(&row.purchase).unwrap_or_default();
            purchase_item(row, description, &page.names, &zone)
        });
        Ok(items.collect())
    }

    async fn describe(
        &self,
        page: &Page,
        ids: &[PurchaseId],
    ) -> Result<HashMap<PurchaseId, PurchaseDescription>, ReportError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        Ok(self.sources.purchases.describe(&page.scope, ids).await?)
    }

    /// A page of ledger lines, oldest movement first. All pages of one list are read at the
    /// position of the first one.
    pub async fn lines(
        &self,
        scope: &TenantScope,
        filter: &LinesFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<LinesPage, ReportError> {
        let mut page = self.open_page(scope).await?;
        let limit = limit.clamp(1, MAX_PAGE_SIZE);
        let mut query = self.lines_query(&page, filter).await?;
        query.limit = limit + 1;
        if let Some(cursor) = cursor {
            let place = read_line_place(cursor)?;
            page.watermark.next_offset = place.watermark(&position(&page.watermark))?.next_offset;
            query.after = Some(place.after);
        }
        let rows = self.read(&page, &query).await?;
        let shown = &rows[..rows.len().min(limit as usize)];
        let next = (rows.len() > shown.len()).then(|| shown.last()).flatten().map(|last| {
            let after = LineCursor { occurred_at: last.occurred_at, src_off: last.src_off, ord: last.ord };
            write_line_place(&position(&page.watermark), after)
        });
        let lines = self.describe_lines(&page, shown).await?;
        Ok(LinesPage { watermark: page.watermark, lines, next })
    }

    async fn lines_query(&self, page: &Page, filter: &LinesFilter) -> Result<LinesQuery, ReportError> {
        let purchase = match filter.purchase.as_deref() {
            Some(name) => Some(self.purchase_by_name(page, name).await?),
            None => None,
        };
        let affiliate = match filter.affiliate.as_deref() {
            Some("") => Some(AffiliateId(0)),
            Some(key) => Some(known_affiliate(&page.names, key)?),
            None => None,
        };
        let range = filter.range.as_ref().map(LocalRange::new).transpose()?.map(|range| range.moments);
        Ok(LinesQuery { purchase, affiliate, range, after: None, limit: 0 })
    }

    /// A purchase by its number or its business key.
    async fn purchase_by_name(&self, page: &Page, name: &str) -> Result<PurchaseId, ReportError> {
        if let Ok(number) = name.parse() {
            return Ok(PurchaseId(number));
        }
        let found = self.sources.purchases.resolve(&page.scope, name).await?;
        found.ok_or_else(|| ReportError::Filter {
            field: "purchase",
            message: format!(
                "there is no purchase `{name}`; give a business key such as inv:in_1, or the number of a purchase"
            ),
        })
    }

    /// The lines of one purchase in the order in which they were booked.
    pub async fn purchase_lines(
        &self,
        scope: &TenantScope,
        purchase: PurchaseId,
    ) -> Result<Vec<LineItem>, ReportError> {
        let page = self.open_page(scope).await?;
        let rows = self.read(&page, &PurchaseLines { purchase }).await?;
        Ok(rows.iter().map(|line| line_item(line, &page.names)).collect())
    }

    pub(crate) async fn describe_lines(
        &self,
        page: &Page,
        rows: &[LedgerLine],
    ) -> Result<Vec<ReportedLine>, ReportError> {
        let mut ids: Vec<PurchaseId> = rows.iter().map(|row| row.purchase).filter(|id| *id != PurchaseId(0)).collect();
        ids.sort_unstable();
        ids.dedup();
        let descriptions = self.describe(page, &ids).await?;
        let described = rows.iter().map(|row| ReportedLine {
            line: line_item(row, &page.names),
            business_key: descriptions.get(&row.purchase).map(|known| known.business_key.clone()).unwrap_or_default(),
        });
        Ok(described.collect())
    }
}

/// The moments of the days of a filter; an end that was not given is open.
fn sold_in(filter: &ExplorerFilter, time_zone: &str) -> Result<Option<TimeRange>, ReportError> {
    if filter.from.is_none() && filter.to.is_none() {
        return Ok(None);
    }
    let (from, to) = (filter.from.unwrap_or(FIRST_DAY), filter.to.unwrap_or(LAST_DAY));
    let days = DateRange { from, to, time_zone: time_zone.to_owned() };
    Ok(Some(LocalRange::new(&days)?.moments))
}

fn known_affiliate(names: &Names, key: &str) -> Result<AffiliateId, ReportError> {
    names.affiliate_by_key(key).ok_or_else(|| ReportError::Filter {
        field: "affiliate",
        message: format!("there is no affiliate `{key}`; give a handle such as aff_maya"),
    })
}

fn purchase_item(row: &PurchaseRow, description: PurchaseDescription, names: &Names, zone: &TimeZone) -> PurchaseItem {
    let affiliate = names.affiliate(row.affiliate);
    let mapped_code = names.code(row.code);
    PurchaseItem {
        purchase: row.purchase,
        business_key: description.business_key,
        sale_at: row.sale_at,
        sale_at_text: local_text(row.sale_at, zone),
        outcome: row.outcome,
        reason: row.reason.clone(),
        affiliate: row.affiliate,
        affiliate_key: affiliate.key,
        affiliate_name: affiliate.name,
        code: row.code,
        code_text: if description.code_text.is_empty() { mapped_code } else { description.code_text },
        sale_kind: description.sale_kind,
        redemption: description.redemption,
        currency: row.currency,
        gross: row.gross,
        net: row.net,
        reversed: row.reversed,
        commission: row.commission,
        flags: row.flags.clone(),
    }
}

/// A line with its names. Its public identity is `partition-offset-ord`.
pub(crate) fn line_item(line: &LedgerLine, names: &Names) -> LineItem {
    LineItem {
        id: format!("{}-{}-{}", line.src_part, line.src_off, line.ord),
        kind: line.kind.name().to_owned(),
        occurred_at: line.occurred_at,
        booked_at: line.booked_at,
        sale_at: line.sale_at,
        purchase: line.purchase,
        affiliate: names.affiliate(line.affiliate).key,
        code: names.code(line.code),
        currency: line.currency,
        redemptions: line.amounts.redemptions,
        conversions: line.amounts.conversions,
        gross: line.amounts.gross,
        net: line.amounts.net,
        commission: line.amounts.commission,
        rule_rev: line.rule_rev,
    }
}
