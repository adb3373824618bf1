//! Pins the text of every query. A changed line here is a changed question: read it.

use super::queries::*;
use super::scope_filter::{ScopeFilter, TimeRange, Watermark};
use domain::ids::{AffiliateId, CodeId, Mode, PurchaseId, Timestamp, VendorId};
use domain::line::PurchaseOutcome;
use domain::money::Currency;
use std::fmt::Write;

fn vendor_filter() -> ScopeFilter {
    ScopeFilter {
        vendor: VendorId(7),
        mode: Mode::Live,
        affiliate: None,
        visible_from: None,
        watermark: Watermark { generation: 1, partition: 3, next_offset: 500 },
    }
}

fn affiliate_filter() -> ScopeFilter {
    ScopeFilter { affiliate: Some(AffiliateId(9)), visible_from: Some(Timestamp(1_000)), ..vendor_filter() }
}

fn add<Q: ScopedQuery>(text: &mut String, filter: &ScopeFilter, query: &Q) {
    let sql = query.render(filter);
    assert_eq!(sql.text().matches('?').count(), sql.binds().len(), "{}", Q::NAME);
    writeln!(text, "{}\n{}\n{:?}\n", Q::NAME, sql.text(), sql.binds()).expect("a string grows");
}

fn every_query() -> String {
    let range = Some(TimeRange { from: Timestamp(1_000), to: Timestamp(2_000) });
    let days = Grouping::LocalDay(vec![
        OffsetSegment { starts_at: Timestamp(0), offset_ms: 3_600_000 },
        OffsetSegment { starts_at: Timestamp(1_500), offset_ms: 7_200_000 },
    ]);
    let mut text = String::new();
    for filter in [vendor_filter(), affiliate_filter()] {
        add(
            &mut text,
            &filter,
            &LedgerSummary {
                of: Subject::All,
                range,
                groupings: vec![Grouping::Affiliate, Grouping::Code, days.clone()],
            },
        );
        add(&mut text, &filter, &PurchaseOutcomes::default());
        add(&mut text, &filter, &PurchasesPage { limit: 20, ..PurchasesPage::default() });
        add(&mut text, &filter, &LinesPage { limit: 50, ..LinesPage::default() });
        add(&mut text, &filter, &LedgerBounds);
        add(&mut text, &filter, &PurchaseHistory { purchase: PurchaseId(11) });
    }
    let filter = vendor_filter();
    add(&mut text, &filter, &LedgerSummary { of: Subject::All, range: None, groupings: vec![Grouping::Everything] });
    add(&mut text, &filter, &LedgerSummary { of: Subject::All, range, groupings: vec![Grouping::QuarterHour] });
    let filtered = PurchasesPage {
        affiliate: Some(AffiliateId(9)),
        codes: Some(vec![CodeId(4), CodeId(5)]),
        outcome: Some(PurchaseOutcome::Credited),
        currency: Currency::parse("usd"),
        purchases: Some(vec![]),
        redemptions_only: true,
        sold: range,
        gross: Some(4_900),
        after: Some(PurchaseCursor { sale_at: Timestamp(3_000), purchase: PurchaseId(11) }),
        limit: 1_000_000,
    };
    add(&mut text, &filter, &filtered);
    add(&mut text, &filter, &PurchaseCount(PurchasesPage { after: None, ..filtered }));
    let lines = LinesPage {
        purchase: Some(PurchaseId(11)),
        affiliate: Some(AffiliateId(0)),
        range,
        after: Some(LineCursor { occurred_at: Timestamp(1_200), src_off: 40, ord: 2 }),
        limit: 50,
    };
    add(&mut text, &filter, &lines);
    add(&mut text, &filter, &PurchaseLines { purchase: PurchaseId(11) });
    for filter in [vendor_filter(), affiliate_filter()] {
        add(&mut text, &filter, &AffiliateSums { range, most_rows: 10 });
        add(&mut text, &filter, &Balances { held_from: Timestamp(1_700) });
        add(&mut text, &filter, &NewestLines { of: Subject::All, range, limit: 20 });
        for of in [Subject::Affiliate(AffiliateId(8)), Subject::Code(CodeId(4))] {
            add(&mut text, &filter, &NewestLines { of, range, limit: 20 });
            add(&mut text, &filter, &LedgerSummary { of, range, groupings: vec![Grouping::Everything] });
            add(&mut text, &filter, &PurchaseOutcomes { of });
        }
    }
    let sums = verify::render_line_sums(1, 3, &[10, 15], 20);
    writeln!(text, "line_sums\n{}\n{:?}\n", sums.text(), sums.binds()).expect("a string grows");
    let counts = verify::render_row_counts(1, 3, &[10, 15], 20);
    writeln!(text, "row_counts\n{}\n{:?}", counts.text(), counts.binds()).expect("a string grows");
    text
}

#[test]
fn query_texts_are_pinned() {
    let found = every_query();
    let pinned = include_str!("queries.golden.txt");
    if found != pinned {
        let place = std::env::temp_dir().join("queries.golden.txt");
        std::fs::write(&place, &found).expect("the temporary folder is writable");
        panic!("the text of a query changed: compare {} with store/src/warehouse/queries.golden.txt", place.display());
    }
}

#[test]
fn the_tenant_comes_first_in_every_where() {
    for block in
        every_query().split("\n\n").filter(|block| !block.starts_with("line_sums") && !block.starts_with("row_counts"))
    {
        for condition in block.split(" WHERE ").skip(1) {
            let outer_filter = condition.starts_with("standing != 'merged'");
            assert!(condition.starts_with("vendor_id = ? AND livemode = ? AND gen = ?") || outer_filter, "{block}");
        }
    }
}
