//! The queries on the real engine.

use super::queries::*;
use super::test_engine::{TestEngine, fresh_database, test_engine};
use super::*;
use crate::fold_store::SentSums;
use domain::ids::{AffiliateId, CodeId, ConnectionId, Mode, PurchaseId, Timestamp, VendorId};
use domain::line::{Amounts, LedgerLine, LineKind, PurchaseOutcome, PurchaseRow};
use domain::money::Currency;
use std::collections::BTreeSet;
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 2026-10-31T23:00:00Z, an hour before a month's end.
const MONTH_END: i64 = 1_793_487_600_000;
const PARTITION: u16 = 3;

/// A warehouse, and the hold on its engine.
struct Lent {
    warehouse: Warehouse,
    _engine: TestEngine,
}

impl std::ops::Deref for Lent {
    type Target = Warehouse;

    fn deref(&self) -> &Warehouse {
        &self.warehouse
    }
}

async fn empty_warehouse() -> Lent {
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
    Lent { warehouse, _engine: engine }
}

fn line(src_off: u64, ord: u32, kind: LineKind, occurred_at: i64) -> LedgerLine {
    LedgerLine {
        vendor: VendorId(7),
        mode: Mode::Live,
        occurred_at: Timestamp(occurred_at),
        affiliate: AffiliateId(9),
        src_part: PARTITION,
        src_off,
        ord,
        booked_at: Timestamp(occurred_at.saturating_add(1)),
        sale_at: Timestamp(occurred_at),
        connection: ConnectionId(1),
        purchase: PurchaseId(src_off * 256),
        kind,
        code: CodeId(4),
        currency: Currency::parse("usd").unwrap(),
        amounts: Amounts { redemptions: 1, conversions: 1, gross: 1_200, net: 1_000, commission: 200 },
        rule_rev: 2,
    }
}

fn purchase(number: u64, src_off: u64, sale_at: i64) -> PurchaseRow {
    PurchaseRow {
        vendor: VendorId(7),
        mode: Mode::Live,
        sale_at: Timestamp(sale_at),
        purchase: PurchaseId(number),
        outcome: PurchaseOutcome::Credited,
        reason: String::new(),
        affiliate: AffiliateId(9),
        code: CodeId(4),
        currency: Currency::parse("usd").unwrap(),
        gross: 1_200,
        net: 1_000,
        reversed: 0,
        commission: 200,
        flags: vec!["multi_affiliate".to_owned()],
        src_part: PARTITION,
        src_off,
    }
}

fn filter_at(next_offset: u64) -> ScopeFilter {
    ScopeFilter {
        vendor: VendorId(7),
        mode: Mode::Live,
        affiliate: None,
        visible_from: None,
        watermark: Watermark { generation: 1, partition: PARTITION, next_offset },
    }
}

async fn insert(warehouse: &Warehouse, lines: &[LedgerLine], purchases: &[PurchaseRow], token: &str) {
    warehouse.insert(&InsertBatch { generation: 1, lines, purchases, token }).await.unwrap();
}

async fn everything(warehouse: &Warehouse, filter: &ScopeFilter) -> Vec<SummaryRow> {
    warehouse
        .read_filtered(filter, &LedgerSummary { of: Subject::All, range: None, groupings: vec![Grouping::Everything] })
        .await
        .unwrap()
}

#[tokio::test]
async fn migrations_run_once_and_refuse_a_newer_schema() {
    let warehouse = empty_warehouse().await;
    assert_eq!(warehouse.migrate().await.unwrap(), 2);
    let newer = Sql::new("INSERT INTO schema_migrations (version, name) VALUES (99, 'from the future')");
    warehouse.execute("testing", &newer).await.unwrap();
    assert!(matches!(warehouse.migrate().await, Err(WarehouseError::SchemaTooNew { found: 99, .. })));
}

