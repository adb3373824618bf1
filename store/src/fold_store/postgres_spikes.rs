//! The rows of the spike detector in Postgres: one statement for any number of codes.

use super::postgres_store::read;
use super::prepare::{json, parse};
use super::spikes::{ALERTS_APART_MS, MOST_ALERTS, SpikeChanges, SpikeCode, SpikeLook, SpikeRows};
use super::*;
use crate::postgres::{PostgresConnection, PostgresError};
use ::postgres::Row;
use domain::spikes::Alert;
use std::collections::{BTreeMap, HashMap};

const CODE: &str = "c.vendor, c.code, c.position, c.due_at, c.last_due_at, c.seen_day, c.body";

fn code_of(row: &Row) -> Result<SpikeCode, FoldStoreError> {
    Ok(SpikeCode {
        vendor: VendorId(read::<i64>(row, 0)? as u64),
        code: CodeId(read::<i64>(row, 1)? as u64),
        position: read::<i64>(row, 2)? as u64,
        due_at: read::<Option<i64>>(row, 3)?.map(Timestamp),
        last_due_at: Timestamp(read(row, 4)?),
        seen_day: read(row, 5)?,
        body: read(row, 6)?,
    })
}

/// Writes what a batch did to the detector.
pub(super) fn write(
    connection: &mut PostgresConnection,
    partition: u16,
    changes: &SpikeChanges,
) -> Result<(), FoldStoreError> {
    if !changes.forgotten.is_empty() {
        let vendors: Vec<i64> = changes.forgotten.iter().map(|vendor| vendor.0 as i64).collect();
        for table in ["spike_codes", "spike_vendors", "spike_alerts"] {
            connection.execute(&format!("delete from {table} where vendor = any($1)"), &[&vendors])?;
        }
    }
    write_codes(connection, partition, &changes.codes)?;
    if !changes.vendors.is_empty() {
        let last: BTreeMap<i64, &[u8]> =
            changes.vendors.iter().map(|(vendor, body)| (vendor.0 as i64, body.as_slice())).collect();
        let (vendors, bodies): (Vec<i64>, Vec<&[u8]>) = last.into_iter().unzip();
        connection.execute(
            "insert into spike_vendors (vendor, body) select * from unnest($1::bigint[], $2::bytea[])
             on conflict (vendor) do update set body = excluded.body",
            &[&vendors, &bodies],
        )?;
    }
    raise(connection, partition, &changes.alerts)?;
    Ok(())
}

fn write_codes(connection: &mut PostgresConnection, partition: u16, codes: &[SpikeCode]) -> Result<(), FoldStoreError> {
    if codes.is_empty() {
        return Ok(());
    }
    let last: BTreeMap<(VendorId, CodeId), &SpikeCode> =
        codes.iter().map(|one| ((one.vendor, one.code), one)).collect();
    let numbers = |pick: fn(&SpikeCode) -> i64| -> Vec<i64> { last.values().map(|one| pick(one)).collect() };
    let due: Vec<Option<i64>> = last.values().map(|one| one.due_at.map(|due| due.0)).collect();
    let bodies: Vec<&[u8]> = last.values().map(|one| one.body.as_slice()).collect();
    connection.execute(
        "insert into spike_codes (part, vendor, code, position, due_at, last_due_at, seen_day, body)
         select $1, * from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[])
         on conflict (vendor, code) do update set part = excluded.part, position = excluded.position,
             due_at = excluded.due_at, last_due_at = excluded.last_due_at, seen_day = excluded.seen_day, body = excluded.body",
        &[
            &i64::from(partition),
            &numbers(|one| one.vendor.0 as i64),
            &numbers(|one| one.code.0 as i64),
            &numbers(|one| one.position as i64),
            &due,
            &numbers(|one| one.last_due_at.0),
            &numbers(|one| one.seen_day),
            &bodies,
        ],
    )?;
    Ok(())
}

