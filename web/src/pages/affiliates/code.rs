//! `/{vendor}/codes/{code}`: whose a code was and is, moving it, and a rule of its own.

use super::super::{Asked, Filled, given};
use super::desk::{Around, Desk, Problems, done_words};
use super::field::{Entry, Field};
use super::figures::{self, Asks, Subjected};
use super::give::TypedGift;
use super::one::{CodeRow, RuleRow, code_row, from_field, rule_rows};
use super::rule_form::{RuleForm, TypedRule};
use crate::App;
use crate::error::PageError;
use crate::layout::Section;
use crate::session::Visitor;
use api::people::words;
use api::services::Subject;
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use domain::decision::RuleScope;
use domain::ids::CodeId;
use store::control::CodeInfo;
use store::control::input::{DecisionInput, ScopeInput};

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/{vendor}/codes/{code}", get(show).post(give))
        .route("/{vendor}/codes/{code}/rule", post(set_rule))
}

/// What stands in the forms, where it is not what is decided.
#[derive(Default)]
struct Forms {
    gift: Option<(TypedGift, Problems)>,
    rule: Option<(TypedRule, Problems)>,
}

type Names = Path<(String, u64)>;

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, code)): Names,
    Asked(asks): Asked<Asks>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let desk = Desk::open_for(&app, &visitor, &vendor, given(&asks.mode), asks.only_body()).await?;
    let info = known(&desk, CodeId(code))?;
    let subject = Subjected {
        subject: Subject::Code(info.id),
        path: ["codes", &code.to_string()],
        title: &format!("Code {}", info.text),
        head: CodeHead::new(&desk, info, done_words(given(&asks.done))).render()?,
        forms: CodeBody::new(&desk, info, Forms::default())?.render()?,
        rows: ("code", &info.text),
    };
    figures::answer(&desk, &asks, &headers, subject).await
}

async fn give(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, code)): Names,
    Asked(around): Asked<Around>,
    Filled(typed): Filled<TypedGift>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    let typed = TypedGift { code: known(&desk, CodeId(code))?.text.clone(), ..typed };
    let problems = match super::change::give(&desk, &named(&desk, CodeId(code), &typed)).await? {
        Ok(answer) => return Ok(answer),
        Err(problems) => problems,
    };
    refused(&desk, CodeId(code), Forms { gift: Some((typed, problems)), ..Forms::default() })
}

async fn set_rule(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, code)): Names,
    Asked(around): Asked<Around>,
    Filled(typed): Filled<TypedRule>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    let text = known(&desk, CodeId(code))?.text.clone();
    let problems = match typed.checked(ScopeInput::Code(text), &desk) {
        Err(problems) => problems,
        Ok(rule) => match desk.decide(vec![DecisionInput::Rule(rule)]).await? {
            Ok(()) => return Ok(desk.done(&["codes", &code.to_string()], "rule")),
            Err(problems) => problems,
        },
    };
    refused(&desk, CodeId(code), Forms { rule: Some((typed, problems)), ..Forms::default() })
}

fn known<'a>(desk: &'a Desk<'_>, code: CodeId) -> Result<&'a CodeInfo, PageError> {
    desk.roster.code(code).ok_or(PageError::NotFound)
}

/// By what the code is known: it may have no text.
fn named(desk: &Desk<'_>, code: CodeId, typed: &TypedGift) -> TypedGift {
    let has_text = desk.roster.mappings.iter().any(|map| map.code_id == code && map.code.is_some());
    let promotion = desk.roster.mappings.iter().find(|map| map.code_id == code && map.promotion_code_id.is_some());
    match (has_text, promotion) {
        (true, _) => typed.clone(),
        (false, Some(_)) => TypedGift { code: String::new(), promotion_code_id: typed.code.clone(), ..typed.clone() },
        (false, None) => TypedGift { code: String::new(), coupon_id: typed.code.clone(), ..typed.clone() },
    }
}

/// The forms as they were sent, with what is wrong; without figures, so that it is seen.
fn refused(desk: &Desk<'_>, code: CodeId, forms: Forms) -> Result<Response, PageError> {
    let info = known(desk, code)?;
    let body = CodeHead::new(desk, info, "").render()? + &CodeBody::new(desk, info, forms)?.render()?;
    let layout = desk.layout(&format!("Code {}", info.text), Section::Affiliates);
    desk.answer(&layout, body, StatusCode::UNPROCESSABLE_ENTITY)
}

