//! The yardstick for the edge: a bare axum handler that reads the same body and answers 200.

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use std::io::Write;
use std::time::Duration;

/// Serves `POST /webhooks/{provider}/{endpoint}` on loopback for so long.
pub async fn serve(port: u16, duration: Duration, out: &mut (dyn Write + Send)) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    writeln!(out, "a bare handler listens on http://{} for {} seconds", listener.local_addr()?, duration.as_secs())?;
    out.flush()?;
    let router = Router::new().route("/webhooks/{provider}/{endpoint}", post(receive));
    let server = axum::serve(listener, router);
    // The time limit is the ordinary end.
    let _ = tokio::time::timeout(duration, server.into_future()).await;
    Ok(())
}

async fn receive(body: Bytes) -> StatusCode {
    if body.is_empty() { StatusCode::BAD_REQUEST } else { StatusCode::OK }
}
