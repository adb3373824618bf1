//! The outbox of decisions of a run.

use crate::dice::{Dice, Fault};
use anyhow::anyhow;
use async_trait::async_trait;
use domain::decision::Decision;
use domain::ids::VendorId;
use processor::relay::DecisionOutbox;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::control::{ControlError, OutboxDecision};

#[derive(Default)]
struct Rows {
    waiting: Vec<OutboxDecision>,
    decided: u64,
    sequences: BTreeMap<VendorId, u64>,
}

/// What people decided and the relay has not marked.
pub struct SimControl {
    rows: Mutex<Rows>,
    dice: Arc<Dice>,
}

impl SimControl {
    /// Nothing is decided.
    pub fn new(dice: Arc<Dice>) -> SimControl {
        SimControl { rows: Mutex::default(), dice }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A person decides; the vendor's next number is given.
    pub fn decide(&self, vendor: VendorId, decision: Decision) {
        let mut rows = self.rows();
        rows.decided += 1;
        let id = rows.decided;
        let seq = rows.sequences.entry(vendor).or_default();
        *seq += 1;
        let row = OutboxDecision { id, vendor, seq: *seq, at: self.dice.now(), decision };
        rows.waiting.push(row);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.rows().waiting.len()
    }

    /// How many were ever decided, by vendor.
    pub fn decided(&self) -> BTreeMap<VendorId, u64> {
        self.rows().sequences.clone()
    }
}

#[async_trait]
impl DecisionOutbox for SimControl {
    async fn pending(&self, limit: usize) -> Result<Vec<OutboxDecision>, ControlError> {
        // A round takes a few, so that one can end between two decisions of a vendor.
        let most = limit.min(1 + self.dice.below(8) as usize);
        Ok(self.rows().waiting.iter().take(most).cloned().collect())
    }

    async fn sent(&self, ids: &[u64]) -> Result<(), ControlError> {
        if self.dice.strikes(Fault::MarkFails) {
            return Err(ControlError::Failed(anyhow!("simulated: nothing was marked")));
        }
        self.rows().waiting.retain(|row| !ids.contains(&row.id));
        if self.dice.strikes(Fault::MarkAnswerLost) {
            return Err(ControlError::Failed(anyhow!("simulated: no answer in time")));
        }
        Ok(())
    }

    async fn waits(&self) {}
}
