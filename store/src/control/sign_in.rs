//! Signing in by mail: a link or six digits, each good once for fifteen minutes.

use super::access::{SESSION_LIFE_MS, hash, random_text};
use super::database::{Database, Row, values};
use super::decide::audit;
use super::mails::{self, MailId};
use super::people::*;
use super::rotation::{SESSION_OF_COOKIE, Shown};
use super::sealer::Sealer;
use super::{ControlError, ControlResult, NewVendor, Session, Vendor, vendors};
use crate::secrets::SecretText;
use domain::ids::{Timestamp, VendorId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How long a link and its code are good.
pub const SIGN_IN_LIFE_MS: i64 = 15 * 60 * 1000;
/// So many mails an address gets in that time.
const MAX_ASKED: i64 = 5;
/// So many wrong codes a ticket takes: a guess succeeds once in 200,000 tickets.
const MAX_TRIES: i64 = 5;
/// Unused ones of everybody together; the oldest go first.
const MAX_WAITING: i64 = 100_000;
/// A session's end is moved at most this often, so that reading a page rarely writes.
const SESSION_STEP_MS: i64 = 60 * 60 * 1000;
const MAX_SESSIONS_OF_PERSON: i64 = 50;
/// How long the row of a sign-in's mail can be listed after it was ended.
const MAIL_ROW_LIFE_MS: i64 = 30 * 24 * 60 * 60 * 1000;
const MAX_AGENT_CHARACTERS: usize = 200;

/// The code counts with its ticket only, so the same digits of two people have two hashes.
fn code_hash(ticket: &str, code: &str) -> [u8; 32] {
    Sha256::new_with_prefix(ticket).chain_update(":").chain_update(code).finalize().into()
}

/// Six digits, each number as likely as the others.
fn random_code(sealer: &Sealer) -> ControlResult<String> {
    const CODES: u32 = 1_000_000;
    loop {
        let mut bytes = [0; 4];
        sealer.fill_random(&mut bytes)?;
        let number = u32::from_le_bytes(bytes);
        // Beyond the last whole round of codes some would come more often.
        if number < u32::MAX - u32::MAX % CODES {
            return Ok(format!("{:06}", number % CODES));
        }
    }
}

pub(super) fn ask(
    database: &dyn Database,
    sealer: &Sealer,
    email: &MailAddress,
    may_sign_up: bool,
    mail: SignInMail,
    now: Timestamp,
) -> ControlResult<SignInTicket> {
    let ticket = random_text(sealer)?;
    make_room(database, now)?;
    let may = may_sign_up || person_of(database, email)?.is_some();
    if !may || asked_lately(database, email)? >= MAX_ASKED {
        // A ticket that no code opens, so that trying one tells nothing about the address. It is nobody's: somebody
        // who asks again and again must not keep the address from its next mail.
        let nothing = (hash(&random_text(sealer)?), hash(&random_text(sealer)?));
        insert(database, &ticket, "", nothing, now)?;
        return Ok(SignInTicket { ticket, is_mailed: false });
    }
    let secrets =
        SignInSecrets { link: SecretText::new(random_text(sealer)?), code: SecretText::new(random_code(sealer)?) };
    let hashes = (hash(secrets.link.expose()), code_hash(&ticket, secrets.code.expose()));
    insert(database, &ticket, email.as_str(), hashes, now)?;
    // Found by the ticket's hash: a cause stays for ever, a ticket is a secret.
    let cause = MailId(format!("sign_in:{}", hex::encode(hash(&ticket))));
    mails::enqueue(database, sealer, &mail(&secrets, cause), now)?;
    Ok(SignInTicket { ticket, is_mailed: true })
}

/// Forgets what is over, and the oldest where there is too much.
fn make_room(database: &dyn Database, now: Timestamp) -> ControlResult<()> {
    database.execute("delete from sign_ins where expires_at <= ?1", values![now.0])?;
    database.execute(
        "delete from sign_ins where ticket not in
           (select ticket from sign_ins order by created_at desc, ticket limit ?1)",
        values![MAX_WAITING - 1],
    )?;
    // The cause of a mail with a link never comes again, so its row need not stay.
    database.execute(
        "delete from mails where kind in (?1, ?2, ?3) and created_at <= ?4 and state in ('sent', 'failed', 'unsure')",
        values![mails::SIGN_IN_KIND, mails::INVITE_KIND, mails::PORTAL_LINK_KIND, now.0 - MAIL_ROW_LIFE_MS],
    )?;
    Ok(())
}

fn insert(
    database: &dyn Database,
    ticket: &str,
    email: &str,
    (link_hash, code_hash): ([u8; 32], [u8; 32]),
    now: Timestamp,
) -> ControlResult<()> {
    database.execute(
        "insert into sign_ins (ticket, email, link_hash, code_hash, tries, created_at, expires_at)
         values (?1, ?2, ?3, ?4, 0, ?5, ?6)",
        values![ticket, email, link_hash, code_hash, now.0, now.0 + SIGN_IN_LIFE_MS],
    )?;
    Ok(())
}

fn asked_lately(database: &dyn Database, email: &MailAddress) -> ControlResult<i64> {
    Ok(database.query_one("select count(*) from sign_ins where email = ?1", values![email.as_str()])?.get(0)?)
}

pub(super) fn of_link(database: &dyn Database, link: &str, now: Timestamp) -> ControlResult<Option<MailAddress>> {
    let found = database.query_optional(
        "select email from sign_ins where link_hash = ?1 and expires_at > ?2",
        values![hash(link), now.0],
    )?;
    found.map(|row| MailAddress::stored(row.get(0)?)).transpose()
}

pub(super) fn open_by_link(
    database: &dyn Database,
    sealer: &Sealer,
    link: &str,
    agent: &str,
    now: Timestamp,
) -> ControlResult<Option<Session>> {
    let used = database
        .query_optional("delete from sign_ins where link_hash = ?1 returning email, expires_at", values![hash(link)])?;
    let Some(row) = used.filter(|row| row.get::<i64>(1).is_ok_and(|expires_at| expires_at > now.0)) else {
        return Ok(None);
    };
    open(database, sealer, &MailAddress::stored(row.get(0)?)?, agent, now).map(Some)
}

pub(super) fn open_by_code(
    database: &dyn Database,
    sealer: &Sealer,
    (ticket, code): (&str, &str),
    agent: &str,
    now: Timestamp,
) -> ControlResult<CodeTried> {
    // Counted first: two guesses at the same time are two tries.
    let tried = database.query_optional(
        "update sign_ins set tries = tries + 1 where ticket = ?1 and expires_at > ?2 and tries < ?3
         returning email, code_hash, tries",
        values![ticket, now.0, MAX_TRIES],
    )?;
    let Some(row) = tried else {
        return Ok(CodeTried::Gone);
    };
    let digits: String = code.chars().filter(|sign| !sign.is_whitespace()).collect();
    let stored: Vec<u8> = row.get(1)?;
    if !bool::from(stored.ct_eq(&code_hash(ticket, &digits))) {
        let left = MAX_TRIES - row.get::<i64>(2)?;
        return Ok(CodeTried::Wrong { left: u32::try_from(left).unwrap_or_default() });
    }
    database.execute("delete from sign_ins where ticket = ?1", values![ticket])?;
    Ok(CodeTried::Opened(open(database, sealer, &MailAddress::stored(row.get(0)?)?, agent, now)?))
}

pub(super) fn person_of(database: &dyn Database, email: &MailAddress) -> ControlResult<Option<PersonId>> {
    let found = database.query_optional("select id from people where email = ?1", values![email.as_str()])?;
    Ok(found.map(|row| row.get(0)).transpose()?.map(PersonId))
}

/// A session of whoever reads the mail of this address; the person is made at the first.
pub(super) fn open(
    database: &dyn Database,
    sealer: &Sealer,
    email: &MailAddress,
    agent: &str,
    now: Timestamp,
) -> ControlResult<Session> {
    database.execute(
        "insert into people (email, created_at) values (?1, ?2) on conflict (email) do nothing",
        values![email.as_str(), now.0],
    )?;
    let person = person_of(database, email)?.ok_or_else(|| ControlError::NotFound(format!("person {email}")))?;
    // Whoever proved the address needs no other mail of the same kind.
    database.execute("delete from sign_ins where email = ?1", values![email.as_str()])?;
    database.execute("delete from person_sessions where expires_at <= ?1", values![now.0])?;
    database.execute(
        "delete from person_sessions where person = ?1 and hash not in
           (select hash from person_sessions where person = ?1 order by last_used_at desc, hash limit ?2)",
        values![person.0, MAX_SESSIONS_OF_PERSON - 1],
    )?;
    let (cookie, csrf) = (random_text(sealer)?, random_text(sealer)?);
    let expires_at = Timestamp(now.0 + SESSION_LIFE_MS);
    let agent: String = agent.chars().filter(|sign| !sign.is_control()).take(MAX_AGENT_CHARACTERS).collect();
    database.execute(
        "insert into person_sessions (hash, person, csrf, agent, created_at, last_used_at, expires_at)
         values (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
        values![hash(&cookie), person.0, &csrf, agent, now.0, expires_at.0],
    )?;
    audit(database, VendorId(0), &actor(person), "open_session", "{}", now)?;
    Ok(Session { shown: Shown::first(cookie, now), csrf, expires_at, person: Some(person) })
}

/// A person in the audit log. Not the address: it can be erased, the log stays.
pub(super) fn actor(person: PersonId) -> String {
    format!("person {}", person.0)
}

/// A person's session, as it is stored.
pub(super) fn session(database: &dyn Database, cookie: &str, now: Timestamp) -> ControlResult<Option<Session>> {
    let found = database.query_optional(
        &format!(
            "select csrf, expires_at, person, hash, created_at from person_sessions
             where hash = {SESSION_OF_COOKIE} and expires_at > ?2"
        ),
        values![hash(cookie), now.0],
    )?;
    let Some(row) = found else {
        return Ok(None);
    };
    let (csrf, expires_at, person) = (row.get(0)?, Timestamp(row.get(1)?), Some(PersonId(row.get(2)?)));
    Ok(Some(Session { shown: Shown::of(cookie, row.get(3)?, row.get(4)?), csrf, expires_at, person }))
}

/// Notes that a person's session is used, and moves its end.
pub(super) fn note_use(database: &dyn Database, session: &[u8], now: Timestamp, end: Timestamp) -> ControlResult<()> {
    database.execute(
        "update person_sessions set last_used_at = ?2, expires_at = ?3 where hash = ?1 and last_used_at < ?4",
        values![session.to_vec(), now.0, end.0, now.0 - SESSION_STEP_MS / 2],
    )?;
    Ok(())
}

pub(super) fn person(database: &dyn Database, id: PersonId) -> ControlResult<Option<Person>> {
    let found = database.query_optional("select email, created_at from people where id = ?1", values![id.0])?;
    let person =
        |row: Row| Ok(Person { id, email: MailAddress::stored(row.get(0)?)?, created_at: Timestamp(row.get(1)?) });
    found.map(person).transpose()
}

pub(super) fn sessions_of(
    database: &dyn Database,
    person: PersonId,
    this: &[u8],
    now: Timestamp,
) -> ControlResult<Vec<SessionInfo>> {
    let rows = database.query(
        "select hash, agent, created_at, last_used_at from person_sessions where person = ?1 and expires_at > ?2
         order by last_used_at desc, hash",
        values![person.0, now.0],
    )?;
    let info = |row: Row| {
        let stored: Vec<u8> = row.get(0)?;
        Ok(SessionInfo {
            is_this: stored == this,
            id: hex::encode(stored),
            agent: row.get(1)?,
            created_at: Timestamp(row.get(2)?),
            last_used_at: Timestamp(row.get(3)?),
        })
    };
    rows.into_iter().map(info).collect()
}

pub(super) fn end_session(database: &dyn Database, person: PersonId, id: &str, now: Timestamp) -> ControlResult<()> {
    let Ok(stored) = hex::decode(id) else {
        return Ok(());
    };
    let ended =
        database.execute("delete from person_sessions where hash = ?1 and person = ?2", values![stored, person.0])?;
    if ended > 0 {
        audit(database, VendorId(0), &actor(person), "end_session", "{}", now)?;
    }
    Ok(())
}

pub(super) fn open_workspace(
    database: &dyn Database,
    sealer: &Sealer,
    (person, vendor): (Option<PersonId>, &NewVendor),
    actor: &str,
    now: Timestamp,
) -> ControlResult<Vendor> {
    let known = vendors::by_slug(database, vendor.slug.trim())?;
    let Some(person) = person else {
        return known.map_or_else(|| vendors::ensure(database, sealer, vendor, actor, now), Ok);
    };
    if let Some(known) = known {
        return match is_member(database, person, known.id)? {
            true => Ok(known),
            false => Err(taken(&known.slug)),
        };
    }
    let made = vendors::ensure(database, sealer, vendor, actor, now)?;
    // Somebody else may have made it since we looked: then it has members, and this person is none of them.
    let owners = database.query_one("select count(*) from members where vendor = ?1", values![made.id.0])?;
    if owners.get::<u64>(0)? > 0 || made.created_at != now {
        return Err(taken(&made.slug));
    }
    add_member(database, made.id, person, Role::Owner, actor, now)?;
    Ok(made)
}

fn taken(slug: &str) -> ControlError {
    ControlError::invalid("vendor", format!("The name `{slug}` is taken; choose another."))
}

pub(super) fn add_member(
    database: &dyn Database,
    vendor: VendorId,
    person: PersonId,
    role: Role,
    actor: &str,
    now: Timestamp,
) -> ControlResult<()> {
    let added = database.execute(
        "insert into members (vendor, person, role, created_at) values (?1, ?2, ?3, ?4)
         on conflict (vendor, person) do nothing",
        values![vendor.0, person.0, role.name(), now.0],
    )?;
    if added > 0 {
        let detail = serde_json::json!({ "person": person.0, "role": role.name() }).to_string();
        audit(database, vendor, actor, "add_member", &detail, now)?;
    }
    Ok(())
}

/// Whether a person may open a vendor.
pub(super) fn is_member(database: &dyn Database, person: PersonId, vendor: VendorId) -> ControlResult<bool> {
    let sql = "select role from members where vendor = ?1 and person = ?2";
    Ok(database.query_optional(sql, values![vendor.0, person.0])?.is_some())
}

/// The vendors that a person may open.
pub(super) fn vendors_of(database: &dyn Database, person: PersonId) -> ControlResult<Vec<VendorId>> {
    let rows = database.query("select vendor from members where person = ?1 order by vendor", values![person.0])?;
    rows.into_iter().map(|row| Ok(VendorId(row.get(0)?))).collect()
}
