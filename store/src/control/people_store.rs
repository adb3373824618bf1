//! People and outgoing mail over either backend: which transaction each operation runs in.

use super::backend::{Backend, Reach, Tells};
use super::database::Database;
use super::store::ControlStoreOn;
use super::*;

#[async_trait]
impl<B: Backend> People for ControlStoreOn<B> {
    async fn ask_sign_in(
        &self,
        email: &MailAddress,
        may_sign_up: bool,
        mail: SignInMail,
        now: Timestamp,
    ) -> ControlResult<SignInTicket> {
        let (sealer, email) = (self.sealer(), email.clone());
        let ask = move |database: &dyn Database| sign_in::ask(database, &sealer, &email, may_sign_up, mail, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, ask).await
    }

    async fn sign_in_of_link(&self, link: &str, now: Timestamp) -> ControlResult<Option<MailAddress>> {
        let link = SecretText::new(link);
        self.backend.read(Reach::Wiring, move |database| sign_in::of_link(database, link.expose(), now)).await
    }

    async fn open_by_link(&self, link: &str, agent: &str, now: Timestamp) -> ControlResult<Option<Session>> {
        let (sealer, link, agent) = (self.sealer(), SecretText::new(link), agent.to_owned());
        let open = move |database: &dyn Database| sign_in::open_by_link(database, &sealer, link.expose(), &agent, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, open).await
    }

    async fn open_by_code(&self, ticket: &str, code: &str, agent: &str, now: Timestamp) -> ControlResult<CodeTried> {
        let (sealer, ticket, code, agent) = (self.sealer(), ticket.to_owned(), SecretText::new(code), agent.to_owned());
        let open = move |database: &dyn Database| {
            sign_in::open_by_code(database, &sealer, (&ticket, code.expose()), &agent, now)
        };
        self.backend.write(Reach::Wiring, Tells::NOTHING, open).await
    }

    async fn open_by_identity(
        &self,
        identity: &Identity,
        may_sign_up: bool,
        agent: &str,
        now: Timestamp,
    ) -> ControlResult<IdentityTried> {
        let (sealer, identity, agent) = (self.sealer(), identity.clone(), agent.to_owned());
        let open =
            move |database: &dyn Database| identities::open(database, &sealer, &identity, may_sign_up, &agent, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, open).await
    }

    async fn person(&self, session: &Session) -> ControlResult<Option<Person>> {
        let Some(person) = session.person else { return Ok(None) };
        self.backend.read(Reach::Wiring, move |database| sign_in::person(database, person)).await
    }

    async fn sessions_of(&self, session: &Session, now: Timestamp) -> ControlResult<Vec<SessionInfo>> {
        let Some(person) = session.person else { return Ok(Vec::new()) };
        let this = session.shown.session.clone();
        let list = move |database: &dyn Database| sign_in::sessions_of(database, person, &this, now);
        self.backend.read(Reach::Wiring, list).await
    }

    async fn end_session(&self, session: &Session, id: &str, now: Timestamp) -> ControlResult<()> {
        let Some(person) = session.person else { return Ok(()) };
        let id = id.to_owned();
        let end = move |database: &dyn Database| sign_in::end_session(database, person, &id, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, end).await
    }

    async fn own_demos(&self) -> ControlResult<Vec<Vendor>> {
        self.backend.read(Reach::Wiring, vendors::own_demos).await
    }

    async fn open_workspace(&self, session: &Session, vendor: NewVendor, now: Timestamp) -> ControlResult<Vendor> {
        let (sealer, person, actor) = (self.sealer(), session.person, session.actor());
        let open =
            move |database: &dyn Database| sign_in::open_workspace(database, &sealer, (person, &vendor), &actor, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, open).await
    }

    async fn add_member(
        &self,
        vendor: VendorId,
        person: PersonId,
        role: Role,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<()> {
        let actor = actor.to_owned();
        let add = move |database: &dyn Database| sign_in::add_member(database, vendor, person, role, &actor, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, add).await
    }
}

#[async_trait]
impl<B: Backend> MailQueue for ControlStoreOn<B> {
    async fn enqueue_mail(&self, mail: NewMail, now: Timestamp) -> ControlResult<bool> {
        let sealer = self.sealer();
        let enqueue = move |database: &dyn Database| mails::enqueue(database, &sealer, &mail, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, enqueue).await
    }

    async fn claim_mails(&self, kinds: &[&str], limit: usize, now: Timestamp) -> ControlResult<Vec<ClaimedMail>> {
        let sealer = self.sealer();
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let claim = move |database: &dyn Database| mails::claim(database, &sealer, &kinds, limit, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, claim).await
    }

    async fn begin_sending(&self, mail: u64, tries: u32, now: Timestamp) -> ControlResult<bool> {
        let begin = move |database: &dyn Database| mails::begin(database, mail, tries, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, begin).await
    }

    async fn end_sending(&self, mail: u64, tries: u32, end: MailEnd, now: Timestamp) -> ControlResult<()> {
        let end = move |database: &dyn Database| mails::end(database, mail, tries, end, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, end).await
    }

    async fn list_mails(&self, filter: MailFilter, limit: usize) -> ControlResult<Vec<MailInfo>> {
        self.backend.read(Reach::Wiring, move |database| mails::list(database, &filter, limit)).await
    }

    async fn retry_mail(&self, mail: u64, may_arrive_twice: bool, actor: &str, now: Timestamp) -> ControlResult<()> {
        let actor = actor.to_owned();
        let retry = move |database: &dyn Database| mails::retry(database, mail, may_arrive_twice, &actor, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, retry).await
    }

    async fn retry_failed_mails(&self, kind: &str, actor: &str, now: Timestamp) -> ControlResult<u64> {
        let (kind, actor) = (kind.to_owned(), actor.to_owned());
        let retry = move |database: &dyn Database| mails::retry_failed(database, &kind, &actor, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, retry).await
    }
}
