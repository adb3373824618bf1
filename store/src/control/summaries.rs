//! Monthly summaries: who gets one, and that a month's are written once.

use super::backend::{Backend, Reach, Tells};
use super::broken::person_of_row;
use super::database::{Database, Row, values};
use super::mail_choices::{self, MailChoice, MailReader, MailTopic, OptionalMail, choice_of};
use super::people::{MailAddress, Person};
use super::sealer::Sealer;
use super::store::ControlStoreOn;
use super::{ControlResult, Vendor, vendors};
use crate::scope::TenantScope;
use async_trait::async_trait;
use domain::ids::{AffiliateId, Mode, Timestamp, VendorId};

/// Most members who get one.
const MAX_MEMBERS: u64 = 200;
/// Most affiliates who get one.
pub const MAX_SUMMARY_AFFILIATES: u64 = 10_000;

/// Who gets the summary of a vendor, and what each may see.
#[derive(Debug, Clone)]
pub struct SummaryAudience {
    /// The vendor.
    pub vendor: Vendor,
    /// What its members see, in live mode.
    pub scope: TenantScope,
    /// Members who want one.
    pub people: Vec<Person>,
    /// Affiliates who want one, came to the portal with their address, and are not suspended.
    pub affiliates: Vec<SummaryAffiliate>,
}

/// An affiliate who gets a summary.
#[derive(Debug, Clone)]
pub struct SummaryAffiliate {
    /// Their number.
    pub id: AffiliateId,
    /// Their handle.
    pub key: String,
    /// Their name.
    pub name: String,
    /// Where their mail goes.
    pub email: MailAddress,
    /// What they see, in live mode.
    pub scope: TenantScope,
}

/// Monthly summaries.
#[async_trait]
pub trait Summaries: Send + Sync {
    /// For the wiring: whether a month (`2026-10`) of a vendor is done with.
    async fn is_summarised(&self, vendor: VendorId, month: &str) -> ControlResult<bool>;
    /// For the wiring: who gets a vendor's summary. None when the vendor is gone.
    async fn summary_audience(&self, vendor: VendorId) -> ControlResult<Option<SummaryAudience>>;
    /// Writes the mails of a vendor's month and notes that the month is done with, in one transaction. Returns how many
    /// mails were written; none when somebody else was first.
    async fn finish_summary(
        &self,
        vendor: VendorId,
        month: &str,
        mails: Vec<OptionalMail>,
        now: Timestamp,
    ) -> ControlResult<Option<usize>>;
}

fn is_done(database: &dyn Database, vendor: VendorId, month: &str) -> ControlResult<bool> {
    let sql = "select mails from mailed_summaries where vendor = ?1 and month = ?2";
    Ok(database.query_optional(sql, values![vendor.0, month])?.is_some())
}

fn audience(database: &dyn Database, vendor: VendorId) -> ControlResult<Option<SummaryAudience>> {
    if database.query_optional("select id from vendors where id = ?1", values![vendor.0])?.is_none() {
        return Ok(None);
    }
    let rows = database.query(
        "select people.id, people.email, people.created_at from members join people on people.id = members.person
         where members.vendor = ?1 order by people.id limit ?2",
        values![vendor.0, MAX_MEMBERS],
    )?;
    let mut people = Vec::new();
    for row in rows {
        let person = person_of_row(&row)?;
        if wants(database, vendor, MailReader::Person(person.id))? {
            people.push(person);
        }
    }
    let rows = database.query(
        "select affiliates.id, affiliates.key, affiliates.name, affiliates.email from affiliates
         join portal_openings on portal_openings.affiliate = affiliates.id and portal_openings.email = affiliates.email
         where affiliates.vendor = ?1 and suspended_at is null order by affiliates.id limit ?2",
        values![vendor.0, MAX_SUMMARY_AFFILIATES],
    )?;
    let mut affiliates = Vec::new();
    for row in rows {
        let affiliate = affiliate(vendor, row)?;
        if wants(database, vendor, MailReader::Affiliate(affiliate.id))? {
            affiliates.push(affiliate);
        }
    }
    let scope = TenantScope::new(vendor, Mode::Live);
    Ok(Some(SummaryAudience { vendor: vendors::by_id(database, vendor)?, scope, people, affiliates }))
}

fn wants(database: &dyn Database, vendor: VendorId, reader: MailReader) -> ControlResult<bool> {
    Ok(choice_of(database, vendor, reader, MailTopic::Summary)? != MailChoice::Off)
}

fn affiliate(vendor: VendorId, row: Row) -> ControlResult<SummaryAffiliate> {
    let id = AffiliateId(row.get(0)?);
    let scope = TenantScope::of_affiliate(vendor, Mode::Live, id);
    Ok(SummaryAffiliate { id, key: row.get(1)?, name: row.get(2)?, email: MailAddress::stored(row.get(3)?)?, scope })
}

fn finish(
    database: &dyn Database,
    sealer: &Sealer,
    (vendor, month): (VendorId, &str),
    mails: Vec<OptionalMail>,
    now: Timestamp,
) -> ControlResult<Option<usize>> {
    let noted = database.execute(
        "insert into mailed_summaries (vendor, month, mails, written_at) values (?1, ?2, 0, ?3)
         on conflict (vendor, month) do nothing",
        values![vendor.0, month, now.0],
    )?;
    if noted == 0 {
        return Ok(None);
    }
    let mut written = 0;
    for mail in mails {
        written += usize::from(mail_choices::enqueue_optional(database, sealer, vendor, mail, now)?);
    }
    database.execute(
        "update mailed_summaries set mails = ?3 where vendor = ?1 and month = ?2",
        values![vendor.0, month, written as u64],
    )?;
    Ok(Some(written))
}

#[async_trait]
impl<B: Backend> Summaries for ControlStoreOn<B> {
    async fn is_summarised(&self, vendor: VendorId, month: &str) -> ControlResult<bool> {
        let month = month.to_owned();
        self.backend.read(Reach::Tenant(vendor), move |database| is_done(database, vendor, &month)).await
    }

    async fn summary_audience(&self, vendor: VendorId) -> ControlResult<Option<SummaryAudience>> {
        self.backend.read(Reach::Wiring, move |database| audience(database, vendor)).await
    }

    async fn finish_summary(
        &self,
        vendor: VendorId,
        month: &str,
        mails: Vec<OptionalMail>,
        now: Timestamp,
    ) -> ControlResult<Option<usize>> {
        let (sealer, month) = (self.sealer(), month.to_owned());
        let write = move |database: &dyn Database| finish(database, &sealer, (vendor, &month), mails, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, write).await
    }
}
