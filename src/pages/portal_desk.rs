//! What affiliates do at the portal, over the real services.

use super::{Pages, refused, report_failed, store_failed};
use crate::in_log::wait_until_in_log;
use api::services::{Claim, Verdict};
use async_trait::async_trait;
use domain::ids::{AffiliateId, Mode};
use store::control::input::{AffiliateInput, DecisionInput};
use store::control::{PayoutAddress, PortalAct};
use web::accounts::SessionRow;
use web::backend::{BackendError, FieldError, FormError, SessionCookie};
use web::portal_desk::{PortalAccount, PortalDesks};

#[async_trait]
impl PortalDesks for Pages {
    async fn portal_account(&self, cookie: &SessionCookie) -> Result<PortalAccount, BackendError> {
        let session = self.guest(cookie).await?;
        let details = self.app.control.portal_details(&session, (self.app.clock)()).await;
        let details = details.map_err(store_failed("read your details"))?;
        let row = |session: store::control::SessionInfo| SessionRow {
            id: session.id,
            agent: session.agent,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            is_this: session.is_this,
        };
        Ok(PortalAccount {
            name: details.name,
            email: details.email,
            payout_address: details.payout_address.map(|address| address.text).unwrap_or_default(),
            sessions: details.sessions.into_iter().map(row).collect(),
        })
    }

    async fn note_portal_agent(&self, cookie: &SessionCookie, agent: &str) -> Result<(), BackendError> {
        let session = self.guest(cookie).await?;
        self.app.control.note_portal_agent(&session, agent).await.map_err(store_failed("note the browser"))
    }

    async fn rename_guest(&self, cookie: &SessionCookie, name: &str) -> Result<(), FormError> {
        let (session, now) = (self.guest(cookie).await?, (self.app.clock)());
        let control = self.app.control.as_ref();
        let doing = "change your name";
        let details = control.portal_details(&session, now).await.map_err(store_failed(doing))?;
        if details.name == name {
            return Ok(());
        }
        if !control.may_act(&session, PortalAct::Name, now).await.map_err(store_failed(doing))? {
            let message = "It was changed too often today; try again tomorrow.".to_owned();
            return Err(FormError::Fields(vec![FieldError { field: "name".into(), message }]));
        }
        let input = AffiliateInput { key: details.key, name: Some(name.to_owned()), ..AffiliateInput::default() };
        let actor = format!("affiliate {}", session.affiliate());
        let vendor = session.scope(Mode::Live).vendor();
        control.decide(vendor, vec![DecisionInput::Affiliate(input)], &actor, now).await.map_err(refused(doing))?;
        wait_until_in_log(control, vendor).await.map_err(refused(doing))?;
        Ok(())
    }

    async fn set_payout_address(&self, cookie: &SessionCookie, text: &str) -> Result<(), FormError> {
        let session = self.guest(cookie).await?;
        let written = self.app.control.set_payout_address(&session, text, (self.app.clock)()).await;
        written.map_err(refused("write how you are paid"))
    }

    async fn end_portal_session(&self, cookie: &SessionCookie, id: &str) -> Result<(), BackendError> {
        let session = self.guest(cookie).await?;
        let ended = self.app.control.end_portal_session(&session, id, (self.app.clock)()).await;
        ended.map_err(store_failed("end a session"))
    }

    async fn end_other_portal_sessions(&self, cookie: &SessionCookie) -> Result<(), BackendError> {
        let session = self.guest(cookie).await?;
        let ended = self.app.control.end_other_portal_sessions(&session, (self.app.clock)()).await;
        ended.map(drop).map_err(store_failed("end sessions"))
    }

    async fn payout_address_of(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        affiliate: AffiliateId,
    ) -> Result<Option<PayoutAddress>, BackendError> {
        let scope = self.scope_in(cookie, vendor, Mode::Live).await?;
        let known = self.app.control.payout_addresses(&scope).await;
        Ok(known.map_err(store_failed("read how an affiliate is paid"))?.remove(&affiliate))
    }

    async fn was_credited(&self, cookie: &SessionCookie, claim: Claim) -> Result<Option<Verdict>, BackendError> {
        let session = self.guest(cookie).await?;
        let counted = self.app.control.may_act(&session, PortalAct::Question, (self.app.clock)()).await;
        if !counted.map_err(store_failed("count the question"))? {
            return Ok(None);
        }
        let scope = session.claims_scope(Mode::Live);
        let found = self.app.reports.was_credited(&scope, session.affiliate(), &claim).await;
        found.map(Some).map_err(report_failed("look for the sale"))
    }
}
