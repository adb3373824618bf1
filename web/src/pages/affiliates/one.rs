//! `/{vendor}/affiliates/{affiliate}`: one affiliate, their codes and what they earn.

use super::super::{Asked, Filled, given, provider_name};
use super::desk::{Around, Desk, Problems, done_words};
use super::field::Field;
use super::figures::{self, Asks, Subjected};
use super::give::TypedGift;
use super::new::email_holder;
use super::rule_form::{RuleForm, TypedRule};
use crate::App;
use crate::error::PageError;
use crate::layout::Section;
use crate::session::Visitor;
use api::people::{Holding, words};
use api::services::Subject;
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use domain::decision::RuleScope;
use domain::ids::CodeId;
use serde::Deserialize;
use store::control::AffiliateInfo;
use store::control::input::{AffiliateInput, DecisionInput, ScopeInput};

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/{vendor}/affiliates/{affiliate}", get(show).post(save))
        .route("/{vendor}/affiliates/{affiliate}/suspension", post(suspend))
        .route("/{vendor}/affiliates/{affiliate}/codes", post(add_code))
        .route("/{vendor}/affiliates/{affiliate}/rule", post(set_rule))
}

/// Name and address as posted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TypedDetails {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
}

#[derive(Debug, Default, Deserialize)]
struct TypedSuspension {
    #[serde(default)]
    csrf: String,
    /// `yes` or `no`.
    #[serde(default)]
    suspended: String,
}

/// What stands in the forms, where it is not what is decided.
#[derive(Default)]
pub(super) struct Forms {
    pub invitation: Option<Problems>,
    pub details: Option<(TypedDetails, Problems)>,
    pub gift: Option<(TypedGift, Problems)>,
    pub rule: Option<(TypedRule, Problems)>,
}

type Names = Path<(String, String)>;

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, key)): Names,
    Asked(asks): Asked<Asks>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let desk = Desk::open_for(&app, &visitor, &vendor, given(&asks.mode), asks.only_body()).await?;
    let affiliate = known(&desk, &key)?;
    let subject = Subjected {
        subject: Subject::Affiliate(affiliate.id),
        path: ["affiliates", &key],
        title: &affiliate.name,
        head: AffiliateHead::new(&desk, affiliate, done_words(given(&asks.done))).render()?,
        forms: AffiliateBody::new(&desk, affiliate, Forms::default())?.with_payout(&desk, affiliate).await?.render()?,
        rows: ("affiliate", &key),
    };
    figures::answer(&desk, &asks, &headers, subject).await
}

async fn save(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, key)): Names,
    Asked(around): Asked<Around>,
    Filled(typed): Filled<TypedDetails>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    known(&desk, &key)?;
    let mut problems = Problems::default();
    if typed.name.trim().is_empty() {
        problems.add("name", "Write the name that you and they see.");
    }
    if let Some(other) = email_holder(&desk, &typed.email, Some(&key)) {
        problems.add("email", format!("This is the address of {other}."));
    }
    if problems.0.is_empty() {
        let input = AffiliateInput {
            key: key.clone(),
            name: Some(typed.name.clone()),
            email: Some(typed.email.clone()),
            ..AffiliateInput::default()
        };
        match desk.decide(vec![DecisionInput::Affiliate(input)]).await? {
            Ok(()) => return Ok(desk.done(&["affiliates", &key], "saved")),
            Err(refused) => problems = refused,
        }
    }
    refused(&desk, &key, Forms { details: Some((typed, problems)), ..Forms::default() })
}

async fn suspend(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, key)): Names,
    Asked(around): Asked<Around>,
    Filled(typed): Filled<TypedSuspension>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    known(&desk, &key)?;
    let suspended = typed.suspended == "yes";
    let input = AffiliateInput { key: key.clone(), suspended: Some(suspended), ..AffiliateInput::default() };
    match desk.decide(vec![DecisionInput::Affiliate(input)]).await? {
        Ok(()) => Ok(desk.done(&["affiliates", &key], if suspended { "suspended" } else { "active" })),
        Err(problems) => {
            refused(&desk, &key, Forms { details: Some((details_of(&desk, &key)?, problems)), ..Forms::default() })
        }
    }
}

async fn add_code(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, key)): Names,
    Asked(around): Asked<Around>,
    Filled(typed): Filled<TypedGift>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    known(&desk, &key)?;
    let typed = TypedGift { affiliate: key.clone(), ..typed };
    let problems = match super::change::give(&desk, &typed).await? {
        Ok(answer) => return Ok(answer),
        Err(problems) => problems,
    };
    refused(&desk, &key, Forms { gift: Some((typed, problems)), ..Forms::default() })
}

