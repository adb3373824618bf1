//! What the affiliates' portal needs from the services.

use crate::backend::{BackendError, DashboardQuery, FormError, LiveSignal, NewSession, Secret, SessionCookie};
use api::services::PortalReport;
use async_trait::async_trait;
use futures::stream::BoxStream;

/// For whom a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalGuest {
    /// Name of the vendor.
    pub vendor: String,
    /// Name of the affiliate.
    pub affiliate: String,
}

/// An affiliate who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalView {
    /// Every form sends it back.
    pub csrf: Secret,
    /// The cookie that follows the one shown, when that one is old.
    pub renewed: Option<SessionCookie>,
    /// Name of the vendor.
    pub vendor: String,
    /// Name of the affiliate.
    pub affiliate: String,
    /// IANA name of the vendor's time zone.
    pub time_zone: String,
    /// The vendor's data are invented.
    pub is_demo: bool,
    /// The vendor has suspended the affiliate.
    pub is_suspended: bool,
    /// Some figures are missing while they are made again.
    pub is_incomplete: bool,
    /// The affiliate's codes.
    pub codes: Vec<String>,
    /// Days from a sale until its commission is payable.
    pub hold_days: u16,
    /// Changes whenever anything that the portal shows may have changed.
    pub etag: String,
}

/// The portal. A cookie of the portal is worth nothing elsewhere, and no other cookie is worth anything here.
#[async_trait]
pub trait Portals: Send + Sync {
    /// Invites an affiliate of a vendor that the session may open, by mail.
    async fn invite(&self, cookie: &SessionCookie, vendor: &str, affiliate: &str) -> Result<(), FormError>;

    /// Mails a link to whoever is an affiliate with this address. Says nothing about whether there is one.
    async fn ask_portal_link(&self, email: &str) -> Result<(), FormError>;

    /// For whom a link is, while it can be used.
    async fn portal_guest(&self, link: &str) -> Result<Option<PortalGuest>, BackendError>;

    /// Uses a link up.
    async fn open_portal(&self, link: &str) -> Result<Option<NewSession>, BackendError>;

    /// The session of a cookie. `None`: unknown or over.
    async fn portal_session(&self, cookie: &SessionCookie) -> Result<Option<PortalView>, BackendError>;

    /// What its affiliate sees.
    async fn portal_figures(
        &self,
        cookie: &SessionCookie,
        query: &DashboardQuery,
    ) -> Result<PortalReport, BackendError>;

    /// Signals about its affiliate from now on, as [`crate::backend::Backend::live`].
    async fn portal_live(&self, cookie: &SessionCookie) -> Result<BoxStream<'static, LiveSignal>, BackendError>;

    /// Ends the session.
    async fn close_portal(&self, cookie: &SessionCookie) -> Result<(), BackendError>;
}
