//! The reports over the real engine and control store.

use crate::model::{Bucket, DateRange, ExplorerFilter, OutcomeCounts};
use crate::services::test_api::{NOW, Sale, TestApi};
use crate::services::test_scope::affiliate_scope_in;
use crate::services::{
    FiguresRequest, LinesFilter, MonthFigures, RangePreset, ReportError, TotalsGroup, TotalsRequest,
};
use crate::summary::{Month, SummaryFrame, SummaryLetter};
use domain::ids::{AffiliateId, CodeId, Mode, PurchaseId};
use jiff::civil::date;
use std::collections::BTreeSet;
use store::control::ControlStore;

const DAY_MS: i64 = 86_400_000;

fn sale(offset: u64, at: i64, affiliate: (AffiliateId, CodeId), currency: &'static str, net: i64) -> Sale {
    Sale { offset, at, affiliate, currency, net }
}

#[tokio::test]
async fn the_dashboard_adds_up_and_compares() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    let leo = api.affiliate(&acme, "aff_leo").await;
    let nobody = (AffiliateId(0), CodeId(0));
    let at = |days: i64| NOW.0 - days * DAY_MS;
    api.book(
        &acme,
        &[
            sale(1, at(0), maya, "usd", 1_000),
            sale(2, at(1), maya, "usd", 2_000),
            sale(3, at(1), leo, "usd", 5_000),
            sale(4, at(2), leo, "jpy", 900),
            sale(5, at(3), nobody, "usd", 7_000),
            sale(6, at(8), maya, "usd", 400),
            sale(7, at(40), maya, "usd", 9_999),
        ],
    )
    .await;
    let range = api.reports.preset_range(&acme, RangePreset::Days7).await.unwrap();
    assert_eq!(
        range,
        DateRange { from: date(2026, 11, 15), to: date(2026, 11, 21), time_zone: "Europe/Berlin".into() }
    );
    let dashboard = api.reports.dashboard(&acme, &FiguresRequest::of(range.clone())).await.unwrap();

    assert_eq!(dashboard.bucket, Bucket::Day);
    assert_eq!(dashboard.currencies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["usd", "jpy"]);
    let usd = &dashboard.totals[0];
    assert_eq!((usd.sales, usd.revenue, usd.commission, usd.redemptions), (4, 15_000, 3_000, 4));
    let earlier = dashboard.earlier.as_ref().unwrap();
    assert_eq!((earlier.totals.len(), earlier.totals[0].revenue), (1, 400));
    assert_eq!(dashboard.active_affiliates, 2);
    let affiliates: Vec<_> =
        dashboard.affiliates.iter().map(|group| (group.group.as_str(), group.label.as_str())).collect();
    assert_eq!(affiliates, [("aff_leo", "Leo"), ("aff_maya", "Maya")]);
    let codes: Vec<_> = dashboard.codes.iter().map(|group| group.group.as_str()).collect();
    assert_eq!(codes, ["LEO50", "MAYA20"]);
    let revenue: Vec<_> = dashboard.series.iter().map(|point| point.revenue.clone()).collect();
    let expected: [[i64; 2]; 7] = [[0, 0], [0, 0], [0, 0], [7_000, 0], [0, 900], [7_000, 0], [1_000, 0]];
    assert_eq!(revenue, expected.map(|pair| pair.to_vec()));
    let partial: Vec<_> =
        dashboard.series.iter().filter(|point| point.partial).map(|point| point.label.as_str()).collect();
    assert_eq!(partial, ["21 Nov"]);
    assert_eq!(dashboard.feed.len(), 7);
    let newest = &dashboard.feed[0];
    assert_eq!((newest.business_key.as_str(), newest.sale_at_text.as_str()), ("inv:in/256", "21 Nov 2026, 13:00"));
    assert_eq!((newest.affiliate_key.as_str(), newest.code_text.as_str()), ("aff_maya", "MAYA20"));
    assert_eq!((dashboard.outcomes.credited, dashboard.outcomes.refused), (7, 2));
    assert_eq!(dashboard.watermark.next_offset, 8);
}

