//! The affiliates' portal over either backend: which transaction each operation runs in.

use super::backend::{Backend, Reach, Tells};
use super::database::Database;
use super::store::{ControlStoreOn, renew};
use super::*;

#[async_trait]
impl<B: Backend> Portal for ControlStoreOn<B> {
    async fn invite(
        &self,
        scope: &TenantScope,
        affiliate: &str,
        mail: PortalMail,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<MailAddress> {
        let vendor = reading::vendor_wide(scope)?;
        let (sealer, key, actor) = (self.sealer(), affiliate.to_owned(), actor.to_owned());
        let invite =
            move |database: &dyn Database| portal::invite(database, &sealer, (vendor, &key), &mail, &actor, now);
        self.backend.write(Reach::Tenant(vendor), Tells::NOTHING, invite).await
    }

    async fn ask_portal_link(&self, email: &MailAddress, mail: PortalMail, now: Timestamp) -> ControlResult<usize> {
        let (sealer, email) = (self.sealer(), email.clone());
        let ask = move |database: &dyn Database| portal::ask(database, &sealer, &email, &mail, now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, ask).await
    }

    async fn portal_guest(&self, link: &str, now: Timestamp) -> ControlResult<Option<PortalGuest>> {
        let link = SecretText::new(link);
        self.backend.read(Reach::Wiring, move |database| portal::guest(database, link.expose(), now)).await
    }

    async fn open_portal(&self, link: &str, now: Timestamp) -> ControlResult<Option<PortalSession>> {
        let (sealer, link) = (self.sealer(), SecretText::new(link));
        let open = move |database: &dyn Database| portal::open(database, &sealer, link.expose(), now);
        self.backend.write(Reach::Wiring, Tells::NOTHING, open).await
    }

    async fn portal_session(&self, cookie: &str, now: Timestamp) -> ControlResult<Option<PortalSession>> {
        let cookie = SecretText::new(cookie);
        let session =
            self.backend.read(Reach::Wiring, move |database| portal::session(database, cookie.expose(), now)).await?;
        if let Some(session) = &session
            && let Some(end) = access::later_end(session.expires_at(), now)
        {
            let shown = session.shown.clone();
            let note = move |database: &dyn Database| portal::note_use(database, &shown.session, now, end);
            self.backend.write(Reach::Wiring, Tells::NOTHING, note).await?;
        }
        Ok(session)
    }

    async fn renew_portal(&self, session: &PortalSession, now: Timestamp) -> ControlResult<Option<SecretText>> {
        renew(self, session.shown.clone(), now).await
    }

    async fn portal_codes(&self, session: &PortalSession, now: Timestamp) -> ControlResult<Vec<String>> {
        let (vendor, affiliate) = session.numbers();
        let codes = move |database: &dyn Database| portal::codes(database, vendor, affiliate, now);
        self.backend.read(Reach::Tenant(vendor), codes).await
    }

    async fn close_portal(&self, session: &PortalSession) -> ControlResult<()> {
        let shown = session.shown.clone();
        let close = move |database: &dyn Database| portal::close(database, &shown.session);
        self.backend.write(Reach::Wiring, Tells::NOTHING, close).await
    }
}
