//! `GET /api/v1/lines`

use super::JsonApi;
use super::auth::Scope;
use super::error::ApiError;
use super::parameters::Parameters;
use super::views::{LineView, WatermarkView};
use crate::model::DateRange;
use crate::services::{LinesFilter, ranges};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;

const DEFAULT_ROWS: u32 = 100;
const MOST_ROWS: u32 = 500;

#[derive(Debug, Serialize)]
struct LinesAnswer {
    watermark: WatermarkView,
    lines: Vec<LineView>,
    next: Option<String>,
}

struct LinesRequest {
    filter: LinesFilter,
    cursor: Option<String>,
    limit: u32,
}

fn read_request(mut parameters: Parameters) -> Result<LinesRequest, ApiError> {
    let from = parameters.day("from")?;
    let to = parameters.day("to")?;
    let time_zone = parameters.filled("time_zone").unwrap_or_else(|| "UTC".to_owned());
    let range = (from.is_some() || to.is_some()).then(|| DateRange {
        from: from.unwrap_or(ranges::FIRST_DAY),
        to: to.unwrap_or(ranges::LAST_DAY),
        time_zone,
    });
    let request = LinesRequest {
        filter: LinesFilter { purchase: parameters.filled("purchase"), affiliate: parameters.text("affiliate"), range },
        cursor: parameters.filled("cursor"),
        limit: parameters.limit(DEFAULT_ROWS, MOST_ROWS)?,
    };
    parameters.finish("purchase, affiliate, from, to, time_zone, cursor, limit")?;
    Ok(request)
}

async fn get_lines(
    State(api): State<Arc<JsonApi>>,
    Scope(scope): Scope,
    parameters: Parameters,
) -> Result<Json<LinesAnswer>, ApiError> {
    let request = read_request(parameters)?;
    let page = api.reports.lines(&scope, &request.filter, request.cursor.as_deref(), request.limit).await?;
    Ok(Json(LinesAnswer {
        watermark: page.watermark.into(),
        lines: page.lines.into_iter().map(LineView::from).collect(),
        next: page.next,
    }))
}

pub(super) fn router() -> Router<Arc<JsonApi>> {
    Router::new().route("/lines", get(get_lines))
}