async fn set_rule(
    State(app): State<App>,
    visitor: Visitor,
    Path((vendor, key)): Names,
    Asked(around): Asked<Around>,
    Filled(typed): Filled<TypedRule>,
) -> Result<Response, PageError> {
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    known(&desk, &key)?;
    let problems = match typed.checked(ScopeInput::Affiliate(key.clone()), &desk) {
        Err(problems) => problems,
        Ok(rule) => match desk.decide(vec![DecisionInput::Rule(rule)]).await? {
            Ok(()) => return Ok(desk.done(&["affiliates", &key], "rule")),
            Err(problems) => problems,
        },
    };
    refused(&desk, &key, Forms { rule: Some((typed, problems)), ..Forms::default() })
}

fn known<'a>(desk: &'a Desk<'_>, key: &str) -> Result<&'a AffiliateInfo, PageError> {
    desk.roster.by_key(key).ok_or(PageError::NotFound)
}

fn details_of(desk: &Desk<'_>, key: &str) -> Result<TypedDetails, PageError> {
    let affiliate = known(desk, key)?;
    let email = affiliate.email.clone().unwrap_or_default();
    Ok(TypedDetails { csrf: String::new(), name: affiliate.name.clone(), email })
}

/// The forms as they were sent, with what is wrong; without figures, so that it is seen.
pub(super) fn refused(desk: &Desk<'_>, key: &str, forms: Forms) -> Result<Response, PageError> {
    let affiliate = known(desk, key)?;
    let body =
        AffiliateHead::new(desk, affiliate, "").render()? + &AffiliateBody::new(desk, affiliate, forms)?.render()?;
    desk.answer(&desk.layout(&affiliate.name, Section::Affiliates), body, StatusCode::UNPROCESSABLE_ENTITY)
}

/// A code and when it is theirs.
pub(super) struct CodeRow {
    pub href: String,
    pub text: String,
    /// Where it counts, if not everywhere.
    pub provider: &'static str,
    pub from: String,
    pub until: String,
    pub is_now: bool,
}

/// In words. Referral keys have no page.
pub(super) fn code_row(desk: &Desk<'_>, holding: &Holding) -> CodeRow {
    CodeRow {
        href: match holding.code {
            CodeId(0) => String::new(),
            code => desk.link(&["codes", &code.to_string()]).build(),
        },
        text: holding.text.clone(),
        provider: holding.provider.map(provider_name).unwrap_or_default(),
        from: holding.from.map_or_else(|| "Always".to_owned(), |at| desk.day(at)),
        until: holding.until.map(|at| desk.day(at)).unwrap_or_default(),
        is_now: holding.holds_at(desk.now),
    }
}

/// A rule and when it holds.
pub(super) struct RuleRow {
    pub words: String,
    pub from: String,
    pub until: String,
    /// `Now`, `Later`, `Past` or `Replaced`.
    pub state: &'static str,
    pub by: String,
}

/// The rules of a scope, the newest first.
pub(super) fn rule_rows(desk: &Desk<'_>, scope: RuleScope) -> Vec<RuleRow> {
    let spans = desk.roster.spans(scope);
    let row = |span: &api::people::RuleSpan| RuleRow {
        words: words::rule(&span.info.rule),
        from: if span.from().0 == 0 { "Always".to_owned() } else { desk.day(span.from()) },
        until: span.until.map(|at| desk.day(at)).unwrap_or_default(),
        state: match () {
            () if span.holds_at(desk.now) => "Now",
            () if span.is_ahead(desk.now) => "Later",
            () if span.until == Some(span.from()) => "Replaced",
            () => "Past",
        },
        by: format!("{}, {}", span.info.actor, desk.day(span.info.decided_at)),
    };
    spans.iter().rev().map(row).collect()
}

#[derive(Template)]
#[template(path = "affiliate_head.html")]
struct AffiliateHead {
    list_href: String,
    sales_href: String,
    done: &'static str,
    name: String,
    key: String,
    email: String,
    is_suspended: bool,
}

impl AffiliateHead {
    fn new(desk: &Desk<'_>, affiliate: &AffiliateInfo, done: &'static str) -> AffiliateHead {
        AffiliateHead {
            list_href: desk.link(&["affiliates"]).build(),
            sales_href: desk.link(&["redemptions"]).with("affiliate", &affiliate.key).build(),
            done,
            name: affiliate.name.clone(),
            key: affiliate.key.clone(),
            email: affiliate.email.clone().unwrap_or_default(),
            is_suspended: affiliate.suspended,
        }
    }
}

