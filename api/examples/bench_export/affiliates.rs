//! A vendor with very many affiliates, each with three lines in October.

use crate::data::{GENERATION, NOW};
use domain::ids::{AffiliateId, CodeId, ConnectionId, Mode, PurchaseId, Timestamp};
use domain::line::{Amounts, LedgerLine, LineKind};
use domain::money::Currency;
use serde_json::json;
use store::control::input::DecisionInput;
use store::control::{ControlStore, LocalAdmin, NewVendor, SqliteControlStore};
use store::event_log::partition_of;
use store::scope::TenantScope;
use store::warehouse::{InsertBatch, Warehouse};

/// Decisions of one transaction.
const DECISIONS: u64 = 5_000;
/// Affiliates whose lines are inserted at once.
const AFFILIATES_OF_A_BATCH: usize = 1_000;
const DAY_MS: i64 = 86_400_000;

/// The vendor and its affiliates, with names of usual length.
pub async fn open_vendor(control: &SqliteControlStore, slug: &str, affiliates: u64) -> TenantScope {
    let vendor = control.ensure_vendor(NewVendor::named(slug), "bench", Timestamp(0)).await.unwrap();
    for first in (0..affiliates).step_by(DECISIONS as usize) {
        let decisions: Vec<_> = (first..affiliates.min(first + DECISIONS))
            .map(|number| json!({"decide": "affiliate", "key": format!("aff_{number:06}"), "name": format!("Affiliate, the {number}th of many")}))
            .collect();
        let decisions: Vec<DecisionInput> = serde_json::from_value(json!(decisions)).unwrap();
        control.decide(vendor.id, decisions, "bench", Timestamp(0)).await.unwrap();
    }
    control.admin_scope(&LocalAdmin::for_local_socket(), slug, Mode::Live).await.unwrap().unwrap()
}

/// Inserts the lines and answers where the vendor's visible log ends.
pub async fn fill(warehouse: &Warehouse, control: &SqliteControlStore, scope: &TenantScope) -> u64 {
    let affiliates = control.affiliates(scope).await.unwrap();
    let mut offset = 0;
    for chunk in affiliates.chunks(AFFILIATES_OF_A_BATCH) {
        let mut lines = Vec::new();
        for affiliate in chunk {
            lines.extend(lines_of(scope, affiliate.id, offset));
            offset += 1;
        }
        let token = format!("{}-{offset}", scope.vendor());
        let batch = InsertBatch { generation: GENERATION, lines: &lines, purchases: &[], token: &token };
        warehouse.insert(&batch).await.unwrap();
    }
    offset
}

/// Two sales, the second of which was refunded.
fn lines_of(scope: &TenantScope, affiliate: AffiliateId, offset: u64) -> [LedgerLine; 3] {
    let line = |ord: u32, kind: LineKind, days_ago: i64, sign: i64| {
        let at = Timestamp(NOW.0 - days_ago * DAY_MS - offset as i64 % 1_000 * 60_000);
        let net = sign * (4_900 + offset as i64 % 977);
        LedgerLine {
            vendor: scope.vendor(),
            mode: scope.mode(),
            occurred_at: at,
            affiliate,
            src_part: partition_of(scope.vendor()),
            src_off: offset,
            ord,
            booked_at: at,
            sale_at: at,
            connection: ConnectionId(1),
            purchase: PurchaseId(offset * 256 + u64::from(ord.min(1))),
            kind,
            code: CodeId(0),
            currency: Currency::parse(if offset.is_multiple_of(3) { "usd" } else { "eur" }).unwrap(),
            amounts: Amounts {
                redemptions: i64::from(ord == 0),
                conversions: i64::from(ord == 0),
                gross: net,
                net,
                commission: net / 5,
            },
            rule_rev: 0,
        }
    };
    [line(0, LineKind::Sale, 40, 1), line(1, LineKind::Sale, 35, 1), line(2, LineKind::Refund, 32, -1)]
}
