//! What a page of figures shows, as its address says: days, bars, and what they are compared with.

use crate::backend::DashboardQuery;
use crate::error::PageError;
use crate::layout::Choice;
use crate::links::Link;
use crate::range::{MAX_DAILY_DAYS, MAX_HOURLY_DAYS, RangeChoice, bucket_name, days_between, parse_bucket};
use crate::words;
use api::model::{Bucket, Dashboard, DateRange};
use api::services::Comparison;
use jiff::civil::Date;
use serde::Deserialize;

/// The query parameters of every page of figures.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ViewFilters {
    range: Option<String>,
    from: Option<String>,
    to: Option<String>,
    bucket: Option<String>,
    compare: Option<String>,
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Which days.
    pub range: RangeChoice,
    /// Of the chart; `None` lets the service choose.
    pub bucket: Option<Bucket>,
    /// With what they are compared.
    pub against: Comparison,
    /// The day it is for the vendor.
    pub today: Date,
}

/// An empty parameter counts as absent.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

impl View {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Names the parameter that cannot be used.
    pub(crate) fn of(filters: &ViewFilters, is_demo: bool, today: Date) -> Result<View, PageError> {
        let range = RangeChoice::parse(given(&filters.range), given(&filters.from), given(&filters.to))?
            .unwrap_or_else(|| RangeChoice::usual(is_demo));
        let bucket = parse_bucket(given(&filters.bucket), range, today)?;
        let against = given(&filters.compare).map(|name| {
            Comparison::from_name(name).ok_or_else(|| PageError::BadQuery {
                field: "compare",
                message: "Use one of before, year, none.".into(),
            })
        });
        Ok(View { range, bucket, against: against.transpose()?.unwrap_or_default(), today })
    }

    /// As the services take it.
    pub fn query(&self) -> DashboardQuery {
        DashboardQuery { range: self.range, bucket: self.bucket, against: self.against }
    }

    /// An address with all of it.
    pub(crate) fn link(&self, link: Link) -> Link {
        self.compared(self.range.link(link).with_some("bucket", self.bucket.map(bucket_name)))
    }

    /// The same range on another page: its bars are its own.
    pub(crate) fn range_link(&self, link: Link) -> Link {
        self.compared(self.range.link(link))
    }

    /// An address with the comparison alone; the usual one is left out.
    pub(crate) fn compared(&self, link: Link) -> Link {
        link.with_some("compare", self.compare_name())
    }

    /// The word in addresses, unless it is the usual one.
    pub fn compare_name(&self) -> Option<&'static str> {
        (self.against != Comparison::default()).then(|| self.against.name())
    }

    /// The ways to compare, as links to this page.
    pub(crate) fn comparisons(&self, page: &Link) -> Vec<Choice> {
        let choice = |against: Comparison| Choice {
            label: comparison_label(against).into(),
            href: View { against, ..*self }.link(page.clone()).build(),
            is_current: against == self.against,
            mark: against.name(),
        };
        Comparison::ALL.into_iter().map(choice).collect()
    }

    /// The bars that make sense for these days, as links to this page; empty where there is no choice.
    pub(crate) fn bars(&self, page: &Link, shown: Bucket) -> Vec<Choice> {
        let (from, to) = self.range.resolve(self.today);
        let days = days_between(from, to);
        let buckets = [Bucket::Hour, Bucket::Day, Bucket::Week, Bucket::Month].into_iter();
        let choices: Vec<Choice> = buckets
            .filter(|bucket| *bucket == shown || makes_sense(*bucket, days))
            .map(|bucket| Choice {
                label: words::sentence(bucket_name(bucket)),
                href: View { bucket: Some(bucket), ..*self }.link(page.clone()).build(),
                is_current: bucket == shown,
                mark: "",
            })
            .collect();
        if choices.len() > 1 { choices } else { Vec::new() }
    }
}

/// Neither a single bar nor thousands.
fn makes_sense(bucket: Bucket, days: i32) -> bool {
    match bucket {
        Bucket::Hour => days <= MAX_HOURLY_DAYS,
        Bucket::Day => (2..=MAX_DAILY_DAYS).contains(&days),
        Bucket::Week => days > 7,
        Bucket::Month => days > 31,
    }
}

