//! The HTTP endpoint: `GET /ping` and `POST /`, as a ClickHouse client expects them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures::stream::{self, Stream};
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::body::BodyReader;
use crate::error::{QueryError, code};
use crate::ffi::Written;
use crate::job::{Action, Answer, Job, Part, Reply, answer};
use crate::pool::Pool;
use crate::protocol::{UrlParameters, multipart_boundary, parse_multipart};
use crate::statement::split_insert_format;

/// Largest statement, and largest answerable form.
const MAX_STATEMENT_BYTES: usize = 16 * 1024 * 1024;
/// Largest body of an insert, as sent. It is never held in memory as a whole.
const MAX_INSERT_BYTES: usize = 1024 * 1024 * 1024;
/// An insert keeps its data here before it takes a connection, so that a small one never holds a connection while
/// its client is still sending.
const INSERT_AHEAD_BYTES: usize = 1024 * 1024;
/// Parts of an insert between the network and the engine.
const PARTS_AHEAD: usize = 4;
/// Time for the text of a late error to leave before the connection is broken off.
const LATE_ERROR_PAUSE: Duration = Duration::from_millis(20);
const DEFAULT_FORMAT: &str = "TabSeparated";

/// What the handlers share.
pub(crate) struct Endpoint {
    pub(crate) pool: Pool,
    pub(crate) key: String,
    pub(crate) database: String,
    /// A client that neither sends nor takes anything for so long loses its statement.
    pub(crate) stall_limit: Duration,
    /// Marks errors in the middle of an answer. Only who knows the key sees it.
    pub(crate) exception_tag: String,
    /// Breaks off bodies when the drain of a shutdown takes too long.
    pub(crate) give_up: CancellationToken,
}

/// The routes.
pub(crate) fn router(endpoint: Arc<Endpoint>) -> Router {
    Router::new().route("/ping", get(ping)).route("/", post(run_statement)).with_state(endpoint)
}

/// `GET /ping`: the endpoint is up. Needs no key.
async fn ping() -> &'static str {
    "Ok.\n"
}

/// `POST /`: one statement.
async fn run_statement(
    State(endpoint): State<Arc<Endpoint>>,
    RawQuery(raw_query): RawQuery,
    request: Request,
) -> Response {
    let result = match authenticate(&endpoint, request.headers()) {
        Ok(()) => handle(endpoint, raw_query.unwrap_or_default(), request).await,
        Err(error) => Err(error),
    };
    result.unwrap_or_else(error_response)
}

fn authenticate(endpoint: &Endpoint, headers: &HeaderMap) -> Result<(), QueryError> {
    let given = headers.get("X-ClickHouse-Key").map_or(&[][..], |value| value.as_bytes());
    if given.ct_eq(endpoint.key.as_bytes()).into() {
        return Ok(());
    }
    Err(QueryError::new(
        code::AUTHENTICATION_FAILED,
        "Authentication failed: the header X-ClickHouse-Key must hold the key of this start of the warehouse.",
    ))
}

async fn handle(endpoint: Arc<Endpoint>, raw_query: String, request: Request) -> Result<Response, QueryError> {
    let parameters = UrlParameters::parse(&raw_query)?;
    match split_insert_format(&parameters.query) {
        // The clause is cut off for the engine's sake, so what is in front of it stays the only text.
        Some((statement, format)) => {
            let (statement, format) = (statement.to_owned(), format.to_owned());
            run_insert(endpoint, parameters, statement, format, request).await
        }
        None => run_query(endpoint, parameters, request).await,
    }
}

/// A statement whose text is in the URL, in the body, or both, one after the other.
async fn run_query(
    endpoint: Arc<Endpoint>,
    mut parameters: UrlParameters,
    request: Request,
) -> Result<Response, QueryError> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(multipart_boundary).map(str::to_owned);
    let reader = BodyReader::new(request.into_body(), parameters.decompress, MAX_STATEMENT_BYTES, &endpoint);
    let text = String::from_utf8(reader.read_all().await?)
        .map_err(|_| QueryError::new(code::BAD_ARGUMENTS, "The statement is not valid UTF-8."))?;
    match boundary {
        Some(boundary) => parameters.add_form(parse_multipart(&text, &boundary)?)?,
        None => parameters.query.push_str(&text),
    }
    let lease = endpoint.pool.lease().await?;
    let (output, answer) = answer(endpoint.stall_limit, endpoint.give_up.clone());
    let format = parameters.default_format.take().unwrap_or_else(|| DEFAULT_FORMAT.to_owned());
    lease.run(Job {
        text: parameters.query,
        format: format.clone(),
        parameters: parameters.parameters,
        database: parameters.database.unwrap_or_else(|| endpoint.database.clone()),
        settings: parameters.settings,
        action: Action::Query,
        output,
    });
    respond(&endpoint, answer, &format).await
}

