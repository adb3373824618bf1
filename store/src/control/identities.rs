//! People who sign in with an OpenID provider. The provider's number for them is who they are: an address may change
//! hands.

use super::database::{Database, values};
use super::people::*;
use super::sealer::Sealer;
use super::{ControlResult, sign_in};
use domain::ids::Timestamp;

pub(super) fn open(
    database: &dyn Database,
    sealer: &Sealer,
    identity: &Identity,
    may_sign_up: bool,
    agent: &str,
    now: Timestamp,
) -> ControlResult<IdentityTried> {
    let known = database.query_optional(
        "select people.email from person_identities join people on people.id = person_identities.person
         where issuer = ?1 and subject = ?2",
        values![&identity.issuer, &identity.subject],
    )?;
    if let Some(row) = known {
        let email = MailAddress::stored(row.get(0)?)?;
        return Ok(IdentityTried::Opened(sign_in::open(database, sealer, &email, agent, now)?));
    }
    if !identity.is_vouched {
        return Ok(IdentityTried::MailFirst);
    }
    if !may_sign_up && sign_in::person_of(database, &identity.email)?.is_none() {
        return Ok(IdentityTried::Unknown);
    }
    let session = sign_in::open(database, sealer, &identity.email, agent, now)?;
    let Some(person) = session.person() else {
        return Ok(IdentityTried::Unknown);
    };
    // The provider gives the address to one of its people at a time: whoever had it before has it no more.
    database.execute(
        "delete from person_identities where issuer = ?1 and person = ?2",
        values![&identity.issuer, person.0],
    )?;
    database.execute(
        "insert into person_identities (issuer, subject, person, created_at) values (?1, ?2, ?3, ?4)",
        values![&identity.issuer, &identity.subject, person.0, now.0],
    )?;
    Ok(IdentityTried::Opened(session))
}
