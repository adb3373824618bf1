//! The engine, and the queries of the page on the dashboard, for measurements.

use crate::data::{DAYS, NOW};
use api::model::DateRange;
use api::services::buckets::grouping_for;
use api::services::ranges::LocalRange;
use jiff::ToSpan;

use std::path::Path;
use std::time::Duration;
use store::scope::TenantScope;
use store::warehouse::queries::{Grouping, LedgerSummary, PurchaseOutcomes, PurchasesPage, Subject};

use store::warehouse::{ScopedQuery, Warehouse, WarehouseConfig, Watermark};

/// The embedded engine with the memory that the product gives it.
pub async fn start_engine(folder: &Path) -> engine::Engine {
    let library = engine::find_library(Path::new(".cache/engine")).unwrap_or_else(|error| panic!("{error}"));
    let config = engine::EngineConfig {
        library,
        data_dir: folder.join("warehouse"),
        database: "affilitrack".to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        max_memory_bytes: 512 << 20,
        mark_cache_bytes: 64 << 20,
        connections: 4,
        max_waiting: 512,
        query_timeout: Duration::from_secs(30),
        key: "a key of this measurement".to_owned(),
    };
    engine::Engine::start(config).await.unwrap()
}

/// A database of it, with empty tables.
pub async fn warehouse(engine: &engine::Engine, database: &str) -> Warehouse {
    let warehouse = Warehouse::new(WarehouseConfig {
        url: engine.url().to_owned(),
        user: "default".to_owned(),
        key: engine.key().to_owned(),
        database: database.to_owned(),
        query_timeout: Duration::from_secs(30),
        insert_timeout: Duration::from_secs(60),
    });
    warehouse.migrate().await.unwrap();
    warehouse
}

/// The days of the page.
pub fn range() -> DateRange {
    let to = jiff::Timestamp::from_millisecond(NOW.0).unwrap().to_zoned(jiff::tz::TimeZone::UTC).date();
    DateRange { from: to - (DAYS - 1).days(), to, time_zone: "Europe/Berlin".to_owned() }
}

/// The page's four queries as they are, without anything around them: all at once, or one.
pub async fn queries(
    warehouse: &Warehouse,
    scope: &TenantScope,
    position: &Watermark,
    range: &DateRange,
    only: Option<usize>,
) {
    let local = LocalRange::new(range).unwrap();
    let groupings = vec![Grouping::Affiliate, Grouping::Code, grouping_for(&local, local.natural_bucket())];
    let now = LedgerSummary { range: Some(local.moments), of: Subject::All, groupings };
    let days = local.day_count().days();
    let (from, to) = (range.from.saturating_sub(days), range.to.saturating_sub(days));
    let earlier = LocalRange::new(&DateRange { from, to, time_zone: range.time_zone.clone() }).unwrap();
    let groupings = vec![Grouping::Affiliate, grouping_for(&earlier, local.natural_bucket())];
    let before = LedgerSummary { range: Some(earlier.moments), of: Subject::All, groupings };
    let feed = PurchasesPage { limit: 20, ..PurchasesPage::default() };
    let outcomes = PurchaseOutcomes::default();
    let one = Reading { warehouse, scope, position, only };
    tokio::join!(one.read(0, &now), one.read(1, &before), one.read(2, &feed), one.read(3, &outcomes));
}

struct Reading<'a> {
    warehouse: &'a Warehouse,
    scope: &'a TenantScope,
    position: &'a Watermark,
    only: Option<usize>,
}

impl Reading<'_> {
    async fn read<Q: ScopedQuery>(&self, place: usize, query: &Q) {
        if self.only.is_none_or(|wanted| wanted == place) {
            self.warehouse.read(self.scope, self.position, query).await.unwrap();
        }
    }
}
