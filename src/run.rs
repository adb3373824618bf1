//! `affilitrack run`, `ingest`, `process` and `serve`: the parts of a role in one process.

use crate::app::App;
use crate::base::{Base, Role};
use crate::config::{Config, LogFormat};
use crate::demo::OwnDemos;
use crate::door::{Door, count_tries};
use crate::pages::{Doors, Pages};
use crate::reading::Reading;
use crate::{demo, openid, parts, socket};
use anyhow::Context;
use api::budget::BudgetLimits;
use api::json::JsonApi;
use api::services::ControlNames;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use engine::Engine;
use processor::audit::Audit;
use processor::worker::Alarms;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use store::control::ControlStore;
use store::secrets::system_random;
use telemetry::lifecycle::Lifecycle;
use telemetry::metrics::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Pause before the demo is tried again: what stands in front of several processes may start after them.
const DEMO_PAUSE: Duration = Duration::from_secs(2);
/// How often it is tried.
const DEMO_TRIES: u32 = 60;

/// Starts what the role has, prints the address if it shows pages, and runs until it is told to stop.
pub async fn run(config: Config, role: Role) -> anyhow::Result<()> {
    start_telemetry(&config)?;
    let metrics = Arc::new(Metrics::install()?);
    let listener = listen(config.server.listen).await?;
    let address = listener.local_addr()?;
    let public_url = config.public_url(address).trim_end_matches('/').to_owned();
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let (mut app, engine) = App::build(config, role).await?;
    let lifecycle = Lifecycle::new();
    parts::start(&mut app, &lifecycle, &public_url);
    // One process on its own may be known by a name that only others can resolve.
    let edge = if app.edge.is_some() { format!("http://{address}") } else { public_url.clone() };
    start_http(&app, &lifecycle, metrics, listener, &Addresses { public_url: &public_url, edge: &edge })?;
    if let Some(reading) = &app.reading {
        start_socket(reading, &lifecycle, &public_url);
        announce(app.base.control.as_ref(), (app.base.clock)(), &public_url).await?;
        start_demo(&app.base, reading, &lifecycle, edge);
    } else {
        println!("affilitrack {} listens on http://{address}", role.name());
    }
    wait_for_end(&lifecycle).await?;
    stop(engine, &lifecycle).await
}

/// Log lines as configured.
pub fn start_telemetry(config: &Config) -> anyhow::Result<()> {
    let format = match config.telemetry.format {
        LogFormat::Json => telemetry::logs::LogFormat::Json,
        LogFormat::Text => telemetry::logs::LogFormat::Human,
    };
    telemetry::logs::init(format, &config.telemetry.filter)?;
    Ok(())
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {} of {} is taken by another program; stop it, or choose another port: PORT={} make run (PORT=0 takes any free one)",
            address.port(),
            address.ip(),
            address.port().wrapping_add(1).max(1024)
        ),
        _ => anyhow::anyhow!("cannot listen on {address}: {error}"),
    })
}

/// Where the process is reached.
struct Addresses<'a> {
    /// By people and providers.
    public_url: &'a str,
    /// By itself: where its edge, or another process's, takes deliveries.
    edge: &'a str,
}

fn start_http(
    app: &App,
    lifecycle: &Lifecycle,
    metrics: Arc<Metrics>,
    listener: TcpListener,
    addresses: &Addresses<'_>,
) -> anyhow::Result<()> {
    let component = lifecycle.register("http", Duration::from_secs(app.base.config.server.shutdown_s));
    let stop = component.stop_token();
    let router = router(app, lifecycle, metrics, addresses, &stop)?;
    component.ready();
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Small answers must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        let served = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned()).await;
        match served {
            Ok(()) => component.finish(),
            Err(error) => component.fail(&format!("HTTP: {error}")),
        }
    });
    Ok(())
}

/// What the role answers: everybody their health, the edge webhooks, what shows pages those and the JSON API.
fn router(
    app: &App,
    lifecycle: &Lifecycle,
    metrics: Arc<Metrics>,
    addresses: &Addresses<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<Router> {
    let folding = app.folding.as_ref();
    let mut router = health_router(Health {
        lifecycle: lifecycle.clone(),
        metrics,
        alarms: folding.map(|folding| folding.alarms.clone()).unwrap_or_default(),
        audit: folding.map(|folding| folding.audit.clone()),
    });
    if let Some(edge) = &app.edge {
        router = router.merge(ingest::receive::router(edge.clone()));
    }
    if let Some(reading) = &app.reading {
        router = router.merge(pages_router(&app.base.config, reading, addresses, stop)?);
    }
    Ok(router)
}

fn pages_router(
    config: &Config,
    reading: &Arc<Reading>,
    addresses: &Addresses<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<Router> {
    let public_url = addresses.public_url;
    let settings = web::Settings {
        cookie_name: cookie_name(public_url),
        secure_cookie: public_url.starts_with("https"),
        cookie_days: config.web.session_days,
        max_streams: config.web.max_streams,
        clock: reading.clock.clone(),
    };
    let openid = openid::Provider::new(config, public_url, system_random())?;
    let demos = OwnDemos::new(reading.clone(), addresses.edge.to_owned(), stop.clone());
    let demos = config.demo.enabled.then_some(demos);
    let pages = Pages::new(reading.clone(), public_url.to_owned(), Doors { openid, demos }, stop.clone());
    let keys = Arc::new(ControlNames::new(reading.control.clone(), reading.clock.clone()));
    let budget = BudgetLimits {
        per_minute: NonZeroU32::new(config.api.requests_per_minute_per_key).unwrap_or(NonZeroU32::MIN),
        burst: NonZeroU32::new(config.api.burst_per_key).unwrap_or(NonZeroU32::MIN),
    };
    let json = JsonApi::new(reading.reports.clone(), Arc::new(reading.ledger.clone()), keys, budget);
    let counted = axum::middleware::from_fn_with_state(Door::new(config), count_tries);
    let pages = web::router(web::App::new(Arc::new(pages), settings)).layer(counted);
    Ok(api::json::router(Arc::new(json)).merge(pages))
}

/// Cookies of one host are shared by all its ports, so each port has a name of its own.
fn cookie_name(public_url: &str) -> String {
    let port = url::Url::parse(public_url).ok().and_then(|url| url.port_or_known_default()).unwrap_or(0);
    format!("affilitrack_{port}")
}

#[derive(Clone)]
struct Health {
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
    alarms: Arc<Alarms>,
    audit: Option<Arc<Audit>>,
}

fn health_router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render_metrics))
        .with_state(health)
}

