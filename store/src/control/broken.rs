//! Endpoints whose deliveries are refused: who is to be told, and that they were told once for each breakage.

use super::alerts::MAX_RECIPIENTS;
use super::backend::{Backend, Reach, Tells};
use super::connections::provider_named;
use super::database::{Database, Row, values};
use super::mails::{self, NewMail};
use super::people::{MailAddress, Person, PersonId, Role};
use super::sealer::Sealer;
use super::store::ControlStoreOn;
use super::{ControlResult, failures};
use async_trait::async_trait;
use domain::ids::{ConnectionId, Provider, Timestamp, VendorId};

/// Most endpoints of one look.
const MAX_WATCHED: u64 = 1_000;
/// What was refused longer ago than this breaks nothing today, in milliseconds.
const WATCHED_MS: i64 = 24 * 60 * 60 * 1_000;

/// An endpoint of an open connection that refused something lately, or that is noted as broken.
#[derive(Debug, Clone)]
pub struct WatchedEndpoint {
    /// Whose.
    pub vendor: VendorId,
    /// Slug of the vendor.
    pub slug: String,
    /// Name of the vendor.
    pub name: String,
    /// IANA name of its zone.
    pub time_zone: String,
    /// Its connection.
    pub connection: ConnectionId,
    /// Who delivers to it.
    pub provider: Provider,
    /// The random part of its address.
    pub endpoint: String,
    /// What processes refused, as each wrote it.
    pub lists: Vec<String>,
    /// Since when it is noted as broken, if it is.
    pub broken_since: Option<Timestamp>,
    /// The vendor's owners who have an address.
    pub people: Vec<Person>,
}

/// Breakages of endpoints.
#[async_trait]
pub trait Breakages: Send + Sync {
    /// For the wiring: endpoints of real vendors that may be broken, or are no longer.
    async fn watched_endpoints(&self, now: Timestamp) -> ControlResult<Vec<WatchedEndpoint>>;
    /// Notes that an endpoint is broken, with the mails about it, in one transaction. False, and no mail, when it was
    /// noted already.
    async fn note_broken(
        &self,
        vendor: VendorId,
        endpoint: &str,
        since: Timestamp,
        mails: Vec<NewMail>,
        now: Timestamp,
    ) -> ControlResult<bool>;
    /// It is well again: the next breakage is told again.
    async fn note_well(&self, vendor: VendorId, endpoint: &str) -> ControlResult<()>;
}

fn watched(database: &dyn Database, now: Timestamp) -> ControlResult<Vec<WatchedEndpoint>> {
    let rows = database.query(
        "select vendors.id, vendors.slug, vendors.name, vendors.time_zone, connections.id, connections.provider,
           endpoints.id, broken_endpoints.since
         from endpoints
         join connections on connections.id = endpoints.connection and connections.closed_at is null
         join vendors on vendors.id = endpoints.vendor and vendors.is_demo = 0
         left join broken_endpoints on broken_endpoints.vendor = vendors.id and broken_endpoints.endpoint = endpoints.id
         where broken_endpoints.since is not null or endpoints.id in (select endpoint from failed_deliveries where at > ?2)
         order by endpoints.id limit ?1",
        values![MAX_WATCHED, now.0 - WATCHED_MS],
    )?;
    rows.into_iter().map(|row| watched_row(database, row)).collect()
}

fn watched_row(database: &dyn Database, row: Row) -> ControlResult<WatchedEndpoint> {
    let (vendor, endpoint) = (VendorId(row.get(0)?), row.get::<String>(6)?);
    let lists = failures::lists(database, vendor, &endpoint)?.into_iter().map(|(_, list)| list).collect();
    Ok(WatchedEndpoint {
        vendor,
        slug: row.get(1)?,
        name: row.get(2)?,
        time_zone: row.get(3)?,
        connection: ConnectionId(row.get(4)?),
        provider: provider_named(&row.get::<String>(5)?)?,
        endpoint,
        lists,
        broken_since: row.get::<Option<i64>>(7)?.map(Timestamp),
        people: owners(database, vendor)?,
    })
}

/// A vendor's owners who have an address. The operator has none.
pub(super) fn owners(database: &dyn Database, vendor: VendorId) -> ControlResult<Vec<Person>> {
    let rows = database.query(
        "select people.id, people.email, people.created_at from members join people on people.id = members.person
         where members.vendor = ?1 and members.role = ?2 order by people.id limit ?3",
        values![vendor.0, Role::Owner.name(), MAX_RECIPIENTS as i64],
    )?;
    rows.iter().map(person_of_row).collect()
}

/// A person of a row that begins with number, address and when they first signed in.
pub(super) fn person_of_row(row: &Row) -> ControlResult<Person> {
    Ok(Person {
        id: PersonId(row.get(0)?),
        email: MailAddress::stored(row.get(1)?)?,
        created_at: Timestamp(row.get(2)?),
    })
}

fn note_broken(
    database: &dyn Database,
    sealer: &Sealer,
    (vendor, endpoint): (VendorId, &str),
    since: Timestamp,
    mails: &[NewMail],
    now: Timestamp,
) -> ControlResult<bool> {
    let noted = database.execute(
        "insert into broken_endpoints (vendor, endpoint, since, noted_at) values (?1, ?2, ?3, ?4)
         on conflict (vendor, endpoint) do nothing",
        values![vendor.0, endpoint, since.0, now.0],
    )?;
    if noted == 0 {
        return Ok(false);
    }
    for mail in mails {
        mails::enqueue(database, sealer, mail, now)?;
    }
    Ok(true)
}

#[async_trait]
impl<B: Backend> Breakages for ControlStoreOn<B> {
    async fn watched_endpoints(&self, now: Timestamp) -> ControlResult<Vec<WatchedEndpoint>> {
        self.backend.read(Reach::Wiring, move |database| watched(database, now)).await
    }

    async fn note_broken(
        &self,
        vendor: VendorId,
        endpoint: &str,
        since: Timestamp,
        mails: Vec<NewMail>,
        now: Timestamp,
    ) -> ControlResult<bool> {
        let (sealer, endpoint) = (self.sealer(), endpoint.to_owned());
        let note =
            move |database: &dyn Database| note_broken(database, &sealer, (vendor, &endpoint), since, &mails, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, note).await
    }

    async fn note_well(&self, vendor: VendorId, endpoint: &str) -> ControlResult<()> {
        let endpoint = endpoint.to_owned();
        let note = move |database: &dyn Database| {
            let sql = "delete from broken_endpoints where vendor = ?1 and endpoint = ?2";
            database.execute(sql, values![vendor.0, &endpoint])?;
            Ok(())
        };
        self.backend.write(Reach::Tenant(vendor), Tells::NOTHING, note).await
    }
}
