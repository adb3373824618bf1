//! Provider accounts: endpoints, secrets, keys for asking.

use super::database::{Database, DatabaseResult, Row, values};
use super::decide::{audit, enqueue, take_sequence};
use super::sealer::Sealer;
use super::*;
use crate::secrets::Sealed;
use domain::decision::{Decision, SetConnection};
use domain::ids::Provider;
use std::collections::BTreeMap;

/// Signatures are tried against every secret, so there are few.
const MAX_SECRETS: usize = 8;
const MAX_SECRET_CHARACTERS: usize = 500;
const MAX_ADDRESS_CHARACTERS: usize = 500;
/// 128 random bits in the URL of an endpoint.
const ENDPOINT_ID_BYTES: usize = 16;

/// Opens a connection, or joins the one of the same provider and account.
pub(super) fn connect(
    database: &dyn Database,
    sealer: &Sealer,
    request: &ConnectRequest,
    actor: &str,
    now: Timestamp,
) -> ControlResult<Connected> {
    let secret = checked_secret("secret", &request.secret)?;
    let key = request
        .key
        .as_ref()
        .filter(|key| !key.expose().trim().is_empty())
        .map(|key| checked_secret("key", key))
        .transpose()?;
    let api_base = request.api_base.as_deref().map(checked_address).transpose()?;
    if api_base.is_some() && key.is_none() {
        return Err(ControlError::invalid("api_base", "is of no use without `key`: give both or none"));
    }
    let account = request.account.as_deref().unwrap_or_default().trim().to_owned();
    let vendor = vendors::ensure(database, sealer, &NewVendor::named(&request.vendor), actor, now)?.id;
    vendors::lock(database, vendor)?;

    let before = connection_of_account(database, vendor, request.provider, &account)?;
    let connection = open_connection(database, vendor, request, &account, before.as_ref(), now)?;
    let endpoint_id = open_endpoint(database, sealer, vendor, connection, request.mode_hint, now)?;
    add_secret(database, sealer, vendor, &endpoint_id, &secret, now)?;
    if let Some(key) = key {
        let mode = mode_of_key(request.provider, &key, request.mode_hint)?;
        set_lookup_key(database, sealer, (vendor, connection), mode, api_base.as_deref(), &key, now)?;
    }
    let after = set_connection(database, vendor, connection)?;
    if before.as_ref() != Some(&after) {
        announce(database, vendor, after, now)?;
    }
    let detail = serde_json::json!({
        "connection": connection, "provider": request.provider, "mode": request.mode_hint, "endpoint": endpoint_id,
    });
    audit(database, vendor, actor, "connect", &detail.to_string(), now)?;
    Ok(Connected { vendor, connection, endpoint_id })
}

/// Gives the state of a connection to the log.
pub(super) fn announce(
    database: &dyn Database,
    vendor: VendorId,
    set: SetConnection,
    now: Timestamp,
) -> ControlResult<()> {
    let seq = take_sequence(database, vendor, 1)?;
    enqueue(database, vendor, seq, &Decision::SetConnection(set), now)
}

pub(super) fn connection_of_account(
    database: &dyn Database,
    vendor: VendorId,
    provider: Provider,
    account: &str,
) -> ControlResult<Option<SetConnection>> {
    let known = database.query_optional(
        "select id from connections where vendor = ?1 and provider = ?2 and account = ?3",
        values![vendor.0, provider.name(), account],
    )?;
    known.map(|row| set_connection(database, vendor, ConnectionId(row.get(0)?))).transpose()
}

/// A connection as the log knows it.
pub(super) fn set_connection(
    database: &dyn Database,
    vendor: VendorId,
    id: ConnectionId,
) -> ControlResult<SetConnection> {
    let sql = format!("select {COLUMNS} from connections where vendor = ?1 and id = ?2");
    let row = database.query_optional(&sql, values![vendor.0, id.0])?.map(connection_row).transpose()?;
    let row = row.ok_or_else(|| ControlError::NotFound(format!("connection {id} of vendor {vendor}")))?;
    Ok(SetConnection {
        connection: id,
        provider: provider_named(&row.provider)?,
        account: Some(row.account).filter(|account| !account.is_empty()),
        history_from: row.history_from,
        can_look_up: row.can_look_up,
        closed_at: row.closed_at,
    })
}

