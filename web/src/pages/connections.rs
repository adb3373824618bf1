//! `/{vendor}/connections`: connect Stripe, and how each connection is doing.

use super::Filled;
use super::connect_form::TypedForm;
use super::key_form::{KeyFormCard, KeyProblems, TypedKey};
use super::setup_card::{SetupCard, setup_card};
use super::{Asked, given};
use crate::App;
use crate::backend::{ConnectionView, FieldError, FormError, STRIPE_EVENTS, VendorView};
use crate::error::PageError;
use crate::layout::{Layout, Section};
use crate::links::Link;
use crate::money::count;
use crate::render::{self, CachePolicy, PageAnswer, Refresh};
use crate::session::{Here, Visitor};
use crate::stripe_keys::SetupView;
use crate::times;
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use domain::ids::{Provider, Timestamp};
use serde::Deserialize;

/// Largest form, in bytes.
pub(super) const MAX_FORM_BYTES: usize = 16 * 1024;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/connections", get(show).post(connect)).layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

#[derive(Debug, Deserialize)]
struct Filters {
    mode: Option<String>,
    connected: Option<String>,
    fragment: Option<String>,
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(filters): Asked<Filters>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let here = visitor.locate(&app, &vendor, given(&filters.mode)).await?;
    let viewed = Viewed::read(&app, &visitor, &vendor).await?;
    let view = View { app: &app, visitor: &visitor, here: &here, viewed: &viewed };
    let forms = view.forms(&TypedForm::default(), &[], given(&filters.connected))?;
    let layout = view.layout();
    let mut answer = view.answer(&layout, forms, StatusCode::OK, CachePolicy::AskFirst)?;
    answer.only_body = filters.fragment.is_some();
    // Deliveries that change no figure still change this page, so its tag is that of its content.
    if answer.only_body && render::is_unchanged(&headers, &answer.refresh.etag) {
        return Ok(render::not_modified(&answer.refresh.etag));
    }
    answer.respond()
}

async fn connect(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Filled(typed): Filled<TypedForm>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let here = visitor.locate(&app, &vendor, None).await?;
    let beside = here.vendor.is_demo.then_some(visitor.session.vendors.as_slice());
    let errors = match typed.checked(beside) {
        Err(errors) => errors,
        Ok(form) => match app.backend.connect_stripe(&visitor.cookie, &vendor, form).await {
            Ok(connected) => {
                let target = Link::to(&[&connected.vendor, "connections"]).with("connected", "stripe").build();
                return Ok(Redirect::to(&target).into_response());
            }
            Err(FormError::Fields(errors)) => errors,
            Err(FormError::Backend(error)) => return Err(error.into()),
        },
    };
    let viewed = Viewed::read(&app, &visitor, &vendor).await?;
    let view = View { app: &app, visitor: &visitor, here: &here, viewed: &viewed };
    let forms = view.forms(&typed, &errors, None)?;
    let layout = view.layout();
    view.answer(&layout, forms, StatusCode::UNPROCESSABLE_ENTITY, CachePolicy::Never)?.respond()
}

/// What there is to see.
pub(super) struct Viewed {
    connections: Vec<ConnectionView>,
    setups: Vec<SetupView>,
}

impl Viewed {
    pub(super) async fn read(app: &App, visitor: &Visitor, vendor: &str) -> Result<Viewed, PageError> {
        Ok(Viewed {
            connections: app.backend.connections(&visitor.cookie, vendor).await?,
            setups: app.backend.stripe_setups(&visitor.cookie, vendor).await?,
        })
    }
}

pub(super) struct View<'a> {
    pub(super) app: &'a App,
    pub(super) visitor: &'a Visitor,
    pub(super) here: &'a Here,
    pub(super) viewed: &'a Viewed,
}

