//! The queue of outgoing mail. What is to be mailed is written in the transaction of its cause; a worker takes it from
//! there. A cause is mailed once: its row stays.
//!
//! A mail is `claimed` until it is handed over and `sending` while that happens. A claim whose worker died is taken
//! again; a hand-over that was cut off is not, because nobody knows whether it arrived: it is listed as `unsure`.

use super::database::{Database, Row, Value, placeholders, values};
use super::decide::audit;
use super::sealer::Sealer;
use super::{ControlError, ControlResult};
use crate::secrets::{Sealed, SecretText};
use async_trait::async_trait;
use domain::ids::{Timestamp, VendorId};

/// The sort of mail that signs in.
pub const SIGN_IN_KIND: &str = "sign_in";
/// The sort of mail that invites an affiliate.
pub const INVITE_KIND: &str = "invite";
/// The kind of the mail about a month.
pub const SUMMARY_KIND: &str = "summary";
/// The sort of mail with a link that an affiliate asked for.
pub const PORTAL_LINK_KIND: &str = "portal_link";
/// How long a worker may take over a mail that it has claimed.
pub const CLAIM_MS: i64 = 2 * 60 * 1000;
/// Most mails of one claim.
const MAX_CLAIMED: usize = 100;
/// Longest mail, in bytes.
const MAX_MAIL_BYTES: usize = 1_000_000;
const MAX_ERROR_CHARACTERS: usize = 500;
const MAX_LISTED: usize = 500;
/// Most kinds that a worker may say it knows.
const MAX_KINDS: usize = 100;
/// How a mail that may have arrived is sent again all the same.
const ALLOW_TWICE: &str = "say that it may arrive twice (--may-arrive-twice) to send it again";
/// Most mails of one retry of a whole kind.
const MAX_RETRIED: u64 = 10_000;

/// What names a mail for ever: its cause, for example `spike:91f0`. Unique over all mails.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MailId(pub String);

/// A mail to be sent.
#[derive(Debug, Clone)]
pub struct NewMail {
    /// Whose; none for a sign-in.
    pub vendor: Option<VendorId>,
    /// Why. A second mail of the same cause is not written.
    pub cause: MailId,
    /// Which sort, for lists and metrics, for example `sign_in`.
    pub kind: &'static str,
    /// Where to.
    pub recipient: String,
    /// What is said, as whoever renders it understands it. Encrypted at rest, erased once sent.
    pub content: SecretText,
}

/// A mail that a worker has claimed.
#[derive(Debug)]
pub struct ClaimedMail {
    /// Row.
    pub id: u64,
    /// Why.
    pub cause: MailId,
    /// Where to.
    pub recipient: String,
    /// What is said.
    pub content: SecretText,
    /// The number of this try, from 1. It proves the claim.
    pub tries: u32,
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailEnd {
    /// It was taken.
    Sent,
    /// It was not taken and may be later.
    Later {
        /// Not before.
        at: Timestamp,
        /// Why.
        error: String,
    },
    /// It was not taken and never will be.
    Failed {
        /// Why.
        error: String,
    },
    /// It may have been taken.
    Unsure {
        /// Why.
        error: String,
    },
}

/// Where a mail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailState {
    /// Waiting for its time, or for a worker.
    Waiting,
    /// A worker has it.
    Claimed,
    /// Being handed over.
    Sending,
    /// Taken.
    Sent,
    /// Given up.
    Failed,
    /// Perhaps taken.
    Unsure,
}

impl MailState {
    const ALL: [MailState; 6] = [
        MailState::Waiting,
        MailState::Claimed,
        MailState::Sending,
        MailState::Sent,
        MailState::Failed,
        MailState::Unsure,
    ];

