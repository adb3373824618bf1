//! Writing batches, and removing a vendor.

use super::client::Warehouse;
use super::error::WarehouseError;
use super::rows::{EARLIEST_TIME, LATEST_TIME, LineRow, PurchaseChangeRow};
use super::sql::Sql;
use async_trait::async_trait;
use clickhouse::{Row, RowWrite};
use domain::ids::{Timestamp, VendorId};
use domain::line::{LedgerLine, PurchaseRow};
use schemas::warehouse::{LEDGER_LINES, PURCHASES};

/// One batch of the outbox.
#[derive(Debug, Clone, Copy)]
pub struct InsertBatch<'a> {
    /// Generation of the log the rows were folded from.
    pub generation: u16,
    /// The lines, in log order.
    pub lines: &'a [LedgerLine],
    /// The purchases that changed with them.
    pub purchases: &'a [PurchaseRow],
    /// A function of the batch's range in the log. The same token must always come with the
    /// same rows: the engine drops a batch whose token it has seen, whatever is in it.
    pub token: &'a str,
}

/// Where the outbox goes: the part of the warehouse that the sink uses.
#[async_trait]
pub trait LineSink: Send + Sync {
    /// Writes a batch. Safe to repeat with the same token and rows until it succeeds.
    ///
    /// # Errors
    /// Whatever the error says, the rows may be there all the same, or come later.
    async fn insert(&self, batch: &InsertBatch<'_>) -> Result<(), WarehouseError>;
}

#[async_trait]
impl LineSink for Warehouse {
    async fn insert(&self, batch: &InsertBatch<'_>) -> Result<(), WarehouseError> {
        Warehouse::insert(self, batch).await
    }
}

impl Warehouse {
    /// Writes a batch: the purchases first, then the lines, so that a line is never visible
    /// without its purchase. Safe to repeat with the same token and rows until it succeeds.
    pub async fn insert(&self, batch: &InsertBatch<'_>) -> Result<(), WarehouseError> {
        let lines: Vec<LineRow> =
            batch.lines.iter().map(|line| LineRow::new(line, batch.generation)).collect::<Result<_, _>>()?;
        let purchases: Vec<PurchaseChangeRow> =
            batch.purchases.iter().map(|change| PurchaseChangeRow::new(change, batch.generation)).collect();
        warn_of_moved_times(batch);
        self.insert_rows(PURCHASES, &purchases, batch.token).await?;
        self.insert_rows(LEDGER_LINES, &lines, batch.token).await
    }

    async fn insert_rows<R>(&self, table: &'static str, rows: &[R], token: &str) -> Result<(), WarehouseError>
    where
        R: for<'a> Row<Value<'a> = R> + RowWrite,
    {
        if rows.is_empty() {
            return Ok(());
        }
        let sending = async {
            // Plain RowBinary: the column list is in the statement, and the types are tested
            // against the real tables.
            let client = self.client.clone().with_validation(false);
            let mut insert = client
                .insert::<R>(table)
                .await?
                .with_setting("async_insert", "0")
                .with_setting("insert_deduplicate", "1")
                .with_setting("insert_deduplication_token", token)
                // A batch of old events may touch more months than the default of 100 allows,
                // and would then be refused for ever.
                .with_setting("max_partitions_per_insert_block", "0");
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        };
        self.within("inserting", self.config.insert_timeout, sending).await
    }

    /// Removes every row of a vendor, in both modes and all generations, and waits for it.
    pub async fn delete_vendor(&self, vendor: VendorId) -> Result<(), WarehouseError> {
        for table in [LEDGER_LINES, PURCHASES] {
            let mut sql = Sql::new("ALTER TABLE ");
            sql.push(table).push(" DELETE WHERE vendor_id = ").bind(vendor.0).push(" SETTINGS mutations_sync = 1");
            self.execute("removing a vendor", &sql).await?;
        }
        Ok(())
    }
}

/// Says once per batch that times were moved; the money of such lines is kept.
fn warn_of_moved_times(batch: &InsertBatch<'_>) {
    let is_beyond = |time: Timestamp| time < EARLIEST_TIME || time > LATEST_TIME;
    let moved = batch
        .lines
        .iter()
        .filter(|line| is_beyond(line.occurred_at) || is_beyond(line.sale_at) || is_beyond(line.booked_at));
    if let Some(line) = moved.clone().next() {
        tracing::warn!(
            lines = moved.count(),
            first_offset = line.src_off,
            "the provider's time of some lines lies outside 1970-01-01 to 2149-06-06 and is stored as the nearest day in it; the amounts are unchanged"
        );
    }
}
