//! What is measured on: one vendor with 10,000 lines of 60 days, 20 affiliates and 40 codes,
//! among 200 other vendors, inserted in the order and the sizes in which the sink does.

use domain::fold::Outcome;
use domain::ids::{AffiliateId, CodeId, ConnectionId, Mode, PurchaseId, StoryId, Timestamp, VendorId};
use domain::line::{Amounts, LedgerLine, LineKind, PurchaseOutcome, PurchaseRow};
use domain::money::Currency;
use domain::story::Story;
use serde_json::json;
use std::sync::Arc;
use store::control::input::DecisionInput;
use store::control::{ControlStore, LocalAdmin, NewVendor, SqliteControlStore};
use store::event_log::partition_of;
use store::fold_store::{Commit, FoldStore, Position, RecordRow, SqliteFoldStore};
use store::scope::TenantScope;
use store::warehouse::{InsertBatch, Warehouse};

/// In words, for the report.
pub const SUMMARY: &str = "one vendor with 10,000 lines of 8,000 purchases (60 days, 20 affiliates, 40 codes) among 200 others with 100,000 lines, built";
/// 2026-11-21T12:00:00Z.
pub const NOW: Timestamp = Timestamp(1_795_262_400_000);
/// The days of the page.
pub const DAYS: i64 = 60;
/// Of the log.
pub const GENERATION: u16 = 1;

const SLUG: &str = "bench";
const DAY_MS: i64 = 86_400_000;
const PURCHASES: u64 = 8_000;
/// Vendors beside it on the dashboard's measurement.
pub const OTHER_VENDORS: u64 = 200;
const OTHER_SALES: u64 = 500;
const AFFILIATES: usize = 20;
/// Lines of one insert, about: what the sink sends under steady load.
const INSERT_LINES: usize = 2_000;

/// The vendor, its affiliates and its codes.
pub async fn open_vendor(control: &SqliteControlStore) -> TenantScope {
    let vendor = control.ensure_vendor(NewVendor::named(SLUG), "bench", Timestamp(0)).await.unwrap();
    let mut decisions = vec![json!({"decide": "policy", "hold_days": 30, "time_zone": "Europe/Berlin"})];
    for number in 0..AFFILIATES {
        let key = format!("aff_{number}");
        decisions.push(json!({"decide": "affiliate", "key": key, "name": format!("Affiliate {number}")}));
        for code in ["A", "B"] {
            decisions.push(json!({"decide": "map", "code": format!("CODE{number}{code}"), "affiliate": key}));
        }
    }
    let decisions: Vec<DecisionInput> = serde_json::from_value(json!(decisions)).unwrap();
    control.decide(vendor.id, decisions, "bench", Timestamp(0)).await.unwrap();
    control.admin_scope(&LocalAdmin::for_local_socket(), SLUG, Mode::Live).await.unwrap().unwrap()
}

/// One thing that was booked: the lines and the row of one record.
struct Booked {
    lines: Vec<LedgerLine>,
    row: PurchaseRow,
}

