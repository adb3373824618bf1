//! Affiliates, their codes and the commission rules. Everything that is written here is a decision.

mod change;
mod code;
mod desk;
mod field;
mod figures;
mod free;
mod give;
mod import;
mod invite;
mod list;
mod new;
mod one;
mod rule_form;
mod rules;

use super::connections::MAX_FORM_BYTES;
use crate::App;
use axum::Router;
use axum::extract::DefaultBodyLimit;
pub(super) use field::Field;

pub(super) fn router() -> Router<App> {
    let small = Router::new()
        .merge(list::router())
        .merge(new::router())
        .merge(one::router())
        .merge(free::router())
        .merge(code::router())
        .merge(change::router())
        .merge(invite::router())
        .merge(rules::router())
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES));
    small.merge(import::router())
}
