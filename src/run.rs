//! `affilitrack run`: every role in one process.

use crate::app::App;
use crate::config::{Config, LogFormat};
use crate::pages::Pages;
use crate::{demo, parts, socket};
use anyhow::Context;
use api::json::{BudgetLimits, JsonApi};
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
use telemetry::lifecycle::Lifecycle;
use telemetry::metrics::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Starts everything, prints the address, and runs until it is told to stop.
pub async fn run(config: Config) -> anyhow::Result<()> {
    start_telemetry(&config)?;
    let metrics = Arc::new(Metrics::install()?);
    let listener = listen(config.server.listen).await?;
    let address = listener.local_addr()?;
    let public_url = config.public_url(address).trim_end_matches('/').to_owned();
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let (app, engine) = App::build(config).await?;
    let app = Arc::new(app);
    let lifecycle = Lifecycle::new();
    parts::start(&app, &lifecycle);
    start_http(&app, &lifecycle, metrics, listener, &public_url)?;
    start_socket(&app, &lifecycle, &public_url);
    announce(&app, &public_url).await?;
    start_demo(&app, &lifecycle, address);
    wait_for_end(&lifecycle).await?;
    stop(engine, &lifecycle).await
}

/// Log lines as configured.
fn start_telemetry(config: &Config) -> anyhow::Result<()> {
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

fn start_http(
    app: &Arc<App>,
    lifecycle: &Lifecycle,
    metrics: Arc<Metrics>,
    listener: TcpListener,
    public_url: &str,
) -> anyhow::Result<()> {
    let component = lifecycle.register("http", Duration::from_secs(app.config.server.shutdown_s));
    let stop = component.stop_token();
    let router = router(app, lifecycle, metrics, public_url, &stop);
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

fn router(
    app: &Arc<App>,
    lifecycle: &Lifecycle,
    metrics: Arc<Metrics>,
    public_url: &str,
    stop: &CancellationToken,
) -> Router {
    let settings = web::Settings {
        cookie_name: cookie_name(public_url),
        secure_cookie: public_url.starts_with("https"),
        cookie_days: app.config.web.session_days,
        max_streams: app.config.web.max_streams,
        clock: app.clock.clone(),
    };
    let pages =
        web::router(web::App::new(Arc::new(Pages::new(app.clone(), public_url.to_owned(), stop.clone())), settings));
    let keys = Arc::new(ControlNames::new(app.control.clone(), app.clock.clone()));
    let budget = BudgetLimits {
        per_minute: NonZeroU32::new(app.config.api.requests_per_minute_per_key).unwrap_or(NonZeroU32::MIN),
        burst: NonZeroU32::new(app.config.api.burst_per_key).unwrap_or(NonZeroU32::MIN),
    };
    let json = JsonApi::new(app.reports.clone(), Arc::new(app.ledger.clone()), keys, budget);
    Router::new()
        .merge(health_router(Health {
            lifecycle: lifecycle.clone(),
            metrics,
            alarms: app.alarms.clone(),
            audit: app.audit.clone(),
        }))
        .merge(ingest::receive::router(app.edge.clone()))
        .merge(api::json::router(Arc::new(json)))
        .merge(pages)
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
    audit: Arc<Audit>,
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
    let differences = health.audit.differences.list();
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
    health.audit.measure().await;
    health.metrics.render()
}

fn start_socket(app: &Arc<App>, lifecycle: &Lifecycle, public_url: &str) {
    let component = lifecycle.register("control socket", Duration::from_secs(5));
    let (app, url, stop) = (app.clone(), public_url.to_owned(), component.stop_token());
    component.ready();
    tokio::spawn(async move {
        match socket::serve(app, url, stop).await {
            Ok(()) => component.finish(),
            Err(error) => component.fail(&format!("{error:#}")),
        }
    });
}

/// The one line that people wait for.
async fn announce(app: &App, public_url: &str) -> anyhow::Result<()> {
    let token = app.control.create_login_token((app.clock)()).await?;
    println!("Open {public_url}/open?token={}", token.expose());
    use std::io::Write;
    std::io::stdout().flush().context("standard output")
}

/// The demo's data goes through the edge like everybody's, while the pages are already open.
fn start_demo(app: &Arc<App>, lifecycle: &Lifecycle, address: SocketAddr) {
    if !app.config.demo.enabled {
        return;
    }
    let component = lifecycle.register("demo", Duration::from_secs(2));
    let (app, stop) = (app.clone(), component.stop_token());
    component.ready();
    tokio::spawn(async move {
        let seeded = tokio::select! {
            seeded = demo::seed(&app, address) => seeded,
            () = stop.cancelled() => Ok(()),
        };
        if let Err(error) = seeded {
            tracing::warn!(error = %error, "the demo workspace is not complete; it goes on at the next start: {error:#}");
        }
        stop.cancelled().await;
        component.finish();
    });
}

/// Resolves when a person or a supervisor asks the process to stop.
async fn stop_signal() -> anyhow::Result<()> {
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