/// Inserts everything and answers where the vendor's visible log ends.
pub async fn fill(
    warehouse: &Warehouse,
    fold: &SqliteFoldStore,
    control: &SqliteControlStore,
    scope: &TenantScope,
    other_vendors: u64,
) -> u64 {
    let codes = control.codes(scope).await.unwrap();
    let codes: Vec<(AffiliateId, CodeId)> =
        codes.into_iter().filter_map(|code| Some((code.affiliate?, code.id))).collect();
    assert_eq!(codes.len(), 2 * AFFILIATES);
    let mut booked: Vec<Booked> = Vec::new();
    for number in 0..PURCHASES {
        book_purchase(&mut booked, scope.vendor(), number, &codes);
    }
    assert_eq!(booked.iter().map(|one| one.lines.len()).sum::<usize>(), 10_000);
    for vendor in 0..other_vendors {
        for number in 0..OTHER_SALES {
            let at = moment(number * 7 + vendor, OTHER_SALES * 8);
            let sale = Sale { vendor: VendorId(1_000 + vendor), number, at, owner: (AffiliateId(1), CodeId(1)) };
            booked.push(Booked { lines: vec![sale.line(LineKind::Sale, at, 1, sale.owner)], row: sale.row(0, 0) });
        }
    }
    // The log's order is the order of arrival; its offsets are given out in it.
    booked.sort_by_key(|one| one.lines[0].booked_at);
    for (offset, one) in booked.iter_mut().enumerate() {
        one.row.src_off = offset as u64;
        one.lines.iter_mut().for_each(|line| line.src_off = offset as u64);
    }
    for (number, chunk) in booked.chunks(INSERT_LINES).enumerate() {
        let lines: Vec<LedgerLine> = chunk.iter().flat_map(|one| one.lines.clone()).collect();
        let purchases: Vec<PurchaseRow> = chunk.iter().map(|one| one.row.clone()).collect();
        let token = number.to_string();
        let batch = InsertBatch { generation: GENERATION, lines: &lines, purchases: &purchases, token: &token };
        warehouse.insert(&batch).await.unwrap();
    }
    let end = booked.len() as u64;
    booked.retain(|one| one.row.vendor == scope.vendor());
    remember(fold, scope.vendor(), &booked, end);
    end
}

/// A moment of the sixty days: `step` of `steps`.
fn moment(step: u64, steps: u64) -> Timestamp {
    Timestamp(NOW.0 - DAYS * DAY_MS + DAY_MS + (DAYS - 1) * DAY_MS / steps as i64 * (step % steps) as i64)
}

#[derive(Clone, Copy)]
struct Sale {
    vendor: VendorId,
    number: u64,
    at: Timestamp,
    owner: (AffiliateId, CodeId),
}

impl Sale {
    fn net(self) -> i64 {
        1_900 + (self.number % 40) as i64 * 100
    }

    fn currency(self) -> Currency {
        Currency::parse(if self.number.is_multiple_of(3) { "usd" } else { "eur" }).unwrap()
    }

    fn purchase(self) -> PurchaseId {
        PurchaseId(self.vendor.0 * 1_000_000 + self.number)
    }

    fn line(self, kind: LineKind, at: Timestamp, sign: i64, owner: (AffiliateId, CodeId)) -> LedgerLine {
        let is_sale = matches!(kind, LineKind::Sale | LineKind::MoveIn | LineKind::MoveOut);
        let counts = if is_sale { sign } else { 0 };
        let net = self.net();
        LedgerLine {
            vendor: self.vendor,
            mode: Mode::Live,
            occurred_at: if is_sale { self.at } else { at },
            affiliate: owner.0,
            src_part: partition_of(self.vendor),
            src_off: 0,
            ord: 0,
            booked_at: at,
            sale_at: self.at,
            connection: ConnectionId(1),
            purchase: self.purchase(),
            kind,
            code: owner.1,
            currency: self.currency(),
            amounts: Amounts {
                redemptions: counts,
                conversions: counts,
                gross: sign * net * 119 / 100,
                net: sign * net,
                commission: sign * net / 5,
            },
            rule_rev: 0,
        }
    }

    fn row(self, reversed: i64, commission: i64) -> PurchaseRow {
        PurchaseRow {
            vendor: self.vendor,
            mode: Mode::Live,
            sale_at: self.at,
            purchase: self.purchase(),
            outcome: PurchaseOutcome::Credited,
            reason: String::new(),
            affiliate: self.owner.0,
            code: self.owner.1,
            currency: self.currency(),
            gross: self.net() * 119 / 100,
            net: self.net(),
            reversed,
            commission,
            flags: Vec::new(),
            src_part: partition_of(self.vendor),
            src_off: 0,
        }
    }
}

