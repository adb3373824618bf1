//! Rows of Stripe connected with a restricted key.

use super::connections::{
    add_secret, announce, checked_address, checked_secret, connection_of_account, mode_named, mode_of_key,
    open_connection, open_endpoint, set_connection, set_lookup_key,
};
use super::database::{Database, Row, values};
use super::decide::audit;
use super::sealer::Sealer;
use super::stripe::*;
use super::{ConnectRequest, ControlError, ControlResult, NewVendor, vendors};
use crate::secrets::SecretText;
use domain::ids::{ConnectionId, Mode, Provider, Timestamp, VendorId};
use std::time::Duration;

/// How far back events are read: Stripe keeps them for as long.
const HISTORY: Duration = Duration::from_secs(30 * 86_400);

/// Opens the connection and its endpoint, and keeps the key.
pub(super) fn begin(
    database: &dyn Database,
    sealer: &Sealer,
    request: &StripeKeyRequest,
    actor: &str,
    now: Timestamp,
) -> ControlResult<BegunStripe> {
    let key = checked_secret("key", &request.key)?;
    let mode = mode_of_key(Provider::Stripe, &key, None)?;
    let mode =
        mode.ok_or_else(|| ControlError::invalid("key", "is no key of Stripe: one begins with rk_test_ or rk_live_"))?;
    let api_base = request.api_base.as_deref().map(checked_address).transpose()?;
    let vendor = vendors::ensure(database, sealer, &NewVendor::named(&request.vendor), actor, now)?.id;
    vendors::lock(database, vendor)?;

    let before = connection_of_account(database, vendor, Provider::Stripe, "")?;
    let connection = open_connection(database, vendor, &without_secret(request), "", before.as_ref(), now)?;
    let endpoint = open_endpoint(database, sealer, vendor, connection, None, now)?;
    set_lookup_key(database, sealer, (vendor, connection), Some(mode), api_base.as_deref(), &key, now)?;
    let after = set_connection(database, vendor, connection)?;
    if before.as_ref() != Some(&after) {
        announce(database, vendor, after, now)?;
    }
    database.execute(
        "insert into stripe_webhooks (vendor, connection, mode, endpoint) values (?1, ?2, ?3, ?4)
         on conflict (connection, mode) do nothing",
        values![vendor.0, connection.0, mode.name(), &endpoint],
    )?;
    let detail = serde_json::json!({ "connection": connection, "mode": mode, "endpoint": endpoint }).to_string();
    audit(database, vendor, actor, "connect_stripe_key", &detail, now)?;
    begun(database, vendor, connection, mode)
}

/// Events say their mode themselves, so that one endpoint serves both.
fn without_secret(request: &StripeKeyRequest) -> ConnectRequest {
    ConnectRequest {
        vendor: request.vendor.clone(),
        provider: Provider::Stripe,
        secret: SecretText::new(""),
        key: None,
        api_base: None,
        account: None,
        complete_history: false,
        mode_hint: None,
    }
}

fn begun(
    database: &dyn Database,
    vendor: VendorId,
    connection: ConnectionId,
    mode: Mode,
) -> ControlResult<BegunStripe> {
    let row = database.query_one(
        "select endpoint, attempt, webhook,
           exists (select 1 from endpoint_secrets where endpoint_secrets.endpoint = stripe_webhooks.endpoint)
         from stripe_webhooks where connection = ?1 and mode = ?2",
        values![connection.0, mode.name()],
    )?;
    Ok(BegunStripe {
        vendor,
        connection,
        mode,
        endpoint_id: row.get(0)?,
        attempt: small(row.get(1)?),
        webhook: filled(row.get(2)?),
        has_secret: row.get(3)?,
    })
}

fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn next_attempt(database: &dyn Database, begun_before: BegunStripe) -> ControlResult<BegunStripe> {
    let BegunStripe { vendor, connection, mode, attempt, .. } = begun_before;
    vendors::lock(database, vendor)?;
    // Of two that found the same one gone, one counts up.
    database.execute(
        "update stripe_webhooks set attempt = attempt + 1, webhook = '' where connection = ?1 and mode = ?2 and attempt = ?3",
        values![connection.0, mode.name(), attempt],
    )?;
    begun(database, vendor, connection, mode)
}

