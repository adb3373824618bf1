//! Cookies that change while their session stays: one that is a day old is followed by another.
//!
//! A session is known by the hash of its first cookie. Once that was followed, `session_cookies` says which ones open
//! it. A new cookie may be lost on its way, so the one before it stays good until the new one is shown, and a minute
//! longer for requests that are under way.

use super::access::{SESSION_LIFE_MS, hash, random_text};
use super::database::{Database, values};
use super::sealer::Sealer;
use super::{ControlResult, SecretText};
use domain::ids::Timestamp;
use std::fmt;

/// A cookie this old is followed by another.
pub(super) const COOKIE_LIFE_MS: i64 = 24 * 60 * 60 * 1_000;
/// How long a cookie is good after its follower was shown.
const GRACE_MS: i64 = 60 * 1_000;
/// A session that is used has a cookie made at most this long ago; whatever is older belongs to none.
const FORGOTTEN_MS: i64 = SESSION_LIFE_MS + 2 * COOKIE_LIFE_MS;

/// SQL: the session that the cookie whose hash is `?1` opens at the time `?2`.
pub(super) const SESSION_OF_COOKIE: &str = "coalesce(
   (select session from session_cookies where hash = ?1 and (ends_at is null or ends_at > ?2)),
   case when not exists (select 1 from session_cookies where session = ?1) then ?1 end)";

/// A session, and the cookie that was shown for it.
#[derive(Clone)]
pub(super) struct Shown {
    /// Hash of its first cookie.
    pub(super) session: Vec<u8>,
    pub(super) cookie: SecretText,
    /// When it was opened.
    pub(super) opened_at: Timestamp,
}

impl Shown {
    /// Of a session that is opened now.
    pub(super) fn first(cookie: String, now: Timestamp) -> Shown {
        Shown { session: hash(&cookie).to_vec(), cookie: SecretText::new(cookie), opened_at: now }
    }

    /// Of a session that was found.
    pub(super) fn of(cookie: &str, session: Vec<u8>, opened_at: i64) -> Shown {
        Shown { session, cookie: SecretText::new(cookie), opened_at: Timestamp(opened_at) }
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(…)")
    }
}

/// What has to be done about a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// It is the newest and was shown: the others end.
    EndOthers,
    /// It is old: another has to follow.
    Follow,
}

/// What has to be done.
pub(super) fn due(database: &dyn Database, shown: &Shown, now: Timestamp) -> ControlResult<Due> {
    let rows = database.query(
        "select hash, made_at, ends_at from session_cookies where session = ?1 order by made_at desc, hash",
        values![shown.session.clone()],
    )?;
    let (mut made_at, mut is_newest, mut others) = (shown.opened_at.0, rows.is_empty(), false);
    for (number, row) in rows.iter().enumerate() {
        let is_shown = row.get::<Vec<u8>>(0)? == hash(shown.cookie.expose());
        if number == 0 {
            (made_at, is_newest) = (row.get(1)?, is_shown);
        }
        // One that was made at the same moment may be the one that another tab keeps.
        let is_older = row.get::<i64>(1)? <= made_at - GRACE_MS;
        others |= !is_shown && is_older && row.get::<Option<i64>>(2)?.is_none();
    }
    Ok(if now.0 - made_at >= COOKIE_LIFE_MS {
        Due::Follow
    } else if is_newest && others {
        Due::EndOthers
    } else {
        Due::Nothing
    })
}

/// Does what has to be done; the cookie that follows, if one does.
pub(super) fn renew(
    database: &dyn Database,
    sealer: &Sealer,
    shown: &Shown,
    now: Timestamp,
) -> ControlResult<Option<SecretText>> {
    let current = hash(shown.cookie.expose());
    match due(database, shown, now)? {
        Due::Nothing => Ok(None),
        Due::EndOthers => {
            database.execute(
                "update session_cookies set ends_at = ?3 where session = ?1 and hash <> ?2 and ends_at is null
                   and made_at <= (select made_at from session_cookies where hash = ?2) - ?4",
                values![shown.session.clone(), current, now.0 + GRACE_MS, GRACE_MS],
            )?;
            Ok(None)
        }
        Due::Follow => {
            database.execute(
                "delete from session_cookies where (session = ?1 and ends_at <= ?2) or made_at <= ?3",
                values![shown.session.clone(), now.0, now.0 - FORGOTTEN_MS],
            )?;
            // The first cookie of an old session is no older than those that are forgotten.
            add(database, &shown.session, current, shown.opened_at.max(Timestamp(now.0 - COOKIE_LIFE_MS)))?;
            let next = random_text(sealer)?;
            add(database, &shown.session, hash(&next), now)?;
            Ok(Some(SecretText::new(next)))
        }
    }
}

fn add(database: &dyn Database, session: &[u8], cookie: [u8; 32], made_at: Timestamp) -> ControlResult<()> {
    database.execute(
        "insert into session_cookies (hash, session, made_at) values (?1, ?2, ?3) on conflict (hash) do nothing",
        values![cookie, session.to_vec(), made_at.0],
    )?;
    Ok(())
}
