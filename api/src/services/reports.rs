//! The figures of the dashboard. Every query of one page is read up to one watermark.

use crate::model::{Bucket, Dashboard, DateRange, Earlier, GroupTotals, OutcomeCounts, SeriesPoint, Totals, Watermark};
use crate::services::buckets::{BucketSpan, bucket_of_key, buckets, grouping_for};
use crate::services::comparison::{Comparison, EarlierRange};
use crate::services::cursor::BadCursor;
use crate::services::figures::{currencies_by_sales, order_by_currencies, totals_of, totals_per_currency};
use crate::services::names::Names;
use crate::services::query_cache::{QueryCache, Weigh};
use crate::services::ranges::{LocalRange, RangeError, RangePreset, local_day, time_zone};
use crate::services::sources::{Catalogue, Clock, LedgerReads, PurchaseNames, WatermarkSource};
use domain::ids::{AffiliateId, CodeId, Timestamp};
use domain::line::PurchaseOutcome;
use domain::money::Currency;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::scope::TenantScope;
use store::warehouse::queries::{
    Grouping, LedgerBounds, LedgerSummary, OutcomeCount, PurchaseOutcomes, PurchasesPage, Subject, SummaryRow,
};
use store::warehouse::{ScopedQuery, TenantRow, Warehouse, WarehouseError};
use telemetry::metrics::{Metric, Stopwatch};