/// Notes the endpoint, keeps its secret and begins reading, unless that is under way.
pub(super) fn finish(
    database: &dyn Database,
    sealer: &Sealer,
    begun: &BegunStripe,
    webhook: &StripeWebhook,
    actor: &str,
    now: Timestamp,
) -> ControlResult<()> {
    let (vendor, connection, mode) = (begun.vendor, begun.connection, begun.mode);
    vendors::lock(database, vendor)?;
    if let Some(secret) = &webhook.secret {
        let secret = checked_secret("secret", secret)?;
        add_secret(database, sealer, vendor, &begun.endpoint_id, &secret, now)?;
    }
    database.execute(
        "update stripe_webhooks set webhook = ?3, made_by_us = ?4, missing_events = ?5, set_up_at = ?6
         where connection = ?1 and mode = ?2",
        values![connection.0, mode.name(), &webhook.id, webhook.made_by_us, webhook.missing_events.join(","), now.0],
    )?;
    let detail = serde_json::json!({
        "connection": connection, "mode": mode, "webhook": webhook.id, "made_by_us": webhook.made_by_us,
    });
    audit(database, vendor, actor, "set_up_stripe", &detail.to_string(), now)?;
    begin_reading(database, vendor, (connection, mode), now)
}

/// Begins at the first list, unless reading is under way.
fn begin_reading(
    database: &dyn Database,
    vendor: VendorId,
    (connection, mode): (ConnectionId, Mode),
    now: Timestamp,
) -> ControlResult<()> {
    let since = now.0 - HISTORY.as_millis() as i64;
    database.execute(
        "insert into stripe_reads (vendor, connection, mode, state, step, since, began_at, looked_at)
         values (?1, ?2, ?3, 'running', ?4, ?5, ?6, ?6)
         on conflict (connection, mode) do update set state = excluded.state, step = excluded.step, after = null,
           oldest_at = null, since = excluded.since, began_at = excluded.began_at, pages = 0, promotion_codes = 0,
           coupons = 0, events = 0, skipped = 0, tries = 0, rests_until = 0, reason = '', owner = '', owned_until = 0,
           finished_at = null
         where stripe_reads.state <> 'running'",
        values![vendor.0, connection.0, mode.name(), ReadStep::PromotionCodes.name(), since, now.0],
    )?;
    Ok(())
}

/// Begins reading again: where it failed it goes on, where it was done it begins anew.
pub(super) fn again(
    database: &dyn Database,
    vendor: VendorId,
    (connection, mode): (ConnectionId, Mode),
    actor: &str,
    now: Timestamp,
) -> ControlResult<()> {
    vendors::lock(database, vendor)?;
    let known = database.query_optional(
        "select state from stripe_reads where vendor = ?1 and connection = ?2 and mode = ?3",
        values![vendor.0, connection.0, mode.name()],
    )?;
    let state: String =
        known.ok_or_else(|| ControlError::NotFound(format!("reading of connection {connection}")))?.get(0)?;
    if state == ReadState::Failed.name() {
        database.execute(
            "update stripe_reads set state = 'running', tries = 0, rests_until = 0, reason = '', owner = '',
               owned_until = 0, finished_at = null
             where vendor = ?1 and connection = ?2 and mode = ?3",
            values![vendor.0, connection.0, mode.name()],
        )?;
    } else {
        begin_reading(database, vendor, (connection, mode), now)?;
    }
    let detail = serde_json::json!({ "connection": connection, "mode": mode }).to_string();
    audit(database, vendor, actor, "read_stripe_again", &detail, now)
}

const READ_COLUMNS: &str = "stripe_reads.vendor, stripe_reads.connection, stripe_reads.mode, stripe_reads.state,
  stripe_reads.step, stripe_reads.after, stripe_reads.oldest_at, stripe_reads.since, stripe_reads.began_at,
  stripe_reads.pages, stripe_reads.promotion_codes, stripe_reads.coupons, stripe_reads.events, stripe_reads.skipped,
  stripe_reads.tries, stripe_reads.rests_until, stripe_reads.reason, stripe_reads.finished_at";

fn read_row(row: &Row) -> ControlResult<StripeRead> {
    let unknown = |name: &str| ControlError::Failed(anyhow::anyhow!("`{name}` is no word of a reading of Stripe"));
    let (mode, state, step): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
    Ok(StripeRead {
        vendor: VendorId(row.get(0)?),
        connection: ConnectionId(row.get(1)?),
        mode: mode_named(&mode).ok_or_else(|| unknown(&mode))?,
        state: [ReadState::Running, ReadState::Done, ReadState::Failed]
            .into_iter()
            .find(|known| known.name() == state)
            .ok_or_else(|| unknown(&state))?,
        step: ReadStep::ALL.into_iter().find(|known| known.name() == step).ok_or_else(|| unknown(&step))?,
        after: row.get(5)?,
        oldest_at: row.get::<Option<i64>>(6)?.map(Timestamp),
        since: Timestamp(row.get(7)?),
        began_at: Timestamp(row.get(8)?),
        pages: row.get(9)?,
        promotion_codes: row.get(10)?,
        coupons: row.get(11)?,
        events: row.get(12)?,
        skipped: row.get(13)?,
        tries: small(row.get(14)?),
        rests_until: Timestamp(row.get(15)?),
        reason: row.get(16)?,
        finished_at: row.get::<Option<i64>>(17)?.map(Timestamp),
    })
}

