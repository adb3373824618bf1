//! The affiliates' portal: links by mail that open it, and its sessions. They are apart from those of people who work
//! for a vendor, and what they see is one affiliate of one vendor.
//!
//! Links and sessions name the address that they were mailed to. When a vendor corrects an affiliate's address, what
//! went to the wrong one opens nothing any more.

use super::access::{SESSION_LIFE_MS, hash, random_text};
use super::database::{Database, Row, values};
use super::decide::audit;
use super::mail_choices;
use super::mails::{self, MailId, NewMail};
use super::portal_desk;
use super::resolve::read_json;
use super::rotation::{SESSION_OF_COOKIE, Shown};
use super::sealer::Sealer;
use super::{ControlError, ControlResult, MailAddress, SIGN_IN_LIFE_MS};
use crate::scope::TenantScope;
use crate::secrets::SecretText;
use async_trait::async_trait;
use domain::decision::MapCode;
use domain::ids::{AffiliateId, Mode, Provider, Timestamp, VendorId};
use std::collections::BTreeMap;

/// How long the link of an invitation is good.
pub const INVITE_LIFE_MS: i64 = 14 * DAY_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// So many invitations an affiliate gets in a day.
const MAX_INVITED: i64 = 5;
/// So many invitations go out for a vendor in a day.
const MAX_INVITED_BY_VENDOR: i64 = 2_000;
/// So many links an affiliate may ask for in a quarter of an hour.
const MAX_ASKED: i64 = 5;
/// One address may be an affiliate of several vendors; so many get a mail at once.
const MAX_PROGRAMMES: u64 = 10;
const MAX_SESSIONS_OF_AFFILIATE: i64 = 20;

/// For whom a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalGuest {
    /// Name of the vendor.
    pub vendor: String,
    /// Name of the affiliate.
    pub affiliate: String,
    /// Where the link was mailed to.
    pub email: MailAddress,
}

/// Writes the mail that carries a link.
pub type PortalMail = Box<dyn Fn(&PortalGuest, VendorId, &SecretText, MailId) -> NewMail + Send + Sync>;

/// An affiliate who has signed in at the portal. Made only by the control store, from a link or a cookie that it has
/// checked.
#[derive(Debug, Clone)]
pub struct PortalSession {
    pub(super) shown: Shown,
    csrf: String,
    expires_at: Timestamp,
    vendor: VendorId,
    affiliate: AffiliateId,
    place: PortalPlace,
}

/// Where an affiliate looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalPlace {
    /// Name of the vendor.
    pub vendor: String,
    /// IANA name of the vendor's time zone: days are the vendor's.
    pub time_zone: String,
    /// The vendor's data are invented.
    pub is_demo: bool,
    /// Name of the affiliate.
    pub affiliate: String,
    /// The vendor has suspended the affiliate.
    pub is_suspended: bool,
}

impl PortalSession {
    /// The value of the portal's cookie.
    pub fn cookie(&self) -> &SecretText {
        &self.shown.cookie
    }

    /// What every form of the session must send back.
    pub fn csrf(&self) -> &str {
        &self.csrf
    }

    /// When the cookie ends, unless it is used before.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Where they look.
    pub fn place(&self) -> &PortalPlace {
        &self.place
    }

    /// Whose it is, as numbers.
    pub(super) fn numbers(&self) -> (VendorId, AffiliateId) {
        (self.vendor, self.affiliate)
    }

    /// The vendor's whole, for one thing alone: to find the sale that an affiliate asks about, also where it is another's.
    /// What is answered must name nobody.
    pub fn claims_scope(&self, mode: Mode) -> TenantScope {
        TenantScope::new(self.vendor, mode)
    }

    /// Whose sessions and details these are, as a number.
    pub fn affiliate(&self) -> AffiliateId {
        self.affiliate
    }

    /// What they see: this affiliate's rows, and nothing else of the vendor.
    pub fn scope(&self, mode: Mode) -> TenantScope {
        TenantScope::of_affiliate(self.vendor, mode, self.affiliate)
    }
}

