//! Decisions and their way into the log: rows, audit and outbox in one transaction.

use super::database::{Database, Row, Value, placeholders, values};
use super::input::{DecisionInput, at_index, check_count};
use super::resolve::{Deciding, json, read_json};
use super::{ControlError, ControlResult, Decided, OutboxDecision, Rehearsed};
use domain::decision::Decision;
use domain::ids::{Timestamp, VendorId};

/// One transaction's worth of outbox rows.
const MAX_PENDING: usize = 10_000;
/// How many rows one statement removes.
const MAX_MARKED: usize = 512;

/// Writes decisions with the vendor's next sequence numbers.
pub(super) fn decide(
    database: &dyn Database,
    vendor: VendorId,
    decisions: Vec<DecisionInput>,
    actor: &str,
    now: Timestamp,
) -> ControlResult<Decided> {
    let written = write(database, vendor, decisions, actor, now)?;
    let count = written.decisions.len() as u64;
    Ok(Decided { first_seq: written.first_seq, last_seq: written.first_seq + count - 1 })
}

/// Finds out what would be written, by writing it and taking it back: names and numbers are found by the same code.
/// Where it is refused, the caller's transaction is given up.
pub(super) fn rehearse(
    database: &dyn Database,
    vendor: VendorId,
    decisions: Vec<DecisionInput>,
    now: Timestamp,
) -> ControlResult<Rehearsed> {
    database.execute("savepoint rehearsal", values![])?;
    let written = write(database, vendor, decisions, "rehearsal", now)?;
    database.execute("rollback to savepoint rehearsal", values![])?;
    Ok(written)
}

fn write(
    database: &dyn Database,
    vendor: VendorId,
    decisions: Vec<DecisionInput>,
    actor: &str,
    now: Timestamp,
) -> ControlResult<Rehearsed> {
    check_count(decisions.len())?;
    let count = decisions.len() as u64;
    let first_seq = take_sequence(database, vendor, count)?;
    let mut written = Vec::with_capacity(decisions.len());
    for (index, input) in decisions.into_iter().enumerate() {
        let seq = first_seq + index as u64;
        let deciding = Deciding { database, vendor, actor, now, seq };
        let decision = deciding.resolve(input).map_err(|error| at_index(index, error))?;
        enqueue(database, vendor, seq, &decision, now)?;
        audit(database, vendor, actor, decision.kind(), &json(&decision)?, now)?;
        written.push(decision);
    }
    Ok(Rehearsed { first_seq, decisions: written })
}

/// Takes the vendor's next `count` sequence numbers and returns the first. The vendor's row
/// is locked by it until the transaction ends, so that numbers have no gaps.
pub(super) fn take_sequence(database: &dyn Database, vendor: VendorId, count: u64) -> ControlResult<u64> {
    let first = database.query_optional(
        "update vendors set next_seq = next_seq + ?2 where id = ?1 returning next_seq - ?2",
        values![vendor.0, count],
    )?;
    Ok(first.ok_or_else(|| ControlError::NotFound(format!("vendor {vendor}")))?.get(0)?)
}

/// Puts a decision on its way into the log.
pub(super) fn enqueue(
    database: &dyn Database,
    vendor: VendorId,
    seq: u64,
    decision: &Decision,
    now: Timestamp,
) -> ControlResult<()> {
    database.execute(
        "insert into decision_outbox (vendor, seq, at, body) values (?1, ?2, ?3, ?4)",
        values![vendor.0, seq, now.0, json(decision)?],
    )?;
    Ok(())
}

/// Notes who did what.
pub(super) fn audit(
    database: &dyn Database,
    vendor: VendorId,
    actor: &str,
    action: &str,
    detail: &str,
    now: Timestamp,
) -> ControlResult<()> {
    database.execute(
        "insert into audit_log (vendor, actor, action, detail, at) values (?1, ?2, ?3, ?4, ?5)",
        values![vendor.0, actor, action, detail, now.0],
    )?;
    Ok(())
}

/// Outbox rows in order.
pub(super) fn pending(database: &dyn Database, limit: usize) -> ControlResult<Vec<OutboxDecision>> {
    let rows = database.query(
        "select id, vendor, seq, at, body from decision_outbox order by id limit ?1",
        values![limit.min(MAX_PENDING) as i64],
    )?;
    let from_row = |row: Row| {
        Ok(OutboxDecision {
            id: row.get(0)?,
            vendor: VendorId(row.get(1)?),
            seq: row.get(2)?,
            at: Timestamp(row.get(3)?),
            decision: read_json(&row.get::<String>(4)?)?,
        })
    };
    rows.into_iter().map(from_row).collect()
}

/// How many outbox rows a vendor has.
pub(super) fn pending_count(database: &dyn Database, vendor: VendorId) -> ControlResult<u64> {
    Ok(database.query_one("select count(*) from decision_outbox where vendor = ?1", values![vendor.0])?.get(0)?)
}

/// Removes outbox rows that are in the log. Removing one that is gone is no error: the relay
/// may say it twice.
pub(super) fn mark_sent(database: &dyn Database, ids: &[u64]) -> ControlResult<()> {
    for ids in ids.chunks(MAX_MARKED) {
        let Some(last) = ids.last() else { continue };
        // Filled up with the last one, so that a few statements serve every length.
        let size = ids.len().next_power_of_two();
        let values: Vec<Value<'_>> =
            ids.iter().chain(std::iter::repeat(last)).take(size).map(|id| Value::from(*id)).collect();
        let sql = format!("delete from decision_outbox where id in ({})", placeholders(size));
        database.execute(&sql, &values)?;
    }
    Ok(())
}

/// Makes the next number of a vendor larger than one that the log has.
pub(super) fn raise_sequence(database: &dyn Database, vendor: VendorId, seq: u64) -> ControlResult<()> {
    database
        .execute("update vendors set next_seq = ?2 + 1 where id = ?1 and next_seq <= ?2", values![vendor.0, seq])?;
    Ok(())
}
