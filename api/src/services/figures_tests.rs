//! Comparison and the figures of one affiliate or code, over the real engine.

use crate::model::{Bucket, Dashboard, DateRange, ExplorerFilter, Totals};
use crate::services::test_api::{NOW, Sale, TestApi};
use crate::services::{Comparison, FiguresRequest, Subject};
use domain::ids::{AffiliateId, CodeId, Mode};
use futures::TryStreamExt;
use jiff::civil::{Date, date};
use std::collections::BTreeMap;

const DAY_MS: i64 = 86_400_000;
const NOBODY: (AffiliateId, CodeId) = (AffiliateId(0), CodeId(0));

fn days(from: Date, to: Date) -> DateRange {
    DateRange { from, to, time_zone: "Europe/Berlin".into() }
}

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn sale(offset: u64, at: i64, affiliate: (AffiliateId, CodeId), currency: &'static str, net: i64) -> Sale {
    Sale { offset, at, affiliate, currency, net }
}

/// Sales, revenue and commission by currency.
fn sums<'a>(totals: impl IntoIterator<Item = &'a Totals>) -> BTreeMap<String, (i64, i64, i64, i64)> {
    let mut sums: BTreeMap<String, (i64, i64, i64, i64)> = BTreeMap::new();
    for one in totals {
        let sum = sums.entry(one.currency.to_string()).or_default();
        *sum = (sum.0 + one.sales, sum.1 + one.revenue, sum.2 + one.commission, sum.3 + one.redemptions);
    }
    sums
}

#[tokio::test]
async fn a_range_is_compared_with_the_days_before_the_year_before_or_nothing() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    api.book(
        &acme,
        &[
            sale(1, at("2026-11-10T10:00:00Z"), maya, "usd", 1_000),
            sale(2, at("2026-11-03T10:00:00Z"), maya, "usd", 300),
            sale(3, at("2026-11-04T10:00:00Z"), NOBODY, "eur", 50),
            sale(4, at("2025-11-12T10:00:00Z"), maya, "usd", 800),
            // Just outside of both earlier ranges: Berlin is an hour ahead of UTC.
            sale(5, at("2026-11-01T22:59:59Z"), maya, "usd", 7_777),
            sale(6, at("2025-11-15T23:00:00Z"), maya, "usd", 7_777),
        ],
    )
    .await;
    let request =
        |against| FiguresRequest { bucket: None, against, range: days(date(2026, 11, 9), date(2026, 11, 15)) };

    let before = api.reports.dashboard(&acme, &request(Comparison::PeriodBefore)).await.unwrap();
    let earlier = before.earlier.as_ref().unwrap();
    assert_eq!((earlier.range.from, earlier.range.to), (date(2026, 11, 2), date(2026, 11, 8)));
    let expected = BTreeMap::from([("eur".to_owned(), (1, 50, 10, 1)), ("usd".to_owned(), (1, 300, 60, 1))]);
    assert_eq!((sums(&earlier.totals), earlier.active_affiliates), (expected, 1));
    let beside: Vec<_> = before
        .series
        .iter()
        .zip(&earlier.series)
        .map(|(now, then)| (now.label.as_str(), then.label.as_str(), then.revenue.clone(), then.redemptions))
        .collect();
    assert_eq!(beside[1], ("10 Nov", "3 Nov 2026", vec![300], 1));
    // Euros are in no column of this range; the redemption is counted all the same.
    assert_eq!(beside[2], ("11 Nov", "4 Nov 2026", vec![0], 1));
    assert!(earlier.series.iter().all(|point| !point.partial));

    let year = api.reports.dashboard(&acme, &request(Comparison::YearBefore)).await.unwrap();
    let earlier = year.earlier.as_ref().unwrap();
    assert_eq!((earlier.range.from, earlier.range.to), (date(2025, 11, 9), date(2025, 11, 15)));
    assert_eq!(sums(&earlier.totals), BTreeMap::from([("usd".to_owned(), (1, 800, 160, 1))]));
    assert_eq!((earlier.series[3].label.as_str(), earlier.series[3].revenue[0]), ("12 Nov 2025", 800));

    let nothing = api.reports.dashboard(&acme, &request(Comparison::Nothing)).await.unwrap();
    assert!(nothing.earlier.is_none());
    assert_eq!(sums(&nothing.totals), sums(&before.totals));
}

#[tokio::test]
async fn the_earlier_series_sums_to_the_earlier_totals_in_every_bucket() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    // Every five hours, across the clock changes of March and October.
    let sales: Vec<Sale> =
        (0..2_000).map(|n| sale(n, NOW.0 - n as i64 * 5 * 3_600_000, maya, "usd", 100 + n as i64)).collect();
    api.book(&acme, &sales).await;
    for (bucket, from, to) in [
        (Bucket::Hour, date(2026, 10, 25), date(2026, 10, 31)),
        (Bucket::Hour, date(2026, 3, 29), date(2026, 3, 29)),
        (Bucket::Day, date(2026, 10, 10), date(2026, 11, 20)),
        (Bucket::Week, date(2026, 9, 2), date(2026, 11, 21)),
        (Bucket::Month, date(2026, 7, 15), date(2026, 11, 21)),
    ] {
        let request = FiguresRequest { range: days(from, to), bucket: Some(bucket), against: Comparison::PeriodBefore };
        let dashboard = api.reports.dashboard(&acme, &request).await.unwrap();
        let earlier = dashboard.earlier.unwrap();
        assert_eq!(earlier.series.len(), dashboard.series.len(), "{bucket:?}");
        let revenue: i64 = earlier.series.iter().map(|point| point.revenue[0]).sum();
        assert_eq!(revenue, earlier.totals[0].revenue, "{bucket:?} from {from}");
        assert!(revenue > 0, "{bucket:?}");
    }
}

