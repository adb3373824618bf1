//! The verifier: asks the warehouse whether all that was sent is still there, and inserts again what is missing.
//!
//! Pages never show less than the truth in silence: as soon as something is known to be missing, an alarm says so and the
//! partition is shown up to there only. What the warehouse holds too much, or holds otherwise, is reported and never
//! touched.

mod difference;
mod showing;

use crate::Owned;
use crate::audit::Differences;
use crate::refold::{self, Refold, RefoldError, Refolded};
use crate::sink::{PAUSES_MS, split};
use difference::{Difference, Verdict};
use domain::ids::{Mode, Timestamp, VendorId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::event_log::EventLog;
use store::fold_store::{FoldStore, FoldStoreError, OutboxBatch, OutboxItem, SentRange, SentSums, Visible};
use store::live::Hold;
use store::warehouse::{InsertBatch, Warehouse, WarehouseError};
use telemetry::metrics::{self, Metric};
use tokio_util::sync::CancellationToken;

/// Of so many checks one is of everything.
const ALL_OF: u32 = 20;
/// When it is checked again while something could not be asked, or only the end of a record is waited for.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Ranges that are checked again although they were right a moment ago.
const NEWEST_RANGES: usize = 64;
/// Ranges of one question to the warehouse.
const RANGES_PER_QUESTION: usize = 500;
/// Differences of a partition that are put in words.
const MOST_WORDS: usize = 20;
/// How often an insert is tried before the repair is put off to the next round.
const MOST_TRIES: usize = 20;
/// The kind of these differences in the metric.
const KIND: &str = "warehouse";

/// What of a partition is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Everything that was ever noted, and repairs that did not help before are tried again.
    All,
    /// What was sent since the last check, and a little more.
    Newest,
}

/// Verifies and repairs.
pub struct Verifier {
    /// What was sent.
    pub store: Arc<dyn FoldStore>,
    /// Where it can be made from again.
    pub log: Arc<dyn EventLog>,
    /// Whose lines; it may change.
    pub partitions: Owned,
    /// Where it should be.
    pub warehouse: Warehouse,
    /// What is shown meanwhile.
    pub shown: Arc<dyn Hold>,
    /// Generation of the log.
    pub generation: u16,
    /// How many items one insert takes.
    pub batch_items: usize,
    /// A folder that is made for repairs, and is there until nothing is missing any more: a start that finds it shows
    /// nothing before it has checked.
    pub scratch: PathBuf,
    /// The time now: it makes the tokens of inserts unlike those of earlier repairs.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Where differences are reported.
    pub differences: Arc<Differences>,
    /// How often what was sent lately is checked; everything is checked at the start and every twentieth time.
    pub every: Duration,
}

/// What the verifier knows between two rounds.
#[derive(Debug, Default)]
pub struct Memory {
    /// Partitions of which the warehouse holds nothing any more: all is inserted, also what was sent before it was noted.
    lost: BTreeSet<u16>,
    /// Up to where each partition was right at the last check.
    confirmed: BTreeMap<u16, u64>,
    /// Partitions that show less than is visible; and what must be visible, and right, before they show all again.
    held: BTreeMap<u16, u64>,
    /// What the fold store notes of that.
    noted: BTreeMap<u16, Visible>,
    /// Ranges (partition, start) that inserting again did not help, what was found then, and why in words.
    beyond_repair: BTreeMap<(u16, u64), (SentSums, String)>,
    /// Differences in words.
    words: BTreeMap<u16, Vec<String>>,
    /// Lines that were sent and not found.
    unverified: BTreeMap<u16, u64>,
    /// The next round is worth making at once.
    soon: bool,
}

impl Memory {
    /// For a warehouse that lost everything, or may have: these partitions are filled again whatever was noted, and are
    /// held already.
    pub fn of_lost(partitions: impl IntoIterator<Item = u16>) -> Memory {
        let lost: BTreeSet<u16> = partitions.into_iter().collect();
        let words = |partition: &u16| {
            let words = format!(
                "partition {partition}: the warehouse lost what it had; nothing is shown until it is checked and filled again"
            );
            (*partition, vec![words])
        };
        Memory {
            held: lost.iter().map(|partition| (*partition, 0)).collect(),
            words: lost.iter().map(words).collect(),
            lost,
            ..Memory::default()
        }
    }
}

/// A comparison of a partition.
struct Checked {
    visible: Visible,
    ranges: Vec<SentRange>,
    /// One past the record that is delivered in part.
    open_to: Option<u64>,
    /// Ranges before this place were not asked for: they were right at the last check.
    begins_at: usize,
    differences: Vec<Difference>,
}

