//! `/{vendor}/payouts.csv` and `/{vendor}/payouts.xlsx`: what affiliates earned in the range of the dashboard, as a file.

use super::{Asked, given};
use crate::App;
use crate::download::{self, Pieces};
use crate::error::PageError;
use crate::range::RangeChoice;
use crate::session::{Here, Visitor};
use api::export::{PayoutReport, csv, file_name, xlsx};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{StreamExt, stream};
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::io::ReaderStream;

/// What is read of a workbook at once, in bytes.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/payouts.csv", get(as_csv)).route("/{vendor}/payouts.xlsx", get(as_xlsx))
}

/// The parameters of the dashboard. Its `bucket` is of no meaning here.
#[derive(Debug, Deserialize)]
struct Filters {
    range: Option<String>,
    from: Option<String>,
    to: Option<String>,
    mode: Option<String>,
}

/// A report that was read, and the right to make one file of it.
struct Granted {
    report: PayoutReport,
    here: Here,
    permit: OwnedSemaphorePermit,
}

async fn as_csv(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(filters): Asked<Filters>,
) -> Result<Response, PageError> {
    let Granted { report, here, permit } = read(&app, &visitor, &vendor, &filters).await?;
    let name = file_name(&here.vendor.slug, here.place.mode.is_live(), &report.range, "csv");
    let pieces = csv::pieces(Arc::new(report)).map(|piece| piece.map_err(io::Error::from));
    Ok(answer(csv::CONTENT_TYPE, &name, stream::iter(pieces).boxed(), permit))
}

async fn as_xlsx(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(filters): Asked<Filters>,
) -> Result<Response, PageError> {
    let Granted { report, here, permit } = read(&app, &visitor, &vendor, &filters).await?;
    let name = file_name(&here.vendor.slug, here.place.mode.is_live(), &report.range, "xlsx");
    let file = tokio::task::spawn_blocking(move || xlsx::temporary_file(&report)).await;
    let file = file.map_err(io::Error::other).map_err(xlsx::ExportError::from).flatten().map_err(PageError::Export)?;
    let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE_BYTES);
    let pieces = pieces.map(|piece| piece.map(Vec::from)).boxed();
    Ok(answer(xlsx::CONTENT_TYPE, &name, pieces, permit))
}

/// Reads the report. A file that lacks figures which are being made again would be paid as it is, so there is none.
async fn read(app: &App, visitor: &Visitor, vendor: &str, filters: &Filters) -> Result<Granted, PageError> {
    let here = visitor.locate_body(app, vendor, given(&filters.mode)).await?;
    let named = RangeChoice::parse(given(&filters.range), given(&filters.from), given(&filters.to))?;
    let range = named.unwrap_or_else(|| RangeChoice::usual(here.vendor.is_demo));
    if here.vendor.is_incomplete {
        return Err(PageError::BeingRebuilt);
    }
    let permit = Arc::clone(&app.downloads).try_acquire_owned().map_err(|_| PageError::Busy)?;
    let report = app.backend.payouts(&here.place, range).await?;
    Ok(Granted { report, here, permit })
}

/// A file under its name.
pub(super) fn answer(content_type: &'static str, name: &str, pieces: Pieces, permit: OwnedSemaphorePermit) -> Response {
    let mut response = download::body(pieces, permit).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    // Slugs and days are made of letters, digits, `-` and `_`.
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    headers.insert(header::CONTENT_DISPOSITION, disposition.unwrap_or(HeaderValue::from_static("attachment")));
    response
}
