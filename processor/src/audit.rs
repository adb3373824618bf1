//! Looks after the books: every record that was folded has exactly one outcome. And the gauges
//! that nobody else can set: how far the fold is behind, what waits, what was refused.

use crate::Owned;
use domain::ids::{Timestamp, VendorId};
use schemas::record::Record;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::event_log::{EventLog, all_partitions, partition_of};
use store::fold_store::{FoldStore, FoldStoreError, OpenSummary, Tally};
use telemetry::metrics::{self, Metric, partition_label};
use tokio_util::sync::CancellationToken;

/// How often the books are checked.
const EVERY: Duration = Duration::from_secs(60);
/// Gauges that were set this short a time ago are not set again.
const FRESH_MS: i64 = 1_000;
/// How much of the log is read to learn the age of one record.
const ONE_RECORD_BYTES: usize = 1;

/// The kind of the differences that the audit finds.
const KIND: &str = "outcomes";

/// What does not add up, in words, until it does, by who found it.
#[derive(Debug, Default)]
pub struct Differences(Mutex<BTreeMap<&'static str, Vec<String>>>);

impl Differences {
    /// What was found at the last check.
    pub fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().flatten().cloned().collect()
    }

    /// Puts what was found in the place of what was found before of this kind. Counts and logs what is new.
    pub(crate) fn replace(&self, kind: &'static str, found: Vec<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(kind).or_default();
        for words in found.iter().filter(|words| !known.contains(words)) {
            telemetry::event!(ERROR, Metric::ReconcileDifferences, [("kind", kind)]; "the books do not add up: {words}");
        }
        if found.is_empty() && !known.is_empty() {
            tracing::info!(kind, "the books add up again ({kind})");
        }
        *known = found;
    }
}

/// Checks the books and measures.
pub struct Audit {
    /// What was folded.
    pub store: Arc<dyn FoldStore>,
    /// What there is to fold.
    pub log: Arc<dyn EventLog>,
    /// Which partitions.
    pub partitions: Owned,
    /// The time now.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// What does not add up.
    pub differences: Arc<Differences>,
    /// When the gauges were last set.
    pub measured_at: tokio::sync::Mutex<Timestamp>,
}

