//! Alerts of the spike detector over the real services.

use super::{Pages, failed, report_failed, store_failed};
use api::words::full_sentence;
use async_trait::async_trait;
use domain::ids::{CodeId, Mode, Timestamp};
use domain::spikes::Alert;
use std::collections::HashMap;
use store::control::input::{CampaignInput, DecisionInput, Moment};
use store::control::{LabelledAlert, Person};
use store::fold_store::MOST_ALERTS;
use store::scope::TenantScope;
use web::alerts::*;
use web::backend::{BackendError, FieldError, FormError, Place};
use web::people::People;

/// Rows behind an alert.
const ROWS: u32 = 20;
/// How long after its alert a redemption is still shown behind it.
const SHOWN_AFTER_MS: i64 = 6 * 3_600_000;
/// Campaigns that are looked at.
const MOST_CAMPAIGNS: usize = 50;

/// Names of codes and affiliates, by the code's number.
type CodeNames = HashMap<CodeId, (String, String)>;

impl Pages {
    async fn code_names(&self, scope: &TenantScope) -> Result<CodeNames, BackendError> {
        let codes = self.app.control.codes(scope).await.map_err(store_failed("read the codes"))?;
        let affiliates = self.app.control.affiliates(scope).await.map_err(store_failed("read the affiliates"))?;
        let names: HashMap<_, String> = affiliates.into_iter().map(|one| (one.id, one.name)).collect();
        let of = |affiliate| names.get(&affiliate).cloned().unwrap_or_default();
        Ok(codes.into_iter().map(|code| (code.id, (code.text, code.affiliate.map(of).unwrap_or_default()))).collect())
    }

    async fn raised(&self, scope: &TenantScope) -> Result<Vec<Alert>, BackendError> {
        if scope.mode() != Mode::Live {
            return Ok(Vec::new());
        }
        let (fold, vendor) = (self.app.fold.clone(), scope.vendor());
        let alerts = tokio::task::spawn_blocking(move || fold.alerts(vendor, MOST_ALERTS)).await;
        let alerts = alerts.map_err(anyhow::Error::from).map_err(failed("read the alerts"))?;
        alerts.map_err(anyhow::Error::from).map_err(failed("read the alerts"))
    }

    async fn people(&self, scope: &TenantScope) -> Result<Vec<Person>, BackendError> {
        let audience = self.app.control.alert_audience(scope.vendor(), CodeId(0)).await;
        let audience = audience.map_err(store_failed("read who opens the workspace"))?;
        Ok(audience.map(|audience| audience.people).unwrap_or_default())
    }

    async fn labels(&self, scope: &TenantScope) -> Result<HashMap<u64, LabelledAlert>, BackendError> {
        let labels = self.app.control.alert_labels(scope).await.map_err(store_failed("read what was said"))?;
        Ok(labels.into_iter().map(|label| (label.alert, label)).collect())
    }
}

/// The name of an alert in URLs.
fn name_of(alert: u64) -> String {
    format!("{alert:016x}")
}

fn number_of(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name, 16).ok()?;
    (name_of(number) == name).then_some(number)
}

/// Who it was, by the address if it is one of the workspace's people.
fn who(actor: &str, people: &[Person]) -> String {
    let number = actor.strip_prefix("person ").and_then(|number| number.parse().ok());
    let found = people.iter().find(|person| Some(person.id.0) == number);
    found.map_or_else(|| actor.to_owned(), |person| person.email.to_string())
}

fn view(alert: &Alert, names: &CodeNames, (said, people): (Option<&LabelledAlert>, &[Person])) -> AlertView {
    let (code, affiliate) = names.get(&alert.code).cloned().unwrap_or_default();
    AlertView {
        id: name_of(alert.id),
        code,
        affiliate,
        since: alert.from,
        crossed_at: alert.first_crossing,
        sentence: api::alerts::sentence(alert),
        said: said.map(|said| SaidView { label: said.label, by: who(&said.actor, people), at: said.decided_at }),
    }
}

