//! Giving a code to somebody: the form of it, on the page of the affiliate and on that of the code.

use super::desk::{Desk, Problems};
use api::people::GivenCode;
use serde::Deserialize;

/// As posted, or as it stands in an address.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct TypedGift {
    #[serde(default)]
    pub csrf: String,
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    pub promotion_code_id: String,
    #[serde(default)]
    pub coupon_id: String,
    /// Handle; empty for nobody.
    #[serde(default)]
    pub affiliate: String,
    /// A day; empty for always.
    #[serde(default)]
    pub from: String,
    /// Of the page around; no part of the decision.
    #[serde(default)]
    pub mode: Option<String>,
}

impl TypedGift {
    /// Its fields, by name.
    pub fn parts(&self) -> [(&'static str, &str); 5] {
        [
            ("code", &self.code),
            ("promotion_code_id", &self.promotion_code_id),
            ("coupon_id", &self.coupon_id),
            ("affiliate", &self.affiliate),
            ("from", &self.from),
        ]
    }

    /// What is to be decided, or what has to be changed.
    pub fn checked(&self, desk: &Desk<'_>) -> Result<GivenCode, Problems> {
        let mut problems = Problems::default();
        let text = |typed: &str| Some(typed.trim()).filter(|typed| !typed.is_empty()).map(str::to_owned);
        let given = GivenCode {
            code: text(&self.code),
            promotion_code_id: text(&self.promotion_code_id),
            coupon_id: text(&self.coupon_id),
            affiliate: text(&self.affiliate),
            from: problems.note("from", desk.typed_day(&self.from)).flatten(),
        };
        if given.code.is_none() && given.promotion_code_id.is_none() && given.coupon_id.is_none() {
            problems.add("code", "Write the code as customers type it.");
        }
        if given.code.as_deref().is_some_and(|code| code.chars().any(char::is_whitespace)) {
            problems.add("code", "A code has no spaces. Give several codes one after the other.");
        }
        if given.affiliate.as_deref().is_some_and(|key| desk.roster.by_key(key).is_none()) {
            problems.add("affiliate", "There is no such affiliate.");
        }
        if problems.0.is_empty() { Ok(given) } else { Err(problems) }
    }
}
