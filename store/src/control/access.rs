//! Sign-in tokens, sessions, API keys, and the scopes they give. Of every credential only
//! the SHA-256 is stored: it is long and random, so a slow hash would add nothing, and the
//! search by hash tells nothing about how much of a guess was right.

use super::connections::mode_named;
use super::database::{Database, values};
use super::decide::audit;
use super::resolve::checked_text;
use super::rotation::{SESSION_OF_COOKIE, Shown};
use super::sealer::Sealer;
use super::*;
use sha2::{Digest, Sha256};

const TOKEN_LIFE_MS: i64 = 15 * 60 * 1000;
/// How long a session lasts after it was last used.
pub(super) const SESSION_LIFE_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// A session's end is moved at most this often, so that reading a page rarely writes.
const SESSION_STEP_MS: i64 = 60 * 60 * 1000;
const KEY_USE_STEP_MS: i64 = 60 * 1000;
const MAX_OPEN_TOKENS: i64 = 100;
const MAX_SESSIONS: i64 = 1_000;
const MAX_KEYS_PER_VENDOR: i64 = 100;
const MAX_NAME_CHARACTERS: usize = 100;
const CREDENTIAL_BYTES: usize = 32;
const KEY_PREFIX: &str = "atk_";

pub(super) fn hash(credential: &str) -> [u8; 32] {
    Sha256::digest(credential.as_bytes()).into()
}

