//! Whose data a read may see. Made only from a session, an API key or a portal session.

use domain::ids::{AffiliateId, Mode, Timestamp, VendorId};

/// A tenant, a mode, and what of it is visible.
///
/// There is no public constructor: only the control store makes one, from a credential
/// that it has checked. Every read takes it by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TenantScope {
    vendor: VendorId,
    mode: Mode,
    affiliate: Option<AffiliateId>,
    visible_from: Option<Timestamp>,
}

impl TenantScope {
    pub(crate) fn new(vendor: VendorId, mode: Mode) -> TenantScope {
        TenantScope { vendor, mode, affiliate: None, visible_from: None }
    }

    /// One affiliate's part of a tenant.
    pub(crate) fn of_affiliate(vendor: VendorId, mode: Mode, affiliate: AffiliateId) -> TenantScope {
        TenantScope { affiliate: Some(affiliate), ..TenantScope::new(vendor, mode) }
    }

    /// The tenant.
    pub fn vendor(&self) -> VendorId {
        self.vendor
    }

    /// Test or live.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Only this affiliate's rows, when set.
    pub fn affiliate(&self) -> Option<AffiliateId> {
        self.affiliate
    }

    /// Only what happened from this time on, when set (a plan's window).
    pub fn visible_from(&self) -> Option<Timestamp> {
        self.visible_from
    }
}
