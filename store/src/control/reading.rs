//! Names and settings for pages and the API. The vendor comes first in every condition.

use super::*;
use domain::ids::{AffiliateId, CodeId};
use rusqlite::{Connection, OptionalExtension, Row};

/// One page of any list here.
const MAX_ROWS: usize = 1_000;

/// Refuses a scope that sees one affiliate only.
pub(super) fn vendor_wide(scope: &TenantScope) -> ControlResult<VendorId> {
    match scope.affiliate() {
        None => Ok(scope.vendor()),
        Some(_) => Err(ControlError::NotFound("setting of the vendor that an affiliate may see".to_owned())),
    }
}

/// The policy in force.
pub(super) fn policy_in_force(connection: &Connection, vendor: VendorId) -> ControlResult<SetPolicy> {
    let set = connection
        .prepare_cached("select hold_days, time_zone from policies where vendor = ?1")?
        .query_row([vendor.0], |row| Ok(SetPolicy { hold_days: row.get(0)?, time_zone: row.get(1)? }))
        .optional()?;
    match set {
        Some(policy) => Ok(policy),
        None => Ok(SetPolicy { time_zone: vendors::by_id(connection, vendor)?.time_zone, ..SetPolicy::default() }),
    }
}

/// Affiliates by key; in an affiliate's scope only that one.
pub(super) fn affiliates(connection: &Connection, scope: &TenantScope) -> ControlResult<Vec<AffiliateInfo>> {
    let from_row = |row: &Row<'_>| {
        Ok(AffiliateInfo {
            id: AffiliateId(row.get(0)?),
            key: row.get(1)?,
            name: row.get(2)?,
            suspended: row.get::<_, Option<i64>>(3)?.is_some(),
        })
    };
    let mut statement = connection.prepare_cached(
        "select id, key, name, suspended_at from affiliates where vendor = ?1 and (?2 is null or id = ?2) order by key",
    )?;
    let rows = statement.query_map((scope.vendor().0, only_affiliate(scope)), from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Codes by text; in an affiliate's scope only its own.
pub(super) fn codes(connection: &Connection, scope: &TenantScope) -> ControlResult<Vec<CodeInfo>> {
    let from_row = |row: &Row<'_>| {
        Ok(CodeInfo {
            id: CodeId(row.get(0)?),
            text: row.get(1)?,
            affiliate: row.get::<_, Option<u64>>(2)?.map(AffiliateId),
        })
    };
    let mut statement = connection.prepare_cached(
        "select id, text, owner from (
           select codes.id, codes.text,
             (select mappings.affiliate from mappings
              where mappings.vendor = codes.vendor and mappings.code = codes.id order by mappings.seq desc limit 1) as owner
           from codes where codes.vendor = ?1)
         where ?2 is null or owner = ?2 order by text, id",
    )?;
    let rows = statement.query_map((scope.vendor().0, only_affiliate(scope)), from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn only_affiliate(scope: &TenantScope) -> Option<u64> {
    scope.affiliate().map(|id| id.0)
}

/// Mappings in the order they were decided.
pub(super) fn mappings(connection: &Connection, vendor: VendorId) -> ControlResult<Vec<MapCode>> {
    let mut statement = connection.prepare_cached("select body from mappings where vendor = ?1 order by seq")?;
    let rows = statement.query_map([vendor.0], |row| row.get::<_, String>(0))?;
    rows.map(|body| read_json(&body?)).collect()
}

/// Rules by revision.
pub(super) fn rules(connection: &Connection, vendor: VendorId) -> ControlResult<Vec<RuleInfo>> {
    let mut statement =
        connection.prepare_cached("select body, actor, decided_at from rules where vendor = ?1 order by rev")?;
    let mut rows = statement.query([vendor.0])?;
    let mut rules = Vec::new();
    while let Some(row) = rows.next()? {
        rules.push(RuleInfo {
            rule: read_json(&row.get::<_, String>(0)?)?,
            actor: row.get(1)?,
            decided_at: Timestamp(row.get(2)?),
        });
    }
    Ok(rules)
}

/// Reviews of one mode, the newest first.
pub(super) fn reviews(
    connection: &Connection,
    vendor: VendorId,
    mode: Mode,
    limit: usize,
) -> ControlResult<Vec<ReviewInfo>> {
    let mut statement = connection.prepare_cached(
        "select seq, body, actor, decided_at from reviews where vendor = ?1 and mode = ?2 order by seq desc limit ?3",
    )?;
    let mut rows = statement.query((vendor.0, mode.name(), limit.min(MAX_ROWS) as i64))?;
    let mut reviews = Vec::new();
    while let Some(row) = rows.next()? {
        reviews.push(ReviewInfo {
            seq: row.get(0)?,
            review: read_json(&row.get::<_, String>(1)?)?,
            actor: row.get(2)?,
            decided_at: Timestamp(row.get(3)?),
        });
    }
    Ok(reviews)
}

/// Campaigns, the newest first.
pub(super) fn campaigns(connection: &Connection, vendor: VendorId, limit: usize) -> ControlResult<Vec<CampaignInfo>> {
    let mut statement = connection
        .prepare_cached("select body, actor, decided_at from campaigns where vendor = ?1 order by seq desc limit ?2")?;
    let mut rows = statement.query((vendor.0, limit.min(MAX_ROWS) as i64))?;
    let mut campaigns = Vec::new();
    while let Some(row) = rows.next()? {
        campaigns.push(CampaignInfo {
            campaign: read_json(&row.get::<_, String>(0)?)?,
            actor: row.get(1)?,
            decided_at: Timestamp(row.get(2)?),
        });
    }
    Ok(campaigns)
}

/// Who did what, the newest first.
pub(super) fn audit_log(
    connection: &Connection,
    vendor: VendorId,
    before: Option<u64>,
    limit: usize,
) -> ControlResult<Vec<AuditRow>> {
    let before = before.and_then(|id| i64::try_from(id).ok()).unwrap_or(i64::MAX);
    let from_row = |row: &Row<'_>| {
        Ok(AuditRow {
            id: row.get(0)?,
            actor: row.get(1)?,
            action: row.get(2)?,
            detail: row.get(3)?,
            at: Timestamp(row.get(4)?),
        })
    };
    let mut statement = connection.prepare_cached(
        "select id, actor, action, detail, at from audit_log where vendor = ?1 and id < ?2 order by id desc limit ?3",
    )?;
    let rows = statement.query_map((vendor.0, before, limit.min(MAX_ROWS) as i64), from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read_json<T: serde::de::DeserializeOwned>(body: &str) -> ControlResult<T> {
    serde_json::from_str(body).map_err(|error| ControlError::Failed(error.into()))
}
