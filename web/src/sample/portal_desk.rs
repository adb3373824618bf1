//! What affiliates do at the sample's portal.

use super::{PORTAL_COOKIE, SampleBackend};
use crate::accounts::SessionRow;
use crate::backend::{BackendError, FieldError, FormError, SessionCookie};
use crate::portal_desk::{PortalAccount, PortalDesks};
use api::services::{Claim, Verdict};
use async_trait::async_trait;
use domain::ids::AffiliateId;
use store::control::PayoutAddress;

#[async_trait]
impl PortalDesks for SampleBackend {
    async fn portal_account(&self, cookie: &SessionCookie) -> Result<PortalAccount, BackendError> {
        if cookie.0 != PORTAL_COOKIE {
            return Err(BackendError::NotFound);
        }
        let session = |id: &str, agent: &str, is_this| SessionRow {
            id: id.into(),
            agent: agent.into(),
            created_at: self.now(),
            last_used_at: self.now(),
            is_this,
        };
        Ok(PortalAccount {
            name: "Maya".into(),
            email: "maya@example.com".into(),
            payout_address: "Bank of Berlin, DE02 1203 0000".into(),
            sessions: vec![session("a1", "Firefox/141.0 Linux", true), session("b2", "Chrome/141.0 Android", false)],
        })
    }

    async fn note_portal_agent(&self, _cookie: &SessionCookie, _agent: &str) -> Result<(), BackendError> {
        Ok(())
    }

    async fn rename_guest(&self, _cookie: &SessionCookie, _name: &str) -> Result<(), FormError> {
        Ok(())
    }

    async fn set_payout_address(&self, _cookie: &SessionCookie, text: &str) -> Result<(), FormError> {
        match text.len() {
            ..=500 => Ok(()),
            _ => {
                let message = "it is too long".to_owned();
                Err(FormError::Fields(vec![FieldError { field: "payout_address".into(), message }]))
            }
        }
    }

    async fn end_portal_session(&self, _cookie: &SessionCookie, _id: &str) -> Result<(), BackendError> {
        Ok(())
    }

    async fn end_other_portal_sessions(&self, _cookie: &SessionCookie) -> Result<(), BackendError> {
        Ok(())
    }

    async fn payout_address_of(
        &self,
        _cookie: &SessionCookie,
        _vendor: &str,
        affiliate: AffiliateId,
    ) -> Result<Option<PayoutAddress>, BackendError> {
        let text = "Bank of Berlin, DE02 1203 0000".to_owned();
        let address = PayoutAddress { text, decided_at: self.now(), actor: "affiliate 1".into() };
        Ok((affiliate == AffiliateId(1)).then_some(address))
    }

    async fn was_credited(&self, _cookie: &SessionCookie, claim: Claim) -> Result<Option<Verdict>, BackendError> {
        Ok(match claim {
            Claim::Receipt(id) if id == "often" => None,
            Claim::Receipt(id) if id == "in_other" => Some(Verdict::Another),
            Claim::Receipt(id) if id == "in_rejected" => Some(Verdict::Rejected { is_shared: false }),
            Claim::Receipt(_) => Some(Verdict::Unknown),
            Claim::Paid { currency, .. } => {
                Some(Verdict::Credited { sale_at: self.now(), currency, commission: 980, is_reduced: true })
            }
        })
    }
}