#[tokio::test]
async fn affiliates_and_codes_add_up_to_the_dashboard_to_the_cent() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    let leo = api.affiliate(&acme, "aff_leo").await;
    let owners = [maya, leo, NOBODY];
    let sales: Vec<Sale> = (1..=300)
        .map(|n| {
            let net = if n % 11 == 10 { -333 } else { 1_001 + n as i64 * 7 };
            sale(
                n,
                NOW.0 - n as i64 * DAY_MS / 4,
                owners[n as usize % 3],
                ["usd", "eur", "jpy"][n as usize % 7 % 3],
                net,
            )
        })
        .collect();
    api.book(&acme, &sales).await;
    let request = FiguresRequest::of(days(date(2026, 10, 23), date(2026, 11, 21)));
    let whole = api.reports.dashboard(&acme, &request).await.unwrap();
    let earlier = |dashboard: &Dashboard| dashboard.earlier.clone().unwrap().totals;
    for subjects in [owners.map(|owner| Subject::Affiliate(owner.0)), owners.map(|owner| Subject::Code(owner.1))] {
        let (mut now, mut before, mut series, mut credited) = (Vec::new(), Vec::new(), 0, 0);
        for subject in subjects {
            let report = api.reports.figures_of(&acme, &request, subject).await.unwrap();
            assert!(
                report.lines.len() <= 20 && report.lines.iter().all(|line| line.business_key.starts_with("inv:in/"))
            );
            now.extend(report.figures.totals.clone());
            before.extend(earlier(&report.figures));
            series += report.figures.series.iter().map(|point| point.redemptions).sum::<i64>();
            credited += report.figures.outcomes.credited;
            assert_eq!(report.figures.outcomes.refused, 0, "deliveries are nobody's");
        }
        assert_eq!(sums(&now), sums(&whole.totals));
        assert_eq!(sums(&before), sums(&earlier(&whole)));
        assert_eq!(series, whole.series.iter().map(|point| point.redemptions).sum::<i64>());
        assert_eq!(credited, whole.outcomes.credited);
    }
    let of_maya = api.reports.figures_of(&acme, &request, Subject::Affiliate(maya.0)).await.unwrap();
    let codes: Vec<_> = of_maya.figures.codes.iter().map(|code| (code.group.as_str(), code.number)).collect();
    assert_eq!(codes, [("MAYA20", maya.1.0)]);
    assert_eq!(sums(&of_maya.figures.codes[0].totals), sums(&of_maya.figures.totals));
    assert!(of_maya.lines.iter().all(|line| line.line.affiliate == "aff_maya"));
}

#[tokio::test]
async fn a_file_holds_what_the_explorer_finds_also_by_days() {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    let leo = api.affiliate(&acme, "aff_leo").await;
    // More than one page of a file, four each day.
    let sales: Vec<Sale> = (1..=1_200)
        .map(|n| sale(n, NOW.0 - n as i64 * DAY_MS / 4, [maya, leo][n as usize % 2], "usd", 100 + n as i64))
        .collect();
    api.book(&acme, &sales).await;
    let read = async |filter: &ExplorerFilter| {
        let file = api.reports.purchase_file(&acme, filter).await.unwrap();
        assert_eq!((file.time_zone.as_str(), file.watermark.next_offset), ("Europe/Berlin", 1_201));
        file.pages.try_concat().await.unwrap()
    };
    let all = read(&ExplorerFilter::default()).await;
    assert_eq!(all.iter().map(|item| item.net).collect::<Vec<_>>(), (101..=1_300).collect::<Vec<_>>());
    let of_leo = ExplorerFilter { affiliate: Some("aff_leo".into()), ..ExplorerFilter::default() };
    assert_eq!(read(&of_leo).await.len(), 600);
    let days = ExplorerFilter { from: Some(date(2026, 11, 10)), to: Some(date(2026, 11, 11)), ..of_leo };
    let found = read(&days).await;
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|item| ["10 Nov 2026", "11 Nov 2026"].contains(&&item.sale_at_text[..11])));
    let page = api.reports.explorer(&acme, &days, None, 50).await.unwrap();
    assert_eq!(page.items, found);
    let until = ExplorerFilter { to: Some(date(2026, 11, 9)), ..ExplorerFilter::default() };
    assert_eq!(
        read(&until).await.len()
            + read(&ExplorerFilter { from: Some(date(2026, 11, 10)), ..ExplorerFilter::default() }).await.len(),
        1_200
    );
    let nothing = ExplorerFilter { code: Some("NOSUCH".into()), ..ExplorerFilter::default() };
    assert!(read(&nothing).await.is_empty());
}