impl View<'_> {
    pub(super) fn layout(&self) -> Layout {
        Layout::new(Section::Connections.label(), Section::Connections, self.visitor, self.here)
    }

    /// The page around both forms.
    pub(super) fn answer<'a>(
        &self,
        layout: &'a Layout,
        forms: String,
        status: StatusCode,
        cache: CachePolicy,
    ) -> Result<PageAnswer<'a>, PageError> {
        let body = ConnectionsBody::new(self).render()?;
        let url = Link::to(&[&self.here.vendor.slug, "connections"])
            .with("mode", self.here.place.mode.name())
            .with("fragment", "1")
            .build();
        let etag = render::etag(&[&body], self.app.now());
        let refresh = Refresh { url, etag, watermark: 0, as_of: String::new(), polls: true };
        Ok(PageAnswer { layout, fixed: forms, body, refresh, only_body: false, status, cache })
    }

    /// Both forms, that for a secret as typed.
    fn forms(&self, typed: &TypedForm, errors: &[FieldError], connected: Option<&str>) -> Result<String, PageError> {
        let secret_form = self.form(typed, errors, connected.and_then(Provider::from_name));
        let is_first = self.is_first() && errors.is_empty();
        let mut key_form = KeyFormCard::new(self, &TypedKey::default(), &KeyProblems::default(), is_first);
        key_form.just_connected = connected == Some("key");
        Ok(format!("{}{}", key_form.render()?, secret_form.render()?))
    }

    /// Both forms, that for a key as typed.
    pub(super) fn forms_with_key(&self, typed: &TypedKey, problems: &KeyProblems) -> Result<String, PageError> {
        let is_open = self.is_first() || KeyFormCard::has_problems(problems);
        let key_form = KeyFormCard::new(self, typed, problems, is_open);
        Ok(format!("{}{}", key_form.render()?, self.form(&TypedForm::default(), &[], None).render()?))
    }

    /// Nothing is connected yet, as far as this workspace is concerned.
    fn is_first(&self) -> bool {
        self.viewed.connections.is_empty() || self.here.vendor.is_demo
    }

    fn form(&self, typed: &TypedForm, errors: &[FieldError], just_connected: Option<Provider>) -> ConnectForm {
        let of = |field: &str| {
            errors.iter().find(|error| error.field == field).map(|error| error.message.clone()).unwrap_or_default()
        };
        let other = errors.iter().find(|error| !["workspace", "secret", "key"].contains(&error.field.as_str()));
        let vendor = &self.here.vendor;
        ConnectForm {
            action: Link::to(&[&vendor.slug, "connections"]).build(),
            csrf: self.visitor.session.csrf.0.clone(),
            is_demo: vendor.is_demo,
            is_open: self.is_first() || !errors.is_empty(),
            just_connected: just_connected.map(|provider| (super::provider_name(provider), webhook_place(provider))),
            typed: typed.clone(),
            workspace_error: of("workspace"),
            secret_error: of("secret"),
            key_error: of("key"),
            form_error: other.map(|error| error.message.clone()).unwrap_or_default(),
            events: &STRIPE_EVENTS,
        }
    }
}

#[derive(Template)]
#[template(path = "connect_form.html")]
pub(crate) struct ConnectForm {
    action: String,
    csrf: String,
    is_demo: bool,
    is_open: bool,
    /// Who was just connected, and where it is told the address; empty otherwise.
    just_connected: Option<(&'static str, &'static str)>,
    typed: TypedForm,
    workspace_error: String,
    secret_error: String,
    key_error: String,
    form_error: String,
    events: &'static [&'static str],
}

/// Where a provider is told the address of an endpoint.
fn webhook_place(provider: Provider) -> &'static str {
    match provider {
        Provider::Stripe => "Developers, Webhooks",
        Provider::Paddle => "Developer tools, Notifications",
        Provider::LemonSqueezy => "Settings, Webhooks",
    }
}

