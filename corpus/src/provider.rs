//! Plays the providers: answers look-ups from the folder, and like the provider when it has
//! no answer. One loopback port per provider, because their errors look different.

use crate::folder::Answer;
use crate::sign::Provider;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// At most this many unanswered questions are remembered.
const MAX_UNANSWERED: usize = 50;

/// The served providers. Ends when dropped.
#[derive(Debug)]
pub struct ProviderServer {
    addresses: BTreeMap<Provider, SocketAddr>,
    unanswered: Arc<Mutex<BTreeSet<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

#[derive(Debug, Clone)]
struct Served {
    provider: Provider,
    answers: Arc<BTreeMap<Question, Answer>>,
    unanswered: Arc<Mutex<BTreeSet<String>>>,
}

/// A request without the order of its parameters and without encoding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    method: String,
    path: String,
    parameters: Vec<(String, String)>,
}

impl ProviderServer {
    /// Starts listening on free loopback ports.
    pub async fn start(answers: &BTreeMap<String, Answer>) -> std::io::Result<ProviderServer> {
        let by_question = answers.iter().map(|(request, answer)| (question_of_text(request), answer.clone())).collect();
        let answers: Arc<BTreeMap<Question, Answer>> = Arc::new(by_question);
        let unanswered = Arc::new(Mutex::new(BTreeSet::new()));
        let mut server = ProviderServer { addresses: BTreeMap::new(), unanswered, tasks: Vec::new() };
        for provider in Provider::ALL {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
            server.addresses.insert(provider, listener.local_addr()?);
            let state = Served { provider, answers: Arc::clone(&answers), unanswered: Arc::clone(&server.unanswered) };
            let router = Router::new().fallback(answer).with_state(state);
            server.tasks.push(tokio::spawn(async move {
                // Ends only with the process or when the task is aborted.
                let _ = axum::serve(listener, router).await;
            }));
        }
        Ok(server)
    }

    /// The address to give to the product as the provider's.
    pub fn base(&self, provider: Provider) -> String {
        self.addresses.get(&provider).map(|address| format!("http://{address}")).unwrap_or_default()
    }

    /// Questions for which the folder has no answer, at most fifty.
    pub fn unanswered(&self) -> Vec<String> {
        self.unanswered.lock().map(|asked| asked.iter().cloned().collect()).unwrap_or_default()
    }
}

impl Drop for ProviderServer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn answer(State(served): State<Served>, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if !request.headers().contains_key(header::AUTHORIZATION) {
        return respond(StatusCode::UNAUTHORIZED, not_allowed(served.provider).to_string().into());
    }
    let question = question(request.method().as_str(), path);
    if let Some(answer) = served.answers.get(&question) {
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return respond(status, answer.body.clone().into());
    }
    if let Ok(mut unanswered) = served.unanswered.lock()
        && unanswered.len() < MAX_UNANSWERED
    {
        unanswered.insert(format!("{} {path}", request.method()));
    }
    respond(StatusCode::NOT_FOUND, not_found(served.provider, &question.path).to_string().into())
}

fn respond(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn not_found(provider: Provider, path: &str) -> Value {
    match provider {
        Provider::Stripe => json!({"error": {
            "code": "resource_missing", "type": "invalid_request_error", "param": "id", "message": format!("No such object: '{path}'")
        }}),
        Provider::Paddle => json!({
            "error": {"type": "request_error", "code": "not_found", "detail": format!("Unable to find {path}.")},
            "meta": {"request_id": "corpus"}
        }),
        Provider::LemonSqueezy => json!({
            "jsonapi": {"version": "1.0"},
            "errors": [{"status": "404", "title": "Not Found", "detail": "The related resource does not exist."}]
        }),
    }
}

fn not_allowed(provider: Provider) -> Value {
    match provider {
        Provider::Stripe => {
            json!({"error": {"type": "invalid_request_error", "message": "You did not provide an API key."}})
        }
        Provider::Paddle => json!({"error": {"type": "request_error", "code": "authentication_missing"}}),
        Provider::LemonSqueezy => json!({"errors": [{"status": "401", "title": "Unauthorized"}]}),
    }
}

fn question_of_text(request: &str) -> Question {
    let (method, path) = request.split_once(' ').unwrap_or(("GET", request));
    question(method, path.trim())
}

fn question(method: &str, path_and_query: &str) -> Question {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let mut parameters: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    parameters.sort();
    Question { method: method.to_ascii_uppercase(), path: decoded(path), parameters }
}

/// A path without percent-encoding. The form decoder would also turn `+` into a space and
/// stop at `&`, so both are encoded first.
fn decoded(path: &str) -> String {
    let guarded = path.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(guarded.as_bytes()).map(|(name, _)| name.into_owned()).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Http;
    use bytes::Bytes;
    use hyper::Method;

    #[test]
    fn parameters_have_no_order_and_no_encoding() {
        let stored =
            question_of_text("GET /v1/invoice_payments?payment[type]=payment_intent&payment[payment_intent]=pi_1");
        let asked = "/v1/invoice_payments?payment%5Bpayment_intent%5D=pi_1&payment%5Btype%5D=payment_intent";
        assert_eq!(stored, question("get", asked));
        assert_ne!(stored, question("GET", "/v1/invoice_payments?payment[type]=payment_intent"));
        assert_eq!(decoded("/a%2Fb+c&d=e"), "/a/b+c&d=e");
    }

    #[tokio::test]
    async fn answers_from_the_folder_and_otherwise_like_the_provider() {
        let answer = Answer { status: 200, body: Bytes::from_static(b"{\"id\":\"in_1\"}") };
        let answers = [("GET /v1/invoices/in_1?expand[]=discounts".to_owned(), answer)].into();
        let server = ProviderServer::start(&answers).await.unwrap();
        let http = Http::default();
        let headers = [("Authorization".to_owned(), "Bearer rk_test_1".to_owned())];
        let get = async |provider, path: &str, headers: &[(String, String)]| {
            let url = format!("{}{path}", server.base(provider));
            let reply = http.send(Method::GET, &url, headers, Bytes::new()).await.unwrap();
            (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
        };
        let found = get(Provider::Stripe, "/v1/invoices/in_1?expand%5B%5D=discounts", &headers).await;
        assert_eq!(found, (200, "{\"id\":\"in_1\"}".to_owned()));
        let (status, body) = get(Provider::Stripe, "/v1/invoices/in_2", &headers).await;
        assert!(status == 404 && body.contains("resource_missing"), "{status} {body}");
        let (status, body) = get(Provider::LemonSqueezy, "/v1/discount-redemptions", &headers).await;
        assert!(status == 404 && body.contains("jsonapi"), "{status} {body}");
        assert_eq!(get(Provider::Stripe, "/v1/invoices/in_1", &[]).await.0, 401);
        assert_eq!(server.unanswered(), ["GET /v1/discount-redemptions", "GET /v1/invoices/in_2"]);
    }
}
