//! `/welcome`: the first workspace, where there is none yet.

use super::Filled;
use super::connect_form::TypedForm;
use super::connections::MAX_FORM_BYTES;
use crate::App;
use crate::backend::{FieldError, FormError};
use crate::error::PageError;
use crate::links::Link;
use crate::render::{self, CachePolicy};
use crate::session::Visitor;
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use domain::ids::Provider;

/// Where it is.
pub(super) const PATH: &str = "/welcome";

pub(super) fn router() -> Router<App> {
    Router::new().route(PATH, get(show).post(open)).layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

async fn show(visitor: Visitor) -> Result<Response, PageError> {
    let typed = TypedForm { provider: Provider::Stripe.name().to_owned(), ..TypedForm::default() };
    answer(&visitor, &typed, &[], StatusCode::OK)
}

async fn open(
    State(app): State<App>,
    visitor: Visitor,
    Filled(typed): Filled<TypedForm>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let errors = match typed.checked_workspace(&visitor.session.vendors) {
        Err(errors) => errors,
        Ok(form) => match app.backend.open_workspace(&visitor.cookie, form).await {
            Ok(connected) => {
                let provider = connected.connection.provider.name();
                let target = Link::to(&[&connected.vendor, "connections"]).with("connected", provider).build();
                return Ok(Redirect::to(&target).into_response());
            }
            Err(FormError::Fields(errors)) => errors,
            Err(FormError::Backend(error)) => return Err(error.into()),
        },
    };
    answer(&visitor, &typed, &errors, StatusCode::UNPROCESSABLE_ENTITY)
}

fn answer(
    visitor: &Visitor,
    typed: &TypedForm,
    errors: &[FieldError],
    status: StatusCode,
) -> Result<Response, PageError> {
    let of = |field: &str| {
        errors.iter().find(|error| error.field == field).map(|error| error.message.clone()).unwrap_or_default()
    };
    let fields = ["workspace", "provider", "secret", "key"];
    let other = errors.iter().find(|error| !fields.contains(&error.field.as_str()));
    let page = WelcomePage {
        csrf: &visitor.session.csrf.0,
        typed,
        providers: [Provider::Stripe, Provider::Paddle, Provider::LemonSqueezy].map(|provider| ProviderChoice {
            name: provider.name(),
            label: super::provider_name(provider),
            is_chosen: provider.name() == typed.provider,
        }),
        workspace_error: of("workspace"),
        provider_error: of("provider"),
        secret_error: of("secret"),
        key_error: of("key"),
        form_error: other.map(|error| error.message.clone()).unwrap_or_default(),
        has_workspace: !visitor.session.vendors.is_empty(),
    };
    Ok(render::html(status, page.render()?, CachePolicy::Never))
}

/// An entry of the provider field.
struct ProviderChoice {
    name: &'static str,
    label: &'static str,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage<'a> {
    csrf: &'a str,
    typed: &'a TypedForm,
    providers: [ProviderChoice; 3],
    workspace_error: String,
    provider_error: String,
    secret_error: String,
    key_error: String,
    form_error: String,
    /// Somebody came here although there is a workspace already.
    has_workspace: bool,
}
