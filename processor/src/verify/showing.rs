//! What pages show of a partition while something of it is missing: those that are open are told, and those that begin
//! later find it noted in the fold store.

use super::{Checked, Memory, Verifier, VerifyError, blocking};
use domain::ids::{Mode, Timestamp, VendorId};
use std::collections::BTreeSet;
use store::fold_store::Visible;

impl Verifier {
    /// Another process looks after it now.
    pub(super) fn let_go(&self, memory: &mut Memory, partition: u16) {
        memory.words.remove(&partition);
        memory.unverified.remove(&partition);
        memory.confirmed.remove(&partition);
        memory.beyond_repair.retain(|(other, _), _| *other != partition);
        // It stays held: who looks after it now finds the note, and releases it when nothing is missing.
        memory.held.remove(&partition);
        memory.noted.remove(&partition);
        self.report(memory);
    }

    /// A partition may be held by the process that looked after it before, or by one that found the warehouse empty.
    pub(super) async fn take_up(&self, memory: &mut Memory, partition: u16) -> Result<(), VerifyError> {
        if memory.noted.contains_key(&partition) {
            return Ok(());
        }
        let store = self.store.clone();
        if let Some(upto) = blocking(move || store.held(partition)).await? {
            memory.noted.insert(partition, upto);
            memory.confirmed.remove(&partition);
            memory.held.entry(partition).or_default();
        }
        Ok(())
    }

    /// Holds a partition at the first range that is missing, until nothing is.
    pub(super) async fn show(
        &self,
        memory: &mut Memory,
        partition: u16,
        checked: &Checked,
        vendors: &BTreeSet<(VendorId, Mode)>,
    ) -> Result<(), VerifyError> {
        if let Some(missing) = checked.differences.iter().find(|difference| difference.is_less()) {
            let before = checked.ranges.iter().rev().find(|range| range.to <= missing.from);
            let upto = Visible { next_offset: missing.from, at: before.map_or(Timestamp(0), |range| range.at) };
            // Of the record that is delivered in parts just now, parts may be missing too.
            let needed = memory.held.entry(partition).or_default();
            *needed = checked.open_to.unwrap_or_default().max(*needed);
            return self.hold(memory, partition, upto).await;
        }
        match memory.held.get(&partition) {
            None => {}
            Some(needed) if *needed > checked.visible.next_offset => {
                memory.soon = true;
                return self.hold(memory, partition, checked.visible).await;
            }
            Some(_) => {
                // First for those who begin to show pages just now, then for those who do already.
                self.note(memory, partition, None).await?;
                memory.held.remove(&partition);
                self.shown.release(partition, vendors);
                tracing::info!(partition, "partition {partition} is shown whole again");
            }
        }
        Ok(())
    }

    /// Pages that are open are told in any case.
    async fn hold(&self, memory: &mut Memory, partition: u16, upto: Visible) -> Result<(), VerifyError> {
        let noted = self.note(memory, partition, Some(upto)).await;
        self.shown.hold(partition, upto);
        noted
    }

    async fn note(&self, memory: &mut Memory, partition: u16, upto: Option<Visible>) -> Result<(), VerifyError> {
        if memory.noted.get(&partition) == upto.as_ref() {
            return Ok(());
        }
        let store = self.store.clone();
        blocking(move || store.hold(partition, upto)).await?;
        match upto {
            Some(upto) => memory.noted.insert(partition, upto),
            None => memory.noted.remove(&partition),
        };
        Ok(())
    }
}
