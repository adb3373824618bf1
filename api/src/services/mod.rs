//! The operations behind pages and the JSON API. Everything takes a `TenantScope`.

pub mod buckets;
mod claims;
mod comparison;
mod control_names;
mod cursor;
mod figures;
mod listings;
mod months;
pub mod names;
mod payouts;
mod portal;
mod purchase_file;
pub mod query_cache;
pub mod ranges;
pub mod reports;
pub mod sources;
mod spike_rows;
mod subject;
mod totals;

#[cfg(test)]
mod buckets_tests;
#[cfg(test)]
mod figures_tests;
#[cfg(test)]
mod reports_tests;
#[cfg(test)]
pub(crate) mod test_api;
#[cfg(test)]
#[path = "../../../store/src/warehouse/test_engine.rs"]
mod test_engine;
#[cfg(test)]
pub(crate) mod test_scope;

pub use claims::{Claim, MAX_CLAIM_BYTES, Verdict};
pub use comparison::Comparison;
pub use control_names::ControlNames;
pub(crate) use listings::line_item;
pub use listings::{LinesFilter, LinesPage, ReportedLine};
pub use months::MonthFigures;
pub use names::Names;
pub use portal::{PortalBalance, PortalReport};
pub use purchase_file::PurchaseFile;
pub use query_cache::{CacheLimits, QueryCache};
pub use ranges::{RangeError, RangePreset};
pub use reports::{FiguresRequest, ReportError, ReportSources, Reports};
pub use sources::{
    Catalogue, Clock, DeliveryCounts, KeyResolver, LedgerReads, PurchaseDescription, PurchaseNames, StatusReport,
    WatermarkSource,
};
pub use spike_rows::RedemptionsUntil;
pub use store::warehouse::queries::Subject;
pub use subject::SubjectReport;
pub use totals::{TotalsGroup, TotalsReport, TotalsRequest};
