//! The form for a restricted key of Stripe: what was typed, whether it has the shape of such a key, and its answer.

use super::connect_form::{key_problem, no_problems, slug, workspace_problem};
use super::connections::{MAX_FORM_BYTES, View, Viewed};
use super::{Asked, Filled, given};
use crate::App;
use crate::backend::{FieldError, Secret, VendorView};
use crate::error::PageError;
use crate::links::Link;
use crate::render::CachePolicy;
use crate::session::Visitor;
use crate::stripe_keys::{KeyError, KeyForm, KeyPermission};
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use domain::ids::{ConnectionId, Mode};
use serde::Deserialize;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/{vendor}/connections/key", post(connect).get(back))
        .route("/{vendor}/connections/{connection}/read", post(read_again))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

/// As posted.
#[derive(Clone, Default, Deserialize)]
pub(super) struct TypedKey {
    #[serde(default)]
    pub csrf: String,
    #[serde(default)]
    pub workspace: String,
    #[serde(default)]
    pub mode: Option<String>,
    #[serde(default)]
    pub key: String,
}

impl TypedKey {
    /// Checks the shape only; Stripe checks the rest. `beside`: the form stands in the demo and opens a workspace
    /// beside these.
    fn checked(&self, mode: Mode, beside: Option<&[VendorView]>) -> Result<KeyForm, Vec<FieldError>> {
        let (workspace, key) = (self.workspace.trim(), self.key.trim());
        no_problems(&[
            ("workspace", beside.and_then(|vendors| workspace_problem(workspace, vendors))),
            ("key", wrong_key(key, mode)),
        ])?;
        Ok(KeyForm {
            workspace: beside.map(|_| slug(workspace)),
            workspace_name: beside.map(|_| workspace.to_owned()),
            key: Secret(key.to_owned()),
            mode,
        })
    }
}

fn wrong_key(key: &str, mode: Mode) -> Option<&'static str> {
    if key.is_empty() {
        Some("Paste the restricted key. It starts with rk_.")
    } else if key.starts_with("whsec_") {
        Some("This is a signing secret. It belongs into the form below; a restricted key starts with rk_.")
    } else if let Some(problem) = key_problem(key) {
        Some(problem)
    } else if key.starts_with("rk_test_") && mode.is_live() {
        Some("This is a test key, and this page shows live data. Paste a live key, or change to test mode first.")
    } else if key.starts_with("rk_live_") && !mode.is_live() {
        Some("This is a live key, and this page shows test data. Paste a test key, or change to live mode first.")
    } else if !key.starts_with("rk_test_") && !key.starts_with("rk_live_") {
        Some("A restricted key starts with rk_test_ or rk_live_.")
    } else {
        None
    }
}

/// What the form says beside the fields.
#[derive(Default)]
pub(super) struct KeyProblems {
    fields: Vec<FieldError>,
    missing: Vec<KeyPermission>,
}

async fn connect(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Filled(typed): Filled<TypedKey>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let here = visitor.locate(&app, &vendor, given(&typed.mode)).await?;
    let beside = here.vendor.is_demo.then_some(visitor.session.vendors.as_slice());
    let problems = match typed.checked(here.place.mode, beside) {
        Err(fields) => KeyProblems { fields, missing: Vec::new() },
        Ok(form) => match app.backend.connect_with_key(&visitor.cookie, &vendor, form).await {
            Ok(slug) => {
                let target = Link::to(&[&slug, "connections"])
                    .with("mode", here.place.mode.name())
                    .with("connected", "key")
                    .build();
                return Ok(Redirect::to(&target).into_response());
            }
            Err(KeyError::Fields(fields)) => KeyProblems { fields, missing: Vec::new() },
            Err(KeyError::Missing(missing)) => KeyProblems { fields: Vec::new(), missing },
            Err(KeyError::Backend(error)) => return Err(error.into()),
        },
    };
    let viewed = Viewed::read(&app, &visitor, &vendor).await?;
    let view = View { app: &app, visitor: &visitor, here: &here, viewed: &viewed };
    let forms = view.forms_with_key(&typed, &problems)?;
    let layout = view.layout();
    view.answer(&layout, forms, StatusCode::UNPROCESSABLE_ENTITY, CachePolicy::Never)?.respond()
}

/// Somebody loads the address of a form that was refused.
async fn back(Path(vendor): Path<String>, Asked(mode): Asked<InMode>) -> Redirect {
    let link = Link::to(&[&vendor, "connections"]).with_some("mode", given(&mode.mode));
    Redirect::to(&link.build())
}

