//! `/portal/credited`: an affiliate asks whether a sale is credited to them, and learns it without learning of others.

use super::{Guest, PATH};
use crate::App;
use crate::error::PageError;
use crate::money::Money;
use crate::pages::Filled;
use crate::pages::affiliates::Field;
use crate::portal::PortalView;
use crate::render::{self, CachePolicy};
use crate::session::check_token;
use crate::times;
use api::services::{Claim, MAX_CLAIM_BYTES, Verdict};
use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use domain::money::Currency;
use jiff::civil::Date;
use serde::Deserialize;

pub(super) fn router() -> Router<App> {
    Router::new().route("/portal/credited", get(show).post(ask))
}

#[derive(Debug, Default, Deserialize)]
struct Typed {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    receipt: String,
    #[serde(default)]
    day: String,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    currency: String,
}

/// What has to be changed, by field.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wrong {
    receipt: &'static str,
    day: &'static str,
    amount: &'static str,
    currency: &'static str,
}

impl Typed {
    fn claim(&self) -> Result<Claim, Wrong> {
        let receipt = self.receipt.trim();
        let is_empty = |text: &str| text.trim().is_empty();
        let has_payment = !is_empty(&self.day) || !is_empty(&self.amount);
        match (receipt.is_empty(), has_payment) {
            (true, false) => {
                Err(Wrong { receipt: "Write an id, or day, amount and currency below.", ..Wrong::default() })
            }
            (false, _) if receipt.len() > MAX_CLAIM_BYTES => {
                Err(Wrong { receipt: "An id has at most 100 characters.", ..Wrong::default() })
            }
            (false, _) => Ok(Claim::Receipt(receipt.to_owned())),
            (true, true) => self.payment(),
        }
    }

    fn payment(&self) -> Result<Claim, Wrong> {
        let day = self.day.trim().parse::<Date>().ok();
        let currency = Currency::parse(self.currency.trim());
        let gross = currency.and_then(|currency| minor_units(&self.amount, currency));
        if let (Some(day), Some(gross), Some(currency)) = (day, gross, currency) {
            return Ok(Claim::Paid { day, gross, currency });
        }
        Err(Wrong {
            day: if day.is_none() { "Write the day like 2026-01-31." } else { "" },
            currency: if currency.is_none() { "Use a three-letter code, as in USD." } else { "" },
            amount: if currency.is_some() && gross.is_none() { "Write the amount like 49.00." } else { "" },
            ..Wrong::default()
        })
    }
}

/// `49`, `49.00` or `49,00` in the smallest unit of its currency; none for anything else.
fn minor_units(text: &str, currency: Currency) -> Option<i64> {
    let digits = usize::from(currency.minor_digits().unwrap_or(0));
    let text = text.trim();
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) || fraction.len() > digits {
        return None;
    }
    format!("{whole}{fraction:0<digits$}").parse().ok()
}

/// The answer in words.
struct Told {
    title: &'static str,
    text: String,
    /// `good`, `bad` or nothing.
    class: &'static str,
}

impl Told {
    fn new(verdict: &Verdict, view: &PortalView) -> Told {
        let told = |title, class, text: &str| Told { title, text: text.to_owned(), class };
        match verdict {
            Verdict::Credited { sale_at, currency, commission, is_reduced } => {
                let at = times::moment(*sale_at, &view.time_zone);
                let earned = Money::new(*commission, *currency);
                let reduced =
                    if *is_reduced { " What was refunded or disputed took its part of that back." } else { "" };
                Told {
                    title: "Yes, it is credited to you",
                    class: "good",
                    text: format!("The sale of {at} earns you {earned}.{reduced}"),
                }
            }
            Verdict::Another => told(
                "No, it is not credited to you",
                "bad",
                "The sale was made with another code or link. A sale belongs to the code that was used at the checkout.",
            ),
            Verdict::Organic => told(
                "No, it is not credited to you",
                "bad",
                "No code and no link of an affiliate was used at the checkout.",
            ),
            Verdict::Rejected { is_shared } => {
                let why = if *is_shared { "Several affiliates share its coupon." } else { "The vendor rejected it." };
                told("No, it is not credited to you", "bad", why)
            }
            Verdict::NoneOfThem => told(
                "We find none that is credited to you",
                "bad",
                "There are several sales of this amount on that day, and none of them is yours. Ask with the id on the receipt to learn about one of them.",
            ),
            Verdict::Waiting => told(
                "It is not decided yet",
                "",
                "We wait for the payment provider to say which code was used. Ask again tomorrow.",
            ),
            Verdict::Unknown => told(
                "We find no such sale",
                "",
                "Check what you typed; a sale may take some minutes to arrive. We say the same for every sale that is not one of this vendor's.",
            ),
        }
    }
}

const TOO_OFTEN: Told = Told { title: "You asked often today", text: String::new(), class: "" };

