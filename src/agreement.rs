//! Control store and log agree about the numbers that decisions, vendors and connections have, before anything is
//! appended. They do not after one of them was restored from a backup of another moment than the other.
//!
//! The log is the truth. What it has and the control store has not is taken over: decisions with the numbers that they
//! carry, and the numbers of vendors and connections, so that none is given out again. What the control store has given
//! to a log that does not have it is refused.

use crate::base::blocking;
use anyhow::Context;
use domain::decision::Decision;
use domain::ids::{ConnectionId, PARTITIONS, VendorId};
use schemas::record::{Payload, Record, RecordHead};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::control::{ControlStore, LoggedDecision, VendorNumbers};
use store::event_log::{EventLog, LogError, partition_of};
use store::fold_store::FoldStore;

/// Records and bytes of one read.
const STEP_RECORDS: usize = 10_000;
const STEP_BYTES: usize = 16 << 20;
/// How often a log that has more records may give none, and the pause between.
const EMPTY_READS: usize = 100;
const EMPTY_PAUSE: Duration = Duration::from_millis(100);
/// A vendor's decisions with their numbers.
type Decisions = Vec<(u64, Decision)>;

/// At most so many vendors are named in one refusal.
const NAMED: usize = 10;

/// What was read of a log about numbers.
#[derive(Debug, Default)]
pub struct LogNumbers {
    /// The highest number of a decision of each vendor that the log names; 0 if it has none.
    pub last: BTreeMap<VendorId, u64>,
    /// The highest number of a connection.
    pub last_connection: ConnectionId,
    /// One past the last record of each partition.
    pub ends: Vec<u64>,
    /// Vendors of which the last decision is to forget them.
    pub forgotten: BTreeSet<VendorId>,
    /// Records that could not be read: partition, offset, why.
    pub damaged: Vec<(u16, u64, String)>,
    /// Partitions that were read from their first record to their end.
    pub whole: BTreeSet<u16>,
}

impl LogNumbers {
    /// Reads from these offsets on.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn read(log: &dyn EventLog, from: &[u64]) -> anyhow::Result<LogNumbers> {
        let mut numbers = LogNumbers::default();
        for partition in 0..PARTITIONS {
            let from = from.get(usize::from(partition)).copied().unwrap_or_default();
            let (start, end) = log.bounds(partition).await?;
            let before = numbers.damaged.len();
            let mut damaged = Vec::new();
            let note = |_: u64, bytes: &[u8]| numbers.note(bytes);
            walk(log, partition, (from.max(start), end), note, &mut damaged).await?;
            numbers.damaged.extend(damaged.into_iter().map(|(offset, why)| (partition, offset, why)));
            if from == 0 && start == 0 && numbers.damaged.len() == before {
                numbers.whole.insert(partition);
            }
            numbers.ends.push(end);
        }
        Ok(numbers)
    }

    fn note(&mut self, bytes: &[u8]) {
        let Some(head) = RecordHead::read(bytes) else { return };
        self.last_connection = self.last_connection.max(head.connection);
        self.saw(head.vendor, head.seq.unwrap_or_default());
        if head.kind == "drop_vendor" {
            self.forgotten.insert(head.vendor);
        }
    }

    /// The log has this number of this vendor.
    pub fn saw(&mut self, vendor: VendorId, seq: u64) {
        let last = self.last.entry(vendor).or_default();
        *last = seq.max(*last);
    }

    fn last_of(&self, vendor: VendorId) -> u64 {
        self.last.get(&vendor).copied().unwrap_or_default()
    }

    /// Decisions of a vendor that the control store has given to a log that does not have them: first and last.
    fn lacks(&self, numbers: &VendorNumbers) -> Option<(u64, u64)> {
        let (first, below) = (self.last_of(numbers.vendor) + 1, numbers.relayed_below());
        (first < below).then(|| (first, below - 1))
    }

    /// What this log, which is whole, and a control store disagree about, in words. Empty when they are of one moment.
    pub fn disagreements(&self, control: &[VendorNumbers]) -> Vec<String> {
        let mut words = Vec::new();
        for one in control {
            if let Some((first, last)) = self.lacks(one) {
                words.push(format!(
                    "decisions {first} to {last} of {} are in control.db and not in log.db, which is older",
                    one.slug
                ));
            }
            let last = self.last_of(one.vendor);
            if last >= one.next_seq {
                words.push(format!(
                    "decisions {} to {last} of {} are in log.db and not in control.db, which is older",
                    one.next_seq, one.slug
                ));
            }
        }
        words
    }
}