/// Why a report cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The range cannot be used; the text is for people.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The cursor cannot be used; the text is for people.
    #[error(transparent)]
    Cursor(#[from] BadCursor),
    /// A filter names something that does not exist; the text is for people.
    #[error("{message}")]
    Filter {
        /// The filter.
        field: &'static str,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The warehouse; the text is for logs.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// Another store; the text is for logs.
    #[error("a store could not be read: {0:#}")]
    Source(#[from] anyhow::Error),
}

/// What reports are made of.
#[derive(Clone)]
pub struct ReportSources {
    /// Ledger lines and purchases.
    pub warehouse: Warehouse,
    /// Answers that are still true.
    pub cache: Arc<QueryCache>,
    /// Names of affiliates and codes.
    pub catalogue: Arc<dyn Catalogue>,
    /// Names of purchases.
    pub purchases: Arc<dyn PurchaseNames>,
    /// How deliveries were read.
    pub ledger: Arc<dyn LedgerReads>,
    /// Up to where can be read.
    pub watermarks: Arc<dyn WatermarkSource>,
    /// The time now.
    pub clock: Clock,
}

/// The reports.
#[derive(Clone)]
pub struct Reports {
    pub(crate) sources: ReportSources,
}

/// What the figures of a page are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiguresRequest {
    /// Which days.
    pub range: DateRange,
    /// Of the chart; chosen by the length of the range when it is `None`.
    pub bucket: Option<Bucket>,
    /// With what they are compared.
    pub against: Comparison,
}

impl FiguresRequest {
    /// Of these days, with the usual bucket and comparison.
    pub fn of(range: DateRange) -> FiguresRequest {
        FiguresRequest { range, bucket: None, against: Comparison::default() }
    }
}

/// How many affiliates and codes the dashboard shows.
const TOP_GROUPS: usize = 50;

/// How many purchases the feed shows.
const FEED_ROWS: u32 = 20;

/// The answer of a query, shared with the cache.
type Rows<Q> = Arc<Vec<<<Q as ScopedQuery>::Row as TenantRow>::Output>>;

/// The watermark as the store takes it.
pub(crate) fn position(watermark: &Watermark) -> store::warehouse::Watermark {
    store::warehouse::Watermark {
        generation: watermark.generation,
        partition: watermark.partition,
        next_offset: watermark.next_offset,
    }
}

/// What every report of one page shares.
pub(crate) struct Page {
    pub scope: TenantScope,
    pub watermark: Watermark,
    pub names: Arc<Names>,
}

impl Reports {
    /// Reports over these sources.
    pub fn new(sources: ReportSources) -> Reports {
        Reports { sources }
    }

    /// Takes the watermark, once for a whole page, and then the names.
    pub(crate) async fn open_page(&self, scope: &TenantScope) -> Result<Page, ReportError> {
        let watermark = self.sources.watermarks.watermark(scope.vendor());
        let names = self.sources.catalogue.names(scope).await?;
        Ok(Page { scope: *scope, watermark, names })
    }

    /// Reads through the cache.
    pub(crate) async fn read<Q: ScopedQuery>(&self, page: &Page, query: &Q) -> Result<Rows<Q>, ReportError>
    where
        Vec<<Q::Row as TenantRow>::Output>: Weigh + Send + Sync + 'static,
    {
        let position = position(&page.watermark);
        let question = format!("{} {query:?}", Q::NAME);
        let read = async {
            let stopwatch = Stopwatch::start();
            let rows = self.sources.warehouse.read(&page.scope, &position, query).await;
            stopwatch.observe(Metric::QuerySeconds, [("query", Q::NAME)]);
            rows
        };
        Ok(self.sources.cache.get(&page.scope, &position, question, read).await?)
    }

    /// First and last moment of the visible ledger.
    pub(crate) async fn ledger_bounds(&self, page: &Page) -> Result<Option<(Timestamp, Timestamp)>, ReportError> {
        let bounds = self.read(page, &LedgerBounds).await?;
        Ok(bounds.first().map(|bounds| (bounds.first, bounds.last)))
    }

    /// The days of a preset in the vendor's time zone.
    pub async fn preset_range(&self, scope: &TenantScope, preset: RangePreset) -> Result<DateRange, ReportError> {
        let page = self.open_page(scope).await?;
        let zone = time_zone(&page.names.time_zone)?;
        let today = local_day((self.sources.clock)(), &zone);
        let ledger = match preset {
            RangePreset::All => self.ledger_bounds(&page).await?,
            _ => None,
        };
        let ledger_days = ledger.map(|(first, last)| (local_day(first, &zone), local_day(last, &zone)));
        let (from, to) = preset.days(today, ledger_days);
        Ok(DateRange { from, to, time_zone: page.names.time_zone.clone() })
    }

    /// The first screen.
    pub async fn dashboard(&self, scope: &TenantScope, request: &FiguresRequest) -> Result<Dashboard, ReportError> {
        let page = self.open_page(scope).await?;
        let feed_query = PurchasesPage { limit: FEED_ROWS, ..PurchasesPage::default() };
        let (figures, feed, outcomes) = tokio::try_join!(
            self.figures(&page, request, Subject::All),
            self.read(&page, &feed_query),
            self.outcome_counts(&page, Subject::All),
        )?;
        let feed = self.describe_purchases(&page, &feed).await?;
        Ok(Dashboard { feed, outcomes, ..figures })
    }

    /// The figures of a range: a dashboard without feed and counts by outcome.
    pub(crate) async fn figures(
        &self,
        page: &Page,
        request: &FiguresRequest,
        of: Subject,
    ) -> Result<Dashboard, ReportError> {
        let local = LocalRange::new(&request.range)?;
        let bucket = request.bucket.unwrap_or_else(|| local.natural_bucket());
        let spans = buckets(&local, bucket)?;
        let query = LedgerSummary {
            range: Some(local.moments),
            of,
            groupings: vec![Grouping::Affiliate, Grouping::Code, grouping_for(&local, bucket)],
        };
        let earlier = EarlierRange::of(&local, request.against)?;
        let (summary, before) = tokio::try_join!(self.read(page, &query), async {
            match &earlier {
                Some(earlier) => self.read(page, &earlier_query(earlier, bucket, of)).await.map(Some),
                None => Ok(None),
            }
        })?;

        let by_grouping = |index: usize| summary.iter().filter(move |row| row.grouping == index);
        let mut totals = totals_per_currency(by_grouping(0));
        let currencies = currencies_by_sales(&totals);
        order_by_currencies(&mut totals, &currencies);
        let now = (self.sources.clock)();
        let series = series(&spans, &currencies, now, by_grouping(2), |key| bucket_of_key(&spans, bucket, key));
        let earlier = earlier.zip(before).map(|(earlier, rows)| earlier.figures(&spans, bucket, &currencies, &rows));
        Ok(Dashboard {
            watermark: page.watermark,
            range: request.range.clone(),
            bucket,
            totals,
            earlier,
            active_affiliates: count_affiliates(by_grouping(0)),
            series,
            affiliates: top_affiliates(group_affiliates(by_grouping(0), &page.names, &currencies), &currencies),
            codes: top_codes(group_codes(by_grouping(1), &page.names, &currencies)),
            feed: Vec::new(),
            outcomes: OutcomeCounts::default(),
            currencies,
        })
    }

    /// How the purchases and deliveries of a scope ended.
    pub async fn outcomes(&self, scope: &TenantScope) -> Result<(Watermark, OutcomeCounts), ReportError> {
        let page = self.open_page(scope).await?;
        Ok((page.watermark, self.outcome_counts(&page, Subject::All).await?))
    }

    /// Deliveries that could not be understood are nobody's: they are counted for everything alone.
    pub(crate) async fn outcome_counts(&self, page: &Page, subject: Subject) -> Result<OutcomeCounts, ReportError> {
        let counts = self.read(page, &PurchaseOutcomes { of: subject }).await?;
        let refused = match subject {
            Subject::All => self.sources.ledger.delivery_counts(&page.scope).await?.refused,
            Subject::Affiliate(_) | Subject::Code(_) => 0,
        };
        let of = |outcome: PurchaseOutcome| {
            counts.iter().filter(|count: &&OutcomeCount| count.outcome == outcome).map(|count| count.purchases).sum()
        };
        Ok(OutcomeCounts {
            credited: of(PurchaseOutcome::Credited),
            organic: of(PurchaseOutcome::Organic),
            rejected: of(PurchaseOutcome::Rejected),
            waiting: of(PurchaseOutcome::Waiting),
            refused,
        })
    }
}

fn count_affiliates<'a>(rows: impl Iterator<Item = &'a SummaryRow>) -> u64 {
    let mut keys: Vec<i64> = rows.map(|row| row.key).filter(|key| *key != 0).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.len() as u64
}

