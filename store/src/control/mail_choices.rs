//! Mail that is not essential: who wants which, and links that switch one sort off without a session.
//!
//! A choice that nobody made is the default of its topic. A link is made of the vendor's own key, so that every mail of
//! a topic to one address carries the same one, and only its hash is stored.

use super::access::hash;
use super::backend::{Backend, Reach, Tells};
use super::database::{Database, Row, values};
use super::mails::{self, NewMail};
use super::portal::PortalSession;
use super::sealer::Sealer;
use super::store::ControlStoreOn;
use super::vendors::open_hash_key;
use super::{ControlError, ControlResult, MailAddress, PersonId, Session};
use crate::secrets::{Sealed, SecretText};
use async_trait::async_trait;
use domain::ids::{AffiliateId, Timestamp, VendorId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Most workspaces whose choices one page shows.
const MAX_WORKSPACES: u64 = 200;

/// What mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailTopic {
    /// The figures of a month.
    Summary,
}

/// How often somebody wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailChoice {
    /// Never.
    Off,
    /// Once a month.
    Monthly,
}

/// Who gets mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MailReader {
    /// A member of the vendor.
    Person(PersonId),
    /// An affiliate of the vendor.
    Affiliate(AffiliateId),
}

impl MailTopic {
    /// Every topic, in the order of the page.
    pub const ALL: [MailTopic; 1] = [MailTopic::Summary];

    /// As it is stored and sent by forms.
    pub fn name(self) -> &'static str {
        match self {
            MailTopic::Summary => "summary",
        }
    }

    /// The topic of this name.
    pub fn named(name: &str) -> Option<MailTopic> {
        MailTopic::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// What a reader may choose.
    pub fn choices(self) -> &'static [MailChoice] {
        match self {
            MailTopic::Summary => &[MailChoice::Monthly, MailChoice::Off],
        }
    }

    /// What holds for a reader who chose nothing.
    pub fn usual(self) -> MailChoice {
        match self {
            MailTopic::Summary => MailChoice::Monthly,
        }
    }
}

impl MailChoice {
    const ALL: [MailChoice; 2] = [MailChoice::Off, MailChoice::Monthly];

    /// As it is stored and sent by forms.
    pub fn name(self) -> &'static str {
        match self {
            MailChoice::Off => "off",
            MailChoice::Monthly => "monthly",
        }
    }

    /// The choice of this name.
    pub fn named(name: &str) -> Option<MailChoice> {
        MailChoice::ALL.into_iter().find(|choice| choice.name() == name)
    }
}

impl MailReader {
    /// As rows have it: the kind of reader, and its number.
    pub(super) fn columns(self) -> (&'static str, u64) {
        match self {
            MailReader::Person(person) => ("person", person.0),
            MailReader::Affiliate(affiliate) => ("affiliate", affiliate.0),
        }
    }

    fn stored(audience: &str, reader: u64) -> ControlResult<MailReader> {
        match audience {
            "person" => Ok(MailReader::Person(PersonId(reader))),
            "affiliate" => Ok(MailReader::Affiliate(AffiliateId(reader))),
            other => Err(ControlError::Failed(anyhow::anyhow!("`{other}` is no reader of mail"))),
        }
    }
}

/// What somebody gets of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSetting {
    /// Slug of the vendor.
    pub slug: String,
    /// Name of the vendor.
    pub vendor: String,
    /// About what.
    pub topic: MailTopic,
    /// How often.
    pub choice: MailChoice,
    /// What can be chosen.
    pub choices: &'static [MailChoice],
}

/// What the link of a mail is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedMail {
    /// Name of the vendor.
    pub vendor: String,
    /// About what.
    pub topic: MailTopic,
    /// What holds now.
    pub choice: MailChoice,
}

/// A mail that its reader may switch off. The text is written once the link for that is known.
pub struct OptionalMail {
    /// For whom.
    pub reader: MailReader,
    /// Where to.
    pub email: MailAddress,
    /// About what.
    pub topic: MailTopic,
    /// Writes it; the end of the link that switches it off is given.
    pub write: Box<dyn FnOnce(&SecretText) -> NewMail + Send>,
}

