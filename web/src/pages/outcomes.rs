//! How purchases ended, as counts that open their rows. `outcomes.html` writes them.

use crate::links::Link;
use crate::money::count;
use api::model::OutcomeCounts;

/// A count and where its rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutcomeLink {
    pub label: &'static str,
    pub class: &'static str,
    pub hint: &'static str,
    pub count: String,
    pub href: String,
}

/// The four ways in which a purchase ends. `rows` is the explorer with the filters of the page.
pub(crate) fn links(outcomes: &OutcomeCounts, rows: &Link) -> Vec<OutcomeLink> {
    let link = |class, hint, value| OutcomeLink {
        label: class,
        class,
        hint,
        count: number(value),
        href: rows.clone().with("outcome", class).build(),
    };
    vec![
        link("credited", "An affiliate is credited", outcomes.credited),
        link("organic", "Nobody brought it", outcomes.organic),
        link("rejected", "Somebody brought it and gets nothing", outcomes.rejected),
        link("waiting", "Something is still to be learnt", outcomes.waiting),
    ]
}

/// Deliveries that could not be understood, which are no purchases yet; none when there are none.
pub(crate) fn refused(outcomes: &OutcomeCounts, connections_href: &str) -> Option<OutcomeLink> {
    (outcomes.refused > 0).then(|| OutcomeLink {
        label: "not understood",
        class: "refused",
        hint: "Deliveries that could not be understood",
        count: number(outcomes.refused),
        href: connections_href.to_owned(),
    })
}

fn number(value: u64) -> String {
    count(i64::try_from(value).unwrap_or(i64::MAX))
}