const COLUMNS: &str = "id, provider, account, history_from, created_at, closed_at,
  exists (select 1 from lookup_keys where lookup_keys.connection = connections.id)";

struct ConnectionRow {
    id: ConnectionId,
    provider: String,
    account: String,
    history_from: Option<Timestamp>,
    created_at: Timestamp,
    closed_at: Option<Timestamp>,
    can_look_up: bool,
}

fn connection_row(row: Row) -> DatabaseResult<ConnectionRow> {
    Ok(ConnectionRow {
        id: ConnectionId(row.get(0)?),
        provider: row.get(1)?,
        account: row.get(2)?,
        history_from: row.get::<Option<i64>>(3)?.map(Timestamp),
        created_at: Timestamp(row.get(4)?),
        closed_at: row.get::<Option<i64>>(5)?.map(Timestamp),
        can_look_up: row.get(6)?,
    })
}

/// Inserts the connection, or opens it again. What happened while it was closed is unknown,
/// so that its history then begins anew, unless the caller says that it is complete.
pub(super) fn open_connection(
    database: &dyn Database,
    vendor: VendorId,
    request: &ConnectRequest,
    account: &str,
    before: Option<&SetConnection>,
    now: Timestamp,
) -> ControlResult<ConnectionId> {
    let fresh = if request.complete_history { None } else { Some(now) };
    let Some(before) = before else {
        let stored = database.query_one(
            "insert into connections (vendor, provider, account, history_from, created_at) values (?1, ?2, ?3, ?4, ?5)
             returning id",
            values![vendor.0, request.provider.name(), account, fresh.map(|from| from.0), now.0],
        )?;
        return Ok(ConnectionId(stored.get(0)?));
    };
    let history_from = match before.closed_at {
        Some(_) => fresh,
        None => before.history_from.filter(|_| !request.complete_history),
    };
    database.execute(
        "update connections set history_from = ?3, closed_at = null where vendor = ?1 and id = ?2",
        values![vendor.0, before.connection.0, history_from.map(|from| from.0)],
    )?;
    Ok(before.connection)
}

pub(super) fn open_endpoint(
    database: &dyn Database,
    sealer: &Sealer,
    vendor: VendorId,
    connection: ConnectionId,
    mode_hint: Option<Mode>,
    now: Timestamp,
) -> ControlResult<String> {
    let mode = mode_hint.map_or("", Mode::name);
    let known = database.query_optional(
        "select id from endpoints where connection = ?1 and mode_hint = ?2",
        values![connection.0, mode],
    )?;
    if let Some(known) = known {
        return Ok(known.get(0)?);
    }
    let mut random = [0; ENDPOINT_ID_BYTES];
    sealer.fill_random(&mut random)?;
    let id = hex::encode(random);
    database.execute(
        "insert into endpoints (id, vendor, connection, mode_hint, created_at) values (?1, ?2, ?3, ?4, ?5)",
        values![&id, vendor.0, connection.0, mode, now.0],
    )?;
    Ok(id)
}

/// Tables with an encrypted value in every row.
pub(super) const SEALED_TABLES: [&str; 2] = [SECRETS, LOOKUP_KEYS];
const SECRETS: &str = "endpoint_secrets";
const LOOKUP_KEYS: &str = "lookup_keys";

/// The name that binds an encrypted value to its row.
pub(super) fn row_name(table: &str, id: u64) -> String {
    format!("{table}/{id}")
}