#[derive(Template)]
#[template(path = "portal_claim.html")]
struct ClaimPage<'a> {
    csrf: &'a str,
    vendor: &'a str,
    told: Option<Told>,
    receipt: Field,
    day: Field,
    amount: Field,
    currency: Field,
    back_href: &'static str,
}

impl<'a> ClaimPage<'a> {
    fn new(guest: &'a Guest, typed: &Typed, wrong: &Wrong, told: Option<Told>) -> ClaimPage<'a> {
        let zone = &guest.view.time_zone;
        ClaimPage {
            csrf: &guest.view.csrf.0,
            vendor: &guest.view.vendor,
            told,
            receipt: Field::new(
                "receipt",
                "receipt",
                "Id of the invoice, payment or order",
                &typed.receipt,
                wrong.receipt.into(),
            )
            .placeholder("in_…, pi_…, txn_…")
            .help("As in the address or the small print of the receipt, not the number printed on top of it."),
            day: Field::new("day", "day", "Day of the payment", &typed.day, wrong.day.into())
                .kind("date")
                .help(format!("Days begin in {zone}.")),
            amount: Field::new("amount", "amount", "Amount paid", &typed.amount, wrong.amount.into())
                .placeholder("49.00")
                .help("With tax, as on the receipt."),
            currency: Field::new("currency", "currency", "Currency", &typed.currency, wrong.currency.into())
                .placeholder("USD"),
            back_href: PATH,
        }
    }

    fn answer(&self, status: StatusCode) -> Result<Response, PageError> {
        Ok(render::html(status, self.render()?, CachePolicy::Never))
    }
}

async fn show(guest: Result<Guest, PageError>) -> Result<Response, PageError> {
    let guest = match guest {
        Err(PageError::NoPortalSession) => return Ok(Redirect::to("/portal/sign-in").into_response()),
        guest => guest?,
    };
    ClaimPage::new(&guest, &Typed::default(), &Wrong::default(), None).answer(StatusCode::OK)
}

async fn ask(State(app): State<App>, guest: Guest, Filled(typed): Filled<Typed>) -> Result<Response, PageError> {
    check_token(&guest.view.csrf, &typed.csrf)?;
    let claim = match typed.claim() {
        Ok(claim) => claim,
        Err(wrong) => return ClaimPage::new(&guest, &typed, &wrong, None).answer(StatusCode::UNPROCESSABLE_ENTITY),
    };
    let (told, status) = match app.backend.was_credited(&guest.cookie, claim).await? {
        Some(verdict) => (Told::new(&verdict, &guest.view), StatusCode::OK),
        None => {
            let text = format!("Ask again tomorrow, or write to {}.", guest.view.vendor);
            (Told { text, ..TOO_OFTEN }, StatusCode::TOO_MANY_REQUESTS)
        }
    };
    ClaimPage::new(&guest, &typed, &Wrong::default(), Some(told)).answer(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn amounts_are_read_in_the_digits_of_their_currency() {
        for (text, code, minor) in [
            ("49", "usd", Some(4_900)),
            (" 49.5 ", "usd", Some(4_950)),
            ("49,05", "eur", Some(4_905)),
            ("1500", "jpy", Some(1_500)),
            ("1.234", "kwd", Some(1_234)),
            ("0.00", "usd", Some(0)),
            ("49.005", "usd", None),
            ("15.0", "jpy", None),
            ("-1", "usd", None),
            ("1e3", "usd", None),
            ("", "usd", None),
            ("99999999999999999999", "usd", None),
        ] {
            assert_eq!(minor_units(text, currency(code)), minor, "{text} {code}");
        }
    }

    #[test]
    fn a_question_is_an_id_or_a_payment() {
        let typed = |receipt: &str, day: &str, amount: &str, code: &str| Typed {
            csrf: String::new(),
            receipt: receipt.into(),
            day: day.into(),
            amount: amount.into(),
            currency: code.into(),
        };
        assert_eq!(typed(" in_1 ", "", "", "").claim(), Ok(Claim::Receipt("in_1".into())));
        let paid = Claim::Paid { day: date(2026, 11, 21), gross: 4_900, currency: currency("usd") };
        assert_eq!(typed("", "2026-11-21", "49", "USD").claim(), Ok(paid));
        assert!(!typed("", "", "", "").claim().unwrap_err().receipt.is_empty());
        assert!(!typed(&"x".repeat(101), "", "", "").claim().unwrap_err().receipt.is_empty());
        let wrong = typed("", "yesterday", "49", "dollars").claim().unwrap_err();
        assert!(!wrong.day.is_empty() && !wrong.currency.is_empty() && wrong.amount.is_empty());
        assert!(!typed("", "2026-11-21", "much", "usd").claim().unwrap_err().amount.is_empty());
    }
}
