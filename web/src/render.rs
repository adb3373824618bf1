//! The one render layer: every header of every page is set here.

use crate::layout::Layout;
use askama::Template;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::ids::Timestamp;
use sha2::{Digest, Sha256};

use crate::error::PageError;

/// Everything comes from this process, and nothing is inline: strict `'self'` needs no nonce.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How long a browser may keep a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CachePolicy {
    /// Keep, and ask before each use: pages and their bodies.
    AskFirst,
    /// Do not keep: errors, and pages that show what was typed.
    Never,
}

impl CachePolicy {
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            CachePolicy::AskFirst => "private, no-cache",
            CachePolicy::Never => "private, no-store",
        })
    }
}

/// An HTML answer.
pub fn html(status: StatusCode, body: String, cache: CachePolicy) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, cache.header());
    response
}

/// Adds what protects every answer, whoever made it.
pub async fn secure(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 7] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=(), payment=()"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The part of a page that is fetched again when its scope changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// Where this part alone is served.
    pub url: String,
    /// Changes when the part may have changed.
    pub etag: String,
    /// `next_offset` of the watermark it was read at; 0 where a page has none.
    pub watermark: u64,
    /// `12:03` in the vendor's time zone; empty where a page has none.
    pub as_of: String,
    /// Fetch it every ten seconds too: it shows what no signal tells of.
    pub polls: bool,
}

impl Refresh {
    /// For a page that no signal tells about.
    pub(crate) fn never(url: String) -> Refresh {
        Refresh { url, etag: String::new(), watermark: 0, as_of: String::new(), polls: false }
    }
}

#[derive(Template)]
#[template(path = "refreshable.html")]
pub(crate) struct Refreshable<'a> {
    /// How to fetch it again.
    pub(crate) refresh: &'a Refresh,
    /// What is in it.
    pub(crate) body: &'a str,
}

impl Refreshable<'_> {
    /// Alone, with its tag.
    pub(crate) fn respond(&self, status: StatusCode, cache: CachePolicy) -> Result<Response, PageError> {
        let mut response = html(status, self.render()?, cache);
        let etag = HeaderValue::from_str(&self.refresh.etag).unwrap_or(HeaderValue::from_static("W/\"\""));
        response.headers_mut().insert(header::ETAG, etag);
        Ok(response)
    }
}

#[derive(Template)]
#[template(path = "layout.html")]
struct FullPage<'a> {
    layout: &'a Layout,
    /// Outside the part that is fetched again: forms that somebody may be typing into.
    fixed: &'a str,
    content: &'a str,
}

/// A page, or only its refreshable part when that is what was asked for.
pub struct PageAnswer<'a> {
    /// Rail, top bar and head.
    pub layout: &'a Layout,
    /// What stands above and never moves; usually empty.
    pub fixed: String,
    /// The refreshable part.
    pub body: String,
    /// How to fetch it again.
    pub refresh: Refresh,
    /// Only the refreshable part is wanted.
    pub only_body: bool,
    /// Usually 200.
    pub status: StatusCode,
    /// Usually [`CachePolicy::AskFirst`].
    pub cache: CachePolicy,
}

impl PageAnswer<'_> {
    /// Renders it.
    pub fn respond(self) -> Result<Response, PageError> {
        let content = Refreshable { refresh: &self.refresh, body: &self.body };
        if self.only_body {
            return content.respond(self.status, self.cache);
        }
        let page = FullPage { layout: self.layout, fixed: &self.fixed, content: &content.render()? }.render()?;
        Ok(html(self.status, page, self.cache))
    }
}

/// An `ETag` over everything that decides what a part shows: the scope's own tag, the URL
/// with its filters, the hour (ranges like *30 days* move with the clock) and the bundle.
pub fn etag(parts: &[&str], now: Timestamp) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(now.0.div_euclid(3_600_000).to_be_bytes());
    hash.update(crate::assets::STYLE_CSS.as_bytes());
    format!("W/\"{}\"", hex::encode(&hash.finalize()[..12]))
}

/// Whether the browser already has the version with this tag.
pub fn is_unchanged(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known.split(',').any(|candidate| candidate.trim() == etag)
}

/// 304 with the tag.
pub fn not_modified(etag: &str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    if let Ok(value) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, CachePolicy::AskFirst.header());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_its_parts_and_the_hour() {
        let hour = Timestamp(3_600_000);
        let tag = etag(&["7", "/demo/dashboard"], hour);
        assert_eq!(tag, etag(&["7", "/demo/dashboard"], Timestamp(3_700_000)));
        assert_ne!(tag, etag(&["7/", "demo/dashboard"], hour));
        assert_ne!(tag, etag(&["8", "/demo/dashboard"], hour));
        assert_ne!(tag, etag(&["7", "/demo/dashboard"], Timestamp(7_200_000)));
    }

    #[test]
    fn a_known_tag_is_recognised_among_others() {
        let mut headers = HeaderMap::new();
        assert!(!is_unchanged(&headers, "W/\"a\""));
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"z\", W/\"a\""));
        assert!(is_unchanged(&headers, "W/\"a\""));
        assert!(!is_unchanged(&headers, "W/\"b\""));
    }
}
