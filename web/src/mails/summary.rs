//! The summary of a month, with its picture.

use super::chart;
use crate::money::{Money, count};
use api::mail::{Letter, Picture, TypesetError};
use api::summary::{Month, SummaryDays, SummaryLetter, SummaryTop, SummaryTotals};
use askama::Template;

/// Names the picture inside the mail.
const PICTURE: &str = "month";

#[derive(Template)]
#[template(path = "mail/summary.txt")]
struct SummaryText<'a> {
    letter: &'a SummaryLetter,
    words: &'a Words,
}

#[derive(Template)]
#[template(path = "mail/summary.html")]
struct SummaryHtml<'a> {
    letter: &'a SummaryLetter,
    words: &'a Words,
    subject: &'a str,
    picture: &'a str,
    width: usize,
    height: usize,
}

/// What both forms say.
struct Words {
    month: String,
    /// What the amounts of the days are: `Revenue`.
    measure: &'static str,
    /// The picture in a sentence; empty where there is none.
    picture: String,
    rows: Vec<TotalsRow>,
    /// What the best are.
    top_title: &'static str,
    top: Vec<TopRow>,
}

struct TotalsRow {
    unit: String,
    redemptions: String,
    sales: String,
    revenue: String,
    refunds: String,
    commission: String,
}

struct TopRow {
    name: String,
    redemptions: String,
    is_one: bool,
    commission: String,
}

pub(super) fn letter(letter: &SummaryLetter) -> Result<Letter, TypesetError> {
    let words = &Words::of(letter);
    let subject = match letter.affiliate {
        None => format!("{}: {} in figures", letter.vendor, words.month),
        Some(_) => format!("Your {} with {}", words.month, letter.vendor),
    };
    let picture = match &letter.days {
        Some(days) => Some(Picture { id: PICTURE.to_owned(), png: chart::draw(&days.amounts, days.currency)? }),
        None => None,
    };
    let (width, height) = chart::SHOWN;
    let html = SummaryHtml { letter, words, subject: &subject, picture: PICTURE, width, height }.render()?;
    let text = SummaryText { letter, words }.render()?;
    Ok(Letter { subject, text, html, picture, unsubscribe: Some(letter.unsubscribe.clone()) })
}

impl Words {
    fn of(letter: &SummaryLetter) -> Words {
        let is_vendors = letter.affiliate.is_none();
        let measure = if is_vendors { "Revenue" } else { "Commission" };
        Words {
            month: Month::of(letter.month).words(),
            measure,
            picture: letter.days.as_ref().map(|days| described(measure, days)).unwrap_or_default(),
            rows: letter.totals.iter().map(TotalsRow::of).collect(),
            top_title: if is_vendors { "Your best affiliates" } else { "Your codes" },
            top: letter.top.iter().map(TopRow::of).collect(),
        }
    }
}

/// `Revenue per day in USD: 12 days with any, at most 1,234.00 USD on day 17`
fn described(measure: &str, days: &SummaryDays) -> String {
    let unit = Money::new(0, days.currency).unit();
    let with_any = days.amounts.iter().filter(|amount| **amount != 0).count();
    let best = days.amounts.iter().enumerate().rev().max_by_key(|(_, amount)| **amount);
    match best {
        Some((day, amount)) if *amount > 0 => format!(
            "{measure} per day in {unit}: {with_any} of {} days with any, at most {} on day {}",
            days.amounts.len(),
            Money::new(*amount, days.currency),
            day + 1
        ),
        _ => format!("{measure} per day in {unit}: no day above 0"),
    }
}

impl TotalsRow {
    fn of(totals: &SummaryTotals) -> TotalsRow {
        let amount = |minor| Money::new(minor, totals.currency).amount();
        TotalsRow {
            unit: Money::new(0, totals.currency).unit(),
            redemptions: count(totals.redemptions),
            sales: count(totals.sales),
            revenue: amount(totals.revenue),
            refunds: amount(totals.refunded),
            commission: amount(totals.commission),
        }
    }
}

impl TopRow {
    fn of(top: &SummaryTop) -> TopRow {
        let amounts = top.commission.iter().map(|(currency, minor)| Money::new(*minor, *currency).to_string());
        TopRow {
            name: top.name.clone(),
            redemptions: count(top.redemptions),
            is_one: top.redemptions == 1,
            commission: amounts.collect::<Vec<_>>().join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(affiliate: Option<&str>) -> SummaryLetter {
        let usd = domain::money::Currency::parse("usd").unwrap();
        let jpy = domain::money::Currency::parse("jpy").unwrap();
        let totals = |currency, revenue, commission| SummaryTotals {
            currency,
            redemptions: 1_234,
            sales: 56,
            revenue,
            refunded: 7_800,
            commission,
        };
        SummaryLetter {
            vendor: "Acme <Analytics>".into(),
            affiliate: affiliate.map(str::to_owned),
            month: jiff::civil::date(2026, 10, 1),
            time_zone: "Europe/Berlin".into(),
            totals: vec![totals(usd, 1_234_567, 246_913), totals(jpy, 900, 180)],
            days: Some(SummaryDays { currency: usd, amounts: vec![0, 5_000, -100, 99_900, 0] }),
            top: vec![SummaryTop {
                name: "Maya <b>".into(),
                redemptions: 9,
                commission: vec![(usd, 246_913), (jpy, 180)],
            }],
            link: "https://track.example/acme/dashboard?from=2026-10-01".into(),
            unsubscribe: "https://track.example/account/unsubscribe/ab12".into(),
            site: "track.example".into(),
        }
    }

    #[test]
    fn a_summary_says_the_same_in_both_forms_and_has_its_picture() {
        for affiliate in [None, Some("Maya Lind")] {
            let letter = letter(&sample(affiliate)).unwrap();
            let measure = if affiliate.is_none() { "Revenue" } else { "Commission" };
            for said in [
                "October 2026",
                "12,345.67",
                "2,469.13",
                "78.00",
                "1,234",
                "JPY",
                "900",
                "at most 999.00 USD on day 4",
                "Europe/Berlin",
                "https://track.example/account/unsubscribe/ab12",
                measure,
            ] {
                assert!(letter.text.contains(said), "{said} is not in\n{}", letter.text);
                assert!(letter.html.contains(said), "{said} is not in\n{}", letter.html);
            }
            assert!(
                letter.text.contains("Maya <b>")
                    && !letter.html.contains("<b>")
                    && !letter.html.contains("<Analytics>")
            );
            assert!(letter.html.contains("src=\"cid:month\"") && letter.html.contains("alt=\""));
            assert!(letter.picture.unwrap().png.starts_with(b"\x89PNG"));
            assert_eq!(letter.unsubscribe.as_deref(), Some("https://track.example/account/unsubscribe/ab12"));
        }
        assert_eq!(letter(&sample(None)).unwrap().subject, "Acme <Analytics>: October 2026 in figures");
        assert_eq!(letter(&sample(Some("Maya"))).unwrap().subject, "Your October 2026 with Acme <Analytics>");
    }
}
