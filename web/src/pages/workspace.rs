//! `/{vendor}/settings`: the workspace itself. `/{vendor}/connections/{id}/disconnect`: ending a connection.

use super::{Asked, Filled, given, provider_name};
use crate::App;
use crate::backend::{ConnectionView, FieldError, FormError};
use crate::error::PageError;
use crate::layout::{Layout, Section};
use crate::links::Link;
use crate::range::{MAX_DAYS, RangeChoice};
use crate::render::{CachePolicy, PageAnswer, Refresh};
use crate::session::{Here, Visitor};
use crate::times;
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use jiff::ToSpan;
use serde::Deserialize;

const MAX_FORM_BYTES: usize = 4_096;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/{vendor}/settings", get(show).post(change))
        .route("/{vendor}/settings/remove", post(remove))
        .route("/{vendor}/connections/{id}/disconnect", get(ask_disconnect).post(disconnect))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

#[derive(Deserialize)]
struct Around {
    mode: Option<String>,
    done: Option<String>,
}

#[derive(Default, Deserialize)]
struct Typed {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    time_zone: String,
    #[serde(default)]
    confirm: String,
}

/// One entry of the list of time zones.
struct ZoneChoice {
    name: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "workspace.html")]
struct WorkspaceBody<'a> {
    csrf: &'a str,
    is_done: bool,
    action: String,
    remove_action: String,
    /// As it is; has to be typed to remove it.
    current_name: &'a str,
    name: &'a str,
    name_error: String,
    time_zone_error: String,
    form_error: String,
    zones: Vec<ZoneChoice>,
    is_demo: bool,
    can_be_removed: bool,
    confirm: &'a str,
    confirm_error: String,
    payouts_csv: String,
    payouts_xlsx: String,
}

fn zones(chosen: &str) -> Vec<ZoneChoice> {
    let is_place = |name: &String| name == "UTC" || (name.contains('/') && !name.starts_with("Etc/"));
    let mut names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).filter(is_place).collect();
    if !names.iter().any(|name| name == chosen) {
        names.push(chosen.to_owned());
    }
    names.sort_unstable();
    names.into_iter().map(|name| ZoneChoice { is_chosen: name == chosen, name }).collect()
}

fn page(
    app: &App,
    (visitor, here): (&Visitor, &Here),
    typed: &Typed,
    errors: &[FieldError],
    is_done: bool,
) -> Result<Response, PageError> {
    let vendor = &here.vendor;
    let of = |field: &str| {
        let found = errors.iter().find(|error| error.field == field);
        found.map(|error| error.message.clone()).unwrap_or_default()
    };
    let other = errors.iter().find(|error| !["name", "time_zone", "confirm"].contains(&error.field.as_str()));
    let today = times::day(app.now(), &vendor.time_zone);
    let longest = RangeChoice::Free { from: today.saturating_sub((MAX_DAYS - 1).days()), to: today };
    let file = |ending: &str| longest.link(Link::to(&[&vendor.slug, ending])).build();
    let body = WorkspaceBody {
        csrf: &visitor.session.csrf.0,
        is_done,
        action: Link::to(&[&vendor.slug, "settings"]).build(),
        remove_action: Link::to(&[&vendor.slug, "settings", "remove"]).build(),
        current_name: &vendor.name,
        name: &typed.name,
        name_error: of("name"),
        time_zone_error: of("time_zone"),
        form_error: other.map(|error| error.message.clone()).unwrap_or_default(),
        zones: zones(&typed.time_zone),
        is_demo: vendor.is_demo,
        can_be_removed: vendor.can_be_removed,
        confirm: &typed.confirm,
        confirm_error: of("confirm"),
        payouts_csv: file("payouts.csv"),
        payouts_xlsx: file("payouts.xlsx"),
    };
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    answer(Section::Workspace.label(), Section::Workspace, (visitor, here), body.render()?, status)
}

/// Nothing tells of what these pages show, so they do not listen.
fn answer(
    title: &str,
    section: Section,
    (visitor, here): (&Visitor, &Here),
    body: String,
    status: StatusCode,
) -> Result<Response, PageError> {
    let mut layout = Layout::new(title, section, visitor, here);
    layout.live_url.clear();
    let url = Link::to(&[&here.vendor.slug, section.path()]).build();
    let answer = PageAnswer {
        layout: &layout,
        fixed: String::new(),
        body,
        refresh: Refresh::never(url),
        only_body: false,
        status,
        cache: CachePolicy::Never,
    };
    answer.respond()
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(around): Asked<Around>,
) -> Result<Response, PageError> {
    let here = visitor.locate(&app, &vendor, given(&around.mode)).await?;
    let as_it_is = as_it_is(&here);
    page(&app, (&visitor, &here), &as_it_is, &[], given(&around.done).is_some())
}

fn as_it_is(here: &Here) -> Typed {
    Typed { name: here.vendor.name.clone(), time_zone: here.vendor.time_zone.clone(), ..Typed::default() }
}

async fn change(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Filled(typed): Filled<Typed>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let here = visitor.locate(&app, &vendor, None).await?;
    match app.backend.change_workspace(&visitor.cookie, &vendor, &typed.name, &typed.time_zone).await {
        Ok(()) => Ok(Redirect::to(&Link::to(&[&vendor, "settings"]).with("done", "saved").build()).into_response()),
        Err(FormError::Fields(errors)) => page(&app, (&visitor, &here), &typed, &errors, false),
        Err(FormError::Backend(error)) => Err(error.into()),
    }
}

async fn remove(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Filled(typed): Filled<Typed>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let here = visitor.locate(&app, &vendor, None).await?;
    match app.backend.remove_workspace(&visitor.cookie, &vendor, &typed.confirm).await {
        Ok(()) => Ok(Redirect::to("/").into_response()),
        Err(FormError::Fields(errors)) => {
            let typed = Typed { confirm: typed.confirm, ..as_it_is(&here) };
            page(&app, (&visitor, &here), &typed, &errors, false)
        }
        Err(FormError::Backend(error)) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "disconnect.html")]
struct DisconnectBody<'a> {
    csrf: &'a str,
    provider: &'static str,
    endpoint_url: &'a str,
    action: String,
    back: String,
}

async fn connection_of(app: &App, visitor: &Visitor, (vendor, id): (&str, u64)) -> Result<ConnectionView, PageError> {
    let connections = app.backend.connections(&visitor.cookie, vendor).await?;
    connections.into_iter().find(|connection| connection.id == id).ok_or(PageError::NotFound)
}

async fn ask_disconnect(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, id)): Path<(String, u64)>,
) -> Result<Response, PageError> {
    let here = visitor.locate(&app, &vendor, None).await?;
    let connection = connection_of(&app, &visitor, (&vendor, id)).await?;
    let provider = provider_name(connection.provider);
    let body = DisconnectBody {
        csrf: &visitor.session.csrf.0,
        provider,
        endpoint_url: &connection.endpoint_url,
        action: Link::to(&[&vendor, "connections", &id.to_string(), "disconnect"]).build(),
        back: Link::to(&[&vendor, "connections"]).build(),
    };
    let title = format!("Disconnect {provider}");
    answer(&title, Section::Connections, (&visitor, &here), body.render()?, StatusCode::OK)
}

async fn disconnect(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, id)): Path<(String, u64)>,
    Filled(typed): Filled<Typed>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    connection_of(&app, &visitor, (&vendor, id)).await?;
    app.backend.disconnect(&visitor.cookie, &vendor, id).await?;
    Ok(Redirect::to(&Link::to(&[&vendor, "connections"]).build()).into_response())
}
