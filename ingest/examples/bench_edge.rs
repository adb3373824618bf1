//! The real webhook route over a log of choice, for `scripts/bench.sh`: what signature and
//! minimising cost beside a bare handler, and what the local log costs beside a bare group commit.
//!
//! `cargo run --release -p ingest --example bench_edge -- LOG PORT ENDPOINT SECRET SECONDS`, where
//! LOG is
//! * `none`: acknowledges at once, stores nothing;
//! * `local`: the product's local log in a temporary folder;
//! * `baseline`: the shortest group commit on SQLite with the same settings: a thread, a
//!   channel, one transaction for all that wait; no checksum, no ends, no limits.
//!
//! Listens on 127.0.0.1 and ends by itself after SECONDS (at most 600).
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![allow(clippy::unwrap_used, reason = "a measurement may end loudly")]

use axum::serve::ListenerExt;
use domain::ids::{ConnectionId, Provider, Timestamp, VendorId};
use ingest::directory::{Endpoint, EndpointDirectory, HashKey};
use ingest::limits::{LimitSettings, Limits};
use ingest::minimise::Minimiser;
use ingest::receive::{Clock, Edge, Tolerances, router};
use ingest::signature::Secret;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::event_log::{Appended, EventLog, LogError, NewRecord, StoredRecord};
use store::local_log::LocalLog;
use store::sqlite::{Migration, open_writer};
use telemetry::metrics::Metrics;
use tokio::sync::oneshot;

const USAGE: &str = "bench_edge none|local|baseline PORT ENDPOINT SECRET SECONDS";
/// The longest run.
const MOST_SECONDS: u64 = 600;
/// As in the local log.
const PAGE_BYTES: u32 = 8192;
const QUEUE: usize = 8192;
const GROUP: usize = 1024;

/// What the edge asks of a log; reading is nobody's business here.
#[async_trait::async_trait]
trait Append: Send + Sync {
    async fn append(&self, record: NewRecord) -> Result<u64, LogError>;
}

struct WriteOnly<A>(A);

#[async_trait::async_trait]
impl<A: Append> EventLog for WriteOnly<A> {
    async fn append(&self, record: NewRecord) -> Result<Appended, LogError> {
        self.0.append(record).await.map(Appended::Log)
    }
    async fn read(&self, _: u16, _: u64, _: usize, _: usize) -> Result<Vec<StoredRecord>, LogError> {
        unreachable!("the edge never reads")
    }
    async fn bounds(&self, _: u16) -> Result<(u64, u64), LogError> {
        unreachable!("the edge never reads")
    }
    async fn appended(&self) {
        unreachable!("the edge never waits for others")
    }
    async fn close(&self) {}
}

/// Stores nothing.
#[derive(Default)]
struct NoLog(AtomicU64);

#[async_trait::async_trait]
impl Append for NoLog {
    async fn append(&self, _: NewRecord) -> Result<u64, LogError> {
        Ok(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// The bare group commit.
struct Baseline(SyncSender<(NewRecord, oneshot::Sender<u64>)>);

#[async_trait::async_trait]
impl Append for Baseline {
    async fn append(&self, record: NewRecord) -> Result<u64, LogError> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send((record, reply)).map_err(|_| LogError::Unavailable("the queue is full".to_owned()))?;
        answer.await.map_err(|_| LogError::Unavailable("the thread ended".to_owned()))
    }
}

impl Baseline {
    fn open(path: &Path) -> Baseline {
        let table = "create table records (id integer primary key, body blob not null) strict";
        let migrations = [Migration { version: 1, name: "records", sql: table }];
        let mut connection = open_writer(path, PAGE_BYTES, &migrations).unwrap();
        connection.pragma_update(None, "secure_delete", false).unwrap();
        let (sender, queue) = sync_channel::<(NewRecord, oneshot::Sender<u64>)>(QUEUE);
        std::thread::spawn(move || {
            let mut end = 0_u64;
            while let Ok(first) = queue.recv() {
                let group: Vec<_> = std::iter::once(first).chain(queue.try_iter().take(GROUP - 1)).collect();
                let transaction = connection.transaction().unwrap();
                for (record, _) in &group {
                    let id = (i64::from(record.partition) << 48) | end as i64;
                    let mut insert =
                        transaction.prepare_cached("insert into records (id, body) values (?1, ?2)").unwrap();
                    insert.execute((id, &record.bytes)).unwrap();
                    end += 1;
                }
                transaction.commit().unwrap();
                for (place, (_, reply)) in group.into_iter().enumerate() {
                    let _ = reply.send(end + place as u64);
                }
            }
        });
        Baseline(sender)
    }
}

fn open_log(name: &str, folder: &Path) -> Arc<dyn EventLog> {
    match name {
        "none" => Arc::new(WriteOnly(NoLog::default())),
        "local" => Arc::new(LocalLog::open(&folder.join("log.db")).unwrap()),
        "baseline" => Arc::new(WriteOnly(Baseline::open(&folder.join("baseline.db")))),
        other => panic!("there is no log `{other}`: {USAGE}"),
    }
}

fn edge(log: Arc<dyn EventLog>, endpoint: String, secret: &str) -> Edge {
    let directory = Arc::new(EndpointDirectory::new());
    directory.replace(vec![Endpoint {
        id: endpoint,
        vendor: VendorId(1),
        connection: ConnectionId(1),
        provider: Provider::Stripe,
        mode_hint: None,
        secrets: vec![Secret::new(secret)],
        hash_key: HashKey([7; 32]),
    }]);
    let clock: Clock = Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp(since.as_millis() as i64)
    });
    Edge {
        log,
        directory,
        minimiser: Minimiser::new(),
        limits: Limits::new(LimitSettings::default()),
        clock,
        writer: "bench".to_owned(),
        tolerances: Tolerances::default(),
        failed: Arc::default(),
        traces: Default::default(),
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [log, port, endpoint, secret, seconds] = arguments.as_slice() else { panic!("{USAGE}") };
    let duration = Duration::from_secs(seconds.parse::<u64>().unwrap().min(MOST_SECONDS));
    // Not below /tmp, which is memory on some machines.
    let folder = tempfile::tempdir_in("target").unwrap();
    let edge = Arc::new(edge(open_log(log, folder.path()), endpoint.clone(), secret));
    // As in the product: every answer is counted and timed.
    Metrics::install().unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).await.unwrap();
    println!("the edge over log `{log}` listens on http://{}", listener.local_addr().unwrap());
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let service = router(edge).into_make_service_with_connect_info::<SocketAddr>();
    let _ = tokio::time::timeout(duration, axum::serve(listener, service).into_future()).await;
}