pub(super) fn add_secret(
    database: &dyn Database,
    sealer: &Sealer,
    vendor: VendorId,
    endpoint: &str,
    secret: &SecretText,
    now: Timestamp,
) -> ControlResult<()> {
    let known = secrets_of(database, sealer, endpoint)?;
    if known.iter().any(|(_, text, _)| text == secret) {
        return Ok(());
    }
    if known.len() >= MAX_SECRETS {
        let message =
            format!("the endpoint has {MAX_SECRETS} active secrets already; remove one that is no longer used");
        return Err(ControlError::invalid("secret", message));
    }
    let stored = database.query_one(
        "insert into endpoint_secrets (vendor, endpoint, key_id, sealed, added_at) values (?1, ?2, '', ?4, ?3)
         returning id",
        values![vendor.0, endpoint, now.0, Vec::new()],
    )?;
    let id: u64 = stored.get(0)?;
    let sealed = sealer.seal(&row_name(SECRETS, id), secret.expose().as_bytes())?;
    database.execute(
        "update endpoint_secrets set key_id = ?2, sealed = ?3 where id = ?1",
        values![id, sealed.key_id, sealed.bytes],
    )?;
    Ok(())
}

/// An endpoint's secrets: number, text, since when; oldest first.
fn secrets_of(
    database: &dyn Database,
    sealer: &Sealer,
    endpoint: &str,
) -> ControlResult<Vec<(u64, SecretText, Timestamp)>> {
    let rows = database.query(
        "select id, key_id, sealed, added_at from endpoint_secrets where endpoint = ?1 order by id",
        values![endpoint],
    )?;
    rows.iter().map(|row| open_secret(sealer, row)).collect()
}

/// A secret out of the columns id, key_id, sealed, added_at.
fn open_secret(sealer: &Sealer, row: &Row) -> ControlResult<(u64, SecretText, Timestamp)> {
    let id = row.get(0)?;
    let sealed = Sealed { key_id: row.get(1)?, bytes: row.get(2)? };
    Ok((id, sealer.open_text(&row_name(SECRETS, id), &sealed)?, Timestamp(row.get(3)?)))
}

/// The newest key of a mode takes the place of the one before.
pub(super) fn set_lookup_key(
    database: &dyn Database,
    sealer: &Sealer,
    (vendor, connection): (VendorId, ConnectionId),
    mode: Option<Mode>,
    api_base: Option<&str>,
    key: &SecretText,
    now: Timestamp,
) -> ControlResult<()> {
    let mode = mode.map_or("", Mode::name);
    database.execute("delete from lookup_keys where connection = ?1 and mode = ?2", values![connection.0, mode])?;
    let stored = database.query_one(
        "insert into lookup_keys (vendor, connection, mode, api_base, key_id, sealed, added_at)
         values (?1, ?2, ?3, ?4, '', ?6, ?5) returning id",
        values![vendor.0, connection.0, mode, api_base, now.0, Vec::new()],
    )?;
    let id: u64 = stored.get(0)?;
    let sealed = sealer.seal(&row_name(LOOKUP_KEYS, id), key.expose().as_bytes())?;
    database.execute(
        "update lookup_keys set key_id = ?2, sealed = ?3 where id = ?1",
        values![id, sealed.key_id, sealed.bytes],
    )?;
    Ok(())
}

/// The mode that a key is for. Stripe writes it into the key; asking with the wrong one would
/// bring a "not found" into the log.
pub(super) fn mode_of_key(provider: Provider, key: &SecretText, hint: Option<Mode>) -> ControlResult<Option<Mode>> {
    let key = key.expose();
    let said = match provider {
        Provider::Stripe if key.starts_with("sk_test_") || key.starts_with("rk_test_") => Some(Mode::Test),
        Provider::Stripe if key.starts_with("sk_live_") || key.starts_with("rk_live_") => Some(Mode::Live),
        Provider::Stripe | Provider::Paddle | Provider::LemonSqueezy => None,
    };
    match (said, hint) {
        (Some(said), Some(hint)) if said != hint => {
            Err(ControlError::invalid("key", format!("this is a {} key, but the mode is {}", said.name(), hint.name())))
        }
        (said, hint) => Ok(said.or(hint)),
    }
}

