//! Names and settings for pages and the API. The vendor comes first in every condition.

use super::database::{Database, DatabaseResult, Row, values};
use super::resolve::read_json;
use super::*;
use domain::ids::{AffiliateId, CodeId};

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
pub(super) fn policy_in_force(database: &dyn Database, vendor: VendorId) -> ControlResult<SetPolicy> {
    let set =
        database.query_optional("select hold_days, time_zone from policies where vendor = ?1", values![vendor.0])?;
    match set {
        Some(row) => Ok(SetPolicy { hold_days: row.get(0)?, time_zone: row.get(1)? }),
        None => Ok(SetPolicy { time_zone: vendors::by_id(database, vendor)?.time_zone, ..SetPolicy::default() }),
    }
}

/// Affiliates by key; in an affiliate's scope only that one.
pub(super) fn affiliates(database: &dyn Database, scope: &TenantScope) -> ControlResult<Vec<AffiliateInfo>> {
    let from_row = |row: Row| {
        Ok(AffiliateInfo {
            id: AffiliateId(row.get(0)?),
            key: row.get(1)?,
            name: row.get(2)?,
            suspended: row.get::<Option<i64>>(3)?.is_some(),
            email: row.get(4)?,
        })
    };
    let rows = database.query(
        "select id, key, name, suspended_at, email from affiliates
         where vendor = ?1 and (id = ?2 or ?2 is null) order by key",
        values![scope.vendor().0, only_affiliate(scope)],
    )?;
    Ok(rows.into_iter().map(from_row).collect::<DatabaseResult<_>>()?)
}

/// Codes by text; in an affiliate's scope only those that are or once were its own.
pub(super) fn codes(database: &dyn Database, scope: &TenantScope) -> ControlResult<Vec<CodeInfo>> {
    let from_row = |row: Row| {
        Ok(CodeInfo {
            id: CodeId(row.get(0)?),
            text: row.get(1)?,
            affiliate: row.get::<Option<u64>>(2)?.map(AffiliateId),
        })
    };
    let rows = database.query(
        "select id, text, owner from (
           select codes.id, codes.text,
             (select mappings.affiliate from mappings
              where mappings.vendor = codes.vendor and mappings.code = codes.id order by mappings.seq desc limit 1) as owner
           from codes where codes.vendor = ?1) as owned
         where exists (select 1 from mappings where mappings.vendor = ?1 and mappings.code = owned.id
           and mappings.affiliate = ?2) or ?2 is null order by text, id",
        values![scope.vendor().0, only_affiliate(scope)],
    )?;
    Ok(rows.into_iter().map(from_row).collect::<DatabaseResult<_>>()?)
}

fn only_affiliate(scope: &TenantScope) -> Option<u64> {
    scope.affiliate().map(|id| id.0)
}

/// Mappings in the order they were decided.
pub(super) fn mappings(database: &dyn Database, vendor: VendorId) -> ControlResult<Vec<MapCode>> {
    let rows = database.query("select body from mappings where vendor = ?1 order by seq", values![vendor.0])?;
    rows.into_iter().map(|row| read_json(&row.get::<String>(0)?)).collect()
}

/// Rules by revision.
pub(super) fn rules(database: &dyn Database, vendor: VendorId) -> ControlResult<Vec<RuleInfo>> {
    let rows = database
        .query("select body, actor, decided_at from rules where vendor = ?1 order by rev", values![vendor.0])?;
    let from_row = |row: Row| {
        Ok(RuleInfo {
            rule: read_json(&row.get::<String>(0)?)?,
            actor: row.get(1)?,
            decided_at: Timestamp(row.get(2)?),
        })
    };
    rows.into_iter().map(from_row).collect()
}

/// Reviews of one mode, the newest first.
pub(super) fn reviews(
    database: &dyn Database,
    vendor: VendorId,
    mode: Mode,
    limit: usize,
) -> ControlResult<Vec<ReviewInfo>> {
    let rows = database.query(
        "select seq, body, actor, decided_at from reviews where vendor = ?1 and mode = ?2 order by seq desc limit ?3",
        values![vendor.0, mode.name(), limit.min(MAX_ROWS) as i64],
    )?;
    let from_row = |row: Row| {
        Ok(ReviewInfo {
            seq: row.get(0)?,
            review: read_json(&row.get::<String>(1)?)?,
            actor: row.get(2)?,
            decided_at: Timestamp(row.get(3)?),
        })
    };
    rows.into_iter().map(from_row).collect()
}

/// Campaigns, the newest first.
pub(super) fn campaigns(database: &dyn Database, vendor: VendorId, limit: usize) -> ControlResult<Vec<CampaignInfo>> {
    let rows = database.query(
        "select body, actor, decided_at from campaigns where vendor = ?1 order by seq desc limit ?2",
        values![vendor.0, limit.min(MAX_ROWS) as i64],
    )?;
    let from_row = |row: Row| {
        Ok(CampaignInfo {
            campaign: read_json(&row.get::<String>(0)?)?,
            actor: row.get(1)?,
            decided_at: Timestamp(row.get(2)?),
        })
    };
    rows.into_iter().map(from_row).collect()
}

/// Who did what, the newest first.
pub(super) fn audit_log(
    database: &dyn Database,
    vendor: VendorId,
    before: Option<u64>,
    limit: usize,
) -> ControlResult<Vec<AuditRow>> {
    let before = before.and_then(|id| i64::try_from(id).ok()).unwrap_or(i64::MAX);
    let from_row = |row: Row| {
        Ok(AuditRow {
            id: row.get(0)?,
            actor: row.get(1)?,
            action: row.get(2)?,
            detail: row.get(3)?,
            at: Timestamp(row.get(4)?),
        })
    };
    let rows = database.query(
        "select id, actor, action, detail, at from audit_log where vendor = ?1 and id < ?2 order by id desc limit ?3",
        values![vendor.0, before, limit.min(MAX_ROWS) as i64],
    )?;
    Ok(rows.into_iter().map(from_row).collect::<DatabaseResult<_>>()?)
}
