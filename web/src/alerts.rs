//! What the alerts pages need from the services.

use crate::backend::{BackendError, FormError, Place};
use api::model::PurchaseItem;
use async_trait::async_trait;
use domain::ids::Timestamp;
pub use store::control::AlertLabel;

/// A spike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertView {
    /// Names it in URLs.
    pub id: String,
    /// The code as people write it; empty if it has no name.
    pub code: String,
    /// Whose code; empty if nobody's.
    pub affiliate: String,
    /// When it began.
    pub since: Timestamp,
    /// When it was too much.
    pub crossed_at: Timestamp,
    /// What happened, to be read after the code.
    pub sentence: String,
    /// What somebody said it was.
    pub said: Option<SaidView>,
}

/// What somebody said of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidView {
    /// What it was.
    pub label: AlertLabel,
    /// Who said it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// An announced campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignView {
    /// The code; none for all.
    pub code: Option<String>,
    /// From.
    pub from: Timestamp,
    /// To.
    pub to: Timestamp,
    /// Multiple of the usual rate, in percent.
    pub expected_percent: u32,
    /// Who announced it.
    pub by: String,
}

/// Everything on the page of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlertList {
    /// The newest first.
    pub alerts: Vec<AlertView>,
    /// Announced campaigns that are not over, the newest first.
    pub campaigns: Vec<CampaignView>,
    /// The vendor's codes, for the form.
    pub codes: Vec<String>,
}

/// An alert and the rows behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertDetail {
    /// The alert.
    pub alert: AlertView,
    /// The newest redemptions of the spike, at most 20.
    pub rows: Vec<PurchaseItem>,
    /// Where the list of redemptions begins with them; empty if the code has no name.
    pub cursor: String,
}

/// A campaign as a form announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignForm {
    /// The code; none for all.
    pub code: Option<String>,
    /// From.
    pub from: Timestamp,
    /// To.
    pub to: Timestamp,
    /// Multiple of the usual rate, in percent.
    pub expected_percent: u32,
}

/// Alerts of the spike detector. Only live mode is watched.
#[async_trait]
pub trait Alerts: Send + Sync + 'static {
    /// The vendor's alerts and campaigns.
    async fn alerts(&self, place: &Place) -> Result<AlertList, BackendError>;

    /// How many alerts nobody said anything about.
    async fn open_alerts(&self, place: &Place) -> Result<usize, BackendError>;

    /// One alert. `None`: no such alert of this vendor.
    async fn alert(&self, place: &Place, id: &str) -> Result<Option<AlertDetail>, BackendError>;

    /// Notes what an alert was.
    async fn label_alert(&self, place: &Place, id: &str, label: AlertLabel) -> Result<(), BackendError>;

    /// Announces a campaign.
    async fn announce_campaign(&self, place: &Place, form: CampaignForm) -> Result<(), FormError>;
}
