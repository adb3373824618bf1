//! The row of each decision, as pages read it. Written when a person decides, and when a decision is taken from the log.

use super::ControlResult;
use super::database::values;
use super::resolve::{Deciding, json};
use domain::decision::*;
use domain::decisions::fold_code;
use domain::ids::CodeId;

/// The names that a mapping gives its code: kind and name. A coupon names a code only alone, because many codes share one.
pub(super) fn names_of(map: &MapCode) -> Vec<(&'static str, String)> {
    let mut names = Vec::new();
    names.extend(map.code.as_deref().map(|text| ("code", fold_code(text))));
    names.extend(map.promotion_code_id.clone().map(|id| ("promotion_code", id)));
    if names.is_empty() {
        names.extend(map.coupon_id.clone().map(|id| ("coupon", id)));
    }
    names
}

/// A scope as the column `scope` has it.
pub(super) fn scope_name(scope: RuleScope) -> String {
    match scope {
        RuleScope::Vendor => "vendor".to_owned(),
        RuleScope::Affiliate(id) => format!("affiliate:{id}"),
        RuleScope::Code(id) => format!("code:{id}"),
    }
}

impl Deciding<'_> {
    /// The code is known by the names of the mapping from now on, and shown as people wrote it.
    pub(super) fn write_names(&self, map: &MapCode, code: CodeId) -> ControlResult<()> {
        if let Some(text) = &map.code {
            self.database.execute(
                "update codes set text = ?3 where vendor = ?1 and id = ?2",
                values![self.vendor.0, code.0, text],
            )?;
        }
        for (kind, name) in names_of(map) {
            self.database.execute(
                "insert into code_names (vendor, kind, name, code) values (?1, ?2, ?3, ?4)
                 on conflict (vendor, kind, name) do update set code = excluded.code",
                values![self.vendor.0, kind, name, code.0],
            )?;
        }
        Ok(())
    }

    pub(super) fn write_mapping(&self, map: &MapCode) -> ControlResult<()> {
        self.database.execute(
            "insert into mappings (vendor, seq, code, affiliate, body, decided_at) values (?1, ?2, ?3, ?4, ?5, ?6)",
            values![self.vendor.0, self.seq, map.code_id.0, map.affiliate.map(|id| id.0), json(map)?, self.now.0],
        )?;
        Ok(())
    }

    pub(super) fn write_rule(&self, rule: &SetRule) -> ControlResult<()> {
        self.database.execute(
            "insert into rules (vendor, rev, seq, scope, effective_from, body, actor, decided_at)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            values![
                self.vendor.0,
                rule.rev,
                self.seq,
                scope_name(rule.scope),
                rule.effective_from.0,
                json(rule)?,
                self.actor,
                self.now.0
            ],
        )?;
        Ok(())
    }

    pub(super) fn write_policy(&self, policy: &SetPolicy) -> ControlResult<()> {
        self.database.execute(
            "insert into policies (vendor, hold_days, time_zone) values (?1, ?2, ?3)
             on conflict (vendor) do update set hold_days = excluded.hold_days, time_zone = excluded.time_zone",
            values![self.vendor.0, policy.hold_days, &policy.time_zone],
        )?;
        self.database
            .execute("update vendors set time_zone = ?2 where id = ?1", values![self.vendor.0, &policy.time_zone])?;
        Ok(())
    }

    pub(super) fn write_review(&self, review: &Review) -> ControlResult<()> {
        self.database.execute(
            "insert into reviews (vendor, seq, connection, mode, purchase, body, actor, decided_at)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            values![
                self.vendor.0,
                self.seq,
                review.connection.0,
                review.mode.name(),
                &review.purchase,
                json(review)?,
                self.actor,
                self.now.0
            ],
        )?;
        Ok(())
    }

    pub(super) fn write_adjustment(&self, adjust: &Adjust) -> ControlResult<()> {
        self.database.execute(
            "insert into adjustments (vendor, seq, affiliate, body, actor, decided_at) values (?1, ?2, ?3, ?4, ?5, ?6)",
            values![self.vendor.0, self.seq, adjust.affiliate.0, json(adjust)?, self.actor, self.now.0],
        )?;
        Ok(())
    }

    pub(super) fn write_campaign(&self, campaign: &Campaign) -> ControlResult<()> {
        self.database.execute(
            "insert into campaigns (vendor, seq, starts_at, ends_at, body, actor, decided_at)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            values![self.vendor.0, self.seq, campaign.from.0, campaign.to.0, json(campaign)?, self.actor, self.now.0],
        )?;
        Ok(())
    }
}
