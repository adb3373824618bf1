//! `/{vendor}/alerts`: codes that were redeemed far too often, what people say of them, and campaigns that are announced.

use super::campaign_form::{CampaignFields, TypedCampaign};
use super::rows::PurchaseRow;
use super::{Asked, Filled, given};
use crate::App;
use crate::alerts::{AlertLabel, AlertList, AlertView, CampaignView};
use crate::backend::{FieldError, FormError, Place};
use crate::error::PageError;
use crate::layout::{Layout, Section};
use crate::links::Link;
use crate::render::{self, CachePolicy, PageAnswer, Refresh};
use crate::session::{Here, Visitor};
use crate::times;
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

const MAX_FORM_BYTES: usize = 4_096;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/{vendor}/alerts", get(show))
        .route("/{vendor}/alerts/campaigns", post(announce))
        .route("/{vendor}/alerts/{alert}", get(show_one).post(label))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

#[derive(Debug, Default, Deserialize)]
struct Filters {
    mode: Option<String>,
    announced: Option<String>,
    fragment: Option<String>,
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(filters): Asked<Filters>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let only_body = filters.fragment.is_some();
    let here = visitor.locate_for(&app, &vendor, given(&filters.mode), only_body).await?;
    let list = app.backend.alerts(&here.place).await?;
    let view = View { app: &app, visitor: &visitor, here: &here };
    let form = view.form(&TypedCampaign::default(), &[], &list, filters.announced.is_some());
    let body = AlertsBody::new(&list, &visitor, &here).render()?;
    view.answer("Alerts", &[], (form.render()?, body), (only_body, &headers), StatusCode::OK).await
}

async fn show_one(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, id)): Path<(String, String)>,
    Asked(filters): Asked<Filters>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let only_body = filters.fragment.is_some();
    let here = visitor.locate_for(&app, &vendor, given(&filters.mode), only_body).await?;
    let detail = app.backend.alert(&here.place, &id).await?.ok_or(PageError::NotFound)?;
    let explorer = Link::to(&[&vendor, "redemptions"]).with("mode", here.place.mode.name());
    let all = explorer.with("code", &detail.alert.code).with("only", "redemptions").with("cursor", &detail.cursor);
    let body = AlertBody {
        card: AlertCard::new(&detail.alert, &here),
        csrf: visitor.session.csrf.0.clone(),
        rows: detail.rows.iter().map(|item| PurchaseRow::new(item, &here.place)).collect(),
        all_href: if detail.cursor.is_empty() { String::new() } else { all.build() },
        back_href: Link::to(&[&vendor, "alerts"]).with("mode", here.place.mode.name()).build(),
    };
    let view = View { app: &app, visitor: &visitor, here: &here };
    view.answer("Alert", &[&id], (String::new(), body.render()?), (only_body, &headers), StatusCode::OK).await
}

#[derive(Deserialize)]
struct LabelForm {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    label: String,
}

async fn label(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, id)): Path<(String, String)>,
    Filled(form): Filled<LabelForm>,
) -> Result<Response, PageError> {
    visitor.check_form(&form.csrf)?;
    let here = visitor.locate_body(&app, &vendor, Some("live")).await?;
    let label = AlertLabel::named(&form.label).ok_or_else(|| PageError::BadQuery {
        field: "label",
        message: "Use one of expected, fraud, unclear.".into(),
    })?;
    app.backend.label_alert(&here.place, &id, label).await?;
    Ok(Redirect::to(&Link::to(&[&vendor, "alerts"]).with("mode", "live").build()).into_response())
}

async fn announce(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Filled(typed): Filled<TypedCampaign>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let here = visitor.locate(&app, &vendor, Some("live")).await?;
    let errors = match typed.checked(&here.vendor.time_zone) {
        Err(errors) => errors,
        Ok(form) => match app.backend.announce_campaign(&here.place, form).await {
            Ok(()) => {
                let target = Link::to(&[&vendor, "alerts"]).with("mode", "live").with("announced", "1").build();
                return Ok(Redirect::to(&target).into_response());
            }
            Err(FormError::Fields(errors)) => errors,
            Err(FormError::Backend(error)) => return Err(error.into()),
        },
    };
    let list = app.backend.alerts(&here.place).await?;
    let view = View { app: &app, visitor: &visitor, here: &here };
    let form = view.form(&typed, &errors, &list, false);
    let body = AlertsBody::new(&list, &visitor, &here).render()?;
    let nothing = HeaderMap::new();
    view.answer("Alerts", &[], (form.render()?, body), (false, &nothing), StatusCode::UNPROCESSABLE_ENTITY).await
}

struct View<'a> {
    app: &'a App,
    visitor: &'a Visitor,
    here: &'a Here,
}

