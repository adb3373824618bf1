//! The local control socket: how the command line talks to the running process. It is a file
//! with mode 0600, so whoever can open it may do everything.

mod mails;
mod operations;
pub mod protocol;

use crate::reading::Reading;
use anyhow::Context;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use protocol::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use store::control::{ControlError, LocalAdmin};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

/// What the handlers share.
pub struct Local {
    /// The process.
    pub app: Arc<Reading>,
    /// Where pages and webhooks are.
    pub public_url: String,
    /// Proof that the call came through the socket.
    admin: LocalAdmin,
}

/// An answer that is an error: a field if one is to blame, and words.
pub struct Failure {
    status: StatusCode,
    field: String,
    message: String,
}

impl Failure {
    fn not_found(what: impl Into<String>) -> Failure {
        Failure { status: StatusCode::NOT_FOUND, field: String::new(), message: what.into() }
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Failure {
        match error {
            ControlError::Invalid { field, message } => Failure { status: StatusCode::BAD_REQUEST, field, message },
            ControlError::NotFound(_) => Failure::not_found(error.to_string()),
            other => Failure::from(anyhow::Error::from(other)),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure { status: StatusCode::INTERNAL_SERVER_ERROR, field: String::new(), message: format!("{error:#}") }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = ErrorAnswer { error: ErrorBody { field: self.field, message: self.message } };
        (self.status, Json(body)).into_response()
    }
}

type Answer<T> = Result<Json<T>, Failure>;
type Shared = State<Arc<Local>>;

/// Listens on the socket until stopped.
pub async fn serve(app: Arc<Reading>, public_url: String, stop: CancellationToken) -> anyhow::Result<()> {
    let path = app.folder.socket();
    let listener = bind(&path)?;
    let local = Arc::new(Local { app, public_url, admin: LocalAdmin::for_local_socket() });
    let served = axum::serve(listener, router(local)).with_graceful_shutdown(stop.cancelled_owned());
    let ended = served.await.context("the control socket");
    // Left behind it would only look as if a process was there.
    let _ = std::fs::remove_file(&path);
    ended
}

/// Refuses to go on while another process answers on the socket.
pub fn refuse_second_process(path: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        std::os::unix::net::UnixStream::connect(path).is_err(),
        "another affilitrack process runs on this data folder ({}); stop it first, or set DATA_DIR to another folder",
        path.display()
    );
    Ok(())
}

/// Binds the socket. A file that a killed process left behind is replaced; a living one is not.
fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    refuse_second_process(path)?;
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path).with_context(|| format!("cannot make {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn router(local: Arc<Local>) -> Router {
    Router::new()
        .route("/v1/connect", post(connect))
        .route("/v1/decide", post(decide))
        .route("/v1/api-keys", post(api_key))
        .route("/v1/login", post(login))
        .route("/v1/explain", get(explain))
        .route("/v1/refused", get(refused))
        .route("/v1/refused/{offset}", get(refused_record))
        .route("/v1/mails", get(mail_list))
        .route("/v1/mails/retry", post(retry_mails))
        .route("/v1/status", get(status))
        .with_state(local)
}

async fn connect(State(local): Shared, Json(request): Json<ConnectCall>) -> Answer<ConnectAnswer> {
    Ok(Json(local.connect(request).await?))
}

async fn decide(State(local): Shared, Json(request): Json<DecideCall>) -> Answer<DecideAnswer> {
    Ok(Json(local.decide(request).await?))
}

async fn api_key(State(local): Shared, Json(request): Json<ApiKeyCall>) -> Answer<ApiKeyAnswer> {
    Ok(Json(local.api_key(request).await?))
}

async fn login(State(local): Shared) -> Answer<UrlAnswer> {
    Ok(Json(UrlAnswer { url: local.login_url().await? }))
}

async fn explain(State(local): Shared, Query(query): Query<ExplainCall>) -> Answer<api::model::Explanation> {
    Ok(Json(local.explain(query).await?))
}

async fn refused(
    State(local): Shared,
    Query(query): Query<RefusedCall>,
) -> Answer<Vec<store::fold_store::ListedRecord>> {
    Ok(Json(local.refused(query).await?))
}

async fn refused_record(
    State(local): Shared,
    axum::extract::Path(offset): axum::extract::Path<u64>,
    Query(query): Query<RefusedCall>,
) -> Answer<serde_json::Value> {
    Ok(Json(local.record(&query.vendor, offset).await?))
}

async fn mail_list(State(local): Shared, Query(query): Query<MailsCall>) -> Answer<Vec<MailRow>> {
    Ok(Json(local.mails(query).await?))
}

async fn retry_mails(State(local): Shared, Json(request): Json<RetryMailsCall>) -> Answer<RetriedAnswer> {
    Ok(Json(local.retry_mails(request).await?))
}

async fn status(State(local): Shared) -> Answer<StatusAnswer> {
    Ok(Json(local.status().await?))
}