/// The sums of an earlier range, by affiliate and in the buckets' grouping.
fn earlier_query(earlier: &EarlierRange, bucket: Bucket, of: Subject) -> LedgerSummary {
    let groupings = vec![Grouping::Affiliate, grouping_for(&earlier.local, bucket)];
    LedgerSummary { range: Some(earlier.local.moments), of, groupings }
}

impl EarlierRange {
    /// The answer to [`earlier_query`], beside the buckets of the later range.
    fn figures(&self, spans: &[BucketSpan], bucket: Bucket, currencies: &[Currency], rows: &[SummaryRow]) -> Earlier {
        let by_grouping = |index: usize| rows.iter().filter(move |row| row.grouping == index);
        let mut totals = totals_per_currency(by_grouping(0));
        order_by_currencies(&mut totals, currencies);
        let twin = |key| self.twin_of_key(spans, bucket, key);
        let mut series = series(spans, currencies, Timestamp(i64::MAX), by_grouping(1), twin);
        for (point, span) in series.iter_mut().zip(spans) {
            point.label = self.label(span, bucket);
        }
        let active_affiliates = count_affiliates(by_grouping(0));
        Earlier { range: self.local.days.clone(), totals, active_affiliates, series }
    }
}

/// One point per bucket, zeros included. `bucket_of` says into which bucket the key of a row falls.
fn series<'a>(
    spans: &[BucketSpan],
    currencies: &[Currency],
    now: Timestamp,
    rows: impl Iterator<Item = &'a SummaryRow>,
    bucket_of: impl Fn(i64) -> usize,
) -> Vec<SeriesPoint> {
    let point = |span: &BucketSpan| SeriesPoint {
        starts_at: span.starts_at,
        label: span.label.clone(),
        partial: now < span.ends_at,
        redemptions: 0,
        revenue: vec![0; currencies.len()],
        commission: vec![0; currencies.len()],
    };
    let mut points: Vec<SeriesPoint> = spans.iter().map(point).collect();
    for row in rows {
        let Some(point) = points.get_mut(bucket_of(row.key)) else { continue };
        point.redemptions += row.redemptions;
        if let Some(currency) = currencies.iter().position(|currency| *currency == row.currency) {
            point.revenue[currency] = point.revenue[currency].saturating_add(row.net);
            point.commission[currency] = point.commission[currency].saturating_add(row.commission);
        }
    }
    points
}

