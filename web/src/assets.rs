//! The embedded front-end bundle. File names carry a content hash, so a browser may keep them for ever.

use crate::App;
use crate::error::PageError;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// One embedded file, plain and compressed.
#[derive(Debug)]
pub struct Asset {
    /// Name with its content hash.
    pub file: &'static str,
    /// As bundled.
    pub plain: &'static [u8],
    /// The same, compressed with gzip.
    pub gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// `GET /assets/{file}`
pub(crate) fn router() -> Router<App> {
    Router::new().route("/assets/{file}", get(serve))
}

async fn serve(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, PageError> {
    let asset = ASSETS.iter().find(|asset| asset.file == file).ok_or(PageError::NotFound)?;
    let common = [
        (header::CONTENT_TYPE, content_type(asset.file)),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "accept-encoding"),
    ];
    Ok(if accepts_gzip(&headers) {
        (common, [(header::CONTENT_ENCODING, "gzip")], asset.gzip).into_response()
    } else {
        (common, asset.plain).into_response()
    })
}

fn content_type(file: &str) -> &'static str {
    match file.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("gzip")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_view_is_under_100_kilobytes_compressed() {
        let compressed: usize = ASSETS.iter().map(|asset| asset.gzip.len()).sum();
        assert!(compressed < 90_000, "{compressed} bytes of assets leave no room for the page");
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for asset in ASSETS.iter().filter(|asset| asset.file.ends_with(".css")) {
            let text = std::str::from_utf8(asset.plain).unwrap();
            assert!(!text.contains("url(http") && !text.contains("@import"), "{}", asset.file);
        }
    }
}
