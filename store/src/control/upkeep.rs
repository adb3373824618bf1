//! A new master key, and forgetting a vendor.

use super::connections::{SEALED_TABLES, row_name};
use super::decide::{audit, enqueue, take_sequence};
use super::sqlite_store::Sealer;
use super::vendors::hash_key_row;
use super::{ControlResult, vendors};
use crate::secrets::Sealed;
use domain::decision::Decision;
use domain::ids::{Timestamp, VendorId};
use rusqlite::Transaction;

/// Encrypts every row that an older key closed with the newest one. All or none.
pub(super) fn rotate(
    transaction: &Transaction<'_>,
    sealer: &Sealer,
    actor: &str,
    now: Timestamp,
) -> ControlResult<u64> {
    let newest = sealer.newest_key_id().to_owned();
    let mut written = 0;
    for table in SEALED_TABLES {
        for (id, old) in closed_by_others(
            transaction,
            &format!("select id, key_id, sealed from {table} where key_id <> ?1"),
            &newest,
        )? {
            let row = row_name(table, id);
            let new = sealer.seal(&row, &sealer.open(&row, &old)?)?;
            transaction.execute(
                &format!("update {table} set key_id = ?2, sealed = ?3 where id = ?1"),
                (id, new.key_id, new.bytes),
            )?;
            written += 1;
        }
    }
    let sql = "select id, hash_key_id, hash_key_sealed from vendors where hash_key_id <> ?1";
    for (id, old) in closed_by_others(transaction, sql, &newest)? {
        let row = hash_key_row(VendorId(id));
        let new = sealer.seal(&row, &sealer.open(&row, &old)?)?;
        transaction.execute(
            "update vendors set hash_key_id = ?2, hash_key_sealed = ?3 where id = ?1",
            (id, new.key_id, new.bytes),
        )?;
        written += 1;
    }
    let detail = serde_json::json!({ "master_key": newest, "rows": written }).to_string();
    audit(transaction, VendorId(0), actor, "rotate_master_key", &detail, now)?;
    Ok(written)
}

fn closed_by_others(transaction: &Transaction<'_>, sql: &str, newest: &str) -> ControlResult<Vec<(u64, Sealed)>> {
    let mut statement = transaction.prepare(sql)?;
    let rows = statement.query_map([newest], |row| {
        let sealed = Sealed { key_id: row.get(1)?, bytes: row.get(2)? };
        Ok((row.get(0)?, sealed))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Every table with a vendor's rows, what refers before what is referred to.
const VENDOR_TABLES: [&str; 14] = [
    "api_keys",
    "adjustments",
    "campaigns",
    "reviews",
    "policies",
    "rules",
    "mappings",
    "code_names",
    "codes",
    "affiliates",
    "lookup_keys",
    "endpoint_secrets",
    "endpoints",
    "connections",
];

/// Deletes a vendor's rows, its hash key with them. The outbox keeps what the log does not
/// have yet, so that the vendor's count has no gap, and gets `drop_vendor` as the last row.
pub(super) fn forget(
    transaction: &Transaction<'_>,
    vendor: VendorId,
    actor: &str,
    now: Timestamp,
) -> ControlResult<()> {
    vendors::by_id(transaction, vendor)?;
    let seq = take_sequence(transaction, vendor, 1)?;
    enqueue(transaction, vendor, seq, &Decision::DropVendor, now)?;
    for table in VENDOR_TABLES {
        transaction.execute(&format!("delete from {table} where vendor = ?1"), [vendor.0])?;
    }
    transaction.execute("delete from audit_log where vendor = ?1", [vendor.0])?;
    transaction.execute("delete from vendors where id = ?1", [vendor.0])?;
    let detail = serde_json::json!({ "vendor": vendor }).to_string();
    audit(transaction, VendorId(0), actor, "forget_vendor", &detail, now)
}
