//! P6: what pages show while something is broken. The totals of every vendor are asked for again and again, with their
//! watermark; in the end the ledger's lines below each watermark must come to exactly what was shown there.

use crate::oracle::Ledger;
use crate::vendors::LiveVendor;
use crate::verify::{Verdict, compare_ledgers, integer, ledger_of, read_list};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Pause between two looks.
const EVERY: Duration = Duration::from_millis(300);
/// An answer that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Watermarks that are kept of a vendor.
const MOST: usize = 2_000;
/// Contradictions that are put in words.
const SHOWN: usize = 10;

/// What a vendor's totals were below a position of the log.
type Shown = BTreeMap<u64, Ledger>;

/// Looks until it is dropped.
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// By vendor.
    shown: BTreeMap<usize, Shown>,
    answers: u64,
    /// What is answered now is not looked at.
    is_blind: bool,
    contradictions: Vec<String>,
}

impl Watcher {
    /// Begins to look.
    pub fn of(live: Arc<Vec<LiveVendor>>) -> Watcher {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let task = tokio::spawn(look(live, seen.clone()));
        Watcher { seen, task }
    }

    /// From now on what is shown does not count, or counts again: between a loss in the warehouse and its being noticed
    /// pages show less than the truth.
    pub fn blind(&self, is_blind: bool) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_blind = is_blind;
    }

    /// Compares what was shown with the lines as they are in the end. Returns what was seen, in words, and what is wrong.
    pub async fn conclude(self, live: &[LiveVendor]) -> Result<(String, Vec<String>)> {
        self.task.abort();
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let mut verdict = Verdict { problems: seen.contradictions, ..Verdict::default() };
        let mut marks = 0;
        for (number, shown) in &seen.shown {
            marks += shown.len();
            compare(&live[*number], shown, &mut verdict).await?;
        }
        let said =
            format!("totals asked meanwhile: {} answers at {marks} watermarks are the truth there", seen.answers);
        Ok((said, verdict.problems))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(live: Arc<Vec<LiveVendor>>, seen: Arc<Mutex<Seen>>) {
    loop {
        for (number, vendor) in live.iter().enumerate() {
            let was_blind = seen.lock().unwrap_or_else(PoisonError::into_inner).is_blind;
            let asked = vendor.api.get(&["totals"], &[("group", "affiliate")]);
            // Whatever is broken: no answer is no wrong answer.
            if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, asked).await {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                if was_blind || seen.is_blind {
                    continue;
                }
                seen.note(number, &vendor.slug, &answer);
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

impl Seen {
    fn note(&mut self, number: usize, slug: &str, answer: &Value) {
        self.answers += 1;
        let (Some(mark), Ok(ledger)) = (answer["watermark"]["next_offset"].as_u64(), ledger_of(answer)) else {
            return self.contradictions.push(format!("{slug}: an answer without watermark or rows: {answer}"));
        };
        let shown = self.shown.entry(number).or_default();
        match shown.get(&mark) {
            Some(before) if *before != ledger && self.contradictions.len() < SHOWN => {
                self.contradictions
                    .push(format!("{slug}: two answers up to record {mark} differ: {before:?}, then {ledger:?}"));
            }
            None if shown.len() < MOST => drop(shown.insert(mark, ledger)),
            _ => {}
        }
    }
}

async fn compare(vendor: &LiveVendor, shown: &Shown, verdict: &mut Verdict) -> Result<()> {
    let mut lines = Vec::new();
    for line in read_list(&vendor.api, "lines").await? {
        lines.push((offset_of(&line)?, line));
    }
    lines.sort_by_key(|(offset, _)| *offset);
    let (mut truth, mut next) = (Ledger::new(), lines.iter().peekable());
    for (mark, ledger) in shown {
        while let Some((_, line)) = next.next_if(|(offset, _)| offset < mark) {
            add(&mut truth, line)?;
        }
        compare_ledgers(&format!("{} up to record {mark}", vendor.slug), &truth, ledger, verdict);
    }
    verdict.problems.truncate(SHOWN);
    Ok(())
}

/// `partition-offset-ord`.
fn offset_of(line: &Value) -> Result<u64> {
    let id = line["id"].as_str().unwrap_or_default();
    id.split('-').nth(1).and_then(|offset| offset.parse().ok()).with_context(|| format!("the `id` of a line is {id:?}"))
}

fn add(truth: &mut Ledger, line: &Value) -> Result<()> {
    let text = |member: &str| line[member].as_str().unwrap_or_default().to_owned();
    let figures = truth.entry((text("affiliate"), text("currency"))).or_default();
    figures.redemptions += integer(line, "redemptions")?;
    figures.conversions += integer(line, "conversions")?;
    figures.revenue += integer(line, "net_minor")?;
    figures.commission += integer(line, "commission_minor")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(mark: u64, commission: i64) -> Value {
        let total = json!({"currency": "usd", "redemptions": 1, "conversions": 1, "revenue_minor": 100, "commission_minor": commission});
        json!({"watermark": {"next_offset": mark}, "rows": [{"group": "aff_a", "totals": [total]}]})
    }

    #[test]
    fn two_truths_at_one_place_are_noticed() {
        let mut seen = Seen::default();
        seen.note(0, "v", &answer(5, 20));
        seen.note(0, "v", &answer(5, 20));
        seen.note(0, "v", &answer(6, 30));
        assert!(seen.contradictions.is_empty() && seen.shown[&0].len() == 2);
        seen.note(0, "v", &answer(5, 30));
        assert!(seen.contradictions[0].contains("two answers up to record 5 differ"), "{:?}", seen.contradictions);
        seen.note(0, "v", &json!({}));
        assert_eq!(seen.contradictions.len(), 2);
    }

    #[test]
    fn lines_are_placed_and_summed() {
        let line = json!({"id": "5-1042-3", "affiliate": "aff_a", "currency": "usd", "redemptions": 1, "conversions": 0,
            "net_minor": 100, "commission_minor": "20"});
        assert_eq!(offset_of(&line).unwrap(), 1042);
        let mut truth = Ledger::new();
        add(&mut truth, &line).unwrap();
        add(&mut truth, &line).unwrap();
        assert_eq!(truth[&("aff_a".to_owned(), "usd".to_owned())].commission, 40);
        assert!(offset_of(&json!({"id": "x"})).is_err());
    }
}