#[tokio::test]
async fn every_grouping_sums_to_the_same_totals() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    let leo = api.affiliate(&acme, "aff_leo").await;
    let sales: Vec<Sale> = (0..200)
        .map(|n| {
            let affiliate = [maya, leo, (AffiliateId(0), CodeId(0))][n as usize % 3];
            sale(n, NOW.0 - n as i64 * 7_777_777, affiliate, ["usd", "eur"][n as usize % 2], 100 + n as i64)
        })
        .collect();
    api.book(&acme, &sales).await;
    let total = |report: &crate::services::TotalsReport| {
        let all = report.rows.iter().flat_map(|row| &row.totals);
        all.fold((0, 0, 0), |sum, entry| (sum.0 + entry.sales, sum.1 + entry.revenue, sum.2 + entry.commission))
    };
    let everything = api.reports.totals(&acme, &TotalsRequest::default()).await.unwrap();
    assert_eq!((everything.rows.len(), total(&everything).0), (1, 200));
    assert_eq!(everything.range.to, date(2026, 11, 21));
    for group in [TotalsGroup::Affiliate, TotalsGroup::Code, TotalsGroup::Day] {
        let request = TotalsRequest { group: Some(group), ..TotalsRequest::default() };
        let grouped = api.reports.totals(&acme, &request).await.unwrap();
        assert_eq!(total(&grouped), total(&everything), "{}", group.name());
    }
    for bucket in [Bucket::Hour, Bucket::Day, Bucket::Week, Bucket::Month] {
        let request = FiguresRequest { bucket: Some(bucket), ..FiguresRequest::of(everything.range.clone()) };
        let dashboard = api.reports.dashboard(&acme, &request).await.unwrap();
        let revenue: i64 = dashboard.series.iter().flat_map(|point| &point.revenue).sum();
        assert_eq!(revenue, total(&everything).1, "{bucket:?}");
        let redemptions: i64 = dashboard.series.iter().map(|point| point.redemptions).sum();
        assert_eq!(redemptions, 200);
    }
    let first_only = TotalsRequest { to: Some(everything.range.from), ..TotalsRequest::default() };
    let first_day = api.reports.totals(&acme, &first_only).await.unwrap();
    assert_eq!(first_day.range.from, first_day.range.to);
    assert!(total(&first_day).0 < 200);
}