/// What was set up with keys, of connections that are open.
pub(super) fn setups(database: &dyn Database, vendor: VendorId) -> ControlResult<Vec<StripeSetup>> {
    let reads = database
        .query(&format!("select {READ_COLUMNS} from stripe_reads where vendor = ?1"), values![vendor.0])?
        .iter()
        .map(read_row)
        .collect::<ControlResult<Vec<StripeRead>>>()?;
    let webhooks = database.query(
        "select stripe_webhooks.connection, stripe_webhooks.mode, stripe_webhooks.webhook, stripe_webhooks.made_by_us,
           stripe_webhooks.missing_events, stripe_webhooks.set_up_at
         from stripe_webhooks join connections on connections.id = stripe_webhooks.connection
         where stripe_webhooks.vendor = ?1 and connections.closed_at is null
         order by stripe_webhooks.connection, stripe_webhooks.mode",
        values![vendor.0],
    )?;
    webhooks
        .iter()
        .map(|row| {
            let (connection, mode) = (ConnectionId(row.get(0)?), row.get::<String>(1)?);
            let mode = mode_named(&mode).unwrap_or(Mode::Live);
            let missing: String = row.get(4)?;
            let webhook = StripeWebhookInfo {
                id: filled(row.get(2)?),
                made_by_us: row.get(3)?,
                missing_events: missing.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect(),
                set_up_at: row.get::<Option<i64>>(5)?.map(Timestamp),
            };
            let read = reads.iter().find(|read| (read.connection, read.mode) == (connection, mode)).cloned();
            Ok(StripeSetup { connection, mode, webhook, read })
        })
        .collect()
}

const TO_READ: &str = "from stripe_reads join connections on connections.id = stripe_reads.connection
  where stripe_reads.state = 'running' and stripe_reads.owned_until <= ?1 and stripe_reads.rests_until <= ?1
    and connections.closed_at is null";

/// Whether there is anything to claim.
pub(super) fn any_to_read(database: &dyn Database, now: Timestamp) -> ControlResult<bool> {
    let sql = format!("select stripe_reads.connection {TO_READ} limit 1");
    Ok(database.query_optional(&sql, values![now.0])?.is_some())
}

/// Takes what was looked at longest ago.
pub(super) fn claim(
    database: &dyn Database,
    owner: &str,
    now: Timestamp,
    until: Timestamp,
) -> ControlResult<Option<StripeRead>> {
    let sql = format!("select {READ_COLUMNS} {TO_READ} order by stripe_reads.looked_at limit 1");
    let Some(row) = database.query_optional(&sql, values![now.0])? else { return Ok(None) };
    let read = read_row(&row)?;
    // Of two that saw the same row, the second finds it taken.
    let taken = database.execute(
        "update stripe_reads set owner = ?3, owned_until = ?4, looked_at = ?5
         where connection = ?1 and mode = ?2 and owned_until <= ?5 and state = 'running'",
        values![read.connection.0, read.mode.name(), owner, until.0, now.0],
    )?;
    Ok((taken == 1).then_some(read))
}

/// Notes how far it came, if it is still `owner`'s.
pub(super) fn note(
    database: &dyn Database,
    owner: &str,
    read: &StripeRead,
    now: Timestamp,
    until: Timestamp,
) -> ControlResult<bool> {
    let noted = database.execute(
        "update stripe_reads set state = ?4, step = ?5, after = ?6, oldest_at = ?7, pages = ?8, promotion_codes = ?9,
           coupons = ?10, events = ?11, skipped = ?12, tries = ?13, rests_until = ?14, reason = ?15, finished_at = ?16,
           owned_until = ?17, looked_at = ?18
         where connection = ?1 and mode = ?2 and owner = ?3 and began_at = ?19 and state = 'running'",
        values![
            read.connection.0,
            read.mode.name(),
            owner,
            read.state.name(),
            read.step.name(),
            read.after.as_deref(),
            read.oldest_at.map(|at| at.0),
            read.pages,
            read.promotion_codes,
            read.coupons,
            read.events,
            read.skipped,
            read.tries,
            read.rests_until.0,
            &read.reason,
            read.finished_at.map(|at| at.0),
            until.0,
            now.0,
            read.began_at.0,
        ],
    )?;
    Ok(noted == 1)
}