/// Hands the records of a range over in order; those that are damaged are noted and passed.
async fn walk(
    log: &dyn EventLog,
    partition: u16,
    (mut next, end): (u64, u64),
    mut take: impl FnMut(u64, &[u8]),
    damaged: &mut Vec<(u64, String)>,
) -> anyhow::Result<()> {
    let mut empty = 0;
    while next < end {
        let records = match log.read(partition, next, STEP_RECORDS, STEP_BYTES).await {
            Err(LogError::Damaged { offset, reason, .. }) => {
                damaged.push((offset, reason));
                next = offset + 1;
                continue;
            }
            read => read?,
        };
        if records.is_empty() {
            empty += 1;
            anyhow::ensure!(empty < EMPTY_READS, "partition {partition} gives no records from {next} on, up to {end}");
            tokio::time::sleep(EMPTY_PAUSE).await;
        }
        for record in records {
            take(record.offset, &record.bytes);
            next = record.offset + 1;
        }
    }
    Ok(())
}

/// Lets the control store catch up with the log. Says in words what was taken over.
///
/// # Errors
/// When the log lacks decisions that it was given: nothing may be appended to it.
pub async fn bring_up(
    control: &dyn ControlStore,
    log: &dyn EventLog,
    fold: Arc<dyn FoldStore>,
) -> anyhow::Result<Vec<String>> {
    let mut seen = read_unfolded(log, fold.clone()).await?;
    let known = control.numbers().await?;
    let mut words = take_over(control, log, &seen, &known).await?;
    let strangers: Vec<VendorId> =
        seen.last.keys().filter(|vendor| known.iter().all(|one| one.vendor != **vendor)).copied().collect();
    if !strangers.is_empty() || !words.is_empty() {
        let (vendor, connection) = highest_ids(&seen, fold, strangers.clone(), &mut words).await?;
        control.raise_ids(vendor, connection).await?;
    }
    // Decisions that were relayed by others since it was read are in the log by now.
    if known.iter().any(|one| seen.lacks(one).is_some()) {
        let ends = seen.ends.clone();
        let newer = LogNumbers::read(log, &ends).await?;
        newer.last.iter().for_each(|(vendor, seq)| seen.saw(*vendor, *seq));
    }
    refuse_older_log(&seen, &known)?;
    Ok(words)
}

/// What the log says of numbers: as far as it is folded the fold store knows it, the rest is read.
async fn read_unfolded(log: &dyn EventLog, fold: Arc<dyn FoldStore>) -> anyhow::Result<LogNumbers> {
    let (from, folded) = blocking(move || -> anyhow::Result<_> {
        let from: anyhow::Result<Vec<u64>> =
            (0..PARTITIONS).map(|partition| Ok(fold.position(partition)?.next_offset)).collect();
        Ok((from?, fold.last_sequences()?))
    })
    .await?;
    let mut seen =
        LogNumbers::read(log, &from).await.context("the log could not be compared with the control store")?;
    folded.into_iter().for_each(|(vendor, seq)| seen.saw(vendor, seq));
    Ok(seen)
}

/// Takes decisions over that only the log has.
async fn take_over(
    control: &dyn ControlStore,
    log: &dyn EventLog,
    seen: &LogNumbers,
    known: &[VendorNumbers],
) -> anyhow::Result<Vec<String>> {
    let behind: BTreeMap<VendorId, &VendorNumbers> =
        known.iter().filter(|one| seen.last_of(one.vendor) >= one.next_seq).map(|one| (one.vendor, one)).collect();
    let mut found: BTreeMap<VendorId, BTreeMap<u64, LoggedDecision>> = BTreeMap::new();
    for partition in behind.keys().map(|vendor| partition_of(*vendor)).collect::<BTreeSet<u16>>() {
        let bounds = log.bounds(partition).await?;
        let take = |_: u64, bytes: &[u8]| {
            let is_wanted = |head: &RecordHead<'_>| {
                behind.get(&head.vendor).is_some_and(|one| head.seq.is_some_and(|seq| seq >= one.next_seq))
            };
            let Some(head) = RecordHead::read(bytes).filter(is_wanted) else { return };
            let (Ok(Record { at, payload: Payload::Decision(decision), .. }), Some(seq)) =
                (Record::decode(bytes), head.seq)
            else {
                return;
            };
            // The fold ignores a number that it has seen: of two the first holds.
            found.entry(head.vendor).or_default().entry(seq).or_insert(LoggedDecision { seq, at, decision });
        };
        walk(log, partition, bounds, take, &mut Vec::new()).await?;
    }
    let mut words = Vec::new();
    for (vendor, one) in behind {
        let decisions: Vec<LoggedDecision> = found.remove(&vendor).unwrap_or_default().into_values().collect();
        let adopted = control.adopt(vendor, decisions).await?;
        // What cannot be read any more keeps its number.
        let last = seen.last_of(vendor);
        control.raise_sequence(vendor, last).await?;
        words.push(format!(
            "{}: the control store was older than the log; {adopted} decisions were taken from the log, up to number {last}",
            one.slug
        ));
    }
    Ok(words)
}