/// Which mail people want.
#[async_trait]
pub trait MailChoices: Send + Sync {
    /// What the session's person gets from each of their vendors; nothing for the operator.
    async fn mail_settings(&self, session: &Session) -> ControlResult<Vec<MailSetting>>;
    /// The session's person chooses.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for a vendor that is not theirs, [`ControlError::Invalid`] for what cannot be chosen.
    async fn choose_mail(
        &self,
        session: &Session,
        slug: &str,
        topic: MailTopic,
        choice: MailChoice,
        now: Timestamp,
    ) -> ControlResult<()>;
    /// What the portal session's affiliate gets.
    async fn portal_mail_settings(&self, session: &PortalSession) -> ControlResult<Vec<MailSetting>>;
    /// The portal session's affiliate chooses.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] for what cannot be chosen.
    async fn choose_portal_mail(
        &self,
        session: &PortalSession,
        topic: MailTopic,
        choice: MailChoice,
        now: Timestamp,
    ) -> ControlResult<()>;
    /// What a link is about; none for one that nobody was mailed, or whose reader has another address now.
    async fn mail_of_link(&self, link: &str) -> ControlResult<Option<LinkedMail>>;
    /// Switches off what a link is about. Doing it again changes nothing.
    async fn unsubscribe(&self, link: &str, now: Timestamp) -> ControlResult<Option<LinkedMail>>;
    /// Takes that back: what was chosen before holds again.
    async fn subscribe_again(&self, link: &str, now: Timestamp) -> ControlResult<Option<LinkedMail>>;
}

/// An affiliate came to the portal: from now on they may be mailed at this address.
pub(super) fn note_opening(
    database: &dyn Database,
    (vendor, affiliate): (VendorId, AffiliateId),
    email: &str,
    now: Timestamp,
) -> ControlResult<()> {
    database.execute(
        "insert into portal_openings (vendor, affiliate, email, opened_at) values (?1, ?2, ?3, ?4)
         on conflict (vendor, affiliate) do update set email = excluded.email, opened_at = excluded.opened_at",
        values![vendor.0, affiliate.0, email, now.0],
    )?;
    Ok(())
}

/// What holds for a reader.
pub(super) fn choice_of(
    database: &dyn Database,
    vendor: VendorId,
    reader: MailReader,
    topic: MailTopic,
) -> ControlResult<MailChoice> {
    let (audience, number) = reader.columns();
    let row = database.query_optional(
        "select choice from mail_choices where vendor = ?1 and audience = ?2 and reader = ?3 and topic = ?4",
        values![vendor.0, audience, number, topic.name()],
    )?;
    match row {
        None => Ok(topic.usual()),
        Some(row) => stored_choice(&row.get::<String>(0)?),
    }
}

fn stored_choice(name: &str) -> ControlResult<MailChoice> {
    MailChoice::named(name).ok_or_else(|| ControlError::Failed(anyhow::anyhow!("`{name}` is no choice of mail")))
}

fn choose(
    database: &dyn Database,
    (vendor, reader): (VendorId, MailReader),
    (topic, choice): (MailTopic, MailChoice),
    earlier: &str,
    now: Timestamp,
) -> ControlResult<()> {
    if !topic.choices().contains(&choice) {
        return Err(ControlError::invalid("choice", "This cannot be chosen for this mail."));
    }
    let (audience, number) = reader.columns();
    database.execute(
        "insert into mail_choices (vendor, audience, reader, topic, choice, earlier, changed_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         on conflict (vendor, audience, reader, topic) do update
         set choice = excluded.choice, earlier = excluded.earlier, changed_at = excluded.changed_at",
        values![vendor.0, audience, number, topic.name(), choice.name(), earlier, now.0],
    )?;
    Ok(())
}

fn settings_of(
    database: &dyn Database,
    (vendor, slug, name): (VendorId, &str, &str),
    reader: MailReader,
) -> ControlResult<Vec<MailSetting>> {
    MailTopic::ALL
        .into_iter()
        .map(|topic| {
            Ok(MailSetting {
                slug: slug.to_owned(),
                vendor: name.to_owned(),
                topic,
                choice: choice_of(database, vendor, reader, topic)?,
                choices: topic.choices(),
            })
        })
        .collect()
}