/// One connection, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionCard {
    provider: &'static str,
    disconnect_href: String,
    endpoint_url: String,
    /// `ok`, `new` or `trouble`.
    state: &'static str,
    state_text: &'static str,
    secrets: Vec<String>,
    key: Option<String>,
    can_look_up: bool,
    last_delivery: String,
    last_delivery_machine: String,
    deliveries_24h: String,
    /// What happened to the newest delivery and what to do, if it was refused.
    warning: Option<(String, String)>,
    failures: Vec<FailureRow>,
    missing_event_types: Vec<String>,
    missing: Vec<String>,
    setups: Vec<SetupCard>,
    /// Its endpoint at the provider is known to send everything.
    is_complete: bool,
}

/// One reason for failures, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailureRow {
    at: String,
    at_machine: String,
    reason: String,
    count: String,
}

#[derive(Template)]
#[template(path = "connections.html")]
pub(crate) struct ConnectionsBody {
    cards: Vec<ConnectionCard>,
    is_demo: bool,
    time_zone: String,
    /// For the buttons.
    csrf: String,
    mode: &'static str,
}

impl ConnectionsBody {
    fn new(view: &View<'_>) -> ConnectionsBody {
        let (vendor, now) = (&view.here.vendor, view.app.now());
        let card = |connection: &ConnectionView| {
            let mine = view.viewed.setups.iter().filter(|setup| setup.endpoint_url == connection.endpoint_url);
            let setups: Vec<SetupCard> =
                mine.map(|setup| setup_card(setup, &vendor.slug, &vendor.time_zone, now)).collect();
            let is_complete = !setups.is_empty() && setups.iter().all(|setup| setup.missing_events.is_empty());
            ConnectionCard { setups, is_complete, ..card(connection, vendor, now) }
        };
        ConnectionsBody {
            cards: view.viewed.connections.iter().map(card).collect(),
            is_demo: vendor.is_demo,
            time_zone: vendor.time_zone.clone(),
            csrf: view.visitor.session.csrf.0.clone(),
            mode: view.here.place.mode.name(),
        }
    }
}

fn card(connection: &ConnectionView, vendor: &VendorView, now: Timestamp) -> ConnectionCard {
    let zone = vendor.time_zone.as_str();
    let number = |value: u64| count(i64::try_from(value).unwrap_or(i64::MAX));
    let (state, state_text) = match connection {
        ConnectionView { warning: Some(_), .. } => ("trouble", "The last delivery was refused"),
        ConnectionView { last_delivery_at: None, .. } => ("new", "Waiting for the first delivery"),
        ConnectionView { failures, .. } if !failures.is_empty() => ("trouble", "Some deliveries failed"),
        _ => ("ok", "Receiving"),
    };
    ConnectionCard {
        provider: super::provider_name(connection.provider),
        disconnect_href: Link::to(&[&vendor.slug, "connections", &connection.id.to_string(), "disconnect"]).build(),
        endpoint_url: connection.endpoint_url.clone(),
        state,
        state_text,
        secrets: connection.secrets.clone(),
        key: connection.key.clone(),
        can_look_up: connection.can_look_up,
        last_delivery: connection.last_delivery_at.map(|at| times::moment(at, zone)).unwrap_or_default(),
        last_delivery_machine: connection.last_delivery_at.map(times::machine).unwrap_or_default(),
        deliveries_24h: number(connection.deliveries_24h),
        warning: connection.warning.as_ref().map(|warning| {
            let ago = times::ago(warning.at, now);
            (format!("The last delivery, {ago}, {}.", warning.what.trim_end_matches('.')), warning.advice.clone())
        }),
        failures: connection
            .failures
            .iter()
            .map(|failure| FailureRow {
                at: times::moment(failure.at, zone),
                at_machine: times::machine(failure.at),
                reason: crate::words::sentence(&failure.reason),
                count: number(failure.count),
            })
            .collect(),
        missing_event_types: connection.missing_event_types.clone(),
        missing: connection.missing.clone(),
        setups: Vec::new(),
        is_complete: false,
    }
}
