//! The end of a connection.

use super::connections::{announce, set_connection};
use super::database::{Database, values};
use super::decide::audit;
use super::{ControlResult, vendors};
use domain::ids::{ConnectionId, Timestamp, VendorId};

/// What belongs to a connection and opens something, what refers before what is referred to. A connection that is opened
/// again begins with none of it.
const ENDED_WITH_A_CONNECTION: [&str; 6] = [
    "delete from failed_deliveries where endpoint in (select id from endpoints where connection = ?1)",
    "delete from endpoint_secrets where endpoint in (select id from endpoints where connection = ?1)",
    "delete from stripe_reads where connection = ?1",
    "delete from stripe_webhooks where connection = ?1",
    "delete from lookup_keys where connection = ?1",
    "delete from endpoints where connection = ?1",
];

/// Closes a connection: its secrets, its key and its addresses are erased. Closing it again changes nothing.
pub(super) fn close(
    database: &dyn Database,
    vendor: VendorId,
    connection: ConnectionId,
    actor: &str,
    now: Timestamp,
) -> ControlResult<()> {
    vendors::lock(database, vendor)?;
    let mut set = set_connection(database, vendor, connection)?;
    if set.closed_at.is_some() {
        return Ok(());
    }
    set.closed_at = Some(now);
    database.execute(
        "update connections set closed_at = ?3 where vendor = ?1 and id = ?2",
        values![vendor.0, connection.0, now.0],
    )?;
    for statement in ENDED_WITH_A_CONNECTION {
        database.execute(statement, values![connection.0])?;
    }
    announce(database, vendor, set, now)?;
    let detail = serde_json::json!({ "connection": connection }).to_string();
    audit(database, vendor, actor, "close_connection", &detail, now)
}