#[tokio::test]
async fn rows_come_back_as_they_were_written() {
    let warehouse = empty_warehouse().await;
    let mut manual = line(4, 1, LineKind::Manual, MONTH_END + 7);
    manual.amounts = Amounts { redemptions: -1, conversions: 0, gross: -5, net: i64::MIN + 1, commission: -7 };
    let lines = vec![line(4, 0, LineKind::Sale, MONTH_END), manual];
    let purchases = vec![purchase(1024, 4, MONTH_END)];
    insert(&warehouse, &lines, &purchases, "t").await;
    let page = LinesPage { limit: 10, ..LinesPage::default() };
    assert_eq!(warehouse.read_filtered(&filter_at(5), &page).await.unwrap(), lines);
    let page = PurchasesPage { limit: 10, ..PurchasesPage::default() };
    assert_eq!(warehouse.read_filtered(&filter_at(5), &page).await.unwrap(), purchases);
}

#[tokio::test]
async fn copies_of_a_line_count_once_also_across_a_months_end() {
    let warehouse = empty_warehouse().await;
    let lines: Vec<LedgerLine> = (0..4).map(|n| line(n, 0, LineKind::Sale, MONTH_END + n as i64 * HOUR_MS)).collect();
    insert(&warehouse, &lines, &[], "a").await;
    insert(&warehouse, &lines, &[], "a").await;
    insert(&warehouse, &lines, &[], "b").await;
    insert(&warehouse, &lines[1..3], &[], "c").await;
    let sums = everything(&warehouse, &filter_at(100)).await;
    assert_eq!(sums.len(), 1);
    assert_eq!((sums[0].sales, sums[0].net, sums[0].redemptions), (4, 4_000, 4));
}

#[tokio::test]
async fn sums_of_ranges_count_every_copy_once_and_every_stranger() {
    let warehouse = empty_warehouse().await;
    let lines: Vec<LedgerLine> = (0..6).map(|n| line(n, 0, LineKind::Sale, MONTH_END + n as i64 * HOUR_MS)).collect();
    let rows: Vec<PurchaseRow> = (0..6).map(|n| purchase(n * 256, n, MONTH_END)).collect();
    insert(&warehouse, &lines, &rows, "a").await;
    insert(&warehouse, &lines, &rows, "b").await;
    let sums = warehouse.sums_by_range(1, PARTITION, &[0, 1, 3, 8, 9], 5).await.unwrap();
    assert_eq!(sums.keys().copied().collect::<Vec<_>>(), [0, 1, 3], "the others have no rows below 5");
    let [gross, net, commission] = [2_400, 2_000, 400];
    let two = SentSums { lines: 2, rows: 2, redemptions: 2, conversions: 2, gross, net, commission };
    assert_eq!(sums[&1], two);
    assert_eq!(sums[&3], two);
    // The same place in the log under another affiliate is another line on every page.
    let stranger = LedgerLine { affiliate: AffiliateId(1), ..lines[1].clone() };
    insert(&warehouse, &[stranger], &[], "c").await;
    let sums = warehouse.sums_by_range(1, PARTITION, &[0, 1, 3], 5).await.unwrap();
    assert_eq!((sums[&1].lines, sums[&1].net, sums[&3].lines), (3, 3_000, 2));
    assert!(warehouse.sums_by_range(1, PARTITION + 1, &[0], 5).await.unwrap().is_empty());
    // As many ranges as are ever asked for at once, far up in the log.
    let starts: Vec<u64> = (0..500).map(|n| (1 << 40) + n * 1_000).collect();
    let far = LedgerLine { src_off: starts[250] + 999, ..lines[1].clone() };
    insert(&warehouse, &[far], &[], "d").await;
    let sums = warehouse.sums_by_range(1, PARTITION, &starts, 1 << 50).await.unwrap();
    assert_eq!(sums.into_iter().map(|(from, sums)| (from, sums.lines)).collect::<Vec<_>>(), [(starts[250], 1)]);
}