/// The vendors that a person is a member of, with slug and name. The demo mails nobody.
fn memberships(database: &dyn Database, person: PersonId) -> ControlResult<Vec<(VendorId, String, String)>> {
    let rows = database.query(
        "select vendors.id, vendors.slug, vendors.name from members join vendors on vendors.id = members.vendor
         where members.person = ?1 and vendors.is_demo = 0 order by vendors.name, vendors.id limit ?2",
        values![person.0, MAX_WORKSPACES],
    )?;
    rows.into_iter().map(|row| Ok((VendorId(row.get(0)?), row.get(1)?, row.get(2)?))).collect()
}

fn settings_of_person(database: &dyn Database, person: PersonId) -> ControlResult<Vec<MailSetting>> {
    let mut settings = Vec::new();
    for (vendor, slug, name) in memberships(database, person)? {
        settings.extend(settings_of(database, (vendor, &slug, &name), MailReader::Person(person))?);
    }
    Ok(settings)
}

/// Puts an optional mail into the queue, with a link that switches it off, unless its reader does not want it or its
/// cause has a mail already. Returns whether it did.
pub(super) fn enqueue_optional(
    database: &dyn Database,
    sealer: &Sealer,
    vendor: VendorId,
    mail: OptionalMail,
    now: Timestamp,
) -> ControlResult<bool> {
    if choice_of(database, vendor, mail.reader, mail.topic)? == MailChoice::Off {
        return Ok(false);
    }
    let link = link_of(database, sealer, vendor, &mail)?;
    let (audience, number) = mail.reader.columns();
    database.execute(
        "insert into unsubscribe_links (hash, vendor, audience, reader, topic, email, created_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict (hash) do nothing",
        values![hash(link.expose()), vendor.0, audience, number, mail.topic.name(), mail.email.as_str(), now.0],
    )?;
    mails::enqueue(database, sealer, &(mail.write)(&link), now)
}

/// The same for every mail of a topic to one address, and known to nobody who lacks the vendor's key.
fn link_of(
    database: &dyn Database,
    sealer: &Sealer,
    vendor: VendorId,
    mail: &OptionalMail,
) -> ControlResult<SecretText> {
    let row =
        database.query_one("select hash_key_id, hash_key_sealed from vendors where id = ?1", values![vendor.0])?;
    let key = open_hash_key(sealer, vendor, &Sealed { key_id: row.get(0)?, bytes: row.get(1)? })?;
    let (audience, number) = mail.reader.columns();
    // A line break is in no address, so that nothing that is hashed with this key elsewhere can be the same.
    let named = format!("unsubscribe\n{vendor}\n{audience}\n{number}\n{}\n{}", mail.topic.name(), mail.email);
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(anyhow::Error::from)?;
    mac.update(named.as_bytes());
    Ok(SecretText::new(hex::encode(mac.finalize().into_bytes())))
}

struct Found {
    vendor: VendorId,
    reader: MailReader,
    linked: LinkedMail,
}

fn find(database: &dyn Database, link: &str) -> ControlResult<Option<Found>> {
    let row = database.query_optional(
        "select unsubscribe_links.vendor, audience, reader, topic, vendors.name from unsubscribe_links
         join vendors on vendors.id = unsubscribe_links.vendor
         left join affiliates on audience = 'affiliate' and affiliates.id = reader and affiliates.vendor = vendors.id
         left join people on audience = 'person' and people.id = reader
         where hash = ?1 and unsubscribe_links.email = coalesce(affiliates.email, people.email)",
        values![hash(link)],
    )?;
    row.map(|row| found(database, row)).transpose()
}

fn found(database: &dyn Database, row: Row) -> ControlResult<Found> {
    let vendor = VendorId(row.get(0)?);
    let reader = MailReader::stored(&row.get::<String>(1)?, row.get(2)?)?;
    let topic: String = row.get(3)?;
    let topic = MailTopic::named(&topic)
        .ok_or_else(|| ControlError::Failed(anyhow::anyhow!("`{topic}` is no topic of mail")))?;
    let choice = choice_of(database, vendor, reader, topic)?;
    Ok(Found { vendor, reader, linked: LinkedMail { vendor: row.get(4)?, topic, choice } })
}

