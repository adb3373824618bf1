//! The affiliates' portal over the real services.

use super::accounts::typed_address;
use super::{OpenStream, Pages, new_session, refused, report_failed, store_failed, today};
use api::mail::{Mail, PortalLetter};
use api::model::DateRange;
use api::services::PortalReport;
use async_trait::async_trait;
use domain::ids::Mode;
use futures::StreamExt;
use futures::stream::BoxStream;
use store::control::{INVITE_LIFE_MS, PortalGuest as Guest, PortalMail, PortalSession, SIGN_IN_LIFE_MS};
use store::event_log::partition_of;
use web::backend::*;
use web::portal::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Pages {
    /// Writes the mail that carries a link.
    fn portal_mail(&self, of: fn(PortalLetter) -> Mail, good_for: String) -> PortalMail {
        let url = self.public_url.clone();
        Box::new(move |guest: &Guest, vendor, link, cause| {
            let mail = of(PortalLetter {
                link: format!("{url}/portal/link/{}", link.expose()),
                vendor: guest.vendor.clone(),
                affiliate: guest.affiliate.clone(),
                good_for: good_for.clone(),
            });
            mail.queued(Some(vendor), &guest.email, cause)
        })
    }

    pub(super) async fn guest(&self, cookie: &SessionCookie) -> Result<PortalSession, BackendError> {
        let session = self.app.control.portal_session(&cookie.0, (self.app.clock)()).await;
        session.map_err(store_failed("read the session"))?.ok_or(BackendError::NotFound)
    }
}

#[async_trait]
impl Portals for Pages {
    async fn invite(&self, cookie: &SessionCookie, vendor: &str, affiliate: &str) -> Result<(), FormError> {
        let scope = self.scope_in(cookie, vendor, Mode::Live).await?;
        let actor = self.open(cookie).await?.actor();
        let mail = self.portal_mail(Mail::Invite, format!("{} days", INVITE_LIFE_MS / DAY_MS));
        let invited = self.app.control.invite(&scope, affiliate, mail, &actor, (self.app.clock)()).await;
        invited.map(drop).map_err(refused("invite the affiliate"))
    }

    async fn ask_portal_link(&self, email: &str) -> Result<(), FormError> {
        let address = typed_address(email)?;
        let mail = self.portal_mail(Mail::PortalLink, format!("{} minutes", SIGN_IN_LIFE_MS / 60_000));
        let asked = self.app.control.ask_portal_link(&address, mail, (self.app.clock)()).await;
        asked.map_err(store_failed("ask for a mail"))?;
        Ok(())
    }

    async fn portal_guest(&self, link: &str) -> Result<Option<PortalGuest>, BackendError> {
        let guest = self.app.control.portal_guest(link, (self.app.clock)()).await;
        let guest = guest.map_err(store_failed("read the link"))?;
        Ok(guest.map(|guest| PortalGuest { vendor: guest.vendor, affiliate: guest.affiliate }))
    }

    async fn open_portal(&self, link: &str) -> Result<Option<NewSession>, BackendError> {
        let opened = self.app.control.open_portal(link, (self.app.clock)()).await;
        let session = opened.map_err(store_failed("open a session"))?;
        Ok(session.map(|session| new_session(session.cookie(), session.csrf())))
    }

    async fn portal_session(&self, cookie: &SessionCookie) -> Result<Option<PortalView>, BackendError> {
        let session = match self.guest(cookie).await {
            Ok(session) => session,
            Err(BackendError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let scope = session.scope(Mode::Live);
        let policy = self.app.control.policy(&scope).await.map_err(store_failed("read the policy"))?;
        let codes = self.app.control.portal_codes(&session, (self.app.clock)()).await;
        let codes = codes.map_err(store_failed("read the codes"))?;
        let place = session.place();
        Ok(Some(PortalView {
            csrf: Secret(session.csrf().to_owned()),
            vendor: place.vendor.clone(),
            affiliate: place.affiliate.clone(),
            time_zone: place.time_zone.clone(),
            is_demo: place.is_demo,
            is_suspended: place.is_suspended,
            is_incomplete: self.app.live.is_held(partition_of(scope.vendor())),
            etag: format!("{} {scope:?} {} {codes:?}", self.etag_of(&scope), policy.hold_days),
            codes,
            hold_days: policy.hold_days,
        }))
    }

    async fn portal_figures(
        &self,
        cookie: &SessionCookie,
        query: &DashboardQuery,
    ) -> Result<PortalReport, BackendError> {
        let session = self.guest(cookie).await?;
        let scope = session.scope(Mode::Live);
        let time_zone = session.place().time_zone.clone();
        let (from, to) = query.range.resolve(today(&time_zone, (self.app.clock)()));
        let range = DateRange { from, to, time_zone };
        let policy = self.app.control.policy(&scope).await.map_err(store_failed("read the policy"))?;
        let report = self.app.reports.portal(&scope, &range, query.bucket, policy.hold_days).await;
        report.map_err(report_failed("read your figures"))
    }

    async fn portal_live(&self, cookie: &SessionCookie) -> Result<BoxStream<'static, LiveSignal>, BackendError> {
        let scope = self.guest(cookie).await?.scope(Mode::Live);
        Ok(self.signals(scope, OpenStream::new(self.streams.clone())).boxed())
    }

    async fn close_portal(&self, cookie: &SessionCookie) -> Result<(), BackendError> {
        let session = self.guest(cookie).await?;
        self.app.control.close_portal(&session).await.map_err(store_failed("end the session"))
    }
}