fn comparison_label(against: Comparison) -> &'static str {
    match against {
        Comparison::PeriodBefore => "Before",
        Comparison::YearBefore => "Year before",
        Comparison::Nothing => "Nothing",
    }
}

/// What a range is compared with, in words.
fn named(against: Comparison, range: &DateRange) -> String {
    match (against, days_between(range.from, range.to)) {
        (Comparison::YearBefore, 1) => "the same day a year before".into(),
        (Comparison::YearBefore, _) => "the same days a year before".into(),
        (_, 1) => "the day before".into(),
        (_, days) => format!("the {days} days before"),
    }
}

/// The words of a comparison on one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ComparedWith {
    /// `the 30 days before`; empty where nothing is wanted.
    pub name: String,
    /// `compared with the 30 days before`, or why there is nothing to compare.
    pub sentence: String,
    /// The ways to compare.
    pub choices: Vec<Choice>,
}

impl ComparedWith {
    /// On the page at this address.
    pub(crate) fn new(view: &View, dashboard: &Dashboard, page: &Link) -> ComparedWith {
        let choices = view.comparisons(page);
        if view.against == Comparison::Nothing {
            return ComparedWith { name: String::new(), sentence: "not compared".into(), choices };
        }
        let name = named(view.against, &dashboard.range);
        let is_empty = dashboard.earlier.as_ref().is_none_or(|earlier| earlier.totals.is_empty());
        let sentence = match is_empty {
            true if name.contains(" days before") => format!("nothing to compare with: no sale in {name}"),
            true => format!("nothing to compare with: no sale on {name}"),
            false => format!("compared with {name}"),
        };
        ComparedWith { name, sentence, choices }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::Preset;
    use jiff::civil::date;

    const TODAY: Date = date(2026, 11, 21);

    fn of(pairs: &[(&str, &str)]) -> Result<View, PageError> {
        let value = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let filters = ViewFilters {
            range: value("range"),
            from: value("from"),
            to: value("to"),
            bucket: value("bucket"),
            compare: value("compare"),
        };
        View::of(&filters, false, TODAY)
    }

    #[test]
    fn an_address_carries_all_of_it_and_leaves_out_what_is_usual() {
        let view = of(&[("range", "90d"), ("bucket", "week"), ("compare", "year")]).unwrap();
        assert_eq!((view.bucket, view.against), (Some(Bucket::Week), Comparison::YearBefore));
        let page = Link::to(&["acme", "dashboard"]);
        assert_eq!(view.link(page.clone()).build(), "/acme/dashboard?range=90d&bucket=week&compare=year");
        assert_eq!(view.range_link(page.clone()).build(), "/acme/dashboard?range=90d&compare=year");
        let usual = of(&[("compare", "before")]).unwrap();
        assert_eq!(usual.link(page.clone()).build(), "/acme/dashboard?range=30d");
        let choices = view.comparisons(&page);
        assert_eq!(choices[0].href, "/acme/dashboard?range=90d&bucket=week");
        assert!(choices[1].is_current && !choices[0].is_current);
        assert!(matches!(of(&[("compare", "month")]), Err(PageError::BadQuery { field: "compare", .. })));
    }

    #[test]
    fn bars_are_offered_where_they_make_sense() {
        let page = Link::to(&["acme", "dashboard"]);
        let offered = |preset: Preset, shown| {
            let view =
                View { range: RangeChoice::Preset(preset), bucket: None, against: Comparison::Nothing, today: TODAY };
            view.bars(&page, shown).into_iter().map(|choice| choice.label).collect::<Vec<_>>()
        };
        assert_eq!(offered(Preset::Today, Bucket::Hour), Vec::<String>::new());
        assert_eq!(offered(Preset::SevenDays, Bucket::Day), ["Hour", "Day"]);
        assert_eq!(offered(Preset::ThirtyDays, Bucket::Day), ["Hour", "Day", "Week"]);
        assert_eq!(offered(Preset::NinetyDays, Bucket::Day), ["Day", "Week", "Month"]);
        assert_eq!(offered(Preset::TwelveMonths, Bucket::Week), ["Day", "Week", "Month"]);
    }
}