/// The affiliates' portal.
#[async_trait]
pub trait Portal: Send + Sync {
    /// Invites an affiliate of the scope's vendor by mail. Returns where it goes.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] naming `email` when there is no address, `affiliate` for one who is suspended or was
    /// invited too often; [`ControlError::NotFound`].
    async fn invite(
        &self,
        scope: &TenantScope,
        affiliate: &str,
        mail: PortalMail,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<MailAddress>;
    /// Mails a link to every affiliate with this address. Returns how many mails were written; whoever asked is told
    /// the same whatever it is.
    async fn ask_portal_link(&self, email: &MailAddress, mail: PortalMail, now: Timestamp) -> ControlResult<usize>;
    /// For whom a link is, if it can still be used. Uses nothing up: mail scanners open links too.
    async fn portal_guest(&self, link: &str, now: Timestamp) -> ControlResult<Option<PortalGuest>>;
    /// Uses a link up.
    async fn open_portal(&self, link: &str, now: Timestamp) -> ControlResult<Option<PortalSession>>;
    /// The session of a cookie. It ends 30 days after it was last used.
    async fn portal_session(&self, cookie: &str, now: Timestamp) -> ControlResult<Option<PortalSession>>;
    /// The session's codes as people write them: those that sales of now would be credited by.
    async fn portal_codes(&self, session: &PortalSession, now: Timestamp) -> ControlResult<Vec<String>>;
    /// The cookie that follows the session's, as with members'.
    async fn renew_portal(&self, session: &PortalSession, now: Timestamp) -> ControlResult<Option<SecretText>>;
    /// Ends a session.
    async fn close_portal(&self, session: &PortalSession) -> ControlResult<()>;
}

/// Why a link was mailed.
#[derive(Clone, Copy)]
enum Kind {
    Invite,
    Asked,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Invite => "invite",
            Kind::Asked => "asked",
        }
    }

    fn life_ms(self) -> i64 {
        match self {
            Kind::Invite => INVITE_LIFE_MS,
            Kind::Asked => SIGN_IN_LIFE_MS,
        }
    }
}

struct Found {
    vendor: VendorId,
    affiliate: AffiliateId,
    guest: PortalGuest,
}

pub(super) fn invite(
    database: &dyn Database,
    sealer: &Sealer,
    (vendor, key): (VendorId, &str),
    mail: &PortalMail,
    actor: &str,
    now: Timestamp,
) -> ControlResult<MailAddress> {
    forget_old(database, now)?;
    let row = database.query_optional(
        "select affiliates.id, affiliates.name, affiliates.email, affiliates.suspended_at, vendors.name
         from affiliates join vendors on vendors.id = affiliates.vendor where vendor = ?1 and key = ?2",
        values![vendor.0, key],
    )?;
    let Some(row) = row else {
        return Err(ControlError::NotFound(format!("affiliate `{key}`")));
    };
    let Some(email) = row.get::<Option<String>>(2)? else {
        return Err(ControlError::invalid("email", "Give the affiliate an e-mail address first."));
    };
    if row.get::<Option<i64>>(3)?.is_some() {
        return Err(ControlError::invalid("affiliate", "The affiliate is suspended; let them in again first."));
    }
    let guest = PortalGuest { vendor: row.get(4)?, affiliate: row.get(1)?, email: MailAddress::stored(email)? };
    let found = Found { vendor, affiliate: AffiliateId(row.get(0)?), guest };
    let (to_them, of_all) = invited_since(database, &found, now.0 - DAY_MS)?;
    if to_them >= MAX_INVITED || of_all >= MAX_INVITED_BY_VENDOR {
        let who = if to_them >= MAX_INVITED { "this affiliate was" } else { "your affiliates were" };
        let message = format!("In the last 24 hours {who} invited {} times; try again tomorrow.", to_them.max(of_all));
        return Err(ControlError::invalid("affiliate", message));
    }
    mail_link(database, sealer, &found, mail, now, Kind::Invite)?;
    let detail = serde_json::json!({ "affiliate": found.affiliate.0 }).to_string();
    audit(database, vendor, actor, "invite", &detail, now)?;
    Ok(found.guest.email)
}

pub(super) fn ask(
    database: &dyn Database,
    sealer: &Sealer,
    email: &MailAddress,
    mail: &PortalMail,
    now: Timestamp,
) -> ControlResult<usize> {
    forget_old(database, now)?;
    let rows = database.query(
        "select affiliates.vendor, affiliates.id, affiliates.name, vendors.name
         from affiliates join vendors on vendors.id = affiliates.vendor
         where email = ?1 and affiliates.id =
           (select min(id) from affiliates as same where same.vendor = affiliates.vendor and same.email = ?1)
         order by affiliates.vendor limit ?2",
        values![email.as_str(), MAX_PROGRAMMES],
    )?;
    let mut mailed = 0;
    for row in rows {
        let guest = PortalGuest { vendor: row.get(3)?, affiliate: row.get(2)?, email: email.clone() };
        let found = Found { vendor: VendorId(row.get(0)?), affiliate: AffiliateId(row.get(1)?), guest };
        if asked_since(database, &found, now.0 - SIGN_IN_LIFE_MS)? < MAX_ASKED {
            mail_link(database, sealer, &found, mail, now, Kind::Asked)?;
            mailed += 1;
        }
    }
    Ok(mailed)
}

