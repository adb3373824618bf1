//! Invented codes that nobody has.

use super::SampleBackend;
use crate::backend::{BackendError, Place};
use crate::codes::*;
use async_trait::async_trait;

#[async_trait]
impl Codes for SampleBackend {
    async fn free_codes(
        &self,
        place: &Place,
        search: &str,
        _after: Option<&str>,
        limit: usize,
    ) -> Result<FreeCodes, BackendError> {
        drop(self.check(&place.session, &place.vendor)?);
        if place.vendor != "acme" {
            return Ok(FreeCodes::default());
        }
        let code = |text: &str, promotion_code: &str, coupon: &str| FreeCode {
            text: text.into(),
            promotion_code: promotion_code.into(),
            coupon: coupon.into(),
        };
        let all = [code("NINA<b>20", "promo_1", "NINA"), code("OMAR10", "promo_2", ""), code("", "", "BLACK FRIDAY")];
        let codes = all.into_iter().filter(|one| one.text.contains(search) || one.coupon.contains(search));
        Ok(FreeCodes { codes: codes.take(limit).collect(), next: None })
    }
}