#[tokio::test]
async fn the_payout_report_is_totals_by_affiliate_without_nobody() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let globex = api.vendor("globex", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    let leo = api.affiliate(&acme, "aff_leo").await;
    // Around midnight in Berlin at both ends, with what nobody earned and what is negative.
    let sales: Vec<Sale> = (0..300)
        .map(|n| {
            let affiliate = [maya, leo, (AffiliateId(0), CodeId(0))][n as usize % 3];
            let net = if n % 7 == 6 { -333 } else { 1_000 + n as i64 };
            sale(n, NOW.0 - n as i64 * 3_333_333, affiliate, ["usd", "jpy", "kwd"][n as usize % 4 % 3], net)
        })
        .collect();
    api.book(&acme, &sales).await;
    api.book(&globex, &[sale(1_000, NOW.0, maya, "usd", 77)]).await;
    let suspend = serde_json::json!([{"decide": "affiliate", "key": "aff_leo", "name": "Leo", "suspended": true}]);
    let suspend = serde_json::from_value(suspend).unwrap();
    api.control.decide(acme.vendor(), suspend, "test", NOW).await.unwrap();

    let range = DateRange { from: date(2026, 11, 14), to: date(2026, 11, 18), time_zone: "Europe/Berlin".into() };
    let report = api.reports.payouts(&acme, &range).await.unwrap();
    let request = TotalsRequest {
        from: Some(range.from),
        to: Some(range.to),
        group: Some(TotalsGroup::Affiliate),
        ..TotalsRequest::default()
    };
    let totals = api.reports.totals(&acme, &request).await.unwrap();
    let mut expected: Vec<_> = totals
        .rows
        .iter()
        .filter(|group| !group.group.is_empty())
        .flat_map(|group| group.totals.iter().map(move |totals| (group, totals)))
        .map(|(group, totals)| {
            let amounts = (totals.redemptions, totals.revenue, totals.refunded, totals.commission);
            (totals.currency.to_string(), group.group.clone(), group.label.clone(), amounts)
        })
        .collect();
    let mut found: Vec<_> = report
        .rows()
        .map(|row| {
            let amounts = (row.redemptions, row.revenue, row.refunds, row.commission);
            (row.currency.to_string(), row.payee.key, row.payee.name, amounts)
        })
        .collect();
    let order: Vec<_> = found.iter().map(|row| (row.0.clone(), -row.3.3)).collect();
    assert!(order.is_sorted(), "currency by currency, the most commission first: {order:?}");
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(found.len(), 6);
    let statuses: BTreeSet<_> = report.rows().map(|row| (row.payee.key, row.payee.status.name())).collect();
    let expected = [("aff_leo", "suspended"), ("aff_maya", "active")].map(|(key, status)| (key.to_owned(), status));
    assert_eq!(statuses, BTreeSet::from(expected));
    assert_eq!(api.reports.payouts(&globex, &range).await.unwrap().sums, [], "nothing of globex in these days");
}

#[tokio::test]
async fn an_empty_ledger_is_all_zeros() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let range = api.reports.preset_range(&acme, RangePreset::All).await.unwrap();
    assert_eq!((range.from, range.to), (date(2026, 11, 21), date(2026, 11, 21)));
    let dashboard = api.reports.dashboard(&acme, &FiguresRequest::of(range.clone())).await.unwrap();
    assert_eq!((dashboard.bucket, dashboard.series.len()), (Bucket::Hour, 24));
    assert!(dashboard.totals.is_empty() && dashboard.feed.is_empty() && dashboard.affiliates.is_empty());
    assert!(api.reports.totals(&acme, &TotalsRequest::default()).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn one_vendor_and_mode_never_sees_another() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    let acme_test = api.vendor("acme", Mode::Test).await;
    let globex = api.vendor("globex", Mode::Live).await;
    for (offset, scope) in [(1, acme), (2, acme_test), (3, globex)] {
        api.book(&scope, &[sale(offset, NOW.0, maya, "usd", 1_000 * offset as i64)]).await;
    }
    for (scope, revenue, purchase) in [(acme, 1_000, 256), (acme_test, 2_000, 512), (globex, 3_000, 768)] {
        let totals = api.reports.totals(&scope, &TotalsRequest::default()).await.unwrap();
        assert_eq!(totals.rows[0].totals[0].revenue, revenue);
        let page = api.reports.explorer(&scope, &ExplorerFilter::default(), None, 10).await.unwrap();
        assert_eq!(page.items.iter().map(|item| item.purchase.0).collect::<Vec<_>>(), [purchase]);
        for foreign in [256, 512, 768].into_iter().filter(|number| *number != purchase) {
            assert_eq!(api.reports.purchase_lines(&scope, PurchaseId(foreign)).await.unwrap(), []);
            let filter = LinesFilter { purchase: Some(foreign.to_string()), ..LinesFilter::default() };
            assert_eq!(api.reports.lines(&scope, &filter, None, 10).await.unwrap().lines, []);
        }
    }
}

