//! A new master key, and forgetting a vendor.

use super::connections::{SEALED_TABLES, row_name};
use super::database::{Database, values};
use super::decide::{audit, enqueue, take_sequence};
use super::sealer::Sealer;
use super::vendors::hash_key_row;
use super::{ControlResult, mails, vendors};
use crate::secrets::Sealed;
use domain::decision::Decision;
use domain::ids::{Timestamp, VendorId};

/// Encrypts every row that an older key closed with the newest one. All or none.
pub(super) fn rotate(database: &dyn Database, sealer: &Sealer, actor: &str, now: Timestamp) -> ControlResult<u64> {
    vendors::lock_all(database)?;
    let newest = sealer.newest_key_id().to_owned();
    let mut written = 0;
    for table in SEALED_TABLES {
        for (id, old) in
            closed_by_others(database, &format!("select id, key_id, sealed from {table} where key_id <> ?1"), &newest)?
        {
            let row = row_name(table, id);
            let new = sealer.seal(&row, &sealer.open(&row, &old)?)?;
            database.execute(
                &format!("update {table} set key_id = ?2, sealed = ?3 where id = ?1"),
                values![id, new.key_id, new.bytes],
            )?;
            written += 1;
        }
    }
    written += mails::rotate(database, sealer)?;
    let sql = "select id, hash_key_id, hash_key_sealed from vendors where hash_key_id <> ?1";
    for (id, old) in closed_by_others(database, sql, &newest)? {
        let row = hash_key_row(VendorId(id));
        let new = sealer.seal(&row, &sealer.open(&row, &old)?)?;
        database.execute(
            "update vendors set hash_key_id = ?2, hash_key_sealed = ?3 where id = ?1",
            values![id, new.key_id, new.bytes],
        )?;
        written += 1;
    }
    let detail = serde_json::json!({ "master_key": newest, "rows": written }).to_string();
    audit(database, VendorId(0), actor, "rotate_master_key", &detail, now)?;
    Ok(written)
}

fn closed_by_others(database: &dyn Database, sql: &str, newest: &str) -> ControlResult<Vec<(u64, Sealed)>> {
    let rows = database.query(sql, values![newest])?;
    rows.into_iter().map(|row| Ok((row.get(0)?, Sealed { key_id: row.get(1)?, bytes: row.get(2)? }))).collect()
}

/// Every table with a vendor's rows, what refers before what is referred to.
const VENDOR_TABLES: [&str; 29] = [
    "stripe_reads",
    "stripe_webhooks",
    "portal_acts",
    "payout_addresses",
    "portal_sessions",
    "portal_links",
    "alert_labels",
    "mail_choices",
    "unsubscribe_links",
    "portal_openings",
    "mailed_summaries",
    "broken_endpoints",
    "mails",
    "members",
    "failed_deliveries",
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
pub(super) fn forget(database: &dyn Database, vendor: VendorId, actor: &str, now: Timestamp) -> ControlResult<()> {
    let seq = take_sequence(database, vendor, 1)?;
    enqueue(database, vendor, seq, &Decision::DropVendor, now)?;
    erase(database, vendor)?;
    let detail = serde_json::json!({ "vendor": vendor }).to_string();
    audit(database, VendorId(0), actor, "forget_vendor", &detail, now)
}

/// Deletes a vendor's rows, its hash key with them.
pub(super) fn erase(database: &dyn Database, vendor: VendorId) -> ControlResult<()> {
    for table in VENDOR_TABLES {
        database.execute(&format!("delete from {table} where vendor = ?1"), values![vendor.0])?;
    }
    database.execute("delete from audit_log where vendor = ?1", values![vendor.0])?;
    database.execute("delete from vendors where id = ?1", values![vendor.0])?;
    Ok(())
}
