//! Compares what the product says in the end with the oracle: P1 every acknowledged event has
//! one outcome, P2 sums to the cent, P3 counts, P4 nothing is taken back twice.

use crate::oracle::{Figures, Ledger};
use crate::plan::Plan;
use crate::sender::Record;
use crate::vendors::LiveVendor;
use anyhow::{Context, Result, bail};
use corpus::client::JsonApi;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The outcomes that a delivery can have.
const OUTCOMES: [&str; 5] = ["counted", "no_effect", "ignored", "waiting", "refused"];
/// At most this many pages of one list are read.
const MAX_PAGES: usize = 20_000;
/// Questions under way at the same time.
const QUESTIONS: usize = 16;

/// What was compared and what was wrong.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Events of which the outcome was asked.
    pub events: u64,
    /// Deliveries by outcome, over all vendors.
    pub outcomes: BTreeMap<String, u64>,
    /// Figures compared with the oracle.
    pub figures: u64,
    /// Lines read.
    pub lines: u64,
    /// Purchases read.
    pub purchases: u64,
    /// Sum of all absolute differences of revenue and commission.
    pub difference_minor: u128,
    /// Each thing that is wrong, in words.
    pub problems: Vec<String>,
}

/// Waits until every vendor is settled.
pub async fn settle(live: &[LiveVendor], limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    for vendor in live {
        let mut pause = Duration::from_millis(20);
        loop {
            let status = vendor.api.get(&["status"], &[]).await?;
            if status.get("settled").and_then(Value::as_bool) == Some(true) {
                break;
            }
            if Instant::now() >= deadline {
                bail!("{} is not settled after {} seconds: {status}", vendor.slug, limit.as_secs());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }
    Ok(())
}

/// Checks everything.
pub async fn verify(plan: &Plan, live: &[LiveVendor], record: &Record) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (number, vendor) in live.iter().enumerate() {
        check_events(plan, (number, vendor), record, &mut verdict).await?;
        check_outcomes((number, vendor), record, &mut verdict).await?;
        let got = read_ledger(&vendor.api).await?;
        compare_ledgers(&vendor.slug, &plan.vendors[number].expected, &got, &mut verdict);
        check_purchases(vendor, &mut verdict).await?;
    }
    Ok(verdict)
}

/// P1, one by one: the product knows each acknowledged event and names its outcome; what was
/// refused at the door was made to be.
async fn check_events(
    plan: &Plan,
    (number, vendor): (usize, &LiveVendor),
    record: &Record,
    verdict: &mut Verdict,
) -> Result<()> {
    let events = &plan.vendors[number].events;
    for ((_, event), status) in record.refused.iter().filter(|((of, _), _)| *of == number) {
        if events[*event].poison.is_none() {
            verdict.problems.push(format!("{}: {} was refused with {status}", vendor.slug, events[*event].id));
        }
    }
    let mut questions = JoinSet::new();
    for (_, event) in record.acknowledged.iter().filter(|(of, _)| *of == number) {
        if questions.len() == QUESTIONS {
            take_answer(&mut questions, verdict).await?;
        }
        let (api, id, slug) = (vendor.api.clone(), events[*event].id.clone(), vendor.slug.clone());
        questions.spawn(async move { ask_outcome(&api, &slug, &id).await });
    }
    while !questions.is_empty() {
        take_answer(&mut questions, verdict).await?;
    }
    Ok(())
}

async fn take_answer(questions: &mut JoinSet<Result<Option<String>>>, verdict: &mut Verdict) -> Result<()> {
    if let Some(answer) = questions.join_next().await {
        verdict.events += 1;
        verdict.problems.extend(answer??);
    }
    Ok(())
}

async fn ask_outcome(api: &JsonApi, slug: &str, id: &str) -> Result<Option<String>> {
    let Some(answer) = api.find(&["deliveries", id]).await? else {
        return Ok(Some(format!("{slug}: {id} was acknowledged and is not known")));
    };
    let outcome = answer.get("outcome").and_then(Value::as_str).unwrap_or_default();
    Ok((!OUTCOMES.contains(&outcome)).then(|| format!("{slug}: {id} has the outcome `{outcome}`")))
}

/// P1, in sum: records = counted + no effect + ignored + waiting + refused + decisions, and there
/// are as many deliveries as were acknowledged, and no more than were sent.
async fn check_outcomes((number, vendor): (usize, &LiveVendor), record: &Record, verdict: &mut Verdict) -> Result<()> {
    let answer = vendor.api.get(&["outcomes"], &[]).await?;
    let deliveries = answer.get("deliveries").and_then(Value::as_object).context("`deliveries` of /api/v1/outcomes")?;
    let count = |name: &str| deliveries.get(name).and_then(Value::as_u64).unwrap_or(0);
    for outcome in OUTCOMES {
        *verdict.outcomes.entry(outcome.to_owned()).or_default() += count(outcome);
    }
    *verdict.outcomes.entry("decisions".to_owned()).or_default() += count("decisions");
    let folded: u64 = OUTCOMES.iter().map(|outcome| count(outcome)).sum();
    let records = answer.get("records").and_then(Value::as_u64).context("`records` of /api/v1/outcomes")?;
    if records != folded + count("decisions") {
        verdict.problems.push(format!("{}: {records} records, but their outcomes are {answer}", vendor.slug));
    }
    let acknowledged = record.acknowledged_copies.get(&number).copied().unwrap_or(0);
    let attempts = record.attempts.get(&number).copied().unwrap_or(0);
    let stored_again = record.stored_again.get(&number).copied().unwrap_or(0);
    if folded < acknowledged || folded > attempts + stored_again {
        verdict.problems.push(format!(
            "{}: {folded} deliveries have an outcome, {acknowledged} were acknowledged, {attempts} were sent",
            vendor.slug
        ));
    }
    Ok(())
}

/// The totals by affiliate and currency.
pub async fn read_ledger(api: &JsonApi) -> Result<Ledger> {
    ledger_of(&api.get(&["totals"], &[("group", "affiliate")]).await?)
}

/// What an answer with totals by affiliate says.
pub(crate) fn ledger_of(answer: &Value) -> Result<Ledger> {
    let mut ledger = Ledger::new();
    for row in answer.get("rows").and_then(Value::as_array).context("`rows` of /api/v1/totals")? {
        let affiliate = row.get("group").and_then(Value::as_str).context("`group` of a row of /api/v1/totals")?;
        for total in row.get("totals").and_then(Value::as_array).into_iter().flatten() {
            let currency = total.get("currency").and_then(Value::as_str).context("`currency` of a total")?;
            let figures = ledger.entry((affiliate.to_owned(), currency.to_owned())).or_default();
            figures.redemptions += integer(total, "redemptions")?;
            figures.conversions += integer(total, "conversions")?;
            figures.revenue += integer(total, "revenue_minor")?;
            figures.commission += integer(total, "commission_minor")?;
        }
    }
    Ok(ledger)
}

/// Reads one figure.
type Reader = fn(&Figures) -> i128;

/// P2 and P3: every figure of every (affiliate, currency), a missing row being zero.
pub fn compare_ledgers(slug: &str, expected: &Ledger, got: &Ledger, verdict: &mut Verdict) {
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(got.keys()).collect();
    for key in keys {
        let (wanted, found) =
            (expected.get(key).copied().unwrap_or_default(), got.get(key).copied().unwrap_or_default());
        let members: [(&str, Reader, bool); 4] = [
            ("redemptions", |figures| figures.redemptions, false),
            ("conversions", |figures| figures.conversions, false),
            ("revenue", |figures| figures.revenue, true),
            ("commission", |figures| figures.commission, true),
        ];
        for (name, read, is_money) in members {
            verdict.figures += 1;
            let (wanted, found) = (read(&wanted), read(&found));
            if wanted == found {
                continue;
            }
            if is_money {
                verdict.difference_minor += wanted.abs_diff(found);
            }
            let (affiliate, currency) = key;
            let affiliate = if affiliate.is_empty() { "nobody" } else { affiliate };
            let unit = if is_money { " cents" } else { "" };
            verdict.problems.push(format!(
                "{slug}: {affiliate} {currency} {name}: expected {wanted}, got {found}, difference {}{unit}",
                found - wanted
            ));
        }
    }
}

/// P4: the lines of each purchase add up to what it says it earns, and no more was taken back
/// than there was.
async fn check_purchases(vendor: &LiveVendor, verdict: &mut Verdict) -> Result<()> {
    let mut sums: BTreeMap<String, (i128, i128)> = BTreeMap::new();
    for line in read_list(&vendor.api, "lines").await? {
        verdict.lines += 1;
        let key = line.get("business_key").and_then(Value::as_str).context("`business_key` of a line")?;
        let sum = sums.entry(key.to_owned()).or_default();
        sum.0 += integer(&line, "net_minor")?;
        sum.1 += integer(&line, "commission_minor")?;
    }
    for purchase in read_list(&vendor.api, "purchases").await? {
        verdict.purchases += 1;
        let key = purchase.get("business_key").and_then(Value::as_str).context("`business_key` of a purchase")?;
        let (net, commission) = sums.remove(key).unwrap_or_default();
        let (sold, reversed) = (integer(&purchase, "net_minor")?, integer(&purchase, "reversed_minor")?);
        let earned = integer(&purchase, "commission_minor")?;
        let sound = (0..=sold).contains(&reversed) && net == sold - reversed && commission == earned && earned >= 0;
        if !sound {
            verdict.problems.push(format!(
                "{}: {key}: net {sold}, reversed {reversed}, commission {earned}, but its lines sum to net {net}, commission {commission}",
                vendor.slug
            ));
        }
    }
    for (key, (net, commission)) in sums.into_iter().filter(|(_, sum)| *sum != (0, 0)) {
        verdict
            .problems
            .push(format!("{}: {key}: lines of net {net}, commission {commission} without a purchase", vendor.slug));
    }
    Ok(())
}

/// Every item of a list.
pub(crate) async fn read_list(api: &JsonApi, name: &str) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let mut query = vec![("limit", "200")];
        query.extend(cursor.iter().map(|cursor| ("cursor", cursor.as_str())));
        let page = api.get(&[name], &query).await?;
        let list = page.get(name).and_then(Value::as_array);
        items.extend(list.with_context(|| format!("`{name}` of /api/v1/{name}"))?.iter().cloned());
        cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            return Ok(items);
        }
    }
    bail!("/api/v1/{name} has more than {MAX_PAGES} pages")
}