fn forget_old(database: &dyn Database, now: Timestamp) -> ControlResult<()> {
    database.execute("delete from portal_links where expires_at <= ?1", values![now.0])?;
    Ok(())
}

/// Invitations of the affiliate, and of all of the vendor.
fn invited_since(database: &dyn Database, found: &Found, since: i64) -> ControlResult<(i64, i64)> {
    let row = database.query_one(
        "select coalesce(sum(case when affiliate = ?2 then 1 else 0 end), 0), count(*) from portal_links
         where vendor = ?1 and kind = ?3 and created_at > ?4",
        values![found.vendor.0, found.affiliate.0, Kind::Invite.name(), since],
    )?;
    Ok((row.get(0)?, row.get(1)?))
}

fn asked_since(database: &dyn Database, found: &Found, since: i64) -> ControlResult<i64> {
    let row = database.query_one(
        "select count(*) from portal_links where vendor = ?1 and affiliate = ?2 and kind = ?3 and created_at > ?4",
        values![found.vendor.0, found.affiliate.0, Kind::Asked.name(), since],
    )?;
    Ok(row.get(0)?)
}

/// An affiliate has another address: what was opened with, or mailed to, a former one is worth nothing.
pub(super) fn end_other_addresses(
    database: &dyn Database,
    vendor: VendorId,
    affiliate: AffiliateId,
    email: Option<&str>,
    now: Timestamp,
) -> ControlResult<()> {
    let former = database.query_optional(
        "select email from affiliates where id = ?1 and email is not null and email <> ?2",
        values![affiliate.0, email.unwrap_or_default()],
    )?;
    if let Some(former) = former {
        let former: String = former.get(0)?;
        // Whoever read the former address may have said where the money goes, and figures wait on their way to it.
        portal_desk::take_back_address(database, (vendor, affiliate), now)?;
        database.execute(
            "delete from mails where vendor = ?1 and recipient = ?2 and kind = ?3 and state in ('waiting', 'failed')",
            values![vendor.0, former, mails::SUMMARY_KIND],
        )?;
    }
    for table in ["portal_sessions", "portal_links"] {
        let sql = format!("delete from {table} where vendor = ?1 and affiliate = ?2 and email <> ?3");
        database.execute(&sql, values![vendor.0, affiliate.0, email.unwrap_or_default()])?;
    }
    Ok(())
}

/// The codes that are an affiliate's at a time: for some provider, the last decided mapping whose window has the time
/// names them.
pub(super) fn codes(
    database: &dyn Database,
    vendor: VendorId,
    affiliate: AffiliateId,
    at: Timestamp,
) -> ControlResult<Vec<String>> {
    let rows = database.query(
        "select codes.id, codes.text, mappings.body from mappings join codes on codes.id = mappings.code
         where mappings.vendor = ?1 and mappings.code in
           (select code from mappings where vendor = ?1 and affiliate = ?2 and code <> 0)
         order by codes.text, codes.id, mappings.seq desc",
        values![vendor.0, affiliate.0],
    )?;
    let mut holders: BTreeMap<(String, u64), BTreeMap<Option<Provider>, Option<AffiliateId>>> = BTreeMap::new();
    for row in rows {
        let map: MapCode = read_json(&row.get::<String>(2)?)?;
        let has_begun = map.valid_from.is_none_or(|from| from <= at);
        if has_begun && map.valid_to.is_none_or(|to| at < to) {
            let lanes = holders.entry((row.get(1)?, row.get(0)?)).or_default();
            // Decided later for every provider: it holds for this one too.
            if !lanes.contains_key(&None) {
                lanes.entry(map.provider).or_insert(map.affiliate);
            }
        }
    }
    let theirs = holders.into_iter().filter(|(_, lanes)| lanes.values().any(|holder| *holder == Some(affiliate)));
    Ok(theirs.map(|((text, _), _)| text).collect())
}

fn mail_link(
    database: &dyn Database,
    sealer: &Sealer,
    found: &Found,
    mail: &PortalMail,
    now: Timestamp,
    kind: Kind,
) -> ControlResult<()> {
    let link = SecretText::new(random_text(sealer)?);
    let link_hash = hash(link.expose());
    database.execute(
        "insert into portal_links (hash, vendor, affiliate, kind, email, created_at, expires_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        values![
            link_hash,
            found.vendor.0,
            found.affiliate.0,
            kind.name(),
            found.guest.email.as_str(),
            now.0,
            now.0 + kind.life_ms()
        ],
    )?;
    let cause = MailId(format!("portal_link:{}", hex::encode(link_hash)));
    mails::enqueue(database, sealer, &mail(&found.guest, found.vendor, &link, cause), now)?;
    Ok(())
}