/// What a repair did.
#[derive(Default)]
struct Repaired {
    /// Ranges, by their start, that were left alone, and why.
    refused: BTreeMap<u64, String>,
    /// Whose figures changed.
    vendors: BTreeSet<(VendorId, Mode)>,
}

/// Why a partition could not be checked or repaired.
#[derive(Debug, thiserror::Error)]
enum VerifyError {
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    #[error(transparent)]
    Store(#[from] FoldStoreError),
    #[error(transparent)]
    Refold(#[from] RefoldError),
}

impl Verifier {
    /// Checks everything at once, then what is new every few minutes and everything every hour, until stopped.
    pub async fn run(&self, mut memory: Memory, stop: &CancellationToken) {
        self.report(&memory);
        let all_every = self.every * ALL_OF;
        let mut since_all = all_every;
        let mut partitions = self.partitions.clone();
        while !stop.is_cancelled() {
            let which = if since_all >= all_every { Which::All } else { Which::Newest };
            partitions.mark_unchanged();
            // Whatever a round waits for when it is stopped, doing it again at the next start is safe.
            tokio::select! {
                () = self.round(&mut memory, which, stop) => {}
                () = stop.cancelled() => return,
            }
            let pause = if memory.soon { AGAIN_AFTER.min(self.every) } else { self.every };
            since_all = if which == Which::All { pause } else { since_all + pause };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // What another process looked after may be missing something.
                () = changed(&mut partitions) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Checks every partition that is ours, and then repairs what is missing: a repair may take long, and no partition
    /// shows too little in silence meanwhile.
    pub async fn round(&self, memory: &mut Memory, which: Which, stop: &CancellationToken) {
        memory.soon = false;
        let owned = self.partitions.borrow().clone();
        for gone in memory.words.keys().filter(|partition| !owned.contains(partition)).copied().collect::<Vec<_>>() {
            self.let_go(memory, gone);
        }
        let mut repairs = Vec::new();
        for partition in owned {
            if which == Which::All {
                memory.beyond_repair.retain(|(other, _), _| *other != partition);
                memory.confirmed.remove(&partition);
            }
            match self.check(memory, partition).await {
                Ok(wanted) if wanted.is_empty() => {}
                Ok(wanted) => repairs.push((partition, wanted)),
                Err(error) => put_off(memory, partition, &error),
            }
            if stop.is_cancelled() {
                return;
            }
        }
        if !repairs.is_empty()
            && let Err(error) = refold::make(&self.scratch)
        {
            tracing::warn!(error = %error, "{} cannot be made: {error}", self.scratch.display());
        }
        for (partition, wanted) in repairs {
            if let Err(error) = self.repair(memory, partition, &wanted, stop).await
                && !stop.is_cancelled()
            {
                put_off(memory, partition, &error);
            }
            if stop.is_cancelled() {
                return;
            }
        }
        if memory.held.is_empty()
            && !memory.soon
            && let Err(error) = refold::remove(&self.scratch)
        {
            tracing::warn!(error = %error, "{} cannot be removed: {error}", self.scratch.display());
        }
    }

    /// Compares a partition and says so. Returns what is to be inserted again.
    async fn check(&self, memory: &mut Memory, partition: u16) -> Result<Vec<Difference>, VerifyError> {
        self.take_up(memory, partition).await?;
        let mut checked = self.compare(memory, partition).await?;
        if !checked.differences.is_empty() && checked.begins_at > 0 {
            // What is missing of the newest may have begun before: pages are held at the first of it.
            memory.confirmed.remove(&partition);
            checked = self.compare(memory, partition).await?;
        }
        self.remember(memory, partition, &checked, &BTreeSet::new()).await?;
        let is_wanted = |difference: &Difference| {
            let known = memory.beyond_repair.get(&(partition, difference.from));
            difference.verdict() == Verdict::Missing && known.is_none_or(|(found, _)| *found != difference.found)
        };
        Ok(checked.differences.into_iter().filter(is_wanted).collect())
    }

    /// Inserts again what is missing and compares once more: what still differs then is left alone for an hour.
    async fn repair(
        &self,
        memory: &mut Memory,
        partition: u16,
        wanted: &[Difference],
        stop: &CancellationToken,
    ) -> Result<(), VerifyError> {
        let mut done = Repaired::default();
        match self.fill(partition, wanted, stop).await {
            Ok(repaired) => {
                memory.lost.remove(&partition);
                done = repaired;
            }
            // The warehouse or this process is going away: the next round goes on.
            Err(VerifyError::Warehouse(error)) if error.is_retryable() => return Err(error.into()),
            Err(VerifyError::Refold(RefoldError::Stopped)) => return Err(RefoldError::Stopped.into()),
            Err(error) => done.refused.extend(wanted.iter().map(|difference| (difference.from, error.to_string()))),
        }
        let checked = self.compare(memory, partition).await?;
        for difference in &checked.differences {
            if wanted.iter().any(|one| one.from == difference.from) {
                let why = done.refused.remove(&difference.from);
                let why = why.unwrap_or_else(|| "the same is found as before".to_owned());
                memory.beyond_repair.insert((partition, difference.from), (difference.found, why));
            }
        }
        self.remember(memory, partition, &checked, &done.vendors).await
    }

    /// Asks the warehouse for what was not confirmed yet and for the newest ranges.
    async fn compare(&self, memory: &Memory, partition: u16) -> Result<Checked, VerifyError> {
        let store = self.store.clone();
        // Visible first: a range below it is whole, and stays as it is.
        let (visible, mut ranges) = blocking(move || Ok((store.visible(partition)?, store.sent(partition)?))).await?;
        let noted_from = ranges.first().map_or(visible.next_offset, |range| range.from).min(visible.next_offset);
        let open_to = ranges.last().map(|range| range.to).filter(|to| *to > visible.next_offset);
        ranges.retain(|range| range.to <= visible.next_offset);
        let confirmed = memory.confirmed.get(&partition).copied().unwrap_or_default();
        let newest = ranges.len().saturating_sub(NEWEST_RANGES);
        let first = ranges.partition_point(|range| range.to <= confirmed).min(newest);
        let mut differences = Vec::new();
        if memory.lost.contains(&partition) && noted_from > 0 {
            differences.push(Difference { from: 0, to: noted_from, sent: None, found: SentSums::default() });
        }
        for some in ranges[first..].chunks(RANGES_PER_QUESTION) {
            differences.extend(self.compare_some(partition, some).await?);
        }
        Ok(Checked { visible, ranges, open_to, begins_at: first, differences })
    }

    async fn compare_some(&self, partition: u16, ranges: &[SentRange]) -> Result<Vec<Difference>, VerifyError> {
        let Some(last) = ranges.last() else { return Ok(Vec::new()) };
        // Where ranges have a gap between them, the gap is asked for too, and what is in it is nobody's business.
        let starts: BTreeSet<u64> = ranges.iter().flat_map(|range| [range.from, range.to]).collect();
        let starts: Vec<u64> = starts.into_iter().filter(|start| *start < last.to).collect();
        let found = self.warehouse.sums_by_range(self.generation, partition, &starts, last.to).await?;
        let compared = ranges.iter().map(|range| Difference {
            from: range.from,
            to: range.to,
            sent: Some(range.sums),
            found: found.get(&range.from).copied().unwrap_or_default(),
        });
        Ok(compared.filter(|one| one.sent != Some(one.found)).collect())
    }

    /// Puts a comparison into words, gauges and what is shown.
    async fn remember(
        &self,
        memory: &mut Memory,
        partition: u16,
        checked: &Checked,
        vendors: &BTreeSet<(VendorId, Mode)>,
    ) -> Result<(), VerifyError> {
        let visible = checked.visible.next_offset;
        let mut words: Vec<String> = Vec::new();
        for difference in checked.differences.iter().take(MOST_WORDS) {
            let known = memory.beyond_repair.get(&(partition, difference.from));
            let failed = known.filter(|(found, _)| *found == difference.found).map(|(_, why)| why.as_str());
            words.push(difference.words(partition, failed));
        }
        if checked.differences.len() > MOST_WORDS {
            words.push(format!("partition {partition}: {} ranges more differ", checked.differences.len() - MOST_WORDS));
        }
        memory.words.insert(partition, words);
        let first_wrong = checked.differences.first().map_or(visible, |difference| difference.from);
        memory.confirmed.insert(partition, first_wrong);
        let lost = |one: &Difference| one.sent.map_or(0, |sent| sent.lines.saturating_sub(one.found.lines));
        memory.unverified.insert(partition, checked.differences.iter().map(lost).sum());
        // The alarm first: nothing is shown otherwise without words.
        self.report(memory);
        self.show(memory, partition, checked, vendors).await
    }

    fn report(&self, memory: &Memory) {
        self.differences.replace(KIND, memory.words.values().flatten().cloned().collect());
        let lines: u64 = memory.unverified.values().sum();
        metrics::set(Metric::SinkUnverifiedLines, [], lines as f64);
    }

    /// Folds the log again and inserts the ranges whose lines come out as they were sent. Returns why ranges were left
    /// alone, and whose figures changed.
    async fn fill(
        &self,
        partition: u16,
        wanted: &[Difference],
        stop: &CancellationToken,
    ) -> Result<Repaired, VerifyError> {
        let ranges: Vec<(u64, u64)> = wanted.iter().map(|one| (one.from, one.to)).collect();
        let end = ranges.last().map_or(0, |(_, to)| *to);
        tracing::warn!(
            partition,
            end,
            "partition {partition}: {} ranges are missing in the warehouse; its log is folded again up to {end} and they are inserted",
            ranges.len()
        );
        let (log, scratch) = (self.log.clone(), self.scratch.join("fold"));
        let runtime = tokio::runtime::Handle::current();
        let stopping = stop.clone();
        let refolded = tokio::task::spawn_blocking(move || {
            let refold = Refold { log: log.as_ref(), partition, wanted: &ranges, scratch: &scratch };
            refold.run(&runtime, &stopping)
        });
        let refolded = refolded.await.expect("the fold does not panic")?;
        let mut refused = BTreeMap::new();
        for (one, sums) in wanted.iter().zip(&refolded.sums) {
            if let Some(sent) = one.sent.filter(|sent| sent != sums) {
                let why = format!(
                    "the log gives {} lines of net {}, {} of net {} were sent",
                    sums.lines, sums.net, sent.lines, sent.net
                );
                refused.insert(one.from, why);
            }
        }
        let good: Vec<(u64, u64)> =
            wanted.iter().filter(|one| !refused.contains_key(&one.from)).map(|one| (one.from, one.to)).collect();
        let vendors = self.insert_again(partition, refolded, &good, stop).await?;
        Ok(Repaired { refused, vendors })
    }

    async fn insert_again(
        &self,
        partition: u16,
        refolded: Refolded,
        good: &[(u64, u64)],
        stop: &CancellationToken,
    ) -> Result<BTreeSet<(VendorId, Mode)>, VerifyError> {
        let attempt = (self.clock)().0;
        let refolded = Arc::new(refolded);
        let mut vendors = BTreeSet::new();
        let mut inserted = 0;
        loop {
            let (source, limit) = (refolded.clone(), self.batch_items);
            let mut batch = blocking(move || source.store.outbox(&BTreeSet::from([partition]), limit)).await?;
            if batch.items.is_empty() {
                break;
            }
            let token = token(self.generation, &batch, attempt);
            batch.items.retain(|item| {
                let offset = place_of(item).0;
                good.iter().any(|(from, to)| (*from..*to).contains(&offset))
            });
            vendors.extend(batch.items.iter().map(|item| place_of(item).1));
            self.insert(&batch, &token, stop).await?;
            inserted += batch.items.len();
            let source = refolded.clone();
            blocking(move || source.store.delivered(&batch, Timestamp(attempt))).await?;
        }
        tracing::warn!(partition, "partition {partition}: {inserted} lines and purchase rows were inserted again");
        // Its files are removed here.
        let _ = tokio::task::spawn_blocking(move || drop(refolded)).await;
        Ok(vendors)
    }

    /// The same rows under the same token until the warehouse says yes, or for some time.
    async fn insert(&self, batch: &OutboxBatch, token: &str, stop: &CancellationToken) -> Result<(), VerifyError> {
        let (lines, purchases) = split(batch);
        let insert = InsertBatch { generation: self.generation, lines: &lines, purchases: &purchases, token };
        let mut failures = 0;
        loop {
            let error = match self.warehouse.insert(&insert).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let pause = Duration::from_millis(PAUSES_MS[failures.min(PAUSES_MS.len() - 1)]);
            failures += 1;
            if failures >= MOST_TRIES || !error.is_retryable() {
                return Err(error.into());
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Err(RefoldError::Stopped.into()),
            }
        }
    }
}

/// Resolves when other partitions are ours; never for a process on its own.
async fn changed(partitions: &mut Owned) {
    if partitions.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What could not be asked or done is tried again soon. What was known stays said.
fn put_off(memory: &mut Memory, partition: u16, error: &VerifyError) {
    memory.soon = true;
    tracing::warn!(partition, error = %error, "partition {partition} could not be verified, it is tried again: {error}");
}

/// A function of the range and the attempt. Under the token of an earlier insert the warehouse would drop the rows in
/// silence, even if it lost them since.
fn token(generation: u16, batch: &OutboxBatch, attempt: i64) -> String {
    let ranges: Vec<String> =
        batch.ranges.iter().map(|range| format!("{}:{:?}:{:?}", range.partition, range.first, range.last)).collect();
    format!("again{attempt}-g{generation}-{}", ranges.join(";"))
}

fn place_of(item: &OutboxItem) -> (u64, (VendorId, Mode)) {
    match item {
        OutboxItem::Line(line) => (line.src_off, (line.vendor, line.mode)),
        OutboxItem::Row(row) => (row.src_off, (row.vendor, row.mode)),
    }
}

async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, FoldStoreError> + Send + 'static,
) -> Result<T, FoldStoreError> {
    tokio::task::spawn_blocking(run).await.expect("the fold store does not panic")
}
