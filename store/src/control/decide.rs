//! Decisions and their way into the log: rows, audit and outbox in one transaction.

use super::input::{DecisionInput, at_index, check_count};
use super::resolve::{Deciding, json};
use super::{ControlError, ControlResult, Decided, OutboxDecision};
use domain::decision::Decision;
use domain::ids::{Timestamp, VendorId};
use rusqlite::{Connection, OptionalExtension, Transaction};

/// One transaction's worth of outbox rows.
const MAX_PENDING: usize = 10_000;

/// Writes decisions with the vendor's next sequence numbers.
pub(super) fn decide(
    transaction: &Transaction<'_>,
    vendor: VendorId,
    decisions: Vec<DecisionInput>,
    actor: &str,
    now: Timestamp,
) -> ControlResult<Decided> {
    check_count(decisions.len())?;
    let count = decisions.len() as u64;
    let first_seq = take_sequence(transaction, vendor, count)?;
    for (index, input) in decisions.into_iter().enumerate() {
        let seq = first_seq + index as u64;
        let deciding = Deciding { transaction, vendor, actor, now, seq };
        let decision = deciding.resolve(input).map_err(|error| at_index(index, error))?;
        enqueue(transaction, vendor, seq, &decision, now)?;
        audit(transaction, vendor, actor, decision.kind(), &json(&decision)?, now)?;
    }
    Ok(Decided { first_seq, last_seq: first_seq + count - 1 })
}

/// Takes the vendor's next `count` sequence numbers and returns the first. The vendor's row
/// is locked by it until the transaction ends, so that numbers have no gaps.
pub(super) fn take_sequence(transaction: &Transaction<'_>, vendor: VendorId, count: u64) -> ControlResult<u64> {
    let first: Option<u64> = transaction
        .prepare_cached("update vendors set next_seq = next_seq + ?2 where id = ?1 returning next_seq - ?2")?
        .query_row((vendor.0, count), |row| row.get(0))
        .optional()?;
    first.ok_or_else(|| ControlError::NotFound(format!("vendor {vendor}")))
}

/// Puts a decision on its way into the log.
pub(super) fn enqueue(
    transaction: &Transaction<'_>,
    vendor: VendorId,
    seq: u64,
    decision: &Decision,
    now: Timestamp,
) -> ControlResult<()> {
    transaction
        .prepare_cached("insert into decision_outbox (vendor, seq, at, body) values (?1, ?2, ?3, ?4)")?
        .execute((vendor.0, seq, now.0, json(decision)?))?;
    Ok(())
}

/// Notes who did what.
pub(super) fn audit(
    transaction: &Transaction<'_>,
    vendor: VendorId,
    actor: &str,
    action: &str,
    detail: &str,
    now: Timestamp,
) -> ControlResult<()> {
    transaction
        .prepare_cached("insert into audit_log (vendor, actor, action, detail, at) values (?1, ?2, ?3, ?4, ?5)")?
        .execute((vendor.0, actor, action, detail, now.0))?;
    Ok(())
}

/// Outbox rows in order.
pub(super) fn pending(connection: &Connection, limit: usize) -> ControlResult<Vec<OutboxDecision>> {
    let mut statement =
        connection.prepare_cached("select id, vendor, seq, at, body from decision_outbox order by id limit ?1")?;
    let mut rows = statement.query([limit.min(MAX_PENDING) as i64])?;
    let mut pending = Vec::new();
    while let Some(row) = rows.next()? {
        let body: String = row.get(4)?;
        pending.push(OutboxDecision {
            id: row.get(0)?,
            vendor: VendorId(row.get(1)?),
            seq: row.get(2)?,
            at: Timestamp(row.get(3)?),
            decision: serde_json::from_str(&body).map_err(|error| ControlError::Failed(error.into()))?,
        });
    }
    Ok(pending)
}

/// How many outbox rows a vendor has.
pub(super) fn pending_count(connection: &Connection, vendor: VendorId) -> ControlResult<u64> {
    Ok(connection
        .prepare_cached("select count(*) from decision_outbox where vendor = ?1")?
        .query_row([vendor.0], |row| row.get(0))?)
}

/// Removes outbox rows that are in the log. Removing one that is gone is no error: the relay
/// may say it twice.
pub(super) fn mark_sent(transaction: &Transaction<'_>, ids: &[u64]) -> ControlResult<()> {
    let mut statement = transaction.prepare_cached("delete from decision_outbox where id = ?1")?;
    for id in ids {
        statement.execute([id])?;
    }
    Ok(())
}

/// Makes the next number of a vendor larger than one that the log has.
pub(super) fn raise_sequence(transaction: &Transaction<'_>, vendor: VendorId, seq: u64) -> ControlResult<()> {
    transaction.execute("update vendors set next_seq = max(next_seq, ?2 + 1) where id = ?1", (vendor.0, seq))?;
    Ok(())
}