pub(super) fn guest(database: &dyn Database, link: &str, now: Timestamp) -> ControlResult<Option<PortalGuest>> {
    let found = database.query_optional(
        "select vendors.name, affiliates.name, affiliates.email from portal_links
         join affiliates on affiliates.id = portal_links.affiliate and affiliates.email = portal_links.email
         join vendors on vendors.id = portal_links.vendor
         where hash = ?1 and used_at is null and expires_at > ?2",
        values![hash(link), now.0],
    )?;
    let guest = |row: Row| {
        Ok(PortalGuest { vendor: row.get(0)?, affiliate: row.get(1)?, email: MailAddress::stored(row.get(2)?)? })
    };
    found.map(guest).transpose()
}

pub(super) fn open(
    database: &dyn Database,
    sealer: &Sealer,
    link: &str,
    now: Timestamp,
) -> ControlResult<Option<PortalSession>> {
    if guest(database, link, now)?.is_none() {
        return Ok(None);
    }
    let used = database.query_optional(
        "update portal_links set used_at = ?2 where hash = ?1 and used_at is null and expires_at > ?2
         returning vendor, affiliate, email",
        values![hash(link), now.0],
    )?;
    let Some(row) = used else {
        return Ok(None);
    };
    let (vendor, affiliate) = (VendorId(row.get(0)?), AffiliateId(row.get(1)?));
    database.execute("delete from portal_sessions where expires_at <= ?1", values![now.0])?;
    database.execute(
        "delete from portal_sessions where vendor = ?1 and affiliate = ?2 and hash not in
           (select hash from portal_sessions where vendor = ?1 and affiliate = ?2
            order by last_used_at desc, hash limit ?3)",
        values![vendor.0, affiliate.0, MAX_SESSIONS_OF_AFFILIATE - 1],
    )?;
    let email: String = row.get(2)?;
    mail_choices::note_opening(database, (vendor, affiliate), &email, now)?;
    let (cookie, csrf) = (random_text(sealer)?, random_text(sealer)?);
    database.execute(
        "insert into portal_sessions (hash, vendor, affiliate, email, csrf, created_at, last_used_at, expires_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)",
        values![hash(&cookie), vendor.0, affiliate.0, &email, &csrf, now.0, now.0 + SESSION_LIFE_MS],
    )?;
    audit(database, vendor, &format!("affiliate {affiliate}"), "open_portal", "{}", now)?;
    session(database, &cookie, now)
}

pub(super) fn session(database: &dyn Database, cookie: &str, now: Timestamp) -> ControlResult<Option<PortalSession>> {
    let found = database.query_optional(
        &format!(
            "select portal_sessions.vendor, portal_sessions.affiliate, csrf, expires_at, vendors.name, time_zone, is_demo,
               affiliates.name, suspended_at, portal_sessions.hash, portal_sessions.created_at
             from portal_sessions
             join affiliates on affiliates.id = portal_sessions.affiliate and affiliates.email = portal_sessions.email
             join vendors on vendors.id = portal_sessions.vendor
             where portal_sessions.hash = {SESSION_OF_COOKIE} and expires_at > ?2"
        ),
        values![hash(cookie), now.0],
    )?;
    let Some(row) = found else {
        return Ok(None);
    };
    Ok(Some(PortalSession {
        shown: Shown::of(cookie, row.get(9)?, row.get(10)?),
        csrf: row.get(2)?,
        expires_at: Timestamp(row.get(3)?),
        vendor: VendorId(row.get(0)?),
        affiliate: AffiliateId(row.get(1)?),
        place: PortalPlace {
            vendor: row.get(4)?,
            time_zone: row.get(5)?,
            is_demo: row.get(6)?,
            affiliate: row.get(7)?,
            is_suspended: row.get::<Option<i64>>(8)?.is_some(),
        },
    }))
}

/// Notes that a session is used, and moves its end.
pub(super) fn note_use(database: &dyn Database, session: &[u8], now: Timestamp, end: Timestamp) -> ControlResult<()> {
    database.execute(
        "update portal_sessions set last_used_at = ?2, expires_at = ?3 where hash = ?1 and expires_at < ?3",
        values![session.to_vec(), now.0, end.0],
    )?;
    Ok(())
}

pub(super) fn close(database: &dyn Database, session: &[u8]) -> ControlResult<()> {
    database.execute("delete from portal_sessions where hash = ?1", values![session.to_vec()])?;
    Ok(())
}