/// The highest numbers of vendors and connections that the log names; what is lost of a vendor is said.
async fn highest_ids(
    seen: &LogNumbers,
    fold: Arc<dyn FoldStore>,
    strangers: Vec<VendorId>,
    words: &mut Vec<String>,
) -> anyhow::Result<(VendorId, ConnectionId)> {
    let vendor = seen.last.keys().next_back().copied().unwrap_or_default();
    let folded = blocking(move || -> anyhow::Result<Vec<(VendorId, Decisions)>> {
        let found = fold.decisions(&strangers)?;
        Ok(strangers.into_iter().zip(found).collect())
    })
    .await?;
    let mut connection = seen.last_connection;
    for (stranger, decisions) in folded {
        for (_, decision) in &decisions {
            if let Decision::SetConnection(set) = decision {
                connection = connection.max(set.connection);
            }
        }
        let is_forgotten = matches!(decisions.last(), Some((_, Decision::DropVendor)));
        if !is_forgotten && !seen.forgotten.contains(&stranger) {
            words.push(format!(
                "vendor number {stranger} is in the log and not in the control store, which is older: its name, endpoints and secrets \
                 are lost. Connect it again; its events count under a new number"
            ));
        }
    }
    Ok((vendor, connection))
}

/// A log that lacks what it was given must not get the next numbers: they would stand over a gap.
fn refuse_older_log(seen: &LogNumbers, known: &[VendorNumbers]) -> anyhow::Result<()> {
    let mut lacking = Vec::new();
    for one in known {
        let Some((first, last)) = seen.lacks(one) else { continue };
        let words = format!("decisions {first} to {last} of {}", one.slug);
        if seen.whole.contains(&partition_of(one.vendor)) {
            lacking.push(words);
        } else {
            // The fold may have refused them: that is on its lists, and no reason to stand still.
            tracing::warn!(vendor = one.slug, "{words} are in the control store, and were not folded from the log");
        }
    }
    anyhow::ensure!(
        lacking.is_empty(),
        "the log is older than the control store: it lacks {}{}. Nothing was started, because the next decisions would stand over a gap. \
         Restore both from the same backup (log.db and control.db), or the newer log",
        lacking[..lacking.len().min(NAMED)].join(", "),
        if lacking.len() > NAMED { format!(" and of {} more", lacking.len() - NAMED) } else { String::new() }
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::Timestamp;
    use store::control::input::parse_decisions;
    use store::control::{ConnectRequest, SqliteControlStore};
    use store::event_log::NewRecord;
    use store::fold_store::SqliteFoldStore;
    use store::local_log::LocalLog;
    use store::secrets::{MasterKeys, SecretText, system_random};

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    struct Stores {
        folder: tempfile::TempDir,
        log: LocalLog,
        fold: Arc<dyn FoldStore>,
    }

    impl Stores {
        fn new() -> Stores {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let log = LocalLog::open(&folder.path().join("log.db")).expect("a log");
            let fold = Arc::new(SqliteFoldStore::open(&folder.path().join("fold.db")).expect("a fold store"));
            Stores { folder, log, fold }
        }

        async fn control(&self, name: &str) -> SqliteControlStore {
            let keys = MasterKeys::from_bytes(&[[7; 32]]);
            let control =
                SqliteControlStore::open(&self.folder.path().join(name), keys, system_random()).expect("a store");
            let request = ConnectRequest {
                vendor: "acme".to_owned(),
                provider: domain::ids::Provider::Stripe,
                secret: SecretText::new("whsec_1"),
                key: None,
                api_base: None,
                account: None,
                complete_history: true,
                mode_hint: None,
            };
            control.connect(request, "test", NOW).await.expect("connected");
            control
        }

        /// What the relay does.
        async fn relay(&self, control: &SqliteControlStore) {
            for one in control.pending_decisions(100).await.expect("read") {
                self.append(one.vendor, one.seq, one.decision).await;
                control.mark_sent(&[one.id]).await.expect("marked");
            }
        }

        async fn append(&self, vendor: VendorId, seq: u64, decision: Decision) {
            let payload = Payload::Decision(decision);
            let record = Record {
                vendor,
                connection: ConnectionId(0),
                at: NOW,
                writer: "t".to_owned(),
                seq: Some(seq),
                trace: None,
                payload,
            };
            let record = NewRecord { partition: partition_of(vendor), bytes: record.encode() };
            self.log.append(record).await.expect("appended");
        }

        async fn bring_up(&self, control: &SqliteControlStore) -> anyhow::Result<Vec<String>> {
            bring_up(control, &self.log, self.fold.clone()).await
        }
    }

    async fn decide(control: &SqliteControlStore, key: &str) {
        let vendor = control.vendor_by_slug("acme").await.expect("read").expect("there").id;
        let decisions = parse_decisions(&serde_json::json!([{"decide": "affiliate", "key": key}])).expect("decisions");
        control.decide(vendor, decisions, "test", NOW).await.expect("decided");
    }

    #[tokio::test]
    async fn stores_of_one_moment_agree_also_with_something_on_its_way() {
        let stores = Stores::new();
        let control = stores.control("control.db").await;
        stores.relay(&control).await;
        decide(&control, "aff_waiting").await;
        assert_eq!(stores.bring_up(&control).await.expect("they agree"), Vec::<String>::new());
        let seen = LogNumbers::read(&stores.log, &[]).await.expect("read");
        assert!(seen.disagreements(&control.numbers().await.expect("read")).is_empty());
    }

    #[tokio::test]
    async fn a_log_that_lacks_what_it_was_given_is_refused() {
        let stores = Stores::new();
        let control = stores.control("control.db").await;
        stores.relay(&control).await;
        decide(&control, "aff_lost").await;
        let lost = control.pending_decisions(9).await.expect("read");
        control.mark_sent(&[lost[0].id]).await.expect("marked");
        let words = stores.bring_up(&control).await.expect_err("the log is older").to_string();
        assert!(words.contains("it lacks decisions 2 to 2 of acme"), "{words}");
        let seen = LogNumbers::read(&stores.log, &[]).await.expect("read");
        let words = seen.disagreements(&control.numbers().await.expect("read")).join("\n");
        assert!(words.contains("are in control.db and not in log.db, which is older"), "{words}");
    }

    #[tokio::test]
    async fn an_older_control_store_takes_decisions_and_numbers_from_the_log() {
        let stores = Stores::new();
        let control = stores.control("control.db").await;
        decide(&control, "aff_maya").await;
        stores.relay(&control).await;
        // Vendors of which only the log knows; one of them was forgotten since.
        for (vendor, seq, decision) in [(VendorId(8), 1, None), (VendorId(9), 1, Some(Decision::DropVendor))] {
            let policy = Decision::SetPolicy(domain::decision::SetPolicy::default());
            stores.append(vendor, seq, decision.unwrap_or(policy)).await;
        }
        let older = stores.control("older.db").await;
        let words = stores.bring_up(&older).await.expect("brought up").join("\n");
        assert!(words.contains("acme: the control store was older than the log; 1 decisions were taken"), "{words}");
        assert!(words.contains("vendor number 8 is in the log") && !words.contains("vendor number 9"), "{words}");
        let next = older.ensure_vendor(store::control::NewVendor::named("next"), "test", NOW).await.expect("made");
        assert_eq!(next.id, VendorId(10));
        let numbers = older.numbers().await.expect("read");
        assert_eq!((numbers[0].slug.as_str(), numbers[0].next_seq), ("acme", 3));
        assert!(!stores.bring_up(&older).await.expect("again").join("\n").contains("older than the log; "));
    }
}