#[async_trait]
impl Alerts for Pages {
    async fn alerts(&self, place: &Place) -> Result<AlertList, BackendError> {
        let scope = self.scope(place).await?;
        let alerts = self.raised(&scope).await?;
        let (names, labels) = (self.code_names(&scope).await?, self.labels(&scope).await?);
        let people = self.people(&scope).await?;
        let campaigns = self.app.control.campaigns(&scope, MOST_CAMPAIGNS).await;
        let campaigns = campaigns.map_err(store_failed("read the campaigns"))?;
        let now = (self.app.clock)();
        let code_of = |code: CodeId| names.get(&code).map_or_else(String::new, |(text, _)| text.clone());
        let mut codes: Vec<String> =
            names.values().map(|(text, _)| text.clone()).filter(|text| !text.is_empty()).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.truncate(MOST_ALERTS);
        Ok(AlertList {
            alerts: alerts.iter().map(|alert| view(alert, &names, (labels.get(&alert.id), &people))).collect(),
            campaigns: campaigns
                .into_iter()
                .filter(|one| one.campaign.to > now)
                .map(|one| CampaignView {
                    code: one.campaign.code_id.map(code_of),
                    from: one.campaign.from,
                    to: one.campaign.to,
                    expected_percent: one.campaign.expected_percent,
                    by: who(&one.actor, &people),
                })
                .collect(),
            codes,
        })
    }

    async fn open_alerts(&self, place: &Place) -> Result<usize, BackendError> {
        let scope = self.scope(place).await?;
        let alerts = self.raised(&scope).await?;
        if alerts.is_empty() {
            return Ok(0);
        }
        let labels = self.labels(&scope).await?;
        Ok(alerts.iter().filter(|alert| !labels.contains_key(&alert.id)).count())
    }

    async fn alert(&self, place: &Place, id: &str) -> Result<Option<AlertDetail>, BackendError> {
        let scope = self.scope(place).await?;
        let alerts = self.raised(&scope).await?;
        let Some(alert) = alerts.into_iter().find(|alert| name_of(alert.id) == id) else { return Ok(None) };
        let (names, labels) = (self.code_names(&scope).await?, self.labels(&scope).await?);
        let people = self.people(&scope).await?;
        let alert_view = view(&alert, &names, (labels.get(&alert.id), &people));
        if alert_view.code.is_empty() {
            return Ok(Some(AlertDetail { alert: alert_view, rows: Vec::new(), cursor: String::new() }));
        }
        let span = (alert.from, Timestamp(alert.to.0.saturating_add(SHOWN_AFTER_MS)));
        let found = self.app.reports.redemptions_until(&scope, &alert_view.code, span, ROWS).await;
        let found = found.map_err(report_failed("read the redemptions"))?;
        Ok(Some(AlertDetail { alert: alert_view, rows: found.rows, cursor: found.cursor }))
    }

    async fn label_alert(&self, place: &Place, id: &str, label: AlertLabel) -> Result<(), BackendError> {
        let (scope, session) = (self.scope(place).await?, self.open(&place.session).await?);
        let number = number_of(id).ok_or(BackendError::NotFound)?;
        if !self.raised(&scope).await?.iter().any(|alert| alert.id == number) {
            return Err(BackendError::NotFound);
        }
        let said = self.app.control.label_alert(&scope, number, label, &session.actor(), (self.app.clock)()).await;
        said.map_err(store_failed("note what was said"))
    }

    async fn announce_campaign(&self, place: &Place, form: CampaignForm) -> Result<(), FormError> {
        let input = DecisionInput::Campaign(CampaignInput {
            code: form.code,
            from: Moment(form.from),
            to: Moment(form.to),
            expected_percent: form.expected_percent,
        });
        // What is redeemed after the page says so comes after the announcement: the decision is waited for.
        self.decide(&place.session, &place.vendor, vec![input]).await.map_err(of_a_form)
    }
}

/// The fields as the form calls them, in sentences.
fn of_a_form(error: FormError) -> FormError {
    let FormError::Fields(errors) = error else { return error };
    let named = |error: FieldError| FieldError {
        field: error.field.rsplit('.').next().unwrap_or_default().to_owned(),
        message: full_sentence(&error.message),
    };
    FormError::Fields(errors.into_iter().map(named).collect())
}