/// Of eighty purchases ten are refunded, two disputed and won, three moved to another affiliate.
fn book_purchase(booked: &mut Vec<Booked>, vendor: VendorId, number: u64, codes: &[(AffiliateId, CodeId)]) {
    let at = moment(number, PURCHASES);
    let sale = Sale { vendor, number, at, owner: codes[number as usize * 7 % codes.len()] };
    let later = |days: i64| Timestamp((at.0 + days * DAY_MS).min(NOW.0));
    let earned = sale.net() / 5;
    booked.push(Booked { lines: vec![sale.line(LineKind::Sale, at, 1, sale.owner)], row: sale.row(0, earned) });
    match number % 80 {
        0..10 => booked.push(Booked {
            lines: vec![sale.line(LineKind::Refund, later(3), -1, sale.owner)],
            row: sale.row(sale.net(), 0),
        }),
        10..12 => {
            let lost = sale.line(LineKind::Dispute, later(5), -1, sale.owner);
            booked.push(Booked { lines: vec![lost], row: sale.row(sale.net(), 0) });
            let won = sale.line(LineKind::DisputeUndo, later(9), 1, sale.owner);
            booked.push(Booked { lines: vec![won], row: sale.row(0, earned) });
        }
        12..15 => {
            let owner = codes[(number as usize * 7 + 1) % codes.len()];
            let out = sale.line(LineKind::MoveOut, later(2), -1, sale.owner);
            let into = LedgerLine { ord: 1, ..sale.line(LineKind::MoveIn, later(2), 1, owner) };
            booked.push(Booked { lines: vec![out, into], row: Sale { owner, ..sale }.row(0, earned) });
        }
        _ => {}
    }
}

/// The vendor's records and stories, as the fold would have left them.
fn remember(fold: &SqliteFoldStore, vendor: VendorId, booked: &[Booked], end: u64) {
    let mut commit = Commit::default();
    for one in booked {
        let story = StoryId(one.row.purchase.0);
        commit.records.push(RecordRow {
            offset: one.row.src_off,
            vendor,
            connection: ConnectionId(1),
            mode: Some(Mode::Live),
            event_id: format!("evt_{}", one.row.src_off),
            event_type: "checkout.session.completed".to_owned(),
            is_backfill: false,
            at: one.lines[0].booked_at,
            outcome: Outcome::Counted,
            story: Some(story),
        });
        if one.lines[0].kind == LineKind::Sale {
            commit.stories.push((story, Some(Arc::new(story_of(one)))));
            commit.purchases.push((one.row.purchase, story));
        }
    }
    let partition = partition_of(vendor);
    let next = Position { next_offset: end, ..Position::start() };
    fold.commit(partition, &Position::start(), &next, &commit).unwrap();
}

/// A one-time purchase as the fold store holds it.
fn story_of(sale: &Booked) -> Story {
    let row = &sale.row;
    let (session, payment) = (format!("cs:cs_live_{}", row.purchase), format!("pi:pi_{}", row.purchase));
    let at = row.sale_at;
    serde_json::from_value(json!({
        "id": row.purchase,
        "scope": {"vendor": row.vendor, "connection": 1, "mode": "live"},
        "provider": "stripe",
        "facts": [[
            {
                "fact": "sale", "source": "session", "key": session, "links": [payment], "subscription": null,
                "created": at, "occurred_at": at, "currency": row.currency, "subtotal": row.net, "discount": 0,
                "tax": row.gross - row.net, "shipping": 0, "gross": row.gross, "paid": row.gross, "net": row.net,
                "reason": "one_time", "discounts": [{"promotion_code": "promo_1", "amount": 980}],
                "unnamed_discount": false, "discount_question": null, "referral": null, "customer": "cus_1"
            },
            {"at": at, "event": format!("evt_{}", row.src_off)}
        ]],
        "slots": [{"purchase": row.purchase, "aliases": [session, payment], "told": row}],
        "records": [row.src_off]
    }))
    .expect("a story has this shape; adapt this example to the new one")
}
