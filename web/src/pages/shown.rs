//! What every page of figures shows of a range: its words, key figures and chart. `range_line.html`, `figures.html` and
//! `chart.html` write it.

use super::chart::{self, ChartTable};
use super::figures::{self, Figure};
use crate::layout::Choice;
use crate::links::Link;
use crate::times;
use crate::view::{ComparedWith, View};
use api::model::Dashboard;

/// The figures of a range.
pub(crate) struct Shown {
    pub range_text: String,
    /// IANA name.
    pub time_zone: String,
    pub compared: ComparedWith,
    pub figures: Vec<Figure>,
    pub chart: ChartTable,
    /// The widths of bars that can be chosen; empty where there is no choice.
    pub bars: Vec<Choice>,
}

impl Shown {
    /// On the page at this address, which has its mode and nothing more.
    pub fn new(dashboard: &Dashboard, view: &View, page: &Link) -> Shown {
        let range = &dashboard.range;
        Shown {
            range_text: times::range(range.from, range.to),
            time_zone: range.time_zone.clone(),
            compared: ComparedWith::new(view, dashboard, page),
            figures: figures::figures(dashboard),
            chart: chart::table(dashboard),
            bars: view.bars(page, dashboard.bucket),
        }
    }

    /// Where there is one affiliate, they are not counted.
    pub fn without_affiliates(mut self) -> Shown {
        self.figures.retain(|figure| figure.id != "affiliates");
        self
    }
}
