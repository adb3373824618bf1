//! Codes that the provider has and nobody was given: what the page of them needs from the services.

use crate::backend::{BackendError, Place};
use async_trait::async_trait;

/// A code that nobody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeCode {
    /// As customers type it; empty for a coupon without a code.
    pub text: String,
    /// The provider's id of the promotion code; empty for a coupon.
    pub promotion_code: String,
    /// The provider's id of the coupon; empty where it is not known.
    pub coupon: String,
}

/// One page of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FreeCodes {
    /// In the order of the provider's ids: promotion codes, then coupons without one.
    pub codes: Vec<FreeCode>,
    /// For the next page; none on the last.
    pub next: Option<String>,
}

/// Codes, as pages need them.
#[async_trait]
pub trait Codes: Send + Sync {
    /// Codes that a provider told of and nobody was given, at most `limit`. `search` is a part of the text or of an id;
    /// `after` is [`FreeCodes::next`] of the page before.
    async fn free_codes(
        &self,
        place: &Place,
        search: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<FreeCodes, BackendError>;
}