/// An insert whose data is the body.
async fn run_insert(
    endpoint: Arc<Endpoint>,
    parameters: UrlParameters,
    statement: String,
    format: String,
    request: Request,
) -> Result<Response, QueryError> {
    let mut reader = BodyReader::new(request.into_body(), parameters.decompress, MAX_INSERT_BYTES, &endpoint);
    let (ahead, ended) = reader.read_ahead(INSERT_AHEAD_BYTES).await?;
    let lease = endpoint.pool.lease().await?;
    let (output, answer) = answer(endpoint.stall_limit, endpoint.give_up.clone());
    let (parts, received) = mpsc::channel(PARTS_AHEAD);
    lease.run(Job {
        text: statement,
        format: format.clone(),
        parameters: parameters.parameters,
        database: parameters.database.unwrap_or_else(|| endpoint.database.clone()),
        settings: parameters.settings,
        action: Action::Insert(received),
        output,
    });
    // An error here drops `parts` without an end, which cancels the insert.
    feed(parts, reader, ahead, ended).await?;
    respond(&endpoint, answer, &format).await
}

/// Hands the data over until it ends or the engine wants no more (its answer says why).
async fn feed(
    parts: mpsc::Sender<Part>,
    mut reader: BodyReader,
    ahead: Vec<Bytes>,
    ended: bool,
) -> Result<(), QueryError> {
    for data in ahead {
        if parts.send(Part::Data(data)).await.is_err() {
            return Ok(());
        }
    }
    while !ended && let Some(data) = reader.next().await? {
        if parts.send(Part::Data(data)).await.is_err() {
            return Ok(());
        }
    }
    // When the engine is gone its answer says so.
    let _ = parts.send(Part::End).await;
    Ok(())
}

/// Waits for the first part of the answer, so that a statement that fails at once gets a status of its own, and
/// streams the rest.
async fn respond(endpoint: &Arc<Endpoint>, mut answer: Answer, format: &str) -> Result<Response, QueryError> {
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header("X-ClickHouse-Format", format)
        .header("X-ClickHouse-Exception-Tag", endpoint.exception_tag.as_str());
    let response = match answer.next().await {
        Some(Reply::Failed(error)) => return Err(error),
        None => return Err(QueryError::shutting_down()),
        Some(Reply::Done(written)) => response.header("X-ClickHouse-Summary", summary(written)).body(Body::empty()),
        Some(Reply::Chunk(first)) => response.body(Body::from_stream(answer_stream(endpoint, answer, first))),
    };
    response.map_err(|error| QueryError::new(code::BAD_ARGUMENTS, error))
}

fn summary(written: Written) -> String {
    format!(r#"{{"written_rows":"{}","written_bytes":"{}"}}"#, written.rows, written.bytes)
}

/// Where the stream of an answer stands.
enum Stage {
    First(Bytes),
    Following,
    BreakOff,
    End,
}

/// The chunks of an answer. After a late error comes its text in ClickHouse's format, and then the connection breaks
/// off: even a client that misses the text cannot take half an answer for a whole one.
fn answer_stream(
    endpoint: &Arc<Endpoint>,
    answer: Answer,
    first: Bytes,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    let state = (Stage::First(first), answer, Arc::clone(endpoint));
    stream::unfold(state, async |(stage, mut answer, endpoint)| {
        let (item, stage) = match stage {
            Stage::First(bytes) => (Ok(bytes), Stage::Following),
            Stage::Following => {
                let reply = tokio::select! {
                    reply = answer.next() => reply,
                    () = endpoint.give_up.cancelled() => Some(Reply::Failed(QueryError::shutting_down())),
                };
                match reply {
                    Some(Reply::Chunk(bytes)) => (Ok(bytes), Stage::Following),
                    Some(Reply::Done(_)) => return None,
                    Some(Reply::Failed(error)) => (Ok(late_error(&error, &endpoint.exception_tag)), Stage::BreakOff),
                    None => (Ok(late_error(&QueryError::shutting_down(), &endpoint.exception_tag)), Stage::BreakOff),
                }
            }
            Stage::BreakOff => {
                tokio::time::sleep(LATE_ERROR_PAUSE).await;
                (Err(std::io::Error::other("the statement failed after its answer had begun")), Stage::End)
            }
            Stage::End => return None,
        };
        Some((item, (stage, answer, endpoint)))
    })
}

/// The end of an answer that failed: marker, tag, message, length of the message with its line end, tag, marker.
fn late_error(error: &QueryError, tag: &str) -> Bytes {
    let message = format!("{}\n", error.message.trim_end());
    let length = message.len();
    format!("\r\n__exception__\r\n{tag}\r\n{message}{length} {tag}\r\n__exception__\r\n").into()
}

fn error_response(error: QueryError) -> Response {
    let status = error.status();
    let code = error.code.to_string();
    let mut response =
        (status, [("X-ClickHouse-Exception-Code", code)], format!("{}\n", error.message)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_error_has_clickhouse_s_form() {
        let error = QueryError::new(395, "late");
        let text = late_error(&error, "tag");
        assert_eq!(text, "\r\n__exception__\r\ntag\r\nCode: 395. DB::Exception: late\n31 tag\r\n__exception__\r\n");
    }

    #[test]
    fn an_error_carries_its_code_and_status() {
        let response = error_response(QueryError::busy("full"));
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["X-ClickHouse-Exception-Code"], "202");
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
