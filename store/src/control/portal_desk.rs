//! What an affiliate does at the portal beside looking: their own details, their sessions, and how much of it in a day.

use super::backend::{Backend, Reach, Tells};
use super::database::{Database, Row, values};
use super::decide::audit;
use super::reading::vendor_wide;
use super::store::ControlStoreOn;
use super::{ControlError, ControlResult, PortalSession, SessionInfo, vendors};
use crate::scope::TenantScope;
use async_trait::async_trait;
use domain::ids::{AffiliateId, Timestamp, VendorId};
use std::collections::HashMap;

/// Who took an affiliate's payout address back, in the audit log.
const MAIL_ADDRESS_CHANGED: &str = "another mail address";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Longest payout address, in characters: a bank account with the address of its holder.
pub const MAX_PAYOUT_ADDRESS_CHARACTERS: usize = 500;
/// What a browser says of itself is cut there.
const MAX_AGENT_CHARACTERS: usize = 200;

/// Something that an affiliate may do only so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortalAct {
    /// Asks whether a sale is credited to them.
    Question,
    /// Changes their own name.
    Name,
    /// Changes how they are paid.
    PayoutAddress,
}

impl PortalAct {
    /// As it is stored.
    fn name(self) -> &'static str {
        match self {
            PortalAct::Question => "question",
            PortalAct::Name => "name",
            PortalAct::PayoutAddress => "payout_address",
        }
    }

    /// How often in 24 hours: from one session, and from all sessions of the affiliate together, so that signing in
    /// again gives no new budget.
    pub fn limits(self) -> (i64, i64) {
        match self {
            PortalAct::Question => (20, 40),
            PortalAct::Name | PortalAct::PayoutAddress => (10, 10),
        }
    }
}

/// How an affiliate wants to be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutAddress {
    /// In their own words, on one or more lines.
    pub text: String,
    /// When it was written.
    pub decided_at: Timestamp,
    /// By whom, as in the audit log.
    pub actor: String,
}

/// An affiliate's own details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalDetails {
    /// Handle, as decisions name them.
    pub key: String,
    /// Name that the vendor and they see.
    pub name: String,
    /// Where mail goes.
    pub email: String,
    /// How they are paid, where they said it.
    pub payout_address: Option<PayoutAddress>,
    /// Where they are signed in, the last used first.
    pub sessions: Vec<SessionInfo>,
}

/// The affiliate's own part of the portal. Everything is the session's: no other affiliate can be named.
#[async_trait]
pub trait PortalDesk: Send + Sync {
    /// Notes what the session's browser said it is.
    async fn note_portal_agent(&self, session: &PortalSession, agent: &str) -> ControlResult<()>;
    /// Their own details.
    async fn portal_details(&self, session: &PortalSession, now: Timestamp) -> ControlResult<PortalDetails>;
    /// Counts an act, unless there were too many in the last 24 hours: then it says no and counts nothing.
    async fn may_act(&self, session: &PortalSession, act: PortalAct, now: Timestamp) -> ControlResult<bool>;
    /// How they want to be paid from now on; an empty text takes it back. The text itself is not in the audit log.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] naming `payout_address`: too long, with control characters, or changed too often.
    async fn set_payout_address(&self, session: &PortalSession, text: &str, now: Timestamp) -> ControlResult<()>;
    /// Ends one of their own sessions. One that is gone is no error.
    async fn end_portal_session(&self, session: &PortalSession, id: &str, now: Timestamp) -> ControlResult<()>;
    /// Ends all of their sessions but this one. Returns how many.
    async fn end_other_portal_sessions(&self, session: &PortalSession, now: Timestamp) -> ControlResult<u64>;
    /// How the scope's affiliates want to be paid. Who said nothing, or took it back, is not in it.
    async fn payout_addresses(&self, scope: &TenantScope) -> ControlResult<HashMap<AffiliateId, PayoutAddress>>;
}

/// Whose session it is, without its secret.
#[derive(Clone)]
struct Own {
    vendor: VendorId,
    affiliate: AffiliateId,
    session: Vec<u8>,
}

impl Own {
    fn of(session: &PortalSession) -> Own {
        let (vendor, affiliate) = session.numbers();
        Own { vendor, affiliate, session: session.shown.session.clone() }
    }

    /// Not the address: it can be erased, the audit log stays.
    fn actor(&self) -> String {
        format!("affiliate {}", self.affiliate)
    }
}

fn note_agent(database: &dyn Database, own: &Own, agent: &str) -> ControlResult<()> {
    let agent: String = agent.chars().filter(|sign| !sign.is_control()).take(MAX_AGENT_CHARACTERS).collect();
    database.execute("update portal_sessions set agent = ?2 where hash = ?1", values![own.session.clone(), agent])?;
    Ok(())
}

