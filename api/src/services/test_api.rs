//! The whole read side for tests: the real engine, the real control store, and doubles for
//! what the fold's store tells.

use crate::budget::BudgetLimits;
use crate::json::{JsonApi, router};
use crate::model::Watermark;
use crate::services::query_cache::{CacheLimits, QueryCache};
use crate::services::sources::*;
use crate::services::test_engine::{TestEngine, fresh_database, test_engine};
use crate::services::test_scope::{control_store, scope_in};
use crate::services::{ControlNames, ReportSources, Reports};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use domain::ids::{AffiliateId, CodeId, ConnectionId, Mode, PurchaseId, Timestamp, VendorId};
use domain::line::{Amounts, LedgerLine, LineKind, PurchaseOutcome, PurchaseRow};
use domain::money::Currency;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::control::{ControlStore, SqliteControlStore};
use store::event_log::partition_of;
use store::scope::TenantScope;
use store::warehouse::{InsertBatch, Warehouse, WarehouseConfig};
use tower::ServiceExt;

/// 2026-11-21T12:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_795_262_400_000);

/// Purchase `n` has the business key `inv:in/n` and is a first sale by code.
struct Doubles {
    next_offset: AtomicU64,
}

#[async_trait]
impl PurchaseNames for Doubles {
    async fn describe(
        &self,
        _scope: &TenantScope,
        purchases: &[PurchaseId],
    ) -> anyhow::Result<HashMap<PurchaseId, PurchaseDescription>> {
        let described = purchases.iter().map(|purchase| {
            let description = PurchaseDescription {
                business_key: format!("inv:in/{purchase}"),
                sale_kind: "first".to_owned(),
                redemption: true,
                code_text: String::new(),
            };
            (*purchase, description)
        });
        Ok(described.collect())
    }

    async fn resolve(&self, _scope: &TenantScope, business_key: &str) -> anyhow::Result<Option<PurchaseId>> {
        let number = business_key.strip_prefix("inv:in/").and_then(|number| number.parse().ok());
        Ok(number.map(PurchaseId))
    }

    async fn search(&self, _scope: &TenantScope, text: &str, _limit: usize) -> anyhow::Result<Vec<PurchaseId>> {
        Ok(text.parse().map(PurchaseId).into_iter().collect())
    }
}

#[async_trait]
impl LedgerReads for Doubles {
    async fn purchase(&self, scope: &TenantScope, business_key: &str) -> anyhow::Result<Option<Value>> {
        let found = business_key.starts_with("inv:");
        Ok(found.then(|| json!({"business_key": business_key, "vendor": scope.vendor().0})))
    }

    async fn delivery(&self, _scope: &TenantScope, id: &str) -> anyhow::Result<Option<Value>> {
        Ok(id.starts_with("evt_").then(|| json!({"event_id": id})))
    }

    async fn delivery_counts(&self, _scope: &TenantScope) -> anyhow::Result<DeliveryCounts> {
        Ok(DeliveryCounts { counted: 5, refused: 2, records: 7, ..DeliveryCounts::default() })
    }

    async fn status(&self, _scope: &TenantScope) -> anyhow::Result<StatusReport> {
        Ok(StatusReport { log_end: 9, settled: true, ..StatusReport::default() })
    }
}

impl WatermarkSource for Doubles {
    fn watermark(&self, vendor: VendorId) -> Watermark {
        let next_offset = self.next_offset.load(Ordering::SeqCst);
        Watermark { generation: 1, partition: partition_of(vendor), next_offset, as_of: NOW }
    }
}

/// A running read side with an empty ledger.
pub(crate) struct TestApi {
    pub reports: Reports,
    pub cache: Arc<QueryCache>,
    pub control: Arc<SqliteControlStore>,
    warehouse: Warehouse,
    doubles: Arc<Doubles>,
    router: Router,
    _folder: tempfile::TempDir,
    _engine: TestEngine,
}

impl TestApi {
    pub async fn start() -> TestApi {
        TestApi::with_budget(BudgetLimits::default()).await
    }

    pub async fn with_budget(limits: BudgetLimits) -> TestApi {
        let engine = test_engine();
        let warehouse = Warehouse::new(WarehouseConfig {
            url: engine.url.clone(),
            user: String::new(),
            key: engine.key.clone(),
            database: fresh_database(),
            query_timeout: Duration::from_secs(20),
            insert_timeout: Duration::from_secs(20),
        });
        warehouse.migrate().await.unwrap();
        let (folder, control) = control_store();
        let control = Arc::new(control);
        let clock: Clock = Arc::new(|| NOW);
        let names = Arc::new(ControlNames::new(control.clone(), clock.clone()));
        let doubles = Arc::new(Doubles { next_offset: AtomicU64::new(0) });
        let cache = Arc::new(QueryCache::new(CacheLimits::default()));
        let reports = Reports::new(ReportSources {
            warehouse: warehouse.clone(),
            cache: cache.clone(),
            catalogue: names.clone(),
            purchases: doubles.clone(),
            ledger: doubles.clone(),
            watermarks: doubles.clone(),
            clock,
        });
        let json_api = JsonApi::new(reports.clone(), doubles.clone(), names, limits);
        let router = router(Arc::new(json_api));
        TestApi { reports, cache, control, warehouse, doubles, router, _folder: folder, _engine: engine }
    }