async fn healthz(State(health): State<Health>) -> impl IntoResponse {
    if health.lifecycle.healthy() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a part of the process died\n")
    }
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let alarms = health.alarms.list();
    let differences = health.audit.as_ref().map(|audit| audit.differences.list()).unwrap_or_default();
    if !alarms.is_empty() || !differences.is_empty() {
        let stopped = alarms.iter().map(|(partition, words)| format!("partition {partition} stopped: {words}\n"));
        let wrong = differences.iter().map(|words| format!("the books do not add up: {words}\n"));
        return (StatusCode::SERVICE_UNAVAILABLE, stopped.chain(wrong).collect());
    }
    if health.lifecycle.is_ready() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", health.lifecycle.waiting_for().join(", ")))
}

async fn render_metrics(State(health): State<Health>) -> impl IntoResponse {
    if let Some(audit) = &health.audit {
        audit.measure().await;
    }
    health.metrics.render()
}

fn start_socket(reading: &Arc<Reading>, lifecycle: &Lifecycle, public_url: &str) {
    let component = lifecycle.register("control socket", Duration::from_secs(5));
    let (reading, url, stop) = (reading.clone(), public_url.to_owned(), component.stop_token());
    component.ready();
    tokio::spawn(async move {
        match socket::serve(reading, url, stop).await {
            Ok(()) => component.finish(),
            Err(error) => component.fail(&format!("{error:#}")),
        }
    });
}

/// The one line that people wait for.
async fn announce(control: &dyn ControlStore, now: domain::ids::Timestamp, public_url: &str) -> anyhow::Result<()> {
    let token = control.create_login_token(now).await?;
    println!("Open {public_url}/open?token={}", token.expose());
    use std::io::Write;
    std::io::stdout().flush().context("standard output")
}

/// The demo's data goes through an edge like everybody's, while the pages are already open.
fn start_demo(base: &Base, reading: &Arc<Reading>, lifecycle: &Lifecycle, edge: String) {
    if !base.config.demo.enabled {
        return;
    }
    let component = lifecycle.register("demo", Duration::from_secs(2));
    let (reading, stop) = (reading.clone(), component.stop_token());
    component.ready();
    tokio::spawn(async move {
        tokio::select! {
            () = seed_demo(&reading, &edge) => {}
            () = stop.cancelled() => {}
        };
        stop.cancelled().await;
        component.finish();
    });
}

/// Tries until the demo is complete. Of several processes one makes it; should that one end, another goes on.
async fn seed_demo(reading: &Reading, edge: &str) {
    let mut failed = None;
    for _ in 0..DEMO_TRIES {
        failed = match try_demo(reading, edge).await {
            Ok(true) => return,
            Ok(false) => None,
            Err(error) => Some(error),
        };
        tokio::time::sleep(DEMO_PAUSE).await;
    }
    if let Some(error) = failed {
        tracing::warn!(error = %error, "the demo workspace is not complete; it goes on at the next start: {error:#}");
    }
}

/// False if it is another process's work.
async fn try_demo(reading: &Reading, edge: &str) -> anyhow::Result<bool> {
    let leads = reading.control.leads().await?;
    if leads {
        demo::complete_all(reading, edge).await?;
    }
    Ok(leads)
}

/// Resolves when a person or a supervisor asks the process to stop.
pub async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("asked to stop");
    Ok(())
}

async fn wait_for_end(lifecycle: &Lifecycle) -> anyhow::Result<()> {
    tokio::select! {
        asked = stop_signal() => asked?,
        reason = lifecycle.shutdown_requested() => tracing::error!("stopping: {reason}"),
    }
    Ok(())
}

/// Stops the parts in order, then the engine: the storage is closed last. The process must not
/// end while the engine's threads run.
async fn stop(engine: Option<Engine>, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let report = lifecycle.shutdown().await;
    store::crash::pass(store::crash::CrashPoint::ShutdownBeforeClose);
    if let Some(engine) = engine {
        engine.shutdown().await?;
    }
    anyhow::ensure!(report.is_clean(), "not every part stopped cleanly; see the log above");
    Ok(())
}
