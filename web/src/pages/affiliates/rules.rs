//! `/{vendor}/rules`: the default for everybody, the hold period, and every rule there is.

use super::super::{Asked, Filled, given};
use super::desk::{Around, Desk, Problems, done_words};
use super::field::Field;
use super::one::{RuleRow, rule_rows};
use super::rule_form::{RuleForm, TypedRule};
use crate::App;
use crate::error::PageError;
use crate::layout::Section;
use crate::session::Visitor;
use api::people::words;
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use domain::decision::RuleScope;
use serde::Deserialize;
use store::control::input::{DecisionInput, PolicyInput, ScopeInput};

/// Longest list of either kind.
const MAX_ROWS: usize = 500;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/rules", get(show).post(set_default)).route("/{vendor}/rules/hold", post(set_hold))
}

#[derive(Debug, Default, Deserialize)]
struct TypedHold {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    hold_days: String,
}

/// What stands in the forms, where it is not what is decided.
#[derive(Default)]
struct Forms {
    rule: Option<(TypedRule, Problems)>,
    hold: Option<(TypedHold, Problems)>,
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(around): Asked<Around>,
) -> Result<Response, PageError> {
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    page(&desk, Forms::default(), done_words(given(&around.done)))
}

async fn set_default(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(around): Asked<Around>,
    Filled(typed): Filled<TypedRule>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    let problems = match typed.checked(ScopeInput::Vendor, &desk) {
        Err(problems) => problems,
        Ok(rule) => match desk.decide(vec![DecisionInput::Rule(rule)]).await? {
            Ok(()) => return Ok(desk.done(&["rules"], "rule")),
            Err(problems) => problems,
        },
    };
    page(&desk, Forms { rule: Some((typed, problems)), ..Forms::default() }, "")
}

async fn set_hold(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(around): Asked<Around>,
    Filled(typed): Filled<TypedHold>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    let mut problems = Problems::default();
    match typed.hold_days.trim().parse() {
        Err(_) => problems.add("hold_days", "Write a whole number of days."),
        Ok(days) => {
            let input = PolicyInput { hold_days: Some(days), time_zone: None };
            match desk.decide(vec![DecisionInput::Policy(input)]).await? {
                Ok(()) => return Ok(desk.done(&["rules"], "hold")),
                Err(refused) => problems = refused,
            }
        }
    }
    page(&desk, Forms { hold: Some((typed, problems)), ..Forms::default() }, "")
}

fn page(desk: &Desk<'_>, forms: Forms, done: &'static str) -> Result<Response, PageError> {
    let is_wrong = forms.rule.is_some() || forms.hold.is_some();
    let status = if is_wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let body = RulesBody::new(desk, forms, done)?;
    desk.answer(&desk.layout(Section::Rules.label(), Section::Rules), body.render()?, status)
}

/// A rule and whom it is for.
struct ScopedRow {
    scope: String,
    href: String,
    row: RuleRow,
}

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesBody {
    done: &'static str,
    default: String,
    is_product_default: bool,
    rule_form: String,
    is_rule_open: bool,
    csrf: String,
    hold_action: String,
    hold_error: String,
    hold: Field,
    in_force: Vec<ScopedRow>,
    superseded: Vec<ScopedRow>,
    are_left_out: bool,
}

impl RulesBody {
    fn new(desk: &Desk<'_>, forms: Forms, done: &'static str) -> Result<RulesBody, PageError> {
        let default = desk.roster.rule_at(None, desk.now);
        let is_rule_open = forms.rule.is_some();
        let (typed, problems) = forms.rule.unwrap_or_else(|| (TypedRule::of(&default, desk), Problems::default()));
        let (hold, wrong) = forms.hold.unwrap_or_else(|| {
            let days = desk.roster.policy.hold_days.to_string();
            (TypedHold { csrf: String::new(), hold_days: days }, Problems::default())
        });
        let rows = desk.roster.rule_scopes().into_iter().flat_map(|scope| {
            rule_rows(desk, scope).into_iter().map(move |row| {
                let (scope, href) = scope_words(desk, scope);
                ScopedRow { scope, href, row }
            })
        });
        let (mut in_force, mut superseded): (Vec<ScopedRow>, Vec<ScopedRow>) =
            rows.partition(|row| ["Now", "Later"].contains(&row.row.state));
        let are_left_out = in_force.len() > MAX_ROWS || superseded.len() > MAX_ROWS;
        in_force.truncate(MAX_ROWS);
        superseded.truncate(MAX_ROWS);
        let action = desk.link(&["rules"]).build();
        Ok(RulesBody {
            done,
            default: words::rule(&default),
            is_product_default: default.rev == 0,
            rule_form: RuleForm::new(&typed, &problems, desk, action, None, "Decide this default").render()?,
            is_rule_open,
            csrf: desk.csrf(),
            hold_action: desk.link(&["rules", "hold"]).build(),
            hold_error: wrong.beside(&["hold_days"]),
            hold: Field::new("hold", "hold_days", "Days", &hold.hold_days, wrong.of("hold_days")).required(),
            in_force,
            superseded,
            are_left_out,
        })
    }
}

/// Whom a rule is for, and their page.
fn scope_words(desk: &Desk<'_>, scope: RuleScope) -> (String, String) {
    match scope {
        RuleScope::Vendor => ("Everybody".to_owned(), String::new()),
        RuleScope::Affiliate(id) => match desk.roster.by_id(id) {
            Some(one) => (one.name.clone(), desk.link(&["affiliates", &one.key]).build()),
            None => (format!("Affiliate {id}"), String::new()),
        },
        RuleScope::Code(id) => match desk.roster.code(id) {
            Some(code) => (format!("Code {}", code.text), desk.link(&["codes", &id.to_string()]).build()),
            None => (format!("Code {id}"), String::new()),
        },
    }
}