/// Returns those that are new.
fn raise(
    connection: &mut PostgresConnection,
    partition: u16,
    alerts: &[(VendorId, Alert)],
) -> Result<Vec<(VendorId, Alert)>, FoldStoreError> {
    let mut raised = Vec::new();
    // Alerts are rare, and each must see the one before it.
    for (vendor, alert) in alerts {
        let written = connection.execute(
            "insert into spike_alerts (vendor, id, part, code, crossed_at, told, body)
             select $1, $2, $3, $4, $5, 0, $6
             where not exists (select 1 from spike_alerts
                               where vendor = $1 and code = $4 and crossed_at between $5::bigint - $7 and $5::bigint + $7)
             on conflict (vendor, id) do nothing",
            &[
                &(vendor.0 as i64),
                &(alert.id as i64),
                &i64::from(partition),
                &(alert.code.0 as i64),
                &alert.first_crossing.0,
                &json(alert),
                &ALERTS_APART_MS,
            ],
        )?;
        if written == 1 {
            raised.push((*vendor, alert.clone()));
        }
    }
    Ok(raised)
}

/// The looks at codes that nobody redeemed since. Rows that a commit is writing are passed over: it makes the look void.
fn note_looks(
    connection: &mut PostgresConnection,
    looks: &[SpikeLook],
) -> Result<Vec<(VendorId, CodeId)>, FoldStoreError> {
    let numbers = |pick: fn(&SpikeLook) -> i64| -> Vec<i64> { looks.iter().map(pick).collect() };
    let rows = connection.query(
        "with valid as (
             select c.vendor, c.code, l.at from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) as l (vendor, code, position, at)
             join spike_codes c on c.vendor = l.vendor and c.code = l.code and c.position = l.position
             for update of c skip locked)
         update spike_codes s set due_at = case when s.last_due_at > valid.at then s.last_due_at end
         from valid where s.vendor = valid.vendor and s.code = valid.code
         returning s.vendor, s.code",
        &[
            &numbers(|look| look.vendor.0 as i64),
            &numbers(|look| look.code.0 as i64),
            &numbers(|look| look.position as i64),
            &numbers(|look| look.at.0),
        ],
    )?;
    let pair = |row: &Row| -> Result<_, PostgresError> {
        Ok((VendorId(read::<i64>(row, 0)? as u64), CodeId(read::<i64>(row, 1)? as u64)))
    };
    Ok(rows.iter().map(pair).collect::<Result<_, _>>()?)
}

fn alert_of(row: &Row, column: usize) -> Result<Alert, FoldStoreError> {
    parse("spike_alerts", &read::<Vec<u8>>(row, column)?)
}

impl SpikeRows for PostgresFoldStore {
    fn spike_vendors(&self, vendors: &[VendorId]) -> Result<Vec<Option<Vec<u8>>>, FoldStoreError> {
        if vendors.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<i64> = vendors.iter().map(|vendor| vendor.0 as i64).collect();
        let found: HashMap<u64, Vec<u8>> = self.pool.run(|connection| {
            let rows = connection.query("select vendor, body from spike_vendors where vendor = any($1)", &[&asked])?;
            let pair = |row: &Row| Ok((read::<i64>(row, 0)? as u64, read(row, 1)?));
            rows.iter().map(pair).collect::<Result<_, PostgresError>>()
        })?;
        Ok(vendors.iter().map(|vendor| found.get(&vendor.0).cloned()).collect())
    }

    fn spike_codes(&self, codes: &[(VendorId, CodeId)]) -> Result<Vec<Option<SpikeCode>>, FoldStoreError> {
        if codes.is_empty() {
            return Ok(Vec::new());
        }
        let vendors: Vec<i64> = codes.iter().map(|(vendor, _)| vendor.0 as i64).collect();
        let numbers: Vec<i64> = codes.iter().map(|(_, code)| code.0 as i64).collect();
        let sql = format!(
            "select {CODE} from unnest($1::bigint[], $2::bigint[]) as asked (vendor, code)
             join spike_codes c on c.vendor = asked.vendor and c.code = asked.code"
        );
        let mut found: HashMap<(VendorId, CodeId), SpikeCode> = HashMap::new();
        self.pool.run(|connection| {
            for row in connection.query(&sql, &[&vendors, &numbers])? {
                let code = code_of(&row)?;
                found.insert((code.vendor, code.code), code);
            }
            Ok::<_, FoldStoreError>(())
        })?;
        Ok(codes.iter().map(|key| found.get(key).cloned()).collect())
    }

