//! Against a few lines of HTTP that answer what a test says.

mod mock;
mod reading;
mod setup;

use super::interface::StripeInterface;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::secrets::SecretText;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "rk_test_ofTheTests0123456789";

/// One request as it came.
#[derive(Debug, Clone)]
struct Asked {
    /// `GET /v1/...`, decoded.
    line: String,
    head: String,
    body: String,
}

type Answer = dyn Fn(&Asked) -> (u16, &'static str, String) + Send + Sync;

/// A stand-in for Stripe: status, one more header or none, and body by request.
struct StandIn {
    base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    async fn start(answer: impl Fn(&Asked) -> (u16, &'static str, String) + Send + Sync + 'static) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answer): (Arc<Mutex<Vec<Asked>>>, Arc<Answer>) = (Arc::default(), Arc::new(answer));
        let noted = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), noted.clone()));
            }
        });
        StandIn { base, asked }
    }

    fn stripe(&self) -> StripeInterface {
        StripeInterface::once(Duration::from_secs(5), Some(&self.base), SecretText::new(KEY)).unwrap()
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

async fn serve(mut stream: TcpStream, answer: Arc<Answer>, noted: Arc<Mutex<Vec<Asked>>>) {
    let mut bytes = Vec::new();
    let asked = loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
        if body.len() >= length {
            let line = head.split(" HTTP/1.1").next().unwrap();
            let decode = |text: &str| {
                let pairs = format!("x={}", text.replace('&', "%26").replace('=', "%3D"));
                url::form_urlencoded::parse(pairs.as_bytes()).next().unwrap().1.into_owned()
            };
            break Asked { line: decode(line), head: head.to_owned(), body: body.to_owned() };
        }
    };
    noted.lock().unwrap().push(asked.clone());
    let (status, header, body) = answer(&asked);
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let text = format!(
        "HTTP/1.1 {status} X\r\n{header}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // Whoever asked may be gone.
    let _ = stream.write_all(text.as_bytes()).await;
}

fn ok(body: impl Into<String>) -> (u16, &'static str, String) {
    (200, "", body.into())
}

fn empty_list() -> (u16, &'static str, String) {
    ok(r#"{"object":"list","data":[],"has_more":false}"#)
}

fn refused(status: u16, code: &str) -> (u16, &'static str, String) {
    let error = serde_json::json!({ "error": { "type": "invalid_request_error", "code": code,
        "message": format!("something about {KEY}"), "param": "url" } });
    (status, "", error.to_string())
}
