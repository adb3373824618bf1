//! Brings what was spooled into the log, each partition in its order.

use super::Inner;
use super::state::{self, Spool};
use crate::event_log::{EventLog, LogError, StoredRecord};
use crate::kafka::key_of;
use std::sync::Arc;
use std::time::Duration;

/// Records on their way at the same time, per partition.
const BATCH_RECORDS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// After a failure.
const PAUSE: Duration = Duration::from_millis(500);

impl Inner {
    /// Forwards one partition for ever.
    pub(super) async fn forward(self: Arc<Self>, partition: u16) {
        let mut batch_records = BATCH_RECORDS;
        loop {
            // Counts from here on: what is spooled after the look is not missed.
            let spooled = self.spooled.notified();
            let next = self.state().next_to_forward(partition);
            let Some((spool, from)) = next else {
                spooled.await;
                continue;
            };
            match self.forward_batch(partition, &spool, from, batch_records).await {
                Ok(()) => batch_records = BATCH_RECORDS,
                Err(error) => {
                    tracing::warn!(partition, error = %error, "the spool is not forwarded: {error}");
                    // What comes after a record that is refused must not be sent again and again.
                    batch_records = 1;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn forward_batch(&self, partition: u16, spool: &Spool, from: u64, records: usize) -> Result<(), LogError> {
        let records = spool.log.read(partition, from, records, BATCH_BYTES).await?;
        let (delivered, failed) = self.deliver(partition, &records).await;
        if delivered > 0 {
            let done = &records[..delivered];
            let bytes = done.iter().map(|record| record.bytes.len() as u64).sum();
            self.state().note_forwarded(partition, from + delivered as u64, delivered as u64, bytes);
            self.save_position().await?;
            self.renew().await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Sends all of them, in order. Returns how many from the first on are in the log.
    async fn deliver(&self, partition: u16, records: &[StoredRecord]) -> (usize, Option<LogError>) {
        let mut sent = Vec::with_capacity(records.len());
        let mut failed = None;
        for record in records {
            match self.forwarder.enqueue(partition, &key_of(&record.bytes), &record.bytes) {
                Ok(one) => sent.push(one),
                Err(error) => {
                    failed = Some(self.forwarder.in_words(error));
                    break;
                }
            }
        }
        let mut delivered = 0;
        for one in sent {
            match self.forwarder.report(one).await {
                Ok(offset) => self.kafka.note_end(partition, offset),
                Err(error) => return (delivered, Some(self.forwarder.in_words(error))),
            }
            delivered += 1;
        }
        (delivered, failed)
    }

    /// Notes on disk how far everything was forwarded.
    async fn save_position(&self) -> Result<(), LogError> {
        let _one_at_a_time = self.position_file.lock().await;
        let (folder, position) = (self.settings.folder.clone(), self.state().position());
        let saved = tokio::task::spawn_blocking(move || state::write_position(&folder, &position)).await;
        saved.map_err(anyhow::Error::from)?.map_err(anyhow::Error::from)?;
        Ok(())
    }

    /// Begins a new file when everything in this one was forwarded.
    async fn renew(&self) -> Result<(), LogError> {
        let _one_at_a_time = self.position_file.lock().await;
        if !self.state().may_renew() {
            return Ok(());
        }
        let generation = self.state().spool.generation + 1;
        let folder = self.settings.folder.clone();
        let opened = tokio::task::spawn_blocking(move || state::open_generation(&folder, generation)).await;
        let spool = opened.map_err(anyhow::Error::from)?.map_err(anyhow::Error::from)?;
        let old = {
            let mut state = self.state();
            if !state.may_renew() {
                return Ok(());
            }
            state.renew(spool)
        };
        old.log.shutdown().await;
        // A start that still finds the old position finds the records of the new file all the
        // same, and of the old one none is needed.
        let (folder, position) = (self.settings.folder.clone(), self.state().position());
        let noted = tokio::task::spawn_blocking(move || {
            state::write_position(&folder, &position)?;
            state::remove_generations_before(&folder, generation)
        });
        noted.await.map_err(anyhow::Error::from)?.map_err(anyhow::Error::from)?;
        Ok(())
    }
}