/// A stretch of time and whose it was.
struct HolderRow {
    row: CodeRow,
    name: String,
    href: String,
}

#[derive(Template)]
#[template(path = "code_head.html")]
struct CodeHead {
    list_href: String,
    text: String,
    done: &'static str,
}

impl CodeHead {
    fn new(desk: &Desk<'_>, info: &CodeInfo, done: &'static str) -> CodeHead {
        CodeHead { list_href: desk.link(&["affiliates"]).build(), text: info.text.clone(), done }
    }
}

#[derive(Template)]
#[template(path = "code.html")]
struct CodeBody {
    text: String,
    csrf: String,
    holders: Vec<HolderRow>,
    action: String,
    form_error: String,
    owners: Vec<Entry>,
    owner_error: String,
    from: Field,
    rule: String,
    rules: Vec<RuleRow>,
    rule_form: String,
    is_rule_open: bool,
}

impl CodeBody {
    fn new(desk: &Desk<'_>, info: &CodeInfo, forms: Forms) -> Result<CodeBody, PageError> {
        let number = info.id.to_string();
        let holdings = desk.roster.holdings();
        let mine = || holdings.iter().filter(|holding| holding.code == info.id);
        let holder = mine().find(|holding| holding.holds_at(desk.now)).and_then(|holding| holding.affiliate);
        let scope = RuleScope::Code(info.id);
        let own = desk.roster.own_rule(scope, desk.now);
        let holds = own.clone().unwrap_or_else(|| desk.roster.rule_at(holder, desk.now));
        let is_rule_open = forms.rule.is_some();
        let (typed_rule, rule_problems) =
            forms.rule.unwrap_or_else(|| (TypedRule::of(&holds, desk), Problems::default()));
        let holder_key = holder.and_then(|id| desk.roster.by_id(id)).map(|one| one.key.clone()).unwrap_or_default();
        let (gift, wrong) = forms
            .gift
            .unwrap_or_else(|| (TypedGift { affiliate: holder_key, ..TypedGift::default() }, Problems::default()));
        let without = "None of its own: that of the affiliate";
        let to_rule = desk.link(&["codes", &number, "rule"]).build();
        Ok(CodeBody {
            text: info.text.clone(),
            csrf: desk.csrf(),
            holders: mine().map(|holding| holder_row(desk, holding)).collect(),
            action: desk.link(&["codes", &number]).build(),
            form_error: wrong.beside(&["affiliate", "from"]),
            owners: owners(desk, &gift.affiliate),
            owner_error: wrong.of("affiliate"),
            from: from_field(desk, &gift.from, wrong.of("from")),
            rule: own.as_ref().map(words::rule).unwrap_or_default(),
            rules: rule_rows(desk, scope),
            rule_form: RuleForm::new(&typed_rule, &rule_problems, desk, to_rule, Some(without), "Decide this rule")
                .render()?,
            is_rule_open,
        })
    }
}

fn holder_row(desk: &Desk<'_>, holding: &api::people::Holding) -> HolderRow {
    let holder = holding.affiliate.and_then(|id| desk.roster.by_id(id));
    HolderRow {
        row: code_row(desk, holding),
        name: holder.map_or_else(|| "Nobody".to_owned(), |one| one.name.clone()),
        href: holder.map(|one| desk.link(&["affiliates", &one.key]).build()).unwrap_or_default(),
    }
}

/// Everybody who could have it, by name, and nobody.
fn owners(desk: &Desk<'_>, typed: &str) -> Vec<Entry> {
    let mut people: Vec<_> = desk.roster.affiliates.iter().collect();
    people.sort_by_cached_key(|one| (one.name.to_lowercase(), one.key.clone()));
    let nobody = Entry::new("", "Nobody (a code of the house)", typed);
    let label = |one: &store::control::AffiliateInfo| match one.suspended {
        true => format!("{} ({}, suspended)", one.name, one.key),
        false => format!("{} ({})", one.name, one.key),
    };
    people.into_iter().map(|one| Entry::new(&one.key, label(one), typed)).chain([nobody]).collect()
}