fn details(database: &dyn Database, own: &Own, now: Timestamp) -> ControlResult<PortalDetails> {
    let row = database.query_optional(
        "select key, name, email from affiliates where vendor = ?1 and id = ?2",
        values![own.vendor.0, own.affiliate.0],
    )?;
    let Some(row) = row else {
        return Err(ControlError::NotFound(own.actor()));
    };
    Ok(PortalDetails {
        key: row.get(0)?,
        name: row.get(1)?,
        email: row.get::<Option<String>>(2)?.unwrap_or_default(),
        payout_address: addresses(database, own.vendor, Some(own.affiliate))?.remove(&own.affiliate),
        sessions: sessions(database, own, now)?,
    })
}

fn sessions(database: &dyn Database, own: &Own, now: Timestamp) -> ControlResult<Vec<SessionInfo>> {
    let rows = database.query(
        "select hash, agent, created_at, last_used_at from portal_sessions
         where vendor = ?1 and affiliate = ?2 and expires_at > ?3 order by last_used_at desc, hash",
        values![own.vendor.0, own.affiliate.0, now.0],
    )?;
    let info = |row: Row| {
        let stored: Vec<u8> = row.get(0)?;
        Ok(SessionInfo {
            is_this: stored == own.session.clone(),
            id: hex::encode(stored),
            agent: row.get(1)?,
            created_at: Timestamp(row.get(2)?),
            last_used_at: Timestamp(row.get(3)?),
        })
    };
    rows.into_iter().map(info).collect()
}

fn act(database: &dyn Database, own: &Own, act: PortalAct, now: Timestamp) -> ControlResult<bool> {
    // Many at the same moment are counted one after the other.
    vendors::lock(database, own.vendor)?;
    let since = now.0 - DAY_MS;
    database.execute("delete from portal_acts where vendor = ?1 and at <= ?2", values![own.vendor.0, since])?;
    let row = database.query_one(
        "select coalesce(sum(case when session = ?4 then 1 else 0 end), 0), count(*) from portal_acts
         where vendor = ?1 and affiliate = ?2 and kind = ?3",
        values![own.vendor.0, own.affiliate.0, act.name(), own.session.clone()],
    )?;
    let (of_session, of_affiliate) = act.limits();
    if row.get::<i64>(0)? >= of_session || row.get::<i64>(1)? >= of_affiliate {
        return Ok(false);
    }
    // Of two in the same millisecond from the same session one is refused.
    let counted = database.execute(
        "insert into portal_acts (vendor, affiliate, kind, at, session) values (?1, ?2, ?3, ?4, ?5)
         on conflict (vendor, affiliate, kind, at, session) do nothing",
        values![own.vendor.0, own.affiliate.0, act.name(), now.0, own.session.clone()],
    )?;
    Ok(counted == 1)
}

/// Lines are kept, blanks around them are not.
fn checked_address(text: &str) -> ControlResult<String> {
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    let text = lines.join("\n");
    let length = text.chars().count();
    if length > MAX_PAYOUT_ADDRESS_CHARACTERS {
        let message = format!("It has {length} characters; {MAX_PAYOUT_ADDRESS_CHARACTERS} are the most.");
        return Err(ControlError::invalid("payout_address", message));
    }
    if text.chars().any(|sign| sign.is_control() && sign != '\n') {
        return Err(ControlError::invalid("payout_address", "There is a sign in it that cannot be printed."));
    }
    Ok(text)
}

fn set_address(database: &dyn Database, own: &Own, text: &str, now: Timestamp) -> ControlResult<()> {
    let known = addresses(database, own.vendor, Some(own.affiliate))?.remove(&own.affiliate);
    if known.map(|known| known.text).unwrap_or_default() == text {
        return Ok(());
    }
    if !act(database, own, PortalAct::PayoutAddress, now)? {
        return Err(ControlError::invalid("payout_address", "It was changed too often today; try again tomorrow."));
    }
    database.execute(
        "insert into payout_addresses (vendor, affiliate, decided_at, text, actor) values (?1, ?2, ?3, ?4, ?5)
         on conflict (vendor, affiliate, decided_at) do update set text = excluded.text, actor = excluded.actor",
        values![own.vendor.0, own.affiliate.0, now.0, text, own.actor()],
    )?;
    let detail = serde_json::json!({ "affiliate": own.affiliate.0, "is_empty": text.is_empty() }).to_string();
    audit(database, own.vendor, &own.actor(), "set_payout_address", &detail, now)
}

