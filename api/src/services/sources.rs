//! What the services read besides the warehouse: small traits that the wiring fills in.

use crate::export::Payee;
use crate::model::Watermark;
use crate::services::names::Names;
use async_trait::async_trait;
use domain::ids::{AffiliateId, PurchaseId, Timestamp, VendorId};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use store::scope::TenantScope;

/// The time now. A closure, so that tests stand still.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Up to where a vendor's data can be read.
pub trait WatermarkSource: Send + Sync {
    /// The vendor's watermark. It never goes back within a generation.
    fn watermark(&self, vendor: VendorId) -> Watermark;
}

/// Names of affiliates and codes, and the vendor's time zone.
#[async_trait]
pub trait Catalogue: Send + Sync {
    /// The names a scope may see.
    async fn names(&self, scope: &TenantScope) -> anyhow::Result<Arc<Names>>;

    /// The affiliates a scope may see, as a file names them.
    async fn payees(&self, scope: &TenantScope) -> anyhow::Result<HashMap<AffiliateId, Payee>>;
}

/// What is known of a purchase that the warehouse does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PurchaseDescription {
    /// Public name, for example `inv:in_1`.
    pub business_key: String,
    /// `first`, `renewal`, `update`, `one_time`, `zero`.
    pub sale_kind: String,
    /// A use of a code that is a first sale.
    pub redemption: bool,
    /// The code as the provider wrote it, empty if none.
    pub code_text: String,
}

/// Public names of purchases.
#[async_trait]
pub trait PurchaseNames: Send + Sync {
    /// Descriptions of the purchases that are known. At most a page of them is asked for.
    async fn describe(
        &self,
        scope: &TenantScope,
        purchases: &[PurchaseId],
    ) -> anyhow::Result<HashMap<PurchaseId, PurchaseDescription>>;

    /// The purchase with this business key or alias, after merges.
    async fn resolve(&self, scope: &TenantScope, business_key: &str) -> anyhow::Result<Option<PurchaseId>>;

    /// Purchases whose business key or provider id is `text`, at most `limit`.
    async fn search(&self, scope: &TenantScope, text: &str, limit: usize) -> anyhow::Result<Vec<PurchaseId>>;
}

/// How the records of a vendor and mode were read; each record is in one count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DeliveryCounts {
    /// Booked something.
    pub counted: u64,
    /// Understood, booked nothing: a copy, or nothing new in it.
    pub no_effect: u64,
    /// Of a kind that never books anything.
    pub ignored: u64,
    /// Understood, waits for something named.
    pub waiting: u64,
    /// Could not be understood (open).
    pub refused: u64,
    /// Not deliveries: decisions, look-up answers, deadlines.
    pub decisions: u64,
    /// All records; the sum of the others.
    pub records: u64,
}

/// How far a vendor's records have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct StatusReport {
    /// One past the last offset of the vendor's partition.
    pub log_end: u64,
    /// One past the last folded offset.
    pub folded: u64,
    /// One past the last offset that can be read.
    pub visible: u64,
    /// Questions to providers without an answer yet.
    pub pending_lookups: u64,
    /// Decisions that are not in the log yet.
    pub pending_decisions: u64,
    /// Nothing is under way: all that was sent is visible.
    pub settled: bool,
}

/// What only the fold's own store can tell.
#[async_trait]
pub trait LedgerReads: Send + Sync {
    /// One purchase with its lines, as `GET /api/v1/purchases/{business_key}` answers.
    async fn purchase(&self, scope: &TenantScope, business_key: &str) -> anyhow::Result<Option<serde_json::Value>>;

    /// How one delivery was read, as `GET /api/v1/deliveries/{id}` answers.
    async fn delivery(&self, scope: &TenantScope, id: &str) -> anyhow::Result<Option<serde_json::Value>>;

    /// How the records of the scope were read.
    async fn delivery_counts(&self, scope: &TenantScope) -> anyhow::Result<DeliveryCounts>;

    /// How far the scope's vendor has come.
    async fn status(&self, scope: &TenantScope) -> anyhow::Result<StatusReport>;
}

/// Turns an API key into what it may see.
#[async_trait]
pub trait KeyResolver: Send + Sync {
    /// The scope of a key, or `None` when it is unknown or was revoked.
    async fn scope_of_key(&self, key: &str) -> anyhow::Result<Option<TenantScope>>;
}