    /// A vendor in Berlin with an affiliate `aff_maya` of the code MAYA20 and `aff_leo` of LEO50.
    pub async fn vendor(&self, slug: &str, mode: Mode) -> TenantScope {
        let scope = scope_in(&self.control, slug, mode).await;
        let decisions: Vec<store::control::input::DecisionInput> = serde_json::from_value(json!([
            {"decide": "policy", "hold_days": 30, "time_zone": "Europe/Berlin"},
            {"decide": "affiliate", "key": "aff_maya", "name": "Maya"},
            {"decide": "affiliate", "key": "aff_leo", "name": "Leo"},
            {"decide": "map", "code": "MAYA20", "affiliate": "aff_maya"},
            {"decide": "map", "code": "LEO50", "affiliate": "aff_leo"},
        ]))
        .unwrap();
        self.control.decide(scope.vendor(), decisions, "test", Timestamp(0)).await.unwrap();
        scope
    }

    /// The affiliate with this handle and its code.
    pub async fn affiliate(&self, scope: &TenantScope, key: &str) -> (AffiliateId, CodeId) {
        let affiliate =
            self.control.affiliates(scope).await.unwrap().into_iter().find(|known| known.key == key).unwrap();
        let code =
            self.control.codes(scope).await.unwrap().into_iter().find(|code| code.affiliate == Some(affiliate.id));
        (affiliate.id, code.unwrap().id)
    }

    pub async fn key(&self, scope: &TenantScope) -> String {
        let key =
            self.control.create_api_key(scope.vendor(), scope.mode(), "test", "test", Timestamp(0)).await.unwrap();
        key.expose().to_owned()
    }

    /// Books sales and makes them visible as the processor does.
    pub async fn book(&self, scope: &TenantScope, sales: &[Sale]) {
        let (vendor, mode) = (scope.vendor(), scope.mode());
        let lines: Vec<LedgerLine> = sales.iter().map(|sale| sale.line(vendor, mode)).collect();
        let purchases: Vec<PurchaseRow> = sales.iter().map(|sale| sale.purchase(vendor, mode)).collect();
        let token = format!("{vendor}-{mode:?}-{}", sales[0].offset);
        let batch = InsertBatch { generation: 1, lines: &lines, purchases: &purchases, token: &token };
        self.warehouse.insert(&batch).await.unwrap();
        let end = sales.iter().map(|sale| sale.offset + 1).max().unwrap();
        let end = end.max(self.doubles.next_offset.load(Ordering::SeqCst));
        let affiliates = lines.iter().map(|line| line.affiliate).collect();
        self.cache.mark_changed((vendor, mode), &affiliates, 1, end);
        self.doubles.next_offset.store(end, Ordering::SeqCst);
    }

    pub async fn get(&self, key: &str, path: &str) -> (StatusCode, HeaderMap, Value) {
        let request = Request::get(path).header("authorization", format!("Bearer {key}")).body(Body::empty()).unwrap();
        self.send(request).await
    }

    pub async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("not JSON: {bytes:?}"));
        (parts.status, parts.headers, body)
    }
}

/// One credited sale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sale {
    pub offset: u64,
    pub at: i64,
    pub affiliate: (AffiliateId, CodeId),
    pub currency: &'static str,
    pub net: i64,
}

impl Sale {
    fn line(&self, vendor: VendorId, mode: Mode) -> LedgerLine {
        LedgerLine {
            vendor,
            mode,
            occurred_at: Timestamp(self.at),
            affiliate: self.affiliate.0,
            src_part: partition_of(vendor),
            src_off: self.offset,
            ord: 0,
            booked_at: Timestamp(self.at),
            sale_at: Timestamp(self.at),
            connection: ConnectionId(1),
            purchase: PurchaseId(self.offset * 256),
            kind: LineKind::Sale,
            code: self.affiliate.1,
            currency: Currency::parse(self.currency).unwrap(),
            amounts: Amounts {
                redemptions: 1,
                conversions: 1,
                gross: self.net,
                net: self.net,
                commission: self.net / 5,
            },
            rule_rev: 0,
        }
    }

    fn purchase(&self, vendor: VendorId, mode: Mode) -> PurchaseRow {
        PurchaseRow {
            vendor,
            mode,
            sale_at: Timestamp(self.at),
            purchase: PurchaseId(self.offset * 256),
            outcome: PurchaseOutcome::Credited,
            reason: String::new(),
            affiliate: self.affiliate.0,
            code: self.affiliate.1,
            currency: Currency::parse(self.currency).unwrap(),
            gross: self.net,
            net: self.net,
            reversed: 0,
            commission: self.net / 5,
            flags: Vec::new(),
            src_part: partition_of(vendor),
            src_off: self.offset,
        }
    }
}

/// A budget of this many requests at once.
pub(crate) fn budget(burst: u32) -> BudgetLimits {
    BudgetLimits { per_minute: NonZeroU32::new(1).unwrap(), burst: NonZeroU32::new(burst).unwrap() }
}
