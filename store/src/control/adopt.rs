//! Decisions that the log has and this store has not: it was restored from an older backup. They are written as they were
//! decided, with the numbers that they carry, because the log names these for ever.

use super::database::{Database, values};
use super::decide::{audit, raise_sequence};
use super::resolve::{Deciding, json};
use super::upkeep::erase;
use super::{ControlResult, LoggedDecision, VendorNumbers, vendors};
use domain::decision::{Decision, MapCode, SetAffiliate, SetConnection};
use domain::ids::{ConnectionId, VendorId};

/// Who did it, in the audit log.
const ACTOR: &str = "the log, after a restore";

/// Which numbers each vendor has given out.
pub(super) fn numbers(database: &dyn Database) -> ControlResult<Vec<VendorNumbers>> {
    let rows = database.query(
        "select v.id, v.slug, v.next_seq, min(o.seq) from vendors v left join decision_outbox o on o.vendor = v.id
         group by v.id, v.slug, v.next_seq order by v.id",
        &[],
    )?;
    let from_row = |row: super::database::Row| {
        Ok(VendorNumbers {
            vendor: VendorId(row.get(0)?),
            slug: row.get(1)?,
            next_seq: row.get(2)?,
            first_waiting: row.get(3)?,
        })
    };
    rows.into_iter().map(from_row).collect()
}

/// Writes what the vendor's log has from the next number on; what is below is known. Returns how many were written.
pub(super) fn adopt(database: &dyn Database, vendor: VendorId, decisions: &[LoggedDecision]) -> ControlResult<u64> {
    vendors::lock(database, vendor)?;
    let next: u64 = database.query_one("select next_seq from vendors where id = ?1", values![vendor.0])?.get(0)?;
    let mut adopted = 0;
    for one in decisions.iter().filter(|one| one.seq >= next) {
        let deciding = Deciding { database, vendor, actor: ACTOR, now: one.at, seq: one.seq };
        raise_sequence(database, vendor, one.seq)?;
        deciding.adopt(&one.decision)?;
        if !matches!(one.decision, Decision::DropVendor) {
            audit(database, vendor, ACTOR, one.decision.kind(), &json(&one.decision)?, one.at)?;
        }
        adopted += 1;
    }
    Ok(adopted)
}

/// Vendors and connections up to these numbers are in the log: new ones get higher numbers.
pub(super) fn raise_ids(database: &dyn Database, vendor: VendorId, connection: ConnectionId) -> ControlResult<()> {
    database.raise_ids("vendors", vendor.0)?;
    database.raise_ids("connections", connection.0)?;
    Ok(())
}

impl Deciding<'_> {
    fn adopt(&self, decision: &Decision) -> ControlResult<()> {
        match decision {
            Decision::SetAffiliate(set) => self.adopt_affiliate(set),
            Decision::MapCode(map) => self.adopt_mapping(map),
            Decision::SetRule(rule) => {
                self.database.execute(
                    "update vendors set next_rule_rev = ?2 + 1 where id = ?1 and next_rule_rev <= ?2",
                    values![self.vendor.0, rule.rev],
                )?;
                self.write_rule(rule)
            }
            Decision::SetPolicy(policy) => self.write_policy(policy),
            Decision::SetConnection(set) => self.adopt_connection(set),
            Decision::Review(review) => self.write_review(review),
            Decision::Campaign(campaign) => self.write_campaign(campaign),
            Decision::Adjust(adjust) => self.write_adjustment(adjust),
            Decision::DropVendor => erase(self.database, self.vendor),
            Decision::CloseStatement(_) | Decision::Retry(_) | Decision::Waive(_) => Ok(()),
        }
    }

    fn adopt_affiliate(&self, set: &SetAffiliate) -> ControlResult<()> {
        let sql = format!(
            "insert into affiliates (id, vendor, key, name, suspended_at, created_at){} values (?1, ?2, ?3, ?4, ?5, ?6)
             on conflict (vendor, key) do update set name = excluded.name, suspended_at = excluded.suspended_at",
            self.database.own_ids()
        );
        let suspended_at = set.suspended_at.map(|at| at.0);
        self.database
            .execute(&sql, values![set.affiliate.0, self.vendor.0, &set.key, &set.name, suspended_at, self.now.0])?;
        self.database.raise_ids("affiliates", set.affiliate.0)?;
        Ok(())
    }

    fn adopt_mapping(&self, map: &MapCode) -> ControlResult<()> {
        if map.code_id.0 > 0 {
            let names = super::rows::names_of(map);
            let shown = map.code.as_ref().or(names.first().map(|(_, name)| name)).cloned().unwrap_or_default();
            let sql = format!(
                "insert into codes (id, vendor, text, created_at){} values (?1, ?2, ?3, ?4) on conflict (id) do nothing",
                self.database.own_ids()
            );
            self.database.execute(&sql, values![map.code_id.0, self.vendor.0, shown, self.now.0])?;
            self.database.raise_ids("codes", map.code_id.0)?;
            self.write_names(map, map.code_id)?;
        }
        self.write_mapping(map)
    }

    /// A connection without an endpoint: connecting the same account again joins it and makes one.
    fn adopt_connection(&self, set: &SetConnection) -> ControlResult<()> {
        let (from, closed) = (set.history_from.map(|at| at.0), set.closed_at.map(|at| at.0));
        let sql = format!(
            "insert into connections (id, vendor, provider, account, history_from, created_at, closed_at){}
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             on conflict (id) do update set history_from = excluded.history_from, closed_at = excluded.closed_at",
            self.database.own_ids()
        );
        self.database.execute(
            &sql,
            values![
                set.connection.0,
                self.vendor.0,
                set.provider.name(),
                set.account.clone().unwrap_or_default(),
                from,
                self.now.0,
                closed
            ],
        )?;
        self.database.raise_ids("connections", set.connection.0)?;
        Ok(())
    }
}
