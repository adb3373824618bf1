//! Tenants.

use super::database::{Database, DatabaseResult, Row, values};
use super::decide::audit;
use super::resolve::checked_text;
use super::sealer::Sealer;
use super::{ControlError, ControlResult, NewVendor, Vendor};
use crate::secrets::Sealed;
use domain::ids::{Timestamp, VendorId};
use zeroize::Zeroizing;

/// The first word of addresses that are no vendor's, though they look like one's.
const PORTAL: &str = "portal";
const COLUMNS: &str = "id, slug, name, time_zone, is_demo, created_at";
const MAX_SLUG_CHARACTERS: usize = 63;
const MAX_NAME_CHARACTERS: usize = 200;

/// The vendor with this slug; created when there is none.
pub(super) fn ensure(
    database: &dyn Database,
    sealer: &Sealer,
    vendor: &NewVendor,
    actor: &str,
    now: Timestamp,
) -> ControlResult<Vendor> {
    let slug = checked_slug(&vendor.slug)?;
    if let Some(known) = by_slug(database, &slug)? {
        return Ok(known);
    }
    let name = checked_text("name", &vendor.name, MAX_NAME_CHARACTERS)?;
    let time_zone = checked_time_zone("time_zone", &vendor.time_zone)?;
    let made = database.query_optional(
        "insert into vendors (slug, name, time_zone, is_demo, created_at, hash_key_id, hash_key_sealed)
         values (?1, ?2, ?3, ?4, ?5, '', ?6) on conflict (slug) do nothing returning id",
        values![&slug, name, time_zone, vendor.is_demo, now.0, Vec::new()],
    )?;
    let Some(made) = made else {
        // Another process made it since we looked.
        return by_slug(database, &slug)?.ok_or_else(|| ControlError::NotFound(format!("vendor {slug}")));
    };
    let id = VendorId(made.get(0)?);
    let mut hash_key = Zeroizing::new([0; 32]);
    sealer.fill_random(hash_key.as_mut_slice())?;
    let sealed = sealer.seal(&hash_key_row(id), hash_key.as_slice())?;
    database.execute(
        "update vendors set hash_key_id = ?2, hash_key_sealed = ?3 where id = ?1",
        values![id.0, sealed.key_id, sealed.bytes],
    )?;
    let detail = serde_json::json!({ "slug": slug, "is_demo": vendor.is_demo }).to_string();
    audit(database, id, actor, "create_vendor", &detail, now)?;
    by_id(database, id)
}

/// Gives a vendor another name.
pub(super) fn rename(
    database: &dyn Database,
    vendor: VendorId,
    name: &str,
    actor: &str,
    now: Timestamp,
) -> ControlResult<()> {
    let name = checked_text("name", name, MAX_NAME_CHARACTERS)?;
    if by_id(database, vendor)?.name == name {
        return Ok(());
    }
    database.execute("update vendors set name = ?2 where id = ?1", values![vendor.0, &name])?;
    audit(database, vendor, actor, "rename_vendor", &serde_json::json!({ "name": name }).to_string(), now)
}

/// The demos that people have of their own, by slug.
pub(super) fn own_demos(database: &dyn Database) -> ControlResult<Vec<Vendor>> {
    let sql = format!(
        "select {COLUMNS} from vendors where is_demo <> 0 and exists (select 1 from members where vendor = vendors.id)
         order by slug"
    );
    Ok(database.query(&sql, &[])?.into_iter().map(from_row).collect::<Result<_, _>>()?)
}

/// Keeps every other transaction from changing anything of this vendor until this one ends. What looks first and then
/// writes begins with it.
pub(super) fn lock(database: &dyn Database, vendor: VendorId) -> ControlResult<()> {
    let sql = format!("select id from vendors where id = ?1{}", database.row_lock());
    match database.query_optional(&sql, values![vendor.0])? {
        Some(_) => Ok(()),
        None => Err(ControlError::NotFound(format!("vendor {vendor}"))),
    }
}

/// Locks every vendor, those too that are just being made: row by row, one made meanwhile would be seen later, while
/// somebody else holds it and waits for us.
pub(super) fn lock_all(database: &dyn Database) -> ControlResult<()> {
    Ok(database.lock_table("vendors")?)
}

/// The row that a vendor's hash key is bound to.
pub(super) fn hash_key_row(vendor: VendorId) -> String {
    format!("vendors/{vendor}/hash_key")
}

/// The key of a vendor's e-mail hashes.
pub(super) fn open_hash_key(sealer: &Sealer, vendor: VendorId, sealed: &Sealed) -> ControlResult<[u8; 32]> {
    let row = hash_key_row(vendor);
    let plain = sealer.open(&row, sealed)?;
    plain.as_slice().try_into().map_err(|_| crate::secrets::SecretError::Damaged { row }.into())
}

/// The vendor with this slug.
pub(super) fn by_slug(database: &dyn Database, slug: &str) -> ControlResult<Option<Vendor>> {
    let sql = format!("select {COLUMNS} from vendors where slug = ?1");
    Ok(database.query_optional(&sql, values![slug])?.map(from_row).transpose()?)
}

/// The vendor with this number.
pub(super) fn by_id(database: &dyn Database, vendor: VendorId) -> ControlResult<Vendor> {
    let sql = format!("select {COLUMNS} from vendors where id = ?1");
    let found = database.query_optional(&sql, values![vendor.0])?.map(from_row).transpose()?;
    found.ok_or_else(|| ControlError::NotFound(format!("vendor {vendor}")))
}

/// Every vendor, by slug.
pub(super) fn all(database: &dyn Database) -> ControlResult<Vec<Vendor>> {
    let sql = format!("select {COLUMNS} from vendors order by slug");
    Ok(database.query(&sql, &[])?.into_iter().map(from_row).collect::<Result<_, _>>()?)
}

fn from_row(row: Row) -> DatabaseResult<Vendor> {
    Ok(Vendor {
        id: VendorId(row.get(0)?),
        slug: row.get(1)?,
        name: row.get(2)?,
        time_zone: row.get(3)?,
        is_demo: row.get(4)?,
        created_at: Timestamp(row.get(5)?),
    })
}

fn checked_slug(slug: &str) -> ControlResult<String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let starts_well = slug.bytes().next().is_some_and(allowed);
    if !starts_well
        || slug.len() > MAX_SLUG_CHARACTERS
        || !slug.bytes().all(|byte| allowed(byte) || byte == b'-' || byte == b'_')
    {
        let message = format!(
            "`{slug}` is not a vendor's short name: 1 to {MAX_SLUG_CHARACTERS} of a-z, 0-9, - and _, beginning with a letter or digit"
        );
        return Err(ControlError::invalid("vendor", message));
    }
    if slug == PORTAL {
        let message = format!("`{slug}` is where affiliates look; choose another name");
        return Err(ControlError::invalid("vendor", message));
    }
    Ok(slug.to_owned())
}

/// The name of a time zone that is known.
pub(super) fn checked_time_zone(field: &str, name: &str) -> ControlResult<String> {
    let name = name.trim();
    match jiff::tz::TimeZone::get(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err(ControlError::invalid(
            field,
            format!("`{name}` is not a time zone; write an IANA name like Europe/Berlin or UTC"),
        )),
    }
}