/// Ends a secret of a vendor.
pub(super) fn remove_secret(
    database: &dyn Database,
    vendor: VendorId,
    secret: u64,
    actor: &str,
    now: Timestamp,
) -> ControlResult<()> {
    let unknown = || ControlError::NotFound(format!("secret {secret} of vendor {vendor}"));
    vendors::lock(database, vendor).map_err(|error| match error {
        ControlError::NotFound(_) => unknown(),
        other => other,
    })?;
    let found = database.query_optional(
        "select endpoint from endpoint_secrets where vendor = ?1 and id = ?2",
        values![vendor.0, secret],
    )?;
    let endpoint: String = found.ok_or_else(unknown)?.get(0)?;
    let counted =
        database.query_one("select count(*) from endpoint_secrets where endpoint = ?1", values![&endpoint])?;
    if counted.get::<i64>(0)? == 1 {
        return Err(ControlError::invalid(
            "secret",
            "is the endpoint's last one; add another first, or close the connection",
        ));
    }
    database.execute("delete from endpoint_secrets where vendor = ?1 and id = ?2", values![vendor.0, secret])?;
    let detail = serde_json::json!({ "secret": secret, "endpoint": endpoint }).to_string();
    audit(database, vendor, actor, "remove_secret", &detail, now)
}

/// A vendor's connections with masked secrets.
pub(super) fn list(database: &dyn Database, sealer: &Sealer, vendor: VendorId) -> ControlResult<Vec<ConnectionInfo>> {
    let sql = format!("select {COLUMNS} from connections where vendor = ?1 order by id");
    let rows = database.query(&sql, values![vendor.0])?;
    rows.into_iter()
        .map(|row| {
            let row = connection_row(row)?;
            Ok(ConnectionInfo {
                connection: row.id,
                provider: provider_named(&row.provider)?,
                account: Some(row.account).filter(|account| !account.is_empty()),
                history_from: row.history_from,
                created_at: row.created_at,
                closed_at: row.closed_at,
                can_look_up: row.can_look_up,
                endpoints: endpoints_of(database, sealer, row.id)?,
            })
        })
        .collect()
}

fn endpoints_of(database: &dyn Database, sealer: &Sealer, id: ConnectionId) -> ControlResult<Vec<EndpointInfo>> {
    let endpoints = database
        .query("select id, mode_hint from endpoints where connection = ?1 order by created_at, id", values![id.0])?;
    endpoints
        .into_iter()
        .map(|row| {
            let (endpoint_id, mode): (String, String) = (row.get(0)?, row.get(1)?);
            let secrets = secrets_of(database, sealer, &endpoint_id)?;
            let secrets = secrets
                .into_iter()
                .map(|(id, text, added_at)| SecretInfo { id, masked: text.masked(), added_at })
                .collect();
            Ok(EndpointInfo { endpoint_id, mode_hint: mode_named(&mode), secrets })
        })
        .collect()
}

/// What the edge must know, of every open connection.
pub(super) fn directory(database: &dyn Database, sealer: &Sealer) -> ControlResult<Vec<EndpointEntry>> {
    let mut secrets = secrets_by_endpoint(database, sealer)?;
    let rows = database.query(
        "select endpoints.id, endpoints.vendor, endpoints.connection, connections.provider, endpoints.mode_hint,
           vendors.hash_key_id, vendors.hash_key_sealed
         from endpoints join connections on connections.id = endpoints.connection
           join vendors on vendors.id = endpoints.vendor
         where connections.closed_at is null order by endpoints.vendor, endpoints.id",
        &[],
    )?;
    rows.into_iter()
        .map(|row| {
            let (endpoint_id, vendor) = (row.get::<String>(0)?, VendorId(row.get(1)?));
            let hash_key = Sealed { key_id: row.get(5)?, bytes: row.get(6)? };
            Ok(EndpointEntry {
                vendor,
                connection: ConnectionId(row.get(2)?),
                provider: provider_named(&row.get::<String>(3)?)?,
                mode_hint: mode_named(&row.get::<String>(4)?),
                secrets: secrets.remove(&endpoint_id).unwrap_or_default(),
                hash_key: HashKey(vendors::open_hash_key(sealer, vendor, &hash_key)?),
                endpoint_id,
            })
        })
        .collect()
}