    fn spikes_due(&self, partition: u16, now: Timestamp, limit: usize) -> Result<Vec<SpikeCode>, FoldStoreError> {
        let sql = format!(
            "select {CODE} from spike_codes c where c.part = $1 and c.due_at <= $2 and c.due_at is not null
             order by c.due_at limit $3"
        );
        self.pool.run(|connection| {
            let rows = connection.query(&sql, &[&i64::from(partition), &now.0, &(limit as i64)])?;
            rows.iter().map(code_of).collect()
        })
    }

    fn spikes_looked(&self, partition: u16, looks: &[SpikeLook]) -> Result<Vec<(VendorId, Alert)>, FoldStoreError> {
        if looks.is_empty() {
            return Ok(Vec::new());
        }
        self.pool.transaction(|connection| {
            let valid: BTreeSet<(VendorId, CodeId)> = note_looks(connection, looks)?.into_iter().collect();
            let is_valid = |look: &&SpikeLook| valid.contains(&(look.vendor, look.code));
            let alerts: Vec<(VendorId, Alert)> =
                looks.iter().filter(is_valid).filter_map(|look| Some((look.vendor, look.alert.clone()?))).collect();
            raise(connection, partition, &alerts)
        })
    }

    fn alerts(&self, vendor: VendorId, limit: usize) -> Result<Vec<Alert>, FoldStoreError> {
        let sql = "select body from spike_alerts where vendor = $1 order by crossed_at desc, id limit $2";
        self.pool.vendor_snapshot(vendor, |connection| {
            let rows = connection.query(sql, &[&(vendor.0 as i64), &(limit.min(MOST_ALERTS) as i64)])?;
            rows.iter().map(|row| alert_of(row, 0)).collect()
        })
    }

    fn alert(&self, vendor: VendorId, id: u64) -> Result<Option<Alert>, FoldStoreError> {
        let sql = "select body from spike_alerts where vendor = $1 and id = $2";
        self.pool.vendor_snapshot(vendor, |connection| {
            let row = connection.query_optional(sql, &[&(vendor.0 as i64), &(id as i64)])?;
            row.map(|row| alert_of(&row, 0)).transpose()
        })
    }

    fn untold_alerts(
        &self,
        partitions: &BTreeSet<u16>,
        limit: usize,
    ) -> Result<Vec<(VendorId, Alert)>, FoldStoreError> {
        let parts: Vec<i64> = partitions.iter().map(|part| i64::from(*part)).collect();
        let sql = "select vendor, body from spike_alerts where told = 0 and part = any($1)
                   order by crossed_at desc, id limit $2";
        self.pool.run(|connection| {
            let rows = connection.query(sql, &[&parts, &(limit.min(MOST_ALERTS) as i64)])?;
            rows.iter().map(|row| Ok((VendorId(read::<i64>(row, 0)? as u64), alert_of(row, 1)?))).collect()
        })
    }

    fn alerts_told(&self, told: &[(VendorId, u64)]) -> Result<(), FoldStoreError> {
        let vendors: Vec<i64> = told.iter().map(|(vendor, _)| vendor.0 as i64).collect();
        let ids: Vec<i64> = told.iter().map(|(_, id)| *id as i64).collect();
        self.pool.run(|connection| {
            connection.execute(
                "update spike_alerts a set told = 1 from unnest($1::bigint[], $2::bigint[]) as t (vendor, id)
                 where a.vendor = t.vendor and a.id = t.id",
                &[&vendors, &ids],
            )?;
            Ok(())
        })
    }
}
