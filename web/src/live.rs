//! One stream of server-sent events per open page. It only says *something moved*; the page
//! then fetches its body again with an `ETag`.

use crate::App;
use crate::backend::{BackendError, LiveSignal};
use crate::error::PageError;
use crate::session::Visitor;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// A page that hears nothing for longer than this knows that its stream is broken.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after this time; the page opens the next one, with its session checked again.
pub const LONGEST_STREAM: Duration = Duration::from_secs(30 * 60);
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// `GET /{vendor}/live`
pub(crate) fn router() -> Router<App> {
    Router::new().route("/{vendor}/live", get(listen))
}

#[derive(Debug, Deserialize)]
struct LiveQuery {
    mode: Option<String>,
}

/// Events: `hello` once, `moved` with the new watermark, `heartbeat` when nothing moved for a while.
async fn listen(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Query(query): Query<LiveQuery>,
) -> Result<Response, PageError> {
    let here = visitor.locate_body(&app, &vendor, query.mode.as_deref()).await?;
    stream_of(&app, app.backend.live(&here.place)).await
}

/// A stream of these signals, if not too many are open.
pub(crate) async fn stream_of(
    app: &App,
    signals: impl Future<Output = Result<BoxStream<'static, LiveSignal>, BackendError>>,
) -> Result<Response, PageError> {
    let permit = Arc::clone(&app.streams).try_acquire_owned().map_err(|_| PageError::Busy)?;
    let signals = signals.await?;
    let hello = stream::iter([Event::default().event("hello").data("{}").retry(RECONNECT_AFTER)]);
    let moved = signals.map(move |signal| {
        let _held_while_the_stream_lives = &permit;
        Event::default().event("moved").data(format!("{{\"next_offset\":{}}}", signal.next_offset))
    });
    let events = hello.chain(moved).take_until(tokio::time::sleep(LONGEST_STREAM)).map(Ok::<Event, Infallible>);
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).event(Event::default().event("heartbeat").data("{}"));
    let mut response = Sse::new(events).keep_alive(heartbeat).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}
