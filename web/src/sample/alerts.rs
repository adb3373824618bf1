//! Alerts of the sample: one open, one that was a campaign.

use super::SampleBackend;
use crate::alerts::*;
use crate::backend::*;
use async_trait::async_trait;
use domain::ids::{Mode, Timestamp};

/// The open alert of `acme`.
pub const ALERT: &str = "00000000000000a1";
const HOUR_MS: i64 = 3_600_000;

/// What people changed.
#[derive(Default)]
pub(super) struct Said {
    labels: Vec<(String, AlertLabel)>,
    campaigns: Vec<CampaignForm>,
}

fn alert(id: &str, code: &str, crossed_at: Timestamp) -> AlertView {
    AlertView {
        id: id.into(),
        code: code.into(),
        affiliate: "Maya Lind".into(),
        since: Timestamp(crossed_at.0 - HOUR_MS / 4),
        crossed_at,
        sentence: "was redeemed 14 times in 15 minutes by at least 8 customers; about 0.4 were expected".into(),
        said: None,
    }
}

impl SampleBackend {
    fn sample_alerts(&self, place: &Place) -> Result<Vec<AlertView>, BackendError> {
        let state = self.check(&place.session, &place.vendor)?;
        if place.vendor != "acme" || place.mode != Mode::Live {
            return Ok(Vec::new());
        }
        let now = (self.clock)();
        let mut older = alert("00000000000000a0", "LAUNCH", Timestamp(now.0 - 200 * HOUR_MS));
        older.said = Some(SaidView { label: AlertLabel::Expected, by: "operator".into(), at: older.crossed_at });
        let mut alerts = vec![alert(ALERT, "MAYA20", Timestamp(now.0 - HOUR_MS)), older];
        for (id, label) in &state.said.labels {
            alerts.iter_mut().filter(|alert| alert.id == *id).for_each(|alert| {
                alert.said = Some(SaidView { label: *label, by: "operator".into(), at: now });
            });
        }
        Ok(alerts)
    }
}

#[async_trait]
impl Alerts for SampleBackend {
    async fn alerts(&self, place: &Place) -> Result<AlertList, BackendError> {
        let alerts = self.sample_alerts(place)?;
        let state = self.check(&place.session, &place.vendor)?;
        let view = |form: &CampaignForm| CampaignView {
            code: form.code.clone(),
            from: form.from,
            to: form.to,
            expected_percent: form.expected_percent,
            by: "operator".into(),
        };
        let campaigns = state.said.campaigns.iter().rev().map(view).collect();
        Ok(AlertList { alerts, campaigns, codes: vec!["LAUNCH".into(), "MAYA20".into()] })
    }

    async fn open_alerts(&self, place: &Place) -> Result<usize, BackendError> {
        Ok(self.sample_alerts(place)?.iter().filter(|alert| alert.said.is_none()).count())
    }

    async fn alert(&self, place: &Place, id: &str) -> Result<Option<AlertDetail>, BackendError> {
        let Some(alert) = self.sample_alerts(place)?.into_iter().find(|alert| alert.id == id) else { return Ok(None) };
        let page = self.explorer(place, &Default::default(), None, 20).await?;
        Ok(Some(AlertDetail { alert, rows: page.items, cursor: "p.1.9.9.0".into() }))
    }

    async fn label_alert(&self, place: &Place, id: &str, label: AlertLabel) -> Result<(), BackendError> {
        if !self.sample_alerts(place)?.iter().any(|alert| alert.id == id) {
            return Err(BackendError::NotFound);
        }
        self.check(&place.session, &place.vendor)?.said.labels.push((id.to_owned(), label));
        Ok(())
    }

    async fn announce_campaign(&self, place: &Place, form: CampaignForm) -> Result<(), FormError> {
        let mut state = self.check(&place.session, &place.vendor)?;
        if form.code.as_deref().is_some_and(|code| code != "MAYA20" && code != "LAUNCH") {
            let message = "There is no such code.".to_owned();
            return Err(FormError::Fields(vec![FieldError { field: "code".into(), message }]));
        }
        state.said.campaigns.push(form);
        Ok(())
    }
}
