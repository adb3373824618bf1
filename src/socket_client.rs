//! The command line's side of the local control socket.

use crate::socket::protocol::ErrorAnswer;
use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Calls the running process.
pub async fn call<B: Serialize, T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&B>,
) -> anyhow::Result<T> {
    let stream = tokio::net::UnixStream::connect(socket).await.with_context(|| {
        format!("no affilitrack process runs on this data folder ({} does not answer); start it with `affilitrack run`, or set DATA_DIR", socket.display())
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let bytes = match body {
        Some(body) => Bytes::from(serde_json::to_vec(body)?),
        None => Bytes::new(),
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", "affilitrack")
        .header("Content-Type", "application/json")
        .body(Full::new(bytes))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    if status.is_success() {
        return Ok(serde_json::from_slice(&answer)?);
    }
    match serde_json::from_slice::<ErrorAnswer>(&answer) {
        Ok(ErrorAnswer { error }) if error.field.is_empty() => anyhow::bail!("{}", error.message),
        Ok(ErrorAnswer { error }) => anyhow::bail!("{}: {}", error.field, error.message),
        Err(_) => anyhow::bail!("the process answered {status}: {}", String::from_utf8_lossy(&answer)),
    }
}

/// A value in a query string.
pub fn escaped(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