#[tokio::test]
async fn nothing_of_others_is_ever_read() {
    let warehouse = empty_warehouse().await;
    let mut lines = Vec::new();
    let mut purchases = Vec::new();
    for (index, (vendor, mode, affiliate)) in
        [(7, Mode::Live, 9), (7, Mode::Live, 8), (7, Mode::Test, 9), (6, Mode::Live, 9), (8, Mode::Live, 9)]
            .into_iter()
            .enumerate()
    {
        let off = index as u64;
        let owner = (VendorId(vendor), mode, AffiliateId(affiliate));
        let mut sale = line(off, 0, LineKind::Sale, MONTH_END - off as i64 * DAY_MS);
        (sale.vendor, sale.mode, sale.affiliate) = owner;
        lines.push(sale);
        let mut row = purchase(off * 256, off, MONTH_END - off as i64 * DAY_MS);
        (row.vendor, row.mode, row.affiliate) = owner;
        purchases.push(row);
    }
    insert(&warehouse, &lines, &purchases, "a").await;
    let other_generation = InsertBatch { generation: 2, lines: &lines, purchases: &purchases, token: "b" };
    warehouse.insert(&other_generation).await.unwrap();

    let vendor = filter_at(100);
    let affiliate = ScopeFilter { affiliate: Some(AffiliateId(9)), ..vendor };
    let window = ScopeFilter { visible_from: Some(Timestamp(MONTH_END)), ..vendor };
    let behind = filter_at(1);
    let other_partition = ScopeFilter { watermark: Watermark { partition: 4, ..vendor.watermark }, ..vendor };
    for (filter, expected) in [(vendor, 2), (affiliate, 1), (window, 1), (behind, 1), (other_partition, 0)] {
        let sums = everything(&warehouse, &filter).await;
        assert_eq!(sums.first().map_or(0, |sum| sum.sales), expected, "{filter:?}");
        let page = LinesPage { limit: 10, ..LinesPage::default() };
        assert_eq!(warehouse.read_filtered(&filter, &page).await.unwrap().len() as i64, expected);
        let page = PurchasesPage { limit: 10, ..PurchasesPage::default() };
        assert_eq!(warehouse.read_filtered(&filter, &page).await.unwrap().len() as i64, expected);
        let counts = warehouse.read_filtered(&filter, &PurchaseOutcomes::default()).await.unwrap();
        assert_eq!(counts.iter().map(|count| count.purchases).sum::<u64>() as i64, expected);
    }
    let stolen = warehouse.read_filtered(&affiliate, &PurchaseHistory { purchase: PurchaseId(256) }).await.unwrap();
    assert_eq!(stolen, [], "a purchase of another affiliate");
    let stolen = warehouse.read_filtered(&vendor, &PurchaseLines { purchase: PurchaseId(3 * 256) }).await.unwrap();
    assert_eq!(stolen, [], "a purchase of another vendor");
}

/// A query without conditions, as a defect would make it.
#[derive(Debug)]
struct Unfiltered;

impl ScopedQuery for Unfiltered {
    type Row = super::rows::LineRow;
    const NAME: &'static str = "unfiltered";

    fn most_rows(&self) -> Option<usize> {
        None
    }

    fn render(&self, _filter: &ScopeFilter) -> Sql {
        Sql::new(&format!("SELECT {} FROM ledger_lines", schemas::warehouse::LEDGER_LINE_COLUMNS.join(", ")))
    }
}