#[tokio::test]
async fn pages_stay_at_the_position_of_the_first_one() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    let sales: Vec<Sale> = (0..25).map(|n| sale(n, NOW.0 - (n as i64 / 5), maya, "usd", 100)).collect();
    api.book(&acme, &sales).await;
    let mut seen = BTreeSet::new();
    let mut cursor: Option<String> = None;
    for round in 0u64.. {
        let page = api.reports.explorer(&acme, &ExplorerFilter::default(), cursor.as_deref(), 4).await.unwrap();
        assert!(page.items.iter().all(|item| seen.insert(item.purchase)), "a purchase came twice");
        assert_eq!(page.watermark.next_offset, 25);
        // Newer and older sales arrive while the list is read.
        let late = 100 + 2 * round;
        api.book(&acme, &[sale(late, NOW.0 + 50, maya, "usd", 1), sale(late + 1, NOW.0 - 50, maya, "usd", 1)]).await;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 25);

    let mut seen = BTreeSet::new();
    let first = api.reports.lines(&acme, &LinesFilter::default(), None, 10).await.unwrap();
    let mut page = first;
    loop {
        assert!(page.lines.iter().all(|reported| seen.insert(reported.line.id.clone())));
        let Some(next) = page.next else { break };
        page = api.reports.lines(&acme, &LinesFilter::default(), Some(&next), 10).await.unwrap();
    }
    assert_eq!(seen.len(), 25 + 14);
    let refused = api.reports.explorer(&acme, &ExplorerFilter::default(), Some("p.1.999999.0.0"), 4).await;
    assert!(matches!(refused, Err(ReportError::Cursor(_))));
}

#[tokio::test]
async fn a_page_whose_scope_did_not_change_asks_nothing() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    api.book(&acme, &[sale(1, NOW.0, maya, "usd", 100)]).await;
    let first = api.reports.totals(&acme, &TotalsRequest::default()).await.unwrap();
    let globex = api.vendor("globex", Mode::Live).await;
    api.book(&globex, &[sale(2, NOW.0, maya, "usd", 100)]).await;
    let second = api.reports.totals(&acme, &TotalsRequest::default()).await.unwrap();
    assert_eq!(first.rows, second.rows);
    api.book(&acme, &[sale(3, NOW.0, maya, "usd", 11)]).await;
    let third = api.reports.totals(&acme, &TotalsRequest::default()).await.unwrap();
    assert_eq!(third.rows[0].totals[0].revenue, 111, "a change is seen at once");
}

#[tokio::test]
async fn the_mail_about_a_month_has_the_figures_of_the_page_of_that_month() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    let leo = api.affiliate(&acme, "aff_leo").await;
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    api.book(
        &acme,
        &[
            // Berlin's October begins in summer time and ends in winter time.
            sale(1, at("2026-09-30T21:59:59Z"), maya, "usd", 100_000),
            sale(2, at("2026-09-30T22:00:00Z"), maya, "usd", 1_000),
            sale(3, at("2026-10-25T01:30:00Z"), leo, "usd", 333),
            sale(4, at("2026-10-31T22:59:59Z"), maya, "usd", 20_001),
            sale(5, at("2026-10-31T23:00:00Z"), maya, "usd", 100_000),
            sale(6, at("2026-10-07T10:00:00Z"), maya, "jpy", 900),
        ],
    )
    .await;
    let range = Month::of(date(2026, 10, 1)).range("Europe/Berlin");
    let month = api.reports.month(&acme, &range).await.unwrap();
    let page = api.reports.dashboard(&acme, &FiguresRequest::of(range.clone())).await.unwrap();
    assert_eq!((&month.totals, &month.series, &month.affiliates), (&page.totals, &page.series, &page.affiliates));
    assert_eq!((month.totals[0].revenue, month.series.len()), (21_334, 31));
    let own = affiliate_scope_in(&api.control, "acme", "aff_maya", Mode::Live).await;
    let month = api.reports.month(&own, &range).await.unwrap();
    let page = api.reports.portal(&own, &FiguresRequest::of(range.clone()), 30).await.unwrap().figures;
    assert_eq!((&month.totals, &month.series, &month.codes), (&page.totals, &page.series, &page.codes));
    assert_eq!((month.totals[0].revenue, month.totals[1].revenue), (21_001, 900));
    let frame = SummaryFrame {
        vendor: "Acme".into(),
        affiliate: Some("Maya".into()),
        link: String::new(),
        site: String::new(),
    };
    let letter = SummaryLetter::of(&month, frame).unwrap();
    let days = letter.days.unwrap();
    assert_eq!(days.amounts.len(), 31);
    assert_eq!(days.amounts.iter().sum::<i64>(), letter.totals[0].commission);
    assert_eq!((letter.top[0].name.as_str(), letter.top[0].redemptions), ("MAYA20", 3));
}

