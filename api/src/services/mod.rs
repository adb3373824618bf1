//! The operations behind pages and the JSON API. Everything takes a `TenantScope`.

pub mod buckets;
mod control_names;
mod cursor;
mod figures;
mod listings;
mod months;
pub mod names;
mod payouts;
mod portal;
pub mod query_cache;
pub mod ranges;
pub mod reports;
pub mod sources;
mod spike_rows;
mod totals;

#[cfg(test)]
mod buckets_tests;
#[cfg(test)]
mod reports_tests;
#[cfg(test)]
pub(crate) mod test_api;
#[cfg(test)]
#[path = "../../../store/src/warehouse/test_engine.rs"]
mod test_engine;
#[cfg(test)]
pub(crate) mod test_scope;

pub use control_names::ControlNames;
pub(crate) use listings::line_item;
pub use listings::{LinesFilter, LinesPage, ReportedLine};
pub use months::MonthFigures;
pub use names::Names;
pub use portal::{PortalBalance, PortalReport};
pub use query_cache::{CacheLimits, QueryCache};
pub use ranges::{RangeError, RangePreset};
pub use reports::{ReportError, ReportSources, Reports};
pub use sources::{
    Catalogue, Clock, DeliveryCounts, KeyResolver, LedgerReads, PurchaseDescription, PurchaseNames, StatusReport,
    WatermarkSource,
};
pub use spike_rows::RedemptionsUntil;
pub use totals::{TotalsGroup, TotalsReport, TotalsRequest};
