//! The rows of the spike detector in SQLite.

use super::prepare::{json, parse};
use super::spikes::{ALERTS_APART_MS, MOST_ALERTS, SpikeChanges, SpikeCode, SpikeLook, SpikeRows};
use super::*;
use domain::spikes::Alert;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

const CODE: &str = "vendor, code, position, due_at, last_due_at, seen_day, body";

fn code_of(row: &Row<'_>) -> rusqlite::Result<SpikeCode> {
    Ok(SpikeCode {
        vendor: VendorId(row.get::<_, i64>(0)? as u64),
        code: CodeId(row.get::<_, i64>(1)? as u64),
        position: row.get::<_, i64>(2)? as u64,
        due_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        last_due_at: Timestamp(row.get(4)?),
        seen_day: row.get(5)?,
        body: row.get(6)?,
    })
}

/// Writes what a batch did to the detector.
pub(super) fn write(
    transaction: &Transaction<'_>,
    partition: u16,
    changes: &SpikeChanges,
) -> Result<(), FoldStoreError> {
    for vendor in &changes.forgotten {
        for table in ["spike_codes", "spike_vendors", "spike_alerts"] {
            transaction
                .prepare_cached(&format!("delete from {table} where vendor = ?1"))?
                .execute([vendor.0 as i64])?;
        }
    }
    let mut put = transaction.prepare_cached(
        "insert into spike_codes (vendor, code, part, position, due_at, last_due_at, seen_day, body)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         on conflict (vendor, code) do update set part = ?3, position = ?4, due_at = ?5, last_due_at = ?6, seen_day = ?7,
             body = ?8",
    )?;
    for one in &changes.codes {
        put.execute(params![
            one.vendor.0 as i64,
            one.code.0 as i64,
            partition,
            one.position as i64,
            one.due_at.map(|due| due.0),
            one.last_due_at.0,
            one.seen_day,
            one.body
        ])?;
    }
    let mut put = transaction.prepare_cached(
        "insert into spike_vendors (vendor, body) values (?1, ?2) on conflict (vendor) do update set body = ?2",
    )?;
    for (vendor, body) in &changes.vendors {
        put.execute(params![vendor.0 as i64, body])?;
    }
    for (vendor, alert) in &changes.alerts {
        raise(transaction, partition, *vendor, alert)?;
    }
    Ok(())
}

/// Returns whether the alert is new.
fn raise(connection: &Connection, partition: u16, vendor: VendorId, alert: &Alert) -> Result<bool, FoldStoreError> {
    let written = connection
        .prepare_cached(
            "insert into spike_alerts (vendor, id, part, code, crossed_at, told, body)
             select ?1, ?2, ?3, ?4, ?5, 0, ?6
             where not exists (select 1 from spike_alerts where vendor = ?1 and code = ?4 and crossed_at between ?5 - ?7 and ?5 + ?7)
             on conflict (vendor, id) do nothing",
        )?
        .execute(params![
            vendor.0 as i64,
            alert.id as i64,
            partition,
            alert.code.0 as i64,
            alert.first_crossing.0,
            json(alert),
            ALERTS_APART_MS
        ])?;
    Ok(written == 1)
}

fn owned_alert(row: (i64, Vec<u8>)) -> Result<(VendorId, Alert), FoldStoreError> {
    Ok((VendorId(row.0 as u64), parse("spike_alerts", &row.1)?))
}

impl SpikeRows for SqliteFoldStore {
    fn spike_vendors(&self, vendors: &[VendorId]) -> Result<Vec<Option<Vec<u8>>>, FoldStoreError> {
        if vendors.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut statement = snapshot.prepare_cached("select body from spike_vendors where vendor = ?1")?;
            let mut found = Vec::with_capacity(vendors.len());
            for vendor in vendors {
                found.push(statement.query_row([vendor.0 as i64], |row| row.get(0)).optional()?);
            }
            Ok(found)
        })
    }

    fn spike_codes(&self, codes: &[(VendorId, CodeId)]) -> Result<Vec<Option<SpikeCode>>, FoldStoreError> {
        if codes.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut statement =
                snapshot.prepare_cached(&format!("select {CODE} from spike_codes where vendor = ?1 and code = ?2"))?;
            let mut found = Vec::with_capacity(codes.len());
            for (vendor, code) in codes {
                found.push(statement.query_row([vendor.0 as i64, code.0 as i64], code_of).optional()?);
            }
            Ok(found)
        })
    }

    fn spikes_due(&self, partition: u16, now: Timestamp, limit: usize) -> Result<Vec<SpikeCode>, FoldStoreError> {
        self.read(|connection| {
            let rows = connection
                .prepare_cached(&format!(
                    "select {CODE} from spike_codes where part = ?1 and due_at <= ?2 and due_at is not null order by due_at limit ?3"
                ))?
                .query_map(params![partition, now.0, limit as i64], code_of)?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    fn spikes_looked(&self, partition: u16, looks: &[SpikeLook]) -> Result<Vec<(VendorId, Alert)>, FoldStoreError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut raised = Vec::new();
        for look in looks {
            let changed = transaction
                .prepare_cached(
                    "update spike_codes set due_at = case when last_due_at > ?4 then last_due_at end
                     where vendor = ?1 and code = ?2 and position = ?3",
                )?
                .execute(params![look.vendor.0 as i64, look.code.0 as i64, look.position as i64, look.at.0])?;
            let Some(alert) = look.alert.as_ref().filter(|_| changed == 1) else { continue };
            if raise(&transaction, partition, look.vendor, alert)? {
                raised.push((look.vendor, alert.clone()));
            }
        }
        transaction.commit()?;
        Ok(raised)
    }

    fn alerts(&self, vendor: VendorId, limit: usize) -> Result<Vec<Alert>, FoldStoreError> {
        self.read(|connection| {
            let bodies: Vec<Vec<u8>> = connection
                .prepare_cached(
                    "select body from spike_alerts where vendor = ?1 order by crossed_at desc, id limit ?2",
                )?
                .query_map(params![vendor.0 as i64, limit.min(MOST_ALERTS) as i64], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            bodies.iter().map(|body| parse("spike_alerts", body)).collect()
        })
    }

    fn alert(&self, vendor: VendorId, id: u64) -> Result<Option<Alert>, FoldStoreError> {
        self.read(|connection| {
            let body: Option<Vec<u8>> = connection
                .prepare_cached("select body from spike_alerts where vendor = ?1 and id = ?2")?
                .query_row([vendor.0 as i64, id as i64], |row| row.get(0))
                .optional()?;
            body.map(|body| parse("spike_alerts", &body)).transpose()
        })
    }

    fn untold_alerts(
        &self,
        partitions: &BTreeSet<u16>,
        limit: usize,
    ) -> Result<Vec<(VendorId, Alert)>, FoldStoreError> {
        self.read(|connection| {
            let parts = serde_json::to_string(partitions).expect("a list of numbers");
            let rows: Vec<(i64, Vec<u8>)> = connection
                .prepare_cached(
                    "select vendor, body from spike_alerts where told = 0 and part in (select value from json_each(?1))
                     order by crossed_at desc, id limit ?2",
                )?
                .query_map(params![parts, limit.min(MOST_ALERTS) as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            rows.into_iter().map(owned_alert).collect()
        })
    }

    fn alerts_told(&self, told: &[(VendorId, u64)]) -> Result<(), FoldStoreError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (vendor, id) in told {
            transaction
                .prepare_cached("update spike_alerts set told = 1 where vendor = ?1 and id = ?2")?
                .execute([vendor.0 as i64, *id as i64])?;
        }
        transaction.commit()?;
        Ok(())
    }
}