pub(super) fn random_text(sealer: &Sealer) -> ControlResult<String> {
    let mut bytes = [0; CREDENTIAL_BYTES];
    sealer.fill_random(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// A token that opens one session.
pub(super) fn create_login_token(
    database: &dyn Database,
    sealer: &Sealer,
    now: Timestamp,
) -> ControlResult<SecretText> {
    database.execute("delete from login_tokens where expires_at <= ?1", values![now.0])?;
    // Someone who asks again and again uses up the oldest tokens, not the disk.
    database.execute(
        "delete from login_tokens where hash not in
           (select hash from login_tokens order by expires_at desc, hash limit ?1)",
        values![MAX_OPEN_TOKENS - 1],
    )?;
    let token = random_text(sealer)?;
    database.execute(
        "insert into login_tokens (hash, expires_at) values (?1, ?2)",
        values![hash(&token), now.0 + TOKEN_LIFE_MS],
    )?;
    Ok(SecretText::new(token))
}

/// Uses a token up and opens a session.
pub(super) fn open_session(
    database: &dyn Database,
    sealer: &Sealer,
    token: &str,
    now: Timestamp,
) -> ControlResult<Option<Session>> {
    let used = database
        .query_optional("delete from login_tokens where hash = ?1 returning expires_at", values![hash(token)])?;
    let expires_at: Option<i64> = used.map(|row| row.get(0)).transpose()?;
    if expires_at.is_none_or(|expires_at| expires_at <= now.0) {
        return Ok(None);
    }
    database.execute("delete from sessions where expires_at <= ?1", values![now.0])?;
    database.execute(
        "delete from sessions where hash not in (select hash from sessions order by expires_at desc, hash limit ?1)",
        values![MAX_SESSIONS - 1],
    )?;
    let (cookie, csrf) = (random_text(sealer)?, random_text(sealer)?);
    let expires_at = Timestamp(now.0 + SESSION_LIFE_MS);
    database.execute(
        "insert into sessions (hash, csrf, created_at, expires_at) values (?1, ?2, ?3, ?4)",
        values![hash(&cookie), &csrf, now.0, expires_at.0],
    )?;
    audit(database, VendorId(0), "operator", "open_session", "{}", now)?;
    Ok(Some(Session { shown: Shown::first(cookie, now), csrf, expires_at, person: None }))
}

/// The session of a cookie, as it is stored.
pub(super) fn session(database: &dyn Database, cookie: &str, now: Timestamp) -> ControlResult<Option<Session>> {
    let found = database.query_optional(
        &format!(
            "select csrf, expires_at, hash, created_at from sessions
             where hash = {SESSION_OF_COOKIE} and expires_at > ?2"
        ),
        values![hash(cookie), now.0],
    )?;
    let Some(row) = found else {
        return sign_in::session(database, cookie, now);
    };
    let (csrf, expires_at) = (row.get(0)?, Timestamp(row.get(1)?));
    Ok(Some(Session { shown: Shown::of(cookie, row.get(2)?, row.get(3)?), csrf, expires_at, person: None }))
}

/// The later end of a session that is used now; none while the stored one is near enough.
pub(super) fn later_end(expires_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let end = Timestamp(now.0 + SESSION_LIFE_MS);
    (end.0 - expires_at.0 >= SESSION_STEP_MS).then_some(end)
}

/// Moves the end of a session that is used now.
pub(super) fn move_end(database: &dyn Database, session: &[u8], now: Timestamp, end: Timestamp) -> ControlResult<()> {
    sign_in::note_use(database, session, now, end)?;
    database.execute(
        "update sessions set expires_at = ?2 where hash = ?1 and expires_at < ?2",
        values![session.to_vec(), end.0],
    )?;
    Ok(())
}

/// Ends a session.
pub(super) fn close_session(database: &dyn Database, session: &[u8]) -> ControlResult<()> {
    for table in ["sessions", "person_sessions"] {
        database.execute(&format!("delete from {table} where hash = ?1"), values![session.to_vec()])?;
    }
    Ok(())
}

/// What a session sees of a vendor: a person of their own ones, the operator of each.
pub(super) fn scope_of_session(
    database: &dyn Database,
    person: Option<PersonId>,
    slug: &str,
    mode: Mode,
) -> ControlResult<Option<TenantScope>> {
    let Some(vendor) = vendors::by_slug(database, slug)? else {
        return Ok(None);
    };
    let may = match person {
        Some(person) => sign_in::is_member(database, person, vendor.id)?,
        None => true,
    };
    Ok(may.then(|| TenantScope::new(vendor.id, mode)))
}

/// The vendors that a session is shown, by slug. The operator is not shown people's demos: they would be too many.
pub(super) fn vendors_of_session(database: &dyn Database, person: Option<PersonId>) -> ControlResult<Vec<Vendor>> {
    let mut all = vendors::all(database)?;
    match person {
        Some(person) => {
            let own = sign_in::vendors_of(database, person)?;
            all.retain(|vendor| own.binary_search(&vendor.id).is_ok());
        }
        None => {
            let demos = vendors::own_demos(database)?;
            all.retain(|vendor| !demos.contains(vendor));
        }
    }
    Ok(all)
}

/// What the local socket sees of a vendor.
pub(super) fn scope_of_vendor(database: &dyn Database, slug: &str, mode: Mode) -> ControlResult<Option<TenantScope>> {
    Ok(vendors::by_slug(database, slug)?.map(|vendor| TenantScope::new(vendor.id, mode)))
}

/// A new API key.
pub(super) fn create_api_key(
    database: &dyn Database,
    sealer: &Sealer,
    (vendor, mode): (VendorId, Mode),
    name: &str,
    actor: &str,
    now: Timestamp,
) -> ControlResult<SecretText> {
    let name = checked_text("name", name, MAX_NAME_CHARACTERS)?;
    vendors::lock(database, vendor)?;
    let counted = database
        .query_one("select count(*) from api_keys where vendor = ?1 and revoked_at is null", values![vendor.0])?;
    let count: i64 = counted.get(0)?;
    if count >= MAX_KEYS_PER_VENDOR {
        return Err(ControlError::invalid(
            "name",
            format!("the vendor has {count} keys already; revoke one that is no longer used"),
        ));
    }
    let key = format!("{KEY_PREFIX}{}", random_text(sealer)?);
    let stored = database.query_one(
        "insert into api_keys (vendor, mode, name, hash, created_at) values (?1, ?2, ?3, ?4, ?5) returning id",
        values![vendor.0, mode.name(), &name, hash(&key), now.0],
    )?;
    let detail = serde_json::json!({ "name": name, "mode": mode, "key": stored.get::<u64>(0)? }).to_string();
    audit(database, vendor, actor, "create_api_key", &detail, now)?;
    Ok(SecretText::new(key))
}

/// A key that is known and not revoked.
pub(super) struct UsedKey {
    pub(super) id: u64,
    pub(super) scope: TenantScope,
    /// Whether its use shall be noted.
    pub(super) note_use: bool,
}

/// What an API key sees.
pub(super) fn api_key(database: &dyn Database, key: &str, now: Timestamp) -> ControlResult<Option<UsedKey>> {
    let found = database.query_optional(
        "select id, vendor, mode, last_used_at from api_keys where hash = ?1 and revoked_at is null",
        values![hash(key)],
    )?;
    let Some(row) = found else {
        return Ok(None);
    };
    let (id, vendor, mode, last_used_at): (u64, u64, String, Option<i64>) =
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let mode = mode_named(&mode).ok_or_else(|| anyhow::anyhow!("API key {id} has an unknown mode"))?;
    let note_use = last_used_at.is_none_or(|at| at <= now.0 - KEY_USE_STEP_MS);
    Ok(Some(UsedKey { id, scope: TenantScope::new(VendorId(vendor), mode), note_use }))
}

/// Notes that a key was used.
pub(super) fn note_key_use(database: &dyn Database, id: u64, now: Timestamp) -> ControlResult<()> {
    database.execute(
        "update api_keys set last_used_at = ?2 where id = ?1 and coalesce(last_used_at, 0) < ?2",
        values![id, now.0],
    )?;
    Ok(())
}

/// A vendor's keys.
pub(super) fn api_keys(database: &dyn Database, vendor: VendorId) -> ControlResult<Vec<ApiKeyInfo>> {
    let rows = database.query(
        "select id, name, mode, created_at, last_used_at, revoked_at from api_keys where vendor = ?1 order by id",
        values![vendor.0],
    )?;
    let mut keys = Vec::new();
    for row in rows {
        let mode: String = row.get(2)?;
        keys.push(ApiKeyInfo {
            id: row.get(0)?,
            name: row.get(1)?,
            mode: mode_named(&mode).ok_or_else(|| anyhow::anyhow!("an API key has an unknown mode `{mode}`"))?,
            created_at: Timestamp(row.get(3)?),
            last_used_at: row.get::<Option<i64>>(4)?.map(Timestamp),
            revoked_at: row.get::<Option<i64>>(5)?.map(Timestamp),
        });
    }
    Ok(keys)
}

/// Ends a key of a vendor. Ending it again changes nothing.
pub(super) fn revoke_api_key(
    database: &dyn Database,
    vendor: VendorId,
    key: u64,
    actor: &str,
    now: Timestamp,
) -> ControlResult<()> {
    let revoked = database.execute(
        "update api_keys set revoked_at = coalesce(revoked_at, ?3) where vendor = ?1 and id = ?2",
        values![vendor.0, key, now.0],
    )?;
    if revoked == 0 {
        return Err(ControlError::NotFound(format!("API key {key} of vendor {vendor}")));
    }
    audit(database, vendor, actor, "revoke_api_key", &serde_json::json!({ "key": key }).to_string(), now)
}
