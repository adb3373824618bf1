//! Deliveries that the edge refused, for pages in other processes and after a restart.

use super::ControlResult;
use super::database::{Database, values};
use domain::ids::{Timestamp, VendorId};
use std::time::Duration;

/// Bytes of one list at most.
pub(super) const MAX_LIST_BYTES: usize = 256 * 1024;
/// A list that was not written for this long is forgotten.
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Lists of one endpoint that are read at most, the newest first.
const READ: i64 = 20;

/// Puts a process's list of an endpoint in the place of the one before, and forgets old ones of the vendor.
pub(super) fn put(
    database: &dyn Database,
    vendor: VendorId,
    (endpoint, writer): (&str, &str),
    list: &str,
    now: Timestamp,
) -> ControlResult<()> {
    let too_old = now.0 - KEPT.as_millis() as i64;
    database.execute("delete from failed_deliveries where vendor = ?1 and at < ?2", values![vendor.0, too_old])?;
    database.execute(
        "insert into failed_deliveries (endpoint, writer, vendor, list, at) values (?1, ?2, ?3, ?4, ?5)
         on conflict (endpoint, writer) do update set list = excluded.list, at = excluded.at",
        values![endpoint, writer, vendor.0, list, now.0],
    )?;
    Ok(())
}

/// The lists of an endpoint of the vendor, the newest first: who wrote it, and the list.
pub(super) fn lists(database: &dyn Database, vendor: VendorId, endpoint: &str) -> ControlResult<Vec<(String, String)>> {
    let rows = database.query(
        "select writer, list from failed_deliveries where vendor = ?1 and endpoint = ?2 order by at desc, writer limit ?3",
        values![vendor.0, endpoint, READ],
    )?;
    rows.into_iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}