fn unsubscribe(database: &dyn Database, link: &str, now: Timestamp) -> ControlResult<Option<LinkedMail>> {
    let Some(Found { vendor, reader, linked }) = find(database, link)? else { return Ok(None) };
    if linked.choice != MailChoice::Off {
        choose(database, (vendor, reader), (linked.topic, MailChoice::Off), linked.choice.name(), now)?;
    }
    Ok(Some(LinkedMail { choice: MailChoice::Off, ..linked }))
}

fn subscribe_again(database: &dyn Database, link: &str, now: Timestamp) -> ControlResult<Option<LinkedMail>> {
    let Some(Found { vendor, reader, linked }) = find(database, link)? else { return Ok(None) };
    if linked.choice != MailChoice::Off {
        return Ok(Some(linked));
    }
    let (audience, number) = reader.columns();
    let row = database.query_optional(
        "select earlier from mail_choices where vendor = ?1 and audience = ?2 and reader = ?3 and topic = ?4",
        values![vendor.0, audience, number, linked.topic.name()],
    )?;
    let earlier = row.map(|row| row.get::<String>(0)).transpose()?.and_then(|name| MailChoice::named(&name));
    let choice = earlier.unwrap_or_else(|| linked.topic.usual());
    choose(database, (vendor, reader), (linked.topic, choice), "", now)?;
    Ok(Some(LinkedMail { choice, ..linked }))
}

#[async_trait]
impl<B: Backend> MailChoices for ControlStoreOn<B> {
    async fn mail_settings(&self, session: &Session) -> ControlResult<Vec<MailSetting>> {
        let Some(person) = session.person else { return Ok(Vec::new()) };
        self.backend.read(Reach::Wiring, move |database| settings_of_person(database, person)).await
    }

    async fn choose_mail(
        &self,
        session: &Session,
        slug: &str,
        topic: MailTopic,
        choice: MailChoice,
        now: Timestamp,
    ) -> ControlResult<()> {
        let missing = || ControlError::NotFound("such workspace of yours".to_owned());
        let (person, slug) = (session.person.ok_or_else(missing)?, slug.to_owned());
        let write = move |database: &dyn Database| {
            let mine = memberships(database, person)?.into_iter().find(|(_, of, _)| *of == slug);
            let (vendor, _, _) = mine.ok_or_else(missing)?;
            choose(database, (vendor, MailReader::Person(person)), (topic, choice), "", now)
        };
        self.backend.write(Reach::Wiring, Tells::NOTHING, write).await
    }

    async fn portal_mail_settings(&self, session: &PortalSession) -> ControlResult<Vec<MailSetting>> {
        let (vendor, affiliate) = session.numbers();
        let name = session.place().vendor.clone();
        let read =
            move |database: &dyn Database| settings_of(database, (vendor, "", &name), MailReader::Affiliate(affiliate));
        self.backend.read(Reach::Tenant(vendor), read).await
    }

    async fn choose_portal_mail(
        &self,
        session: &PortalSession,
        topic: MailTopic,
        choice: MailChoice,
        now: Timestamp,
    ) -> ControlResult<()> {
        let (vendor, affiliate) = session.numbers();
        let write = move |database: &dyn Database| {
            choose(database, (vendor, MailReader::Affiliate(affiliate)), (topic, choice), "", now)
        };
        self.backend.write(Reach::Tenant(vendor), Tells::NOTHING, write).await
    }

    async fn mail_of_link(&self, link: &str) -> ControlResult<Option<LinkedMail>> {
        let link = SecretText::new(link);
        let read = move |database: &dyn Database| Ok(find(database, link.expose())?.map(|found| found.linked));
        self.backend.read(Reach::Wiring, read).await
    }

    async fn unsubscribe(&self, link: &str, now: Timestamp) -> ControlResult<Option<LinkedMail>> {
        let link = SecretText::new(link);
        let write = move |database: &dyn Database| unsubscribe(database, link.expose(), now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, write).await
    }

    async fn subscribe_again(&self, link: &str, now: Timestamp) -> ControlResult<Option<LinkedMail>> {
        let link = SecretText::new(link);
        let write = move |database: &dyn Database| subscribe_again(database, link.expose(), now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, write).await
    }
}