#[tokio::test]
async fn an_affiliate_sees_only_their_own_and_what_is_in_hold() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    let leo = api.affiliate(&acme, "aff_leo").await;
    let at = |days: i64| NOW.0 - days * DAY_MS;
    api.book(
        &acme,
        &[
            sale(1, at(0), maya, "usd", 1_000),
            sale(2, at(29), maya, "usd", 2_000),
            sale(3, at(30), maya, "usd", 4_000),
            sale(4, at(31), maya, "usd", 8_000),
            sale(5, at(1), maya, "jpy", 900),
            sale(6, at(1), leo, "usd", 70_000),
            sale(7, at(1), (AffiliateId(0), CodeId(0)), "usd", 7_000),
        ],
    )
    .await;
    let own = affiliate_scope_in(&api.control, "acme", "aff_maya", Mode::Live).await;
    assert_eq!(own.affiliate(), Some(maya.0));
    let range = api.reports.preset_range(&own, RangePreset::Days30).await.unwrap();
    let report = api.reports.portal(&own, &FiguresRequest::of(range.clone()), 30).await.unwrap();

    let usd = &report.figures.totals[0];
    assert_eq!((usd.sales, usd.revenue, usd.commission), (2, 3_000, 600));
    assert_eq!(report.figures.affiliates.iter().map(|group| group.label.as_str()).collect::<Vec<_>>(), ["Maya"]);
    assert_eq!(report.figures.codes.iter().map(|group| group.label.as_str()).collect::<Vec<_>>(), ["MAYA20"]);
    let lines: Vec<_> = report.lines.iter().map(|line| (line.affiliate.as_str(), line.net)).collect();
    assert_eq!(lines, [("aff_maya", 1_000), ("aff_maya", 900), ("aff_maya", 2_000)]);
    let balances: Vec<_> = report
        .balances
        .iter()
        .map(|sums| (sums.currency.to_string(), sums.earned, sums.in_hold, sums.payable))
        .collect();
    // Thirty days old is in hold for the last time at this hour: what is older is payable.
    assert_eq!(balances, [("jpy".to_owned(), 180, 180, 0), ("usd".to_owned(), 3_000, 1_400, 1_600)]);
    assert_eq!(report.figures.outcomes, OutcomeCounts::default());

    let of_leo = affiliate_scope_in(&api.control, "acme", "aff_leo", Mode::Live).await;
    let report = api.reports.portal(&of_leo, &FiguresRequest::of(range.clone()), 0).await.unwrap();
    assert_eq!((report.figures.totals[0].revenue, report.lines.len()), (70_000, 1));
    assert_eq!((report.balances[0].earned, report.balances[0].in_hold), (14_000, 0));
    let elsewhere = affiliate_scope_in(&api.control, "other", "aff_maya", Mode::Live).await;
    let report = api.reports.portal(&elsewhere, &FiguresRequest::of(range.clone()), 30).await.unwrap();
    assert!(report.figures.totals.is_empty() && report.lines.is_empty() && report.balances.is_empty());
    let in_test = affiliate_scope_in(&api.control, "acme", "aff_maya", Mode::Test).await;
    assert!(api.reports.portal(&in_test, &FiguresRequest::of(range.clone()), 30).await.unwrap().lines.is_empty());
}
