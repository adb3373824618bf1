//! `/{vendor}/redemptions.csv` and `/{vendor}/redemptions.xlsx`: every purchase that the explorer's filters find.

use super::Asked;
use super::payouts::{PIECE_BYTES, answer};
use super::redemptions::Filters;
use crate::App;
use crate::error::PageError;
use crate::session::{Here, Visitor};
use api::export::xlsx::{self, ExportError};
use api::export::{csv, csv_head, csv_rows, purchases_file_name, workbook};
use api::services::PurchaseFile;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use futures::{StreamExt, TryStreamExt, stream};
use std::io;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;

/// Pages that wait for the workbook.
const WAITING_PAGES: usize = 2;

pub(super) fn router() -> Router<App> {
    Router::new().route("/{vendor}/redemptions.csv", get(as_csv)).route("/{vendor}/redemptions.xlsx", get(as_xlsx))
}

/// A list that can be read, and the right to make one file of it.
struct Granted {
    file: PurchaseFile,
    here: Here,
    permit: OwnedSemaphorePermit,
}

impl Granted {
    fn name(&self, ending: &str) -> String {
        let (vendor, is_live) = (&self.here.vendor.slug, self.here.place.mode.is_live());
        purchases_file_name(vendor, is_live, &self.file.watermark, &self.file.time_zone, ending)
    }
}

async fn as_csv(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(filters): Asked<Filters>,
) -> Result<Response, PageError> {
    let granted = read(&app, &visitor, &vendor, &filters).await?;
    let name = granted.name("csv");
    let PurchaseFile { pages, time_zone, .. } = granted.file;
    let rows = pages.map_err(io::Error::other);
    let rows = rows.map(move |page| csv_rows(&page?, &time_zone).map_err(io::Error::from));
    let head = stream::iter([csv_head().map_err(io::Error::from)]);
    Ok(answer(csv::CONTENT_TYPE, &name, head.chain(rows).boxed(), granted.permit))
}

async fn as_xlsx(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(filters): Asked<Filters>,
) -> Result<Response, PageError> {
    let granted = read(&app, &visitor, &vendor, &filters).await?;
    let name = granted.name("xlsx");
    let file = written(granted.file).await.map_err(PageError::Export)?;
    let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE_BYTES);
    let pieces = pieces.map(|piece| piece.map(Vec::from)).boxed();
    Ok(answer(xlsx::CONTENT_TYPE, &name, pieces, granted.permit))
}

/// Reads pages here while they are written on a thread that may block.
async fn written(file: PurchaseFile) -> Result<std::fs::File, ExportError> {
    let PurchaseFile { watermark, time_zone, mut pages } = file;
    let (sender, mut receiver) = mpsc::channel(WAITING_PAGES);
    let writing = tokio::task::spawn_blocking(move || workbook(&watermark, &time_zone, || receiver.blocking_recv()));
    while let Some(page) = pages.next().await {
        // An error here says that the workbook gave up; why comes from itself.
        if sender.send(page.map_err(io::Error::other)).await.is_err() {
            break;
        }
    }
    drop(sender);
    writing.await.map_err(io::Error::other).map_err(ExportError::from).flatten()
}

/// A file that lacks figures which are being made again would be taken for whole, so there is none.
async fn read(app: &App, visitor: &Visitor, vendor: &str, filters: &Filters) -> Result<Granted, PageError> {
    let here = visitor.locate_body(app, vendor, filters.mode()).await?;
    let filter = filters.checked()?;
    if here.vendor.is_incomplete {
        return Err(PageError::BeingRebuilt);
    }
    let permit = Arc::clone(&app.downloads).try_acquire_owned().map_err(|_| PageError::Busy)?;
    let file = app.backend.purchase_file(&here.place, &filter).await?;
    Ok(Granted { file, here, permit })
}
