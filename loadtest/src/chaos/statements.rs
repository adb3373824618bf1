//! Stands in front of the warehouse and breaks its answers: the requests are understood, so that an insert can be
//! stored and its answer lost.

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// The largest request or answer that is passed on, in bytes.
const MAX_BODY_BYTES: usize = 256 << 20;
/// How late a late answer is.
const LATE: Duration = Duration::from_secs(3);
/// Longer than whoever asks waits.
const NEVER: Duration = Duration::from_secs(3_600);

/// What happens to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// Nothing.
    None = 0,
    /// All are answered 503.
    Refuse = 1,
    /// None is answered or passed on.
    Hang = 2,
    /// Every second insert is passed on, and the connection broken instead of its answer.
    ResetAfterCommit = 3,
    /// Answers to inserts come late.
    Late = 4,
    /// Inserts are answered 503, reads are passed on.
    RefuseInserts = 5,
}

/// A running front. Ends when dropped.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    upstream: String,
    mishap: AtomicU8,
    inserts: AtomicU64,
    mishaps: AtomicU64,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Front {
    /// Listens on a free port in front of `upstream`, for example `http://127.0.0.1:8123`.
    pub async fn of(upstream: &str) -> Result<Front> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            upstream: upstream.trim_end_matches('/').to_owned(),
            mishap: AtomicU8::new(Mishap::None as u8),
            inserts: AtomicU64::new(0),
            mishaps: AtomicU64::new(0),
            client: Client::builder(TokioExecutor::new()).build_http(),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Front { address, state, task })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this happens.
    pub fn set(&self, mishap: Mishap) {
        self.state.mishap.store(mishap as u8, Ordering::SeqCst);
    }

    /// How many requests something happened to.
    pub fn mishaps(&self) -> u64 {
        self.state.mishaps.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { state.answer(request).await }
            });
            // An error of the service breaks the connection, which is what it is for.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        // Only inserts have one.
        let is_insert = request.uri().query().is_some_and(|query| query.contains("insert_deduplication_token"));
        let mishap = self.mishap.load(Ordering::SeqCst);
        let turn = if is_insert { self.inserts.fetch_add(1, Ordering::SeqCst) } else { 0 };
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(io::Error::other)?.to_bytes();
        let happened = || self.mishaps.fetch_add(1, Ordering::SeqCst);
        if mishap == Mishap::Refuse as u8 || (is_insert && mishap == Mishap::RefuseInserts as u8) {
            happened();
            return Ok(refused());
        }
        if mishap == Mishap::Hang as u8 {
            happened();
            tokio::time::sleep(NEVER).await;
        }
        let mut again = Request::from_parts(parts, Full::new(body));
        let path = again.uri().path_and_query().map_or("/", |path| path.as_str());
        *again.uri_mut() = format!("{}{path}", self.upstream).parse::<Uri>().map_err(io::Error::other)?;
        let answer = self.client.request(again).await.map_err(io::Error::other)?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(io::Error::other)?.to_bytes();
        if is_insert && mishap == Mishap::ResetAfterCommit as u8 && turn.is_multiple_of(2) {
            happened();
            return Err(io::Error::other("the answer is lost on purpose"));
        }
        if is_insert && mishap == Mishap::Late as u8 {
            happened();
            tokio::time::sleep(LATE).await;
        }
        let mut response = Response::from_parts(parts, Full::new(body));
        // The body is whole now.
        response.headers_mut().remove(hyper::header::TRANSFER_ENCODING);
        Ok(response)
    }
}

fn refused() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"unavailable on purpose")));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use corpus::client::Http;
    use hyper::Method;

    #[tokio::test]
    async fn inserts_arrive_and_their_answers_are_lost_in_turn() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let upstream = format!("http://{}", listener.local_addr().unwrap());
        let arrived = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&arrived);
        let handler = move |body: Bytes| async move {
            count.fetch_add(1, Ordering::SeqCst);
            body
        };
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await });
        let front = Front::of(&upstream).await.unwrap();
        let send = async |path: &str| {
            let url = format!("{}{path}", front.url());
            Http::default().send(Method::POST, &url, &[], Bytes::from("rows")).await.map(|reply| reply.status)
        };
        let insert = "/?insert_deduplication_token=t";
        front.set(Mishap::ResetAfterCommit);
        assert!(send(insert).await.is_err());
        assert_eq!(send(insert).await.unwrap(), 200);
        assert_eq!(send("/?query=1").await.unwrap(), 200, "reads go through");
        assert_eq!(arrived.load(Ordering::SeqCst), 3, "what was not answered had arrived");
        front.set(Mishap::Refuse);
        assert_eq!(send(insert).await.unwrap(), 503);
        assert_eq!((front.mishaps(), arrived.load(Ordering::SeqCst)), (2, 3));
    }
}
