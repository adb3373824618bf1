//! What stands in front of several processes of the product: webhooks to the edges, everything else to the pages. The
//! copies of a role are asked in turn; a request that reached none of them is tried at the next.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest request that is passed on, in bytes.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// A running proxy. Ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Upstreams {
    edges: Vec<u16>,
    pages: Vec<u16>,
    turn: AtomicUsize,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Proxy {
    /// Serves a listener in front of processes on these ports of this machine.
    pub fn start(listener: tokio::net::TcpListener, edges: Vec<u16>, pages: Vec<u16>) -> std::io::Result<Proxy> {
        let address = listener.local_addr()?;
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(64).build_http();
        let state = Arc::new(Upstreams { edges, pages, turn: AtomicUsize::new(0), client });
        let router = Router::new().fallback(pass_on).with_state(state);
        let task = tokio::spawn(async move {
            // Ends only with the process or when the task is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Proxy { address, task })
    }

    /// Where it listens, for example `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(State(upstreams): State<Arc<Upstreams>>, request: Request<Body>) -> Response<Body> {
    let is_delivery = request.uri().path().starts_with("/webhooks/");
    let ports = if is_delivery { &upstreams.edges } else { &upstreams.pages };
    let (mut parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_REQUEST_BYTES).collect().await else {
        return says(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let body = body.to_bytes();
    parts.headers.remove(header::CONNECTION);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let turn = upstreams.turn.fetch_add(1, Ordering::Relaxed);
    for attempt in 0..ports.len() {
        let port = ports[(turn + attempt) % ports.len()];
        let Ok(uri) = format!("http://127.0.0.1:{port}{path}").parse::<Uri>() else { break };
        let mut again = Request::new(Full::new(body.clone()));
        *again.method_mut() = parts.method.clone();
        *again.headers_mut() = parts.headers.clone();
        *again.uri_mut() = uri;
        match upstreams.client.request(again).await {
            Ok(response) => return response.map(Body::new),
            Err(error) if error.is_connect() => {}
            // It may have been done: whoever asked decides whether to ask again.
            Err(_) => return says(StatusCode::BAD_GATEWAY),
        }
    }
    says(StatusCode::BAD_GATEWAY)
}

fn says(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Http;
    use axum::routing::get;
    use hyper::Method;

    async fn listener() -> (tokio::net::TcpListener, u16) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    async fn echo(name: &'static str) -> u16 {
        let (listener, port) = listener().await;
        let router = Router::new().fallback(move |body: Bytes| async move { [name.as_bytes(), b" ", &body].concat() });
        tokio::spawn(async move { axum::serve(listener, router.route("/x", get(|| async { "x" }))).await });
        port
    }

    #[tokio::test]
    async fn webhooks_go_to_edges_and_all_else_to_pages_that_live() {
        let (edge, page) = (echo("edge").await, echo("page").await);
        // Nobody listens there any more.
        let (gone, dead) = listener().await;
        drop(gone);
        let (front, _) = listener().await;
        let proxy = Proxy::start(front, vec![dead, edge], vec![page, dead]).unwrap();
        let http = Http::default();
        for _ in 0..4 {
            let send = async |path: &str| {
                let url = format!("{}{path}", proxy.url());
                http.send(Method::POST, &url, &[], Bytes::from("hello")).await.unwrap().body
            };
            assert_eq!(send("/webhooks/stripe/e1").await, "edge hello");
            assert_eq!(send("/api/v1/totals?a=b").await, "page hello");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_said() {
        let (front, _) = listener().await;
        let proxy = Proxy::start(front, vec![], vec![]).unwrap();
        assert_eq!(Http::default().send(Method::GET, &proxy.url(), &[], Bytes::new()).await.unwrap().status, 502);
    }
}
