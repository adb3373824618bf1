//! Redemptions of a batch to the detector, in the order of the log.

use super::vendor::{DAY_MS, Vendor};
use crate::generations::Generations;
use domain::decisions::VendorDecisions;
use domain::fold::{Place, Redeemed};
use domain::ids::{CodeId, Timestamp, VendorId};
use domain::spikes::{CodeState, Detector, ORDER_MS, Redemption};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::fold_store::{FoldStore, FoldStoreError, SpikeChanges, SpikeCode};

/// Times of providers that are counted with: up to the year 2100.
const LATEST_MS: i64 = 4_102_444_800_000;
/// How many of each one generation keeps in memory; there are two. A code takes up to 1 KiB, a vendor 4 KiB.
const CODES: usize = 20_000;
const VENDORS: usize = 1_000;
/// Places within a record: an offset is shifted by so many bits. Beyond it redemptions of one record are not seen.
const PLACE_BITS: u32 = 24;
/// No redemption is judged later than this after it arrived, whatever its provider's clock says.
const FURTHEST_AHEAD_MS: i64 = 600_000;

/// A redemption, and what was decided when its record was folded.
struct Seen {
    vendor: VendorId,
    code: CodeId,
    redemption: Redemption,
    decisions: Arc<VendorDecisions>,
}

/// A code in memory.
struct Known {
    state: CodeState,
    position: u64,
    last_due_at: Timestamp,
    seen_day: i64,
}

impl Known {
    /// From its row. A state of another release is begun anew: it is what was usual, and is learned again.
    fn read(row: &SpikeCode) -> Known {
        let state = CodeState::from_bytes(&row.body).unwrap_or_else(|error| {
            tracing::warn!(vendor = row.vendor.0, code = row.code.0, "a code's habits are learned anew: {error}");
            CodeState::new(row.code)
        });
        Known { state, position: row.position, last_due_at: row.last_due_at, seen_day: row.seen_day }
    }

    fn row(&self, vendor: VendorId, code: CodeId) -> SpikeCode {
        SpikeCode {
            vendor,
            code,
            position: self.position,
            due_at: self.state.due_at(),
            last_due_at: self.last_due_at,
            seen_day: self.seen_day,
            body: self.state.to_bytes(),
        }
    }
}

/// The detector's memory of a worker, over the fold store. Losing it costs reading and nothing else.
pub struct SpikeWatch<'a> {
    store: &'a dyn FoldStore,
    codes: Generations<(VendorId, CodeId), Known>,
    vendors: Generations<VendorId, Vendor>,
    seen: Vec<Seen>,
    forgotten: Vec<VendorId>,
}

