//! The affiliates' portal of the sample: one affiliate of one vendor.

use super::{COOKIE, CSRF, SampleBackend, TIME_ZONE};
use crate::accounts::Accounts;
use crate::backend::*;
use crate::portal::{PortalGuest, PortalView, Portals};
use api::model::{LineItem, PurchaseItem};
use api::services::{PortalBalance, PortalReport};
use async_trait::async_trait;
use domain::ids::Mode;
use futures::stream::BoxStream;

/// The cookie of the affiliate.
pub const PORTAL_COOKIE: &str = "sample-portal-session";
/// The end of the link that opens the portal.
pub const PORTAL_LINK: &str = "sample-invite";
const VENDOR: &str = "acme";

impl SampleBackend {
    fn place_of_guest(&self, cookie: &SessionCookie) -> Result<Place, BackendError> {
        if cookie.0 != PORTAL_COOKIE {
            return Err(BackendError::NotFound);
        }
        Ok(Place { session: SessionCookie(COOKIE.into()), vendor: VENDOR.into(), mode: Mode::Live })
    }
}

#[async_trait]
impl Portals for SampleBackend {
    async fn invite(&self, cookie: &SessionCookie, vendor: &str, affiliate: &str) -> Result<(), FormError> {
        drop(self.check(cookie, vendor)?);
        match affiliate {
            "maya" => Ok(()),
            _ => Err(FormError::Fields(vec![FieldError { field: "email".into(), message: "No address.".into() }])),
        }
    }

    async fn ask_portal_link(&self, email: &str) -> Result<(), FormError> {
        self.ask_sign_in(email).await.map(|_| ())
    }

    async fn portal_guest(&self, link: &str) -> Result<Option<PortalGuest>, BackendError> {
        let guest = || PortalGuest { vendor: "Acme Analytics".into(), affiliate: "Maya".into() };
        Ok((link == PORTAL_LINK).then(guest))
    }

    async fn open_portal(&self, link: &str) -> Result<Option<NewSession>, BackendError> {
        let session = || NewSession { cookie: SessionCookie(PORTAL_COOKIE.into()), csrf: Secret(CSRF.into()) };
        Ok((link == PORTAL_LINK).then(session))
    }

    async fn portal_session(&self, cookie: &SessionCookie) -> Result<Option<PortalView>, BackendError> {
        if cookie.0 != PORTAL_COOKIE {
            return Ok(None);
        }
        Ok(Some(PortalView {
            csrf: Secret(CSRF.into()),
            renewed: None,
            vendor: "Acme Analytics".into(),
            affiliate: "Maya".into(),
            time_zone: TIME_ZONE.into(),
            is_demo: false,
            is_suspended: false,
            is_incomplete: false,
            codes: vec!["MAYA20".into(), "MAYASPECIAL".into()],
            hold_days: 30,
            etag: self.scope_etag(&self.place_of_guest(cookie)?).await?,
        }))
    }

    async fn portal_figures(
        &self,
        cookie: &SessionCookie,
        query: &DashboardQuery,
    ) -> Result<PortalReport, BackendError> {
        let figures = self.dashboard(&self.place_of_guest(cookie)?, query).await?;
        let lines = figures.feed.iter().take(5).map(line_of);
        let balances = figures.totals.iter().map(|totals| PortalBalance {
            currency: totals.currency,
            earned: totals.commission,
            in_hold: totals.commission / 4,
            payable: totals.commission - totals.commission / 4,
        });
        Ok(PortalReport { lines: lines.collect(), balances: balances.collect(), figures })
    }

    async fn portal_live(&self, cookie: &SessionCookie) -> Result<BoxStream<'static, LiveSignal>, BackendError> {
        self.live(&self.place_of_guest(cookie)?).await
    }

    async fn close_portal(&self, _cookie: &SessionCookie) -> Result<(), BackendError> {
        Ok(())
    }
}

/// A line as if nothing had been taken back.
pub(super) fn line_of(item: &PurchaseItem) -> LineItem {
    LineItem {
        id: format!("1-{}-0", item.purchase),
        kind: "sale".into(),
        occurred_at: item.sale_at,
        booked_at: item.sale_at,
        sale_at: item.sale_at,
        purchase: item.purchase,
        affiliate: item.affiliate_key.clone(),
        code: item.code_text.clone(),
        currency: item.currency,
        redemptions: 1,
        conversions: 1,
        gross: item.gross,
        net: item.net,
        commission: item.commission,
        rule_rev: 0,
    }
}
