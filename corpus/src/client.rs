//! HTTP/1.1 from outside: over TCP with kept connections, and over the local control socket.
//! Every request has a time limit, every answer a size limit.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One answer is never larger than this many bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// One request never takes longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a request is tried again after 429.
const MAX_PAUSES: u32 = 60;

/// What went wrong between us and the product.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke.
    #[error("{request}: no answer: {reason}")]
    Unreachable {
        /// Method and address.
        request: String,
        /// What the system said.
        reason: String,
    },
    /// The answer says no.
    #[error("{request}: answered {status}: {body}")]
    Refused {
        /// Method and address.
        request: String,
        /// HTTP status.
        status: u16,
        /// Beginning of the answer.
        body: String,
    },
    /// The answer is not what was agreed.
    #[error("{request}: {reason}")]
    Unexpected {
        /// Method and address.
        request: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Status and body of an answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Seconds of `Retry-After`.
    pub retry_after: Option<u64>,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// Beginning of the body for a message, at most 300 characters.
    pub fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }

    fn json(&self, request: &str) -> Result<Value, ClientError> {
        if !(200..300).contains(&self.status) {
            return Err(ClientError::Refused {
                request: request.to_owned(),
                status: self.status,
                body: self.excerpt(),
            });
        }
        serde_json::from_slice(&self.body).map_err(|error| ClientError::Unexpected {
            request: request.to_owned(),
            reason: format!("the answer is not JSON ({error}): {}", self.excerpt()),
        })
    }
}

/// A client over TCP that keeps its connections.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Default for Http {
    fn default() -> Http {
        Http { client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(64).build_http() }
    }
}

impl Http {
    /// Sends one request and reads its whole answer. Any status is an answer.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<Reply, ClientError> {
        let name = format!("{method} {url}");
        let mut request = Request::builder().method(method).uri(url);
        for (header, value) in headers {
            request = request.header(header, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| unexpected(&name, &error))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| unreachable_because(&name, &error))?;
            read_reply(&name, response).await
        };
        within_limit(&name, exchange).await
    }
}

/// The JSON API with one key.
#[derive(Debug, Clone)]
pub struct JsonApi {
    http: Http,
    base: String,
    authorization: String,
}

impl JsonApi {
    /// Talks to `base` (for example `http://127.0.0.1:8080`) with `key`.
    pub fn new(http: Http, base: &str, key: &str) -> JsonApi {
        JsonApi { http, base: base.trim_end_matches('/').to_owned(), authorization: format!("Bearer {key}") }
    }

    /// The same key at another address.
    pub fn at(&self, base: &str) -> JsonApi {
        JsonApi { base: base.trim_end_matches('/').to_owned(), ..self.clone() }
    }

    /// `GET /api/v1/{segments}?{query}`; waits as told when asked to slow down.
    pub async fn get(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Value, ClientError> {
        let (name, reply) = self.exchange(segments, query).await?;
        reply.json(&name)
    }

    /// The same; `None` for 404.
    pub async fn find(&self, segments: &[&str]) -> Result<Option<Value>, ClientError> {
        let (name, reply) = self.exchange(segments, &[]).await?;
        if reply.status == 404 { Ok(None) } else { reply.json(&name).map(Some) }
    }

    async fn exchange(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<(String, Reply), ClientError> {
        let url = self.address(segments, query)?;
        let headers = [("Authorization".to_owned(), self.authorization.clone())];
        let mut pauses = 0;
        loop {
            let reply = self.http.send(Method::GET, &url, &headers, Bytes::new()).await?;
            if reply.status != 429 || pauses == MAX_PAUSES {
                return Ok((format!("GET {url}"), reply));
            }
            pauses += 1;
            tokio::time::sleep(Duration::from_secs(reply.retry_after.unwrap_or(1).clamp(1, 5))).await;
        }
    }

    fn address(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<String, ClientError> {
        let base = format!("{}/api/v1", self.base);
        let mut url = url::Url::parse(&base).map_err(|error| unexpected(&base, &error))?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url.into())
    }
}

/// The local control socket of a running product.
#[derive(Debug, Clone)]
pub struct LocalSocket {
    path: PathBuf,
}

impl LocalSocket {
    /// Talks to the socket file at `path`.
    pub fn new(path: &Path) -> LocalSocket {
        LocalSocket { path: path.to_owned() }
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.exchange(Method::GET, path, None).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.exchange(Method::POST, path, Some(body)).await
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        let name = format!("{method} {path} over {}", self.path.display());
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "localhost")
            .header("Content-Type", "application/json")
            .body(Full::new(body))
            .map_err(|error| unexpected(&name, &error))?;
        let exchange = async {
            let stream = tokio::net::UnixStream::connect(&self.path)
                .await
                .map_err(|error| unreachable_because(&name, &error))?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| unreachable_because(&name, &error))?;
            let driver = tokio::spawn(connection);
            let response = sender.send_request(request).await.map_err(|error| unreachable_because(&name, &error))?;
            let reply = read_reply(&name, response).await;
            driver.abort();
            reply
        };
        within_limit(&name, exchange).await?.json(&name)
    }
}

async fn within_limit<T>(name: &str, exchange: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, exchange).await {
        Ok(result) => result,
        Err(_) => Err(ClientError::Unreachable {
            request: name.to_owned(),
            reason: format!("nothing within {} seconds", REQUEST_TIMEOUT.as_secs()),
        }),
    }
}

async fn read_reply(name: &str, response: Response<Incoming>) -> Result<Reply, ClientError> {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
        .collect()
        .await
        .map_err(|error| ClientError::Unreachable { request: name.to_owned(), reason: error.to_string() })?
        .to_bytes();
    Ok(Reply { status, retry_after, body })
}

fn unexpected(name: &str, error: &dyn std::error::Error) -> ClientError {
    ClientError::Unexpected { request: name.to_owned(), reason: error.to_string() }
}

/// Names the innermost cause as well: hyper's own text says only that connecting failed.
fn unreachable_because(name: &str, error: &dyn std::error::Error) -> ClientError {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    ClientError::Unreachable { request: name.to_owned(), reason }
}