impl<'a> SpikeWatch<'a> {
    /// Nothing read yet.
    pub fn new(store: &'a dyn FoldStore) -> SpikeWatch<'a> {
        SpikeWatch {
            store,
            codes: Generations::new(CODES),
            vendors: Generations::new(VENDORS),
            seen: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    /// Forgets everything read: what was folded was not committed, or belongs to somebody else now.
    pub fn forget(&mut self) {
        *self = SpikeWatch::new(self.store);
    }

    /// Starts a batch.
    pub(crate) fn begin(&mut self) {
        self.seen.clear();
        self.forgotten.clear();
        self.codes.turn_over();
        self.vendors.turn_over();
    }

    /// A record redeemed codes.
    pub(crate) fn see(&mut self, place: Place, redeemed: Vec<Redeemed>, decisions: &Arc<VendorDecisions>) {
        for one in redeemed.into_iter().filter(|one| one.scope.mode.is_live()) {
            let customer = customer_hash(&one);
            self.seen.push(Seen {
                vendor: one.scope.vendor,
                code: one.code,
                redemption: Redemption {
                    position: position_of(place.offset, one.ord),
                    // Providers' times are what a sender says.
                    at: Timestamp(one.at.0.clamp(0, LATEST_MS)),
                    arrived_at: place.at,
                    customer,
                },
                decisions: decisions.clone(),
            });
        }
    }

    /// A vendor was removed.
    pub(crate) fn remove(&mut self, vendor: VendorId) {
        self.forgotten.push(vendor);
    }

    /// Judges what was seen since [`SpikeWatch::begin`]. Returns what is to be committed with the batch.
    ///
    /// The ledger does not wait for alarms: where the detector panics, the batch is committed without what it saw.
    pub(crate) fn judge(&mut self) -> Result<SpikeChanges, FoldStoreError> {
        let forgotten = self.forgotten.clone();
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.judge_seen())) {
            Ok(changes) => changes,
            Err(_) => {
                tracing::error!("the spike detector panicked; these redemptions are counted in the ledger, not by it");
                self.forget();
                Ok(SpikeChanges { forgotten, ..SpikeChanges::default() })
            }
        }
    }

    fn judge_seen(&mut self) -> Result<SpikeChanges, FoldStoreError> {
        let mut changes = SpikeChanges { forgotten: std::mem::take(&mut self.forgotten), ..Default::default() };
        let mut seen = std::mem::take(&mut self.seen);
        seen.retain(|one| !changes.forgotten.contains(&one.vendor));
        if seen.is_empty() {
            return Ok(changes);
        }
        let codes: BTreeSet<(VendorId, CodeId)> = seen.iter().map(|one| (one.vendor, one.code)).collect();
        let vendors: BTreeSet<VendorId> = codes.iter().map(|(vendor, _)| *vendor).collect();
        self.read(&codes, &vendors)?;
        for one in &seen {
            self.judge_one(one, &mut changes);
        }
        for key in codes {
            changes.codes.extend(self.codes.get(&key).map(|known| known.row(key.0, key.1)));
        }
        for id in vendors {
            changes.vendors.extend(self.vendors.get(&id).map(|vendor| (id, vendor.bytes())));
        }
        Ok(changes)
    }

    fn read(
        &mut self,
        codes: &BTreeSet<(VendorId, CodeId)>,
        vendors: &BTreeSet<VendorId>,
    ) -> Result<(), FoldStoreError> {
        let unknown: Vec<_> = codes.iter().copied().filter(|key| self.codes.get(key).is_none()).collect();
        for row in self.store.spike_codes(&unknown)?.into_iter().flatten() {
            self.codes.insert((row.vendor, row.code), Known::read(&row));
        }
        let unknown: Vec<_> = vendors.iter().copied().filter(|id| self.vendors.get(id).is_none()).collect();
        for (id, body) in unknown.iter().zip(self.store.spike_vendors(&unknown)?) {
            if let Some(vendor) = body.and_then(|body| Vendor::read(*id, &body)) {
                self.vendors.insert(*id, vendor);
            }
        }
        Ok(())
    }

    fn judge_one(&mut self, one: &Seen, changes: &mut SpikeChanges) {
        let Redemption { position, at, arrived_at, .. } = one.redemption;
        let today = arrived_at.0.div_euclid(DAY_MS);
        let key = (one.vendor, one.code);
        let mut vendor = self.vendors.remove(&one.vendor).unwrap_or_else(|| Vendor::new(one.vendor, at, arrived_at));
        let before = self.codes.remove(&key);
        let seen_day = before.as_ref().map(|known| known.seen_day);
        let mut known = before.unwrap_or_else(|| Known {
            state: CodeState::new(one.code),
            position: 0,
            last_due_at: Timestamp(0),
            seen_day: today,
        });
        vendor.set_zone(&one.decisions);
        let alert =
            Detector::new(vendor.context(&one.decisions.campaigns)).redemption(&mut known.state, one.redemption);
        changes.alerts.extend(alert.map(|alert| (one.vendor, alert)));
        known.position = known.position.max(position);
        known.seen_day = known.seen_day.max(today);
        let judged_at = at.0.min(arrived_at.0.saturating_add(FURTHEST_AHEAD_MS)).saturating_add(ORDER_MS);
        known.last_due_at = known.last_due_at.max(Timestamp(judged_at));
        vendor.see(seen_day, known.seen_day);
        if known.state.is_learning() {
            vendor.count(at, arrived_at);
        }
        vendor.look_again(arrived_at);
        self.codes.insert(key, known);
        self.vendors.insert(one.vendor, vendor);
    }
}

/// Where a redemption stands in its partition, rising.
fn position_of(offset: u64, ord: u32) -> u64 {
    let place = u64::from(ord).min((1 << PLACE_BITS) - 1);
    (offset << PLACE_BITS) | place
}

/// Who redeemed, so that a crowd can be told from one busy customer: hashed with the account, so that two vendors'
/// customers have nothing in common. A purchase without a customer is somebody of its own.
fn customer_hash(redeemed: &Redeemed) -> u64 {
    let mut hash = Sha256::new();
    hash.update(redeemed.scope.vendor.0.to_be_bytes());
    hash.update(redeemed.scope.connection.0.to_be_bytes());
    match &redeemed.customer {
        Some(customer) => hash.update(customer.as_bytes()),
        None => hash.update(redeemed.purchase.0.to_be_bytes()),
    }
    let digest = hash.finalize();
    u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}
