//! Sign-in tokens, sessions, API keys, and the scopes they give. Of every credential only
//! the SHA-256 is stored: it is long and random, so a slow hash would add nothing, and the
//! search by hash tells nothing about how much of a guess was right.

use super::connections::mode_named;
use super::decide::audit;
use super::resolve::checked_text;
use super::sqlite_store::Sealer;
use super::*;
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use sha2::{Digest, Sha256};

const TOKEN_LIFE_MS: i64 = 15 * 60 * 1000;
const SESSION_LIFE_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// A session's end is moved at most this often, so that reading a page rarely writes.
const SESSION_STEP_MS: i64 = 60 * 60 * 1000;
const KEY_USE_STEP_MS: i64 = 60 * 1000;
const MAX_OPEN_TOKENS: i64 = 100;
const MAX_SESSIONS: i64 = 1_000;
const MAX_KEYS_PER_VENDOR: i64 = 100;
const MAX_NAME_CHARACTERS: usize = 100;
const CREDENTIAL_BYTES: usize = 32;
const KEY_PREFIX: &str = "atk_";

fn hash(credential: &str) -> [u8; 32] {
    Sha256::digest(credential.as_bytes()).into()
}

fn random_text(sealer: &Sealer) -> ControlResult<String> {
    let mut bytes = [0; CREDENTIAL_BYTES];
    sealer.fill_random(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// A token that opens one session.
pub(super) fn create_login_token(
    transaction: &Transaction<'_>,
    sealer: &Sealer,
    now: Timestamp,
) -> ControlResult<SecretText> {
    transaction.execute("delete from login_tokens where expires_at <= ?1", [now.0])?;
    // Someone who asks again and again uses up the oldest tokens, not the disk.
    transaction.execute(
        "delete from login_tokens where hash in (select hash from login_tokens order by expires_at desc, hash limit -1 offset ?1)",
        [MAX_OPEN_TOKENS - 1],
    )?;
    let token = random_text(sealer)?;
    transaction.execute(
        "insert into login_tokens (hash, expires_at) values (?1, ?2)",
        (hash(&token), now.0 + TOKEN_LIFE_MS),
    )?;
    Ok(SecretText::new(token))
}

/// Uses a token up and opens a session.
pub(super) fn open_session(
    transaction: &Transaction<'_>,
    sealer: &Sealer,
    token: &str,
    now: Timestamp,
) -> ControlResult<Option<Session>> {
    let expires_at: Option<i64> = transaction
        .query_row("delete from login_tokens where hash = ?1 returning expires_at", [hash(token)], |row| row.get(0))
        .optional()?;
    if expires_at.is_none_or(|expires_at| expires_at <= now.0) {
        return Ok(None);
    }
    transaction.execute("delete from sessions where expires_at <= ?1", [now.0])?;
    transaction.execute(
        "delete from sessions where hash in (select hash from sessions order by expires_at desc, hash limit -1 offset ?1)",
        [MAX_SESSIONS - 1],
    )?;
    let (cookie, csrf) = (random_text(sealer)?, random_text(sealer)?);
    let expires_at = Timestamp(now.0 + SESSION_LIFE_MS);
    transaction.execute(
        "insert into sessions (hash, csrf, created_at, expires_at) values (?1, ?2, ?3, ?4)",
        (hash(&cookie), &csrf, now.0, expires_at.0),
    )?;
    audit(transaction, VendorId(0), "operator", "open_session", "{}", now)?;
    Ok(Some(Session { cookie: SecretText::new(cookie), csrf, expires_at }))
}

/// The session of a cookie, as it is stored.
pub(super) fn session(connection: &Connection, cookie: &str, now: Timestamp) -> ControlResult<Option<Session>> {
    let from_row = |row: &Row<'_>| {
        Ok(Session { cookie: SecretText::new(cookie), csrf: row.get(0)?, expires_at: Timestamp(row.get(1)?) })
    };
    Ok(connection
        .prepare_cached("select csrf, expires_at from sessions where hash = ?1 and expires_at > ?2")?
        .query_row((hash(cookie), now.0), from_row)
        .optional()?)
}

/// The later end of a session that is used now; none while the stored one is near enough.
pub(super) fn later_end(session: &Session, now: Timestamp) -> Option<Timestamp> {
    let end = Timestamp(now.0 + SESSION_LIFE_MS);
    (end.0 - session.expires_at.0 >= SESSION_STEP_MS).then_some(end)
}

/// Moves the end of a session.
pub(super) fn move_end(transaction: &Transaction<'_>, cookie: &str, end: Timestamp) -> ControlResult<()> {
    transaction
        .execute("update sessions set expires_at = max(expires_at, ?2) where hash = ?1", (hash(cookie), end.0))?;
    Ok(())
}

/// Ends a session.
pub(super) fn close_session(transaction: &Transaction<'_>, cookie: &str) -> ControlResult<()> {
    transaction.execute("delete from sessions where hash = ?1", [hash(cookie)])?;
    Ok(())
}

/// What a person or the local socket sees of a vendor.
pub(super) fn scope_of_vendor(connection: &Connection, slug: &str, mode: Mode) -> ControlResult<Option<TenantScope>> {
    Ok(vendors::by_slug(connection, slug)?.map(|vendor| TenantScope::new(vendor.id, mode)))
}

/// A new API key.
pub(super) fn create_api_key(
    transaction: &Transaction<'_>,
    sealer: &Sealer,
    (vendor, mode): (VendorId, Mode),
    name: &str,
    actor: &str,
    now: Timestamp,
) -> ControlResult<SecretText> {
    let name = checked_text("name", name, MAX_NAME_CHARACTERS)?;
    vendors::by_id(transaction, vendor)?;
    let count: i64 = transaction.query_row(
        "select count(*) from api_keys where vendor = ?1 and revoked_at is null",
        [vendor.0],
        |row| row.get(0),
    )?;
    if count >= MAX_KEYS_PER_VENDOR {
        return Err(ControlError::invalid(
            "name",
            format!("the vendor has {count} keys already; revoke one that is no longer used"),
        ));
    }
    let key = format!("{KEY_PREFIX}{}", random_text(sealer)?);
    transaction.execute(
        "insert into api_keys (vendor, mode, name, hash, created_at) values (?1, ?2, ?3, ?4, ?5)",
        (vendor.0, mode.name(), &name, hash(&key), now.0),
    )?;
    let detail = serde_json::json!({ "name": name, "mode": mode, "key": transaction.last_insert_rowid() }).to_string();
    audit(transaction, vendor, actor, "create_api_key", &detail, now)?;
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
pub(super) fn api_key(connection: &Connection, key: &str, now: Timestamp) -> ControlResult<Option<UsedKey>> {
    let found: Option<(u64, u64, String, Option<i64>)> = connection
        .prepare_cached("select id, vendor, mode, last_used_at from api_keys where hash = ?1 and revoked_at is null")?
        .query_row([hash(key)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((id, vendor, mode, last_used_at)) = found else {
        return Ok(None);
    };
    let mode = mode_named(&mode).ok_or_else(|| anyhow::anyhow!("API key {id} has an unknown mode"))?;
    let note_use = last_used_at.is_none_or(|at| at <= now.0 - KEY_USE_STEP_MS);
    Ok(Some(UsedKey { id, scope: TenantScope::new(VendorId(vendor), mode), note_use }))
}

/// Notes that a key was used.
pub(super) fn note_key_use(transaction: &Transaction<'_>, id: u64, now: Timestamp) -> ControlResult<()> {
    transaction
        .execute("update api_keys set last_used_at = max(coalesce(last_used_at, 0), ?2) where id = ?1", (id, now.0))?;
    Ok(())
}

/// A vendor's keys.
pub(super) fn api_keys(connection: &Connection, vendor: VendorId) -> ControlResult<Vec<ApiKeyInfo>> {
    let mut statement = connection.prepare_cached(
        "select id, name, mode, created_at, last_used_at, revoked_at from api_keys where vendor = ?1 order by id",
    )?;
    let mut rows = statement.query([vendor.0])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let mode: String = row.get(2)?;
        keys.push(ApiKeyInfo {
            id: row.get(0)?,
            name: row.get(1)?,
            mode: mode_named(&mode).ok_or_else(|| anyhow::anyhow!("an API key has an unknown mode `{mode}`"))?,
            created_at: Timestamp(row.get(3)?),
            last_used_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
            revoked_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        });
    }
    Ok(keys)
}

/// Ends a key of a vendor. Ending it again changes nothing.
pub(super) fn revoke_api_key(
    transaction: &Transaction<'_>,
    vendor: VendorId,
    key: u64,
    actor: &str,
    now: Timestamp,
) -> ControlResult<()> {
    let revoked = transaction.execute(
        "update api_keys set revoked_at = coalesce(revoked_at, ?3) where vendor = ?1 and id = ?2",
        (vendor.0, key, now.0),
    )?;
    if revoked == 0 {
        return Err(ControlError::NotFound(format!("API key {key} of vendor {vendor}")));
    }
    audit(transaction, vendor, actor, "revoke_api_key", &serde_json::json!({ "key": key }).to_string(), now)
}
