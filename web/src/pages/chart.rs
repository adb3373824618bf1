//! The main chart. What a script draws is read from the table behind it, so that both always agree.

use crate::money::{Money, count};
use crate::times;
use api::model::{Bucket, Dashboard, SeriesPoint};

/// The table behind the chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartTable {
    /// One per column after the first.
    pub columns: Vec<ChartColumn>,
    /// One per bucket, oldest first.
    pub rows: Vec<ChartRow>,
    /// `hour`, `day`, `week`, `month`.
    pub bucket: &'static str,
    /// No bucket has anything in it.
    pub is_empty: bool,
    /// The last bucket is not over.
    pub has_partial: bool,
    /// The days of the earlier series; empty where there is none, or nothing in it.
    pub earlier: String,
}

/// A measure, in one currency where it is money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartColumn {
    /// `redemptions`, `revenue` or `commission`.
    pub measure: &'static str,
    /// `Revenue`
    pub label: &'static str,
    /// `USD`, or empty.
    pub unit: String,
    /// Digits after the point.
    pub digits: u8,
}

/// One bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartRow {
    /// `21 Nov`
    pub label: String,
    /// Not over yet.
    pub is_partial: bool,
    /// In the order of the columns.
    pub cells: Vec<ChartCell>,
    /// What stands beside it in the earlier range.
    pub earlier: Option<EarlierCells>,
}

/// A bucket of the earlier range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierCells {
    /// `22 Oct 2026`
    pub label: String,
    /// In the order of the columns.
    pub cells: Vec<ChartCell>,
}

/// One number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartCell {
    /// For the script.
    pub raw: i64,
    /// For people.
    pub text: String,
}

/// The table of a dashboard.
pub fn table(dashboard: &Dashboard) -> ChartTable {
    let mut columns =
        vec![ChartColumn { measure: "redemptions", label: "Redemptions", unit: String::new(), digits: 0 }];
    for (measure, label) in [("revenue", "Revenue"), ("commission", "Commission")] {
        columns.extend(dashboard.currencies.iter().map(|currency| ChartColumn {
            measure,
            label,
            unit: Money::new(0, *currency).unit(),
            digits: currency.minor_digits().unwrap_or(0),
        }));
    }
    let earlier = dashboard.earlier.as_ref().filter(|earlier| !earlier.totals.is_empty());
    let beside = |index: usize| earlier.and_then(|earlier| earlier.series.get(index));
    let rows: Vec<ChartRow> =
        dashboard.series.iter().enumerate().map(|(index, point)| row(dashboard, point, beside(index))).collect();
    ChartTable {
        is_empty: rows.iter().all(ChartRow::is_empty),
        earlier: earlier.map(|earlier| times::range(earlier.range.from, earlier.range.to)).unwrap_or_default(),
        has_partial: dashboard.series.last().is_some_and(|point| point.partial),
        bucket: match dashboard.bucket {
            Bucket::Hour => "hour",
            Bucket::Day => "day",
            Bucket::Week => "week",
            Bucket::Month => "month",
        },
        columns,
        rows,
    }
}

impl ChartRow {
    fn is_empty(&self) -> bool {
        self.cells.iter().chain(self.earlier.iter().flat_map(|earlier| &earlier.cells)).all(|cell| cell.raw == 0)
    }
}

fn row(dashboard: &Dashboard, point: &SeriesPoint, beside: Option<&SeriesPoint>) -> ChartRow {
    let earlier = beside.map(|beside| EarlierCells { label: beside.label.clone(), cells: cells(dashboard, beside) });
    ChartRow { label: point.label.clone(), is_partial: point.partial, cells: cells(dashboard, point), earlier }
}

fn cells(dashboard: &Dashboard, point: &SeriesPoint) -> Vec<ChartCell> {
    let mut cells = vec![ChartCell { raw: point.redemptions, text: count(point.redemptions) }];
    for amounts in [&point.revenue, &point.commission] {
        cells.extend(dashboard.currencies.iter().enumerate().map(|(index, currency)| {
            let raw = amounts.get(index).copied().unwrap_or(0);
            ChartCell { raw, text: Money::new(raw, *currency).amount() }
        }));
    }
    cells
}
