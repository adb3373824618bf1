//! Pages of Stripe's lists: what is asked for, and what an answer holds.

use super::interface::StripeError;
use schemas::provider::stripe::STRIPE_EVENTS;
use serde::Deserialize;
use serde_json::value::RawValue;
use store::control::{ReadStep, StripeRead};

/// Items of one page: the most that Stripe gives.
const PAGE_ITEMS: usize = 100;
/// Items of one page after a try that failed: what is large may be the reason.
const SMALL_PAGE_ITEMS: usize = 20;
/// Types of one question about events: the most that Stripe takes.
const MOST_TYPES: usize = 20;

/// The path of the page that comes next.
pub(super) fn next_page(read: &StripeRead) -> String {
    let list = match read.step {
        ReadStep::PromotionCodes => "promotion_codes",
        ReadStep::Coupons => "coupons",
        ReadStep::MostEvents | ReadStep::OtherEvents => "events",
    };
    let items = if read.tries == 0 { PAGE_ITEMS } else { SMALL_PAGE_ITEMS };
    let mut path = format!("/v1/{list}?limit={items}");
    let types = match read.step {
        ReadStep::PromotionCodes | ReadStep::Coupons => &[],
        ReadStep::MostEvents => &STRIPE_EVENTS[..MOST_TYPES],
        ReadStep::OtherEvents => &STRIPE_EVENTS[MOST_TYPES..],
    };
    if !types.is_empty() {
        path.push_str(&format!("&created[gte]={}", read.since.seconds()));
        // The id to go on after is not known any more: by time, then. What is read twice counts once.
        if let (None, Some(oldest)) = (&read.after, read.oldest_at) {
            path.push_str(&format!("&created[lte]={}", oldest.seconds()));
        }
        types.iter().for_each(|name| path.push_str(&format!("&types[]={name}")));
    }
    if let Some(after) = &read.after {
        path.push_str("&starting_after=");
        path.extend(url::form_urlencoded::byte_serialize(after.as_bytes()));
    }
    path
}

/// One page.
#[derive(Debug, Deserialize)]
pub(super) struct Page<'a> {
    /// Its items, as they came.
    #[serde(borrow)]
    pub data: Vec<&'a RawValue>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// What every item has.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    /// Its id.
    pub id: String,
    /// When it happened, in seconds.
    #[serde(default)]
    pub created: Option<i64>,
}

/// Reads a page.
pub(super) fn read_page(body: &[u8]) -> Result<Page<'_>, StripeError> {
    let page: Page<'_> = serde_json::from_slice(body).map_err(|_| StripeError::Answer("not a list".to_owned()))?;
    if page.has_more && page.data.is_empty() {
        return Err(StripeError::Answer("an empty page that is not the last".to_owned()));
    }
    Ok(page)
}

/// Reads what every item has.
pub(super) fn read_item(item: &RawValue) -> Result<Item, StripeError> {
    serde_json::from_str(item.get()).map_err(|_| StripeError::Answer("an item without an id".to_owned()))
}
