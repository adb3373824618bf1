//! Folds a batch of records of one partition into one commit.

use crate::spikes::SpikeWatch;
use crate::state::StoreState;
use crate::trace_book::Traced;
use domain::decision::Decision;
use domain::fact::Alias;
use domain::fold::{self, Counters, Effects, Event, Fanout, FoldState, Outcome, Place};
use domain::ids::*;
use domain::line::PurchaseRow;
use domain::story::Scope;
use domain::target::StateError;
use schemas::decode::{Decoded, decode_answer, decode_delivery, seen_of};
use schemas::provider::ViewError;
use schemas::record::{Delivery, LookupResult, Payload, Record, RecordError, Source};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use store::event_log::{LogError, StoredRecord};
use store::fold_store::{Commit, FoldStore, FoldStoreError, Position, RecordRow};

/// How many records one `retry` folds again.
pub const RETRY_LIMIT: usize = 1_000;

/// A batch that could not be folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The fold store.
    #[error(transparent)]
    Store(#[from] FoldStoreError),
    /// The fold's state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The log is not the one that was folded.
    #[error(transparent)]
    Continuity(#[from] crate::continuity::ContinuityError),
    /// A record of a newer version: this binary must not go past it.
    #[error("record {offset} of partition {partition}: {source}")]
    Newer {
        /// Partition.
        partition: u16,
        /// Offset.
        offset: u64,
        /// Which version.
        source: RecordError,
    },
}

/// Reads one record by its offset, for `retry`.
pub type ReadOne<'a> = dyn Fn(u64) -> Result<Option<StoredRecord>, LogError> + 'a;

/// A record with its delivery already decoded.
struct Prepared {
    offset: u64,
    hash: [u8; 32],
    record: Result<Record, RecordError>,
    decoded: Option<Result<Decoded, ViewError>>,
}

/// One batch on its way.
pub struct Batch<'a, 'b> {
    partition: u16,
    state: &'a mut StoreState<'b>,
    store: &'a dyn FoldStore,
    read_one: &'a ReadOne<'a>,
    commit: Commit,
    decided: HashMap<(VendorId, u64), (u64, Timestamp)>,
    traced: Option<&'a mut Vec<Traced>>,
    spikes: Option<&'a mut SpikeWatch<'b>>,
}

impl<'a, 'b> Batch<'a, 'b> {
    /// An empty batch of a partition.
    pub fn new(
        partition: u16,
        state: &'a mut StoreState<'b>,
        store: &'a dyn FoldStore,
        read_one: &'a ReadOne<'a>,
    ) -> Batch<'a, 'b> {
        state.begin();
        Batch {
            partition,
            state,
            store,
            read_one,
            commit: Commit::default(),
            decided: HashMap::new(),
            traced: None,
            spikes: None,
        }
    }

    /// Notes there which of the records are traced.
    pub fn noting(self, traced: &'a mut Vec<Traced>) -> Batch<'a, 'b> {
        Batch { traced: Some(traced), ..self }
    }

    /// Shows the spike detector what is redeemed. Without it the commit leaves the detector as it is.
    pub fn watched_by(self, spikes: &'a mut SpikeWatch<'b>) -> Batch<'a, 'b> {
        spikes.begin();
        Batch { spikes: Some(spikes), ..self }
    }

    /// Folds records from a position on. Stops early where a record reaches further than one
    /// slice. Returns the commit and the position after it.
    pub fn fold(mut self, from: &Position, records: Vec<StoredRecord>) -> Result<(Commit, Position), FoldError> {
        let prepared: Vec<Prepared> = records.into_iter().map(prepare).collect();
        self.prefetch(&prepared)?;
        let mut position = from.clone();
        for one in prepared {
            if matches!(one.record, Err(RecordError::Newer { .. })) && position != *from {
                // What comes before it is committed first; the next turn stops at it.
                break;
            }
            let place = Place {
                partition: self.partition,
                offset: one.offset,
                at: one.record.as_ref().map_or(Timestamp(0), |record| record.at),
            };
            let trace = self.traced.as_ref().and_then(|_| Traced::of(one.offset, one.record.as_ref().ok()?));
            let effects = match position.fanout.take() {
                Some(fanout) => fold::continue_fanout(self.state, place, fanout, position.counters)?,
                None => self.fold_record(place, one.record, one.decoded)?,
            };
            let fanout = effects.fanout.clone();
            let counters = effects.counters;
            if let (Some(traced), Some(trace)) = (&mut self.traced, trace) {
                traced.push(trace.with(&effects));
            }
            self.take(place, effects)?;
            if fanout.is_some() {
                position = Position { fanout, counters, ..position };
                break;
            }
            position = Position {
                next_offset: one.offset + 1,
                fanout: None,
                counters: Counters::default(),
                chain: chained(&position.chain, &one.hash),
                last_hash: one.hash,
                revision: fold::FOLD_REVISION,
            };
        }
        self.state.drain_into(&mut self.commit, &self.decided);
        if let Some(spikes) = self.spikes {
            self.commit.spikes = spikes.judge()?;
        }
        Ok((self.commit, position))
    }

    fn prefetch(&mut self, prepared: &[Prepared]) -> Result<(), FoldError> {
        let mut names: Vec<(Scope, Alias)> = Vec::new();
        let vendors = prepared.iter().filter_map(|one| one.record.as_ref().ok()).map(|record| record.vendor).collect();
        for one in prepared {
            let (Ok(record), Some(Ok(decoded))) = (&one.record, &one.decoded) else { continue };
            let Payload::Delivery(delivery) = &record.payload else { continue };
            let scope = scope_of(record, delivery.mode);
            names.extend(decoded.facts.iter().flat_map(|fact| fact.aliases()).map(|alias| (scope, alias)));
        }
        self.state.prefetch(names, &vendors)?;
        Ok(())
    }

    fn take(&mut self, place: Place, effects: Effects) -> Result<(), FoldError> {
        if let (Some(spikes), Some(first)) = (&mut self.spikes, effects.redeemed.first()) {
            // A record is one vendor's.
            let decisions = self.state.decisions(first.scope.vendor)?;
            spikes.see(place, effects.redeemed, &decisions);
        }
        self.commit.lines.extend(effects.lines);
        self.commit.rows.extend(last_of_each(effects.rows));
        self.commit.questions.extend(effects.questions);
        self.commit.resolved.extend(effects.resolved);
        Ok(())
    }

    fn fold_record(
        &mut self,
        place: Place,
        record: Result<Record, RecordError>,
        decoded: Option<Result<Decoded, ViewError>>,
    ) -> Result<Effects, FoldError> {
        let record = match record {
            Ok(record) => record,
            Err(source @ RecordError::Newer { .. }) => {
                return Err(FoldError::Newer { partition: place.partition, offset: place.offset, source });
            }
            Err(error) => {
                self.note(place, None, Outcome::Refused(error.to_string()), None);
                return Ok(Effects::default());
            }
        };
        let (outcome, effects) = match &record.payload {
            Payload::Delivery(delivery) => {
                self.fold_delivery(place, &record, delivery, decoded, None, Counters::default())?
            }
            Payload::LookupResult(result) => self.fold_answer(place, &record, result)?,
            Payload::Expire(expire) => {
                (Outcome::Decision, self.expire(place.partition, record.vendor, &expire.offsets)?)
            }
            Payload::Decision(decision) => self.fold_decision(place, &record, decision)?,
        };
        self.note(place, Some(&record), outcome, effects.story);
        Ok(effects)
    }

    /// The record's one outcome.
    fn note(&mut self, place: Place, record: Option<&Record>, outcome: Outcome, story: Option<StoryId>) {
        let delivery = record.and_then(|record| match &record.payload {
            Payload::Delivery(delivery) => Some(delivery),
            _ => None,
        });
        self.commit.records.push(RecordRow {
            offset: place.offset,
            vendor: record.map_or(VendorId(0), |record| record.vendor),
            connection: record.map_or(ConnectionId(0), |record| record.connection),
            mode: record.and_then(|record| match &record.payload {
                Payload::Delivery(delivery) => Some(delivery.mode),
                Payload::LookupResult(result) => Some(result.mode),
                Payload::Expire(_) | Payload::Decision(_) => None,
            }),
            event_id: delivery.map_or_else(String::new, |delivery| delivery.event_id.clone()),
            event_type: delivery.map_or_else(
                || record.map_or("unreadable", |record| record.payload.kind()).to_owned(),
                |delivery| delivery.event_type.clone(),
            ),
            is_backfill: delivery.is_some_and(|delivery| delivery.source == Source::Backfill),
            at: place.at,
            outcome,
            story,
        });
    }

    fn fold_delivery(
        &mut self,
        place: Place,
        record: &Record,
        delivery: &Delivery,
        decoded: Option<Result<Decoded, ViewError>>,
        earlier: Option<u64>,
        counters: Counters,
    ) -> Result<(Outcome, Effects), FoldError> {
        let nothing = Effects { counters, ..Default::default() };
        let decoded = match decoded.unwrap_or_else(|| decode_delivery(delivery)) {
            Ok(decoded) => decoded,
            Err(error) => return Ok((Outcome::Refused(error.to_string()), nothing)),
        };
        if let Some(reason) = decoded.ignored {
            return Ok((Outcome::Ignored(reason.to_owned()), nothing));
        }
        if self.is_foreign_account(record, delivery)? {
            return Ok((Outcome::Ignored("unknown_account".to_owned()), nothing));
        }
        let event = Event {
            scope: scope_of(record, delivery.mode),
            provider: delivery.provider,
            seen: seen_of(delivery),
            facts: decoded.facts,
            sightings: decoded.sightings,
        };
        Ok(match earlier {
            Some(offset) => fold::apply_again(self.state, place, offset, event, counters)?,
            None => fold::apply_event(self.state, place, event, counters)?,
        })
    }

    /// An event of an account that the connection does not name: a receipt is kept, nothing done.
    fn is_foreign_account(&mut self, record: &Record, delivery: &Delivery) -> Result<bool, FoldError> {
        let decisions = self.state.decisions(record.vendor)?;
        let expected =
            decisions.connections.get(&record.connection).and_then(|connection| connection.account.as_deref());
        Ok(expected.is_some() && delivery.account.is_some() && expected != delivery.account.as_deref())
    }

    fn fold_answer(
        &mut self,
        place: Place,
        record: &Record,
        result: &LookupResult,
    ) -> Result<(Outcome, Effects), FoldError> {
        let decoded = decode_answer(result);
        let event = Event {
            scope: scope_of(record, result.mode),
            provider: result.provider,
            seen: domain::fact::Seen { at: result.asked_at, event: result.request.clone() },
            facts: decoded.facts,
            sightings: decoded.sightings,
        };
        Ok(fold::apply_answer(self.state, place, event, decoded.answer, Counters::default())?)
    }

    /// A label only: what still comes counts.
    fn expire(&mut self, partition: u16, vendor: VendorId, offsets: &[u64]) -> Result<Effects, FoldError> {
        let mut effects = Effects::default();
        for offset in self.still_open(partition, vendor, offsets, &["waiting"])? {
            effects
                .resolved
                .push((offset, Outcome::Refused("deadline_passed: what it waited for did not come".to_owned())));
        }
        Ok(effects)
    }

    /// The vendor's offsets whose outcome, this batch included, is one of `outcomes`. Other
    /// vendors of the partition are none of its business.
    fn still_open(
        &self,
        partition: u16,
        vendor: VendorId,
        offsets: &[u64],
        outcomes: &[&str],
    ) -> Result<Vec<u64>, FoldError> {
        let stored = self.store.records(partition, offsets)?;
        let now = |offset: u64| -> Option<String> {
            let noted =
                self.commit.records.iter().find(|row| row.offset == offset).map(|row| (row.vendor, row.outcome.name()));
            let stored = || {
                stored
                    .iter()
                    .find(|record| record.offset == offset)
                    .map(|record| (record.vendor, record.outcome.as_str()))
            };
            let (owner, outcome) = noted.or_else(stored)?;
            let resolved = self
                .commit
                .resolved
                .iter()
                .rev()
                .find(|(other, _)| *other == offset)
                .map(|(_, outcome)| outcome.name());
            (owner == vendor).then(|| resolved.unwrap_or(outcome).to_owned())
        };
        Ok(offsets
            .iter()
            .copied()
            .filter(|offset| now(*offset).is_some_and(|outcome| outcomes.contains(&outcome.as_str())))
            .collect())
    }

    fn fold_decision(
        &mut self,
        place: Place,
        record: &Record,
        decision: &Decision,
    ) -> Result<(Outcome, Effects), FoldError> {
        let Some(seq) = record.seq else {
            return Ok((Outcome::Refused("a decision without a sequence number".to_owned()), Effects::default()));
        };
        self.decided.insert((record.vendor, seq), (place.offset, place.at));
        let (outcome, mut effects) = fold::apply_decision(self.state, place, record.vendor, seq, decision)?;
        if outcome == Outcome::Decision {
            match decision {
                Decision::Retry(retry) => self.retry(place, record.vendor, &retry.offsets, &mut effects)?,
                Decision::Waive(waive) => {
                    for offset in self.still_open(place.partition, record.vendor, &waive.offsets, &["refused"])? {
                        effects.resolved.push((offset, Outcome::Ignored(format!("waived: {}", waive.reason))));
                    }
                }
                Decision::DropVendor => {
                    if let Some(spikes) = &mut self.spikes {
                        spikes.remove(record.vendor);
                    }
                }
                _ => {}
            }
        }
        // A decision that a crashed relay appended again is no delivery without effect.
        let outcome = if matches!(outcome, Outcome::NoEffect(_)) { Outcome::Decision } else { outcome };
        Ok((outcome, effects))
    }

    /// Folds refused records again; their lines carry the position of the `retry` record. One
    /// that waits is folded already: it needs what it waits for, not another reading.
    fn retry(
        &mut self,
        place: Place,
        vendor: VendorId,
        offsets: &[u64],
        effects: &mut Effects,
    ) -> Result<(), FoldError> {
        for offset in
            self.still_open(place.partition, vendor, &offsets[..offsets.len().min(RETRY_LIMIT)], &["refused"])?
        {
            let Some(stored) = (self.read_one)(offset)? else { continue };
            let Ok(record) = Record::decode(&stored.bytes) else { continue };
            let Payload::Delivery(delivery) = &record.payload else { continue };
            if record.vendor != vendor {
                continue;
            }
            let (outcome, again) =
                self.fold_delivery(place, &record, delivery, None, Some(offset), effects.counters)?;
            effects.resolved.push((offset, outcome));
            let mut rest = merge_effects(effects, again);
            while let Some(fanout) = rest {
                let more = fold::continue_fanout(self.state, place, fanout, effects.counters)?;
                rest = merge_effects(effects, more);
            }
        }
        Ok(())
    }
}

/// How each purchase stands after the record: the warehouse keeps one row per purchase and record, the last. Counted are
/// then as many as were sent.
fn last_of_each(mut rows: Vec<PurchaseRow>) -> Vec<PurchaseRow> {
    let mut later = HashSet::new();
    rows.reverse();
    rows.retain(|row| later.insert(row.purchase));
    rows.reverse();
    rows
}

/// Adds what folding again led to; returns what is left to touch.
fn merge_effects(effects: &mut Effects, again: Effects) -> Option<Fanout> {
    effects.counters = again.counters;
    effects.lines.extend(again.lines);
    effects.rows.extend(again.rows);
    effects.questions.extend(again.questions);
    effects.redeemed.extend(again.redeemed);
    effects.resolved.extend(again.resolved);
    again.fanout
}

fn prepare(stored: StoredRecord) -> Prepared {
    let record = Record::decode(&stored.bytes);
    let decoded = match &record {
        Ok(Record { payload: Payload::Delivery(delivery), .. }) => Some(decode_delivery(delivery)),
        _ => None,
    };
    Prepared { offset: stored.offset, hash: Sha256::digest(&stored.bytes).into(), record, decoded }
}

fn scope_of(record: &Record, mode: Mode) -> Scope {
    Scope { vendor: record.vendor, connection: record.connection, mode }
}

/// The running hash: SHA-256 over the hash so far and the record's own.
pub fn chained(chain: &[u8; 32], record: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(chain).chain_update(record).finalize().into()
}