#[derive(Debug, Deserialize)]
struct InMode {
    mode: Option<String>,
}

#[derive(Deserialize)]
struct Again {
    #[serde(default)]
    csrf: String,
    /// Of the reading.
    #[serde(default)]
    mode: String,
    /// Of the page.
    #[serde(default)]
    page_mode: Option<String>,
}

async fn read_again(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, connection)): Path<(String, u64)>,
    Filled(typed): Filled<Again>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let mode = [Mode::Live, Mode::Test].into_iter().find(|mode| mode.name() == typed.mode);
    let mode = mode.ok_or(PageError::BadQuery { field: "mode", message: "Use test or live.".into() })?;
    app.backend.read_stripe_again(&visitor.cookie, &vendor, ConnectionId(connection), mode).await?;
    let link = Link::to(&[&vendor, "connections"]).with_some("mode", given(&typed.page_mode));
    Ok(Redirect::to(&link.build()).into_response())
}

/// The form.
#[derive(Template)]
#[template(path = "key_form.html")]
pub(super) struct KeyFormCard {
    action: String,
    csrf: String,
    is_demo: bool,
    is_open: bool,
    /// A key was just accepted.
    pub(super) just_connected: bool,
    mode: &'static str,
    other_mode: &'static str,
    other_href: String,
    workspace: String,
    workspace_error: String,
    key_error: String,
    form_error: String,
    missing: Vec<KeyPermission>,
    permissions: Vec<KeyPermission>,
    events: &'static [&'static str],
}

impl KeyFormCard {
    pub(super) fn new(view: &View<'_>, typed: &TypedKey, problems: &KeyProblems, is_open: bool) -> KeyFormCard {
        let of = |field: &str| {
            problems.fields.iter().find(|one| one.field == field).map(|one| one.message.clone()).unwrap_or_default()
        };
        let other = problems.fields.iter().find(|one| !["workspace", "key"].contains(&one.field.as_str()));
        let vendor = &view.here.vendor;
        let mode = view.here.place.mode;
        let other_mode = if mode.is_live() { Mode::Test } else { Mode::Live };
        KeyFormCard {
            action: Link::to(&[&vendor.slug, "connections", "key"]).build(),
            csrf: view.visitor.session.csrf.0.clone(),
            is_demo: vendor.is_demo,
            is_open,
            just_connected: false,
            mode: mode.name(),
            other_mode: other_mode.name(),
            other_href: Link::to(&[&vendor.slug, "connections"]).with("mode", other_mode.name()).build(),
            // The key itself is never sent back.
            workspace: typed.workspace.clone(),
            workspace_error: of("workspace"),
            key_error: of("key"),
            form_error: other.map(|error| error.message.clone()).unwrap_or_default(),
            missing: problems.missing.clone(),
            permissions: view.app.backend.key_permissions(),
            events: &crate::backend::STRIPE_EVENTS,
        }
    }

    /// Whether it says that something is wrong.
    pub(super) fn has_problems(problems: &KeyProblems) -> bool {
        !problems.fields.is_empty() || !problems.missing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_restricted_key_of_the_pages_mode_is_taken() {
        for (key, mode) in [("rk_live_12345", Mode::Live), (" rk_test_12345\n", Mode::Test)] {
            let typed = TypedKey { key: key.into(), ..TypedKey::default() };
            let form = typed.checked(mode, None).expect("taken");
            assert_eq!((form.key.0.as_str(), form.mode), (key.trim(), mode));
        }
        let words = |key: &str, mode| wrong_key(key, mode).unwrap_or_default();
        assert!(words("rk_test_1", Mode::Live).starts_with("This is a test key"));
        assert!(words("rk_live_1", Mode::Test).starts_with("This is a live key"));
        assert!(words("sk_live_1", Mode::Live).contains("may do everything"));
        assert!(words("whsec_1", Mode::Live).starts_with("This is a signing secret"));
        assert!(words("", Mode::Live).starts_with("Paste"));
        assert!(words("rk_other", Mode::Live).starts_with("A restricted key starts"));
        assert!(words("rk_live_1 2", Mode::Live).starts_with("There is a space"));
        let typed = TypedKey { key: "rk_live_1".into(), ..TypedKey::default() };
        assert_eq!(typed.checked(Mode::Live, Some(&[])).expect_err("no name")[0].field, "workspace");
    }
}