#[tokio::test]
async fn a_foreign_row_fails_the_read() {
    let warehouse = empty_warehouse().await;
    insert(&warehouse, &[line(1, 0, LineKind::Sale, MONTH_END)], &[], "a").await;
    assert_eq!(warehouse.read_filtered(&filter_at(100), &Unfiltered).await.unwrap().len(), 1);
    for filter in [
        ScopeFilter { vendor: VendorId(8), ..filter_at(100) },
        ScopeFilter { mode: Mode::Test, ..filter_at(100) },
        ScopeFilter { affiliate: Some(AffiliateId(8)), ..filter_at(100) },
    ] {
        let refused = warehouse.read_filtered(&filter, &Unfiltered).await;
        assert!(matches!(refused, Err(WarehouseError::ForeignRow { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_move_carries_its_sale_and_a_refund_is_taken_back_in_its_own_month() {
    let warehouse = empty_warehouse().await;
    let sale = line(1, 0, LineKind::Sale, MONTH_END);
    let part = |off, ord, kind, affiliate, occurred_at, sign: i64, net| LedgerLine {
        affiliate: AffiliateId(affiliate),
        occurred_at: Timestamp(occurred_at),
        amounts: Amounts {
            redemptions: 0,
            conversions: 0,
            gross: sign * net * 12 / 10,
            net: sign * net,
            commission: sign * net / 5,
        },
        src_off: off,
        ord,
        kind,
        ..sale.clone()
    };
    let refunded_at = MONTH_END + 2 * DAY_MS;
    let lines = vec![
        sale.clone(),
        part(2, 0, LineKind::Refund, 9, refunded_at, -1, 400),
        // Then the code turns out to be affiliate 8's: sale and refund move.
        part(3, 0, LineKind::MoveOut, 9, MONTH_END, -1, 1_000),
        part(3, 1, LineKind::MoveIn, 8, MONTH_END, 1, 1_000),
        part(3, 2, LineKind::MoveOut, 9, refunded_at, 1, 400),
        part(3, 3, LineKind::MoveIn, 8, refunded_at, -1, 400),
    ];
    insert(&warehouse, &lines, &[], "a").await;
    let query = LedgerSummary {
        of: Subject::All,
        range: None,
        groupings: vec![Grouping::Affiliate, Grouping::LocalDay(vec![])],
    };
    let rows = warehouse.read_filtered(&filter_at(100), &query).await.unwrap();
    let figures: Vec<_> =
        rows.iter().map(|row| (row.grouping, row.key, row.sales, row.net, row.refunded, row.commission)).collect();
    let day = MONTH_END / DAY_MS;
    assert_eq!(
        figures,
        [(0, 8, 1, 600, 400, 120), (0, 9, 0, 0, 0, 0), (1, day, 1, 1_000, 0, 200), (1, day + 2, 0, -400, 400, -80)]
    );
}

#[tokio::test]
async fn sums_of_affiliates_are_those_of_the_summary() {
    let warehouse = empty_warehouse().await;
    let currencies = ["usd", "jpy", "kwd"].map(|code| Currency::parse(code).unwrap());
    let lines: Vec<LedgerLine> = (0..600)
        .map(|n| {
            let kind = LineKind::ALL[n as usize % LineKind::ALL.len()];
            let sign = if n % 4 == 3 { -1 } else { 1 };
            let moved_later = if n % 5 == 0 { DAY_MS } else { 0 };
            LedgerLine {
                affiliate: AffiliateId(n % 7),
                currency: currencies[n as usize % 11 % 3],
                purchase: PurchaseId(n / 3 * 256),
                occurred_at: Timestamp(MONTH_END + n as i64 * HOUR_MS + moved_later),
                sale_at: Timestamp(MONTH_END + n as i64 * HOUR_MS),
                amounts: Amounts {
                    redemptions: sign,
                    conversions: 0,
                    gross: sign * 1_200 + n as i64,
                    net: sign * 1_000 + n as i64,
                    commission: sign * 200 + n as i64 % 90,
                },
                ..line(n, 0, kind, 0)
            }
        })
        .collect();
    insert(&warehouse, &lines, &[], "a").await;
    insert(&warehouse, &lines[..50], &[], "b").await;
    let part = TimeRange { from: Timestamp(MONTH_END + DAY_MS), to: Timestamp(MONTH_END + 20 * DAY_MS) };
    let one = ScopeFilter { affiliate: Some(AffiliateId(3)), ..filter_at(1_000) };
    for (filter, range, rows) in [(filter_at(1_000), None, 18), (filter_at(400), Some(part), 18), (one, None, 3)] {
        let query = LedgerSummary { of: Subject::All, range, groupings: vec![Grouping::Affiliate] };
        let summary = warehouse.read_filtered(&filter, &query).await.unwrap();
        let mut expected: Vec<AffiliateSum> = summary
            .into_iter()
            .filter(|row| row.key != 0)
            .map(|row| AffiliateSum {
                affiliate: AffiliateId(row.key as u64),
                currency: row.currency,
                redemptions: row.redemptions,
                revenue: row.net,
                refunds: row.refunded,
                commission: row.commission,
            })
            .collect();
        expected.sort_by_key(|sum| (sum.currency.bytes(), -sum.commission, sum.affiliate));
        let sums = warehouse.read_filtered(&filter, &AffiliateSums { range, most_rows: rows }).await.unwrap();
        assert_eq!((sums.len(), &sums), (rows, &expected));
        let refused = warehouse.read_filtered(&filter, &AffiliateSums { range, most_rows: rows - 1 }).await;
        assert!(matches!(refused, Err(WarehouseError::TooManyRows { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn local_days_follow_the_offsets_and_currencies_stay_apart() {
    let warehouse = empty_warehouse().await;
    // Berlin leaves summer time on 2026-10-25 at 01:00 UTC.
    let change = 1_792_890_000_000;
    let summer = OffsetSegment { starts_at: Timestamp(change - 40 * DAY_MS), offset_ms: 2 * HOUR_MS };
    let winter = OffsetSegment { starts_at: Timestamp(change), offset_ms: HOUR_MS };
    let sunday = change / DAY_MS;
    let mut lines = Vec::new();
    // Saturday 21:59 UTC is Saturday there, 22:00 is Sunday; Sunday 22:59 UTC is Sunday, 23:00 Monday.
    for (off, at) in
        [change - 3 * HOUR_MS - 60_000, change - 3 * HOUR_MS, change + 22 * HOUR_MS - 60_000, change + 22 * HOUR_MS]
            .into_iter()
            .enumerate()
    {
        lines.push(line(off as u64, 0, LineKind::Sale, at));
    }
    lines.push(LedgerLine { currency: Currency::parse("jpy").unwrap(), ..line(9, 0, LineKind::Sale, change) });
    insert(&warehouse, &lines, &[], "a").await;
    let query =
        LedgerSummary { of: Subject::All, range: None, groupings: vec![Grouping::LocalDay(vec![summer, winter])] };
    let rows = warehouse.read_filtered(&filter_at(100), &query).await.unwrap();
    let days: Vec<_> = rows.iter().map(|row| (row.key - sunday, row.currency.to_string(), row.sales)).collect();
    let expected = [(-1, "usd", 1), (0, "jpy", 1), (0, "usd", 2), (1, "usd", 1)];
    assert_eq!(days, expected.map(|(day, currency, sales)| (day, currency.to_owned(), sales)));

    let query = LedgerSummary { of: Subject::All, range: None, groupings: vec![Grouping::QuarterHour] };
    let quarters = warehouse.read_filtered(&filter_at(100), &query).await.unwrap();
    assert!(quarters.iter().any(|row| row.key == change / QUARTER_HOUR_MS));
}

#[tokio::test]
async fn purchases_stand_as_of_the_watermark() {
    let warehouse = empty_warehouse().await;
    let waiting =
        PurchaseRow { outcome: PurchaseOutcome::Waiting, affiliate: AffiliateId(0), ..purchase(256, 1, MONTH_END) };
    let credited = purchase(256, 3, MONTH_END);
    let moved = PurchaseRow { affiliate: AffiliateId(8), ..purchase(256, 5, MONTH_END) };
    let merged = PurchaseRow { outcome: PurchaseOutcome::Merged, ..purchase(512, 6, MONTH_END) };
    let changes = [waiting, credited, moved, purchase(512, 2, MONTH_END), merged];
    insert(&warehouse, &[], &changes, "a").await;
    insert(&warehouse, &[], &changes, "b").await;
    for (next_offset, expected) in [
        (2, vec![(PurchaseOutcome::Waiting, 1)]),
        (3, vec![(PurchaseOutcome::Credited, 1), (PurchaseOutcome::Waiting, 1)]),
        (4, vec![(PurchaseOutcome::Credited, 2)]),
        (7, vec![(PurchaseOutcome::Credited, 1)]),
    ] {
        let counts = warehouse.read_filtered(&filter_at(next_offset), &PurchaseOutcomes::default()).await.unwrap();
        let counts: Vec<_> = counts.iter().map(|count| (count.outcome, count.purchases)).collect();
        assert_eq!(counts, expected, "below {next_offset}");
    }
    let former = ScopeFilter { affiliate: Some(AffiliateId(9)), ..filter_at(6) };
    let page = PurchasesPage { limit: 10, ..PurchasesPage::default() };
    let seen = warehouse.read_filtered(&former, &page).await.unwrap();
    assert_eq!(seen.iter().map(|row| row.purchase.0).collect::<Vec<_>>(), [512], "what moved away is gone");
    let history = warehouse.read_filtered(&filter_at(7), &PurchaseHistory { purchase: PurchaseId(256) }).await.unwrap();
    assert_eq!(history.iter().map(|row| row.src_off).collect::<Vec<_>>(), [1, 3, 5]);
}

#[tokio::test]
async fn filters_of_the_explorer() {
    let warehouse = empty_warehouse().await;
    let organic = PurchaseRow {
        outcome: PurchaseOutcome::Organic,
        affiliate: AffiliateId(0),
        code: CodeId(0),
        ..purchase(512, 2, MONTH_END)
    };
    let yen = PurchaseRow { currency: Currency::parse("jpy").unwrap(), code: CodeId(5), ..purchase(768, 3, MONTH_END) };
    let used = line(1, 0, LineKind::Sale, MONTH_END);
    insert(&warehouse, &[used], &[purchase(256, 1, MONTH_END), organic, yen], "a").await;
    let all = || PurchasesPage { limit: 10, ..PurchasesPage::default() };
    for (page, expected) in [
        (all(), vec![768, 512, 256]),
        (PurchasesPage { affiliate: Some(AffiliateId(9)), ..all() }, vec![768, 256]),
        (PurchasesPage { affiliate: Some(AffiliateId(0)), ..all() }, vec![512]),
        (PurchasesPage { codes: Some(vec![CodeId(5), CodeId(6)]), ..all() }, vec![768]),
        (PurchasesPage { codes: Some(vec![]), ..all() }, vec![]),
        (PurchasesPage { outcome: Some(PurchaseOutcome::Organic), ..all() }, vec![512]),
        (PurchasesPage { currency: Currency::parse("jpy"), ..all() }, vec![768]),
        (PurchasesPage { purchases: Some(vec![PurchaseId(256), PurchaseId(1)]), ..all() }, vec![256]),
        (PurchasesPage { redemptions_only: true, ..all() }, vec![256]),
        (PurchasesPage { limit: 1, ..all() }, vec![768]),
    ] {
        let found = warehouse.read_filtered(&filter_at(100), &page).await.unwrap();
        assert_eq!(found.iter().map(|row| row.purchase.0).collect::<Vec<_>>(), expected, "{page:?}");
    }
    let by_id = PurchasesById { purchases: vec![PurchaseId(512)] };
    assert_eq!(warehouse.read_filtered(&filter_at(100), &by_id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn pages_hold_every_row_exactly_once() {
    let warehouse = empty_warehouse().await;
    // Many rows of the same moment, so that only the rest of the cursor tells them apart.
    let lines: Vec<LedgerLine> =
        (0..230).map(|n| line(n / 3, (n % 3) as u32, LineKind::Sale, MONTH_END + (n / 50) as i64 * HOUR_MS)).collect();
    let purchases: Vec<PurchaseRow> = (0..120).map(|n| purchase(n + 1, n, MONTH_END + (n / 40) as i64)).collect();
    insert(&warehouse, &lines, &purchases, "a").await;
    insert(&warehouse, &lines, &purchases, "b").await;

    let mut seen = BTreeSet::new();
    let mut query = LinesPage { limit: 17, ..LinesPage::default() };
    loop {
        let page = warehouse.read_filtered(&filter_at(1_000), &query).await.unwrap();
        assert!(page.iter().all(|line| seen.insert((line.src_off, line.ord))), "a line came twice");
        let Some(last) = page.last() else { break };
        query.after = Some(LineCursor { occurred_at: last.occurred_at, src_off: last.src_off, ord: last.ord });
    }
    assert_eq!(seen.len(), 230);

    let mut seen = BTreeSet::new();
    let mut query = PurchasesPage { limit: 7, ..PurchasesPage::default() };
    loop {
        let page = warehouse.read_filtered(&filter_at(1_000), &query).await.unwrap();
        assert!(page.iter().all(|row| seen.insert(row.purchase)), "a purchase came twice");
        let Some(last) = page.last() else { break };
        query.after = Some(PurchaseCursor { sale_at: last.sale_at, purchase: last.purchase });
    }
    assert_eq!(seen.len(), 120);
}

#[tokio::test]
async fn sums_never_wrap() {
    let warehouse = empty_warehouse().await;
    let mut lines: Vec<LedgerLine> = (0..9_300).map(|n| line(n, 0, LineKind::Sale, MONTH_END)).collect();
    for line in &mut lines {
        line.amounts.gross = domain::money::MAX_AMOUNT;
    }
    insert(&warehouse, &lines[..9_000], &[], "a").await;
    assert_eq!(everything(&warehouse, &filter_at(10_000)).await[0].gross, 9_000 * domain::money::MAX_AMOUNT);
    insert(&warehouse, &lines[9_000..], &[], "b").await;
    let query = LedgerSummary { of: Subject::All, range: None, groupings: vec![Grouping::Everything] };
    let refused = warehouse.read_filtered(&filter_at(10_000), &query).await;
    assert!(matches!(refused, Err(WarehouseError::Unreadable { .. })), "{refused:?}");
}

#[tokio::test]
async fn any_time_of_a_provider_can_be_stored_and_found() {
    let warehouse = empty_warehouse().await;
    // 150 months in one batch, and times that no calendar of the tables holds.
    let mut lines: Vec<LedgerLine> = (0..150).map(|n| line(n, 0, LineKind::Sale, n as i64 * 31 * DAY_MS)).collect();
    lines.push(line(200, 0, LineKind::Sale, i64::MAX));
    lines.push(line(201, 0, LineKind::Sale, i64::MIN));
    insert(&warehouse, &lines, &[], "a").await;
    insert(&warehouse, &lines, &[], "b").await;
    assert_eq!(everything(&warehouse, &filter_at(1_000)).await[0].sales, 152);
    let bounds = warehouse.read_filtered(&filter_at(1_000), &LedgerBounds).await.unwrap();
    assert_eq!(bounds, [TimeBounds { first: EARLIEST_TIME, last: LATEST_TIME }]);
    let late = TimeRange { from: Timestamp(LATEST_TIME.0 - DAY_MS), to: Timestamp(i64::MAX) };
    let query = LinesPage { range: Some(late), limit: 5, ..LinesPage::default() };
    assert_eq!(
        warehouse.read_filtered(&filter_at(1_000), &query).await.unwrap().len(),
        0,
        "the end of a range is not in it"
    );
    assert_eq!(warehouse.read_filtered(&filter_at(10), &LedgerBounds).await.unwrap().len(), 1);
    assert_eq!(warehouse.read_filtered(&filter_at(0), &LedgerBounds).await.unwrap(), []);
}

#[tokio::test]
async fn a_removed_vendor_leaves_nothing() {
    let warehouse = empty_warehouse().await;
    let other = LedgerLine { vendor: VendorId(8), ..line(2, 0, LineKind::Sale, MONTH_END) };
    insert(&warehouse, &[line(1, 0, LineKind::Sale, MONTH_END), other], &[purchase(256, 1, MONTH_END)], "a").await;
    warehouse.delete_vendor(VendorId(7)).await.unwrap();
    assert_eq!(everything(&warehouse, &filter_at(100)).await, []);
    let rows: Vec<u64> = warehouse.fetch("testing", &Sql::new("SELECT count() FROM purchases")).await.unwrap();
    assert_eq!(rows, [0]);
    assert_eq!(everything(&warehouse, &ScopeFilter { vendor: VendorId(8), ..filter_at(100) }).await[0].sales, 1);
}

#[tokio::test]
async fn a_warehouse_that_is_away_can_be_tried_again() {
    let warehouse = Warehouse::new(WarehouseConfig {
        url: "http://127.0.0.1:1".to_owned(),
        user: String::new(),
        key: "secret of the test".to_owned(),
        database: "nothing".to_owned(),
        query_timeout: Duration::from_secs(2),
        insert_timeout: Duration::from_secs(2),
    });
    assert!(!format!("{warehouse:?}").contains("secret of the test"));
    let refused = warehouse.read_filtered(&filter_at(1), &LedgerBounds).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    let lines = [line(1, 0, LineKind::Sale, MONTH_END)];
    let batch = InsertBatch { generation: 1, lines: &lines, purchases: &[], token: "a" };
    assert!(warehouse.insert(&batch).await.unwrap_err().is_retryable());
}

#[tokio::test]
async fn a_wrong_key_is_refused_for_good() {
    let engine = test_engine();
    let warehouse = Warehouse::new(WarehouseConfig {
        url: engine.url.clone(),
        user: String::new(),
        key: "not the key".to_owned(),
        database: "affilitrack".to_owned(),
        query_timeout: Duration::from_secs(5),
        insert_timeout: Duration::from_secs(5),
    });
    let refused = warehouse.read_filtered(&filter_at(1), &LedgerBounds).await.unwrap_err();
    assert!(!refused.is_retryable(), "{refused}");
}