/// How an affiliate wants to be paid is not known any more.
pub(super) fn take_back_address(
    database: &dyn Database,
    (vendor, affiliate): (VendorId, AffiliateId),
    now: Timestamp,
) -> ControlResult<()> {
    if addresses(database, vendor, Some(affiliate))?.is_empty() {
        return Ok(());
    }
    database.execute(
        "insert into payout_addresses (vendor, affiliate, decided_at, text, actor) values (?1, ?2, ?3, '', ?4)
         on conflict (vendor, affiliate, decided_at) do update set text = excluded.text, actor = excluded.actor",
        values![vendor.0, affiliate.0, now.0, MAIL_ADDRESS_CHANGED],
    )?;
    let detail = serde_json::json!({ "affiliate": affiliate.0, "is_empty": true }).to_string();
    audit(database, vendor, MAIL_ADDRESS_CHANGED, "set_payout_address", &detail, now)
}

/// The newest of each, or of one; empty ones left out.
fn addresses(
    database: &dyn Database,
    vendor: VendorId,
    affiliate: Option<AffiliateId>,
) -> ControlResult<HashMap<AffiliateId, PayoutAddress>> {
    let rows = database.query(
        "select affiliate, text, decided_at, actor from payout_addresses as newest
         where vendor = ?1 and (affiliate = ?2 or ?2 = 0) and text <> '' and decided_at =
           (select max(decided_at) from payout_addresses as same
            where same.vendor = newest.vendor and same.affiliate = newest.affiliate)",
        values![vendor.0, affiliate.map_or(0, |affiliate| affiliate.0)],
    )?;
    let address = |row: Row| {
        let known = PayoutAddress { text: row.get(1)?, decided_at: Timestamp(row.get(2)?), actor: row.get(3)? };
        Ok((AffiliateId(row.get(0)?), known))
    };
    rows.into_iter().map(address).collect()
}

fn end_one(database: &dyn Database, own: &Own, id: &str, now: Timestamp) -> ControlResult<()> {
    let Ok(stored) = hex::decode(id) else {
        return Ok(());
    };
    let ended = database.execute(
        "delete from portal_sessions where hash = ?1 and vendor = ?2 and affiliate = ?3",
        values![stored, own.vendor.0, own.affiliate.0],
    )?;
    if ended > 0 {
        audit(database, own.vendor, &own.actor(), "end_portal_session", "{}", now)?;
    }
    Ok(())
}

fn end_others(database: &dyn Database, own: &Own, now: Timestamp) -> ControlResult<u64> {
    let ended = database.execute(
        "delete from portal_sessions where vendor = ?1 and affiliate = ?2 and hash <> ?3",
        values![own.vendor.0, own.affiliate.0, own.session.clone()],
    )?;
    if ended > 0 {
        let detail = serde_json::json!({ "ended": ended }).to_string();
        audit(database, own.vendor, &own.actor(), "end_portal_sessions", &detail, now)?;
    }
    Ok(ended)
}

#[async_trait]
impl<B: Backend> PortalDesk for ControlStoreOn<B> {
    async fn note_portal_agent(&self, session: &PortalSession, agent: &str) -> ControlResult<()> {
        let (own, agent) = (Own::of(session), agent.to_owned());
        let reach = Reach::Tenant(own.vendor);
        self.backend.write(reach, Tells::NOTHING, move |database| note_agent(database, &own, &agent)).await
    }

    async fn portal_details(&self, session: &PortalSession, now: Timestamp) -> ControlResult<PortalDetails> {
        let own = Own::of(session);
        self.backend.read(Reach::Tenant(own.vendor), move |database| details(database, &own, now)).await
    }

    async fn may_act(&self, session: &PortalSession, kind: PortalAct, now: Timestamp) -> ControlResult<bool> {
        let own = Own::of(session);
        let reach = Reach::Tenant(own.vendor);
        self.backend.write(reach, Tells::NOTHING, move |database| act(database, &own, kind, now)).await
    }

    async fn set_payout_address(&self, session: &PortalSession, text: &str, now: Timestamp) -> ControlResult<()> {
        let (own, text) = (Own::of(session), checked_address(text)?);
        let reach = Reach::Tenant(own.vendor);
        self.backend.write(reach, Tells::NOTHING, move |database| set_address(database, &own, &text, now)).await
    }

    async fn end_portal_session(&self, session: &PortalSession, id: &str, now: Timestamp) -> ControlResult<()> {
        let (own, id) = (Own::of(session), id.to_owned());
        let reach = Reach::Tenant(own.vendor);
        self.backend.write(reach, Tells::NOTHING, move |database| end_one(database, &own, &id, now)).await
    }

    async fn end_other_portal_sessions(&self, session: &PortalSession, now: Timestamp) -> ControlResult<u64> {
        let own = Own::of(session);
        let reach = Reach::Tenant(own.vendor);
        self.backend.write(reach, Tells::NOTHING, move |database| end_others(database, &own, now)).await
    }

    async fn payout_addresses(&self, scope: &TenantScope) -> ControlResult<HashMap<AffiliateId, PayoutAddress>> {
        let vendor = vendor_wide(scope)?;
        self.backend.read(Reach::Tenant(vendor), move |database| addresses(database, vendor, None)).await
    }
}