/// Secrets of every open endpoint, oldest first: one statement, not one per endpoint.
fn secrets_by_endpoint(database: &dyn Database, sealer: &Sealer) -> ControlResult<BTreeMap<String, Vec<SecretText>>> {
    let rows = database.query(
        "select endpoint_secrets.id, endpoint_secrets.key_id, endpoint_secrets.sealed, endpoint_secrets.added_at,
           endpoint_secrets.endpoint
         from endpoint_secrets join endpoints on endpoints.id = endpoint_secrets.endpoint
           join connections on connections.id = endpoints.connection
         where connections.closed_at is null order by endpoint_secrets.id",
        &[],
    )?;
    let mut secrets: BTreeMap<String, Vec<SecretText>> = BTreeMap::new();
    for row in &rows {
        let (_, text, _) = open_secret(sealer, row)?;
        secrets.entry(row.get(4)?).or_default().push(text);
    }
    Ok(secrets)
}

/// How to ask a connection's provider about one mode.
pub(super) fn lookup_credentials(
    database: &dyn Database,
    sealer: &Sealer,
    id: ConnectionId,
    mode: Mode,
) -> ControlResult<Option<LookupCredentials>> {
    let found = database.query_optional(
        "select lookup_keys.id, connections.provider, lookup_keys.api_base, lookup_keys.key_id, lookup_keys.sealed
         from lookup_keys join connections on connections.id = lookup_keys.connection
         where lookup_keys.connection = ?1 and lookup_keys.mode in (?2, '') and connections.closed_at is null
         order by lookup_keys.mode desc limit 1",
        values![id.0, mode.name()],
    )?;
    found
        .map(|row| {
            let sealed = Sealed { key_id: row.get(3)?, bytes: row.get(4)? };
            let key = sealer.open_text(&row_name(LOOKUP_KEYS, row.get(0)?), &sealed)?;
            Ok(LookupCredentials { provider: provider_named(&row.get::<String>(1)?)?, api_base: row.get(2)?, key })
        })
        .transpose()
}

pub(super) fn provider_named(name: &str) -> ControlResult<Provider> {
    Provider::from_name(name).ok_or_else(|| {
        ControlError::Failed(anyhow::anyhow!(
            "the control store names a provider `{name}` that this binary does not know"
        ))
    })
}

/// The mode of a column where '' means none.
pub(super) fn mode_named(name: &str) -> Option<Mode> {
    [Mode::Test, Mode::Live].into_iter().find(|mode| mode.name() == name)
}

pub(super) fn checked_secret(field: &str, secret: &SecretText) -> ControlResult<SecretText> {
    let text = secret.expose().trim();
    if text.is_empty() {
        return Err(ControlError::invalid(field, "is blank; copy it from the provider's page"));
    }
    if text.chars().count() > MAX_SECRET_CHARACTERS
        || text.chars().any(|character| character.is_whitespace() || character.is_control())
    {
        let message = format!("has a space in it or more than {MAX_SECRET_CHARACTERS} characters; copy it again");
        return Err(ControlError::invalid(field, message));
    }
    Ok(SecretText::new(text))
}

pub(super) fn checked_address(address: &str) -> ControlResult<String> {
    let address = address.trim().trim_end_matches('/');
    let is_web = address.starts_with("https://") || address.starts_with("http://");
    if !is_web || address.len() > MAX_ADDRESS_CHARACTERS {
        return Err(ControlError::invalid(
            "api_base",
            format!("`{address}` is not an address like https://api.stripe.com"),
        ));
    }
    Ok(address.to_owned())
}