impl View<'_> {
    fn form(
        &self,
        typed: &TypedCampaign,
        errors: &[FieldError],
        list: &AlertList,
        is_announced: bool,
    ) -> CampaignFields {
        let action = Link::to(&[&self.here.vendor.slug, "alerts", "campaigns"]).build();
        let csrf = self.visitor.session.csrf.0.clone();
        let choices = (list.codes.clone(), self.here.vendor.time_zone.as_str());
        CampaignFields::new((action, csrf), typed, errors, choices, is_announced)
    }

    /// What people say of an alert changes no figure, so the tag is that of the content, and the page asks again by
    /// itself beside what it hears.
    async fn answer(
        &self,
        title: &str,
        below: &[&str],
        (fixed, body): (String, String),
        (only_body, headers): (bool, &HeaderMap),
        status: StatusCode,
    ) -> Result<Response, PageError> {
        let etag = render::etag(&[&body], self.app.now());
        if only_body && render::is_unchanged(headers, &etag) {
            return Ok(render::not_modified(&etag));
        }
        let path: Vec<&str> = [self.here.vendor.slug.as_str(), "alerts"].iter().chain(below).copied().collect();
        let url = Link::to(&path).with("mode", self.here.place.mode.name()).with("fragment", "1").build();
        let layout = Layout::new(title, Section::Alerts, self.visitor, self.here);
        let cache = if status == StatusCode::OK { CachePolicy::AskFirst } else { CachePolicy::Never };
        let refresh = Refresh { url, etag, watermark: 0, as_of: String::new(), polls: true };
        PageAnswer { layout: &layout, fixed, body, refresh, only_body, status, cache }.respond()
    }
}

/// What people can say, as buttons.
fn label_words(label: AlertLabel) -> &'static str {
    match label {
        AlertLabel::Expected => "Expected campaign",
        AlertLabel::Fraud => "Fraud",
        AlertLabel::Unclear => "Unclear",
    }
}

/// A button.
struct LabelButton {
    value: &'static str,
    words: &'static str,
    is_chosen: bool,
}

/// An alert in words.
struct AlertCard {
    id: String,
    href: String,
    code: String,
    affiliate: String,
    sentence: String,
    since: String,
    since_machine: String,
    /// What somebody said, who and when; empty while it is open.
    said: String,
    buttons: Vec<LabelButton>,
}

impl AlertCard {
    fn new(alert: &AlertView, here: &Here) -> AlertCard {
        let zone = here.vendor.time_zone.as_str();
        let said = alert.said.as_ref();
        let button = |label: AlertLabel| LabelButton {
            value: label.name(),
            words: label_words(label),
            is_chosen: said.is_some_and(|said| said.label == label),
        };
        AlertCard {
            id: alert.id.clone(),
            href: Link::to(&[&here.vendor.slug, "alerts", &alert.id]).with("mode", here.place.mode.name()).build(),
            code: if alert.code.is_empty() { "A code without a name".into() } else { alert.code.clone() },
            affiliate: alert.affiliate.clone(),
            sentence: alert.sentence.clone(),
            since: times::moment(alert.since, zone),
            since_machine: times::machine(alert.since),
            said: said.map_or_else(String::new, |said| {
                format!("{}, said {} on {}", label_words(said.label), said.by, times::moment(said.at, zone))
            }),
            buttons: AlertLabel::ALL.into_iter().map(button).collect(),
        }
    }
}

/// An announced campaign in words.
struct CampaignLine {
    code: String,
    from: String,
    to: String,
    times: String,
    by: String,
}

impl CampaignLine {
    fn new(campaign: &CampaignView, zone: &str) -> CampaignLine {
        CampaignLine {
            code: campaign.code.clone().unwrap_or_else(|| "All codes".into()),
            from: times::moment(campaign.from, zone),
            to: times::moment(campaign.to, zone),
            times: match campaign.expected_percent {
                percent if percent % 100 == 0 => format!("{} times the usual", percent / 100),
                percent => format!("{percent} % of the usual"),
            },
            by: campaign.by.clone(),
        }
    }
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsBody {
    cards: Vec<AlertCard>,
    campaigns: Vec<CampaignLine>,
    csrf: String,
    is_live: bool,
    live_href: String,
}

impl AlertsBody {
    fn new(list: &AlertList, visitor: &Visitor, here: &Here) -> AlertsBody {
        let zone = here.vendor.time_zone.as_str();
        let Place { vendor, mode, .. } = &here.place;
        AlertsBody {
            cards: list.alerts.iter().map(|alert| AlertCard::new(alert, here)).collect(),
            campaigns: list.campaigns.iter().map(|campaign| CampaignLine::new(campaign, zone)).collect(),
            csrf: visitor.session.csrf.0.clone(),
            is_live: mode.is_live(),
            live_href: Link::to(&[vendor, "alerts"]).with("mode", "live").build(),
        }
    }
}

#[derive(Template)]
#[template(path = "alert.html")]
struct AlertBody {
    card: AlertCard,
    csrf: String,
    rows: Vec<PurchaseRow>,
    all_href: String,
    back_href: String,
}
