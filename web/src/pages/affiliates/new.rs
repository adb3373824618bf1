//! `/{vendor}/affiliates/new`: somebody new.

use super::super::{Asked, Filled, given};
use super::desk::{Around, Desk, Problems};
use super::field::Field;
use crate::App;
use crate::error::PageError;
use crate::layout::Section;
use crate::session::Visitor;
use api::people::{RESERVED, new_handle};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use store::control::input::{AffiliateInput, DecisionInput};

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/affiliates/new", get(show).post(add))
}

/// As posted.
#[derive(Debug, Default, Deserialize)]
struct Typed {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    key: String,
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(around): Asked<Around>,
) -> Result<Response, PageError> {
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    page(&desk, &Typed::default(), &Problems::default(), StatusCode::OK)
}

async fn add(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(around): Asked<Around>,
    Filled(typed): Filled<Typed>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    let problems = match checked(&typed, &desk) {
        Err(problems) => problems,
        Ok(input) => {
            let key = input.key.clone();
            match desk.decide(vec![DecisionInput::Affiliate(input)]).await? {
                Ok(()) => return Ok(desk.done(&["affiliates", &key], "added")),
                Err(problems) => problems,
            }
        }
    };
    page(&desk, &typed, &problems, StatusCode::UNPROCESSABLE_ENTITY)
}

fn checked(typed: &Typed, desk: &Desk<'_>) -> Result<AffiliateInput, Problems> {
    let mut problems = Problems::default();
    let (name, email, handle) = (typed.name.trim(), typed.email.trim(), typed.key.trim());
    if name.is_empty() {
        problems.add("name", "Write the name that you and they see.");
    }
    if let Some(other) = email_holder(desk, email, None) {
        problems.add("email", format!("This is the address of {other}."));
    }
    if RESERVED.contains(&handle) {
        problems.add("key", "This handle belongs to the application. Choose another one.");
    }
    if !problems.0.is_empty() {
        return Err(problems);
    }
    let is_taken = |handle: &str| desk.roster.by_key(handle).is_some();
    Ok(AffiliateInput {
        key: if handle.is_empty() { new_handle(name, is_taken) } else { handle.to_owned() },
        name: Some(name.to_owned()),
        email: (!email.is_empty()).then(|| email.to_owned()),
        must_be_new: true,
        ..AffiliateInput::default()
    })
}

/// The name of another affiliate that has this address.
pub(super) fn email_holder(desk: &Desk<'_>, email: &str, but: Option<&str>) -> Option<String> {
    let email = email.trim().to_lowercase();
    let known = desk.roster.by_email();
    let holder = known.get(&email)?.iter().find(|one| Some(one.key.as_str()) != but)?;
    Some(holder.name.clone())
}

fn page(desk: &Desk<'_>, typed: &Typed, problems: &Problems, status: StatusCode) -> Result<Response, PageError> {
    let form = NewForm {
        action: desk.link(&["affiliates", "new"]).build(),
        list_href: desk.link(&["affiliates"]).build(),
        import_href: desk.link(&["affiliates", "import"]).build(),
        csrf: desk.csrf(),
        form_error: problems.beside(&["name", "email", "key"]),
        name: Field::new("name", "name", "Name", &typed.name, problems.of("name")).placeholder("Anna Lind").required(),
        email: Field::new("email", "email", "E-mail", &typed.email, problems.of("email"))
            .placeholder("anna@example.com")
            .kind("email")
            .optional()
            .help("Where their mail goes. An import finds them by it."),
        key: Field::new("key", "key", "Handle", &typed.key, problems.of("key"))
            .placeholder("anna-lind")
            .optional()
            .help("Names them in files and in the API, and never changes. Left empty, it is made of the name."),
    };
    desk.answer(&desk.layout("New affiliate", Section::Affiliates), form.render()?, status)
}

#[derive(Template)]
#[template(path = "affiliate_new.html")]
struct NewForm {
    action: String,
    list_href: String,
    import_href: String,
    csrf: String,
    form_error: String,
    name: Field,
    email: Field,
    key: Field,
}