#[derive(Template)]
#[template(path = "affiliate.html")]
struct AffiliateBody {
    name: String,
    email: String,
    is_suspended: bool,
    csrf: String,
    codes: Vec<CodeRow>,
    codes_action: String,
    gift_error: String,
    gift_code: Field,
    gift_from: Field,
    gift_promotion: Field,
    gift_coupon: Field,
    has_gift_ids: bool,
    rule: String,
    rule_note: &'static str,
    rules: Vec<RuleRow>,
    rule_form: String,
    is_rule_open: bool,
    details_action: String,
    details_error: String,
    details_name: Field,
    details_email: Field,
    suspension_action: String,
    invitation_action: String,
    invitation_error: String,
    /// How they want to be paid, in their own words; empty where they did not say.
    payout_address: String,
    payout_since: String,
}

impl AffiliateBody {
    fn new(desk: &Desk<'_>, affiliate: &AffiliateInfo, forms: Forms) -> Result<AffiliateBody, PageError> {
        let key = affiliate.key.as_str();
        let scope = RuleScope::Affiliate(affiliate.id);
        let holds = desk.roster.rule_at(Some(affiliate.id), desk.now);
        let has_own = desk.roster.own_rule(scope, desk.now).is_some();
        let is_rule_open = forms.rule.is_some();
        let (typed_rule, rule_problems) =
            forms.rule.unwrap_or_else(|| (TypedRule::of(&holds, desk), Problems::default()));
        let (details, wrong) = match forms.details {
            Some(typed) => typed,
            None => (details_of(desk, key)?, Problems::default()),
        };
        let (gift, gift_wrong) = forms.gift.unwrap_or_default();
        let to = |part: &str| desk.link(&["affiliates", key, part]).build();
        let without = "The default, no rule of their own";
        let rule_form =
            RuleForm::new(&typed_rule, &rule_problems, desk, to("rule"), Some(without), "Decide this rule").render()?;
        let codes = desk.roster.holdings();
        let codes = codes.iter().filter(|holding| holding.affiliate == Some(affiliate.id));
        Ok(AffiliateBody {
            name: affiliate.name.clone(),
            email: affiliate.email.clone().unwrap_or_default(),
            is_suspended: affiliate.suspended,
            csrf: desk.csrf(),
            codes: codes.map(|holding| code_row(desk, holding)).collect(),
            codes_action: to("codes"),
            gift_error: gift_wrong.beside(&["code", "from", "promotion_code_id", "coupon_id"]),
            gift_code: Field::new("code", "code", "Code", &gift.code, gift_wrong.of("code")).placeholder("ANNA20"),
            gift_from: from_field(desk, &gift.from, gift_wrong.of("from")),
            gift_promotion: promotion_field(&gift.promotion_code_id, gift_wrong.of("promotion_code_id")),
            gift_coupon: coupon_field(&gift.coupon_id, gift_wrong.of("coupon_id")),
            has_gift_ids: !gift.promotion_code_id.is_empty() || !gift.coupon_id.is_empty(),
            rule: words::rule(&holds),
            rule_note: if has_own { "A rule of their own." } else { "The default for everybody." },
            rules: rule_rows(desk, scope),
            rule_form,
            is_rule_open,
            details_action: desk.link(&["affiliates", key]).build(),
            details_error: wrong.beside(&["name", "email"]),
            details_name: Field::new("name", "name", "Name", &details.name, wrong.of("name")).required(),
            details_email: Field::new("email", "email", "E-mail", &details.email, wrong.of("email"))
                .kind("email")
                .optional(),
            suspension_action: to("suspension"),
            invitation_action: to("invitation"),
            invitation_error: forms.invitation.unwrap_or_default().beside(&[]),
            payout_address: String::new(),
            payout_since: String::new(),
        })
    }

    async fn with_payout(mut self, desk: &Desk<'_>, affiliate: &AffiliateInfo) -> Result<AffiliateBody, PageError> {
        let (cookie, vendor) = (&desk.visitor.cookie, &desk.here.vendor.slug);
        if let Some(address) = desk.app.backend.payout_address_of(cookie, vendor, affiliate.id).await? {
            self.payout_since = desk.day(address.decided_at);
            self.payout_address = address.text;
        }
        Ok(self)
    }
}

fn promotion_field(typed: &str, error: String) -> Field {
    let field = Field::new("promotion", "promotion_code_id", "Stripe promotion code id", typed, error);
    field.placeholder("promo_…").optional()
}

fn coupon_field(typed: &str, error: String) -> Field {
    Field::new("coupon", "coupon_id", "Coupon or discount id", typed, error).optional()
}

/// From when a code is somebody's.
pub(super) fn from_field(desk: &Desk<'_>, typed: &str, error: String) -> Field {
    Field::new("from", "from", "For sales from", typed, error)
        .kind("date")
        .optional()
        .help(format!("Empty: all sales ever made with it. Days begin in {}.", desk.time_zone()))
}