impl Audit {
    /// Checks at once and then every minute, until stopped.
    pub async fn run(&self, stop: &CancellationToken) {
        loop {
            if let Err(error) = self.check().await {
                tracing::warn!(error = %error, "the books could not be checked: {error:#}");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One check: records = counted + no effect + ignored + waiting + refused + decisions.
    ///
    /// # Errors
    /// When the fold store cannot be read.
    pub async fn check(&self) -> anyhow::Result<()> {
        let store = self.store.clone();
        let tally = blocking(move || store.tally()).await??;
        self.differences.replace(KIND, differences(&tally));
        Ok(())
    }

    /// Sets the gauges, unless that was done a moment ago. What cannot be read keeps its value.
    pub async fn measure(&self) {
        let mut measured_at = self.measured_at.lock().await;
        let now = (self.clock)();
        if (now.0 - measured_at.0).abs() < FRESH_MS {
            return;
        }
        *measured_at = now;
        let owned = self.partitions.borrow().clone();
        for partition in all_partitions() {
            if !owned.contains(&partition) {
                // Another process measures it now: what was seen last must not look like a lag for ever.
                clear_lag(partition);
                continue;
            }
            if let Err(error) = self.measure_lag(partition, now).await {
                tracing::debug!(partition, error = %error, "the lag of a partition is not known: {error:#}");
            }
        }
        let store = self.store.clone();
        match blocking(move || store.open_summary()).await {
            Ok(Ok(open)) => set_open(&open, now),
            Ok(Err(error)) => tracing::debug!(error = %error, "open records cannot be counted: {error}"),
            Err(error) => tracing::debug!(error = %error, "open records cannot be counted: {error}"),
        }
    }

    async fn measure_lag(&self, partition: u16, now: Timestamp) -> anyhow::Result<()> {
        let label = [("partition", partition_label(partition))];
        // The position is read first: what is appended in between makes the lag larger, never negative.
        let store = self.store.clone();
        let position = blocking(move || store.position(partition)).await??.next_offset;
        let (_, end) = self.log.bounds(partition).await?;
        let lag = end.saturating_sub(position);
        metrics::set(Metric::FoldPosition, label, position as f64);
        metrics::set(Metric::FoldLagRecords, label, lag as f64);
        let mut age_ms = 0;
        if lag > 0 {
            let oldest = self.log.read(partition, position, 1, ONE_RECORD_BYTES).await?;
            let record = oldest.first().and_then(|stored| Record::decode(&stored.bytes).ok());
            age_ms = record.map_or(0, |record| (now.0 - record.at.0).max(0));
        }
        metrics::set(Metric::FoldLagSeconds, label, Duration::from_millis(age_ms as u64).as_secs_f64());
        Ok(())
    }
}

fn clear_lag(partition: u16) {
    let label = [("partition", partition_label(partition))];
    metrics::set(Metric::FoldLagRecords, label, 0.0);
    metrics::set(Metric::FoldLagSeconds, label, 0.0);
}

async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, FoldStoreError> + Send + 'static,
) -> Result<Result<T, FoldStoreError>, tokio::task::JoinError> {
    tokio::task::spawn_blocking(run).await
}

/// What of a tally does not add up, in words.
///
/// Outcomes are counted by vendor, and a vendor lives in one partition. What could not be read
/// has no vendor (0) and may be in any partition: it must account for what is missing in all.
fn differences(tally: &Tally) -> Vec<String> {
    let mut missing: BTreeMap<u16, i64> =
        tally.records.iter().map(|(partition, records)| (*partition, *records as i64)).collect();
    let mut unreadable = 0;
    for (vendor, _, records) in &tally.outcomes {
        if *vendor == VendorId(0) {
            unreadable += records;
        } else {
            *missing.entry(partition_of(*vendor)).or_default() -= records;
        }
    }
    let negative = tally.outcomes.iter().filter(|(_, _, records)| *records < 0);
    let mut found: Vec<String> = negative
        .map(|(vendor, outcome, records)| format!("vendor {} has {records} records that are {outcome}", vendor.0))
        .collect();
    if missing.values().sum::<i64>() == unreadable && missing.values().all(|records| *records >= 0) {
        return found;
    }
    for (partition, records) in missing.into_iter().filter(|(_, records)| *records != 0) {
        found.push(match records {
            1.. => format!("partition {partition}: {records} records were folded that have no outcome"),
            _ => format!("partition {partition}: {} outcomes are counted that no record has", -records),
        });
    }
    if unreadable != 0 {
        found.push(format!("{unreadable} records without a vendor are counted over all partitions"));
    }
    found
}

/// The first words of reasons, as labels; anything else is `other`.
const REASONS: [&str; 8] = [
    "sale_unknown",
    "amount_out_of_range",
    "bad_payload",
    "bad_currency",
    "currency_mismatch",
    "deadline_passed",
    "sequence_gap",
    "other",
];

fn reason_label(open: &OpenSummary) -> &'static str {
    // Everything that waits, waits for a sale.
    if open.outcome == "waiting" {
        return "sale_unknown";
    }
    REASONS.into_iter().find(|known| *known == open.reason).unwrap_or("other")
}

/// Every label gets a value, so that what was dealt with goes back to 0.
fn set_open(open: &[OpenSummary], now: Timestamp) {
    for reason in REASONS {
        let of = |outcome: &str| {
            let mine = open.iter().filter(|one| one.outcome == outcome && reason_label(one) == reason);
            mine.fold((0, now.0), |(records, oldest), one| (records + one.records, oldest.min(one.oldest.0)))
        };
        let label = [("reason", reason)];
        if reason == "sale_unknown" {
            let (waiting, oldest) = of("waiting");
            metrics::set(Metric::FoldWaiting, label, waiting as f64);
            let age = Duration::from_millis((now.0 - oldest) as u64);
            metrics::set(Metric::FoldWaitingOldestSeconds, label, age.as_secs_f64());
        } else {
            metrics::set(Metric::RefusedOpen, label, of("refused").0 as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(records: &[(u16, u64)], outcomes: &[(u64, &str, i64)]) -> Tally {
        let outcomes = outcomes.iter().map(|(vendor, name, count)| (VendorId(*vendor), (*name).to_owned(), *count));
        Tally { records: records.to_vec(), outcomes: outcomes.collect() }
    }

    #[test]
    fn books_that_add_up_have_no_difference() {
        let (one, two) = (partition_of(VendorId(1)), partition_of(VendorId(2)));
        assert_ne!(one, two);
        let outcomes = [(1, "counted", 5), (1, "decisions", 2), (2, "waiting", 3)];
        assert_eq!(differences(&tally(&[(one, 7), (two, 3)], &outcomes)), Vec::<String>::new());
        assert_eq!(differences(&tally(&[], &[])), Vec::<String>::new());
        // A record that could not be read has no vendor and stands in some partition.
        let with_unreadable = [(1, "counted", 5), (1, "decisions", 2), (2, "waiting", 3), (0, "refused", 1)];
        assert_eq!(differences(&tally(&[(one, 7), (two, 4)], &with_unreadable)), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_difference_is_found_and_named() {
        let (one, two) = (partition_of(VendorId(1)), partition_of(VendorId(2)));
        let outcomes = [(1, "counted", 5), (2, "waiting", 3)];
        let lost = differences(&tally(&[(one, 6), (two, 3)], &outcomes));
        assert_eq!(lost, [format!("partition {one}: 1 records were folded that have no outcome")]);
        let double = differences(&tally(&[(one, 5), (two, 2)], &outcomes));
        assert_eq!(double, [format!("partition {two}: 1 outcomes are counted that no record has")]);
        // One too many here and one too few there is no balance.
        assert_eq!(differences(&tally(&[(one, 4), (two, 4)], &outcomes)).len(), 2);
        let negative = differences(&tally(&[(one, 0)], &[(1, "counted", 1), (1, "waiting", -1)]));
        assert_eq!(negative, ["vendor 1 has -1 records that are waiting"]);
        let unreadable = differences(&tally(&[(one, 5)], &[(1, "counted", 5), (0, "refused", 1)]));
        assert_eq!(unreadable, ["1 records without a vendor are counted over all partitions"]);
    }

    #[test]
    fn what_was_found_stays_until_it_is_right_again() {
        let list = Differences::default();
        list.replace("a", vec!["one".to_owned()]);
        list.replace("b", vec!["three".to_owned()]);
        list.replace("a", vec!["one".to_owned(), "two".to_owned()]);
        assert_eq!(list.list(), ["one", "two", "three"]);
        list.replace("a", Vec::new());
        assert_eq!(list.list(), ["three"], "each kind by itself");
        list.replace("b", Vec::new());
        assert!(list.list().is_empty());
    }

    #[test]
    fn reasons_have_bounded_labels() {
        let open = |outcome: &str, reason: &str| OpenSummary {
            outcome: outcome.to_owned(),
            reason: reason.to_owned(),
            records: 1,
            oldest: Timestamp(0),
        };
        assert_eq!(reason_label(&open("waiting", "waits for the sale of pi_1")), "sale_unknown");
        assert_eq!(reason_label(&open("refused", "bad_currency")), "bad_currency");
        assert_eq!(reason_label(&open("refused", "something new")), "other");
    }
}