/// A whole number, or a text when it is beyond 2^53.
pub(crate) fn integer(value: &Value, member: &str) -> Result<i128> {
    let number = match value.get(member) {
        Some(Value::Number(number)) => number.to_string().parse().ok(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    number.with_context(|| format!("`{member}` is not a whole number in {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(commission: i128, redemptions: i128) -> Ledger {
        let figures = Figures { commission, redemptions, ..Figures::default() };
        [(("aff_a".to_owned(), "usd".to_owned()), figures)].into()
    }

    #[test]
    fn differences_are_named_and_summed_in_cents() {
        let mut verdict = Verdict::default();
        compare_ledgers("v", &ledger(100, 2), &ledger(97, 2), &mut verdict);
        assert_eq!(verdict.problems, ["v: aff_a usd commission: expected 100, got 97, difference -3 cents"]);
        assert_eq!((verdict.difference_minor, verdict.figures), (3, 4));
    }

    #[test]
    fn a_missing_row_is_zero_and_counts_are_not_cents() {
        let mut verdict = Verdict::default();
        compare_ledgers("v", &ledger(0, 0), &Ledger::new(), &mut verdict);
        assert!(verdict.problems.is_empty());
        compare_ledgers("v", &ledger(0, 1), &Ledger::new(), &mut verdict);
        assert_eq!(verdict.problems, ["v: aff_a usd redemptions: expected 1, got 0, difference -1"]);
        assert_eq!(verdict.difference_minor, 0);
    }
}
