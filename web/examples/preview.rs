//! Shows the pages over invented data: `cargo run -p web --example preview`, then open the
//! printed address. `PORT` chooses the port; a purchase is added every `EVERY_MS` milliseconds
//! (default 6000, 0 = never).

use domain::ids::{Mode, Timestamp};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use web::sample::{SampleBackend, TOKEN};
use web::{App, Clock, Settings};

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "this is the wiring: here the clock comes from")]
async fn main() -> Result<(), Box<dyn Error>> {
    let clock: Clock = Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    });
    let backend = SampleBackend::new(Arc::clone(&clock));
    let every_ms: u64 = read("EVERY_MS", 6_000)?;
    if every_ms > 0 {
        let adding = Arc::clone(&backend);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(every_ms));
            loop {
                ticks.tick().await;
                adding.add_purchase("demo", Mode::Test);
                adding.add_purchase("acme", Mode::Live);
            }
        });
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", read::<u16>("PORT", 8090)?)).await?;
    println!("Open http://{}/open?token={TOKEN}", listener.local_addr()?);
    axum::serve(listener, web::router(App::new(backend, Settings::new(clock)))).await?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an example has no configuration file")]
fn read<T: std::str::FromStr>(name: &str, default: T) -> Result<T, String> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name}={text} is not a number")),
        Err(_) => Ok(default),
    }
}