/// Puts the rows of a grouping together by key, each with its totals in the order of
/// `currencies`.
pub(crate) fn group_rows<'a>(
    rows: impl Iterator<Item = &'a SummaryRow>,
    currencies: &[Currency],
    name: impl Fn(i64) -> (String, String),
) -> Vec<GroupTotals> {
    let mut groups: BTreeMap<i64, Vec<Totals>> = BTreeMap::new();
    for row in rows {
        groups.entry(row.key).or_default().push(totals_of(row));
    }
    let named = groups.into_iter().map(|(key, mut totals)| {
        order_by_currencies(&mut totals, currencies);
        let (group, label) = name(key);
        GroupTotals { group, label, number: key as u64, totals }
    });
    named.collect()
}

/// Groups by affiliate. The key of a row is the id's bits.
pub(crate) fn group_affiliates<'a>(
    rows: impl Iterator<Item = &'a SummaryRow>,
    names: &Names,
    currencies: &[Currency],
) -> Vec<GroupTotals> {
    group_rows(rows, currencies, |key| {
        let affiliate = names.affiliate(AffiliateId(key as u64));
        if key == 0 { (String::new(), "Unattributed".to_owned()) } else { (affiliate.key, affiliate.name) }
    })
}

/// Groups by code. The key of a row is the id's bits.
pub(crate) fn group_codes<'a>(
    rows: impl Iterator<Item = &'a SummaryRow>,
    names: &Names,
    currencies: &[Currency],
) -> Vec<GroupTotals> {
    group_rows(rows, currencies, |key| {
        let code = names.code(CodeId(key as u64));
        if key == 0 { (code, "No code".to_owned()) } else { (code.clone(), code) }
    })
}

/// Most commission first; unattributed left out. Amounts of different currencies are never
/// added or compared: the currency with the most sales decides, the next one breaks ties.
fn top_affiliates(mut groups: Vec<GroupTotals>, currencies: &[Currency]) -> Vec<GroupTotals> {
    groups.retain(|group| !group.group.is_empty());
    let commission = |group: &GroupTotals, currency: Currency| {
        group.totals.iter().find(|totals| totals.currency == currency).map_or(0, |totals| totals.commission)
    };
    groups.sort_by_cached_key(|group| {
        let per_currency: Vec<_> = currencies.iter().map(|currency| Reverse(commission(group, *currency))).collect();
        (per_currency, group.group.clone())
    });
    groups.truncate(TOP_GROUPS);
    groups
}

/// Most redemptions first; sales without a code left out.
fn top_codes(mut groups: Vec<GroupTotals>) -> Vec<GroupTotals> {
    groups.retain(|group| !group.group.is_empty());
    let redemptions = |group: &GroupTotals| group.totals.iter().map(|totals| totals.redemptions).sum::<i64>();
    groups.sort_by(|one, other| redemptions(other).cmp(&redemptions(one)).then_with(|| one.group.cmp(&other.group)));
    groups.truncate(TOP_GROUPS);
    groups
}