    /// As it is stored and listed.
    pub fn name(self) -> &'static str {
        match self {
            MailState::Waiting => "waiting",
            MailState::Claimed => "claimed",
            MailState::Sending => "sending",
            MailState::Sent => "sent",
            MailState::Failed => "failed",
            MailState::Unsure => "unsure",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<MailState> {
        MailState::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A mail as lists show it: not what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailInfo {
    /// Row.
    pub id: u64,
    /// Why.
    pub cause: MailId,
    /// Which sort.
    pub kind: String,
    /// Where to.
    pub recipient: String,
    /// Where it is.
    pub state: MailState,
    /// How often it was tried.
    pub tries: u32,
    /// When it was written.
    pub created_at: Timestamp,
    /// Waiting: not before. Under way: whose claim ends then.
    pub due_at: Timestamp,
    /// When it was sent or given up.
    pub finished_at: Option<Timestamp>,
    /// The last error, or empty.
    pub error: String,
}

/// Which mails a list shows.
#[derive(Debug, Clone, Default)]
pub struct MailFilter {
    /// Only in this state.
    pub state: Option<MailState>,
    /// Only of this sort.
    pub kind: Option<String>,
    /// Only below this row.
    pub before: Option<u64>,
}

/// The queue of outgoing mail.
#[async_trait]
pub trait MailQueue: Send + Sync {
    /// Puts a mail in, unless its cause has one already. Returns whether it did.
    async fn enqueue_mail(&self, mail: NewMail, now: Timestamp) -> ControlResult<bool>;
    /// Takes up to `limit` mails of these sorts that are due, for [`CLAIM_MS`]: a sort that only a newer release knows
    /// waits for it. A hand-over that nobody ended in that time becomes `unsure`.
    async fn claim_mails(&self, kinds: &[&str], limit: usize, now: Timestamp) -> ControlResult<Vec<ClaimedMail>>;
    /// The mail is handed over from now on. False when somebody else has it, or it was ended: then it must not be sent.
    async fn begin_sending(&self, mail: u64, tries: u32, now: Timestamp) -> ControlResult<bool>;
    /// What came of it. Does nothing when somebody else has it by now.
    async fn end_sending(&self, mail: u64, tries: u32, end: MailEnd, now: Timestamp) -> ControlResult<()>;
    /// Mails in a state, the newest first, below the row `before`.
    async fn mails(&self, state: MailState, before: Option<u64>, limit: usize) -> ControlResult<Vec<MailInfo>> {
        self.list_mails(MailFilter { state: Some(state), kind: None, before }, limit).await
    }
    /// Mails that the filter lets through, the newest first, at most 500.
    async fn list_mails(&self, filter: MailFilter, limit: usize) -> ControlResult<Vec<MailInfo>>;
    /// Sends one that failed again; one that is unsure only if it may arrive twice. `actor` is who wants it.
    async fn retry_mail(&self, mail: u64, may_arrive_twice: bool, actor: &str, now: Timestamp) -> ControlResult<()>;
    /// Sends everything of a sort that failed again, at most 10,000. Returns how many.
    async fn retry_failed_mails(&self, kind: &str, actor: &str, now: Timestamp) -> ControlResult<u64>;
}

fn row_of(cause: &MailId) -> String {
    // Rows get their number when they are written, so the cause is what binds what is sealed.
    format!("mails/{}", cause.0)
}

pub(super) fn enqueue(database: &dyn Database, sealer: &Sealer, mail: &NewMail, now: Timestamp) -> ControlResult<bool> {
    if mail.content.expose().len() > MAX_MAIL_BYTES {
        return Err(ControlError::invalid("content", format!("a mail of more than {MAX_MAIL_BYTES} bytes")));
    }
    let sealed = sealer.seal(&row_of(&mail.cause), mail.content.expose().as_bytes())?;
    let written = database.execute(
        "insert into mails (vendor, cause, kind, recipient, state, tries, due_at, created_at, error, key_id, sealed)
         values (?1, ?2, ?3, ?4, 'waiting', 0, ?5, ?5, '', ?6, ?7) on conflict (cause) do nothing",
        values![
            mail.vendor.map(|vendor| vendor.0),
            &mail.cause.0,
            mail.kind,
            &mail.recipient,
            now.0,
            sealed.key_id,
            sealed.bytes
        ],
    )?;
    Ok(written == 1)
}

pub(super) fn claim(
    database: &dyn Database,
    sealer: &Sealer,
    kinds: &[String],
    limit: usize,
    now: Timestamp,
) -> ControlResult<Vec<ClaimedMail>> {
    if kinds.len() > MAX_KINDS {
        return Err(ControlError::invalid("kinds", format!("more than {MAX_KINDS} sorts of mail")));
    }
    database.execute(
        "update mails set state = 'unsure', finished_at = ?1,
           error = 'the process that handed it over ended before it heard whether it was taken'
         where state = 'sending' and due_at <= ?1",
        values![now.0],
    )?;
    let count = kinds.len();
    let sql = format!(
        "select id, cause, recipient, tries, key_id, sealed from mails
         where kind in ({}) and state in ('waiting', 'claimed') and due_at <= ?{} order by due_at, id limit ?{}{}",
        placeholders(count),
        count + 1,
        count + 2,
        database.row_lock()
    );
    let mut asked: Vec<Value<'_>> = kinds.iter().map(Value::from).collect();
    asked.extend([Value::from(now.0), Value::from(limit.min(MAX_CLAIMED) as u64)]);
    let rows = database.query(&sql, &asked)?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        let (id, cause, tries) = (row.get::<u64>(0)?, MailId(row.get(1)?), row.get::<u32>(3)? + 1);
        let sealed = Sealed { key_id: row.get(4)?, bytes: row.get(5)? };
        let content = sealer.open_text(&row_of(&cause), &sealed)?;
        database.execute(
            "update mails set state = 'claimed', tries = ?2, due_at = ?3 where id = ?1",
            values![id, tries, now.0 + CLAIM_MS],
        )?;
        claimed.push(ClaimedMail { id, cause, recipient: row.get(2)?, content, tries });
    }
    Ok(claimed)
}

pub(super) fn begin(database: &dyn Database, mail: u64, tries: u32, now: Timestamp) -> ControlResult<bool> {
    let begun = database.execute(
        "update mails set state = 'sending', due_at = ?3 where id = ?1 and tries = ?2 and state = 'claimed'",
        values![mail, tries, now.0 + CLAIM_MS],
    )?;
    Ok(begun == 1)
}

pub(super) fn end(database: &dyn Database, mail: u64, tries: u32, end: MailEnd, now: Timestamp) -> ControlResult<()> {
    let owned = "where id = ?1 and tries = ?2 and state in ('claimed', 'sending')";
    let (state, error) = match end {
        MailEnd::Sent => {
            // What it said is not kept: it may carry a link that signs in. The place of a sealed value is empty.
            let sql = format!(
                "update mails set state = 'sent', finished_at = ?3, error = '', key_id = '', sealed = ?4 {owned}"
            );
            database.execute(&sql, values![mail, tries, now.0, Vec::new()])?;
            return Ok(());
        }
        MailEnd::Later { at, error } => {
            let sql = format!("update mails set state = 'waiting', due_at = ?3, error = ?4 {owned}");
            database.execute(&sql, values![mail, tries, at.0, shortened(&error)])?;
            return Ok(());
        }
        MailEnd::Failed { error } => (MailState::Failed, error),
        MailEnd::Unsure { error } => (MailState::Unsure, error),
    };
    let sql = format!("update mails set state = ?3, finished_at = ?4, error = ?5 {owned}");
    database.execute(&sql, values![mail, tries, state.name(), now.0, shortened(&error)])?;
    Ok(())
}

fn shortened(error: &str) -> String {
    // Servers answer with what they like; Postgres takes no NUL.
    error.chars().filter(|sign| !sign.is_control()).take(MAX_ERROR_CHARACTERS).collect()
}

pub(super) fn list(database: &dyn Database, filter: &MailFilter, limit: usize) -> ControlResult<Vec<MailInfo>> {
    let rows = database.query(
        "select id, cause, kind, recipient, state, tries, created_at, due_at, finished_at, error from mails
         where (state = ?1 or ?1 is null) and (kind = ?2 or ?2 is null) and (id < ?3 or ?3 is null)
         order by id desc limit ?4",
        values![filter.state.map(MailState::name), filter.kind.as_ref(), filter.before, limit.min(MAX_LISTED) as u64],
    )?;
    rows.into_iter().map(info).collect()
}

fn info(row: Row) -> ControlResult<MailInfo> {
    let state: String = row.get(4)?;
    let state = MailState::named(&state)
        .ok_or_else(|| ControlError::Failed(anyhow::anyhow!("`{state}` is no state of a mail")))?;
    Ok(MailInfo {
        id: row.get(0)?,
        cause: MailId(row.get(1)?),
        kind: row.get(2)?,
        recipient: row.get(3)?,
        state,
        tries: row.get(5)?,
        created_at: Timestamp(row.get(6)?),
        due_at: Timestamp(row.get(7)?),
        finished_at: row.get::<Option<i64>>(8)?.map(Timestamp),
        error: row.get(9)?,
    })
}

pub(super) fn retry(
    database: &dyn Database,
    mail: u64,
    may_arrive_twice: bool,
    actor: &str,
    now: Timestamp,
) -> ControlResult<()> {
    let found = database.query_optional("select state, vendor from mails where id = ?1", values![mail])?;
    let Some(row) = found else { return Err(ControlError::NotFound(format!("mail {mail}"))) };
    let state: String = row.get(0)?;
    if state == MailState::Unsure.name() && !may_arrive_twice {
        return Err(ControlError::invalid("mail", format!("mail {mail} may have arrived already; {ALLOW_TWICE}")));
    }
    let again = database.execute(
        "update mails set state = 'waiting', due_at = ?2, finished_at = null
         where id = ?1 and state = ?3 and state in ('failed', 'unsure')",
        values![mail, now.0, &state],
    )?;
    if again == 0 {
        let message = format!("mail {mail} is {state}: only what failed, or may have arrived, is sent again");
        return Err(ControlError::invalid("mail", message));
    }
    let vendor = VendorId(row.get::<Option<u64>>(1)?.unwrap_or_default());
    let detail = serde_json::json!({ "mail": mail, "was": state }).to_string();
    audit(database, vendor, actor, "retry_mail", &detail, now)
}

pub(super) fn retry_failed(database: &dyn Database, kind: &str, actor: &str, now: Timestamp) -> ControlResult<u64> {
    let again = database.execute(
        "update mails set state = 'waiting', due_at = ?2, finished_at = null where state = 'failed' and id in
           (select id from mails where kind = ?1 and state = 'failed' order by id limit ?3)",
        values![kind, now.0, MAX_RETRIED],
    )?;
    if again > 0 {
        let detail = serde_json::json!({ "kind": kind, "mails": again }).to_string();
        audit(database, VendorId(0), actor, "retry_mails", &detail, now)?;
    }
    Ok(again)
}

/// Closes what waits with the newest key. Returns how many rows were written.
pub(super) fn rotate(database: &dyn Database, sealer: &Sealer) -> ControlResult<u64> {
    let rows = database.query(
        "select id, cause, key_id, sealed from mails where key_id <> ?1 and key_id <> ''",
        values![sealer.newest_key_id()],
    )?;
    let count = rows.len() as u64;
    for row in rows {
        let name = row_of(&MailId(row.get(1)?));
        let old = Sealed { key_id: row.get(2)?, bytes: row.get(3)? };
        let new = sealer.seal(&name, &sealer.open(&name, &old)?)?;
        database.execute(
            "update mails set key_id = ?2, sealed = ?3 where id = ?1",
            values![row.get::<u64>(0)?, new.key_id, new.bytes],
        )?;
    }
    Ok(count)
}
