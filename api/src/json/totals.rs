//! `GET /api/v1/totals`

use super::JsonApi;
use super::auth::Scope;
use super::error::ApiError;
use super::parameters::Parameters;
use super::views::{TotalsView, WatermarkView};
use crate::model::{DateRange, GroupTotals};
use crate::services::{TotalsGroup, TotalsRequest};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Serialize)]
struct TotalsAnswer {
    watermark: WatermarkView,
    range: DateRange,
    group: Option<&'static str>,
    rows: Vec<GroupView>,
}

#[derive(Debug, Serialize)]
struct GroupView {
    group: String,
    label: String,
    totals: Vec<TotalsView>,
}

impl From<GroupTotals> for GroupView {
    fn from(group: GroupTotals) -> GroupView {
        GroupView {
            totals: group.totals.iter().map(TotalsView::from).collect(),
            group: group.group,
            label: group.label,
        }
    }
}

fn read_request(mut parameters: Parameters) -> Result<TotalsRequest, ApiError> {
    let request = TotalsRequest {
        from: parameters.day("from")?,
        to: parameters.day("to")?,
        time_zone: parameters.filled("time_zone"),
        group: parameters.word("group", "affiliate, code, day", TotalsGroup::from_name)?,
    };
    parameters.finish("from, to, time_zone, group")?;
    Ok(request)
}

async fn get_totals(
    State(api): State<Arc<JsonApi>>,
    Scope(scope): Scope,
    parameters: Parameters,
) -> Result<Json<TotalsAnswer>, ApiError> {
    let request = read_request(parameters)?;
    let report = api.reports.totals(&scope, &request).await?;
    Ok(Json(TotalsAnswer {
        watermark: report.watermark.into(),
        range: report.range,
        group: report.group.map(TotalsGroup::name),
        rows: report.rows.into_iter().map(GroupView::from).collect(),
    }))
}

pub(super) fn router() -> Router<Arc<JsonApi>> {
    Router::new().route("/totals", get(get_totals))
}
